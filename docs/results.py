"""Writes docs/results.md, and the tables of README.md and docs/gradients.md, from what was measured.

    python docs/results.py record utkface runs/a runs/b    condense runs of one command into docs/measured/utkface.json
    python docs/results.py page                            write the page and the tables from docs/measured/

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

DOCS = Path(__file__).resolve().parent
README, GRADIENTS = DOCS.parent / "README.md", DOCS / "gradients.md"
BEGIN, END = "<!-- begin: written by docs/results.py -->", "<!-- end -->"
PEERS = {
    "minidl": "minidl",
    "pytorch_channels_last": "PyTorch, channels_last",
    "pytorch_default": "PyTorch, default layout",
}

Measured = dict[str, Any]


def record(name: str, runs: list[Path]) -> None:
    """Keep the results of runs of one command, and whether they ended with the same weights."""
    summaries = [json.loads((run / "summary.json").read_text()) for run in runs]
    with (runs[0] / "metrics.csv").open() as file:
        epochs = [{column: float(value) for column, value in row.items()} for row in csv.DictReader(file)]
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


def measured(name: str) -> Measured:
    """A file of docs/measured/."""
    content: Measured = json.loads((DOCS / "measured" / f"{name}.json").read_text())
    return content


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def minutes(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{seconds // 60:.0f}:{seconds % 60:02.0f} min" if seconds >= 60 else f"{seconds:.1f} s"


def training(name: str) -> str:
    """The epochs of a recorded run, and what always guessing the same would give."""
    run = measured(name)
    summary = run["summaries"][0]
    rows = [
        [
            f"{row['epoch']:.0f}",
            f"{row['loss']:.2f}",
            f"{row['val_loss']:.2f}",
            f"{row['val_gender_accuracy']:.4f}",
            f"{row['val_age_mae']:.2f}",
        ]
        for row in run["epochs"]
    ]
    rows.append(
        ["always the same", "", "", f"{summary['baseline_gender_accuracy']:.4f}", f"{summary['baseline_age_mae']:.2f}"]
    )
    header = ["epoch", "training loss", "validation loss", "gender accuracy", "age error (years)"]
    return table(header, rows)


def conditions(name: str) -> str:
    """Where a recorded run was made."""
    run = measured(name)
    env = run["environment"]
    blas = ", ".join(f"{blas['internal_api']} {blas['version']} ({blas['architecture']})" for blas in env["blas"])
    return (
        f"{run['date']}, {env['device_name']}, {env['threads']} threads, Python {env['python']}, "
        f"numpy {env['packages']['numpy']}, {blas}"
    )


def speed(name: str) -> str:
    """Images/s of all frameworks with minidl's ratio to each."""
    result = measured(name)
    rates, ratios = result["images_per_second"], result["ratios"]
    rows = []
    for peer, label in PEERS.items():
        row = [label]
        for task in ("train", "predict"):
            values = rates[task][peer]["rounds"]
            row.append(f"{rates[task][peer]['median']:.0f} ({min(values):.0f} to {max(values):.0f})")
            row.append(f"{ratios[task][peer]:.2f}" if peer in ratios[task] else "")
        rows.append(row)
    header = [
        "",
        "training, images/s",
        "minidl is ... times as fast",
        "inference, images/s",
        "minidl is ... times as fast",
    ]
    return table(header, rows)


def machine(name: str) -> str:
    """Where a benchmark ran."""
    about = measured(name)["machine"]
    versions = ", ".join(f"{package} {version}" for package, version in about["packages"].items())
    settings = "".join(f", {key}={value}" for key, value in about["settings"].items())
    return (
        f"{about['date']}, {about['processor']}, {about['cores']} cores, {about['system']}, Python {about['python']}, "
        f"{versions}; {about['blas']}{settings}"
    )


def weights_agree(name: str) -> str:
    """Whether all recorded runs of a command ended with the same weights."""
    digests = measured(name)["weights_sha256"]
    same = "the same weights, bit for bit" if len(set(digests)) == 1 else "DIFFERENT weights"
    return f"{len(digests)} runs of this command gave {same} (SHA-256 of `last.safetensors`: `{digests[0][:16]}...`)"


def starts() -> str:
    """The first start, which decodes all pictures, and the second."""
    start, utkface = measured("startup"), measured("utkface")["summaries"][0]
    pictures = utkface["train_images"] + utkface["val_images"]
    labels = {"first": f"first start: decodes and caches {pictures:,} pictures", "second": "second start"}
    rows = [
        [label, f"{start[key]['open']:.2f} s", f"{start[key]['first_step']:.2f} s"] for key, label in labels.items()
    ]
    return table(["", "opening the data", "first training step done after"], rows)


def accuracy() -> str:
    """The results on UTKFace in two lines."""
    utkface = measured("utkface")["summaries"][0]
    label = f"the documented CNN after {utkface['epochs']} epochs on UTKFace ({utkface['train_images']:,} faces)"
    rows = [
        [label, f"{utkface['gender_accuracy']:.3f}", f"{utkface['age_mae']:.2f} years"],
        [
            "always guessing the same",
            f"{utkface['baseline_gender_accuracy']:.3f}",
            f"{utkface['baseline_age_mae']:.2f} years",
        ],
    ]
    return table(["", "gender accuracy", "age error"], rows)


def page() -> str:
    """docs/results.md."""
    utkface, drawn = measured("utkface")["summaries"][0], measured("drawn")["summaries"][0]
    parity = measured("parity")
    single = parity["float32"]
    return f"""# Results

Every figure on this page was measured by a command of this repository, which stands beside it, and written here by
`python docs/results.py page`. Machines are noisy: compare ratios, not absolute times.

## Age and gender on UTKFace

```sh
python -m agegender.train --data UTKFace-part.tar.gz --epochs 3 --json
```

on 18,966 of UTKFace's 23,708 pictures: {utkface["train_images"]:,} to train, {utkface["val_images"]:,} to validate.

{training("utkface")}

At the best epoch (the lowest validation loss): gender accuracy **{utkface["gender_accuracy"]:.4f}**, age error
**{utkface["age_mae"]:.2f} years**. {weights_agree("utkface")}.
Whole run: {minutes(utkface["seconds"])}, {utkface["images_per_second"]:.0f} images/s in training.

Measured: {conditions("utkface")}.

The whole set of 23,708 pictures is split into 18,966 for training and 4,742 for validation, a fifth. The numbers that
the documented system states, 18,970 and 4,740, add up to 23,710, two more than there are pictures. Byte-identical
pictures (UTKFace has 375 groups of them, 224 with conflicting labels) always lie on the same side.

## The drawn faces

```sh
python -m agegender.train --data drawn
```

{training("drawn")}

{minutes(drawn["seconds"])} in all, the drawing of the faces included; {weights_agree("drawn")}.

![Drawn faces with the labels and what the model says](images/drawn-examples.png)

![Loss, gender accuracy and age error by epoch](images/drawn-curves.png)

Measured: {conditions("drawn")}.

## Speed of the training step

`python -m minidl bench peers` asks every framework that is installed. The figures below are older: they were measured
with PyTorch alone, and with minidl's convolutions of that time, im2col only. The documented network, batches of 32,
float32, Adam; every framework in a process of its own with two threads, asked in turn. Medians of
{measured("train_step")["rounds"]} rounds, with the slowest and the fastest.

{speed("train_step")}

Measured: {machine("train_step")}.

OpenBLAS chooses its kernels by the processor; an environment that pins `OPENBLAS_CORETYPE` to an older one makes
NumPy's matrix products slower, and PyTorch's, which has its own BLAS, not. With such a pin
(`docs/measured/train_step_pinned.json`):

{speed("train_step_pinned")}

Measured: {machine("train_step_pinned")}.

## From nothing to the first step

```sh
python -m tests.benchmarks.startup --data UTKFace-part.tar.gz > docs/measured/startup.json
```

{starts()}

Measured: {machine("startup")}.

## Beside PyTorch, step by step

```sh
python -m tests.parity.steps > docs/measured/parity.json
```

The same initial weights and batches of {parity["batch_size"]} drawn faces, {parity["steps"]} Adam steps.

- float64: the losses differ by at most {parity["float64"]["losses"]:.1e} relative, the final weights by
  {parity["float64"]["weights"]:.1e}.
- float32: rounding drives any two implementations apart. Relative distance of the {parity["steps"]} losses from those
  of PyTorch's default layout, by seed: minidl {", ".join(f"{row['minidl']:.1e}" for row in single)}; PyTorch's
  channels_last {", ".join(f"{row['channels_last']:.1e}" for row in single)}. On average minidl is
  {parity["float32_ratio"]:.2f} times as far away as PyTorch's other layout.

Measured: PyTorch {parity["torch"]}, numpy {parity["numpy"]}.
"""


def readme() -> str:
    """README.md with its figures of now."""
    commands = measured("readme")
    part = f"""
{accuracy()}

Training on two CPU cores, batches of 32, beside PyTorch on the same machine, asked in turn:

{speed("train_step")}

The two commands above took {minutes(commands["train"])} and {minutes(commands["test"])} there, from a bare clone in a
new environment. How each figure was measured: [docs/results.md](docs/results.md).
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
    return filled(GRADIENTS, f"\n{table(['', ''], rows)}\n\nMeasured: {machine('proof')}.\n")


def filled(path: Path, part: str) -> str:
    """A document with another text between its two marks."""
    text = path.read_text()
    return text[: text.index(BEGIN) + len(BEGIN)] + part + text[text.index(END) :]


def main() -> None:
    """The two commands above."""
    match sys.argv[1:]:
        case ["record", name, *runs] if runs:
            record(name, [Path(run) for run in runs])
        case ["page"]:
            (DOCS / "results.md").write_text(page())
            README.write_text(readme())
            GRADIENTS.write_text(gradients())
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
