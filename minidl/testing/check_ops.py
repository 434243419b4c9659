"""The requirements for an op: correct gradients, preserved dtypes, unmodified inputs, and reproducible results."""

import inspect
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import backends
from ..errors import MinidlError
from ..tensor import Tensor, no_grad
from .arrays import ARRANGEMENTS, backward_all, furthest, numbers, other_backends, same_bits, tensors_in
from .gradcheck import GradcheckResult, gradcheck
from .kit import NotApplicable, Subject, require

Array = Any


@dataclass(frozen=True)
class OpExample:
    """A function of tensors, and arrays for it; ``portable`` is False for a function that runs on NumPy only.

    >>> cube = OpExample(lambda x: x**3, (np.array([1.0, 2.0]),))
    >>> OpSubject("cube", [cube]).run().count("failed")
    0
    """

    call: Callable[..., Any]
    inputs: tuple[Any, ...]
    label: str = ""
    portable: bool = True

    def __str__(self) -> str:
        return self.label

    @property
    def float_positions(self) -> list[int]:
        """The positions of the inputs that can have a gradient."""
        return [position for position, x in enumerate(self.inputs) if np.asarray(x).dtype.kind == "f"]


class OpSubject(Subject):
    """An op with examples of its use, each an :class:`OpExample`."""

    kind: ClassVar[str] = "op"

    def __init__(self, name: str, examples: Iterable[OpExample]) -> None:
        super().__init__(name, examples)

    def gradients(self) -> list[GradcheckResult]:
        """One gradient check per example."""
        return [gradcheck(example.call, *example.inputs) for example in self.examples]

    def check_gradient(self, example: OpExample) -> None:
        """The gradients agree with numerical differentiation to 1e-8, in float64."""
        gradcheck(example.call, *example.inputs)

    def check_dtype(self, example: OpExample) -> None:
        """float32 in gives float32 out, outputs and gradients; float64 the same."""
        for dtype in (np.float32, np.float64):
            for array in evaluate(example, dtype=dtype):
                require(
                    array.dtype.kind != "f" or array.dtype == dtype,
                    f"{np.dtype(dtype)} inputs gave {array.dtype}: keep the dtype of the inputs",
                )

    def check_single_precision(self, example: OpExample) -> None:
        """float32 gives the same results as float64, to its precision."""
        rounded = [np.asarray(x, np.float32) if np.asarray(x).dtype.kind == "f" else x for x in example.inputs]
        single = [y.astype(np.float64) for y in evaluate(example, rounded, np.float32)]
        error = furthest(single, evaluate(example, rounded))
        require(error < 1e-4, f"float32 differs from float64 by {error:.2g} relative")

    def check_finite(self, example: OpExample) -> None:
        """Outputs and gradients are finite, also where the derivative does not exist and follows a convention."""
        for array in evaluate(example):
            require(array.dtype.kind != "f" or np.isfinite(array).all(), "an output or a gradient is not finite")

    def check_inputs_unchanged(self, example: OpExample) -> None:
        """Neither pass modifies its inputs, the cotangent or the output that the user holds."""
        given = leaves(example.inputs)
        arrays = [x.data if isinstance(x, Tensor) else np.asarray(x) for x in given]
        before = [array.copy() for array in arrays]
        for array in arrays:
            array.flags.writeable = False
        try:
            (y, *_) = tensors_in(example.call(*given))
            cotangent = numbers(*y.shape)
            kept, seed = y.numpy().copy(), cotangent.copy()
            cotangent.flags.writeable = False
            y.backward(cotangent)
        except ValueError as error:
            require("read-only" not in str(error), f"it writes to its inputs or to the cotangent ({error})")
            raise
        require(same_bits(arrays, before), "it changes its inputs")
        require(np.array_equal(cotangent, seed), "backward changes the cotangent")
        require(same_bits([y.numpy()], [kept]), "backward changes the output, which the user may hold")

    def check_memory_order(self, example: OpExample) -> None:
        """Transposed, strided and reversed arrays give the same results as contiguous ones."""
        expected = evaluate(example)
        for arrange in ARRANGEMENTS:
            arranged = [arrange(np.asarray(x)) if np.asarray(x).dtype.kind == "f" else x for x in example.inputs]
            error = furthest(evaluate(example, arranged), expected)
            require(error < 1e-12, f"arrays in {arrange.__name__} memory order change the result ({error:.2g})")

    def check_repeats(self, example: OpExample) -> None:
        """The same inputs give bitwise equal results."""
        require(same_bits(evaluate(example), evaluate(example)), "two calls give different results")

    def check_independence(self, example: OpExample) -> None:
        """Overlapping calls do not affect each other: no state is shared between calls."""
        others = [x * 0.5 if np.asarray(x).dtype.kind == "f" else x for x in example.inputs]
        try:
            expected = [evaluate(example), evaluate(example, others)]
        except MinidlError as error:
            raise NotApplicable(f"half of the inputs is not a valid input: {error}") from error
        given = [leaves(example.inputs), leaves(others)]
        outputs = [tensors_in(example.call(*one)) for one in given]
        got = [outputs_and_gradients(one, y) for one, y in zip(given, outputs, strict=True)]
        require(
            all(same_bits(a, b) for a, b in zip(got, expected, strict=True)),
            "a second call between forward and backward changes the result of the first",
        )

    def check_accumulation(self, example: OpExample) -> None:
        """Gradients accumulate: over two backward passes in a leaf, over two uses in an intermediate tensor."""
        expected = [3 * gradient for gradient in evaluate(example)[-len(example.float_positions) :]]
        for between in (False, True):
            given = leaves(example.inputs)
            inputs = [x * 1.0 if between and isinstance(x, Tensor) else x for x in given]
            outputs = [[factor * y for y in tensors_in(example.call(*inputs))] for factor in (1, 2)]
            if between:
                backward_all([one + other for one, other in zip(*outputs, strict=True)])
            else:
                for one in outputs:
                    backward_all(one)
            error = furthest([x.grad for x in given if isinstance(x, Tensor)], expected)
            require(error < 1e-12, f"an input that is used twice does not get the sum of the gradients ({error:.2g})")

    def check_gradients_of_their_own(self, example: OpExample) -> None:
        """A gradient shares no memory: writing to it changes neither another gradient nor the cotangent."""
        inputs = leaves(example.inputs)
        (y, *_) = tensors_in(example.call(*inputs))
        given = [x for x in inputs if isinstance(x, Tensor)]
        cotangent = numbers(*y.shape)
        y.backward(cotangent)
        arrays = [cotangent, y.data, *(x.data for x in given), *(x.grad for x in given)]
        for one, other in itertools.combinations([array for array in arrays if array is not None], 2):
            shared = np.shares_memory(one, other) and any(x.grad is one or x.grad is other for x in given)
            require(not shared, "a gradient shares its memory with another array")
        require(all(x.grad is None or x.grad.flags.writeable for x in given), "a gradient cannot be written to")

    def check_partial(self, example: OpExample) -> None:
        """An input gets the same gradient if it is the only one that requires one."""
        positions = example.float_positions
        full = evaluate(example)[-len(positions) :]
        for expected, position in zip(full, positions, strict=True):
            given = leaves(example.inputs)
            for other in positions:
                given[other].requires_grad = other == position
            *_, gradient = outputs_and_gradients(given, tensors_in(example.call(*given)))
            require(furthest([gradient], [expected]) < 1e-12, f"input {position} alone gets a different gradient")
            others = [given[other].grad for other in positions if other != position]
            require(all(other is None for other in others), "an input that requires no gradient gets one")

    def check_no_grad(self, example: OpExample) -> None:
        """Under no_grad, the result is the same and nothing is recorded."""
        given = leaves(example.inputs)
        with no_grad():
            without = tensors_in(example.call(*given))
        recorded = tensors_in(example.call(*given))
        require(same_bits([y.numpy() for y in without], [y.numpy() for y in recorded]), "no_grad changes the result")
        require(not any(y.requires_grad for y in without), "the op is recorded under no_grad")

    def check_empty(self, example: OpExample) -> None:
        """An empty batch gives an empty result, or a MinidlError that gives the reason."""
        arrays = [np.asarray(x) for x in example.inputs]
        if len({len(x) for x in arrays if x.ndim > 1}) != 1:
            raise NotApplicable("the inputs have no common batch axis")
        try:
            evaluate(example, [x[:0] if x.ndim > 1 else x for x in arrays])
        except (MinidlError, IndexError) as error:
            require(len(str(error)) > 15, f"the error for an empty batch does not state the reason: {error}")

    def check_backends(self, example: OpExample) -> None:
        """The other backends, including the stand-in for CuPy, give the same results as NumPy."""
        if not example.portable:
            raise NotApplicable("for NumPy only")
        for backend in other_backends():
            for dtype, tolerance in ((np.float64, 1e-10), (np.float32, 1e-4)):
                error = furthest(evaluate(example, dtype=dtype, backend=backend), evaluate(example, dtype=dtype))
                require(error < tolerance, f"'{backend}' differs by {error:.2g} in {np.dtype(dtype)}")


def evaluate(
    example: OpExample, inputs: Iterable[Any] | None = None, dtype: Any = np.float64, backend: str = "numpy"
) -> list[Array]:
    """The outputs, and the gradients of all float inputs for random cotangents, as NumPy arrays.

    >>> evaluate(OpExample(lambda x: 3 * x, (np.array([1.0, 2.0]),)))[0]
    array([3., 6.])
    """
    given = leaves(example.inputs if inputs is None else inputs, dtype, backend)
    return outputs_and_gradients(given, tensors_in(example.call(*given)))


def outputs_and_gradients(given: Iterable[Any], outputs: list[Tensor]) -> list[Array]:
    """The second half of :func:`evaluate`: the outputs, and the gradients of the leaves after a backward pass."""
    backward_all(outputs)
    wanted = [x for x in given if isinstance(x, Tensor) and x.requires_grad]
    require(all(x.grad is not None for x in wanted), "an input gets no gradient")
    return [y.numpy().copy() for y in outputs] + [x.backend.to_numpy(x.grad).copy() for x in wanted]


def leaves(inputs: Iterable[Any], dtype: Any = np.float64, backend: str = "numpy") -> list[Any]:
    """Float arrays as leaf tensors that require gradients, in their memory order; other arrays unchanged.

    >>> leaves([[1.0], [2]])
    [tensor([1.], dtype=float64, requires_grad=True), array([2])]
    """
    place = backends.get(backend)
    made = []
    for x in map(np.asarray, inputs):
        if x.dtype.kind != "f":
            made.append(place.asarray(x))
            continue
        view = x.base is not None and not x.flags.c_contiguous and x.dtype == dtype
        array = x if view else x.astype(dtype, order="K")
        made.append(Tensor(place.asarray(array), requires_grad=True))
    return made


def default_inputs(op: Any) -> tuple[Array, ...]:
    """One (2, 3) array of positive values per argument of an op's forward pass, or of a function.

    >>> from minidl import ops
    >>> [x.shape for x in default_inputs(ops.Mul)]
    [(2, 3), (2, 3)]
    """
    function: Any = getattr(op, "forward", op)
    parameters = list(inspect.signature(function).parameters.values())[isinstance(op, type) :]
    count = sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    if count == 0:
        raise MinidlError(f"{op.__name__} takes any number of inputs: pass arrays to check it on")
    return tuple(numbers(2, 3, low=0.3, seed=number) for number in range(count))
