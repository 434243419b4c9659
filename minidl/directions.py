"""Whether more or less of a measured value is better, told by its name where the name says it."""

import re

from .errors import MinidlError

KNOWN = {
    "min": """
        loss error errors err mae mse rmse mape smape msle rmsle nll bce entropy crossentropy perplexity divergence
        deviance hinge huber logcosh brier distance ece regret""",
    "max": """
        accuracy acc auc auroc auprc roc precision recall sensitivity specificity f1 f2 fbeta fscore fmeasure r2 iou
        miou dice jaccard kappa mcc similarity correlation psnr ssim bleu ap""",
}
"""Words of names of which less, or more, is better."""
TURNED = {"neg", "negative", "minus", "inverse", "inv", "no", "not", "one", "missed"}
"""Words that turn the meaning of the others round."""
SILENT = {"at", "k", "score", "rate", "total", "mean", "macro", "micro", "weighted"}
"""Words after a known one, beside numbers, that leave its meaning as it is: those of no other kind may."""


def direction(monitor: str, mode: str | None = None) -> str:
    """``"min"`` where less of a value is better, ``"max"`` where more is: what ``mode`` says, else what the name says.

    The last word counts: an ``accuracy_error`` is an error, and an ``accuracy_gap`` says nothing. Raises
    :class:`MinidlError` for names that say nothing, such as ``score``, rather than to take the worst for the best, and
    for what is no name at all.

    >>> direction("val_loss"), direction("gender_accuracy"), direction("score", "max")
    ('min', 'max', 'max')
    >>> direction("score")
    Traceback (most recent call last):
    minidl.errors.MinidlError: whether more or less of 'score' is better, its name does not say: write mode="max" or ...
    """
    if not isinstance(monitor, str):
        raise MinidlError(f"monitor must be a name in the history, such as 'val_loss', got {monitor!r:.60}")
    if mode not in (None, "min", "max", "auto"):
        raise MinidlError(f'expected mode="min" or mode="max", or none where the name says it, got {mode!r}')
    if mode in ("min", "max"):
        return str(mode)
    words = re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", monitor).lower())
    known = {word: better for better, some in KNOWN.items() for word in some.split()}
    telling = [known.get(word, "") for word in words if word not in SILENT and not word.isdigit()]
    if not telling or not telling[-1] or TURNED.intersection(words) or re.search(r"[^\w ]", monitor):
        raise MinidlError(
            f'whether more or less of \'{monitor}\' is better, its name does not say: write mode="max" or mode="min"'
        )
    return telling[-1]
