"""Kernels in NumPy that use all cores and stay in cache, each held against its readable twin in reference.py."""
