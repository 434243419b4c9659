"""ONNX's operators in terms of minidl. Images are (N, C, H, W) there and (N, H, W, C) here.

Each function takes the attributes of a node and its inputs, arrays or None, and returns the outputs. It raises
:class:`Excluded`, with the reason, for what minidl lacks.
"""

import functools
import itertools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

import minidl as md
from minidl import nn, optim

F = nn.functional
Attributes = dict[str, Any]
Operator = Callable[..., Any]
OPERATORS: dict[str, Operator] = {}


class Excluded(Exception):  # noqa: N818 - a reason, no error
    """Raised for a vector that needs something that minidl lacks."""


def onnx(name: str) -> Callable[[Operator], Operator]:
    """A decorator that registers a function as an operator of ONNX."""

    def decorate(function: Operator) -> Operator:
        OPERATORS[name] = function
        return function

    return decorate


def tensor(array: Any) -> md.Tensor:
    """An input as a tensor."""
    if array.dtype.kind not in "fiub":
        raise Excluded(f"dtype {array.dtype}")
    return md.tensor(array)


def kept(y: md.Tensor, x: Any) -> md.Tensor:
    """The output in the dtype of an input, where ONNX keeps integers and minidl converts to float."""
    return y.astype(x.dtype) if x.dtype.kind in "iu" and y.dtype.kind == "f" else y


def require(condition: bool, reason: str) -> None:
    """Exclude a vector unless a condition is true."""
    if not condition:
        raise Excluded(reason)


def channels_last(x: Any) -> Any:
    """(N, C, H, W) as (N, H, W, C)."""
    require(x.ndim == 4, f"images with {x.ndim - 2} axes: minidl's have two")
    return np.moveaxis(x, 1, -1)


def channels_first(y: md.Tensor) -> Any:
    """(N, H, W, C) as (N, C, H, W)."""
    return np.moveaxis(y.numpy(), -1, 1)


# Elementwise ops, reductions

UNARY: dict[str, Operator] = {
    "Abs": F.abs,
    "Neg": operator.neg,
    "Exp": F.exp,
    "Log": F.log,
    "Sqrt": F.sqrt,
    "Relu": F.relu,
    "Sigmoid": F.sigmoid,
    "Tanh": F.tanh,
    "Reciprocal": lambda x: 1 / x,
    "Identity": md.Tensor.clone,
}
BINARY: dict[str, Operator] = {
    "MatMul": operator.matmul,
    "Less": operator.lt,
    "LessOrEqual": operator.le,
    "Greater": operator.gt,
    "GreaterOrEqual": operator.ge,
    "Equal": operator.eq,
}
ARITHMETIC: dict[str, Operator] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
}
VARIADIC: dict[str, Operator] = {
    "Max": F.maximum,
    "Min": F.minimum,
    "Sum": operator.add,
}
REDUCTIONS = {"ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "max", "ReduceMin": "min"}

for name, call in UNARY.items():
    onnx(name)(lambda attributes, x, call=call: call(tensor(x)))
for name, call in BINARY.items():
    onnx(name)(lambda attributes, a, b, call=call: call(tensor(a), tensor(b)))
for name, call in ARITHMETIC.items():
    onnx(name)(lambda attributes, a, b, call=call: kept(call(tensor(a), tensor(b)), a))
for name, call in VARIADIC.items():
    onnx(name)(lambda attributes, *xs, call=call: functools.reduce(call, map(tensor, xs)))


def reduction(method: str, attributes: Attributes, x: Any, axes: Any = None) -> md.Tensor:
    axes = attributes.get("axes") if axes is None else axes
    if axes is None or len(axes) == 0:
        if attributes.get("noop_with_empty_axes", 0):
            return tensor(x)
        axes = range(x.ndim)
    require(all(x.shape[axis] for axis in axes), "a reduction of nothing, which is an error here")
    y: md.Tensor = getattr(tensor(x), method)(
        axis=tuple(int(axis) for axis in axes), keepdims=bool(attributes.get("keepdims", 1))
    )
    return y


for name, method in REDUCTIONS.items():
    onnx(name)(functools.partial(reduction, method))


@onnx("Div")
def div(attributes: Attributes, a: Any, b: Any) -> md.Tensor:
    require(a.dtype.kind == "f", "integers that stay whole, where / gives a fraction here")
    return tensor(a) / tensor(b)


@onnx("Pow")
def pow_(attributes: Attributes, x: Any, p: Any) -> md.Tensor:
    require(x.dtype.kind == "f" or p.dtype.kind != "f", "integers to a power with a fraction, rounded down")
    return kept(tensor(x) ** tensor(p), x)


@onnx("Mean")
def mean(attributes: Attributes, *xs: Any) -> md.Tensor:
    total: md.Tensor = functools.reduce(operator.add, map(tensor, xs))
    return total / len(xs)


@onnx("LeakyRelu")
def leaky_relu(attributes: Attributes, x: Any) -> md.Tensor:
    return F.leaky_relu(tensor(x), attributes.get("alpha", 0.01))


@onnx("Clip")
def clip(attributes: Attributes, x: Any, low: Any = None, high: Any = None) -> md.Tensor:
    require(low is None or high is None or low <= high, "a lower bound above the upper one")
    return F.clip(tensor(x), *(None if bound is None else bound.item() for bound in (low, high)))


@onnx("Where")
def where(attributes: Attributes, condition: Any, a: Any, b: Any) -> md.Tensor:
    return F.where(condition, tensor(a), tensor(b))


@onnx("Cast")
def cast(attributes: Attributes, x: Any) -> md.Tensor:
    from onnx import helper

    to = helper.tensor_dtype_to_np_dtype(attributes["to"])
    require({str(to), str(x.dtype)} <= {"float32", "float64"}, "a dtype other than float32 and float64")
    return tensor(x).astype(to)


# Shapes


@onnx("Reshape")
def reshape(attributes: Attributes, x: Any, shape: Any) -> md.Tensor:
    keeps = not attributes.get("allowzero", 0)
    return tensor(x).reshape([x.shape[i] if size == 0 and keeps else int(size) for i, size in enumerate(shape)])


@onnx("Flatten")
def flatten(attributes: Attributes, x: Any) -> md.Tensor:
    axis = attributes.get("axis", 1)
    return tensor(x).reshape(int(np.prod(x.shape[:axis])), -1)


@onnx("Squeeze")
def squeeze(attributes: Attributes, x: Any, axes: Any = None) -> md.Tensor:
    return tensor(x).reshape(np.squeeze(x, None if axes is None else tuple(axes)).shape)


@onnx("Unsqueeze")
def unsqueeze(attributes: Attributes, x: Any, axes: Any) -> md.Tensor:
    return tensor(x).reshape(np.expand_dims(x, tuple(axes)).shape)


@onnx("Transpose")
def transpose(attributes: Attributes, x: Any) -> md.Tensor:
    return tensor(x).transpose(*attributes.get("perm", range(x.ndim)[::-1]))


@onnx("Expand")
def expand(attributes: Attributes, x: Any, shape: Any) -> md.Tensor:
    return F.broadcast_to(tensor(x), np.broadcast_shapes(x.shape, tuple(shape)))


@onnx("Concat")
def concat(attributes: Attributes, *xs: Any) -> md.Tensor:
    return F.concatenate([tensor(x) for x in xs], axis=attributes["axis"])


@onnx("Slice")
def slice_(attributes: Attributes, x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> md.Tensor:
    index = [slice(None)] * x.ndim
    steps = np.ones_like(starts) if steps is None else steps
    for axis, *bounds in zip(range(len(starts)) if axes is None else axes, starts, ends, steps, strict=True):
        index[axis] = slice(*map(int, bounds))
    return tensor(x)[tuple(index)]


@onnx("Split")
def split(attributes: Attributes, x: Any, sizes: Any = None) -> list[md.Tensor]:
    axis = attributes.get("axis", 0)
    if sizes is None:
        count = attributes["outputs"]
        size = -(-x.shape[axis] // count)
        sizes = [size] * (count - 1) + [x.shape[axis] - size * (count - 1)]
    bounds = np.cumsum([0, *sizes])
    before = (slice(None),) * (axis % x.ndim)
    return [tensor(x)[(*before, slice(*pair))] for pair in itertools.pairwise(bounds)]


@onnx("Gather")
def gather(attributes: Attributes, x: Any, indices: Any) -> md.Tensor:
    return tensor(x)[(*(slice(None),) * (attributes.get("axis", 0) % x.ndim), indices)]


@onnx("Pad")
def pad(attributes: Attributes, x: Any, pads: Any, value: Any = None, axes: Any = None) -> md.Tensor:
    mode = attributes.get("mode", b"constant").decode()
    require(mode == "constant", f"padding by '{mode}'")
    widths = [(0, 0)] * x.ndim
    axes = range(x.ndim) if axes is None else axes
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        widths[axis] = (int(before), int(after))
    require(min(map(min, widths)) >= 0, "negative padding")
    return F.pad(tensor(x), tuple(widths), value=0.0 if value is None else value.item())


@onnx("Gemm")
def gemm(attributes: Attributes, a: Any, b: Any, c: Any = None) -> md.Tensor:
    left, right = tensor(a), tensor(b)
    left = left.transpose() if attributes.get("transA", 0) else left
    right = right.transpose() if attributes.get("transB", 0) else right
    y = left @ right * attributes.get("alpha", 1.0)
    return y if c is None else y + tensor(c) * attributes.get("beta", 1.0)


# Images


def window(attributes: Attributes, x: Any, kernel: Any) -> dict[str, Any]:
    """Stride and padding of a node for an image (N, C, H, W)."""
    require(x.ndim == 4, f"images with {x.ndim - 2} axes: minidl's have two")
    require(set(attributes.get("dilations", [1])) == {1}, "dilated kernels")
    require(not attributes.get("ceil_mode", 0), "output sizes rounded up")
    strides = tuple(attributes.get("strides", (1, 1)))
    auto = attributes.get("auto_pad", b"NOTSET").decode()
    if auto == "SAME_LOWER":
        missing = [
            max((-(-size // stride) - 1) * stride + k - size, 0)
            for size, stride, k in zip(x.shape[2:], strides, kernel, strict=True)
        ]
        padding: Any = tuple((total - total // 2, total // 2) for total in missing)
    elif auto == "SAME_UPPER":
        padding = "same"
    else:
        top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0)) if auto == "NOTSET" else (0, 0, 0, 0)
        padding = ((top, bottom), (left, right))
    return {"stride": strides, "padding": padding}


@onnx("Conv")
def conv(attributes: Attributes, x: Any, w: Any, b: Any = None) -> Any:
    require(attributes.get("group", 1) == 1, "convolutions in groups")
    weights = tensor(w.transpose(2, 3, 1, 0))
    options = window(attributes, x, w.shape[2:])
    return channels_first(F.conv2d(tensor(channels_last(x)), weights, None if b is None else tensor(b), **options))


@onnx("MaxPool")
def max_pool(attributes: Attributes, x: Any) -> Any:
    size = tuple(attributes["kernel_shape"])
    return channels_first(kept(F.max_pool2d(tensor(channels_last(x)), size, **window(attributes, x, size)), x))


@onnx("AveragePool")
def average_pool(attributes: Attributes, x: Any) -> Any:
    size, options = tuple(attributes["kernel_shape"]), window(attributes, x, attributes["kernel_shape"])
    images = tensor(channels_last(x))
    if attributes.get("count_include_pad", 0) and isinstance(options["padding"], tuple):
        images = F.pad(images, ((0, 0), *options["padding"], (0, 0)))
        options["padding"] = 0
    return channels_first(F.avg_pool2d(images, size, **options))


@onnx("GlobalAveragePool")
def global_average_pool(attributes: Attributes, x: Any) -> md.Tensor:
    return tensor(x).mean(axis=tuple(range(2, x.ndim)), keepdims=True)


@onnx("BatchNormalization")
def batch_normalization(attributes: Attributes, x: Any, gamma: Any, beta: Any, mean: Any, var: Any) -> list[Any]:
    training = bool(attributes.get("training_mode", 0))
    layer = nn.BatchNorm(
        len(gamma), momentum=attributes.get("momentum", 0.9), eps=attributes.get("epsilon", 1e-5)
    ).train(training)
    layer.load_state_dict({"gamma": gamma, "beta": beta, "mean": mean, "var": var})
    y = channels_first(layer(tensor(channels_last(x))))
    return [y, layer.mean, layer.var] if training else [y]


@onnx("Dropout")
def dropout(attributes: Attributes, x: Any, ratio: Any = None, training: Any = None) -> list[Any]:
    share = 0.5 if ratio is None else ratio.item()
    drops = training is not None and bool(training) and share > 0
    require(not drops, "random numbers of another generator")
    y = F.dropout(tensor(x), share, training=False)
    return [y, np.ones(x.shape, bool)]


# Probabilities and training


@onnx("Softmax")
def softmax(attributes: Attributes, x: Any) -> md.Tensor:
    return F.softmax(tensor(x), axis=attributes.get("axis", -1))


@onnx("LogSoftmax")
def log_softmax(attributes: Attributes, x: Any) -> md.Tensor:
    return F.log_softmax(tensor(x), axis=attributes.get("axis", -1))


@onnx("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy(attributes: Attributes, scores: Any, labels: Any, weights: Any = None) -> list[md.Tensor]:
    how = attributes.get("reduction", b"mean").decode()
    require(weights is None, "weights for classes")
    require("ignore_index" not in attributes, "labels to ignore")
    require(how != "none", "losses without a mean")
    logits = tensor(np.moveaxis(scores, 1, -1).reshape(-1, scores.shape[1]))
    loss = F.softmax_cross_entropy(logits, labels.reshape(-1))
    return [loss * labels.size if how == "sum" else loss, F.log_softmax(tensor(scores), axis=1)]


@onnx("Momentum")
def momentum(attributes: Attributes, lr: Any, step: Any, *arrays: Any) -> list[Any]:
    require(step == 0 or attributes["beta"] == 1, "a dampened gradient")

    def make(parameters: list[nn.Parameter]) -> optim.Optimizer:
        nesterov = attributes["mode"] == b"nesterov"
        decay = attributes["norm_coefficient"]
        return optim.SGD(parameters, lr.item(), attributes["alpha"], nesterov, weight_decay=decay)

    return _train(make, arrays, ["velocity"])


@onnx("Adam")
def adam(attributes: Attributes, lr: Any, step: Any, *arrays: Any) -> list[Any]:
    require(not attributes.get("norm_coefficient_post", 0.0), "decay after the step")
    decay, count = attributes.get("norm_coefficient", 0.0), len(arrays) // 4
    xs, gradients = arrays[:count], arrays[count : 2 * count]
    gradients = tuple(g + decay * x for g, x in zip(gradients, xs, strict=True))
    betas = attributes.get("alpha", 0.9), attributes.get("beta", 0.999)
    # ONNX leaves the bias uncorrected at its step 0; the correction is 1 after many steps.
    before = int(step) - 1 if step > 0 else 10**9
    return _train(
        lambda parameters: optim.Adam(parameters, lr.item(), betas, attributes.get("epsilon", 0.0)),
        (*xs, *gradients, *arrays[2 * count :]),
        ["m", "v"],
        t=before,
    )


def _train(
    make: Callable[[list[nn.Parameter]], optim.Optimizer], arrays: tuple[Any, ...], remembered: list[str], **state: Any
) -> list[Any]:
    """One step with grouped arrays: parameters, gradients, and optimizer state."""
    count = len(arrays) // (2 + len(remembered))
    groups = [arrays[start : start + count] for start in range(0, len(arrays), count)]
    parameters = [nn.Parameter(x.copy()) for x in groups[0]]
    optimizer = make(parameters)
    for number, parameter in enumerate(parameters):
        parameter.grad = groups[1][number].copy()
        values = {name: group[number].copy() for name, group in zip(remembered, groups[2:], strict=True)}
        optimizer.state[str(number)] = values | state
    optimizer.step()
    kept = [optimizer.state[str(number)][name] for name in remembered for number in range(count)]
    return [*parameters, *kept]
