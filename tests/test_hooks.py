"""A callback with a method that is not called, or with the arguments of Keras's, is refused when its class is made."""

import functools
from typing import Any

import pytest

import minidl as md
from minidl.errors import MinidlError

HOOKS = "on_train_begin, on_step_end, on_epoch_end, on_train_end and on_train_error, which get the trainer"
UNKNOWN = {
    "on_epoch_begin": "Keras's callback.on_epoch_begin(epoch, logs) is left out: use on_train_begin",
    "on_train_batch_end": "is def on_step_end(self, trainer): ... here",
    "on_batch_end": "is def on_step_end(self, trainer): ... here",
    "on_epoch_ends": "Did you mean 'on_epoch_end'? A callback has",
    "on_validation_start": "would never be called. A callback has",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_method_that_is_never_called_is_refused(name: str) -> None:
    with pytest.raises(MinidlError) as caught:
        type("Log", (md.Callback,), {name: lambda self, epoch, logs=None: None})
    assert str(caught.value).startswith(f"{name} of Log would never be called.")
    assert HOOKS in str(caught.value)
    assert UNKNOWN[name] in str(caught.value)


WRONG = [
    lambda self, epoch, logs=None: None,
    lambda self, logs=None: None,
    lambda self, trainer, batch: None,
    lambda self: None,
    lambda self, trainer, more: None,
    staticmethod(lambda self, trainer: None),
    None,
]


@pytest.mark.parametrize("hook", WRONG)
def test_a_hook_gets_the_trainer_alone(hook: Any) -> None:
    with pytest.raises(MinidlError) as caught:
        type("Log", (md.Callback,), {"on_epoch_end": hook})
    assert str(caught.value).startswith("on_epoch_end of Log must be a method def on_epoch_end(self, trainer).")
    assert HOOKS in str(caught.value)


RIGHT = [
    lambda self, trainer: None,
    lambda me, t, *more: None,
    lambda self, trainer, quiet=True: None,
    staticmethod(lambda trainer: None),
    classmethod(lambda cls, trainer: None),
    functools.partialmethod(lambda self, quiet, trainer: None, True),
]


@pytest.mark.parametrize("hook", RIGHT)
def test_any_method_that_takes_the_trainer_is_a_hook(hook: Any) -> None:
    cls: Any = type("Log", (md.Callback,), {"on_epoch_end": hook, "on_gpu": True, "once": lambda self: None})
    cls().on_epoch_end("the trainer")


def test_a_hook_of_another_base_is_looked_at_too() -> None:
    class Base:
        def on_epoch_end(self, epoch: int) -> None: ...

    with pytest.raises(MinidlError, match=r"^on_epoch_end of Log must be a method"):
        type("Log", (Base, md.Callback), {})
