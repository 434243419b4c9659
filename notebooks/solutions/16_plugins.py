# %% [markdown]
# # 16. Write a plugin
#
# Everything in minidl that is selected by a name can be yours: ops, layers, losses, optimizers, convolution algorithms
# and six other kinds. This elective has one of each of these five, and you write the core of three. You see which
# mistakes the tests of minidl find in them, and train a network that consists of these parts.
#
# **You will be able to**
#
# - write an op with its derivative, and a loss from it;
# - write a layer with a parameter of its own, an optimizer with a state, and a convolution algorithm;
# - say what each has to guarantee, beyond the right numbers;
# - have them checked, and read what the checks report;
# - give a plugin to others.
#
# **Prior knowledge:** ops (unit 3), `dy` (unit 4), losses (unit 5), optimizers (unit 6), convolution (unit 7), pooling
# and dense layers (unit 8), and of unit 14 the start of section 5.
#
# **Time:** about 90 minutes, 30 of them for the three exercises.

# %%
import inspect
import math
import textwrap

import numpy as np

import minidl as md
from agegender import data
from minidl import course, nn, optim, plugins, viz
from minidl.course import plots, style
from minidl.course.verdicts import compared, verdicts
from minidl.errors import ShapeError
from minidl.kernels.conv import ConvAlgorithm
from minidl.kernels.window import pad
from minidl.op import Op
from minidl.ops.conv import conv_spec
from minidl.testing import check_conv_algorithm, check_layer, check_loss, check_op, check_optimizer

style.use()
F = nn.functional
rng = np.random.default_rng(0)
pixels, labels = data.drawn(300).batch(np.arange(300))
faces, ages = F.avg_pool2d(md.tensor(pixels), 4).numpy(), labels["age"]
print("small grey faces:", faces.shape, "= (N, H, W, C)")

# %% [markdown]
# A plugin is a class or function that is registered under a name (unit 14). Other code then chooses it by this name,
# and need not know your class. The built-in parts of minidl are registered in the same way.
#
# ## 1. An op, and a loss made of it
#
# The L1 loss $|x|$ of an error $x$ has a kink at 0, and its slope has the size 1 however small the error is. The L2
# loss is smooth, and a few large errors dominate it (unit 5). The loss $\log \cosh x$ is smooth, and large errors do
# not dominate it. With $\cosh x = (e^x + e^{-x}) / 2$ its slope is
#
# $$ \frac{d}{dx} \log \cosh x = \frac{e^x - e^{-x}}{e^x + e^{-x}} = \tanh x $$
#
# **Predict:** what is the slope near 0, and for large errors? So which loss does it resemble where?

# %%
x = np.linspace(-4, 4, 201)
losses = {"L1": np.abs(x), "L2 / 2": x**2 / 2, "log cosh": np.log(np.cosh(x))}
slopes = {"L1": np.sign(x), "L2 / 2": x, "log cosh": np.tanh(x)}
left, right = plots.panels(2)
kinds = [style.SKY, style.ORANGE, style.BLUE]
plots.curves(x, losses, kinds, axes=left, xlabel="error x", title="loss", ylim=(0, 4))
plots.curves(x, slopes, kinds, axes=right, xlabel="error x", title="slope", ylim=(-2, 2))

# %% [markdown]
# Near 0 the slope is nearly $x$, as for half the L2 loss. For large errors it is nearly 1 or -1, as for L1.
#
# For large numbers $\cosh$ overflows. With the factor $e^{|x|}$ taken out of $\cosh x$, nothing does:
# $\log \cosh x = |x| + \log(1 + e^{-2|x|}) - \log 2$. (`log1p(z)` is $\log(1 + z)$, precise for small $z$.)
#
# An op (unit 3) has a `forward` from arrays to an array, and a `backward` from `dy` to the gradients of its inputs.
# `self.xp` is NumPy, or the module with the same functions for a GPU. `self.save` keeps what `backward` needs, for this
# call alone. The loss is a function of outputs and targets. It converts the targets, and compares the shapes: otherwise
# targets (N,) would be broadcast against outputs (N, 1) to a table (N, N), without an error.


# %%
@plugins.register("op", "log_cosh")
class LogCosh(Op):
    """y = log(cosh(x))"""

    def forward(self, x):
        self.save(x)
        size = self.xp.abs(x)
        return size + self.xp.log1p(self.xp.exp(-2 * size)) - math.log(2)

    def backward(self, dy):
        (x,) = self.saved
        return (dy * self.xp.tanh(x),)


@plugins.register("loss", "log_cosh")
def log_cosh(outputs, targets):
    """The mean of log(cosh(error))."""
    targets = md.tensor(targets, dtype=outputs.dtype, backend=outputs.backend.name)
    if targets.shape != outputs.shape:
        raise ShapeError(f"expected targets of the shape of the outputs, {outputs.shape}, got {targets.shape}")
    return LogCosh.apply(outputs - targets).mean()


x = np.linspace(-3, 3, 12).reshape(3, 4)
print(check_op(LogCosh, x))

# %% [markdown]
# `minidl.testing` is the **conformance kit**: for each kind of plugin a list of checks that minidl's own parts have to
# pass as well. `md.testing.list_checks("op")` says what each requires. Here are four wrong versions, two of the op and
# two of the loss:


# %%
class WithoutDy(LogCosh):
    def backward(self, dy):
        (x,) = self.saved
        return (self.xp.tanh(x),)


class InFloat64(LogCosh):
    def forward(self, x):
        return super().forward(x) + math.log(2) - np.log(2)  # np.log(2) is a float64, not a plain number


def summed(outputs, targets):
    return log_cosh(outputs, targets) * outputs.size


def overflows(outputs, targets):
    d = outputs - md.tensor(targets, dtype=outputs.dtype, backend=outputs.backend.name)
    return ((F.exp(d) + F.exp(-d)) / 2).log().mean()


def explain(versions, failed):
    """Print what the kit says of some checks, each of which has to fail."""
    for version, check in failed.items():
        status, reason = versions[version][check]
        assert status == "failed"
        print(textwrap.fill(f"{check}: {reason}", 110, subsequent_indent="    "))


# %% [markdown]
# **Predict:** which of them compute the right numbers for ordinary inputs, and what is wrong with each?

# %%
found = {op.__name__: verdicts(check_op, op, x) for op in (LogCosh, WithoutDy, InFloat64)}
explain(found, {"WithoutDy": "gradient", "InFloat64": "dtype"})
compared(found)

# %%
with np.errstate(all="ignore"):
    found = {loss.__name__: verdicts(check_loss, loss) for loss in (log_cosh, summed, overflows)}
explain(found, {"summed": "mean", "overflows": "extremes"})
compared(found)

# %% [markdown]
# In each table the first row is the right version, and an x is a check that failed. `WithoutDy` computes the right
# values and wrong gradients. The values of `InFloat64` are right, but need twice the memory, and all that follows would
# be float64 as well. The sum has the right minimum, but with twice the batch its gradients are twice as large.
# `overflows` is right until $e^{|x|}$ is too large for the dtype, in float32 from about 89.
#
# ## 2. A layer with a parameter of its own
#
# Max pooling keeps the largest number of a window, average pooling the mean (unit 8). The **power mean** of $n$
# positive numbers leads from one to the other:
#
# $$ y = \left(\frac{1}{n} \sum_i x_i^{\,p}\right)^{1/p} $$
#
# With $p = 1$ it is the mean. For $p > 1$ the function $x^p$ is convex, so the mean of the powers is at least the power
# of the mean (Jensen's inequality): $y$ is at least the mean. It is at most the maximum $m$, as no $x_i^{\,p}$ is
# larger than $m^p$. And it is at least $m\, n^{-1/p}$, as one of the powers is $m^p$. For $p \to \infty$ the factor
# $n^{-1/p}$ goes to 1, and $y$ to the maximum. As a pooling layer this is called GeM (Radenović, Tolias and Chum,
# 2019).
#
# **Predict:** where is $y$ for $p = 1/2$, where $x^p$ is concave?
#
# **Exercise.** Write it, for the rows of an array.


# %%
def power_mean(x, p):
    """The power mean of each row of positive numbers x (N, n): an array (N,)."""
    # <blank>
    return np.mean(x**p, axis=1) ** (1 / p)
    # </blank>


power_mean = course.check_power_mean(power_mean)
windows = faces[9, ..., 0].reshape(8, 4, 8, 4).swapaxes(1, 2).reshape(64, 16) + 0.01
window = windows[np.ptp(windows, axis=1).argmax()][None]  # with the largest contrast
p = np.geomspace(0.1, 100, 61)
means = np.array([power_mean(window, one)[0] for one in p])
assert (np.diff(means) > 0).all()
lines = {"power mean": means, "mean": np.full(61, window.mean()), "maximum": np.full(61, window.max())}
plots.curves(p, lines, ["model", style.GREEN, style.VERMILION], log="x", xlabel="p", ylabel="of one window")

# %%
pooled = [power_mean(windows, p).reshape(8, 8) for p in (0.5, 1.0, 3.0, 10.0)]
titles = ["face", "p = 0.5", "p = 1, mean", "p = 3", "p = 10", "maximum"]
viz.images([faces[9], *pooled, windows.max(axis=1).reshape(8, 8)], titles, limits=(0, 1))

# %% [markdown]
# The power mean lies between mean and maximum only for $p \ge 1$. Below 1 it is at most the mean: there $x^p$ is
# concave, which reverses Jensen's inequality.
#
# The layer has one $p$ for each channel, a `Parameter`. minidl finds it, because it is an attribute of a module: it is
# named, trained, moved to a GPU and saved. `forward` consists of ops, so its gradients come from autograd. Numbers
# below 0.01 are replaced by 0.01, because at 0 the slope of $x^p$ is 0 or infinite, unless $p = 1$.


# %%
@plugins.register("layer", "power_pooling")
class PowerPooling(nn.Module):
    """The power mean of windows of size x size; its exponents (C,) are learned."""

    def __init__(self, channels, size, p=3.0):
        super().__init__()
        self.size = size
        self.p = nn.Parameter(np.full(channels, p, np.float32))

    def forward(self, x):
        if x.ndim != 4 or x.shape[3] != len(self.p):
            raise ShapeError(f"expected images (N, H, W, C={len(self.p)}), got {x.shape}")
        powers = F.clip(x, low=0.01) ** self.p
        return F.avg_pool2d(powers, self.size) ** (1 / self.p)


# %% [markdown]
# Here are three wrong versions. The outputs of each look right.
#
# **Predict:** when would you notice each mistake without the kit?


# %%
class ByNumPy(PowerPooling):
    def forward(self, x):
        powers = np.maximum(x.numpy(), 0.01) ** self.p.numpy()  # NumPy leaves the graph: no gradients
        return F.avg_pool2d(md.tensor(powers), self.size) ** (1 / self.p.numpy())


class OwnRandomness(PowerPooling):
    def __init__(self, channels, size):
        super().__init__(channels, size, np.random.default_rng().uniform(2, 4))  # not from minidl's generator


class ScaledByBatch(PowerPooling):
    def forward(self, x):
        return super().forward(x / x.max())  # so a face looks different beside other faces


batch = rng.uniform(0.1, 1, (3, 5, 4, 2))
layers = (PowerPooling, ByNumPy, OwnRandomness, ScaledByBatch)
found = {layer.__name__: verdicts(check_layer, lambda layer=layer: layer(2, 2), batch) for layer in layers}
explain(found, {"ByNumPy": "gradient", "OwnRandomness": "repeats", "ScaledByBatch": "batches"})
compared(found)

# %% [markdown]
# Without the kit you would notice a network that does not learn, a run that cannot be repeated, and predictions that
# depend on the other faces of the batch.
#
# Now the layer learns to pool. Both channels of its input are the same face. The targets are the means of the windows
# in one channel, and their maxima in the other. Both exponents start at 3.
#
# **Predict:** where do the two exponents go?

# %%
stack = md.tensor(np.concatenate([faces, faces], axis=3))
goal = F.max_pool2d(stack, 4).numpy()
goal[..., 0] = F.avg_pool2d(stack, 4).numpy()[..., 0]
layer = PowerPooling(2, 4)
optimizer, exponents = optim.Adam(layer.parameters(), lr=0.1), []
for _ in range(150):
    exponents.append(layer.p.numpy().copy())
    optimizer.zero_grad()
    F.mse_loss(layer(stack), goal).backward()
    optimizer.step()
assert abs(exponents[-1][0] - 1) < 0.1 < 5 < exponents[-1][1]
paths = dict(zip(("targets: means", "targets: maxima"), np.transpose(exponents), strict=True))
plots.curves(range(150), paths, [style.GREEN, style.VERMILION], xlabel="step", ylabel="p")

# %% [markdown]
# One arrives at 1, the mean. The other goes on growing: no finite $p$ gives the maximum exactly.
#
# ## 3. An optimizer with a state
#
# An optimizer says what a gradient does to a parameter. **Adagrad** adds up the squares of all gradients that a weight
# has had, and divides by the square root of this sum (Duchi, Hazan and Singer, 2011):
#
# $$ v \leftarrow v + dw^2, \qquad w \leftarrow w - \text{lr}\, \frac{dw}{\sqrt{v} + \epsilon} $$
#
# ($\epsilon$ is a small number that prevents a division by 0.)
#
# **Predict:** a weight gets the same gradient in every step. How long is its step number $t$?
#
# **Exercise.** Write a step. Write the root as `v**0.5`: operators such as `**` also work for arrays that are not
# NumPy's.


# %%
def adagrad_step(w, dw, v, lr, eps):
    """The new w and v."""
    # <blank>
    v = v + dw * dw
    return w - lr * dw / (v**0.5 + eps), v
    # </blank>


adagrad_step = course.check_adagrad_step(adagrad_step)
w, v = np.zeros(3), np.zeros(3)
path = [w]
for t in range(100):
    dw = np.array([1.0, 100.0, 1.0 if t % 10 == 0 else 0.0])
    w, v = adagrad_step(w, dw, v, 0.1, 1e-8)
    path.append(w)
lengths = -np.diff(path, axis=0)
lengths[lengths == 0] = np.nan
marks = dict(zip(("gradient 1", "gradient 100", "1, in every tenth step"), lengths.T, strict=True))
plots.curves(range(1, 101), marks, marks=".", log="xy", xlabel="step t", ylabel="length of the step")

# %% [markdown]
# With a constant gradient $g$ the sum is $v = t g^2$, so step number $t$ has the length $\text{lr} / \sqrt{t}$, however
# large the gradient is: two of the three rows of points coincide. A weight that seldom gets a gradient makes larger
# steps when it does.
#
# Now the class. The name `adagrad` is taken by minidl's own, so ours is `our_adagrad`:


# %%
@plugins.register("optimizer", "our_adagrad")
class Adagrad(optim.Optimizer):
    """Steps that shrink with all gradients so far, for each weight on its own."""

    def __init__(self, parameters, lr=0.01, eps=1e-8):
        super().__init__(parameters, lr)
        self.eps = eps

    def update(self, param, grad, state):
        v = state.setdefault("v", md.backends.of(param).xp.zeros_like(param))
        param[...], v[...] = adagrad_step(param, grad, v, self.lr, self.eps)


# %% [markdown]
# `param[...] =` writes *into* the array, which belongs to the layer. What the optimizer remembers of a parameter is in
# `state`, a dictionary of this parameter alone. It is saved with a training that is to be resumed.
#
# One of the checks, `descent`, trains: the loss of a simple problem must fall below a half in 300 steps. With the
# learning rate 0.01 and a steady gradient, Adagrad's steps add up to $0.01 \sum_t 1 / \sqrt{t} = 0.33$ in 300 steps,
# which is too little. So the check also tries 0.1 and 1, and one of the three has to succeed.
#
# **Predict:** each of these versions neglects one of these points. What will the kit say?


# %%
class NewArray(Adagrad):
    def update(self, param, grad, state):
        v = state.get("v", 0 * param)
        param, state["v"] = adagrad_step(param, grad, v, self.lr, self.eps)  # a new array, of which the layer has none


class OneMemory(Adagrad):
    v = 0.0

    def update(self, param, grad, state):
        param[...], self.v = adagrad_step(param, grad, self.v, self.lr, self.eps)  # one v for all parameters


class MemoryOfNumPy(Adagrad):
    def update(self, param, grad, state):
        v = state.setdefault("v", np.zeros(param.shape, param.dtype))  # param may be on a GPU
        param[...], v[...] = adagrad_step(param, grad, v, self.lr, self.eps)


found = {kind.__name__: verdicts(check_optimizer, kind) for kind in (Adagrad, NewArray, OneMemory, MemoryOfNumPy)}
explain(found, {"NewArray": "in_place", "OneMemory": "state_of_its_own", "MemoryOfNumPy": "backends"})
compared(found)

# %% [markdown]
# The last one was found without a GPU. CuPy is NumPy for GPUs, and the kit has a stand-in for it: its arrays refuse to
# be mixed with those of NumPy, as CuPy's do.
#
# ## 4. A convolution as one matrix
#
# A convolution is linear, apart from the bias: every output is a sum of pixels times weights. So there is a matrix $M$
# with $y = x M$, where $x$ is all pixels of an image in one row. The column of an output has the weights of the kernel,
# in the rows of the pixels in its window, and 0 everywhere else. It is a dense layer, most of whose weights are 0 and
# the others shared. To build $M$ one must know which pixels are in which window.
#
# **Exercise.** Number the pixels of an image row by row from 0, and list those of each window. A window is a row of the
# answer. The windows are in the order of the outputs, row by row, and so are the pixels in a window. There is no
# padding, and `stride` is that of rows and columns.


# %%
def window_pixels(H, W, KH, KW, stride):
    """The numbers of the pixels in each window, as integers (OH OW, KH KW)."""
    # <blank>
    numbers = np.arange(H * W).reshape(H, W)
    rows = range(0, H - KH + 1, stride)
    columns = range(0, W - KW + 1, stride)
    return np.array([numbers[i : i + KH, j : j + KW].ravel() for i in rows for j in columns])
    # </blank>


window_pixels = course.check_window_pixels(window_pixels)

# %% [markdown]
# With this table $M$ is made by one assignment: the weights go to all their places at once. The gradients are those of
# a dense layer (unit 8): $dx = dy\, M^T$, and $dM = x^T dy$, of which each weight adds up the elements at its places. A
# convolution algorithm is a class with the methods `forward`, `input_gradient` and `weight_gradient`, and `supports`
# (unit 14). `pad` adds the padding to the images, and `spec.window.inside` are the pixels without it. `M[index]` has
# the shape (OH OW, KH KW, C, K), as NumPy moves the axes of the two index arrays to the front:


# %%
@plugins.register("conv_algorithm", "matrix")
class Matrix(ConvAlgorithm):
    """One product with a matrix (H W C, OH OW K) that holds the kernels at all their places."""

    def supports(self, spec):
        return spec.window.SH == spec.window.SW

    def places(self, spec):
        """Indices (pixels, windows) into (H W, C, OH OW, K), and the shape of the matrix."""
        window = spec.window
        pixels = window_pixels(*window.padded_size, window.KH, window.KW, window.SH)
        windows = np.arange(len(pixels))[:, None]
        return (pixels, slice(None), windows), (np.prod(window.padded_size), spec.C, len(pixels), spec.K)

    def matrix(self, w, spec):
        index, shape = self.places(spec)
        M = np.zeros(shape, w.dtype)
        M[index] = w.reshape(-1, spec.C, spec.K)
        return M.reshape(shape[0] * shape[1], shape[2] * shape[3])

    def rows(self, x, spec):
        return pad(np, x, spec.window).reshape(spec.N, np.prod(spec.window.padded_size) * spec.C)

    def forward(self, x, w, b, spec):
        M = self.matrix(w, spec)
        y = (self.rows(x, spec) @ M).reshape(spec.output_shape)
        return (y if b is None else y + b), M  # M is passed on to the gradients, as `saved`

    def input_gradient(self, dy, w, spec, saved):
        dx = dy.reshape(spec.N, len(saved.T)) @ saved.T
        return dx.reshape(spec.N, *spec.window.padded_size, spec.C)[spec.window.inside]

    def weight_gradient(self, x, dy, spec, saved):
        index, shape = self.places(spec)
        dM = self.rows(x, spec).T @ dy.reshape(spec.N, shape[2] * shape[3])
        return dM.reshape(shape)[index].sum(axis=0).reshape(spec.window.KH, spec.window.KW, spec.C, spec.K)


# %% [markdown]
# **Predict:** an image has 8 x 8 pixels, the kernel 3 x 3 weights. What shape has $M$ with stride 1, and with stride 2?

# %%
x = np.zeros((1, 8, 8, 1), np.float32)
w = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)[:, :, None, None]
algorithm = Matrix(md.backends.get("numpy"))
matrices = [algorithm.matrix(w, conv_spec(x, w, None, stride, 0)) for stride in (1, 2)]
panels = plots.panels(3, 3.0, widths=(36, 14, 64))
titles = ["M, stride 1", "stride 2", "M transposed, stride 1"]
for axes, M, title in zip(panels, (*matrices, matrices[0].T), titles, strict=True):
    axes.imshow(M, cmap="RdBu_r")
    axes.set(title=title, xlabel=f"{M.shape[0]} x {M.shape[1]}", xticks=[], yticks=[])
panels[0].figure

# %% [markdown]
# The rows of $M$ are pixels, its columns are outputs. The third matrix is that of the backward pass, from outputs to
# pixels. The kit compares an algorithm with the definition, on convolutions of several sizes, strides and paddings, as
# far as `supports` accepts them. Two wrong versions beside ours:


# %%
class ForgetsPadding(Matrix):
    def input_gradient(self, dy, w, spec, saved):
        dx = (dy.reshape(spec.N, len(saved.T)) @ saved.T).reshape(spec.N, *spec.window.padded_size, spec.C)
        return dx[:, : spec.window.H, : spec.window.W]  # cuts the wrong sides


class OldMatrix(Matrix):
    def forward(self, x, w, b, spec):
        y, self.M = super().forward(x, w, b, spec)
        return y, None

    def input_gradient(self, dy, w, spec, saved):
        return super().input_gradient(dy, w, spec, self.M)  # that of another layer, perhaps


found = {kind.__name__: verdicts(check_conv_algorithm, kind) for kind in (Matrix, ForgetsPadding, OldMatrix)}
explain(found, {"ForgetsPadding": "input_gradient", "OldMatrix": "independence"})
compared(found)

# %% [markdown]
# `ForgetsPadding` has the right output and a wrong gradient. `OldMatrix` is right until two layers are computed one
# after the other. (`pooled` checks convolution, ReLU and max pooling in a row: an algorithm may compute them in one
# pass. Ours leaves that to its base class, which does one after the other.)
#
# What the matrix costs: it grows with the square of the number of pixels. For one channel of 128 x 128 pixels and one
# kernel of 3 x 3 it has 16,384 x 15,876 elements, 1 GB in float32, of which nine in each column are not 0. It is no way
# to compute a convolution. But it shows that a convolution is a dense layer, so what holds for every dense layer holds
# for it.
#
# ## 5. All five in one network
#
# Nothing below mentions a class of ours: names are enough. The op has no name here, as it is part of the loss. The
# network learns the ages of 150 faces, and 150 others are held out.


# %%
def learn(algorithm="auto", optimizer="our_adagrad", loss="log_cosh", steps=60):
    """The mean error in years at each step, and that for the held-out faces at the end."""
    generator = md.Generator(0)
    pooling = plugins.build("layer", "power_pooling", channels=4, size=4)
    convolution, dense = nn.Conv2D(1, 4, 5, rng=generator), nn.Dense(196, 1, rng=generator)
    model = nn.Sequential(convolution, nn.ReLU(), pooling, nn.Flatten(), dense)
    stepper = plugins.build("optimizer", optimizer, model.parameters(), lr=0.03)
    loss_of, errors = plugins.get("loss", loss), []
    with md.using(conv_algorithm=algorithm):
        for _ in range(steps):
            outputs = model(md.tensor(faces[:150]))
            stepper.zero_grad()
            loss_of(outputs, ages[:150] / 10).backward()  # in decades
            stepper.step()
            errors.append(10 * np.abs(outputs.numpy() - ages[:150] / 10).mean())
        held_out = 10 * model(md.tensor(faces[150:])).numpy()
    return np.array(errors), np.abs(held_out - ages[150:]).mean()


# %% [markdown]
# **Predict:** does it matter for the result whether the convolution is computed by the matrix or by minidl's algorithm?

# %%
curves, at_end = {}, {}
for name, parts in {"all ours": {"algorithm": "matrix"}, "minidl's convolution": {}}.items():
    curves[name], at_end[name] = learn(**parts)
    print(f"{name}: {at_end[name]:.1f} years for held-out faces")
constant = np.abs(ages[150:] - np.median(ages[:150])).mean()
print(f"the median age for all: {constant:.1f} years")
ours, minidls = curves.values()
assert np.allclose(ours, minidls, rtol=0.02)
[axes] = plots.panels(1)
axes.plot(minidls, lw=6, color=style.SKY, label="minidl's convolution")
plots.curves(range(len(ours)), {"all ours": ours}, ["data"], axes=axes, xlabel="step", ylabel="mean error (years)")
axes.legend()
axes.figure

# %% [markdown]
# One curve lies on the other: up to rounding, an algorithm decides how long a computation takes, not what is learned.
# The loss and the optimizer do matter. To compare them, give each the learning rate that suits it, and take several
# seeds (unit 11).
#
# ## Give it to others
#
# A plugin that others can install is a package whose `pyproject.toml` announces it as an **entry point**:
#
#     [project.entry-points."minidl.optimizers"]
#     our_adagrad = "my_package:Adagrad"
#
# Then every program that uses minidl knows the name without an import, `python -m minidl plugins` lists it, and `python
# -m pytest --minidl-checks my-package` checks it as we did. `docs/plugins.md` says what each kind has to guarantee, and
# names a package to copy.
#
# ## Questions
#
# 1. A layer multiplies its input by a random number that it draws once, in `__init__`, with `np.random.rand()`. Which
#    check says so, and what should it use instead?
# 2. `LogCosh` saves $x$ for its backward pass. What could it save instead, so that `backward` needs no `tanh`? What
#    would that cost?
# 3. The kit found no fault in a plugin. What does this prove?
#
# <details><summary>Answers</summary>
#
# 1. `repeats`: two layers from the same seed differ. (Other checks that make the layer twice fail, too.) It should draw
#    from an argument `rng`, or from `minidl.random.default_rng`, which `md.seed` sets.
# 2. $\tanh x$ itself, of the same size. `forward` would have to compute it even where no gradient is needed.
# 3. That it behaves on the examples of the kit. A loss without the comparison of shapes in section 1 passes all checks,
#    but is wrong for outputs (N, 1) and targets (N,). Add tests for what the examples do not contain.
#
# </details>
#
# ## Further reading
#
# - F. Radenović, G. Tolias and O. Chum, "Fine-tuning CNN Image Retrieval with No Human Annotation", 2019:
#   generalized-mean pooling.
# - G. Hardy, J. Littlewood and G. Pólya, *Inequalities*, 1934, chapter 2: power means, and why they grow with $p$.
# - J. Duchi, E. Hazan and Y. Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization",
#   2011: Adagrad.
#
# ## Now read the real thing
#
# minidl's own Adagrad, with its state and its checks of options:

# %%
print(inspect.getsource(optim.Adagrad))

# %% [markdown]
# The checks are in `minidl/testing`, one file for each kind, such as `check_layers.py`. `docs/gradients.md` tells how
# the checks themselves are tested: on plugins that are wrong on purpose.
