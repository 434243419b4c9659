"""Shortcuts: what a class does at once instead of asking those of its methods that define it, one after the other.

They must end where somebody replaces such a method, who would else never be asked: in a subclass, in an object, or in
the class itself.
"""

from typing import Any


class Methods:
    """Methods of a class, or functions of a module, as they are now. Objects that have these may take a shortcut.

    With ``shortcut``, the name of the method that does without them, also by objects of a subclass that replaces both,
    or that one further below: who did so knows of both, and may ask for the shortcut by ``super()``. What comes of a
    class that is none of its own bases, it does not know.

    >>> class Squares:
    ...     def one(self, i):
    ...         return i * i
    ...     def all(self, n):
    ...         return [i * i for i in range(n)] if OWN.belong_to(self) else [self.one(i) for i in range(n)]
    >>> OWN = Methods(Squares, "one", shortcut="all")
    >>> class Cubes(Squares):
    ...     def one(self, i):
    ...         return i**3
    >>> Squares().all(4), Cubes().all(4)
    ([0, 1, 4, 9], [0, 1, 8, 27])
    """

    def __init__(self, cls: Any, *names: str, shortcut: str = "") -> None:
        self.cls, self.shortcut = cls, shortcut
        self.methods = {name: getattr(cls, name) for name in names}

    def belong_to(self, thing: Any) -> bool:
        """Whether an object of the class, or of a subclass, may take the shortcut."""
        if not vars(thing).keys().isdisjoint(self.methods):
            return False
        kind = type(thing)
        for name, method in self.methods.items():
            if getattr(kind, name) is not method:
                break
        else:
            return True
        if not self.shortcut or not self.are_unchanged():
            return False
        knowing = definer(kind, self.shortcut)
        return all(getattr(knowing, name) is getattr(kind, name) for name in self.methods)

    def are_unchanged(self) -> bool:
        """Whether the class, or the module, has them still."""
        return all(getattr(self.cls, name) is method for name, method in self.methods.items())


def definer(cls: type, name: str) -> type:
    """The class of which an attribute of a class comes.

    >>> definer(bool, "__and__"), definer(bool, "__add__")
    (<class 'bool'>, <class 'int'>)
    """
    return next(one for one in cls.__mro__ if name in vars(one))
