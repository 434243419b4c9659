"""The documented model has the documented layers."""

import itertools
import re
import shutil
from typing import Any

import numpy as np
import pytest

import minidl as md
from agegender import models, tasks
from minidl import optim
from minidl.errors import MinidlError, PluginError


def test_documented_has_the_documented_parameters() -> None:
    model = models.build("documented", rng=md.Generator(0))
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    assert shapes == {
        "features.0.w": (3, 3, 1, 32),
        "features.0.b": (32,),
        "features.3.w": (3, 3, 32, 64),
        "features.3.b": (64,),
        "features.6.w": (3, 3, 64, 128),
        "features.6.b": (128,),
        "features.9.w": (3, 3, 128, 256),
        "features.9.b": (256,),
        "gender.0.w": (9216, 256),
        "gender.0.b": (256,),
        "gender.2.w": (256, 1),
        "gender.2.b": (1,),
        "age.0.w": (9216, 256),
        "age.0.b": (256,),
        "age.2.w": (256, 1),
        "age.2.b": (1,),
    }
    assert sum(parameter.size for parameter in model.parameters()) == 5_107_458


def test_documented_gives_a_logit_and_years() -> None:
    model = models.build("documented", rng=md.Generator(0))
    outputs = model(md.tensor(np.ones((3, 128, 128, 1), np.float32)))
    assert {name: y.shape for name, y in outputs.items()} == {"gender": (3, 1), "age": (3, 1)}
    assert all(y.dtype == np.float32 for y in outputs.values())


def test_a_picture_of_another_size_is_refused_by_name() -> None:
    model = models.build("documented", rng=md.Generator(0))
    for shape in ((1, 64, 64, 1), (2, 200, 200, 1), (2, 128, 128, 3)):
        said = (
            rf"^Documented: expected faces \(N, 128, 128, 1\), got {re.escape(str(shape))}\. .*resize\(\(128, 128\)\)"
        )
        with pytest.raises(md.errors.ShapeError, match=said):
            model(np.ones(shape, np.float32))
    for shape, remedy in {
        (128, 128): r"x\.reshape\(1, 128, 128, 1\)",
        (128, 128, 1): r"x\.reshape\(1, 128, 128, 1\)",
        (2, 1, 128, 128): r"x\.transpose\(0, 2, 3, 1\)",
    }.items():
        with pytest.raises(md.errors.ShapeError, match=remedy):
            model(np.ones(shape, np.float32))


def test_an_unknown_model_gets_the_closest_match() -> None:
    with pytest.raises(PluginError, match=r"no model 'documentd'\. Did you mean 'documented'\?"):
        models.build("documentd")


def test_the_loss_is_cross_entropy_plus_years() -> None:
    logits, years = np.array([[2.0], [-1.0]], np.float32), np.array([[30.0], [50.0]], np.float32)
    targets = {"gender": np.array([[1.0], [1.0]], np.float32), "age": np.array([[33.0], [45.0]], np.float32)}
    loss = tasks.loss({"gender": md.tensor(logits), "age": md.tensor(years)}, targets)
    assert loss.item() == pytest.approx((np.log1p(np.exp(-2.0)) + np.log1p(np.exp(1.0))) / 2 + 4.0)
    outputs = {"gender": logits, "age": years}
    assert tasks.gender_accuracy(outputs, targets) == 0.5
    assert tasks.age_mae(outputs, targets) == 4.0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda y: y, r"got Tensor: return this from its forward()"),
        (lambda y: None, r"got NoneType: "),
        (lambda y: {"gender": y}, r"got \{'gender': \(2, 1\)\}: "),
        (lambda y: {"gender": y, "age": y.reshape(2)}, r"got \{'gender': \(2, 1\), 'age': \(2,\)\}: "),
        (lambda y: {"gender": [0, 0], "age": y}, r"got \{'gender': 'list', 'age': \(2, 1\)\}: "),
    ],
)
def test_a_model_that_does_not_answer_both_questions_is_told_what_is_expected(given: Any, told: str) -> None:
    targets = dict.fromkeys(("gender", "age"), np.ones((2, 1), np.float32))
    with pytest.raises(MinidlError, match=r"expected a model that returns .* tensors of shape \(2, 1\), " + told):
        tasks.loss(given(md.tensor([[0.0], [1.0]])), targets)


EMULATED = pytest.param(
    "emulated",
    marks=[
        pytest.mark.slow,
        pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is missing: it compiles the kernels"),
    ],
)


@pytest.mark.parametrize("name", ["strict", EMULATED])
def test_a_training_step_on_a_gpu_copies_nothing_and_gives_what_it_gives_on_the_cpu(name: str) -> None:
    backend: Any = md.backends.get(name)
    images = np.random.default_rng(0).random((1, 128, 128, 1), np.float32)
    targets = {"gender": np.array([[1.0]], np.float32), "age": np.array([[33.0]], np.float32)}

    def trained(place: Any) -> tuple[dict[str, Any], Any]:
        model = models.build("documented", rng=md.Generator(0)).to(place.name)
        optimizer = optim.Adam(model.parameters())
        x = md.tensor(images, backend=place.name)
        there = {key: place.asarray(value) for key, value in targets.items()}
        before = (backend.to_device, backend.to_host)
        loss = tasks.loss(model(x), there)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert (backend.to_device, backend.to_host) == before, "a step must not copy between host and device"
        gradients = {key: place.to_numpy(parameter.grad) for key, parameter in model.named_parameters()}
        return gradients, loss.item()

    (gradients, loss), (expected, expected_loss) = trained(backend), trained(md.backends.default)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    for key, gradient in gradients.items():
        assert gradient.dtype == np.float32
        np.testing.assert_allclose(
            gradient, expected[key], rtol=1e-3, atol=1e-3 * np.abs(expected[key]).max(), err_msg=key
        )


def test_no_constant_answers_are_better_than_the_baselines() -> None:
    genders, ages = np.array([0, 0, 1, 0]), np.array([20, 30, 20, 34])
    baselines = tasks.baselines((genders, ages))
    assert baselines == {"gender_accuracy": 0.75, "age_mae": 6.0}
    targets = {"gender": genders[:, None].astype(np.float32), "age": ages[:, None].astype(np.float32)}
    for logit, age in itertools.product((-1.0, 1.0), np.linspace(0, 60, 121)):
        outputs = {"gender": np.full((4, 1), logit, np.float32), "age": np.full((4, 1), age, np.float32)}
        metrics = {name: float(metric(outputs, targets)) for name, metric in tasks.METRICS.items()}
        assert tasks.no_better(metrics, baselines) == ["gender_accuracy", "age_mae"]


@pytest.mark.parametrize("n", [3, 50, 4742])
def test_a_model_that_always_gives_the_median_is_no_better_whatever_the_rounding(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(20):
        genders, ages = rng.integers(0, 2, n), rng.integers(0, 100, n)
        age = np.full((n, 1), np.median(ages), np.float32)
        error = tasks.age_mae({"age": age}, {"age": ages[:, None].astype(np.float32)})
        baselines = tasks.baselines((genders, ages))
        assert tasks.no_better({"gender_accuracy": 1.0, "age_mae": float(error)}, baselines)[-1:] == ["age_mae"]
