"""Run the training command in this process, and a model that trains quickly."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import minidl as md
from minidl import command, nn


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return summary


Command = Callable[..., Done]


def printed(done: Done) -> list[str]:
    """The words of the last printed command, without the program."""
    program = "python -m agegender.train "
    (line,) = [line for line in (done.out + done.err).splitlines() if program in line][-1:]
    return shlex.split(line.partition(program)[2])


def finish(work: Callable[[], int]) -> int:
    """The exit status of a command run like ``__main__``."""
    with pytest.raises(SystemExit) as ended:
        command.run(work)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def weights(run: object) -> bytes:
    return Path(str(run), "last.safetensors").read_bytes()


class Small(nn.Module):
    """A model that trains quickly, even on a backend without fast kernels."""

    def __init__(self, rng: md.Generator | None = None) -> None:
        super().__init__()
        self.gender, self.age = (nn.Dense(16 * 16, 1, rng=rng) for _ in range(2))

    def forward(self, x: md.Tensor) -> dict[str, md.Tensor]:
        x = nn.functional.avg_pool2d(x, 8).reshape(-1, 16 * 16)
        return {"gender": self.gender(x), "age": self.age(x)}
