"""The loss and the metrics of a batch, one value each.

>>> import minidl as md
>>> error = checked_metrics({"worst": lambda outputs, targets: abs(outputs - targets).max()})
>>> outputs, targets = md.tensor([1.0, 5.0]), np.float32([2.0, 2.0])
>>> measured(md.nn.functional.mse_loss(outputs, targets), error, outputs, targets)
array([5., 3.])
"""

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from . import backends, nested
from .errors import MinidlError, ShapeError, brief
from .tensor import Tensor

Array = Any
Loss = Callable[[Any, Any], Tensor]
Metric = Callable[[Any, Any], Any]


def checked_metrics(metrics: Any) -> dict[str, Metric]:
    """The metrics of a trainer by name, empty for None; :class:`MinidlError` for names reserved in its history.

    >>> checked_metrics({"loss": abs})
    Traceback (most recent call last):
    minidl.errors.MinidlError: a metric cannot be named 'loss', which is another column of the history: ...
    """
    if not isinstance(metrics, Mapping | None):
        raise MinidlError(
            f"expected a dictionary of metrics, got {brief(metrics)}: use {{name: function(outputs, targets)}}"
        )
    for name, metric in (metrics or {}).items():
        _require_name(name)
        if isinstance(metric, type) or not callable(metric):
            raise MinidlError(f"the metric '{name}' must be a function of outputs and targets, got {brief(metric)}")
    return dict(metrics or {})


def _require_name(name: Any) -> None:
    if not isinstance(name, str):
        raise MinidlError(f"the name of a metric must be a string, got {brief(name)}: use {{'accuracy': accuracy}}")
    if name in ("epoch", "lr", "loss") or name.startswith("val_"):
        raise MinidlError(
            f"a metric cannot be named '{name}', which is another column of the history: use another name without "
            "val_, the prefix of values from the validation"
        )


def checked_function(loss: Any) -> Loss:
    """The loss of a trainer, a function of outputs and targets; :class:`MinidlError` for anything else.

    >>> checked_function("mse")
    Traceback (most recent call last):
    minidl.errors.MinidlError: expected a loss of outputs and targets, got 'mse': use F.mse_loss or nn.MSELoss()
    """
    if isinstance(loss, type) or not callable(loss):
        raise MinidlError(f"expected a loss of outputs and targets, got {brief(loss)}: use F.mse_loss or nn.MSELoss()")
    return loss  # type: ignore[no-any-return]


def checked_loss(loss: Any) -> Tensor:
    """The result of a loss function, a tensor with one element; :class:`MinidlError` for anything else.

    >>> checked_loss(None)
    Traceback (most recent call last):
    minidl.errors.MinidlError: the loss returned nothing: end its function with `return loss`
    """
    if loss is None:
        raise MinidlError("the loss returned nothing: end its function with `return loss`")
    if not isinstance(loss, Tensor):
        raise MinidlError(
            f"the loss returned {type(loss).__name__}, expected a tensor with one element: return the tensor itself, "
            "without item() or numpy(), which break the graph"
        )
    if loss.size != 1:
        raise ShapeError(
            f"the loss returned a tensor of shape {loss.shape}, expected one element: take the mean() over the batch"
        )
    return loss


def measured(loss: Tensor, metrics: Mapping[str, Metric], outputs: Any, targets: Any) -> Array:
    """The loss and the metrics of a batch in one array on their device, because reading them would synchronize."""
    if metrics:
        outputs = nested.map_leaves(lambda y: y.data if isinstance(y, Tensor) else y, outputs)
    values = loss.backend.xp.empty(1 + len(metrics), np.float64)
    values[0] = loss.data.reshape(())
    for i, (name, metric) in enumerate(metrics.items(), start=1):
        values[i] = _number(name, _called(name, metric, outputs, targets))
    return values


def _called(name: str, metric: Metric, outputs: Any, targets: Any) -> Any:
    """What a metric gives; its error gets a note with its name."""
    try:
        return metric(outputs, targets)
    except AttributeError as error:
        if not backends.is_array(error.obj) and not isinstance(error.obj, np.generic):
            raise
        raise MinidlError(
            f"the metric '{name}' uses .{error.name}, and it gets arrays, not tensors: leave out .detach(), .numpy() "
            "and the like, and write np.argmax(outputs, axis=1)"
        ) from error
    except Exception as error:
        error.add_note(f"in the metric '{name}': metrics get the outputs and targets as arrays, not as tensors")
        raise


def _number(name: str, value: Any) -> Any:
    """The result of a metric as a number or a 0-d array."""
    if isinstance(value, Real):
        return value
    if value is None:
        raise MinidlError(f"the metric '{name}' returned nothing: end its function with `return ...`")
    array = value.data if isinstance(value, Tensor) else value
    kind = getattr(getattr(array, "dtype", None), "kind", None)
    if kind is None or kind not in "fiub":
        given = type(value).__name__ if kind is None else f"an array of {array.dtype}"
        raise MinidlError(f"the metric '{name}' returned {given}, expected a number: the mean over the batch")
    if array.size != 1:
        raise ShapeError(f"the metric '{name}' returned shape {array.shape}, expected a number: take its mean()")
    return array.reshape(())
