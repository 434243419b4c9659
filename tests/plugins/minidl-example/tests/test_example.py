"""Every plugin of this package passes the checks of its kind, or a test here if minidl's kit has none."""

from collections.abc import Callable

import numpy as np

import minidl as md
from agegender import tasks
from minidl.data import DataLoader
from minidl.testing import parametrize_with_checks, subject

CHECKED = [
    ("layer", "squeeze_excite"),
    ("optimizer", "lion"),
    ("conv_algorithm", "windows"),
    ("dataset", "discs"),
]


@parametrize_with_checks([subject(kind, name) for kind, name in CHECKED])
def test_plugin(check: Callable[[], None]) -> None:
    check()


def trainer(*callbacks: md.Callback) -> tuple[md.Trainer, DataLoader]:
    model = md.plugins.build("model", "squeezed", rng=md.Generator(0))
    optimizer = md.plugins.build("optimizer", "lion", model.parameters(), lr=3e-3)
    loader = DataLoader(md.plugins.build("dataset", "discs", count=64), batch_size=16, shuffle=True)
    return md.Trainer(model, tasks.loss, optimizer, tasks.METRICS, callbacks), loader


def test_the_model_learns() -> None:
    training, loader = trainer()
    history = training.fit(loader, epochs=4)
    assert history[-1]["loss"] < history[0]["loss"]


def test_the_time_limit_stops_after_the_step_that_exceeds_it() -> None:
    training, loader = trainer(md.plugins.build("callback", "time_limit", seconds=0.0))
    training.fit(loader, epochs=4)
    assert (training.stopping, training.optimizer.steps) == (True, 1)


def test_a_disc_is_as_large_as_its_age_says() -> None:
    images, targets = md.plugins.build("dataset", "discs").batch(np.arange(20))
    bright = (images > 0.55).sum(axis=(1, 2, 3))
    share = 1 - targets["gender"][:, 0] / 2  # stripes are half of the disc
    assert np.allclose(bright, share * np.pi * (targets["age"][:, 0] / 2) ** 2, rtol=0.1)
