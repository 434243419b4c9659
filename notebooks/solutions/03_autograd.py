# %% [markdown]
# # 3. Automatic differentiation
#
# Training needs the derivative of one number, the loss, by millions of others. This notebook takes apart how minidl
# finds all of them in about the time that the loss itself took:
#
# 1. every computation leaves a **graph** behind;
# 2. the **chain rule**, along every path of the graph, and why paths must not be counted one by one;
# 3. the **order** in which to go back;
# 4. **accumulation**: what is used twice gets two gradients;
# 5. **images** as parameters;
# 6. an **op** of your own, and the check that finds its mistakes.
#
# You need notebook 2, or an idea of what a derivative is.

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

import minidl as md
from agegender import data
from minidl import course, nn, ops, viz
from minidl.errors import GraphError
from minidl.op import Op
from minidl.testing import GradientError, gradcheck

F = nn.functional
rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. The graph
#
# An expression with tensors is computed at once, as in NumPy. But if one of them has `requires_grad`, the result also
# keeps the *op* that made it, and the op keeps its inputs. Following these links from the result gives a graph.


# %%
def example():
    """A small loss in which x and z are used twice."""
    x, w, b = (md.tensor(value, requires_grad=True) for value in (2.0, -3.0, 10.0))
    z = F.relu(x * w + b)
    return (z - 1) ** 2 + z * x, {"x": x, "w": w, "b": b, "z": z}


loss, named = example()
print("loss was made by", loss.op.name, "from", [x.item() for x in loss.op.inputs])
graph = viz.Graph(loss, named | {"loss": loss})
graph.draw(0)

# %% [markdown]
# Blue: what we want gradients for. Grey: constants. The red box is where the way back begins: the derivative of the
# loss by itself is 1.
#
# ## 2. The chain rule
#
# Every op knows its own derivatives by its inputs. For $y = x w$ they are $w$ and $x$; for $y = \max(x, 0)$ it is 1 or
# 0. If $x$ acts on $y$ and $y$ on the loss $L$, then a small change goes through both, and the slopes multiply:
#
# $$ \frac{\partial L}{\partial x} = \frac{\partial L}{\partial y}\,\frac{\partial y}{\partial x} $$
#
# Here it is step by step. In each picture one op, red, passes the gradient that has arrived at it on to its inputs:
# times its own slope, which gives the number at the arrow. A gradient that comes second is added to the first.

# %%
graph.draw_backward(columns=1)

# %% [markdown]
# The last picture has all gradients. `backward()` computes just these, in this order:

# %%
loss.backward()
for name in "xwb":
    print(f"dL/d{name} = {named[name].grad:g}")
    assert graph.steps[-1].gradients[named[name]] == named[name].grad

# %% [markdown]
# Another reading of the same rule: take every **path** from $x$ to the loss, multiply the slopes along it, and add up
# the products. With a `Node` that knows its inputs and its slopes by them, this is three lines:


# %%
class Node:
    """A result: what it was computed from, and its slope by each of these."""

    def __init__(self, inputs=(), slopes=()):
        self.inputs, self.slopes = inputs, slopes


def by_all_paths(last, x):
    """The derivative of last by x: the sum over all paths of the product of slopes."""
    if last is x:
        return 1.0
    return sum(slope * by_all_paths(y, x) for y, slope in zip(last.inputs, last.slopes, strict=True))


x = Node()
wx = Node([x], [-3.0])
z = Node([wx], [1.0])  # adding b does not change the slope, and ReLU is on
square = Node([z], [2 * 3.0])  # (z - 1)^2 where z - 1 = 3
product = Node([z, x], [2.0, 4.0])
print("dL/dx =", by_all_paths(Node([square, product], [1.0, 1.0]), x))

# %% [markdown]
# This is right and useless: the number of paths explodes. Take $y_0 = x$ and $y_{n+1} = y_n + y_n$. Each step doubles
# the paths, but adds one node.


# %%
def doublings(steps):
    """The nodes y0 ... yn of repeated doubling."""
    nodes = [Node()]
    for _ in range(steps):
        nodes.append(Node([nodes[-1], nodes[-1]], [1.0, 1.0]))
    return nodes


lengths = range(1, 15)
paths = [by_all_paths(nodes[-1], nodes[0]) for nodes in map(doublings, lengths)]  # every path has the product 1
figure, axes = plt.subplots(figsize=(5, 2.6), layout="constrained")
axes.semilogy(lengths, paths, "o-", label="paths", color="tab:red")
axes.semilogy(lengths, [n + 1 for n in lengths], "o-", label="nodes", color="tab:gray")
axes.set(xlabel="doublings")
axes.legend()
plt.show()

# %% [markdown]
# The way out is to work backward and to *wait*: if a node passes its gradient on only when everything that used it has
# reported, it does so once, and paths that share a part share the work. This is **reverse-mode differentiation**
# (Griewank and Walther, "Evaluating Derivatives", 2nd ed., 2008, chapter 3), in neural networks called backpropagation.
#
# ## 3. The order
#
# So we need an order of the nodes in which each comes after everything that was computed from it: a **topological
# order**.
#
# **Exercise.** Write it, for nodes with `inputs`. One way: visit a node's inputs first (each node once), then put the
# node on a list. At the end the list has inputs before results: reverse it.


# %%
def topological_order(last):
    """All nodes that last was computed from, last first, each after everything that was computed from it."""
    # <blank>
    found, seen = [], set()

    def visit(node):
        if node not in seen:
            seen.add(node)
            for x in node.inputs:
                visit(x)
            found.append(node)

    visit(last)
    return found[::-1]
    # </blank>


topological_order = course.check_topological_order(topological_order)

# %% [markdown]
# **Exercise.** Now the backward pass, given the order. Start with 1 at the first node and 0 everywhere else. Then go
# through the nodes: each gives to each of its inputs its own gradient times the slope.


# %%
def gradients(order):
    """A dictionary with the derivative of order[0] by every node."""
    # <blank>
    found = dict.fromkeys(order, 0.0)
    found[order[0]] = 1.0
    for node in order:
        for x, slope in zip(node.inputs, node.slopes, strict=True):
            found[x] += slope * found[node]
    return found
    # </blank>


gradients = course.check_gradients(gradients)

# %% [markdown]
# Sixty doublings have more than $10^{18}$ paths. It takes no time at all:

# %%
nodes = doublings(60)
print(f"{gradients(topological_order(nodes[-1]))[nodes[0]]:.0f} = 2^60 = {2**60}")

# %% [markdown]
# And what if the order is wrong? Here $c = a + b$ where $b = 3 a$, so that $dc/da = 4$. We try all orders that start
# with $c$:

# %%
a = Node()
b = Node([a], [3.0])
c = Node([a, b], [1.0, 1.0])
figure, axes = plt.subplots(figsize=(5, 1.4), layout="constrained")
orders = {"c, b, a": [c, b, a], "c, a, b": [c, a, b]}
longer = Node([c], [1.0])  # and with one more node behind it
orders |= {"d, c, b, a": [longer, c, b, a], "d, b, c, a": [longer, b, c, a]}
results = {name: gradients(order)[a] for name, order in orders.items()}
axes.barh(list(results), results.values(), color=["tab:green" if r == 4 else "tab:red" for r in results.values()])
axes.set(xlabel="dc/da")
plt.show()

# %% [markdown]
# The order c, a, b still gives 4, as $a$ has nothing to pass on. But in d, b, c, a the node $b$ was asked before $c$
# had reported: it passed on a 0.
#
# minidl needs no search in depth. It numbers the ops as they are made; an op is always newer than its inputs', so
# *newest first* is a topological order:

# %%
loss, _ = example()
numbers = [(tensor.op.name, tensor.op.number) for tensor in viz.Graph(loss).tensors if tensor.op is not None]
first = min(number for _, number in numbers)
print(", ".join(f"{name} #{number - first + 1}" for name, number in numbers))

# %% [markdown]
# ## 4. Accumulation
#
# Within one backward pass, gradients from several uses add up. Between passes they do too: `grad` keeps growing until
# `zero_grad()`. This is useful to add up the gradients of several batches, and a trap for those who forget it. The same
# descent on $L = (w - 3)^2$, with and without:


# %%
def descend(forget):
    """The values of w in 40 steps from 0."""
    w = md.tensor(0.0, requires_grad=True)
    path = []
    for _ in range(40):
        path.append(w.item())
        ((w - 3) ** 2).backward()
        w.data = w.data - 0.1 * w.grad
        if not forget:
            w.zero_grad()
    return path


figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
axes.axhline(3, color="tab:gray", lw=0.8)
axes.plot(descend(forget=False), color="tab:green", label="with zero_grad()")
axes.plot(descend(forget=True), color="tab:red", label="without")
axes.set(xlabel="step", ylabel="w", ylim=(-0.5, 8.5))
axes.legend(ncols=2)
plt.show()

# %% [markdown]
# Without it, every step repeats all earlier ones: $w$ swings about the goal for ever.
#
# The graph itself is used once. `backward()` frees it on the way, so that memory is given back early; asking twice is
# an error that says so:

# %%
loss, _ = example()
loss.backward()
try:
    loss.backward()
except GraphError as error:
    print(error)

# %% [markdown]
# ## 5. Images as parameters
#
# A gradient has the shape of what it belongs to. For an image it is an image, which says for each pixel how the loss
# changes with it. Let the loss be the mean squared difference of a face from another one, and go down:

# %%
faces, _ = data.drawn(20).batch(np.array([4, 9]))
face = md.tensor(faces[0], requires_grad=True)
goal = faces[1]
shown, titles, slopes = [], [], []
for number in range(41):
    loss = F.mse_loss(face, goal)
    loss.backward()
    if number in (0, 5, 10, 20, 40):
        shown.append(face.numpy())
        slopes.append(face.grad)
        titles.append(f"step {number}, loss {loss:.4f}")
    face.data = face.data - 0.05 * face.size * face.grad
    face.zero_grad()
viz.images(shown, titles, columns=5, limits=(0, 1))

# %%
largest = np.abs(slopes[0]).max()
titles = [f"gradient, step {number}" for number in (0, 5, 10, 20, 40)]
viz.images(slopes, titles, columns=5, signed=True, limits=(-largest, largest))

# %% [markdown]
# Blue pixels must become brighter, red ones darker, the less the closer they are. No network is trained here: the
# pixels are the parameters.
#
# ## 6. An op of your own
#
# An op is a class with `forward` and `backward`, written for arrays. Softplus, $y = \ln(1 + e^x)$, is a ReLU without a
# kink; its slope is the sigmoid $1 / (1 + e^{-x})$.


# %%
class Softplus(Op):
    """y = ln(1 + e^x)"""

    def forward(self, x):
        self.save(x)
        return self.xp.logaddexp(x, 0)

    def backward(self, dy):
        (x,) = self.saved
        return (dy / (1 + self.xp.exp(-x)),)


x = md.tensor(np.linspace(-4, 4, 81), requires_grad=True)
y = Softplus.apply(x)
y.sum().backward()
figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
axes.plot(x.numpy(), np.maximum(x.numpy(), 0), ":", color="tab:gray", label="ReLU")
axes.plot(x.numpy(), y.numpy(), label="softplus")
axes.plot(x.numpy(), x.grad, label="its gradient")
axes.legend()
plt.show()

# %% [markdown]
# Is the gradient right? Move each input a little to both sides and see how much the output changes: this needs no
# `backward`. `gradcheck` compares the two, and if they do not agree, says what it sees:

# %%
points = rng.normal(size=(3, 4))
print("Softplus:", gradcheck(Softplus.apply, points))


class Forgetful(Softplus):
    """Softplus that forgets dy."""

    def backward(self, dy):
        (x,) = self.saved
        return (1 / (1 + self.xp.exp(-x)),)


class WrongSign(Softplus):
    """Softplus that goes the wrong way."""

    def backward(self, dy):
        return (-super().backward(dy)[0],)


for op in (Forgetful, WrongSign):
    try:
        gradcheck(op.apply, points)
    except GradientError as error:
        print(error)

# %% [markdown]
# How small should "a little" be? A step that is too large sees the curve bend; one that is too small drowns in rounding
# errors. For $\sin x$ at $x = 1$ and the difference of both sides, $(f(x + h) - f(x - h)) / 2h$:

# %%
steps = np.logspace(-12, 0, 60)
errors = [abs((np.sin(1 + h) - np.sin(1 - h)) / (2 * h) - np.cos(1)) for h in steps]
figure, axes = plt.subplots(figsize=(5, 2.6), layout="constrained")
axes.loglog(steps, errors, ".-", color="tab:red")
axes.set(xlabel="step h", ylabel="error of the derivative")
plt.show()

# %% [markdown]
# ## Now read the real thing
#
# `minidl/op.py` is the contract of an op: `save`, `saved`, and `gradients`, which calls `backward` and undoes the
# broadcasting. In `minidl/tensor.py` follow `backward`, which you know from notebook 2, into `_total` (accumulation)
# and `_newest_first` (the order). Then pick an op from `minidl/ops/elementwise.py`, and check its `backward` by hand.

# %%
print(inspect.getsource(ops.Div))
