"""The training loop and the base class of callbacks.

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
import warnings
from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any

import numpy as np

from . import nested, random
from .capture import CapturedStep
from .data import DataLoader, inputs_and_targets, on_backend, require_loader, size_of
from .errors import MinidlError, brief, counted
from .habits import Guarded, explained
from .hooks import require_hooks
from .measures import Loss, Metric, checked_function, checked_loss, checked_metrics, measured
from .nn import Module
from .nn.module import evaluating, held_in
from .optimizer import Optimizer, checked_optimizer
from .options import flag, integer, number, option, optional
from .states import all_or_nothing, require_entries
from .tensor import Tensor, no_grad
from .totals import History, Row, Totals


class TrainingError(MinidlError, ArithmeticError):
    """Raised if training cannot continue because the loss became infinite or NaN."""


class Callback(Guarded):
    """The base class of callbacks, which a :class:`Trainer` calls during training: override the methods you need.

    An error in a callback ends the training: the callbacks after it are not called for this event, but
    ``on_train_error`` is called for all.

    Raises :class:`MinidlError` for a class with another method ``on_...``, and for hooks with other arguments, such as
    those of Keras.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        require_hooks(cls, Callback)

    def on_train_begin(self, trainer: "Trainer") -> None:
        """Before the first step of a call of ``fit``."""

    def on_step_end(self, trainer: "Trainer") -> None:
        """After every training step."""

    def on_epoch_end(self, trainer: "Trainer") -> None:
        """After validation; ``trainer.history[-1]`` is the row of this epoch."""

    def on_train_end(self, trainer: "Trainer") -> None:
        """After the last step, also when training was stopped early; not after an error."""

    def on_train_error(self, trainer: "Trainer") -> None:
        """After an error, also in another callback: release resources. Called for all, even if one of them raises."""


def _callbacks(_name: str, callbacks: Any) -> list[Callback]:
    if not isinstance(callbacks, Iterable) or hasattr(callbacks, "dtype"):
        raise MinidlError(f"expected a list of callbacks, got {type(callbacks).__name__}: write callbacks=[...]")
    found = list(callbacks)
    for wrong in (one for one in found if not isinstance(one, Callback)):
        hint = "use a callback of md.callbacks, or derive a class from md.Callback"
        if isinstance(wrong, type):
            hint = "make an instance of the class, with parentheses"
        elif callable(wrong):
            hint = "pass a schedule to the optimizer, lr=...; for your own code derive a class from md.Callback"
        raise MinidlError(f"expected callbacks, got {brief(wrong)}: {hint}")
    return found


def _end(name: str, value: Any) -> float:
    """A number of epochs or steps, or infinity, as an option."""
    return value if isinstance(value, float) and value == math.inf else integer(name, value, least=0)


def _require_fit(options: dict[str, Any]) -> None:
    if not options.get("_fitting"):
        raise MinidlError("fit sets when training ends, and a callback may change it: write trainer.fit(..., epochs=5)")


class Trainer(Guarded):
    """Trains a model on batches ``(inputs, targets)``.

    ``loss(outputs, targets)`` returns a tensor with one element. Every metric gets the outputs as plain arrays and
    returns the mean over the batch, a number. The names of metrics become columns of the history, so they must not be
    ``loss``, ``epoch``, ``lr`` or ``val_...``. Batches are moved to the backend of the model. A callback may set
    ``stopping`` to end training after the current step; :meth:`state_dict` is then enough to continue exactly there.

    On a GPU, the forward and the backward pass of a ``static`` model become one CUDA graph
    (:class:`minidl.capture.CapturedStep`); the loss and the metrics must then also be the same in every step.
    """

    in_vain = frozenset(["lr", "learning_rate", "device", "max_epochs", "stop_training"])

    loss: Any = option(lambda _name, loss: checked_function(loss))
    optimizer: Optimizer = option(lambda _name, optimizer: checked_optimizer(optimizer))
    metrics: Any = option(lambda _name, metrics: checked_metrics(metrics))
    callbacks: Any = option(_callbacks)
    epochs: float = option(_end, beside=_require_fit)
    steps: float = option(_end, beside=_require_fit)

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer,
        metrics: Mapping[str, Metric] | None = None,
        callbacks: Iterable[Callback] = (),
    ) -> None:
        if not isinstance(model, Module):
            raise MinidlError(f"expected a model, got {brief(model)}: use nn.Sequential(...) or another nn.Module")
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.metrics, self.callbacks = metrics, callbacks
        self.captured = CapturedStep(_gradients)
        """The forward and the backward pass of a step."""
        self.epoch = 0
        """The number of complete epochs."""
        self.history, self.totals = History(), Totals()
        """A row for each complete epoch, and the sums over the current epoch so far."""
        self.seconds, self.samples = 0.0, 0
        """Time spent in training steps, including waiting for data, and the number of samples trained on."""
        self.trained = False
        """Whether only the validation of the current epoch is left."""
        self._ended_at = 0
        """The number of steps until the end of the last epoch; -1 in a state from inside an epoch."""
        self._ended_with: int | None = None
        """The option ``epochs`` of the last call of ``fit``, if it has reached them."""
        self.stopping = self._fitting = False
        vars(self).update(epochs=math.inf, steps=math.inf)
        """The number of epochs and of steps after which ``fit`` ends; infinite if not given."""
        self.train_loader: DataLoader | None = None
        self._place: dict[str, int] = {}
        """The position of training in the loader, independent of other loops over it; empty before the first fit."""

    def __setstate__(self, state: dict[str, Any]) -> None:  # also for copies
        vars(self).update(state, captured=CapturedStep(_gradients), _fitting=False)

    @explained
    def fit(
        self,
        train: DataLoader,
        validation: DataLoader | None = None,
        epochs: int | None = None,
        steps: int | None = None,
    ) -> list[Row]:
        """Train until ``epochs`` epochs or ``steps`` steps are complete; returns the history, one row per epoch.

        Both include earlier training (steps as ``optimizer.steps``, which schedules use too): repeated after a stop,
        the same call ends at the same place; repeated after its end, it warns and trains nothing. If both are given,
        training ends at the first; if neither is, after one epoch.

        If the steps end inside an epoch, that epoch has no validation, no row and no ``on_epoch_end`` yet;
        ``totals.means()`` is its loss so far. A later ``fit`` with the same loader continues with the next batch, also
        from a :meth:`state_dict`. With another loader or changed options, or after an error in a step, the epoch
        starts again; after an error in the validation, only the validation is repeated, with the current weights.

        A model in evaluation mode is put into training mode. A single layer in evaluation mode, such as a frozen batch
        normalization, stays in it.

        Raises :class:`TrainingError` if the mean loss of an epoch, complete or not, is infinite or NaN, and
        :class:`MinidlError` if called by a callback of the same trainer, or if parameters of the model were replaced
        after the optimizer was made (:meth:`minidl.optim.Optimizer.require_current`).

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
        epochs, steps = optional(integer)("epochs", epochs, 0), optional(integer)("steps", steps, 0)
        if epochs and epochs == self._ended_with:  # as in a loop that calls fit for each epoch
            warnings.warn(
                f"nothing to train: epochs={epochs} includes earlier calls, which trained "
                f"{counted(self.epoch, 'epoch')}. For one more, write epochs=trainer.epoch + 1",
                stacklevel=3,
            )
        self._ended_with = None
        if train is not self.train_loader:
            self._begin_anew()
            self._place = _start_of(train)
        self.train_loader, self.stopping = train, False
        self._find_place(train)
        self._fitting = True
        try:
            self.epochs = epochs if epochs is not None else 1 if steps is None else math.inf
            self.steps = math.inf if steps is None else steps
            with np.errstate(over="ignore", invalid="ignore"):  # the loss is checked instead
                self._fit(train, validation)
            self._ended_with = epochs if self.epoch == epochs else None
            return self.history
        except BaseException:
            self._tell_of_error()
            raise
        finally:
            self._fitting = False

    def _fit(self, train: DataLoader, validation: DataLoader | None) -> None:
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

    def _is_complete(self, loader: DataLoader) -> bool:
        """Whether ``fit`` has reached its end. An epoch without further batches is finished first."""
        trained = self.trained or self.position == len(loader)
        return self.epoch >= self.epochs or (self.optimizer.steps >= self.steps and not trained)

    def _train_epoch(self, loader: DataLoader) -> None:
        """Train on the rest of the current epoch, until a stop or the last step."""
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
        checked_metrics(self.metrics)  # some may have been added since
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
        """Start the epoch again if the loader's options have changed, because its batches are then others."""
        place = self._place_in(loader)
        if place != self._place and not self.trained:
            self._begin_anew()
            self._place = place | {"position": 0}

    def _next_place(self) -> dict[str, int]:
        """Where training continues: the next epoch has the options that the loader has now."""
        if self.train_loader is None or self.position > 0:
            return dict(self._place)
        return self._place_in(self.train_loader)

    def _place_in(self, loader: DataLoader) -> dict[str, int]:
        return {name: self._place[name] for name in ("epoch", "position")} | loader.options()

    def _begin_anew(self) -> None:
        """Start the current epoch again: its first batch is the next one, also after :meth:`load_state_dict`."""
        self.totals, self.trained = Totals(), False
        if self._place:
            self._place["position"] = 0

    @property
    def position(self) -> int:
        """The number of batches of the current epoch that were trained on."""
        return self._place.get("position", 0)

    @property
    def inside_epoch(self) -> bool:
        """Whether the current epoch has begun and is not complete."""
        return self.totals.count > 0

    @property
    def at_epoch_end(self) -> bool:
        """Whether there is an epoch, and no step since it ended, not even in an epoch that an error ended."""
        return bool(self.history) and self.optimizer.steps == self._ended_at

    @property
    def steps_left(self) -> float:
        """The number of training steps until :meth:`fit` ends."""
        assert self.train_loader is not None, "there are steps left only in fit"
        rest = (self.epochs - self.epoch) * len(self.train_loader) - self.position
        return max(0, min(rest, self.steps - self.optimizer.steps))

    def train_step(self, inputs: Any, targets: Any) -> None:
        """One step: forward, backward, update."""
        inputs, targets = on_backend(self.optimizer.parameters[0].backend, (inputs, targets))
        size = size_of(inputs)
        self.optimizer.zero_grad()
        means = self.captured(inputs, targets, self.model, self.loss, self.metrics)
        self.optimizer.step()
        self.samples += size
        self.totals.add(("loss", *self.metrics), means, size)

    def _validated(self, loader: DataLoader) -> Row:
        """The result of :meth:`evaluate`; ends early if ``stopping`` is set."""
        loader.epoch = self.epoch  # whatever loops there were: so a resumed run draws the same random numbers
        return self.evaluate(takewhile(lambda _: not self.stopping, loader))

    @explained
    def evaluate(self, loader: Iterable[Any]) -> Row:
        """The mean loss and metrics over all batches of a loader, in evaluation mode.

        Afterwards, also after an error, every module of the model and of the loss is in its previous mode.
        """
        if not isinstance(loader, Iterable) or hasattr(loader, "dtype"):
            raise MinidlError(f"expected a loader, got {type(loader).__name__}: use DataLoader(dataset, batch_size=32)")
        checked_metrics(self.metrics)
        totals = Totals()
        with evaluating(self.model), evaluating(self._loss_module), no_grad():
            for batch in loader:
                inputs, targets = on_backend(self.optimizer.parameters[0].backend, inputs_and_targets(batch))
                loss, outputs = _forward(inputs, targets, self.model, self.loss)
                means = measured(loss, self.metrics, outputs, targets)
                totals.add(("loss", *self.metrics), means, size_of(inputs))
        return totals.means()

    def _finish_epoch(self, validated: Row) -> None:
        row: Row = {"epoch": self.epoch + 1, "lr": self.optimizer.lr, **self.totals.means()}
        row |= {f"val_{name}": value for name, value in validated.items()}
        self._require_finite(row)
        self.history.append(row)
        self.epoch += 1
        self.totals, self.trained, self._ended_at = Totals(), False, self.optimizer.steps

    def _require_finite(self, row: Row) -> None:
        bad = [name for name in ("loss", "val_loss") if not math.isfinite(row.get(name, 0.0))]
        if bad:
            self._begin_anew()
            raise TrainingError(
                f"the {bad[0]} became {row[bad[0]]} in epoch {self.epoch + 1}: try a smaller learning rate "
                f"(it was {self.optimizer.lr:g}) or look for bad values in the data"
            )

    def state_dict(self) -> dict[str, Any]:
        """Everything that determines further training, as NumPy arrays and plain values."""
        generators = self._generators().state_dict()
        return {
            "epoch": self.epoch,
            "history": [dict(row) for row in self.history],
            "trained": self.trained,
            "totals": self.totals.state_dict(),
            "seconds": self.seconds,
            "samples": self.samples,
            "model": self.model.state_dict(),
            "loss": self._loss_module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "loader": self._next_place() or None,
            "random": generators.pop(_DEFAULT),
            "generators": generators,
        }

    def load_state_dict(self, state: Mapping[str, Any], train: DataLoader) -> None:
        """Continue from a :meth:`state_dict` with a loader of the same data.

        The next :meth:`fit` continues inside the epoch; other loops over the loader are complete epochs. Raises the
        errors of the model, the optimizer and the loader for states that do not fit, changing nothing.
        """
        require_loader(train)
        require_entries(state, _ENTRIES, "a trainer")
        own = {
            "epoch": integer("epoch", state["epoch"], least=0),
            "trained": flag("trained", state["trained"]),
            "seconds": number("seconds", state["seconds"], ">= 0"),
            "samples": integer("samples", state["samples"], least=0),
            "totals": Totals.of_state(state["totals"]),
            "history": History.of_state(state["history"]),
        }
        require_entries(state["generators"], [], "random generators")
        random_states = {**state["generators"], _DEFAULT: state["random"]}
        generators, loss = self._generators(), self._loss_module
        with all_or_nothing(self.model, loss, self.optimizer, generators):
            self.model.load_state_dict(state["model"])
            loss.load_state_dict(state["loss"])
            self.optimizer.load_state_dict(state["optimizer"])
            generators.load_state_dict(random_states)
            if state["loader"] is not None:
                train.load_state_dict(state["loader"])
        vars(self).update(own, train_loader=train, _place=_start_of(train), _ended_with=None)
        self._ended_at = -1 if self.inside_epoch else self.optimizer.steps
        if state["loader"] is not None:
            train.start = 0  # the trainer has the position: other loops, such as evaluate, are complete epochs

    def _generators(self) -> random.Generators:
        """The random generators that a step may draw from."""
        found: dict[str, Any] = {_DEFAULT: random.default_rng, **dict(self.model.named_generators())}
        found |= {f"{_OF_LOSS}{name}": held for name, held in self._loss_module.named_generators()}
        return random.Generators(found | {f"{_OF_OPTIMIZER}{name}": held for name, held in held_in(self.optimizer)})

    @property
    def _loss_module(self) -> Module:
        """The loss if it is a module, else a module without state."""
        return self.loss if isinstance(self.loss, Module) else _NO_MODULE

    def _tell(self, event: str) -> None:
        for callback in tuple(self.callbacks):  # a callback may remove itself
            getattr(callback, event)(self)

    def _tell_of_error(self) -> None:
        with contextlib.ExitStack() as stack:  # calls all of them, even if one raises
            for callback in reversed(self.callbacks):
                stack.callback(callback.on_train_error, self)


def _gradients(inputs: Any, targets: Any, model: Module, loss: Loss, metrics: Mapping[str, Metric]) -> Any:
    """Compute the gradients of the parameters for a batch; returns its loss and metrics."""
    value, outputs = _forward(inputs, targets, model, loss)
    value.backward()
    return measured(value, metrics, outputs, targets)


def _forward(inputs: Any, targets: Any, model: Module, loss: Loss) -> tuple[Tensor, Any]:
    outputs = model(nested.map_leaves(Tensor, inputs))
    return checked_loss(loss(outputs, targets)), outputs


def _start_of(loader: DataLoader) -> dict[str, int]:
    """The place at which the next loop over a loader starts."""
    return {"epoch": loader.epoch, "position": loader.start, **loader.options()}


_ENTRIES = (
    *("epoch", "history", "trained", "totals", "seconds", "samples"),
    *("model", "loss", "optimizer", "loader", "random", "generators"),
)
"""The entries that a state must have."""
_DEFAULT = ""
"""The name of minidl's default generator among the generators of a model."""
_OF_LOSS, _OF_OPTIMIZER = "loss/", "optimizer/"
"""Prefixes of the names of generators in the loss and the optimizer."""
_NO_MODULE = Module()
