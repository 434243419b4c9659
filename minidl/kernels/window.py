"""How a convolution or pooling window slides over an image: kernel size, stride, padding and output size."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..errors import ShapeError, brief, suggestion
from ..options import plain

Pair = int | tuple[int, int]
Padding = Literal["valid", "same"] | int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Window:
    """A ``KH x KW`` kernel that slides with strides ``SH, SW`` over an ``H x W`` image padded on its four sides.

    The output is ``OH x OW`` with ``OH = floor((H + top + bottom - KH) / SH) + 1`` (Dumoulin and Visin, "A guide to
    convolution arithmetic for deep learning", 2016, relationship 6).
    """

    H: int
    W: int
    KH: int
    KW: int
    SH: int
    SW: int
    top: int
    bottom: int
    left: int
    right: int
    OH: int
    OW: int

    @property
    def padded(self) -> bool:
        """Whether there is any padding."""
        return any((self.top, self.bottom, self.left, self.right))

    @property
    def padding(self) -> tuple[tuple[int, int], ...]:
        """The padding of an ``(N, H, W, C)`` array as ``pad_width`` of ``numpy.pad``."""
        return ((0, 0), (self.top, self.bottom), (self.left, self.right), (0, 0))

    @property
    def padded_size(self) -> tuple[int, int]:
        """Height and width including the padding."""
        return self.top + self.H + self.bottom, self.left + self.W + self.right

    @property
    def inside(self) -> tuple[slice, slice, slice]:
        """The slices of a padded batch that hold the images."""
        return slice(None), slice(self.top, self.top + self.H), slice(self.left, self.left + self.W)

    @property
    def overlaps(self) -> bool:
        """Whether neighbouring windows share pixels."""
        return self.SH < self.KH or self.SW < self.KW

    @property
    def covers_once(self) -> bool:
        """Whether every pixel, including the padding, is in exactly one window."""
        return (self.KH, self.KW) == (self.SH, self.SW) and self.padded_size == (self.OH * self.KH, self.OW * self.KW)

    def taps(self) -> Iterator[tuple[int, int]]:
        """The positions ``(kh, kw)`` inside the kernel, row by row."""
        return ((kh, kw) for kh in range(self.KH) for kw in range(self.KW))

    def under_tap(self, kh: int, kw: int) -> tuple[slice, slice, slice]:
        """The pixels of tap ``(kh, kw)`` in a padded batch: ``x[window.under_tap(kh, kw)]`` is (N, OH, OW, C).

        >>> import numpy as np
        >>> window = sliding_window(4, 4, kernel=2, stride=2, padding=0)
        >>> np.arange(16).reshape(1, 4, 4)[window.under_tap(0, 1)]
        array([[[ 1,  3],
                [ 9, 11]]])
        """
        rows = slice(kh, kh + self.SH * (self.OH - 1) + 1, self.SH)
        columns = slice(kw, kw + self.SW * (self.OW - 1) + 1, self.SW)
        return slice(None), rows, columns


def pad(xp: Any, x: Any, window: Window, value: float = 0.0) -> Any:
    """Pad the images of ``x`` (N, H, W, C) with ``value``; return ``x`` itself if there is no padding.

    >>> import numpy as np
    >>> window = sliding_window(2, 2, kernel=3, stride=1, padding=1)
    >>> pad(np, np.ones((1, 2, 2, 1)), window).shape
    (1, 4, 4, 1)
    """
    return xp.pad(x, window.padding, constant_values=value) if window.padded else x


@functools.lru_cache(maxsize=1024)
def sliding_window(H: int, W: int, kernel: Pair, stride: Pair, padding: Padding) -> Window:
    """The :class:`Window` for an image of ``H x W``.

    ``padding`` is "valid" (none), "same" (output size ``ceil(H / stride)``; an odd row or column of padding goes to
    the bottom and right, as in Keras), an integer, a pair (vertical, horizontal), or two pairs ((top, bottom), (left,
    right)). Raises :class:`ShapeError` for sizes and strides below 1, negative padding, and an output below 1 x 1.

    >>> window = sliding_window(5, 7, kernel=3, stride=2, padding="same")
    >>> (window.OH, window.OW), window.padding[1:3]
    ((3, 4), ((1, 1), (1, 1)))
    """
    KH, KW = pair(kernel, "the size of the kernel", least=1)
    SH, SW = pair(stride, "the stride", least=1)
    (top, bottom), (left, right) = _padding(padding, (H, W), (KH, KW), (SH, SW))
    height, width = H + top + bottom, W + left + right
    if height < KH or width < KW:
        raise ShapeError(
            f"the {KH}x{KW} kernel does not fit into the {H}x{W} image with padding "
            f"({top}, {bottom}), ({left}, {right}): use a smaller kernel, padding='same', or fewer layers before it"
        )
    OH, OW = (height - KH) // SH + 1, (width - KW) // SW + 1
    return Window(H, W, KH, KW, SH, SW, top, bottom, left, right, OH, OW)


def pooling_window(H: int, W: int, size: Pair, stride: Pair, padding: Padding) -> Window:
    """The :class:`Window` of a pooling: its padding must be smaller than the window, so no window is all padding.

    Raises :class:`ShapeError` as :func:`sliding_window` does, and for larger padding.

    >>> window = pooling_window(5, 6, 2, 2, 0)
    >>> window.OH, window.OW
    (2, 3)
    """
    window = sliding_window(H, W, size, stride, padding)
    if max(window.top, window.bottom) >= window.KH or max(window.left, window.right) >= window.KW or 0 in (H, W):
        raise ShapeError(
            f"the padding must be smaller than the pooling window of {window.KH}x{window.KW}, got {brief(padding)} for "
            f"{H}x{W} pixels: a window with only padding has no result"
        )
    return window


def require_images(shape: tuple[int, ...]) -> None:
    """Raise :class:`ShapeError` unless ``shape`` has the four axes of images (N, H, W, C).

    >>> require_images((28, 28))
    Traceback (most recent call last):
    minidl.errors.ShapeError: expected images (N, H, W, C), got (28, 28). For one grey image, use x.reshape(...). ...
    """
    if len(shape) != 4:
        raise ShapeError(f"expected images (N, H, W, C), got {shape}. {missing_axes(shape)}")


def missing_axes(shape: tuple[int, ...], channels: int | None = None) -> str:
    """A hint for a shape without the four axes of images; ``channels`` is the expected number of channels.

    >>> missing_axes((8, 28, 28), channels=1)
    'Grey images need a channel axis of size 1: use x.reshape(8, 28, 28, 1).'
    """
    sizes = ", ".join(map(str, shape))
    if len(shape) != 3:
        square = len(shape) == 2 and 0 < max(shape) <= 3 * min(shape)  # an image rather than features
        grey = f"For one grey image, use x.reshape(1, {sizes}, 1). " if square and channels in (None, 1) else ""
        return f"{grey}Images have four axes: put this before any Flatten, or use x.reshape(N, H, W, C)."
    if channels is None or shape[2] == channels:
        return f"One image needs a batch axis of size 1: use x.reshape(1, {sizes})."
    if channels == 1:
        return f"Grey images need a channel axis of size 1: use x.reshape({sizes}, 1)."
    if shape[0] == channels:
        return "For one image with channels first, use x.transpose(1, 2, 0)[None]."
    return f"Images of {channels} channels have four axes; for grey ones use Conv2D(1, ...) and x.reshape({sizes}, 1)."


def frozen(value: Any) -> Any:
    """Convert lists to tuples and NumPy scalars to Python ones, so that sizes are hashable.

    >>> frozen([[1, np.int64(1)], [0, 2]])
    ((1, 1), (0, 2))
    """
    if isinstance(value, list | tuple):
        return tuple(frozen(part) for part in value)
    found = plain(value)
    if type(found).__hash__ is None:
        raise ShapeError(f"expected integers, or pairs of them, got {brief(value)}")
    return found


def pair(value: Pair, what: str, least: int = 0) -> tuple[int, int]:
    """``(value, value)`` for an integer, a pair as it is; both values must be at least ``least``.

    Raises :class:`ShapeError` for anything else, with ``what`` in its message.

    >>> pair(2, "the stride"), pair((1, 2), "the stride")
    ((2, 2), (1, 2))
    """
    first, second = _two(value, what)
    if not (_is_size(first, least) and _is_size(second, least)):
        raise ShapeError(f"{what} must be an integer >= {least} or a tuple of two, got {brief(value)}")
    return int(first), int(second)


def _two(value: Any, what: str) -> tuple[Any, Any]:
    """A pair as it is; ``(value, value)`` for anything else."""
    if not isinstance(value, tuple):
        return value, value
    if len(value) != 2:
        raise ShapeError(f"{what} must be one value or a tuple of two, got {brief(value)}")
    return value


def _is_size(value: Any, least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= least


def _padding(
    padding: Padding, image: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Top and bottom, left and right."""
    if padding == "same":
        return _same(image[0], kernel[0], stride[0]), _same(image[1], kernel[1], stride[1])
    if isinstance(padding, str) and padding != "valid":
        close = suggestion(padding, ("valid", "same"))
        raise ShapeError(f"the padding must be 'valid', 'same', an integer or integer pairs, got '{padding}'.{close}")
    vertical, horizontal = (0, 0) if padding == "valid" else _two(padding, "the padding")
    return pair(vertical, "the vertical padding"), pair(horizontal, "the horizontal padding")


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return missing // 2, missing - missing // 2
