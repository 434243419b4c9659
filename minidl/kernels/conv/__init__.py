"""Convolution algorithms: several ways to the same numbers, each a plugin of the kind ``conv_algorithm``.

docs/convolution derives each of them, here and in :mod:`minidl.kernels.numpy.conv`, and builds it again in a few
lines. ``python -m minidl bench conv`` runs them all on one layer.
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
