"""Convolution algorithms in NumPy: each treats a few images, :mod:`per_chunk` spreads the images over the threads."""
