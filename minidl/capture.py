"""Training steps as CUDA graphs: the forward and the backward pass of a step in one launch.

Everything up to the gradients is captured; the optimizer updates as usual, so that learning rates, schedules, clipping
and custom optimizers are not affected. See :mod:`minidl.backends.cuda_graph`.
"""

import operator
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from . import backends, nested, plugins, random
from .backends import choice
from .backends.cuda_graph import CudaGraph
from .grad_mode import mode
from .nn import Module
from .references import ARE_COUNTED
from .traits import Traits, Unseen

Array = Any
Compute = Callable[..., Array]


class CapturedStep(Unseen):
    """A faster ``compute(inputs, targets, model, *others)``, which returns an array and sets the gradients of a model.

    The second of two consecutive batches with the same shapes is computed and captured. Later batches of these shapes
    are copied into the captured arrays, and the step is replayed. The step is captured only if a replay reproduces the
    array and the gradients of that batch bit for bit. Other shapes, such as the last batch of an epoch, are computed as
    usual, and so are steps that accumulate gradients. Any change of the model, of ``others``, such as a loss, of
    ``compute``, plugins, the precision or the algorithms leads to a new capture: :mod:`minidl.traits` describes which
    changes are detected. While there are hooks or a profiler, every step is computed.

    Captures only models with ``static = True``, see :class:`minidl.nn.Module`, and only on backends with CUDA graphs:
    ``reason`` is why a step is not captured. ``compute`` may change the model and objects that it depends on, but no
    other tensors, and may draw random numbers only from ``minidl.random.default_rng`` and the generators in the model.

    Gradients that the caller keeps, also as a view, are not overwritten: the next replay writes to other memory.

    >>> import numpy as np
    >>> from minidl import nn
    >>> step = CapturedStep(lambda inputs, targets, model: inputs + targets)
    >>> step(np.ones(2), np.ones(2), nn.Dense(1, 1)), step.reason
    (array([2., 2.]), "the backend 'numpy' has no CUDA graphs")
    """

    def __init__(self, compute: Compute) -> None:
        self.compute = compute
        self.reason: str | None = None
        self._known: Any = None
        self._last: Any = None
        self._noticed: Traits | None = None
        self._captured: _Captured | None = None
        self._gives_copies = not ARE_COUNTED

    def __reduce__(self) -> Any:
        return CapturedStep, (self.compute,)  # a copied or unpickled object has its own memory, used by no graph

    @property
    def replays(self) -> bool:
        """Whether a CUDA graph was captured, to be replayed for steps of the same kind."""
        return self._captured is not None

    def __call__(self, inputs: Any, targets: Any, model: Module, *others: Any) -> Array:
        self._look_whether_it_is_possible(model)
        read = (model, *others)
        circumstances = self._circumstances(inputs, targets, read) if self.reason is None else None
        if circumstances is None:
            return self.computed(inputs, targets, *read)
        alike, self._last = circumstances == self._last, circumstances
        if self._captured is not None and self._captured.circumstances == circumstances:
            if self._gives_copies or not self._captured.is_kept():
                return self._captured.replay(inputs, targets, copies=self._gives_copies)
            self._gives_copies, self._captured = True, None  # the caller keeps its memory
        return self._capture(inputs, targets, *read) if alike else self.computed(inputs, targets, *read)

    def computed(self, inputs: Any, targets: Any, model: Module, *others: Any) -> Array:
        """The step without a CUDA graph; bit for bit the same for a static model, so that resumed runs reproduce."""
        backend = _backend_of(model)
        if not model.static or not isinstance(backend, backends.DeviceBackend):
            return self.compute(inputs, targets, model, *others)
        with backend.only_capturable():
            return self.compute(inputs, targets, model, *others)

    def _look_whether_it_is_possible(self, model: Module) -> None:
        backend, static = _backend_of(model), model.static
        if (backend, static) == self._known:
            return
        self._known, self._captured, self.reason = (backend, static), None, None
        if not backend.has_cuda_graphs:
            self.reason = f"the backend '{backend.name}' has no CUDA graphs"
        elif not static:
            self.reason = f"{type(model).__name__} is not declared static"

    def _traits(self, read: tuple[Any, ...]) -> Traits:
        """The traits of everything that a step depends on, except the batch."""
        roots = [*read, self.compute, *plugins.registered("conv_algorithm").values()]
        if self._noticed is None or not self._noticed.hold(*roots):
            self._noticed = Traits(*roots)
        return self._noticed

    def _capture(self, inputs: Any, targets: Any, *read: Any) -> Array:
        """Compute the step and capture it, or set ``reason`` if that is not possible; returns its result."""
        self._captured = None
        graph = CudaGraph(_backend_of(read[0]))
        fixed = nested.map_leaves(lambda array: array.copy(), (inputs, targets))
        traits = self._traits(read)
        before = _State(traits)
        values = graph.run(lambda: self.compute(*fixed, *read))
        after = _State(traits)
        self.reason = graph.obstacle
        if self.reason is None:
            before.rewind()
            try:
                replayed = graph.capture(lambda: self.compute(*fixed, *read))
                graph.replay()
            except Exception as error:  # CuPy and CUDA may raise anything, and the step is already computed
                self.reason = f"{type(error).__name__}: {error}"
            else:
                self._keep(_Captured(graph, fixed, replayed, _State(traits)), values, after, read)
        after.restore_generators()
        if self._captured is None:
            after.restore()
            return values
        return self._captured.result(copies=self._gives_copies)

    def _keep(self, captured: "_Captured", values: Array, after: "_State", read: tuple[Any, ...]) -> None:
        """Keep a captured step if its replay reproduced the results of the computed step."""
        if _bits(captured.values) == _bits(values) and _bits(captured.state.contents) == _bits(after.contents):
            captured.circumstances = self._all_circumstances(captured.fixed, self._traits(read))
            self._captured = captured
        else:
            self.reason = "a replay of the captured step does not reproduce its results"

    def _circumstances(self, inputs: Any, targets: Any, read: tuple[Any, ...]) -> Any:
        """Everything that determines the operations of a step, but not the values of the batch.

        None if the step must be computed, because there are hooks or gradients to accumulate.
        """
        traits = self._traits(read)
        self.reason = traits.obstacle
        if self.reason is not None or any(module.has_hooks for module in traits.modules):
            return None
        if any(tensor.grad is not None for tensor in traits.tensors):
            return None
        return self._all_circumstances((inputs, targets), traits)

    def _all_circumstances(self, batch: tuple[Any, Any], traits: Traits) -> Any:
        shapes = nested.outline(batch, lambda array: (array.shape, array.dtype))
        without_grad, precision = mode.without_grad > 0, _backend_of(traits.roots[0]).precision
        return shapes, traits, self.compute, precision, choice.current(), plugins.changes(), without_grad


class _State:
    """What a step changes: gradients, buffers such as running means, other arrays on the device, and the states of
    random generators."""

    def __init__(self, traits: Traits) -> None:
        self.gradients = [(tensor, tensor.grad) for tensor in traits.tensors if tensor.requires_grad]
        self.buffers = [(tensor, tensor.data) for tensor in traits.tensors if not tensor.requires_grad]
        self.copies = [(array, array.copy()) for array in (*(data for _, data in self.buffers), *traits.arrays)]
        held = [thing for thing in traits.things if isinstance(thing, np.random.Generator)]
        self.generators = [(one, one.bit_generator.state) for one in (random.default_rng, *held)]

    @property
    def contents(self) -> list[Array]:
        return [gradient for _, gradient in self.gradients] + [copy for _, copy in self.copies]

    def restore(self) -> None:
        self.rewind()
        self.restore_generators()
        for tensor, gradient in self.gradients:
            tensor.grad = gradient

    def restore_generators(self) -> None:
        for generator, state in self.generators:
            generator.bit_generator.state = state

    def rewind(self) -> None:
        """Restore the arrays and clear the gradients, so that the captured step does not accumulate."""
        for tensor, data in self.buffers:
            tensor.data = data
        for array, copy in self.copies:
            if backends.is_writable(array):
                array[...] = copy
        for tensor, _ in self.gradients:
            tensor.grad = None


@dataclass
class _Captured:
    """A CUDA graph, the memory that it reads and writes, and the circumstances for which it is valid."""

    graph: CudaGraph
    fixed: tuple[Any, Any]
    values: Array
    state: _State
    circumstances: Any = None

    def __post_init__(self) -> None:
        arrays, memory = self._count_references()
        self.references = [count - 1 for count in arrays], memory  # the tensors refer to them now, but not in is_kept

    def _count_references(self) -> tuple[list[int], list[int]]:
        """The number of references to each gradient and to its memory, to which every view has one."""
        gradients = [gradient for _, gradient in self.state.gradients if gradient is not None]
        return [sys.getrefcount(one) for one in gradients], [sys.getrefcount(one.data.mem) for one in gradients]

    def is_kept(self) -> bool:
        """Whether the caller keeps a gradient of the last replay, or a view of one; the tensors have none now."""
        arrays, memory = self._count_references()
        return any(map(operator.gt, (*arrays, *memory), chain(*self.references)))

    def replay(self, inputs: Any, targets: Any, copies: bool) -> Array:
        """The step on another batch: its values, valid until the next replay."""
        for fixed, array in zip(nested.leaves(self.fixed), nested.leaves((inputs, targets)), strict=True):
            fixed[...] = array
        self.graph.replay()
        return self.result(copies)

    def result(self, copies: bool) -> Array:
        """Set the replayed gradients, or copies of them, and return the values."""
        for tensor, gradient in self.state.gradients:
            tensor.grad = gradient.copy() if copies and gradient is not None else gradient
        return self.values


def _backend_of(model: Module) -> Any:
    return next(tensor for _, tensor in model.named_tensors()).backend


def _bits(values: Any) -> list[bytes]:
    """The bytes of all arrays; ignores None."""
    arrays = (array for array in nested.leaves(values) if array is not None)
    return [backends.to_host(array).tobytes() for array in arrays]
