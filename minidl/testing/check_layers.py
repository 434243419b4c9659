"""The requirements for a layer: correct gradients in both modes, a state that can be saved, and no shared state."""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import checkpoint, random
from ..errors import MinidlError
from ..nn import Module
from ..tensor import Tensor, no_grad, tensor
from .arrays import ARRANGEMENTS, backward_all, furthest, numbers, other_backends, same_bits, tensors_in
from .gradcheck import GradcheckResult, gradcheck
from .kit import NotApplicable, Subject, require

Array = Any


@dataclass(frozen=True)
class LayerExample:
    """A function that creates a layer, and a batch x (N, ...) for it.

    >>> from minidl import nn
    >>> example = LayerExample(lambda: nn.Dense(3, 2), np.ones((4, 3)))
    >>> LayerSubject("dense", [example]).run().count("failed")
    0
    """

    make: Callable[[], Module]
    x: Any
    label: str = ""

    def __str__(self) -> str:
        return self.label

    def layer(self, dtype: Any = np.float32) -> Module:
        """A new layer, always with the same nonzero parameters."""
        random.seed(0)
        layer = self.make().astype(dtype)
        for number, parameter in enumerate(layer.parameters()):  # a bias of 0 would hide a wrong gradient
            shift = numbers(*parameter.shape, low=-0.3, high=0.3, seed=number).astype(dtype)
            parameter.data = parameter.data + shift
        return layer

    def batch(self, dtype: Any = np.float32) -> Array:
        """x in this dtype."""
        return np.asarray(self.x).astype(dtype)


class LayerSubject(Subject):
    """A layer with examples of its use, each a :class:`LayerExample`."""

    kind: ClassVar[str] = "layer"

    def __init__(self, name: str, examples: Iterable[LayerExample]) -> None:
        super().__init__(name, examples)

    def gradients(self) -> list[GradcheckResult]:
        """Two gradient checks per example, in training and in evaluation mode."""
        return [_gradcheck(example, mode) for example in self.examples for mode in (True, False)]

    def check_gradient(self, example: LayerExample) -> None:
        """The gradients of input and parameters agree with numerical differentiation, in both modes."""
        for mode in (True, False):
            _gradcheck(example, mode)

    def check_dtype(self, example: LayerExample) -> None:
        """float32 in gives float32 out, outputs and gradients; float64 the same after astype."""
        for dtype in (np.float32, np.float64):
            for mode in (True, False):
                layer = example.layer(dtype).train(mode)
                for array in _run(layer, example.batch(dtype)):
                    require(array.dtype == dtype, f"{np.dtype(dtype)} inputs gave {array.dtype}")

    def check_inputs_unchanged(self, example: LayerExample) -> None:
        """The forward and backward passes modify neither the input nor the parameters."""
        layer, x = example.layer(), example.batch()
        before, parameters = x.copy(), {p.name: p.numpy().copy() for p in layer.parameters()}
        x.flags.writeable = False
        try:
            _run(layer, x, copy=False)
        except ValueError as error:
            require("read-only" not in str(error), f"it writes to its input ({error})")
            raise
        require(same_bits([x], [before]), "it changes its input")
        for parameter in layer.parameters():
            require(same_bits([parameter.numpy()], [parameters[parameter.name]]), f"it changes {parameter.name}")

    def check_memory_order(self, example: LayerExample) -> None:
        """Transposed, strided and reversed batches give the same results as contiguous ones."""
        expected = _run(example.layer(np.float64).eval(), example.batch(np.float64))
        for arrange in ARRANGEMENTS:
            got = _run(example.layer(np.float64).eval(), arrange(example.batch(np.float64)), copy=False)
            error = furthest(got, expected)
            require(error < 1e-11, f"a batch in {arrange.__name__} memory order changes the result ({error:.2g})")

    def check_batches(self, example: LayerExample) -> None:
        """In evaluation mode, samples are independent: a batch gives the same results as its samples one by one."""
        layer, x = example.layer(np.float64).eval(), example.batch(np.float64)
        with no_grad():
            whole = tensors_in(layer(Tensor(x)))
            single = [tensors_in(layer(Tensor(x[n : n + 1]))) for n in range(len(x))]
        for place, y in enumerate(whole):
            one_by_one = np.concatenate([outputs[place].numpy() for outputs in single])
            error = furthest([y.numpy()], [one_by_one])
            require(error < 1e-10, f"a sample's output depends on the others of its batch ({error:.2g})")

    def check_empty(self, example: LayerExample) -> None:
        """An empty batch gives an empty result, or a MinidlError that gives the reason."""
        layer = example.layer().eval()
        try:
            outputs = tensors_in(layer(tensor(example.batch()[:0])))
        except MinidlError as error:
            require(len(str(error)) > 15, f"the error for an empty batch does not state the reason: {error}")
        else:
            require(all(len(y) == 0 for y in outputs), f"an empty batch gives {[y.shape for y in outputs]}")

    def check_repeats(self, example: LayerExample) -> None:
        """The same seed gives bitwise equal parameters, outputs and gradients."""
        one, other = (_run(example.layer(), example.batch()) for _ in range(2))
        require(same_bits(one, other), "two layers created from the same seed differ: draw from minidl's generator")

    def check_instances(self, example: LayerExample) -> None:
        """Two layers share no state: using one does not affect the other."""
        if _random(example):
            raise NotApplicable("random in training")
        expected = _run(example.layer(), example.batch())
        layer, other = example.layer(), example.make()
        for parameter in other.parameters():
            parameter.data = parameter.data + np.ones_like(parameter.data)
        outputs = tensors_in(layer(x := tensor(example.batch(), requires_grad=True)))
        backward_all(tensors_in(other(tensor(0.5 * example.batch(), requires_grad=True))))
        backward_all(outputs)
        got = [*(y.numpy() for y in outputs), x.grad]
        require(same_bits(got, expected[: len(got)]), "another layer of this class changes the results of this one")

    def check_parameters(self, example: LayerExample) -> None:
        """Every parameter has a unique name and, unless it is frozen, gets a gradient."""
        layer = example.layer()
        names = [parameter.name for parameter in layer.parameters()]
        require(len(set(names)) == len(names) and all(names), f"the parameters are named {names}")
        _run(layer, example.batch())
        without = [p.name for p in layer.parameters() if p.requires_grad and p.grad is None]
        require(not without, f"no gradient arrives at {', '.join(map(str, without))}")

    def check_state(self, example: LayerExample) -> None:
        """A new layer that loads the saved state of another gives the same results."""
        layer, x = example.layer(), example.batch()
        _run(layer, x)  # updates running averages
        with tempfile.TemporaryDirectory() as folder:
            checkpoint.save(f"{folder}/layer.safetensors", layer.state_dict())
            state = checkpoint.load(f"{folder}/layer.safetensors")
        random.seed(1)
        other = example.make()
        other.load_state_dict(state)
        one, two = ([y.numpy() for y in tensors_in(each.eval()(tensor(x)))] for each in (layer, other))
        require(same_bits(one, two), "a layer gives other results after saving and loading: keep its state in Buffers")

    def check_evaluation(self, example: LayerExample) -> None:
        """In evaluation mode, nothing is random, and the state does not change."""
        layer, x = example.layer().eval(), tensor(example.batch())
        state = layer.state_dict()
        one, two = ([y.numpy() for y in tensors_in(layer(x))] for _ in range(2))
        require(same_bits(one, two), "two calls in evaluation mode differ: check self.training")
        after = layer.state_dict()
        require(same_bits(state.values(), after.values()), "a call in evaluation mode changes the state of the layer")

    def check_wrong_channels(self, example: LayerExample) -> None:
        """An input with a wrong number of channels raises an error that names the layer and the shape of the input."""
        layer, x = example.layer(), example.batch()
        if not layer.parameters():
            raise NotApplicable("a layer without parameters takes any number of channels")
        wrong = np.concatenate([x, x[..., :1]], axis=-1)
        try:
            layer(tensor(wrong))
        except MinidlError as error:
            text = str(error)
            require(type(layer).__name__ in text or error.where, f"the error does not name the layer: {text}")
            require(
                "got (" in text,
                f'the error lacks the shape of the input, as in ShapeError(f"expected ..., got {{x.shape}}"): {text}',
            )
        else:
            require(False, f"it expects {x.shape}, but accepts {wrong.shape}")

    def check_backends(self, example: LayerExample) -> None:
        """The other backends, including the stand-in for CuPy, give the same results as NumPy."""
        for backend in other_backends():
            for mode in (True, False):
                expected = _run(example.layer(np.float64).train(mode), example.batch(np.float64))
                got = _run(example.layer(np.float64).train(mode).to(backend), example.batch(np.float64), backend)
                error = furthest(got, expected)
                require(error < 1e-10, f"'{backend}' differs by {error:.2g}")


def _gradcheck(example: LayerExample, mode: bool) -> GradcheckResult:
    return gradcheck(_Repeated(example.layer(np.float64).train(mode)), example.batch(np.float64))


class _Repeated(Module):
    """A layer that draws the same random numbers in every call."""

    def __init__(self, layer: Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Any:
        with random.rewound(dict(self.layer.named_generators())):
            return self.layer(x)


def _random(example: LayerExample) -> bool:
    """Whether two calls in training mode differ."""
    layer, x = example.layer(), tensor(example.batch())
    one, two = ([y.numpy() for y in tensors_in(layer(x))] for _ in range(2))
    return not same_bits(one, two)


def _run(layer: Module, x: Array, backend: str = "numpy", copy: bool = True) -> list[Array]:
    """The outputs of a layer, and the gradients of its input and its parameters, as NumPy arrays."""
    leaf = tensor(x, backend=backend, requires_grad=True) if copy else Tensor(x, requires_grad=True)
    outputs = tensors_in(layer(leaf))
    require(outputs and all(y.requires_grad for y in outputs), "an output does not depend on the input")
    backward_all(outputs)
    wanted = [leaf, *layer.parameters()]
    gradients = [p.backend.to_numpy(p.grad) for p in wanted if p.grad is not None]
    return [*(y.numpy() for y in outputs), *gradients]
