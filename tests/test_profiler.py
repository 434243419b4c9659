"""The cost table: everything is counted once, and the profiled object is unchanged."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, optim
from minidl.callbacks import ProfileSteps
from minidl.data import ArrayDataset, DataLoader
from minidl.errors import MinidlError
from minidl.op import Op

from .elsewhere import in_a_thread
from .training import assert_same

IMAGES = np.random.default_rng(0).random((8, 20, 20, 8), np.float32)


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2D(8, 16, 3, algorithm="winograd"), nn.ReLU(), nn.MaxPooling2D(2),
        nn.BatchNorm(16), nn.Dropout(0.5), nn.Flatten(), nn.Dense(9 * 9 * 16, 3),
    )  # fmt: skip


def test_rows_name_layer_op_and_algorithm() -> None:
    rows = {(row.layer, row.op): row for row in md.profile(network(), IMAGES).rows()}
    conv = rows["0", "Conv2DReLUMaxPool2D"]
    assert conv.algorithm == "winograd"
    assert conv.calls == 1
    assert min(conv.forward, conv.backward) > 0
    dense = rows["6", "Linear"]
    # forward, and as much again for the gradient of each factor
    assert dense.flops == pytest.approx(3 * (2 * 8 * (9 * 9 * 16) * 3 + 8 * 3))
    assert dense.nbytes == pytest.approx(2 * 4 * (8 * 1296 + 1296 * 3 + 3 + 8 * 3))


def test_the_sums_are_the_time_that_passed() -> None:
    profiler = md.profile(network(), IMAGES, steps=3)
    assert sum(row.total for row in profiler.rows()) * 3 == pytest.approx(1e3 * profiler.seconds)
    assert sum(row.total for row in profiler.rows("op")) * 3 == pytest.approx(1e3 * profiler.seconds)
    measured = sum(event.seconds for event in profiler.events)
    assert 0 < measured <= profiler.seconds


def test_the_model_is_left_as_it_was() -> None:
    model, before = network(), Op.record
    model(md.tensor(IMAGES)).sum().backward()
    state, gradients = model.state_dict(), [p.grad.copy() for p in model.parameters()]
    random_state = md.random.default_rng.state
    md.profile(model, IMAGES)
    assert_same(model.state_dict(), state)
    assert all(np.array_equal(p.grad, kept) for p, kept in zip(model.parameters(), gradients, strict=True))
    assert md.random.default_rng.state == random_state
    assert Op.record is before


def test_the_input_is_left_as_it_was() -> None:
    x = md.tensor(IMAGES, requires_grad=True)
    (x * 3).sum().backward()
    md.profile(network(), x)
    assert np.array_equal(x.grad, np.full(IMAGES.shape, 3, np.float32))
    (y := x * 2).retain_grad()
    md.profile(network(), y)
    y.sum().backward()  # the graph of y still exists
    assert np.array_equal(x.grad, np.full(IMAGES.shape, 5, np.float32))


def test_what_other_threads_do_is_not_measured() -> None:
    def other() -> None:
        md.tensor(IMAGES).sum()

    with md.Profiler() as profiler:
        in_a_thread(other)
        md.tensor(IMAGES).mean()
    assert [event.op for event in profiler.events] == ["Mean"]


def test_wrong_words_are_named() -> None:
    with pytest.raises(MinidlError, match="the number of steps must be an integer >= 1, got 0"):
        md.profile(network(), IMAGES, steps=0)
    with pytest.raises(MinidlError, match="expected by='layer' or by='op', got by='ops'"):
        md.profile(network(), IMAGES, steps=1).table(by="ops")


def test_without_gradients_the_forward_pass_alone_is_profiled() -> None:
    frozen = network()
    for parameter in frozen.parameters():
        parameter.requires_grad = False
    profiler = md.profile(frozen, IMAGES)
    with md.no_grad():
        inside = md.profile(network(), IMAGES)
    for rows in (profiler.rows(), inside.rows()):
        conv = next(row for row in rows if row.layer == "0")
        assert (conv.op, conv.backward) == ("Conv2DReLUMaxPool2D", 0)
        assert conv.forward > 0
    wants_dx = md.profile(frozen, md.tensor(IMAGES, requires_grad=True))
    assert next(row for row in wants_dx.rows() if row.layer == "0").backward > 0


def test_what_is_no_model_is_named() -> None:
    def double(x: Any) -> Any:
        return 2 * x

    with pytest.raises(MinidlError, match=r"expected a module, got function: .* `with md.Profiler\(\) as profiler:`"):
        md.profile(double, IMAGES)  # type: ignore[arg-type]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    profiler = md.profile(network(), IMAGES, steps=1)
    for write in (profiler.plot, profiler.trace):
        with pytest.raises(FileNotFoundError, match=r"there is no folder .*plots to write a.png to: create it first"):
            write(tmp_path / "plots" / "a.png")
    for name, start in (("a.png", b"\x89PNG"), ("a", b"\x89PNG"), ("a.svg", b"<?xml")):
        profiler.plot(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)


def test_clocks_are_taken_off_after_an_error() -> None:
    before = Op.record
    with pytest.raises(md.errors.ShapeError):
        md.profile(network(), IMAGES[..., :5])
    assert Op.record is before


def test_an_own_loop_with_data_and_updates() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dense(3200, 3))
    optimizer = optim.Adam(model.parameters())
    with md.Profiler() as profiler:
        for (images,) in DataLoader(ArrayDataset(IMAGES), batch_size=4):
            optimizer.zero_grad()
            model(md.tensor(images)).mean().backward()
            optimizer.step()
    profiler.steps = 2
    rows = {row.op: row for row in profiler.rows("op")}
    assert rows["Adam"].calls == 1
    assert rows["Adam"].other > 0
    assert rows["waiting for data"].calls == 1.5  # waiting for the end of the data counts as well
    assert rows["Linear"].calls == 1


def test_the_files_of_a_training(tmp_path: Path) -> None:
    model = network()
    loader = DataLoader(ArrayDataset(np.tile(IMAGES, (10, 1, 1, 1)), np.zeros(80, np.int64)), batch_size=8)
    trainer = md.Trainer(
        model, nn.functional.softmax_cross_entropy, optim.SGD(model.parameters()), callbacks=[ProfileSteps(tmp_path)]
    )
    trainer.fit(loader, loader, epochs=1)
    lines = (tmp_path / "profile.txt").read_text().splitlines()
    assert lines[0].split()[:3] == ["layer", "op", "algorithm"]
    assert any(line.split()[:3] == ["0", "Conv2DReLUMaxPool2D", "winograd"] for line in lines)
    assert lines[-1].startswith("one step of 7:")  # ten steps per epoch, the first three are warm-up
    events: list[dict[str, Any]] = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {event["cat"] for event in events} == {"forward", "backward", "update", "data"}
    assert all(event["ph"] == "X" and event["ts"] >= 0 and event["dur"] >= 0 for event in events)
    assert (tmp_path / "profile.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("batches", "steps"), [(1, 1), (3, 1), (5, 2)])
def test_a_short_epoch_is_profiled_without_its_validation(tmp_path: Path, batches: int, steps: int) -> None:
    model = network()
    loader = DataLoader(ArrayDataset(np.tile(IMAGES, (batches, 1, 1, 1)), np.zeros(8 * batches, np.int64)), 8)
    loss = nn.functional.softmax_cross_entropy
    trainer = md.Trainer(model, loss, optim.SGD(model.parameters()), callbacks=[ProfileSteps(tmp_path)])
    trainer.fit(loader, loader, epochs=1)
    lines = (tmp_path / "profile.txt").read_text().splitlines()
    assert lines[-1].startswith(f"one step of {steps}:")
    (update,) = (line for line in lines if "SGD" in line)
    assert update.split()[1] == "1"  # calls per step


def test_a_profile_leaves_the_generators_of_layers_where_they_were() -> None:
    rng = md.Generator(0)
    model = nn.Sequential(nn.Dense(3, 2), nn.Dropout(0.5, rng=rng), nn.Dropout(0.5))
    before = rng.state, md.random.default_rng.state
    md.profile(model, np.ones((2, 3), np.float32), steps=1)
    assert (rng.state, md.random.default_rng.state) == before


@pytest.mark.parametrize("steps", [2.5, "3", None, True])
def test_steps_that_are_no_integer_are_named(steps: Any) -> None:
    with pytest.raises(MinidlError, match="the number of steps must be an integer >= 1, got"):
        md.profile(nn.Dense(2, 1), np.ones((1, 2), np.float32), steps=steps)
