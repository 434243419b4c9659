"""Convolution algorithms: several ways to the same result, each a plugin of the kind ``conv_algorithm``.

docs/convolution derives each algorithm of this package and of :mod:`minidl.kernels.numpy.conv`, and implements it again
in a few lines. ``python -m minidl bench conv`` runs them all on one layer.
"""

from .algorithm import ConvAlgorithm, ConvSpec, Pooled
from .direct import Direct
from .fft import FFT
from .winograd2d import Winograd2D

__all__ = [
    "FFT",
    "ConvAlgorithm",
    "ConvSpec",
    "Direct",
    "Pooled",
    "Winograd2D",
]
