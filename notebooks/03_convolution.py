# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
# ---

# %% [markdown]
# # 3. Convolution
#
# A dense layer looks at all pixels with a weight for each. A convolution looks at small windows, with the *same* few
# weights everywhere: what is worth seeing in one corner is worth seeing in the other. This notebook shows what it does,
# and computes it in five ways:
#
# 1. what a **kernel** does to a face;
# 2. where it fits: **stride and padding**;
# 3. by **loops**, the definition;
# 4. by **im2col**, one large product of matrices;
# 5. by **shifted** products, without copying;
# 6. by **Winograd's** trick, with fewer multiplications;
# 7. by **Fourier transforms**;
# 8. all of them side by side, **yours too**: the same answer, at what price;
# 9. **backward**: a kernel that is learned.

# %%
import inspect
import time

import matplotlib.pyplot as plt
import numpy as np

import minidl as md
from agegender import data
from minidl import course, nn, optim, plugins, viz
from minidl.bench.conv import measure
from minidl.kernels.conv import Direct
from minidl.kernels.conv.cook_toom import transforms
from minidl.ops.conv import conv_spec

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
    ...  # your code here


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
    ...  # your code here


conv2d = course.check_conv2d(conv2d)

# %%
small = face[:, 30:94:2, 30:94:2]
w = rng.normal(size=(3, 3, 1, 4)).astype(np.float32)
yours = conv2d(small, w, np.zeros(4, np.float32), 1, 1)
ours = F.conv2d(md.tensor(small), w, padding=1).numpy()
print(f"largest difference from minidl: {np.abs(yours - ours).max():.0e}")
viz.images([small[0], *yours[0].transpose(2, 0, 1)], ["image", "kernel 1", "kernel 2", "kernel 3", "kernel 4"])

# %% [markdown]
# ## 4. By im2col
#
# Computers are best at one thing: large products of matrices. So write every window as a row of a matrix. Its product
# with the kernels, written as columns, is the whole convolution (Chellapilla, Puri and Simard, "High Performance
# Convolutional Neural Networks for Document Processing", 2006).
#
# **Exercise.** Make this matrix for one image, stride 1, no padding. A row holds a window in the order $(a, b, c)$, as
# `window.ravel()` gives it.


# %%
def im2col(x, KH, KW):
    """The windows of x (H, W, C) as rows: (OH OW, KH KW C)."""
    ...  # your code here


im2col = course.check_im2col(im2col)
little = face[0, 52:59, 34:42]
matrix = im2col(little, 3, 3)
product = matrix @ w.reshape(9, 4)
expected = F.conv2d(md.tensor(little[None]), w).numpy()
print(f"{little.shape} becomes {matrix.shape}: {matrix.size / little.size:.1f} times the numbers")
assert np.allclose(product.reshape(expected.shape), expected, atol=1e-5)
figure, axes = plt.subplots(1, 4, figsize=(8, 3), layout="constrained")
parts = {"image": little[..., 0], "windows as rows": matrix, "kernels as columns": w.reshape(9, 4), "product": product}
for part, (title, numbers) in zip(axes, parts.items(), strict=True):
    part.imshow(numbers, cmap="RdBu_r" if numbers.min() < 0 else "gray")
    part.set(title=title, xticks=[], yticks=[], xlabel=f"{numbers.shape[0]} x {numbers.shape[1]}")
plt.show()

# %% [markdown]
# Each pixel now stands in nine rows: that is the price. minidl makes only a strip of the matrix at a time, small enough
# to stay in the processor's cache (`minidl/kernels/numpy/conv/im2col.py`).
#
# ## 5. By shifted products
#
# Take the sum in another order: first the weight $w_{00}$ for *all* windows, then $w_{01}$, and so on. The pixels that
# one weight meets are the image itself, shifted. So the result is a sum of nine shifted images, each times a matrix of
# weights $(C, K)$ (Vasudevan, Anderson and Gregg, "Parallel Multi Channel Convolution using General Matrix
# Multiplication", 2017). Watch it add up, for the kernel that finds upright edges:

# %%
kernel = kernels["upright edges"]
H, W = face.shape[1:3]
total, sums = np.zeros((H - 2, W - 2)), []
for a in range(3):
    for b in range(3):
        total = total + face[0, a : a + H - 2, b : b + W - 2, 0] * kernel[a, b]
        sums.append(total)
assert np.allclose(total, results[1][..., 0], atol=1e-5)
viz.images(sums, [f"{n} of 9" for n in range(1, 10)], columns=9, size=1.1)

# %% [markdown]
# ## 6. By Winograd's trick
#
# Two neighbouring outputs of a kernel with three weights, in one dimension, share two of their pixels:
#
# $$ y_0 = x_0 g_0 + x_1 g_1 + x_2 g_2, \qquad y_1 = x_1 g_0 + x_2 g_1 + x_3 g_2 $$
#
# Six multiplications. Winograd found that four are enough:
#
# $$ m_1 = (x_0 - x_2)\, g_0, \quad m_2 = (x_1 + x_2)\,\frac{g_0 + g_1 + g_2}{2}, \quad
# m_3 = (x_2 - x_1)\,\frac{g_0 - g_1 + g_2}{2}, \quad m_4 = (x_1 - x_3)\, g_2 $$
#
# $$ y_0 = m_1 + m_2 + m_3, \qquad y_1 = m_2 - m_3 - m_4 $$
#
# The sums of weights are made once and serve the whole image (Winograd, "Arithmetic Complexity of Computations", 1980;
# Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016).
#
# **Exercise.** Write it; then multiply it out on paper to see that it is right.


# %%
def winograd(x, g):
    """The two outputs, an array (2,), for x (4,) and g (3,)."""
    ...  # your code here


winograd = course.check_winograd(winograd)
x, g = rng.normal(size=4), rng.normal(size=3)
print(winograd(x, g), "is", np.correlate(x, g))

# %% [markdown]
# As matrices: $y = A^T\left[(G g) \odot (B^T x)\right]$, with $\odot$ element by element. In two dimensions they are
# applied to rows and columns: a tile of 2 x 2 outputs takes 16 multiplications in the place of 36. With larger tiles
# the saving grows, and so do the numbers in the matrices, and with them the rounding errors. minidl computes the
# matrices for tiles of several sizes:

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 2.6), layout="constrained")
sizes, savings, errors = (1, 2, 3, 4), [], []
xs, g = rng.normal(size=(20000, 8)), rng.normal(size=3)
for m in sizes:
    A_T, G, B_T = transforms(m, 3, np.float32)
    x = xs[:, : m + 2]
    exact = np.stack([x[:, i : i + 3] @ g for i in range(m)], axis=1)
    fast = ((G @ g.astype(np.float32)) * (x.astype(np.float32) @ B_T.T)) @ A_T.T
    savings.append((3 * m / (m + 2)) ** 2)
    errors.append(np.sqrt(np.mean((fast - exact) ** 2)))
axes[0].bar(sizes, savings, color="tab:green")
axes[0].set(title="multiplications saved in 2-D: times fewer", xlabel="outputs of a tile, in each direction")
axes[1].bar(sizes, np.array(errors) / errors[0], color="tab:red")
axes[1].set(title="rounding error in 1-D, relative to 1 output", xlabel="outputs of a tile")
for part in axes:
    part.set_xticks(sizes)
plt.show()

# %% [markdown]
# ## 7. By Fourier transforms
#
# Any image is a sum of waves. A convolution leaves each wave a wave and only makes it stronger or weaker: in terms of
# waves it is one multiplication for each. The Fourier transform $F$ finds the waves (`np.fft.rfft2`), its inverse adds
# them up again (`np.fft.irfft2`):
#
# $$ y = F^{-1}\left[\, F(x) \cdot \overline{F(w)}\, \right] $$
#
# The bar (complex conjugate) makes a correlation of it. See how much of each wave the kernels let through, the slowest
# waves in the middle: fast ones, towards the edges of these pictures, are what blurring takes away and what edges are
# made of.

# %%
size = (128, 128)
strengths = [np.abs(np.fft.fft2(kernel, size)) for kernel in kernels.values()]
viz.images([np.fft.fftshift(strength) for strength in strengths], list(kernels), columns=5)

# %%
X, frequencies = np.fft.rfft2(face[0, ..., 0]), np.fft.rfft2(kernels["blur"], size)
y = np.fft.irfft2(X * frequencies.conj(), size)
difference = np.abs(y[:124, :124] - results[0][..., 0])
print(f"largest difference: {difference.max():.0e}")
assert difference.max() < 1e-5
viz.images([y, results[0]], ["by waves", "by windows"], columns=2, size=2.2)

# %% [markdown]
# At the bottom and right the first picture has a few rows more: there the windows reach round to the other side of the
# image, as waves have no end. These rows are cut off. The work hardly depends on the size of the kernel, so this is
# the way for *large* kernels.
#
# ## 8. All of them, and yours
#
# In minidl each way is a plugin of the kind `conv_algorithm`, and so can yours be: a class with a `forward` and two
# gradients. We take the gradients from the simplest of minidl's, `Direct`.


# %%
@plugins.register("conv_algorithm", "my loops")
class MyLoops(Direct):
    """The convolution of section 3."""

    def supports(self, spec):
        return spec.window.SH == spec.window.SW and not spec.window.padded

    def forward(self, x, w, b, spec):
        return conv2d(x, w, np.zeros(spec.K, x.dtype) if b is None else b, spec.window.SH, 0).astype(x.dtype), None


@plugins.register("conv_algorithm", "my im2col")
class MyIm2col(Direct):
    """The matrix of section 4, whole, image by image."""

    def supports(self, spec):
        return spec.window.SH == spec.window.SW == 1 and not spec.window.padded

    def forward(self, x, w, b, spec):
        y = np.stack([im2col(image, spec.window.KH, spec.window.KW) @ w.reshape(-1, spec.K) for image in x])
        return y.reshape(spec.output_shape) + (0 if b is None else b), None


stack, filters = (rng.normal(size=size).astype(np.float32) for size in ((2, 26, 26, 8), (3, 3, 8, 16)))
rows = sorted(measure(conv_spec(stack, filters, None, 1, 0), rounds=7), key=lambda row: row.forward)
figure, axes = plt.subplots(1, 3, figsize=(11, 3), layout="constrained", sharey=True)
names = [row.name for row in rows]
colours = ["tab:red" if name.startswith("my") else "tab:blue" for name in names]
axes[0].scatter([row.forward / rows[0].forward for row in rows], names, color=colours)
axes[0].set(xscale="log", xlabel="time, in units of the fastest")
axes[1].barh(names, [row.memory for row in rows], color=colours)
axes[1].set(xlabel="extra memory (MiB)")
axes[2].barh(names, [row.error / np.finfo(np.float32).eps for row in rows], color=colours)
axes[2].set(xlabel="largest error, in float32's steps")
axes[0].invert_yaxis()
plt.show()
assert all(row.error < 1e-4 for row in rows)

# %% [markdown]
# The same answer from all, to about six digits: the errors are those of float32. The times are those of this small
# layer on the machine where the notebook ran. The memory is the most that was needed at a time, forward and backward.
#
# A larger layer, forward only, and kernels that grow:


# %%
def seconds(x, w, algorithm):
    """How long one convolution takes."""
    start = time.perf_counter()
    F.conv2d(x, w, algorithm=algorithm)
    return time.perf_counter() - start


x = md.tensor(rng.normal(size=(1, 64, 64, 8)), dtype=np.float32)
sizes = (3, 5, 9, 15, 23)
weights = {k: rng.normal(size=(k, k, 8, 8)).astype(np.float32) for k in sizes}
algorithms = ("direct", "im2col", "shifted", "fft")
# All in turn, eight times, and the best of each: whatever else the machine does disturbs all of them alike.
rounds = [[[seconds(x, w, name) for w in weights.values()] for name in algorithms] for _ in range(8)]
best = np.min(rounds, axis=0)
figure, axes = plt.subplots(figsize=(6, 2.8), layout="constrained")
for name, times in zip(algorithms, best, strict=True):
    axes.loglog(sizes, times / best.min(), "o-", label=name)
axes.set(xlabel="size of the kernel", ylabel="time, relative")
axes.minorticks_off()
axes.set_xticks(sizes, sizes)
axes.legend(fontsize=8)
plt.show()

# %% [markdown]
# From 3 to 23 the kernel gets 59 times as many weights. The times of the others grow with them, that of the Fourier
# transforms hardly does. `algorithm="auto"`, the default, takes what was fastest on the most similar layer in a table
# that was measured once (`minidl/kernels/numpy/conv/measured.csv`), so that the same model always computes the same
# numbers.
#
# ## 9. Backward
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
# `minidl/kernels/conv/direct.py`, with the shifted images of section 5 and both gradients:

# %%
print(inspect.getsource(Direct))

# %% [markdown]
# Then `fft.py` and `winograd2d.py` beside it, and the fast ones, in `minidl/kernels/numpy/conv`.
