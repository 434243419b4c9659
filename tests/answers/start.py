"""Answers to the exercises of ``minidl.course.start``."""

RIGHT = {
    "mean_absolute_error": [
        "return np.mean(np.abs(answers - targets))",
        "return abs(targets - answers).mean()",
        "return sum(abs(a - t) for a, t in zip(answers, targets)) / len(answers)",
        "total = 0\nfor i in range(len(targets)):\n    total += abs(answers[i] - targets[i])\n"
        "return total / len(targets)",
        "d = answers - targets\nreturn float(np.where(d > 0, d, -d).sum() / d.size)",
        "return np.linalg.norm(answers - targets, 1) / len(answers)",
    ],
    "largest_errors": [
        "return np.argsort(-abs(answers - targets))[:count]",
        "return np.argsort(np.abs(targets - answers))[::-1][:count]",
        "errors = np.abs(answers - targets)\n"
        "return np.array(sorted(range(len(errors)), key=lambda i: -errors[i])[:count])",
        "errors = np.abs(answers - targets)\nfound = []\nfor _ in range(count):\n    i = int(np.argmax(errors))\n"
        "    found.append(i)\n    errors[i] = -1\nreturn np.array(found)",
        "order = np.argsort(np.abs(answers - targets))\nreturn np.flip(order[-count:])",
    ],
    "cube_slope": [
        "return 6 * (2 * x - 1) ** 2",
        "return 3 * (2 * x - 1) ** 2 * 2",
        "return 24 * x**2 - 24 * x + 6",
        "u = 2 * x - 1\nreturn 3 * u * u * 2",
        "return 6 * np.square(2 * x - 1)",
    ],
}

WRONG = {
    "mean_absolute_error": [
        ("return (answers - targets).mean()", "cancel each other"),
        ("return abs(np.mean(answers - targets))", "the absolute value comes first"),
        ("return sum(abs(answers - targets))", "this is the sum"),
        ("return np.square(answers - targets).mean()", "the errors are squared"),
        ("return np.sqrt(np.mean((answers - targets) ** 2))", "root of the mean square"),
        ("return np.abs(answers - targets)", "this is one error for each answer"),
        ("return max(abs(answers - targets))", "this is the largest error"),
        ("answers -= targets\nreturn np.abs(answers).mean()", "it changes its arguments (answers)"),
    ],
    "largest_errors": [
        ("return np.argsort(np.abs(answers - targets))[:count]", "these are the smallest errors"),
        ("return np.argsort(np.abs(answers - targets))[-count:]", "wrong order"),
        ("return np.argsort(-(answers - targets))[:count]", "too low is an error as well"),
        ("return np.sort(np.abs(answers - targets))[::-1][:count]", "these are the errors"),
        ("return np.argsort(-np.abs(answers - targets))", "these are the indices of all answers"),
        ("return list(np.argsort(-np.abs(answers - targets))[:count])", "this is a list"),
        ("return np.argmax(np.abs(answers - targets))", "shape"),
    ],
    "cube_slope": [
        ("return 3 * (2 * x - 1) ** 2", "the inner derivative is missing"),
        ("return 2 * (2 * x - 1) ** 2", "does not become a factor"),
        ("return (2 * x - 1) ** 3", "this is the function itself"),
        ("return 6 * (2 * x - 1)", "the exponent falls by 1"),
        ("return 6 * (2 * x - 1) ^ 2", "TypeError"),
        ("print(6 * (2 * x - 1) ** 2)", "not solved yet, it returns nothing"),
        ("return 24 * (2 * x - 1)", "this is the second derivative"),
    ],
}
