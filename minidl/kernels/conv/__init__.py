"""Convolution algorithms: several ways to the same numbers, each a plugin of the kind ``conv_algorithm``."""

from .algorithm import ConvAlgorithm, ConvSpec, choose, choose_pooled, fusion_allowed, using
from .direct import Direct
from .fft import FFT
from .winograd2d import Winograd2D

__all__ = [
    "FFT",
    "ConvAlgorithm",
    "ConvSpec",
    "Direct",
    "Winograd2D",
    "choose",
    "choose_pooled",
    "fusion_allowed",
    "using",
]
