# %% [markdown]
# # 6. Optimizers
#
# The gradient says which way is down. It does not say how far to go, and "down" is seldom the way to the lowest point.
# This notebook walks over loss surfaces that you can see, then over those of networks:
#
# 1. **gradient descent**, and how long a step may be;
# 2. **momentum**, which remembers where it was going;
# 3. **Adam**, which measures each direction with its own ruler;
# 4. all of them in a **bent valley**;
# 5. **schedules**: long steps first, short ones at the end;
# 6. **clipping**, for gradients that explode;
# 7. **overfitting**, and stopping in time.
#
# You need notebook 2; from section 5 on, what a network is.

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

import minidl as md
from agegender import data
from minidl import callbacks, course, nn, optim
from minidl.data import ArrayDataset, DataLoader
from minidl.train import Trainer

F = nn.functional

# %% [markdown]
# ## 1. Gradient descent
#
# A loss with two weights is a landscape. Ours is a valley, 25 times as steep across as along, and its lowest point is
# at (0, 0):
#
# $$ L(a, b) = \tfrac{1}{2} (a^2 + 25\, b^2) $$
#
# A step goes against the gradient, with the learning rate as its factor: $w \leftarrow w - \text{lr} \cdot dw$. It
# starts at the cross.


# %%
CURVES = np.array([1.0, 25.0])
START = np.array([-10.0, 1.5])


def slope(w):
    """The gradient of the valley."""
    return CURVES * w


def descend(lr, steps):
    """The way of plain gradient descent, (steps + 1, 2)."""
    way = [START]
    for _ in range(steps):
        way.append(way[-1] - lr * slope(way[-1]))
    return np.array(way)


def draw(axes, way, colour="tab:red", label=None, loss=lambda a, b: (a**2 + 25 * b**2) / 2, box=(-11, 4, -3, 3)):
    """A way over the contour lines of a loss."""
    a, b = np.meshgrid(np.linspace(*box[:2], 200), np.linspace(*box[2:], 200))
    axes.contour(a, b, np.log(loss(a, b) + 0.01), levels=12, colors="tab:gray", linewidths=0.5, linestyles="solid")
    axes.plot(*way.T, ".-", color=colour, ms=4, lw=1, label=label)
    axes.plot(*way[0], "kx")
    axes.set(xlim=box[:2], ylim=box[2:])


figure, axes = plt.subplots(1, 3, figsize=(12, 2.8), layout="constrained", sharey=True)
for part, lr in zip(axes, (0.01, 0.07, 0.081), strict=True):
    way = descend(lr, 25)
    draw(part, way)
    part.set(title=f"learning rate {lr}, 25 steps", xlabel="a")
axes[0].set_ylabel("b")
plt.show()

# %% [markdown]
# A step multiplies $b$ by $1 - 25\,\text{lr}$ and $a$ by $1 - \text{lr}$. If $25\,\text{lr}$ is more than 2 the first
# factor is below -1, and $b$ swings higher with every step: the steepest direction sets the limit, here 0.08. Under it,
# the flat direction hardly moves. How long it takes depends on how *unlike* the directions are, here 25 to 1, which is
# called the condition of the surface.
#
# ## 2. Momentum
#
# Give the walker a **velocity**. Each gradient adds to it, and of the old velocity a share is kept, usually 0.9. Where
# gradients agree, step after step, they add up to ten times the speed; where they change signs, they cancel (Polyak,
# "Some methods of speeding up the convergence of iteration methods", 1964):
#
# $$ v \leftarrow \text{momentum} \cdot v + dw, \qquad w \leftarrow w - \text{lr} \cdot v $$
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


def roll(lr, momentum, steps):
    """The way with momentum."""
    way, v = [START], np.zeros(2)
    for _ in range(steps):
        w, v = momentum_step(way[-1], slope(way[-1]), v, lr, momentum)
        way.append(w)
    return np.array(way)


figure, axes = plt.subplots(1, 3, figsize=(12, 2.8), layout="constrained")
ways = {"momentum 0": descend(0.02, 60), "momentum 0.6": roll(0.02, 0.6, 60), "momentum 0.9": roll(0.02, 0.9, 60)}
for part, (name, way), colour in zip(axes, list(ways.items())[1:], ("tab:orange", "tab:red"), strict=False):
    draw(part, way, colour)
    part.set(title=f"{name}, 60 steps", xlabel="a")
for (name, way), colour in zip(ways.items(), ("tab:gray", "tab:orange", "tab:red"), strict=True):
    axes[2].semilogy((CURVES * way**2).sum(axis=1) / 2, label=name, color=colour)
axes[2].set(title="loss, learning rate 0.02", xlabel="step")
axes[2].legend(fontsize=8)
plt.show()

# %% [markdown]
# It also rolls beyond the lowest point and has to come back: too much momentum is no gain either. **Nesterov's** method
# looks ahead: it steps by $dw + \text{momentum} \cdot v$, which is about where the velocity is leading, and so brakes
# earlier (Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013). In minidl it is
# `optim.SGD(parameters, lr, momentum=0.9, nesterov=True)`; section 4 has both.
#
# ## 3. Adam
#
# Why one learning rate for all weights, if the directions are so unlike? **Adam** keeps two running means for each
# weight, of the gradient and of its square (Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015):
#
# $$ m \leftarrow \beta_1 m + (1 - \beta_1)\, dw, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, dw^2 $$
#
# and steps by $m / \sqrt{v}$: the usual gradient in units of its usual size. Both start at 0, so at first they are too
# small: after $t$ steps only the share $1 - \beta^t$ of the weight lies on gradients, the rest on that 0. Dividing by
# this share takes the **bias** away:
#
# $$ \hat m = \frac{m}{1 - \beta_1^t}, \quad \hat v = \frac{v}{1 - \beta_2^t}, \qquad
# w \leftarrow w - \text{lr}\, \frac{\hat m}{\sqrt{\hat v} + \epsilon} $$
#
# **Exercise.** Write a step. The steps are counted from $t = 1$. Give back $m$ and $v$ as they are, with their bias.


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


def adam(lr, steps, late=0):
    """Adam's way; `late` starts to count the steps later, when there is hardly a bias to take away."""
    way, m, v = [START], np.zeros(2), np.zeros(2)
    for t in range(1, steps + 1):
        w, m, v = adam_step(way[-1], slope(way[-1]), m, v, t + late, lr, 0.9, 0.999, 1e-8)
        way.append(w)
    return np.array(way)


figure, axes = plt.subplots(1, 2, figsize=(11, 2.8), layout="constrained")
way, biased = adam(0.5, 40), adam(0.5, 40, late=10**6)
draw(axes[0], way, "tab:blue")
axes[0].set(title="Adam, learning rate 0.5, 40 steps", xlabel="a", ylabel="b")
for name, path, colour in (("as it should be", way, "tab:blue"), ("with the bias left in", biased, "tab:red")):
    axes[1].plot(range(1, 21), np.abs(np.diff(path[:21, 0])), ".-", color=colour, label=name)
axes[1].set(title="length of the steps along a", xlabel="step", ylim=(0, None))
axes[1].legend(fontsize=8)
plt.show()
print(f"the first step: {way[1] - way[0]}, with the bias left in: {biased[1] - biased[0]}")

# %% [markdown]
# The first step goes by the learning rate in *both* directions, though the gradients differ by a factor of almost four:
# $m / \sqrt{v}$ is 1 at first, whatever the gradient is. So Adam's learning rate is a length (the paper's is 0.001).
# With the bias left in, the first step is about three times too long, and those that follow even more: $\sqrt{v}$
# begins with 0.03 of what it should be, $m$ with 0.1.
#
# ## 4. A bent valley
#
# Rosenbrock's function ("An Automatic Method for Finding the Greatest or Least Value of a Function", 1960), here with
# 20 in the place of 100, is a valley with a bend. Going down into it is easy; along it, to (1, 1), is not. Here are
# minidl's own optimizers, 500 steps each, with learning rates that were the best of three for each:


# %%
def rosenbrock(a, b):
    """The bent valley, of numbers, arrays or tensors."""
    return (1 - a) ** 2 + 20 * (b - a * a) ** 2


def walk(make, steps=500):
    """The way of an optimizer of minidl."""
    w = md.tensor([-1.4, 1.6], dtype=np.float64, requires_grad=True)
    optimizer, way = make([w]), []
    for _ in range(steps + 1):
        way.append(w.numpy().copy())
        optimizer.zero_grad()
        rosenbrock(w[0], w[1]).backward()
        optimizer.step()
    return np.array(way)


ways = {
    "SGD": walk(lambda p: optim.SGD(p, 0.006)),
    "momentum": walk(lambda p: optim.SGD(p, 0.003, momentum=0.9)),
    "Nesterov": walk(lambda p: optim.SGD(p, 0.003, momentum=0.9, nesterov=True)),
    "Adam": walk(lambda p: optim.Adam(p, 0.3)),
}
figure, axes = plt.subplots(1, 5, figsize=(14, 2.6), layout="constrained")
for part, (name, way), colour in zip(axes, ways.items(), ("gray", "tab:orange", "tab:red", "tab:blue"), strict=False):
    draw(part, way, colour, loss=rosenbrock, box=(-1.8, 1.6, -1.2, 2.2))
    part.plot(1, 1, "k*")
    part.set_title(name)
    axes[4].semilogy(rosenbrock(*way.T), color=colour)
axes[4].set(title="loss", xlabel="step")
plt.show()

# %% [markdown]
# Plain gradient descent creeps along the valley and does not arrive. Momentum and Adam swing from wall to wall at
# first, Nesterov's method does not; all three arrive, Adam with most digits. No method wins everywhere: on other
# surfaces, and with other learning rates, the order is another one.
#
# ## 5. Schedules
#
# In a network the loss is a mean over thousands of faces, and a step looks at a few of them, a **batch**. So every
# gradient is a little wrong, by chance, and near the lowest point the steps only shake the weights. Shorter steps shake
# less, but take longer to get there: start with long ones, and shorten them. A **schedule** gives the learning rate for
# each step. Three that minidl has: in stairs, along half a cosine (Loshchilov and Hutter, "SGDR", 2017), and first up,
# then down (one cycle: Smith and Topin, "Super-Convergence", 2018).

# %%
pixels, labels = data.drawn(300).batch(np.arange(300))
faces = F.avg_pool2d(md.tensor(pixels), 8).numpy().reshape(300, 256) - 0.5  # 16 x 16 pixels, -0.5 ... 0.5
ages = labels["age"]
LR, STEPS = 0.02, 300  # 30 epochs of 10 batches


def fit(learn, test, y, loss, lr, epochs=30, batch_size=32, watchers=()):
    """The trainer of a small network, after learning y from the faces `learn`, each epoch validated on `test`."""
    rng = md.Generator(1)
    layers = nn.Dense(256, 64, rng=rng), nn.ReLU(), nn.Dense(64, 64, rng=rng), nn.ReLU(), nn.Dense(64, 1, rng=rng)
    model = nn.Sequential(*layers)
    trainer = Trainer(model, loss, optim.Adam(model.parameters(), lr), callbacks=watchers)
    loader = DataLoader(ArrayDataset(faces[learn], y[learn]), batch_size, shuffle=True)
    trainer.fit(loader, DataLoader(ArrayDataset(faces[test], y[test]), 300), epochs)
    return trainer


everyone = slice(None)
schedules = {
    "constant": optim.constant(LR),
    "stairs": optim.step(LR, every=100, factor=0.2),
    "cosine": optim.cosine(LR, STEPS),
    "one cycle": optim.one_cycle(LR, STEPS),
}
figure, axes = plt.subplots(1, 2, figsize=(11, 3), layout="constrained")
for name, schedule in schedules.items():
    found = [row["val_loss"] for row in fit(everyone, everyone, ages, F.l1_loss, schedule).history]
    axes[0].plot([schedule(number) for number in range(STEPS)], label=name)
    axes[1].plot(range(1, 31), found, label=f"{name}: {found[-1]:.1f} at the end")
axes[0].set(title="learning rate", xlabel="step")
axes[1].set(title="mean error on the same 300 faces (years)", xlabel="epoch", ylim=(4, 20))
for part in axes:
    part.legend(fontsize=8)
plt.show()

# %% [markdown]
# With the constant rate the error jumps up and down to the end; with the others it settles, though the stairs, which
# come too early here, settle too high. The one cycle begins with short steps and is behind for a long time. Which of
# them ends lowest is partly luck: with `md.Generator(0)` in the place of 1 the order is another one.
#
# ## 6. Clipping
#
# A single wild gradient can throw the weights so far that nothing brings them back. **Clipping** shortens it: if the
# norm of all gradients together is more than a limit, all are scaled by the same factor, so that the direction stays
# (Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013).
#
# **Exercise.** Write it, for a list of arrays.


# %%
def clip_by_norm(gradients, max_norm):
    """The gradients, all scaled by one factor if their common norm is more than max_norm."""
    # <blank>
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
    factor = min(1.0, max_norm / norm) if norm else 1.0
    return [gradient * factor for gradient in gradients]
    # </blank>


clip_by_norm = course.check_clip_by_norm(clip_by_norm)


def thrown(max_norm, steps, lr=0.009):
    """The way in the bent valley from far up its wall, and the norm of each gradient, as it was before clipping."""
    way, norms = [np.array([-1.6, -0.5])], []
    for _ in range(steps):
        a, b = way[-1]
        dw = np.array([2 * (a - 1) - 80 * a * (b - a * a), 40 * (b - a * a)])
        norms.append(np.sqrt((dw**2).sum()))
        way.append(way[-1] - lr * clip_by_norm([dw], max_norm)[0])
    return np.array(way), norms


figure, axes = plt.subplots(1, 3, figsize=(12, 3), layout="constrained")
limits = {"not clipped": (1e9, 5), "clipped to 10": (10.0, 200)}
for part, (name, (limit, steps)), colour in zip(axes, limits.items(), ("tab:red", "tab:green"), strict=False):
    way, norms = thrown(limit, steps)
    draw(part, way, colour, loss=rosenbrock, box=(-2.6, 3.6, -1.6, 2.8))
    part.plot(1, 1, "k*")
    part.set(title=f"{name}: {steps} steps")
    axes[2].semilogy(norms, ".-", color=colour, label=name)
axes[2].set(title="norm of the gradient", xlabel="step", xlim=(-1, 40))
axes[2].legend(fontsize=8)
plt.show()

# %% [markdown]
# Without clipping the first step leaps over the valley and higher up the other wall, the next one back and higher
# still, and after five the gradient has ten digits. With it the way down the wall is walked in steps of one length,
# until the gradient is short enough to be left alone. In minidl: `optim.clip_grad_norm(parameters, 1.0)`, between
# `backward()` and `step()`.
#
# ## 7. Overfitting, and stopping in time
#
# A network with enough weights can learn any few faces by heart. What we want is the answer for *other* faces. So keep
# some aside, never train on them, and watch the loss there: the **validation loss**. Here the network of section 5
# learns the ages of 40 faces, with L2 in decades, and is asked for those of 200 others:

# %%
decades = (ages / 10).astype(np.float32)


def overfit(count, watchers=()):
    """The trainer after learning for 100 epochs from the first faces."""
    return fit(slice(count), slice(100, None), decades, F.mse_loss, 3e-3, 100, 20, watchers)


history = overfit(40).history
learned, validated = [row["loss"] for row in history], [row["val_loss"] for row in history]
assert learned[-1] < 0.1 < min(validated) < 0.9 * validated[-1]

# %% [markdown]
# **Early stopping** ends the training when the validation loss has not been better than its best for some epochs, the
# **patience**, and goes back to the weights of the best epoch (Prechelt, "Early Stopping - But When?", 1998).
#
# **Exercise.** Write it: go through the losses as they come, and never look ahead.


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
end, best = early_stopping(validated, 15)
figure, axes = plt.subplots(1, 2, figsize=(11, 3), layout="constrained")
axes[0].plot(learned, label="the 40 faces")
axes[0].plot(validated, label="200 other faces")
axes[0].axvline(best, color="tab:green", ls="--", label=f"best: epoch {best}")
axes[0].axvline(end, color="tab:red", ls=":", label=f"stop after epoch {end}")
axes[0].set(title="mean squared error (decades^2)", xlabel="epoch", ylim=(0, 12))
axes[0].legend(fontsize=8)
counts = (40, 60, 80, 100)
runs = [[row["val_loss"] for row in overfit(count).history] for count in counts]
axes[1].plot(counts, [min(run) for run in runs], "o--", color="tab:green", label="at the best epoch")
axes[1].plot(counts, [run[-1] for run in runs], "o-", color="tab:orange", label="after 100 epochs")
axes[1].set(title="200 other faces", xlabel="faces to learn from", ylim=(0, None))
axes[1].legend(fontsize=8)
plt.show()
print(f"yours ends after {end + 1} epochs, minidl's after {overfit(40, [callbacks.EarlyStopping(15)]).epoch}")

# %% [markdown]
# The loss on the 40 faces falls to 0. On the others it falls for some epochs and then rises: what is learned from there
# on holds for these 40 alone. Stopping saves what can be saved. More faces to learn from help more, and make stopping
# less urgent. (The validation faces helped to choose the epoch, so their loss is a little too good. For the last word
# one keeps a third set, the test set.)
#
# ## Now read the real thing
#
# `minidl/optim.py` has all of this. An optimizer is one method, `update`, for one weight array:

# %%
print(inspect.getsource(optim.SGD.update))
print(inspect.getsource(optim.Adam.update))
