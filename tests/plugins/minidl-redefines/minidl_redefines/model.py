"""The entry point has the name of agegender's model, which is registered only on access."""

from minidl import nn


class Documented(nn.Module):
    pass
