# %% [markdown]
# # 5. Losses
#
# A loss is the question that a network is trained to answer: one number that says how wrong it is. The gradient of
# every weight starts there. This notebook shows where the usual losses come from, and what can go wrong with them:
#
# 1. **likelihood**: what the loss for yes or no follows from;
# 2. the same **from logits**, so that no answer is too wrong for it;
# 3. **softmax and cross-entropy**, for several classes;
# 4. **years**: L1, L2 and Huber, and what each makes of a typing error;
# 5. **gradients checked by hand**, with differences;
# 6. **how small a step** should be;
# 7. **gradcheck**, which does all this for you.
#
# You need notebook 4. Numbers are float64 unless a cell says otherwise.

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

import minidl as md
from agegender import data
from minidl import course, nn, ops, viz
from minidl.testing import GradientError, gradcheck

F = nn.functional
rng = np.random.default_rng(0)
pixels, labels = data.drawn(300).batch(np.arange(300))
ages, genders = labels["age"][:, 0].astype(np.float64), labels["gender"][:, 0].astype(np.float64)
chosen = [9, 0, 4, 2, 7, 1]
viz.images(pixels[chosen], [f"label {genders[i]:.0f}, {ages[i]:.0f} years" for i in chosen])

# %% [markdown]
# ## 1. How likely is what we see?
#
# A face has the label $t$, 1 or 0. A network does not say 1 or 0, it says how sure it is: the probability $p$ that the
# label is 1. Then the label that the face really has was given the probability $p$ if it is 1, and $1 - p$ if it is 0.
# For all faces together these multiply. This product is the **likelihood**, and a good network makes it large:
#
# $$ \prod_n p_n^{t_n} (1 - p_n)^{1 - t_n} $$
#
# Let a network be so simple that it gives the same $p$ for all. Here is its likelihood for the first 20 faces:

# %%
t = genders[:20]
p = np.linspace(0.01, 0.99, 197)
likelihood = np.prod(np.where(t[:, None] == 1, p, 1 - p), axis=0)
figure, axes = plt.subplots(1, 2, figsize=(9, 2.6), layout="constrained")
axes[0].plot(p, likelihood)
axes[0].set(title="likelihood", xlabel="p")
axes[1].plot(p, -np.log(likelihood) / 20)
axes[1].set(title="-log likelihood, for each face", xlabel="p")
for part in axes:
    part.axvline(t.mean(), color="tab:red", ls=":", label=f"share of label 1: {t.mean():.2f}")
    part.legend(fontsize=8)
plt.show()
assert abs(p[likelihood.argmax()] - t.mean()) < 0.01

# %% [markdown]
# The likelihood is largest where $p$ is the share that was seen. It is also tiny, below one in a hundred thousand, and
# for thousands of faces no float can hold it. Its **logarithm** is largest at the same place and makes a sum of the
# product. With a minus, so that small is good, and as a mean:
#
# $$ L = \frac{1}{N} \sum_n -t_n \log p_n - (1 - t_n) \log(1 - p_n) $$
#
# This is the **binary cross-entropy** (Bishop, "Pattern Recognition and Machine Learning", 2006, equation 4.90).
#
# ## 2. From logits
#
# A network's last layer gives any number $x$, called a **logit**. The sigmoid $s(x) = 1 / (1 + e^{-x})$ makes a
# probability of it. Put in as it stands, the formula fails just where it matters, for answers that are very wrong. In
# float32, for a face with label 0:

# %%
x = np.linspace(-30, 30, 601, dtype=np.float32)
with np.errstate(all="ignore"):
    naive = -np.log(1 - 1 / (1 + np.exp(-x)))
figure, axes = plt.subplots(figsize=(5, 2.6), layout="constrained")
axes.plot(x, np.logaddexp(0, x), color="tab:green", lw=4, alpha=0.4, label="should be")
axes.plot(x[np.isfinite(naive)], naive[np.isfinite(naive)], color="tab:red", label="as the formula stands")
axes.set(title="loss for label 0, float32", xlabel="logit x")
axes.legend(fontsize=8)
plt.show()
print(f"infinite from x = {x[np.isinf(naive)].min():.1f} on")

# %% [markdown]
# From there on $s(x)$ is rounded to 1, and $\log(1 - 1)$ is minus infinity. The way out is to do the algebra first. The
# loss for label 0 is $\log(1 + e^x)$, and
#
# $$ \log(1 + e^x) = \max(x, 0) + \log(1 + e^{-|x|}) $$
#
# where the exponent is never positive, so that nothing overflows. For label 1 it is the same less $x$. Together, for
# any $t$: $\;\max(x, 0) - x t + \log(1 + e^{-|x|})$.
#
# **Exercise.** Write it, as a mean over the samples. It must be right for logits of +-10000. (`np.log1p(z)` is
# $\log(1 + z)$, exact for small $z$, too.)


# %%
def bce_with_logits(logits, targets):
    """The mean binary cross-entropy for logits x and targets t, arrays of one shape."""
    # <blank>
    return np.mean(np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits))))
    # </blank>


bce_with_logits = course.check_bce_with_logits(bce_with_logits)
for pair in (np.array([2.0, -1.0]), np.array([1e4, -1e4])):
    tensor = md.tensor(pair, requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(tensor, np.zeros(2))
    loss.backward()
    print(f"logits {pair}: {bce_with_logits(pair, np.zeros(2)):.6g}, minidl {loss.item():.6g}, gradient {tensor.grad}")

# %% [markdown]
# The slope is as simple as can be: $s(x) - t$, what was said minus what is so, never more than 1 (divided by $N$, for
# the mean). A face that is judged quite wrongly pulls with full strength; one that is judged rightly, hardly. For
# comparison, squaring the difference $(s(x) - t)^2$ looks harmless, but its slope vanishes for the worst answers:

# %%
x = md.tensor(np.linspace(-10, 10, 401), requires_grad=True)
figure, axes = plt.subplots(1, 2, figsize=(9, 2.6), layout="constrained")
losses = {"cross-entropy": F.binary_cross_entropy_with_logits, "squared": lambda x, t: F.mse_loss(F.sigmoid(x), t)}
for name, loss in losses.items():
    axes[0].plot(x.numpy(), [loss(md.tensor([z]), [0.0]).item() for z in x.numpy()], label=name)
    (loss(x, np.zeros(401)) * 401).backward()
    axes[1].plot(x.numpy(), x.grad, label=name)
    x.zero_grad()
axes[0].set(title="loss for label 0", xlabel="logit x", ylim=(0, 5))
axes[1].set(title="slope", xlabel="logit x")
axes[0].legend(fontsize=8)
plt.show()

# %% [markdown]
# ## 3. Several classes
#
# For $K$ classes the network gives $K$ logits, and **softmax** makes probabilities of them: all positive, with sum 1.
#
# $$ p_k = \frac{e^{x_k}}{\sum_j e^{x_j}}, \qquad -\log p_k = \log \sum_j e^{x_j} - x_k $$
#
# The loss of a sample is $-\log p$ of its own class: the **cross-entropy**. On the right it needs no quotient, only the
# logarithm of a sum of exponentials. $e^{10000}$ is too large for any float, but a common factor can be taken out:
#
# $$ \log \sum_j e^{x_j} = m + \log \sum_j e^{x_j - m}, \qquad m = \max_j x_j $$
#
# **Exercise.** Write it.


# %%
def log_sum_exp(x):
    """log(sum of e^x) for an array x (K,), of numbers of any size."""
    # <blank>
    m = x.max()
    return m + np.log(np.exp(x - m).sum())
    # </blank>


log_sum_exp = course.check_log_sum_exp(log_sum_exp)
logits = np.array([2.0, 1.0, -1.0])
figure, axes = plt.subplots(1, 4, figsize=(10, 2.2), layout="constrained", sharey=True)
for part, (factor, shift) in zip(axes, ((1, 0), (1, 9999), (0.2, 0), (5, 0)), strict=True):
    x = factor * logits + shift
    part.bar(("child", "adult", "old"), np.exp(x - log_sum_exp(x)))
    part.set(title=", ".join(f"{z:g}" for z in x), ylim=(0, 1))
plt.show()

# %% [markdown]
# Adding the same number to all logits changes nothing; it is the differences that count. Larger differences mean that
# the network is surer.
#
# Now the gradient. $\log \sum_j e^{x_j}$ has the slopes $p_k$, and $-x_k$ of the sample's own class has the slope -1.
# So with $y$ as the **one-hot** vector, 1 at the own class and 0 elsewhere, the gradient is $p - y$: what was said
# minus what is so, again (Bishop, equation 4.109).
#
# **Exercise.** Write it for a batch: the gradient of the *mean* over its $N$ samples. The logits are of any size here,
# too.


# %%
def cross_entropy_gradient(logits, labels):
    """(p - y) / N for logits (N, K) and integer labels (N,)."""
    # <blank>
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(labels)), labels] -= 1
    return p / len(labels)
    # </blank>


cross_entropy_gradient = course.check_cross_entropy_gradient(cross_entropy_gradient)
batch, classes = np.array([[2.0, 1.0, -1.0], [2.0, 1.0, -1.0], [8.0, 1.0, -1.0]]), np.array([0, 1, 2])
dx = cross_entropy_gradient(batch, classes) * 3
x = md.tensor(batch, requires_grad=True)
(F.softmax_cross_entropy(x, classes) * 3).backward()
assert np.allclose(dx, x.grad)
figure, axes = plt.subplots(1, 3, figsize=(9, 2.2), layout="constrained", sharey=True)
for part, slopes, logits, own in zip(axes, dx, batch, classes, strict=True):
    part.bar(("child", "adult", "old"), slopes, color=["tab:green" if slope < 0 else "tab:red" for slope in slopes])
    loss = log_sum_exp(logits) - logits[own]
    part.set(title=f"it is {('a child', 'an adult', 'old')[own]}: loss {loss:.2f}", ylim=(-1.05, 1.05))
    part.axhline(0, color="black", lw=0.8)
plt.show()

# %% [markdown]
# The bars are $p - y$. Green logits are to grow, red ones are to fall. In each picture they add up to 0: probabilities
# are only moved from one class to another.
#
# ## 4. Years
#
# For an age there is no right or wrong, only near and far. With the difference $d$ between answer and truth:
#
# - **L1** $|d|$, the mean error in years. Every face pulls equally hard, however far off it is.
# - **L2** $d^2$: pulls the harder the farther off it is.
# - **Huber** $d^2 / 2$ near 0, straight beyond $\delta$: L2 for small errors, L1 for large ones (Huber, "Robust
#   Estimation of a Location Parameter", 1964).
#
# What would each want for an answer if it had to be the same for all faces? We try all answers. Then we do it again
# with 10 of the 300 ages mistyped, a 0 too many:

# %%
mistyped = ages.copy()
mistyped[:10] *= 10
answers = np.linspace(0, 100, 401)
losses = {"L1": F.l1_loss, "L2": F.mse_loss, "Huber": lambda a, b: F.huber_loss(a, b, delta=5.0)}
figure, axes = plt.subplots(1, 3, figsize=(11, 3), layout="constrained")
for part, (name, loss) in zip(axes, losses.items(), strict=True):
    for truth, colour, title in ((ages, "tab:blue", "ages"), (mistyped, "tab:red", "10 mistyped")):
        values = np.array([loss(md.tensor(np.full(300, answer)), truth).item() for answer in answers])
        best = answers[values.argmin()]
        part.plot(answers, values / values.min(), color=colour, label=f"{title}: best at {best:.1f}")
        part.axvline(best, color=colour, ls=":")
    part.set(title=f"{name}, relative to its least", xlabel="the answer for all (years)", ylim=(0.95, 2))
    part.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.25), ncols=2)
plt.show()
for title, truth in (("ages", ages), ("10 mistyped", mistyped)):
    print(f"{title}: median {np.median(truth):.1f}, mean {truth.mean():.1f}")

# %% [markdown]
# L1 wants the **median**: there, as many faces pull up as down. L2 wants the **mean**, where the differences add up to
# 0, and a few wrong ages move it a long way. Huber is hardly moved either. This is the choice: L1 if the error in years
# is what counts or the data has odd values, L2 if large errors are much worse than small ones.
#
# ## 5. Is the gradient right? By hand
#
# A derivative says how much a function changes when one number changes a little. So change it a little, and look:
#
# $$ \frac{\partial f}{\partial x_i} \approx \frac{f(x + h e_i) - f(x - h e_i)}{2 h} $$
#
# with $e_i$ as the array that is 1 at element $i$. This needs no graph and no chain rule, so it can judge those that
# do. It also takes two evaluations *for each number*, so nobody trains with it.
#
# **Exercise.** Write it, for `x` of any shape. `np.ndindex(x.shape)` counts through its indices. Leave `x` as it was.


# %%
def numerical_gradient(f, x, h):
    """The derivative of f, a function from an array to a number, by each element of x."""
    # <blank>
    slopes = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[index] = h
        slopes[index] = (f(x + step) - f(x - step)) / (2 * h)
    return slopes
    # </blank>


numerical_gradient = course.check_numerical_gradient(numerical_gradient)
small = F.avg_pool2d(md.tensor(pixels[9:10].astype(np.float64)), 4).numpy()
kernel = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])[:, :, None, None]


def edges_of(x):
    """A loss that is large where a face has upright edges."""
    return (F.tanh(F.conv2d(x, kernel)) ** 2).mean()


face = md.tensor(small, requires_grad=True)
edges_of(face).backward()
by_differences = numerical_gradient(lambda x: edges_of(md.tensor(x)).item(), small, 1e-5)
difference, largest = by_differences - face.grad, np.abs(face.grad).max()
print(f"2048 losses against one backward pass: they differ by {np.abs(difference).max() / largest:.0e} of the largest")
assert np.abs(difference).max() < 1e-7 * largest
titles = ["by differences", "by backward", "their difference, x 10^9"]
shown = [by_differences[0], face.grad[0], 1e9 * difference[0]]
viz.images(shown, titles, columns=3, size=2, signed=True, limits=(-largest, largest))

# %% [markdown]
# ## 6. How small a step?
#
# The formula is off for two reasons. The curve bends between the two points: this **truncation error** falls with $h^2$
# (with $h$ alone if only one side is used, $(f(x + h) - f(x)) / h$). And $f$ is rounded: the difference of two nearly
# equal numbers keeps few right digits, and this **rounding error** grows as $h$ falls, like $\epsilon / h$, with
# $\epsilon$ as the float's relative error (Press et al., "Numerical Recipes", 3rd ed., 2007, section 5.7). Measured,
# for the loss $\log(1 + e^x)$ at $x = 1$:

# %%
steps = np.logspace(-13, 0, 100)
slope = 1 / (1 + np.exp(-1.0))


def error(dtype, sides):
    """The error of the slope at 1 for each step."""
    h = steps.astype(dtype)
    one = dtype(1)
    above, below = (np.logaddexp(dtype(0), z) for z in (one + h, one - h if sides == 2 else one + 0 * h))
    return np.abs((above - below) / (sides * h) - slope)


figure, axes = plt.subplots(figsize=(8, 3.4), layout="constrained")
axes.loglog(steps, error(np.float64, 1), ".", color="tab:orange", label="float64, one side")
axes.loglog(steps, error(np.float64, 2), ".", color="tab:blue", label="float64, both sides")
axes.loglog(steps, error(np.float32, 2), ".", color="tab:gray", label="float32, both sides")
bend = slope * (1 - slope) * (1 - 2 * slope) / 6  # a sixth of the third derivative
axes.loglog(steps, abs(bend) * steps**2, "--", color="tab:green", label="truncation, both sides")
for dtype in (np.float64, np.float32):
    axes.loglog(steps, np.finfo(dtype).eps / steps, ":", color="tab:red")
axes.set(xlabel="step h", ylabel="error", ylim=(1e-14, 3))
axes.plot([], ":", color="tab:red", label="rounding, eps / h")
axes.legend(fontsize=8)
plt.show()
assert error(np.float64, 2).min() < error(np.float64, 1).min() / 10

# %% [markdown]
# The best step is where the two lines cross: near $\epsilon^{1/3}$, about $10^{-5}$ in float64, where ten digits are
# right. In float32 it is four or five: check gradients in float64.
#
# ## 7. With the kit
#
# `gradcheck` takes differences in float64, for random sums of all outputs. It uses three steps and extrapolates, which
# takes the $h^2$ away, so that the errors are smaller still. For all losses of this notebook:

# %%
a, b = rng.normal(size=(8, 3)), rng.normal(size=(8, 3))
yes, own = rng.integers(0, 2, (8, 3)).astype(np.float64), rng.integers(0, 3, 8)
checks = {
    "binary cross-entropy": gradcheck(lambda x: F.binary_cross_entropy_with_logits(x, yes), a),
    "softmax cross-entropy": gradcheck(lambda x: F.softmax_cross_entropy(x, own), a),
    "L1": gradcheck(F.l1_loss, a, b),
    "L2": gradcheck(F.mse_loss, a, b),
    "Huber": gradcheck(F.huber_loss, a, b),
}
figure, axes = plt.subplots(figsize=(7, 2.2), layout="constrained")
axes.plot([max(check.worst, 1e-17) for check in checks.values()], list(checks), "o")
axes.axvline(1e-8, color="tab:red", ls=":", label="what gradcheck allows")
axes.set(xscale="log", xlabel="worst error, relative to the largest derivative")
axes.margins(y=0.2)
axes.invert_yaxis()
axes.legend(fontsize=8)
plt.show()

# %% [markdown]
# And what does it say if a gradient is wrong? Here are two that are often written:


# %%
class ForgotTheMean(ops.BinaryCrossEntropyWithLogits):
    """The gradient of the sum in the place of that of the mean."""

    def backward(self, dy):
        return super().backward(dy)[0] * self.saved[0].size, None


class ForgotTheLabel(ops.SoftmaxCrossEntropy):
    """p in the place of p - y."""

    def backward(self, dy):
        log_p, _ = self.saved
        return (np.exp(log_p) * (dy / len(log_p)),)


for call in (lambda x: ForgotTheMean.apply(x, yes), lambda x: ForgotTheLabel.apply(x, labels=own)):
    try:
        gradcheck(call, a)
    except GradientError as problem:
        print(problem)

# %% [markdown]
# Of the second it cannot know the cause: 16 of 24 numbers are right, those of the two wrong classes.
#
# L1 has a kink at 0, where there is no derivative. Differences across it say something, but not what `backward` says;
# gradcheck notices, and leaves such numbers out:

# %%
print(gradcheck(F.l1_loss, np.array([1.0, 2.0, 3.0]), np.array([1.0, 5.0, 0.0])))

# %% [markdown]
# ## Now read the real thing
#
# `minidl/ops/loss.py` has all of these, each a few lines; `minidl/testing/gradcheck.py` says how it extrapolates and
# finds kinks.

# %%
print(inspect.getsource(ops.SoftmaxCrossEntropy.backward))
