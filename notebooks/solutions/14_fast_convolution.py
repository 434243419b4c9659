# %% [markdown]
# # 14. Fast convolution
#
# Notebook 7 computes a convolution by loops. There are faster ways, with the same answer:
#
# 1. by **im2col**, one large product of matrices;
# 2. by **shifted** products, without copying;
# 3. by **Winograd's** trick, with fewer multiplications;
# 4. by **Fourier transforms**;
# 5. all of them side by side, **yours too**: the same answer, at what price.
#
# You need notebook 7.

# %%
import inspect
import time

import matplotlib.pyplot as plt
import numpy as np

import minidl as md
from agegender import data
from minidl import course, nn, plugins, viz
from minidl.bench.conv import measure
from minidl.kernels.conv import Direct
from minidl.kernels.conv.cook_toom import transforms
from minidl.ops.conv import conv_spec

F = nn.functional
rng = np.random.default_rng(0)
face = data.drawn(20).batch(np.array([9]))[0]
image = md.tensor(face)
w = rng.normal(size=(3, 3, 1, 4)).astype(np.float32)
kernels = {
    "blur": np.full((5, 5), 1 / 25),
    "upright edges": np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4,
    "level edges": np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]) / 4,
    "any edge": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
}
results = [F.conv2d(image, kernel[:, :, None, None].astype(np.float32)).numpy()[0] for kernel in kernels.values()]
conv2d = course.mine("conv2d")

# %% [markdown]
# ## 1. By im2col
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
    # <blank>
    OH, OW = x.shape[0] - KH + 1, x.shape[1] - KW + 1
    return np.array([x[i : i + KH, j : j + KW].ravel() for i in range(OH) for j in range(OW)])
    # </blank>


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
# ## 2. By shifted products
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
# ## 3. By Winograd's trick
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
    # <blank>
    m1 = (x[0] - x[2]) * g[0]
    m2 = (x[1] + x[2]) * (g[0] + g[1] + g[2]) / 2
    m3 = (x[2] - x[1]) * (g[0] - g[1] + g[2]) / 2
    m4 = (x[1] - x[3]) * g[2]
    return np.array([m1 + m2 + m3, m2 - m3 - m4])
    # </blank>


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
# ## 4. By Fourier transforms
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
# ## 5. All of them, and yours
#
# In minidl each way is a plugin of the kind `conv_algorithm`, and so can yours be: a class with a `forward` and two
# gradients. We take the gradients from the simplest of minidl's, `Direct`.


# %%
@plugins.register("conv_algorithm", "my loops")
class MyLoops(Direct):
    """The convolution of notebook 7."""

    def supports(self, spec):
        return spec.window.SH == spec.window.SW and not spec.window.padded

    def forward(self, x, w, b, spec):
        return conv2d(x, w, np.zeros(spec.K, x.dtype) if b is None else b, spec.window.SH, 0).astype(x.dtype), None


@plugins.register("conv_algorithm", "my im2col")
class MyIm2col(Direct):
    """The matrix of section 1, whole, image by image."""

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
# ## Now read the real thing
#
# The simplest algorithm is `minidl/kernels/conv/direct.py`, with the shifted images of section 2 and both gradients:

# %%
print(inspect.getsource(Direct))

# %% [markdown]
# Then `fft.py` and `winograd2d.py` beside it, and the fast ones, in `minidl/kernels/numpy/conv`.
