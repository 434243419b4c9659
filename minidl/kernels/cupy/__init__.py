"""Kernels for the CuPy backend: CUDA C++ (``*.cu``, NHWC) and the Python modules that launch them."""
