"""The entry points have the name of a built-in optimizer, and one that minidl-example has, too."""

from minidl import optim


class Adam(optim.SGD):
    pass


class Lion(optim.SGD):
    pass
