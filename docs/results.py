"""Writes docs/results.md and benchmarks.md, and the tables of README.md and docs/gradients.md, from what was measured.
And the tables of docs/guide/faq.md, from those that minidl answers with.

    python -m docs.results record utkface runs/a runs/b    condense runs of one command into docs/measured/utkface.json
    python -m docs.results condense FILE                   condense pytest-benchmark's JSON into .../benchmarks.json
    python -m docs.results page                            write the pages and the tables from docs/measured/

The other files of docs/measured/ are the output of the benchmarks; the page names the command of each.
"""

import csv
import hashlib
import json
import shutil
import sys
from datetime import date
from pathlib import Path
from typing import Any

from minidl import equivalents
from minidl.bench import machine
from minidl.table import markdown
from tests.benchmarks import peers
from tests.benchmarks.peers import small

DOCS = Path(__file__).resolve().parent
README, GRADIENTS, FAQ = DOCS.parent / "README.md", DOCS / "gradients.md", DOCS / "guide" / "faq.md"
BEGIN, END = "<!-- begin: written by docs/results.py -->", "<!-- end -->"

Measured = dict[str, Any]


def record(name: str, runs: list[Path]) -> None:
    """Keep the results of runs of one command, and whether they ended with the same weights."""
    summaries = [json.loads((run / "summary.json").read_text()) for run in runs]
    with (runs[0] / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    epochs = [{name: float(text) for name, text in row.items() if name != "no_better_than_guessing"} for row in rows]
    environment = json.loads((runs[0] / "env.json").read_text())
    environment["data"].pop("source")
    content = {
        "date": date.fromtimestamp((runs[0] / "summary.json").stat().st_mtime).isoformat(),
        "summaries": [{key: value for key, value in summary.items() if key != "run"} for summary in summaries],
        "weights_sha256": [hashlib.sha256((run / "last.safetensors").read_bytes()).hexdigest() for run in runs],
        "epochs": epochs,
        "environment": environment,
    }
    (DOCS / "measured" / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    if name == "drawn":  # the only faces that may be shown
        for picture in ("examples", "curves"):
            shutil.copyfile(runs[0] / "plots" / f"{picture}.png", DOCS / "images" / f"drawn-{picture}.png")


def condense(path: Path) -> None:
    """Keep the medians of ``python -m pytest tests/benchmarks --benchmark-json FILE``, by group, with their notes."""
    groups: dict[str, Measured] = {}
    for one in json.loads(path.read_text())["benchmarks"]:
        name = one["param"] if one["param"] is not None else one["name"].removeprefix("test_").replace("_", " ")
        kept = {"median": one["stats"]["median"], "notes": one["extra_info"]}
        groups.setdefault(one["group"], {})[name] = kept
    content = {"machine": machine.describe(), "groups": groups}
    (DOCS / "measured" / "benchmarks.json").write_text(json.dumps(content, indent=1) + "\n")


def measured(name: str) -> Measured:
    """A file of docs/measured/."""
    content: Measured = json.loads((DOCS / "measured" / f"{name}.json").read_text())
    return content


def minutes(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{seconds // 60:.0f}:{seconds % 60:02.0f} min" if seconds >= 60 else f"{seconds:.1f} s"


def training(name: str) -> str:
    """The epochs of a recorded run, and what always guessing the same would give."""
    run = measured(name)
    summary = run["summaries"][0]
    shown = {"epoch": ".0f", "loss": ".2f", "val_loss": ".2f", "val_gender_accuracy": ".4f", "val_age_mae": ".2f"}
    rows = [[format(row[name], digits) for name, digits in shown.items()] for row in run["epochs"]]
    guessed = [f"{summary['baseline_gender_accuracy']:.4f}", f"{summary['baseline_age_mae']:.2f}"]
    header = ["epoch", "training loss", "validation loss", "gender accuracy", "age error (years)"]
    return markdown(header, [*rows, ["constant prediction", "", "", *guessed]])


def conditions(name: str) -> str:
    """Where a recorded run was made."""
    run = measured(name)
    env = run["environment"]
    blas = ", ".join(f"{blas['internal_api']} {blas['version']} ({blas['architecture']})" for blas in env["blas"])
    return (
        f"{run['date']}, {env['device_name']}, {env['threads']} threads, Python {env['python']}, "
        f"numpy {env['packages']['numpy']}, {blas}"
    )


def speed(name: str, memory: bool = False) -> str:
    """Images/s of all frameworks with minidl's ratio to each, and their memory if wanted."""
    header = [*peers.HEADER, *peers.MEMORY] if memory else list(peers.HEADER)
    return markdown(header, [row[: len(header)] for row in peers.rows(measured(name))])


def place(name: str) -> str:
    """Where a benchmark ran."""
    return machine.line(measured(name)["machine"])


def weights_agree(name: str) -> str:
    """Whether all recorded runs of a command ended with the same weights."""
    digests = measured(name)["weights_sha256"]
    same = "the same weights, bit for bit" if len(set(digests)) == 1 else "DIFFERENT weights"
    return f"{len(digests)} runs of this command gave {same} (SHA-256 of `last.safetensors`: `{digests[0][:16]}...`)"


def starts() -> str:
    """The first start, which decodes all pictures, and the second."""
    start, utkface = measured("startup"), measured("utkface")["summaries"][0]
    pictures = utkface["train_images"] + utkface["val_images"]
    labels = {"first": f"first start: decodes and caches {pictures:,} images", "second": "second start"}
    rows = [
        [label, f"{start[key]['open']:.2f} s", f"{start[key]['first_step']:.2f} s"] for key, label in labels.items()
    ]
    return markdown(["start", "opening the data", "first training step done after"], rows)


def accuracy() -> str:
    """The results on UTKFace in two lines."""
    utkface = measured("utkface")["summaries"][0]
    label = f"the documented CNN after {utkface['epochs']} epochs on UTKFace ({utkface['train_images']:,} faces)"
    rows = [
        [text, f"{utkface[f'{whose}gender_accuracy']:.3f}", f"{utkface[f'{whose}age_mae']:.2f} years"]
        for text, whose in ((label, ""), ("constant prediction", "baseline_"))
    ]
    return markdown(["model", "gender accuracy", "age error"], rows)


def page() -> str:
    """docs/results.md."""
    utkface, drawn = measured("utkface")["summaries"][0], measured("drawn")["summaries"][0]
    parity = measured("parity")
    single = parity["float32"]
    return f"""# Results

Each figure on this page was measured by the command above it, and written by `python -m docs.results page`. Timings
are noisy: compare ratios, not absolute times.

## Age and gender on UTKFace

```sh
python -m agegender.train --data UTKFace-part.tar.gz --epochs 3 --json
```

This uses 18,966 of UTKFace's 23,708 images: {utkface["train_images"]:,} for training and
{utkface["val_images"]:,} for validation.

{training("utkface")}

At the best epoch (the lowest validation loss): gender accuracy **{utkface["gender_accuracy"]:.4f}**, age error
**{utkface["age_mae"]:.2f} years**. {weights_agree("utkface")}.
Whole run: {minutes(utkface["seconds"])}, {utkface["images_per_second"]:.0f} images/s in training.

Measured: {conditions("utkface")}.

The full set of 23,708 images is split into 18,966 for training and 4,742 (a fifth) for validation. The document that
describes the network states 18,970 and 4,740, which add up to 23,710, two more than there are images. Byte-identical
images (UTKFace has 375 groups of them, 224 with conflicting labels) are always in the same part.

## The drawn faces

```sh
python -m agegender.train --data drawn
```

{training("drawn")}

{minutes(drawn["seconds"])} in total, including drawing the faces; {weights_agree("drawn")}.

![Drawn faces with their labels and the predictions of the model](images/drawn-examples.png)

![Loss, gender accuracy and age error by epoch](images/drawn-curves.png)

Measured: {conditions("drawn")}.

## Speed of the training step

```sh
python -m tests.benchmarks.peers --write
```

{contest("peers")}

{speed("peers")}

Measured: {place("peers")}. [benchmarks.md](benchmarks.md) has memory use and all other timings.

## Time to the first step

```sh
python -m tests.benchmarks.startup --data UTKFace-part.tar.gz > docs/measured/startup.json
```

{starts()}

Measured: {place("startup")}.

## Comparison with PyTorch, step by step

```sh
python -m tests.parity.steps > docs/measured/parity.json
```

The same initial weights and batches of {parity["batch_size"]} drawn faces, {parity["steps"]} Adam steps.

- float64: the losses differ by at most {parity["float64"]["losses"]:.1e} (relative), the final weights by
  {parity["float64"]["weights"]:.1e}.
- float32: any two implementations diverge because of rounding. Relative distance of the {parity["steps"]} losses from
  those of PyTorch's default layout, for each seed: minidl {", ".join(f"{row['minidl']:.1e}" for row in single)};
  PyTorch's channels_last {", ".join(f"{row['channels_last']:.1e}" for row in single)}. On average, minidl's distance is
  {parity["float32_ratio"]:.2f} times that of channels_last.

Measured: PyTorch {parity["torch"]}, numpy {parity["numpy"]}.
"""


def contest(name: str) -> str:
    """How frameworks were compared."""
    result = measured(name)
    size, threads, rounds = result["batch_size"], result["threads"], result["rounds"]
    return f"""The documented network, batches of {size}, float32, Adam. Each framework runs in its own process with
{threads} threads, pinned to the same {threads} cores; the frameworks run alternately. All start from the same weights,
and the losses of their first two steps are equal. Rates are medians of {rounds} rounds, with the minimum and maximum;
ratios are ratios of medians, with the quartiles of the ratios of single rounds."""


COUNTED = {
    "ops, forward and backward": "op",
    "layers, forward and backward": "layer",
    "training step of the documented network": "batch size",
    "inference of the documented network": "batch size",
    "training step, batches of 32, by the size of the images": "height and width",
    "training step, batches of 32, by the width of the network": "filters, relative to the documented network",
}
"""The headers of the first column for groups of ``tests/benchmarks``."""


def timed() -> str:
    """Tables of the results of ``tests/benchmarks``, one for each group."""
    parts = []
    for group, benchmarks in measured("benchmarks")["groups"].items():
        rows = []
        for name, found in benchmarks.items():
            notes = dict(found["notes"])
            images = notes.pop("images", None)
            rate = f"{images / found['median']:.0f}" if images else ""
            words = "; ".join(f"{note}: {value:.3g}" for note, value in notes.items())
            milliseconds = 1e3 * found["median"]
            rows.append([name, f"{milliseconds:.{0 if milliseconds >= 100 else 2}f}", rate, words])
        table = [[COUNTED.get(group, "benchmark"), "ms", "images/s", "notes"], *rows]
        used = [column for column in range(4) if any(row[column] for row in rows)]
        header, *cells = [[row[column] for column in used] for row in table]
        parts.append(f"### {group[0].upper()}{group[1:]}\n\n{markdown(header, cells)}")
    return "\n\n".join(parts)


def benchmarks() -> str:
    """docs/benchmarks.md."""
    tiny = measured("small")
    return f"""# Benchmarks

`python -m docs.results page` writes this page from `docs/measured/`, where the commands below store their results.
Timings are noisy: compare ratios, not absolute times.

## Comparison with other frameworks

```sh
pip install torch keras tensorflow jax mygrad
python -m tests.benchmarks.peers --write
```

{contest("peers")}

{speed("peers", memory=True)}

Measured: {place("peers")}.

## Small tensors

```sh
pip install torch mygrad autograd
python -m tests.benchmarks.peers.small --json > docs/measured/small.json
```

A training step of two dense layers on 8 values. There is hardly any arithmetic, so this measures the overhead of each
op. The frameworks run alternately; times are medians of {tiny["rounds"]} rounds of {tiny["steps"]:,} steps, with the
minimum and maximum.

{markdown(list(small.HEADER), small.rows(tiny))}

Measured: {place("small")}.

## Ops, layers, steps and data

```sh
pip install -e '.[bench]'
python -m pytest tests/benchmarks --benchmark-json benchmarks.json
python -m docs.results condense benchmarks.json
python -m docs.results page
```

All values are medians.

{timed()}

Measured: {place("benchmarks")}.
"""


def readme() -> str:
    """README.md with its figures of now."""
    commands = measured("readme")
    part = f"""
{accuracy()}

Speed on two CPU cores with batches of 32. The frameworks ran alternately on the same machine; values are medians of all
rounds, with the spread in parentheses:

{speed("peers")}

On two CPU cores the two commands above took {minutes(commands["train"])} and {minutes(commands["test"])}, in a fresh
clone and a new environment. [docs/results.md](docs/results.md) and [docs/benchmarks.md](docs/benchmarks.md) describe
each measurement.
"""
    return filled(README, part)


def gradients() -> str:
    """docs/gradients.md with its figures of now."""
    proof = measured("proof")
    checked, vectors, broken, mutants = (
        proof[part] for part in ("gradients", "onnx_vectors", "broken_plugins", "mutants")
    )
    rows = [
        ["ops, layers and losses checked", f"{checked['op']} + {checked['layer']} + {checked['loss']}"],
        [f"worst relative error of {checked['compared']:,} derivatives, in float64", f"{checked['worst']:.1e}"],
        ["ONNX test vectors passed", f"{vectors['passed']} of {vectors['total']}"],
        ["broken plugins caught", f"{broken['caught']} of {broken['total']}"],
        ["mutants caught", f"{mutants['caught']} of {mutants['total']}"],
        ["mutants that survive", f"{mutants['equivalent']} that are equivalent, {mutants['missed']} others"],
    ]
    return filled(GRADIENTS, f"\n{markdown(['check', 'result'], rows)}\n\nMeasured: {place('proof')}.\n")


def faq() -> str:
    """docs/guide/faq.md with the tables of equivalents."""
    part = ""
    for title, rows in equivalents.sections().items():
        cells = [[f"`{code}`".replace("|", "\\|") * bool(code) for code in row[:3]] for row in rows]
        for cell, row in zip(cells, rows, strict=True):
            cell[2] = ", ".join(filter(None, [cell[2], row.remark]))
        part += f"\n### {title}\n\n{markdown(['Keras', 'PyTorch', 'minidl'], cells)}\n"
    return filled(FAQ, part)


def filled(path: Path, part: str) -> str:
    """A document with another text between its two marks."""
    text = path.read_text()
    return text[: text.index(BEGIN) + len(BEGIN)] + part + text[text.index(END) :]


def main() -> None:
    """The three commands above."""
    match sys.argv[1:]:
        case ["record", name, *runs] if runs:
            record(name, [Path(run) for run in runs])
        case ["condense", path]:
            condense(Path(path))
        case ["page"]:
            (DOCS / "results.md").write_text(page())
            (DOCS / "benchmarks.md").write_text(benchmarks())
            README.write_text(readme())
            GRADIENTS.write_text(gradients())
            FAQ.write_text(faq())
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
