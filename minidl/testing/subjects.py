"""From the registry to the checks: the subject of every registered plugin."""

from collections.abc import Callable
from typing import Any

from .. import plugins
from ..errors import MinidlError, PluginError
from ..nn import Module
from . import examples as built_in
from .arrays import numbers
from .check_backends import BackendSubject
from .check_conv import ConvAlgorithmSubject, conv_subject
from .check_data import DatasetSubject
from .check_layers import LayerExample, LayerSubject
from .check_losses import LossExample, LossSubject, default_example
from .check_ops import OpExample, OpSubject, default_inputs
from .check_optimizers import OptimizerExample, OptimizerSubject
from .kit import Subject

KINDS: dict[str, type[Subject]] = {
    subject.kind: subject
    for subject in (
        OpSubject,
        LayerSubject,
        LossSubject,
        OptimizerSubject,
        ConvAlgorithmSubject,
        BackendSubject,
        DatasetSubject,
    )
}
"""The kinds of plugins that have checks."""


def subject(kind: str, name: str) -> Subject:
    """The plugin ``name`` of ``kind`` with its examples, ready to be checked.

    The examples are minidl's own, the plugin's attribute ``examples``, or defaults for an op, a loss or a layer that
    takes no arguments. Raises :class:`PluginError` for an unknown name, and for a plugin that needs examples and has
    none.

    >>> subject("op", "exp").run().count("failed")
    0
    """
    if kind not in KINDS:
        raise PluginError(f"there are no checks for the kind '{kind}'. Kinds: {', '.join(KINDS)}.")
    plugin = plugins.get(kind, name)
    return _MAKERS[kind](name, plugin)


def subjects(kind: str) -> list[Subject]:
    """The subjects of all plugins of a kind.

    Raises :class:`PluginError` if one has no examples, because every registered plugin must be checked.

    >>> {one.kind for one in subjects("loss")}
    {'loss'}
    """
    return [subject(kind, name) for name in plugins.names(kind)]


def _own(plugin: Any) -> list[Any]:
    """The examples that a plugin defines."""
    return list(getattr(plugin, "examples", []))


def _op(name: str, op: Any) -> Subject:
    return OpSubject(name, built_in.OPS.get(name) or _own(op) or [OpExample(op.apply, _inputs(name, op))])


def _inputs(name: str, op: Any) -> tuple[Any, ...]:
    try:
        return default_inputs(op)
    except MinidlError as error:
        raise _without_examples("op", name, "OpExample", error) from error


def _layer(name: str, layer: Any) -> Subject:
    examples = built_in.LAYERS.get(name) or _own(layer)
    if not examples:
        try:
            made: Module = layer()
            x = numbers(2, 6, 5, 3)
            made(x)
        except (MinidlError, TypeError) as error:
            raise _without_examples("layer", name, "LayerExample", error) from error
        examples = [LayerExample(layer, x)]
    return LayerSubject(name, examples)


def _loss(name: str, loss: Any) -> Subject:
    examples: list[LossExample] = built_in.LOSSES.get(name) or _own(loss)
    if not examples:
        try:
            examples = [default_example(loss() if isinstance(loss, type) else loss)]
        except (MinidlError, TypeError) as error:
            raise _without_examples("loss", name, "LossExample", error) from error
    return LossSubject(name, examples)


def _optimizer(name: str, optimizer: Any) -> Subject:
    return OptimizerSubject(name, built_in.OPTIMIZERS.get(name) or _own(optimizer) or [OptimizerExample(optimizer)])


def _conv_algorithm(name: str, algorithm: Any) -> Subject:
    return conv_subject(name, algorithm, [*built_in.CONVOLUTIONS, *_own(algorithm)])


_MAKERS: dict[str, Callable[[str, Any], Subject]] = {
    "op": _op,
    "layer": _layer,
    "loss": _loss,
    "optimizer": _optimizer,
    "conv_algorithm": _conv_algorithm,
    "backend": lambda name, backend: BackendSubject(name),
    "dataset": lambda name, make: DatasetSubject(name, make()),
}


def _without_examples(kind: str, name: str, example: str, error: Exception) -> PluginError:
    return PluginError(
        f"the {kind} '{name}' has no example to check it on ({error}): give its class an attribute "
        f"`examples`, a list of minidl.testing.{example}"
    )
