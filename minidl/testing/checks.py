"""The front door: one function for each kind of plugin that there are checks for."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from .. import plugins
from ..backends import Backend
from ..data import Dataset
from ..errors import MinidlError, PluginError, suggestion
from ..kernels.conv import ConvAlgorithm
from ..nn import Module
from ..op import Op
from ..optim import Optimizer
from .check_backends import BackendSubject
from .check_conv import ConvExample, conv_subject
from .check_data import DatasetSubject
from .check_layers import LayerExample, LayerSubject
from .check_losses import Loss, LossExample, LossSubject, default_example
from .check_ops import OpExample, OpSubject, default_inputs
from .check_optimizers import OptimizerExample, OptimizerSubject
from .examples import CONVOLUTIONS
from .gradcheck import GradcheckResult, GradientError
from .kit import Report
from .subjects import KINDS, subject

Array = Any
DIFFERENTIATED = ("op", "layer", "loss")
"""The kinds that have gradients."""


def check_op(
    op: type[Op] | Callable[..., Any] | str, *inputs: Any, skip: Mapping[str, str] | None = None, **options: Any
) -> Report:
    """Run all checks of an op on some inputs; ``options`` go to it.

    ``op`` is a class, a function of tensors, or a registered name. Without inputs a registered op is tried on its
    examples, any other on (2, 3) arrays, one for each argument of its forward pass. ``skip`` maps names of checks to
    reasons. Raises :class:`minidl.testing.CheckError` that lists what failed.

    >>> import numpy as np
    >>> from minidl import ops
    >>> check_op(ops.Exp, np.array([[0.5, -1.0]])).count("failed")
    0
    """
    if isinstance(op, str) and not inputs:
        return subject("op", op).run(skip)
    made: Any = plugins.get("op", op) if isinstance(op, str) else op
    call = getattr(made, "apply", made)
    example = OpExample(lambda *tensors: call(*tensors, **options), inputs or default_inputs(made))
    return OpSubject(op if isinstance(op, str) else getattr(made, "__name__", "op"), [example]).run(skip)


def check_layer(
    layer: Callable[[], Module] | Module | str, x: Any = None, *, skip: Mapping[str, str] | None = None
) -> Report:
    """Run all checks of a layer on a batch x.

    ``layer`` is a function that makes one (a class without arguments, ``lambda: nn.Dense(3, 2)``), or a registered
    name, which is tried on its examples. The checks need several, so a layer alone is taken as the pattern to copy.
    Raises :class:`minidl.testing.CheckError` that lists what failed.

    >>> import numpy as np
    >>> from minidl import nn
    >>> check_layer(lambda: nn.Dense(3, 2), np.ones((4, 3))).count("failed")
    0
    """
    if isinstance(layer, str) and x is None:
        return subject("layer", layer).run(skip)
    if x is None:
        raise MinidlError("check_layer needs a batch to try the layer on: check_layer(make, x)")
    given: Any = plugins.get("layer", layer) if isinstance(layer, str) else layer
    make = _copies_of(given) if isinstance(given, Module) else given
    try:
        name = type(make()).__name__
    except TypeError as error:  # arguments that are missing, or nothing that can be called
        raise MinidlError(
            f"check_layer wants a function that makes a layer, such as lambda: nn.Dense(3, 2) ({error})"
        ) from error
    return LayerSubject(name, [LayerExample(make, x)]).run(skip)


def _copies_of(layer: Module) -> Callable[[], Module]:
    import copy

    pattern = copy.deepcopy(layer)
    return lambda: copy.deepcopy(pattern)


def check_loss(
    loss: Loss | str, outputs: Any = None, targets: Any = None, *, skip: Mapping[str, str] | None = None
) -> Report:
    """Run all checks of a loss: a function or module of outputs and targets, its class, or a registered name.

    Without ``outputs`` and ``targets`` a registered loss is tried on its examples; any other on outputs (4, 3) and
    targets of the same shape between 0 and 1 or, if it refuses these, whole-number labels (4,). Raises
    :class:`minidl.testing.CheckError` that lists what failed.

    >>> from minidl import nn
    >>> check_loss(nn.functional.mse_loss).count("failed")
    0
    """
    if isinstance(loss, str) and outputs is None:
        return subject("loss", loss).run(skip)
    made: Any = plugins.get("loss", loss) if isinstance(loss, str) else loss
    name = loss if isinstance(loss, str) else getattr(made, "__name__", type(made).__name__)
    made = made() if isinstance(made, type) else made
    example = default_example(made) if outputs is None else LossExample.of(made, outputs, targets)
    return LossSubject(name, [example]).run(skip)


def check_optimizer(
    optimizer: Callable[..., Optimizer] | str, *, skip: Mapping[str, str] | None = None, **options: Any
) -> Report:
    """Run all checks of an optimizer: its class, or a registered name; ``options`` go to it.

    Raises :class:`minidl.testing.CheckError` that lists what failed.

    >>> from minidl import optim
    >>> check_optimizer(optim.SGD, momentum=0.9).count("failed")
    0
    """
    if isinstance(optimizer, str) and not options:
        return subject("optimizer", optimizer).run(skip)
    cls: Any = plugins.get("optimizer", optimizer) if isinstance(optimizer, str) else optimizer
    if not callable(cls):
        raise MinidlError(f"check_optimizer wants a class or a registered name, got {type(cls).__name__}")
    name = optimizer if isinstance(optimizer, str) else getattr(cls, "__name__", "optimizer")
    example = OptimizerExample(lambda parameters, lr: cls(parameters, lr=lr, **options))
    return OptimizerSubject(name, [example]).run(skip)


def check_conv_algorithm(
    algorithm: type[ConvAlgorithm] | str,
    examples: Iterable[ConvExample] | None = None,
    *,
    skip: Mapping[str, str] | None = None,
) -> Report:
    """Run all checks of a convolution algorithm: its class, or a registered name.

    It is tried on those of the examples (by default kernels, strides and paddings of all kinds, on small images) that
    it supports. Raises :class:`minidl.testing.CheckError` that lists what failed.

    >>> check_conv_algorithm("direct").count("failed")
    0
    """
    cls: Any = plugins.get("conv_algorithm", algorithm) if isinstance(algorithm, str) else algorithm
    name = algorithm if isinstance(algorithm, str) else cls.__name__
    return conv_subject(name, cls, CONVOLUTIONS if examples is None else examples).run(skip)


def check_backend(backend: type[Backend] | str, *, skip: Mapping[str, str] | None = None) -> Report:
    """Run all checks of a backend: its registered name, or its class, which is registered under its ``name``.

    Raises :class:`minidl.testing.CheckError` that lists what failed, and :class:`minidl.errors.BackendError` where the
    backend cannot be used.

    >>> from minidl.testing.strict import StrictBackend
    >>> check_backend(StrictBackend).count("failed")
    0
    """
    if not isinstance(backend, str):
        plugins.register("backend", backend.name)(backend)
        backend = backend.name
    return BackendSubject(backend).run(skip)


def check_dataset(dataset: Dataset | str, *, skip: Mapping[str, str] | None = None, **options: Any) -> Report:
    """Run all checks of a data set, or of what a registered name gives when it is called with ``options``.

    Raises :class:`minidl.testing.CheckError` that lists what failed.

    >>> import numpy as np
    >>> from minidl.data import ArrayDataset
    >>> check_dataset(ArrayDataset(np.arange(5), np.ones((5, 2), np.float32))).count("failed")
    0
    """
    if isinstance(dataset, str):
        return DatasetSubject(dataset, plugins.build("dataset", dataset, **options)).run(skip)
    if options:
        raise MinidlError(f"options ({', '.join(options)}) are for a registered name: this data set is made already")
    return DatasetSubject(type(dataset).__name__, dataset).run(skip)


def check_gradients(only: Collection[str] = ()) -> Iterator[tuple[str, str, list[GradcheckResult], str]]:
    """Check the gradients of every op, layer and loss, or only of those named: kind, name, results, and what is wrong.

    Raises :class:`PluginError` for a name that there is not.

    >>> [(kind, name, len(results), wrong) for kind, name, results, wrong in check_gradients(["exp", "mse"])]
    [('op', 'exp', 1, ''), ('loss', 'mse', 1, '')]
    """
    wanted = [(kind, name) for kind in DIFFERENTIATED for name in plugins.names(kind)]
    known = {name for _, name in wanted}
    for name in only:
        if name not in known:
            hint = suggestion(name, known) or " `python -m minidl plugins` lists all."
            raise PluginError(f"there is no op, layer or loss '{name}'.{hint}")
    for kind, name in wanted:
        if not only or name in only:
            results, wrong = [], ""
            try:
                results = subject(kind, name).gradients()
            except (GradientError, PluginError) as error:  # a plugin may be wrong, or fail to be imported
                wrong = f"{kind} {error}" if isinstance(error, GradientError) else str(error)
            yield kind, name, results, wrong


def list_checks(kind: str) -> dict[str, str]:
    """The names of all checks of a kind, and what each asks for.

    >>> list_checks("dataset")["length"]
    'It has a length, and at least one sample.'
    """
    if kind not in KINDS:
        raise PluginError(f"there are no checks for the kind '{kind}'. Kinds: {', '.join(KINDS)}.")
    return KINDS[kind].descriptions()
