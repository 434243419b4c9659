"""Answers to the exercises of ``minidl.course.autograd``."""

SEARCH = """
found = []
def visit(node):
    if node in found:
        return
    {before}
    for x in node.inputs:
        visit(x)
    {after}
visit(last)
return {result}
""".strip()

RIGHT = {
    "topological_order": [
        SEARCH.format(before="", after="found.append(node)", result="found[::-1]"),
        SEARCH.format(before="", after="found.insert(0, node)", result="found"),
        SEARCH.format(before="", after="found.append(node)", result="list(reversed(found))"),
        "nodes, new = {last}, [last]\nwhile new:\n    for x in new.pop().inputs:\n        if x not in nodes:\n"
        "            nodes.add(x)\n            new.append(x)\n"
        "done = []\nwhile nodes:\n"
        "    free = next(n for n in nodes if not any(n in other.inputs for other in nodes))\n"
        "    nodes.remove(free)\n    done.append(free)\nreturn done",
        "nodes = [last]\nfor n in nodes:\n    nodes += [x for x in dict.fromkeys(n.inputs) if x not in nodes]\n"
        "uses = {n: sum(m.inputs.count(n) for m in nodes) for n in nodes}\nready, order = [last], []\n"
        "while ready:\n    n = ready.pop()\n    order.append(n)\n    for x in n.inputs:\n        uses[x] -= 1\n"
        "        if uses[x] == 0:\n            ready.append(x)\nreturn order",
    ],
    "gradients": [
        "g = {node: 0.0 for node in order}\ng[order[0]] = 1.0\nfor n in order:\n"
        "    for x, s in zip(n.inputs, n.slopes):\n        g[x] += s * g[n]\nreturn g",
        "g = {order[0]: 1}\nfor n in order:\n    for i in range(len(n.inputs)):\n        x = n.inputs[i]\n"
        "        g[x] = g.get(x, 0) + n.slopes[i] * g[n]\nreturn g",
        "from collections import defaultdict\ng = defaultdict(float)\ng[order[0]] = 1.0\nfor n in order:\n"
        "    for x, s in zip(n.inputs, n.slopes):\n        g[x] += g[n] * s\nreturn g",
        "g = {}\nfor node in order:\n    g[node] = 1.0 if node is order[0] else "
        "sum(s * g[y] for y in g for x, s in zip(y.inputs, y.slopes) if x is node)\nreturn g",
        "g = dict.fromkeys(order, np.float64(0))\ng[order[0]] = np.float64(1)\nfor n in order:\n"
        "    for x, s in zip(n.inputs, n.slopes):\n        g[x] = g[x] + s * g[n]\nreturn g",
    ],
    "unbroadcast": [
        "while dy.ndim > len(shape):\n    dy = dy.sum(axis=0)\nfor axis, size in enumerate(shape):\n"
        "    if size == 1:\n        dy = dy.sum(axis=axis, keepdims=True)\nreturn dy",
        "added = dy.ndim - len(shape)\naxes = [*range(added), *(added + i for i, n in enumerate(shape) if n == 1)]\n"
        "return dy.sum(axis=tuple(axes)).reshape(shape)",
        "full = (1,) * (dy.ndim - len(shape)) + tuple(shape)\n"
        "axes = tuple(i for i in range(dy.ndim) if full[i] != dy.shape[i])\n"
        "return np.sum(dy, axis=axes, keepdims=True).reshape(shape)",
        "dx = np.zeros(shape)\nfull = dx.reshape((1,) * (dy.ndim - len(shape)) + tuple(shape))\n"
        "for index in np.ndindex(dy.shape):\n"
        "    full[tuple(i if n > 1 else 0 for i, n in zip(index, full.shape))] += dy[index]\nreturn dx",
        "if dy.ndim > len(shape):\n    dy = dy.sum(axis=tuple(range(dy.ndim - len(shape))))\n"
        "ones = tuple(i for i in range(len(shape)) if shape[i] == 1)\n"
        "return dy.sum(axis=ones, keepdims=True) if ones else dy",
    ],
    "matmul_backward": [
        "return dy @ w.T, x.T @ dy",
        "dx = np.matmul(dy, w.transpose())\ndw = np.matmul(x.transpose(), dy)\nreturn dx, dw",
        "return np.einsum('nj,ij->ni', dy, w), np.einsum('ni,nj->ij', x, dy)",
        "dx, dw = np.zeros_like(x), np.zeros_like(w)\nfor n in range(x.shape[0]):\n    for i in range(x.shape[1]):\n"
        "        for j in range(w.shape[1]):\n            dx[n, i] += dy[n, j] * w[i, j]\n"
        "            dw[i, j] += dy[n, j] * x[n, i]\nreturn dx, dw",
        "return (w @ dy.T).T, (dy.T @ x).T",
        "dw = sum(np.outer(x[n], dy[n]) for n in range(len(x)))\nreturn [np.dot(dy, w.T), dw]",
    ],
}

WRONG = {
    "topological_order": [
        (SEARCH.format(before="", after="found.append(node)", result="found"), "the order of the forward pass"),
        (SEARCH.format(before="found.append(node)", after="", result="found"), "as soon as it is visited"),
        (
            "found = []\ndef visit(node):\n    for x in node.inputs:\n        visit(x)\n    found.append(node)\n"
            "visit(last)\nreturn found[::-1]",
            "appears twice",
        ),
        (
            SEARCH.format(before="", after="found.append(node)", result="reversed(found)"),
            "this is a list_reverseiterator",
        ),
        (
            SEARCH.format(before="", after="found.append(node)", result="found[-2::-1]"),
            "the last node itself is missing",
        ),
        (
            "found = []\ndef visit(node):\n    for x in node.inputs:\n        visit(x)\n"
            "    if node not in found:\n        found.append(node)\nvisit(last)\nreturn found[::-1]",
            "a node is visited once for every path to it",
        ),
        ("return last", "it returns Node, which cannot be read as the answer: expected a list of"),
        (
            SEARCH.format(before="", after="found.append(node)", result="found[::-1]").replace(
                "    if node in found:\n        return\n", "    if node in last.found:\n        return\n"
            ),
            "it stops with AttributeError",
        ),
    ],
    "gradients": [
        ("grads = {node: 0 for node in order}\nreturn grads", "everything is 0"),
        (
            "g = {order[0]: 1.0}\nfor n in order:\n    for x, s in zip(n.inputs, n.slopes): g[x] = s * g[n]\nreturn g",
            "add them up, += instead of =",
        ),
        (
            "g = {order[0]: 1.0}\nfor n in order:\n    for x, s in zip(n.inputs, n.slopes): g[x] += s * g[n]\nreturn g",
            "it stops with KeyError",
        ),
        ("return [1.0] * len(order)", "it returns list, which cannot be read as the answer: expected a"),
        (
            "def by(node):\n    if node is order[0]:\n        return 1.0\n"
            "    return sum(s * by(y) for y in order for x, s in zip(y.inputs, y.slopes) if x is node)\n"
            "return {node: by(node) for node in order}",
            "computed again for every path",
        ),
        ("return {}", "expected a dictionary, node -> gradient"),
        ("return {}[order[0]]", "for order=[node 2, node 1, node 0].\n    Hint: it stops with KeyError: node"),
        (
            "for n in order: n.grad = 0.0\norder[0].grad = 1.0\nfor n in order:\n"
            "    for x, s in zip(n.inputs, n.slopes): x.grad += s * n.grad\nreturn {n: n.grad for n in order}",
            "it changes its arguments (order)",
        ),
    ],
    "unbroadcast": [
        ("return dy", "the answer has shape (2, 3): expected (3,)"),
        ("return dy if dy.shape == shape else dy.sum(axis=0)", "only one of the axes"),
        ("return dy.sum(axis=0)", "the shapes are equal: nothing was copied, so nothing is summed"),
        ("return dy.sum(axis=tuple(range(dy.ndim - len(shape))))", "those of size 1 were copied as well"),
        (
            "while dy.ndim > len(shape): dy = dy.sum(axis=0)\nfor axis, size in enumerate(shape):\n"
            "    if size == 1: return dy.sum(axis=axis, keepdims=True)\nreturn dy",
            "those of size 1 were copied as well",
        ),
        ("return np.resize(dy, shape)", "Hint: "),
        (
            "from minidl import op\nreturn op.unbroadcast(dy, shape)",
            "minidl.op.unbroadcast, which does the work",
        ),
    ],
    "matmul_backward": [
        ("return x.T @ dy, dy @ w.T", "dx and dw are swapped"),
        ("return dy @ w, x.T @ dy", "dx has no w transposed"),
        ("return dy @ w.T, dy.T @ x", "dw is transposed"),
        ("return dy @ w.T, x @ dy", "dw has no x transposed"),
        ("return dy @ w.T, x.T @ dy / x.shape[0]", "dw is the mean over the samples"),
        ("return dy * w, dy * x", "element by element"),
        ("return np.ones(dy.shape) @ w.T, x.T @ np.ones(dy.shape)", "dy is missing"),
        ("return dy @ w.T", "it returns ndarray, which cannot be read as the answer: expected a pair of matrices"),
        (
            "return (dy @ w.T).ravel(), (x.T @ dy).ravel()",
            "it returns tuple, which cannot be read as the answer: expected a pair",
        ),
        ("dx = dy @ w.T\ndw = x.T @ dy", "not solved yet"),
        (
            "a = md.tensor(x, requires_grad=True)\nb = md.tensor(w, requires_grad=True)\n(a @ b).backward(dy)\n"
            "return a.grad, b.grad",
            "Tensor.backward, which does the work of this exercise",
        ),
        ("x -= x.mean()\nreturn dy @ w.T, x.T @ dy", "it changes its arguments (x)"),
    ],
}
