"""The predictions of a model for many faces."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import minidl as md
from minidl.data import DataLoader, Dataset
from minidl.errors import MinidlError

BATCH = 64


class Predictions(NamedTuple):
    """The logit of label 1 and the age in years, not clipped, of each face, float64 (N,): see :func:`predictions`."""

    logits: NDArray[np.float64]
    ages: NDArray[np.float64]


def predictions(model: md.nn.Module, faces: Dataset, *, flip: bool = False) -> Predictions:
    """The predictions of a model for a data set whose items are faces or start with one.

    With ``flip``, each is the mean of the predictions for the face and for its mirror image. Raises
    :class:`minidl.errors.MinidlError` for a model that predicts NaN or infinity.

    >>> from agegender.models import build
    >>> found = predictions(build(), md.data.ArrayDataset(np.zeros((3, 128, 128, 1), np.float32)))
    >>> found.logits.shape, found.ages.dtype
    ((3,), dtype('float64'))
    """
    was_training = model.training
    model.eval()
    try:
        with md.no_grad():
            found = [_predictions(model, batch, flip) for batch in DataLoader(faces, BATCH)]
    finally:
        model.train(was_training)
    joined = Predictions(*(np.concatenate(column) for column in zip(*found, strict=True)))
    if not all(np.isfinite(column).all() for column in joined):
        raise MinidlError("the model predicts NaN or infinity: its training diverged. Use the weights of another run")
    return joined


def _predictions(model: md.nn.Module, batch: Any, flip: bool) -> Predictions:
    images = batch[0] if isinstance(batch, tuple | list) else batch
    x = md.tensor(images).to(model.parameters()[0].backend.name)
    views = [x, x[:, :, ::-1]] if flip else [x]
    outputs = [model(view) for view in views]
    logits, ages = (
        np.mean([y[name].numpy()[:, 0] for y in outputs], axis=0, dtype=float) for name in ("gender", "age")
    )
    return Predictions(logits, ages)
