"""Answers to the exercises of ``minidl.course.faces``."""

RIGHT = {
    "parse_name": [
        "return (*map(int, name.split('_')[:-1]), -1)[:3]",
        "parts = name.split('_')\nif len(parts) == 3:\n    return int(parts[0]), int(parts[1]), -1\n"
        "return int(parts[0]), int(parts[1]), int(parts[2])",
        "age, gender, *rest = name.split('_')\nreturn int(age), int(gender), int(rest[0]) if len(rest) > 1 else -1",
        "labels = [int(part) for part in name.split('_')[:-1]]\nwhile len(labels) < 3:\n    labels.append(-1)\n"
        "return labels",
        "import re\nm = re.match(r'(\\d+)_(\\d)_(?:(\\d)_)?', name)\n"
        "return int(m[1]), int(m[2]), -1 if m[3] is None else int(m[3])",
    ],
    "best_constant": [
        "return sorted(ages)[len(ages) // 2]",
        "return np.median(ages)",
        "return min(ages, key=lambda c: np.abs(ages - c).mean())",
        "ages = np.sort(ages)\nreturn (ages[(len(ages) - 1) // 2] + ages[len(ages) // 2]) / 2",
        "return float(np.percentile(ages, 50))",
    ],
    "first_copies": [
        "return [digests.index(digest) for digest in digests]",
        "first = {}\nfor i, d in enumerate(digests):\n    if d not in first:\n        first[d] = i\n"
        "return [first[d] for d in digests]",
        "return np.array([digests.index(d) for d in digests])",
        "found = []\nfor i in range(len(digests)):\n    for j in range(i + 1):\n        if digests[j] == digests[i]:\n"
        "            found.append(j)\n            break\nreturn found",
        "first = {d: i for i, d in reversed(list(enumerate(digests)))}\nreturn [first[d] for d in digests]",
    ],
}

WRONG = {
    "parse_name": [
        ("return [int(part) for part in name.split('_')]", "it stops with ValueError"),
        ("return 26, '1', 3", "these are still strings"),
        ("return iter([int(part) for part in name.split('_')[:-1]])", "Hint: "),
        ("return int(name[:2]), int(name[3]), int(name[5])", "an age has one, two or three digits"),
        ("return tuple(int(part) for part in name.split('_')[:3])", "this name has no ethnicity"),
    ],
    "luma": [
        ("return np.dot(rgb[..., :3], [0.299, 0.587, 0.114])[..., np.newaxis]", "their shape is (1, 1, 1)"),
    ],
    "best_constant": [
        ("return np.mean(ages)", "best for squared errors"),
        ("return max(set(ages), key=list(ages).count)", "this is the most common age"),
        ("return (min(ages) + max(ages)) / 2", "between the youngest and the oldest"),
        ("return ages[len(ages) // 2]", "this is the middle of the list: sort it first"),
        ("ages.sort()\nreturn ages[len(ages) // 2]", "it changes its arguments (ages)"),
    ],
    "first_copies": [
        ("return {digest: i for i, digest in enumerate(digests)}", "it returns dict"),
        (
            "d = {digest: i for i, digest in enumerate(digests)}\nreturn [d[digest] for digest in digests]",
            "the last copy",
        ),
        ("return [digests.count(digest) for digest in digests]", "the number of copies of each"),
        ("return sorted(set(digests))", "these are the digests themselves"),
        ("return map(digests.index, digests)", "Hint: "),
    ],
}
