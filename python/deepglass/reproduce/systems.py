"""What the talks describe: each system, where `deepglass reproduce` shows it, and how it was checked."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SYSTEMS", "TALKS", "System"]

TALKS = {
    "Yoshino": "H. Yoshino, Anatomy of deep neural networks by statistical mechanics (Butsuri 76, 2021)",
    "Mori": "T. Mori, On the puzzle of generalisation in deep learning (2020)",
    "Karakida": "R. Karakida, Mathematics of deep learning: random matrices and statistical mechanics (2020)",
    "Niino": "Y. Niino, Deep learning and physics (2024)",
}


class System(NamedTuple):
    """One system of a talk."""

    what: str
    talk: str  # a key of TALKS
    shown: tuple[str, ...]  # items, or figures of them as "item/figure"
    checked: str
    missing: str = ""  # what of it is not reproduced, and why


SYSTEMS = (
    System(
        "Deep perceptron network, random data: order parameters of neurons and bonds layer by layer",
        "Yoshino",
        (
            "wetting/figure_4a_random_data",
            "wetting/figure_4a_replica_symmetry_breaking",
            "wetting/figure_5_load_50",
            "wetting/figure_5_load_70_frozen",
            "wetting/figure_5_load_4000",
        ),
        "independent program of the specification, Ruelle cascades, stationary breakpoints by two routes",
    ),
    System(
        "The same with a teacher; Franz-Parisi potential",
        "Yoshino",
        ("wetting/figure_4b_teacher_student", "wetting/franz_parisi"),
        "Nishimori line: potential at equal overlaps equals the equilibrium to 1e-13",
    ),
    System(
        "First transition, successive transitions of the layers, capacity of deep networks",
        "Yoshino",
        (
            "wetting/transition_loads",
            "wetting/shifted_wall",
            "wetting/transition_loads_with_steps",
            "wetting/phases",
        ),
        "closed form pi^2/4 of the first, limits of large depth, k-step solutions",
    ),
    System(
        "Hierarchical clusters of solutions, layer by layer",
        "Yoshino",
        ("wetting/figure_6_clusters",),
        "Ghirlanda-Guerra identities and the Poisson-Dirichlet law of the drawn weights",
    ),
    System(
        "Single perceptron: Gardner volume, learning, jamming",
        "Yoshino",
        ("perceptron",),
        "capacities in closed form, scaling relations of jamming, message passing on single data sets, Monte Carlo",
    ),
    System(
        "Learning dynamics of networks of finite width: relaxation of each layer, data added step by step",
        "Yoshino",
        ("dynamics/dynamics", "dynamics/waiting_times", "dynamics/step_by_step", "dynamics/silent_layers"),
        "enumeration of tiny networks, transfer matrix of two patterns, planted identity, histogram slopes",
    ),
    System(
        "Limited connectivity",
        "Yoshino",
        ("dynamics/limited_connectivity",),
        "networks without loops, solved for each connectivity; enumeration; the twin program",
    ),
    System(
        "Teachers of small effective dimension: hidden manifold",
        "Yoshino, Mori",
        ("teacher-student",),
        "theory of one layer, an independent program, students that start as their teachers",
    ),
    System(
        "Labels that depend on few or all inputs: depth, width and rate",
        "Mori",
        ("depth-locality/depth_locality",),
        "plain PyTorch, errors of another program, 1-local = 1-global, chance where a kernel is blind",
    ),
    System(
        "Lazy training against feature learning, kernel limit",
        "Mori",
        ("lazy-feature",),
        "regression with the tangent kernel at great width, a network of four units written down",
    ),
    System(
        "Temperature of Gaussian chains",
        "Mori",
        ("depth-locality/depth_locality", "temperature"),
        "Bayes errors by Imhof's integral and by sampling",
    ),
    System(
        "Double descent, bias and variance",
        "Mori",
        ("double-descent",),
        "exact risk of least squares, the kernel of infinitely many features",
    ),
    System(
        "Jamming of networks and motion above and below it",
        "Mori",
        ("jamming",),
        "loads far below and far above the transition, where the end is known; soft spheres, whose contacts jump to "
        "the isostatic number",
    ),
    System(
        "Intrinsic dimension of data",
        "Mori",
        ("dimension",),
        "manifolds of known dimension, scikit-dimension",
        "CIFAR-10, for want of the data",
    ),
    System(
        "Gradient descent with enhanced noise",
        "Mori",
        ("depth-locality/noise",),
        "factor of the covariance over many epochs, smaller minibatches with the same covariance",
    ),
    System(
        "Order and chaos, fixed points, depth scales; recurrent networks",
        "Karakida",
        ("phase-diagram",),
        "closed forms of relu and erf, quadrature of high order, networks of finite width",
    ),
    System(
        "Gradients through depth, trainability",
        "Karakida",
        ("trainability",),
        "depth scales of the mean-field theory, exact gradients of the same networks",
    ),
    System(
        "Dynamical isometry: spectra of the Jacobian",
        "Karakida",
        ("isometry/singular_values", "isometry/depth", "isometry/convolution", "trainability/deep"),
        "closed forms, moments, networks of finite width, fully connected and convolutional",
        "training a convolutional network of 10,000 layers (hours); fully connected ones of 1000 are trained",
    ),
    System(
        "Fisher information: mean, largest eigenvalues, learning rates",
        "Karakida",
        ("fisher/largest_eigenvalue", "fisher/learning_rate"),
        "random networks with error bars, networks trained on images",
    ),
    System(
        "Normalisation in the last and in middle layers",
        "Karakida",
        ("fisher/largest_eigenvalue", "fisher/learning_rate"),
        "exponents of the width by simulation, bounds, trained networks",
    ),
    System(
        "Fisher information of the cross entropy",
        "Karakida",
        ("fisher/largest_eigenvalue",),
        "random networks; C - 1 large eigenvalues, not C",
    ),
    System(
        "Spectra of the conjugate and the tangent kernel",
        "Karakida",
        ("kernel-spectra",),
        "simulation, moments, an independent program",
    ),
    System(
        "Fisher information of one input; online learning",
        "Karakida",
        ("isometry/conditional_fisher", "fisher/online"),
        "simulation with error bars, moments, networks trained on one image a step",
    ),
    System(
        "Tangent kernel: dynamics of wide networks, regression",
        "Karakida",
        ("ntk/training", "ntk/smallest_eigenvalue"),
        "networks trained by gradient flow, exponents of the width; limits of great depth",
    ),
    System(
        "Natural gradient and its approximations",
        "Karakida",
        ("natural-gradient/trajectories", "natural-gradient/generalisation"),
        "dense metrics of small networks, ranks, networks trained themselves",
    ),
    System(
        "Random landscapes: saddles, logarithmic drift",
        "Karakida",
        ("landscape/index", "landscape/drift"),
        "index and complexity in closed form, limits of Sinai's walk, exact diffusion",
    ),
    System(
        "Risk of ridge regression with deep random features and tangent kernels",
        "Karakida",
        ("ntk/ridge_risk",),
        "closed forms of no and of one hidden layer, a chain of effective ridges, simulated networks",
    ),
    System(
        "Optimised paths of one variable",
        "Niino",
        ("sign-problem/one_variable",),
        "closed forms, quadrature, saddles and thimbles",
    ),
    System(
        "Complex phi^4 at finite density: average phase, density, cost",
        "Niino",
        (
            "sign-problem/average_phase",
            "sign-problem/density",
            "sign-problem/sample_cost",
            "sign-problem/volume",
        ),
        "transfer matrices, flux representation, integration over the chemical potential",
    ),
    System(
        "What networks learn from spin configurations",
        "Niino",
        ("temperature/temperature", "temperature/units"),
        "exact partition functions of the ring and of lattices, exact Bayes accuracies; networks beside answers from "
        "the energy or from the order parameter alone, and beside their initial weights",
    ),
    System(
        "Beyond the talks: mean-field spin glasses, by which the solvers are judged",
        "Yoshino",
        ("parisi",),
        "literature, an independent solver, sequences of steps, thermodynamic derivatives",
    ),
)
