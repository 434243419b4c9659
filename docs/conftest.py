"""What a document registers while its examples run is forgotten at its end."""

import shutil

import pytest

from minidl import plugins


@pytest.fixture(autouse=True)
def _registry_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_registered", {kind: dict(known) for kind, known in plugins._registered.items()})


@pytest.fixture(autouse=True)
def _emulated_gpu(request: pytest.FixtureRequest) -> None:
    if request.path.name == "plugins.md" and shutil.which("g++") is None:
        pytest.skip("one of its examples is a CUDA kernel, which g++ compiles for the processor, and g++ is missing")
