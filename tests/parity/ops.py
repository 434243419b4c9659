"""``python -m tests.parity.ops``: every op, optimizer and schedule against PyTorch; writes docs/parity.md.

The cases are the examples of the conformance kit, with their own inputs and with random ones of the same shapes and
ranges, and some larger ones with long sums, for which kernels split the work.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import minidl as md
from minidl import nn, plugins
from minidl.bench import machine
from minidl.table import markdown
from minidl.testing import OpExample, subject
from minidl.testing.arrays import COTANGENTS, furthest, numbers
from minidl.testing.check_ops import leaves
from tests.parity.twins import LR, OPTIMIZERS, SCHEDULES, TWINS, WITHOUT, replay

F = nn.functional
Arrays = list[NDArray[Any]]
Both = tuple[Arrays, Arrays]
"""minidl's arrays and PyTorch's."""

PAGE = Path(__file__).resolve().parents[2] / "docs" / "parity.md"
BOUNDS = {"float64": 1e-13, "float32": 5e-6}
ERRORS = ("float64", "float32", "minidl from exact", "PyTorch from exact")
PASSES = ("float64 forward", "float64 backward", "float32 forward", "float32 backward", *ERRORS[2:])
DRAWS = 3
STEPS = 50
TABLE, IMAGES = (50, 1000), (4, 30, 27, 24)
CLASSES = np.arange(50) * 7 % 1000
LARGE: dict[str, OpExample] = {
    "sum": OpExample(lambda x: x.sum(axis=0), (numbers(3000, 7),)),
    "mean": OpExample(lambda x: x.mean(axis=(0, 2)), (numbers(60, 5, 70),)),
    "var": OpExample(lambda x: x.var(axis=(0, 2)), (numbers(60, 5, 70),)),
    "exp": OpExample(F.exp, (numbers(*TABLE),)),
    "tanh": OpExample(F.tanh, (numbers(*TABLE),)),
    "matmul": OpExample(lambda a, b: a @ b, (numbers(130, 517), numbers(517, 65))),
    "conv2d": OpExample(
        lambda x, w, b: F.conv2d(x, w, b, padding="same"), (numbers(*IMAGES), numbers(3, 3, 24, 40), numbers(40))
    ),
    "max_pool2d": OpExample(lambda x: F.max_pool2d(x, 3, 2), (numbers(*IMAGES),)),
    "avg_pool2d": OpExample(lambda x: F.avg_pool2d(x, 3, 2, "same"), (numbers(*IMAGES),)),
    "softmax": OpExample(F.softmax, (numbers(*TABLE),)),
    "log_softmax": OpExample(F.log_softmax, (numbers(*TABLE),)),
    "softmax_cross_entropy": OpExample(lambda x: F.softmax_cross_entropy(x, CLASSES), (numbers(*TABLE),)),
    "mse_loss": OpExample(F.mse_loss, (numbers(*TABLE), numbers(*TABLE, seed=1))),
    "batch_norm": OpExample(F.batch_norm, (numbers(*IMAGES), numbers(24), numbers(24, seed=1))),
}
NAN, INF = float("nan"), float("inf")
KINKS: dict[str, OpExample] = {
    "abs": OpExample(F.abs, ([0.0],)),
    "sqrt": OpExample(F.sqrt, ([0.0],)),
    "relu": OpExample(F.relu, ([0.0, NAN],)),
    "leaky_relu": OpExample(lambda x: F.leaky_relu(x, 0.1), ([0.0, NAN],)),
    "clip": OpExample(lambda x: F.clip(x, -1, 1), ([-1.0, 1.0, NAN],)),
    "l1_loss": OpExample(F.l1_loss, ([1.0, NAN], [1.0, 1.0])),
    "huber_loss": OpExample(F.huber_loss, ([1.0, NAN], [1.0, 1.0])),
    "maximum": OpExample(F.maximum, ([1.0, NAN, 1.0], [1.0, 1.0, NAN])),
    "minimum": OpExample(F.minimum, ([1.0, NAN, 1.0], [1.0, 1.0, NAN])),
    "max": OpExample(lambda x: x.max(axis=0), ([1.0, 1.0],)),
    "max of NaN": OpExample(lambda x: x.max(axis=0), ([1.0, NAN],)),
    "min": OpExample(lambda x: x.min(axis=0), ([1.0, 1.0],)),
    "var of one": OpExample(lambda x: x.var(axis=0), ([2.0],)),
    "max_pool2d": OpExample(lambda x: F.max_pool2d(x.reshape(1, 1, 2, 1), (1, 2)), ([1.0, 1.0],)),
    "pow": OpExample(lambda x, p: x**p, ([-2.0, 0.0, 0.0, INF, 0.0], [2.0, 2.0, 0.0, 0.0, 0.5])),
}
"""Points without a derivative, where frameworks choose one."""


class Errors(NamedTuple):
    """The largest errors: minidl against PyTorch in both precisions, and each in float32 against float64."""

    double: float
    single: float
    minidl: float
    pytorch: float

    @classmethod
    def of(cls, double: Both, single: Both) -> "Errors":
        """From the results in float64, with PyTorch's as the reference, and in float32."""
        exact = double[1]
        return cls(furthest(*double), furthest(*single), furthest(single[0], exact), furthest(single[1], exact))

    @classmethod
    def worst(cls, errors: Iterable["Errors"]) -> "Errors":
        """The elementwise maximum."""
        return cls(*map(max, zip(*errors, strict=True)))


@dataclass(frozen=True)
class Row:
    """An op with its errors over all cases."""

    name: str
    cases: int
    forward: Errors
    backward: Errors


def run(example: OpExample, inputs: Iterable[Any], dtype: Any, seed: float | None = None) -> Both:
    """The output and the gradients of all inputs, for the cotangent ``seed`` or a random one."""
    given = leaves(inputs, dtype)
    y = example.call(*given)
    twins = [torch.tensor(x.numpy(), requires_grad=True) for x in given]
    theirs = replay(y, {id(x): twin for x, twin in zip(given, twins, strict=True)})
    dy = numbers(*y.shape, seed=COTANGENTS).astype(np.float32) if seed is None else np.full(y.shape, seed)
    output = y.numpy().copy()
    y.backward(dy.astype(dtype))
    gradients = torch.autograd.grad(theirs, twins, torch.tensor(dy, dtype=theirs.dtype))
    return [output, *(x.grad for x in given)], [theirs.detach().numpy(), *(dx.numpy() for dx in gradients)]


def draws(example: OpExample) -> Iterator[Arrays]:
    """The inputs of an example, and random ones with the same shapes and limits; exact in float32."""
    yield [x.astype(np.float32) for x in example.inputs]
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        yield [rng.uniform(x.min(), x.max(), x.shape).astype(np.float32) for x in example.inputs]


def compare(name: str) -> Row:
    """All cases of an op."""
    examples = [*subject("op", name).examples, *([LARGE[name]] if name in LARGE else [])]
    forward, backward = [], []
    for example in examples:
        for inputs in draws(example):
            double, single = (run(example, inputs, dtype) for dtype in (np.float64, np.float32))
            forward.append(Errors.of(*(([ours[0]], [theirs[0]]) for ours, theirs in (double, single))))
            backward.append(Errors.of(*((ours[1:], theirs[1:]) for ours, theirs in (double, single))))
    return Row(name, len(forward), Errors.worst(forward), Errors.worst(backward))


def compare_optimizer(name: str, options: dict[str, Any]) -> Errors:
    """The parameter after some steps with random gradients."""
    return Errors.of(*(_steps(name, options, dtype) for dtype in (np.float64, np.float32)))


def _steps(name: str, options: dict[str, Any], dtype: Any) -> Both:
    ours = md.tensor(numbers(5, 3), dtype, requires_grad=True)
    theirs = torch.tensor(ours.numpy(), requires_grad=True)
    ours_optimizer = plugins.build("optimizer", name, [ours], lr=0.1, **options)
    theirs_optimizer = OPTIMIZERS[name][0]([theirs], lr=0.1, **options)  # type: ignore[call-arg]
    for seed in range(STEPS):
        ours.grad = numbers(5, 3, seed=seed + 1).astype(np.float32).astype(dtype)
        theirs.grad = torch.tensor(ours.grad)
        ours_optimizer.step()
        theirs_optimizer.step()
    return [ours.numpy()], [theirs.detach().numpy()]


def compare_schedule(name: str) -> float:
    """The learning rates of the first 20 steps: the largest difference, relative to the largest rate."""
    options, make = SCHEDULES[name]
    schedule = plugins.build("schedule", name, LR, **options)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=LR)
    twin = make(optimizer)
    theirs = []
    for _ in range(20):
        theirs += twin.get_last_lr()
        optimizer.step()
        twin.step()
    return furthest([np.array([schedule(step) for step in range(20)])], [np.array(theirs)])


def conventions() -> str:
    """The table of derivatives at points where there is none."""
    rows = []
    for name, example in KINKS.items():
        with np.errstate(all="ignore"):
            ours, theirs = run(example, example.inputs, np.float64, seed=1.0)
        inputs = " and ".join(str(x) for x in example.inputs)
        # + 0 turns -0 into 0
        gradients = (", ".join(str((dx + 0).tolist()) for dx in side[1:]) for side in (ours, theirs))
        rows.append([f"`{name}`", inputs, *gradients])
    return markdown(["op", "inputs", "gradients in minidl", "in PyTorch"], rows)


def page(rows: Iterable[Row]) -> str:
    """docs/parity.md."""
    ops = [
        [
            f"`{row.name}`",
            str(row.cases),
            _figure(row.forward.double),
            _figure(row.backward.double),
            _figure(row.forward.single),
            _figure(row.backward.single),
            _figure(max(row.forward.minidl, row.backward.minidl)),
            _figure(max(row.forward.pytorch, row.backward.pytorch)),
        ]
        for row in rows
    ]
    missing = "\n".join(f"- `{name}` has no twin: it {reason}." for name, reason in WITHOUT.items())
    optimizers = [
        [f"`{name}`", ", ".join(f"{key} {value}" for key, value in options.items()) or "defaults"]
        + [_figure(error) for error in compare_optimizer(name, options)]
        for name, (_, several) in OPTIMIZERS.items()
        for options in several
    ]
    schedules = [[f"`{name}`", _figure(compare_schedule(name))] for name in SCHEDULES]
    return f"""# Comparison with PyTorch, op by op

```sh
python -m tests.parity.ops
```

This command computes the forward and backward pass of every op in minidl and in PyTorch, and writes this page. The
cases are the examples of the conformance kit and some larger ones, each with its own inputs and {DRAWS} random draws.
[`tests/parity/twins.py`](../tests/parity/twins.py) defines the PyTorch twin of each op,
[`tests/parity/test_ops.py`](../tests/parity/test_ops.py) checks the bounds, and [results.md](results.md) compares 100
training steps.

Each value is the largest error of all cases. The error of an array is the largest difference of an element divided by
the largest element, max |ours - theirs| / max |theirs|. The error of a backward pass is the largest over the gradients
of all inputs, for random cotangents. In float64, the two must agree to {BOUNDS["float64"]}. In float32, rounding makes
any two implementations differ. The last two columns therefore give the distance of each, forward or backward, from
PyTorch's float64 result for the same inputs; minidl must stay below {BOUNDS["float32"]}. Long sums over a leading
axis are the least accurate: NumPy adds the rows one after another, PyTorch adds them pairwise in a tree.

{markdown(["op", "cases", *PASSES], ops)}

{missing}

## Optimizers and schedules

Errors of a parameter after {STEPS} steps with the same random gradients:

{markdown(["optimizer", "settings", *ERRORS], optimizers)}

Errors of the learning rates of 20 steps:

{markdown(["schedule", "float64"], schedules)}

## Different conventions

At a kink there is no derivative, and every framework chooses a value. In a tie, minidl assigns the gradient to the
first element; PyTorch mostly distributes it equally. If an element is NaN, minidl assigns the gradient to it. The cases
above avoid such points, except for the examples that are labelled "kink".

{conventions()}

Other differences, which the twins take into account:

- Images are NHWC in minidl, NCHW in PyTorch; weights (KH, KW, C, K) instead of (K, C, KH, KW).
- Padding "same" adds an odd row or column at the bottom and right, at any stride; PyTorch supports "same" only at
  stride 1, so the twin pads first.
- Average pooling does not count the padding; PyTorch's does by default.
- The variance has ddof 0; PyTorch's has 1. In batch normalisation, eps is 1e-3 and `momentum` is the weight of the old
  average; in PyTorch, eps is 1e-5 and `momentum` is the weight of the new value.
- Both sides of dropout use minidl's mask, because the random generators differ.

Measured: {machine.line(machine.describe("torch"))}.
"""


def _figure(error: float) -> str:
    return f"{error:.1e}" if error else "0"


def main() -> None:
    """Write the page."""
    argparse.ArgumentParser(prog="python -m tests.parity.ops", description=__doc__).parse_args()
    PAGE.write_text(page([compare(name) for name in TWINS]))


if __name__ == "__main__":
    main()
