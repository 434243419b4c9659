# %% [markdown]
# # 2. Slopes and training
#
# In unit 1 we chose the weights of a network by hand. Now the computer finds them. It starts with random weights,
# measures by one number how wrong the network is, computes how this number depends on each weight, and changes all
# weights a little for the better. It repeats this many times. Almost all training of neural networks, up to the
# largest ones, works in this way.
#
# **You will be able to**
#
# - say what a loss, a gradient and a learning rate are;
# - compute derivatives by the chain rule, by hand and with a class that you can read in a minute;
# - train a network by gradient descent, and see what the learning rate does;
# - say why libraries compute with tensors;
# - write the same training with minidl's layers and its optimizer.
#
# **Prior knowledge:** unit 1 (neuron, ReLU, layer), the derivative of a function and the rules for sums and products,
# Python classes.
#
# **Time:** about 90 minutes, three exercises included.

# %%
import inspect
import itertools
import timeit

import numpy as np

import minidl as md
from minidl import course, nn, optim, viz
from minidl.course import plots, style

style.use()
rng = np.random.default_rng(0)
md.seed(0)

# %% [markdown]
# ## 1. The loss says how wrong, its derivative says which way
#
# Take one neuron with one input, $y = \max(w x + b, 0)$. For the input $x = 1.5$ it should give 2, and its bias is
# $b = 0.5$. Which weight is right?
#
# The **loss** $L$ is a number that says how wrong the answers are. Here we take the square of the error:
#
# $$ L(w) = \left(\max(1.5\,w + 0.5,\; 0) - 2\right)^2 $$
#
# We look for the $w$ with the smallest loss. The derivative $L'(w)$ is the **slope** of the curve. If it is negative,
# a larger $w$ makes the loss smaller; if it is positive, a smaller $w$ does. You can approximate it from two values
# of the loss: move $w$ by a small $h$ to both sides, and divide the change of the loss by $2 h$.
#
# **Predict:** at which weight is the loss 0? And what is the slope where the neuron's output is 0?


# %%
def loss_at(w):
    """The squared error of the neuron with weight w."""
    return (np.maximum(1.5 * w + 0.5, 0) - 2) ** 2


h = 1e-5
for w in (-0.7, 0.0, 1.0, 1.8):
    print(f"w = {w:4.1f}: loss {loss_at(w):.3f}, slope {(loss_at(w + h) - loss_at(w - h)) / (2 * h):.3f}")
ws = np.linspace(-1, 2.5, 351)
plots.curves(ws, {"loss": loss_at(ws)}, ["data"], xlabel="weight w", ylabel="loss")

# %% [markdown]
# The loss is 0 at $w = 1$, where $1.5 + 0.5 = 2$. For $w < -1/3$ the sum is negative, the output is 0, and the loss
# does not depend on $w$: the slope is 0.
#
# Weights and biases are the network's parameters (unit 0). The derivative with respect to one of them says how the loss
# changes if only this one changes. The derivatives with respect to all parameters together are the **gradient** of the
# loss. To approximate it in this way takes two computations of the loss for each parameter. There is a better way.
#
# ## 2. The chain rule computes slopes from simple steps
#
# The loss is computed in simple steps: a product, a sum, ReLU, a difference, and the square of this as a product. For
# each step the slope of its result with respect to each of its inputs is simple.
#
# **Exercise.** What are the derivatives of $a\,b$ with respect to $a$ and with respect to $b$? What is the derivative
# of $\max(x, 0)$? At 0 it has none; as usual in neural networks, let it be 0 there.


# %%
def product_slopes(a, b):
    """The derivatives of a b: with respect to a, and with respect to b."""
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
# The **chain rule** combines the steps: if $w$ changes $z$ and $z$ changes $L$, then the slopes multiply,
#
# $$ \frac{dL}{dw} = \frac{dL}{dz}\,\frac{dz}{dw}. $$
#
# At $w = 0$ and $b = 0.5$, the steps of the neuron's loss are
#
# | step | value | slope |
# | --- | --- | --- |
# | $z = 1.5\,w + b$ | 0.5 | $dz/dw = 1.5$ |
# | $y = \max(z, 0)$ | 0.5 | $dy/dz = 1$ |
# | $e = y - 2$ | -1.5 | $de/dy = 1$ |
# | $L = e^2$ | 2.25 | $dL/de = 2 e = -3$ |
#
# so $dL/dw = (-3) \cdot 1 \cdot 1 \cdot 1.5 = -4.5$, the slope that was printed above.
#
# A computer can do this bookkeeping. A `Value` is a number that remembers the values it was computed from, its
# `inputs`, and its `slopes` with respect to each of them. `backward` starts at the result, whose derivative with
# respect to itself is 1, and goes back step by step: each value adds to the `grad` of each of its inputs its own `grad`
# times the slope. It adds, because a value that is used twice changes the result in two ways, and the effects add up.


# %%
NUMBERS = itertools.count()


class Value:
    """A number that remembers what it was computed from."""

    def __init__(self, data, inputs=(), slopes=()):
        self.data, self.inputs, self.slopes = data, inputs, slopes
        self.grad = 0.0
        self.number = next(NUMBERS)

    def __add__(self, other):
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __sub__(self, other):
        return Value(self.data - other.data, (self, other), (1.0, -1.0))

    def __mul__(self, other):
        return Value(self.data * other.data, (self, other), product_slopes(self.data, other.data))

    def relu(self):
        return Value(max(self.data, 0.0), (self,), (relu_slope(self.data),))

    def backward(self):
        """Compute grad, the derivative of this value, for every value that it was computed from."""
        self.grad = 1.0
        for value in self.ancestors():
            for x, slope in zip(value.inputs, value.slopes, strict=True):
                x.grad += slope * value.grad

    def ancestors(self):
        """This value and all that it was computed from, newest first."""
        found, unexplored = {self}, [self]
        while unexplored:
            new = {*unexplored.pop().inputs} - found
            found |= new
            unexplored += new
        return sorted(found, key=lambda value: value.number, reverse=True)


# %% [markdown]
# The order matters: the `grad` of a value has to be complete before it is passed on. A value is always newer than its
# inputs, so newest first is such an order, and `number` counts the values as they are made. Unit 3 explains this, and
# finds an order from the inputs alone.
#
# Does the class find the slopes of the curve? At four points the next cell draws a short pink line with the slope that
# it finds.


# %%
def neuron_loss(w, b):
    """The loss of section 1, for Values w and b."""
    error = (w * Value(1.5) + b).relu() - Value(2.0)
    return error * error


[axes] = plots.panels(1)
plots.curves(ws, {"loss": loss_at(ws)}, ["data"], axes=axes, xlabel="weight w", ylabel="loss")
for at in (-0.7, 0.0, 1.0, 1.8):
    w = Value(at)
    loss = neuron_loss(w, Value(0.5))
    loss.backward()
    print(f"w = {at:4.1f}: slope {w.grad:.3f}")
    ends = np.array([at - 0.3, at + 0.3])
    axes.plot(ends, loss.data + w.grad * (ends - at), color=style.colour("gradient"), lw=3)
axes.figure

# %% [markdown]
# They are the slopes of section 1, and each line is a tangent of the curve.
#
# ## 3. Gradient descent takes steps downhill
#
# **Gradient descent** changes each parameter against its slope, by a step in proportion to the slope. The factor is the
# **learning rate**, `lr`: subtract `lr` times the derivative.
#
# **Exercise.** Write one step. `w` and `dw` are arrays of the same shape: the parameters, and the derivatives of the
# loss with respect to them.


# %%
def step(w, dw, lr):
    """The parameters after one step of gradient descent."""
    # <blank>
    return w - lr * dw
    # </blank>


step = course.check_step(step)

# %% [markdown]
# How long should the steps be? Where the output of the neuron is not 0, its loss is a parabola with the minimum at 1:
# $L(w) = (1.5\,w - 1.5)^2 = 2.25\,(w - 1)^2$, so $L'(w) = 4.5\,(w - 1)$. A step leads from the distance $w - 1$ to
# $w - 1 - \text{lr} \cdot 4.5\,(w - 1)$: it multiplies the distance by $1 - 4.5\,\text{lr}$. For $\text{lr} = 0.1$ the
# factor is 0.55.
#
# **Predict:** the steps start at $w = 0$. What are the factors for $\text{lr} = 0.02$, $0.4$ and $0.5$, and what will
# $w$ do with each?


# %%
def descend(lr, start=0.0, steps=12):
    """The weights of the neuron during gradient descent."""
    path = [np.array([start])]
    for _ in range(steps):
        w = Value(path[-1][0])
        neuron_loss(w, Value(0.5)).backward()
        path.append(step(path[-1], np.array([w.grad]), lr))
    return np.array(path)


paths = {f"lr = {lr:g}": descend(lr) for lr in (0.02, 0.1, 0.4, 0.5)}
colours = ["reference", "model", "training", "mistake"]
plots.curves(range(13), paths, colours, "o-", xlabel="step", ylabel="weight w", xlim=(0, 16))

# %% [markdown]
# | lr | factor | what happens |
# | --- | --- | --- |
# | 0.02 | 0.91 | the right way, slowly |
# | 0.1 | 0.55 | quickly to the minimum |
# | 0.4 | -0.8 | to the minimum, from one side to the other |
# | 0.5 | -1.25 | to the other side and further away |
#
# The last path ends where the output of the neuron is 0. The slope is 0 there, so no step leads out again (unit 8 says
# more about such neurons). The right learning rate depends on how strongly the loss curves, which one rarely knows.
# One tries.
#
# ## 4. A network learns a curve from points
#
# Now a whole network: eight neurons, and the weighted sum of their outputs plus a bias, 25 parameters. It will learn
# the function of unit 1 from its values at 16 points. Its weights are not those of hats: they are random at first, as
# are the biases of the neurons. Its loss is the **mean squared error**, the mean over all points of
# $(\text{answer} - \text{wanted})^2$.

# %%
HIDDEN = 8
xs = np.linspace(-3, 3, 601)
x_train = np.linspace(-3, 3, 16)


def wanted(x):
    """The function to learn, that of unit 1."""
    return np.sin(2 * x) + 0.3 * x


y_train = wanted(x_train)
first = {
    "w1": rng.normal(0, 1.0, HIDDEN),
    "b1": rng.uniform(-2, 2, HIDDEN),
    "w2": rng.normal(0, 0.5, HIDDEN),
    "b2": np.zeros(1),
}

# %% [markdown]
# The network and its loss, with Values:


# %%
def as_values(numbers):
    """The parameters as lists of Values."""
    return {name: [Value(number) for number in array] for name, array in numbers.items()}


def predict(p, x):
    """The answer of the network with the parameters p, for a number x."""
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


# %% [markdown]
# Training is a loop: compute the loss, go back to the gradient, take a step.
#
# **Predict:** what will the answers look like after 50 steps, and after 500? How does the loss fall: evenly, or fast at
# first?

# %%
numbers, losses, stages = first, [], {}
for number in range(501):
    if number in (0, 50, 500):
        stages[f"step {number}"] = [predict(as_values(numbers), x).data for x in xs[::10]]
    p = as_values(numbers)
    loss = mean_squared_error(p)
    loss.backward()
    losses.append(loss.data)
    numbers = {name: step(array, np.array([w.grad for w in p[name]]), lr=0.03) for name, array in numbers.items()}
print(f"loss: {losses[0]:.2f} at the start, {losses[-1]:.2f} after 500 steps")

# %%
left, right = plots.panels(2)
left.plot(x_train, y_train, "o", color=style.colour("data"))
plots.curves(xs[::10], stages, ["reference", "training", "model"], axes=left, xlabel="x", title="points and answers")
plots.curves(range(501), {"loss": losses}, ["training"], log="y", axes=right, xlabel="step", title="loss")

# %% [markdown]
# After 50 steps the answers are nearly a straight line. After 500 they have the steep rise in the middle, and not much
# more. The loss falls fast at first and slowly later. A step changes a parameter by `-lr` times its derivative, and if
# the step is small, this changes the loss by about the derivative times the change. All together the loss falls by
# about `lr` times the sum of the squared derivatives, and these become smaller. The bends move meanwhile: they are at
# $x = -b / w$, and training changes both.
#
# ## 5. Tensors are Values that hold arrays
#
# The loss above is made of hundreds of Values, and Python handles them one by one. A **tensor** is a Value that holds a
# whole array: its sums and products work on all elements at once, and NumPy does the work. Everything else is the same.
# It remembers what it was computed from, and `backward()` computes the derivatives. The 16 points are the rows of a
# matrix and the weights are matrices, as for the layer of unit 1. `linear` is $x\,w + b$.

# %%
inputs, targets = md.tensor(x_train[:, None]), y_train[:, None]
matrices = first | {"w1": first["w1"][None, :], "w2": first["w2"][:, None]}


def as_tensors(numbers):
    """The parameters as tensors that ask for their derivatives."""
    return {name: md.tensor(array, requires_grad=True) for name, array in numbers.items()}


def loss_by_tensors(p):
    """The same loss, for all points at once: x w + b, ReLU, x w + b, mean squared error."""
    hidden = nn.functional.relu(nn.functional.linear(inputs, p["w1"], p["b1"]))
    return nn.functional.mse_loss(nn.functional.linear(hidden, p["w2"], p["b2"]), targets)


tensors = as_tensors(matrices)
loss = loss_by_tensors(tensors)
graph = viz.Graph(loss, tensors)
loss.backward()
figure = graph.draw()
figure.set_size_inches(style.PAGE, figure.get_figheight())
figure

# %% [markdown]
# Each box is a tensor with its shape, or its value if it is a single number; its `grad` is in red, in the same way. The
# blue boxes are the parameters, the grey ones the data, and the white ones are results, with the name of the step that
# computed them. Are the derivatives those of the Values?
#
# **Predict:** the graph has ten tensors. How many Values does the same loss take: ten as well, a hundred, or even more?

# %%
values = as_values(first)
loss = mean_squared_error(values)
loss.backward()
print(f"{len(loss.ancestors()):,} Values, {len(graph.tensors)} tensors")
for name, tensor in tensors.items():
    print(f"{name}: equal derivatives:", np.allclose(tensor.grad.ravel(), [value.grad for value in values[name]]))

# %% [markdown]
# How much faster are they? The best of five times for a loss and its derivatives, with the time of tensors as the unit:

# %%
ways = (
    lambda: mean_squared_error(as_values(first)).backward(),
    lambda: loss_by_tensors(as_tensors(matrices)).backward(),
)
times = [min(timeit.repeat(way, number=1, repeat=5)) for way in ways]
plots.bars({"Values": times[0] / times[1], "tensors": 1.0}, ["reference", "model"], xlabel="time, tensors = 1")

# %% [markdown]
# Python's work for a Value is done for every number, its work for a tensor once for the whole array. With fast steps we
# can compare learning rates for the network, too.
#
# **Predict:** which of the three learning rates has the smallest loss after 500 steps? Does each curve fall at every
# step?


# %%
def train(lr, steps=500):
    """The losses of gradient descent with tensors, from the same first parameters."""
    numbers, losses = matrices, []
    for _ in range(steps):
        p = as_tensors(numbers)
        loss = loss_by_tensors(p)
        loss.backward()
        losses.append(loss.item())
        numbers = {name: step(numbers[name], p[name].grad, lr) for name in numbers}
    return losses


runs = {f"lr = {lr:g}": train(lr) for lr in (0.003, 0.03, 0.1)}
for name, run in runs.items():
    print(f"{name}: loss {run[0]:.2f} at first, {run[-1]:.2f} at the end; {np.sum(np.diff(run) > 0)} steps uphill")
colours = ["reference", "model", "mistake"]
plots.curves(range(500), runs, colours, log="y", xlabel="step", ylabel="loss", xlim=(-10, 660))

# %% [markdown]
# With the smallest rate the loss falls at every step, but it needs many more steps to get as far as with 0.03. The
# largest rate is too large where the loss curves most strongly: there it jumps up, as the last path of section 3 moves
# away from the minimum. The steps that follow bring it down again.
#
# ## 6. The same with minidl's layers
#
# What you wrote out by hand has names in minidl: `nn.Dense` is the layer of unit 1 without its ReLU, `nn.Sequential`
# puts layers one after another, and `mse_loss` is the mean squared error. An **optimizer** takes the steps. `Adam` is
# one that adapts the length of the step to each parameter (unit 6). We take 64 neurons. The biases of a new
# `Dense` are 0, so all neurons would bend at $x = 0$: we spread them.

# %%
model = nn.Sequential(nn.Dense(1, 64), nn.ReLU(), nn.Dense(64, 1))
model[0].b.data[:] = rng.uniform(-3, 3, 64)
optimizer = optim.Adam(model.parameters(), lr=1e-2)
x_batch, y_batch = md.tensor(x_train[:, None], dtype=np.float32), targets.astype(np.float32)
for _ in range(1500):
    loss = nn.functional.mse_loss(model(x_batch), y_batch)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"loss {loss.item():.1e}, {sum(p.size for p in model.parameters())} parameters")

# %% [markdown]
# `zero_grad()` removes the derivatives of the last step, because `backward()` adds to them. **float32** is a number
# format with about 7 decimal digits, that of the parameters of a new layer. **float64**, NumPy's default, has about 16.
# `md.tensor` keeps the format of an array, so we ask for float32 here.
#
# The loss at the 16 points is nearly 0. The points are not what we want, though: we want the curve between them. As in
# unit 1, the sum of 16 hats follows the straight lines between the points.
#
# **Predict:** which comes nearer to the wanted curve, the hats or the network?

# %%
with md.no_grad():  # no derivatives are needed, so nothing is remembered
    y = model(md.tensor(xs[:, None], dtype=np.float32)).numpy()[:, 0]
answers = {"16 hats": np.interp(xs, x_train, y_train), "network": y}
for name, answer in answers.items():
    print(f"{name}: largest error {np.abs(answer - wanted(xs)).max():.2f}")
[axes] = plots.panels(1)
axes.plot(x_train, y_train, "o", color=style.colour("data"))
both = {"wanted": wanted(xs), **answers}
plots.curves(xs, both, ["data", "reference", "model"], axes=axes, xlabel="x", xlim=(-3, 5))

# %% [markdown]
# Both come close to the points, and both have to guess between them. Training looks at the points alone, so its loss
# cannot tell how good the guesses are. For this you need points that were not used to train. For faces it is the same:
# what counts is the answer for a face that the network has not seen (unit 10).
#
# ## Now read the real thing
#
# Your `Value` is the core of `minidl/tensor.py`: the class `Tensor`, with its method `backward`:

# %%
print(inspect.getsource(md.Tensor.backward))

# %% [markdown]
# You will find `ancestors` there as `_newest_first`, and the addition of your line with `+=` in `pending` and
# `arrived`, which hold the derivatives on their way to `grad`. Units 3 and 4 explain the rest.
#
# ## Questions
#
# 1. For $L = (w x - t)^2$, what is $dL/dw$?
#
# <details><summary>Answer</summary>
#
# With $e = w x - t$ the slopes are $dL/de = 2 e$ and $de/dw = x$, so $dL/dw = 2\,(w x - t)\,x$.
#
# </details>
#
# 2. In `error * error` both inputs of the product are the same Value. What does `backward` do with it?
#
# <details><summary>Answer</summary>
#
# The product has the slopes (error, error). `backward` adds error twice to the `grad` of `error`, in all
# $2 \cdot \text{error}$: the derivative of the square.
#
# </details>
#
# 3. All weights of two layers start at 0, and all biases too. What does gradient descent change in the network of
#    section 4?
#
# <details><summary>Answer</summary>
#
# At most `b2`. The outputs of the neurons are 0, so the derivatives with respect to `w2` are 0. Those with respect to
# `w1` and `b1` have the factor `w2`, which is 0. (Here not even `b2` changes: its derivative is twice the mean error,
# and the mean of the wanted values is 0.) Another number for all would not do either: neurons that are equal get equal
# derivatives, and stay equal. So the weights start at different random numbers.
#
# </details>
#
# ## Further reading
#
# - A. Karpathy, "The spelled-out intro to neural networks and backpropagation: building micrograd", a lecture, 2022: an
#   engine like `Value`, built step by step.
# - I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, MIT Press, 2016, section 4.3: gradient-based
#   optimization.
# - D. E. Rumelhart, G. E. Hinton and R. J. Williams, "Learning representations by back-propagating errors", *Nature*
#   323, 1986.
