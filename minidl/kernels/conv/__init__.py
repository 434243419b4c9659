"""Convolution algorithms: several ways to the same numbers, each a plugin of the kind ``conv_algorithm``."""

from .algorithm import ConvAlgorithm, ConvSpec, choose, using
from .direct import Direct
from .im2col import Im2col

__all__ = ["ConvAlgorithm", "ConvSpec", "Direct", "Im2col", "choose", "using"]
