"""The documented network in minidl and in every other installed framework, run alternately.

Each framework has its own process, pinned to the same cores with the same number of threads; one works while the
others wait. All start from the same weights, get the same batch, and use Adam with the same settings; the losses of
the first two steps must be equal. Because machines are noisy, the result is the ratio of the medians.
"""

from collections.abc import Mapping
from typing import Any

from .frameworks import FRAMEWORKS

RATIO = "minidl is ... times as fast"
HEADER = ("framework", "training, images/s", RATIO, "inference, images/s", RATIO)
MEMORY = ("peak memory, MiB", "of which before the first step")


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """One row per framework, with the columns of ``HEADER`` and ``MEMORY``."""
    table = []
    for name, peer in result["peers"].items():
        smaller = f" (batches of {peer['batch_size']})" if peer["batch_size"] != result["batch_size"] else ""
        row = [FRAMEWORKS[name].label + smaller]
        for task in ("train", "predict"):
            rates = peer[task]["rounds"]
            row.append(f"{peer[task]['median']:.0f} ({min(rates):.0f} to {max(rates):.0f})")
            row.append(_ratio(peer[task]))
        memory = peer["memory_mib"]
        table.append([*row, f"{memory['peak']:.0f}", f"{memory['model']:.0f}"])
    return table


def _ratio(task: Mapping[str, Any]) -> str:
    if "ratio" not in task:
        return ""
    low, high = task["ratio_quartiles"]
    return f"{task['ratio']:.2f} ({low:.2f} to {high:.2f})"
