"""Convolution algorithms in NumPy: each computes a few images, and :mod:`per_chunk` distributes them over threads."""
