"""Checkers for the exercises of the notebooks: hints instead of tracebacks.

>>> from minidl import course
>>> def relu_slope(x):
...     return 1.0
>>> relu_slope = course.check_relu_slope(relu_slope)
relu_slope: not right yet, for x=-2.0.
    Hint: below 0 the output does not depend on x: the slope there is 0.
    The notebook continues with minidl's own version.
>>> relu_slope(-2.0)
0.0

Every checker is an :class:`Exercise`, called with the reader's function. It returns that function if it is right, and
the solution otherwise, so the rest of the notebook works. :func:`mine` gives an answer back in a later notebook.
"""

from .answer import NotSolved
from .autograd import check_gradients, check_matmul_backward, check_topological_order, check_unbroadcast
from .convolution import check_conv2d, check_conv2d_backward, check_output_size
from .exercise import Exercise
from .faces import check_best_constant, check_first_copies, check_luma, check_parse_name
from .fast_convolution import check_im2col, check_winograd
from .generalisation import check_batch_norm, check_batch_norm_backward, check_dropout
from .inside import check_calibration_error, check_grad_cam, check_group_means, check_saliency
from .kept import mine
from .library import check_array_gradients
from .losses import (
    check_bce_gradient,
    check_bce_with_logits,
    check_cross_entropy_gradient,
    check_l1_gradient,
    check_log_sum_exp,
    check_numerical_gradient,
)
from .network import check_block_shape, check_conv_parameters, check_gender_accuracy, check_training_step
from .neurons import check_hat, check_layer, check_neuron, check_product_slopes, check_relu_slope, check_step
from .optimizers import check_adam_step, check_clip_by_norm, check_early_stopping, check_momentum_step
from .plugins import check_adagrad_step, check_power_mean, check_window_pixels
from .pooling import check_dense_backward, check_max_pool, check_max_pool_backward, check_relu_backward
from .speed import check_attainable, check_finish_times, check_fused, check_matmul_cost
from .start import check_cube_slope, check_largest_errors, check_mean_absolute_error

__all__ = [
    "Exercise",
    "NotSolved",
    "mine",
    "check_mean_absolute_error",
    "check_largest_errors",
    "check_cube_slope",
    "check_neuron",
    "check_hat",
    "check_layer",
    "check_product_slopes",
    "check_relu_slope",
    "check_step",
    "check_topological_order",
    "check_gradients",
    "check_unbroadcast",
    "check_matmul_backward",
    "check_output_size",
    "check_conv2d",
    "check_conv2d_backward",
    "check_im2col",
    "check_winograd",
    "check_max_pool",
    "check_max_pool_backward",
    "check_relu_backward",
    "check_dense_backward",
    "check_bce_with_logits",
    "check_bce_gradient",
    "check_log_sum_exp",
    "check_cross_entropy_gradient",
    "check_l1_gradient",
    "check_numerical_gradient",
    "check_momentum_step",
    "check_adam_step",
    "check_early_stopping",
    "check_clip_by_norm",
    "check_dropout",
    "check_batch_norm",
    "check_batch_norm_backward",
    "check_parse_name",
    "check_luma",
    "check_best_constant",
    "check_first_copies",
    "check_block_shape",
    "check_conv_parameters",
    "check_gender_accuracy",
    "check_training_step",
    "check_saliency",
    "check_grad_cam",
    "check_group_means",
    "check_calibration_error",
    "check_array_gradients",
    "check_matmul_cost",
    "check_attainable",
    "check_fused",
    "check_finish_times",
    "check_power_mean",
    "check_adagrad_step",
    "check_window_pixels",
]
