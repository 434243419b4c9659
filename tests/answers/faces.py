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
    "luma": [
        "return rgb @ np.array([0.299, 0.587, 0.114])",
        "r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]\nreturn 0.299 * r + 0.587 * g + 0.114 * b",
        "return np.dot(rgb, [0.299, 0.587, 0.114])",
        "return (rgb * np.array([299, 587, 114]) / 1000).sum(axis=2)",
        "grey = np.zeros(rgb.shape[:2])\nfor c, weight in enumerate((0.299, 0.587, 0.114)):\n"
        "    grey += weight * rgb[:, :, c]\nreturn grey",
        "return np.average(rgb, axis=-1, weights=[0.299, 0.587, 0.114])",
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
        ("return rgb.mean(axis=2)", "green looks bright and blue looks dark"),
        ("return rgb @ np.array([0.114, 0.587, 0.299])", "red and blue are swapped"),
        ("return rgb @ np.array([0.2126, 0.7152, 0.0722])", "for high-definition television"),
        ("return rgb * np.array([0.299, 0.587, 0.114])", "not added yet"),
        ("return (rgb @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)", "Hint: "),
        ("return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]", "it stops with IndexError"),
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
