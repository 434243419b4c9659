"""The plugin registry: everything that can be selected by name, built in or from another package.

There are eleven kinds of plugins: backends, ops, convolution algorithms, layers, losses, optimizers, initializers,
schedules, callbacks, data sets and models. The built-in ones are registered with the same decorator as any other:

>>> import numpy as np
>>> from minidl import plugins
>>> @plugins.register("initializer", "sevens")
... def sevens(shape, rng):
...     return np.full(shape, 7, np.float32)
>>> plugins.get("initializer", "sevens") is sevens
True

An installed package announces its plugins as entry points of the group named after the kind (``minidl.optimizers`` for
optimizers and so on; https://packaging.python.org/specifications/entry-points). They are imported on first use, so a
broken plugin never breaks ``import minidl``.
"""

import functools
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import PluginError, brief, suggestion

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

KINDS = (
    "backend",
    "op",
    "conv_algorithm",
    "layer",
    "loss",
    "optimizer",
    "initializer",
    "schedule",
    "callback",
    "dataset",
    "model",
)

BASES = {
    "backend": ("minidl.backends.base", "Backend", ("to_numpy",)),
    "op": ("minidl.op", "Op", ("forward", "backward")),
    "conv_algorithm": (
        "minidl.kernels.conv.algorithm",
        "ConvAlgorithm",
        ("forward", "input_gradient", "weight_gradient"),
    ),
    "layer": ("minidl.nn.module", "Module", ("forward",)),
    "optimizer": ("minidl.optim", "Optimizer", ("update",)),
    "callback": ("minidl.train", "Callback", ()),
}
"""The kinds whose plugins are classes: the module and the name of their base, and the methods they must define.
Plugins of the other kinds are any callable, a function or a class."""

BETWEEN = {("minidl.backends.base", "DeviceBackend"): ("upload", "download")}
"""Abstract subclasses of a base, and the additional methods that their subclasses must define."""

MADE = {"dataset": ("minidl.data", "Dataset"), "model": ("minidl.nn.module", "Module")}
"""The kinds whose plugins return an instance of a class: the module and the name of that class."""

OWN = "minidl"
"""The distribution that contains minidl and agegender."""

_Plugin = TypeVar("_Plugin")


class _Known(dict[str, Any]):
    """The plugins of a kind by name, which counts changes: only setting and deleting items is supported."""

    changes = 0
    """The number of changes to plugins of any kind."""

    def __setitem__(self, name: str, plugin: Any) -> None:
        _Known.changes += self.get(name) is not plugin
        super().__setitem__(name, plugin)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        _Known.changes += 1


_registered: dict[str, dict[str, Any]] = {kind: _Known() for kind in KINDS}


@dataclass(frozen=True)
class PluginInfo:
    """One row of ``python -m minidl plugins``: ``status`` is "loaded", "installed" (not yet imported) or "failed".

    >>> PluginInfo("layer", "mine", "my-package", "1.0", "loaded").as_dict()["status"]
    'loaded'
    """

    kind: str
    name: str
    distribution: str
    version: str
    status: str
    reason: str = ""

    def as_dict(self) -> dict[str, str]:
        """The row as a dictionary of strings, for JSON."""
        return asdict(self)


def group(kind: str) -> str:
    """The entry-point group of a kind, its plural.

    >>> group("loss")
    'minidl.losses'
    """
    _check_kind(kind)
    return f"minidl.{kind}es" if kind.endswith("s") else f"minidl.{kind}s"


def register(kind: str, name: str = "") -> Callable[[_Plugin], _Plugin]:
    """A decorator that registers a class or function as plugin ``name`` of ``kind``.

    Raises :class:`PluginError` if the name is missing or taken by another object, and for an object that lacks
    something that plugins of its kind require.

    >>> @register("schedule", "halving")
    ... def halving(lr):
    ...     return lambda step: lr / 2**step
    >>> get("schedule", "halving")(1.0)(3)
    0.125
    >>> del _registered["schedule"]["halving"]   # only an example
    """
    _check_kind(kind)
    if not isinstance(name, str) or not name:
        raise PluginError(f'expected a name, got {brief(name)}: write @register("{kind}", "...") before the class')

    def decorate(plugin: _Plugin) -> _Plugin:
        if wrong := _complaint(kind, plugin):
            raise PluginError(f"the {kind} '{name}' {wrong}")
        known = _registered[kind].get(name, plugin)
        if known is not plugin and _origin(known) != _origin(plugin):
            raise PluginError(
                f"the {kind} '{name}' already exists ({'.'.join(_origin(known))}): register yours under another name"
            )
        _registered[kind][name] = plugin
        return plugin

    return decorate


def names(kind: str) -> list[str]:
    """The sorted names of all plugins of a kind: registered ones and those announced by installed packages.

    >>> import minidl
    >>> set(names("optimizer")) >= {"sgd", "adam", "adamw"}
    True
    """
    _check_kind(kind)
    return sorted({*_registered[kind], *_announced(kind)})


def registered(kind: str) -> dict[str, Any]:
    """The currently registered plugins of a kind, by name; others may be announced.

    >>> import minidl
    >>> registered("optimizer")["adam"]
    <class 'minidl.optim.Adam'>
    """
    return _registered[kind].copy()


def changes() -> int:
    """The number of changes to the registered plugins so far: equal values mean the same plugins.

    >>> before = changes()
    >>> _registered["schedule"]["mine"] = print   # only an example
    >>> del _registered["schedule"]["mine"]
    >>> changes() - before
    2
    """
    return _Known.changes


def get(kind: str, name: str) -> Any:
    """The plugin ``name`` of ``kind``, imported now if an installed package announces it.

    Raises :class:`PluginError` for an unknown name (with the known names and the closest match) and for a plugin whose
    import fails (with its package and the reason).

    >>> import minidl
    >>> get("layer", "dense")
    <class 'minidl.nn.layers.Dense'>
    """
    _check_kind(kind)
    if not isinstance(name, str):
        raise PluginError(f"expected the name of a plugin of the kind {kind}, got {brief(name)}")
    if name not in _registered[kind]:
        if name not in _announced(kind):
            known = names(kind)
            raise PluginError(
                f"there is no {kind} '{name}'.{suggestion(name, known)} Known: {', '.join(known) or 'none'}."
            )
        plugin = _load(kind, _announced(kind)[name][0])
        if name not in _registered[kind]:  # importing it may have registered it
            _registered[kind][name] = plugin
    return _registered[kind][name]


def build(kind: str, name: str, *args: Any, **options: Any) -> Any:
    """``get(kind, name)(*args, **options)``: an instance of a plugin.

    Raises :class:`PluginError` if the plugin returns an object of the wrong type for its kind.

    >>> build("layer", "dropout", rate=0.1).rate
    0.1
    """
    made = get(kind, name)(*args, **options)
    if expected := _expected(kind, made):
        given = f"the class {made.__name__}" if isinstance(made, type) else type(made).__name__
        raise PluginError(f"the {kind} '{name}' returned {given}, expected {expected}: return that")
    return made


def describe() -> list[PluginInfo]:
    """Every plugin of every kind; loads those that are only announced. A failure is a row, not an error.

    A name that is already taken has an additional "failed" row for every other package that announces it.

    >>> any(info.name == "adam" for info in describe())
    True
    """
    from importlib import metadata

    packages = metadata.packages_distributions()
    return [row for kind in KINDS for name in names(kind) for row in _describe(kind, name, packages)]


def _describe(kind: str, name: str, packages: Mapping[str, list[str]]) -> list[PluginInfo]:
    rows = [_describe_announced(kind, point) for point in _announced(kind).get(name, [])]
    if all(row.status == "failed" for row in rows) and name in _registered[kind]:
        rows.insert(0, _describe_registered(kind, name, packages))
    return rows


def _describe_announced(kind: str, point: "EntryPoint") -> PluginInfo:
    distribution, version = _distribution_of(point)
    try:
        plugin, used = _load(kind, point), get(kind, point.name)
    except PluginError as error:
        return PluginInfo(kind, point.name, distribution, version, "failed", str(error))
    if _origin(used) == _origin(plugin):
        return PluginInfo(kind, point.name, distribution, version, "loaded")
    reason = (
        f"the {kind} '{point.name}' already exists ({'.'.join(_origin(used))}), which is used instead: "
        f"give yours another name in the entry points of {distribution}"
    )
    return PluginInfo(kind, point.name, distribution, version, "failed", reason)


def _describe_registered(kind: str, name: str, packages: Mapping[str, list[str]]) -> PluginInfo:
    from importlib import metadata

    package = (getattr(get(kind, name), "__module__", None) or "").partition(".")[0]
    # An editable distribution is not listed by its packages, but usually has the same name.
    distribution = packages.get(package, [package])[0]
    try:
        version = metadata.version(distribution)
    except (metadata.PackageNotFoundError, ValueError):  # ValueError: an empty name
        version = "not installed"
    return PluginInfo(kind, name, distribution, version, "loaded")


def _distribution_of(point: "EntryPoint") -> tuple[str, str]:
    """The name and the version of a distribution; an incomplete uninstallation leaves one without them."""
    return getattr(point.dist, "name", None) or "unknown", getattr(point.dist, "version", None) or "unknown"


@functools.cache
def _announced(kind: str) -> "dict[str, list[EntryPoint]]":
    """The entry points of a kind by name; if several packages announce a name, the first is used."""
    from importlib import metadata  # slow to import, and rarely needed

    points: dict[str, list[EntryPoint]] = {}
    for point in sorted(metadata.entry_points(group=group(kind)), key=_precedence):
        points.setdefault(point.name, []).append(point)
    return points


def _precedence(point: "EntryPoint") -> tuple[bool, str]:
    """Sort minidl's own plugins first, the others in an order that is the same on every machine."""
    distribution, _ = _distribution_of(point)
    return distribution != OWN, distribution


def _load(kind: str, point: "EntryPoint") -> Any:
    distribution, version = _distribution_of(point)
    described = f"the {kind} '{point.name}' of the package {distribution} {version}"
    try:
        plugin = point.load()
    except ModuleNotFoundError as error:
        raise PluginError(f"{described} cannot be imported ({error}): {_remedy(point, error.name)}") from error
    except (Exception, SystemExit) as error:  # a foreign module may raise anything, and a script may exit
        raise PluginError(
            f"{described} cannot be imported ({type(error).__name__}: {error}): {_repair(point)}"
        ) from error
    if wrong := _complaint(kind, plugin):
        raise PluginError(f"{described} {wrong}")
    return plugin


def _complaint(kind: str, plugin: Any) -> str:
    """What a plugin lacks that its kind requires, and the remedy; "" if it lacks nothing.

    >>> _complaint("schedule", 0.1)
    'is of type float, expected a class or a function: register that'
    """
    if kind not in BASES:
        return (
            ""
            if callable(plugin)
            else f"is of type {type(plugin).__name__}, expected a class or a function: register that"
        )
    module, name, own = BASES[kind]
    base = getattr(sys.modules.get(module), name, None)  # if never imported, it has no subclasses
    if base is None or not isinstance(plugin, type) or not issubclass(plugin, base):
        given = f"the class {plugin.__name__}" if isinstance(plugin, type) else f"of type {type(plugin).__name__}"
        return f"is {given}, expected a class derived from {module}.{name}: register that"
    left = dict.fromkeys(own, base)
    for (place, between), others in BETWEEN.items():
        above = getattr(sys.modules.get(place), between, None)
        left |= dict.fromkeys(others, above) if above in plugin.__mro__ else {}
    missing = [
        method for method, by in left.items() if getattr(plugin, method, None) in (None, getattr(by, method, None))
    ]
    if missing:
        return f"does not define {' and '.join(missing)}, which every {kind} needs: do so in {plugin.__name__}"
    methods = [method for method in dir(base) if not method.startswith("_") and callable(getattr(base, method, None))]
    for method in methods:
        if not callable(getattr(plugin, method)):
            value = getattr(plugin, method)
            return f"has {method} = {value!r}, expected a method: write def {method}(self, ...) in {plugin.__name__}"
    return ""


def _expected(kind: str, made: Any) -> str:
    """What a plugin of a kind must return if ``made`` is not that; else "".

    >>> _expected("schedule", 0.1), _expected("schedule", lambda step: 0.1)
    ('a function from steps to learning rates', '')
    """
    if kind in MADE:
        module, name = MADE[kind]
        base = getattr(sys.modules.get(module), name, None)
        return "" if base is not None and isinstance(made, base) else f"a {module}.{name}"
    return "a function from steps to learning rates" if kind == "schedule" and not callable(made) else ""


def _remedy(point: "EntryPoint", missing: str | None) -> str:
    """The remedy for a missing module: a part of the plugin's own package, or one of its dependencies."""
    distribution, _ = _distribution_of(point)
    if missing is None or missing.partition(".")[0] == point.module.partition(".")[0]:
        return _repair(point)
    if distribution == OWN:  # a package index may not have it, or another package of this name
        return "run python -m minidl doctor, which lists what to install"
    extras = f"[{','.join(point.extras)}]" if point.extras else ""
    return f"pip install '{distribution}{extras}'"


def _repair(point: "EntryPoint") -> str:
    """The remedy for a wrong module. A folder without ``__init__.py`` is imported in place of an editable package."""
    name = point.module.partition(".")[0]
    module = sys.modules.get(name)
    instead = Path.cwd() / name
    if not getattr(module, "__file__", None) and str(instead) in getattr(module, "__path__", ()):
        return f"the folder {instead} was imported in its place, so run this in another folder"
    return "repair or uninstall that package"


def _origin(plugin: Any) -> tuple[str, str]:
    """Where a plugin is defined: the same place twice means a reloaded module, not a conflict."""
    module = getattr(plugin, "__module__", "?")
    name = getattr(plugin, "__qualname__", repr(plugin))
    return (module, name) if module in sys.modules else ("?", repr(plugin))


def _check_kind(kind: str) -> None:
    if not isinstance(kind, str):
        raise PluginError(
            f'expected a kind of plugin, got {brief(kind)}: write a string, as in @register("optimizer", "lion")'
        )
    if kind not in KINDS:
        raise PluginError(f"there is no kind of plugin '{kind}'.{suggestion(kind, KINDS)} Kinds: {', '.join(KINDS)}.")
