"""Convolution algorithms in NumPy: each treats one image, :mod:`per_image` spreads the images over the threads."""
