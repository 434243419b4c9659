"""Convolution algorithms: several ways to the same numbers, each a plugin of the kind ``conv_algorithm``."""

from .algorithm import ConvAlgorithm, ConvSpec, choose, fusion_allowed, using
from .direct import Direct

__all__ = ["ConvAlgorithm", "ConvSpec", "Direct", "choose", "fusion_allowed", "using"]
