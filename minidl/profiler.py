"""Where the time of a training step is spent: by op and by layer, as a table, a plot and a trace.

>>> import numpy as np
>>> from minidl import nn
>>> model = nn.Sequential(nn.Conv2D(1, 4, 3), nn.ReLU(), nn.MaxPooling2D(2), nn.Flatten(), nn.Dense(36, 2))
>>> profile(model, np.ones((2, 8, 8, 1), np.float32))
layer  op                   algorithm  calls  forward ms ...
0      Conv2DReLUMaxPool2D  im2col         1 ...

While a :class:`Profiler` is active, it wraps the few functions that everything passes through (running an op, its
gradients, the optimizer's step, the loader's next batch) in timers. Otherwise there is no overhead.
"""

import functools
import operator
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .capture import CapturedStep
from .contexts import ContextMeta
from .data import Batches
from .errors import MinidlError, brief
from .files import atomic_write
from .habits import explained
from .nested import leaves
from .nn import Buffer, Module, Parameter
from .op import Op
from .optim import Optimizer
from .options import integer
from .random import rewound
from .table import table
from .tensor import Tensor, tensor

STEPS = 5


@dataclass(frozen=True)
class Event:
    """A timed interval: ``part`` is "forward", "backward", "update" or "data"; times are in seconds.

    >>> Event("0", "Conv2D", "fft", "forward", start=0.0, seconds=0.5, flops=1e9, nbytes=0).part
    'forward'
    """

    layer: str
    op: str
    algorithm: str
    part: str
    start: float
    seconds: float
    flops: float
    nbytes: int


@dataclass(frozen=True)
class Row:
    """An op in a layer: its calls per step, with their time in ms, operations and bytes.

    >>> Row("0", "Conv2D", "fft", calls=1, forward=2.0, backward=3.0, other=0.0, flops=1e9, nbytes=0).rate
    200.0
    """

    layer: str
    op: str
    algorithm: str
    calls: float
    forward: float
    backward: float
    other: float
    flops: float
    nbytes: float

    @property
    def total(self) -> float:
        """Its total time, in ms."""
        return self.forward + self.backward + self.other

    @property
    def rate(self) -> float:
        """Floating-point operations in GFLOP/s."""
        return self.flops / self.total / 1e6 if self.total else 0.0


_one_at_a_time = threading.Lock()


class Profiler(metaclass=ContextMeta):
    """Measures everything that minidl does inside a ``with`` block, on the thread that entered it.

    ``seconds`` is the duration of the block. Only one profiler can be active in a process: entering another, or the
    same one again, raises :class:`MinidlError`. After its block, a profiler can continue in another block.

    >>> with Profiler() as profiler:
    ...     y = tensor([1.0]) + 2
    >>> [event.op for event in profiler.events]
    ['Add']
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.steps = 1
        """The number of training steps that rows are averaged over."""
        self.seconds = 0.0
        self._started = 0.0
        self._layers: list[str] = []
        self._layer_of: dict[Op, tuple[str, str, float, int]] = {}
        self._wrapped: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> "Profiler":
        if not _one_at_a_time.acquire(blocking=False):
            raise MinidlError("a profiler is already active: end its block first, because two would time each other")
        self._thread = threading.get_ident()
        self._wrap(Op, "record", self._timed_op)
        self._wrap(Op, "gradients", self._timed_gradients)
        self._wrap(Module, "__call__", self._inside_layer)
        self._wrap(Optimizer, "step", self._timed_update)
        self._wrap(CapturedStep, "__call__", lambda run: lambda step, *batch: step.computed(*batch))
        self._wrap(Batches, "__next__", self._timed_batch)
        self._started = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        if not self._wrapped:  # already ended
            return
        self.seconds = time.perf_counter() - self._started
        for owner, name, original in self._wrapped:
            setattr(owner, name, original)
        self._wrapped.clear()
        self._layer_of.clear()
        _one_at_a_time.release()

    def restart(self) -> None:
        """Discard the measurements so far, for example of a warm-up."""
        self.events.clear()
        self._started = time.perf_counter()

    def _wrap(self, owner: Any, name: str, wrapper: Callable[[Any], Any]) -> None:
        original, run = vars(owner)[name], getattr(owner, name)
        timed = wrapper(run)

        def here(*arguments: Any, **options: Any) -> Any:
            return (timed if threading.get_ident() == self._thread else run)(*arguments, **options)

        self._wrapped.append((owner, name, original))
        setattr(owner, name, staticmethod(here) if isinstance(original, staticmethod) else here)

    # The timers

    def _add(self, key: tuple[str, str, str], part: str, start: float, flops: float = 0.0, nbytes: int = 0) -> None:
        self.events.append(Event(*key, part, start, time.perf_counter() - start, flops, nbytes))

    def _timed_op(self, run: Callable[[Op, Sequence[Any]], Tensor]) -> Callable[[Op, Sequence[Any]], Tensor]:
        def record(op: Op, inputs: Sequence[Any]) -> Tensor:
            start = time.perf_counter()
            output = run(op, inputs)
            output.backend.synchronize()
            flops = float(op.flops(output.shape))
            nbytes = output.data.nbytes + sum(x.data.nbytes for x in inputs if isinstance(x, Tensor))
            layer, algorithm = self._layer(inputs), getattr(getattr(op, "algorithm", None), "name", "")
            self._add((layer, op.name, algorithm), "forward", start, flops, nbytes)
            if output.op is not None:
                self._layer_of[op] = layer, algorithm, flops, nbytes
            return output

        return record

    def _timed_gradients(self, run: Callable[[Op, Any], Any]) -> Callable[[Op, Any], Any]:
        def gradients(op: Op, dy: Any) -> Any:
            layer, algorithm, flops, nbytes = self._layer_of.pop(op, ("", "", 0.0, 0))
            wanted = sum(op.needs_grad[:2])  # a product costs the same again for each factor that needs a gradient
            start = time.perf_counter()
            found = run(op, dy)
            op.backend.synchronize()
            self._add((layer, op.name, algorithm), "backward", start, flops * wanted, nbytes)
            return found

        return gradients

    def _inside_layer(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def call(module: Module, *inputs: Any, **options: Any) -> Any:
            self._layers.append(module.path)
            try:
                return run(module, *inputs, **options)
            finally:
                self._layers.pop()

        return call

    def _layer(self, inputs: Sequence[Any]) -> str:
        """The layer whose parameters an op uses, or else the innermost active layer."""
        owners = [x.name.rpartition(".")[0] for x in inputs if isinstance(x, Parameter) and x.name]
        return owners[0] if owners else self._layers[-1] if self._layers else ""

    def _timed_update(self, run: Callable[[Optimizer], None]) -> Callable[[Optimizer], None]:
        def step(optimizer: Optimizer) -> None:
            start = time.perf_counter()
            run(optimizer)
            for parameter in optimizer.parameters[:1]:
                parameter.backend.synchronize()
            self._add(("", type(optimizer).__name__, ""), "update", start)

        return step

    def _timed_batch(self, run: Callable[[Batches], Any]) -> Callable[[Batches], Any]:
        def batch(loop: Batches) -> Any:
            start = time.perf_counter()
            try:
                return run(loop)
            finally:
                self._add(("", "waiting for data", ""), "data", start)

        return batch

    # The results

    def rows(self, by: str = "layer") -> list[Row]:
        """The sums per step, in order of first use: by layer and op, or with ``by="op"`` by op alone.

        The last row is the time between the measured events, which Python and the graph take.
        """
        if by not in ("layer", "op"):
            raise MinidlError(f"expected by='layer' or by='op', got by={brief(by)}")
        found: dict[tuple[str, str, str], Row] = {}
        for event in self.events:
            key = (event.layer if by == "layer" else "", event.op, event.algorithm if by == "layer" else "")
            found[key] = _plus(found.get(key, Row(*key, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)), event, self.steps)
        between = 1e3 * (self.seconds - sum(event.seconds for event in self.events)) / self.steps
        return [*found.values(), Row("", "everything between", "", 0.0, 0.0, 0.0, between, 0.0, 0.0)]

    def table(self, by: str = "layer") -> str:
        """The rows as text, with the share of each in the time of a step."""
        head = ("layer", "op", "algorithm", "calls", "forward ms", "backward ms", "other ms", "GFLOP/s", "MB", "share")
        rows = self.rows(by)
        whole = sum(row.total for row in rows) or 1.0
        cells = [head] + [
            (
                row.layer, row.op, row.algorithm, f"{row.calls:.3g}" if row.calls else "",
                *(f"{value:.2f}" if value else "" for value in (row.forward, row.backward, row.other)),
                f"{row.rate:.1f}" if row.flops > 1e6 else "", f"{row.nbytes / 1e6:.1f}" if row.nbytes else "",
                f"{row.total / whole:.1%}",
            )
            for row in rows
        ]  # fmt: skip
        return f"{table(cells, left=3)}\none step of {self.steps}: {whole:.2f} ms"

    def __repr__(self) -> str:
        return self.table()

    def plot(self, path: str | Path, by: str = "layer") -> None:
        """Draw the rows as bars, forward and backward, to a file; its suffix sets the format, by default PNG.

        Raises ``FileNotFoundError`` if the folder does not exist.
        """
        from matplotlib.figure import Figure

        rows = [row for row in self.rows(by) if row.total > 0][::-1]
        figure = Figure(figsize=(9, 0.32 * len(rows) + 1.2), layout="constrained")
        axes = figure.add_subplot()
        names = [" ".join(filter(None, (row.layer, row.op, row.algorithm))) for row in rows]
        left = [0.0] * len(rows)
        for part in ("forward", "backward", "other"):
            values = [getattr(row, part) for row in rows]
            axes.barh(range(len(rows)), values, left=left, label=part)
            left = [a + b for a, b in zip(left, values, strict=True)]
        axes.set_yticks(range(len(rows)), names, fontsize=8)
        axes.set_xlabel("ms in a step")
        axes.legend(fontsize=8)
        with atomic_write(path) as file:
            figure.savefig(file, dpi=110, format=Path(path).suffix[1:] or "png")

    def trace(self, path: str | Path) -> None:
        """Write every event for a trace viewer: open the file in https://ui.perfetto.dev or chrome://tracing.

        The format is Google's "Trace Event Format", complete events in microseconds. Raises ``FileNotFoundError`` if
        the folder does not exist.
        """
        import json

        events = [
            {
                "name": " ".join(filter(None, (event.layer, event.op))),
                "cat": event.part,
                "ph": "X",
                "ts": 1e6 * (event.start - self._started),
                "dur": 1e6 * event.seconds,
                "pid": 1,
                "tid": 1,
                "args": {"algorithm": event.algorithm, "flops": event.flops, "bytes": event.nbytes},
            }
            for event in self.events
        ]
        with atomic_write(path) as file:
            file.write(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}).encode())


def _plus(row: Row, event: Event, steps: int) -> Row:
    """A row with an event added."""
    part = event.part if event.part in ("forward", "backward") else "other"
    return replace(
        row,
        calls=row.calls + (event.part != "backward") / steps,
        flops=row.flops + event.flops / steps,
        nbytes=row.nbytes + event.nbytes / steps,
        **{part: getattr(row, part) + 1e3 * event.seconds / steps},
    )


@explained
def profile(model: Module, x: Any, steps: int = STEPS) -> Profiler:
    """Profile the forward and backward passes of a model on a batch ``x``, over ``steps`` steps after a warm-up.

    The backward pass starts from the sum of all outputs; it is skipped inside ``no_grad()``, or if nothing requires a
    gradient. Parameters, their gradients, buffers, the random state and ``x`` are restored. Raises
    :class:`MinidlError` if ``steps`` is not an integer >= 1, or ``model`` is not a module.
    """
    if not isinstance(model, Module):
        raise MinidlError(
            f"expected a module, got {type(model).__name__}: for any other code use `with md.Profiler() as profiler:`"
        )
    steps = integer("the number of steps", steps, least=1)
    tensors = [tensor for _, tensor in model.named_tensors()]
    kept = [(t, t.data.copy() if isinstance(t, Buffer) else t.data, t.grad) for t in tensors]
    place = model.parameters()[0].backend.name if model.parameters() else None
    # a new tensor, because x must keep its gradient and its graph
    inputs = Tensor(x.data, x.requires_grad) if isinstance(x, Tensor) else tensor(x, backend=place)
    try:
        with rewound(dict(model.named_generators())), Profiler() as profiler:
            for step in range(steps + 1):
                if step == 1:
                    profiler.restart()
                model.zero_grad()
                inputs.zero_grad()
                total = _sum(model(inputs))
                if total.requires_grad:
                    total.backward()
        profiler.steps = steps
    finally:
        for held, data, grad in kept:
            held.data, held.grad = data, grad
    return profiler


def _sum(outputs: Any) -> Tensor:
    """The sum of all elements of the tensors in a nested structure."""
    sums = [y.sum() for y in leaves(outputs) if isinstance(y, Tensor)]
    if not sums:
        raise MinidlError("the model returned no tensors: end its forward with `return y`")
    return functools.reduce(operator.add, sums)
