"""Training histories: fit, stop, fail, save, load, change and inspect, in any order, against the plain loop."""

import copy
import random
import re
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minidl as md
from minidl import checkpoint, nn, optim
from minidl import random as randomness
from minidl.data import ArrayDataset, DataLoader
from minidl.errors import MinidlError
from tests.fuzz.plain import BETAS, DECAY, EPS, MOMENTUM, Plain, Setting, replay, validation
from tests.fuzz.shrinking import Lines, shrunk

HEADER = "from tests.fuzz.machine import Machine"
LENGTH = 8
OPTIONS = {"a": (None, 0), "b": (2, 9)}
"""Batch size (that of the setting) and seed of two loaders."""


class PlannedError(Exception):
    """Raised where a history requests it."""


@dataclass(frozen=True)
class Plan:
    """The arguments of a call of fit, and the planned interruptions."""

    epochs: int | None = None
    steps: int | None = None
    loader: str = "a"
    validation: bool = False
    stop: int | None = None
    """The step after which a callback stops."""
    stop_epoch: int | None = None
    fail: str = ""
    """Where an error is raised: in the "loss", after a "step", in the "validation", or after an "epoch"."""
    at: int | None = None


@dataclass
class Place:
    """The seed and the position of a loader, as the plain loop tracks them."""

    name: str
    batch: int
    seed: int
    epoch: int = 0
    resume: int = 0
    """The position at which the next loop begins after a state was loaded."""


class Planned(md.Callback):
    """Stops and fails as planned."""

    plan = Plan()

    def on_step_end(self, trainer: md.Trainer) -> None:
        steps = trainer.optimizer.steps
        if self.plan.fail == "step" and steps == self.plan.at:
            raise PlannedError
        if steps == self.plan.stop:
            trainer.stopping = True

    def on_epoch_end(self, trainer: md.Trainer) -> None:
        if self.plan.fail == "epoch" and trainer.epoch == self.plan.at:
            raise PlannedError
        if trainer.epoch == self.plan.stop_epoch:
            trainer.stopping = True


class Machine:
    """A trainer with its model, optimizer and loaders, and the plain loop that it must match."""

    def __init__(self, **setting: Any) -> None:
        self.setting = Setting(**setting)
        self.plain = Plain(self.setting)
        self.saved: dict[str, Any] = {}
        self.seen: list[list[int]] = []
        """The samples of all training steps."""
        self.make()
        self.check()

    def make(self) -> None:
        """New objects, as in a new process."""
        s = self.setting
        randomness.seed(5)
        own = md.Generator(5) if s.dropout == "own" else None
        layers = [nn.Dropout(0.25, rng=own)] if s.dropout else []
        self.model = nn.Sequential(*layers, nn.Dense(2, 1, rng=md.Generator(0))).astype(np.float64)
        for parameter, value in zip(self.model.parameters(), s.weights(), strict=True):
            parameter.data[...] = value
        x, t = s.data()
        self.numbers = {float(value): number for number, value in enumerate(t[:, 0])}
        self.loaders = {
            name: DataLoader(
                ArrayDataset(x, t), size or s.batch, shuffle=s.shuffle, seed=seed,
                drop_last=s.drop_last, prefetch=s.prefetch,
            )
            for name, (size, seed) in OPTIONS.items()
        }  # fmt: skip
        self.places = {name: Place(name, size or s.batch, seed) for name, (size, seed) in OPTIONS.items()}
        self.validation = DataLoader(ArrayDataset(*s.data(seed=1)), 4, prefetch=0)
        self.callback = Planned()
        self.trainer = md.Trainer(self.model, self._loss, self._optimizer(), callbacks=[self.callback])

    def _optimizer(self) -> optim.Optimizer:
        lr: Any = optim.step(0.1, every=3, factor=0.5) if self.setting.schedule else self.setting.lr(0)
        parameters = self.model.parameters()
        if self.setting.optimizer == "SGD":
            return optim.SGD(parameters, lr, momentum=MOMENTUM, weight_decay=DECAY)
        if self.setting.optimizer == "Adam":
            return optim.Adam(parameters, lr, BETAS, EPS)
        return optim.AdamW(parameters, lr, BETAS, EPS, DECAY)

    def _loss(self, y: Any, t: Any) -> Any:
        plan = self.callback.plan
        if not self.model.training:
            if plan.fail == "validation":
                raise PlannedError
        elif plan.fail == "loss" and plan.at == self.trainer.optimizer.steps + 1:
            raise PlannedError
        else:
            self.seen.append([self.numbers[value] for value in t[:, 0].tolist()])
        return nn.functional.mse_loss(y, t)

    # The actions of a history

    def fit(self, **plan: Any) -> None:
        """Train, with planned interruptions."""
        self.callback.plan = planned = Plan(**plan)
        loader, place = self.loaders[planned.loader], self.places[planned.loader]
        before = len(self.seen)
        start = len(self.plain.tape)
        expected = self.plain.fit(place, planned)
        ended = ""
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "nothing to train")
                rows = self.trainer.fit(
                    loader, self.validation if planned.validation else None, planned.epochs, planned.steps
                )
            assert rows is self.trainer.history or rows == self.trainer.history, "fit returns the history"
        except PlannedError:
            ended = planned.fail
        finally:
            self.callback.plan = Plan()
        same("how fit ended", ended, expected)
        steps = [event[1] for event in self.plain.tape[start:] if event[0] == "step"]
        same("the samples of the steps", self.seen[before:], steps)
        self.check()

    def save(self, name: str, file: bool = False) -> None:
        """Save the state, in a file or in memory."""
        state = self.trainer.state_dict()
        if file:
            with tempfile.TemporaryDirectory() as folder:
                checkpoint.save_state(Path(folder) / "s", state)
                state = checkpoint.load_state(Path(folder) / "s")
        kept = copy.copy(self.plain)
        kept.tape = list(self.plain.tape)
        self.saved[name] = state, kept

    def load(self, name: str, fresh: bool = True) -> None:
        """Continue from a state, in new objects or in these."""
        if name not in self.saved:
            return
        state, kept = self.saved[name]
        if fresh:
            self.make()
        loader = kept.loader or "a"
        self.trainer.load_state_dict(state, self.loaders[loader])
        self.plain = copy.copy(kept)
        self.plain.tape = list(kept.tape)
        if kept.loader:
            place, length = self.places[loader], len(self.loaders[loader])
            ended = kept.position == length
            place.epoch, place.resume = kept.epoch + ended, 0
        else:
            self.plain.loader, self.plain.epoch = loader, self.places[loader].epoch
        self.check()

    def load_weights(self, name: str) -> None:
        """Load only the weights of a state."""
        if name in self.saved:
            state, kept = self.saved[name]
            self.model.load_state_dict(state["model"])
            self.plain.tape.append(("weights", list(kept.tape)))
            self.check()

    def lr(self, value: float) -> None:
        """Set the learning rate, which a schedule forbids."""
        try:
            self.trainer.optimizer.lr = value
        except MinidlError:
            same("refuses a rate beside a schedule", self.setting.schedule, True)
        else:
            same("takes a rate beside a schedule", self.setting.schedule, False)
            self.plain.tape.append(("lr", value))
        self.check()

    def evaluate(self, frozen: bool = False) -> None:
        """Evaluate on the validation data, and check that each layer keeps its mode."""
        if frozen:
            list(self.model.named_modules())[-1][1].eval()
        modes = [module.training for _, module in self.model.named_modules()]
        now = replay(self.setting, self.plain.tape)
        near("the validation", self.trainer.evaluate(self.validation)["loss"], validation(self.setting, now.w, now.b))
        same("the modes", [module.training for _, module in self.model.named_modules()], modes)
        self.check()

    def look(self, batches: int | None = None, twice: bool = False, loader: str = "a") -> None:
        """Loop over a loader, completely or not, or with two loops side by side."""
        place = self.places[loader]
        wanted = self.setting.batches(place.batch, place.seed, place.epoch)
        first, place.resume = wanted[place.resume :], 0
        pair = iter(self.loaders[loader]), iter(self.loaders[loader]) if twice else iter(())
        loops = [(pair[0], first), (pair[1], wanted)][: 1 + twice]
        count = len(wanted) + 1 if batches is None else batches
        seen: list[list[list[int]]] = [[] for _ in loops]
        for _ in range(count):
            for number, (loop, _) in enumerate(loops):
                for _, t in [next(loop, (None, None))]:
                    if t is not None:
                        seen[number].append([self.numbers[value] for value in t[:, 0].tolist()])
        for found, (_, expected) in zip(seen, loops, strict=True):
            same("the samples of a loop", found, expected[:count])
        place.epoch += count > len(loops[-1][1])  # the loop that advanced last
        self.check()

    def check(self) -> None:
        """Assert that the visible state of the trainer equals that of the plain loop."""
        now, trainer = replay(self.setting, self.plain.tape), self.trainer
        w, b = (parameter.numpy() for parameter in self.model.parameters())
        near("w", w, now.w), near("b", b, now.b)
        same("dtypes", {str(w.dtype), str(b.dtype)}, {"float64"})
        same("steps", trainer.optimizer.steps, now.steps)
        same("epoch", trainer.epoch, len(now.history))
        same("samples", trainer.samples, now.samples)
        same("samples of this epoch", trainer.totals.count, now.count)
        near("the learning rate", trainer.optimizer.lr, now.lr)
        same("the names of the history", [[*row] for row in trainer.history], [[*row] for row in now.history])
        for row, expected in zip(trainer.history, now.history, strict=True):
            near("the history", [*row.values()], [*expected.values()])


def same(what: str, found: Any, expected: Any) -> None:
    assert found == expected, f"{what}: {found}, expected {expected}"


def near(what: str, found: Any, expected: Any) -> None:
    close = np.allclose(found, expected, rtol=1e-9, atol=1e-11)
    assert close, f"{what}: {np.asarray(found).tolist()}, expected {np.asarray(expected).tolist()}"


# Histories as lines


@dataclass(frozen=True)
class Difference:
    """A difference in a line of a history."""

    line: str
    said: str

    @property
    def key(self) -> str:
        """Equal for two histories with the same difference."""
        return re.sub(r"[\[{\d(].*", "", self.said.split(", expected")[0])[:60].strip()


def run(history: Lines) -> Difference | None:
    """The first difference in a history."""
    names: dict[str, Any] = {"Machine": Machine}
    for line in history:
        if "m" not in names and not line.startswith("m = "):
            return None
        try:
            exec(line, names)
        except AssertionError as error:
            return Difference(line, str(error))
        except Exception as error:
            return Difference(line, f"{type(error).__name__}: {error}")
    return None


def write(seed: int, length: int = LENGTH) -> Lines:
    """The random history of a seed."""
    rng = random.Random(seed)
    samples = rng.randint(2, 9)
    setting = {
        "samples": samples,
        "batch": rng.randint(1, min(4, samples)),
        "shuffle": rng.random() < 0.7,
        "drop_last": rng.random() < 0.3,
        "optimizer": rng.choice(("SGD", "Adam", "AdamW")),
        "schedule": rng.random() < 0.3,
        "dropout": rng.choice(("", "", "default", "own")),
        "prefetch": rng.choice((0, 0, 0, 0, 0, 2)),
    }
    lines = [f"m = Machine({', '.join(f'{name}={value!r}' for name, value in setting.items())})"]
    return lines + [_line(rng, number) for number in range(1, rng.randint(2, length) + 1)]


def _line(rng: random.Random, number: int) -> str:
    draw = rng.random()
    if draw < 0.5:
        return f"m.fit({_arguments(rng, number)})"
    if draw < 0.65:
        return f"m.save({rng.choice('xxy')!r}{', file=True' if rng.random() < 0.3 else ''})"
    if draw < 0.8:
        return f"m.load({rng.choice('xxy')!r}{', fresh=False' if rng.random() < 0.5 else ''})"
    if draw < 0.92:
        count = "" if rng.random() < 0.5 else f"{rng.randint(0, 2)}, "
        return f"m.look({count}twice={rng.random() < 0.3}, loader={rng.choice('aab')!r})"
    if draw < 0.95:
        return f"m.evaluate(frozen={rng.random() < 0.5})"
    return rng.choice((f"m.load_weights({rng.choice('xy')!r})", f"m.lr({rng.choice((0.01, 0.2))})"))


def _arguments(rng: random.Random, number: int) -> str:
    given: dict[str, Any] = {}
    if rng.random() < 0.7:
        given["epochs"] = rng.randint(0, number + 1)
    if rng.random() < 0.5:
        given["steps"] = rng.randint(0, 4 * number)
    if rng.random() < 0.1:
        given["loader"] = "b"
    if rng.random() < 0.4:
        given["validation"] = True
    if rng.random() < 0.3:
        given["stop"] = rng.randint(1, 4 * number)
    if rng.random() < 0.1:
        given["stop_epoch"] = rng.randint(1, number)
    if rng.random() < 0.25:
        given["fail"] = rng.choice(("loss", "step", "step", "validation", "epoch"))
        given["at"] = rng.randint(1, number if given["fail"] == "epoch" else 4 * number)
    return ", ".join(f"{name}={value!r}" for name, value in given.items())


def simpler(line: str) -> list[str]:
    """The line without one of its arguments, or with smaller numbers."""
    head, _, arguments = line.removesuffix(")").partition("(")
    parts = arguments.split(", ") if arguments else []
    forms = [[*parts[:i], *parts[i + 1 :]] for i, part in enumerate(parts) if "=" in part]
    for i, part in enumerate(parts):
        if match := re.fullmatch(r"(\w+=)(\d+)", part):
            forms += [[*parts[:i], f"{match[1]}{n}", *parts[i + 1 :]] for n in range(1, int(match[2]))]
    return [f"{head}({', '.join(form)})" for form in forms]


def shortest(history: Lines, found: Difference) -> Lines:
    """A short history with the same difference."""

    def fails(lines: Lines) -> bool:
        now = run(lines)
        return now is not None and now.key == found.key

    return shrunk(history, fails, simpler)


def report(history: Lines, seed: int | None = None) -> str:
    """A history that can be run by hand, with its output."""
    found = run(history)
    where = f"# seed {seed}\n" if seed is not None else ""
    return "\n".join([f"{where}{HEADER}", *history, f"# {found.line}: {found.said}" if found else "# no difference"])
