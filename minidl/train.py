"""The training loop, and callbacks that look on and step in.

>>> import numpy as np, minidl as md
>>> from minidl import nn, optim
>>> from minidl.data import ArrayDataset, DataLoader
>>> x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(-1, 1)
>>> loader = DataLoader(ArrayDataset(x, 3 * x), batch_size=16, shuffle=True)
>>> model = nn.Dense(1, 1, rng=md.Generator(0))
>>> trainer = Trainer(model, nn.functional.mse_loss, optim.SGD(model.parameters(), lr=0.5))
>>> history = trainer.fit(loader, epochs=10)
>>> round(model.w.item(), 2)
3.0
"""

import contextlib
import math
import time
from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any

import numpy as np

from . import nested, random
from .capture import CapturedStep
from .data import DataLoader, inputs_and_targets, on_backend, require_loader, size_of
from .errors import MinidlError
from .habits import Answering, Strict, explained
from .measures import Loss, Metric, checked_function, checked_loss, checked_metrics, measured
from .nn import Module
from .nn.module import evaluating, held_in
from .optimizer import Optimizer, checked_optimizer
from .options import flag, number, option, optional, whole
from .states import all_or_nothing, require_entries
from .tensor import Tensor, no_grad
from .totals import History, Row, Totals


class TrainingError(MinidlError, ArithmeticError):
    """Training that cannot go on, because the loss is no number any more."""


class Callback(Answering):
    """Looks on while a :class:`Trainer` works: override what is of interest.

    An error in a callback ends the training; those after it do not hear of the event, but all do of the error.
    """

    def on_train_begin(self, trainer: "Trainer") -> None:
        """Before the first step of a call of ``fit``."""

    def on_step_end(self, trainer: "Trainer") -> None:
        """After every training step."""

    def on_epoch_end(self, trainer: "Trainer") -> None:
        """After validation; ``trainer.history[-1]`` is the row of this epoch."""

    def on_train_end(self, trainer: "Trainer") -> None:
        """After the last step, also when training was stopped early; not after an error."""

    def on_train_error(self, trainer: "Trainer") -> None:
        """After an error, of another callback too: release what you hold. All are told, even if one of them raises."""


def _callbacks(_name: str, callbacks: Any) -> list[Callback]:
    if not isinstance(callbacks, Iterable) or hasattr(callbacks, "dtype"):
        raise MinidlError(f"expected a list of callbacks, got {type(callbacks).__name__}: write callbacks=[...]")
    found = list(callbacks)
    for wrong in (one for one in found if not isinstance(one, Callback)):
        hint = "use those of md.callbacks, or derive a class from md.Callback"
        if isinstance(wrong, type):
            hint = "make one of a class, with brackets"
        elif callable(wrong):
            hint = "a schedule goes to the optimizer, lr=...; for code of your own derive a class from md.Callback"
        raise MinidlError(f"expected callbacks, got {wrong!r}: {hint}")
    return found


class Trainer(Strict):
    """Trains a model on batches ``(inputs, targets)``.

    ``loss(outputs, targets)`` gives a tensor with one element; every metric, given the outputs as plain arrays, the
    mean over the batch, a number. Their names are those of the history, and so not ``loss``, ``epoch``, ``lr`` or
    ``val_...``. Batches are moved to the backend of the model. A callback may set ``stopping`` to end training
    after the step at hand; :meth:`state_dict` then holds all that is needed to go on exactly there.

    On a GPU, the forward and the backward pass of a ``static`` model become one CUDA graph
    (:class:`minidl.capture.CapturedStep`); the loss and the metrics must then do the same in every step, too.
    """

    in_vain = frozenset(["lr", "learning_rate", "device", "max_epochs", "stop_training"])

    loss: Any = option(lambda _name, loss: checked_function(loss))
    optimizer: Optimizer = option(lambda _name, optimizer: checked_optimizer(optimizer))
    metrics: Any = option(lambda _name, metrics: checked_metrics(metrics))
    callbacks: Any = option(_callbacks)

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer,
        metrics: Mapping[str, Metric] | None = None,
        callbacks: Iterable[Callback] = (),
    ) -> None:
        if not isinstance(model, Module):
            raise MinidlError(f"expected a model, got {model!r:.60}: use nn.Sequential(...) or another nn.Module")
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.metrics, self.callbacks = metrics, callbacks
        self.captured = CapturedStep(self._gradients, model)
        """The forward and the backward pass of a step."""
        self.epoch = 0
        """Epochs that are complete."""
        self.history, self.totals = History(), Totals()
        """A row for each complete epoch, and what the epoch at hand has summed up so far."""
        self.seconds, self.images = 0.0, 0
        """Time spent in training steps, waiting for data included, and the samples trained on in it."""
        self.trained = False
        """Whether the epoch at hand only wants its validation."""
        self.stopping = self._fitting = False
        self.epochs = self.steps = math.inf
        """How many epochs, and how many steps, ``fit`` is to complete; infinite where it was not told."""
        self.train_loader: DataLoader | None = None
        self._place: dict[str, int] = {}
        """Where training is in the loader, which others may loop over meanwhile; empty while there is no loader."""

    def __setstate__(self, state: dict[str, Any]) -> None:  # of a copy, too
        vars(self).update(state, captured=CapturedStep(self._gradients, state["model"]), _fitting=False)

    @explained
    def fit(
        self,
        train: DataLoader,
        validation: DataLoader | None = None,
        epochs: int | None = None,
        steps: int | None = None,
    ) -> list[Row]:
        """Train until ``epochs`` epochs or ``steps`` steps are complete; returns the history, a row an epoch.

        Both count what was trained before (steps as ``optimizer.steps``, which schedules use too): repeated after a
        stop, the same call ends at the same place; repeated after its end, it trains nothing. If both are given,
        training ends at the first; if neither is, after one epoch.

        If the steps end inside an epoch, that epoch has no validation, no row and no ``on_epoch_end`` yet;
        ``totals.means()`` is its loss so far. A later ``fit`` with the same loader continues with the next batch, also
        from a :meth:`state_dict`. With another loader or other options of it, or after an error in a step, the epoch
        starts again; after an error in the validation, only the validation is repeated, with the current weights.

        A model in evaluation mode is put into training mode. A single layer in evaluation mode, such as a frozen batch
        normalisation, stays in it.

        Raises :class:`TrainingError` if the loss of an epoch, or of what was trained of it, is infinite or no number,
        and :class:`MinidlError` in a callback of the same trainer, and where the model has other parameters now than
        those that the optimizer was made with (:meth:`minidl.optim.Optimizer.require_current`).

        >>> import minidl as md
        >>> from minidl.data import ArrayDataset
        >>> x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(-1, 1)
        >>> loader, model = DataLoader(ArrayDataset(x, 3 * x), batch_size=16), md.nn.Dense(1, 1)
        >>> trainer = Trainer(model, md.nn.functional.mse_loss, md.optim.SGD(model.parameters(), lr=0.1))
        >>> len(trainer.fit(loader, steps=6)), trainer.optimizer.steps  # an epoch has 4
        (1, 6)
        >>> len(trainer.fit(loader, steps=8)), trainer.optimizer.steps  # 2 more
        (2, 8)
        """
        if self._fitting:
            raise MinidlError(
                "fit is running, and a callback cannot call it again: set trainer.epochs or trainer.steps to train "
                "longer or shorter, or call fit after it"
            )
        for loader in [train] if validation is None else [train, validation]:
            require_loader(loader)
        epochs, steps = optional(whole)("epochs", epochs, 0), optional(whole)("steps", steps, 0)
        if train is not self.train_loader:
            self._begin_anew()
            self._place = train.state_dict() | {"position": train.start}
        self.train_loader, self.stopping = train, False
        self._find_place(train)
        self.epochs = epochs if epochs is not None else 1 if steps is None else math.inf
        self.steps = math.inf if steps is None else steps
        self._fitting = True
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # the loss shows it
                return self._fit(train, validation)
        except BaseException:
            self._tell_of_error()
            raise
        finally:
            self._fitting = False

    def _fit(self, train: DataLoader, validation: DataLoader | None) -> list[Row]:
        self._tell("on_train_begin")
        while not (self.stopping or self._is_complete(train)):
            self._train_epoch(train)
            self._require_finite(self.totals.means())
            if self.stopping or not self.trained:
                break
            validated = self._validated(validation) if validation is not None else {}
            if self.stopping:  # resuming repeats the half-done validation
                break
            self._finish_epoch(validated)
            self._tell("on_epoch_end")
        self._tell("on_train_end")
        return self.history

    def _is_complete(self, loader: DataLoader) -> bool:
        """Whether all is trained that ``fit`` was asked for. An epoch without further batches is finished first."""
        trained = self.trained or self.position == len(loader)
        return self.epoch >= self.epochs or (self.optimizer.steps >= self.steps and not trained)

    def _train_epoch(self, loader: DataLoader) -> None:
        """Train on what is left of the epoch at hand, but for what follows a stop or the last step."""
        if self.trained:
            return
        self._find_place(loader)
        loader.load_state_dict(self._place)
        try:
            self._train_batches(loader)
        except BaseException:
            self._begin_anew()
            raise

    def _train_batches(self, loader: DataLoader) -> None:
        checked_metrics(self.metrics)  # others may have been added since
        self.optimizer.require_current(self.model.parameters() + self._loss_module.parameters())
        for module in (self.model, self._loss_module):
            if not module.training:
                module.train()
        batches, started = len(loader), time.perf_counter()  # a callback may change the options of the loader
        for batch in loader:
            self.train_step(*inputs_and_targets(batch))
            self.seconds += time.perf_counter() - started
            self._place["position"] += 1
            self._tell("on_step_end")
            started = time.perf_counter()
            if (self.stopping or self.optimizer.steps >= self.steps) and self.position < batches:
                return
        self.trained = True
        self._place |= {"epoch": self._place["epoch"] + 1, "position": 0}

    def _find_place(self, loader: DataLoader) -> None:
        """The place is one in the batches that the loader gives: where its options were changed, the epoch is anew."""
        place = loader.state_dict() | {name: self._place[name] for name in ("epoch", "position")}
        if place != self._place and not self.trained:
            self._begin_anew()
            self._place = place | {"position": 0}

    def _next_place(self) -> dict[str, int]:
        """Where training continues: the next epoch has the options that the loader has now."""
        if self.train_loader is None or self.position > 0:
            return dict(self._place)
        return self.train_loader.state_dict() | {"epoch": self._place["epoch"], "position": 0}

    def _begin_anew(self) -> None:
        """Forget what was trained of the epoch at hand: its first batch comes next, in a :meth:`state_dict` too."""
        self.totals, self.trained = Totals(), False
        if self._place:
            self._place["position"] = 0

    @property
    def position(self) -> int:
        """Batches of the epoch at hand that were trained on."""
        return self._place.get("position", 0)

    @property
    def inside_epoch(self) -> bool:
        """Whether an epoch has begun that is not complete."""
        return self.totals.count > 0

    @property
    def steps_left(self) -> float:
        """The steps until all is trained that :meth:`fit` was asked for, validation left out of account."""
        assert self.train_loader is not None, "there is something left only in fit"
        rest = (self.epochs - self.epoch) * len(self.train_loader) - self.position
        return max(0, min(rest, self.steps - self.optimizer.steps))

    def train_step(self, inputs: Any, targets: Any) -> None:
        """One step: forward, backward, update."""
        inputs, targets = on_backend(self.optimizer.parameters[0].backend, (inputs, targets))
        size = size_of(inputs)
        self.optimizer.zero_grad()
        means = self.captured(inputs, targets)
        self.optimizer.step()
        self.images += size
        self.totals.add(("loss", *self.metrics), means, size)

    def _gradients(self, inputs: Any, targets: Any) -> Any:
        """Leave the gradients for a batch in the parameters; its loss and metrics."""
        loss, outputs = self._forward(inputs, targets)
        loss.backward()
        return measured(loss, self.metrics, outputs, targets)

    def _forward(self, inputs: Any, targets: Any) -> tuple[Tensor, Any]:
        outputs = self.model(nested.map_leaves(Tensor, inputs))
        return checked_loss(self.loss(outputs, targets)), outputs

    def _validated(self, loader: DataLoader) -> Row:
        """What :meth:`evaluate` gives; the validation of an epoch ends early when training is to stop."""
        loader.epoch = self.epoch  # however often it was looped over: after a resume it draws the same numbers
        return self.evaluate(takewhile(lambda _: not self.stopping, loader))

    @explained
    def evaluate(self, loader: Iterable[Any]) -> Row:
        """The mean loss and metrics over all batches of a loader, in evaluation mode.

        Then every part of the model, and of a loss that is a module, is in its mode of before, after an error too.
        """
        if not isinstance(loader, Iterable) or hasattr(loader, "dtype"):
            raise MinidlError(f"expected a loader, got {type(loader).__name__}: use DataLoader(dataset, batch_size=32)")
        checked_metrics(self.metrics)
        totals = Totals()
        with evaluating(self.model), evaluating(self._loss_module), no_grad():
            for batch in loader:
                inputs, targets = on_backend(self.optimizer.parameters[0].backend, inputs_and_targets(batch))
                loss, outputs = self._forward(inputs, targets)
                means = measured(loss, self.metrics, outputs, targets)
                totals.add(("loss", *self.metrics), means, size_of(inputs))
        return totals.means()

    def _finish_epoch(self, validated: Row) -> None:
        row: Row = {"epoch": self.epoch + 1, "lr": self.optimizer.lr, **self.totals.means()}
        row |= {f"val_{name}": value for name, value in validated.items()}
        self._require_finite(row)
        self.history.append(row)
        self.epoch += 1
        self.totals, self.trained = Totals(), False

    def _require_finite(self, row: Row) -> None:
        bad = [name for name in ("loss", "val_loss") if not math.isfinite(row.get(name, 0.0))]
        if bad:
            self._begin_anew()
            raise TrainingError(
                f"the {bad[0]} became {row[bad[0]]} in epoch {self.epoch + 1}: try a smaller learning rate "
                f"(it was {self.optimizer.lr:g}) or look for bad values in the data"
            )

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides how training goes on, as NumPy arrays and plain values."""
        generators = self._generators().state_dict()
        return {
            "epoch": self.epoch,
            "history": [dict(row) for row in self.history],
            "trained": self.trained,
            "totals": self.totals.state_dict(),
            "seconds": self.seconds,
            "images": self.images,
            "model": self.model.state_dict(),
            "loss": self._loss_module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "loader": self._next_place() or None,
            "random": generators.pop(_DEFAULT),
            "generators": generators,
        }

    def load_state_dict(self, state: Mapping[str, Any], train: DataLoader) -> None:
        """Go on from a :meth:`state_dict` with a loader of the same data, all or nothing. The next :meth:`fit` does so
        inside an epoch too; other loops over the loader are of whole epochs.

        Raises what the model, the optimizer and the loader raise for states that do not fit, changing nothing.
        """
        require_loader(train)
        require_entries(state, _ENTRIES, "a trainer")
        own = {
            "epoch": whole("epoch", state["epoch"], least=0),
            "trained": flag("trained", state["trained"]),
            "seconds": number("seconds", state["seconds"], ">= 0"),
            "images": whole("images", state["images"], least=0),
            "totals": Totals.of_state(state["totals"]),
            "history": History.of_state(state["history"]),
        }
        own_random = (generators := self._generators()).state_dict()
        random_states = state.get("generators", own_random)
        require_entries(random_states, [], "random generators")
        random_states = {**random_states, _DEFAULT: state["random"]}
        if "loss" not in state:  # saved before it was kept
            beside = {name: own for name, own in own_random.items() if name.startswith((_OF_LOSS, _OF_OPTIMIZER))}
            random_states = beside | random_states
        loss = self._loss_module
        with all_or_nothing(self.model, loss, self.optimizer, generators):
            self.model.load_state_dict(state["model"])
            loss.load_state_dict(state.get("loss", loss.state_dict()))
            self.optimizer.load_state_dict(state["optimizer"])
            generators.load_state_dict(random_states)
            if state["loader"] is not None:
                train.load_state_dict(state["loader"])
        vars(self).update(own, train_loader=train, _place=train.state_dict() | {"position": train.start})
        if state["loader"] is not None:
            train.start = 0  # the trainer knows the place: who loops before fit does, evaluate too, has whole epochs

    def _generators(self) -> random.Generators:
        """What random numbers are drawn from in a step."""
        found: dict[str, Any] = {_DEFAULT: random.default_rng, **dict(self.model.named_generators())}
        found |= {f"{_OF_LOSS}{name}": held for name, held in self._loss_module.named_generators()}
        return random.Generators(found | {f"{_OF_OPTIMIZER}{name}": held for name, held in held_in(self.optimizer)})

    @property
    def _loss_module(self) -> Module:
        """The loss if it is a module, else one without any state."""
        return self.loss if isinstance(self.loss, Module) else _NO_MODULE

    def _tell(self, event: str) -> None:
        for callback in tuple(self.callbacks):  # one may take itself away
            getattr(callback, event)(self)

    def _tell_of_error(self) -> None:
        with contextlib.ExitStack() as stack:  # which calls all of them, whatever one raises
            for callback in reversed(self.callbacks):
                stack.callback(callback.on_train_error, self)


_ENTRIES = ("epoch", "history", "trained", "totals", "seconds", "images", "model", "optimizer", "loader", "random")
"""What a state must have; those saved before there was more have no others."""
_DEFAULT = ""
"""The name of minidl's own generator among those of a model."""
_OF_LOSS, _OF_OPTIMIZER = "loss/", "optimizer/"
"""What comes before the names of generators that are not the model's."""
_NO_MODULE = Module()
