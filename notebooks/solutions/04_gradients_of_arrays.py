# %% [markdown]
# # 4. Gradients of arrays
#
# A tensor is a whole array, and so is its gradient:
#
# 1. **broadcasting**, and what it means backward.
#
# You need notebook 3.

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

import minidl as md
from minidl import course
from minidl.op import unbroadcast

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. Broadcasting
#
# In `x + b` with shapes `(4, 3)` and `(3,)` NumPy uses each number of `b` four times, as if `b` were written in each
# row. A number that is used four times gets four gradients, and they add up: the gradient of `b` is the **sum over the
# axes along which it was repeated**.

# %%
x = md.tensor(rng.normal(size=(4, 3)), requires_grad=True)
b = md.tensor(np.zeros(3), requires_grad=True)
dy = rng.normal(size=(4, 3))
(x + b).backward(dy)
figure, axes = plt.subplots(1, 3, figsize=(9, 2.2), layout="constrained")
parts = {"dy, from above": dy, "gradient of x": x.grad, "gradient of b: sums of columns": b.grad[None]}
for part, (title, numbers) in zip(axes, parts.items(), strict=True):
    part.imshow(numbers, cmap="RdBu_r", vmin=-3, vmax=3)
    for (i, j), value in np.ndenumerate(numbers):
        part.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=9)
    part.set(xticks=[], yticks=[], title=title)
plt.show()
assert np.allclose(b.grad, dy.sum(axis=0))

# %% [markdown]
# **Exercise.** Write it for any shapes that NumPy allows. Remember that it compares shapes from the *last* axis, adds
# missing axes in front, and repeats an axis of size 1 as well.


# %%
def unbroadcast_by_hand(dy, shape):
    """The gradient of an input of that shape, given dy for the broadcast result: what was repeated is summed."""
    # <blank>
    added = dy.ndim - len(shape)
    dy = dy.sum(axis=tuple(range(added)))
    repeated = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return dy.sum(axis=repeated, keepdims=True)
    # </blank>


unbroadcast_by_hand = course.check_unbroadcast(unbroadcast_by_hand)
print([unbroadcast_by_hand(np.ones((4, 2, 3)), shape).tolist() for shape in ((3,), (2, 1), ())])

# %% [markdown]
# minidl does this in one place for all ops, after each `backward`, so that an op never thinks of it:

# %%
print(inspect.getsource(unbroadcast))
