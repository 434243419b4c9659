"""Random programs: lines of Python that mean the same in minidl and in PyTorch (ours.py and theirs.py).

Each line of a program uses the results of earlier lines. Most lines are valid; some are not, because errors are
compared, too.
"""

import random
import re
from collections.abc import Callable

from tests.fuzz.scene import FLOATS, NUMBERS, SHAPES, WHOLE, Scene, fits

Writer = Callable[[Scene], list[str]]


def _new(expression: str) -> Writer:
    """A line that applies an operation to one tensor, ``{x}``; ``{n}`` is a number."""

    def write(s: Scene) -> list[str]:
        x, keep = s.tensor(), s.rng.random() < 0.4
        text = expression.format(x=x, n=s.rng.choice(NUMBERS), axis=s.axis(x), axes=s.axes(x), keep=keep)
        return [f"{s.name()} = {text}"]

    return write


def _two(expression: str) -> Writer:
    """A line that applies an operation to two tensors that usually broadcast, ``{a}`` and ``{b}``."""

    def write(s: Scene) -> list[str]:
        a = s.tensor()
        fitting = [name for name, (shape, _) in s.tensors.items() if fits(shape, s.shape_of(a))]
        if s.rng.random() < 0.7:
            return [f"{s.name()} = {expression.format(a=a, b=s.one_of(fitting))}"]
        b, line = s.leaf(s.kin(s.shape_of(a)))
        a, b = (a, b) if s.rng.random() < 0.5 else (b, a)
        return [line, f"{s.name()} = {expression.format(a=a, b=b)}"]

    return write


def leaf(s: Scene) -> list[str]:
    dtype = s.rng.choice(WHOLE) if s.rng.random() < 0.25 else None
    return [s.leaf(s.kin(s.shape), dtype)[1]]


def reshape(s: Scene) -> list[str]:
    x = s.tensor()
    shape = list(s.shape_of(x))
    if len(shape) > 1 and s.rng.random() < 0.5:
        first, second = shape.pop(), shape.pop()
        shape.append(first * second)
    elif s.rng.random() < 0.5:
        shape.insert(s.rng.randint(0, len(shape)), 1)
    else:
        s.rng.shuffle(shape)
    if shape and s.rng.random() < 0.3:
        shape[s.rng.randrange(len(shape))] = -1
    return [f"{s.name()} = {x}.reshape({tuple(shape)})"]


def transpose(s: Scene) -> list[str]:
    x = s.tensor()
    axes = list(range(len(s.shape_of(x))))
    s.rng.shuffle(axes)
    return [f"{s.name()} = {x}.transpose({', '.join(map(str, axes))})"]


def getitem(s: Scene) -> list[str]:
    x = s.tensor()
    parts: list[str] = []
    lists = 0
    for n in s.shape_of(x)[: s.rng.randint(1, 4)]:
        kinds = [":", "1:", ":-1", "0", "-1", "None, :", "..."]
        if n and not lists:
            kinds += [str([s.rng.randrange(-n, n) for _ in range(s.rng.randint(1, 4))])] * 3
            kinds += [str([s.rng.random() < 0.5 for _ in range(n)])]
        kind = s.rng.choice(kinds)
        lists += kind.startswith("[")
        if kind != "..." or "..." not in parts:
            parts.append(kind)
    return [f"{s.name()} = {x}[{', '.join(parts) or '...'}]"]


def matmul(s: Scene) -> list[str]:
    a = s.tensor()
    inner = s.shape_of(a)[-1:] or (3,)
    shape = s.rng.choice(((*inner, 2), inner, (*s.shape_of(a)[:-2], *inner, 2), (2, *inner, 1), (2, 3)))
    b, line = s.leaf(shape)
    return [line, f"{s.name()} = {a} @ {b}"]


def linear(s: Scene) -> list[str]:
    x = s.tensor(ndim=2)
    w, make_w = s.leaf((*(s.shape_of(x)[-1:] or (2,)), 2))
    b, make_b = s.leaf((2,))
    return [make_w, make_b, f"{s.name()} = F.linear({x}, {w}, {b})"]


def concatenate(s: Scene) -> list[str]:
    x = s.tensor()
    shape, axis = list(s.shape_of(x)), s.axis(x)
    if shape and -len(shape) <= axis < len(shape):
        shape[axis] = s.rng.randint(0, 3)
    y, line = s.leaf(tuple(shape))
    return [line, f"{s.name()} = F.concatenate([{x}, {y}, {x}], axis={axis})"]


def stack(s: Scene) -> list[str]:
    x = s.tensor()
    same = [name for name, (shape, _) in s.tensors.items() if shape == s.shape_of(x)]
    return [f"{s.name()} = F.stack([{x}, {s.one_of(same)}], axis={s.rng.randrange(-2, 2)})"]


def pad(s: Scene) -> list[str]:
    x = s.tensor()
    widths = [(s.rng.randint(0, 2), s.rng.randint(0, 2)) for _ in s.shape_of(x)]
    return [f"{s.name()} = F.pad({x}, {widths}, {s.rng.choice((0.0, 1.5))})"]


def broadcast_to(s: Scene) -> list[str]:
    x = s.tensor()
    shape = tuple(s.rng.randint(2, 3) if n == 1 else n for n in s.shape_of(x))
    return [f"{s.name()} = F.broadcast_to({x}, {(2, *shape) if s.rng.random() < 0.5 else shape})"]


def where(s: Scene) -> list[str]:
    c, condition = s.leaf(s.kin(s.shape), "bool")
    (line,) = _two(f"F.where({c}, {{a}}, {{b}})")(s)[-1:]
    return [condition, line] if all(name in s.tensors for name in _names(line)) else [condition]


def _names(line: str) -> list[str]:
    """The tensors in the last two arguments of a call."""
    return line.removesuffix(")").split(", ")[-2:]


def cross_entropy(s: Scene) -> list[str]:
    x = s.tensor(ndim=2)
    shape = s.shape_of(x)
    N, classes = (shape[0], max(1, shape[1])) if len(shape) == 2 else (2, 2)
    name = s.name()
    labels = [s.rng.randrange(classes + (s.rng.random() < 0.03)) for _ in range(N)]
    dtype = s.rng.choice(("int64", "int32", "uint8", "int8"))
    return [f"{name} = leaf({labels}, ({N},), '{dtype}')", f"{s.name()} = F.softmax_cross_entropy({x}, {name})"]


def binary_cross_entropy(s: Scene) -> list[str]:
    x = s.tensor(floats=True)
    shape, name = s.shape_of(x), s.name()
    dtype = s.rng.choice(("bool", "int64", s.dtype))
    size = 1
    for n in shape:
        size *= n
    targets = [s.rng.choice((0, 1) if dtype in WHOLE else (0, 0.25, 1)) for _ in range(size)]
    make = f"{name} = leaf({targets}, {shape}, '{dtype}')"
    return [make, f"{s.name()} = F.binary_cross_entropy_with_logits({x}, {name})"]


def loss(s: Scene) -> list[str]:
    x = s.tensor()
    y, line = s.leaf(s.shape_of(x), s.rng.choice(WHOLE) if s.rng.random() < 0.2 else None)
    call = s.rng.choice(
        ("F.l1_loss({}, {})", "F.mse_loss({}, {})", "F.huber_loss({}, {}, 0.5)", "F.huber_loss({}, {})")
    )
    return [line, f"{s.name()} = {call.format(x, y)}"]


def images(s: Scene) -> list[str]:
    shape = (s.rng.randint(0, 2) or 1, s.rng.randint(3, 7), s.rng.randint(3, 7), s.rng.randint(1, 4))
    return [s.leaf(shape)[1]]


def conv2d(s: Scene) -> list[str]:
    x = s.tensor(ndim=4)
    C = (s.shape_of(x)[-1:] or (1,))[0]
    w, make_w = s.leaf((s.rng.randint(1, 3), s.rng.randint(1, 3), C, s.rng.randint(1, 4)))
    padding = s.rng.choice(("0", "1", "'same'", "((0, 1), (1, 0))"))
    return [make_w, f"{s.name()} = F.conv2d({x}, {w}, None, {s.rng.choice((1, 2, 3))}, {padding})"]


def pooling(s: Scene) -> list[str]:
    size = s.rng.choice((2, 2, 3))
    call = s.rng.choice(("max_pool2d", "avg_pool2d"))
    stride, padding = s.rng.choice((None, 1, 2)), s.rng.choice(("0", "0", "1", "'same'"))
    return [f"{s.name()} = F.{call}({s.tensor(ndim=4)}, {size}, {stride}, {padding})"]


def batch_norm(s: Scene) -> list[str]:
    x = s.tensor()
    C = s.shape_of(x)[-1:] or (1,)
    gamma, make_gamma = s.leaf(C)
    beta, make_beta = s.leaf(C)
    return [make_gamma, make_beta, f"{s.name()} = F.batch_norm({x}, {gamma}, {beta})"]


ACTIVATIONS = ("nn.ReLU()", "nn.Tanh()", "nn.Sigmoid()", "nn.LeakyReLU(0.1)", "nn.Softmax()", "nn.Dropout(0.0)")


def module(s: Scene) -> list[str]:
    """A small network for one of the tensors, and its application."""
    x = s.tensor(ndim=s.rng.choice((2, 4)))
    shape = s.shape_of(x)
    C = (shape[-1:] or (1,))[0] or 1
    layers = []
    if len(shape) == 4:
        layers += [f"nn.Conv2D({C}, 2, {s.rng.randint(1, 3)}, {s.rng.choice((1, 2))}, {s.rng.choice((0, 1))})"]
        layers += [
            s.rng.choice(
                ("nn.ReLU(), nn.MaxPooling2D(2)", "nn.BatchNorm(2, momentum=0.9), nn.ReLU()", "nn.AveragePooling2D(2)")
            )
        ]
        layers += [s.rng.choice(("nn.GlobalAveragePooling2D()", "nn.Flatten()"))]
    else:
        layers += [f"nn.Dense({C}, 3)", s.rng.choice((*ACTIVATIONS, "nn.BatchNorm(3, momentum=0.9)")), "nn.Dense(3, 2)"]
    name = s.name("m")
    s.modules[name] = x
    return [f"{name} = filled(nn.Sequential({', '.join(layers)}), '{s.dtype}')", *applied(s, name), *again(s)]


def applied(s: Scene, m: str) -> list[str]:
    """Apply a network, usually to the input that it was made for."""
    x = s.modules[m] if s.modules[m] in s.tensors and s.rng.random() < 0.9 else s.tensor(floats=True)
    return [f"{s.name()} = {m}({x})"]


def again(s: Scene) -> list[str]:
    """Apply a network again, possibly in the other mode."""
    if not s.modules:
        return leaf(s)
    m = s.rng.choice([*s.modules])
    return [*s.rng.choice(([], [f"{m}.eval()"], [f"{m}.eval()"], [f"{m}.train()"])), *applied(s, m)]


def no_grad(s: Scene) -> list[str]:
    (line,) = s.rng.choice(ELEMENTWISE)(s)[-1:]
    return [f"with no_grad(): {line}"] if set(_variables(line)) <= set(s.tensors) else leaf(s)


def _variables(line: str) -> list[str]:
    return re.findall(r"\bx\d+\b", line.split(" = ", 1)[1])


def retain(s: Scene) -> list[str]:
    return [f"{s.tensor(floats=True)}.retain_grad()"]


def backward(s: Scene) -> list[str]:
    if not s.wanting:
        return [s.leaf(s.kin(s.shape), grad=True)[1]]
    y = s.one_of(s.wanting)
    line = f"{y}.backward()" if s.rng.random() < 0.15 else f"{y}.backward(ramp({y}))"
    return [line, *(scale_gradients(s) if s.rng.random() < 0.3 else [])]


def change(s: Scene) -> list[str]:
    return [f"change({s.rng.choice(s.leaves)})"] if s.leaves else leaf(s)


def sgd_step(s: Scene) -> list[str]:
    return [f"sgd_step({', '.join(s.leaves)})"] if s.leaves else leaf(s)


def scale_gradients(s: Scene) -> list[str]:
    return [f"scale_gradients({', '.join(s.leaves)})"] if s.leaves else leaf(s)


def zero_grad(s: Scene) -> list[str]:
    return [f"{s.rng.choice(s.leaves)}.grad = None"] if s.leaves else leaf(s)


ELEMENTWISE: list[Writer] = [
    *map(_new, ("-{x}", "abs({x})", "{x}.exp()", "{x}.log()", "{x}.sqrt()", "F.relu({x})", "F.leaky_relu({x}, 0.1)")),
    *map(
        _new, ("F.sigmoid({x})", "F.tanh({x})", "{x}.clip(-1, 0.5)", "{x}.clip(0.25, None)", "{x} * {x}", "{x} + {x}")
    ),
    *map(
        _new, ("{x} + {n}", "{x} - {n}", "{x} * {n}", "{x} / {n}", "{x} ** 2", "{x} ** 3", "{x} ** 0.5", "{x} ** {n}")
    ),
    *map(_new, ("2 - {x}", "2.5 * {x}", "1 / {x}", "2 ** {x}", "F.softmax({x}, {axis})", "F.log_softmax({x}, {axis})")),
]
WRITERS: list[tuple[float, list[Writer]]] = [
    (2, [leaf, leaf, leaf, images]),
    (4, ELEMENTWISE),
    (
        3,
        [
            *map(
                _two, ("{a} + {b}", "{a} - {b}", "{a} * {b}", "{a} / {b}", "F.maximum({a}, {b})", "F.minimum({a}, {b})")
            )
        ],
    ),
    (1, [_two("{a} ** {b}"), _two("{a} @ {b}"), matmul, matmul, linear]),
    (3, [reshape, transpose, getitem, getitem, concatenate, stack, pad, broadcast_to, _new("F.flatten({x})")]),
    (1, [_new("{x}.clone()"), _new("{x}.detach()"), _new("{x}.T"), where, no_grad]),
    (0.7, [_new(f"{{x}}.astype('{dtype}')") for dtype in (*FLOATS, "int64", "bool")]),
    (2, [_new("{x}." + name + "(axis={axes}, keepdims={keep})") for name in ("sum", "mean", "max", "min", "var")]),
    (0.4, [_new("{x}." + name + "(axis={axis}, keepdims={keep})") for name in ("argmax", "argmin")]),
    (0.6, [_two(f"{{a}} {sign} {{b}}") for sign in ("<", "<=", ">", ">=", "==", "!=", "&", "|", "^")]),
    (0.3, [*(_new(f"{{x}} {sign} {{n}}") for sign in ("<", "<=", ">", ">=", "==", "!=")), _new("~{x}")]),
    (1.5, [cross_entropy, binary_cross_entropy, loss, loss]),
    (2, [conv2d, conv2d, pooling, pooling, batch_norm]),
    (1, [module, module, again]),
    (3, [backward, backward, backward, retain]),
    (1, [change, sgd_step, scale_gradients, scale_gradients, zero_grad]),
]


def scene(rng: random.Random) -> Scene:
    """The first lines of a program."""
    return Scene(rng, rng.choices(FLOATS, (6, 4, 2))[0], rng.choice(SHAPES))


def lines(s: Scene) -> list[str]:
    """The next lines of a program: one statement, and the leaves that it needs."""
    if not s.tensors:
        return [s.leaf(s.shape, grad=True)[1]]
    weights, groups = zip(*WRITERS, strict=True)
    return s.rng.choice(s.rng.choices(groups, weights)[0])(s)
