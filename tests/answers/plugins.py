"""Answers to the exercises of ``minidl.course.plugins``."""

PIXELS = """
starts = [(i, j) for i in range(0, H - KH + 1, stride) for j in range(0, W - KW + 1, {across})]
return {result}([[(i + a) * {width} + j + b{first} for {taps}] for i, j in starts])
""".strip()
OF_PIXELS = {
    "across": "stride",
    "result": "np.array",
    "width": "W",
    "first": "",
    "taps": "a, b in np.ndindex(KH, KW)",
}

ADAGRAD = """
v = {v}
return w - lr * dw / {divisor}, v
""".strip()
OF_ADAGRAD = {"v": "v + dw * dw", "divisor": "(v**0.5 + eps)"}


def _pixels(**changes: str) -> str:
    return PIXELS.format(**(OF_PIXELS | changes))


def _adagrad(**changes: str) -> str:
    return ADAGRAD.format(**(OF_ADAGRAD | changes))


RIGHT = {
    "power_mean": [
        "return np.array([np.mean(row**p) ** (1 / p) for row in x])",
        "return (x**p).mean(axis=1) ** (1 / p)",
        "return np.power(np.sum(np.power(x, p), 1) / x.shape[1], 1 / p)",
        "return np.exp(np.log((x**p).mean(1)) / p)",
        "powers = np.exp(p * np.log(x))\nreturn powers.mean(axis=-1) ** (1.0 / p)",
        "largest = x.max(axis=1, keepdims=True)\nreturn largest[:, 0] * np.mean((x / largest) ** p, axis=1) ** (1 / p)",
    ],
    "adagrad_step": [
        "return w - lr * dw / (np.sqrt(v + dw**2) + eps), v + dw**2",
        _adagrad(),
        "total = v + dw**2\nstep = lr / (total**0.5 + eps) * dw\nreturn w - step, total",
        "new_v = dw * dw + v\nnew_w = w + -lr * dw / (eps + new_v ** (1 / 2))\nreturn (new_w, new_v)",
        "v = np.add(v, np.square(dw))\nreturn [np.subtract(w, lr * dw / (np.sqrt(v) + eps)), v]",
        "w, v = w.copy(), v.copy()\nv += dw * dw\nw -= lr * dw / (v**0.5 + eps)\nreturn w, v",
    ],
    "window_pixels": [
        _pixels(),
        "n = np.arange(H * W).reshape(H, W)\nreturn np.array([n[i : i + KH, j : j + KW].ravel()\n"
        "    for i in range(0, H - KH + 1, stride) for j in range(0, W - KW + 1, stride)])",
        "n = np.arange(H * W).reshape(H, W)\n"
        "windows = np.lib.stride_tricks.sliding_window_view(n, (KH, KW))[::stride, ::stride]\n"
        "return windows.reshape(-1, KH * KW)",
        "inside = (W * np.arange(KH)[:, None] + np.arange(KW)).ravel()\n"
        "starts = W * np.arange(0, H - KH + 1, stride)[:, None] + np.arange(0, W - KW + 1, stride)\n"
        "return starts.reshape(-1, 1) + inside",
        "OH, OW = (H - KH) // stride + 1, (W - KW) // stride + 1\nfound = np.zeros((OH * OW, KH * KW), int)\n"
        "for i in range(OH):\n    for j in range(OW):\n        for a in range(KH):\n            for b in range(KW):\n"
        "                found[i * OW + j, a * KW + b] = (i * stride + a) * W + j * stride + b\nreturn found",
    ],
}

WRONG = {
    "power_mean": [
        ("return [float(np.mean(row**p) ** (1 / p)) for row in x]", "this is a list"),
        ("return np.mean(x**p, axis=1) ** 1 / p", "the mean is divided by p"),
        ("return np.mean(x**p) ** (1 / p)", "take one per row, axis=1"),
        ("return np.sum(x**p, axis=1) ** (1 / p)", "these are sums"),
        ("return np.mean(x**p, axis=1)", "the root is missing"),
        ("return np.mean(x**p, axis=0) ** (1 / p)", "these are the means of the columns"),
        ("return np.mean(x ** (1 / p), axis=1) ** p", "the other way round"),
        ("return np.sqrt(np.mean(x**p, axis=1))", "always the square root"),
        ("return np.mean(x**p, axis=1, keepdims=True) ** (1 / p)", "the values are right, but their shape is (1, 1)"),
    ],
    "adagrad_step": [
        ("return w - lr * dw / (np.sqrt(v + dw**2) + eps)", "expected (6,)"),
        (_adagrad(v="dw * dw"), "the squares are not added up"),
        (_adagrad(v="v + np.abs(dw)"), "adds up the absolute values"),
        (_adagrad(divisor="(v + eps)"), "the root is missing"),
        (_adagrad(divisor="(v + eps) ** 0.5"), "eps is inside the root"),
        (_adagrad(divisor="1"), "but w moved by the plain gradient"),
        ("return w - lr * dw / (v**0.5 + eps), v + dw * dw", "update v first"),
        ("return w + lr * dw / ((v + dw * dw) ** 0.5 + eps), v + dw * dw", "it climbs"),
        ("v += dw * dw\nreturn w - lr * dw / (v**0.5 + eps), v", "it changes its arguments (v)"),
        ("v = v + dw * dw\nreturn v, w - lr * dw / (v**0.5 + eps)", "the order is w, v"),
    ],
    "window_pixels": [
        (_pixels(result="list"), "this is a list"),
        (_pixels() + " * 1.0", "this is an array of float64: the notebook needs integers, add .astype(int)"),
        (_pixels(result="list", width="H"), "W further, not H"),
        (_pixels(first=" + 1"), "numbered from 0"),
        (_pixels().replace("j + b", "j // stride + b"), "it is missing for the columns"),
        ("stride = 1\n" + _pixels(), "the stride is missing"),
        (_pixels(taps="b in range(KW) for a in range(KH)"), "inside a window it goes down the columns"),
        (_pixels() + ".T", "this is the transpose"),
        (_pixels(taps="a, b in [(0, 0)]"), "this is only the first pixel of each window"),
        (_pixels().replace("H - KH + 1", "H - KH"), "Hint: the answer has shape"),
    ],
}
