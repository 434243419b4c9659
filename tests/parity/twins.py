"""minidl's ops in PyTorch: a twin for every op, and the recomputation of a minidl graph with the twins.

A twin takes the recorded op, which holds its settings, and PyTorch tensors for the inputs. Images are
(N, H, W, C) in minidl and (N, C, H, W) in PyTorch.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from torch.optim import lr_scheduler as schedules

import minidl as md
from minidl import plugins
from minidl.kernels.window import Window

T = torch.Tensor
Twin = Callable[..., T]


def channels_first(x: T) -> T:
    return x.permute(0, 3, 1, 2)


def channels_last(y: T) -> T:
    return y.permute(0, 2, 3, 1)


def padded(x: T, window: Window, value: float = 0.0) -> T:
    """Images with the padding of a window, which PyTorch's layers support only on equal sides; channels first."""
    return F.pad(channels_first(x), (window.left, window.right, window.top, window.bottom), value=value)


def conv2d(op: Any, x: T, w: T, b: T | None = None) -> T:
    window = op.spec.window
    return channels_last(F.conv2d(padded(x, window), w.permute(3, 2, 0, 1), b, (window.SH, window.SW)))


def max_pool2d(window: Window, x: T) -> T:
    images = padded(x, window, -torch.inf)
    return channels_last(F.max_pool2d(images, (window.KH, window.KW), (window.SH, window.SW)))


def avg_pool2d(window: Window, x: T) -> T:
    """The sum of each window divided by its number of pixels: PyTorch's mean may count the padding."""
    images, ones = padded(x, window), padded(torch.ones_like(x), window)
    size, stride = (window.KH, window.KW), (window.SH, window.SW)
    total, count = (F.avg_pool2d(part, size, stride, divisor_override=1) for part in (images, ones))
    return channels_last(total / count)


def getitem(op: Any, x: T) -> T:
    return x[tuple(torch.as_tensor(part) if isinstance(part, np.ndarray) else part for part in op.parts)]


def pad(op: Any, x: T) -> T:
    return F.pad(x, [width for widths in reversed(op.widths) for width in widths], value=op.value)


def batch_norm(op: Any, x: T, gamma: T, beta: T) -> T:
    return F.batch_norm(x.movedim(-1, 1), None, None, gamma, beta, training=True, eps=op.eps).movedim(1, -1)


TWINS: dict[str, Twin] = {
    "add": lambda op, a, b: a + b,
    "sub": lambda op, a, b: a - b,
    "mul": lambda op, a, b: a * b,
    "div": lambda op, a, b: a / b,
    "neg": lambda op, x: -x,
    "pow": lambda op, x, p: x**p,
    "exp": lambda op, x: x.exp(),
    "log": lambda op, x: x.log(),
    "sqrt": lambda op, x: x.sqrt(),
    "abs": lambda op, x: x.abs(),
    "relu": lambda op, x: F.relu(x),
    "leaky_relu": lambda op, x: F.leaky_relu(x, op.slope),
    "sigmoid": lambda op, x: x.sigmoid(),
    "tanh": lambda op, x: x.tanh(),
    "maximum": lambda op, a, b: torch.maximum(a, b),
    "minimum": lambda op, a, b: torch.minimum(a, b),
    "clip": lambda op, x: x.clamp(op.low, op.high),
    "where": lambda op, a, b: torch.where(torch.as_tensor(op.condition), a, b),
    "sum": lambda op, x: x.sum(op.axes(x), op.keepdims),
    "mean": lambda op, x: x.mean(op.axes(x), op.keepdims),
    "max": lambda op, x: x.amax(op.axes(x), op.keepdims),
    "min": lambda op, x: x.amin(op.axes(x), op.keepdims),
    "var": lambda op, x: x.var(op.axes(x), correction=0, keepdim=op.keepdims),
    "reshape": lambda op, x: x.reshape(op.shape),
    "transpose": lambda op, x: x.permute(op.axes or tuple(reversed(range(x.ndim)))),
    "getitem": getitem,
    "concatenate": lambda op, *xs: torch.cat(xs, op.axis),
    "stack": lambda op, *xs: torch.stack(xs, op.axis),
    "pad": pad,
    "broadcast_to": lambda op, x: x.broadcast_to(op.shape),
    "clone": lambda op, x: x.clone(),
    "cast": lambda op, x: x.to(getattr(torch, str(np.dtype(op.dtype)))),
    "matmul": lambda op, a, b: a @ b,
    "linear": lambda op, x, w, b=None: F.linear(x, w.T, b),
    "conv2d": conv2d,
    "conv2d_relu_max_pool2d": lambda op, x, w, b: max_pool2d(op.pool, F.relu(conv2d(op, x, w, b))),
    "max_pool2d": lambda op, x: max_pool2d(op.window, x),
    "avg_pool2d": lambda op, x: avg_pool2d(op.window, x),
    "softmax": lambda op, x: x.softmax(op.axis),
    "log_softmax": lambda op, x: x.log_softmax(op.axis),
    "softmax_cross_entropy": lambda op, x: F.cross_entropy(
        x, torch.as_tensor(op.labels), ignore_index=-100 if op.ignore_index is None else op.ignore_index
    ),
    "binary_cross_entropy_with_logits": lambda op, x, t: F.binary_cross_entropy_with_logits(x, t),
    "l1_loss": lambda op, a, b: F.l1_loss(a, b),
    "mse_loss": lambda op, a, b: F.mse_loss(a, b),
    "huber_loss": lambda op, a, b: F.huber_loss(a, b, delta=op.delta),
    "dropout": lambda op, x: x * torch.as_tensor(op.saved[0] != 0) / (1 - op.rate),  # with minidl's mask
    "batch_norm": batch_norm,
}
WITHOUT = {"transfer": "moves an array between minidl's backends and computes nothing"}
"""The ops that PyTorch lacks, and why."""
_NAMES = {plugins.get("op", name): name for name in TWINS}


def replay(y: md.Tensor, made: dict[int, T]) -> T:
    """Recompute the graph of ``y`` in PyTorch; ``made`` has the twins of the leaves by id, and collects the others."""
    if id(y) not in made:
        if y.op is None:
            made[id(y)] = torch.tensor(y.numpy())
        else:
            made[id(y)] = TWINS[_NAMES[type(y.op)]](y.op, *(replay(x, made) for x in y.op.inputs or ()))
    return made[id(y)]


OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], list[dict[str, Any]]]] = {
    "sgd": (torch.optim.SGD, [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"weight_decay": 0.1}]),
    "adam": (torch.optim.Adam, [{}, {"betas": (0.8, 0.99), "eps": 1e-3}]),
    "adamw": (torch.optim.AdamW, [{}, {"weight_decay": 0.3}]),
    "rmsprop": (
        torch.optim.RMSprop,
        [{}, {"alpha": 0.9, "eps": 1e-3}, {"momentum": 0.9, "weight_decay": 0.1}, {"centered": True}],
    ),
    "adagrad": (
        torch.optim.Adagrad,
        [{}, {"lr_decay": 0.1, "eps": 1e-3}, {"initial_accumulator_value": 0.1, "weight_decay": 0.1}],
    ),
}
"""PyTorch's class for every optimizer, and settings, with the same names in both."""

LR = 0.3
SCHEDULES: dict[str, tuple[dict[str, Any], Callable[[torch.optim.Optimizer], Any]]] = {
    "constant": ({}, lambda o: schedules.ConstantLR(o, factor=1.0)),
    "step": ({"every": 4, "factor": 0.5}, lambda o: schedules.StepLR(o, 4, 0.5)),
    "cosine": ({"steps": 20, "final": 0.01}, lambda o: schedules.CosineAnnealingLR(o, 20, 0.01)),
    # PyTorch also counts the step at the final rate, and sets that relative to the first rate, not the highest
    "one_cycle": (
        {"steps": 20},
        lambda o: schedules.OneCycleLR(o, LR, total_steps=21, pct_start=7 / 21, div_factor=25, final_div_factor=400),
    ),
}
"""Settings for every schedule, and PyTorch's twin with the same settings."""
