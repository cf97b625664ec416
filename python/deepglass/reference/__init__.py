"""The slow twins of the kernels: plain NumPy and SciPy, to be read next to the papers."""
