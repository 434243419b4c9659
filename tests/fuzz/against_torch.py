"""Compare one program in minidl and in PyTorch: values, dtypes, gradients and errors, line by line."""

import random
import re
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minidl.errors import MinidlError
from tests.fuzz import contracts, ours, programs, theirs
from tests.fuzz.scene import Scene
from tests.fuzz.shrinking import Lines, shrunk

TOLERANCES = {"float64": 1e-9, "float32": 1e-4, "float16": 3e-2}
LENGTH = 14
SHAKES = 4
SHARE = 4  # of the largest rounding error, which so few perturbations do not reach
SIMPLE = ("1", "2")
HEADER = "from tests.fuzz.ours import *  # or from tests.fuzz.theirs import *, for PyTorch"


@dataclass(frozen=True)
class Difference:
    """A difference between minidl and PyTorch in a line of a program."""

    kind: str
    line: str
    ours: Any
    theirs: Any
    tolerance: float = 0.0

    @property
    def key(self) -> tuple[str, str, str]:
        """Equal for two programs with the same difference: kind, operation and message."""
        error = next((x for x in (self.ours, self.theirs) if isinstance(x, Exception)), "")
        said = re.sub(r"[\d().,\[\]x\s-]+", " ", str(error))[:60]
        operation = re.sub(r"[mx]\d+(\.0)?|[\d.]+|\[.*?\]|\s|-|None", "", self.line.split(" = ", 1)[-1])
        return self.kind, operation[:30], f"{type(error).__name__}: {said}" if error else ""


@dataclass
class Runner:
    """A running program: the results of its lines on both sides."""

    done: Lines = field(default_factory=list)
    here: dict[str, Any] = field(default_factory=lambda: {**vars(ours)})
    there: dict[str, Any] = field(default_factory=lambda: {**vars(theirs)})
    finite: bool = True
    """Whether all values and the sums of their squares are finite so far."""
    over: bool = False
    """Whether a backward pass failed: its partial gradients are unspecified."""
    coarsest: str = "float64"
    """The float dtype with the largest rounding so far, which conversions preserve."""

    def step(self, line: str) -> Difference | None:
        """Run one more line on both sides."""
        if self.over or not set(re.findall(r"\b[mx]\d+\b", line.split(" = ", 1)[-1])) <= self.here.keys():
            return None
        self.done.append(line)
        a, b = _outcome(line, self.here), _outcome(line, self.there)
        name = _assigned(line)
        if isinstance(a, Exception) or isinstance(b, Exception):
            self.here.pop(name, None), self.there.pop(name, None)
            self.over = "backward" in line
            return self._of_errors(line, a, b)
        return self._of_values(line, name) or self._of_gradients(line)

    def _of_errors(self, line: str, a: Any, b: Any) -> Difference | None:
        if contracts.excuse(a, b):
            for name in re.findall(r"m\d+", line):  # it may have changed its buffers on one side
                self.here.pop(name, None), self.there.pop(name, None)
            return None
        if isinstance(a, Exception) and not isinstance(a, MinidlError):
            return Difference("error without a name", line, a, b)
        if isinstance(a, Exception) and isinstance(b, Exception):
            return None
        return Difference("error here" if isinstance(a, Exception) else "error in PyTorch", line, a, b)

    def _of_values(self, line: str, name: str) -> Difference | None:
        a, b = self.here.get(name), self.there.get(name)
        if not name.startswith("x") or a is None:
            return None
        self.coarsest = max(self.coarsest, str(a.dtype), key=lambda dtype: TOLERANCES.get(dtype, 0.0))
        found = self._unequal(a.numpy(), b.detach().numpy())
        if found == "values" and a.dtype.kind != "f" and not self._same_inputs(line):
            del self.here[name], self.there[name]  # rounding changes its value
            return None
        if found is not None:
            return Difference(f"{found} of a result", line, a.numpy(), b.detach().numpy(), TOLERANCES[self.coarsest])
        if a.requires_grad != b.requires_grad:
            return Difference("requires_grad", line, a.requires_grad, b.requires_grad)
        return None

    def _same_inputs(self, line: str) -> bool:
        """Whether the inputs of a line are the same on both sides, bit for bit."""
        names = re.findall(r"x\d+", line.split(" = ", 1)[-1])
        return all(np.array_equal(self.here[x].numpy(), _numpy(self.there[x]), equal_nan=True) for x in names)

    def _of_gradients(self, line: str) -> Difference | None:
        """The gradients of leaves, retained tensors and modules, and the buffers of modules."""
        if not re.search(r"backward|m\d|sgd_step|scale_gradients", line):
            return None
        for name, a, b in self._state():
            if (a is None) != (b is None):
                return Difference("gradient that is missing", f"{line}  # {name}", a, b)
            if a is not None and (found := self._unequal(a, b)) is not None:
                return Difference(f"{found} of a gradient", f"{line}  # {name}", a, b, TOLERANCES[self.coarsest])
        return None

    def _unequal(self, a: Any, b: Any) -> str | None:
        found = unequal(a, b, TOLERANCES[self.coarsest])
        self.finite = self.finite and _squares_are_finite(a) and _squares_are_finite(b)
        return None if found == "values" and not self.finite and contracts.spreads("\n".join(self.done)) else found

    def _state(self) -> Any:
        text = "\n".join(self.done)
        for name in {*re.findall(r"(x\d+) = leaf\(.*grad=True", text), *re.findall(r"(x\d+)\.retain_grad", text)}:
            if name in self.here:
                a, b = self.here[name], self.there[name]
                yield name, a.grad, _numpy(b.grad)
                if a.op is None:
                    yield f"the values of {name}", a.numpy(), _numpy(b)
        for name in set(re.findall(r"(m\d+) =", text)) & self.here.keys():
            for (path, p), q in zip(self.here[name].named_parameters(), self.there[name].parameters(), strict=True):
                yield f"{name}: {path}", p.grad, _numpy(q.grad)
            buffers = [(path, x) for path, x in self.here[name].state_dict().items() if re.search("mean|var", path)]
            for (path, value), q in zip(buffers, self.there[name].buffers(), strict=True):
                yield f"{name}: {path}", value, _numpy(q)


def _squares_are_finite(x: Any) -> bool:
    """Whether the variance of these values does not overflow."""
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.square(np.asarray(x, _computed_in(x))).sum()))


def _computed_in(x: Any) -> Any:
    """The dtype of a sum of squares: integers and float16 become float32."""
    dtype = np.asarray(x).dtype
    return dtype if dtype == np.float64 else np.float32


def _outcome(line: str, names: dict[str, Any]) -> Exception | None:
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(line, names)
    except Exception as error:
        return error
    return None


def _assigned(line: str) -> str:
    match = re.match(r"(?:with no_grad\(\): )?([mx]\d+) = ", line)
    return match[1] if match else ""


def _numpy(x: Any) -> Any:
    return None if x is None else x.detach().numpy()


def unequal(a: Any, b: Any, tolerance: float) -> str | None:
    """The difference of two arrays: shape, dtype, or values beyond a fraction of the largest."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return "shape"
    if a.dtype != b.dtype:
        return "dtype"
    if a.dtype.kind != "f":
        return None if np.array_equal(a, b) else "values"
    finite = np.isfinite(b)
    if not np.array_equal(np.where(finite, 0, b), np.where(np.isfinite(a), 0, a), equal_nan=True):
        return "values"
    apart = np.abs(a[finite].astype(np.float64) - b[finite].astype(np.float64))
    scale = 1 + np.abs(b[finite].astype(np.float64)).max(initial=0.0)
    return "values" if (apart > tolerance * scale).any() else None


def run(program: Lines) -> Difference | None:
    """The first difference in a program."""
    runner = Runner()
    for line in program:
        if (found := runner.step(line)) is not None:
            return found if _is_real(found, runner.done) else None
    return None


def _is_real(found: Difference, program: Lines) -> bool:
    """Whether a difference exceeds rounding: the change of PyTorch's result when all values are perturbed."""
    if not found.kind.startswith("values"):
        return True
    return not any(_shaken(seed, found, program) for seed in range(SHAKES))


def _shaken(seed: int, found: Difference, program: Lines) -> bool:
    """Whether PyTorch's result changes as much when all values are perturbed."""
    theirs.noise.source = np.random.default_rng(seed)
    try:
        names = {**vars(theirs)}
        for line in program:
            _outcome(line, names)
            name = _assigned(line)
            if name.startswith("x") and name in names and "leaf(" not in line:
                names[name] = theirs.moved(names[name])
        y = _named(found, names)
        return y is None or unequal(_numpy(y), found.theirs, found.tolerance / SHARE) is not None
    finally:
        theirs.noise.source = None


def _named(found: Difference, names: dict[str, Any]) -> Any:
    """The PyTorch values that a difference is about."""
    name, _, path = found.line.partition("# ")[2].partition(": ")
    if path:
        module = names.get(name)
        parts = {} if module is None else {**dict(module.named_parameters()), **dict(module.named_buffers())}
        part = parts.get(path)
        return part if part is None or re.search("mean|var", path) else part.grad
    x = names.get(name.removeprefix("the values of ") or _assigned(found.line))
    return x.grad if name.startswith("x") and x is not None else x


def write(seed: int, length: int = LENGTH) -> tuple[Lines, Difference | None]:
    """Run the random program of a seed up to the first difference."""
    rng = random.Random(seed)
    scene, runner = programs.scene(rng), Runner()
    while len(runner.done) < length and not runner.over:
        for line in programs.lines(scene):
            if (found := runner.step(line)) is not None:
                return runner.done, found if _is_real(found, runner.done) else None
            _look(scene, runner, line)
    if not runner.over and scene.wanting:
        last = f"{scene.wanting[-1]}.backward(ramp({scene.wanting[-1]}))"
        found = runner.step(last)
        return runner.done, found if found and _is_real(found, runner.done) else None
    return runner.done, None


def _look(scene: Scene, runner: Runner, line: str) -> None:
    """Add the result of a line to the scene."""
    if re.match(r"change|sgd_step", line):  # it is not specified whether a result shares memory and shows the change
        scene.tensors = {name: known for name, known in scene.tensors.items() if name in scene.leaves}
    name = _assigned(line)
    if name not in runner.here:
        return
    made = runner.here[name]
    if name.startswith("m"):
        return
    scene.tensors[name] = (made.shape, str(made.dtype))
    if made.requires_grad:
        scene.wanting.append(name)
        if "leaf(" in line:
            scene.leaves.append(name)


def simpler(line: str) -> list[str]:
    """Simpler forms of a line, the simplest first."""
    forms = [line.replace(", grad=True", "")] if "grad=True" in line else []
    if match := re.search(r"leaf\(\[(.*?)\]", line):
        numbers = match[1].split(", ") if match[1] else []
        odd = [i for i, number in enumerate(numbers) if number not in SIMPLE]
        changes = [["1"] * len(numbers), ["2"] * len(numbers)] if odd else []
        changes += [[*numbers[:i], "1", *numbers[i + 1 :]] for i in odd]
        forms += [line.replace(match[0], f"leaf([{', '.join(change)}]") for change in changes]
    forms += [line.replace("float32", "float64").replace("float16", "float64")] if "float" in line else []
    if line.startswith("with no_grad(): "):
        forms.append(line.removeprefix("with no_grad(): "))
    return [form for form in forms if form != line]


def as_leaf(line: str, program: Lines) -> list[str]:
    """A leaf in place of the result of a line."""
    names = {**vars(ours)}
    for before in program:
        _outcome(before, names)
    name = _assigned(line)
    if not name.startswith("x") or "leaf(" in line or name not in names:
        return []
    x = names[name]
    return [f"{name} = leaf(3, {tuple(x.shape)}, '{x.dtype}'{', grad=True' if x.requires_grad else ''})"]


def shortest(program: Lines, found: Difference) -> Lines:
    """A short program with the same difference."""

    def fails(lines: Lines) -> bool:
        now = run(lines)
        return now is not None and now.key == found.key

    if not fails(program):
        return program
    return shrunk(program, fails, lambda line: [*as_leaf(line, program), *simpler(line)])


def report(program: Lines, found: Difference, seed: int | None = None) -> str:
    """A program that can be run by hand, with its output."""
    where = f"# seed {seed}\n" if seed is not None else ""
    both = [f"# {side}: {_short(x)}" for side, x in (("ours", found.ours), ("theirs", found.theirs))]
    return "\n".join([f"{where}# {found.kind}: {found.line}", HEADER, *program, *both])


def _short(x: Any) -> str:
    text = " ".join(repr(x).split())
    return text if len(text) < 200 else f"{text[:200]} ..."
