"""minidl: deep learning in pure NumPy and CuPy, with a core that can be read in an evening."""

from . import interrupt  # isort: skip - first: Ctrl-C may come while the others are imported
from . import backends, callbacks, data, habits, nn, optim, plugins
from .backends.choice import using
from .checkpoint import load, save
from .creation import arange, from_numpy, ones, randn, zeros
from .nn import summary
from .op import Op
from .profiler import Profiler, profile
from .random import Generator, seed
from .record import record as _record  # noqa: F401 - lets ops take tensors
from .tensor import Tensor, no_grad, tensor
from .threads import get_num_threads, set_num_threads
from .train import Callback, Trainer

__version__ = "0.1.0"

__all__ = [
    "Tensor",
    "tensor",
    "from_numpy",
    "zeros",
    "ones",
    "randn",
    "arange",
    "no_grad",
    "Op",
    "seed",
    "Generator",
    "using",
    "nn",
    "optim",
    "data",
    "Trainer",
    "Callback",
    "callbacks",
    "save",
    "load",
    "summary",
    "profile",
    "Profiler",
    "plugins",
    "backends",
    "get_num_threads",
    "set_num_threads",
]

habits.answer_in(
    "minidl",
    "minidl.backends",
    "minidl.random",
    "minidl.train",
    "minidl.nn",
    "minidl.nn.functional",
    "minidl.nn.init",
    "minidl.optim",
    "minidl.data",
    "minidl.callbacks",
)
habits.answer_imports()
interrupt.imported()
