"""Students of a teacher: instances, files, numbers."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deepglass as dg
from deepglass.reference.mc_exact import replica_symmetric_student

pytestmark = [pytest.mark.same_bits, pytest.mark.no_sanitizer]

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
students = pytest.importorskip("deepglass.reproduce._students")
teacher_student = pytest.importorskip("deepglass.reproduce.teacher_student")

Student = students.Student
SMALL = Student(6, 2, 3, n_sweeps=16, n_instances=2)


@pytest.mark.parametrize("load", [1.0, 4.0])
def test_single_layer(load: float) -> None:
    """The order parameter at q = R is the saddle point of the free entropy in q and R."""
    expected = replica_symmetric_student(load, math.inf).teacher_overlap
    assert teacher_student.single_layer_overlap(load) == pytest.approx(expected, abs=1e-6)


def test_relaxation_time() -> None:
    lags = np.array([0.0, *np.geomspace(1.0, 1e4, 400)])
    for plateau in (0.0, 0.6):
        correlation = plateau + (1.0 - plateau) * np.exp(-lags / 77.0)
        # linear in ln t between lags 2.3 % apart
        assert teacher_student.relaxation_time(lags, correlation, plateau) == pytest.approx(77.0, rel=1e-3)
    assert math.isnan(teacher_student.relaxation_time(lags[:5], np.exp(-lags[:5] / 77.0)))


def test_instances_share_teacher_and_data() -> None:
    planted, manifold = (dataclasses.replace(SMALL, **change) for change in ({"start": "teacher"}, {"dimension": 2}))
    first, second, third = (one.data(1) for one in (SMALL, planted, manifold))
    assert np.array_equal(first.inputs, second.inputs)
    for other in (second, third):
        assert all(np.array_equal(a, b) for a, b in zip(first.teacher, other.teacher, strict=True))
    assert not np.array_equal(first.inputs, SMALL.data(0).inputs)


def test_teacher_start_is_a_solution_with_full_overlap() -> None:
    exam = students._Exam(SMALL.data(0))
    teacher = dataclasses.replace(SMALL, start="teacher").simulation(0).bonds(0)
    assert set(exam.errors(teacher).values()) == {0.0}
    for overlap in exam.overlaps(teacher).values():
        np.testing.assert_allclose(overlap, 1.0, rtol=1e-6)  # single precision


def test_finished_instances_are_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "deepglass"):
        (first,) = students.run_all([SMALL], tmp_path, workers=1)
        written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
        (second,) = students.run_all([dataclasses.replace(SMALL, n_instances=3)], tmp_path, workers=2)
    assert len(written) == 2 and len(list(tmp_path.iterdir())) == 3
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    assert second.isel(instance=slice(2)).equals(first)
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0].startswith("2 of 2 instances to run, 1 at a time: about ") and "hours" in messages[0]
    assert messages[1].startswith("1 of 3 instances to run")
    # An instance depends on its number only.
    alone = students.run_all([dataclasses.replace(SMALL, n_instances=3)], tmp_path / "again", workers=1)[0]
    assert alone.equals(second)
    assert first["sweep"].values.tolist() == [1, 2, 4, 8, 16]
    assert first["bond_correlation"].sizes == {"instance": 2, "lag": 7, "layer": 2}
    assert (first["bond_correlation"].sel(lag=0) == pytest.approx(1.0)).all()


def test_an_error_is_told_after_the_others_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(students.io, "save", fails)
        with pytest.raises(RuntimeError, match="2 of 2 instances failed, the others are kept: OSError: no space left"):
            students.run_all([SMALL], tmp_path, workers=1)
    assert not list(tmp_path.iterdir())
    run = Student.run

    def first_fails(self: Any, instance: int, path: Path, check: Callable[[int, int], None]) -> None:
        if instance == 0:
            raise ValueError("of this one only")
        run(self, instance, path, check)

    monkeypatch.setattr(Student, "run", first_fails)
    with pytest.raises(RuntimeError, match="1 of 2 instances failed"):
        students.run_all([SMALL], tmp_path, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == [SMALL.path(tmp_path, 1).name]


def test_pictures_numbers_and_table(tmp_path: Path) -> None:
    """All of it with tiny settings."""
    settings = {"n_sweeps": 8, "n_instances": 2}
    kinds = [
        *teacher_student._students(6, (1, 3, 5), (1, 4), **settings),
        *teacher_student._students(8, (3,), (4,), **settings),
        *teacher_student._manifold(**settings),
    ]
    written = teacher_student._reproduce(tmp_path, kinds, workers=1)
    assert all(path.stat().st_size > 0 for path in written)
    assert {path.suffix for path in written} == {".png", ".pdf", ".nc", ".json", ".txt"}
    summary = dg.load(tmp_path / "summary.nc")
    assert summary.sizes == {"student": len(kinds), "layer": 5}
    assert (summary["short_run"] == 1).all()
    assert np.isnan(summary["slowest_time"][summary["depth"] > 1]).all()  # nothing relaxes in 4 sweeps
    planted = summary.sel(student="N6_L3_load4_teacher")
    assert planted["training_error"] == 0.0 and planted["unseen_error"] < 0.2
    deep = summary.sel(student="N6_L5_load4_random")
    assert 0.0 < deep["training_error"] < 0.5 and 0.3 < deep["unseen_error"] < 0.6
    table = (tmp_path / "table.txt").read_text("utf-8")
    assert "SHORTER than 20 times: alpha = 1: <2; alpha = 4: <2" in table
    assert table.count("low dimension helps") == 3


@pytest.mark.slow
def test_independent_program(tmp_path: Path) -> None:
    """Training error, error on unseen inputs and overlaps by layer of 48 or 96 teachers, as found before."""
    gates = teacher_student._GATES
    results = dict(zip(gates, students.run_all(gates, tmp_path), strict=True))
    pulls = {
        (student.name, what): teacher_student._pull(mine, value, error)
        for student, result in results.items()
        for what, mine, value, error in teacher_student._comparisons(
            student,
            result,
            teacher_student._EARLIER[student.width, student.depth, student.load, student.dimension],
        )
    }
    assert len(pulls) == 21
    assert {key: pull for key, pull in pulls.items() if abs(pull) > 4.0} == {}


@pytest.mark.slow
def test_teacher_student(tmp_path: Path) -> None:
    reproduce = pytest.importorskip("deepglass.reproduce")
    written = reproduce.run("teacher-student", output=tmp_path, quick=True)
    assert all(path.stat().st_size > 0 for path in written)
    summary = dg.load(tmp_path / "teacher-student" / "summary.nc")
    # The teacher is one of the solutions and stays one.
    assert (summary["training_error"][summary["start"] == "teacher"] == 0.0).all()
    assert (summary["unseen_error"] > 0.0).all()
