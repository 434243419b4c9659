"""docs/benchmarks-gpu.md, from the measurements."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from minidl.bench import machine
from minidl.table import markdown

from .kernels import LIMITS

Measured = dict[str, Any]


def page(result: Measured) -> str:
    """The page, in Markdown."""
    card = result["card"]
    failed = [check for check in result["kernels"] if not check["passed"]]
    return f"""# Benchmarks on a GPU

```sh
python -m tests.benchmarks.gpu --write
```

{card["name"]}, {card["memory"] / 2**30:.0f} GiB, compute capability {card["compute_capability"]}, driver
{card["driver"]}, CUDA {card["cuda"]}. {machine.line(result["machine"])}.

TF32 rounds what is multiplied to 11 bits. Like is compared with like: in the rows of one precision, convolutions and
matrix products of every framework are computed in it.

## Kernels

Every kernel on random numbers (seed {result["seed"]}), in memory that was full of NaN, against NumPy in float64.
{f"{len(failed)} of {len(result['kernels'])} are WRONG." if failed else f"All {len(result['kernels'])} are right."}

{markdown(["", "precision", "worst error", "at most"], [_check(check) for check in result["kernels"]])}

## Ceilings

{_ceilings(result["ceilings"])}

Convolutions of 3x3 with bias, ReLU and max pooling, each direction in one call. Shares are of the ceilings above: of
FLOP/s, the operations of the definition; of bytes/s, the arrays that must be read and written at least.

{_layers(result)}

## Training step and inference of the documented network

Adam; all start from the same weights, and the losses of their first two steps are equal. Medians of rounds in which all
take turns; in brackets the fastest and the slowest. A ratio above 1 means that minidl is faster.

{_steps(result["rows"])}
{_reasons(result["rows"])}{_epochs(result["epochs"])}"""


def _check(check: Measured) -> list[str]:
    name = check["kernel"] if check["passed"] else f"**WRONG** {check['kernel']}"
    return [name, check["precision"], f"{check['error']:.1e}", f"{LIMITS[check['precision']]:.0e}"]


def _ceilings(found: Measured) -> str:
    rows = [["copying an array", f"{found['bytes'] / 1e12:.2f} TB/s"]]
    rows += [[f"matrix product in {name}", f"{found[name] / 1e12:.1f} TFLOP/s"] for name in found if name != "bytes"]
    return markdown(["", "measured"], rows)


def _layers(result: Measured) -> str:
    rows = []
    for row in result["layers"]:
        for part in ("forward", "backward"):
            one = row[part]
            flops, transferred = (one[what] / one["seconds"] for what in ("flops", "bytes"))
            ceilings = result["ceilings"]
            rows.append(
                [
                    row["layer"], row["algorithm"], row["precision"], part, f"{1e3 * one['seconds']:.3f}",
                    f"{flops / 1e12:.1f} ({flops / ceilings[row['precision']]:.0%})",
                    f"{transferred / 1e12:.2f} ({transferred / ceilings['bytes']:.0%})",
                ]
            )  # fmt: skip
    batch = result["layers"][0]["batch"]
    return markdown([f"batch {batch}", "algorithm", "precision", "", "ms", "TFLOP/s", "TB/s"], rows)


def _steps(rows: Sequence[Measured]) -> str:
    lines = []
    for row in rows:
        for task in ("train", "predict"):
            mine = median(row[task]["minidl"])
            for name, rounds in row[task].items():
                low, middle, high = (1e3 * time for time in (min(rounds), median(rounds), max(rounds)))
                ratio = "" if name == "minidl" else f"{median(rounds) / mine:.2f}"
                rate = row["batch"] / median(rounds)
                lines.append(
                    [
                        row["precision"], str(row["batch"]), "training" if task == "train" else "inference", name,
                        f"{middle:.2f} ({low:.2f} to {high:.2f})", f"{rate:,.0f}", ratio,
                    ]
                )  # fmt: skip
    return markdown(["precision", "batch", "", "", "ms", "images/s", "minidl is ... times as fast"], lines)


def _reasons(rows: Sequence[Measured]) -> str:
    lines = [
        f"- {name}, batch {row['batch']}, {row['precision']}: {reason}"
        for row in rows
        for name, reason in row["reasons"].items()
    ]
    return "\n" + "\n".join(["Not measured, or not as meant:", "", *lines]) + "\n" if lines else ""


def _epochs(epochs: Sequence[Measured]) -> str:
    if not epochs:
        return ""
    rows = [[one["precision"], str(one["batch"]), f"{one['images']:,}", f"{one['seconds']:.2f}"] for one in epochs]
    return f"""
## An epoch on UTKFace

Training on pictures that lie on the card as bytes: each batch is gathered and scaled there.

{markdown(["precision", "batch", "images", "seconds"], rows)}
"""
