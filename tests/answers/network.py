"""Answers to the exercises of ``minidl.course.network``."""

FORWARD = "value = loss(model(images), targets)\n"

RIGHT = {
    "block_shape": [
        "return [int((side - 2) / 2) for side in shape[:2]] + [filters]",
        "h, w, c = shape\nreturn (h - 2) // 2, (w - 2) // 2, filters",
        "return (shape[0] // 2 - 1, shape[1] // 2 - 1, filters)",
        "h = shape[0] - 3 + 1\nw = shape[1] - 3 + 1\nreturn ((h - 2) // 2 + 1, (w - 2) // 2 + 1, filters)",
        "return *((side - 2) // 2 for side in shape[:2]), filters",
    ],
    "conv_parameters": [
        "return kernel * kernel * channels * filters + filters",
        "return (kernel**2 * channels + 1) * filters",
        "weights = kernel * kernel * channels * filters\nbiases = filters\nreturn weights + biases",
        "total = 0\nfor f in range(filters):\n    total += kernel**2 * channels + 1\nreturn total",
        "return int(np.prod([kernel, kernel, channels, filters])) + filters",
    ],
    "gender_accuracy": [
        "return np.mean((logits > 0) == (labels == 1))",
        "return float(((logits > 0) == labels).mean())",
        "right = 0\nfor x, t in zip(logits.ravel(), labels.ravel()):\n    right += (x > 0) == (t == 1)\n"
        "return right / len(labels)",
        "p = 1 / (1 + np.exp(-logits))\nreturn np.mean(np.round(p) == labels)",
        "return 1 - np.abs((logits > 0) * 1.0 - labels).mean()",
    ],
    "training_step": [
        "optimizer.zero_grad()\n" + FORWARD + "value.backward()\noptimizer.step()\nreturn value.item()",
        FORWARD + "optimizer.zero_grad()\nvalue.backward()\noptimizer.step()\nreturn float(value)",
        FORWARD + "value.backward()\noptimizer.step()\noptimizer.zero_grad()\nreturn value.item()",
        "model.zero_grad()\nvalue = loss(model(images), targets)\nvalue.backward()\noptimizer.step()\n"
        "return float(value.numpy())",
        "for p in model.parameters():\n    p.grad = None\n" + FORWARD + "value.backward()\noptimizer.step()\n"
        "return value.item()",
    ],
}

WRONG = {
    "block_shape": [
        ("return shape[0] // 2, shape[1] // 2, filters", "the convolution is missing"),
        ("return (shape[0] - 3) // 2, (shape[1] - 3) // 2, filters", "not 3: subtract 2"),
        ("return (shape[0] - 2) / 2, (shape[1] - 2) / 2, filters", "there is no half a pixel"),
        ("return shape[0] - 2, shape[1] - 2, filters", "the pooling is missing"),
        ("return filters, (shape[0] - 2) // 2, (shape[1] - 2) // 2", "channels come last"),
        ("return (shape[0] - 2) // 2, (shape[1] - 2) // 2", "the answer has shape (2,)"),
    ],
    "conv_parameters": [
        ("return kernel**2 * channels * filters", "the biases are missing"),
        ("return (kernel**2 + 1) * channels * filters", "not one per input channel"),
        ("return kernel * channels * filters + filters", "a kernel is square"),
        ("return kernel**2 * filters + filters", "for every input channel"),
        ("return kernel**2 * channels + 1", "multiply by filters"),
    ],
    "gender_accuracy": [
        ("return np.mean((logits > 0.5) == labels)", "a logit is not a probability"),
        ("return np.mean(logits == labels)", "a logit is hardly ever equal to a label"),
        ("return np.sum((logits > 0) == labels)", "this is the number of right answers"),
        ("return np.mean((logits > 0).ravel() == labels)", "broadcast to (N, N)"),
        ("return np.mean(np.round(logits) == labels)", "round(logit) is not"),
        ("return np.mean((logits > 0.1) == labels)", "Hint: expected"),
    ],
    "training_step": [
        (FORWARD + "value.backward()\noptimizer.step()\nreturn float(value)", "zero_grad() is missing"),
        (
            FORWARD + "optimizer.zero_grad()\nvalue.backward()\noptimizer.step()\nreturn value",
            "element 0 is a Tensor: the notebook needs a plain number, add .item().",
        ),
        (FORWARD + "optimizer.zero_grad()\nvalue.backward()\noptimizer.step()", "not solved yet"),
        (FORWARD + "optimizer.zero_grad()\nvalue.backward()\nreturn value.item()", "the parameters have not changed"),
        (
            FORWARD + "value.backward()\noptimizer.zero_grad()\noptimizer.step()\nreturn value.item()",
            "call zero_grad(), backward() and step() in this order",
        ),
    ],
}
