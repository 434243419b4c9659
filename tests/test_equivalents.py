"""The two sides of each row of the table of equivalents are equal, and attributes without effect are rejected."""

import copy
import json
import math
import pickle
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import equivalents, nn, optim
from minidl.errors import MinidlError, MissingNameError

F = nn.functional
ROWS = {code: row for rows in equivalents.sections().values() for row in rows for code in (row.keras, row.pytorch)}


def moved(make: Any, gradients: Any) -> Any:
    """The value of a parameter that starts at 0, after these gradients."""
    p = md.tensor(np.zeros(3), requires_grad=True)
    optimizer = make([p])
    for gradient in gradients:
        p.grad = gradient.copy()
        optimizer.step()
    return p.numpy()


def test_rmsprop_of_keras_differs_by_where_eps_is_as_its_row_says() -> None:
    gradients = np.random.default_rng(0).normal(size=(20, 3))
    p, v = np.zeros(3), np.zeros(3)
    for g in gradients:
        v = 0.9 * v + 0.1 * g * g
        p -= 1e-3 * g / np.sqrt(v + 1e-7)  # Keras
    row = ROWS["optimizers.RMSprop(1e-3)"]
    assert row.minidl == "optim.RMSprop(model.parameters(), 1e-3, alpha=0.9)"
    assert "inside the root" in row.remark
    ours = moved(lambda parameters: optim.RMSprop(parameters, 1e-3, alpha=0.9), gradients)
    np.testing.assert_allclose(ours, p, rtol=1e-3)


def test_adagrad_of_keras_is_its_row() -> None:
    gradients = np.random.default_rng(0).normal(size=(20, 3))
    p, v = np.zeros(3), np.full(3, 0.1)
    for g in gradients:
        v += g * g
        p -= 1e-2 * g / np.sqrt(v + 1e-7)  # Keras
    ours = moved(lambda parameters: optim.Adagrad(parameters, 1e-2, initial_accumulator_value=0.1), gradients)
    np.testing.assert_allclose(ours, p, rtol=1e-5)


def test_one_cycle_begins_and_ends_at_the_rates_of_pytorch() -> None:
    row = ROWS["lr_scheduler.OneCycleLR(optimizer, 0.1, 99)"]
    schedule = eval(row.minidl.partition("=")[2], {"optim": optim})

    def theirs(step: int) -> float:
        peak, first, last = 0.3 * 99 - 1, 0.1 / 25, 0.1 / 25 / 1e4
        begin, end, share = (first, 0.1, step / peak) if step <= peak else (0.1, last, (step - peak) / (98 - peak))
        return end + (begin - end) / 2 * (1 + math.cos(math.pi * share))

    assert (schedule(0), schedule(98)) == pytest.approx((theirs(0), theirs(98)))
    assert max(abs(schedule(step) - theirs(step)) for step in range(99)) < 0.002  # its peak is between two steps


def test_schedules_of_keras_are_their_rows() -> None:
    cosine = eval(ROWS["schedules.CosineDecay(0.1, 99)"].minidl[3:], {"optim": optim})
    stairs = eval(ROWS["schedules.ExponentialDecay(0.1, 30, 0.5, staircase=True)"].minidl[3:], {"optim": optim})
    for step in range(99):
        assert cosine(step) == pytest.approx(0.05 * (1 + math.cos(math.pi * step / 99)))
        assert stairs(step) == pytest.approx(0.1 * 0.5 ** (step // 30))


def test_batch_norm_keeps_the_variance_that_its_row_says() -> None:
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    layer = nn.BatchNorm(3, momentum=0.9, eps=1e-5)
    layer(md.tensor(x))
    np.testing.assert_allclose(layer.var.numpy(), 0.9 + 0.1 * x.var(axis=0, ddof=0), rtol=1e-6)
    for name in ("nn.BatchNorm1d(32)", "nn.BatchNorm2d(32)"):
        assert "ddof 0" in ROWS[name].remark


def test_average_pooling_does_not_count_its_padding_as_its_row_says() -> None:
    y = nn.AveragePooling2D(3, 1, 1)(md.ones(1, 4, 4, 1))
    assert y.numpy().min() == 1.0
    assert "padding is not counted" in ROWS["nn.AvgPool2d(2)"].remark


def test_what_is_written_for_a_tensor_gives_the_numbers_of_the_name() -> None:
    x = md.tensor(np.array([[1.0, 5.0, 3.0], [9.0, 2.0, 4.0]]))
    world = {"x": x, "np": np, "md": md, "F": F}
    for code, expected in {
        "x.topk(2)": [[5.0, 3.0], [9.0, 4.0]],
        "x.max(1)[1]": [1, 0],
        "torch.flatten(x)": [1.0, 5.0, 3.0, 9.0, 2.0, 4.0],
        "torch.zeros_like(x)": [[0.0] * 3] * 2,
        "torch.ones_like(x)": [[1.0] * 3] * 2,
        "torch.full_like(x, 7)": [[7.0] * 3] * 2,
        "x.square()": [[1.0, 25.0, 9.0], [81.0, 4.0, 16.0]],
    }.items():
        got = eval(ROWS[code].minidl, dict(world))
        array = got.numpy() if isinstance(got, md.Tensor) else got
        assert array.tolist() == expected, code
        assert array.dtype.kind == "i" or array.dtype == x.dtype, code


def test_what_is_written_for_a_model_does_what_the_name_does() -> None:
    first, last, layer = nn.Dense(2, 3), nn.BatchNorm(3), nn.Flatten()
    model = nn.Sequential(first, last)
    world = {"model": model, "layer": layer, "nn": nn, "np": np, "images": np.ones((4, 2), np.float32)}

    def written(code: str) -> Any:
        return eval(ROWS[code].minidl, dict(world))

    assert list(written("model.insert(0, layer)")) == [layer, first, last]
    assert list(written("model.append(layer)")) == list(written("model.extend([layer])")) == [first, last, layer]
    assert list(written("model.pop()")) == [first]
    assert written("model.input_shape") == (4, 2)
    assert written("model.output_shape") == (4, 3)
    assert written("model.count_params()") == 6 + 3 + 4 * 3
    assert written("sum(p.numel() for p in model.parameters())") == 6 + 3 + 2 * 3
    assert written("model.half()").parameters()[0].dtype == np.float16
    assert written("model.double()").parameters()[0].dtype == np.float64
    assert written("model.float()").parameters()[0].dtype == np.float32


def test_what_is_written_to_make_a_tensor_makes_one_of_the_same_kind() -> None:
    x, y = md.tensor(np.ones((2, 3))), md.tensor(np.ones((2, 1)))
    world = {"md": md, "np": np, "x": x, "y": y, "rng": md.Generator(0), "indices": np.array([7, 8, 9])}

    def written(code: str) -> Any:
        return eval(ROWS[code].minidl, dict(world))

    assert written("tf.Variable([1.0, 2.0])").requires_grad
    assert not written("torch.Tensor([1.0, 2.0])").requires_grad
    assert written("torch.LongTensor([3])").dtype == np.int64
    assert written("torch.full((2, 3), 7.0)").numpy().tolist() == [[7.0] * 3] * 2
    assert (written("torch.rand_like(x)").dtype, written("torch.randn_like(x)").dtype) == (np.float64, np.float64)
    assert sorted(written("tf.random.shuffle(indices)")) == [7, 8, 9]
    assert sorted(written("torch.randperm(5)")) == [0, 1, 2, 3, 4]
    assert written("x.equal(y)") is False
    assert (written("x.eq(y)").numpy()).all()


def test_gradients_are_clipped_as_the_rows_say() -> None:
    for code, expected in {"clipnorm=1.0": [1.0, 1.0], "global_clipnorm=1.0": [0.6, 0.8]}.items():
        model = nn.Dense(1, 1)
        model.w.grad, model.b.grad = np.full((1, 1), 3.0, np.float32), np.full(1, 4.0, np.float32)
        exec(ROWS[code].minidl, {"model": model, "optim": optim})
        assert [p.grad.item() for p in model.parameters()] == pytest.approx(expected, rel=1e-6)


def test_pictures_become_float32_between_0_and_1() -> None:
    images = np.full((1, 2, 2, 1), 51, np.uint8)
    given = eval(ROWS["transforms.ToTensor()"].minidl, {"images": images, "np": np})
    assert (given.dtype, given.max()) == (np.float32, np.float32(0.2))


# Attributes that are set


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trainable, self.weight, self.bias = True, nn.Parameter(np.ones(2, np.float32)), None


class Deep(nn.Dense): ...


def test_ones_own_classes_have_attributes_of_any_name() -> None:
    net, deep = Net(), Deep(2, 3)
    net.trainable = False
    deep.weight = "mine"
    assert (net.trainable, deep.weight) == (False, "mine")
    assert [name for name, _ in net.named_parameters()] == ["weight"]

    class Mine(optim.SGD):
        def __init__(self, parameters: Any) -> None:
            super().__init__(parameters)
            self.learning_rate = 3.0

    assert Mine(net.parameters()).learning_rate == 3.0


def test_what_is_refused_is_not_set() -> None:
    layer = nn.Dense(2, 3)
    for name in ("trainable", "weight", "bias", "kernel"):
        with pytest.raises(MissingNameError, match=name):
            setattr(layer, name, None)
        assert name not in vars(layer)


def test_a_rate_beside_a_schedule_is_refused_and_one_without_counts() -> None:
    w = md.tensor(np.array([1.0]), requires_grad=True)
    optimizer = optim.SGD([w], optim.constant(0.5))
    with pytest.raises(MinidlError, match=r"lr = 0.0 would last until the next step"):
        optimizer.lr = 0.0
    optimizer.schedule = None
    optimizer.lr = 0.25
    w.grad = np.array([1.0])
    optimizer.step()
    assert w.numpy().tolist() == [0.75]


def test_the_state_of_an_optimizer_with_a_schedule_is_loaded() -> None:
    w = md.tensor(np.array([1.0]), requires_grad=True)
    optimizer = optim.SGD([w], optim.step(0.5, every=1))
    w.grad = np.array([1.0])
    optimizer.step()
    optimizer.step()
    again = optim.SGD([w], optim.step(0.5, every=1))
    again.load_state_dict(optimizer.state_dict())
    assert (again.steps, again.lr) == (2, pytest.approx(0.05))


# Lists, functions and classes, which must give an answer, too


def test_a_history_is_a_list_that_is_saved_as_one() -> None:
    history = md.train.History([{"epoch": 1.0, "loss": 0.5}])
    assert history == [{"epoch": 1.0, "loss": 0.5}]
    assert json.loads(json.dumps(history)) == history
    assert pickle.loads(pickle.dumps(history)) == history


def test_a_schedule_is_a_function_that_answers() -> None:
    schedule = optim.step(1.0, every=10, factor=0.5)
    assert callable(schedule)
    assert [schedule(step) for step in (0, 10)] == [copy.deepcopy(schedule)(step) for step in (0, 10)] == [1.0, 0.5]
    with pytest.raises(MissingNameError, match=r"PyTorch's scheduler.step\(\) is optimizer.step\(\) here"):
        schedule.step()


def test_no_grad_without_brackets_records_as_before() -> None:
    x = md.tensor([1.0], requires_grad=True)
    with pytest.raises(MinidlError, match=r"write `with no_grad\(\):`"), md.no_grad:  # type: ignore[attr-defined]
        pass
    assert (2 * x).requires_grad


def test_a_shape_that_fits_no_model_keeps_the_error_of_the_layer() -> None:
    with pytest.raises(MinidlError, match=r"expected input \(N, 784\), got \(1, 9\)"):
        md.summary(nn.Sequential(nn.Flatten(), nn.Dense(784, 2)), (3, 3))
