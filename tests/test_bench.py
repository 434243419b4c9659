"""``python -m minidl bench``: its output, not its timings."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl import command, plugins, threads
from minidl.__main__ import main
from minidl.backends.choice import choose
from minidl.bench.conv import measure
from minidl.kernels.conv import ConvSpec, Direct
from minidl.kernels.numpy import memory
from minidl.kernels.window import sliding_window

SMALL = ("--size=7x6", "--channels=2", "--filters=3", "--batch=2", "--rounds=1")


@pytest.fixture(autouse=True)
def _registry_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_registered", {kind: dict(known) for kind, known in plugins._registered.items()})


def bench(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, output and errors of ``bench conv`` on a small layer."""
    status = command.status(lambda: main(["bench", "conv", *SMALL, *arguments]))
    return status, *capsys.readouterr()


def rows_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, Any]]:
    """The results that ``--json`` writes, by algorithm."""
    status, out, _ = bench(capsys, "--json", *arguments)
    assert status == 0
    return {row["name"]: row for row in json.loads(out, parse_constant=pytest.fail)["algorithms"]}


def test_every_algorithm_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = bench(capsys)
    title, _, _, head, *lines = out.splitlines()
    assert (status, title) == (
        0, "2 images of 7x6 pixels in 2 channels with 3 filters of 3x3, stride (1, 1), float32",
    )  # fmt: skip
    assert head.split("  ")[0] == "algorithm"
    rows = [line.split() for line in lines[: len(plugins.names("conv_algorithm"))]]
    assert sorted(row[0].rstrip(":") for row in rows) == plugins.names("conv_algorithm")
    assert [row[0] for row in rows if row[0].endswith(":")] == ["first_layer:", "gemm:", "implicit_gemm:"]
    for row in rows[:-3]:  # the others are for GPUs only
        *numbers, error = map(float, row[-6:])
        assert min(numbers) >= 0
        assert error < 1e-5


def test_what_auto_takes_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    spec = ConvSpec(2, 2, 3, sliding_window(7, 6, (1, 3), 1, 0), np.dtype(np.float32))
    taken = choose("auto", spec, plugins.build("backend", "numpy")).name
    rows = rows_of(capsys, "--kernel=1x3")
    assert [name for name, row in rows.items() if row.get("auto")] == [taken]
    _, out, _ = bench(capsys, "--kernel=1x3")
    assert out.count("(auto)") == out.count(f"{taken} (auto)") == 1


def test_what_does_not_support_the_layer_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = bench(capsys, "--stride=2")
    assert "\nwinograd: does not support this layer on the backend 'numpy'\n" in out
    rows = rows_of(capsys, "--stride=2")
    assert rows.keys() == set(plugins.names("conv_algorithm"))
    assert rows["shifted"] == {"name": "shifted", "reason": "does not support this layer on the backend 'numpy'"}
    assert rows["im2col"]["forward"] > 0
    status, out, _ = bench(capsys, "shifted", "--stride=2")
    assert status == 1
    assert "shifted: does not support" in out


def test_plugins_are_measured_and_a_wrong_one_shows(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    @plugins.register("conv_algorithm", "mine")
    class Mine(Direct):
        def weight_gradient(self, x: Any, dy: Any, spec: Any, saved: Any) -> Any:
            return 1.25 * super().weight_gradient(x, dy, spec, saved)

    @plugins.register("conv_algorithm", "nothing")
    class Nothing(Direct):
        def weight_gradient(self, x: Any, dy: Any, spec: Any, saved: Any) -> Any:
            return np.nan * super().weight_gradient(x, dy, spec, saved)

    @plugins.register("conv_algorithm", "raises")
    class Raises(Direct):
        def forward(self, x: Any, w: Any, b: Any, spec: Any) -> Any:
            raise KeyError("weights")

    rows = rows_of(capsys, "--plot", str(tmp_path / "wrong.svg"))
    assert rows["mine"]["error"] == pytest.approx(0.25, rel=1e-4)
    assert rows["direct"]["error"] < 1e-6
    assert rows["nothing"]["error"] is None
    assert rows["raises"] == {"name": "raises", "reason": "fails (KeyError: 'weights')"}
    assert "mine" in (tmp_path / "wrong.svg").read_text()


def test_named_ones_alone_and_drawn(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "conv.png"
    assert list(rows_of(capsys, "direct", "--dtype=float64", f"--plot={file}")) == ["direct"]
    assert file.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size=3x4x5"], "argument --size: expected a number, or two as in 3x5, got '3x4x5'"),
        (["--kernel=-1"], "argument --kernel: expected a number"),
        (["--padding=all"], "argument --padding: expected a number"),
        (["--kernel=8"], "the 8x8 kernel does not fit into the 7x6 image"),
        (["--stride=0"], "the stride must be an integer >= 1"),
        (["--batch=0"], "argument --batch: expected an integer >= 1, got '0'"),
        (["--channels=some"], "argument --channels: expected an integer >= 1, got 'some'"),
        (["--size=1000000"], "this layer has an array of"),
        (["--dtype=int8"], "argument --dtype: invalid choice: 'int8'"),
        (["winograt"], "there is no conv_algorithm 'winograt'. Did you mean 'winograd'?"),
        (["--plot=here.txt"], "--plot expects a file name that ends in .pdf, .png, .svg, got 'here.txt'"),
        (["--plot=no/such/place.png"], "--plot no/such/place.png: there is no folder no/such"),
        (["--rows=3"], "unknown option --rows. Did you mean '--rounds'?"),
    ],
)
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    status, out, err = bench(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_a_plot_that_cannot_be_written_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    status, _, err = bench(capsys, "direct", f"--plot={tmp_path / 'folder.png'}")
    assert (status, err) == (2, f"error: cannot write {tmp_path / 'folder.png'}: Is a directory\n")


def test_memory_is_the_same_after_results_were_kept_for_reuse() -> None:
    """Buffers from an earlier run would not be counted, but would be subtracted as results."""
    spec = ConvSpec(2, 16, 16, sliding_window(66, 66, 3, 1, 0), np.dtype(np.float32))
    memory.clear()
    first, second = (measure(spec, ["im2col"], rounds=1)[0].memory for _ in range(2))
    assert first > 0.5
    assert second == pytest.approx(first, rel=0.2)


@pytest.mark.parametrize(
    ("sizes", "padding"),
    [((2, 16, 16, 64, 64), "same"), ((1, 32, 2, 64, 64), 0), ((2, 128, 128, 12, 12), 1), ((4, 1, 32, 64, 64), 0)],
)
@pytest.mark.parametrize("name", ["direct", "fft", "im2col", "shifted", "winograd", "winograd2d"])
def test_working_memory_is_known_beforehand(
    monkeypatch: pytest.MonkeyPatch, name: str, sizes: tuple[int, ...], padding: Any
) -> None:
    monkeypatch.setattr(threads._Settings, "num_threads", 1)  # with several threads, one may do the work of others
    N, C, K, height, width = sizes
    spec = ConvSpec(N, C, K, sliding_window(height, width, 3, 1, padding), np.dtype(np.float32))
    algorithm = plugins.build("conv_algorithm", name, plugins.build("backend", "numpy"))
    measured = measure(spec, [name], rounds=1)[0].memory * 2**20
    assert measured / 1.5 < algorithm.workspace(spec) < 2 * measured


def test_an_algorithm_that_does_not_fit_into_memory_is_not_tried(capsys: pytest.CaptureFixture[str]) -> None:
    @plugins.register("conv_algorithm", "large")
    class Large(Direct):
        def workspace(self, spec: ConvSpec) -> int:
            return 5 << 30

        def forward(self, x: Any, w: Any, b: Any, spec: Any) -> Any:
            raise AssertionError("it was tried")

    status, out, _ = bench(capsys, "large")
    assert status == 1
    assert "\nlarge: needs 5.0 GiB of working memory, expected at most 4 GiB\n" in out
    rows = rows_of(capsys, "large", "direct")
    assert rows["large"] == {"name": "large", "reason": "needs 5.0 GiB of working memory, expected at most 4 GiB"}
    assert rows["direct"]["forward"] > 0
    _, out, _ = bench(capsys, "fft", "--size=512", "--channels=64", "--filters=128", "--batch=1")
    assert "\nfft: needs 32.1 GiB of working memory" in out
