"""Age and gender from a photograph of a face: an application built on minidl's public names."""

from . import hangup  # noqa: F401  # isort: skip - first: the terminal may close during the other imports
import minidl


def load(place: str | None = None) -> "minidl.nn.Module":
    """A trained model in evaluation mode: from a run (default: the latest), or from a weights file.

    Raises :class:`minidl.command.UsageError` for a place without weights, see :func:`agegender.saved.load`.
    """
    from .saved import load as load_trained

    return load_trained(place).model
