"""Answers to the exercises of ``minidl.course.fast_convolution``."""

WINOGRAD = """
m1 = (x[0] - x[2]) * g[0]
m2 = (x[1] + x[2]) * (g[0] + g[1] + g[2]) {half}
m3 = {m3} * (g[0] - g[1] + g[2]) {half}
m4 = {m4}
return {result}
""".strip()
OF_WINOGRAD = {
    "half": "/ 2",
    "m3": "(x[2] - x[1])",
    "m4": "(x[1] - x[3]) * g[2]",
    "result": "np.array([m1 + m2 + m3, m2 - m3 - m4])",
}


def _four(**changes: str) -> str:
    return WINOGRAD.format(**(OF_WINOGRAD | changes))


RIGHT = {
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
    "winograd": [
        _four(),
        _four(half="* 0.5", result="np.array([m1 + (m2 + m3), m2 - (m3 + m4)])"),
        _four(m4="(x[3] - x[1]) * g[2]", result="np.array([m1 + m2 + m3, m2 - m3 + m4])"),
        "G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])\n"
        "B = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])\n"
        "A = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])\nreturn A @ ((G @ g) * (B @ x))",
        "m = np.array([x[0] - x[2], x[1] + x[2], x[2] - x[1], x[1] - x[3]])\n"
        "s = g[0] + g[2]\nm *= np.array([g[0], (s + g[1]) / 2, (s - g[1]) / 2, g[2]])\n"
        "return np.array([m[:3].sum(), m[1] - m[2] - m[3]])",
        "y, half = np.zeros(2), (g[0] + g[2]) / 2\nm2, m3 = (x[1] + x[2]) * (half + g[1] / 2), "
        "(x[2] - x[1]) * (half - g[1] / 2)\n"
        "y[0] = (x[0] - x[2]) * g[0] + m2 + m3\ny[1] = m2 - m3 - (x[1] - x[3]) * g[2]\nreturn y",
    ],
}

WRONG = {
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
        ("return np.correlate(x, g)", "more than four products"),
        (_four(half=""), "are not halved"),
        ("return np.array([x[0] * g[0] + x[1] * g[1] + x[2] * g[2], x[1:] @ g])", "more than four products"),
        ("return np.array([x[:3], x[1:]]) @ g", "more than four products"),
        (_four(m4="(x[3] - x[1]) * g[2]"), "the sign of m4 is wrong"),
        (_four(m3="(x[1] - x[2])"), "the sign of m3 is wrong"),
        (_four(result="np.array([m1 + m2 + m3])"), "the answer has shape (1,)"),
        (_four(result="[m1 + m2 + m3, m2 - m3 - m4]"), "this is a list"),
    ],
}
