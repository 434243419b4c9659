"""Answers to the exercises of ``minidl.course.losses``."""

NUMERICAL = """
found = []
for index in np.ndindex(x.shape):
    x[index] += h
    above = f(x)
    x[index] -= 2 * h
    found.append((above - f(x)) / (2 * h)){back}
return np.reshape(found, x.shape)
""".strip()

RIGHT = {
    "bce_with_logits": [
        "return np.mean(np.logaddexp(0, logits) - logits * targets)",
        "x, t = logits, targets\nreturn np.mean(np.maximum(x, 0) - x * t + np.log(1 + np.exp(-abs(x))))",
        "return sum(max(x, 0) - x * t + np.log1p(np.exp(-abs(x))) for x, t in zip(logits, targets)) / len(logits)",
        "a = np.logaddexp(0, -logits)\nb = np.logaddexp(0, logits)\nreturn (targets * a + (1 - targets) * b).mean()",
        "total = 0.0\nfor x, t in zip(logits, targets):\n"
        "    total += np.log1p(np.exp(x)) - x * t if x < 0 else np.log1p(np.exp(-x)) + x - x * t\n"
        "return total / len(logits)",
    ],
    "log_sum_exp": [
        "return np.logaddexp.reduce(x)",
        "m = max(x)\nreturn m + np.log(sum(np.exp(x - m)))",
        "m = np.max(x)\nreturn float(np.log(np.exp(x - m).sum()) + m)",
        "total = x[0]\nfor number in x[1:]:\n    total = np.logaddexp(total, number)\nreturn total",
        "x = np.sort(x)\nreturn x[-1] + np.log1p(np.exp(x[:-1] - x[-1]).sum())",
    ],
    "numerical_gradient": [NUMERICAL.format(back="\n    x[index] += h")],
}

WRONG = {
    "bce_with_logits": [
        (
            "p = 1 / (1 + np.exp(-logits))\nreturn -np.mean(targets * np.log(p) + (1 - targets) * np.log(1 - p))",
            "log 0 is infinite",
        ),
        ("return np.mean(np.log(1 + np.exp(logits)) - logits * targets)", "e^x overflows for large x"),
        ("return np.sum(np.logaddexp(0, logits) - logits * targets)", "this is the sum over the samples"),
        ("return np.logaddexp(0, logits) - logits * targets", "one value per sample"),
        ("return F.binary_cross_entropy_with_logits(md.tensor(logits), targets)", "this is a Tensor"),
    ],
    "log_sum_exp": [
        ("return np.log(sum(np.exp(x)))", "Subtract the largest x"),
        ("return x[0] + np.log(np.exp(x - x[0]).sum())", "subtract the largest x, not the first"),
        ("return x.max() + np.log(np.exp(x).sum())", "expected 2.31326, got 4.31326"),
        ("return np.log(np.exp(x - x.max()).sum())", "add it again at the end"),
        ("return x.max()", "this is the largest x: close"),
    ],
    "cross_entropy_gradient": [("return F.softmax(md.tensor(logits))", "these are the probabilities p")],
    "numerical_gradient": [
        ("return (f(x + h) - f(x - h)) / (2 * h)", "expected (1,)"),
        ("return x", "for f=cube, x=[2.0], h=0.1."),
        (NUMERICAL.format(back=""), "it changes its arguments (x)"),
        ("h = 0.1\n" + NUMERICAL.format(back="\n    x[index] += h"), "for f=wave, x"),
        ("return (f(x + h) - f(x)) / h * np.ones(x.shape)", "this steps to the right only"),
    ],
}
