# %% [markdown]
# # 16. Write a plugin
#
# Everything in minidl that has a name can be yours: layers, optimizers, convolution algorithms and eight other kinds of
# things. The built-in ones are registered in the same way, by a decorator above a class or function, such as
# `@plugins.register("layer", "dense")`. This notebook makes three plugins, and has each checked by the kit that checks
# minidl's own:
#
# 1. a **layer** that learns how to pool;
# 2. an **optimizer** with a memory;
# 3. a **convolution** as one large matrix;
# 4. all of them in **one network**.
#
# You need notebooks 6, 8 and 14.

# %%
import re
import textwrap

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

import minidl as md
from agegender import data
from minidl import course, nn, optim, plugins, viz
from minidl.errors import ShapeError
from minidl.kernels.conv import ConvAlgorithm
from minidl.kernels.window import pad
from minidl.ops.conv import conv_spec
from minidl.testing import CheckError, check_conv_algorithm, check_layer, check_optimizer

F = nn.functional
pixels, labels = data.drawn(300).batch(np.arange(300))
faces = F.avg_pool2d(md.tensor(pixels), 4).numpy()
print("small grey faces:", faces.shape, "= (N, H, W, C)")

# %% [markdown]
# ## 1. A layer
#
# Max pooling keeps the largest number of a window, average pooling the mean (notebook 8). Which is better? Let the
# network find out. The **power mean** of $n$ positive numbers lies between them:
#
# $$ y = \left(\frac{1}{n} \sum_i x_i^{\,p}\right)^{1/p} $$
#
# With $p = 1$ this is the mean. The larger $p$, the more the largest number counts, and for $p \to \infty$ no other
# does. As a pooling layer it is called GeM (Radenović, Tolias and Chum, "Fine-tuning CNN Image Retrieval with No Human
# Annotation", 2019).
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
pooled = [power_mean(windows, p).reshape(8, 8) for p in (1.0, 3.0, 10.0, 40.0)]
titles = ["face", "p = 1", "p = 3", "p = 10", "p = 40", "maximum"]
viz.images([faces[9], *pooled, windows.max(axis=1).reshape(8, 8)], titles, limits=(0, 1))

# %% [markdown]
# The layer has one $p$ for each channel, a `Parameter`: so it is found, named, trained, moved to a GPU and saved, by
# being an attribute. `forward` is made of ops, so its gradients come by themselves. Numbers below 0.01 are raised to
# that, as a power of 0 has no useful slope.


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


batch = np.random.default_rng(0).uniform(0.1, 1, (3, 5, 4, 2))
print(check_layer(lambda: PowerPooling(2, 2), batch))

# %% [markdown]
# Among other things the gradients for the image and for $p$ were compared with numerical differentiation, and the layer
# was saved and loaded. What would the kit have said if something were wrong? Here are three wrong versions:


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


def tried(check, *arguments, **options):
    """What the kit says: for each check "passed", "skipped" or "failed", and why."""
    try:
        report = str(check(*arguments, **options))
    except CheckError as error:  # then this is the report
        report = str(error)
    rows = re.findall(r"^  (\w+) +(passed|failed|skipped) *(.*)$", report, re.MULTILINE)
    return {name: (status, reason) for name, status, reason in rows}


def compare(results, expected):
    """Draw what the kit says of each version, and print what the expected check says of a wrong one."""
    checks, states = list(next(iter(results.values()))), ["failed", "skipped", "passed"]
    found = [[states.index(result[check][0]) for check in checks] for result in results.values()]
    axes = plt.figure(figsize=(9, 0.35 * len(results) + 1.6), layout="constrained").add_subplot()
    colours = ListedColormap(["#d62728", "#dddddd", "#9fd09f"])
    axes.pcolormesh(found, cmap=colours, vmin=0, vmax=2, edgecolors="white", linewidth=2)
    axes.set_xticks(np.arange(len(checks)) + 0.5, [name.replace("_", " ") for name in checks], rotation=40, ha="right")
    axes.set_yticks(np.arange(len(results)) + 0.5, list(results))
    axes.set_title("green: passed, red: failed, grey: skipped")
    axes.invert_yaxis()
    plt.show()
    for version, check in expected.items():
        status, reason = results[version][check]
        assert status == "failed"
        print(textwrap.fill(f"{check}: {reason}", 110, subsequent_indent="    "))


makers = {kind.__name__: lambda kind=kind: kind(2, 2) for kind in (PowerPooling, ByNumPy, OwnRandomness, ScaledByBatch)}
results = {name: tried(check_layer, make, batch) for name, make in makers.items()}
compare(results, {"ByNumPy": "gradient", "OwnRandomness": "repeats", "ScaledByBatch": "batches"})

# %% [markdown]
# Each of them computes what looks like the right numbers. What is wrong would show later: a network that does not
# learn, a run that nobody can repeat, predictions that depend on who else is in the batch.
#
# Now the layer is to find out how the images were pooled that it is shown: by their means in one channel, by their
# maxima in the other. Both exponents start at 3:

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
figure, axes = plt.subplots(figsize=(6, 2.4), layout="constrained")
axes.plot(exponents, label=["shown means", "shown maxima"])
axes.set(xlabel="step", ylabel="p")
axes.legend()
plt.show()
assert abs(exponents[-1][0] - 1) < 0.1 < 5 < exponents[-1][1]

# %% [markdown]
# One arrives at 1, the mean; the other one climbs on, as the maximum is infinitely far away.
#
# ## 2. An optimizer
#
# An optimizer says what one gradient does to one parameter. **Adagrad** adds up the squares of all gradients that a
# weight has had, and divides by the root of this sum. Weights that have moved a lot go on in small steps, weights that
# seldom get a gradient in large ones (Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and
# Stochastic Optimization", 2011):
#
# $$ v \leftarrow v + dw^2, \qquad w \leftarrow w - \text{lr}\, \frac{dw}{\sqrt{v} + \epsilon} $$
#
# minidl has it as `optim.Adagrad`, and the name `adagrad` is taken: ours is `our_adagrad`.
#
# **Exercise.** Write a step. Write the root as `v**0.5`: then it takes the arrays of a GPU as well.


# %%
def adagrad_step(w, dw, v, lr, eps):
    """The new w and v."""
    # <blank>
    v = v + dw * dw
    return w - lr * dw / (v**0.5 + eps), v
    # </blank>


adagrad_step = course.check_adagrad_step(adagrad_step)


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
# Look at `update`. `param[...] =` writes *into* the array: the layer has no other one. What the optimizer remembers is
# in `state`, a dictionary of this parameter alone, which is saved with a training that is to be resumed. Three versions
# forget something of this.
#
# One check trains: the loss of a simple problem must fall to a half in 300 steps. Adagrad's steps shrink: with the
# learning rate 0.01 they are $0.01 / \sqrt{t}$ under a steady gradient, which adds up to 0.33 only. So the check tries
# 0.1 and 1 as well, and asks that one of the three be good. No optimizer can be judged by a single learning rate.


# %%
class NewArray(Adagrad):
    def update(self, param, grad, state):
        param, state["v"] = adagrad_step(param, grad, state.get("v", 0 * param), self.lr, self.eps)  # nobody sees it


class OneMemory(Adagrad):
    v = 0.0

    def update(self, param, grad, state):
        param[...], self.v = adagrad_step(param, grad, self.v, self.lr, self.eps)  # one v for all parameters


class RootOfNumPy(Adagrad):
    def update(self, param, grad, state):
        v = state.setdefault("v", md.backends.of(param).xp.zeros_like(param))
        v += grad * grad
        param -= self.lr * grad / (np.sqrt(v) + self.eps)  # no arrays of a GPU


versions = (Adagrad, NewArray, OneMemory, RootOfNumPy)
results = {kind.__name__: tried(check_optimizer, kind) for kind in versions}
compare(results, {"NewArray": "in_place", "OneMemory": "state_of_its_own", "RootOfNumPy": "backends"})

# %% [markdown]
# A computer without a GPU found the last one: the kit has a stand-in for CuPy, whose arrays are as unwilling as those
# of a card to be mixed with NumPy's.
#
# ## 3. A convolution as one matrix
#
# A convolution is linear: every output is a sum of pixels times weights. So there is a matrix $M$ with $y = x M$, where
# $x$ is all pixels of an image in one row. In the column of an output stand the kernel's weights, in the rows of the
# pixels under its window, and 0 everywhere else. It is a dense layer, most of whose weights are 0 and the others
# shared. To build it one must know which pixels are under which window.
#
# **Exercise.** Number the pixels row by row from 0, and list those under each window. A window is a row of the answer.
# Windows go along the rows, and so do the pixels in a window.


# %%
def window_pixels(H, W, KH, KW, stride):
    """The numbers of the pixels under each window, as integers (OH OW, KH KW)."""
    # <blank>
    numbers = np.arange(H * W).reshape(H, W)
    rows = range(0, H - KH + 1, stride)
    columns = range(0, W - KW + 1, stride)
    return np.array([numbers[i : i + KH, j : j + KW].ravel() for i in rows for j in columns])
    # </blank>


window_pixels = course.check_window_pixels(window_pixels)

# %% [markdown]
# With this table, building $M$ is one assignment: the weights go to all their places at once. The gradients are
# those of a dense layer (notebook 8): $dx = dy\, M^T$, and $dM = x^T dy$, from which a weight collects what lies at its
# places. An algorithm is a class with these three methods and `supports`:


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
        return (y if b is None else y + b), M  # M is kept for the way back

    def input_gradient(self, dy, w, spec, saved):
        dx = dy.reshape(spec.N, len(saved.T)) @ saved.T
        return dx.reshape(spec.N, *spec.window.padded_size, spec.C)[spec.window.inside]

    def weight_gradient(self, x, dy, spec, saved):
        index, shape = self.places(spec)
        dM = self.rows(x, spec).T @ dy.reshape(spec.N, shape[2] * shape[3])
        return dM.reshape(shape)[index].sum(axis=0).reshape(spec.window.KH, spec.window.KW, spec.C, spec.K)


backend = md.backends.get("numpy")
x = np.zeros((1, 8, 8, 1), np.float32)
w = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)[:, :, None, None]
matrices = [Matrix(backend).matrix(w, conv_spec(x, w, None, stride, 0)) for stride in (1, 2)]
figure, axes = plt.subplots(1, 3, figsize=(8, 3.6), layout="constrained", width_ratios=(36, 14, 64))
titles = ["M, stride 1", "M, stride 2", "its transpose, stride 1"]
for part, M, title in zip(axes, (*matrices, matrices[0].T), titles, strict=True):
    part.imshow(M, cmap="RdBu_r")
    part.set(title=title, xlabel=f"{M.shape[0]} x {M.shape[1]}", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# Rows are the pixels of an image of 8 x 8, columns the windows. Is it right? The kit compares it with the definition,
# on convolutions of all sizes, strides and paddings that `supports` accepts. Beside it, two wrong ones:


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


results = {kind.__name__: tried(check_conv_algorithm, kind) for kind in (Matrix, ForgetsPadding, OldMatrix)}
compare(results, {"ForgetsPadding": "input_gradient", "OldMatrix": "independence"})

# %% [markdown]
# `ForgetsPadding` has the right output and a wrong gradient; `OldMatrix` is right until two layers are computed one
# after the other. (`pooled` checks convolution, ReLU and max pooling in a row: an algorithm may compute them in one
# pass. Ours leaves that to its base class, which does one after the other.)
#
# Nobody computes like this: the matrix grows with the square of the pixels. For 128 x 128 of them, one kernel of one
# channel takes a gigabyte. But whatever holds of dense layers holds of convolutions, and this matrix says how.
#
# ## 4. All in one network
#
# Nothing below mentions a class of ours: names are enough. The same network learns the ages of 200 faces, with our
# convolution and with minidl's, with our optimizer and with minidl's.


# %%
def learn(algorithm, optimizer):
    """The mean error in years at each step."""
    rng = md.Generator(0)
    pooling = plugins.build("layer", "power_pooling", channels=6, size=4)
    model = nn.Sequential(nn.Conv2D(1, 6, 5, rng=rng), nn.ReLU(), pooling, nn.Flatten(), nn.Dense(294, 1, rng=rng))
    stepper, errors = plugins.build("optimizer", optimizer, model.parameters(), lr=0.03), []
    with md.using(conv_algorithm=algorithm):
        for _ in range(60):
            loss = F.l1_loss(model(md.tensor(faces[:200])), labels["age"][:200] / 10)
            stepper.zero_grad()
            loss.backward()
            stepper.step()
            errors.append(10 * loss.item())
    return np.array(errors)


figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
minidls, ours = learn("auto", "our_adagrad"), learn("matrix", "our_adagrad")
axes.plot(minidls, lw=6, color="lightgray", label="our_adagrad, minidl's convolution")
axes.plot(ours, "k", label="our_adagrad, the matrix")
for name, colour in (("sgd", "tab:orange"), ("adam", "tab:blue")):
    axes.plot(learn("auto", name), color=colour, lw=1, label=f"{name}, minidl's convolution")
axes.set(xlabel="step", ylabel="mean error (years)", ylim=(8, 25))
axes.legend(fontsize=8)
plt.show()
print(f"convolved by the matrix, errors differ by {np.abs(ours / minidls - 1).max():.0e} of themselves at most")
assert np.allclose(ours, minidls, rtol=0.02)

# %% [markdown]
# The black curve lies in the grey one: an algorithm decides how long it takes, not what is learned.
#
# ## Give it to others
#
# A plugin that others can install is a package whose `pyproject.toml` announces it:
#
#     [project.entry-points."minidl.optimizers"]
#     our_adagrad = "my_package:Adagrad"
#
# Then every program that uses minidl knows the name without an import, `python -m minidl plugins` lists it, and `python
# -m pytest --minidl-checks my-package` checks it as we did. `docs/plugins.md` has what each kind promises, and names a
# package to copy.
