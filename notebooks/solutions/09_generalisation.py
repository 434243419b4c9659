# %% [markdown]
# # 9. Generalisation
#
# In unit 6 a network learned the ages of 40 faces by heart and was far off for others. What makes a network do better
# on faces that it has not seen? This unit tries the usual remedies: more samples, weight decay, mirrored faces,
# dropout, batch normalisation and residual connections. You write dropout and batch normalisation yourself. Each remedy
# is trained with and without, with ten seeds, and judged by held-out faces. For each you learn what is proven about it,
# and what is debated.
#
# **You will be able to**
#
# - measure how well a network generalises, and say whether a difference is more than chance;
# - derive weight decay, and say why it is not the same as an L2 term if the optimizer is Adam;
# - write dropout, and derive the expectation and the variance of its output;
# - write batch normalisation and its gradient, and say what it does in evaluation;
# - say what a residual connection is for.
#
# **Prior knowledge:** units 4 (`dy`), 5 (checking a gradient), 6 (Adam, overfitting) and 8 (ReLU, initial weights).
#
# **Time:** about two hours and a half, in two sittings: sections 1 to 5, then 6 to 10.

# %%
import inspect

import numpy as np

import minidl as md
from agegender import data
from minidl import course, nn, op, ops, optim
from minidl.course import plots, style

style.use()
F = nn.functional
pixels, labels = data.drawn(2000).batch(np.arange(2000))
faces = F.avg_pool2d(md.tensor(pixels), 8).numpy().reshape(2000, 256) - 0.5  # 16 x 16 pixels, -0.5 to 0.5
decades = (labels["age"] / 10).astype(np.float32)
validation, test = slice(1000, 1500), slice(1500, 2000)
plots.images(faces[:6].reshape(6, 16, 16), [f"{10 * age:.0f} years" for age in decades[:6, 0]], columns=6, size=1.1)

# %% [markdown]
# ## 1. A network also learns labels that make no sense
#
# The network of unit 6 learns the age, in decades, from 100 of the first 1000 faces. The **seed** fixes all random
# numbers of a training: which faces, the initial weights, the order of the batches. The next 500 faces are the
# validation part. The last 500 are the test set: we look at it once, in section 10. The error is the mean absolute
# error in years.


# %%
def network(rng, after=lambda: [nn.ReLU()]):
    """Two hidden layers of 64 units; `after` makes the layers that follow the sums of each."""
    first, second = nn.Dense(256, 64, rng=rng), nn.Dense(64, 64, rng=rng)
    return nn.Sequential(first, *after(), second, *after(), nn.Dense(64, 1, rng=rng))


def trial(seed, build=network, count=100, targets=decades, augment=None, l2=0.0, decay=0.0, lr=3e-3, epochs=50):
    """The errors (learned, validation, test) of a network after its training, in years."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(1000)[:count]
    model = build(md.Generator(seed))
    optimizer = optim.AdamW(model.parameters(), lr, weight_decay=decay)
    for _ in range(epochs):
        for batch in rng.permutation(chosen).reshape(-1, 25):
            x = augment(faces[batch], rng) if augment else faces[batch]
            loss = F.mse_loss(model(md.tensor(x)), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            for p in model.parameters():
                p.grad += l2 * p.data  # see section 3
            optimizer.step()
    model.eval()
    with md.no_grad():
        answers = model(md.tensor(faces)).numpy()
    return [10 * np.abs(answers[part] - targets[part]).mean() for part in (chosen, validation, test)]


SEEDS = range(10)
runs = {}  # for each kind of training an array (10, 3): the errors of each seed


def study(name, seeds=SEEDS, **options):
    """Train with each seed, and keep the errors."""
    runs[name] = np.array([trial(seed, **options) for seed in seeds])


# %% [markdown]
# Beside it we train with shuffled ages, so that each face has the age of some other face. The baseline always answers
# the median of the first 1000 ages.
#
# **Predict:** how well does the network learn the shuffled ages, compared with the true ones? How well does it do
# on the validation part, where the ages are shuffled as well?

# %%
study("plain")
study("shuffled ages", targets=np.random.default_rng(0).permutation(decades))
baseline = 10 * np.abs(decades[validation] - np.median(decades[:1000])).mean()
kinds = {}
for name, ages in (("plain", "true ages"), ("shuffled ages", "shuffled ages")):
    kinds |= {f"{ages}, {part}": runs[name][:, i] for i, part in enumerate(("learned", "validation"))}
for kind, errors in kinds.items():
    print(f"{kind}: {errors.mean():.1f} years off")
print(f"baseline: {baseline:.1f} years off")
assert kinds["shuffled ages, learned"].mean() < baseline / 2
assert kinds["shuffled ages, validation"].mean() > baseline
figure = plots.spread(kinds, ["training", "validation"] * 2, xlabel="mean absolute error (years)")
figure.axes[0].axvline(baseline, color=style.colour("reference"))
figure

# %% [markdown]
# Each point is a training, each black bar the mean of ten; the grey line is the baseline. The shuffled ages are
# learned, too, and they tell nothing about others. So a small error on the learned faces proves nothing. Zhang et al.
# (2017) found the same for large networks, a million photographs and random labels.
#
# To **generalise** is to do well on samples that were not learned. The difference between the two errors is the
# **generalisation gap**. A change that is made to reduce the error on new samples, not that on the learned ones, is
# called **regularisation** (Goodfellow et al., 2016, section 5.2.2).
#
# ## 2. Compare in pairs
#
# The ten results of one training are spread over some years, because other faces were learned and other weights were
# drawn. A single run with a remedy and a single one without it prove nothing. But if both have the same seed, they have
# learned the same faces and started from weights that were drawn alike. So we look at the *differences*, seed by seed.
#
# If a change has no effect, each difference is positive or negative as a coin falls. Ten equal signs can come in 2 ways
# and nine of ten in 20, so at least nine agree with the probability $22 / 2^{10}$, about 1/47. In this unit we call a
# difference "clear" if at least nine of ten seeds agree, and else "within the spread". The second does not mean that
# there is no effect, only that ten seeds do not show it.


# %%
def compare(*names, to="plain"):
    """Print and draw the errors on the validation part, and their differences from another training, seed by seed."""
    held_out = {name: runs[name][:, 1] for name in (to, *names)}
    differences = {name: held_out[name] - held_out[to] for name in names}
    for name, errors in held_out.items():
        print(f"{name}: learned {runs[name][:, 0].mean():.1f}, validation {errors.mean():.1f} years off", end="")
        if name in names:
            better = int((differences[name] < 0).sum())
            verdict = "within the spread" if 1 < better < 9 else "clear"
            print(f"; difference {differences[name].mean():+.2f}, better with {better} of 10 seeds: {verdict}", end="")
        print()
    left, right = plots.panels(2, 0.9 + 0.35 * len(held_out))
    plots.spread(held_out, ["validation"], axes=left, xlabel="validation error (years)")
    right.axvline(0, color=style.colour("reference"))
    return plots.spread(differences, axes=right, xlabel=f"difference from {to}")


# %% [markdown]
# **Predict:** in two of the next three comparisons nothing is changed but the seeds. In the last one the network learns
# 200 faces. What will their differences look like?

# %%
study("seeds 10 to 19", range(10, 20))
study("seeds 20 to 29", range(20, 30))
study("200 faces", count=200)
assert np.ptp(runs["seeds 20 to 29"][:, 1] - runs["plain"][:, 1]) > 0.5
assert runs["200 faces"][:, 1].mean() < runs["plain"][:, 1].mean() - 0.5
compare("seeds 10 to 19", "seeds 20 to 29", "200 faces")

# %% [markdown]
# Twice as many faces help, more than any remedy below. If you can get more data, this comes first. Other seeds
# give differences in both directions, spread widely, as these pairs have nothing in common. If one of them is called
# clear all the same, it is a false alarm, such as must be expected in one of 47 comparisons without any effect.
#
# So look at the size of a difference, too, and repeat what matters with other seeds. And what you find holds for this
# network and these faces: all pairs have the same validation part, and the drawn faces are not photographs.
#
# ## 3. Weight decay keeps weights small
#
# Add to the loss a term that grows with the weights, where $\lambda$ is a small number:
#
# $$ L + \frac{\lambda}{2} \sum_i w_i^2 $$
#
# This is **L2 regularisation**. The gradient of the term with respect to a weight is $\lambda w$: in `trial` it is the
# line with `l2`, for all parameters. (Biases are often left out; Goodfellow et al., 2016, section 7.1.) A step of
# gradient descent is then
#
# $$ w \leftarrow w - \text{lr}\,(dw + \lambda w) = (1 - \text{lr}\,\lambda)\, w - \text{lr} \cdot dw $$
#
# So each step first multiplies all weights by a number a little below 1, which is called **weight decay**. A weight
# stays large only if the gradient of the loss increases it again in most steps.
#
# With Adam the two are not the same, as it divides the gradient by its usual size (unit 6), and the term with it.
# Loshchilov and Hutter (2019) therefore propose **decoupled weight decay**: multiply the weights by a number a little
# below 1, then make Adam's step with the gradient of $L$ alone. This is AdamW. In minidl and in PyTorch the number is
# $1 - \text{lr}\,\lambda$.
#
# **Predict:** two weights start at 1. Their gradients are noise with the mean 0, of the size 1 for the first and 0.01
# for the second. How do they fall, with an L2 term and with decoupled decay?

# %%
adam_step = course.mine("adam_step")
paths = {}
for name, l2, decay in (("L2 term", 0.1, 0.0), ("decoupled", 0.0, 1.0)):
    rng = np.random.default_rng(0)
    w, m, v, path = np.ones(2), np.zeros(2), np.zeros(2), []
    for t in range(1, 2001):
        dw = rng.normal(size=2) * [1, 0.01] + l2 * w
        w, m, v = adam_step(w * (1 - 1e-3 * decay), dw, m, v, t, 1e-3, 0.9, 0.999, 1e-8)
        path.append(w)
    paths[name] = np.array(path)
assert paths["L2 term"][-1, 0] > 3 * paths["L2 term"][-1, 1]

for axes, (name, path) in zip(plots.panels(2, share="y"), paths.items(), strict=True):
    two = {"large gradients": path[:, 0], "small gradients": path[:, 1]}
    figure = plots.curves(range(2000), two, axes=axes, title=name, xlabel="step", ylabel="weight")
figure

# %% [markdown]
# Decoupled, both decay like $(1 - \text{lr}\,\lambda)^t$. With the L2 term a weight with large gradients hardly decays.
# Now our network. All strengths in this unit were chosen among a few by the validation error, so that error is a little
# too good.

# %%
study("L2 term 0.1", l2=0.1)
study("decoupled 1", decay=1.0)
for name in ("L2 term 0.1", "decoupled 1"):
    assert runs[name][:, 0].mean() > runs["plain"][:, 0].mean()
    assert runs[name][:, 1].mean() < runs["plain"][:, 1].mean()
compare("L2 term 0.1", "decoupled 1")

# %% [markdown]
# The learned faces are known less well, the others better: the gap is smaller from both sides. The two strengths mean
# different things, so this does not say which kind of decay is better.
#
# **Why it helps.** For a linear model with the squared error it is proven: the term shrinks most what the samples
# determine least, and leaves the rest nearly as it is (Goodfellow et al., 2016, section 7.1.1). For deep networks it is
# debated. With batch normalisation the size of the weights before it does not even matter (section 6), and decay still
# changes the training, as a step turns shorter weights further (G. Zhang et al., 2019).
#
# ## 4. Mirrored faces: samples made from samples
#
# A mirrored face has the same age. So mirror half of the faces of each batch, others each time, and the network sees
# twice as many different pictures. Changing samples in ways that leave the label true is **data augmentation**.
#
# It is a claim about the task. A mirrored letter "b" is a "d", and a picture of a right hand becomes that of a left
# one. What the network never meets later is of no use either: here we also try faces that are upside down.
#
# **Predict:** for each of the two, is the difference from no augmentation clear, and on which side?


# %%
def flip(axis):
    """A function that mirrors about half of the images of a batch along an axis, 1 (rows) or 2 (columns)."""

    def augment(x, rng):
        images, chosen = x.reshape(-1, 16, 16), rng.random((len(x), 1, 1)) < 0.5
        return np.where(chosen, np.flip(images, axis), images).reshape(-1, 256)

    return augment


study("mirrored", augment=flip(2))
study("upside down", augment=flip(1))
assert runs["upside down"][:, 1].mean() > runs["plain"][:, 1].mean()
compare("mirrored", "upside down")

# %% [markdown]
# Upside down the faces do harm: the network has to learn two kinds, and only one is asked for. For mirrored faces read
# the printed verdict, and look at the next figure.

# %%
images = faces[:1000].reshape(-1, 16, 16)
to_mirror = np.sqrt(((images - images[:, :, ::-1]) ** 2).mean())
to_other = np.sqrt(((images - images[::-1]) ** 2).mean())
print(f"a face differs from its mirror image by {to_mirror:.2f} a pixel, from another face by {to_other:.2f}")
assert to_mirror < 0.7 * to_other
shown = [images[3], images[3, :, ::-1], images[3, ::-1], images[4]]
plots.images(shown, ["a face", "mirrored", "upside down", "another face"], columns=4, size=1.5)

# %% [markdown]
# A drawn face looks straight ahead and is nearly its own mirror image, so mirroring adds little that is new. On
# photographs, with light and pose from one side, it can add more. Near the border a verdict depends on the seeds, too:
# try `SEEDS = range(100, 110)`.
#
# **Why it helps.** This one has a plain reason: it adds samples, and knowledge about the task that the samples alone do
# not show. How much it adds depends on the data.
#
# ## 5. Dropout trains with a random part of the units
#
# **Dropout** sets each output of a hidden layer to 0 with probability $p$, in training only; other outputs in each step
# (Srivastava et al., 2014). No unit can rely on a certain other one being there. What is kept is divided by $1 - p$.
# Two means show why.
#
# The **expectation** $E[y]$ of a number that depends on chance is its mean over all cases, each weighted with its
# probability. With $y = m x / (1 - p)$, where $m$ is 1 with probability $1 - p$ and else 0:
#
# $$ E[y] = (1 - p) \cdot \frac{x}{1 - p} + p \cdot 0 = x $$
#
# So in the mean the next layer gets what it gets without dropout, and in evaluation nothing needs to be done. (The
# first form did not divide in training, and multiplied by $1 - p$ in evaluation. This one is called **inverted
# dropout**.) The variance, the mean of the squared differences from the expectation, is $E[y^2] - E[y]^2$:
#
# $$ \text{Var}[y] = (1 - p) \frac{x^2}{(1 - p)^2} - x^2 = \frac{p}{1 - p}\, x^2 $$
#
# **Exercise.** Write dropout. So that your result can be compared, the draw is fixed: an element is kept where
# `rng.random(x.shape) >= p`. Draw nothing else from `rng`, a `np.random.Generator`.


# %%
def dropout(x, p, rng):
    """0 where rng.random(x.shape) is below p, and x / (1 - p) elsewhere, for 0 <= p < 1."""
    # <blank>
    keep = rng.random(x.shape) >= p
    return x * keep / (1 - p)
    # </blank>


dropout = course.check_dropout(dropout)

# %% [markdown]
# **Predict:** an input of 2 and $p = 0.75$. Which values does $y$ have, and what are its mean and its variance?

# %%
rng, x = np.random.default_rng(0), np.linspace(-2, 2, 41)
many = np.array([dropout(x, 0.75, rng) for _ in range(2000)])
print("values of y for x = 2:", np.unique(many[:, -1]))
assert np.abs(many.mean(axis=0) - x).max() < 0.5
left, right = plots.panels(2)
means = {"mean of 2000": many.mean(axis=0), "x": x}
plots.curves(x, means, ["model", "reference"], axes=left, xlabel="x", title="expectation")
variances = {"of 2000": many.var(axis=0), "p / (1 - p) x²": 3 * x**2}
plots.curves(x, variances, ["model", "reference"], axes=right, xlabel="x", title="variance")

# %% [markdown]
# The gradient is simple: `dy` is multiplied by the same mask, 0 or $1 / (1 - p)$. The mask is your dropout of ones, so
# a layer is a product, and autograd does the rest.
#
# **Predict:** with dropout of $p = 0.3$ after both hidden layers, how do the errors on learned and on other faces
# change?


# %%
class Dropout(nn.Module):
    """Your dropout as a layer: the identity in evaluation."""

    def __init__(self, p, rng):
        super().__init__()
        self.p, self.rng = p, rng

    def forward(self, x):
        if not self.training:
            return x
        return x * dropout(np.ones(x.shape, np.float32), self.p, self.rng).astype(np.float32)


def dropped(rng):
    """The network with dropout."""
    return network(rng, lambda: [nn.ReLU(), Dropout(0.3, rng)])


study("dropout", build=dropped)
assert runs["dropout"][:, 0].mean() > runs["plain"][:, 0].mean()
assert runs["dropout"][:, 1].mean() < runs["plain"][:, 1].mean()
compare("dropout")

# %% [markdown]
# **Why it helps.** One case can be computed. Let a linear output $\sum_i w_i x_i$ have dropout on its inputs, and the
# squared error for a target $t$. The expectation of a square is the square of the expectation plus the variance, and
# variances of independent terms add up:
#
# $$ E\Big[\big(t - \sum_i w_i y_i\big)^2\Big] = \Big(t - \sum_i w_i x_i\Big)^2 + \frac{p}{1 - p} \sum_i w_i^2 x_i^2 $$
#
# The last term is an L2 term, with a strength of its own for each weight. So in the mean, dropout is L2 regularisation
# here:

# %%
rng = np.random.default_rng(1)
x, w, t = rng.normal(size=10), rng.normal(size=10), 1.0
squares = (t - dropout(np.tile(x, (100_000, 1)), 0.5, rng) @ w) ** 2
penalty = (w**2 * x**2).sum()  # p / (1 - p) = 1
print(f"mean of 100,000 losses: {squares.mean():.2f}; by the formula: {(t - x @ w) ** 2 + penalty:.2f}")
assert np.isclose(squares.mean(), (t - x @ w) ** 2 + penalty, rtol=0.05)

# %% [markdown]
# For deep networks two views are common, and neither is proven: units learn features that are of use without certain
# others (Hinton et al., 2012), and the trained network answers like the mean of many networks that share their weights
# (Srivastava et al., 2014). Dropout has a price: its noise makes training slower.
#
# ## 6. Batch normalisation gives every unit the same scale
#
# The sums of a layer change their mean and their size whenever the weights before it change. **Batch normalisation**,
# or batch norm, takes the mean $\mu$ and the variance $v$ of each unit over the batch (each column of an array (N, C)),
# and normalises (Ioffe and Szegedy, 2015):
#
# $$ \hat x = \frac{x - \mu}{\sqrt{v + \epsilon}}, \qquad y = \gamma\, \hat x + \beta $$
#
# $\hat x$ has the mean 0 and the variance 1, up to the small $\epsilon$, which prevents a division by 0. The parameters
# $\gamma$ and $\beta$, one of each for a unit, begin at 1 and 0. With them the network can choose another mean and
# scale.
#
# **Exercise.** Write it. The variance is divided by N, as `np.var` does.


# %%
def batch_norm(x, gamma, beta, eps):
    """gamma (x - mean) / sqrt(var + eps) + beta, for x (N, C) and gamma and beta (C,)."""
    # <blank>
    return gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps) + beta
    # </blank>


batch_norm = course.check_batch_norm(batch_norm)

# %% [markdown]
# The columns of the first batch have very different scales.
#
# **Predict:** what is the output for the second batch, in which all columns of `x` are 100 times as large? And for the
# third, which has only the first sample?

# %%
one, zero = np.ones(3), np.zeros(3)
x = np.array([[1.0, 200, -0.03], [2, 260, 0.01], [4, 180, 0.03], [2, 240, 0.04]])
given = {"x": x, "batch norm": batch_norm(x, one, zero, 1e-9), "of 100 x": batch_norm(100 * x, one, zero, 1e-9)}
given["of one sample"] = batch_norm(x[:1], one, zero, 1e-9)
assert np.allclose(given["batch norm"], given["of 100 x"], atol=1e-3)
plots.numbers(given, "{:.3g}")

# %% [markdown]
# Two properties follow from the formula.
#
# - **The size of the weights before it does not matter.** A factor $a > 0$ on $x$ is also in $x - \mu$ and in
#   $\sqrt{v}$, and cancels (for $\epsilon = 0$). So the network cannot begin with signals that are too large or too
#   small (unit 8). A bias before it has no effect either: it is part of the mean.
# - **The output of a sample depends on the others in its batch.** Alone it is its own mean, and the output is $\beta$,
#   whatever it is.
#
# For an answer the second is not acceptable: it must not depend on who else is asked about. So in **evaluation mode**,
# after `model.eval()`, the layer uses fixed numbers, the **running statistics**: in training, each batch moves two
# running means (unit 6) a step towards its $\mu$ and its $v$.
#
# ## 7. The gradient of batch norm: every sample counts three times
#
# A sample $x_m$ affects its own $\hat x_m$ directly, and all $\hat x_n$ through the mean and through the deviation
# $s = \sqrt{v + \epsilon}$. Take one column. How mean and deviation change:
#
# $$ \frac{\partial \mu}{\partial x_m} = \frac{1}{N}, \qquad
#    \frac{\partial v}{\partial x_m} = \frac{2 (x_m - \mu)}{N}, \qquad
#    \frac{\partial s}{\partial x_m} = \frac{1}{2 s} \cdot \frac{2 (x_m - \mu)}{N} = \frac{\hat x_m}{N} $$
#
# (In the second, $\mu$ changes, too, but that adds a multiple of $\sum_n (x_n - \mu) = 0$.) By the rule for quotients,
# with $\delta_{nm} = 1$ for $n = m$ and else 0:
#
# $$ \frac{\partial \hat x_n}{\partial x_m} = \frac{1}{s} \left( \delta_{nm} - \frac{1}{N} \right)
#    - \frac{x_n - \mu}{s^2} \cdot \frac{\hat x_m}{N}
#    = \frac{1}{s} \left( \delta_{nm} - \frac{1}{N} - \frac{\hat x_n \hat x_m}{N} \right) $$
#
# Now $dx_m = \sum_n dy_n\, \gamma\, \partial \hat x_n / \partial x_m$. The three terms become
#
# $$ dx = \frac{\gamma}{s} \left( dy - \text{mean}(dy) - \hat x \cdot \text{mean}(dy\, \hat x) \right) $$
#
# with means over the batch. From $y = \gamma \hat x + \beta$ follow $d\gamma = \sum_n dy_n\, \hat x_n$ and
# $d\beta = \sum_n dy_n$.
#
# **Exercise.** Write the three gradients.


# %%
def batch_norm_backward(dy, x, gamma, eps):
    """The gradients (dx, dgamma, dbeta) of batch_norm, given dy and x (N, C) and gamma (C,)."""
    # <blank>
    s = np.sqrt(x.var(axis=0) + eps)
    normal = (x - x.mean(axis=0)) / s
    dx = gamma / s * (dy - dy.mean(axis=0) - normal * (dy * normal).mean(axis=0))
    return dx, (dy * normal).sum(axis=0), dy.sum(axis=0)
    # </blank>


batch_norm_backward = course.check_batch_norm_backward(batch_norm_backward)

# %% [markdown]
# Your `numerical_gradient` of unit 5 checks the derivation: the loss is the sum of $dy\, y$.
#
# **Predict:** `dx` has a sum of 0 in each column. Why?

# %%
numerical_gradient = course.mine("numerical_gradient")
rng = np.random.default_rng(2)
x, dy, gamma, beta = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal(size=3)
dx, dgamma, dbeta = batch_norm_backward(dy, x, gamma, 0.01)
by_differences = numerical_gradient(lambda x: (dy * batch_norm(x, gamma, beta, 0.01)).sum(), x, 1e-5)
assert np.abs(by_differences - dx).max() < 1e-6
assert np.abs(dx.sum(axis=0)).max() < 1e-9
plots.numbers({"dy": dy, "dx, by your formula": dx, "dx, by differences": by_differences}, "{:.3f}")

# %% [markdown]
# If all $x$ of a column grow by the same number, so does their mean: $y$ and the loss stay, so the sum of `dx` is 0.
#
# ## 8. Batch norm in training and in evaluation
#
# With both functions the layer is short. `Normalise` is the op, `BatchNorm` chooses between the batch and the running
# statistics.


# %%
EPS = 1e-3


class Normalise(op.Op):
    """Your batch norm as an op."""

    def forward(self, x, gamma, beta):
        self.save(x, gamma)
        return batch_norm(x, gamma, beta, EPS).astype(x.dtype)

    def backward(self, dy):
        return tuple(gradient.astype(dy.dtype) for gradient in batch_norm_backward(dy, *self.saved, EPS))


class BatchNorm(nn.Module):
    """Your batch norm as a layer."""

    def __init__(self, channels):
        super().__init__()
        self.gamma = nn.Parameter(np.ones(channels, np.float32))
        self.beta = nn.Parameter(np.zeros(channels, np.float32))
        self.mean, self.var = np.zeros(channels, np.float32), np.ones(channels, np.float32)

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.numpy().mean(axis=0)
            self.var = 0.9 * self.var + 0.1 * x.numpy().var(axis=0)
            return Normalise.apply(x, self.gamma, self.beta)
        return (x - self.mean) * (self.gamma / np.sqrt(self.var + EPS)) + self.beta


yours, by_minidl = BatchNorm(256), nn.BatchNorm(256, momentum=0.9, eps=EPS)
for layer in (yours, by_minidl):
    for start in range(0, 1000, 25):
        layer(md.tensor(faces[start : start + 25]))  # the running statistics follow the batches
    layer.eval()
x = md.tensor(faces[validation])
print(f"largest difference from minidl: {np.abs(yours(x).numpy() - by_minidl(x).numpy()).max():.0e}")

# %% [markdown]
# Now our network, with batch norm before each ReLU, at several learning rates.
#
# **Predict:** which of the two networks tolerates larger learning rates?


# %%
def normalised(rng):
    """The network with batch norm."""
    return network(rng, lambda: [BatchNorm(64), nn.ReLU()])


rates, kinds = (0.003, 0.01, 0.1, 0.3), {"without": network, "with batch norm": normalised}
found = {
    name: np.mean([[trial(seed, build, lr=lr, epochs=25)[:2] for lr in rates] for seed in range(3)], axis=0)
    for name, build in kinds.items()
}
assert found["without"][-1, 0] > baseline > 1.5 * found["with batch norm"][:, 0].max()
for i, (axes, part) in enumerate(zip(plots.panels(2, share="y"), ("learned", "validation"), strict=True)):
    errors = {name: both[:, i] for name, both in found.items()}
    plots.curves(rates, errors, marks="o-", log="x", axes=axes, xlabel="learning rate", title=f"{part} (years)")
axes.set(ylim=(0, 30))
axes.figure

# %%
study("batch norm", build=normalised)
compare("batch norm")

# %% [markdown]
# Without batch norm the largest rate fails; with it the network learns at all of them. That is its main use: training
# becomes easier, and less depends on the learning rate. Whether it also helps on new faces is a separate question: read
# the verdict. Each batch adds some noise, and Ioffe and Szegedy (2015) needed less dropout with batch norm.
#
# **Why it helps.** What is proven is the property of section 6. The rest is debated. Ioffe and Szegedy (2015) meant to
# reduce **internal covariate shift**: that the inputs of a layer change all the time as earlier layers learn. Santurkar
# et al. (2018) contest this. They added noise after batch norm, so that the inputs changed even more than without it,
# and training stayed fast. Their explanation is that the loss becomes smoother, so that a gradient holds for a longer
# step. Bjorck et al. (2018) explain the benefit by the larger learning rates.
#
# It has limits: with very small batches $\mu$ and $v$ are mostly chance, and a network that is left in training mode
# by mistake gives answers that depend on the batch.
#
# ## 9. Residual connections: a layer learns a change
#
# More layers can compute more. Can they also be trained? He et al. (2016) found that plain networks with many layers
# did worse than shallower ones, *on the learned samples* already. So this is not overfitting. And a deeper network
# could always do as well: its additional layers only have to copy their input. Gradient descent does not find this.
#
# Their remedy makes copying the starting point. A **residual connection** adds the input of a group of layers $f$ to
# its output: $y = x + f(x)$. Backward, `dy` goes unchanged to $x$, and a second time through $f$. Here the last weights
# of each $f$ begin at 0, so each block begins as the identity (H. Zhang, Dauphin and Ma, 2019). In a plain layer,
# weights of 0 would let no signal pass.
#
# **Predict:** how do the errors on the learned faces change from 1 to 12 blocks, without and with residual connections?


# %%
class Residual(nn.Module):
    """x + f(x), where f is a dense layer, ReLU and a dense layer whose weights begin at 0."""

    def __init__(self, rng):
        super().__init__()
        self.f = nn.Sequential(nn.Dense(64, 64, rng=rng), nn.ReLU(), nn.Dense(64, 64, rng=rng))
        self.f[2].w.data[:] = 0

    def forward(self, x):
        return x + self.f(x)


def plain_block(rng):
    """The same layers without x, and with a ReLU at the end."""
    return nn.Sequential(nn.Dense(64, 64, rng=rng), nn.ReLU(), nn.Dense(64, 64, rng=rng), nn.ReLU())


def deep(block, count):
    """A function that builds a network of so many blocks."""

    def build(rng):
        blocks = [block(rng) for _ in range(count)]
        return nn.Sequential(nn.Dense(256, 64, rng=rng), nn.ReLU(), *blocks, nn.Dense(64, 1, rng=rng))

    return build


for count in (1, 12):
    study(f"{count} plain", build=deep(plain_block, count), epochs=20)
    study(f"{count} residual", build=deep(Residual, count), epochs=20)

# %%
learned = {name: runs[name][:, 0] for name in ("1 plain", "12 plain", "1 residual", "12 residual")}
assert learned["12 plain"].mean() > max(learned["1 plain"].mean(), 1.2 * learned["12 residual"].mean())
plots.spread(learned, ["training"], xlabel="error on the learned faces (years)")

# %%
compare("12 residual", "1 plain", "1 residual", to="12 plain")

# %% [markdown]
# With 12 blocks the plain network knows even the *learned* faces less well than with one, after the same 20 epochs.
# With residual connections it knows them better. They are not regularisation: they make training easier. What
# this is worth on the validation part, the second figure shows.
#
# **Why it helps.** That `dy` passes the sum unchanged is plain. The rest is debated. He et al. (2016) did not believe
# in vanishing gradients as the cause, as their plain networks had batch norm. Veit et al. (2016) see a collection of
# paths, of which the short ones, which skip most blocks, carry the gradient. Balduzzi et al. (2017) measured that in
# deep plain networks the gradients of similar inputs have little in common.
#
# ## 10. All side by side, and the test set
#
# Remedies can be combined. Three combinations, then all trainings with 100 faces and 50 epochs in one figure.
#
# **Predict:** do the improvements add up?

# %%
study("mirrored, L2", augment=flip(2), l2=0.1)
study("mirrored, L2, dropout", build=dropped, augment=flip(2), l2=0.1)
study("batch norm, L2", build=normalised, l2=0.1)
names = ["L2 term 0.1", "decoupled 1", "mirrored", "dropout", "batch norm"]
names += ["mirrored, L2", "mirrored, L2, dropout", "batch norm, L2"]
gains = {name: (runs[name] - runs["plain"])[:, 1].mean() for name in names}
assert gains["batch norm, L2"] > gains["batch norm"] + gains["L2 term 0.1"]
compare(*names)

# %% [markdown]
# Whether improvements add up has to be measured. Batch norm and the L2 term together gain less than the sum of their
# gains, which fits section 6: the size of the weights before batch norm does not matter.
#
# The validation part now chooses the best training, and its error is too good for that reason, too (unit 6). The test
# set has chosen nothing:

# %%
best = min(["plain", *names], key=lambda name: runs[name][:, 1].mean())
gain = runs[best] - runs["plain"]
print(f"best on the validation part: {best}")
print(f"difference from plain: {gain[:, 1].mean():+.1f} years there, {gain[:, 2].mean():+.1f} on the test set")
print(f"200 faces: {(runs['200 faces'] - runs['plain'])[:, 2].mean():+.1f} on the test set")
assert gain[:, 2].mean() < 0
assert runs[best][:, 0].mean() < runs[best][:, 2].mean() - 2
plots.spread({"plain": runs["plain"][:, 2], best: runs[best][:, 2]}, xlabel="test error (years)")

# %% [markdown]
# The gain is there on the test set as well. But no remedy here closes the gap: the learned faces stay far better known
# than others. In practice one begins with more data and the augmentation that fits
# the task, then uses batch norm and residual connections if the network is deep, and tries dropout and weight decay,
# judged by a validation part and several seeds.
#
# ## Questions
#
# 1. Batch norm follows a dense layer. What happens to the output if you multiply the weights of that layer by 2? And
#    why may the dense layer go without a bias?
#
# <details><summary>Answer</summary>Nothing, up to epsilon: mean and deviation of the sums double, and the factor
# cancels. A bias moves the sums and their mean by the same number, so it cancels, too.</details>
#
# 2. Someone measures the error on the learned samples in training mode, with dropout, and finds it larger than the
#    validation error. Is something wrong?
#
# <details><summary>Answer</summary>Not necessarily. In training mode the outputs have the noise of dropout, and the
# validation error is measured without it. Compare both in evaluation mode.</details>
#
# 3. The last weights of a residual block are 0. Which of its weights get a gradient other than 0 in the first step, and
#    which in the second?
#
# <details><summary>Answer</summary>In the first step only the last ones, and their bias: what goes back to the layer
# before is multiplied by weights of 0. After that step they are no longer 0, so in the second all get
# one.</details>
#
# ## Now read the real thing
#
# minidl's op keeps the normalised input of the forward pass, so that backward does not compute it again. Its `dx` is
# yours. The layers are in `minidl/nn/layers.py`; `BatchNorm` saves its running statistics with the weights.

# %%
print(inspect.getsource(ops.BatchNorm.backward))
print(inspect.getsource(ops.Dropout.forward))

# %% [markdown]
# Further reading:
#
# - I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, 2016, chapter 7: regularisation.
# - C. Zhang, S. Bengio, M. Hardt, B. Recht and O. Vinyals, "Understanding Deep Learning Requires Rethinking
#   Generalization", 2017: random labels are learned, too.
# - I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", 2019; G. Zhang, C. Wang, B. Xu and R. Grosse,
#   "Three Mechanisms of Weight Decay Regularization", 2019.
# - G. Hinton et al., "Improving Neural Networks by Preventing Co-adaptation of Feature Detectors", 2012; N. Srivastava
#   et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", 2014, with the linear case in section
#   9; S. Wager, S. Wang and P. Liang, "Dropout Training as Adaptive Regularization", 2013.
# - S. Ioffe and C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate
#   Shift", 2015; S. Santurkar, D. Tsipras, A. Ilyas and A. Madry, "How Does Batch Normalization Help Optimization?",
#   2018; N. Bjorck, C. Gomes, B. Selman and K. Weinberger, "Understanding Batch Normalization", 2018.
# - K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual Learning for Image Recognition", 2016; A. Veit, M. Wilber and S.
#   Belongie, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks", 2016; D. Balduzzi et al., "The
#   Shattered Gradients Problem: If Resnets Are the Answer, Then What Is the Question?", 2017; H. Zhang, Y. Dauphin and
#   T. Ma, "Fixup Initialization: Residual Learning Without Normalization", 2019.
#
# The next unit, `10_faces`, is about the data.
