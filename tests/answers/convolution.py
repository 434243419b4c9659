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
    "im2col": [
        "OH, OW = x.shape[0] - KH + 1, x.shape[1] - KW + 1\n"
        "return np.array([x[i : i + KH, j : j + KW].ravel() for i in range(OH) for j in range(OW)])",
        "OH, OW = x.shape[0] - KH + 1, x.shape[1] - KW + 1\nrows = np.zeros((OH * OW, KH * KW * x.shape[2]))\n"
        "for i in range(OH):\n    for j in range(OW):\n"
        "        rows[i * OW + j] = x[i : i + KH, j : j + KW].reshape(-1)\n"
        "return rows",
        "OH, OW = x.shape[0] - KH + 1, x.shape[1] - KW + 1\n"
        "parts = [x[a : a + OH, b : b + OW] for a in range(KH) for b in range(KW)]\n"
        "return np.concatenate(parts, axis=2).reshape(OH * OW, -1)",
        "v = np.lib.stride_tricks.sliding_window_view(x, (KH, KW), axis=(0, 1))\n"
        "return v.transpose(0, 1, 3, 4, 2).reshape(-1, KH * KW * x.shape[2])",
        "H, W, C = x.shape\nrows = []\nfor i in range(H - KH + 1):\n    for j in range(W - KW + 1):\n"
        "        rows.append([x[i + a, j + b, c] for a in range(KH) for b in range(KW) for c in range(C)])\n"
        "return np.array(rows)",
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
    "im2col": [
        (
            "OH, OW = x.shape[0] - KH + 1, x.shape[1] - KW + 1\n"
            "return np.array([x[i : i + KH, j : j + KW].ravel() for j in range(OW) for i in range(OH)])",
            "go down the columns",
        ),
        (
            "OH, OW = x.shape[0] - KH + 1, x.shape[1] - KW + 1\n"
            "return np.array([x[i : i + KH, j : j + KW].transpose(2, 0, 1).ravel()"
            " for i in range(OH) for j in range(OW)])",
            "in the order (C, KH, KW)",
        ),
        (
            "OH, OW = x.shape[0] - KH + 1, x.shape[1] - KW + 1\n"
            "return np.array([x[i : i + KH, j : j + KW].ravel() for i in range(OH) for j in range(OW)]).T",
            "the windows are columns",
        ),
        (
            "OH, OW = x.shape[0] - KH, x.shape[1] - KW\n"
            "return np.array([x[i : i + KH, j : j + KW].ravel() for i in range(OH) for j in range(OW)])",
            "the last windows are missing",
        ),
        (
            "OH, OW = x.shape[0] - KH + 1, x.shape[1] - KW + 1\n"
            "return [x[i : i + KH, j : j + KW].ravel() for i in range(OH) for j in range(OW)]",
            "this is a list: the notebook needs a NumPy array",
        ),
    ],
    "winograd": [
        ("return x[:3] @ g, x[1:] @ g", "this is a tuple"),
        ("return np.convolve(x, g, 'valid')", "the kernel is flipped"),
        ("return np.correlate(x, g)[::-1]", "the two outputs are swapped"),
        ("return np.correlate(x, g)", "correlate, which does the work of this exercise: write it yourself"),
    ],
}
