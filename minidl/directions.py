"""Whether a higher or a lower metric is better, derived from its name where possible."""

import re

from .errors import MinidlError, brief

KNOWN = {
    "min": """
        loss error errors err mae mse rmse mape smape msle rmsle nll bce entropy crossentropy perplexity divergence
        deviance hinge huber logcosh brier distance ece regret""",
    "max": """
        accuracy acc auc auroc auprc roc precision recall sensitivity specificity f1 f2 fbeta fscore fmeasure r2 iou
        miou dice jaccard kappa mcc similarity correlation psnr ssim bleu ap""",
}
"""Words in the names of values to be minimized or maximized."""
TURNED = {"neg", "negative", "minus", "inverse", "inv", "no", "not", "one", "missed"}
"""Words that reverse the direction of others."""
SILENT = {"at", "k", "score", "rate", "total", "mean", "macro", "micro", "weighted"}
"""The only words, except numbers, that may follow a known word without changing its direction."""


def direction(monitor: str, mode: str | None = None) -> str:
    """``"min"`` if lower values are better, ``"max"`` if higher ones are: ``mode``, or else derived from the name.

    The last word counts: an ``accuracy_error`` is an error, and ``accuracy_gap`` is ambiguous. Raises
    :class:`MinidlError` for ambiguous names, such as ``score``, and for anything but a string.

    >>> direction("val_loss"), direction("gender_accuracy"), direction("score", "max")
    ('min', 'max', 'max')
    >>> direction("score")
    Traceback (most recent call last):
    minidl.errors.MinidlError: the name 'score' does not imply whether higher or lower is better: write ...
    """
    if not isinstance(monitor, str):
        raise MinidlError(f"monitor must be a name in the history, such as 'val_loss', got {brief(monitor)}")
    if mode not in (None, "min", "max", "auto"):
        raise MinidlError(f'expected mode="min", mode="max", or no mode if the name implies it, got {brief(mode)}')
    if mode in ("min", "max"):
        return str(mode)
    words = re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", monitor).lower())
    known = {word: better for better, some in KNOWN.items() for word in some.split()}
    telling = [known.get(word, "") for word in words if word not in SILENT and not word.isdigit()]
    if not telling or not telling[-1] or TURNED.intersection(words) or re.search(r"[^\w ]", monitor):
        raise MinidlError(
            f'the name \'{monitor}\' does not imply whether higher or lower is better: write mode="max" or mode="min"'
        )
    return telling[-1]
