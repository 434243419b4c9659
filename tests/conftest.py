"""What all tests share."""

import pytest

import minidl as md
from minidl.testing.strict import StrictBackend

md.plugins.register("backend", "strict")(StrictBackend)


@pytest.fixture
def strict() -> StrictBackend:
    """The stand-in for CuPy, with its counts at 0."""
    backend = md.backends.get("strict")
    assert isinstance(backend, StrictBackend)
    backend.to_device = backend.to_host = 0
    return backend
