# %% [markdown]
# # 7. Convolution
#
# A dense layer looks at all pixels with a weight for each. A convolution looks at small windows, with the *same* few
# weights everywhere: what is worth seeing in one corner is worth seeing in the other. This notebook shows what it does,
# computes it by its definition, and learns a kernel:
#
# 1. what a **kernel** does to a face;
# 2. where it fits: **stride and padding**;
# 3. by **loops**, the definition;
# 4. **backward**: a kernel that is learned.
#
# The faster ways to compute it are in notebook 14.

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

import minidl as md
from agegender import data
from minidl import course, nn, optim, viz
from minidl.kernels.conv import Direct

F = nn.functional
rng = np.random.default_rng(0)
face = data.drawn(20).batch(np.array([9]))[0]
print("one grey image:", face.shape, "= (N, H, W, C): images, rows, columns, channels")

# %% [markdown]
# ## 1. What a kernel does
#
# Lay a small array of weights, the **kernel** $w$, on the image, multiply each weight with the pixel under it, and add
# up. That is one pixel of the result. Move the kernel by one pixel and do it again:
#
# $$ y_{ij} = \sum_{a,b} w_{ab}\; x_{i+a,\,j+b} $$
#
# (Mathematicians call this a correlation, and convolution the same with the kernel turned by 180 degrees. Deep learning
# does not care: the weights are learned, and would come out turned.)

# %%
kernels = {
    "blur": np.full((5, 5), 1 / 25),
    "upright edges": np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4,
    "level edges": np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]) / 4,
    "any edge": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
}
viz.images(list(kernels.values()), list(kernels), columns=5, signed=True)

# %%
image = md.tensor(face)
results = [F.conv2d(image, kernel[:, :, None, None].astype(np.float32)).numpy()[0] for kernel in kernels.values()]
viz.images(results, list(kernels), columns=5)

# %% [markdown]
# Edges, spots and stripes: kernels find them. A network has hundreds of kernels, finds out itself which ones it needs,
# and applies further ones to what the first have found.
#
# ## 2. Where it fits
#
# A kernel of $k$ pixels fits into $n$ pixels at $n - k + 1$ places. A **padding** of $p$ zeros on both sides makes room
# for more; with a **stride** of $s$ only each $s$-th place counts.

# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 2.2), layout="constrained", sharex=True)
for part, (stride, padding) in zip(axes, ((1, 0), (1, 1), (2, 1)), strict=True):
    for pixel in range(-padding, 7 + padding):
        part.add_patch(plt.Rectangle((pixel, 0), 1, 0.8, fc="#d6e6f7" if 0 <= pixel < 7 else "#eeeeee", ec="black"))
    places = range(-padding, 7 + padding - 2, stride)
    for row, start in enumerate(places):
        part.plot([start + 0.1, start + 2.9], [-0.6 - 0.5 * row] * 2, color="tab:red", lw=3, solid_capstyle="butt")
    part.set(xlim=(-1.2, 8.2), ylim=(-5, 1.2), title=f"stride {stride}, padding {padding}: {len(places)} outputs")
    part.axis("off")
plt.show()

# %% [markdown]
# **Exercise.** Write the number of places.


# %%
def output_size(size, kernel, stride, padding):
    """How many outputs a row of that size gives."""
    # <blank>
    return (size + 2 * padding - kernel) // stride + 1
    # </blank>


output_size = course.check_output_size(output_size)
for k, s, p in ((3, 1, 0), (3, 1, 1), (5, 2, 2)):
    y = F.conv2d(image, np.ones((k, k, 1, 1), np.float32), stride=s, padding=p)
    print(f"kernel {k}, stride {s}, padding {p}: {output_size(128, k, s, p)} outputs a row, minidl gives {y.shape}")

# %% [markdown]
# ## 3. By loops
#
# Now in full. An image has $C$ channels (3 for colours, more inside a network), and a kernel has weights for all of
# them. A layer has $K$ kernels, each with a bias, and each gives one channel of the result:
#
# $$ y_{n i j k} = b_k + \sum_{a, b, c} x_{n,\; i s + a,\; j s + b,\; c}\; w_{a b c k} $$
#
# where $x$ has its padding already. Shapes: $x$ is $(N, H, W, C)$, $w$ is $(KH, KW, C, K)$, $y$ is $(N, OH, OW, K)$.
#
# **Exercise.** Write it with loops. It may be slow. `np.pad` pads; loops over $i$ and $j$ with a sum over each window
# are enough, but write as many loops as you like.


# %%
def conv2d(x, w, b, stride, padding):
    """The convolution of images x (N, H, W, C) with kernels w (KH, KW, C, K) and biases b (K,)."""
    # <blank>
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    KH, KW, _, K = w.shape
    OH = (x.shape[1] - KH) // stride + 1
    OW = (x.shape[2] - KW) // stride + 1
    y = np.zeros((len(x), OH, OW, K), x.dtype)
    for i in range(OH):
        for j in range(OW):
            window = x[:, i * stride : i * stride + KH, j * stride : j * stride + KW]
            for k in range(K):
                y[:, i, j, k] = (window * w[..., k]).sum(axis=(1, 2, 3)) + b[k]
    return y
    # </blank>


conv2d = course.check_conv2d(conv2d)

# %%
small = face[:, 30:94:2, 30:94:2]
w = rng.normal(size=(3, 3, 1, 4)).astype(np.float32)
yours = conv2d(small, w, np.zeros(4, np.float32), 1, 1)
ours = F.conv2d(md.tensor(small), w, padding=1).numpy()
print(f"largest difference from minidl: {np.abs(yours - ours).max():.0e}")
viz.images([small[0], *yours[0].transpose(2, 0, 1)], ["image", "kernel 1", "kernel 2", "kernel 3", "kernel 4"])

# %% [markdown]
# ## 4. Backward
#
# Every output is a sum of products, so the gradients are sums of products, too: that of a weight correlates the image
# with the gradient of the output, that of the image spreads it back over the windows. With them a kernel can be
# learned. A layer with one kernel gets an image of noise and the upright edges in it, and is to find out how the one
# becomes the other:

# %%
sobel = kernels["upright edges"][:, :, None, None].astype(np.float32)
noise = md.tensor(rng.normal(size=(1, 32, 32, 1)), dtype=np.float32)
goal = F.conv2d(noise, sobel).numpy()
layer = nn.Conv2D(1, 1, 3, rng=md.Generator(1))
optimizer = optim.Adam(layer.parameters(), lr=0.05)
seen, titles, losses = [], [], []
for number in range(101):
    loss = F.mse_loss(layer(noise), goal)
    if number in (0, 5, 10, 20, 100):
        seen.append(layer.w.numpy()[:, :, 0].copy())
        titles.append(f"step {number}")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
viz.images([*seen, sobel[:, :, 0]], [*titles, "wanted"], signed=True)

# %%
figure, axes = plt.subplots(figsize=(5, 2.4), layout="constrained")
axes.semilogy(losses, color="tab:red")
axes.set(xlabel="step", ylabel="loss")
plt.show()
assert losses[-1] < losses[0] / 1000

# %% [markdown]
# Why noise? In a face, neighbouring pixels are nearly equal, so very different kernels give nearly the same picture:
# learning is slow there, and ends with another kernel that does as well. Try it with `image` in the place of `noise`.
# What the learned kernel makes of the face:

# %%
viz.images([results[1], layer(image).numpy()[0]], ["wanted", "learned"], columns=2, size=2.2)

# %% [markdown]
# ## Now read the real thing
#
# `minidl/ops/conv.py` is the mathematics, and leaves the computing to an algorithm. The simplest is
# `minidl/kernels/conv/direct.py`, with shifted images and both gradients:

# %%
print(inspect.getsource(Direct))

# %% [markdown]
# Then `fft.py` and `winograd2d.py` beside it, and the fast ones, in `minidl/kernels/numpy/conv`.
