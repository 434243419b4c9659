"""The layers. Images are (N, H, W, C); parameters are named w and b, as in the ops."""

from collections.abc import Callable
from typing import NoReturn

import numpy as np

from .. import changes, ops, plugins, random
from ..attributes import changed_options
from ..backends import is_writable
from ..creation import require_memory
from ..errors import DtypeError, MinidlError, ShapeError, brief, counted
from ..kernels.window import Padding, Pair, frozen, pair, pooling_window, require_images, sliding_window
from ..op import HALF, SINGLE
from ..ops.dropout import check_rate
from ..ops.norm import check_channels
from ..options import finite, integer, number, option, optional
from ..random import Generator
from ..tensor import Tensor
from . import functional as F
from . import init
from .init import Initializer
from .inputs import require_floats, require_tensor
from .module import Module
from .parameter import Parameter, Statistic


class _Weighted(Module):
    """A layer with weights ``w`` and a bias ``b`` (or None)."""

    w: Parameter
    b: Parameter | None

    def make(self, shape: tuple[int, ...], bias: bool, initializer: str | Initializer, rng: Generator | None) -> None:
        shape = frozen(shape)
        if any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in shape):
            raise ShapeError(f"sizes of a layer are integers >= 1, got {shape}", type(self).__name__)
        require_memory(shape)
        if not isinstance(bias, bool | np.bool_):
            raise MinidlError(
                f"expected bias=True or bias=False, got {brief(bias)}: an activation is a separate layer, such "
                "as nn.ReLU()",
                type(self).__name__,
            )
        self.w = Parameter(init.drawn(initializer, shape, random.chosen(rng)))
        self.b = Parameter(np.zeros(shape[-1:], np.float32)) if bias else None


def _without_bias(layer: _Weighted) -> str:
    return ", bias=False" if layer.b is None else ""


@plugins.register("layer", "dense")
class Dense(_Weighted):
    """y = x w + b for x (N, inputs): every output depends on every input. w is (inputs, outputs), b is (outputs,).

    >>> import minidl as md
    >>> Dense(3, 2)(md.tensor([[1.0, 2.0, 3.0]])).shape
    (1, 2)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: bool = True,
        initializer: str | Initializer = "he_normal",
        rng: Generator | None = None,
    ) -> None:
        super().__init__()
        self.make((inputs, outputs), bias, initializer, rng)

    def forward(self, x: Tensor) -> Tensor:
        require_floats(x)
        if x.ndim < 2 or x.shape[-1] != self.w.shape[0]:
            raise ShapeError(f"expected input (N, {self.w.shape[0]}), got {x.shape}. {self._hint(x)}")
        return F.linear(x, self.w, self.b)

    def _hint(self, x: Tensor) -> str:
        inputs, outputs = self.w.shape
        if x.ndim < 2:
            return "One sample needs a batch axis of size 1: use x.reshape(1, -1)."
        if x.size == inputs:
            return f"One sample needs a batch axis: x[None] before any Flatten(), or x.reshape(1, {inputs}) here."
        if x.ndim > 2 and len(x):
            return f"Put Flatten() before this layer and use Dense({x.size // len(x)}, {outputs})."
        return f"The previous layer outputs {counted(x.shape[-1], 'feature')}: use Dense({x.shape[-1]}, {outputs})."

    def describe(self) -> str:
        return f"{self.w.shape[0]}, {self.w.shape[1]}{_without_bias(self)}"


@plugins.register("layer", "conv2d")
class Conv2D(_Weighted):
    """A convolution with ``filters`` kernels; see :func:`minidl.nn.functional.conv2d`. w is (KH, KW, C_in, C_out).

    >>> import numpy as np, minidl as md
    >>> Conv2D(1, 8, kernel_size=3, padding="same")(md.tensor(np.ones((2, 5, 7, 1), np.float32))).shape
    (2, 5, 7, 8)
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Padding = 0,
        bias: bool = True,
        algorithm: str = "auto",
        initializer: str | Initializer = "he_normal",
        rng: Generator | None = None,
    ) -> None:
        super().__init__()
        if algorithm != "auto":
            plugins.get("conv_algorithm", algorithm)
        self.stride, self.padding, self.algorithm = frozen(stride), frozen(padding), algorithm
        KH, KW = pair(frozen(kernel_size), "the size of the kernel", least=1)
        # Raises now for a wrong stride or padding: an image of the kernel's size always fits.
        sliding_window(KH, KW, (KH, KW), self.stride, self.padding)
        self.make((KH, KW, channels, filters), bias, initializer, rng)

    def forward(self, x: Tensor) -> Tensor:
        require_floats(x)
        return F.conv2d(x, self.w, self.b, self.stride, self.padding, self.algorithm)

    def describe(self) -> str:
        KH, KW, channels, filters = self.w.shape
        options = f"stride={self.stride}, padding={self.padding!r}{_without_bias(self)}"
        if self.algorithm != "auto":
            options += f", algorithm={self.algorithm!r}"
        return f"{channels}, {filters}, kernel_size=({KH}, {KW}), {options}"


class _Pooling2D(Module):
    def __init__(self, size: Pair, stride: Pair | None = None, padding: Padding = 0) -> None:
        super().__init__()
        self.size, self.padding = frozen(size), frozen(padding)
        self.stride = self.size if stride is None else frozen(stride)
        KH, KW = pair(self.size, "the size of the window", least=1)
        # Raises now for a wrong stride or padding: an image of the window's size always fits.
        pooling_window(KH, KW, (KH, KW), self.stride, self.padding)

    def describe(self) -> str:
        return f"{self.size}, stride={self.stride}, padding={self.padding!r}"


@plugins.register("layer", "max_pooling2d")
class MaxPooling2D(_Pooling2D):
    """The maximum of each window; see :func:`minidl.nn.functional.max_pool2d`.

    >>> import numpy as np, minidl as md
    >>> MaxPooling2D(2)(md.tensor(np.ones((1, 5, 6, 3), np.float32))).shape
    (1, 2, 3, 3)
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.size, self.stride, self.padding)


@plugins.register("layer", "average_pooling2d")
class AveragePooling2D(_Pooling2D):
    """The mean of each window; see :func:`minidl.nn.functional.avg_pool2d`.

    >>> import numpy as np, minidl as md
    >>> AveragePooling2D(2)(md.tensor(np.ones((1, 5, 6, 3), np.float32))).shape
    (1, 2, 3, 3)
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.size, self.stride, self.padding)


@plugins.register("layer", "global_average_pooling2d")
class GlobalAveragePooling2D(Module):
    """The mean of each channel over the whole image: (N, H, W, C) becomes (N, C).

    Raises :class:`ShapeError` for other shapes.

    >>> import numpy as np, minidl as md
    >>> GlobalAveragePooling2D()(md.tensor(np.ones((1, 5, 6, 3), np.float32)))
    tensor([[1., 1., 1.]])
    """

    def forward(self, x: Tensor) -> Tensor:
        require_tensor(x)
        require_images(x.shape)
        return x.mean(axis=(1, 2))


class _Function(Module):
    """A layer without parameters that applies a function."""

    function: Callable[..., Tensor]

    def forward(self, x: Tensor) -> Tensor:
        return type(self).function(x)


@plugins.register("layer", "relu")
class ReLU(_Function):
    """max(x, 0).

    >>> ReLU()(Tensor(np.array([-1.0, 2.0]))).numpy()
    array([0., 2.])
    """

    function = staticmethod(F.relu)


@plugins.register("layer", "sigmoid")
class Sigmoid(_Function):
    """1 / (1 + e^-x).

    >>> Sigmoid()(Tensor(np.array([0.0, 1e4]))).numpy()
    array([0.5, 1. ])
    """

    function = staticmethod(F.sigmoid)


@plugins.register("layer", "tanh")
class Tanh(_Function):
    """The hyperbolic tangent.

    >>> Tanh()(Tensor(np.array([0.0, 1e4]))).numpy()
    array([0., 1.])
    """

    function = staticmethod(F.tanh)


@plugins.register("layer", "flatten")
class Flatten(_Function):
    """(N, ...) becomes (N, features).

    >>> Flatten()(Tensor(np.array([[[1.0, 2.0], [3.0, 4.0]]]))).shape
    (1, 4)
    """

    function = staticmethod(F.flatten)


@plugins.register("layer", "leaky_relu")
class LeakyReLU(Module):
    """x where positive, else slope x.

    >>> LeakyReLU(0.5)(Tensor(np.array([-1.0, 2.0]))).numpy()
    array([-0.5,  2. ])
    """

    slope: float = option(finite)

    def __init__(self, slope: float = 0.01) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.slope)


@plugins.register("layer", "softmax")
class Softmax(Module):
    """e^x / sum of e^x along an axis: probabilities for display.

    The loss :class:`minidl.nn.SoftmaxCrossEntropy` takes logits instead.

    >>> Softmax()(Tensor(np.array([[0.0, 0.0], [0.0, 1e4]]))).numpy()
    array([[0.5, 0.5],
           [0. , 1. ]])
    """

    axis: int = option(integer)

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(x, self.axis)

    def describe(self) -> str:
        return f"axis={self.axis}"


@plugins.register("layer", "dropout")
class Dropout(Module):
    """In training, sets each element to 0 with probability ``rate`` and scales up the others; else the identity.

    Srivastava et al., "Dropout" (2014). Raises :class:`minidl.errors.MinidlError` unless 0 <= rate < 1.

    >>> import minidl as md
    >>> Dropout(0.5).eval()(md.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """

    rate: float = option(lambda _name, rate: check_rate(rate))
    rng: Generator | None = option(optional(lambda _name, rng: random.chosen(rng)))

    def __init__(self, rate: float = 0.5, rng: Generator | None = None) -> None:
        super().__init__()
        self.rate, self.rng = rate, rng

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.rate, self.training, self.rng)

    def describe(self) -> str:
        return f"{self.rate}"


@plugins.register("layer", "batch_norm")
class BatchNorm(Module):
    """Normalises each channel (the last axis) to mean ``beta`` and standard deviation ``gamma``, which are learned.

    Training uses the statistics of the batch, evaluation their running averages. Each training step updates these to
    momentum * average + (1 - momentum) * batch statistic, like Keras; PyTorch's momentum=0.1 is momentum=0.9 here.

    In a float16 model the averages are float32. In both modes inputs have the dtype of ``gamma``, or are integers.

    Ioffe and Szegedy, "Batch Normalization" (2015). For x (N, ..., C); raises :class:`ShapeError` for other shapes.

    >>> import minidl as md
    >>> BatchNorm(1, eps=0.0)(md.tensor([[1.0], [3.0]])).detach()
    tensor([[-1.],
            [ 1.]])
    """

    momentum: float = option(number, ">= 0", "<= 1")
    eps: float = option(number, ">= 0")

    def __init__(self, channels: int, *, momentum: float = 0.99, eps: float = 1e-3) -> None:
        super().__init__()
        channels = integer("channels", channels, least=1)
        require_memory((channels,))
        self.momentum, self.eps = momentum, eps
        self.gamma = Parameter(np.ones(channels, np.float32))
        self.beta = Parameter(np.zeros(channels, np.float32))
        self.mean = Statistic(np.zeros(channels, np.float32))
        self.var = Statistic(np.ones(channels, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        require_tensor(x)
        check_channels(x, self.gamma, self.beta, least=int(self.training))
        mean, var, shape = self.mean.data, self.var.data, self.gamma.data.shape
        is_fixed = self.training and not (is_writable(mean) and is_writable(var))
        if is_fixed or mean.shape != shape or var.shape != shape:
            self._refuse_statistics()
        x = self._in_own_dtype(x)
        if self.training:
            if x.size == x.shape[-1]:
                raise ShapeError(
                    f"expected more than one value per channel in training, got {x.shape}: a single value has "
                    "no variance. Use model.eval() to predict, DataLoader(..., drop_last=True) to train."
                )
            op = ops.BatchNorm(self.eps)
            y = op(x, self.gamma, self.beta)
            for running, new in ((mean, op.mean), (var, op.var)):
                running[...] = running * self.momentum + new * (1 - self.momentum)
            changes.mark(mean, var)
            return y
        if self.gamma.dtype == HALF:  # the statistics are float32, and may exceed its range
            wide, gamma, beta = (part.astype(SINGLE) for part in (x, self.gamma, self.beta))
            return self._normalized(wide, gamma, beta).astype(HALF)
        return self._normalized(x, self.gamma, self.beta)

    def _refuse_statistics(self) -> NoReturn:
        for running in (self.mean, self.var):
            if running.shape != self.gamma.shape:
                raise ShapeError(
                    f"{running.name} has the shape {running.shape}, expected that of gamma, {self.gamma.shape}"
                )
        fixed = self.var if is_writable(self.mean.data) else self.mean
        raise MinidlError(
            f"the data of {fixed.name} are read-only, and training changes them in place: set x.data = x.data.copy()"
        )

    def _in_own_dtype(self, x: Tensor) -> Tensor:
        """The input in the dtype of ``gamma``: integers are converted, other float dtypes raise an error."""
        dtype = self.gamma.dtype
        if x.dtype.kind != "f":
            return x.astype(dtype)
        if x.dtype.type is not dtype.type:
            raise DtypeError(
                f"the inputs have different dtypes, {x.dtype} {x.shape} and {dtype} of the layer: "
                "convert one with astype(...)"
            )
        return x

    def _normalized(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return (x - self.mean) / (self.var + self.eps).sqrt() * gamma + beta

    def describe(self) -> str:
        return ", ".join([f"{self.gamma.shape[0]}", *changed_options(self)])
