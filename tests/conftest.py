"""What all tests share."""

import importlib.util

from minidl.testing.arrays import other_backends

other_backends()  # registers the stand-ins for CuPy

# The search for doctests imports every module; these import PyTorch, which the tests do without where it is missing.
WITH_PYTORCH = [
    *("parity/ops.py", "parity/steps.py", "parity/twins.py"),
    *("fuzz/against_torch.py", "fuzz/theirs.py", "fuzz/torch_tensor.py"),
]
collect_ignore = [] if importlib.util.find_spec("torch") else WITH_PYTORCH
