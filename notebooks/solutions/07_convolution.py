# %% [markdown]
# # 7. Convolution
#
# A layer of the kind of unit 1, a **dense layer**, has a separate weight for every pixel. A convolution has one small
# array of weights and lays it on every part of the image, so it finds a pattern wherever the pattern is. This unit
# shows what a convolution computes, derives its gradients, and ends with a kernel that your own code has learned.
#
# **You will be able to**
#
# - say what a kernel computes, and why a shifted image gives a shifted result;
# - calculate the output size from kernel, stride and padding;
# - write the convolution of a batch of colour images with a short loop;
# - derive and write its backward pass, and check it against numerical derivatives;
# - say which pixels one output of a deep network depends on.
#
# **Prior knowledge:** `step` (unit 2), gradients of arrays and `dy` (unit 4), `numerical_gradient` (unit 5).
#
# **Time:** about 2 hours, 40 minutes of them for the three exercises.

# %%
import inspect
import time

import numpy as np

import minidl as md
from agegender import data
from minidl import course, viz
from minidl.course import plots, style
from minidl.kernels.conv import Direct

style.use()
F = md.nn.functional
rng = np.random.default_rng(0)
faces = data.drawn(20).batch(np.arange(20))[0]
face = faces[9:10]
print("faces:", faces.shape, "  one face:", face.shape)

# %% [markdown]
# A batch of images is one array of shape **(N, H, W, C)**: N images, H rows, W columns and C channels.
# A **channel** is one number per pixel: a grey image has one channel, a colour image has three (red, green, blue), and
# the images inside a network have many.
#
# ## 1. A kernel finds a pattern wherever it is
#
# A **kernel** (also called a filter) is a small array of weights $w$. Lay it on the image, multiply each weight by the
# pixel below it, and add the products. The sum is one pixel of the output. The pixels below the kernel are its
# **window**. Move the window over the whole image:
#
# $$ y_{ij} = \sum_{u} \sum_{v} x_{i+u,\;j+v}\; w_{uv} $$
#
# Here $(i, j)$ is a position in the output and $(u, v)$ is a position in the kernel, both counted from 0. One output of
# a kernel for vertical edges, by hand:

# %%
sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
i, j = 67, 38  # hair on the left, the cheek on the right
window = face[0, i : i + 3, j : j + 3, 0]
print(f"y[{i}, {j}] = {(window * sobel).sum():.4f}")
plots.numbers({"window of the face": window, "kernel": sobel, "products": window * sobel}, form="{:.2f}")

# %% [markdown]
# Such a sum of products is called a **correlation**. Among windows with the same sum of squares it is largest for the
# window that is a positive multiple of the kernel (the Cauchy-Schwarz inequality), so a kernel is a picture of what it
# finds. Mathematicians call the whole operation, with all windows, cross-correlation. Their convolution rotates the
# kernel by 180 degrees first. In deep learning the weights are learned, so both could compute the same, and the simpler
# one is called **convolution**.

# %%
kernels = {
    "blur": np.full((5, 5), 1 / 25),
    "vertical edges": sobel,
    "horizontal edges": sobel.T,
    "any edge": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
}
viz.images(list(kernels.values()), list(kernels), columns=5, signed=True)

# %% [markdown]
# Red weights are positive and blue ones are negative.
#
# **Predict:** in a flat region all pixels have the same value $c$. Which of the five kernels give 0 there, and what do
# the others give? (Add up the weights of each kernel.)

# %%
image = md.tensor(face)
results = [F.conv2d(image, kernel[:, :, None, None].astype(np.float32)).numpy()[0] for kernel in kernels.values()]
print({name: float(kernel.sum().round(6)) for name, kernel in kernels.items()})
viz.images(results, list(kernels), columns=5)

# %% [markdown]
# In a flat region the output is $c$ times the sum of the weights: 0 for the three kernels that find edges, $c$ for blur
# and sharpen. (Each picture is drawn with its smallest value black and its largest white, so 0 is grey in the pictures
# of edges.) The output of one kernel is called a **feature map**.
#
# **Predict:** the face moves 20 pixels to the right. What happens to its feature map?

# %%
before, after = face[:, :, 20:], face[:, :, :-20]  # two views, 108 pixels wide; the face is further right in the second
maps = [F.conv2d(md.tensor(view), sobel[:, :, None, None].astype(np.float32)).numpy() for view in (before, after)]
assert np.allclose(maps[0][:, :, :-20], maps[1][:, :, 20:], atol=1e-6)
viz.images([before[0], maps[0][0], after[0], maps[1][0]], ["face", "its edges", "moved", "its edges"], columns=4)

# %% [markdown]
# The feature map moves by 20 pixels, too, and is otherwise the same: this property is called **equivariance** under
# shifts. It follows from the formula, because the weights $w_{uv}$ do not depend on $i$ and $j$. A dense layer lacks
# it, and it needs many more weights for the same number of outputs. The next cell compares 32 kernels of 3 x 3 with the
# dense layer that has as many outputs:

# %%
outputs = 126 * 126 * 32
print(f"convolution: {3 * 3 * 1 * 32 + 32:,} parameters")
print(f"dense:       {128 * 128 * outputs + outputs:,} parameters")

# %% [markdown]
# Using the same weights everywhere is called **parameter sharing**.
#
# ## 2. Kernel, stride and padding determine the output size
#
# **Padding** $p$ adds $p$ rows and columns of zeros on each side of the image. With a **stride** $s$ the kernel moves
# $s$ pixels at a time. Each line below the row of pixels is one position of a kernel of size 3; dotted pixels are the
# padding:

# %%
panels = plots.panels(3, height=2.3)
for axes, (stride, padding) in zip(panels, ((1, 0), (1, 1), (2, 1)), strict=True):
    plots.positions(7, 3, stride, padding, axes=axes)
panels[0].figure

# %% [markdown]
# **Exercise.** A row of `size` pixels becomes `size + 2 * padding` pixels. The first position of the kernel is at 0,
# and the last must not extend beyond the end. How many positions are there?


# %%
def output_size(size, kernel, stride, padding):
    """The number of outputs of a row of pixels, an integer."""
    # <blank>
    return (size + 2 * padding - kernel) // stride + 1
    # </blank>


output_size = course.check_output_size(output_size)
for k, s, p in ((3, 1, 0), (3, 1, 1), (3, 2, 1), (5, 2, 2)):
    y = F.conv2d(image, np.ones((k, k, 1, 1), np.float32), stride=s, padding=p)
    print(f"kernel {k}, stride {s}, padding {p}: {output_size(128, k, s, p)} outputs in a row, minidl: {y.shape}")

# %% [markdown]
# With stride 1, an odd kernel size $k$ and padding $(k-1)/2$, the output has the size of the input. This choice is
# called "same" padding, and no padding is called "valid".
#
# ## 3. Every position of the kernel meets the whole image, shifted
#
# In a network an image has $C$ channels, and a layer has $K$ kernels. Each kernel has weights for all channels and a
# bias, and produces one channel of the output. The complete formula, where $x$ already includes its padding:
#
# $$ y_{nijk} = b_k + \sum_{u,v,c} x_{n,\;is+u,\;js+v,\;c}\; w_{uvck} $$
#
# | array | shape | index |
# |---|---|---|
# | $x$, images | (N, H, W, C) | image, row, column, channel |
# | $w$, kernels | (KH, KW, C, K) | row and column of the kernel, input channel, output channel |
# | $b$, biases | (K,) | output channel |
# | $y$, feature maps | (N, OH, OW, K) | image, row, column, output channel |
#
# A program with one loop for each index is a translation of this formula. Python takes too long for it: 8 faces and 32
# kernels of 3 x 3 are 37 million products. But addition can be done in any order. Choose one position $(u, v)$ of the
# kernel and do its products for *all* outputs at once. The pixels that it needs, $x_{is+u,\;js+v}$ for all $i$ and $j$,
# are the image itself, shifted by $u$ rows and $v$ columns; with stride $s$ only every $s$-th row and column of it. In
# NumPy that is one slice.
#
# **Predict:** the image below has 5 rows and 7 columns, the kernel is 3 x 3, and the stride is 2, so there are 2 x 3
# outputs. Which six pixels does the top left weight, $(u, v) = (0, 0)$, meet? And the bottom middle one, $(2, 1)$?

# %%
x = np.arange(35.0).reshape(1, 5, 7, 1)
OH, OW, stride = 2, 3, 2
slices = {"x": x[0, :, :, 0]}
for u, v in ((0, 0), (2, 1)):
    pixels = x[:, u : u + OH * stride : stride, v : v + OW * stride : stride]
    slices[f"pixels for ({u}, {v})"] = pixels[0, :, :, 0]
plots.numbers(slices, form="{:.0f}")

# %% [markdown]
# So the output is a sum of nine shifted images, each multiplied by its weight. Watch it add up on the face:

# %%
total, sums = np.zeros((126, 126)), []
for u in range(3):
    for v in range(3):
        total = total + face[0, u : u + 126, v : v + 126, 0] * sobel[u, v]
        sums.append(total)
assert np.allclose(total, results[1][..., 0], atol=1e-5)
viz.images(sums, [f"{number} of 9" for number in range(1, 10)], columns=9, size=1.1)

# %% [markdown]
# With channels, the product with one weight becomes a matrix product. For one position, `pixels` has the shape
# (N, OH, OW, C) and `w[u, v]` has the shape (C, K). NumPy's `@` multiplies along the last axis, so `pixels @ w[u, v]`
# has the shape (N, OH, OW, K), that of the output.
#
# **Exercise.** Write the convolution with a loop over the positions $(u, v)$ of the kernel. Pad first
# (`np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))` pads rows and columns), then calculate the
# output size, start from an array of zeros, and add.


# %%
def conv2d(x, w, b, stride, padding):
    """The convolution of images x (N, H, W, C) with kernels w (KH, KW, C, K) and biases b (K,)."""
    # <blank>
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    N, H, W, _ = x.shape
    KH, KW, _, K = w.shape
    OH, OW = (H - KH) // stride + 1, (W - KW) // stride + 1
    y = np.zeros((N, OH, OW, K), x.dtype)
    for u in range(KH):
        for v in range(KW):
            pixels = x[:, u : u + OH * stride : stride, v : v + OW * stride : stride]
            y += pixels @ w[u, v]
    return y + b
    # </blank>


conv2d = course.check_conv2d(conv2d)

# %% [markdown]
# This function becomes part of your own library, which trains a network on faces in unit 13. There it must take well
# below a second for 8 faces and 32 kernels. The next cell measures it on a sixteenth of the pixels:

# %%
w = rng.normal(size=(3, 3, 1, 32)).astype(np.float32)
small = faces[:8, 48:80, 48:80]
start = time.perf_counter()
yours = conv2d(small, w, np.zeros(32, np.float32), 1, 1)
seconds = 16 * (time.perf_counter() - start)
print("quick enough" if seconds < 1 else f"too slow: {seconds:.0f} s for 8 faces. Loop over the kernel's positions.")
print(f"largest difference from minidl: {np.abs(yours - F.conv2d(md.tensor(small), w, padding=1).numpy()).max():.0e}")
viz.images([small[0], *yours[0, :, :, :4].transpose(2, 0, 1)], ["part of a face", *(f"y[..., {k}]" for k in range(4))])

# %% [markdown]
# ## 4. Backward, each output's gradient goes to its window and to the kernel
#
# As in unit 4, $L$ is the loss, and `dy` holds the derivatives of $L$ with respect to the elements of $y$: it has the
# shape of $y$. We look for `dx`, `dw` and `db`, the same for $x$, $w$ and $b$. From the formula for $y$ follow three
# kinds of derivatives:
#
# $$ \frac{\partial y_{nijk}}{\partial b_k} = 1, \qquad
# \frac{\partial y_{nijk}}{\partial w_{uvck}} = x_{n,\;is+u,\;js+v,\;c}, \qquad
# \frac{\partial y_{nijk}}{\partial x_{n,\;is+u,\;js+v,\;c}} = w_{uvck} $$
#
# The chain rule multiplies each by $dy_{nijk}$, and adds the contributions of all outputs that depend on the variable.
# The bias $b_k$ and the weight $w_{uvck}$ take part in all outputs of channel $k$:
#
# $$ db_k = \sum_{n,i,j} dy_{nijk}, \qquad dw_{uvck} = \sum_{n,i,j} x_{n,\;is+u,\;js+v,\;c}\; dy_{nijk} $$
#
# A pixel lies in several windows, at a different position $(u, v)$ of the kernel in each. So `dx` starts at 0, and
# every output $(i, j)$ adds to the pixel at each position $(u, v)$ of its window:
#
# $$ dx_{n,\;is+u,\;js+v,\;c} \mathrel{{+}{=}} \sum_{k} dy_{nijk}\; w_{uvck} $$
#
# **Predict:** let `dy` be 1 for a single output, (0, 1), and 0 for the others. What do `dw` and `dx` look like?

# %%
x = rng.integers(-9, 10, (1, 4, 5, 1)).astype(float)
w = np.arange(1.0, 10).reshape(3, 3, 1, 1)


def gradients(dy):
    """x, w, dy and the gradients as matrices, computed by minidl."""
    tensors = [md.tensor(array, requires_grad=True) for array in (x, w)]
    F.conv2d(*tensors).backward(dy.reshape(1, 2, 3, 1))
    arrays = {"x": x, "w": w, "dy": dy, "dw": tensors[1].grad, "dx": tensors[0].grad}
    return {name: np.squeeze(array) for name, array in arrays.items()}


plots.numbers(gradients(np.array([[0.0, 1, 0], [0, 0, 0]])), form="{:.0f}", limit=9)

# %% [markdown]
# `dw` is the window of that output, columns 1 to 3 of `x`. `dx` is the kernel, laid where the window was. With a second
# output the results add up where the windows overlap:

# %%
plots.numbers(gradients(np.array([[0.0, 1, 0], [1, 0, 0]])), form="{:.0f}", limit=9)

# %% [markdown]
# **Exercise.** Write the backward pass, again with a loop over the positions $(u, v)$. The slices are those of the
# forward pass. Three hints:
#
# - Collect `dx` in an array as large as the *padded* images, and cut its padding off at the end.
# - For one position, `dw[u, v]` (C, K) is a sum over all images, rows and columns. Reshape the pixels to (N OH OW, C)
#   with `reshape(-1, C)`, and `dy` to (N OH OW, K) with `reshape(-1, K)`; then it is a matrix product.
# - For one position, what comes back to the pixels (N, OH, OW, C) is `dy` (N, OH, OW, K) times a matrix (K, C).


# %%
def conv2d_backward(dy, x, w, stride, padding):
    """The gradients (dx, dw, db), given dy (N, OH, OW, K), x (N, H, W, C) and w (KH, KW, C, K)."""
    # <blank>
    _, H, W, C = x.shape
    KH, KW, _, K = w.shape
    _, OH, OW, _ = dy.shape
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for u in range(KH):
        for v in range(KW):
            rows, columns = slice(u, u + OH * stride, stride), slice(v, v + OW * stride, stride)
            dw[u, v] = x[:, rows, columns].reshape(-1, C).T @ dy.reshape(-1, K)
            dx[:, rows, columns] += dy @ w[u, v].T
    return dx[:, padding : padding + H, padding : padding + W], dw, dy.sum(axis=(0, 1, 2))
    # </blank>


conv2d_backward = course.check_conv2d_backward(conv2d_backward)

# %% [markdown]
# The checker compares with minidl. A gradient check (unit 3) needs no other library: choose any `dy`, and let the
# loss be $L = \sum dy \cdot y$, so that its derivatives with respect to $y$ are `dy`. Then compare with numerical
# derivatives of $L$, computed with `conv2d` and your `numerical_gradient` (unit 5) alone:

# %%
numerical_gradient = course.mine("numerical_gradient")
x, w, b = rng.normal(size=(2, 6, 5, 2)), rng.normal(size=(3, 3, 2, 3)), rng.normal(size=3)
stride, padding = 2, 1
dy = rng.normal(size=conv2d(x, w, b, stride, padding).shape)
losses = {
    "dx": (lambda x: float((dy * conv2d(x, w, b, stride, padding)).sum()), x),
    "dw": (lambda w: float((dy * conv2d(x, w, b, stride, padding)).sum()), w),
    "db": (lambda b: float((dy * conv2d(x, w, b, stride, padding)).sum()), b),
}
for (name, (loss, at)), gradient in zip(losses.items(), conv2d_backward(dy, x, w, stride, padding), strict=True):
    difference = np.abs(gradient - numerical_gradient(loss, at, 0.01)).max()
    print(f"{name} {gradient.shape}: largest difference {difference:.0e}")
    assert difference < 1e-8

# %% [markdown]
# The differences are rounding errors. They are this small although the step is 0.01, because $L$ is linear in each of
# $x$, $w$ and $b$, and finite differences are exact for linear functions.
#
# ## 5. Gradient descent finds the kernel
#
# Now learn a kernel with your own functions. The input is an image of noise, the target is the result of the kernel for
# vertical edges, and the loss is the mean squared error. The kernel starts from zeros and sees only input and target.

# %%
step = course.mine("step")


def learn(x, steps=200, lr=0.1):
    """The kernels and the losses of gradient descent; the target is the feature map of the Sobel kernel."""
    target = conv2d(x, sobel[:, :, None, None], np.zeros(1), 1, 0)
    w, found, losses = np.zeros((3, 3, 1, 1)), [], []
    for _ in range(steps):
        error = conv2d(x, w, np.zeros(1), 1, 0) - target
        found.append(w)
        losses.append((error**2).mean())
        _, dw, _ = conv2d_backward(2 * error / error.size, x, w, 1, 0)
        w = step(w, dw, lr)
    return found, losses


noise = rng.normal(size=(1, 32, 32, 1))
found, of_noise = learn(noise)
assert of_noise[-1] < of_noise[0] / 1000
shown = {f"step {number}": found[number][:, :, 0] for number in (1, 5, 20, 100)}
viz.images([*shown.values(), sobel], [*shown, "wanted"], columns=5, signed=True, limits=(-0.5, 0.5))

# %% [markdown]
# **Predict:** the same with the face instead of noise. Neighbouring pixels of the noise have nothing to do with each
# other, those of the face are nearly equal. With which of the two is the kernel found sooner?

# %%
found, of_face = learn(face.astype(float))
relative = {"noise": np.array(of_noise) / of_noise[0], "face": np.array(of_face) / of_face[0]}
titles = ["learned from the face", "wanted"]
viz.images([found[-1][:, :, 0], sobel], titles, columns=2, signed=True, limits=(-0.5, 0.5))

# %%
plots.curves(range(200), relative, log="y", xlabel="step", ylabel="loss / first loss", ylim=(1e-9, 3))

# %% [markdown]
# The face is much slower: the kernel responds to vertical edges, but it is far from the wanted one. Neighbouring pixels
# of a face are nearly equal, so different kernels can give nearly the same feature map. In some directions of the space
# of weights the loss is then almost flat, while in others it is steep. The loss is a quadratic function of the nine
# weights, like the valley of unit 6, but its steepest and its flattest direction need not be those of single weights.
# `np.linalg.eigvalsh` computes its curvatures along such directions from the second derivatives (as the eigenvalues of
# their matrix):

# %%
for name, x in {"noise": noise, "face": face}.items():
    windows = np.lib.stride_tricks.sliding_window_view(x[0, :, :, 0].astype(float), (3, 3)).reshape(-1, 9)
    curvatures = np.linalg.eigvalsh(2 * windows.T @ windows / len(windows))
    print(f"{name}: curvatures from {curvatures[0]:.4f} to {curvatures[-1]:.4f}")

# %% [markdown]
# The learning rate must be small enough for the largest curvature, and is then far too small for the smallest one, as
# in unit 6. The pixels of the noise are independent of each other, so its curvatures are nearly equal.
#
# ## 6. Later layers see larger parts of the image
#
# The **receptive field** of an output is the set of pixels it depends on. For one convolution it is the window. For
# several, the backward pass shows it: set all weights to 1, and `dy` to 1 for one output. Go back through all layers,
# and see where `dx` is not 0.
#
# **Predict:** how many pixels wide is the receptive field of two convolutions 3 x 3 with stride 1? Of three? Of two,
# where the first has stride 2?


# %%
def receptive_field(strides, size=15):
    """The gradient of the middle output with respect to the image, for convolutions 3 x 3 with these strides."""
    images, w = [np.zeros((1, size, size, 1))], np.ones((3, 3, 1, 1))
    for stride in strides:
        images.append(conv2d(images[-1], w, np.zeros(1), stride, 0))
    dy = np.zeros_like(images.pop())
    dy[0, dy.shape[1] // 2, dy.shape[2] // 2] = 1
    for x, stride in zip(reversed(images), reversed(strides), strict=True):
        dy = conv2d_backward(dy, x, w, stride, 0)[0]
    return dy[0]


fields = {str(strides): receptive_field(strides) for strides in ((1,), (1, 1), (1, 1, 1), (2, 1))}
widths = {name: int((field > 0).any(axis=0).sum()) for name, field in fields.items()}
assert list(widths.values()) == [3, 5, 7, 7]
viz.images(list(fields.values()), [f"strides {name}: {widths[name]} wide" for name in fields], columns=4, signed=True)

# %% [markdown]
# Each layer of 3 x 3 adds one pixel on each side, and twice as many after a stride of 2. In general, a layer with
# kernel size $k$ adds $k - 1$ times the product of all strides before it to the width. Pixels in darker red reach the
# output on more paths.
#
# ## Questions
#
# 1. A layer has 32 input channels and 64 kernels of 3 x 3. How many parameters does it have, and how does this number
#    depend on the size of the image?
# 2. All weights of a 3 x 3 kernel are 1, all elements of `dy` are 1, and there is one channel, stride 1 and no padding.
#    What is `dx` in the corner of a large image, and what is it in the middle?
# 3. A layer has a kernel of 1 x 1 and stride 2. For which pixels is `dx` always 0?
#
# <details><summary>Answers</summary>
#
# 1. 3 · 3 · 32 · 64 weights and 64 biases are 18,496 parameters. The number does not depend on the size of the image.
# 2. A corner pixel lies in a single window, so `dx` is 1. A pixel in the middle lies in nine windows, so `dx` is 9.
# 3. For all pixels in odd rows or odd columns (counted from 0): no window contains them. This is three quarters of the
#    pixels, if the numbers of rows and columns are even.
#
# </details>
#
# ## Further reading
#
# - V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", 2016: stride and padding in
#   pictures; relationship 6 is the output size.
# - I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, 2016, sections 9.1 and 9.2: convolution and
#   cross-correlation, parameter sharing, equivariance.
# - Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-Based Learning Applied to Document Recognition", 1998: a
#   convolutional network that reads digits, LeNet-5.
#
# ## Now read the real thing
#
# `minidl/ops/conv.py` contains the mathematics and leaves the computation to an algorithm. The simplest algorithm is
# `Direct`. It has the same loop as yours, over the *taps* of the kernel:

# %%
print(inspect.getsource(Direct))

# %% [markdown]
# Faster algorithms are in `minidl/kernels/conv` and `minidl/kernels/numpy/conv`; unit 14 explains how they work.
