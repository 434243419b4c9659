"""Tools for plugin authors: gradient checks, and conformance checks for every kind of plugin.

- :func:`gradcheck` compares the gradients of any function of tensors with finite differences, in float64. It shows that
  a backward pass is correct at the given inputs.
- :func:`check_op`, :func:`check_layer`, :func:`check_loss`, :func:`check_optimizer`, :func:`check_conv_algorithm`,
  :func:`check_backend` and :func:`check_dataset` run every check of a kind, on examples of every shape, memory layout
  and dtype, and raise :class:`CheckError` with all failures. :func:`list_checks` describes each check.
- Under pytest, :func:`parametrize_with_checks` makes every check a test, ``pytest --minidl-checks DISTRIBUTION`` adds
  the checks of all plugins of a package, and the fixture ``strict_backend`` stands in for a GPU.

The checks themselves are tested on plugins with deliberate mistakes: docs/gradients.md.

>>> import numpy as np
>>> from minidl import ops
>>> check_op(ops.Exp, np.array([[0.5, -1.0]])).count("failed")
0
"""

from .check_backends import BackendSubject
from .check_conv import ConvAlgorithmSubject, ConvExample
from .check_data import DatasetSubject
from .check_layers import LayerExample, LayerSubject
from .check_losses import LossExample, LossSubject
from .check_ops import OpExample, OpSubject
from .check_optimizers import OptimizerExample, OptimizerSubject
from .checks import (
    check_backend,
    check_conv_algorithm,
    check_dataset,
    check_gradients,
    check_layer,
    check_loss,
    check_op,
    check_optimizer,
    list_checks,
)
from .gradcheck import GradcheckResult, GradientError, gradcheck
from .kit import CheckError, NotApplicable, Report, Subject, parametrize_with_checks
from .subjects import subject, subjects

__all__ = [
    "gradcheck",
    "GradcheckResult",
    "GradientError",
    "check_op",
    "check_layer",
    "check_loss",
    "check_optimizer",
    "check_conv_algorithm",
    "check_backend",
    "check_dataset",
    "CheckError",
    "NotApplicable",
    "Report",
    "Subject",
    "OpExample",
    "OpSubject",
    "LayerExample",
    "LayerSubject",
    "LossExample",
    "LossSubject",
    "OptimizerExample",
    "OptimizerSubject",
    "ConvExample",
    "ConvAlgorithmSubject",
    "BackendSubject",
    "DatasetSubject",
    "check_gradients",
    "list_checks",
    "parametrize_with_checks",
    "subject",
    "subjects",
]
