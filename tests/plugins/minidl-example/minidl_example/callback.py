"""A callback that limits the training time."""

from minidl import Callback, Trainer


class TimeLimit(Callback):
    """Stops after the step that uses up ``seconds`` of training; validation does not count."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_step_end(self, trainer: Trainer) -> None:
        trainer.stopping |= trainer.seconds >= self.seconds
