# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
# ---

# %% [markdown]
# # 1. Neurons and tensors
#
# A neural network is a function with many adjustable numbers in it. This notebook builds one from nothing:
#
# 1. a **neuron**, a weighted sum that is cut off at 0;
# 2. many neurons, which together can follow **any function**;
# 3. a **layer**, the same as one product of matrices;
# 4. an engine that finds the **slope** of a result for every number in it, in 60 lines;
# 5. **training**: going down that slope until the network fits;
# 6. the same with **minidl**, whose tensors are that engine for whole arrays.
#
# Blanks are yours to fill. A blank that you leave open is no obstacle: the notebook then goes on with minidl's own
# version. The solutions are in `notebooks/solutions`.

# %%
import inspect
import timeit

import matplotlib.pyplot as plt
import numpy as np

import minidl as md
from agegender import data
from minidl import course, nn, optim, viz

rng = np.random.default_rng(0)
md.seed(0)

# %% [markdown]
# ## 1. A neuron
#
# A neuron has some inputs $x_1, \dots, x_n$ and gives one number. It weighs each input with a **weight** $w_i$, adds a
# **bias** $b$, and lets only what is positive through:
#
# $$ y = \max\left(\sum_i w_i x_i + b,\; 0\right) $$
#
# The function $\max(z, 0)$ is called ReLU (rectified linear unit). Without it a network of neurons would be nothing but
# one big weighted sum, however many neurons it had.
#
# **Exercise.** Write the neuron. `x` and `w` are arrays of the same length.


# %%
def neuron(x, w, b):
    """max(sum of w_i x_i + b, 0)"""
    # <blank>
    return max(np.sum(w * x) + b, 0.0)
    # </blank>


neuron = course.check_neuron(neuron)

# %% [markdown]
# With one input, a neuron is a line with a bend. The weight is its slope; the bias moves the bend, which lies where
# $w x + b = 0$.

# %%
xs = np.linspace(-3, 3, 200)
figure, axes = plt.subplots(1, 2, figsize=(9, 2.8), layout="constrained", sharey=True)
for w in (0.5, 1.0, 2.0, -1.0):
    axes[0].plot(xs, [neuron(np.array([x]), np.array([w]), 0.0) for x in xs], label=f"w = {w:g}")
for b in (-1.0, 0.0, 1.0):
    axes[1].plot(xs, [neuron(np.array([x]), np.array([1.0]), b) for x in xs], label=f"b = {b:g}")
axes[0].set(title="the weight turns it (b = 0)", xlabel="x", ylabel="y")
axes[1].set(title="the bias moves it (w = 1)", xlabel="x")
for part in axes:
    part.legend(fontsize=8)
plt.show()

# %% [markdown]
# With thousands of inputs it is the same formula. Here the inputs are the pixels of a face, and each weight belongs to
# a pixel. As weights we take the average old face minus the average young face: red pixels count for "old", blue ones
# against it. (The faces are drawn, of invented people.)

# %%
pixels, labels = data.drawn(300).batch(np.arange(300))
ages = labels["age"][:, 0]
weights = pixels[ages > 60].mean(axis=0) - pixels[ages < 20].mean(axis=0)
sums = ((pixels - pixels.mean(axis=0)) * weights).sum(axis=(1, 2, 3))
viz.images([weights], ["the weights"], columns=1, size=2, signed=True)

# %% [markdown]
# The faces with the smallest and the largest sums, and the sums of all faces beside their ages:

# %%
extreme = np.argsort(sums)[[0, 1, 2, -3, -2, -1]]
viz.images(pixels[extreme], [f"sum {sums[i]:.0f}, age {ages[i]:.0f}" for i in extreme])

# %%
figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
axes.scatter(ages, sums, s=8)
axes.set(xlabel="age (years)", ylabel="weighted sum", title="one neuron, before its bias and ReLU")
plt.show()
print(f"correlation with the age: {np.corrcoef(ages, sums)[0, 1]:.2f}")

# %% [markdown]
# One weighted sum of raw pixels already knows something of the age, though not much. What can many neurons do?
#
# ## 2. Many neurons follow any function
#
# Three neurons with the same slope make a **hat**: the first starts to climb, the second bends the line down again, the
# third bends it back to flat. With $r(z) = \max(z, 0)$, centre $c$ and half width $h$:
#
# $$ \text{hat}(x) = \frac{r(x - c + h) - 2\, r(x - c) + r(x - c - h)}{h} $$
#
# **Exercise.** Write the hat.


# %%
def hat(x, centre, width):
    """A triangle of height 1 at centre, which is 0 outside of centre - width ... centre + width."""

    # <blank>
    def relu(z):
        return np.maximum(z, 0)

    return (relu(x - centre + width) - 2 * relu(x - centre) + relu(x - centre - width)) / width
    # </blank>


hat = course.check_hat(hat)

# %% [markdown]
# Put a hat on each of several points, as high as the function that you want is there, and add them up. Between two
# points one hat falls while the next climbs, so their sum is a straight line from one value to the next.


# %%
def wanted(x):
    """A function to imitate."""
    return np.sin(2 * x) + 0.3 * x


def imitation(x, points):
    """The sum of hats on evenly spaced points, each as high as the wanted function there."""
    width = points[1] - points[0]
    return sum(wanted(point) * hat(x, point, width) for point in points)


figure, axes = plt.subplots(1, 2, figsize=(10, 3), layout="constrained", sharey=True)
for part, count in zip(axes, (7, 15), strict=True):
    points = np.linspace(-3, 3, count)
    for point in points:
        part.plot(xs, wanted(point) * hat(xs, point, points[1] - points[0]), color="tab:gray", lw=0.7)
    part.plot(xs, wanted(xs), label="wanted", lw=3, alpha=0.4)
    part.plot(xs, imitation(xs, points), label=f"{count} hats", color="tab:red", lw=1.2)
    part.legend(fontsize=8, loc="upper left")
    part.set(xlabel="x")
plt.show()

# %% [markdown]
# How good does it get? The largest error of straight lines between points at a distance $h$ is at most
# $\frac{1}{8} h^2 \max |f''|$ (any book on numerical analysis: linear interpolation). So twice as many hats should
# leave a quarter of the error. Measured:

# %%
fine = np.linspace(-3, 3, 5001)
counts = [5, 9, 17, 33, 65, 129]
errors = [np.abs(imitation(fine, np.linspace(-3, 3, n)) - wanted(fine)).max() for n in counts]
bounds = [(6 / (n - 1)) ** 2 / 8 * 4 for n in counts]  # |f''| = |4 sin 2x| is at most 4
figure, axes = plt.subplots(figsize=(5, 2.8), layout="constrained")
axes.loglog(counts, bounds, "--", color="tab:gray", label="bound")
axes.loglog(counts, errors, "o-", color="tab:red", label="measured")
axes.set(xlabel="hats", ylabel="largest error")
axes.legend()
plt.show()
assert all(error <= bound + 1e-12 for error, bound in zip(errors, bounds, strict=True))

# %% [markdown]
# So a layer of ReLUs and a weighted sum of them come as close as you like to any continuous function of one number on
# an interval. The same holds for many inputs, and for almost any bent function in the place of ReLU (Hornik,
# "Approximation Capabilities of Multilayer Feedforward Networks", 1991). This says that good weights exist. It does not
# say how to find them: that is what the rest of this notebook is about.
#
# ## 3. A layer is a product of matrices
#
# Neurons that look at the same inputs form a **layer**. Write the weights of each as a column of a matrix $w$ and the
# samples as rows of $x$. Then all neurons on all samples are one product:
#
# $$ y = \max(x\,w + b,\; 0), \qquad x: (N, \text{in}),\; w: (\text{in}, \text{out}),\; b: (\text{out},) $$
#
# **Exercise.** Write the layer.


# %%
def layer(x, w, b):
    """max(x w + b, 0)"""
    # <blank>
    return np.maximum(x @ w + b, 0)
    # </blank>


layer = course.check_layer(layer)

# %% [markdown]
# The 15 hats are two such steps. The first layer has a neuron for every bend, the second sums them up; its weights
# follow from the formula of the hat:

# %%
points = np.linspace(-3, 3, 15)
width = points[1] - points[0]
bends = np.linspace(points[0] - width, points[-1] + width, 17)
w1, b1 = np.ones((1, 17)), -bends
w2 = np.zeros((17, 1))
for i, point in enumerate(points):
    w2[i : i + 3, 0] += wanted(point) * np.array([1, -2, 1]) / width
by_layers = layer(xs[:, None], w1, b1) @ w2
print(f"largest difference from the sum of hats: {np.abs(by_layers[:, 0] - imitation(xs, points)).max():.0e}")

figure, axes = plt.subplots(1, 2, figsize=(9, 2.6), layout="constrained")
axes[0].plot(xs, layer(xs[:, None], w1, b1), lw=0.8)
axes[0].set(title="17 neurons", xlabel="x")
axes[1].plot(xs, by_layers, color="tab:red")
axes[1].set(title="their weighted sum", xlabel="x")
plt.show()

# %% [markdown]
# ## 4. Slopes, by an engine of 60 lines
#
# We chose these weights by hand. To have them found, we measure how wrong the network is by one number, the **loss**,
# and ask for each weight: if it grew a little, would the loss grow or fall, and how fast? This is the derivative of the
# loss by that weight, its **gradient**. A network has thousands of weights, so it takes a method.
#
# The method: every result remembers what it was computed from, and its **slope** by each of these. For a single step
# the slopes are easy.
#
# **Exercise.** By how much does $a b$ grow if $a$ grows by a little? If $b$ does? And $\max(x, 0)$, if $x$ does?


# %%
def product_slopes(a, b):
    """The derivatives of a b: by a, and by b."""
    # <blank>
    return b, a
    # </blank>


def relu_slope(x):
    """The derivative of max(x, 0); 0 at 0."""
    # <blank>
    return 1.0 if x > 0 else 0.0
    # </blank>


product_slopes = course.check_product_slopes(product_slopes)
relu_slope = course.check_relu_slope(relu_slope)

# %% [markdown]
# Now the engine. A `Value` is a number with a memory. `backward` starts at the result, whose gradient is 1, and goes
# back: each value gives to each of its inputs its own gradient times the slope. This is the **chain rule**. What is
# used in several places gets something from each, and it adds up.


# %%
class Value:
    """A number that knows what it was computed from."""

    def __init__(self, data, inputs=(), slopes=()):
        self.data, self.inputs, self.slopes = data, inputs, slopes
        self.grad = 0.0

    def __add__(self, other):
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __sub__(self, other):
        return Value(self.data - other.data, (self, other), (1.0, -1.0))

    def __mul__(self, other):
        return Value(self.data * other.data, (self, other), product_slopes(self.data, other.data))

    def relu(self):
        return Value(max(self.data, 0.0), (self,), (relu_slope(self.data),))

    def backward(self):
        """Give every value that led to this one its gradient."""
        self.grad = 1.0
        for value in self.ancestors():
            for x, slope in zip(value.inputs, value.slopes, strict=True):
                x.grad += slope * value.grad

    def ancestors(self):
        """This value and all that it was computed from, each after everything that was computed from it."""
        found, seen = [], set()

        def visit(value):
            if value not in seen:
                seen.add(value)
                for x in value.inputs:
                    visit(x)
                found.append(value)

        visit(self)
        return found[::-1]


# %% [markdown]
# A test: the loss of one neuron with one input, $L = (\max(w x + b, 0) - 2)^2$. The gradient must be the slope of the
# curve $L(w)$, at whatever $w$ we are.


# %%
def loss_of(w, b, x=1.5, target=2.0):
    """The neuron's squared error, for Values w and b."""
    error = (w * Value(x) + b).relu() - Value(target)
    return error * error


figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
ws = np.linspace(-1, 2.5, 200)
axes.plot(ws, [loss_of(Value(w), Value(0.5)).data for w in ws], color="tab:gray")
for at in (-0.7, 0.0, 1.0, 1.8):
    w, b = Value(at), Value(0.5)
    loss = loss_of(w, b)
    loss.backward()
    near = np.array([at - 0.25, at + 0.25])
    axes.plot(near, loss.data + w.grad * (near - at), lw=2, label=f"w = {at}: slope {w.grad:.3g}")
    axes.plot([at], [loss.data], "ko", ms=4)
axes.set(xlabel="w", ylabel="loss")
axes.legend(fontsize=8)
plt.show()

# %% [markdown]
# Each line touches the curve. On the far left the neuron is off, its sum is below 0: there the loss does not depend on
# $w$, and the slope is 0.
#
# ## 5. Training
#
# Going against the slope makes the loss smaller, if the step is small enough. This is **gradient descent**; the length
# of the step is set by the **learning rate**.
#
# **Exercise.** Write one step.


# %%
def step(w, dw, lr):
    """The weights w after one step down the gradient dw, with the learning rate lr."""
    # <blank>
    return w - lr * dw
    # </blank>


step = course.check_step(step)

# %% [markdown]
# A network of eight neurons shall learn the wanted function from 16 points. Nobody tells it about hats: it starts from
# random weights.

# %%
HIDDEN = 8
x_train = np.linspace(-3, 3, 16)
y_train = wanted(x_train)
first = {
    "w1": rng.normal(0, 1.0, HIDDEN),
    "b1": rng.uniform(-2, 2, HIDDEN),
    "w2": rng.normal(0, 0.5, HIDDEN),
    "b2": np.zeros(1),
}


def as_values(numbers):
    """The weights as Values, which remember."""
    return {name: [Value(number) for number in array] for name, array in numbers.items()}


def predict(p, x):
    """The network's answer for a number x; p are lists of Values."""
    y = p["b2"][0]
    for w1, b1, w2 in zip(p["w1"], p["b1"], p["w2"], strict=True):
        y = y + (w1 * Value(x) + b1).relu() * w2
    return y


def mean_squared_error(p):
    """The mean over the points of (answer - wanted)^2."""
    total = Value(0.0)
    for x, y in zip(x_train, y_train, strict=True):
        error = predict(p, x) - Value(y)
        total = total + error * error
    return total * Value(1 / len(x_train))


numbers, losses = first, []
for _ in range(500):
    p = as_values(numbers)
    loss = mean_squared_error(p)
    loss.backward()
    losses.append(loss.data)
    numbers = {name: step(array, np.array([w.grad for w in p[name]]), lr=0.03) for name, array in numbers.items()}

figure, axes = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
axes[0].plot(x_train, y_train, "k.", label="points to learn")
axes[0].plot(xs, [predict(as_values(first), x).data for x in xs], ":", label="at the start")
axes[0].plot(xs, [predict(as_values(numbers), x).data for x in xs], color="tab:red", label="after 500 steps")
axes[0].set(xlabel="x")
axes[0].legend(fontsize=8)
axes[1].semilogy(losses, color="tab:red")
axes[1].set(xlabel="step", ylabel="loss")
plt.show()
assert losses[-1] < losses[0] / 3

# %% [markdown]
# It bends where this helps most: the large slope in the middle comes first, the rest is slow. Try other learning rates:
# with 0.003 it hardly moves, with 0.1 it jumps out of the valley again and again.
#
# ## 6. The same with minidl
#
# A loss here is made of hundreds of Values, and Python handles them one by one. A **tensor** is a Value that
# holds a whole array: the additions and products work on all elements at once, and NumPy does the work. Everything else
# is as above: it remembers what it was computed from, and `backward()` gives the gradients.

# %%
p = {name: md.tensor(array, requires_grad=True) for name, array in first.items()}
inputs, targets = x_train[:, None], y_train[:, None]


def loss_by_tensors():
    """The same loss, for all points at once."""
    hidden = nn.functional.relu(inputs * p["w1"] + p["b1"])
    y = (hidden * p["w2"]).sum(axis=1, keepdims=True) + p["b2"]
    return ((y - targets) ** 2).mean()


loss = loss_by_tensors()
graph = viz.Graph(loss, p | {"loss": loss})
loss.backward()
by_tensors = {name: tensor.grad.copy() for name, tensor in p.items()}
graph.draw()

# %% [markdown]
# Each box is a tensor with its value, or its shape if it is an array; blue ones are the parameters, grey ones the data.
# The gradients are the same to the last digits:

# %%
values = as_values(first)
loss_by_values = mean_squared_error(values)
loss_by_values.backward()
print(f"{len(loss_by_values.ancestors())} Values, {len(graph.tensors)} tensors")
for name, gradient in by_tensors.items():
    by_values = np.array([value.grad for value in values[name]])
    print(f"{name}: largest difference {np.abs(gradient - by_values).max():.0e}")
    assert np.allclose(gradient, by_values)

# %% [markdown]
# And it is faster, the more so the larger the arrays are. The best of five times for a loss and its gradients:

# %%
ways = {"Values": lambda: mean_squared_error(values).backward(), "tensors": lambda: loss_by_tensors().backward()}
times = np.array([min(timeit.repeat(way, number=1, repeat=5)) for way in ways.values()])
figure, axes = plt.subplots(figsize=(6, 1.6), layout="constrained")
axes.barh(list(ways), times / times[1], color=["tab:gray", "tab:red"])
axes.set(xlabel="time for a loss and its gradients, in units of that of tensors")
plt.show()

# %% [markdown]
# What we wrote out by hand has names in minidl: `nn.Dense` is the layer (its ReLU apart), `nn.Sequential` puts layers
# one after another, `mse_loss` is the loss, and an optimizer makes the steps. `Adam` chooses the length of the step for
# each weight on its own. With 64 neurons, whose biases (0 in a new `Dense`) we spread, as all would bend at $x = 0$:

# %%
model = nn.Sequential(nn.Dense(1, 64), nn.ReLU(), nn.Dense(64, 1))
model[0].b.data[:] = rng.uniform(-3, 3, 64)
optimizer = optim.Adam(model.parameters(), lr=1e-2)
x_batch, y_batch = md.tensor(inputs, dtype=np.float32), targets.astype(np.float32)
for _ in range(1500):
    loss = nn.functional.mse_loss(model(x_batch), y_batch)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

with md.no_grad():
    y = model(md.tensor(xs[:, None], dtype=np.float32)).numpy()
figure, axes = plt.subplots(figsize=(6, 2.8), layout="constrained")
axes.plot(x_train, y_train, "k.", label="points to learn")
axes.plot(xs, wanted(xs), lw=3, alpha=0.4, label="wanted")
axes.plot(xs, y, color="tab:red", label="64 neurons, by Adam")
axes.set(xlabel="x")
axes.legend(fontsize=8)
plt.show()
assert loss.item() < losses[-1]

# %% [markdown]
# ## Now read the real thing
#
# Your `Value` is the heart of `minidl/tensor.py`: the class `Tensor` with its method `backward`. Compare:

# %%
print(inspect.getsource(md.Tensor.backward))

# %% [markdown]
# What is new there: an *op* is an object of its own, which knows its mathematics for arrays (`minidl/op.py`, and for
# example `Mul` and `ReLU` in `minidl/ops/elementwise.py`); gradients that are still on their way are kept in `pending`;
# and the graph is freed as it is used. The next notebook, `02_autograd`, goes through all of this.
