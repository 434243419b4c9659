"""Answers to the exercises of ``minidl.course.pooling``."""

POOLED = """
N, H, W, C = x.shape
y = np.full((N, (H - size) // stride + 1, (W - size) // stride + 1, C), {start})
for n, i, j, c in np.ndindex(y.shape):
    for u, v in np.ndindex(size, size):
        y[n, i, j, c] = {largest}(y[n, i, j, c], x[n, i * {move} + u, j * {move} + v, c])
return y
""".strip()
OF_POOLED = {"start": "-np.inf", "largest": "max", "move": "stride"}
TAPS = """
N, H, W, C = x.shape
OH, OW = (H - size) // stride + 1, (W - size) // stride + 1
y = {start}
for u in range(size):
    for v in range(size):
        y = np.{largest}(y, x[:, u : u + OH * stride : stride, v : v + OW * stride : stride])
return y
""".strip()
OF_TAPS = {"start": "np.full((N, OH, OW, C), -np.inf)", "largest": "maximum"}
WINDOWS = """
N, H, W, C = x.shape
OH, OW = (H - size) // stride + 1, (W - size) // stride + 1
y = np.zeros((N, OH, OW, C))
for i in range(OH):
    for j in range(OW):
        window = x[:, i * stride : i * stride + size, j * stride : j * stride + size]
        y[:, i, j] = window.{summary}
return y
""".strip()
UNPOOLED = """
dx = np.zeros_like(x)
for n, i, j, c in np.ndindex(dy.shape):
    places = [(n, i * stride + u, j * stride + v, c) for u, v in np.ndindex(size, size)]
    largest = max(x[place] for place in places)
    equal = [place for place in places if x[place] == largest]
    for place in {equal}:
        dx[place] {put} dy[n, i, j, c]
return dx
""".strip()
OF_UNPOOLED = {"equal": "equal[:1]", "put": "+="}
LEFT = """
OH, OW = dy.shape[1:3]
y = {y}
dx, left = np.zeros(x.shape), {left}
for u in range(size):
    for v in range(size):
        at = (slice(None), slice(u, u + OH * stride, stride), slice(v, v + OW * stride, stride))
        hit = x[at] == y
        dx[at] {put} np.where(hit, left, 0)
        left = {rest}
return dx
""".strip()
OF_LEFT = {"y": "max_pool(x, size, stride)", "left": "dy", "put": "+=", "rest": "np.where(hit, 0, left)"}
ARGMAX = """
dx = np.zeros_like(x)
for n, i, j, c in np.ndindex(dy.shape):
    window = x[n, i * stride : i * stride + size, j * stride : j * stride + size, c]
    u, v = divmod(window.argmax(), size)
    dx[n, i * stride + u, j * stride + v, c] += dy[n, i, j, c]
return dx
""".strip()
NUMBERED = """
OH, OW = dy.shape[1:3]
parts = [np.s_[:, u : u + OH * stride : stride, v : v + OW * stride : stride] for u in range(size) for v in range(size)]
at = np.argmax([x[part] for part in parts], axis=0)
dx = np.zeros(x.shape)
for number, part in enumerate(parts):
    dx[part] {put} dy * (at == number)
return dx
""".strip()


def _pooled(**changes: str) -> str:
    return POOLED.format(**(OF_POOLED | changes))


def _taps(**changes: str) -> str:
    return TAPS.format(**(OF_TAPS | changes))


def _unpooled(**changes: str) -> str:
    return UNPOOLED.format(**(OF_UNPOOLED | changes))


def _left(**changes: str) -> str:
    return LEFT.format(**(OF_LEFT | changes))


RIGHT = {
    "max_pool": [
        _pooled(),
        _taps(),
        _taps(start="x[:, : OH * stride : stride, : OW * stride : stride]"),
        WINDOWS.format(summary="max(axis=(1, 2))"),
        "v = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))\n"
        "return v.max(axis=(-1, -2))[:, ::stride, ::stride]",
    ],
    "max_pool_backward": [
        _unpooled(),
        _left(),
        _left(left="dy.copy()", rest="left * ~hit"),
        ARGMAX,
        NUMBERED.format(put="+="),
    ],
    "relu_backward": [
        "return np.where(x > 0, dy, 0)",
        "return dy * (x > 0)",
        "dx = dy.copy()\ndx[x <= 0] = 0\nreturn dx",
        "return np.array([d if v > 0 else 0.0 for d, v in zip(dy.flat, x.flat)]).reshape(x.shape)",
        "return np.maximum(np.sign(x), 0) * dy",
    ],
    "dense_backward": [
        "return dy.dot(w.T), np.einsum('ni,no->io', x, dy), sum(dy)",
        "return dy @ w.T, x.T @ dy, dy.sum(axis=0)",
        "return (w @ dy.T).T, (dy.T @ x).T, np.ones(len(x)) @ dy",
        "dx = np.matmul(dy, w.transpose())\ndw = np.dot(x.transpose(), dy)\ndb = np.sum(dy, 0)\nreturn [dx, dw, db]",
        "dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(w.shape[1])\n"
        "for n, i, o in np.ndindex(len(x), *w.shape):\n"
        "    dx[n, i] += dy[n, o] * w[i, o]\n    dw[i, o] += x[n, i] * dy[n, o]\n"
        "for row in dy:\n    db += row\nreturn dx, dw, db",
    ],
}

WRONG = {
    "max_pool": [
        (_pooled(start="0.0"), "do not start from 0"),
        (_taps(start="np.zeros((N, OH, OW, C))"), "do not start from 0"),
        (_pooled(move="1"), "its windows move by one pixel"),
        (_taps(largest="add"), "the answer contains NaN or infinity"),
        (_taps(largest="minimum", start="np.full((N, OH, OW, C), np.inf)"), "this is the smallest value"),
        (WINDOWS.format(summary="max(axis=(1, 2, 3))[:, None]"), "all channels have the same maximum"),
        (WINDOWS.format(summary="max()"), "expected"),
        (WINDOWS.format(summary="mean(axis=(1, 2))"), "this is the mean of each window"),
        ("stride = size\n" + _taps(), "the windows move by their own size"),
        ("return x.max()", "the answer has shape (): expected (1, 2, 2, 1)"),
        ("return F.max_pool2d(md.tensor(x), size, stride).numpy()", "which does the work of this exercise"),
    ],
    "max_pool_backward": [
        (_unpooled(equal="equal"), "all of several equal values get the gradient"),
        (_unpooled(equal="equal[-1:]"), "the last of several equal values"),
        (_unpooled(put="="), "the maximum of several windows"),
        (_left(put="="), "each position of the window overwrites"),
        (_left(rest="left"), "all of several equal values get the gradient"),
        (_left(left="np.ones_like(dy)"), "this marks the positions of the maxima"),
        (NUMBERED.format(put="="), "each position of the window overwrites"),
        (_left(left="dy", rest="left").replace("left = left", "left[hit] = 0"), "it changes its arguments (dy)"),
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
        ("return dy @ w.T, x.T @ dy", "expected three arrays, (dx, dw, db)"),
        ("return dy @ w, x.T @ dy, dy.sum(axis=0)", "in dx the weights are not transposed"),
        ("return dy @ w.T, x.T @ dy, dy", "db is not summed yet"),
        ("return dy @ w.T, x.T @ dy, dy.mean(0)", "db is averaged over the samples"),
        ("return dy @ w.T, x.T @ dy, dy.sum(axis=0, keepdims=True)", "is an array of shape (1, 3): the notebook needs"),
        ("return x.T @ dy, dy @ w.T, dy.sum(axis=0)", "dx and dw are swapped"),
        ("return dy @ w.T, x.T @ dy * 3, dy.sum(axis=0)", "all values are 3 times what they should be, in element 1"),
        ("return dy @ w.T, x.T @ dy, dy.sum()", "the answer has shape (): expected (3,), in element 2"),
    ],
}
