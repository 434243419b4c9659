"""Answers to the exercises of ``minidl.course.speed``."""

FINISHED = """
ends = [0.0]
for number, seconds in enumerate(work, start={first}):
    ends.append({end})
return {result}
""".strip()
OF_FINISHED = {"first": "1", "end": "max(ends[-1], number * launch) + seconds", "result": "np.array(ends[1:])"}

BLOCKS = """
for start in range(0, len(x), {step}):
    block = slice(start, start + {size})
    first(x[block], y[block])
    second({source}[block], y[block])
return {result}
""".strip()
OF_BLOCKS = {"step": "size", "size": "size", "source": "y", "result": "y"}


def _finished(**changes: str) -> str:
    return FINISHED.format(**(OF_FINISHED | changes))


def _blocks(**changes: str) -> str:
    return BLOCKS.format(**(OF_BLOCKS | changes))


RIGHT = {
    "matmul_cost": [
        "return [M * N * (K + K), 4 * M * K + 4 * K * N + 4 * M * N]",
        "return M * N * (2 * K - 1), 4 * (M * K + K * N + M * N)",
        "return 2 * M * K * N, 4 * (M * K + K * N + M * N)",
        "operations = sum(2 * K for _ in range(M * N))\nreturn operations, 4 * sum([M * K, K * N, M * N])",
        "return np.array([2 * M * N * K, 4 * (M * K + N * (M + K))])",
    ],
    "attainable": [
        "return np.minimum(bandwidth * intensity, peak)",
        "return np.clip(intensity * bandwidth, None, peak)",
        "return np.where(intensity < peak / bandwidth, bandwidth * intensity, peak)",
        "return np.array([min(peak, bandwidth * i) for i in intensity])",
        "return 1 / np.maximum(1 / peak, 1 / (bandwidth * intensity))",
        "y = intensity * bandwidth\ny[y > peak] = peak\nreturn y",
    ],
    "fused": [
        _blocks(),
        "start = 0\nwhile start < len(x):\n    part = x[start : start + size]\n    target = y[start : start + size]\n"
        "    first(part, target)\n    second(target, target)\n    start += size\nreturn y",
        "block = np.empty(size, x.dtype)\nfor i in range(0, len(x), size):\n    n = min(size, len(x) - i)\n"
        "    first(x[i : i + n], block[:n])\n    second(block[:n], y[i : i + n])\nreturn y",
        "for a in range(-(-len(x) // size)):\n    b = slice(a * size, min((a + 1) * size, len(x)))\n"
        "    first(x[b], y[b])\n    second(y[b], y[b])\nreturn y",
        "cuts = range(size, len(x), size)\nfor source, target in zip(np.split(x, cuts), np.split(y, cuts)):\n"
        "    first(source, target)\n    second(target, target)\nreturn y",
    ],
    "finish_times": [
        _finished(),
        "end, ends = 0.0, []\nfor i, seconds in enumerate(work):\n    begin = max((i + 1) * launch, end)\n"
        "    end = begin + seconds\n    ends.append(end)\nreturn np.array(ends)",
        "ends = np.zeros(len(work))\nfor i in range(len(work)):\n    before = ends[i - 1] if i else 0\n"
        "    ends[i] = max(before, launch * (i + 1)) + work[i]\nreturn ends",
        "ready = launch * np.arange(1, len(work) + 1)\nsums = np.cumsum(work)\n"
        "return sums + np.maximum.accumulate(ready - sums + work)",
        "ends = []\nfor i in range(len(work)):\n"
        "    ends.append(max((j + 1) * launch + sum(work[j : i + 1]) for j in range(i + 1)))\nreturn np.array(ends)",
    ],
}

WRONG = {
    "matmul_cost": [
        ("return M * N * (2 * K - 1)", "cannot be read as the answer"),
        ("return M * N * K, 4 * (M * K + K * N + M * N)", "makes two operations"),
        ("return 2 * M * K * N, M * K + K * N + M * N", "a float32 has 4 bytes"),
        ("return 2 * M * K * N, 4 * (M * K + K * N)", "the result has to be written, too"),
        ("return 4 * (M * K + K * N + M * N), 2 * M * K * N", "the operations come first"),
    ],
    "attainable": [
        ("return [min(peak, bandwidth * i) for i in intensity]", "this is a list"),
        ("return min(bandwidth * intensity, peak)", "compares two numbers"),
        ("return bandwidth * intensity", "the roof is missing"),
        ("return np.maximum(bandwidth * intensity, peak)", "the smaller one counts"),
        ("return np.minimum(peak, intensity / bandwidth)", "divided the wrong way"),
        ("return np.minimum(bandwidth, peak * intensity)", "are swapped"),
        ("return np.minimum(1, bandwidth * intensity / peak)", "a fraction of the peak"),
        ("intensity *= bandwidth\nreturn np.minimum(intensity, peak)", "it changes its arguments (intensity)"),
    ],
    "fused": [
        ("first(x, y)\nsecond(y, y)\nreturn y", "both steps get the whole array"),
        (
            "for f, a in ((first, x), (second, y)):\n    for i in range(0, len(x), size):\n"
            "        f(a[i : i + size], y[i : i + size])\nreturn y",
            "each step runs over all blocks",
        ),
        (
            "if len(x) > 0:\n    first(x[:size], y[:size])\n    second(y[:size], y[:size])\n"
            "    fused(first, second, x[size:], y[size:], size)\nreturn y",
            "fewer than blocks: use a loop",
        ),
        (_blocks(source="x"), "the second step reads x"),
        (_blocks(size="size + 1"), "the blocks overlap"),
        (_blocks(step="1", size="1"), "one element each"),
        (_blocks().replace("len(x)", "len(x) - size + 1"), "the last block is missing"),
        (_blocks().replace("\nreturn", "\n    return"), "only the first block is done"),
        ("second(x, y)\n" + _blocks(), "WrongCalls: elements in each call: second 6, first 2, second 2"),
        (
            "for a, b in zip(np.array_split(x, size), np.array_split(y, size)):\n"
            "    first(a, b)\n    second(b, b)\nreturn y",
            "these are size blocks",
        ),
        (_blocks(result="None"), "not solved yet"),
        (_blocks().replace("first(x[block], y[block])", "first(x[block], x[block])"), "it changes its arguments (x)"),
        (_blocks(result="y.tolist()"), "this is a list: the notebook needs a NumPy array"),
    ],
    "finish_times": [
        (_finished(result="ends[1:]"), "this is a list"),
        (_finished(first="0"), "the first launch takes time, too"),
        ("return np.cumsum(work)", "the launches are missing"),
        ("return np.cumsum(work + launch)", "Python does not wait for the card"),
        ("return launch * np.arange(1, len(work) + 1) + work", "the card runs one kernel after another"),
        ("return launch + np.cumsum(work)", "only the first launch is counted"),
        (_finished(end="max(ends[-1] + seconds, number * launch)"), "at index"),
        (_finished(result="ends[-1]"), "this is only the last one"),
    ],
}
