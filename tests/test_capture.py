"""Captured training steps, on the emulated GPU and on a real one: the same bits as steps that are computed."""

import itertools
import re
import shutil
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import backends, nn, optim
from minidl.backends.cuda_graph import CaptureError, CudaGraph
from minidl.data import ArrayDataset, DataLoader
from minidl.errors import MinidlError
from minidl.profiler import Profiler
from minidl.totals import Totals
from minidl.traits import Traits

from .test_backends import gpu_problem

F = nn.functional
EMULATED = pytest.mark.skipif(shutil.which("g++") is None, reason="g++, which compiles the kernels, is missing")
GPU = pytest.mark.skipif(gpu_problem() is not None, reason=str(gpu_problem()))
SAMPLES, BATCH = 14, 4


@pytest.fixture(params=[pytest.param("emulated", marks=EMULATED), pytest.param("cupy", marks=[GPU, pytest.mark.gpu])])
def device(request: pytest.FixtureRequest) -> Any:
    return backends.get(request.param)


class Network(nn.Sequential):
    static = True


def network() -> Network:
    rng = md.Generator(0)
    return Network(
        nn.Conv2D(1, 4, 3, rng=rng),
        nn.ReLU(),
        nn.MaxPooling2D(2),
        nn.Conv2D(4, 8, 3, rng=rng),
        nn.ReLU(),
        nn.MaxPooling2D(2),
        nn.Flatten(),
        nn.Dense(8, 6, rng=rng),
        nn.BatchNorm(6),
        nn.ReLU(),
        nn.Dense(6, 1, rng=rng),
    )


def data() -> ArrayDataset:
    rng = np.random.default_rng(0)
    return ArrayDataset(
        rng.random((SAMPLES, 12, 12, 1), np.float32), rng.integers(0, 2, (SAMPLES, 1)).astype(np.float32)
    )


def accuracy(outputs: Any, targets: Any) -> Any:
    return ((outputs > 0) == (targets > 0.5)).mean()


def trainer(
    device: Any, model: nn.Module | None = None, loss: Any = F.binary_cross_entropy_with_logits, capturing: bool = True
) -> md.Trainer:
    """A trainer; ``capturing=False``: one that computes every step, with the same kernels."""
    model = (network() if model is None else model).to(device.name)
    optimizer = optim.Adam(model.parameters(), lr=optim.cosine(0.01, steps=12))
    one = md.Trainer(model, loss, optimizer, {"accuracy": accuracy})
    if not capturing:
        one.captured._capture = one.captured.computed  # type: ignore[method-assign]
    return one


def loader() -> DataLoader:
    return DataLoader(data(), BATCH, shuffle=True)


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every replay of a CUDA graph."""
    counted: list[int] = []
    replay = CudaGraph.replay
    monkeypatch.setattr(CudaGraph, "replay", lambda self: counted.append(1) or replay(self))
    return counted


def test_captured_steps_give_the_bits_of_computed_ones(device: Any, replays: list[int]) -> None:
    """With a schedule, running means, batches of two sizes and validation in between."""
    results = []
    for capturing in (True, False):
        one = trainer(device, capturing=capturing)
        one.fit(loader(), loader(), epochs=3)
        results.append(one)
        assert one.captured.reason is None
        assert one.captured.replays == capturing
    captured, computed = results
    # Three whole batches an epoch, of which the first is computed; the rest is another shape.
    assert len(replays) == 3 * (SAMPLES // BATCH) - 1
    assert captured.history == computed.history
    before, after = captured.model.state_dict(), computed.model.state_dict()
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)


def test_a_captured_step_copies_the_batch_and_nothing_else(device: Any, replays: list[int]) -> None:
    if not hasattr(device, "to_device"):
        pytest.skip("only the emulated GPU counts copies")
    one = trainer(device)
    batch = [device.asarray(array) for array in data().batch(np.arange(BATCH))]
    for _ in range(2):
        one.train_step(*batch)
    before = device.to_device, device.to_host
    for _ in range(2):
        one.train_step(*batch)
    assert len(replays) == 3
    assert (device.to_device, device.to_host) == before


def steps(one: md.Trainer, count: int) -> list[bytes]:
    """The weights after every one of some steps, on one batch."""
    found = []
    for _ in range(count):
        one.train_step(*data().batch(np.arange(BATCH)))
        found.append(b"".join(value.tobytes() for value in one.model.state_dict().values()))
    return found


def change_nothing(one: md.Trainer) -> None:
    pass


def freeze(one: md.Trainer) -> None:
    one.model.parameters()[0].requires_grad = False


def evaluate_a_layer(one: md.Trainer) -> None:
    one.model[8].eval()  # type: ignore[index]


def replace(one: md.Trainer) -> None:
    one.model.load_state_dict({name: value / 2 for name, value in one.model.state_dict().items()})


def in_tf32(one: md.Trainer) -> None:
    backend = one.model.parameters()[0].backend
    if "tf32" not in backend.precisions:
        pytest.skip("this card has no tensor cores for TF32")
    backend.set_precision("tf32")


def replace_a_layer(one: md.Trainer) -> None:
    setattr(one.model, "9", nn.Tanh())


def set_eps(one: md.Trainer) -> None:
    one.model[8].eps = 0.1  # type: ignore[index]


def set_momentum(one: md.Trainer) -> None:
    one.model[8].momentum = 0.5  # type: ignore[index]


def set_size(one: md.Trainer) -> None:
    one.model[2].size = 1  # type: ignore[index]


def replace_a_forward(one: md.Trainer) -> None:
    one.model[9].forward = F.sigmoid  # type: ignore[index]


def set_delta(one: md.Trainer) -> None:
    one.loss.delta = 0.1  # type: ignore[attr-defined]


CHANGES = [change_nothing, freeze, evaluate_a_layer, replace, in_tf32]
ATTRIBUTES = [replace_a_layer, set_eps, set_momentum, set_size, replace_a_forward, set_delta]


@pytest.mark.parametrize("change", CHANGES + ATTRIBUTES)
def test_a_change_of_the_model_leads_to_a_new_capture(
    change: Callable[[md.Trainer], None], device: Any, replays: list[int]
) -> None:
    found = []
    try:
        for capturing in (True, False):
            one = trainer(device, loss=nn.HuberLoss(), capturing=capturing)
            steps(one, 3)
            change(one)
            found.append(steps(one, 3))
            device.set_precision("float32")
    finally:
        device.set_precision("float32")
    assert found[0] == found[1]
    assert len(replays) == (5 if change is change_nothing else 4)


class Watched(Network):
    """A model that is not what it says."""

    def __init__(self, watch: Callable[[md.Tensor], md.Tensor]) -> None:
        super().__init__(*network())
        self.watch = watch

    def forward(self, x: md.Tensor) -> md.Tensor:
        return self.watch(super().forward(x))


def reads_a_number(y: md.Tensor) -> md.Tensor:
    return y * y.sum().item()


def brings_a_number(y: md.Tensor) -> md.Tensor:
    return y * md.tensor(np.ones((BATCH, 1), np.float32), backend=y.backend.name)


def waits(y: md.Tensor) -> md.Tensor:
    y.backend.synchronize()
    return y


def draws_a_number(y: md.Tensor) -> md.Tensor:
    return y * float(md.random.default_rng.random(()))


def test_what_cannot_be_captured_is_computed_and_said(device: Any) -> None:
    reasons = {
        reads_a_number: r"an array of shape \(\) is read on the host",
        brings_a_number: r"an array of shape \(4, 1\) is copied from the host to the device",
        waits: "cudaErrorStreamCaptureUnsupported",
        draws_a_number: "a replay of the captured step does not give what the step gives",
    }
    for watch, reason in reasons.items():
        found = []
        for capturing in (True, False):
            md.seed(3)
            one = trainer(device, Watched(watch), capturing=capturing)
            found.append(steps(one, 4))
            assert not one.captured.replays
            assert re.search(reason if capturing else "^None", str(one.captured.reason)), one.captured.reason
        assert found[0] == found[1], "steps are what they would have been"


def test_cublas_cannot_be_captured(device: Any) -> None:
    model = nn.Dense(3, 1)
    model.static = True
    one = trainer(device, model)
    for _ in range(3):
        one.train_step(np.ones((2, 5, 3), np.float32), np.ones((2, 5, 1), np.float32))
    assert re.match("NotImplementedError: .*cuBLAS", one.captured.reason or ""), one.captured.reason


@pytest.mark.parametrize("use", [lambda y, n: y + n, lambda y, n: y + n * (y - y.detach())], ids=["value", "slope"])
def test_a_replay_must_give_the_loss_and_the_gradients(use: Any, device: Any) -> None:
    """A loss that changes from step to step and its gradients do not, and the other way round."""
    numbers = itertools.count(1)  # which cannot be seen to change
    one = trainer(device, loss=lambda outputs, targets: use(outputs.sum(), next(numbers)))
    steps(one, 3)
    assert one.captured.reason == "a replay of the captured step does not give what the step gives"


class Remembers(Network):
    """A model with a buffer that it replaces."""

    def __init__(self) -> None:
        super().__init__(*network())
        self.last = nn.Buffer(np.zeros((), np.float32))

    def forward(self, x: md.Tensor) -> md.Tensor:
        y = super().forward(x)
        self.last.data = y.data.sum()
        return y


def test_a_model_that_replaces_a_buffer_is_never_alike(device: Any, replays: list[int]) -> None:
    one = trainer(device, Remembers())
    steps(one, 4)
    assert (one.captured.reason, replays) == (None, [])


def test_another_loss_metric_or_algorithm_is_noticed(device: Any, replays: list[int]) -> None:
    found = []
    for capturing in (True, False):
        one = trainer(device, capturing=capturing)
        steps(one, 3)
        one.loss = lambda outputs, targets: F.mse_loss(outputs, targets)
        steps(one, 3)
        one.metrics["least"] = lambda outputs, targets: outputs.min()
        with pytest.raises(MinidlError, match="the metrics became loss, accuracy, least in the middle of an epoch"):
            steps(one, 1)
        one.totals = Totals()
        steps(one, 3)
        with md.using(fusion=False):
            found.append((steps(one, 3), one.totals.state_dict()))
    assert found[0] == found[1]
    assert len(replays) == 2 + 2 + 3 + 2  # the step that fails is the first of a kind


def test_gradients_that_add_up_are_computed(device: Any) -> None:
    """Of parameters that another optimizer has, which steps now and then."""
    found = []
    for capturing in (True, False):
        one = trainer(device, capturing=capturing)
        last = one.model.parameters()[-2:]
        one.optimizer, other = optim.SGD(one.model.parameters()[:-2]), optim.SGD(last, lr=0.1)
        weights = []
        for _ in range(3):
            weights += steps(one, 2)
            other.step()
            other.zero_grad()
        found.append(weights)
    assert found[0] == found[1]


class Differs(nn.Module):
    static = True

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.ones(2, np.float32))

    def forward(self, x: dict[str, md.Tensor]) -> md.Tensor:
        return (x["a"] - x["b"]) * self.weight


def test_batches_in_dictionaries_are_matched_by_their_keys(device: Any, replays: list[int]) -> None:
    found = []
    for capturing in (True, False):
        one = trainer(device, Differs(), loss=F.mse_loss, capturing=capturing)
        x, y = np.array([[1, 2]], np.float32), np.array([[5, 3]], np.float32)
        for batch in ({"a": x, "b": y}, {"a": x, "b": y}, {"b": y, "a": x}):
            one.train_step(batch, np.ones((1, 2), np.float32))
        found.append(one.model.state_dict()["weight"].tobytes())
    assert found[0] == found[1]
    assert len(replays) == 2


def test_what_other_threads_copy_is_no_obstacle(device: Any) -> None:
    graph = CudaGraph(device)

    def work() -> Any:
        other = threading.Thread(target=device.asarray, args=(np.zeros(1),))
        other.start()
        other.join()
        return device.xp.zeros(3)

    graph.run(work)
    assert graph.obstacle is None
    graph.capture(work)


def test_memory_of_a_graph_keeps_its_pool_alive() -> None:
    """Of CuPy's own, an array does not: its memory goes with the pool."""
    pool = SimpleNamespace(malloc=lambda size: SimpleNamespace(ptr=512, size=size))
    cuda = SimpleNamespace(
        Stream=lambda non_blocking: None,
        MemoryPool=lambda: pool,
        Device=lambda: SimpleNamespace(id=1),
        UnownedMemory=lambda *args: args,
        MemoryPointer=lambda memory, offset: (memory, offset),
    )
    backend: Any = SimpleNamespace(xp=SimpleNamespace(cuda=cuda))
    (ptr, size, owner, device), offset = CudaGraph(backend)._malloc(12)
    assert (ptr, size, device, offset) == (512, 12, 1, 0)
    assert owner[0].size == 12
    assert owner[1] is pool


def test_hooks_and_profilers_see_every_step(device: Any, replays: list[int]) -> None:
    one, seen = trainer(device), []
    steps(one, 3)
    assert len(replays) == 2
    remove = one.model[0].add_hook(lambda *_: seen.append(1))  # type: ignore[index]
    steps(one, 2)
    remove()
    with Profiler() as profiler:
        steps(one, 2)
    assert (len(replays), len(seen)) == (2, 2)
    assert "Conv2DReLUMaxPool2D" in {event.op for event in profiler.events}
    steps(one, 1)
    assert len(replays) == 3


def test_a_model_that_does_not_say_that_it_is_static_is_not_captured(device: Any, replays: list[int]) -> None:
    one = trainer(device, nn.Sequential(*network()))
    steps(one, 3)
    assert (one.captured.reason, replays) == ("Sequential does not say that it is static", [])


def test_what_a_graph_cannot_contain_leaves_everything_as_it_was(device: Any) -> None:
    x = device.asarray(np.ones(3, np.float32))
    graph = CudaGraph(device)

    def work() -> None:
        x[...] = x + 1
        device.asarray(np.ones(3))

    with pytest.raises(CaptureError, match="is copied from the host"):
        graph.capture(work)
    np.testing.assert_array_equal(device.to_numpy(x + x), 2)


def test_a_model_may_go_to_another_backend_and_back(device: Any, replays: list[int]) -> None:
    one = trainer(device)
    steps(one, 2)
    one.model.to("numpy")
    one.optimizer, one.totals = optim.SGD(one.model.parameters()), Totals()
    steps(one, 1)
    assert one.captured.reason == "the backend 'numpy' has no CUDA graphs"
    one.model.to(device.name)
    one.totals = Totals()
    steps(one, 2)
    assert one.captured.replays
    assert len(replays) == 2


def test_a_model_that_is_not_static_any_more_is_computed(device: Any, replays: list[int]) -> None:
    one = trainer(device)
    steps(one, 3)
    one.model.static = False
    steps(one, 2)
    assert not one.captured.replays
    assert (one.captured.reason, len(replays)) == ("Network does not say that it is static", 2)
    one.model.static = True
    steps(one, 3)
    assert one.captured.replays


def test_another_algorithm_under_the_same_name_leads_to_a_new_capture(
    device: Any, replays: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trainer(device)
    steps(one, 3)

    class Again(md.plugins.get("conv_algorithm", "direct")):  # type: ignore[misc]
        """Another one."""

    monkeypatch.setitem(md.plugins._registered["conv_algorithm"], "direct", Again)
    steps(one, 3)
    assert len(replays) == 4


@pytest.mark.parametrize("kept", ["whole", "last", "none"])
def test_gradients_that_somebody_keeps_stay_as_they_were(kept: str, device: Any, replays: list[int]) -> None:
    one, copies, arrays = trainer(device), [], []
    for number in range(6):
        one.train_step(*data().batch(np.arange(BATCH) + number))
        gradients = [p.grad for p in one.model.parameters()]
        copies.append([device.to_numpy(gradient).tobytes() for gradient in gradients])
        arrays.append({"whole": gradients, "last": gradients[-1:], "none": []}[kept])
        del gradients
    for expected, found in zip(copies, arrays, strict=True):
        bits = [device.to_numpy(gradient).tobytes() for gradient in found]
        assert bits == expected[len(expected) - len(bits) :]
    assert one.captured.replays
    assert len(replays) == 5
    assert one.captured._gives_copies == (kept != "none")


class Weighted(nn.Module):
    """A loss that learns."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.ones((), np.float32))

    def forward(self, outputs: md.Tensor, targets: Any) -> md.Tensor:
        return F.mse_loss(outputs * self.weight, targets)


def test_a_loss_may_learn_too(device: Any) -> None:
    found = []
    for capturing in (True, False):
        loss: Any = Weighted().to(device.name)
        one = trainer(device, loss=loss, capturing=capturing)
        one.optimizer = optim.SGD([*one.model.parameters(), *loss.parameters()], lr=0.1)
        found.append((steps(one, 5), loss.state_dict()["weight"].tobytes()))
        assert one.captured.replays == capturing
    assert found[0] == found[1]


def test_gradients_that_are_there_before_a_step_are_added_to(device: Any) -> None:
    """Of parameters that another optimizer has, which does not step for a while."""
    found = []
    for capturing in (True, False):
        one = trainer(device, capturing=capturing)
        last = one.model.parameters()[-2:]
        one.optimizer, other = optim.SGD(one.model.parameters()[:-2]), optim.SGD(last, lr=0.1)
        for _ in range(4):
            steps(one, 1)
            other.zero_grad()
        assert one.captured.replays == capturing
        steps(one, 2)
        other.step()
        found.append(steps(one, 1))
    assert found[0] == found[1]


class Layer(nn.Dense):
    pass


class Other(nn.Dense):
    pass


class Trained(nn.Parameter):
    pass


def test_traits_are_all_that_a_model_is_made_of() -> None:
    shared = nn.Dense(2, 2)
    model: Any = nn.Sequential(shared, nn.Sequential(nn.BatchNorm(2), shared))
    model.more = {"list": [nn.Parameter([1.0]), nn.ReLU()], "number": 3, "set": {1}}
    traits = Traits(model)
    assert {id(part) for part in traits.modules} == {id(module) for _, module in model.named_modules()}
    assert {id(part) for part in traits.tensors} == {id(tensor) for _, tensor in model._named_tensors()}
    assert (len(traits.modules), len(traits.tensors)) == (5, 7)
    assert traits == Traits(model)
    assert traits != model
    model.seen = tuple(map(int, ["1024", "1024"]))  # other numbers of the same value are no change
    before = Traits(model)
    model.seen = tuple(map(int, ["1024", "1024"]))
    assert before == Traits(model)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.more.update(number=4),
        lambda model: model.more.update(number=True),
        lambda model: model.more.update(number=1.0),
        lambda model: model.more.update(other=1),
        lambda model: model.more["set"].add(2),
        lambda model: model.more["list"].append(None),
        lambda model: model.more.update(list=tuple(model.more["list"])),
        lambda model: delattr(model, "also"),
        lambda model: (delattr(model, "also"), setattr(model, "then", 0.5)),
        lambda model: setattr(model, "__class__", Network),
        lambda model: setattr(model[0], "__class__", Other),
        lambda model: setattr(model[0].w, "__class__", Trained),
        lambda model: setattr(model.more["list"][0], "__dict__", {**vars(model.more["list"][0]), "new": 1}),
        lambda model: setattr(Layer, "__bases__", (Other,)),
        lambda model: setattr(model[0].w, "data", model[0].w.data.copy()),
        lambda model: setattr(model[0].w, "requires_grad", False),
        lambda model: setattr(model, "rng", md.Generator(0)),
    ],
)
def test_no_change_of_a_model_escapes(change: Any) -> None:
    """Neither who looks again at what was found nor who finds everything anew."""
    Layer.__bases__ = (nn.Dense,)
    model: Any = nn.Sequential(Layer(2, 2))
    model.more = {"list": [nn.ReLU()], "number": 1, "set": {1}}
    model.rng, model.also = md.Generator(0), 0.5
    before = Traits(model)
    assert before.hold()
    change(model)
    assert not before.hold()
    assert before != Traits(model)
