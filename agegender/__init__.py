"""Age and gender from a photograph of a face: a complete system, built with minidl as anybody's project would be."""

from . import hangup  # noqa: F401  # isort: skip - first: a terminal may be closed while the rest is imported
from minidl import interrupt  # noqa: F401 - Ctrl-C may come while the rest is imported
