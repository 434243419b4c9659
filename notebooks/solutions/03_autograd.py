# %% [markdown]
# # 3. Automatic differentiation
#
# Training needs the derivatives of the loss with respect to every parameter, and a network has millions of them. One
# pass through the computation, from the loss back to the parameters, computes all of them for a small multiple of the
# cost of the loss itself. This unit takes that pass apart, and you write its two central functions.
#
# **You will be able to**
#
# - read the graph that a computation leaves behind;
# - apply the chain rule to a graph, and say why its paths are not followed one by one;
# - write a backward pass: the order of the nodes, and the gradients in that order;
# - say why gradients add up, and what `zero_grad()` is for;
# - define an op with its own `backward`, and find its mistakes by a gradient check.
#
# **Prior knowledge:** unit 2 (slope, chain rule, loss, gradient descent), and in Python recursion and dictionaries.
#
# **Time:** about 100 minutes, two exercises included.

# %%
import inspect
import itertools
from time import perf_counter

import numpy as np

import minidl as md
from minidl import course, nn, ops, viz
from minidl.course import plots, style
from minidl.errors import GraphError
from minidl.op import Op
from minidl.testing import GradientError, gradcheck

style.use()
rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. One backward pass computes millions of derivatives
#
# This network has two million parameters, and its loss is one number. Three computations with it:
#
# - the **forward pass**, from the inputs to the loss;
# - the **backward pass**, `loss.backward()`, from the loss to the gradients of all parameters;
# - **finite differences**, with which unit 2 began: move one parameter a little up, then a little down, and divide the
#   change of the loss by the distance. This takes two forward passes for each parameter.
#
# **Predict:** how many times as long as the forward pass does the backward pass take: 1, 2, 1,000 or 1,000,000 times?

# %%
model = nn.Sequential(nn.Dense(1000, 1000), nn.ReLU(), nn.Dense(1000, 1000))
x = md.tensor(rng.normal(size=(256, 1000)), dtype=np.float32)
count = sum(p.size for p in model.parameters())
forward, backward = [], []
for _ in range(9):
    model.zero_grad()
    start = perf_counter()
    loss = (model(x) ** 2).mean()
    middle = perf_counter()
    loss.backward()
    forward.append(middle - start)
    backward.append(perf_counter() - middle)
ratio = np.median(backward) / np.median(forward)
print(f"{count:,} parameters; the backward pass takes {ratio:.1f} times as long as the forward pass")

# %%
times = {"forward": 1, "backward": ratio, "finite differences": 2 * count}
labels = {"xscale": "log", "xlim": (0.1, 2e8), "xlabel": "time, forward pass = 1"}
plots.bars(times, ["reference", "gradient", "mistake"], "{:,.1f}", **labels)

# %% [markdown]
# The bar of finite differences is computed, not measured: that would take too long. The backward pass takes the time of
# a few forward passes at most, and would do so for any number of parameters. Most of the time goes into products of
# matrices: two of them forward, three backward (unit 4 shows which). Section 4 counts the operations of any graph.
#
# ## 2. A computation leaves a graph behind
#
# minidl computes an expression with tensors immediately, as NumPy does. If one of the tensors has `requires_grad=True`,
# the result also keeps the **op** that made it, such as a sum or a product, and the op keeps its inputs. These links
# form a **graph**: each tensor is a **node**, and an **edge** leads from each input of an op to its result. A node that
# was not computed from others, such as a parameter, is a **leaf**.


# %%
def example():
    """A small loss, in which x and z are used twice."""
    x, w = md.tensor(3.0, requires_grad=True), md.tensor(2.0, requires_grad=True)
    z = x * w
    return z**2 + z * x, {"x": x, "w": w, "z": z}


loss, named = example()
print("the loss was made by", loss.op.name, "from", [x.item() for x in loss.op.inputs])
graph = viz.Graph(loss, named | {"loss": loss})
graph.draw(0)

# %% [markdown]
# Each box has the name of a tensor, the sign of the op that made it or both, and below its value. Blue boxes are leaves
# whose gradients we want; the grey box is a constant, the exponent 2. The **gradient** of a node is the derivative of
# the loss with respect to it, `grad` in the picture. The red box is where the backward pass starts: the derivative of
# the loss with respect to itself is 1.
#
# ## 3. The chain rule: multiply along a path, add up over the paths
#
# Each op knows the slopes of its result with respect to its inputs. For $p = z x$ they are $\partial p/\partial z = x$
# and $\partial p/\partial x = z$; for $s = z^2$ the slope is $\partial s/\partial z = 2 z$. (The symbol $\partial$
# marks a *partial* derivative: one input changes, the others stay as they are.) If $w$ affects
# the loss $L$ through $z$ alone, then a small change of $w$ passes through both, and the slopes multiply:
#
# $$ \frac{\partial L}{\partial w} = \frac{\partial L}{\partial z}\,\frac{\partial z}{\partial w} $$
#
# If a node is used in several places, its changes reach the loss along several **paths**, and the effects add up.
#
# **Predict:** in the graph above, $z = 6$ and $x = 3$. $z$ is used in $s = z^2$, the box `**`, and in $p = z x$, the
# box `*`; $L = s + p$. What is $\partial L/\partial z$?
#
# Then follow the backward pass. Picture 0 shows the seed, the 1 at the loss. In each further picture the op of the red
# box multiplies the gradient that has arrived at the box by its slope for each input, and passes the product, the
# number at the arrow, to this input. A gradient that arrives second is added to the first.

# %%
graph.draw_backward(columns=1)

# %% [markdown]
# $\partial L/\partial z = 2 z + x = 15$: 12 from the square and 3 from the product. `backward()` computes the same
# gradients, and stores those of the leaves in `grad`:

# %%
loss.backward()
for name in "xw":
    print(f"dL/d{name} = {named[name].grad:g}")

# %% [markdown]
# Check by hand: $L = x^2 w^2 + x^2 w$, so $\partial L/\partial x = 2 x w^2 + 2 x w = 24 + 12$, and
# $\partial L/\partial w = 2 x^2 w + x^2 = 36 + 9$.
#
# The chain rule for a graph says: take every path from $x$ to the loss, multiply the slopes along it, and add up
# the products. With a `Node` that knows its inputs and the slopes with respect to them, this takes three lines. They go
# along the paths from the loss to $x$.


# %%
class Node:
    """A number in a graph: its inputs, none for a leaf, and its slope with respect to each of them."""

    def __init__(self, inputs=(), slopes=()):
        self.inputs, self.slopes = inputs, slopes


def by_all_paths(last, x):
    """The derivative of last with respect to x: the sum over all paths of the product of the slopes."""
    if last is x:
        return 1.0
    return sum(slope * by_all_paths(y, x) for y, slope in zip(last.inputs, last.slopes, strict=True))


x, w = Node(), Node()
z = Node([x, w], [2.0, 3.0])  # z = x w: slopes w = 2 and x = 3
s = Node([z], [12.0])  # s = z^2: slope 2 z = 12
p = Node([z, x], [3.0, 6.0])  # p = z x: slopes x = 3 and z = 6
last = Node([s, p], [1.0, 1.0])  # the loss s + p
print("dL/dx =", by_all_paths(last, x), " dL/dw =", by_all_paths(last, w))

# %% [markdown]
# The result is right, and the method is useless. Take $y_0 = x$ and $y_{n+1} = y_n + y_n$: each doubling adds one node.
#
# **Predict:** how many nodes and how many paths are there after 14 doublings?


# %%
def doublings(steps):
    """The nodes y0 ... yn of repeated doubling."""
    nodes = [Node()]
    for _ in range(steps):
        nodes.append(Node([nodes[-1], nodes[-1]], [1.0, 1.0]))
    return nodes


lengths = range(1, 15)
paths = [by_all_paths(nodes[-1], nodes[0]) for nodes in map(doublings, lengths)]  # each path contributes 1
counts = {"paths": paths, "nodes": [n + 1 for n in lengths]}
plots.curves(lengths, counts, ["mistake", "reference"], "o-", "y", xlabel="doublings", ylabel="number")

# %% [markdown]
# Every doubling doubles the number of paths: there are $2^n$ of them, on $n + 1$ nodes. The logarithmic axis makes this
# a straight line.
#
# The way out is to go backward and to *wait*. A node passes its gradient on only when every node that was computed from
# it has done so. Then it does this once, and paths that share a part share the work. This is **reverse-mode
# differentiation**; in neural networks it is called **backpropagation**.
#
# ## 4. Backward in the right order
#
# We need an order in which each node comes after every node that was computed from it: a **topological order**.
#
# **Exercise.** Write a function that finds one, for a `Node` with its `inputs`. One way: to visit a node, visit its
# inputs first (no node twice), then append the node to a list. In this list inputs come before results: reverse it at
# the end.


# %%
def topological_order(last):
    """A list of last and all nodes that it was computed from, each after everything that was computed from it."""
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
# **Exercise.** Now write the backward pass for a given order. Start with 1 for the first node and 0 for all others.
# Then go through the nodes: each adds to each of its inputs its own gradient times the slope.


# %%
def gradients(order):
    """A dictionary: for each node, the derivative of order[0] with respect to it."""
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
# These two functions are the core of **autograd**, short for automatic differentiation. The rest is bookkeeping:
# operators that note the slopes while they compute. For sums and products this takes a few lines, and the loss of
# section 2 can be written as a formula:


# %%
class Number(Node):
    """A node with a value; sums and products of Numbers note their slopes."""

    def __init__(self, value, inputs=(), slopes=()):
        super().__init__(inputs, slopes)
        self.value = value

    def __add__(self, other):
        return Number(self.value + other.value, [self, other], [1.0, 1.0])

    def __mul__(self, other):
        return Number(self.value * other.value, [self, other], [other.value, self.value])


x, w = Number(3.0), Number(2.0)
z = x * w
found = gradients(topological_order(z * z + z * x))
print("dL/dx =", found[x], " dL/dw =", found[w])

# %% [markdown]
# What does it cost? Your loop does one multiplication and one addition for each edge. Every edge belongs to an op of
# the forward pass, and a sum or a product has two. So the backward pass needs a small multiple of the operations of the
# forward pass, for all derivatives together. Sixty doublings have $2^{60}$ paths, but only 120 edges:

# %%
nodes = doublings(60)
order = topological_order(nodes[-1])
print("edges:", sum(len(node.inputs) for node in order))
print(f"derivative: {gradients(order)[nodes[0]]:.0f} = 2^60 = {2**60}")

# %% [markdown]
# What if the order is wrong? In this graph $b = 3 a$, $c = a + b$ and $d = 2 c$, so $d = 8 a$, and the derivative is 8.
# We try all six orders that start with $d$.
#
# **Predict:** which of them give 8? Only d, c, b, a is a topological order.

# %%
a = Node()
b = Node([a], [3.0])
c = Node([a, b], [1.0, 1.0])
d = Node([c], [2.0])
names = {a: "a", b: "b", c: "c", d: "d"}
results = {}
for rest in itertools.permutations([c, b, a]):
    results[", ".join(names[node] for node in (d, *rest))] = gradients([d, *rest])[a]
colours = ["model" if derivative == 8 else "mistake" for derivative in results.values()]
plots.bars(results, colours, xlabel="derivative of d with respect to a")

# %% [markdown]
# The orders with $b$ before $c$ are wrong: $b$ passes on 0, because nothing has arrived from $c$ yet. The place of $a$
# does not matter, as $a$ has no inputs to pass anything to. So two more orders give 8 in this graph; a topological
# order is right in every graph.
#
# minidl needs no search. It numbers the ops as they are made. An op is made after its inputs, so *newest first* is a
# topological order:

# %%
loss, _ = example()
numbers = [(tensor.op.name, tensor.op.number) for tensor in viz.Graph(loss).tensors if tensor.op is not None]
first = min(number for _, number in numbers)
print(", ".join(f"{name} #{number - first + 1}" for name, number in numbers))

# %% [markdown]
# ## 5. Gradients add up until `zero_grad()`
#
# Within one backward pass, the gradients from several uses add up. Between passes they add up as well: `backward()`
# adds to `grad`, and only `zero_grad()` clears it. This is useful when a loss is a sum whose parts are computed one
# after another, for example because all samples together do not fit into memory: the gradient of a sum is the sum of
# the gradients. Here $L = (w - 3)^2 + (w - 5)^2$ at $w = 0$, as a whole and in two parts:

# %%
whole, parts = md.tensor(0.0, requires_grad=True), md.tensor(0.0, requires_grad=True)
((whole - 3) ** 2 + (whole - 5) ** 2).backward()
((parts - 3) ** 2).backward()
((parts - 5) ** 2).backward()
print(f"as a whole: {whole.grad:g}, in two parts: {parts.grad:g}")

# %% [markdown]
# It is an error to forget `zero_grad()` where nothing is to be added up, as in gradient descent: each step needs its
# own gradient.
#
# **Predict:** gradient descent on $L = (w - 3)^2$ starts at $w = 0$, and the gradient is never cleared. Does $w$ come
# to rest at 3 later than with `zero_grad()`, sooner or never?


# %%
def descend(forget, steps=40):
    """The values of w in gradient descent from 0."""
    w = md.tensor(0.0, requires_grad=True)
    path = []
    for _ in range(steps):
        path.append(w.item())
        ((w - 3) ** 2).backward()
        w.data = w.data - 0.1 * w.grad
        if not forget:
            w.zero_grad()
    return path


paths = {"with zero_grad()": descend(forget=False), "without": descend(forget=True), "goal": [3] * 40}
plots.curves(range(40), paths, ["model", "mistake", "reference"], xlabel="step", ylabel="w", xlim=(-1, 55))

# %% [markdown]
# Never: each step repeats all earlier ones, so $w$ goes past the goal, returns, and goes past it again.
#
# <details><summary>Why does this not become less?</summary>
#
# Let $u_t = w - 3$ at step $t$. Each step changes $u$ by $-0.1$ times the sum of all gradients $2 u$ so far, so it is
# the change of the step before, minus $0.2\,u_t$: $u_{t+1} - u_t = u_t - u_{t-1} - 0.2\,u_t$, which is
# $u_{t+1} = 1.8\,u_t - u_{t-1}$. The waves $A \cos(\theta t + \varphi)$ with $\cos\theta = 0.9$ satisfy this, because
# $\cos(\alpha + \theta) + \cos(\alpha - \theta) = 2 \cos\theta \cos\alpha$. Their height $A$ stays the same.
#
# </details>
#
# After 10,000 steps $w$ still does:

# %%
late = descend(forget=True, steps=10_000)[-100:]
print(f"without zero_grad(), steps 9,900 to 10,000: w between {min(late):.1f} and {max(late):.1f}")

# %% [markdown]
# The graph itself can be used once: `backward()` removes it on the way, so that its memory is free again. A second call
# is an error that says so:

# %%
loss, _ = example()
loss.backward()
try:
    loss.backward()
except GraphError as error:
    print(error)

# %% [markdown]
# ## 6. Your own op, and a check that finds its mistakes
#
# An op is a class with `forward` and `backward`, written for arrays. Softplus, $y = \ln(1 + e^x)$, is a smooth ReLU. By
# the chain rule its slope is $e^x / (1 + e^x) = 1 / (1 + e^{-x})$, the sigmoid function. `backward` gets dy, the
# gradient of the loss with respect to the output $y$, one number for each element. It returns dx, the gradient with
# respect to the input. Here each element of $y$ depends on one element of $x$, so dx is dy times the slope, element by
# element. (Unit 4 is about ops for which this is not so simple.)
#
# `save` keeps arrays that `backward` needs, and `saved` gives them back. `self.xp` is NumPy, or CuPy if the arrays are
# on a GPU, and `logaddexp(x, 0)` is $\ln(e^x + e^0)$. `backward` returns a tuple, with one gradient for each input.


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
shown = {"ReLU": np.maximum(x.numpy(), 0), "softplus": y.numpy(), "slope of softplus": x.grad}
plots.curves(x.numpy(), shown, ["reference", "model", "gradient"], xlabel="x")

# %% [markdown]
# Is the gradient right? Finite differences need no `backward`. They are too slow for training, but fast enough to check
# a small input. This is a **gradient check**. `gradcheck` compares the two for every element of the input. If they do
# not agree, it says where, and shows both numbers. Two wrong versions of the op:
#
# - `Forgetful` returns the slope, and forgets to multiply it by dy;
# - `WrongSign` returns minus the gradient.
#
# **Predict:** above, the loss was `y.sum()`. Would the curve of the slope have been wrong with `Forgetful`?


# %%
class Forgetful(Softplus):
    """Softplus that forgets dy."""

    def backward(self, dy):
        (x,) = self.saved
        return (1 / (1 + self.xp.exp(-x)),)


class WrongSign(Softplus):
    """Softplus whose gradient has the wrong sign."""

    def backward(self, dy):
        return (-super().backward(dy)[0],)


points = rng.normal(size=(3, 4))
for op in (Softplus, Forgetful, WrongSign):
    try:
        print(f"{op.__name__}: right, {gradcheck(op.apply, points).compared} derivatives compared")
    except GradientError as error:
        print(error)

# %% [markdown]
# No: for a sum dy is 1 everywhere, so a missing factor dy changes nothing. `gradcheck` therefore uses random dy.
# It also computes in float64, because a finite difference loses digits; unit 5 measures how many.
#
# ## Now read the real thing
#
# `minidl/op.py` defines what an op is: `save`, `saved`, and `gradients`, which calls `backward`. In `minidl/tensor.py`
# follow `backward` into `_newest_first` (the order) and `_total` (the sum over several passes). Then choose an op of
# `minidl/ops/elementwise.py` and check its `backward` by hand, for example that of a quotient:

# %%
print(inspect.getsource(ops.Div))

# %% [markdown]
# ## Questions
#
# 1. A graph has 1,000 nodes and 2,000 edges. How many multiplications does your `gradients` need for the derivatives of
#    the last node with respect to all others? How many does `by_all_paths` need?
#
# <details><summary>Answer</summary>
#
# 2,000, one for each edge. For `by_all_paths` the number of nodes and edges does not say: it depends on the number of
# paths, which can grow exponentially with the number of nodes.
#
# </details>
#
# 2. `L = x * x` makes a product with the same input twice. What goes wrong in `gradients` with `=` instead of `+=`?
#
# <details><summary>Answer</summary>
#
# The node has two edges to $x$, each with slope $x$. With `+=` they add up to $2 x$. With `=` the second replaces the
# first, and the result is $x$, half of the derivative.
#
# </details>
#
# 3. In reverse mode one backward pass gives the derivatives of *one* result with respect to *all* inputs. A function
#    has one input and a million results. Is reverse mode a good choice?
#
# <details><summary>Answer</summary>
#
# No: it needs one backward pass for each result. Finite differences need two evaluations of the function, for all
# results together, as there is only one input to move. The exact counterpart is *forward mode*, which carries the
# derivative with respect to one input along with the computation. Training is the opposite case, one loss and millions
# of parameters.
#
# </details>
#
# ## Further reading
#
# - A. Griewank and A. Walther, *Evaluating Derivatives*, 2nd ed., SIAM, 2008, chapter 3: forward and reverse mode.
# - A. G. Baydin, B. A. Pearlmutter, A. A. Radul and J. M. Siskind, "Automatic Differentiation in Machine Learning: a
#   Survey", *Journal of Machine Learning Research* 18, 2018.
# - D. E. Rumelhart, G. E. Hinton and R. J. Williams, "Learning representations by back-propagating errors", *Nature*
#   323, 1986: backpropagation for networks with hidden layers.
# - T. H. Cormen, C. E. Leiserson, R. L. Rivest and C. Stein, *Introduction to Algorithms*, section "Topological sort":
#   your first exercise, with a proof that it is right.
# - A. Karpathy, *micrograd* (code, github.com/karpathy/micrograd) and the lecture about it, 2022: an engine for
#   numbers.
