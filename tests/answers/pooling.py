"""Answers to the exercises of ``minidl.course.pooling``."""

POOLED = """
y = np.full([(length - size) // stride + 1 for length in x.shape], {start})
for i, j in np.ndindex(y.shape):
    for a, b in np.ndindex(size, size):
        y[i, j] = max(y[i, j], x[i * {move} + a, j * {move} + b])
return y
""".strip()
UNPOOLED = """
dx = np.zeros_like(x)
for i, j in np.ndindex(dy.shape):
    places = [(i * stride + a, j * stride + b) for a, b in np.ndindex(size, size)]
    largest = max(x[place] for place in places)
    equal = [place for place in places if x[place] == largest]
    for place in {equal}:
        dx[place] {put} dy[i, j]
return dx
""".strip()

RIGHT = {
    "max_pool": [POOLED.format(start="-np.inf", move="stride")],
    "max_pool_backward": [UNPOOLED.format(equal="equal[:1]", put="+=")],
    "relu_backward": [
        "return np.where(x > 0, dy, 0)",
        "return dy * (x > 0)",
        "dx = dy.copy()\ndx[x <= 0] = 0\nreturn dx",
        "return np.array([d if v > 0 else 0.0 for d, v in zip(dy.flat, x.flat)]).reshape(x.shape)",
        "return np.maximum(np.sign(x), 0) * dy",
    ],
    "dense_backward": ["return dy.dot(w.T), np.einsum('ni,no->io', x, dy), sum(dy)"],
}

WRONG = {
    "max_pool": [
        (POOLED.format(start="0.0", move="stride"), "do not start from 0"),
        (POOLED.format(start="-np.inf", move="1"), "its windows move by one pixel"),
        ("return x.max()", "the answer has shape (): expected (2, 2)"),
    ],
    "max_pool_backward": [
        (UNPOOLED.format(equal="equal", put="+="), "all of several equal values get the gradient"),
        (UNPOOLED.format(equal="equal[:1]", put="="), "the maximum of several windows"),
    ],
    "relu_backward": [
        ("return np.where(x > 0, dy, x)", "expected 0 at index (1,), got -2"),
        ("return np.where(x > 0, x, 0)", "this is ReLU of x"),
        ("return dy", "everything passes"),
        ("return dy * (x >= 0)", "at 0 itself there is a kink"),
        ("dy[x <= 0] = 0\nreturn dy", "it changes its arguments (dy)"),
    ],
    "dense_backward": [
        ("return dy @ w.T, np.einsum('ni,no->oi', x, dy), sum(dy)", "dw is transposed"),
        ("return dy @ w.T, x.T @ dy", "cannot be read as the answer"),
    ],
}
