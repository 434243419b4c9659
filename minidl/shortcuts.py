"""Shortcuts: a class computes a result at once instead of calling the methods that define it.

A shortcut must be skipped where one of these methods is replaced, in a subclass, in an object or in the class itself,
because the replacement would not be called.
"""

from typing import Any


class Methods:
    """The current methods of a class, or functions of a module. Objects that still have them may take a shortcut.

    ``shortcut`` is the name of the method that skips them. If given, objects of a subclass may take the shortcut, too,
    if the class that overrides ``shortcut`` has all the methods in use, its own or inherited: it may call the shortcut
    by ``super()``. A method from a mixin that is not one of its bases prevents this.

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
        """Whether the class, or the module, still has these methods."""
        return all(getattr(self.cls, name) is method for name, method in self.methods.items())


def definer(cls: type, name: str) -> type:
    """The class that defines an attribute of a class.

    >>> definer(bool, "__and__"), definer(bool, "__add__")
    (<class 'bool'>, <class 'int'>)
    """
    return next(one for one in cls.__mro__ if name in vars(one))
