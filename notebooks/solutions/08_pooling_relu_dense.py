# %% [markdown]
# # 8. Pooling, ReLU and Dense
#
# A convolution finds patterns. The layers around it use what it found: ReLU drops what does not match, pooling makes
# the feature maps smaller, and dense layers turn them into an answer. This unit shows what each layer does to a face
# and to the gradients on their way back. At the end your own four layers learn to classify faces.
#
# **You will be able to**
#
# - write max pooling and its backward pass, ties and overlapping windows included;
# - say why pooled features change less when the face moves;
# - explain how a ReLU dies, and name three remedies;
# - choose the size of initial weights so that signals keep their size through many layers;
# - write the backward passes of ReLU and of a dense layer, and chain four layers of your own.
#
# **Prior knowledge:** `dy` and `matmul_backward` (unit 4), the binary cross-entropy (unit 5), convolution (unit 7).
#
# **Time:** about 2 hours, 40 minutes of them for the four exercises.

# %%
import inspect
import time

import numpy as np

import minidl as md
from agegender import data
from minidl import course, nn, ops, optim, viz
from minidl.course import plots, style
from minidl.kernels.reference import ReferenceKernels

style.use()
F = nn.functional
rng = np.random.default_rng(0)
pixels, labels = data.drawn(300).batch(np.arange(300))
face = pixels[9:10]
image = md.tensor(face)
print("300 faces (N, H, W, C):", pixels.shape)

# %% [markdown]
# ## 1. Pooling keeps the largest value of each window, or the mean
#
# **Pooling** moves a window over the image, as a convolution does, but it has no weights. **Max pooling** keeps the
# largest value in the window, **average pooling** keeps the mean. The windows usually lie side by side: the stride
# equals the size of the window. Each image and each channel is pooled by itself.

# %%
sizes = (2, 4, 8, 16)
by_max = [F.max_pool2d(image, size).numpy()[0] for size in sizes]
by_mean = [F.avg_pool2d(image, size).numpy()[0] for size in sizes]
titles = [f"{name}, {n} x {n}" for name in ("max", "mean") for n in sizes]
viz.images([*by_max, *by_mean], titles, columns=4)

# %% [markdown]
# The mean gives a smaller photograph. The maximum enlarges bright regions and removes thin dark ones, such as the lines
# of the eyes. This is no loss where a large value means "found", as in the feature maps of a convolution. There the
# maximum answers the question: was the pattern found anywhere in this window?
#
# A loop over the positions $(u, v)$ in the window computes it, as in unit 7. The pixels at one position in all windows
# are the slice `x[:, u : u + OH * stride : stride, v : v + OW * stride : stride]`. It has the shape of the output,
# (N, OH, OW, C). `np.maximum(a, b)` keeps the larger of two arrays, element by element.
#
# **Exercise.** Write max pooling for a batch. A window that does not fit completely at the end is left out, so there
# are (H - size) // stride + 1 rows of outputs. What must the output start from, before the first comparison?


# %%
def max_pool(x, size, stride):
    """The largest value of each window of images x (N, H, W, C), in every channel: an array (N, OH, OW, C)."""
    # <blank>
    N, H, W, C = x.shape
    OH, OW = (H - size) // stride + 1, (W - size) // stride + 1
    y = np.full((N, OH, OW, C), -np.inf, x.dtype)
    for u in range(size):
        for v in range(size):
            y = np.maximum(y, x[:, u : u + OH * stride : stride, v : v + OW * stride : stride])
    return y
    # </blank>


max_pool = course.check_max_pool(max_pool)
print("the same as minidl:", bool((max_pool(face, 4, 4)[0] == by_max[1]).all()))

# %% [markdown]
# ## 2. Pooled features change less when the face moves
#
# **Predict:** we look for vertical edges, pool what was found, and move the face by one pixel. The next figure shows
# how much the pooled values change, as a fraction of their size, for windows of 1 x 1 (no pooling) to 16 x 16. Do the
# curves of max and mean rise or fall?

# %%
sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)[:, :, None, None] / 4
edges = F.relu(F.conv2d(md.tensor(pixels[:50]), sobel)).numpy()
still, moved = edges[:, :, 14:-14], edges[:, :, 13:-15]  # both 98 columns wide; the face is further right in the second


def change(pool, size):
    """The root mean square of the change of the pooled edges, divided by that of the pooled edges."""
    before, after = (pool(md.tensor(view), size).numpy() for view in (still, moved))
    return float(np.sqrt(((after - before) ** 2).sum() / (before**2).sum()))


sizes = (1, 2, 4, 8, 16)
changes = {"max": [change(F.max_pool2d, n) for n in sizes], "mean": [change(F.avg_pool2d, n) for n in sizes]}
assert all(values[0] > 2 * values[3] for values in changes.values())
plots.curves(sizes, changes, marks="o-", xlabel="size of the window", ylabel="relative change", ylim=(0, None))

# %%
pooled = [max_pool(view[9:10], 8, 8)[0] for view in (still, moved)]
titles = ["edges", "1 pixel further", "pooled, 8 x 8", "1 pixel further"]
viz.images([still[9], moved[9], *pooled], titles, columns=4)

# %% [markdown]
# A convolution is equivariant: its output moves with the face (unit 7). Pooling gives up the exact place. Output that
# stays the same is called **invariant**. Pooling is not invariant to a shift, but its output changes less, the larger
# the window is. It also leaves less to compute, as windows of 2 x 2 keep a quarter of the values. Max and mean hardly
# differ in this figure. In the experiments of Scherer, Müller and Behnke (2010) networks with max pooling recognised
# objects better than those with *subsampling*, a mean with a trainable factor and bias.
#
# ## 3. Backward, the gradient goes to the largest pixel
#
# The maximum of a window *is* one of its pixels. If that pixel grows a little, the maximum grows by the same amount; if
# another pixel changes a little, the maximum stays. So the derivative is 1 for the largest pixel and 0 for the others,
# and `dy` goes to the largest pixel alone. The mean of $n$ pixels has the derivative $1/n$ for each of them.
#
# **Predict:** in the middle picture below `dy` is 1 for every window of max pooling. How many white pixels does each
# window have?

# %%
patch = md.tensor(face[:, 44:60, 36:60], requires_grad=True)
gradients = []
for pool in (F.max_pool2d, F.avg_pool2d):
    pool(patch, 4).sum().backward()
    gradients.append(patch.grad[0, ..., 0])
    patch.zero_grad()
assert gradients[0].sum() == gradients[1].sum() == 24
titles = ["16 x 24 pixels, windows 4 x 4", "gradient, max", "gradient, mean"]
picture = viz.images([patch.numpy()[0], *gradients], titles, columns=3, size=2.1, limits=(0, 1))
for axes in picture.axes:
    axes.set(xticks=np.arange(3.5, 24, 4), yticks=np.arange(3.5, 16, 4), xticklabels=[], yticklabels=[])
    axes.grid(color=style.colour("model"), lw=0.8)
picture

# %% [markdown]
# One white pixel for each window, its largest. In the right picture each pixel has 1/16, nearly black. Two cases of max
# pooling need a decision:
#
# - **Ties.** Where several pixels are equally large, the maximum has no derivative. The gradient may go to any of them,
#   but not in full to each: then `dx` would be several times too large. minidl chooses the first, row by row.
# - **Overlaps.** With a stride smaller than the window, a pixel can be the largest of several windows. It affects
#   several outputs, so its gradients add up.
#
# **Exercise.** Write the backward pass with a loop over the positions $(u, v)$. Use `max_pool` for the maxima `y`, and
# compare: at one position, the pixels that are equal to `y` receive `dy`. For ties, keep an array of what has not been
# given away yet: it starts as a copy of `dy`, and becomes 0 in every window whose `dy` has found its pixel.


# %%
def max_pool_backward(dy, x, size, stride):
    """The gradient for x (N, H, W, C), given dy (N, OH, OW, C)."""
    # <blank>
    _, OH, OW, _ = dy.shape
    y = max_pool(x, size, stride)
    dx, left = np.zeros_like(x), dy.copy()
    for u in range(size):
        for v in range(size):
            at = np.s_[:, u : u + OH * stride : stride, v : v + OW * stride : stride]
            found = x[at] == y
            dx[at] += np.where(found, left, 0)
            left[found] = 0
    return dx
    # </blank>


max_pool_backward = course.check_max_pool_backward(max_pool_backward)

# %%
x = np.array([[1, 2, 2, 0, 1], [0, 5, 1, 1, 1], [3, 4, 6, 0, 1], [2, 1, 3, 0, 0], [0, 0, 0, 0, 0]], float)
shown = {"x": x}
for stride, count in ((2, 2), (1, 4)):
    dx = max_pool_backward(np.ones((1, count, count, 1)), x[None, :, :, None], 2, stride)
    shown[f"dx, stride {stride}"] = dx[0, :, :, 0]
plots.numbers(shown, form="{:g}")

# %% [markdown]
# All elements of `dy` are 1 and the windows are 2 x 2. With stride 2 each of the four windows gives its 1 to one pixel;
# the last row and column of `x` are in no window. With stride 1 the large values collect a 1 from each of up to four
# windows. In the window at the bottom right all pixels are 0, and the first of them receives the gradient.
#
# Unlike your function, minidl does not look for the maxima again on the way back. It stores the position of the largest
# pixel of each window: one byte if a window has at most 256 pixels, four if it has more.
#
# ## 4. ReLU passes what is positive
#
# ReLU is $y = \max(x, 0)$ for every element (unit 1). After a convolution it keeps what matches the kernel and
# replaces the opposite by 0. **LeakyReLU** multiplies negative values by a small slope instead, by default 0.01.

# %%
edge_map = F.conv2d(image, sobel)
after = {"convolution": edge_map, "ReLU": F.relu(edge_map), "LeakyReLU, slope 0.2": F.leaky_relu(edge_map, 0.2)}
viz.images([y.numpy()[0] for y in after.values()], list(after), columns=3, size=2, signed=True)

# %% [markdown]
# Backward, the slope of ReLU is 1 where $x > 0$ and 0 where $x < 0$. At 0 there is a kink, and minidl takes the slope
# 0. So ReLU is a gate: `dy` passes unchanged or not at all.
#
# **Exercise.** Write the backward pass. It works for arrays of any shape.


# %%
def relu_backward(dy, x):
    """The gradient for x, given dy for y = max(x, 0); at 0 the slope is 0."""
    # <blank>
    return np.where(x > 0, dy, 0)
    # </blank>


relu_backward = course.check_relu_backward(relu_backward)
dy = rng.normal(size=edge_map.shape)
shown = {"dy": dy, "x": edge_map.numpy(), "dx": relu_backward(dy, edge_map.numpy())}
viz.images([array[0] for array in shown.values()], list(shown), columns=3, size=2, signed=True)

# %% [markdown]
# Why not something smooth, such as the sigmoid? Its slope is at most 1/4, and backward every layer multiplies by its
# slope.
#
# **Predict:** a gradient goes back through ten dense layers, with the same weights, once with ReLU and once with the
# sigmoid. With which of the two is it much smaller in the first layer than in the last?


# %%
def size_of_gradients(activation, layers=10):
    """The root mean square of the gradients with respect to the outputs of the layers, from the first to the last."""
    generator = md.Generator(0)
    signals = [md.tensor(np.random.default_rng(0).normal(size=(100, 256)), dtype=np.float32)]
    for _ in range(layers):
        signals.append(activation(nn.Dense(256, 256, rng=generator)(signals[-1])))
        signals[-1].retain_grad()
    signals[-1].backward(np.random.default_rng(1).normal(size=(100, 256)).astype(np.float32))
    return [float(np.sqrt((signal.grad**2).mean())) for signal in signals[1:]]


of_gradients = {"ReLU": size_of_gradients(F.relu), "sigmoid": size_of_gradients(F.sigmoid)}
assert of_gradients["ReLU"][0] > 0.1
assert of_gradients["sigmoid"][0] < 1e-4
plots.curves(range(1, 11), of_gradients, marks="o-", log="y", xlabel="layer", ylabel="size of the gradient")

# %% [markdown]
# With the sigmoid every layer leaves about a third of the gradient: the weights of this cell multiply its size by about
# 1.4, and the slope is below 1/4. Nine layers leave a 30,000th, so the first layers hardly learn: gradients **vanish**.
# ReLU lets half of the elements through at full size (Glorot, Bordes and Bengio, 2011). The other half gets no
# gradient, and this can do harm, too.
#
# ## 5. A ReLU that is never positive stops learning
#
# A **unit** is one output of a layer. If the sum of a unit is negative **for every face**, its ReLU gives 0 for all of
# them, and no gradient passes. Its weights do not change any more: the unit is **dead**, unless a change in an earlier
# layer brings it back by chance. The next cell trains a network with two hidden layers to estimate the age from small
# faces (16 x 16 pixels), with plain gradient descent, three times: with ReLU and the learning rates 0.1 and 0.03, and
# with LeakyReLU and the rate 0.1. It counts the units that are off, with a sum of 0 or less, for every face.
#
# **Predict:** which of the three runs loses most units, and which has the smallest error at the end?

# %%
small = md.tensor(F.avg_pool2d(md.tensor(pixels), 8).numpy().reshape(300, 256))
ages = labels["age"]


def train(activation, lr, scale=1.0, steps=300):
    """The mean error in years and the sums of both hidden layers, at every step of gradient descent."""
    generator = md.Generator(0)
    layers = [nn.Dense(inputs, outputs, rng=generator) for inputs, outputs in ((256, 64), (64, 64), (64, 1))]
    for layer in layers[:2]:
        layer.w.data *= scale
    optimizer = optim.SGD(nn.Sequential(*layers).parameters(), lr=lr)
    errors, sums = [], []
    for _ in range(steps):
        first = layers[0](small)
        second = layers[1](activation(first))
        loss = F.l1_loss(layers[2](activation(second)), ages)
        errors.append(loss.item())
        sums.append(np.concatenate([first.numpy(), second.numpy()], axis=1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return errors, np.array(sums)  # sums: (steps, faces, units)


runs = {
    "ReLU, rate 0.1": train(nn.ReLU(), 0.1),
    "ReLU, rate 0.03": train(nn.ReLU(), 0.03),
    "LeakyReLU, rate 0.1": train(nn.LeakyReLU(0.1), 0.1),
}
constant = float(np.abs(ages - np.median(ages)).mean())

# %%
left, right = plots.panels(2)
off = {name: (sums <= 0).all(axis=1).mean(axis=1) for name, (_, sums) in runs.items()}
errors = {name: found for name, (found, _) in runs.items()} | {"same answer for all": np.full(300, constant)}
plots.curves(
    range(300),
    off,
    axes=left,
    xlabel="step",
    title="share of units off for every face",
    ylim=(0, 1.6),
    yticks=(0, 0.5, 1),
)
colours = [*style.OTHERS[:3], "reference"]
plots.curves(range(300), errors, colours, axes=right, xlabel="step", title="mean error (years)", ylim=(10, 45))

# %%
for name, (found, _) in runs.items():
    print(f"{name}: {off[name][-1]:.0%} of the units are off, mean error at the end {np.mean(found[-20:]):.1f} years")
print(f"the same answer for every face: {constant:.1f} years")
assert off["ReLU, rate 0.1"][-1] > 2 * off["ReLU, rate 0.03"][-1]

# %% [markdown]
# With ReLU and the learning rate 0.1 most units die. Once a whole layer is dead, the network gives the same answer for
# every face, and all that the layers behind it can still learn is this one answer. Here is one of the units of the
# first layer that died. The curves are the largest and the smallest of its sums over all faces:

# %%
first = runs["ReLU, rate 0.1"][1][:, :, :64]
on = (first > 0).mean(axis=1)  # (steps, units): the share of the faces for which the unit is on
last_on = [np.flatnonzero(share)[-1] if share[0] > 0.5 and share[-1] == 0 else 0 for share in on.T]
unit, last = int(np.argmax(last_on)), int(max(last_on))
print(f"this unit is off for every face after step {last}")
extremes = {"largest sum": first[:, :, unit].max(axis=1), "smallest sum": first[:, :, unit].min(axis=1)}
plots.curves(
    range(300), extremes | {"0": np.zeros(300)}, ["model", "reference", "data"], xlabel="step", ylabel="sum of one unit"
)

# %% [markdown]
# Let `dy` be the gradient that arrives at the sum of this unit. The derivative of the loss with respect to one of its
# weights is the sum of pixel times `dy` over all faces, and pixels are never negative. If the predicted ages are too
# high for most faces, `dy` tends to have the same sign for most of them, and then so have most derivatives of the
# weights of the unit. If all have it, a step moves its sums for all faces in the same direction. If this direction is
# down and the step is long, the sums fall below 0 for every face. While a few faces are above 0, they can bring the
# unit back; after the last jump none is left. Three remedies:
#
# - **shorter steps**: with the learning rate 0.03 fewer units are off, and the error is smaller;
# - **LeakyReLU**: units go off as well, but a part of the gradient passes and can bring them back;
# - **good initial weights**, so that long steps are not necessary.
#
# The last one needs a calculation. Take a sum of $n$ products $\sum_i w_i x_i$, where the weights are independent, with
# mean 0 and variance $v$. (The **variance** is the mean of the squared differences from the mean: here the mean of
# $w_i^2$.) In the square of the sum, the terms with two different weights have the mean 0. What remains is the sum of
# the $w_i^2 x_i^2$: its mean is $n\,v$ times the mean square of $x$. ReLU sets about half of the sums to 0, which
# halves the mean square. The signal keeps its size from layer to layer if $n\,v/2 = 1$:
#
# $$ v = \frac{2}{n} $$
#
# This is **He initialisation** (He et al., 2015), minidl's default.
#
# **Predict:** the weights of ten layers are half or twice as large. How large is the signal after the tenth layer,
# compared with that of He initialisation?

# %%
signal_sizes = {}
for scale in (0.5, 1.0, 2.0):
    signal, generator, found = small, md.Generator(0), []
    for _ in range(10):
        signal = F.relu(nn.Dense(256, 256, rng=generator)(signal) * scale)
        found.append(float(np.sqrt((signal.numpy() ** 2).mean())))
    signal_sizes[f"{scale:g} times He"] = found
assert np.isclose(signal_sizes["2 times He"][-1], 2**10 * signal_sizes["1 times He"][-1], rtol=1e-3)
plots.curves(range(1, 11), signal_sizes, marks="o-", log="y", xlabel="layer", ylabel="size of the signal")

# %% [markdown]
# Every layer multiplies by the factor once more: ten layers make $2^{10} = 1024$ of 2, and $1/1024$ of 1/2. What too
# large weights do to the network above:

# %%
scales = (1, 2, 4, 8, 16)
dead = [float((train(nn.ReLU(), 0.03, scale, steps=60)[1][-1] <= 0).all(axis=0).mean()) for scale in scales]
assert dead[-1] > 2 * dead[0]
labels_of = {"xlabel": "weights, times He", "ylabel": "share of units off", "ylim": (0, 1)}
plots.curves(scales, {"units": dead}, ["mistake"], marks="o-", **labels_of)

# %% [markdown]
# Two hidden layers tolerate weights that are a few times too large. With much larger ones the signals and the
# derivatives are so large, and so the first steps so long, that most units die.
#
# ## 6. A dense layer does not know which pixels are neighbours
#
# A dense layer (unit 1) has a weight for every pair of an input and an output. Its input is a matrix (N, in), one row
# for each sample. The feature maps of an image are **flattened** first: `reshape(N, -1)` writes the values of each
# image into one row, and the backward pass of this step is a reshape to the old shape.
#
# A dense layer with one output learns here to classify faces as female or male, from 32 x 32 pixels. Then a second one
# learns the same, with the pixels of all faces **shuffled** in the same way.
#
# **Predict:** how much worse does the network get on the shuffled faces?

# %%
tiny = F.avg_pool2d(md.tensor(pixels), 4).numpy()
flat = tiny.reshape(300, 1024)
genders = labels["gender"]
shuffled = rng.permutation(1024)


def learn(model, x):
    """The loss of a model that learns from 200 faces, and its share of right answers for 100 others."""
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(300):
        loss = F.binary_cross_entropy_with_logits(model(md.tensor(x[:200])), genders[:200])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    right = (model(md.tensor(x[200:])).numpy() > 0) == (genders[200:] > 0)
    return loss.item(), right.mean()


in_order, mixed = nn.Dense(1024, 1, rng=md.Generator(0)), nn.Dense(1024, 1)
mixed.w.data[:] = in_order.w.data[shuffled]  # the same weight for the same pixel
for name, model, x in (("in order", in_order, flat), ("shuffled", mixed, flat[:, shuffled])):
    loss, right = learn(model, x)
    print(f"pixels {name}: loss {loss:.4f}, right for {right:.0%} of 100 other faces")
pair = flat[[9, 251]]
images = [*pair.reshape(2, 32, 32), *pair[:, shuffled].reshape(2, 32, 32)]
viz.images(images, ["a face", "another", "shuffled", "shuffled"], columns=4)

# %%
back = np.empty(1024)
back[shuffled] = mixed.w.numpy()[:, 0]
assert np.allclose(back, in_order.w.numpy()[:, 0], atol=1e-2)
weights = {"weights": in_order.w.numpy(), "weights, shuffled": mixed.w.numpy(), "back in order": back}
viz.images([w.reshape(32, 32) for w in weights.values()], list(weights), columns=3, signed=True, size=2)

# %% [markdown]
# Loss, answers and weights are the same. (A brighter pixel moves the answer towards female where the weight is red, and
# towards male where it is blue.) A dense layer does not use
# the positions of the pixels, so to it a face that moves is a different input. That is why convolution and pooling come
# first, and dense layers where few values are left. On the whole image, a dense layer with 64 outputs alone would have
# 128 · 128 · 64 weights, more than a million.
#
# The backward pass follows from the sum, index by index, as in unit 4. With $y_{no} = b_o + \sum_i x_{ni}\, w_{io}$:
#
# $$ dx_{ni} = \sum_o dy_{no}\, w_{io}, \qquad dw_{io} = \sum_n x_{ni}\, dy_{no}, \qquad db_o = \sum_n dy_{no} $$
#
# **Exercise.** Write the three gradients without loops. In a matrix product $A B$ the sum runs over the columns of $A$
# and the rows of $B$: transpose where it does not.


# %%
def dense_backward(dy, x, w):
    """The gradients (dx, dw, db) of y = x @ w + b, given dy (N, out), x (N, in) and w (in, out)."""
    # <blank>
    return dy @ w.T, x.T @ dy, dy.sum(axis=0)
    # </blank>


dense_backward = course.check_dense_backward(dense_backward)

# %% [markdown]
# ## 7. Your layers learn together
#
# The whole chain, forward and backward, with the functions of units 7 and 8 and nothing of minidl: a convolution with 8
# kernels of 3 x 3, ReLU, max pooling and a dense layer, which learn to classify the 200 faces of 32 x 32 pixels. The
# convolution makes 30 x 30 x 8 numbers of a face, the pooling 15 x 15 x 8 = 1800. The loss is the mean binary
# cross-entropy (unit 5); its gradient with respect to the logits is (sigmoid of the logit minus label) / N.
#
# **Predict:** in which order are the four backward functions called, and which of the results does each pass on?

# %%
conv2d, conv2d_backward = course.mine("conv2d"), course.mine("conv2d_backward")


def gradients_of(parameters, x, labels):
    """The logits, the loss and the gradients of the four layers with respect to their parameters."""
    w1, b1, w2, b2 = parameters
    a = conv2d(x, w1, b1, 1, 0)
    r = np.maximum(a, 0)
    m = max_pool(r, 2, 2)
    flat = m.reshape(len(m), -1)
    logits = flat @ w2 + b2
    loss = np.logaddexp(0, -np.where(labels == 1, logits, -logits)).mean()

    dy = (1 / (1 + np.exp(-logits)) - labels) / len(labels)
    dflat, dw2, db2 = dense_backward(dy, flat, w2)
    dr = max_pool_backward(dflat.reshape(m.shape), r, 2, 2)
    da = relu_backward(dr, a)
    _, dw1, db1 = conv2d_backward(da, x, w1, 1, 0)
    return logits, loss, (dw1, db1, dw2, db2)


# %%
parameters = [rng.normal(size=(3, 3, 1, 8)) * np.sqrt(2 / 9), np.zeros(8), rng.normal(size=(1800, 1)) / 60, np.zeros(1)]
x, targets = tiny - tiny.mean(), genders.reshape(-1, 1)
start = time.perf_counter()
gradients_of(parameters, x[:10], targets[:10])
if time.perf_counter() - start > 0.1:
    print("too slow for 80 steps with 200 faces, so minidl's convolution and pooling take the place of yours.")
    conv2d, conv2d_backward = course.check_conv2d.solution, course.check_conv2d_backward.solution
    max_pool, max_pool_backward = course.check_max_pool.solution, course.check_max_pool_backward.solution
losses = []
for _ in range(80):
    _, loss, gradients = gradients_of(parameters, x[:200], targets[:200])
    parameters = [w - 0.2 * dw for w, dw in zip(parameters, gradients, strict=True)]
    losses.append(loss)
logits, _, _ = gradients_of(parameters, x[200:], targets[200:])
right = ((logits > 0) == (targets[200:] == 1)).mean()
assert losses[-1] < 0.7 * losses[0]
female = targets[200:].mean()
print(f"right for {right:.0%} of 100 other faces; always the same answer: {max(female, 1 - female):.0%}")
plots.curves(range(80), {"training": losses}, ["training"], xlabel="step", ylabel="loss")

# %% [markdown]
# The backward functions are called in the opposite order, and each receives the gradient that the one before it
# returned for its input: `dflat`, `dr`, `da`. In unit 13 your own autograd does this for any network.

# %% [markdown]
# ## Questions
#
# 1. A ReLU follows a max pooling, or precedes it. Does the order change the result? Which order is less work?
# 2. In a window of 3 x 3 all nine pixels are equal, and `dy` is 1. What is the sum of `dx` over the window in minidl?
#    What would it be if all largest pixels received `dy`?
# 3. A dense layer has 10 inputs and 4 outputs, and a batch has 32 samples. What are the shapes of `dy`, `dx`, `dw`
#    and `db`?
#
# <details><summary>Answers</summary>
#
# 1. No: ReLU never reverses the order of two values, so the largest value stays the largest. Pooling first is less
#    work, because ReLU then has a quarter of the values with windows of 2 x 2 and stride 2.
# 2. 1, because the first pixel receives all of it. 9 otherwise, although moving all nine pixels by a small amount $h$
#    changes the maximum by $h$, not by $9h$.
# 3. (32, 4), (32, 10), (10, 4) and (4,). The gradient of an array has the shape of the array.
#
# </details>
#
# ## Further reading
#
# - D. Scherer, A. Müller and S. Behnke, "Evaluation of Pooling Operations in Convolutional Architectures for Object
#   Recognition", 2010: max pooling and subsampling compared by experiments.
# - X. Glorot, A. Bordes and Y. Bengio, "Deep Sparse Rectifier Neural Networks", 2011: why ReLU.
# - A. Maas, A. Hannun and A. Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic Models", 2013: LeakyReLU.
# - K. He, X. Zhang, S. Ren and J. Sun, "Delving Deep into Rectifiers: Surpassing Human-Level Performance on ImageNet
#   Classification", 2015: the variance $2/n$, section 2.2.
#
# ## Now read the real thing
#
# `minidl/ops/pool.py` contains both poolings and leaves the computation to the backend. The simplest version is in
# `minidl/kernels/reference.py`. Like yours it loops over the positions in the window, which it calls taps:

# %%
print(inspect.getsource(ReferenceKernels.max_pool_backward))
print(inspect.getsource(ops.Linear.backward))

# %% [markdown]
# `Linear` is the op behind `Dense`. For the bias it returns `dy` itself; the engine sums it over the samples, as for
# every input that was broadcast (unit 4). `kernels/numpy/pool.py` and `kernels/numpy/elementwise.py` are the fast
# versions. The next unit is about networks that do well on faces they have not seen.
