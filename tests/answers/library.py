"""Answers to the exercise of ``13_your_own_library``."""

LOOP = "for n in order:\n    for x, dx in zip(n.inputs, n.backward(g[n])):\n        "

RIGHT = {
    "array_gradients": [
        "g = {order[0]: dy}\n" + LOOP + "g[x] = g[x] + dx if x in g else dx\nreturn g",
        "g = {order[0]: dy}\n" + LOOP + "g[x] = g.get(x, 0) + dx\nreturn g",
        "g = {n: 0 for n in order}\ng[order[0]] = dy\n" + LOOP + "g[x] = g[x] + dx\nreturn g",
        "g = {n: np.zeros_like(dy) for n in order}\ng[order[0]] = dy.copy()\n" + LOOP + "g[x] += dx\nreturn g",
        "from collections import defaultdict\ng = defaultdict(float)\ng[order[0]] = dy\n"
        "for n in order:\n    d = n.backward(g[n])\n    for i in range(len(d)):\n"
        "        g[n.inputs[i]] = g[n.inputs[i]] + d[i]\nreturn g",
    ]
}
WRONG = {
    "array_gradients": [
        ("g = {order[0]: np.ones_like(dy)}\n" + LOOP + "g[x] = g.get(x, 0) + dx\nreturn g", "the gradient dy, not 1"),
        ("g = {order[0]: dy}\n" + LOOP + "g[x] = dx\nreturn g", "keeps only the last contribution"),
        ("g = {order[0]: dy}\n" + LOOP + "g.setdefault(x, dx)\nreturn g", "only the first contribution"),
        (
            "g = {order[0]: dy}\n" + LOOP.replace("g[n]", "dy") + "g[x] = g.get(x, 0) + dx\nreturn g",
            "every node is given the first dy",
        ),
        (
            "g = {order[0]: dy.copy()}\n" + LOOP + "if x in g: g[x] += dx\n        else: g[x] = dx\nreturn g",
            "+= changes the array in place",
        ),
        (
            "g = {order[0]: dy}\n" + LOOP + "if x in g: g[x] += dx\n        else: g[x] = dx\nreturn g",
            "+= changes the array in place",
        ),
        ("g = {order[0]: 1.0}\n" + LOOP + "g[x] = g.get(x, 0) + dx\nreturn g", "not the number 1"),
        ("g = {order[0]: dy}\n" + LOOP + "g[x] += dx\nreturn g", "it stops with KeyError"),
        ("return [dy for n in order]", "expected a dictionary"),
    ]
}
