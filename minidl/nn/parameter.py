"""The tensors of a module: parameters, which are trained, and buffers, which are part of its state but not trained."""

from typing import Any

import numpy as np

from ..checks import plain_array
from ..errors import CallError
from ..habits import explained
from ..op import HALF, SINGLE
from ..tensor import Tensor
from ..tensor import tensor as as_tensor


class Parameter(Tensor):
    """A trainable tensor of a module. Its ``name`` is its dotted path, such as ``features.2.w``.

    >>> Parameter([1.0, 2.0]).requires_grad
    True
    """

    _is_state = True

    @explained
    def __init__(self, data: Any) -> None:
        """Copy the data as floats, like :func:`minidl.tensor`: training never changes the array that was passed.

        Raises :class:`CallError` for a tuple of integers, which is a shape.
        """
        if isinstance(data, tuple) and data and all(isinstance(size, int) for size in data):
            raise CallError(
                f"expected values, got {data}: write nn.Parameter(np.zeros({data}, np.float32)) for a shape, "
                f"nn.Parameter({list(data)}) for values"
            )
        super().__init__(as_tensor(data, requires_grad=True).data, requires_grad=True)


class Buffer(Tensor):
    """A tensor that is part of the state of a module but not trained, such as a running mean.

    >>> import numpy as np
    >>> Buffer(np.zeros(2)).requires_grad
    False
    """

    _is_state = True

    @explained
    def __init__(self, data: Any) -> None:
        """Copy an array, like :func:`minidl.tensor`: updates of the buffer never change the array that was passed."""
        super().__init__(as_tensor(plain_array(data)).data)

    def kept_in(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """The dtype of this buffer in a model of the given dtype: integers and booleans keep their own."""
        return dtype if self.dtype.kind == "f" else self.dtype


class Statistic(Buffer):
    """A buffer that accumulates over many steps: float32 even in a float16 model, where small updates would be lost.

    >>> import numpy as np
    >>> Statistic(np.zeros(2, np.float16)).dtype
    dtype('float32')
    """

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.data = self.data.astype(self.kept_in(self.dtype))

    def kept_in(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        return super().kept_in(SINGLE if dtype == HALF else dtype)
