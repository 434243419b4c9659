"""Configuration of all tests: which of them run, on how many processes, and the report of those that do not."""

import importlib.util
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import settings

from . import devices
from .captures import replays as replays
from .dependencies import as_before as as_before
from .devices import device as device
from .devices import in_tf32 as in_tf32

# All cores are busy: the duration of an example means nothing.
settings.register_profile("busy", settings(), deadline=None)
settings.load_profile("busy")

# Doctest collection imports every module; these import PyTorch, which is optional.
WITH_PYTORCH = [
    *("parity/ops.py", "parity/steps.py", "parity/twins.py"),
    *("fuzz/against_torch.py", "fuzz/theirs.py", "fuzz/torch_tensor.py"),
]
collect_ignore = [] if importlib.util.find_spec("torch") else WITH_PYTORCH


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """No test switches the power off; ``os.fsync`` takes milliseconds, and a run writes dozens of files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


LEFT_OUT = pytest.StashKey[dict[str, int]]()
"""The number of deselected tests, by marker."""
WHERE_TO_RUN = {
    "gpu": "for a GPU with CuPy: python -m tests.gpu runs them",
    "slow": "marked slow: python -m pytest -m slow runs them",
}
MOST_PROCESSES = 8
"""Each of them imports all tests first, which takes seconds."""
KIT = ("minidl/testing/kit.py", "minidl/testing/pytest_plugin.py")
"""The file in which a check skips itself if it does not apply."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads its options
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite on all cores if pytest-xdist is installed; a part of it, or ``-n 0``, in one process."""
    options = config.option
    worker = hasattr(config, "workerinput")
    here = config.pluginmanager.hasplugin("xdist") and not worker and options.numprocesses is None
    part = config.args_source is pytest.Config.ArgsSource.ARGS or options.keyword or options.markexpr
    part = part or options.collectonly or getattr(options, "lf", False) or getattr(options, "stepwise", False)
    if here and not part:
        options.numprocesses, options.maxprocesses = "auto", options.maxprocesses or MOST_PROCESSES
        options.dist = "worksteal" if options.dist == "no" else options.dist


@pytest.hookimpl(trylast=True)  # after `-k` and `-m`
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests that need a GPU if there is none, and slow ones, unless ``-m`` or a test's name selects them."""
    chosen, named = config.option.markexpr, any("::" in argument for argument in config.args)
    markers = ["slow"] * (not chosen and not named)
    markers += ["gpu"] * ("gpu" not in chosen and devices.gpu_problem() is not None)
    left_out = {item: marker for item in items for marker in markers if item.get_closest_marker(marker)}
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=list(left_out))
    config.stash[LEFT_OUT] = dict(Counter(left_out.values()))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a comparison with PyTorch if it is not installed. One thread is enough for its small inputs."""
    if item.get_closest_marker("parity"):
        torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
        torch.set_num_threads(1)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send them to the reporting process from a pytest-xdist worker; each worker collects all tests."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(LEFT_OUT, {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Receive them from a worker that has finished."""
    if hasattr(node, "workeroutput"):
        node.config.stash[LEFT_OUT] = node.workeroutput["left_out"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line for each reason why tests did not run."""
    lines = list(not_run(config.stash.get(LEFT_OUT, {}), terminalreporter.getreports("skipped")))
    if lines:
        terminalreporter.section("not run")
        terminalreporter.write("\n".join([*lines, ""]))


def not_run(left_out: dict[str, int], skipped: Sequence[pytest.TestReport]) -> Iterator[str]:
    """Which tests did not run, and how to run them."""
    for marker, count in left_out.items():
        yield f"{count} test{'s' * (count > 1)} {WHERE_TO_RUN[marker]}"
    reasons, checks = Counter[str](), 0
    for report in skipped:
        assert isinstance(report.longrepr, tuple)
        path, _, reason = report.longrepr
        if path.replace("\\", "/").endswith(KIT):
            checks += 1
        else:
            reasons[reason.removeprefix("Skipped: ")] += 1
    for reason, count in reasons.most_common():
        yield f"{count} test{'s' * (count > 1)} skipped: {reason}"
    if checks:
        yield f"{checks} check{'s' * (checks > 1)} of the kit with nothing to check: -rs lists them"
