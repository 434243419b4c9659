"""``python -m tests.benchmarks.conv_table``: measure the table from which "auto" chooses convolution algorithms.

Takes ten minutes on an idle machine. Measures all usual convolutions, forward and backward together.
"""

import csv
import itertools
from collections.abc import Iterator

import numpy as np

from minidl.bench.conv import measure
from minidl.kernels.conv import ConvSpec
from minidl.kernels.numpy.conv.measured import SIZES, TABLE
from minidl.kernels.window import sliding_window

CANDIDATES = ("im2col", "shifted", "winograd", "fft", "direct")
"""Without the two-dimensional Winograd, which is never the fastest in NumPy."""
KERNELS = ((1, 1), (3, 3), (5, 5), (7, 7), (11, 11), (1, 3), (3, 1))
LAYERS = (
    (126, 1, 32),
    (126, 3, 32),
    (64, 8, 16),
    (62, 32, 64),
    (32, 16, 32),
    (28, 64, 128),
    (12, 128, 256),
    (6, 32, 32),
)
"""Output size, channels and filters: small and large images, few and many channels."""


def convolutions() -> Iterator[ConvSpec]:
    """The layers in the table."""
    for (KH, KW), stride, (size, C, K) in itertools.product(KERNELS, (1, 2), LAYERS):
        if stride == 1 or KH == KW:
            height, width = stride * (size - 1) + KH, stride * (size - 1) + KW
            yield ConvSpec(4, C, K, sliding_window(height, width, (KH, KW), stride, 0), np.dtype(np.float32))


def main() -> None:
    """Write the table."""
    rows = []
    for spec in convolutions():
        window = spec.window
        sizes = (window.KH, window.KW, window.SH, spec.C, spec.K, window.OH * window.OW)
        times = {row.name: f"{row.total / spec.N:.3g}" for row in measure(spec, CANDIDATES, rounds=9)}
        rows.append(dict(zip(SIZES, sizes, strict=True)) | times)
        print(*rows[-1].values(), sep=",", flush=True)
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*SIZES, *CANDIDATES], restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
