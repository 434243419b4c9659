# %% [markdown]
# # 5. Losses
#
# A network is trained to make one number small: its loss, which measures how wrong its answers are. All gradients
# start there. In this unit you derive the usual losses, write them with their gradients, and train a classifier with
# your own code: from a face of 16 x 16 pixels it tells children, adults and old people apart. At the end you check your
# gradients, and learn how to check any other.
#
# **You will be able to**
#
# - derive the cross-entropy from probabilities, for two classes and for several;
# - compute it for logits of any size, without overflow;
# - write the gradients of the cross-entropy and of L1, and train a classifier with them;
# - choose between L1, L2 and Huber for numbers such as an age;
# - check a gradient by differences, with the right step.
#
# **Prior knowledge:** units 2 (gradient descent) and 4 (the gradient of a matrix product), derivatives of `exp` and
# `log`, and what a probability is. **Time:** about two hours and a quarter, in two sittings: sections 1 to 6, then 7
# to 10.

# %%
import inspect

import numpy as np

import minidl as md
from agegender import data
from minidl import course, nn, ops
from minidl.course import plots, style
from minidl.kernels.reference import ReferenceKernels
from minidl.testing import GradientError, gradcheck

style.use()
F = nn.functional
rng = np.random.default_rng(0)
pixels, labels = data.drawn(1500).batch(np.arange(1500))
ages, genders = labels["age"][:, 0].astype(np.float64), labels["gender"][:, 0].astype(np.float64)
chosen = [9, 0, 4, 2, 7, 1]
plots.images(pixels[chosen], [f"{genders[i]:.0f}, {ages[i]:.0f} years" for i in chosen])

# %% [markdown]
# These faces are drawn by a program. Each sample has pixels and two labels in the format of the data set
# UTKFace, a gender (0 for male, 1 for female) and an age.
#
# ## 1. A loss follows from a probability
#
# Let $t$, 0 or 1, be the label of gender. A network does not answer 0 or 1. It answers with a probability $p$ that the
# label is 1. So it gives the true label the probability $p$ if $t = 1$, and $1 - p$ if $t = 0$. Both cases in one
# formula: $p^t (1 - p)^{1 - t}$.
#
# Now take $N$ samples. We assume that they are **independent**: the label of one face tells nothing about that of
# another. Then the probabilities of all labels multiply. The product ($\prod$) is the **likelihood**, and a good
# network makes it large:
#
# $$ \prod_{n=1}^{N} p_n^{t_n} (1 - p_n)^{1 - t_n} $$
#
# The simplest network of all gives the same $p$ for every face. We compute its likelihood for 20 faces, for each $p$.
#
# **Predict:** the cell prints how many of the 20 labels are 1. Which $p$ has the largest likelihood?

# %%
t = genders[:20]
p = np.linspace(0.01, 0.99, 197)
likelihood = np.prod(np.where(t[:, None] == 1, p, 1 - p), axis=0)
print(
    f"{t.sum():.0f} of 20 labels are 1. Largest likelihood: {likelihood.max():.1e}, at p = {p[likelihood.argmax()]:.3f}"
)

left, right = plots.panels(2, 2.4)
for axes in (left, right):
    axes.axvline(t.mean(), color=style.colour("data"), ls=":")
plots.curves(p, {"L": likelihood}, ["model"], axes=left, title="likelihood", xlabel="p")
plots.curves(p, {"L": -np.log(likelihood) / 20}, ["model"], axes=right, title="-log(likelihood) / N", xlabel="p")

# %% [markdown]
# The dotted line is the share of label 1, and the likelihood is largest there. In general: with $k$ labels of 1 among
# $N$, the logarithm of the likelihood is $k \log p + (N - k) \log(1 - p)$. (As in NumPy, $\log$ is the natural
# logarithm, $\ln$.) Its derivative $k / p - (N - k) / (1 - p)$ is 0 at $p = k / N$.
#
# The likelihood is tiny, and for a few thousand samples it is below the smallest float64. Its logarithm has no such
# problem:

# %%
print(
    f"the product of 2000 probabilities of 0.5: {np.prod(np.full(2000, 0.5))}; its logarithm: {2000 * np.log(0.5):.1f}"
)

# %% [markdown]
# The logarithm turns the product into a sum, and is largest at the same $p$. A minus sign makes small values good, and
# the mean over the samples can be compared between sets of any size. This is the **binary cross-entropy**:
#
# $$ L = \frac{1}{N} \sum_{n=1}^{N} \left( -t_n \log p_n - (1 - t_n) \log(1 - p_n) \right) $$
#
# ## 2. The loss of a very wrong answer must not be infinite
#
# The last layer of a network outputs any number $x$, its **logit**. The **sigmoid** $s(x) = 1 / (1 + e^{-x})$ maps it
# to a probability between 0 and 1. We insert $p = s(x)$ into the formula, for a label of 0, and compute in float32,
# as is usual in training:

# %%
x = np.linspace(10, 20, 501, dtype=np.float32)
with np.errstate(all="ignore"):
    inserted = -np.log(1 - 1 / (1 + np.exp(-x)))
print(f"from x = {x[np.isinf(inserted)].min():.1f} on the formula gives infinity")
both = {"exact": np.logaddexp(0, x), "the formula in float32": np.where(np.isinf(inserted), np.nan, inserted)}
plots.curves(x, both, ["reference", "mistake"], xlabel="logit x", ylabel="loss for label 0", ylim=(9, 21))

# %% [markdown]
# The red curve moves in larger and larger steps, then it ends: $s(x)$ is rounded to exactly 1, and $\log(1 - 1)$ is
# minus infinity. Very wrong answers, from which a network has most to learn, get no useful loss.
#
# The remedy is to simplify before computing. For label 0 the loss is
#
# $$ -\log(1 - s(x)) = \log(1 + e^x) = \max(x, 0) + \log(1 + e^{-|x|}) $$
#
# The last form never takes `exp` of a positive number, so nothing overflows. For label 1 the loss is
# $-\log s(x) = \log(1 + e^{-x}) = \log(1 + e^x) - x$: subtract $x$. One formula holds for both:
# $\max(x, 0) - x t + \log(1 + e^{-|x|})$.
#
# **Exercise.** Write it, as a mean over the samples. It must be right for logits of 10000 and -10000, too.
# (`np.log1p(z)` computes $\log(1 + z)$, and is accurate even for a tiny $z$.)


# %%
def bce_with_logits(logits, targets):
    """The mean binary cross-entropy for logits x and targets t, arrays of one shape."""
    # <blank>
    return np.mean(np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits))))
    # </blank>


bce_with_logits = course.check_bce_with_logits(bce_with_logits)
for x in (np.array([2.0, -1.0]), np.array([1e4, -1e4])):
    by_minidl = F.binary_cross_entropy_with_logits(md.tensor(x), np.zeros(2)).item()
    print(f"logits {x}, both with target 0: {bce_with_logits(x, np.zeros(2)):.6f}, minidl {by_minidl:.6f}")

# %% [markdown]
# ## 3. The gradient is the answer minus the truth
#
# For one sample the loss is $\log(1 + e^x) - x t$. Its derivative is
#
# $$ \frac{e^x}{1 + e^x} - t = s(x) - t $$
#
# the probability that was answered minus the label. For the mean over $N$ samples, divide by $N$.
#
# **Exercise.** Write the gradient of `bce_with_logits` with respect to the logits, an array of their shape. Unit 13
# trains with it.


# %%
def bce_gradient(logits, targets):
    """(s(x) - t) / N for logits x and targets t, arrays of one shape with N elements."""
    # <blank>
    p = np.exp(-np.logaddexp(0, -logits))  # 1 / (1 + e^-x), without overflow
    return (p - targets) / logits.size
    # </blank>


bce_gradient = course.check_bce_gradient(bce_gradient)

# %% [markdown]
# Would another loss do? The squared error $(s(x) - t)^2$ is small for good answers as well. Its derivative, by the
# chain rule, is $2 (s(x) - t)\, s(x) (1 - s(x))$.
#
# **Predict:** a face has the label 0 and gets the logit 8, so the answer is very wrong. Which of the two losses has the
# larger slope there?

# %%
x = np.linspace(-10, 10, 401)
s = 1 / (1 + np.exp(-x))
losses = {"cross-entropy": np.array([bce_with_logits(z, 0.0 * z) for z in x[:, None]]), "squared": s**2}
slopes = {"cross-entropy": bce_gradient(x, 0.0 * x) * x.size, "squared": 2 * s * s * (1 - s)}
left, right = plots.panels(2)
plots.curves(x, losses, ["model", "mistake"], axes=left, title="loss for label 0", xlabel="logit x", ylim=(0, 5))
plots.curves(x, slopes, ["model", "mistake"], axes=right, title="slope", xlabel="logit x")

# %% [markdown]
# The slope of the cross-entropy approaches 1 for a wrong answer and 0 for a right one. That of the squared error is
# almost 0 for both: a network that is very wrong would hardly learn.
#
# ## 4. Softmax turns logits into probabilities of several classes
#
# A **class** is one of the possible answers, such as child, adult, old. For $K$ classes the network outputs $K$ logits,
# and **softmax** turns them into probabilities: positive numbers with the sum 1.
#
# $$ p_k = \frac{e^{x_k}}{\sum_j e^{x_j}} $$
#
# The loss of a sample is $-\log p$ of its own class, as before: the **cross-entropy**. For a sample of class $k$,
#
# $$ -\log p_k = \log \sum_j e^{x_j} - x_k $$
#
# so all we need is the logarithm of a sum of exponentials. $e^{10000}$ is too large for float64, but we can factor out
# the largest exponential:
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

# %% [markdown]
# Since $\log p_k = x_k - \log \sum_j e^{x_j}$, softmax is `np.exp(x - log_sum_exp(x))`.
#
# **Predict:** the logits 2, 1, -1 give the first picture. What changes if 9999 is added to all of them? If all are
# divided by 5, or multiplied by 5?

# %%
CLASSES = "child", "adult", "old"
logits = np.array([2.0, 1.0, -1.0])
for axes, x in zip(plots.panels(4, 1.9, share="y"), (logits, logits + 9999, logits / 5, logits * 5), strict=True):
    axes.bar(CLASSES, np.exp(x - log_sum_exp(x)), color=style.colour("model"))
    axes.set(title=", ".join(f"{z:g}" for z in x), ylim=(0, 1))
axes.figure

# %% [markdown]
# A constant added to all logits changes nothing: only their differences count. Larger differences make the network more
# certain.
#
# ## 5. The gradient for several classes is again the answer minus the truth
#
# The derivative of $\log \sum_j e^{x_j}$ with respect to $x_i$ is $e^{x_i} / \sum_j e^{x_j} = p_i$. The derivative of
# $-x_k$ is -1 for the sample's own class, $i = k$, and 0 for the others. Let $y$ be the **one-hot** vector of the
# class: 1 at $k$, 0 elsewhere. Then the gradient of the cross-entropy is $p - y$.
#
# **Exercise.** Write the gradient of the *mean* loss over the $N$ rows of a batch: $(p - y) / N$. Again, the logits
# may be large.


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

# %% [markdown]
# Three samples: a child and an adult with the same logits, and an old person whom the network takes for a child. The
# bars are $p - y$.

# %%
batch, own = np.array([[2.0, 1.0, -1.0], [2.0, 1.0, -1.0], [8.0, 1.0, -1.0]]), np.array([0, 1, 2])
gradients = cross_entropy_gradient(batch, own) * 3
for axes, dx, x, k in zip(plots.panels(3, 2.2, share="y"), gradients, batch, own, strict=True):
    axes.bar(CLASSES, dx, color=style.colour("gradient"))
    axes.axhline(0, color=style.colour("data"), lw=0.8)
    axes.set(title=f"is {CLASSES[k]}: loss {log_sum_exp(x) - x[k]:.2f}", ylim=(-1.05, 1.05))
axes.figure

# %% [markdown]
# A step of gradient descent goes against these bars: the logit of the own class grows, the others fall. In each picture
# the bars add up to 0, as $p$ and $y$ both have the sum 1.
#
# ## 6. Your classifier
#
# You have all that a classifier needs. Three classes of age: under 18, 18 to 59, 60 and older. Each face is averaged to
# 16 x 16 pixels, so it is a row of 256 numbers, and one layer gives the logits: `x @ w + b`, with `w` (256, 3) and `b`
# (3,). Let `dlogits` be the gradient of the loss with respect to the logits. Then that of the weights is
# `x.T @ dlogits`, and that of the biases is the sum of `dlogits` over the samples (unit 4).
#
# We train on 1000 faces. The other 500 are **held out**: the network never sees them in training, so they show what it
# does with new faces. The **accuracy** is the share of faces whose largest logit is that of their class. It means
# nothing without a baseline, the accuracy of an answer without a network: always the most frequent class.

# %%
step = course.mine("step")
groups = np.digitize(ages, [18, 60])  # 0, 1 or 2
faces = F.avg_pool2d(md.tensor(pixels), 8).numpy().reshape(1500, 256).astype(np.float64)
faces -= faces[:1000].mean(axis=0)  # each pixel as its difference from the mean face
learned, held_out = slice(1000), slice(1000, None)


def mean_loss(w, b, part):
    """The mean cross-entropy of the classifier."""
    logits = faces[part] @ w + b
    return np.mean([log_sum_exp(x) - x[k] for x, k in zip(logits, groups[part], strict=True)])


def accuracy(w, b, part):
    """The share of right answers."""
    return np.mean((faces[part] @ w + b).argmax(axis=1) == groups[part])


# %% [markdown]
# **Predict:** before the first step all weights are 0, so all logits are 0. What is the loss? (You need no computer.)

# %%
w, b = np.zeros((256, 3)), np.zeros(3)
steps, losses, accuracies = range(0, 401, 10), {"learned": [], "held out": []}, {"learned": [], "held out": []}
for number in range(401):
    if number in steps:
        for name, part in (("learned", learned), ("held out", held_out)):
            losses[name].append(mean_loss(w, b, part))
            accuracies[name].append(accuracy(w, b, part))
    dlogits = cross_entropy_gradient(faces[learned] @ w + b, groups[learned])
    w, b = step(w, faces[learned].T @ dlogits, lr=1.0), step(b, dlogits.sum(axis=0), lr=1.0)

baseline = np.mean(groups[held_out] == np.bincount(groups[learned]).argmax())
print(f"loss at first {losses['learned'][0]:.4f}, at the end {losses['learned'][-1]:.4f}")
print(f"accuracy on held-out faces {accuracies['held out'][-1]:.0%}, baseline {baseline:.0%}")
accuracies["baseline"] = [baseline] * len(steps)
left, right = plots.panels(2)
plots.curves(steps, losses, ["training", "validation"], axes=left, title="loss", xlabel="step")
kinds = ["training", "validation", "reference"]
plots.curves(steps, accuracies, kinds, axes=right, title="accuracy", xlabel="step", ylim=(0.5, 1))

# %% [markdown]
# The first loss is $\log 3$: each class has the probability 1/3. At the end the classifier is far better than the
# baseline, also on faces that it has never seen. On those it has learned it is a little better still; unit 9 is about
# this difference.
#
# The weights of a class are an image of 16 x 16 numbers. A logit is the sum of pixels times weights. So a pixel that is
# brighter than in the mean face raises the logit where the weight is red (positive), and lowers it where it is blue:

# %%
largest = np.abs(w).max()
plots.images(w.T.reshape(3, 16, 16), CLASSES, columns=3, size=2, signed=True, limits=(-largest, largest))

# %% [markdown]
# Two held-out faces of each class, with the answer of your classifier and its probability:

# %%
shown = 1000 + np.concatenate([np.flatnonzero(groups[held_out] == k)[:2] for k in range(3)])
logits = faces[shown] @ w + b
answers = [f"{CLASSES[x.argmax()]}, {np.exp(x.max() - log_sum_exp(x)):.0%}" for x in logits]
plots.images(pixels[shown], [f"{age:.0f} years:\n{answer}" for age, answer in zip(ages[shown], answers, strict=True)])

# %% [markdown]
# ## 7. For numbers: L1, L2 or Huber
#
# An age is not right or wrong, but near or far. Let $d$ be the prediction minus the true age.
#
# - **L1**, $|d|$: the error in years. Its slope is 1 or -1, so every sample pulls equally hard, however far off it is.
# - **L2**, $d^2$, the squared error: its slope is $2d$, so a sample pulls harder the farther off it is.
# - **Huber**, $d^2 / 2$ for $|d|$ up to a limit $\delta$ that you choose, and $\delta (|d| - \delta / 2)$ beyond: like
#   L2 for small errors, like L1 for large ones.
#
# **Exercise.** Write the gradient of the mean of $|d|$ over $N$ predictions. At $d = 0$ there is no derivative; as in
# minidl, use 0 there. Unit 13 trains with it.


# %%
def l1_gradient(predictions, targets):
    """The gradient of the mean of |predictions - targets| with respect to the predictions, arrays of one shape."""
    # <blank>
    return np.sign(predictions - targets) / predictions.size
    # </blank>


l1_gradient = course.check_l1_gradient(l1_gradient)

# %% [markdown]
# What does each loss want? The simplest model answers the same age for all faces, and gradient descent finds the best
# one. The gradient of this single number is the sum over the samples, as it is used for all of them. Then the same with
# 10 of the 300 ages mistyped, with a 0 too many.
#
# **Predict:** with which of the two losses, L1 or L2, do the mistyped ages move the answer further?

# %%
typed = ages[:300].copy()
typed[:10] *= 10


def best_answer(gradient, targets, lr):
    """The answers of 400 steps of gradient descent, from 0."""
    answer, found = 0.0, []
    for _ in range(400):
        answer = step(answer, gradient(np.full(300, answer), targets).sum(), lr)
        found.append(answer)
    return found


ways = {}
for name, targets in (("ages", ages[:300]), ("10 mistyped", typed)):
    ways[f"L1, {name}"] = best_answer(l1_gradient, targets, 0.5)
    ways[f"L2, {name}"] = best_answer(lambda p, t: 2 * (p - t) / p.size, targets, 0.01)
    print(f"{name}: median {np.median(targets):.1f}, mean {targets.mean():.1f}")
    print("  found by", ", ".join(f"{way}: {found[-1]:.1f}" for way, found in ways.items() if name in way))
plots.curves(
    range(400), ways, [style.BLUE, style.SKY, style.VERMILION, style.ORANGE], xlabel="step", ylabel="answer (years)"
)

# %% [markdown]
# L1 finds the **median**, the middle one of the sorted ages: there, as many samples pull up as down, and it does not
# matter how far away they are. L2 finds the **mean**, where the differences add up to 0, and a few wrong labels move it
# far.
#
# So use L1 if the error in years is what counts or if some labels may be wrong, and L2 if a large error is much worse
# than several small ones. Huber is smooth near 0 like L2, and the mistyped ages move it little, too:

# %%
answers = np.linspace(0, 100, 1001)
best = {}
for name, loss in (("L1", F.l1_loss), ("Huber", lambda a, b: F.huber_loss(a, b, delta=5.0)), ("L2", F.mse_loss)):
    for what, targets in (("ages", ages[:300]), ("10 mistyped", typed)):
        best[f"{name}, {what}"] = answers[
            np.argmin([loss(md.tensor(np.full(300, a)), targets).item() for a in answers])
        ]
plots.bars(best, ["model", "mistake"] * 3, "{:.1f}", xlabel="best answer for all faces (years)")

# %% [markdown]
# ## 8. Check a gradient by differences
#
# Is a gradient right that somebody has derived by hand? A derivative says how much $f$ changes when one number changes
# a little. So change it a little, and look:
#
# $$ \frac{\partial f}{\partial x_i} \approx \frac{f(x + h e_i) - f(x - h e_i)}{2 h} $$
#
# where $e_i$ is 1 at element $i$ and 0 elsewhere. This uses neither a graph nor the chain rule, so it can judge those
# that do. It takes two evaluations of $f$ *for each element*, so it is too slow to train with.
#
# **Exercise.** Write it, for `x` of any shape. `np.ndindex(x.shape)` counts through the indices. Leave `x` unchanged.


# %%
def numerical_gradient(f, x, h):
    """The derivative of f, a function from an array to a number, with respect to each element of x."""
    # <blank>
    slopes = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[index] = h
        slopes[index] = (f(x + step) - f(x - step)) / (2 * h)
    return slopes
    # </blank>


numerical_gradient = course.check_numerical_gradient(numerical_gradient)

# %% [markdown]
# Now it judges your own work: first the gradients of sections 3 and 7, then that of your classifier with respect to
# all 768 weights, on 20 faces.

# %%
x, t, few = rng.normal(size=5), rng.integers(0, 2, 5) * 1.0, slice(20)
by_differences = numerical_gradient(lambda x: bce_with_logits(x, t), x, 1e-5)
print(f"binary cross-entropy: largest difference {np.abs(by_differences - bce_gradient(x, t)).max():.0e}")
by_differences = numerical_gradient(lambda x: np.abs(x - t).mean(), x, 1e-5)
print(f"L1:                   largest difference {np.abs(by_differences - l1_gradient(x, t)).max():.0e}")

by_differences = numerical_gradient(lambda w: mean_loss(w, b, few), w, 1e-5)
by_formula = faces[few].T @ cross_entropy_gradient(faces[few] @ w + b, groups[few])
print(f"your classifier:      largest difference {np.abs(by_differences - by_formula).max():.0e}")
shown, largest = [by_differences[:, 0], by_formula[:, 0]], np.abs(by_formula).max()
titles = ["by 1536 losses", "by your formula"]
plots.images([g.reshape(16, 16) for g in shown], titles, columns=2, size=2, signed=True, limits=(-largest, largest))

# %% [markdown]
# The pictures show the gradient with respect to the weights of the class "child", by both methods. They cannot be told
# apart.
#
# ## 9. The best step is neither large nor tiny
#
# The difference quotient is inexact for two reasons.
#
# - It is the mean slope between the two points, not the slope at $x$. For small $h$ this **truncation error** is about
#   proportional to $h^2$. If only one side is used, $(f(x + h) - f(x)) / h$, it is proportional to $h$.
# - $f$ is rounded. The difference of two nearly equal numbers has few correct digits, and dividing by $h$ enlarges the
#   error. This **rounding error** is about $\epsilon / h$, where $\epsilon$ is the relative spacing of the floats:
#   $2 \cdot 10^{-16}$ in float64, $10^{-7}$ in float32.
#
# We measure the whole error for the loss $\log(1 + e^x)$ at $x = 1$, whose slope $s(1)$ we know: with one side, with
# two sides, and with two sides in float32.
#
# **Predict:** which of the three gets lowest, and near which $h$? (Where is $h^2 = \epsilon / h$?)

# %%
steps = np.logspace(-13, 0, 100)
slope = 1 / (1 + np.exp(-1.0))


def error(dtype, sides):
    """The error of the slope at 1 for each step."""
    h, one = steps.astype(dtype), dtype(1)
    below = one - h if sides == 2 else one + 0 * h
    rise = np.logaddexp(dtype(0), one + h) - np.logaddexp(dtype(0), below)
    return np.abs(rise / (sides * h) - slope)


bend = slope * (1 - slope) * (2 * slope - 1) / 6  # a sixth of the third derivative, without its sign
axes = plots.panels(1, 3.2)[0]
axes.loglog(steps, bend * steps**2, "--", color=style.colour("data"), label="truncation, two sides")
axes.loglog(
    steps, np.finfo(np.float64).eps / steps, ":", color=style.colour("data"), label="rounding, float64: eps / h"
)
errors = {
    "one side": error(np.float64, 1),
    "two sides": error(np.float64, 2),
    "two sides, float32": error(np.float32, 2),
}
plots.curves(
    steps,
    errors,
    ["mistake", "model", "reference"],
    ".",
    log="xy",
    axes=axes,
    xlabel="step h",
    ylabel="error",
    ylim=(1e-19, 30),
)

# %% [markdown]
# With two sides the error is smallest near the crossing of the two lines. For most functions this is at an $h$ of the
# order of $\epsilon^{1/3}$: about $10^{-5}$ in float64, where ten digits or more are correct. In float32 only four or
# five are. So check gradients in float64.
#
# ## 10. gradcheck does all this for you
#
# `gradcheck` of minidl computes in float64. It combines the differences of steps $h$ and $h/2$ so that the $h^2$ part
# of the truncation error cancels (Richardson extrapolation). If a function has many outputs it checks random sums of
# them. For all losses of this unit:

# %%
a, c = rng.normal(size=(8, 3)), rng.normal(size=(8, 3))
targets, own = rng.integers(0, 2, (8, 3)).astype(np.float64), rng.integers(0, 3, 8)
checks = {
    "binary cross-entropy": gradcheck(lambda x: F.binary_cross_entropy_with_logits(x, targets), a),
    "softmax cross-entropy": gradcheck(lambda x: F.softmax_cross_entropy(x, own), a),
    "L1": gradcheck(F.l1_loss, a, c),
    "L2": gradcheck(F.mse_loss, a, c),
    "Huber": gradcheck(F.huber_loss, a, c),
}
worst = [max(check.worst, 1e-17) for check in checks.values()]

axes = plots.panels(1, 2.2)[0]
axes.plot(worst, list(checks), "o", color=style.colour("model"))
axes.axvline(1e-8, color=style.colour("mistake"), ls=":", label="the largest that gradcheck accepts")
axes.set(xscale="log", xlabel="worst error, relative to the largest derivative", ylim=(4.5, -1.5))
axes.legend().figure

# %% [markdown]
# What does it say of a gradient that is wrong? Here are two common mistakes, made on purpose:


# %%
class ForgotTheMean(ops.BinaryCrossEntropyWithLogits):
    """The gradient of the sum instead of that of the mean."""

    def backward(self, dy):
        return super().backward(dy)[0] * self.saved[0].size, None


class ForgotTheLabel(ops.SoftmaxCrossEntropy):
    """p instead of p - y."""

    def backward(self, dy):
        log_p, _ = self.saved
        return (np.exp(log_p) * (dy / len(log_p)),)


for call in (lambda x: ForgotTheMean.apply(x, targets), lambda x: ForgotTheLabel.apply(x, labels=own)):
    try:
        gradcheck(call, a)
    except GradientError as problem:
        print(problem)

# %% [markdown]
# It recognises the first mistake by its constant factor. Of the second it counts what is right: of the 24 numbers, the
# 16 of the two other classes. The cause that it suggests is a guess from this count, and here a wrong one.
#
# L1 has a **kink** at 0, a point without a derivative. A difference across it gives some number, but not one to compare
# with. `gradcheck` notices kinks and leaves them out:

# %%
print(gradcheck(F.l1_loss, np.array([1.0, 2.0, 3.0]), np.array([1.0, 5.0, 0.0])))

# %% [markdown]
# ## Questions
#
# 1. A network answers $p = 0.99$ for each of 100 faces with label 1, and is right. For one more face, of label 0, it
#    answers 0.99 as well. What contributes more to the sum of the losses, the 100 faces or the one?
#
# <details><summary>Answer</summary>The one: it adds -log 0.01 = 4.6, the hundred add 100 times -log 0.99 = 0.01, which
# is 1.0. To be certain and wrong is expensive.</details>
#
# 2. A classifier gives the logits 3, 1, 0. You replace them by 0, -2, -3. What happens to the probabilities, to the
#    loss and to the gradient?
#
# <details><summary>Answer</summary>Nothing: 3 was subtracted from all, and softmax depends on the differences
# only.</details>
#
# 3. You compute (f(1 + h) - f(1)) / h in float32 with h = 1e-8 and get exactly 0, for a function whose slope at 1 is
#    not 0. Why?
#
# <details><summary>Answer</summary>Near 1 the floats of 32 bits are about 1e-7 apart, so 1 + h is rounded to 1, and the
# difference is 0.</details>
#
# ## Now read the real thing
#
# `minidl/ops/loss.py` has all losses of this unit. The arithmetic is in kernels, functions of which each device has its
# own version. Compare your gradient with the simplest version. `self.xp` is NumPy here, and `saved` is what the forward
# pass kept:

# %%
print(inspect.getsource(ReferenceKernels.softmax_cross_entropy_backward))

# %% [markdown]
# Further reading:
#
# - C. Bishop, *Pattern Recognition and Machine Learning*, 2006, sections 4.3.2 and 4.3.4: the cross-entropy for two and
#   for several classes, with its gradients.
# - I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, 2016, section 4.1 (overflow, and softmax) and section
#   6.2.2 (which output goes with which loss).
# - P. Huber, "Robust Estimation of a Location Parameter", *Annals of Mathematical Statistics*, 1964: his loss.
# - W. Press et al., *Numerical Recipes*, 3rd edition, 2007, section 5.7: numerical derivatives, their step, and
#   extrapolation.
#
# The next unit, `06_optimizers`, makes better use of a gradient than `step` does.
