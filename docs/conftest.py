"""What a document registers while its examples run is forgotten at its end."""

import pytest

from minidl import plugins


@pytest.fixture(autouse=True)
def _registry_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_registered", {kind: dict(known) for kind, known in plugins._registered.items()})
