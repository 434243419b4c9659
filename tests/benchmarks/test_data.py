"""The data pipeline: decoding pictures into the cache, making batches, and how long training waits for them."""

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import minidl as md
from agegender import data, models, tasks
from minidl import optim

COUNT = 512
BATCH = 32


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> data.Faces:
    return data.drawn(COUNT, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def folder(faces: data.Faces, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The faces as JPEG files with UTKFace's size and names."""
    path = tmp_path_factory.mktemp("UTKFace")
    for number, pixels in enumerate(faces.images):
        name = f"{20 + number % 60}_{number % 2}_0_{20170110000000000 + number}.jpg.chip.jpg"
        Image.fromarray(np.asarray(pixels)).convert("RGB").resize((200, 200)).save(path / name, "JPEG", quality=90)
    return path


@pytest.mark.benchmark(group="data")
def test_decode_into_the_cache(benchmark: Any, folder: Path, tmp_path: Path) -> None:
    benchmark.extra_info["images"] = COUNT
    caches = (tmp_path / str(number) for number in count())
    found = benchmark.pedantic(lambda: data.open(folder, cache=next(caches)), rounds=5)
    assert len(found) == COUNT


@pytest.mark.benchmark(group="data")
def test_open_the_cache(benchmark: Any, folder: Path, tmp_path: Path) -> None:
    data.open(folder, cache=tmp_path)
    benchmark(data.open, folder, cache=tmp_path)


@pytest.mark.benchmark(group="data")
def test_an_epoch_of_batches(benchmark: Any, faces: data.Faces) -> None:
    benchmark.extra_info["images"] = COUNT
    loader = md.data.DataLoader(faces, BATCH, shuffle=True)
    assert sum(len(images) for images, _ in benchmark(lambda: list(loader))) == COUNT


@pytest.mark.benchmark(group="data")
def test_an_epoch_of_training(benchmark: Any, faces: data.Faces) -> None:
    """With the fraction of the time spent waiting for data."""
    benchmark.extra_info["images"] = COUNT
    model, loader = models.build("documented"), md.data.DataLoader(faces, BATCH, shuffle=True)
    optimizer = optim.Adam(model.parameters())

    def epoch() -> md.Profiler:
        with md.Profiler() as profiler:
            for images, targets in loader:
                optimizer.zero_grad()
                tasks.loss(model(md.Tensor(images)), targets).backward()
                optimizer.step()
        return profiler

    profiler = benchmark.pedantic(epoch, rounds=3, warmup_rounds=1)
    waiting = sum(event.seconds for event in profiler.events if event.op == "waiting for data")
    benchmark.extra_info["fraction of the time spent waiting for data"] = waiting / profiler.seconds
    assert waiting > 0
