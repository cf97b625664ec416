"""What users would write themselves, in NumPy, Numba and JAX: the yardsticks of the benches, to be read."""
