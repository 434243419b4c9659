"""Age and gender from a photograph of a face: an application built on minidl's public names."""

from . import hangup  # noqa: F401  # isort: skip - first: the terminal may close during the other imports
import minidl  # noqa: F401 - next: it ends the command on Ctrl-C during the other imports
