"""Kernels in NumPy that use all cores and stay in cache; tests compare each with its twin in reference.py."""
