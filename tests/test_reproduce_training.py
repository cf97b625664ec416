"""The items that train networks: small runs of all of them, statements of the tables."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import deepglass as dg
from deepglass.learning.training import Stack, slopes

pytestmark = [pytest.mark.same_bits, pytest.mark.no_sanitizer]

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
depth_locality = pytest.importorskip("deepglass.reproduce.depth_locality")
double_descent = pytest.importorskip("deepglass.reproduce.double_descent")
jamming = pytest.importorskip("deepglass.reproduce.jamming")
landscape = pytest.importorskip("deepglass.reproduce.landscape")
lazy_feature = pytest.importorskip("deepglass.reproduce.lazy_feature")
trainability = pytest.importorskip("deepglass.reproduce.trainability")

ITEMS = ["depth-locality", "lazy-feature", "double-descent", "jamming", "landscape", "trainability"]


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def checked(written: list[Path]) -> str:
    """The table."""
    assert all(path.stat().st_size > 0 for path in written)
    assert {path.suffix for path in written} == {".png", ".pdf", ".nc", ".json", ".txt"}
    return written[-1].read_text("utf-8")


@pytest.mark.parametrize("name", ITEMS)
def test_without_torch_they_are_refused(name, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match="needs PyTorch, in the extra 'learning'"):
        dg.reproduce.run(name, output=tmp_path, quick=True)


def test_depth_locality(torch, tmp_path, monkeypatch):
    monkeypatch.setattr(depth_locality, "_N_TEST", 2000)
    settings = [("local", 1, 12, 80), ("global", 1, 12, 80), ("local", 3, 5, 100), ("chain", 2, 20, 80)]
    cells = tuple(
        depth_locality.Cell(*setting, 16, depth, (0.1, 0.5), n_instances=2) for setting in settings for depth in (1, 2)
    )
    noisy = tuple(
        depth_locality.Cell("local", 2, 5, 100, 16, 1, (0.3,), n_instances=2, batch=batch, extrapolation=a)
        for batch, a in ((50, 1.0), (50, 2.0), (10, 1.0))
    )
    table = checked(depth_locality._reproduce(tmp_path, cells, noisy, workers=1))
    assert re.search(r"^  as minibatches of 10, a = 2 +the same covariance ", table, re.MULTILINE)
    assert len(re.findall(r"^\S+, D = .*: better ", table, re.MULTILINE)) == 4
    chain = dg.load(tmp_path / "2chain_D20_N80_H16_L1.nc")
    np.testing.assert_allclose(chain.bayes_error, dg.learning.chain_bayes_error(20, 0.3, 0.2), rtol=1e-12)
    assert float(chain.test_error.min()) > float(chain.bayes_error[0])
    assert re.search(r"^1-local = 1-global +equal ", table, re.MULTILINE)
    # The kernel with one hidden layer and no bias has no odd degree but the first: 3-local labels are a guess.
    blind = dg.load(tmp_path / "3local_D5_N100_H16_L1.nc")
    assert (np.abs(blind.kernel_error - 0.5) < 0.1).all()
    assert float(blind.test_error.mean("instance").min()) < 0.42
    # Finished instances are not run again
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "instances").iterdir()}
    depth_locality._reproduce(tmp_path, cells, noisy, workers=1)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "instances").iterdir()}


def test_lazy_feature(torch, tmp_path):
    sweeps = tuple(
        lazy_feature.Sweep(label, k, 8, 60, (8, 200), (0.2, 0.8), max_epochs=30)
        for label, k in (("local", 1), ("local", 2), ("global", 2))
    )
    table = checked(lazy_feature._reproduce(tmp_path, sweeps, workers=1))
    assert re.search(r"four hidden units, written down: error +0 +0 +\+0 ", table)
    assert len(re.findall(r"displacement ~ H\^x +-1/2 +-0\.\d", table)) == 3


def test_double_descent(torch, tmp_path):
    widths = tuple(double_descent.Width(width, 6, 40, 3, 20) for width in (1, 5, 20))
    sizes = double_descent.Sizes((0.2, 0.5, 2.0, 4.0, 10.0), 50, 6, 8, widths)
    table = checked(double_descent._reproduce(tmp_path, sizes, workers=1))
    assert re.search(r"p/n = 0\.5: risk +0\.2604 ", table)  # 25 / 24 / 4
    assert re.search(r"the best ridge has no peak +yes +yes ", table)


def test_jamming(torch, tmp_path):
    sizes = jamming.Sizes(
        tuple(jamming.Load(load, 8, 1, 600, n_instances=2) for load in (0.3, 8.0)),
        tuple(jamming.Walk(load, 8, 1, (10, 500), 64, n_instances=2) for load in (0.2, 8.0)),
        (jamming._spheres.Packings(32, 2, 3), jamming._spheres.Packings(32, 3, 2)),
        jamming._spheres.Starts(32, 1),
    )
    table = checked(jamming._reproduce(tmp_path, sizes, workers=1))
    assert re.search(r"N_Delta/N jumps +yes +yes ", table)
    assert re.search(r"P/N = 8: the parameters +move +move ", table)
    assert re.findall(r"contacts beyond the isostatic number +0 +(\S+) ", table) == ["0.00", "0.00"]


def test_landscape(torch, tmp_path):
    sizes = landscape.Sizes(
        tuple(landscape.Glass(n, 4, n_instances=3) for n in (12, 20)),
        (landscape.Saddles(3, 4, 40, n_instances=3),),
        tuple(landscape.Drift(6.0, batch, 256, width=6, hidden_layers=1) for batch in (8, 32)),
        tuple(landscape.Potential(hurst, 2.0, (5.0, 10.0), 400, 50) for hurst in (0.5, 0.75, 0.0)),
    )
    table = checked(landscape._reproduce(tmp_path, sizes, workers=1))
    assert re.search(
        r"minima are almost global +yes +0\.9855 ", table
    )  # -2/sqrt(3) over the energy of the ground state
    assert re.search(r"mostly saddles .* 0\.3466 of all, 0\.0132 of minima", table)  # ln(2)/2
    assert len(re.findall(r"^\|w_t - w_0\|, P/N = 6, .* (reproduced|log better in \d of 4) ", table, re.MULTILINE)) == 2


def test_fits_of_landscape_tell_a_logarithm_from_a_power():
    t = 2.0 ** np.arange(4, 14)
    logarithm, power = landscape._fit(t, 0.5 + 0.3 * np.log(t)), landscape._fit(t, 0.2 * t**0.4)
    assert logarithm.log_residual < 1e-13 and logarithm.slope == pytest.approx(0.3)
    assert power.power_residual < 1e-6 and power.exponent == pytest.approx(0.4, abs=1e-6)
    assert logarithm.power_residual > 0.01 and power.log_residual > 0.1


@pytest.fixture
def images(tmp_path):
    """Ten groups of points, far apart."""
    rng = np.random.default_rng(1)
    labels = np.arange(400) % 10
    pixels = rng.normal(size=(10, 24))[labels] + 0.3 * rng.normal(size=(400, 24))
    np.savez(tmp_path / "images.npz", images=pixels, labels=labels)
    return str(tmp_path / "images.npz")


def test_trainability(torch, tmp_path, images):
    """Learnt below a few xi_c, not far above it; orthogonal weights at any depth."""
    options = {"width": 24, "n_images": 200, "steps": 60, "every": 30, "images": images}
    sizes = trainability.Sizes(
        tuple(
            trainability.Training(depth, "gaussian", (variance,), 0.05, (0.1, 0.3), **options)
            for depth in (4, 60)
            for variance in (1.0, 1.75)
        ),
        tuple(
            trainability.Training(60, weights, (1.086026,), 1e-4, (1.0,), **options)
            for weights in ("gaussian", "orthogonal")
        ),
    )
    table = checked(trainability._reproduce(tmp_path, sizes, workers=1))
    errors = dg.load(tmp_path / "map.nc")
    np.testing.assert_allclose(errors.xi_c[0], dg.meanfield.fixed_point("tanh", 1.0, 0.05).xi_c, rtol=1e-12)  # 3.6
    last = errors.training_error.isel(step=-1)
    assert float(last.sel(depth=4).max()) < 0.2 and float(last.sel(depth=60, weight_variance=1.0)) > 0.7
    assert 4.0 < float(errors.greatest_depth.sel(weight_variance=1.0)) < 60.0
    deep = dg.load(tmp_path / "deep.nc").training_error.isel(step=-1, depth=0)
    assert float(deep.sel(weights="orthogonal")) < 0.2 < float(deep.sel(weights="gaussian"))
    assert re.search(r"^order .*: training ends at depth / xi_c +6 ", table, re.MULTILINE)


def test_deep_descent_follows_the_gradient(torch):
    """A step of tanh networks side by side: minus the rate times the exact gradient of each."""
    laws = [{"weight_variance": variance, "bias_variance": 0.3, "seed": 5} for variance in (1.0, 3.0)]
    shape = {"depth": 4, "width": 5, "n_inputs": 3, "n_outputs": 2, "activation": "tanh", "parametrisation": "standard"}
    networks = [dg.fisher.Network(**shape, **law) for law in laws]
    x, y = np.random.default_rng(2).normal(size=(6, 3)), np.arange(6) % 2
    weights, biases = (
        [torch.from_numpy(np.array(layer)) for layer in zip(*parts, strict=True)]
        for parts in ([one.weights for one in networks], [one.biases for one in networks])
    )
    stack = Stack([w.transpose(1, 2) for w in weights], [b.unsqueeze(1) for b in biases], "tanh")
    values = stack.forward(torch.from_numpy(x).expand(2, -1, -1))
    stack.descend(values, slopes("cross_entropy", values[-1], torch.from_numpy(y).expand(2, -1)) * 0.1, [1.0] * 4, True)
    for i, network in enumerate(networks):
        f = network(x)
        p = np.exp(f) / np.exp(f).sum(axis=1, keepdims=True)
        gradient = np.einsum("tk,tkp->p", p - np.eye(2)[y], network.jacobian(x))
        moved = network.with_parameters(network.parameters - 0.1 * gradient)
        for ours, theirs in zip(stack.weights, moved.weights, strict=True):
            np.testing.assert_allclose(ours[i].T, theirs, atol=1e-14)
        for ours, theirs in zip(stack.biases, moved.biases, strict=True):
            np.testing.assert_allclose(ours[i, 0], theirs, atol=1e-14)


def test_other_parameters_are_other_files(tmp_path):
    cell = depth_locality.Cell("local", 1, 12, 80, 16, 1, (0.1,))
    others = [dataclasses.replace(cell, **change) for change in ({"rates": (0.2,)}, {"width": 17}, {"seed": 2})]
    assert len({one.path(tmp_path, 0) for one in (cell, *others)}) == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ITEMS)
def test_quick(torch, tmp_path, name):
    table = checked(dg.reproduce.run(name, output=tmp_path, quick=True))
    expected = {
        "depth-locality": [
            r"temperature, .*: better +shallow +shallow +reproduced",
            r"enhanced noise generalises better +yes \(\S+\) +yes ",
            r"2-global, .*: better +shallow +shallow +reproduced",
            r"3-local, .*: better +deep +deep ",
        ],
        "lazy-feature": [r"the best network beats the kernel +yes +yes ", r"written down: error +0 +0 "],
        "double-descent": [r"test error has a peak +yes +reproduced", r"it is variance +yes +yes"],
        "jamming": [r"N_Delta/N jumps +yes +yes", r"P/N = 0\.5: the parameters +rest +rest"],
        "landscape": [
            r"^three-spin model: minima are almost global +yes +0\.9855 ",
            r"rank correlation of loss and index +> 0 +0\.\d+\(\d+\) +yes ",
            r"^\|w_t - w_0\|, .* log better in 0 of 4 ",
        ],
        "trainability": [
            r"^order .* within a factor of 2",
            r"^chaos .* within a factor of 2",
            r"trained deepest .* 1\.75 ",
            r"orthogonal weights: greatest depth with error < 0\.1 .* 1000 ",
        ],
    }
    for pattern in expected[name]:
        assert re.search(pattern, table, re.MULTILINE), table
