"""Announced under the name of a built-in optimizer, and under one that minidl-example announces too."""

from minidl import optim


class Adam(optim.SGD):
    pass


class Lion(optim.SGD):
    pass
