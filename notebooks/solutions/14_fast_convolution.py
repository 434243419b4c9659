# %% [markdown]
# # 14. Fast convolution
#
# There are several ways to compute a convolution. All give the same output, up to rounding. They differ in how many
# multiplications they need and in how many bytes they move between memory and processor. In this elective you derive
# four of them, count both costs of each, write im2col, and Winograd's in one dimension, and measure your loop of unit 7
# and your im2col beside minidl's algorithms.
#
# **You will be able to**
#
# - count the multiplications and the bytes of an algorithm before you run it;
# - write a convolution as one matrix product (im2col), and say what it copies;
# - derive Winograd's algorithm, and say why its tiles stay small;
# - explain why the cost of a convolution by Fourier transforms does not depend on the size of the kernel;
# - make your own algorithm a plugin, and compare times on a busy machine.
#
# **Prior knowledge:** convolution (unit 7), matrix products (unit 4), and for section 4 complex numbers:
# $e^{\mathrm{i}\varphi} = \cos\varphi + \mathrm{i}\sin\varphi$.
#
# **Time:** about 90 minutes, 25 of them for the two exercises.

# %%
import inspect
import time

import numpy as np

import minidl as md
from agegender import data
from minidl import course, nn, plugins, viz
from minidl.bench.conv import measure
from minidl.course import plots, style, timing
from minidl.kernels.conv import FFT, Direct
from minidl.kernels.conv.cook_toom import transforms
from minidl.ops.conv import conv_spec

style.use()
F = nn.functional
rng = np.random.default_rng(0)
face = data.drawn(20).batch(np.array([9]))[0]
kernels = {
    "blur": np.full((5, 5), 1 / 25),
    "vertical edges": np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4,
    "horizontal edges": np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]) / 4,
    "any edge": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
}
conv2d = course.mine("conv2d")

# %% [markdown]
# ## 1. An algorithm has two costs: multiplications and bytes
#
# The example of this unit is the third convolution of the documented network (unit 11), for one image: $C = 64$
# channels of 30 x 30 pixels, $K = 128$ kernels of 3 x 3, stride 1, no padding, so 28 x 28 outputs. By the definition
# each output is a sum of $3 \cdot 3 \cdot C$ products.
#
# The second cost is the traffic between memory and processor. At the least, images and kernels are read once and the
# outputs are written once. An algorithm that stores an intermediate array writes it and reads it again. We count each
# array in full every time it is read or written, in float32. The **cache**, a small and fast memory in the processor
# that holds what was used last (unit 15), may save a part of this traffic.
#
# Your `conv2d` of unit 7 loops over the nine positions of the kernel. For each it reads the pixels and the weights,
# writes a product as large as the output, and adds it to the output: reads the product, reads the sum, writes the sum.
#
# **Predict:** how many times the least traffic does the loop move?

# %%
H, C, K, KERNEL, OUT = 30, 64, 128, 3, 28
x_size, w_size, y_size = H * H * C, KERNEL * KERNEL * C * K, OUT * OUT * K
definition = OUT * OUT * K * KERNEL * KERNEL * C
least = 4 * (x_size + w_size + y_size)
loop = 4 * (9 * (OUT * OUT * C + C * K + 4 * y_size))
costs = {"least traffic": (definition, least), "nine positions": (definition, loop)}


def table(costs):
    """Print the costs, and draw them."""
    for name, (multiplications, nbytes) in costs.items():
        print(f"{name:15} {multiplications / 1e6:5.1f} million multiplications, {nbytes / 1e6:5.1f} MB")
    millions = [{name: pair[i] / 1e6 for name, pair in costs.items()} for i in range(2)]
    return plots.compared(dict(zip(("million multiplications", "MB moved"), millions, strict=True)), form="{:.1f}")


table(costs)

# %% [markdown]
# The loop moves almost 18 times the least traffic, most of it for the partial sums: an array as large as the output is
# read or written four times for each position.
#
# ## 2. im2col makes one matrix product of it
#
# NumPy passes a matrix product to **BLAS**, a library of fast routines for vectors and matrices. BLAS is at its best
# with one large product. So write every window as a row of a matrix, and every kernel as a column of another. Their
# product is the whole convolution (Chellapilla, Puri and Simard, 2006). The method is called **im2col**, image to
# columns; many programs write the windows as columns.
#
# **Predict:** a patch has 7 x 8 pixels and one channel, the kernel has 3 x 3. How many rows and columns does the matrix
# have? In how many rows does a pixel occur?
#
# **Exercise.** Make the matrix for one image, stride 1, no padding. A row holds a window in the order $(u, v, c)$: row
# by row, pixel by pixel, channel by channel. A loop over all windows works, and is slow. A loop over the positions
# $(u, v)$ of the kernel is fast: the pixels at one position of all windows are a shifted image, an array (OH, OW, C).
# `np.concatenate` joins arrays along an axis, and `reshape` makes rows of windows.


# %%
def im2col(x, KH, KW):
    """The windows of x (H, W, C) as rows: (OH OW, KH KW C)."""
    # <blank>
    OH, OW = x.shape[0] - KH + 1, x.shape[1] - KW + 1
    shifted = [x[u : u + OH, v : v + OW] for u in range(KH) for v in range(KW)]
    return np.concatenate(shifted, axis=2).reshape(OH * OW, -1)
    # </blank>


im2col = course.check_im2col(im2col)
patch = face[0, 52:59, 34:42]
w = rng.normal(size=(3, 3, 1, 4)).astype(np.float32)
matrix = im2col(patch, 3, 3)
product = matrix @ w.reshape(9, 4)
expected = F.conv2d(md.tensor(patch[None]), w).numpy()
assert np.allclose(product.reshape(expected.shape), expected, atol=1e-5)
parts = {"image": patch[..., 0], "windows as rows": matrix, "kernels": w.reshape(9, 4), "product": product}
panels = plots.panels(4, 3.0)
for axes, (title, numbers) in zip(panels, parts.items(), strict=True):
    signed, high = numbers.min() < 0, np.abs(numbers).max()
    axes.imshow(numbers, cmap="RdBu_r" if signed else "gray", vmin=-high if signed else None, vmax=high)
    axes.set(title=title, xticks=[], yticks=[], xlabel=f"{numbers.shape[0]} x {numbers.shape[1]}")
panels[0].figure

# %% [markdown]
# In how many windows does each pixel lie? That is the gradient of the sum of all outputs for a kernel of ones (unit 7):

# %%
ones = md.tensor(np.ones((1, 7, 8, 1)), requires_grad=True)
F.conv2d(ones, np.ones((3, 3, 1, 1))).sum().backward()
counts = ones.grad[0, :, :, 0]
assert counts.sum() == matrix.size
print(f"{matrix.size} elements for {patch.size} pixels: {matrix.size / patch.size:.1f} times as many")
print(f"a face of 128 x 128: {126 * 126 * 9 / 128**2:.1f} times as many")
plots.numbers({"windows that contain the pixel": counts}, form="{:.0f}")

# %% [markdown]
# A pixel in the middle lies in nine windows, a corner pixel in one. So the matrix has fewer than nine times as many
# elements as the image: $9 \cdot OH \cdot OW / (H \cdot W)$, which comes near to 9 for large images only.
#
# im2col has the multiplications of the definition. It reads the image, writes the matrix, reads the matrix and the
# kernels, and writes the output.
#
# **Predict:** one product replaces nine smaller ones. For which numbers of input channels does this gain most?

# %%
columns = OUT * OUT * KERNEL * KERNEL * C
costs["im2col"] = definition, 4 * (x_size + 2 * columns + w_size + y_size)
measured = {}
for channels in (1, 4, 16, 64):
    x = rng.normal(size=(1, H, H, channels)).astype(np.float32)
    w, b = rng.normal(size=(3, 3, channels, 32)).astype(np.float32), np.zeros(32, np.float32)
    windows, weights = im2col(x[0], 3, 3), w.reshape(-1, 32)
    works = {
        "nine": lambda x=x, w=w, b=b: course.check_conv2d.solution(x, w, b, 1, 0),
        f"C = {channels}, product alone": lambda a=windows, b=weights: a @ b,
        f"C = {channels}, copy and product": lambda x=x, b=weights: im2col(x[0], 3, 3) @ b,
    }
    measured |= timing.ratios(works, 15)
del measured["nine"]
plots.ranges(measured, ["reference", "model"] * 4, xscale="log", xlabel="time, relative to nine products")

# %% [markdown]
# For each C there were 15 rounds. In a round the nine products, the product alone and the copy with the product ran in
# turn, and each time was divided by that of the nine products. So whatever else the machine does disturbs all of them
# alike, while the times themselves would change from one minute to the next. A point is the median of the ratios, and
# its line covers the middle half of them. The copy is the call of `im2col`.
#
# With one channel each of the nine products has an inner dimension of 1, so it does one multiplication for each element
# that it writes. NumPy also treats an array of more than two axes as a stack of matrices: 28 small products for each
# position. One product with an inner dimension of 9 avoids both. With 64 channels the nine products are long sums
# themselves, and there is less to gain, or nothing.
#
# minidl's own `im2col` makes a strip of the matrix at a time, small enough to stay in the cache. Another of its
# algorithms, `shifted`, needs no copy. With stride 1 the pixels at one position $(u, v)$ are one piece of memory, if
# each row of outputs is made as long as a row of the image. The last outputs of a row, whose windows would extend into
# the next row, are dropped. (Vasudevan, Anderson and Gregg, 2017, shift the products instead of the images.)
#
# ## 3. Winograd computes two outputs with four multiplications
#
# In one dimension, two neighbouring outputs of a kernel with three weights share two of their pixels:
#
# $$ y_0 = x_0 g_0 + x_1 g_1 + x_2 g_2, \qquad y_1 = x_1 g_0 + x_2 g_1 + x_3 g_2 $$
#
# These are six multiplications. Four are enough:
#
# $$ m_1 = (x_0 - x_2)\, g_0, \quad m_2 = (x_1 + x_2)\,\frac{g_0 + g_1 + g_2}{2}, \quad
# m_3 = (x_2 - x_1)\,\frac{g_0 - g_1 + g_2}{2}, \quad m_4 = (x_1 - x_3)\, g_2 $$
#
# $$ y_0 = m_1 + m_2 + m_3, \qquad y_1 = m_2 - m_3 - m_4 $$
#
# To see that it is right, expand the sum and the difference of $m_2$ and $m_3$:
#
# $$ m_2 + m_3 = x_1 g_1 + x_2 (g_0 + g_2), \qquad m_2 - m_3 = x_1 (g_0 + g_2) + x_2 g_1 $$
#
# Adding $m_1$ removes $x_2 g_0$ from the first and puts $x_0 g_0$ in its place. Subtracting $m_4$ removes $x_1 g_2$
# from the second and puts $x_3 g_2$ in its place.
#
# The sums of weights are computed once and serve the whole image, so they do not count. This algorithm is called
# F(2, 3): two outputs, three weights. Winograd (1980) showed that $m$ outputs of a kernel with $r$ weights need
# $m + r - 1$ multiplications and no fewer. Lavin and Gray (2016) used it for convolutional networks.
#
# **Exercise.** Write it.


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
print("four multiplications:", winograd(x, g), " six:", np.correlate(x, g))

# %% [markdown]
# Nothing here requires numbers. Let $x_0, \dots, x_3$ be four rows of an image and $g_0, g_1, g_2$ the rows of a
# kernel. Then each of the four products is a convolution of a row in one dimension, to which F(2, 3) applies again. In
# two dimensions a **tile** of 2 x 2 outputs takes $4 \cdot 4 = 16$ multiplications instead of $4 \cdot 9 = 36$.
#
# The algorithm consists of sums of weights $G g$, sums of pixels $B^T x$, their products, and sums of these, with
# $\odot$ for the product element by element:
#
# $$ y = A^T\left[(G g) \odot (B^T x)\right] $$

# %%
A_T, G, B_T = transforms(2, 3, np.float64)
assert np.allclose(A_T @ ((G @ g) * (B_T @ x)), winograd(x, g))
plots.numbers({"B^T": B_T + 0, "G": G + 0, "A^T": A_T}, form="{:g}")  # + 0 makes 0 of -0

# %% [markdown]
# $B^T$ and $A^T$ contain only 0, 1 and -1: sums and differences. (minidl reverses some signs of the formulas above, in
# pairs that cancel: the first rows of $G$ and $B^T$, and the last row of $B^T$ with the last column of $A^T$.) Larger
# tiles save more: $m$ x $m$ outputs take $(m + 2)^2$ multiplications instead of $9 m^2$.
#
# **Predict:** why not one tile for the whole image?

# %%
POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
xs, gs = rng.normal(size=(20_000, 8)).astype(np.float32), rng.normal(size=(20_000, 3)).astype(np.float32)
exact = sum(xs[:, u : u + 6] * gs[:, u : u + 1].astype(np.float64) for u in range(3))
plain = sum(xs[:, u : u + 6] * gs[:, u : u + 1] for u in range(3))
saved, largest, error = {"definition": 1.0}, {"definition": 1.0}, {"definition": np.std(plain - exact)}
for m in (2, 4, 6):
    A_T, G, B_T = transforms(m, 3, np.float32, POINTS)
    y = ((gs @ G.T) * (xs[:, : m + 2] @ B_T.T)) @ A_T.T
    saved[f"F({m}, 3)"] = 9 * m * m / (m + 2) ** 2
    largest[f"F({m}, 3)"] = max(np.abs(A_T).max(), np.abs(B_T).max())
    error[f"F({m}, 3)"] = np.std(y - exact[:, :m])
error = {name: value / error["definition"] for name, value in error.items()}
assert list(error) == sorted(error, key=error.get)
plots.compared({"times fewer (2-D)": saved, "largest entry": largest, "rounding error": error}, form="{:.1f}")

# %% [markdown]
# The left panel is the saving in two dimensions. The others are for one dimension: the largest entry of $A^T$ and
# $B^T$, and the error of float32, relative to that of the plain sum. Large entries make large intermediate values,
# which nearly cancel in the end, and their rounding errors remain. In two dimensions all this happens twice. Matrices
# with other entries can make the errors smaller, but they still grow with the tile (Barabasz et al., 2020).
#
# The bytes of F(2, 3) in two dimensions: three intermediate arrays are written and read again. $V$ has 4 x 4 sums of
# pixels for each tile and input channel, $U$ has 4 x 4 sums of weights for each pair of channels, and $M$ has 4 x 4
# products, summed over the input channels, for each tile and output channel.

# %%
tiles = (OUT // 2) ** 2
V, U, M = tiles * 16 * C, 16 * C * K, tiles * 16 * K
costs["Winograd, 2 x 2"] = M * C, 4 * (x_size + w_size + y_size + 2 * (V + U + M))
table(costs)

# %% [markdown]
# Less than half of the multiplications, and more bytes than im2col.
#
# ## 4. With Fourier transforms each wave takes one product
#
# Take a row of $n$ pixels that goes on at the other end: after pixel $n - 1$ comes pixel 0 again. A **wave** of
# **frequency** $f$ is $x_t = e^{2\pi\mathrm{i} f t / n}$: it goes up and down $f$ times. Lay a kernel on it:
#
# $$ y_t = \sum_u x_{t+u}\, w_u = e^{2\pi\mathrm{i} f t / n} \sum_u w_u\, e^{2\pi\mathrm{i} f u / n}
# = x_t \cdot \overline{W_f}, \qquad W_f = \sum_u w_u\, e^{-2\pi\mathrm{i} f u / n} $$
#
# The output is the same wave, multiplied by a number. $W_f$ is the **Fourier transform** of the kernel. The bar changes
# the sign of its imaginary part; the weights are real. (NumPy first appends zeros to the kernel, up to $n$ elements.)
#
# **Predict:** the blur takes the mean of five pixels. What does it make of a slow wave, and of a fast one?

# %%
t = np.arange(64)
row, W = np.full(5, 1 / 5), np.fft.fft(np.full(5, 1 / 5), 64)
for axes, f in zip(plots.panels(2, 2.2, share="y"), (2, 12), strict=True):
    wave = np.exp(2j * np.pi * f * t / 64)
    blurred = sum(np.roll(wave, -u) * row[u] for u in range(5))
    assert np.allclose(blurred, wave * W[f].conj())
    both = {"wave": wave.real, "blurred": blurred.real}
    labels = {"title": f"f = {f}, |W| = {abs(W[f]):.2f}", "xlabel": "pixel t", "ylim": (-1.1, 2)}
    plots.curves(t, both, ["data", "model"], ".-", axes=axes, **labels)
axes.figure

# %% [markdown]
# The absolute value $|W_f|$ is the factor for the height of the wave. The angle of the complex number shifts the wave:
# the window of pixel $t$ begins at $t$, so its middle is two pixels further on, and the blurred wave comes two pixels
# early.
#
# Every row of pixels is a sum of $n$ waves. The Fourier transform of the row gives the share of each, and the inverse
# transform adds them up again. So a convolution of the row takes three steps: transform, multiply each wave by its
# number, transform back. It is the same in two dimensions, with $\mathcal{F}$ for the transform:
#
# $$ y = \mathcal{F}^{-1}\left[\, \mathcal{F}(x) \cdot \overline{\mathcal{F}(w)}\, \right] $$
#
# Here are the absolute values for the five kernels, with the slowest waves in the middle. Each picture has its smallest
# factor in black and its largest in white:

# %%
size = (128, 128)
strengths = [np.abs(np.fft.fft2(kernel, size)) for kernel in kernels.values()]
viz.images([np.fft.fftshift(strength) for strength in strengths], list(kernels), columns=5)

# %% [markdown]
# The blur lets only slow waves pass, and the kernels for edges stop them. Sharpen leaves the slowest as they are, with
# the factor 1, and enlarges the fast ones. Now the blur by waves. (For real images half of the waves determine the
# others: `np.fft.rfft2` computes only these.)

# %%
X, W = np.fft.rfft2(face[0, ..., 0]), np.fft.rfft2(kernels["blur"], size)
y = np.fft.irfft2(X * W.conj(), size)
by_windows = F.conv2d(md.tensor(face), kernels["blur"][:, :, None, None].astype(np.float32)).numpy()[0]
difference = np.abs(y[:124, :124] - by_windows[..., 0]).max()
assert difference < 1e-5
print(f"largest difference: {difference:.0e}")
viz.images([y, by_windows], ["by waves", "by windows"], columns=2, size=2.2)

# %% [markdown]
# The left picture has four rows and columns more, at the bottom and at the right. Their windows go on at the other side
# of the image, so they are cut off.
#
# The fast Fourier transform (Cooley and Tukey, 1965) takes about $\frac{n}{2} \log_2 n$ complex multiplications for $n$
# pixels. A complex multiplication is four real ones, and for real images half of the waves are enough, so we count
# $n \log_2 n$. Here all $C$ input channels, all $C K$ pairs of channels of the kernels and all $K$ output channels are
# transformed. Then each wave takes a complex product for each pair. All transforms have the size of the image, those of
# the kernels, too, and are written and read again.


# %%
def fft_multiplications(H, C, K):
    """About how many real multiplications a convolution of images H x H takes, for kernels of any size."""
    return (C + K + C * K) * H * H * np.log2(H * H) + 4 * H * (H // 2 + 1) * C * K


waves = 2 * H * (H // 2 + 1)  # numbers for each channel, as each wave has a complex one
moved = x_size + w_size + y_size + 2 * waves * (C + K + C * K)
costs["Fourier"] = fft_multiplications(H, C, K), 4 * moved
table(costs)

# %% [markdown]
# For one image of this layer it is the most expensive one by both counts: the transforms of the kernels, 64 x 128 of
# them, make up most of it. Two things change this. The images of a batch share these transforms, and a larger kernel
# does not make them more expensive (section 6).
#
# ## 5. Yours and minidl's, side by side
#
# In minidl each algorithm is a **plugin** of the kind `conv_algorithm`: a class that is registered under a name, and
# can then be used by this name (unit 16). The next cell registers your loop and your im2col. `supports` says for which
# layers an algorithm can be used. `spec` describes the layer: `spec.window` has the size of the kernel (KH, KW) and the
# strides (SH, SW), and `spec.K` is the number of output channels. `forward` returns the output, and what it saves for
# the backward pass: here `None`. The gradients come from `Direct`, the simplest of minidl's algorithms.

# %%
part = rng.normal(size=(1, 9, 9, C)).astype(np.float32)  # a sixteenth of the outputs
start = time.perf_counter()
conv2d(part, rng.normal(size=(3, 3, C, K)).astype(np.float32), np.zeros(K, np.float32), 1, 0)
if time.perf_counter() - start > 0.05:
    print("conv2d: too slow for this layer, so minidl's version takes its place.")
    conv2d = course.check_conv2d.solution


@plugins.register("conv_algorithm", "my loop")
class MyLoop(Direct):
    """The convolution of unit 7."""

    def supports(self, spec):
        return spec.window.SH == spec.window.SW and not spec.window.padded

    def forward(self, x, w, b, spec):
        return conv2d(x, w, np.zeros(spec.K, x.dtype) if b is None else b, spec.window.SH, 0).astype(x.dtype), None


@plugins.register("conv_algorithm", "my im2col")
class MyIm2col(Direct):
    """The matrix of section 2, whole, image by image."""

    def supports(self, spec):
        return spec.window.SH == spec.window.SW == 1 and not spec.window.padded

    def forward(self, x, w, b, spec):
        y = np.stack([im2col(image, spec.window.KH, spec.window.KW) @ w.reshape(-1, spec.K) for image in x])
        return y.reshape(spec.output_shape) + (0 if b is None else b), None


# %% [markdown]
# `measure` runs all algorithms in turn, five times, and gives medians. The times below are those of the forward pass.
#
# **Predict:** which is fastest, and which needs the most memory? Look at the counts above.

# %%
x, w = rng.normal(size=(1, H, H, C)).astype(np.float32), rng.normal(size=(3, 3, C, K)).astype(np.float32)
rows = sorted(measure(conv_spec(x, w, None, 1, 0), rounds=5), key=lambda row: row.forward)
colours = ["model" if row.name.startswith("my") else "reference" for row in rows]
found = {
    "time / fastest": {row.name: row.forward / rows[0].forward for row in rows},
    "extra memory (MiB)": {row.name: row.memory for row in rows},
    "error / eps": {row.name: row.error / float(np.finfo(np.float32).eps) for row in rows},
}
assert all(error < 50 for error in found["error / eps"].values())
plots.compared(found, colours, form="{:.1f}", log="time / fastest,extra memory (MiB)")

# %% [markdown]
# - All give the same results, up to rounding. The error is the largest of the output and the gradients, relative to the
#   largest element of each, in units of $\epsilon$ = 1.2e-7, the relative spacing of float32.
# - The times do not follow the multiplications alone. Compare `winograd2d`, which has less than half of them, with
#   `direct`: it also has to sum tiles whose pixels are far apart in memory. minidl's `winograd` applies F(4, 3) to
#   whole rows of pixels, which are one piece of memory. It has half of the multiplications, in large products.
# - The extra memory is the most that is needed at one time, forward and backward, beside the arguments and results. For
#   `fft` it is mostly the transforms of kernels, or of their gradients.
#
# A count says how much an algorithm has to do. How fast a machine does it depends on where the numbers are, and has to
# be measured. Where two algorithms are close to each other, their order can change with the machine.
#
# ## 6. Large kernels are the case for Fourier transforms
#
# Take an image of 64 x 64 pixels with 8 channels, and 8 kernels of $k$ x $k$ without padding. Larger kernels have more
# weights but fewer outputs: the definition takes $(65 - k)^2 \cdot 64 k^2$ multiplications.
#
# **Predict:** from $k = 3$ to $k = 23$, by which factor do the multiplications of the definition grow? `direct` and
# `im2col` do just these multiplications: do their times grow by the same factor?

# %%
sizes = (3, 5, 9, 15, 23)
by_definition = np.array([(65 - k) ** 2 * 64 * k * k for k in sizes])
counted = {"definition": by_definition / 1e6, "fft": np.full(5, fft_multiplications(64, 8, 8) / 1e6)}
x = md.tensor(rng.normal(size=(1, 64, 64, 8)), dtype=np.float32)
weights = {k: rng.normal(size=(k, k, 8, 8)).astype(np.float32) for k in sizes}
algorithms = ("direct", "im2col", "fft")
works = {
    (name, k): lambda name=name, w=w: F.conv2d(x, w, algorithm=name) for name in algorithms for k, w in weights.items()
}
relative = {key: float(np.median(values)) for key, values in timing.ratios(works, 21).items()}
times = {name: [relative[name, k] for k in sizes] for name in algorithms}

# %%
left, right = plots.panels(2)
ticks = {"xticks": sizes, "xticklabels": sizes, "xlabel": "size of the kernel"}
plots.curves(sizes, counted, marks="o-", log="xy", axes=left, title="multiplications (millions)", **ticks)
colours = [style.BLUE, style.GREEN, style.ORANGE]
plots.curves(sizes, times, colours, marks="o-", log="xy", axes=right, title="time, direct with k = 3 is 1", **ticks)
left.set(yticks=(3, 10, 30), yticklabels=(3, 10, 30))
for axes in (left, right):
    axes.minorticks_off()
print(f"multiplications of the definition: {by_definition[-1] / by_definition[0]:.0f} times as many with k = 23")
for name in algorithms:
    print(f"{name}: {times[name][-1] / times[name][0]:.1f} times as long")
faster = [k for k, ours, other in zip(sizes, times["fft"], times["im2col"], strict=True) if ours < other]
print(f"fft is faster than im2col here from k = {faster[0]}" if faster else "fft is never faster than im2col here")
right.figure

# %% [markdown]
# The weights grow by a factor of $23^2 / 3^2 \approx 59$ and the outputs shrink from $62^2$ to $42^2$, so the
# multiplications grow 27 times. Times need not grow by this factor. `direct` starts NumPy operations for each
# position $(u, v)$ of the kernel, and there are 59 times as many. The sums of `im2col` become longer, which suits BLAS.
# The transforms do the same work for every kernel, so what differs in their times has other causes, such as other
# programs.
#
# `algorithm="auto"`, the default, takes what was fastest on the most similar layer in a table that was measured once
# (`minidl/kernels/numpy/conv/measured.csv`). It does not measure while a network runs, so the same network always
# computes the same numbers.
#
# ## Questions
#
# 1. An image of 6 x 6 pixels and one channel, a kernel of 3 x 3 and stride 1: how many elements does the im2col
#    matrix have? How many with stride 3?
# 2. F(4, 3) in two dimensions computes tiles of 4 x 4 outputs. How many times fewer multiplications does it need? On
#    how many pixels does a tile depend?
# 3. Without padding, why does the Fourier algorithm give wrong values at the bottom and at the right? How can you avoid
#    them, other than by cutting them off?
#
# <details><summary>Answers</summary>
#
# 1. 16 windows of 9 elements are 144, four times the image. With stride 3 the four windows do not overlap: 36.
# 2. $4 \cdot 4 \cdot 9 = 144$ become $6 \cdot 6 = 36$: four times fewer. A tile depends on 6 x 6 pixels.
# 3. The waves repeat, so windows that extend beyond the image go on at its other side. Append rows and columns of zeros
#    to the image, one fewer than the kernel has: then these windows meet zeros.
#
# </details>
#
# ## Further reading
#
# - K. Chellapilla, S. Puri and P. Simard, "High Performance Convolutional Neural Networks for Document Processing",
#   2006: im2col.
# - A. Vasudevan, A. Anderson and D. Gregg, "Parallel Multi Channel Convolution using General Matrix Multiplication",
#   2017: a sum of shifted products.
# - S. Winograd, *Arithmetic Complexity of Computations*, 1980: the bound of $m + r - 1$ multiplications.
# - A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2016: F(2, 3) and F(4, 3) for networks.
# - B. Barabasz, A. Anderson, K. Soodhalter and D. Gregg, "Error Analysis and Improving the Accuracy of Winograd
#   Convolution for Deep Neural Networks", 2020: where the rounding errors come from.
# - J. Cooley and J. Tukey, "An Algorithm for the Machine Calculation of Complex Fourier Series", 1965.
# - M. Mathieu, M. Henaff and Y. LeCun, "Fast Training of Convolutional Networks through FFTs", 2014.
#
# ## Now read the real thing
#
# `minidl/kernels/conv/fft.py` is section 4, with channels: a matrix product for every frequency.

# %%
print(inspect.getsource(FFT.forward))

# %% [markdown]
# `_spoiled` finds images in which an infinite value or a NaN has spread to all pixels, and computes them again by the
# definition. `docs/convolution.md` derives all six algorithms with their gradients; `python -m minidl bench conv`
# measures them on any layer.
