"""Answers to the exercises of ``minidl.course.plugins``."""

PIXELS = """
starts = [(i, j) for i in range(0, H - KH + 1, stride) for j in range(0, W - KW + 1, stride)]
return {result}([[(i + a) * {width} + j + b for a, b in np.ndindex(KH, KW)] for i, j in starts])
""".strip()

RIGHT = {
    "power_mean": ["return np.array([np.mean(row**p) ** (1 / p) for row in x])"],
    "adagrad_step": ["return w - lr * dw / (np.sqrt(v + dw**2) + eps), v + dw**2"],
    "window_pixels": [PIXELS.format(result="np.array", width="W")],
}

WRONG = {
    "power_mean": [
        ("return [float(np.mean(row**p) ** (1 / p)) for row in x]", "this is a list"),
        ("return np.mean(x**p, axis=1) ** 1 / p", "the mean is divided by p"),
    ],
    "adagrad_step": [("return w - lr * dw / (np.sqrt(v + dw**2) + eps)", "expected (6,)")],
    "window_pixels": [
        (PIXELS.format(result="list", width="W"), "this is a list"),
        (PIXELS.format(result="list", width="H"), "W further, not H"),
    ],
}
