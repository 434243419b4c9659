"""Answers to the exercises of ``minidl.course.neurons``."""

RIGHT = {
    "neuron": [
        "return max(np.dot(x, w) + b, 0)",
        "return np.maximum(x @ w + b, 0)",
        "total = b\nfor i in range(len(x)):\n    total += w[i] * x[i]\nreturn total if total > 0 else 0.0",
        "z = sum(wi * xi for wi, xi in zip(w, x)) + b\nreturn z * (z > 0)",
        "if len(x) == 0:\n    return max(b, 0)\nz = float(np.inner(w, x))\nreturn max(0, z + b)",
    ],
    "step": [
        "return w - lr * dw",
        "return w + (-lr) * dw",
        "new = w.copy()\nnew -= lr * dw\nreturn new",
        "result = np.zeros_like(w)\nfor i in np.ndindex(w.shape):\n    result[i] = w[i] - lr * dw[i]\nreturn result",
        "return np.subtract(w, np.multiply(lr, dw))",
    ],
    "relu_slope": [
        "return x > 0",
        "return np.greater(x, 0)",
        "return np.sign(max(x, 0))",
        "return int(x > 0)",
        "if x > 0:\n    return 1\nreturn 0",
    ],
    "product_slopes": [
        "return b, a",
        "return [b, a]",
        "return np.array([b, a])",
        "by_a = (a + 1) * b - a * b\nby_b = a * (b + 1) - a * b\nreturn by_a, by_b",
        "h = 1e-3\nreturn ((a + h) * b - (a - h) * b) / (2 * h), (a * (b + h) - a * (b - h)) / (2 * h)",
    ],
    "layer": [
        "return np.maximum(x @ w + b, 0)",
        "return np.clip(np.dot(x, w) + b, 0, None)",
        "z = np.einsum('ni,io->no', x, w) + b\nreturn np.where(z > 0, z, 0)",
        "return np.array([[max(row @ w[:, k] + b[k], 0) for k in range(w.shape[1])] for row in x])",
        "z = x @ w\nz += b\nz[z < 0] = 0\nreturn z",
    ],
    "hat": [
        "return np.maximum(1 - abs(x - centre) / width, 0)",
        "def r(z):\n    return z * (z > 0)\n"
        "return (r(x - centre + width) - 2 * r(x - centre) + r(x - centre - width)) / width",
        "y = 1 - np.abs(x - centre) / width\ny[y < 0] = 0\nreturn y",
        "return np.array([max(0, 1 - abs(number - centre) / width) for number in x])",
        "return np.interp(x, [centre - width, centre, centre + width], [0, 1, 0])",
    ],
}

WRONG = {
    "neuron": [
        ("return w * x + b", "the products are not added up yet"),
        ("return np.dot(w, x) + b", "the activation is missing"),
        ("total = 0\nfor i in range(len(x)):\n    total += w[i] * x[i]\nreturn max(total, 0)", "the bias is missing"),
        ("total = b\nfor i in range(len(x) + 1):\n    total += w[i] * x[i]\nreturn max(total, 0)", "IndexError"),
        ("print(max(np.dot(w, x) + b, 0))", "not solved yet, it returns nothing"),
        ("return np.maximum(w.reshape(1, -1) @ x + b, 0)", "this is an array of shape (1,): the notebook"),
        ("return np.maximum(x * w + b, 0)", "the products are not added up yet"),
        ("if w @ x + b > 0:\n    return w @ x + b", "it returns nothing: every branch"),
    ],
    "step": [
        ("w -= lr * dw\nreturn w", "it changes its arguments (w)"),
        ("return -(w - lr * dw)", "the sign is wrong everywhere"),
        ("return 3 * (w - lr * dw)", "all values are 3 times"),
        ("return w / 0.0", "NaN or infinity"),
        ("return w + lr * dw", "it climbs"),
        ("return w - 0.1 * dw", "expected"),
        ("return w - lr * np.array([4.0, 2.0, -1.0])", "expected -1.75 at index (1, 0)"),
        ("return list(w - lr * dw)", "this is a list: the notebook needs a NumPy array"),
    ],
    "relu_slope": [
        ("return x > -1e-9", "at 0 there is no derivative"),
        ("return max(x, 0)", "this is ReLU itself"),
        ("if x > 0:\n    return 1\nelse:\n    return -1", "ReLU is flat, not falling"),
        ("if x > 0:\n    return 1", "for x=-2.0.\n    Hint: it returns nothing: every branch"),
        ("return 1", "below 0 the output does not depend on x"),
        ("return md.tensor(float(x > 0))", "this is a Tensor: the notebook needs a plain number, add .item()."),
    ],
    "product_slopes": [
        ("return b, b", "expected 2 at index (1,), got 5"),
        ("return a, b", "the two are swapped"),
        ("return md.tensor(b), md.tensor(a)", "it returns tuple, which cannot be read"),
        ("return b, str(a)", "element 1 is a str: the notebook needs a plain number"),
        ("return a * b", "this is the product itself"),
        ("yield b\nyield a", "it returns generator, which cannot be read as the answer"),
    ],
    "layer": [
        ("return np.maximum(w @ x + b, 0)", "the factors are swapped"),
        ("return np.where(np.dot(x, w.T) + b > 0, np.dot(x, w.T) + b, 0)", "w is transposed"),
        ("return F.relu(md.tensor(x) @ w + b)", "this is a Tensor"),
        ("return max(x @ w + b, 0)", "np.maximum and np.where work element by element"),
        ("return np.maximum(x @ w, 0)", "the bias is missing"),
        ("return np.maximum(x @ w + b, 0).tolist()", "this is a list: the notebook needs a NumPy array"),
    ],
    "hat": [
        ("return max(0, 1 - abs(x - centre) / width)", "np.maximum and np.where work element by element"),
        (
            "r = lambda z: z * (z > 0)\nreturn r(x - centre + width) - 2 * r(x - centre) + r(x - centre - width)",
            "at the height width",
        ),
        ("return [max(0, 1 - abs(number - centre) / width) for number in x]", "this is a list"),
        ("return np.maximum(1 - abs(x + centre) / width, 0)", "it sits on the wrong side of 0"),
        ("return np.maximum(1 - abs(x - centre), 0)", "for x of shape (13,), centre=0.5, width=2.0"),
    ],
}
