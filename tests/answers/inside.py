"""Answers to the exercises of ``minidl.course.inside``."""

RIGHT = {
    "grad_cam": ["return np.einsum('nhwk,nk->nhw', maps, gradients.mean((1, 2))).clip(0)"],
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
}

WRONG = {
    "saliency": [("return np.linalg.norm(dx, axis=3)", "for dx of shape (2, 3, 4, 3)")],
    "grad_cam": [
        ("return np.maximum((gradients * maps).sum(axis=3), 0)", "each position has its own weight"),
        ("return (gradients.mean(axis=(1, 2), keepdims=True) * maps).sum(axis=3)", "ReLU is missing at the end"),
        ("return np.maximum((gradients.mean(axis=(1, 2)) * maps).sum(axis=3), 0)", "it stops with ValueError"),
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
        (
            "inside = [(probabilities >= b / bins) & (probabilities < (b + 1) / bins) for b in range(bins)]\n"
            "return sum(abs(np.divide((probabilities - labels)[i].sum(), i.sum())) * i.mean() for i in inside)",
            "is something divided by 0?",
        ),
    ],
}
