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

ONE_BY_ONE = """
g = np.zeros(x.shape)
for i in np.ndindex(x.shape):
    e = np.zeros(x.shape)
    e[i] = {step}
    g[i] = {quotient}
return g
""".strip()
SOFTMAX = "e = np.exp(logits - logits.max(axis=1, keepdims=True))\np = e / e.sum(axis=1, keepdims=True)\n"

RIGHT = {
    "bce_with_logits": [
        "return np.mean(np.logaddexp(0, logits) - logits * targets)",
        "x, t = logits, targets\nreturn np.mean(np.maximum(x, 0) - x * t + np.log(1 + np.exp(-abs(x))))",
        "return sum(max(x, 0) - x * t + np.log1p(np.exp(-abs(x))) for x, t in zip(logits, targets)) / len(logits)",
        "return np.where(targets == 1, np.logaddexp(0, -logits), np.logaddexp(0, logits)).mean()",
        "a = np.logaddexp(0, -logits)\nb = np.logaddexp(0, logits)\nreturn (targets * a + (1 - targets) * b).mean()",
        "total = 0.0\nfor x, t in zip(logits, targets):\n"
        "    total += np.log1p(np.exp(x)) - x * t if x < 0 else np.log1p(np.exp(-x)) + x - x * t\n"
        "return total / len(logits)",
    ],
    "bce_gradient": [
        "return (1 / (1 + np.exp(-logits)) - targets) / len(logits)",
        "p = np.exp(-np.logaddexp(0, -logits))\nreturn (p - targets) / targets.size",
        "p = (1 + np.tanh(logits / 2)) / 2\nreturn (p - targets) / logits.size",
        "p = np.exp(-np.logaddexp(0, -logits))\nreturn np.where(targets == 1, p - 1, p) / logits.size",
        "e = np.exp(-abs(logits))\np = np.where(logits > 0, 1 / (1 + e), e / (1 + e))\n"
        "return (p - targets) / logits.shape[0]",
        "g = np.zeros(logits.shape)\nfor i in range(len(g)):\n"
        "    g[i] = (1 / (1 + np.exp(-logits[i])) - targets[i]) / len(g)\nreturn g",
    ],
    "log_sum_exp": [
        "return np.logaddexp.reduce(x)",
        "m = max(x)\nreturn m + np.log(sum(np.exp(x - m)))",
        "m = np.max(x)\nreturn float(np.log(np.exp(x - m).sum()) + m)",
        "total = x[0]\nfor number in x[1:]:\n    total = np.logaddexp(total, number)\nreturn total",
        "x = np.sort(x)\nreturn x[-1] + np.log1p(np.exp(x[:-1] - x[-1]).sum())",
    ],
    "cross_entropy_gradient": [
        SOFTMAX + "y = np.eye(logits.shape[1])[labels]\nreturn (p - y) / len(logits)",
        SOFTMAX + "p[range(len(p)), labels] -= 1\nreturn p / len(p)",
        SOFTMAX + "for n, k in enumerate(labels):\n    p[n, k] -= 1\nreturn p / len(labels)",
        "rows = []\nfor x, k in zip(logits, labels):\n    p = np.exp(x - max(x))\n    p = p / sum(p)\n"
        "    p[k] = p[k] - 1\n    rows.append(p / len(labels))\nreturn np.array(rows)",
        "y = labels[:, None] == np.arange(logits.shape[1])\n"
        "logs = logits - np.logaddexp.reduce(logits, axis=1)[:, None]\nreturn (np.exp(logs) - y) / y.shape[0]",
    ],
    "l1_gradient": [
        "return np.sign(predictions - targets) / predictions.size",
        "return np.sign(predictions - targets) / len(targets)",
        "above, below = predictions > targets, predictions < targets\nreturn (above * 1.0 - below) / len(above)",
        "d = predictions - targets\nreturn np.where(d > 0, 1, np.where(d < 0, -1, 0)) / d.size",
        "g = np.zeros_like(predictions)\ng[predictions > targets] = 1 / g.size\n"
        "g[predictions < targets] = -1 / g.size\nreturn g",
    ],
    "numerical_gradient": [
        NUMERICAL.format(back="\n    x[index] += h"),
        ONE_BY_ONE.format(step="h", quotient="(f(x + e) - f(x - e)) / (2 * h)"),
        ONE_BY_ONE.format(step="1", quotient="(f(x + h * e) - f(x - h * e)) / 2 / h"),
        "g = []\nfor e in np.eye(x.size) * h:\n    e = e.reshape(x.shape)\n"
        "    g.append((f(x + e) - f(x - e)) / (2 * h))\nreturn np.array(g).reshape(x.shape)",
        "g = np.empty(x.shape)\nfor i in np.ndindex(x.shape):\n    a, b = x.copy(), x.copy()\n"
        "    a[i] += h\n    b[i] -= h\n    g[i] = (f(a) - f(b)) / (2 * h)\nreturn g",
    ],
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
        (
            "p = np.clip(1 / (1 + np.exp(-logits)), 1e-15, 1 - 1e-15)\n"
            "return -np.mean(targets * np.log(p) + (1 - targets) * np.log(1 - p))",
            "kept 1e-15 away from 0 and 1",
        ),
    ],
    "bce_gradient": [
        ("return 1 / (1 + np.exp(-logits)) - targets", "divide by N"),
        ("return (targets - 1 / (1 + np.exp(-logits))) / len(logits)", "the sign is wrong"),
        ("return (logits - targets) / len(logits)", "the sigmoid is missing"),
        ("p = 1 / (1 + np.exp(-logits))\nreturn (p - targets) * p * (1 - p) / len(logits)", "belongs to the squared"),
        ("e = np.exp(logits)\nreturn (e / (1 + e) - targets) / len(logits)", "infinity by infinity"),
        ("return np.mean(1 / (1 + np.exp(-logits)) - targets)", "so take no mean"),
        ("return (1 / (1 + np.exp(logits)) - targets) / logits.size", "this sigmoid falls"),
    ],
    "log_sum_exp": [
        ("return np.log(sum(np.exp(x)))", "Subtract the largest x"),
        ("return x[0] + np.log(np.exp(x - x[0]).sum())", "subtract the largest x, not the first"),
        ("return x.max() + np.log(np.exp(x).sum())", "expected 2.31326, got 4.31326"),
        ("return np.log(np.exp(x - x.max()).sum())", "add it again at the end"),
        ("return x.max()", "this is the largest x: close"),
    ],
    "cross_entropy_gradient": [
        ("return F.softmax(md.tensor(logits))", "these are the probabilities p"),
        (SOFTMAX + "p[np.arange(len(p)), labels] -= 1\nreturn p", "divide by N"),
        (SOFTMAX + "return p / len(p)", "subtract 1 at each sample's class"),
        (SOFTMAX + "p[:, labels] -= 1\nreturn p / len(p)", "of every row"),
        (SOFTMAX + "return (p - labels[:, None]) / len(p)", "y is one-hot"),
        (
            "p = np.exp(logits - logits.max())\np /= p.sum(axis=1, keepdims=True)\n"
            "p[np.arange(len(p)), labels] -= 1\nreturn p / len(p)",
            "subtract that of each row",
        ),
        (SOFTMAX + "p[np.arange(len(p)), labels] -= 1\nreturn p / p.size", "it is divided by the number of all logits"),
        (
            "p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)\n"
            "p[np.arange(len(p)), labels] -= 1\nreturn p / len(p)",
            "e^x overflows",
        ),
        (
            "e = np.exp(logits - logits.max())\np = e / e.sum()\nreturn (p - np.eye(p.shape[1])[labels]) / len(p)",
            "over all samples together",
        ),
    ],
    "l1_gradient": [
        ("return np.sign(targets - predictions) / len(targets)", "the sign is wrong"),
        ("return np.sign(predictions - targets)", "divide by N"),
        ("return np.abs(predictions - targets).mean()", "this is the loss"),
        ("return 2 * (predictions - targets) / len(targets)", "this is the gradient of the squared error"),
        ("return np.where(predictions > targets, 1, -1) / len(targets)", "let it be 0 there, not -1"),
        ("d = predictions - targets\nreturn d / abs(d) / len(d)", "as np.sign does"),
    ],
    "numerical_gradient": [
        ("return (f(x + h) - f(x - h)) / (2 * h)", "expected (1,)"),
        ("return x", "for f=cube, x=[2.0], h=0.1."),
        (NUMERICAL.format(back=""), "it changes its arguments (x)"),
        ("h = 0.1\n" + NUMERICAL.format(back="\n    x[index] += h"), "for f=wave, x"),
        ("return (f(x + h) - f(x)) / h * np.ones(x.shape)", "this steps to the right only"),
    ],
}
