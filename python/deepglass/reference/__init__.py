"""The slow twins of the kernels, in plain NumPy and SciPy, to be read next to the papers."""
