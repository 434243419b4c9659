"""Answers to the exercises of ``minidl.course.generalisation``."""

NORMAL = """
m, v = x.mean(axis=0), x.var(axis=0)
normal = (x - m) / {by}
return {result}
""".strip()
OF_NORMAL = {"by": "np.sqrt(v + eps)", "result": "gamma * normal + beta"}
BACKWARD = """
N = len(x)
s = np.sqrt(x.var(axis=0) + eps)
normal = (x - x.mean(axis=0)) / s
dgamma = {dgamma}
dbeta = {dbeta}
dx = {dx}
return {result}
""".strip()
OF_BACKWARD = {
    "dgamma": "np.sum(dy * normal, axis=0)",
    "dbeta": "np.sum(dy, axis=0)",
    "dx": "gamma / (N * s) * (N * dy - dbeta - normal * dgamma)",
    "result": "dx, dgamma, dbeta",
}
BY_STEPS = """
N = len(x)
centred = x - x.mean(axis=0)
s = np.sqrt((centred**2).mean(axis=0) + eps)
dnormal = gamma * dy
dvar = (dnormal * centred).sum(axis=0) * -0.5 / s**3
dmean = {dmean}
dx = dnormal / s + {by_var} + dmean / N
return dx, (dy * centred / s).sum(axis=0), dy.sum(axis=0)
""".strip()
OF_STEPS = {"dmean": "-dnormal.sum(axis=0) / s", "by_var": "dvar * 2 * centred / N"}


def _normal(**changes: str) -> str:
    return NORMAL.format(**(OF_NORMAL | changes))


def _backward(**changes: str) -> str:
    return BACKWARD.format(**(OF_BACKWARD | changes))


RIGHT = {
    "dropout": [
        "mask = rng.random(x.shape) >= p\nreturn mask * x / (1 - p)",
        "return np.where(rng.random(x.shape) < p, 0, x / (1 - p))",
        "y = x / (1 - p)\ny[rng.random(x.shape) < p] = 0\nreturn y",
        "keep = np.zeros(x.shape)\nkeep[rng.random(x.shape) >= p] = 1 / (1 - p)\nreturn keep * x",
        "y = np.zeros(x.shape)\nfor index in np.ndindex(x.shape):\n    if rng.random() >= p:\n"
        "        y[index] = x[index] / (1 - p)\nreturn y",
        "keep = (rng.uniform(size=x.shape) > p).astype(float)\nreturn x * keep * (1 / (1 - p))",
        "keep = rng.random(x.size).reshape(x.shape) >= p\nreturn np.multiply(x, keep) / (1.0 - p)",
    ],
    "batch_norm": [
        _normal(),
        "mean = np.mean(x, axis=0)\nvar = np.mean((x - mean) ** 2, axis=0)\n"
        "return (x - mean) / np.sqrt(var + eps) * gamma + beta",
        "scale = gamma / (x.var(0) + eps) ** 0.5\nreturn x * scale + (beta - x.mean(0) * scale)",
        "y = np.zeros(x.shape)\nfor c in range(x.shape[1]):\n    column = x[:, c]\n"
        "    y[:, c] = gamma[c] * (column - column.mean()) / np.sqrt(column.var() + eps) + beta[c]\nreturn y",
        "N = len(x)\nm = x.sum(axis=0, keepdims=True) / N\nd = x - m\nv = (d * d).sum(axis=0, keepdims=True) / N\n"
        "return gamma * d / np.sqrt(v + eps) + beta",
        "v = (x**2).mean(axis=0) - x.mean(axis=0) ** 2\nreturn gamma * (x - x.mean(axis=0)) / np.sqrt(v + eps) + beta",
    ],
    "batch_norm_backward": [
        _backward(),
        _backward(result="[dx, dgamma, dbeta]"),
        _backward(dx="gamma / s * (dy - dy.mean(axis=0) - normal * (dy * normal).mean(axis=0))"),
        BY_STEPS.format(**OF_STEPS),
        BY_STEPS.format(**(OF_STEPS | {"dmean": "-dnormal.sum(axis=0) / s - 2 * dvar * centred.mean(axis=0)"})),
        "y = batch_norm(x, np.ones(x.shape[1]), np.zeros(x.shape[1]), eps)\ns = np.sqrt(x.var(axis=0) + eps)\n"
        "g = dy * gamma\ndx = (g - g.mean(axis=0) - y * (g * y).mean(axis=0)) / s\n"
        "return dx, (dy * y).sum(axis=0), dy.sum(axis=0)",
        "N, C = x.shape\ndx, dgamma, dbeta = np.zeros((N, C)), np.zeros(C), np.zeros(C)\nfor c in range(C):\n"
        "    s = np.sqrt(x[:, c].var() + eps)\n    n = (x[:, c] - x[:, c].mean()) / s\n"
        "    J = (np.eye(N) - 1 / N - np.outer(n, n) / N) / s\n    dx[:, c] = gamma[c] * J @ dy[:, c]\n"
        "    dgamma[c], dbeta[c] = n @ dy[:, c], dy[:, c].sum()\nreturn dx, dgamma, dbeta",
    ],
}

WRONG = {
    "dropout": [
        ("return x * (rng.random(x.shape) >= p)", "what is kept has to grow"),
        ("return np.where(rng.random(x.shape) < p, 0, x * (1 - p))", "what is kept is multiplied by 1 - p"),
        ("keep = rng.random(x.shape) < p\nreturn x * keep / p", "it keeps with the probability p"),
        ("keep = rng.random(x.shape) < 1 - p\nreturn x * keep / (1 - p)", "it keeps others"),
        ("keep = rng.random(x.shape[1]) >= p\nreturn x * keep / (1 - p)", "all samples lose the same elements"),
        ("return x / (1 - p) if rng.random() >= p else 0 * x", "a single number decides"),
        ("keep = np.random.default_rng().random(x.shape) >= p\nreturn x * keep / (1 - p)", "it draws random numbers"),
        ("keep = np.random.rand(*x.shape) >= p\nreturn x * keep / (1 - p)", "it draws random numbers"),
        ("keep = np.random.default_rng(42).random(x.shape) >= p\nreturn x * keep / (1 - p)", "expected "),
        ("keep = rng.binomial(1, 1 - p, x.shape)\nreturn x * keep / (1 - p)", "it keeps others"),
        ("x *= rng.random(x.shape) >= p\nreturn x / (1 - p)", "it changes its arguments (x)"),
        ("keep = rng.random(x.shape) >= p\nreturn x * keep / (1 - p), keep", "expected (4, 6)"),
    ],
    "batch_norm": [
        (_normal(by="(v + eps)"), "it divides by the variance"),
        (_normal(by="(np.sqrt(v) + eps)"), "eps is outside the root"),
        (_normal(by="np.sqrt(v)"), "eps is missing"),
        (_normal(result="gamma * (normal + beta)"), "gamma multiplies beta, too"),
        (_normal(result="normal * beta + gamma"), "gamma and beta are swapped"),
        (_normal(result="normal"), "gamma is missing"),
        (_normal(result="gamma * normal"), "beta is missing"),
        (_normal(by="x.std(axis=0, ddof=1)"), "divides by N - 1"),
        ("return gamma * (x - x.mean()) / np.sqrt(x.var() + eps) + beta", "all columns have the same mean"),
        (
            "m, v = x.mean(1, keepdims=True), x.var(1, keepdims=True)\n"
            "return gamma * (x - m) / np.sqrt(v + eps) + beta",
            "each sample is normalised by itself",
        ),
        (
            "return gamma * (x - x.mean(axis=1)) / np.sqrt(x.var(axis=1) + eps) + beta",
            "the mean is that of each sample",
        ),
        ("x -= x.mean(axis=0)\nreturn gamma * x / np.sqrt(x.var(axis=0) + eps) + beta", "it changes its arguments (x)"),
    ],
    "batch_norm_backward": [
        (_backward(dx="gamma / s * dy"), "dx takes mean and variance for constants"),
        (_backward(dx="gamma / s * (dy - dy.mean(axis=0))"), "the change of the variance is missing"),
        (_backward(dx="gamma / s * (dy - dbeta - normal * dgamma)"), "subtract means, so divide by N"),
        (_backward(dx="(dy - dbeta / N - normal * dgamma / N) / s"), "gamma is missing in dx"),
        (_backward(dx="gamma * (dy - dbeta / N - normal * dgamma / N)"), "the deviation is missing"),
        (_backward(dgamma="(dy * x).sum(axis=0)", dx="0 * x"), "expected "),
        (_backward(dgamma="dy.mean(axis=0)"), "expected "),
        (_backward(result="dx, dbeta, dgamma"), "dbeta comes before dgamma"),
        (_backward(result="dx"), "it returns ndarray, which cannot be read"),
        (BY_STEPS.format(**(OF_STEPS | {"by_var": "0"})), "the change of the variance is missing"),
        (BY_STEPS.format(**(OF_STEPS | {"dmean": "0"})), "the change of the mean is missing"),
        (
            "s = np.sqrt(x.var(axis=0) + eps)\nn = (x - x.mean(axis=0)) / s\n"
            "dx = gamma / s * (dy - dy.mean(axis=0) - n * (dy * n).mean(axis=0))\n"
            "return dx, (dy * x).sum(axis=0), dy.sum(axis=0)",
            "dgamma multiplies dy by x",
        ),
    ],
}
