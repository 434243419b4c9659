"""Age and gender from a photograph of a face: an application built on minidl's public names."""

from . import hangup  # noqa: F401  # isort: skip - first: the terminal may close during the other imports
from minidl import interrupt  # noqa: F401 - Ctrl-C may come during the other imports
