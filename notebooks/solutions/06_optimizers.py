# %% [markdown]
# # 6. Optimizers
#
# The gradient says which direction goes down. It does not say how far to go, and straight down is seldom the way to the
# lowest point. An optimizer turns gradients into steps. In this unit you write momentum and Adam, two of the most used.
# You watch them on surfaces that you can see. Then you train the classifier of unit 5 with them: in ten passes through
# the faces it gets further than with plain gradient descent.
#
# **You will be able to**
#
# - say what limits the learning rate, and why a valley is slow;
# - write momentum and Adam, and explain every term of them;
# - train with batches, and lower the learning rate by a schedule;
# - stop a single large gradient from ruining a training;
# - recognise overfitting, and end a training at the right epoch.
#
# **Prior knowledge:** units 2 (gradient descent) and 5 (the classifier of three ages, whose gradient is used here).
# **Time:** about 100 minutes, in two sittings: sections 1 to 4, then 5 to 8.

# %%
import inspect

import numpy as np

import minidl as md
from agegender import data
from minidl import callbacks, course, nn, optim
from minidl.course import plots, style
from minidl.data import ArrayDataset, DataLoader
from minidl.kernels.reference import ReferenceKernels
from minidl.train import Trainer

style.use()
F = nn.functional
step = course.mine("step")
cross_entropy_gradient = course.mine("cross_entropy_gradient")

# %% [markdown]
# ## 1. The steepest direction limits the learning rate
#
# A loss with two weights $a$ and $b$ is a landscape. Ours is a valley with its lowest point at (0, 0). It bends 25
# times as much across, along $b$, as along $a$:
#
# $$ L(a, b) = \tfrac{1}{2} (a^2 + 25\, b^2) $$
#
# Its gradient is $(a, 25\, b)$. Gradient descent makes the step $w \leftarrow w - \text{lr} \cdot dw$ with your `step`
# of unit 2. It starts at the cross. The lines connect points of equal loss.
#
# **Predict:** a learning rate of 0.01 is safe. Is 0.07 better? Is 0.081?


# %%
BENDS = np.array([1.0, 25.0])
START = np.array([-10.0, 1.5])
VALLEY = (-11.0, 4.0, -3.0, 3.0)


def valley(a, b):
    """The loss."""
    return (a**2 + 25 * b**2) / 2


def valley_gradient(w):
    """Its gradient."""
    return BENDS * w


def descend(lr, steps):
    """The path of plain gradient descent, (steps + 1, 2)."""
    path = [START]
    for _ in range(steps):
        path.append(step(path[-1], valley_gradient(path[-1]), lr))
    return np.array(path)


panels = plots.panels(3, 2.2, share="y")
for axes, lr in zip(panels, (0.01, 0.07, 0.081), strict=True):
    plots.landscape(valley, {"": descend(lr, 25)}, VALLEY, ["model"], axes=axes, xlabel="a", title=f"lr {lr}, 25 steps")
panels[0].set_ylabel("b")
axes.figure

# %% [markdown]
# A step multiplies $a$ by $1 - \text{lr}$ and $b$ by $1 - 25\,\text{lr}$. A direction shrinks if the absolute value of
# its factor is below 1, the faster the nearer it is to 0:

# %%
rates = np.linspace(0, 0.09, 200)
factors = {"along a": np.abs(1 - rates), "along b": np.abs(1 - 25 * rates)}
plots.curves(rates, factors, ["model", "mistake"], xlabel="learning rate", ylabel="|factor| of a step", ylim=(0, 1.3))

# %% [markdown]
# For $b$ the factor is below -1 if $25\,\text{lr} > 2$. Then $b$ changes its sign and grows with every step: it
# **diverges**. So the steepest direction sets the limit, here 0.08. And the flat direction sets the time: even just
# below the limit, a step takes only 8 % off $a$. The slowness comes from the ratio of the two, here 25, which is called
# the **condition number** of the surface. The losses of networks have this problem, too (Goodfellow et al., 2016,
# section 8.2.1).
#
# ## 2. Momentum adds up the gradients that agree
#
# Give the moving point a **velocity** $v$. Each step keeps a share of the old velocity, the **momentum**, usually 0.9,
# and adds the gradient (Polyak, 1964):
#
# $$ v \leftarrow \text{momentum} \cdot v + dw, \qquad w \leftarrow w - \text{lr} \cdot v $$
#
# If the gradient is the same in every step, the velocity grows to $dw \, (1 + 0.9 + 0.9^2 + \dots) = 10\, dw$. If its
# sign alternates, the contributions nearly cancel.
#
# **Exercise.** Write a step.


# %%
def momentum_step(w, dw, v, lr, momentum):
    """The new w and v."""
    # <blank>
    v = momentum * v + dw
    return w - lr * v, v
    # </blank>


momentum_step = course.check_momentum_step(momentum_step)

# %% [markdown]
# **Predict:** with the learning rate 0.02, is a momentum of 0.6 better than none? Is 0.9 better still?


# %%
def roll(momentum, steps=60):
    """The path with momentum, at the learning rate 0.02."""
    path, v = [START], np.zeros(2)
    for _ in range(steps):
        w, v = momentum_step(path[-1], valley_gradient(path[-1]), v, 0.02, momentum)
        path.append(w)
    return np.array(path)


paths = {f"momentum {momentum}": roll(momentum) for momentum in (0.0, 0.6, 0.9)}
left, right = plots.panels(2)
shown = {name: paths[name] for name in ("momentum 0.6", "momentum 0.9")}
plots.landscape(valley, shown, VALLEY, [style.BLUE, style.ORANGE], axes=left, xlabel="a", ylabel="b")
losses = {name: valley(*path.T) for name, path in paths.items()}
plots.curves(
    range(61), losses, ["reference", style.BLUE, style.ORANGE], log="y", axes=right, xlabel="step", title="loss"
)

# %% [markdown]
# Momentum is faster, but more is not always better: with 0.9 the point is ahead at first, then rolls beyond the lowest
# point and has to come back, again and again, so that it is ahead and behind in turn. The method of **Nesterov** brakes
# earlier. It steps by $dw + \text{momentum} \cdot v$ with the new $v$, so it already takes into account where the
# velocity will carry it (Sutskever et al., 2013). In minidl: `optim.SGD(parameters, lr, momentum=0.9, nesterov=True)`.
#
# ## 3. Adam measures each direction with its own scale
#
# Why use one learning rate for all weights, if the directions are so different? **Adam** (Kingma and Ba, 2015) keeps
# two **running means** for each weight, of the gradient and of its square:
#
# $$ m \leftarrow \beta_1 m + (1 - \beta_1)\, dw, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, dw^2 $$
#
# ($dw^2$ is the square of each element. This $v$ is not the velocity of section 2; both names are usual.) Adam steps by
# $m / \sqrt{v}$, the mean gradient divided by its usual size. Usual values are $\beta_1 = 0.9$, so that $m$ is a mean
# of about the last 10 gradients, and $\beta_2 = 0.999$, of about the last 1000.
#
# Both means start at 0, so at first they are too small. After $t$ steps with equal gradients, $m$ is $(1 - \beta_1^t)\,
# dw$ instead of $dw$. This error is called the **bias**, and dividing by $1 - \beta^t$
# removes it:
#
# $$ \hat m = \frac{m}{1 - \beta_1^t}, \quad \hat v = \frac{v}{1 - \beta_2^t}, \qquad
# w \leftarrow w - \text{lr}\, \frac{\hat m}{\sqrt{\hat v} + \epsilon} $$
#
# The tiny $\epsilon$ prevents a division by 0.
#
# **Exercise.** Write a step. Steps are counted from $t = 1$. Return $m$ and $v$ as they are, with their bias.


# %%
def adam_step(w, dw, m, v, t, lr, beta1, beta2, eps):
    """The new w, m and v."""
    # <blank>
    m = beta1 * m + (1 - beta1) * dw
    v = beta2 * v + (1 - beta2) * dw * dw
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v
    # </blank>


adam_step = course.check_adam_step(adam_step)

# %% [markdown]
# **Predict:** at the start the gradient is (-10, 37.5). How long is the first step of Adam in each direction, with the
# learning rate 0.5?


# %%
def adam_path(steps, late=0):
    """The path of Adam; `late` counts the steps from a later one, where no bias is left to remove."""
    path, m, v = [START], np.zeros(2), np.zeros(2)
    for t in range(1, steps + 1):
        w, m, v = adam_step(path[-1], valley_gradient(path[-1]), m, v, t + late, 0.5, 0.9, 0.999, 1e-8)
        path.append(w)
    return np.array(path)


path, biased = adam_path(40), adam_path(40, late=10**6)
print(f"the first step: {path[1] - path[0]}; with the bias left in: {biased[1] - biased[0]}")
left, right = plots.panels(2)
plots.landscape(valley, {"": path}, VALLEY, ["model"], axes=left, xlabel="a", ylabel="b", title="Adam, 40 steps")
lengths = {"bias removed": path, "bias left in": biased}
lengths = {name: np.abs(np.diff(steps[:21, 0])) for name, steps in lengths.items()}
plots.curves(range(1, 21), lengths, ["model", "mistake"], ".-", axes=right, xlabel="step", title="length along a")

# %% [markdown]
# The first step has the length of the learning rate in *both* directions, although one gradient is almost four times
# the other: at $t = 1$, $\hat m / \sqrt{\hat v}$ is $dw / |dw|$. So the learning rate of Adam is a length, and one
# value suits many networks; the paper proposes 0.001. With the bias left in, the first step is about three times as
# long ($0.1 / \sqrt{0.001} = 3.2$), and the next ones are even longer.
#
# ## 4. A bent valley: no method wins everywhere
#
# The function of Rosenbrock (1960), here with the factor 20 instead of his 100, is a valley with a bend:
#
# $$ L(a, b) = (1 - a)^2 + 20\, (b - a^2)^2 $$
#
# The descent into the valley is easy. The way along it, to the lowest point at (1, 1), the star in the pictures, is
# not. We try nine learning rates for each method, and keep the one with the lowest loss after 500 steps. So that all
# methods are called alike, each is a function of the weights, the gradient, its own state (such as a velocity), the
# number of the step and the learning rate:


# %%
def sgd(w, dw, state, t, lr):
    """Plain gradient descent; it has no state."""
    return step(w, dw, lr), None


def momentum(w, dw, state, t, lr):
    """Momentum; the state is v."""
    v = 0 * w if t == 1 else state
    return momentum_step(w, dw, v, lr, 0.9)


def nesterov(w, dw, state, t, lr):
    """Nesterov's method; the state is v."""
    v = dw if t == 1 else 0.9 * state + dw
    return step(w, dw + 0.9 * v, lr), v


def adam(w, dw, state, t, lr):
    """Adam; the state is m and v."""
    m, v = (0 * w, 0 * w) if t == 1 else state
    w, m, v = adam_step(w, dw, m, v, t, lr, 0.9, 0.999, 1e-8)
    return w, (m, v)


# %% [markdown]
# **Predict:** along the valley the gradient is small and keeps nearly the same direction. Which of the four methods
# gets least far along it?


# %%
def rosenbrock(a, b):
    """The bent valley."""
    return (1 - a) ** 2 + 20 * (b - a * a) ** 2


def rosenbrock_gradient(w):
    """Its gradient."""
    a, b = w
    return np.array([2 * (a - 1) - 80 * a * (b - a * a), 40 * (b - a * a)])


def walk(method, lr, steps=500):
    """The path of a method; it ends early if it diverges."""
    path, state = [np.array([-1.4, 1.6])], None
    for t in range(1, steps + 1):
        w, state = method(path[-1], rosenbrock_gradient(path[-1]), state, t, lr)
        if np.abs(w).max() > 100:
            break
        path.append(w)
    return np.array(path)


best = {}
for name, method in (("plain", sgd), ("momentum", momentum), ("Nesterov", nesterov), ("Adam", adam)):
    found = [(lr, walk(method, lr)) for lr in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)]
    lr, path = min((pair for pair in found if len(pair[1]) == 501), key=lambda pair: rosenbrock(*pair[1][-1]))
    best[f"{name}, lr {lr}"] = path
    print(f"{name}: best with lr {lr}, loss at the end {rosenbrock(*path[-1]):.0e}")
losses = {name: np.maximum(rosenbrock(*path.T), 1e-30) for name, path in best.items()}
plots.curves(range(501), losses, log="y", xlabel="step", ylabel="loss")

# %%
panels = plots.panels(4, 2.2, share="y")
for axes, (name, path) in zip(panels, best.items(), strict=True):
    title = name.replace(", ", "\n")
    plots.landscape(rosenbrock, {name: path}, (-1.8, 1.6, -1.2, 2.2), ["model"], axes=axes, title=title, xlabel="a")
    axes.plot(1, 1, "*", color=style.colour("mistake"), ms=9)
panels[0].set_ylabel("b")
axes.figure

# %% [markdown]
# Plain gradient descent creeps along the valley and does not arrive. The others come far closer, by different paths.
# Which one wins depends on the surface, the start and the number of steps: try another start.
#
# ## 5. On the classifier: batches, epochs and the right learning rate
#
# Now a loss that matters, that of your classifier of three ages, with its 771 parameters. Until now each step used the
# gradient over all samples. For a million faces this is far too slow. The mean over a small random batch is an
# estimate of it, so a step costs little, and there can be many. This is **stochastic gradient descent**, SGD. One pass
# through all samples is an epoch: with 1000 faces and batches of 50 it has 20 steps.

# %%
pixels, labels = data.drawn(1500).batch(np.arange(1500))
small = F.avg_pool2d(md.tensor(pixels), 8).numpy().reshape(1500, 256) - 0.5  # 16 x 16 pixels, -0.5 to 0.5
groups = np.digitize(labels["age"][:, 0], [18, 60])  # child, adult, old
faces = small.astype(np.float64) - small[:1000].mean(axis=0)


def mean_loss(w, b):
    """The mean cross-entropy over the 1000 faces to learn from (unit 5)."""
    logits = faces[:1000] @ w + b
    return np.mean(np.logaddexp.reduce(logits, axis=1) - logits[np.arange(1000), groups[:1000]])


def train(method, schedule, epochs, size):
    """The loss before training and after each epoch; schedule(t) is the learning rate of step t, from 0."""
    random = np.random.default_rng(0)
    weights, states, t = [np.zeros((256, 3)), np.zeros(3)], [None, None], 0
    losses = [mean_loss(*weights)]
    for _ in range(epochs):
        for batch in random.permutation(1000).reshape(-1, size):
            dlogits = cross_entropy_gradient(faces[batch] @ weights[0] + weights[1], groups[batch])
            lr, t = schedule(t), t + 1
            for i, dw in enumerate((faces[batch].T @ dlogits, dlogits.sum(axis=0))):
                weights[i], states[i] = method(weights[i], dw, states[i], t, lr)
        losses.append(mean_loss(*weights))
    return losses


# %% [markdown]
# We train for 10 epochs with each of seven learning rates, and draw the loss at the end.
#
# **Predict:** at small learning rates, how far apart are the curves of plain SGD and of momentum?

# %%
rates = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]
ends = {
    name: [train(method, optim.constant(lr), epochs=10, size=50)[-1] for lr in rates]
    for name, method in (("plain SGD", sgd), ("momentum", momentum), ("Adam", adam))
}
for name, losses in ends.items():
    print(f"{name}: lowest loss {min(losses):.3f}, with the learning rate {rates[np.argmin(losses)]}")
plots.curves(rates, ends, marks="o-", log="x", xlabel="learning rate", ylabel="loss after 10 epochs", ylim=(0.25, 1.1))

# %% [markdown]
# At small rates the curve of momentum is that of plain SGD, moved to the left by a factor of about ten: gradients that
# agree add up to ten times the step. Adam gets lowest, with a rate of its own. For each method there is a range of good
# learning rates, and the first thing to tune in any training is this one number.
#
# ## 6. Schedules: long steps first, short steps at the end
#
# The gradient of a batch differs from that of all samples, by chance. Near the lowest point this noise keeps the
# weights moving around. Shorter steps move them less, but need more time to get there. So begin with long steps and
# shorten them. A **schedule** gives the learning rate of each step. minidl has three besides the constant one: stairs;
# half a cosine (Loshchilov and Hutter, 2017); and one cycle, first up, then down (Smith and Topin, 2017).
#
# Plain SGD, with a large learning rate and batches of only 10 faces, so the gradients are noisy.
#
# **Predict:** what does the loss do in the last epochs, with the constant rate and with the others?

# %%
LR, STEPS = 3.0, 2000  # 20 epochs of 100 batches
schedules = {
    "constant": optim.constant(LR),
    "stairs": optim.step(LR, every=500, factor=0.3),
    "cosine": optim.cosine(LR, STEPS),
    "one cycle": optim.one_cycle(LR, STEPS),
}
losses = {name: train(sgd, schedule, epochs=20, size=10) for name, schedule in schedules.items()}
print("loss at the end:", ", ".join(f"{name} {found[-1]:.2f}" for name, found in losses.items()))
lower = {lr: train(sgd, optim.constant(lr), epochs=20, size=10)[-1] for lr in (1.0, 0.3, 0.1)}
print("constant, but lower:", ", ".join(f"rate {lr} {end:.2f}" for lr, end in lower.items()))
left, right = plots.panels(2)
plotted = {name: [schedule(t) for t in range(STEPS)] for name, schedule in schedules.items()}
plots.curves(range(STEPS), plotted, axes=left, xlabel="step", title="learning rate", ylim=(0, 6.5))
plots.curves(range(21), losses, axes=right, xlabel="epoch", title="loss", ylim=(0, 2.5))

# %% [markdown]
# With the constant rate the loss jumps up and down to the end. With each of the others it settles, and lower. A lower
# constant rate is no substitute: either its steps are too short to get as far, or the noise keeps the weights moving.
#
# ## 7. Clipping: one large gradient must not ruin a training
#
# Where the loss has a steep wall, one gradient can throw the weights so far that nothing brings them back. **Clipping**
# limits its length. The **norm** of all gradients together is the square root of the sum of all their squares. If it is
# above a limit, all gradients are multiplied by the same factor, so that the norm becomes the limit and the direction
# stays (Pascanu, Mikolov and Bengio, 2013).
#
# **Exercise.** Write it, for a list of arrays. Leave the arrays unchanged.


# %%
def clip_by_norm(gradients, max_norm):
    """The gradients, all scaled by one factor if their common norm is more than max_norm."""
    # <blank>
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
    factor = min(1.0, max_norm / norm) if norm else 1.0
    return [gradient * factor for gradient in gradients]
    # </blank>


clip_by_norm = course.check_clip_by_norm(clip_by_norm)

# %% [markdown]
# A start high on the wall of the bent valley, with and without clipping:


# %%
def thrown(max_norm, steps):
    """The path from high up, and the norm of each gradient before it is clipped."""
    path, norms = [np.array([-1.6, -0.5])], []
    for _ in range(steps):
        dw = rosenbrock_gradient(path[-1])
        norms.append(np.sqrt((dw**2).sum()))
        path.append(step(path[-1], clip_by_norm([dw], max_norm)[0], 0.009))
    return np.array(path), norms


wild, wild_norms = thrown(1e9, 5)
calm, calm_norms = thrown(10.0, 200)
print(f"norms without clipping: {', '.join(f'{norm:.0e}' for norm in wild_norms)}")
print(f"with clipping to 10: {calm_norms[0]:.0f} at first, {calm_norms[-1]:.2f} at the end")
box = (-2.6, 3.6, -1.6, 2.8)
for axes, (name, path) in zip(
    plots.panels(2), {"not clipped, 5 steps": wild, "clipped, 200 steps": calm}.items(), strict=True
):
    colour = "mistake" if path is wild else "model"
    plots.landscape(rosenbrock, {"": path}, box, [colour], axes=axes, title=name, xlabel="a", ylabel="b")
    axes.plot(1, 1, "*", color=style.colour("data"), ms=9)
axes.figure

# %% [markdown]
# Without clipping the first step leaps across the valley and lands higher up on the other wall, the next one higher
# still. With clipping the point walks down the wall in steps of one length, until the gradient is short enough to be
# left alone. In minidl: `optim.clip_grad_norm(parameters, 1.0)`, between `backward()` and `step()`.
#
# ## 8. Overfitting, and when to stop
#
# A lower loss is not the goal. A network with enough parameters can learn the labels of a few faces by heart, and know
# nothing about others. This is **overfitting**. What we want is a low loss on *new* faces. So keep some faces aside,
# never train on them, and watch the loss there, the **validation loss**.
#
# Here a network with two hidden layers learns the ages of only 40 faces, and is asked for the ages of 200 others. The
# ages are in decades (units of ten years), and the loss is L2.
#
# **Predict:** how will the two losses go over 100 epochs?

# %%
decades = (labels["age"] / 10).astype(np.float32)


def overfit(count, watchers=()):
    """The trainer of a network after 100 epochs with the first `count` faces; validated on 200 others."""
    rng = md.Generator(1)
    layers = nn.Dense(256, 64, rng=rng), nn.ReLU(), nn.Dense(64, 64, rng=rng), nn.ReLU(), nn.Dense(64, 1, rng=rng)
    model = nn.Sequential(*layers)
    trainer = Trainer(model, F.mse_loss, optim.Adam(model.parameters(), 3e-3), callbacks=watchers)
    loader = DataLoader(ArrayDataset(small[:count], decades[:count]), 20, shuffle=True)
    trainer.fit(loader, DataLoader(ArrayDataset(small[100:300], decades[100:300]), 200), 100)
    return trainer


history = overfit(40).history
learned, validated = [row["loss"] for row in history], [row["val_loss"] for row in history]
both = {"the 40 faces": learned, "200 other faces": validated}
labelled = {"xlabel": "epoch", "ylabel": "squared error (decades²)", "ylim": (0, 12)}
plots.curves(range(100), both, ["training", "validation"], **labelled)

# %% [markdown]
# The loss on the 40 faces falls almost to 0. On the others it falls for some epochs and then rises: what the network
# learns from there on holds for these 40 alone.
#
# **Early stopping** ends a training when the validation loss has not reached a new best for some epochs, the
# **patience**, and takes the weights of the best epoch (Prechelt, 1998).
#
# **Exercise.** Write it. Go through the losses as they come, and never look ahead.


# %%
def early_stopping(losses, patience):
    """The epoch (from 0) after which training ends, and the best epoch by then, the first of equal ones."""
    # <blank>
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best]:
            best = epoch
        if epoch - best >= patience:
            break
    return epoch, best
    # </blank>


early_stopping = course.check_early_stopping(early_stopping)
end, best_epoch = early_stopping(validated, 15)
by_minidl = overfit(40, [callbacks.EarlyStopping(15)]).epoch
print(f"yours ends after {end + 1} epochs, minidl's after {by_minidl}; the best was number {best_epoch + 1}")
axes = plots.panels(1)[0]
axes.axvline(best_epoch, color=style.colour("data"), ls="--", label="best")
axes.axvline(end, color=style.colour("mistake"), ls=":", label="stop")
plots.curves(range(100), both, ["training", "validation"], axes=axes, **labelled)

# %% [markdown]
# Stopping saves what can be saved. How much do more faces help?
#
# **Predict:** which helps more, stopping at the best epoch, or 60 more faces?

# %%
counts = (40, 60, 80, 100)
runs = [[row["val_loss"] for row in overfit(count).history] for count in counts]
ends = {"after 100 epochs": [run[-1] for run in runs], "at the best epoch": [min(run) for run in runs]}
assert runs[-1][-1] < min(runs[0])
axis = {"ylabel": "squared error, 200 others", "ylim": (0, None)}
plots.curves(counts, ends, ["mistake", "validation"], "o-", xlabel="faces to learn from", **axis)

# %% [markdown]
# With 100 faces and no stopping the network is better than with 40 faces and stopping at the best epoch. This was so in
# each of eight further comparisons with other faces or other initial weights, which are not shown. What stopping saves,
# the distance between the two curves, varied much more: from almost 0 to 1.5 for 40 faces. Unit 9 is about other
# remedies.
#
# One caution: the validation faces have helped to choose the epoch, so their loss is a little too good. For the final
# figure one keeps a third part, the **test set**, that has chosen nothing.
#
# ## Questions
#
# 1. For $L(a, b) = \tfrac{1}{2} (a^2 + 100\, b^2)$, above which learning rate does plain gradient descent diverge?
#
# <details><summary>Answer</summary>Above 2 / 100 = 0.02: then the factor of b, 1 - 100 lr, is below -1.</details>
#
# 2. You forget to divide the loss by the number of samples, so all gradients are 1000 times as large. What happens to
#    the steps of plain SGD, of Adam, and of SGD with clipping, if even the right gradients were above the limit?
#
# <details><summary>Answer</summary>Those of SGD are 1000 times as long, and it will probably diverge. Those of Adam
# hardly change, as m and the root of v are both 1000 times as large. The clipped gradients have the same length and
# direction as before.</details>
#
# 3. Training is to take 7 epochs with a patience of 3, and the validation losses are 5, 4, 4.5, 4.2, 3.9, 4, 4.1. After
#    which epoch (from 0) does training end, and which is the best?
#
# <details><summary>Answer</summary>It ends as planned, after epoch 6; the best is epoch 4. The wait after epoch 1 ended
# at epoch 4, with a new best just in time.</details>
#
# ## Now read the real thing
#
# `minidl/optim.py` has all of these optimizers. SGD is one method, `update`, for one array of weights. The arithmetic
# of Adam is in the kernels, as on a GPU it is a single program for all arrays. There `unbias` corrects the bias of $v$,
# `lr` contains the correction of $m$, and `keep` is 1 except with weight decay, which unit 9 explains:

# %%
print(inspect.getsource(optim.SGD.update))
print(inspect.getsource(ReferenceKernels.adam))

# %% [markdown]
# Further reading:
#
# - G. Goh, "Why Momentum Really Works", *Distill*, 2017: section 2 of this unit with sliders, and the theory.
# - D. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", *ICLR*, 2015: algorithm 1 is your `adam_step`.
# - I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, 2016: chapter 8 (optimizers) and section 7.8 (early
#   stopping).
# - Sources of the other methods: B. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964;
#   I. Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013; H. Rosenbrock, "An
#   Automatic Method for Finding the Greatest or Least Value of a Function", 1960; I. Loshchilov and F. Hutter, "SGDR:
#   Stochastic Gradient Descent with Warm Restarts", 2017; L. Smith and N. Topin, "Super-Convergence", 2017; R. Pascanu,
#   T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks", 2013; L. Prechelt, "Early
#   Stopping - But When?", 1998.
