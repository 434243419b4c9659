# %% [markdown]
# # 13. Your own library
#
# Your answers to the earlier exercises are the parts of a deep learning library: layers with their backward passes,
# losses and an optimizer. This unit adds the last part, a backward pass over a graph of arrays. Then your library
# trains the documented network of unit 11 on drawn faces, beside minidl, from the same weights and with the same
# batches. For each part that you have not solved, minidl's version takes its place.
#
# **You will be able to**
#
# - write the backward pass over a graph of arrays;
# - turn a function and its backward function into an op of your own library;
# - train the documented network with it, and compare the result with minidl's;
# - say what a library such as minidl or PyTorch adds to these functions.
#
# **Prior knowledge:** the topological order (unit 3), `dy` (unit 4), losses (unit 5), Adam (unit 6), the layers (units
# 7 and 8), the documented network (unit 11).
#
# **Time:** about 50 minutes, 10 of them for the exercise.

# %%
import time

import numpy as np

import minidl as md
from agegender import data, models, tasks
from minidl import course, optim
from minidl.course import plots, style

style.use()
parts = ("topological_order", "unbroadcast", "matmul_backward")
topological_order, unbroadcast, matmul_backward = map(course.mine, parts)
parts = ("bce_with_logits", "bce_gradient", "l1_gradient", "adam_step")
bce_with_logits, bce_gradient, l1_gradient, adam_step = map(course.mine, parts)

# %% [markdown]
# The other parts, convolution and max pooling forward and backward and two more backward passes, do most of the work. A
# right answer may be too slow for a whole network, for example with a loop over all pixels. So the next cell measures
# each on a small array, and takes minidl's version for one that is too slow.


# %%
def quick(name, limit, *arguments):
    """Your function, or minidl's version if a call takes more than ``limit`` seconds."""
    function, seconds = course.mine(name), []
    for _ in range(3):
        start = time.perf_counter()
        function(*arguments)
        seconds.append(time.perf_counter() - start)
    if min(seconds) < limit:
        return function
    print(f"{name}: too slow for the network, so minidl's version takes its place.")
    return getattr(course, f"check_{name}").solution


rng = np.random.default_rng(0)
x, w, b, dy = (rng.normal(size=s) for s in ((2, 16, 16, 8), (3, 3, 8, 16), (16,), (2, 14, 14, 16)))
conv2d = quick("conv2d", 0.01, x, w, b, 1, 0)
conv2d_backward = quick("conv2d_backward", 0.01, dy, x, w, 1, 0)
max_pool = quick("max_pool", 0.001, x, 2, 2)
max_pool_backward = quick("max_pool_backward", 0.001, dy[:, :8, :8, :8], x, 2, 2)
relu_backward = quick("relu_backward", 0.001, dy, dy)
dense_backward = quick("dense_backward", 0.001, dy.reshape(392, 16), x.reshape(-1, 8)[:392], w[0, 0])

# %% [markdown]
# ## 1. One loop sends gradients through a graph of arrays
#
# In unit 3 a node was a number, and each edge had a slope. Now a node is an array, and a slope becomes a function: a
# node has `inputs`, and `node.backward(dy)` returns one gradient for each input, given the gradient `dy` of the node
# itself. The loop stays the same. A leaf, such as a weight (unit 3), has no inputs, so its `backward` returns an empty
# tuple.
#
# **Predict:** a sum $y = a + b$ has the derivative 1 for both inputs, so its backward function returns the array `dy`
# twice. What happens to the gradient of $b$ if a later node adds something to that of $a$ with `+=`?
#
# **Exercise.** Write the backward pass. `order` begins with the last node, whose gradient is `dy`.


# %%
def array_gradients(order, dy):
    """A dictionary: the gradient of each node in topological order, given dy for order[0]."""
    # <blank>
    found = {order[0]: dy}
    for node in order:
        for x, dx in zip(node.inputs, node.backward(found[node]), strict=True):
            found[x] = found[x] + dx if x in found else dx
    return found
    # </blank>


array_gradients = course.check_array_gradients(array_gradients)

# %% [markdown]
# `+=` changes a NumPy array in place. Both names stand for one array, so the gradient of $b$ would change as well.
# `found[x] + dx` makes a new array.
#
# Now the node. `Array` holds a value, its inputs and its backward function. An op is a function that computes a value
# and notes how to go back:


# %%
class Array:
    """A node of the graph: a value, the nodes it was computed from, and its backward function."""

    def __init__(self, value, inputs=(), backward=lambda dy: ()):
        self.value, self.inputs, self.backward = value, inputs, backward


def add(x, y):
    shapes = np.shape(x.value), np.shape(y.value)
    return Array(x.value + y.value, (x, y), lambda dy: [unbroadcast(dy, shape) for shape in shapes])


def matmul(x, w):
    return Array(x.value @ w.value, (x, w), lambda dy: matmul_backward(dy, x.value, w.value))


def dense(x, w, b):
    return Array(x.value @ w.value + b.value, (x, w, b), lambda dy: dense_backward(dy, x.value, w.value))


# %% [markdown]
# A dense layer can be one op, or a product and a sum. **Predict:** do both give the same gradients?

# %%
x, w, b = (Array(rng.normal(size=shape)) for shape in ((4, 3), (3, 2), (2,)))
dy = rng.normal(size=(4, 2))
one_op = array_gradients(topological_order(dense(x, w, b)), dy)
two_ops = array_gradients(topological_order(add(matmul(x, w), b)), dy)
assert all(np.allclose(one_op[node], two_ops[node]) for node in (x, w, b))
plots.numbers({"dw, one op": one_op[w], "dw, two ops": two_ops[w]}, form="{:.2f}")

# %% [markdown]
# They do: the chain rule does not depend on how a computation is divided into ops. Fewer ops mean less bookkeeping and
# fewer arrays in memory.
#
# ## 2. The documented network takes a few lines
#
# The other ops are made in the same way, and so are the two losses. Their results are single numbers, and `add` makes
# their sum.


# %%
def conv(x, w, b):
    y = conv2d(x.value, w.value, b.value, 1, 0)
    return Array(y, (x, w, b), lambda dy: conv2d_backward(dy, x.value, w.value, 1, 0))


def relu(x):
    return Array(np.maximum(x.value, 0), (x,), lambda dy: (relu_backward(dy, x.value),))


def pool(x):
    return Array(max_pool(x.value, 2, 2), (x,), lambda dy: (max_pool_backward(dy, x.value, 2, 2),))


def flatten(x):
    return Array(x.value.reshape(len(x.value), -1), (x,), lambda dy: (dy.reshape(x.value.shape),))


def gender_loss(logits, labels):
    value = bce_with_logits(logits.value[:, 0], labels[:, 0])
    return Array(value, (logits,), lambda dy: (dy * bce_gradient(logits.value, labels),))


def age_loss(years, ages):
    value = np.abs(years.value - ages).mean()
    return Array(value, (years,), lambda dy: (dy * l1_gradient(years.value, ages),))


# %%
def network(p, images):
    """The logits and the ages, for parameters p by name: four blocks, then two heads."""
    x = Array(images)
    for layer in (0, 3, 6, 9):  # the convolutions among the layers of minidl's network
        x = pool(relu(conv(x, p[f"features.{layer}.w"], p[f"features.{layer}.b"])))
    x = flatten(x)
    answers = {}
    for name in ("gender", "age"):
        hidden = relu(dense(x, p[f"{name}.0.w"], p[f"{name}.0.b"]))
        answers[name] = dense(hidden, p[f"{name}.2.w"], p[f"{name}.2.b"])
    return answers


theirs = models.build("documented", rng=md.Generator(0)).astype(np.float64)
mine = {name: Array(parameter.numpy().copy()) for name, parameter in theirs.named_parameters()}
print(f"{sum(p.value.size for p in mine.values()):,} parameters in {len(mine)} arrays")

# %% [markdown]
# Both networks have the same weights now, in float64: the reason follows below. The next cell compares their gradients
# for eight faces. The differences are relative to the largest gradient of each array.

# %%
images, targets = data.drawn(400).batch(np.arange(400))
images, targets = images.astype(np.float64), {name: y.astype(np.float64) for name, y in targets.items()}


def my_gradients(images, targets):
    """The loss and the gradients, for one batch."""
    answers = network(mine, images)
    loss = add(gender_loss(answers["gender"], targets["gender"]), age_loss(answers["age"], targets["age"]))
    return float(loss.value), array_gradients(topological_order(loss), np.float64(1))


eight = {name: values[:8] for name, values in targets.items()}
loss, found = my_gradients(images[:8], eight)
tasks.loss(theirs(md.tensor(images[:8])), eight).backward()
differences = {
    name: float(np.abs(found[mine[name]] - p.grad).max() / np.abs(p.grad).max())
    for name, p in theirs.named_parameters()
}
assert max(differences.values()) < 1e-9
conv_weights = {f"block {k + 1}": differences[f"features.{3 * k}.w"] for k in range(4)}
plots.bars(conv_weights, form="{:.0e}", xlabel="relative difference of dw", xscale="log", xlim=(1e-17, 1))

# %% [markdown]
# What is left is rounding: float64 keeps about 16 digits, and both add many numbers in different orders.
#
# ## 3. Both networks learn the same
#
# Both train with Adam on the same batches of 16 faces, in the same order. 150 other faces are held out.
#
# A difference in the weights changes the next gradients, and these change the weights: so differences can grow with
# every step. Where two pixels of a pooling window are almost equal, rounding even decides which of them receives the
# gradient. In float32 the differences can become visible within 30 steps; in float64 they start 500 million times
# smaller.
#
# **Predict:** will the two curves of the loss differ visibly? Which library takes longer for a step?

# %%
STEPS, BATCH, LR = 30, 16, 5e-4
PASS = 240 // BATCH  # batches in an epoch of 240 faces
optimizer = optim.Adam(theirs.parameters(), lr=LR)
moments = {name: (np.zeros_like(p.value), np.zeros_like(p.value)) for name, p in mine.items()}


def my_step(t, images, targets):
    loss, found = my_gradients(images, targets)
    for name, p in mine.items():
        p.value, *moments[name] = adam_step(p.value, found[p], *moments[name], t, LR, 0.9, 0.999, 1e-8)
    return loss


def their_step(t, images, targets):
    loss = tasks.loss(theirs(md.tensor(images)), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


losses, seconds = {"yours": [], "minidl": []}, {"yours": [], "minidl": []}
for t in range(1, STEPS + 1):
    first = (t - 1) % PASS * BATCH
    at = slice(first, first + BATCH)
    for name, step in (("yours", my_step), ("minidl", their_step)):
        start = time.perf_counter()
        losses[name].append(step(t, images[at], {key: values[at] for key, values in targets.items()}))
        seconds[name].append(time.perf_counter() - start)

# %%
left, right = plots.panels(2, widths=(2, 1))
plots.curves(range(1, STEPS + 1), losses, ["model", "reference"], axes=left, xlabel="step", ylabel="loss")
print(f"largest difference of a loss: {np.abs(np.subtract(*losses.values())).max():.0e}")
ratio = np.median(seconds["yours"]) / np.median(seconds["minidl"])
plots.bars({"yours": ratio, "minidl": 1}, ["model", "reference"], form="{:.1f}", axes=right, title="relative time")

# %% [markdown]
# One curve hides the other. Now the faces that neither has seen:

# %%
held_out = slice(250, 400)
truth = {name: values[held_out] for name, values in targets.items()}
batches = [images[i : i + 30] for i in range(250, 400, 30)]
results = {"yours": [], "minidl": []}
for batch in batches:
    results["yours"].append({name: y.value for name, y in network(mine, batch).items()})
    with md.no_grad():
        results["minidl"].append({name: y.numpy() for name, y in theirs(md.tensor(batch)).items()})
scores = {}
for who, answers in results.items():
    together = {name: np.concatenate([part[name] for part in answers]) for name in truth}
    scores[who] = tasks.gender_accuracy(together, truth), tasks.age_mae(together, truth)
    print(f"{who}: gender accuracy {scores[who][0]:.3f}, age error {scores[who][1]:.2f} years")
baseline = tasks.baselines((truth["gender"], truth["age"]))
print(f"the same answer for all: {baseline['gender_accuracy']:.3f}, {baseline['age_mae']:.2f} years")
assert abs(scores["yours"][0] - scores["minidl"][0]) <= 0.01
assert abs(scores["yours"][1] - scores["minidl"][1]) <= 0.3
print(f"a step of your library takes {ratio:.1f} times as long as one of minidl")

# %% [markdown]
# Your library computes what minidl computes, and both do better than the same answer for all. Two epochs of 240 faces
# do not make a good network: unit 11 trains it longer. Try it in float32 as well: write `float32` in the place of every
# `float64`, and remove the three lines with `assert` from section 2 on, which hold for float64 only. Then compare the
# losses step by step.
#
# minidl adds speed, further ops, clear errors, other devices, and tests. Units 14 and 15 show where its speed comes
# from.
#
# ## Questions
#
# 1. `array_gradients` returns a gradient for the images too. Who needs it, and what does it cost?
# 2. Which arrays must stay in memory between the forward and the backward pass?
# 3. Why is the comparison fair only with the same weights and the same batches?
#
# <details><summary>Answers</summary>
#
# 1. Training does not need it. Its cost is the `dx` of the first convolution. The saliency maps of unit 12 need it.
# 2. All that a backward function uses: the inputs of each op, and the weights. The functions hold references to them,
#    so they live as long as the graph.
# 3. Different initial weights or batches give different networks, even within one library. Then a difference would not
#    show whether the library has a mistake.
#
# </details>
#
# ## Further reading
#
# - A. G. Baydin, B. A. Pearlmutter, A. A. Radul and J. M. Siskind, "Automatic Differentiation in Machine Learning: a
#   Survey", 2018: how a library differentiates programs.
# - D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", 2015: the optimizer.
