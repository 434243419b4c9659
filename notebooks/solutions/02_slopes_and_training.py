# %% [markdown]
# # 2. Slopes and training
#
# A network that fits needs good weights. This notebook finds them:
#
# 1. an engine that finds the **slope** of a result for every number in it, in 60 lines;
# 2. **training**: going down that slope until the network fits;
# 3. the same with **minidl**, whose tensors are that engine for whole arrays.
#
# You need notebook 1.

# %%
import inspect
import timeit

import matplotlib.pyplot as plt
import numpy as np

import minidl as md
from minidl import course, nn, optim, viz

rng = np.random.default_rng(0)
md.seed(0)
xs = np.linspace(-3, 3, 200)


def wanted(x):
    """A function to imitate, that of notebook 1."""
    return np.sin(2 * x) + 0.3 * x


# %% [markdown]
# ## 1. Slopes, by an engine of 60 lines
#
# In notebook 1 we chose the weights by hand. To have them found, we measure how wrong the network is by one number, the
# **loss**, and ask for each weight: if it grew a little, would the loss grow or fall, and how fast? This is the
# derivative of the loss by that weight, its **gradient**. A network has thousands of weights, so it takes a method.
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
# ## 2. Training
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
# ## 3. The same with minidl
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
# and the graph is freed as it is used. The next notebook, `03_autograd`, goes through all of this.
