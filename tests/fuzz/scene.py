"""The names and shapes that the next line of a random program may use, and random choices among them."""

import random
from dataclasses import dataclass, field

Shape = tuple[int, ...]

FLOATS, WHOLE = ("float64", "float32", "float16"), ("int64", "int32", "int8", "uint8", "bool")
NUMBERS = ("0", "1", "2", "-1", "3", "0.5", "-2.5", "0.1", "True", "1e-3", "np.float64(0.5)", "np.int64(2)")
SHAPES: tuple[Shape, ...] = (
    (),
    (1,),
    (3,),
    (2, 3),
    (4, 3),
    (2, 1, 3),
    (2, 3, 4),
    (2, 5, 4, 3),
    (1, 6, 6, 2),
    (0, 3),
    (2, 0),
)


@dataclass
class Scene:
    """The names that the next line may use."""

    rng: random.Random
    dtype: str
    shape: Shape
    tensors: dict[str, tuple[Shape, str]] = field(default_factory=dict)
    """Shape and dtype of every tensor that can be used."""
    wanting: list[str] = field(default_factory=list)
    """Differentiable tensors, including those from before an in-place change."""
    modules: dict[str, str] = field(default_factory=dict)
    """Networks, and their last inputs."""
    leaves: list[str] = field(default_factory=list)
    """Leaves that require a gradient."""
    made: int = 0

    def name(self, letter: str = "x") -> str:
        """A new name."""
        self.made += 1
        return f"{letter}{self.made}"

    def one_of(self, things: list[str]) -> str:
        """One of them, preferably a recent one."""
        return things[-1 - min(int(self.rng.expovariate(0.5)), len(things) - 1)]

    def tensor(self, *, ndim: int | None = None, floats: bool = False) -> str:
        """A tensor, usually one with this number of axes, if there is one."""
        names = list(self.tensors)
        fit = [
            name
            for name, (shape, dtype) in self.tensors.items()
            if ndim in (None, len(shape)) and (not floats or dtype in FLOATS)
        ]
        return self.one_of(fit if fit and self.rng.random() < 0.95 else names)

    def shape_of(self, name: str) -> Shape:
        return self.tensors[name][0]

    def axis(self, name: str) -> int:
        """An axis, rarely an invalid one."""
        ndim = len(self.shape_of(name))
        return self.rng.randrange(-ndim, ndim) if ndim and self.rng.random() < 0.95 else self.rng.randrange(-3, 4)

    def axes(self, name: str) -> str:
        """One axis, several, or None."""
        ndim, draw = len(self.shape_of(name)), self.rng.random()
        if draw < 0.35 or not ndim:
            return "None"
        return (
            str(self.axis(name)) if draw < 0.7 else str(tuple(self.rng.sample(range(ndim), self.rng.randint(1, ndim))))
        )

    def leaf(self, shape: Shape, dtype: str | None = None, grad: bool | None = None) -> tuple[str, str]:
        """The name of a new leaf and the line that makes it."""
        if dtype is None:
            dtype = self.dtype if self.rng.random() < 0.97 else self.rng.choice(FLOATS)
        name = self.name()
        wants = "" if dtype in WHOLE or not (self.rng.random() < 0.75 if grad is None else grad) else ", grad=True"
        return name, f"{name} = leaf({self._values(shape, dtype)}, {shape}, '{dtype}'{wants})"

    def _values(self, shape: Shape, dtype: str) -> str:
        size = 1
        for n in shape:
            size *= n
        if size > 24:
            return str(self.rng.randrange(10))
        if dtype in WHOLE:
            return str([self.rng.choice((0, 1, 1, 2, 3, 100)) for _ in range(size)])
        kind = self.rng.random()
        if kind < 0.4:
            return str([self.rng.randrange(-8, 9) / 4 for _ in range(size)])
        if kind < 0.6:
            return str([self.rng.randrange(1, 9) / 4 for _ in range(size)])
        if kind < 0.9:
            return str([round(self.rng.gauss(0, 1), 3) for _ in range(size)])
        special = ("nan", "inf", "-inf", "0.0", "-0.0", "1.0", "-300.0", "300.0")
        return "[" + ", ".join(self.rng.choice(special) for _ in range(size)) + "]"

    def kin(self, shape: Shape) -> Shape:
        """A shape that broadcasts with this one, rarely an incompatible one."""
        if self.rng.random() < 0.04:
            return self.rng.choice(SHAPES)
        kept = shape[self.rng.randrange(len(shape) + 1) :] if self.rng.random() < 0.4 else shape
        return tuple(1 if self.rng.random() < 0.2 else n for n in kept)


def fits(a: Shape, b: Shape) -> bool:
    """Whether two shapes broadcast.

    >>> fits((2, 1), (3,)), fits((2, 2), (3,))
    (True, False)
    """
    return all(1 in (m, n) or m == n for m, n in zip(a[::-1], b[::-1], strict=False))
