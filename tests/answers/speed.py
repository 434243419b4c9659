"""Answers to the exercises of ``minidl.course.speed``."""

FINISHED = """
ends = [0.0]
for number, seconds in enumerate(work, start={first}):
    ends.append(max(ends[-1], number * launch) + seconds)
return {result}
""".strip()

RIGHT = {
    "matmul_cost": [
        "return [M * N * (K + K), 4 * M * K + 4 * K * N + 4 * M * N]",
        "return M * N * (2 * K - 1), 4 * (M * K + K * N + M * N)",
        "return 2 * M * K * N, 4 * (M * K + K * N + M * N)",
        "operations = sum(2 * K for _ in range(M * N))\nreturn operations, 4 * sum([M * K, K * N, M * N])",
        "return np.array([2 * M * N * K, 4 * (M * K + N * (M + K))])",
    ],
    "finish_times": [FINISHED.format(first="1", result="np.array(ends[1:])")],
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
    ],
    "finish_times": [
        (FINISHED.format(first="1", result="ends[1:]"), "this is a list"),
        (FINISHED.format(first="0", result="ends[1:]"), "the first launch takes time, too"),
    ],
}
