# %% [markdown]
# # 8. Pooling, ReLU and Dense
#
# A convolution finds things. The layers around it decide what becomes of them: pooling makes the picture smaller, ReLU
# drops what was not found, and dense layers draw the conclusion. This notebook shows what each does to a face, and what
# it does to the gradients on their way back:
#
# 1. **pooling**: many pixels become one;
# 2. why it helps: a face that **moves a little** stays nearly the same;
# 3. **backward through a maximum**: where the gradient goes, ties and overlaps included;
# 4. **ReLU**, which lets through what is positive, forward and backward;
# 5. **dead** ReLUs: how they die, and three ways to keep them alive;
# 6. **Dense**, which sees every pixel and no picture.
#
# You need notebook 4, and of notebook 7 what a kernel is.

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

import minidl as md
from agegender import data
from minidl import course, nn, ops, optim, viz
from minidl.kernels.reference import ReferenceKernels

F = nn.functional
rng = np.random.default_rng(0)
pixels, labels = data.drawn(300).batch(np.arange(300))
face = pixels[9:10]
print("one grey image:", face.shape, "= (N, H, W, C): images, rows, columns, channels")

# %% [markdown]
# ## 1. Pooling
#
# Pooling lays a window on the picture, as a convolution does, but it has no weights: **max pooling** keeps the largest
# pixel under the window, **average pooling** the mean. The windows usually stand side by side: the stride is as long as
# the window. Each channel is pooled on its own.

# %%
sizes = (2, 4, 8, 16)
image = md.tensor(face)
by_max = [F.max_pool2d(image, size).numpy()[0] for size in sizes]
by_mean = [F.avg_pool2d(image, size).numpy()[0] for size in sizes]
titles = [f"{name}, {n} x {n}" for name in ("max", "mean") for n in sizes]
viz.images([*by_max, *by_mean], titles, columns=4)

# %% [markdown]
# The mean makes a smaller photograph. The maximum makes bright things larger and swallows dark ones: the lines of eyes
# and mouth go first. This is no loss where *bright means found*, as in the results of a convolution after ReLU. There
# the maximum asks: was it found anywhere under this window?
#
# **Exercise.** Write max pooling for one channel. Windows that do not fit as a whole at the end are left out, so there
# are (H - size) // stride + 1 rows of them.


# %%
def max_pool(x, size, stride):
    """The largest number under each window of x (H, W)."""
    # <blank>
    OH, OW = (x.shape[0] - size) // stride + 1, (x.shape[1] - size) // stride + 1
    y = np.zeros((OH, OW), x.dtype)
    for i in range(OH):
        for j in range(OW):
            y[i, j] = x[i * stride : i * stride + size, j * stride : j * stride + size].max()
    return y
    # </blank>


max_pool = course.check_max_pool(max_pool)
print("as minidl does it:", bool((max_pool(face[0, ..., 0], 4, 4) == by_max[1][..., 0]).all()))

# %% [markdown]
# ## 2. A face that moves
#
# Nobody holds a camera so still that an edge lies on the same pixel twice. How much do edges change if the face moves
# by one pixel? We look for upright edges, pool what was found, and compare the change with what was there: 0 would be
# no change at all.

# %%
kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)[:, :, None, None] / 4
edges = F.relu(F.conv2d(md.tensor(pixels[:50]), kernel)).numpy()
still, moved = edges[:, :, 14:-14], edges[:, :, 13:-15]  # 98 columns, the same but one further to the left


def change(pool, size):
    """How much the pooled edges change, relative to what they are."""
    before, after = (pool(md.tensor(part), size).numpy() for part in (still, moved))
    return np.sqrt(((after - before) ** 2).sum() / (before**2).sum())


sizes = (1, 2, 4, 8, 16)
changes = {"max": [change(F.max_pool2d, n) for n in sizes], "mean": [change(F.avg_pool2d, n) for n in sizes]}
figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
for name, found in changes.items():
    axes.plot(sizes, found, "o-", label=name)
axes.set(xlabel="size of the window", ylabel="change", ylim=(0, None), xticks=sizes)
axes.legend(title="pooling by")
plt.show()
assert all(found[0] > 2 * found[3] for found in changes.values())

# %%
pooled = [F.max_pool2d(md.tensor(part[9:10]), 8).numpy()[0] for part in (still, moved)]
viz.images(
    [still[9], moved[9], *pooled],
    ["edges", "a pixel further", "pooled by 8", "a pixel further, pooled"],
    columns=4,
    size=2,
)

# %% [markdown]
# Pooling gives up where exactly an edge lies, and what is left changes less. It also leaves less to compute: windows of
# 2 x 2 keep a quarter of the numbers. Both kinds do this; that the maximum does better in recognition was found by
# trying (Scherer, Müller and Behnke, "Evaluation of Pooling Operations in Convolutional Architectures", 2010).
#
# ## 3. Backward through a maximum
#
# The result *is* one of the pixels. If that pixel grows a little, so does the result, and if another one grows a
# little, nothing happens. So the slope is 1 for the largest pixel and 0 for all others: the gradient goes to the
# largest, whole. For the mean of $n$ pixels each gets $1/n$ of it.

# %%
patch = md.tensor(face[:, 44:60, 36:60], requires_grad=True)
gradients = []
for pool in (F.max_pool2d, F.avg_pool2d):
    pool(patch, 4).sum().backward()
    gradients.append(patch.grad[0, ..., 0])
    patch.zero_grad()
titles = ["16 x 24 pixels", "gradient, max", "gradient, mean"]
picture = viz.images([patch.numpy()[0], *gradients], titles, columns=3, size=2.4, limits=(0, 1))
for part in picture.axes:
    part.set(xticks=np.arange(3.5, 24, 4), yticks=np.arange(3.5, 16, 4), xticklabels=[], yticklabels=[])
    part.grid(color="tab:blue", lw=0.8)
assert gradients[0].sum() == gradients[1].sum() == 24
picture

# %% [markdown]
# Each window has one white pixel in the middle picture, its largest. Two questions are left:
#
# - **Ties.** Of several equal pixels, which one is the largest? There is no derivative there. Any of them would do, but
#   not all: then the gradient would be several times too large. minidl takes the first.
# - **Overlaps.** If the stride is shorter than the window, a pixel can be the largest of several windows. Then it has
#   an effect on several results, and its gradients add up (notebook 3).
#
# **Exercise.** Write the backward pass. `x[window].argmax()` finds the first of the largest, as a number from 0 to
# size * size - 1; `divmod(number, size)` makes a row and a column of it.


# %%
def max_pool_backward(dy, x, size, stride):
    """The gradient for x (H, W), given dy for every window."""
    # <blank>
    dx = np.zeros_like(x)
    for i in range(dy.shape[0]):
        for j in range(dy.shape[1]):
            window = x[i * stride : i * stride + size, j * stride : j * stride + size]
            row, column = divmod(window.argmax(), size)
            dx[i * stride + row, j * stride + column] += dy[i, j]
    return dx
    # </blank>


max_pool_backward = course.check_max_pool_backward(max_pool_backward)

# %%
plane = np.array([[1, 2, 2, 0, 1], [0, 5, 1, 1, 1], [3, 4, 6, 0, 1], [2, 1, 3, 0, 0], [0, 0, 0, 0, 0]], float)
figure, axes = plt.subplots(1, 3, figsize=(8, 2.7), layout="constrained")
apart, overlapping = (max_pool_backward(np.ones((n, n)), plane, 2, stride) for n, stride in ((2, 2), (4, 1)))
parts = {"x": plane, "dx: 2 x 2, stride 2": apart, "dx: 2 x 2, stride 1": overlapping}
for part, (title, numbers) in zip(axes, parts.items(), strict=True):
    part.imshow(numbers, cmap="Greys" if title == "x" else "Reds", vmin=0, vmax=10 if title == "x" else 5)
    for (i, j), value in np.ndenumerate(numbers):
        part.text(j, i, f"{value:g}", ha="center", va="center")
    part.set(title=title, xticks=[], yticks=[])
plt.show()

# %% [markdown]
# With stride 2 each window gives a single 1; the last row and column of $x$ are under none. With stride 1 large numbers
# collect a 1 from each of up to four windows. Under the last window, at the bottom right, all numbers are 0: the first
# of them gets the gradient. minidl remembers which pixel was the largest in one byte a window; nothing else is kept for
# the way back.
#
# ## 4. ReLU
#
# $y = \max(x, 0)$, for every number on its own. After a convolution it means: what looks like the kernel stays, what
# looks like its opposite becomes 0. **LeakyReLU** leaves a little of the negative, 0.01 of it by default.

# %%
found = F.conv2d(image, kernel)
after = {"convolved": found, "ReLU": F.relu(found), "LeakyReLU, slope 0.2": F.leaky_relu(found, 0.2)}
print(f"{(after['ReLU'].numpy() == 0).mean():.0%} of the numbers are 0 after ReLU")
viz.images([y.numpy()[0] for y in after.values()], list(after), columns=3, size=2, signed=True)

# %% [markdown]
# Backward, ReLU is a gate: where $x$ was positive the gradient passes unchanged, elsewhere none does.
#
# **Exercise.** Write it.


# %%
def relu_backward(dy, x):
    """The gradient for x, given dy for y = max(x, 0); at 0 none passes."""
    # <blank>
    return np.where(x > 0, dy, 0)
    # </blank>


relu_backward = course.check_relu_backward(relu_backward)
dy = rng.normal(size=found.shape[1:3])
closed = found.numpy()[0, ..., 0]
shown = {"dy": dy, "x, convolved": closed, "dx": relu_backward(dy, closed)}
viz.images(list(shown.values()), list(shown), columns=3, size=2, signed=True)

# %% [markdown]
# Why ReLU, and not something smooth such as the sigmoid? Its slope is 1 wherever it is on. The slope of the sigmoid is
# at most 1/4, so that gradients shrink with every layer (Glorot, Bordes and Bengio, "Deep Sparse Rectifier Neural
# Networks", 2011). The price is next.
#
# ## 5. Dead ReLUs
#
# A unit (one output of a layer) whose sum is negative **for every face** gives 0 for all of them, and no gradient comes
# back through it. No step changes its weights any more: it is dead, unless the layer before it changes and wakes it up
# by chance. We train a network of two hidden layers to tell the age from small faces (16 x 16 pixels), and count the
# units that are off for all faces:

# %%
small = md.tensor(F.avg_pool2d(md.tensor(pixels), 8).numpy().reshape(300, 256))
ages = labels["age"]


def train(activation, lr, scale=1.0, steps=300):
    """The mean error (years) and the sums in both layers, at every step of plain gradient descent."""
    rng = md.Generator(0)
    model = nn.Sequential(
        nn.Dense(256, 64, rng=rng), activation, nn.Dense(64, 64, rng=rng), activation, nn.Dense(64, 1, rng=rng)
    )
    for layer in (model[0], model[2]):
        layer.w.data *= scale
    optimizer = optim.SGD(model.parameters(), lr=lr)
    errors, sums = [], []
    for _ in range(steps):
        first = model[0](small)
        second = model[2](activation(first))
        loss = F.l1_loss(model[4](activation(second)), ages)
        errors.append(loss.item())
        sums.append(np.concatenate([first.numpy(), second.numpy()], axis=1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return np.array(errors), np.array(sums)


runs = {
    "ReLU, learning rate 0.1": train(nn.ReLU(), 0.1),
    "ReLU, learning rate 0.03": train(nn.ReLU(), 0.03),
    "LeakyReLU (0.1), learning rate 0.1": train(nn.LeakyReLU(0.1), 0.1),
}
guess = np.abs(ages - np.median(ages)).mean()
figure, axes = plt.subplots(1, 2, figsize=(11, 3), layout="constrained")
for name, (errors, sums) in runs.items():
    off = (sums <= 0).all(axis=1).mean(axis=1)
    axes[0].plot(off, label=f"{name}: {off[-1]:.0%} at the end")
    axes[1].plot(errors, lw=1, label=f"{errors[-20:].mean():.1f} in the last 20 steps")
axes[0].set(title="units that are off for every face", xlabel="step", ylim=(0, 1.4))
axes[1].axhline(guess, ls="--", color="tab:gray", label=f"{guess:.1f} with the same answer for all")
axes[1].set(title="mean error (years)", xlabel="step", ylim=(10, 40))
for part in axes:
    part.legend(fontsize=8)
plt.show()

# %% [markdown]
# With the learning rate 0.1 unit after unit goes off, until hardly any is left, and the error is that of a network that
# gives the same answer for every face. Why do they die? Here is one of the first layer, with its sums over all faces:

# %%
errors, sums = runs["ReLU, learning rate 0.1"]
first = sums[:, :, :64]
on = (first > 0).mean(axis=1)  # (steps, units): for which share of the faces
lasts = [np.flatnonzero(share)[-1] if share[0] > 0.5 and share[-1] == 0 else 0 for share in on.T]
unit, last = int(np.argmax(lasts)), max(lasts)
figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
low, high = first[:, :, unit].min(axis=1), first[:, :, unit].max(axis=1)
axes.fill_between(range(len(low)), low, high, step="post", alpha=0.5, label="from the smallest to the largest sum")
axes.axhline(0, color="black", lw=0.8)
axes.axvline(last + 1, color="tab:red", ls=":", label=f"off for every face from step {last + 1} on")
axes.set(xlabel="step", ylabel="sum of one unit", xlim=(0, len(low)))
axes.legend(fontsize=8)
plt.show()
assert last == 0 or not np.diff(first[last + 1 :, :, unit], axis=0).any()

# %% [markdown]
# All pixels are positive. If the answers are too large for most faces, a step pushes the sum down for all of them
# together, and a long step pushes it below 0 for every one. As long as a few faces are above 0 they can bring the unit
# back; after the last jump there is none, and nothing moves any more. So:
#
# - **shorter steps**: with the learning rate 0.03 few units go off, and the error falls below that of the same answer;
# - **LeakyReLU**: many units go off here as well, but a little of the gradient comes through and brings some back;
# - **better weights to start with**, so that steps need not be long.
#
# The last is a matter of size. A layer of $n$ inputs sums up $n$ products, and ReLU drops half of the sums. Signals
# keep their size if the weights have the variance $2/n$ (He et al., "Delving Deep into Rectifiers", 2015): the default
# in minidl. Half or twice as large weights, in ten layers, and larger ones in the network above:

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 2.8), layout="constrained")
for scale in (0.5, 1.0, 2.0):
    weights = md.Generator(0)
    signal, spread = small, []
    for _ in range(10):
        signal = F.relu(nn.Dense(256, 256, rng=weights)(signal) * scale)
        spread.append(signal.numpy().std())
    axes[0].semilogy(range(1, 11), spread, "o-", label=f"{scale:g} times He's")
scales = (1, 2, 4, 8, 16)
off = [(train(nn.ReLU(), 0.03, scale, steps=60)[1][-1] <= 0).all(axis=0).mean() for scale in scales]
axes[1].plot(scales, off, "o-", color="tab:red")
axes[0].set(title="size of the signals (standard deviation)", xlabel="layer", xticks=range(1, 11))
axes[1].set(title="units off for every face after 60 steps", xlabel="weights, times He's", xticks=scales, ylim=(0, 1))
axes[0].legend(fontsize=8)
plt.show()
assert spread[-1] > 100 * spread[0]
assert off[-1] > 2 * off[0]

# %% [markdown]
# Ten layers make a thousandth of them or a thousand times as much. Two hidden layers bear weights that are a few times
# too large; with more the answers are so wrong, and the first steps so long, that every unit dies.
#
# ## 6. Dense
#
# $y = x w + b$ (notebook 1): every output has a weight for every input. Here is one output, trained to tell female from
# male faces (32 x 32 pixels). Its weights are a picture: red pixels speak for female, blue ones for male. Then the same
# once more, with the pixels of all faces **shuffled** in the same way:

# %%
faces = F.avg_pool2d(md.tensor(pixels), 4).numpy().reshape(300, 1024)
genders = labels["gender"]
shuffled = rng.permutation(1024)


def learn(model, x):
    """The losses while a model learns from 200 faces, and its share of right answers on 100 others."""
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(300):
        loss = F.binary_cross_entropy_with_logits(model(md.tensor(x[:200])), genders[:200])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    right = (model(md.tensor(x[200:])).numpy() > 0) == (genders[200:] > 0)
    return losses, right.mean()


in_order, mixed = nn.Dense(1024, 1, rng=md.Generator(0)), nn.Dense(1024, 1)
mixed.w.data[:] = in_order.w.data[shuffled]
results = {"pixels in order": learn(in_order, faces), "shuffled": learn(mixed, faces[:, shuffled])}
for name, (losses, right) in results.items():
    print(f"{name}: loss {losses[-1]:.4f}, right for {right:.0%} of 100 new faces")
back = np.empty(1024)
back[shuffled] = mixed.w.numpy()[:, 0]
assert np.allclose(back, in_order.w.numpy()[:, 0], atol=1e-2)
pair, titles = faces[[9, 251]], ["a face", "another", "shuffled", "shuffled"]
viz.images([*pair.reshape(2, 32, 32), *pair[:, shuffled].reshape(2, 32, 32)], titles, columns=4)

# %%
weights = {"weights": in_order.w.numpy(), "weights for shuffled": mixed.w.numpy(), "put back in order": back}
viz.images([w.reshape(32, 32) for w in weights.values()], list(weights), columns=3, signed=True, size=2)

# %% [markdown]
# The same loss, the same answers, the same weights: a dense layer does not know that its numbers are a picture, and
# which pixels are neighbours. To it, a face that moves is another face. This is why convolution and pooling come first,
# and dense layers where few numbers are left. On the whole picture, `Dense(128 * 128, 64)` alone has a million weights.
#
# Backward, a dense layer is three products. Look at the shapes, and there is only one way to write them. `b` was added
# to every sample, so its gradient is a sum over the samples.
#
# **Exercise.** Write them.


# %%
def dense_backward(dy, x, w):
    """The gradients (dx, dw, db), given dy (N, out), x (N, in) and w (in, out)."""
    # <blank>
    return dy @ w.T, x.T @ dy, dy.sum(axis=0)
    # </blank>


dense_backward = course.check_dense_backward(dense_backward)

# %% [markdown]
# ## Now read the real thing
#
# `minidl/ops/pool.py` has both poolings, and leaves the computing to the backend, whose simplest version is in
# `minidl/kernels/reference.py`. It goes over the *places in a window* instead of the windows, which makes four steps of
# NumPy out of thousands of turns of a loop:

# %%
print(inspect.getsource(ReferenceKernels.max_pool_backward))
print(inspect.getsource(ops.Linear.backward))

# %% [markdown]
# `Linear` is all of `Dense`: for the bias it returns `dy` itself, which the engine sums over the samples, as it does
# for every input that was broadcast. `kernels/numpy/pool.py` and `kernels/numpy/elementwise.py` are the fast versions.
# The next notebook is about networks that do well on faces they have not seen.
