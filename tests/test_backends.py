"""The same ops on other backends: on the strict stand-in for CuPy everywhere, on CuPy itself on a GPU."""

import sys
import types
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, optim
from minidl.errors import BackendError
from minidl.testing import check_backend
from minidl.testing.arrays import numbers
from minidl.testing.check_ops import leaves
from minidl.testing.examples import OPS
from minidl.testing.strict import StrictArray, StrictBackend

from .devices import GPU, no_copies

F = nn.functional


PORTABLE = {name for name, examples in OPS.items() if any(example.portable for example in examples)}


@pytest.mark.parametrize("backend", ["strict", GPU])
def test_the_backend_keeps_its_promises(backend: str) -> None:
    check_backend(backend)


@pytest.mark.parametrize("backend", ["strict", GPU])
def test_results_and_gradients_stay_on_the_device(backend: str) -> None:
    for name in sorted(PORTABLE):
        example = OPS[name][0]
        inputs = leaves(example.inputs, np.float32, backend)
        y = example.call(*inputs)
        y.sum().backward()
        assert y.backend.name == backend, name
        assert all(type(x.grad) is type(x.data) for x in inputs), name


def test_every_op_is_portable_but_for_the_fused_one() -> None:
    assert set(md.plugins.names("op")) - PORTABLE == {"conv2d_relu_max_pool2d"}


def small_network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2D(1, 4, 3, rng=md.Generator(0)),
        nn.ReLU(),
        nn.MaxPooling2D(2),
        nn.BatchNorm(4),
        nn.Flatten(),
        nn.Dense(3 * 4 * 4, 5, rng=md.Generator(1)),
        nn.Tanh(),
        nn.Dense(5, 2, rng=md.Generator(2)),
    )


def steps(backend: str, make: Callable[[Any], optim.Optimizer], count: int = 3) -> tuple[dict[str, Any], list[float]]:
    """A few training steps; the weights afterwards and the losses."""
    model = small_network().to(backend)
    optimizer = make(model.parameters())
    x = md.tensor(numbers(5, 8, 10, 1), dtype=np.float32, backend=backend)
    gender = md.tensor((numbers(5, 1) > 0), dtype=np.float32, backend=backend)
    age = md.tensor(numbers(5, 1, low=1, high=90), dtype=np.float32, backend=backend)
    place: Any = md.backends.get(backend)
    losses = []
    with no_copies(place) if isinstance(place, StrictBackend) else nullcontext():
        for _ in range(count):
            y = model(x)
            loss = F.binary_cross_entropy_with_logits(y[:, :1], gender) + F.l1_loss(y[:, 1:], age)
            optimizer.zero_grad()
            loss.backward()
            optim.clip_grad_norm(model.parameters(), 5.0)
            optimizer.step()
            losses.append(loss)
    return model.state_dict(), [loss.item() for loss in losses]


OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, 0.01, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": lambda p: optim.Adam(p, 0.01),
    "adamw": lambda p: optim.AdamW(p, optim.cosine(0.01, 5)),
    "rmsprop": lambda p: optim.RMSprop(p, 0.01, momentum=0.5, centered=True, weight_decay=0.1),
    "adagrad": lambda p: optim.Adagrad(p, 0.01, lr_decay=0.1, weight_decay=0.1),
}


@pytest.mark.parametrize("backend", ["strict", GPU])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_steps_equal_numpys_without_hidden_copies(name: str, backend: str) -> None:
    weights, losses = steps(backend, OPTIMIZERS[name])
    expected, expected_losses = steps("numpy", OPTIMIZERS[name])
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    for key, value in weights.items():
        np.testing.assert_allclose(value, expected[key], rtol=2e-4, atol=2e-6, err_msg=key)


def test_every_optimizer_is_checked() -> None:
    assert set(md.plugins.names("optimizer")) == {*OPTIMIZERS}


def test_positions_and_clones_stay_on_the_device(strict_backend: StrictBackend) -> None:
    x = md.tensor(numbers(4, 3), backend="strict", requires_grad=True)
    with no_copies(strict_backend):
        y = x.clone()
        positions = [y.argmax(axis=1), y.argmin(keepdims=True)]
        y.sum().backward()
    assert all(isinstance(position.data, StrictArray) for position in positions)


def test_class_labels_on_the_device_are_not_read(strict_backend: StrictBackend) -> None:
    logits = md.tensor(numbers(4, 3), backend="strict", requires_grad=True)
    labels = strict_backend.asarray(np.array([0, 2, 1, 1]))
    with no_copies(strict_backend):
        F.softmax_cross_entropy(logits, labels).backward()


def test_model_and_optimizer_move_and_stay_themselves() -> None:
    model = small_network()
    parameters = model.parameters()
    before = model.state_dict()
    model.to("strict")
    assert all(isinstance(p.data, StrictArray) for p in parameters)
    assert model.parameters() == parameters or [id(p) for p in model.parameters()] == [id(p) for p in parameters]
    after = model.state_dict()
    assert all(type(value) is np.ndarray and np.array_equal(value, before[key]) for key, value in after.items())
    model.load_state_dict(before)
    assert model.parameters()[0].backend.name == "strict"
    model.to("numpy")
    assert all(type(p.data) is np.ndarray for p in parameters)


def test_optimizer_state_goes_to_the_device_of_its_parameter() -> None:
    def adam(backend: str) -> optim.Adam:
        w = nn.Parameter(md.backends.get(backend).asarray(np.ones(3, np.float32)))
        w.name = "w"
        w.grad = w.backend.asarray(np.ones(3, np.float32))
        return optim.Adam([w])

    source, target = adam("numpy"), adam("strict")
    source.step()
    target.load_state_dict(source.state_dict())
    assert isinstance(target.state["w"]["m"], StrictArray)
    assert target.steps == 1


def test_gradients_travel_back() -> None:
    x = md.tensor([1.0, 2.0], requires_grad=True)
    (x.to("strict") * 3).sum().to("numpy").backward()
    np.testing.assert_array_equal(x.grad, [3.0, 3.0])


def test_mixed_backends_are_an_error_that_names_them() -> None:
    with pytest.raises(BackendError, match=r"Add: .* different backends, numpy \(1,\) and strict \(1,\): .*x.to"):
        md.tensor([1.0]) + md.tensor([1.0], backend="strict")


@pytest.mark.parametrize(
    "use",
    [
        lambda x: np.asarray(x),
        lambda x: np.exp(x),
        lambda x: x + np.ones(2),
        lambda x: np.ones(2) + x,
        lambda x: float(x[0]),
        lambda x: bool(x[0] > 0),
        lambda x: list(x),
        lambda x: StrictBackend.xp.exp(np.ones(2)),
        lambda x: x.item(),
    ],
)
def test_the_stand_in_refuses_what_cupy_refuses_or_waits_for(use: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError):
        use(md.tensor([1.0, 2.0], backend="strict").data)


def test_the_stand_in_has_only_what_cupy_has() -> None:
    with pytest.raises(AttributeError, match="'nditer' is not in the list of CuPy's functions"):
        StrictBackend.xp.nditer  # noqa: B018


class FakeRuntimeError(RuntimeError):
    pass


def fake_cupy(devices: Any, total: Any = 3) -> types.ModuleType:
    """A module that imitates the parts of cupy that the backend uses."""

    def count() -> int:
        if isinstance(devices, Exception):
            raise devices
        return int(devices)

    class Zeros:
        def sum(self) -> Any:
            if isinstance(total, Exception):
                raise total
            return total

    module: Any = types.ModuleType("cupy")
    runtime = types.SimpleNamespace(getDeviceCount=count, CUDARuntimeError=FakeRuntimeError)
    module.cuda = types.SimpleNamespace(runtime=runtime)
    module.__version__ = "14.0"
    module.__spec__ = types.SimpleNamespace()
    module.arange = lambda *args, **options: Zeros()
    return module


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (None, r"not installed: pip install cupy-cuda12x \(CUDA 12\) or cupy-cuda13x \(CUDA 13\)$"),
        (fake_cupy(FakeRuntimeError("no driver")), "no usable NVIDIA driver .*nvidia-smi"),
        (fake_cupy(0), "no NVIDIA card.*CUDA_VISIBLE_DEVICES"),
        (fake_cupy(1, RuntimeError("no kernel image")), "cannot compute on the card.*cupy-cuda12x or cupy-cuda13x"),
    ],
)
def test_cupy_says_what_is_missing(module: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", module)
    if module is None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BackendError, match=message):
        md.plugins.build("backend", "cupy")


def test_free_memory_counts_what_cupy_keeps_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = fake_cupy(1)
    module.ndarray = StrictArray
    module.cuda.Device = lambda: types.SimpleNamespace(mem_info=(1000, 5000))
    module.get_default_memory_pool = lambda: types.SimpleNamespace(free_bytes=lambda: 200)
    monkeypatch.setitem(sys.modules, "cupy", module)
    assert md.plugins.build("backend", "cupy").free_memory() == 1200
    assert md.backends.default.free_memory() is None


def test_a_backend_that_is_registered_again_takes_the_place_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    for number in range(2):

        class Array(StrictArray):
            """Of this backend alone."""

        class Again(StrictBackend):
            worth, array_type = number, Array

        monkeypatch.setitem(md.plugins._registered["backend"], "again", Again)
        made.append(md.backends.get("again"))
        assert md.backends.get("again") is made[-1]
    assert [backend.worth for backend in made] == [0, 1]
