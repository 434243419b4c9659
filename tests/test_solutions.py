"""The solutions of the exercises agree with minidl and agegender."""

import numpy as np

import minidl as md
from agegender.data.names import parse_name
from minidl import course
from minidl.kernels.window import sliding_window


def test_the_gradients_are_those_of_autograd() -> None:
    a, b = md.tensor(2.0, requires_grad=True), md.tensor(5.0, requires_grad=True)
    (a * b).backward()
    assert course.check_product_slopes.solution(2.0, 5.0) == (a.grad, b.grad)


def test_the_convolution_is_minidl_s() -> None:
    for x, w, b, stride, padding in course.check_conv2d.examples:
        y = md.nn.functional.conv2d(md.tensor(x), w, b if len(b) == w.shape[3] else None, stride, padding)
        np.testing.assert_allclose(course.check_conv2d.solution(x, w, b, stride, padding), y.numpy(), atol=1e-12)


def test_pooling_is_minidl_s() -> None:
    for dy, x, size, stride in course.check_max_pool_backward.examples:
        images = md.tensor(x, requires_grad=True)
        y = md.nn.functional.max_pool2d(images, size, stride)
        np.testing.assert_array_equal(course.check_max_pool.solution(x, size, stride), y.numpy())
        y.backward(dy)
        np.testing.assert_allclose(course.check_max_pool_backward.solution(dy, x, size, stride), images.grad)


def test_the_losses_are_minidl_s() -> None:
    F = md.nn.functional
    for logits, targets in course.check_bce_with_logits.examples:
        loss = F.binary_cross_entropy_with_logits(md.tensor(logits), targets)
        np.testing.assert_allclose(course.check_bce_with_logits.solution(logits, targets), loss.item())
    for array, labels in course.check_cross_entropy_gradient.examples:
        x = md.tensor(array, requires_grad=True)
        F.softmax_cross_entropy(x, labels).backward()
        np.testing.assert_allclose(course.check_cross_entropy_gradient.solution(array, labels), x.grad, atol=1e-12)


def test_the_steps_are_minidl_s() -> None:
    w, dw, v, lr, momentum = course.check_momentum_step.examples[0]
    lr2, beta1, beta2, eps = course.check_adam_step.examples[0][5:]
    sgd = md.optim.SGD([md.tensor(w)], lr=lr, momentum=momentum)
    adam = md.optim.Adam([md.tensor(w)], lr=lr2, betas=(beta1, beta2), eps=eps)
    by_momentum, by_adam = (w, v), (w, np.zeros_like(w), np.zeros_like(w))
    for number in range(3):
        for optimizer in (sgd, adam):
            optimizer.parameters[0].grad = dw + number
            optimizer.step()
        by_momentum = course.check_momentum_step.solution(by_momentum[0], dw + number, by_momentum[1], lr, momentum)
        by_adam = course.check_adam_step.solution(
            by_adam[0], dw + number, *by_adam[1:], 1 + number, lr2, beta1, beta2, eps
        )
    np.testing.assert_allclose(by_momentum[0], sgd.parameters[0].numpy())
    np.testing.assert_allclose(by_adam[0], adam.parameters[0].numpy())


def test_names_are_read_as_agegender_reads_them() -> None:
    for (name,) in course.check_parse_name.examples:
        assert course.check_parse_name.solution(name) == parse_name(name)


def test_a_product_costs_what_the_profiler_counts() -> None:
    for M, K, N in course.check_matmul_cost.examples:
        rows = md.profile(md.nn.Dense(K, N, bias=False), np.ones((M, K), np.float32), steps=1).rows()
        product = next(row for row in rows if row.op == "Linear")
        # FLOPs: forward, and once more for the gradient of the weights; bytes: forward and backward.
        assert (product.flops / 2, product.nbytes / 2) == course.check_matmul_cost.solution(M, K, N)


def test_the_pixels_of_windows_are_minidl_s() -> None:
    for H, W, KH, KW, stride in course.check_window_pixels.examples:
        window = sliding_window(H, W, (KH, KW), stride, 0)
        numbers = np.arange(H * W).reshape(1, H, W)
        taps = [numbers[window.under_tap(kh, kw)].ravel() for kh, kw in window.taps()]
        np.testing.assert_array_equal(course.check_window_pixels.solution(H, W, KH, KW, stride), np.transpose(taps))
