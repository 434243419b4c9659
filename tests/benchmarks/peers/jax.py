"""The documented network in JAX, compiled as one step; parameters have minidl's names and layouts."""

from functools import partial
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

from .ours import Batch, Weights

LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8
Arrays = dict[str, jax.Array]


def forward(w: Arrays, x: jax.Array) -> Arrays:
    """Four blocks of convolution, ReLU and max pooling, and two heads."""
    for layer in ("features.0", "features.3", "features.6", "features.9"):
        x = lax.conv_general_dilated(x, w[f"{layer}.w"], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.nn.relu(x + w[f"{layer}.b"])
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = x.reshape(len(x), -1)
    hidden = {name: jax.nn.relu(x @ w[f"{name}.0.w"] + w[f"{name}.0.b"]) for name in ("gender", "age")}
    return {name: h @ w[f"{name}.2.w"] + w[f"{name}.2.b"] for name, h in hidden.items()}


def loss(w: Arrays, x: jax.Array, targets: Arrays) -> jax.Array:
    """Binary cross-entropy of the gender logit plus mean absolute error of the age."""
    outputs = forward(w, x)
    logits = outputs["gender"]
    gender = jnp.mean(jnp.maximum(logits, 0) - logits * targets["gender"] + jnp.log1p(jnp.exp(-jnp.abs(logits))))
    return gender + jnp.mean(jnp.abs(outputs["age"] - targets["age"]))


@partial(jax.jit, donate_argnums=(0, 1, 2, 3))
def step(w: Arrays, m: Arrays, v: Arrays, t: jax.Array, x: jax.Array, targets: Arrays) -> Any:
    """Loss, gradients and Adam; returns the new weights, means and step number, and the loss."""
    value, g = jax.value_and_grad(loss)(w, x, targets)
    t = t + 1
    m = {name: BETA1 * m[name] + (1 - BETA1) * g[name] for name in w}
    v = {name: BETA2 * v[name] + (1 - BETA2) * g[name] ** 2 for name in w}
    size, unbias = LR / (1 - BETA1**t), 1 - BETA2**t
    w = {name: w[name] - size * m[name] / (jnp.sqrt(v[name] / unbias) + EPS) for name in w}
    return (w, m, v, t), value


class Training:
    """A training of the documented network; a call runs one step and returns the loss."""

    def __init__(self, weights: Weights) -> None:
        w = {name: jnp.array(value) for name, value in weights.items()}
        m, v = jax.tree.map(jnp.zeros_like, w), jax.tree.map(jnp.zeros_like, w)
        self.state = (w, m, v, jnp.zeros(()))
        self.infer = jax.jit(forward)

    def put(self, batch: Batch) -> Any:
        """The batch as JAX arrays."""
        return jax.tree.map(jnp.asarray, batch)

    def __call__(self, x: jax.Array, targets: Arrays) -> float:
        self.state, value = step(*self.state, x, targets)
        jax.block_until_ready(self.state)
        return float(value)

    def predict(self, x: jax.Array) -> None:
        """Inference on a batch."""
        jax.block_until_ready(self.infer(self.state[0], x))
