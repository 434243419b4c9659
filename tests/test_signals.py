"""Ctrl-C and other signals during training: it stops after the step and restores the handlers."""

import os
import signal
from pathlib import Path

import pytest

from minidl.callbacks import ProfileSteps, StopOnSignal
from minidl.errors import MinidlError
from minidl.train import Callback, Trainer

from .elsewhere import in_a_thread
from .training import make, regression, trained


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_step_and_gives_the_handler_back(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    class Kill(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            if trainer.optimizer.steps == 3:
                os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    stop = StopOnSignal()
    trainer = trained([stop, Kill()], epochs=3)
    assert (stop.received, trainer.optimizer.steps) == (number, 3)
    assert signal.getsignal(number) is before
    assert "stopping after this step" in capsys.readouterr().err


def test_an_error_gives_the_signal_handlers_and_the_profiler_back(tmp_path: Path) -> None:
    class Fail(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            raise RuntimeError("no")

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    profile = ProfileSteps(tmp_path)
    trainer, train, validation = make([StopOnSignal(), profile, Fail()])
    with pytest.raises(RuntimeError, match="no"):
        trainer.fit(train, validation)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert profile.profiler is None


def test_signals_arrive_in_the_main_thread_alone() -> None:
    trainer, loader = regression(callbacks=[StopOnSignal()])
    with pytest.raises(MinidlError, match="StopOnSignal works only in the main thread"):
        in_a_thread(lambda: trainer.fit(loader))
    assert trainer.optimizer.steps == 0


def test_several_that_stop_on_a_signal_give_the_handler_back() -> None:
    trainers = []

    class Inner(Callback):
        """Trains another model in the middle of a training."""

        def on_epoch_end(self, trainer: Trainer) -> None:
            inner, loader = regression(callbacks=[StopOnSignal(), StopOnSignal()])
            inner.fit(loader)
            signal.raise_signal(signal.SIGINT)
            trainers.append(inner)

    twice = StopOnSignal()
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    trainer, loader = regression(callbacks=[StopOnSignal(), twice, twice, Inner()])
    trainer.fit(loader, epochs=3)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert (trainer.epoch, trainer.stopping, trainers[0].stopping) == (1, True, False)


def test_a_handler_that_others_installed_in_a_training_stays() -> None:
    heard: list[int] = []

    class Listens(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            self.ours = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))

    listens = Listens()
    trainer, loader = regression(callbacks=[StopOnSignal(), listens])
    found = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it for its jobs
    before = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(loader)
        signal.raise_signal(signal.SIGINT)
        assert heard == [signal.SIGINT]
        chained = listens.ours  # the one of a training that has ended
        for handler in (chained, lambda number, frame: chained(number, frame)):
            signal.signal(signal.SIGINT, handler)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, found)
