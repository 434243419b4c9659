"""The registry: names, errors, and third-party packages found through entry points."""

import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import backends, nn, optim, plugins
from minidl.errors import BackendError, PluginError
from minidl.kernels.conv import ConvAlgorithm, Direct
from minidl.op import Op

from .elsewhere import printed


@pytest.fixture(autouse=True)
def _clean_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(plugins, "_registered", {kind: dict(known) for kind, known in plugins._registered.items()})
    plugins._announced.cache_clear()
    yield
    plugins._announced.cache_clear()


def _install(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str, points: str) -> None:
    """Put a module and the metadata of an installed distribution on the path."""
    (folder / f"{name}.py").write_text(module)
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, name, raising=False)
    plugins._announced.cache_clear()


def test_a_forgotten_name_or_kind_is_an_error() -> None:
    with pytest.raises(PluginError, match=r'expected a name, got .*Adam.*write @register\("optimizer", "..."\)'):
        plugins.register("optimizer", optim.Adam)  # type: ignore[arg-type]
    with pytest.raises(PluginError, match=r"expected a kind of plugin, got .*Adam.* write a string"):
        plugins.register(optim.Adam, "adam")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "name", "thing"),
    [
        ("layer", "dense", nn.Dense),
        ("optimizer", "adam", optim.Adam),
        ("optimizer", "sgd", optim.SGD),
        ("schedule", "cosine", optim.cosine),
        ("initializer", "he_normal", nn.init.he_normal),
    ],
)
def test_the_built_in_ones_are_registered_like_any_other(kind: str, name: str, thing: object) -> None:
    assert plugins.get(kind, name) is thing


def test_every_built_in_kind_has_members() -> None:
    for kind in plugins.KINDS:
        assert plugins.names(kind), kind


def test_group_names_are_plurals() -> None:
    assert [plugins.group(kind) for kind in ("op", "loss", "conv_algorithm", "dataset")] == [
        "minidl.ops",
        "minidl.losses",
        "minidl.conv_algorithms",
        "minidl.datasets",
    ]


def test_an_unknown_name_gets_the_closest_match_and_the_list() -> None:
    with pytest.raises(PluginError, match=r"there is no optimizer 'adm'\. Did you mean 'adam'\?.*Known: .*adamw.*sgd"):
        plugins.get("optimizer", "adm")


def test_an_unknown_kind_gets_the_closest_match() -> None:
    for call in (lambda: plugins.names("optimiser"), lambda: plugins.register("optimiser", "x")):
        with pytest.raises(PluginError, match=r"no kind of plugin 'optimiser'\. Did you mean 'optimizer'"):
            call()


def test_two_things_of_one_name_clash() -> None:
    @plugins.register("model", "mine")
    class Mine:
        pass

    plugins.register("model", "mine")(Mine)  # registering the same object again is not a conflict
    with pytest.raises(PluginError, match=r"the model 'mine' already exists .*Mine.*register yours under another name"):
        plugins.register("model", "mine")(type("Other", (), {}))
    assert plugins.get("model", "mine") is Mine


def test_a_reloaded_class_replaces_itself() -> None:
    first, second = (type("Mine", (), {"__module__": __name__}) for _ in range(2))
    plugins.register("model", "mine")(first)
    plugins.register("model", "mine")(second)
    assert plugins.get("model", "mine") is second


def test_an_installed_package_is_found_and_imported_only_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "import minidl\nclass Lion(minidl.optim.SGD): pass\n"
    _install(tmp_path, monkeypatch, "minidl_lion", module, "[minidl.optimizers]\nlion = minidl_lion:Lion\n")
    assert "lion" in plugins.names("optimizer")
    assert "minidl_lion" not in sys.modules
    lion = plugins.build("optimizer", "lion", nn.Dense(1, 1).parameters(), lr=0.5)
    assert (type(lion).__name__, lion.lr) == ("Lion", 0.5)
    (row,) = [row for row in plugins.describe() if row.name == "lion"]
    assert (row.distribution, row.version, row.status) == ("minidl_lion", "1.2", "loaded")


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("raise RuntimeError('no licence')\n", "RuntimeError: no licence"),
        ("raise SystemExit('no GPU')\n", "SystemExit: no GPU"),
        ("", "AttributeError"),
    ],
)
def test_a_broken_package_is_named_and_breaks_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, reason: str
) -> None:
    _install(tmp_path, monkeypatch, "minidl_bad", module, "[minidl.layers]\nbad = minidl_bad:Bad\n")
    assert plugins.get("layer", "dense") is nn.Dense
    with pytest.raises(PluginError, match=f"layer 'bad' of the package minidl_bad 1.2 cannot be imported .{reason}"):
        plugins.get("layer", "bad")
    rows = {row.name: row for row in plugins.describe() if row.kind == "layer"}
    assert (rows["bad"].status, rows["dense"].status) == ("failed", "loaded")
    assert reason in rows["bad"].reason


@pytest.mark.parametrize(
    ("point", "module", "remedy"),
    [
        ("minidl_fast:Fast", "import nowhere_at_all", "No module named 'nowhere_at_all'.: pip install 'minidl_fast'$"),
        ("minidl_fast:Fast [gpu]", "import nowhere_at_all", r"pip install 'minidl_fast\[gpu\]'$"),
        ("minidl_fast.gone:Fast [gpu]", "", "No module named 'minidl_fast.gone'.*: repair or uninstall that package$"),
    ],
)
def test_a_plugin_that_is_known_but_not_wholly_installed_gets_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, module: str, remedy: str
) -> None:
    _install(tmp_path, monkeypatch, "minidl_fast", module, f"[minidl.layers]\nfast = {point}\n")
    with pytest.raises(PluginError, match=f"layer 'fast' of the package minidl_fast 1.2 cannot be imported .*{remedy}"):
        plugins.get("layer", "fast")


def test_a_folder_that_is_imported_in_place_of_a_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = "[minidl.layers]\nfast = minidl_fast:Fast\nfaster = minidl_fast.layer:Fast\n"
    _install(tmp_path, monkeypatch, "minidl_fast", "", points)
    (tmp_path / "minidl_fast.py").unlink()  # as where an editable package is found after all folders
    (tmp_path / "minidl_fast").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("fast", "faster"):
        with pytest.raises(PluginError, match=r"the folder \S+minidl_fast was imported in its place, so run this in"):
            plugins.get("layer", name)


def test_where_minidl_s_own_plugin_lacks_a_package_the_doctor_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(
        tmp_path, monkeypatch, "minidl_fast", "import nowhere_at_all", "[minidl.layers]\nfast = minidl_fast:Fast\n"
    )
    monkeypatch.setattr(plugins, "OWN", "minidl_fast")
    with pytest.raises(
        PluginError, match=r"No module named 'nowhere_at_all'\): run python -m minidl doctor, which lists what"
    ):
        plugins.get("layer", "fast")


def test_of_two_packages_that_announce_one_name_the_first_counts_and_both_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("minidl_b", "minidl_a"):
        module = "import minidl\nclass Lion(minidl.optim.SGD): pass\n"
        _install(tmp_path, monkeypatch, name, module, f"[minidl.optimizers]\nlion = {name}:Lion\n")
    assert plugins.get("optimizer", "lion").__module__ == "minidl_a"
    first, second = (row for row in plugins.describe() if row.name == "lion")
    assert (first.distribution, first.status, first.reason) == ("minidl_a", "loaded", "")
    assert (second.distribution, second.status) == ("minidl_b", "failed")
    assert re.search(r"'lion' already exists \(minidl_a\.Lion\).* another name .* of minidl_b", second.reason)


def test_packages_that_were_uninstalled_in_part_break_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("minidl_b", "minidl_a"):
        _install(tmp_path, monkeypatch, name, "", f"[minidl.layers]\n{name} = {name}:Layer\n")
    (tmp_path / "minidl_b-1.2.dist-info" / "METADATA").unlink()
    rows = {row.name: row for row in plugins.describe() if row.kind == "layer"}
    assert (rows["minidl_b"].distribution, rows["minidl_b"].version) == ("unknown", "unknown")
    assert (rows["minidl_a"].distribution, rows["dense"].status) == ("minidl_a", "loaded")


def test_an_announced_name_that_is_built_in_is_listed_and_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "import minidl\nclass Adam(minidl.optim.SGD): pass\n"
    _install(tmp_path, monkeypatch, "a_minidl", module, "[minidl.optimizers]\nadam = a_minidl:Adam\n")
    assert plugins.get("optimizer", "adam") is optim.Adam
    built_in, other = (row for row in plugins.describe() if row.name == "adam")
    assert (built_in.distribution, built_in.status) == ("minidl", "loaded")
    assert (other.distribution, other.status) == ("a_minidl", "failed")


def test_minidl_s_own_announcements_come_before_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(
        tmp_path, monkeypatch, "a_minidl", "Documented = dict", "[minidl.models]\ndocumented = a_minidl:Documented\n"
    )
    monkeypatch.delitem(plugins._registered["model"], "documented", raising=False)  # before agegender is imported
    assert plugins.get("model", "documented").__module__ == "agegender.models"


WITHOUT = {
    "backend": type("Mine", (backends.Backend,), {"name": "mine"}),
    "op": type("Mine", (Op,), {"forward": lambda self, x: x}),
    "conv_algorithm": type("Mine", (ConvAlgorithm,), {"forward": lambda self, x, w, b, spec: (x, None)}),
    "layer": type("Mine", (nn.Module,), {}),
    "optimizer": type("Mine", (optim.Optimizer,), {}),
}


@pytest.mark.parametrize(
    ("kind", "plugin", "message"),
    [
        *(
            (kind, plugin, rf"the {kind} 'mine' does not define \w+.*: do so in Mine")
            for kind, plugin in WITHOUT.items()
        ),
        ("conv_algorithm", type("Mine", (Direct,), {"workspace": 0}), "has workspace = 0, expected a method"),
        ("optimizer", type("Mine", (optim.SGD,), {"step": None}), "has step = None, expected a method"),
        *(
            (kind, int, rf"the {kind} 'mine' is the class int, expected a class derived from minidl\.")
            for kind in plugins.BASES
        ),
        *(
            (kind, 0.1, "'mine' is of type float, expected a class or a function")
            for kind in plugins.KINDS
            if kind not in plugins.BASES
        ),
    ],
)
def test_what_a_plugin_lacks_is_said_when_it_is_registered(kind: str, plugin: Any, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        plugins.register(kind, "mine")(plugin)
    assert "mine" not in plugins.names(kind)


def test_a_plugin_that_is_neither_class_nor_function_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(tmp_path, monkeypatch, "minidl_bad", "rate = 0.1", "[minidl.optimizers]\nbad = minidl_bad:rate\n")
    with pytest.raises(
        PluginError,
        match=r"optimizer 'bad' of the package minidl_bad 1\.2 is of type float, expected a class derived from",
    ):
        plugins.get("optimizer", "bad")


def test_importing_minidl_imports_numpy_and_threadpoolctl_at_most() -> None:
    code = """
import sys, numpy
before = set(sys.modules)
import minidl, minidl.data, minidl.train, minidl.callbacks, minidl.checkpoint
files = [getattr(sys.modules[name], "__file__", None) or "" for name in set(sys.modules) - before]
print(*{file.split("site-packages")[1].split("/")[1] for file in files if "site-packages" in file})
"""
    assert set(printed(code).split()) <= {"minidl", "numpy", "threadpoolctl.py"}


def test_an_editable_install_of_which_only_the_name_is_known_has_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are elsewhere, so its metadata does not list its packages."""
    _install(tmp_path, monkeypatch, "minidl_lion", "def halving(lr): return lambda step: lr / 2**step", "")
    import minidl_lion  # type: ignore[import-not-found]

    plugins.register("schedule", "halving")(minidl_lion.halving)
    plugins.register("schedule", "doubling")(type("Doubling", (), {"__module__": "nowhere_at_all"}))
    rows = {row.name: row for row in plugins.describe() if row.kind == "schedule"}
    assert (rows["halving"].distribution, rows["halving"].version) == ("minidl_lion", "1.2")
    assert (rows["doubling"].distribution, rows["doubling"].version) == ("nowhere_at_all", "not installed")
    assert rows["cosine"].version == metadata.version("minidl")


class Host(backends.Backend):
    def to_numpy(self, array: Any) -> Any:
        return array


class Array(np.ndarray):
    """Arrays of a custom backend."""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"the backend Mine needs name, a string, got None: set it in the class, or in __init__"),
        ({"name": "mine"}, r"the backend Mine needs xp, a module with NumPy's functions, got None"),
        ({"name": "mine", "xp": np}, r"the backend Mine needs array_type, the class of its arrays, got None"),
        ({"name": "mine", "xp": np, "array_type": np.ndarray}, r"cannot use ndarray as its array_type, because"),
        ({"name": "mine", "xp": np, "array_type": np.array}, r"needs array_type, the class .*, got <built-in"),
    ],
)
def test_what_a_backend_lacks_is_said_when_it_is_made(given: dict[str, Any], message: str) -> None:
    plugins.register("backend", "mine")(type("Mine", (Host,), given))
    with pytest.raises(BackendError, match=message):
        md.tensor([1.0]).to("mine")


def test_a_backend_with_a_memory_of_its_own_has_a_way_into_it_and_back() -> None:
    mine = type("Mine", (backends.DeviceBackend,), {"name": "mine", "xp": np, "array_type": Array})
    with pytest.raises(PluginError, match="the backend 'mine' does not define upload and download"):
        plugins.register("backend", "mine")(mine)


@pytest.mark.parametrize("kind", ["dataset", "model", "schedule"])
@pytest.mark.parametrize(("given", "told"), [(3, "int"), (None, "NoneType")])
def test_what_a_plugin_gives_is_checked_when_it_gives_it(kind: str, given: Any, told: str) -> None:
    plugins.register(kind, "mine")(lambda: given)
    with pytest.raises(PluginError, match=rf"the {kind} 'mine' returned {told}, expected .*: return that"):
        plugins.build(kind, "mine")


def test_a_model_that_gives_its_class_forgot_the_brackets() -> None:
    plugins.register("model", "mine")(lambda: nn.ReLU)
    with pytest.raises(PluginError, match=r"returned the class ReLU, expected a minidl\.nn\.module\.Module"):
        plugins.build("model", "mine")
