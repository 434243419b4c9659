"""Tools that prove gradients and plugins right."""

from .gradcheck import GradcheckResult, GradientError, gradcheck

__all__ = ["GradcheckResult", "GradientError", "gradcheck"]
