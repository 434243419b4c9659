"""A table of a model's layers, measured by running one sample through it."""

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import backends, random
from ..errors import MinidlError, ShapeError, brief
from ..grad_mode import recording
from ..habits import explained
from ..nested import leaves
from ..op import Op
from ..options import integer
from ..table import table
from ..tensor import Tensor
from .module import Module, evaluating


@dataclass(frozen=True)
class Row:
    """A layer: its path and class, the shape of its output for a batch (N, ...), and its cost for one sample.

    >>> from minidl import nn
    >>> summary(nn.Dense(8, 4), (8,)).rows[0]
    Row(path='', kind='Dense', output=(1, 4), parameters=36, activation_bytes=16, flops=68)
    """

    path: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    activation_bytes: int
    flops: int


@dataclass(frozen=True)
class Summary:
    """The rows, with totals; ``str()`` and ``repr()`` are the table.

    ``parameter_bytes`` is the memory of all parameters and buffers, ``activation_bytes`` the memory of the layers'
    outputs for one sample, and ``flops`` the number of floating-point operations in the forward pass of one sample. A
    multiplication and an addition count as two.

    >>> from minidl import nn
    >>> table = summary(nn.Dense(8, 4), (8,))
    >>> table.parameters, table.parameter_bytes, table.activation_bytes, table.flops
    (36, 144, 16, 68)
    """

    rows: tuple[Row, ...]
    parameters: int
    parameter_bytes: int
    activation_bytes: int
    flops: int

    def __str__(self) -> str:
        lines = table([("layer", "", "output", "parameters", "activations", "MFLOP"), *map(_cells, self.rows)], left=3)
        head, *rows = lines.splitlines()
        rule = "-" * len(head)
        total = (
            f"{self.parameters:,} parameters ({self.parameter_bytes / 2**20:,.2f} MiB); for each sample "
            f"{self.activation_bytes / 2**20:,.2f} MiB of activations and {self.flops / 1e6:,.1f} MFLOP forward"
        )
        return "\n".join([head, rule, *rows, rule, total])

    __repr__ = __str__


@explained
def summary(model: Module, input_shape: tuple[int, ...]) -> Summary:
    """Run one sample of ``input_shape`` (without the batch axis) through a model and report its layers.

    The model and the random generators are unchanged. A layer with several outputs has a row for each; the first row
    has its parameters and operations. An input of the wrong shape raises the error of the model.

    >>> from minidl import nn
    >>> print(summary(nn.Sequential(nn.Dense(8, 4), nn.ReLU()), (8,)))
    layer         output  parameters  activations  MFLOP
    ----------------------------------------------------
    0      Dense  (N, 4)          36      0.0 KiB   0.00
    1      ReLU   (N, 4)           0      0.0 KiB   0.00
    ----------------------------------------------------
    36 parameters (0.00 MiB); for each sample 0.00 MiB of activations and 0.0 MFLOP forward
    """
    if not isinstance(model, Module):
        raise MinidlError(f"expected a model, got {type(model).__name__}: write summary(model, (28, 28, 1))")
    sample = _sample(input_shape)
    paths = {module: path for path, module in model.named_modules() if not module.children()}
    rows: list[Row] = []

    def observe(module: Module, inputs: tuple[Any, ...], outputs: Any) -> None:
        rows.extend(_rows(paths[module], module, inputs, outputs))

    tensors = [tensor for _, tensor in model.named_tensors()]
    place = tensors[0].backend if tensors else backends.default
    dtype = next((tensor.dtype for tensor in tensors if tensor.dtype.kind == "f"), np.dtype(np.float32))
    # With requires_grad every op is recorded, so the graph has the ops of each layer.
    with random.rewound(dict(model.named_generators())), recording():
        try:
            with contextlib.ExitStack() as observing, evaluating(model):
                for module in paths:
                    observing.callback(module.add_hook(observe))
                model(Tensor(place.xp.zeros((1, *sample), dtype), requires_grad=True))
        except ShapeError as error:
            if len(sample) > 1 and _takes(model, sample[1:], place, dtype):
                raise ShapeError(
                    f"input_shape is the shape of one sample, without the batch axis: use {sample[1:]}"
                ) from error
            raise
    return Summary(
        tuple(rows),
        sum(parameter.size for parameter in model.parameters()),
        sum(int(tensor.data.nbytes) for tensor in tensors),
        sum(row.activation_bytes for row in rows),
        sum(row.flops for row in rows),
    )


def _sample(input_shape: Any) -> tuple[int, ...]:
    """The shape of a sample as integers; raises :class:`ShapeError` for a batch or the shape of one."""
    if hasattr(input_shape, "shape"):
        raise ShapeError(f"expected the shape of one sample, got a batch: use {tuple(input_shape.shape[1:])}")
    if not isinstance(input_shape, tuple | list):
        raise ShapeError(f"expected the shape of one sample, such as (28, 28, 1), got {brief(input_shape)}")
    if None in input_shape:
        rest = tuple(size for size in input_shape if size is not None)
        raise ShapeError(
            f"input_shape is the shape of one sample, without the batch axis: use {rest}, got {input_shape}"
        )
    return tuple(integer("a size of input_shape", size, least=1) for size in input_shape)


def _takes(model: Module, sample: tuple[int, ...], place: Any, dtype: Any) -> bool:
    """Whether the model accepts a sample of this shape."""
    try:
        with evaluating(model):
            model(Tensor(place.xp.zeros((1, *sample), dtype)))
    except MinidlError:
        return False
    return True


def _cells(row: Row) -> tuple[str, ...]:
    """The cells of a row, as strings."""
    shape = ", ".join(["N", *map(str, row.output[1:])])
    memory = f"{row.activation_bytes / 1024:,.1f} KiB"
    return row.path, row.kind, f"({shape})", f"{row.parameters:,}", memory, f"{row.flops / 1e6:,.2f}"


def _rows(path: str, module: Module, inputs: Any, outputs: Any) -> list[Row]:
    """A row for each tensor that a layer returns."""
    tensors = [y for y in leaves(outputs) if isinstance(y, Tensor)]
    parameters, flops = sum(parameter.size for parameter in module.parameters()), _flops(tensors, inputs)
    kind = type(module).__name__
    return [
        Row(path, kind, y.shape, 0 if number else parameters, int(y.data.nbytes), 0 if number else flops)
        for number, y in enumerate(tensors)
    ]


def _flops(outputs: list[Tensor], inputs: Any) -> int:
    """The FLOPs of all ops between the inputs and the outputs of a layer."""
    total, seen = 0, {id(x) for x in leaves(inputs)}
    unexplored = list(outputs)
    while unexplored:
        y = unexplored.pop()
        op: Op | None = y.op
        if op is not None and id(y) not in seen:
            seen.add(id(y))
            total += op.flops(y.shape)
            unexplored += op.inputs or ()
    return total
