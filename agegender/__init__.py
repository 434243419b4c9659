"""Age and gender from a photograph of a face: a complete system, built with minidl as anybody's project would be."""

from minidl import interrupt  # noqa: F401 - Ctrl-C may come while the rest is imported
