"""The ops: short classes that state the mathematics, ``forward`` next to ``backward``.

The package exports the names in ``__all__`` of its modules.
"""

from . import choice, compare, conv, dropout, elementwise, fused, linear, loss, matmul, norm, pool, reduce, shape
from .choice import *
from .compare import *
from .conv import *
from .dropout import *
from .elementwise import *
from .fused import *
from .linear import *
from .loss import *
from .matmul import *
from .norm import *
from .pool import *
from .reduce import *
from .shape import *

__all__: list[str] = []
__all__ += elementwise.__all__
__all__ += choice.__all__
__all__ += compare.__all__
__all__ += reduce.__all__
__all__ += shape.__all__
__all__ += matmul.__all__
__all__ += linear.__all__
__all__ += conv.__all__
__all__ += fused.__all__
__all__ += pool.__all__
__all__ += loss.__all__
__all__ += dropout.__all__
__all__ += norm.__all__
