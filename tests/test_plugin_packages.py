"""Third-party plugin packages: built as wheels, installed into a clean environment, found by name.

``plugins/minidl-example`` is the template to copy; ``minidl-raises`` and ``minidl-redefines`` are what can go wrong.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ROOT / "tests" / "plugins"
EXAMPLE = {
    ("layer", "squeeze_excite"),
    ("optimizer", "lion"),
    ("conv_algorithm", "windows"),
    ("callback", "time_limit"),
    ("dataset", "discs"),
    ("model", "squeezed"),
}


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Environment:
    """A virtual environment that contains only some wheels and their requirements."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        venv.create(folder / "venv", with_pip=False)
        self.python = folder / "venv" / "bin" / "python"
        self.packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder / "venv")}))

    def install(self, *wheels: Path) -> None:
        """Install wheels with the same pip as ours, without their requirements."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--no-index", *map(str, wheels)], check=True)

    def borrow(self, requirements: Iterable[str]) -> None:
        """Link the requirements that are installed here: equivalent to new ones, and without a network."""
        for distribution in required(requirements):
            for name in {path.parts[0] for path in distribution.files or ()} - {"..", "__pycache__"}:
                (self.packages / name).symlink_to(str(distribution.locate_file(name)))

    def run(self, *arguments: object) -> Done:
        """Run Python in it."""
        command = [str(self.python), *map(str, arguments)]
        ours = ("PYTHON", "PYTEST", "UTKFACE")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        environment["MINIDL_CACHE"] = str(self.folder / "cache")
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
        return Done(done.returncode, done.stdout, done.stderr)


def required(requirements: Iterable[str]) -> Iterator[metadata.Distribution]:
    """The required distributions and those that they require, each once."""
    waiting, seen = [*map(Requirement, requirements)], set()
    while waiting:
        requirement = waiting.pop()
        if requirement.name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(requirement.name)
        distribution = metadata.distribution(requirement.name)
        waiting += map(Requirement, distribution.requires or ())
        yield distribution


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("packages")
    sources = [ROOT, *sorted(path.parent for path in PACKAGES.glob("*/pyproject.toml"))]
    for source in sources:
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist")]
        subprocess.run([*build, str(source)], check=True, stdout=subprocess.DEVNULL)
    environment = Environment(folder)
    environment.install(*(folder / "dist").glob("*.whl"))
    (installed,) = metadata.distributions(name="minidl", path=[str(environment.packages)])
    environment.borrow(["pytest", *(installed.requires or ())])
    return environment


@pytest.fixture(scope="module")
def rows(environment: Environment) -> list[dict[str, str]]:
    done = environment.run("-m", "minidl", "plugins", "--json")
    assert (done.code, done.err) == (0, "")
    listed: list[dict[str, str]] = json.loads(done.out)
    return listed


def failed(rows: list[dict[str, str]], distribution: str) -> dict[str, str]:
    """The failures of the plugins of a distribution, by name."""
    of_it = [row for row in rows if row["distribution"] == distribution]
    return {row["name"]: row["reason"] for row in of_it if row["status"] == "failed"}


def trained(environment: Environment, *arguments: object) -> dict[str, Any]:
    """The report of a training run."""
    done = environment.run("-m", "agegender.train", *arguments, "--quiet", "--json")
    assert done.code == 0, done.err
    summary: dict[str, Any] = json.loads(done.out.splitlines()[-1])
    return summary


def test_the_environment_is_clean(environment: Environment) -> None:
    done = environment.run("-c", "import minidl, sys; print(minidl.__file__); print(*sys.path, sep='\\n')")
    file, *path = done.out.splitlines()
    assert Path(file).is_relative_to(environment.packages)
    assert str(ROOT) not in path
    assert sysconfig.get_path("purelib") not in path


def test_the_example_is_found_through_its_entry_points(rows: list[dict[str, str]]) -> None:
    found = [row for row in rows if row["distribution"] == "minidl-example"]
    assert {(row["kind"], row["name"]) for row in found} == EXAMPLE
    assert {(row["version"], row["status"], row["reason"]) for row in found} == {("1.0", "loaded", "")}


def test_training_by_names_that_it_brings(environment: Environment) -> None:
    options = ("--data", "discs", "--model", "squeezed", "--optimizer", "lion", "--epochs", 1)
    summary = trained(environment, *options, "--limit", 60, "--name", "example")
    assert (summary["train_images"], summary["val_images"]) == (48, 12)
    config = json.loads((environment.folder / "runs" / "example" / "config.json").read_text())
    assert (config["data"], config["model"], config["optimizer"]) == ("discs", "squeezed", "lion")


def test_the_command_in_its_readme_learns_both(environment: Environment) -> None:
    (command,) = re.findall(
        "^python -m agegender.train (.*)$", (PACKAGES / "minidl-example/README.md").read_text(), re.M
    )
    assert trained(environment, *command.split(), "--name", "readme")["no_better_than_guessing"] == []


@pytest.mark.parametrize(
    ("option", "name", "meant"),
    [("--data", "disks", "discs"), ("--model", "sqeezed", "squeezed"), ("--optimizer", "loin", "lion")],
)
def test_a_misspelt_name_gets_one_line_with_the_closest(
    environment: Environment, option: str, name: str, meant: str
) -> None:
    done = environment.run("-m", "agegender.train", option, name)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert f"Did you mean '{meant}'?" in done.err


def test_its_own_tests_and_the_kit_pass(environment: Environment, tmp_path: Path) -> None:
    copy = shutil.copytree(PACKAGES / "minidl-example", tmp_path / "minidl-example")
    done = environment.run("-m", "pytest", "-v", copy, "--minidl-checks", "minidl-example")
    assert done.code == 0, done.out
    passed = re.findall(r"^(.*) PASSED", done.out, re.MULTILINE)
    for kind, name in EXAMPLE - {("callback", "time_limit"), ("model", "squeezed")}:  # there are no checks for these
        found = [test for test in passed if f"{kind}-{name}-" in test]
        assert len([test for test in found if "test_plugin[" in test]) == len(found) / 2 > 4, name


def test_the_algorithm_and_the_callback_are_used_by_name(environment: Environment) -> None:
    code = """
import numpy as np, minidl as md
from minidl import nn, optim, plugins
x = np.random.default_rng(0).normal(size=(2, 9, 8, 3)).astype(np.float32)
results = []
for algorithm in ("windows", "direct"):
    conv = nn.Conv2D(3, 4, 3, stride=2, padding="same", algorithm=algorithm, rng=md.Generator(0))
    y = conv(md.tensor(x))
    y.sum().backward()
    results.append((y.numpy(), conv.w.grad))
for one, other in zip(*results): np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
assert type(plugins.build("conv_algorithm", "windows", y.backend)).__module__ == "minidl_example.conv"
loader = md.data.DataLoader(md.data.ArrayDataset(x, x[..., :1]), batch_size=1)
model = nn.Dense(3, 1)
limit = plugins.build("callback", "time_limit", seconds=0)
trainer = md.Trainer(model, nn.functional.mse_loss, optim.SGD(model.parameters()), callbacks=[limit])
trainer.fit(loader, epochs=9)
print(trainer.optimizer.steps)
"""
    done = environment.run("-c", code)
    assert (done.code, done.out) == (0, "1\n"), done.err


def test_no_package_breaks_or_changes_minidl(environment: Environment) -> None:
    code = """
import sys, minidl
assert not [name for name in sys.modules if name.startswith("minidl_")]
from agegender import models
minidl.plugins.describe()  # imports all of them
for kind, name in (("optimizer", "adam"), ("layer", "dense"), ("model", "documented")):
    print(minidl.plugins.get(kind, name).__module__)
"""
    done = environment.run("-W", "error", "-c", code)
    assert (done.code, done.err) == (0, "")
    assert done.out.split() == ["minidl.optim", "minidl.nn.layers", "agegender.models"]


def test_a_package_that_raises_is_reported_by_name(environment: Environment, rows: list[dict[str, str]]) -> None:
    reason = "RuntimeError: no licence was found"
    message = f"the layer 'licensed' of the package minidl-raises 1.0 cannot be imported ({reason})"
    assert failed(rows, "minidl-raises")["licensed"].startswith(message)
    table = environment.run("-m", "minidl", "plugins")
    assert table.code == 0
    assert message in table.out


def test_a_name_that_is_taken_is_reported_and_changes_nothing(rows: list[dict[str, str]]) -> None:
    assert not failed(rows, "minidl")
    reasons = failed(rows, "minidl-redefines")
    for name, holder in {
        "adam": "minidl.optim.Adam",
        "documented": "agegender.models.Documented",
        "lion": "minidl_example.optimizer.Lion",
    }.items():
        assert f"'{name}' already exists ({holder}), which is used instead" in reasons.pop(name)
    assert "the layer 'dense' already exists (minidl.nn.layers.Dense)" in reasons.pop("better_dense")
    assert not reasons
    used = {(row["name"], row["distribution"]) for row in rows if row["status"] == "loaded"}
    assert {("adam", "minidl"), ("documented", "minidl"), ("dense", "minidl"), ("lion", "minidl-example")} <= used


def test_the_kit_does_not_check_another_plugin_in_its_place(environment: Environment) -> None:
    done = environment.run("-m", "pytest", "-q", "--minidl-checks", "minidl-redefines")
    assert done.code == 1
    assert "give yours another name in the entry points of minidl-redefines" in done.out
    assert " passed" not in done.out


def test_gradients_are_checked_past_what_is_broken(environment: Environment) -> None:
    done = environment.run("-m", "minidl", "gradcheck", "squeeze_excite", "licensed")
    assert done.code == 1
    assert re.search(r"squeeze_excite +2 .*e-\d\d$", done.out, re.MULTILINE)
    assert "the layer 'licensed' of the package minidl-raises 1.0 cannot be imported" in done.out
