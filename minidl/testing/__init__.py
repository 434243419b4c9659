"""Tools that prove gradients and plugins right."""

from .check_backends import BackendSubject, check_backend
from .check_conv import ConvAlgorithmSubject, ConvExample, check_conv_algorithm
from .check_data import DatasetSubject, check_dataset
from .check_layers import LayerExample, LayerSubject, check_layer
from .check_losses import LossExample, LossSubject, check_loss
from .check_ops import OpExample, OpSubject, check_op
from .check_optimizers import OptimizerExample, OptimizerSubject, check_optimizer
from .gradcheck import GradcheckResult, GradientError, gradcheck
from .kit import CheckError, NotApplicable, Report, Subject, parametrize_with_checks
from .subjects import check_gradients, list_checks, subject, subjects

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
