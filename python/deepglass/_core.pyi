"""
deepglass kernels, compiled for one CPU level; plain arrays in, plain arrays out.
"""
from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import typing
__all__: list[str] = ['FreeNetworks', 'Measure', 'NumericalError', 'SlavedNetworks', 'affine', 'atoms', 'deep_perceptron_franz_parisi', 'deep_perceptron_solve', 'deep_perceptron_solve_hierarchical', 'deep_perceptron_sweep', 'deep_perceptron_transition_loads', 'deep_perceptron_wetting_loads', 'density_measure', 'free_convolution', 'free_outliers', 'free_power', 'gauss_hermite', 'gauss_legendre', 'has_openmp', 'in_forked_child', 'isa', 'ising_moments', 'log_sum_exp', 'marchenko_pastur', 'mc_trajectory', 'panel_rule', 'parallel_self_test', 'parisi_recursion', 'philox_block', 'philox_normal', 'philox_sign', 'philox_uniform', 'philox_words', 'planted_ising_moments', 'planted_wall_moments', 'semicircle', 'sinh_rule', 'slaved_forward', 'spin', 'thread_count', 'version', 'vmath_erf', 'vmath_erfc', 'vmath_exp', 'vmath_expm1', 'vmath_inverse_mills_ratio', 'vmath_inverse_mills_ratio_slope', 'vmath_log', 'vmath_log1p', 'vmath_log_2cosh', 'vmath_log_normal_cdf', 'vmath_log_normal_sf', 'vmath_normal_cdf', 'vmath_tanh', 'wall_moments']
class NumericalError(ArithmeticError):
    pass
class FreeNetworks:
    """
    Chains of a perceptron network with free hidden neurons, on one data set.
    
    The trajectory of chain ``first_chain + c`` is a function of the seed, that number and the arguments of ``run``.
    A new object has all hidden spins +1 and no bonds: call ``set_state`` first.
    """
    def __init__(self, widths: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], inputs: typing.Annotated[numpy.typing.ArrayLike, numpy.int8], outputs: typing.Annotated[numpy.typing.ArrayLike, numpy.int8], *, potential: str = 'soft', binary: bool = False, graph: collections.abc.Sequence[typing.Annotated[numpy.typing.ArrayLike, numpy.int32] | None] = [], n_chains: typing.SupportsInt | typing.SupportsIndex = 1, seed: typing.SupportsInt | typing.SupportsIndex = 0, first_chain: typing.SupportsInt | typing.SupportsIndex = 0) -> None:
        """
        inputs (n_patterns, N_0) and outputs (n_patterns, N_L) of +1 and -1; graph: for each layer the inputs of its perceptrons (N_l, c), or None where all are.
        """
    def bonds(self, chain: typing.SupportsInt | typing.SupportsIndex) -> list[numpy.typing.NDArray[numpy.float64]]:
        """
        Bonds (N_l, N_{l-1}) of layers 1 .. L.
        """
    def energy(self) -> numpy.typing.NDArray[numpy.float64]:
        """
        Energies (n_chains, depth) by layer, from the fields as they are kept.
        """
    def memory(self, chain: typing.SupportsInt | typing.SupportsIndex) -> list[numpy.typing.NDArray[numpy.uint8]]:
        """
        The bytes of bonds, gaps and spins, for a continuation to the last bit.
        """
    def rebuild(self, chain: typing.SupportsInt | typing.SupportsIndex) -> float:
        """
        Compute the fields anew; gives the largest change.
        """
    def run(self, n_draws: typing.SupportsInt | typing.SupportsIndex, every: typing.SupportsInt | typing.SupportsIndex, beta: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], step: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], *, bond_passes: typing.SupportsInt | typing.SupportsIndex = 1, spin_passes: typing.SupportsInt | typing.SupportsIndex = 1, trajectory_steps: typing.SupportsInt | typing.SupportsIndex = 0, trajectory_step: typing.SupportsFloat | typing.SupportsIndex = 0.0, threads: typing.SupportsInt | typing.SupportsIndex = 0) -> dict[str, numpy.typing.NDArray[numpy.float64]]:
        """
        n_draws times `every` sweeps; beta (n_chains,), step (n_chains, depth).  For trajectory_steps > 0 a bond pass is a trajectory of so many steps of length trajectory_step for every perceptron (soft potential, spherical bonds, finite beta), else a sweep of rotations or flips.  Gives energy (n_chains, n_draws, depth), the numbers of accepted moves since the last draw (n_chains, n_draws, depth + 1) and the largest drift of a field (n_chains,).
        """
    def set_memory(self, chain: typing.SupportsInt | typing.SupportsIndex, memory: collections.abc.Sequence[typing.Annotated[numpy.typing.ArrayLike, numpy.uint8]]) -> None:
        """
        What ``memory`` gave.
        """
    def set_state(self, chain: typing.SupportsInt | typing.SupportsIndex, spins: collections.abc.Sequence[typing.Annotated[numpy.typing.ArrayLike, numpy.int8]], bonds: collections.abc.Sequence[typing.Annotated[numpy.typing.ArrayLike, numpy.float64]]) -> None:
        """
        Spins (n_patterns, N_l) of the hidden layers and bonds (N_l, N_{l-1}) of all; spherical bonds are normalised.
        """
    def spins(self, chain: typing.SupportsInt | typing.SupportsIndex) -> list[numpy.typing.NDArray[numpy.int8]]:
        """
        Spins (n_patterns, N_l) of layers 0 .. L.
        """
    @property
    def sweep(self) -> int:
        """
        Number of sweeps done: the clock of the random numbers.
        """
    @sweep.setter
    def sweep(self, arg1: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
class SlavedNetworks:
    """
    Chains of slaved perceptron networks on the same data.
    
    A trajectory is a function of (seed, first_chain + chain, sweep), of nothing else.  Real
    bonds get norm^2 = number of inputs, and their fields are computed afresh, after sweeps
    whose number is a multiple of rebuild_every.  After an interrupt all chains stand at the
    end of the same sweep, the one `sweep` tells, and can be run on.
    """
    rebuild_every: typing.ClassVar[int] = 20
    def __init__(self, widths: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], inputs: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], outputs: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], *, binary: bool, n_chains: typing.SupportsInt | typing.SupportsIndex, seed: typing.SupportsInt | typing.SupportsIndex, first_chain: typing.SupportsInt | typing.SupportsIndex = 0) -> None:
        """
        widths N_0 .. N_L; inputs (n_patterns, N_0), outputs (n_patterns, N_L), of +1 and -1.  All bonds
        are 1 until they are set.
        """
    def acceptances(self) -> numpy.typing.NDArray[numpy.int64]:
        """
        Acceptances since reset_counters (n_chains, depth).
        """
    def attempts(self) -> numpy.typing.NDArray[numpy.int64]:
        """
        Attempts since reset_counters (n_chains, depth).
        """
    def bonds(self, chain: typing.SupportsInt | typing.SupportsIndex) -> list[numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]]:
        """
        Bonds (N_l, N_{l-1}), l = 1 .. L: float32 or int8.
        """
    def energy(self) -> numpy.typing.NDArray[numpy.int64]:
        """
        Wrong output bits (n_chains,).
        """
    def fresh_energy(self) -> numpy.typing.NDArray[numpy.int64]:
        """
        The same by a forward pass from the bonds.
        """
    def reset_counters(self) -> None:
        """
        Set attempts and acceptances to zero.
        """
    def run(self, n_sweeps: typing.SupportsInt | typing.SupportsIndex, beta: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], step: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], *, early_stop: bool = True, threads: typing.SupportsInt | typing.SupportsIndex = 0) -> None:
        """
        Sweeps at inverse temperatures beta (n_chains,), infinity being greedy, with angles up to step
        (depth,) (of no effect on binary bonds).  early_stop leaves hopeless moves early: same trajectory.
        """
    def set_bonds(self, chain: typing.SupportsInt | typing.SupportsIndex, bonds: collections.abc.Sequence[numpy.typing.ArrayLike]) -> None:
        """
        Bonds (N_l, N_{l-1}) of layers l = 1 .. L; rows of real ones are scaled to norm^2 = N_{l-1}.
        """
    def set_state(self, chain: typing.SupportsInt | typing.SupportsIndex, state: dict[str, typing.Any]) -> None:
        """
        Take over what state() gave.  Its sweep becomes that of all chains.
        """
    def spins(self, chain: typing.SupportsInt | typing.SupportsIndex) -> list[numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]]:
        """
        Spins (n_patterns, N_l), l = 0 .. L: int8.
        """
    def state(self, chain: typing.SupportsInt | typing.SupportsIndex) -> dict[str, typing.Any]:
        """
        Arrays for set_state, from which the chain goes on bit for bit (same data, seed and number).
        """
    @property
    def sweep(self) -> int:
        """
        Number of sweeps done, the same for all chains: the clock of random numbers and rebuilds.
        """
    @sweep.setter
    def sweep(self, arg1: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
class Measure:
    """
    A probability measure known by its Cauchy transform.
    """
    def atoms(self) -> list[tuple[float, float]]:
        """
        Positions and masses, increasing.
        """
    def cauchy(self, z: typing.Annotated[numpy.typing.ArrayLike, numpy.complex128], threads: typing.SupportsInt | typing.SupportsIndex = 0) -> numpy.typing.NDArray[numpy.complex128]:
        """
        G(z) = int dmu(x)/(z - x) for Im z >= 0; real z is the limit from above.  NaN where no solution was accepted.
        """
    def density(self, x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], threads: typing.SupportsInt | typing.SupportsIndex = 0) -> numpy.typing.NDArray[numpy.float64]:
        """
        Density of the continuous part at x; 0 off the support, NaN where no solution was accepted.
        """
    def inverse(self, v: typing.Annotated[numpy.typing.ArrayLike, numpy.complex128], product: bool) -> numpy.typing.NDArray[numpy.complex128]:
        """
        R(v), or S(v) for products, on the branch that is regular at 0; NaN beyond its end.
        """
    def support(self) -> list[tuple[float, float]]:
        """
        Intervals of the continuous part, increasing.
        """
def affine(mu: Measure, shift: typing.SupportsFloat | typing.SupportsIndex, scale: typing.SupportsFloat | typing.SupportsIndex) -> Measure:
    """
    Law of shift + scale x, x of law mu.
    """
def atoms(positions: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], masses: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> Measure:
    """
    Atoms at increasing positions.
    """
def deep_perceptron_franz_parisi(depth: typing.SupportsInt | typing.SupportsIndex, load: typing.SupportsFloat | typing.SupportsIndex, wall_width: typing.SupportsFloat | typing.SupportsIndex, wall_shift: typing.SupportsFloat | typing.SupportsIndex, layer: typing.SupportsInt | typing.SupportsIndex, overlaps: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], start_deficits: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], atol: typing.SupportsFloat | typing.SupportsIndex = 1e-13, max_iter: typing.SupportsInt | typing.SupportsIndex = 20000, threads: typing.SupportsInt | typing.SupportsIndex = 0) -> dict[str, numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]]:
    """
    Saddle points with the teacher-student overlap of one layer imposed (layer -1: none), each from flat
    profiles: results (n_starts, n_overlaps, ...).
    """
def deep_perceptron_solve(depth: typing.SupportsInt | typing.SupportsIndex, load: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], replicas: typing.SupportsInt | typing.SupportsIndex, wall_width: typing.SupportsFloat | typing.SupportsIndex, wall_shift: typing.SupportsFloat | typing.SupportsIndex, start_neuron_deficit: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], start_bond_deficit: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], atol: typing.SupportsFloat | typing.SupportsIndex = 1e-13, max_iter: typing.SupportsInt | typing.SupportsIndex = 20000, threads: typing.SupportsInt | typing.SupportsIndex = 0) -> dict[str, numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]]:
    """
    Replica-symmetric saddle points of the deep perceptron network, one for each load (n_loads,), each
    from the same start, given as 1 - q (depth+1,) and 1 - Q (depth,).
    """
def deep_perceptron_solve_hierarchical(depth: typing.SupportsInt | typing.SupportsIndex, load: typing.SupportsFloat | typing.SupportsIndex, breakpoints: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], wall_width: typing.SupportsFloat | typing.SupportsIndex, wall_shift: typing.SupportsFloat | typing.SupportsIndex, start_neuron_deficit: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], start_bond_deficit: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], solid_layers: typing.SupportsInt | typing.SupportsIndex = -1, atol: typing.SupportsFloat | typing.SupportsIndex = 1e-08, max_iter: typing.SupportsInt | typing.SupportsIndex = 20000, threads: typing.SupportsInt | typing.SupportsIndex = 0) -> dict[str, numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]]:
    """
    Saddle point of the deep perceptron network with k = len(breakpoints) steps of replica symmetry
    breaking, random data, wetting branch; overlaps (layer, k+1).
    """
def deep_perceptron_sweep(depth: typing.SupportsInt | typing.SupportsIndex, load: typing.SupportsFloat | typing.SupportsIndex, breakpoints: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], wall_width: typing.SupportsFloat | typing.SupportsIndex, wall_shift: typing.SupportsFloat | typing.SupportsIndex, neuron_deficit: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], bond_deficit: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], *, jacobian: bool = False, repeats: typing.SupportsInt | typing.SupportsIndex = 1, threads: typing.SupportsInt | typing.SupportsIndex = 0) -> dict[str, numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]]:
    """
    One sweep of the k-step equations in u = -ln(1 - q): image (blocks, k+1), the blocks being the bonds
    and then the neurons of one half; free entropy, replicon and ds/dm at that point; dT/du of the solid blocks on request.
    """
def deep_perceptron_transition_loads(depth: typing.SupportsInt | typing.SupportsIndex, replicas: typing.SupportsInt | typing.SupportsIndex, wall_width: typing.SupportsFloat | typing.SupportsIndex, wall_shift: typing.SupportsFloat | typing.SupportsIndex, first: typing.SupportsInt | typing.SupportsIndex, last: typing.SupportsInt | typing.SupportsIndex, atol: typing.SupportsFloat | typing.SupportsIndex = 1e-13, max_iter: typing.SupportsInt | typing.SupportsIndex = 20000) -> dict[str, numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]]:
    """
    Loads at which layers first..last leave the liquid as the load grows.
    """
def deep_perceptron_wetting_loads(depth: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], replicas: typing.SupportsInt | typing.SupportsIndex, wall_width: typing.SupportsFloat | typing.SupportsIndex, wall_shift: typing.SupportsFloat | typing.SupportsIndex, atol: typing.SupportsFloat | typing.SupportsIndex = 1e-13, max_iter: typing.SupportsInt | typing.SupportsIndex = 200000, threads: typing.SupportsInt | typing.SupportsIndex = 0) -> numpy.typing.NDArray[numpy.float64]:
    """
    Load above which no liquid layer remains, for each depth (n,).
    """
def density_measure(panels: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], coefficients: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], positions: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], masses: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> Measure:
    """
    Legendre series of a density on panels, and atoms.
    """
def free_convolution(mu1: Measure, mu2: Measure, product: bool) -> Measure:
    """
    Law of the sum or product of free elements.
    """
def free_outliers(mu: Measure, other: Measure, spikes: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], product: bool) -> numpy.typing.NDArray[numpy.float64]:
    """
    Positions of outliers of mu in the sum or product; NaN where the bulk absorbs them.
    """
def free_power(mu: Measure, power: typing.SupportsFloat | typing.SupportsIndex, product: bool) -> Measure:
    """
    Free power of a measure.
    """
def gauss_hermite(n: typing.SupportsInt | typing.SupportsIndex) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    Nodes and weights with sum w f(x) = E f(z), z standard normal.
    
    Exact for polynomials of degree below 2 n; nodes increase, weights sum to 1.
    """
def gauss_legendre(n: typing.SupportsInt | typing.SupportsIndex, a: typing.SupportsFloat | typing.SupportsIndex = -1.0, b: typing.SupportsFloat | typing.SupportsIndex = 1.0) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    Nodes and weights for the integral over [a, b]; exact for polynomials of degree below 2 n.
    """
def in_forked_child() -> bool:
    """
    True in a process forked after this module was imported.
    """
def ising_moments(variance: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], replicas: typing.SupportsInt | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float64]:
    """
    Spin term, E tanh^2, E sech^2, E sech^4 and d E tanh^2 / d variance, (n, 5).
    """
def log_sum_exp(x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], weights: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None = None) -> float:
    """
    log sum_j weights_j exp(x_j), without overflow; -inf for an empty sum.
    """
def marchenko_pastur(ratio: typing.SupportsFloat | typing.SupportsIndex) -> Measure:
    """
    Law of Y Y^T/p, Y of shape (n, p) with unit variances, ratio = n/p.
    """
def mc_trajectory(bonds: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], momentum: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], inputs: typing.Annotated[numpy.typing.ArrayLike, numpy.int8], outputs: typing.Annotated[numpy.typing.ArrayLike, numpy.int8], beta: typing.SupportsFloat | typing.SupportsIndex, n_steps: typing.SupportsInt | typing.SupportsIndex, step: typing.SupportsFloat | typing.SupportsIndex) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    Geodesic leapfrog of the bonds of independent perceptrons (soft potential, spherical bonds).
    
    bonds, momentum (n_perceptrons, n_inputs), inputs (n_patterns, n_inputs), outputs (n_patterns, n_perceptrons).
    Gives bonds, momentum and the changes (n_perceptrons,) of beta E + |p|^2/2; calculates in single precision.
    """
def panel_rule(breaks: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], n_nodes: typing.SupportsInt | typing.SupportsIndex) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    Gauss-Legendre with n_nodes in each panel between consecutive breaks, an increasing array.
    """
def parallel_self_test(n: typing.SupportsInt | typing.SupportsIndex, threads: typing.SupportsInt | typing.SupportsIndex = 0, *, throw_at: typing.SupportsInt | typing.SupportsIndex = -1) -> float:
    """
    Sum of 1 / (1 + i) for i = 0 .. n-1; the same bits for any number of threads.
    
    From index ``throw_at`` on, if not negative, every term raises NumericalError; the one of ``throw_at`` arrives.
    """
def parisi_recursion(terminal: str, variance: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], breakpoints: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], *, deficit: typing.SupportsFloat | typing.SupportsIndex = 1.0, width: typing.SupportsFloat | typing.SupportsIndex = 0.0, shift: typing.SupportsFloat | typing.SupportsIndex = 0.0, outer_breakpoint: typing.SupportsFloat | typing.SupportsIndex = 0.0, resolution: typing.SupportsFloat | typing.SupportsIndex = 1.0, repeats: typing.SupportsInt | typing.SupportsIndex = 1) -> dict[str, typing.Any]:
    """
    The k-step recursion of one Gaussian-field term; see deepglass.reference.parisi_recursion.
    
    ``terminal`` is "wall" or "spin", ``variance`` (k+1,) the increments of the covariance, ``breakpoints`` (k,).
    ``repeats`` runs the kernel so many times with one workspace, for timing.
    """
def philox_block(counter: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(4)"], key: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"]) -> typing.Annotated[list[int], "FixedSize(4)"]:
    """
    The Philox4x32-10 bijection: 4 words of counter and 2 of key to 4 random words.
    """
def philox_normal(seed: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, offset: typing.SupportsInt | typing.SupportsIndex = 0) -> numpy.typing.NDArray[numpy.float64]:
    """
    Standard normals by Box and Muller; made of the same bits as the uniforms of the same number.
    """
def philox_sign(seed: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, offset: typing.SupportsInt | typing.SupportsIndex = 0) -> numpy.typing.NDArray[numpy.int8]:
    """
    Signs +1 and -1, as int8: one bit each.
    """
def philox_uniform(seed: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, offset: typing.SupportsInt | typing.SupportsIndex = 0) -> numpy.typing.NDArray[numpy.float64]:
    """
    Uniforms in (0, 1], of 53 bits: numbers offset .. offset + n - 1 of the stream.
    """
def philox_words(seed: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, offset: typing.SupportsInt | typing.SupportsIndex = 0) -> numpy.typing.NDArray[numpy.uint32]:
    """
    Random words of 32 bits.
    """
def planted_ising_moments(variance: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], mean: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    Spin term, q, 1 - q, r, 1 - r, E sech^4, E tanh sech^2 in the field N(mean, variance), (n, 7).
    """
def planted_wall_moments(variance: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], complement: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], covariance: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], teacher_complement: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], wall_width: typing.SupportsFloat | typing.SupportsIndex = 0.0, wall_shift: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> numpy.typing.NDArray[numpy.float64]:
    """
    W, g_S, g_T, E p f''^2, dg_S/dlambda_S, E p' f' f'', dg_T/dlambda_T beside a teacher, (n, 7).
    """
def semicircle(mean: typing.SupportsFloat | typing.SupportsIndex, variance: typing.SupportsFloat | typing.SupportsIndex) -> Measure:
    """
    Semicircle law.
    """
def sinh_rule(scale: typing.SupportsFloat | typing.SupportsIndex, left: typing.SupportsFloat | typing.SupportsIndex, right: typing.SupportsFloat | typing.SupportsIndex, dt: typing.SupportsFloat | typing.SupportsIndex) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    Trapezoidal rule on the graded nodes h_j = scale sinh(j dt) that cover [left, right].
    
    For integrands that vary on ``scale`` near 0 and have decayed at the ends.
    """
def slaved_forward(bonds: collections.abc.Sequence[numpy.typing.ArrayLike], inputs: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> list[numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]]:
    """
    Spins (n_patterns, N_l), l = 0 .. L, of a feed-forward network S[l] = sgn(J[l] S[l-1]), sgn(0) = +1;
    bonds are taken in single precision and not scaled, sums in double.
    """
def spin(seconds: typing.SupportsFloat | typing.SupportsIndex, threads: typing.SupportsInt | typing.SupportsIndex = 0, *, uneven: bool = False) -> int:
    """
    Keep ``threads`` threads busy for a time; gives the number of milliseconds worked.  Ctrl-C ends it.
    """
def thread_count(threads: typing.SupportsInt | typing.SupportsIndex = 0) -> int:
    """
    Number of threads that a request gets.
    
    ``threads = 0`` is the OpenMP default, which OMP_NUM_THREADS and threadpoolctl set.  Always 1 in a forked child
    and in a build without OpenMP.
    """
def vmath_erf(x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], out: numpy.typing.NDArray[numpy.float64] | None = None) -> numpy.typing.NDArray[numpy.float64]:
    """
    erf x = (2 / sqrt(pi)) int_0^x exp(-t^2) dt.
    """
def vmath_erfc(x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], out: numpy.typing.NDArray[numpy.float64] | None = None) -> numpy.typing.NDArray[numpy.float64]:
    """
    erfc x = 1 - erf x.
    """
def vmath_exp(x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], out: numpy.typing.NDArray[numpy.float64] | None = None) -> numpy.typing.NDArray[numpy.float64]:
    """
    e^x.
    """
def vmath_expm1(x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], out: numpy.typing.NDArray[numpy.float64] | None = None) -> numpy.typing.NDArray[numpy.float64]:
    """
    e^x - 1.
    """
def vmath_inverse_mills_ratio(x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], out: numpy.typing.NDArray[numpy.float64] | None = None) -> numpy.typing.NDArray[numpy.float64]:
    """
    R(x) = phi(x) / Phi(x) = (d/dx) ln Phi(x).
    """
def vmath_inverse_mills_ratio_slope(x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], out: numpy.typing.NDArray[numpy.float64] | None = None) -> numpy.typing.NDArray[numpy.float64]:
    """
    (d/dx) R(x) = -R (R + x).
    """
def vmath_log(x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], out: numpy.typing.NDArray[numpy.float64] | None = None) -> numpy.typing.NDArray[numpy.float64]:
    """
    ln x.
    """
def vmath_log1p(x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], out: numpy.typing.NDArray[numpy.float64] | None = None) -> numpy.typing.NDArray[numpy.float64]:
    """
    ln(1 + x).
    """
def vmath_log_2cosh(x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], out: numpy.typing.NDArray[numpy.float64] | None = None) -> numpy.typing.NDArray[numpy.float64]:
    """
    ln(2 cosh x).
    """
def vmath_log_normal_cdf(x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], out: numpy.typing.NDArray[numpy.float64] | None = None) -> numpy.typing.NDArray[numpy.float64]:
    """
    ln Phi(x).
    """
def vmath_log_normal_sf(x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], out: numpy.typing.NDArray[numpy.float64] | None = None) -> numpy.typing.NDArray[numpy.float64]:
    """
    ln Phi(-x).
    """
def vmath_normal_cdf(x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], out: numpy.typing.NDArray[numpy.float64] | None = None) -> numpy.typing.NDArray[numpy.float64]:
    """
    Phi(x), the distribution function of the standard normal law.
    """
def vmath_tanh(x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], out: numpy.typing.NDArray[numpy.float64] | None = None) -> numpy.typing.NDArray[numpy.float64]:
    """
    tanh x.
    """
def wall_moments(variance: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], complement: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], replicas: typing.SupportsInt | typing.SupportsIndex, wall_width: typing.SupportsFloat | typing.SupportsIndex = 0.0, wall_shift: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> numpy.typing.NDArray[numpy.float64]:
    """
    E f, E f'^2, E f''^2 and d E f'^2 / d variance of the perceptron wall, (n, 4).
    """
has_openmp: bool = True
isa: str = 'v3'
version: str = '0.1.0'
