"""The hooks of callbacks: a method that looks like one, but is not called, or not with its arguments, is an error."""

import inspect
from types import FunctionType
from typing import Any

from .answers import equivalent
from .errors import MinidlError, suggestion
from .habits import takes

OF_KERAS = frozenset(["epoch", "batch", "logs"])
"""Arguments of the hooks of Keras."""


def require_hooks(cls: type, base: type) -> None:
    """Raise :class:`MinidlError` if a method ``on_...`` of a class is none of ``base``, or takes other arguments.

    >>> import minidl as md
    >>> class Log(md.Callback):
    ...     def on_epoch_begin(self, epoch, logs=None): ...
    Traceback (most recent call last):
    minidl.errors.MinidlError: on_epoch_begin of Log would never be called. A callback has on_train_begin, ...
    """
    hooks = [name for name in vars(base) if name.startswith("on_")]
    for name in dir(cls):
        method: Any = getattr(cls, name) if name.startswith("on_") else None
        if name not in hooks and callable(method):
            wrong = f"would never be called.{suggestion(name, hooks, 0.9)}"
        elif name in hooks and not _takes_a_trainer(cls, name):
            wrong = f"must be a method def {name}(self, trainer)."
        else:
            continue
        instead = equivalent(name, ("callback",))
        raise MinidlError(
            f"{name} of {cls.__name__} {wrong} A callback has {', '.join(hooks[:-1])} and {hooks[-1]}, which get the "
            f"trainer{': ' * bool(instead)}{instead}"
        )


def _takes_a_trainer(cls: type, name: str) -> bool:
    """Whether a hook can be called with the trainer, and does not name its argument as Keras does."""
    kept, function = inspect.getattr_static(cls, name), getattr(cls, name)
    if not isinstance(kept, FunctionType | staticmethod | classmethod):
        return callable(function)
    named = OF_KERAS.intersection(inspect.signature(function, follow_wrapped=False).parameters)
    given = ["self", "trainer"] if isinstance(kept, FunctionType) else ["trainer"]
    return not named and takes(function, *given)
