"""Answers to the exercises of ``minidl.course.convolution``."""

SIX_LOOPS = """
N, H, W, C = x.shape
KH, KW, _, K = w.shape
padded = np.zeros((N, H + {sides} * padding, W + {sides} * padding, C))
padded[:, padding : padding + H, padding : padding + W] = x
OH, OW = (padded.shape[1] - KH) // stride + 1, (padded.shape[2] - KW) // stride + 1
y = np.zeros((N, OH, OW, K))
for n, i, j, k in np.ndindex(N, OH, OW, K):
    for a, b_ in np.ndindex(KH, KW):
        y[n, i, j, k] += padded[n, i * stride + a, j * stride + b_] @ {tap}
    y[n, i, j, k] += {bias}
return y
""".strip()
OF_SIX = {"sides": "2", "tap": "w[a, b_, :, k]", "bias": "b[k]"}


def _six(**changes: str) -> str:
    return SIX_LOOPS.format(**(OF_SIX | changes))


PAD = "x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))\nKH, KW, C, K = w.shape\n"
SIZES = "OH, OW = (x.shape[1] - KH) // stride + 1, (x.shape[2] - KW) // stride + 1\n"
WINDOWS = "windows = np.lib.stride_tricks.sliding_window_view(x, (KH, KW), axis=(1, 2))[:, ::stride, ::stride]\n"

TAPS = """
N, H, W, C = x.shape
KH, KW, C, K = w.shape
OH, OW = dy.shape[1:3]
p = padding
x = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
dx, dw = np.zeros(x.shape), np.zeros(w.shape)
for u in range(KH):
    for v in range(KW):
        pixels = (slice(None), slice(u, u + stride * OH, stride), slice(v, v + stride * OW, stride))
        dx[pixels] {put} dy @ {w}
        dw[u, v] = {dw}
return {result}
""".strip()
OF_TAPS = {
    "put": "+=",
    "w": "w[u, v].T",
    "dw": "x[pixels].reshape(-1, C).T @ dy.reshape(-1, K)",
    "result": "dx[:, p : p + H, p : p + W], dw, dy.sum((0, 1, 2))",
}
WINDOWS_BACK = """
N, H, W, C = x.shape
KH, KW, C, K = w.shape
p = padding
x = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
dx, dw = np.zeros_like(x), np.zeros_like(w)
for i in range(dy.shape[1]):
    for j in range(dy.shape[2]):
        window = (slice(None), slice(i * stride, i * stride + KH), slice(j * stride, j * stride + KW))
        dw {put_dw} np.tensordot(x[window], dy[:, i, j], ((0,), (0,)))
        dx[window] {put_dx} np.einsum('nk,uvck->nuvc', dy[:, i, j], w)
return dx[:, p : p + H, p : p + W], dw, {db}
""".strip()
OF_WINDOWS = {"put_dw": "+=", "put_dx": "+=", "db": "dy.reshape(-1, K).sum(0)"}
ONE_BY_ONE = """
KH, KW, C, K = w.shape
dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(K)
for n, i, j, k in np.ndindex(*dy.shape):
    db[k] += dy[n, i, j, k]
    for u, v, c in np.ndindex(KH, KW, C):
        row, column = i * stride + u - padding, j * stride + v - padding
        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
            dx[n, row, column, c] += dy[n, i, j, k] * w[u, v, c, k]
            dw[u, v, c, k] += dy[n, i, j, k] * x[n, row, column, c]
return dx, dw, db
""".strip()


def _taps(**changes: str) -> str:
    return TAPS.format(**(OF_TAPS | changes))


def _windows_back(**changes: str) -> str:
    return WINDOWS_BACK.format(**(OF_WINDOWS | changes))


RIGHT = {
    "output_size": [
        "return (size + 2 * padding - kernel) // stride + 1",
        "return int((size + 2 * padding - kernel) / stride) + 1",
        "return (size + padding * 2 - kernel + stride) // stride",
        "return len(range(-padding, size + padding - kernel + 1, stride))",
        "count, start = 0, 0\nwhile start + kernel <= size + 2 * padding:\n    count += 1\n    start += stride\n"
        "return count",
    ],
    "conv2d": [
        _six(),
        PAD + WINDOWS + "return np.einsum('nijcab,abck->nijk', windows, w) + b",
        PAD + WINDOWS + "return np.tensordot(windows, w, ((3, 4, 5), (2, 0, 1))) + b",
        PAD + SIZES + "y = b + np.zeros((len(x), OH, OW, K))\nfor a in range(KH):\n    for c in range(KW):\n"
        "        rows = slice(a, a + OH * stride, stride)\n"
        "        y += x[:, rows, c : c + OW * stride : stride][:, :OH, :OW] @ w[a, c]\nreturn y",
        PAD + SIZES + "rows = [x[n, i * stride : i * stride + KH, j * stride : j * stride + KW].ravel()\n"
        "        for n in range(len(x)) for i in range(OH) for j in range(OW)]\n"
        "return (np.array(rows) @ w.reshape(-1, K) + b).reshape(-1, OH, OW, K)",
    ],
    "conv2d_backward": [
        _taps(),
        _taps(dw="np.einsum('nijc,nijk->ck', x[pixels], dy)"),
        _taps(dw="np.tensordot(x[pixels], dy, ((0, 1, 2), (0, 1, 2)))", w="w[u, v].transpose()"),
        _windows_back(),
        ONE_BY_ONE,
        _taps(result="[dx[:, p : p + H, p : p + W], dw, dy.sum(axis=2).sum(axis=1).sum(axis=0)]"),
    ],
}

WRONG = {
    "output_size": [
        ("return (size + 2 * padding - kernel) / stride + 1", "there is no half a position"),
        ("return (size - kernel) // stride + 1", "the padding is missing"),
        ("return (size + padding - kernel) // stride + 1", "the padding is on both sides"),
        ("return (size + 2 * padding - kernel + 1) // stride", "the 1 comes after the division"),
        ("return round((size + 2 * padding - kernel) / stride + 1)", "does not fit completely"),
        (
            "return np.floor((size + 2 * padding - kernel) / stride) + 1",
            "this is a float64: the notebook needs a whole",
        ),
    ],
    "conv2d": [
        (_six(tap="w[KH - 1 - a, KW - 1 - b_, :, k]"), "the kernel is flipped"),
        (_six(tap="(w[a, b_, :, k] * (np.arange(C) == 0))"), "only the first channel is used"),
        (_six(sides="1"), "the padding is only at the top and left"),
        ("stride = 1\n" + _six(), "the stride is missing"),
        ("padding = 0\n" + _six(), "the padding is missing"),
        (_six(bias="0"), "the bias is missing"),
        ("w = w.swapaxes(0, 1)\n" + _six(), "rows and columns of the kernel"),
        (_six() + ".transpose(0, 3, 1, 2)", "their axes are in the wrong order"),
        ("return x[0, 99]", "it stops with IndexError"),
        ("return 'a string'", "it returns str"),
        ("padding = min(padding, 1)\n" + _six(), "Hint: the answer has shape"),
        ("stride = min(stride, 2)\n" + _six(), "Hint: the answer has shape"),
        ("return F.conv2d(md.tensor(x), w, b, stride, padding).numpy()", "which does the work of this exercise"),
        (
            "from minidl import course\nreturn course.check_conv2d.solution(x, w, b, stride, padding)",
            "this is minidl's own version, or calls it: write it yourself",
        ),
    ],
    "conv2d_backward": [
        (_taps(put="="), "each position of the kernel overwrites"),
        (_windows_back(put_dx="="), "each window overwrites"),
        (_windows_back(put_dw="="), "dw holds the last window only"),
        (_windows_back(db="dy.sum()"), "db is one number"),
        (_taps(w="w[u, v]"), "in dx the weights are not transposed"),
        (_taps(result="dx[:, p:-p, p:-p], dw, dy.sum((0, 1, 2))"), "dx is empty where padding is 0"),
        (_taps(result="dx, dw, dy.sum((0, 1, 2))"), "dx still has its padding"),
        (_taps(result="dx[:, :H, :W], dw, dy.sum((0, 1, 2))"), "dx is cut off at the end only"),
        (_taps(result="dw, dx[:, p : p + H, p : p + W], dy.sum((0, 1, 2))"), "dx and dw are swapped"),
        (_taps(result="dx[:, p : p + H, p : p + W], dw, dy.mean((0, 1, 2))"), "db is a mean"),
        (_taps(result="dx[:, p : p + H, p : p + W], dw, dy.sum((0, 1, 2), keepdims=True)"), "needs shape (1,)"),
        (_taps(result="dx[:, p : p + H, p : p + W], dw"), "expected three arrays, (dx, dw, db)"),
        (_taps(dw="x[pixels].reshape(-1, C).T @ dy.reshape(-1, K) / N"), "dw is averaged over the images"),
        (_taps(dw="dy.reshape(-1, K).T @ x[pixels].reshape(-1, C)"), "dw is transposed"),
        ("stride = 1\n" + _taps(), "the stride is missing"),
        (_taps(w="w[KH - 1 - u, KW - 1 - v].T"), "dx meets the kernel flipped"),
        (_taps(w="w[u, v].T * 2"), "all values are 2 times what they should be, in element 0"),
        (
            "x, w = md.tensor(x, requires_grad=True), md.tensor(w, requires_grad=True)\n"
            "F.conv2d(x, w, stride=stride, padding=padding).backward(dy)\nreturn x.grad, w.grad, dy.sum((0, 1, 2))",
            "which does the work of this exercise",
        ),
    ],
}
