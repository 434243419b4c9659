"""Answers to the exercises of ``minidl.course.inside``."""

WEIGHTS = "weights = gradients.mean(axis=(1, 2), keepdims=True)\n"
BINS = "number = np.minimum((probabilities * bins).astype(int), bins - 1)\ntotal = 0.0\nfor b in np.unique(number):\n"
INSIDE = BINS + "    i = number == b\n    total += {}\nreturn total"

RIGHT = {
    "saliency": [
        "return abs(dx).max(axis=-1)",
        "return np.maximum(dx.max(axis=3), -dx.min(axis=3))",
        "return np.max(np.where(dx < 0, -dx, dx), axis=3)",
        "return np.sqrt((dx**2).max(axis=3))",
        "m = np.zeros(dx.shape[:3])\nfor c in range(dx.shape[3]):\n    m = np.maximum(m, np.abs(dx[..., c]))\nreturn m",
        "return np.array([[[max(abs(c) for c in pixel) for pixel in row] for row in image] for image in dx])",
    ],
    "grad_cam": [
        "return np.einsum('nhwk,nk->nhw', maps, gradients.mean((1, 2))).clip(0)",
        WEIGHTS + "return np.maximum(np.sum(weights * maps, axis=-1), 0)",
        "a = gradients.sum(axis=(1, 2)) / (maps.shape[1] * maps.shape[2])\n"
        "heat = (maps * a[:, None, None, :]).sum(axis=3)\nheat[heat < 0] = 0\nreturn heat",
        "heat = np.zeros(maps.shape[:3])\nfor n in range(len(maps)):\n    for k in range(maps.shape[3]):\n"
        "        heat[n] += gradients[n, :, :, k].mean() * maps[n, :, :, k]\nreturn np.maximum(heat, 0)",
        "a = gradients.mean(axis=(1, 2))\nheat = (maps @ a[:, None, :, None])[..., 0]\nreturn (heat + abs(heat)) / 2",
    ],
    "group_means": [
        "return np.array([values[groups == g].mean() for g in range(groups.max() + 1)])",
        "return np.bincount(groups, values) / np.bincount(groups)",
        "means = np.full(max(groups) + 1, np.nan)\nfor g in set(groups.tolist()):\n"
        "    means[g] = np.mean(values[groups == g])\nreturn means",
        "sums, counts = np.zeros(groups.max() + 1), np.zeros(groups.max() + 1)\nfor v, g in zip(values, groups):\n"
        "    sums[g] += v\n    counts[g] += 1\nreturn sums / counts",
        "n = groups.max() + 1\nis_in = groups == np.arange(n)[:, None]\n"
        "return (is_in * values).sum(axis=1) / is_in.sum(axis=1)",
    ],
    "calibration_error": [
        INSIDE.format("i.mean() * abs(probabilities[i].mean() - labels[i].mean())"),
        INSIDE.format("abs((probabilities - labels)[i].sum()) / len(labels)"),
        "total = 0\nfor b in range(bins):\n    last = b == bins - 1\n"
        "    i = (probabilities >= b / bins) & ((probabilities < (b + 1) / bins) | last)\n    if i.any():\n"
        "        total += i.sum() / len(i) * abs(np.mean(probabilities[i]) - np.mean(labels[i]))\nreturn total",
        "edges = np.linspace(0, 1, bins + 1)\n"
        "sums = [np.histogram(probabilities, edges, weights=w)[0] for w in (probabilities, labels)]\n"
        "return np.abs(sums[0] - sums[1]).sum() / len(labels)",
        "number = np.digitize(probabilities, np.linspace(0, 1, bins + 1)[1:-1])\n"
        "return float(np.abs(np.bincount(number, probabilities - labels)).sum() / len(number))",
    ],
}

WRONG = {
    "saliency": [
        ("return dx.max(axis=3)", "a pixel also matters if the output falls with it"),
        ("return np.abs(dx.max(axis=3))", "take the absolute value first, then the maximum"),
        ("return np.abs(dx)", "that of the channels, is still there"),
        ("return np.abs(dx).mean(axis=3)", "this is the mean over the channels"),
        ("return np.abs(dx).max(axis=1)", "the answer has shape (2, 4, 1): expected (2, 3, 4)"),
        ("return np.abs(dx).max(axis=3, keepdims=True)", "without keepdims"),
        ("return np.linalg.norm(dx, axis=3)", "for dx of shape (2, 3, 4, 3)"),
    ],
    "grad_cam": [
        ("return np.maximum((gradients * maps).sum(axis=3), 0)", "each position has its own weight"),
        ("return (gradients.mean(axis=(1, 2), keepdims=True) * maps).sum(axis=3)", "ReLU is missing at the end"),
        ("return np.maximum((gradients.mean(axis=(1, 2)) * maps).sum(axis=3), 0)", "it stops with ValueError"),
        (WEIGHTS + "return np.maximum(weights * maps, 0).sum(axis=3)", "ReLU comes last"),
        (WEIGHTS + "return np.maximum((weights * maps).mean(axis=3), 0)", "the maps are averaged"),
        ("return np.maximum(maps.sum(axis=3), 0)", "without their weights"),
        (
            "w = gradients.mean(axis=(0, 1, 2))\nreturn np.maximum((w * maps).sum(axis=3), 0)",
            "each image needs its own",
        ),
    ],
    "group_means": [
        ("return [values[groups == g].mean() for g in range(groups.max() + 1)]", "this is a list"),
        ("return np.array([values[groups == g].sum() for g in np.unique(groups)])", "these are sums"),
        ("return np.bincount(groups)", "these are the sizes of the groups"),
        ("return np.array([values[groups == g].mean() for g in range(max(groups))])", "the last group is missing"),
        (
            "return np.array([values[groups == g].mean() for g in np.unique(groups)])",
            "groups without values are left out",
        ),
    ],
    "calibration_error": [
        (INSIDE.format("abs(probabilities[i].mean() - labels[i].mean()) / len(set(number))"), "all bins have the same"),
        (INSIDE.format("i.mean() * (probabilities[i].mean() - labels[i].mean())"), "of opposite sign cancel"),
        (INSIDE.format("i.mean() * abs((b + 0.5) / bins - labels[i].mean())"), "the middle of a bin is not"),
        (INSIDE.format("i.mean() * (probabilities[i].mean() - labels[i].mean()) ** 2"), "the mean of the squares"),
        ("return np.abs(probabilities - labels).mean()", "there are no bins"),
        (
            "inside = [(probabilities >= b / bins) & (probabilities < (b + 1) / bins) for b in range(bins)]\n"
            "return sum(abs(np.divide((probabilities - labels)[i].sum(), i.sum())) * i.mean() for i in inside)",
            "is something divided by 0?",
        ),
        (
            "total = 0\nfor b in range(bins):\n    i = (probabilities >= b / bins) & (probabilities < (b + 1) / bins)\n"
            "    if i.any():\n        total += abs((probabilities - labels)[i].sum())\nreturn total / len(labels)",
            "a probability of exactly 1 belongs to the last bin",
        ),
    ],
}
