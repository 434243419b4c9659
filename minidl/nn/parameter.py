"""The tensors of a module: parameters, which are learned, and buffers, which are not but belong to its state."""

from typing import Any

import numpy as np

from ..gradients import require_array
from ..habits import explained
from ..op import HALF, SINGLE
from ..tensor import Tensor
from ..tensor import tensor as as_tensor


class Parameter(Tensor):
    """A tensor that a module learns. Its ``name`` is its dotted path, such as ``features.2.w``.

    >>> Parameter([1.0, 2.0]).requires_grad
    True
    """

    @explained
    def __init__(self, data: Any) -> None:
        """A copy of the data, as floats, as :func:`minidl.tensor` makes it: training changes no array of others."""
        super().__init__(as_tensor(data, requires_grad=True).data, requires_grad=True)


class Buffer(Tensor):
    """A tensor that belongs to the state of a module but is not learned, such as a running mean.

    >>> import numpy as np
    >>> Buffer(np.zeros(2)).requires_grad
    False
    """

    @explained
    def __init__(self, data: Any) -> None:
        """A copy of an array, as :func:`minidl.tensor` makes it: a module that changes it leaves that one alone."""
        require_array(data)
        super().__init__(as_tensor(data).data)

    def kept_in(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """The dtype in which it is kept in a model of this dtype: indices, counts and masks stay what they are."""
        return dtype if self.dtype.kind == "f" else self.dtype


class Statistic(Buffer):
    """A buffer that sums up over many steps: float32 also in a model of float16, which would round each step away.

    >>> import numpy as np
    >>> Statistic(np.zeros(2, np.float16)).dtype
    dtype('float32')
    """

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.data = self.data.astype(self.kept_in(self.dtype))

    def kept_in(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        return super().kept_in(SINGLE if dtype == HALF else dtype)
