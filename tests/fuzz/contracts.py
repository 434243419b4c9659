"""Documented differences between minidl and PyTorch, in one table: the fuzzer does not report them.

A contract is excluded by name, never by a looser tolerance. Some are translated on PyTorch's side of a program
(theirs.py), so everything else is still compared; the others excuse an error, or a gradient at a point that has none.
"""

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Contract:
    """A contract, and the differences that it explains."""

    sentence: str
    ours: str = ""
    """A regular expression for minidl's error where PyTorch raises none."""
    theirs: str = ""
    """A regular expression for PyTorch's error where minidl raises none."""
    infinite: str = ""
    """A regular expression for programs in which infinities and NaN are not compared once there are some."""


CONTRACTS: dict[str, Contract] = {
    # Translated in theirs.py
    "ties": Contract(
        "The gradient of a maximum goes to the first of equal elements, or of NaN; PyTorch shares, or takes the last."
    ),
    "ddof": Contract("var has ddof 0, also in the running averages of BatchNorm; PyTorch's has 1."),
    "eps": Contract("BatchNorm has eps 1e-3, and momentum is the share of the old average."),
    "statistics": Contract("The running statistics of a BatchNorm of float16 are float32."),
    "layout": Contract("Images are (N, H, W, C), dense weights (inputs, outputs)."),
    "same": Contract("Padding 'same' pads the odd row at the bottom and right, at any stride."),
    "pixels": Contract("Average pooling does not count the padding."),
    "infinite": Contract(
        "batch_norm centres first and then multiplies with gamma, in float32; PyTorch does both in one, in float64.",
        infinite="batch_norm|BatchNorm",
    ),
    "variances": Contract(
        "A variance is a mean in the dtype of the numbers, which may overflow; PyTorch's is one in float64.",
        infinite=r"\.var\(",
    ),
    "half": Contract(
        "float16 is computed in float32 inside of an op, so that its squares do not become infinite there.",
        infinite="float16",
    ),
    "spread": Contract(
        "Which zeros an infinite or missing number meets in a sum of products, and so what it makes NaN, is open.",
        infinite=r"conv2d|Conv2D|@|linear|Dense",
    ),
    "whole": Contract(
        "Integers and booleans become float32 in ops that are not exact for them, so that nothing wraps around.",
        theirs="not (implemented|support)|Subtraction, the",
    ),
    "unsigned": Contract("A sum of unsigned integers is unsigned, as NumPy's."),
    "axes": Contract(
        "A tensor without axes has a dtype as any other has; PyTorch's takes that of the tensor beside it."
    ),
    "bytes": Contract("A byte is never below 0: PyTorch compares it with the number modulo 256."),
    "roots": Contract(
        "x ** 0.5 is the square root of x, as in NumPy: NaN for -inf; at -0 the sign of its slope is open.",
        infinite=r"\*\*",
    ),
    "nan": Contract("The derivative of relu at NaN is 0, that of an absolute difference is NaN."),
    "logits": Contract(
        "Binary cross-entropy of a large logit on the right side is exp(-|x|), which PyTorch rounds to 0; that of an"
        " infinite one is NaN or infinite.",
        infinite="binary_cross_entropy",
    ),
    "labels": Contract(
        "The gradient of a cross-entropy for an infinite one is infinite at the label, too; PyTorch's is NaN there.",
        infinite="softmax_cross_entropy|SoftmaxCrossEntropy",
    ),
    "indices": Contract(
        "An index means what it means in NumPy, beside a list a number is a list of one; PyTorch's is not."
    ),
    "zeros": Contract(
        "Which of 0 and -0 their maximum is, is open, and so the sign of its reciprocal.",
        infinite=r"max_pool|MaxPool|maximum|\.max\(",
    ),
    # Errors on one side
    "dtypes": Contract(
        "Two tensors of different float dtypes are an error; PyTorch promotes.",
        ours="different dtypes|expected .* got float",
    ),
    "integers": Contract(
        "uint64 beside signed integers is an error; PyTorch takes the other dtype, or refuses.",
        ours="no common integer dtype",
    ),
    "changed": Contract(
        "backward() refuses every op whose input was changed since; PyTorch those that kept its values.",
        ours="was changed",
    ),
    "freed": Contract(
        "A second backward() through any part of a graph is an error; PyTorch's where values were kept.",
        ours="went through this part of the graph before",
    ),
    "nothing": Contract(
        "A mean, a variance and a loss of no elements are errors; PyTorch's are NaN.",
        ours="nothing to reduce|at least one element|N >= 1|sizes? .* 0",
    ),
    "windows": Contract("A window of a pooling meets a pixel, also in images without any.", ours="with only padding"),
    "losses": Contract("Predictions and targets have one shape; PyTorch broadcasts.", ours="of the shape of"),
    "targets": Contract("Targets of binary cross-entropy lie in 0 ... 1.", ours="targets must lie in"),
    "classes": Contract("A cross-entropy of classes has two of them or more.", ours="classes >= 2"),
    "pixels in": Contract("Layers with weights take no bytes: pixels are scaled first.", ours="scale pixels to"),
    "scalars": Contract(
        "A single number has no axis; PyTorch's has axis 0 and -1.", ours="does not exist for a scalar"
    ),
    "retained": Contract("retain_grad() of what has no graph does nothing.", theirs="can't retain_grad"),
    "single": Contract(
        "The op batch_norm takes one value per channel, the layer does not.", theirs="more than 1 value per channel"
    ),
    "channels": Contract(
        "Images may have no channels, weights must have some.",
        ours="without empty axes",
        theirs="with optional 0 dim batch size",
    ),
    "outside": Contract(
        "An index that does not exist is an error, beside an empty list too.",
        ours="(^|: )(index|boolean index|too many indices)",
    ),
}


def spreads(program: str) -> bool:
    """Whether infinities and NaN may differ in a program."""
    return any(contract.infinite and re.search(contract.infinite, program) for contract in CONTRACTS.values())


def excuse(ours: Any, theirs: Any) -> str:
    """The name of the contract that explains a difference between two results of a line; "" if there is none."""
    for name, contract in CONTRACTS.items():
        for pattern, here, there in ((contract.ours, ours, theirs), (contract.theirs, theirs, ours)):
            if (
                pattern
                and isinstance(here, Exception)
                and (not isinstance(there, Exception) or isinstance(here, IndexError))
                and re.search(pattern, str(here))
            ):
                return name
    return ""
