"""The documented network in Keras on TensorFlow, which has minidl's layouts: weights are copied unchanged."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from .ours import Batch, Weights


def documented() -> Any:
    """Four blocks of convolution, ReLU and max pooling, and two heads."""
    x = inputs = keras.Input((128, 128, 1))
    for block, filters in enumerate((32, 64, 128, 256)):
        x = layers.Conv2D(filters, 3, activation="relu", name=f"features.{3 * block}")(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    outputs = {
        name: layers.Dense(1, name=f"{name}.2")(layers.Dense(256, activation="relu", name=f"{name}.0")(x))
        for name in ("gender", "age")
    }
    return keras.Model(inputs, outputs)


class Training:
    """A training of the documented network; a call runs one step and returns the loss."""

    def __init__(self, weights: Weights) -> None:
        self.model = documented()
        for layer in self.model.layers:
            if layer.weights:
                layer.set_weights([weights[f"{layer.name}.w"], weights[f"{layer.name}.b"]])
        losses = {"gender": keras.losses.BinaryCrossentropy(from_logits=True), "age": "mean_absolute_error"}
        self.model.compile(keras.optimizers.Adam(1e-3, epsilon=1e-8), losses)

    def put(self, batch: Batch) -> Any:
        """The batch as tensors."""
        images, targets = batch
        return tf.constant(images), {name: tf.constant(values) for name, values in targets.items()}

    def __call__(self, x: Any, targets: dict[str, Any]) -> float:
        return float(self.model.train_on_batch(x, targets, return_dict=True)["loss"])

    def predict(self, x: Any) -> None:
        """Inference on a batch."""
        self.model.predict_on_batch(x)
