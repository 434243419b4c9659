"""Kernels for the CuPy backend: CUDA C++ (``*.cu``, NHWC) and the Python beside it that launches them."""
