"""``python -m tests.benchmarks.gpu`` on the emulated GPU: its checks, errors and output, not its figures."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minidl import backends, nn, plugins
from minidl.command import status
from minidl.data import ArrayDataset
from minidl.errors import BackendError
from minidl.testing.arrays import distance
from tests.benchmarks import gpu
from tests.benchmarks.gpu import kernels, speed
from tests.benchmarks.gpu.__main__ import main
from tests.devices import NEEDS_COMPILER, no_copies

pytestmark = NEEDS_COMPILER

LAYERS = ((12, 1, 8), (9, 8, 12))


@pytest.fixture
def device() -> Any:
    return backends.get("emulated")


class Training:
    """The interface of all frameworks, with the losses ``losses`` again and again."""

    def __init__(self, *losses: float) -> None:
        self.losses, self.count, self.predicted = losses, 0, 0

    def put(self, batch: Any) -> Any:
        return batch

    def step(self, images: Any, targets: Any) -> float:
        self.count += 1
        return self.losses[(self.count - 1) % len(self.losses)]

    def __call__(self, images: Any, targets: Any) -> float:
        return float(self.step(images, targets))

    def predict(self, images: Any) -> None:
        self.predicted += 1


def variant(name: str, *losses: float, **options: Any) -> speed.Variant:
    return speed.Variant(name, lambda weights, precision: Training(*losses), **options)


def fails(weights: Any, precision: str) -> Any:
    raise RuntimeError("no\nGPU")


@pytest.mark.slow
def test_all_kernels_are_right_at_every_precision(device: Any) -> None:
    checks = kernels.check(device, seed=1, batch=2, layers=LAYERS)
    assert all(check.passed for check in checks)
    assert {check.precision for check in checks} == {"float32", "tf32"}
    assert any(check.error > 1e-5 for check in checks if check.precision == "tf32")
    assert any(check.kernel.startswith("implicit_gemm, pooled") for check in checks)
    assert device.precision == "float32"


WRONG = {
    "relu_backward": "ReLU, backward",
    "sum_to_channels": "sums over rows",
    "max_pool_backward": "max pooling",
    "mean_loss": "Huber loss",
    "mean_loss_backward": "L1 loss",
    "softmax_cross_entropy_backward": "softmax cross-entropy",
    "gather_images": "pictures of a batch",
    "matmul": "matrix product",
}
"""Methods of a backend, and the check that must notice a wrong one."""


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("how", ["a little", "unwritten"])
def test_a_kernel_that_is_wrong_does_not_pass(
    wrong: str, how: str, device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(device, wrong)

    def broken(*arguments: Any) -> Any:
        result = right(*arguments)
        return 1.001 * result if how == "a little" else device.xp.empty(result.shape, result.dtype)

    monkeypatch.setattr(device, wrong, broken)
    monkeypatch.setattr(type(device), "precisions", ("float32",))
    monkeypatch.setattr(kernels, "OTHERS", {WRONG[wrong]: kernels.OTHERS[WRONG[wrong]]})
    checks = kernels.check(device, seed=1, batch=1, layers=LAYERS[:1])
    assert WRONG[wrong] in {check.kernel for check in checks if not check.passed}


def test_a_step_of_adam_that_is_not_made_does_not_pass(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "adam", lambda *arguments: None)
    checks = kernels.check(device, seed=1, batch=1, layers=LAYERS[:1])
    assert {check.kernel for check in checks if not check.passed} == {"Adam"}


def test_a_softmax_cross_entropy_that_is_wrong_does_not_pass(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right = device.softmax_cross_entropy
    monkeypatch.setattr(device, "softmax_cross_entropy", lambda x, labels: right(1.001 * x, labels))
    checks = kernels.check(device, seed=1, batch=1, layers=LAYERS[:1])
    assert {check.kernel for check in checks if not check.passed} == {"softmax cross-entropy"}


def test_an_argmax_that_is_wrong_does_not_pass(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm: Any = plugins.get("conv_algorithm", "implicit_gemm")
    right = algorithm.forward_pooled

    def broken(*arguments: Any) -> Any:
        y, pooled = right(*arguments)
        return y, replace(pooled, argmax=pooled.argmax ^ 1)

    monkeypatch.setattr(algorithm, "forward_pooled", broken)
    checks = kernels.check(device, seed=1, batch=1, layers=LAYERS)
    assert [check.kernel[:21] for check in checks if not check.passed] == ["implicit_gemm, pooled"] * 2


def test_memory_is_poisoned_where_it_comes_from_cupy() -> None:
    said: list[Any] = []

    class Memory:
        def memset_async(self, value: int, size: int, stream: str) -> None:
            said.append((value, size, stream))

    class UsingAllocator:
        def __init__(self, malloc: Any) -> None:
            self.malloc = malloc

        def __enter__(self) -> None:
            assert isinstance(self.malloc(12), Memory)
            assert isinstance(self.malloc(0), Memory)

        def __exit__(self, *error: object) -> None:
            said.append("left")

    cuda = SimpleNamespace(using_allocator=UsingAllocator, get_current_stream=lambda: "stream")
    pool = SimpleNamespace(malloc=lambda size: Memory())
    with kernels.poisoned(SimpleNamespace(cuda=cuda, get_default_memory_pool=lambda: pool)):
        assert said == [(0xFF, 12, "stream")]
    assert said[1:] == ["left"]


def test_works_take_turns_and_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(speed, "ROUND", 0.0)
    works: dict[str, Any] = {name: (lambda name=name: said.append(name)) for name in "ab"}
    taken = speed.race(works, lambda: said.append("|"), rounds=3)
    assert {name: len(rounds) for name, rounds in taken.items()} == {"a": 3, "b": 3}
    assert "".join(said) == "|aaa||a||bbb||b|" + 3 * "|a||b|"


def test_who_cannot_be_measured_gets_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "ROUND", 0.0)
    variants = (
        variant("minidl", 2.0, 1.0),
        variant("same", 2.0004, 1.0),
        variant("other", 2.0, 1.1),
        speed.Variant("broken", fails),
        variant("slow", 2.0, 1.0, compiles=True),
    )
    left = iter([1000.0, 10.0])
    rows = speed.steps(variants, [1, 2], ["float32"], lambda: None, lambda: next(left))["rows"]
    assert [(row["precision"], row["batch"]) for row in rows] == [("float32", 1), ("float32", 2)]
    assert [list(row["train"]) for row in rows] == [["minidl", "same", "slow"], ["minidl", "same"]]
    assert list(rows[0]["predict"]) == list(rows[0]["train"])
    assert rows[1]["reasons"] == {
        "other": "does not compute the same: losses [2.0, 1.1], expected [2.0, 1.0]",
        "broken": "RuntimeError: no GPU",
        "slow": "not enough time left to compile",
    }


def test_if_minidl_itself_fails_that_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no\nGPU"):
        speed.steps([speed.Variant("minidl", fails)], [1], ["float32"], lambda: None, lambda: 0.0)


class Small(nn.Module):
    """The layers and heads of the documented network, for 12x12 images."""

    static = True

    def __init__(self, rng: Any = None) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2D(1, 8, 3, rng=rng), nn.ReLU(), nn.MaxPooling2D(2), nn.Conv2D(8, 12, 3, rng=rng), nn.Flatten()
        )
        self.gender, self.age = (nn.Dense(108, 1, rng=rng) for _ in range(2))

    def forward(self, x: Any) -> dict[str, Any]:
        features = self.features(x)
        return {"gender": self.gender(features), "age": self.age(features)}


def test_minidls_own_training_keeps_to_the_device_and_its_precision(
    device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps and inference have NumPy's loss and gradients, no hidden copies, and a CUDA graph."""
    monkeypatch.setitem(plugins._registered["model"], "documented", Small)
    training = speed.minidl_on(device).make(speed.ours.weights(seed=0), "float32")
    images, targets = speed.ours.random_batch(1)
    images = images[:, :12, :12]
    batch = training.put((images, targets))
    with no_copies(device):
        loss = training.step(*batch)
        training.predict(batch[0])
    other = speed.ours.Training(speed.ours.weights(seed=0))
    assert device.to_numpy(loss) == pytest.approx(other(images, targets), rel=1e-4)
    for mine, expected in zip(training.model.parameters(), other.model.parameters(), strict=True):
        assert distance(device.to_numpy(mine.grad), expected.grad) < 1e-3, mine.name
    training.step(*batch)
    assert training.captured.replays, training.captured.reason


@pytest.fixture
def card(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulated GPU in place of a real one, with a small network of few layers."""
    properties = {"name": b"Card 1", "totalGlobalMem": 80 * 2**30}
    runtime = SimpleNamespace(
        getDeviceProperties=lambda number: properties, driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13010
    )
    one = SimpleNamespace(synchronize=lambda: None, id=0, compute_capability="90")
    cuda = SimpleNamespace(**vars(device.xp.cuda) | {"runtime": runtime, "Device": lambda: one})
    monkeypatch.setattr(device.xp, "cuda", cuda, raising=False)
    get = backends.get
    monkeypatch.setattr(backends, "get", lambda name: device if name == "cupy" else get(name))
    monkeypatch.setattr(kernels, "LAYERS", LAYERS)
    check, ceilings = kernels.check, speed.ceilings
    monkeypatch.setattr(kernels, "check", lambda backend, seed: check(backend, seed, 1, LAYERS))
    monkeypatch.setattr(speed, "ceilings", lambda backend: ceilings(backend, 8, 64))
    names = {True: "minidl", False: "minidl, without a CUDA graph"}
    monkeypatch.setattr(speed, "minidl_on", lambda backend, graph=True: variant(names[graph], 2.0, 1.0))
    monkeypatch.setattr(speed, "PYTORCH", (variant("PyTorch, eager", 2.0, 1.0), speed.Variant("PyTorch, other", fails)))
    monkeypatch.setattr(speed.ours, "weights", lambda seed: {})
    monkeypatch.setattr(speed.ours, "Training", lambda weights, backend: Training(1.0))
    monkeypatch.setattr(speed, "ROUND", 0.0)
    monkeypatch.setattr(gpu, "LAYER_BATCH", 1)
    monkeypatch.setattr(gpu, "SIZES", (2,))


def test_the_command_writes_a_page(
    card: None, device: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "measured").mkdir()
    monkeypatch.setattr(plugins, "build", lambda kind, name, *data: ArrayDataset(np.zeros(300), np.zeros(300)))
    assert main(["--seed", "5", "--data", "faces", "--write", str(tmp_path)]) == 0
    text = (tmp_path / "benchmarks-gpu.md").read_text()
    assert capsys.readouterr().out == text + "\n"
    result = json.loads((tmp_path / "measured" / "gpu.json").read_text())
    assert result["seed"] == 5
    assert "Card 1, 80 GiB, compute capability 90, driver\n13000, CUDA 13010" in text
    assert f"All {len(result['kernels'])} are right." in text
    assert text.count("| implicit_gemm | tf32 |") == 2  # forward and backward
    assert "| PyTorch, eager |" in text
    assert "- PyTorch, other, batch 2, tf32: RuntimeError: no GPU" in text
    assert "| float32 | 128 | 256 |" in text
    assert device.precision == "float32"


def test_a_wrong_kernel_is_shown_and_the_status_is_1(
    card: None, device: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = device.matmul
    monkeypatch.setattr(device, "matmul", lambda a, b: 1.1 * right(a, b))
    assert main([]) == 1
    out = capsys.readouterr().out
    assert "10 of 34 are WRONG." in out  # convolutions as matrix products, too
    assert "| **WRONG** matrix product | float32 |" in out
    assert "An epoch" not in out


def test_json_has_every_round(card: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "check", lambda backend, seed: [])
    assert main(["--json"]) == 0
    (row, _) = json.loads(capsys.readouterr().out)["rows"]
    assert len(row["train"]["minidl"]) == 5


def test_without_a_gpu_it_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def get(name: str) -> Any:
        raise BackendError("CuPy finds no NVIDIA card: check nvidia-smi")

    monkeypatch.setattr(backends, "get", get)
    assert status(lambda: main([])) == 2
    assert "error: CuPy finds no NVIDIA card" in capsys.readouterr().err
    assert status(lambda: main(["--write", str(tmp_path)])) == 2
    assert "is not the docs folder of a checkout" in capsys.readouterr().err
