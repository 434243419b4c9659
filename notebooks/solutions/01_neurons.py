# %% [markdown]
# # 1. Neurons and layers
#
# A neural network is a function with adjustable numbers in it. This unit builds one by hand, from neurons so simple
# that you can draw each of them, and shows why enough of them can follow any curve. How a computer finds the numbers is
# the subject of unit 2.
#
# **You will be able to**
#
# - compute the output of a neuron, and say what its weights, its bias and ReLU do;
# - look at the weights of a neuron that sees an image, and say what it answers to;
# - follow a continuous curve with neurons, as closely as you like, and bound the error;
# - say what the activation function is for, and which ones would not do;
# - write a layer of neurons for many samples as one product of matrices.
#
# **Prior knowledge:** functions and their graphs, sums of products, Python functions and NumPy arrays. Products of
# matrices are repeated in section 3.
#
# **Time:** about 75 minutes, three exercises included.
#
# In each exercise, write your answer in the place of the three dots and run the cell: it prints "right" or a hint. If
# you leave it open, the notebook continues with minidl's own version.

# %%
import numpy as np

from agegender import data
from minidl import course, viz
from minidl.course import plots, style

style.use()

# %% [markdown]
# ## 1. A neuron is a weighted sum, cut off at 0
#
# A **neuron** has inputs $x_1, \dots, x_n$ and one output $y$. It multiplies each input by a number, its **weight**
# $w_i$, adds the products and a further number, the **bias** $b$, and replaces a negative result by 0:
#
# $$ y = \max\left(w_1 x_1 + \dots + w_n x_n + b,\; 0\right) $$
#
# The sum without the bias is a **weighted sum**. The function $\max(z, 0)$ is called **ReLU** (rectified linear unit).
# A function that is applied to the sum in this way is an **activation function**. Section 2 shows what it is for.
#
# **Exercise.** Write the neuron. `x` and `w` are arrays of the same length, `b` is a number.


# %%
def neuron(x, w, b):
    """max(w_1 x_1 + ... + w_n x_n + b, 0)"""
    # <blank>
    return max(np.sum(w * x) + b, 0.0)
    # </blank>


neuron = course.check_neuron(neuron)

# %% [markdown]
# With one input, the graph of a neuron is a flat half line and a sloping one. They meet where $w x + b = 0$: at the
# **bend** $x = -b / w$.
#
# **Predict:** where is the bend of the neuron with $w = 2$ and $b = 1$, and on which side of it is the output 0? And
# with $w = -1$ and $b = 1$?

# %%
xs = np.linspace(-3, 3, 601)
left, right = plots.panels(2, share="y")
by_weight = {f"w = {w:g}": [neuron(np.array([x]), np.array([w]), 1.0) for x in xs] for w in (0.5, 1.0, 2.0, -1.0)}
by_bias = {f"b = {b:g}": [neuron(np.array([x]), np.array([1.0]), b) for x in xs] for b in (-1.0, 0.0, 1.0)}
plots.curves(xs, by_weight, axes=left, xlabel="x", ylabel="y", title="the weight is the slope (b = 1)")
plots.curves(xs, by_bias, axes=right, xlabel="x", title="the bias shifts the bend (w = 1)")

# %% [markdown]
# The first neuron of the question bends at $-1/2$ and is 0 on the left of it. The second bends at 1 and is 0 on the
# right, because its slope is negative.
#
# With thousands of inputs the formula is the same. Let the inputs be the pixels of a face. Each pixel then has a
# weight, so the weights are an image as well. We choose them by hand, from 300 faces: the mean of the faces above 60
# years minus the mean of those below 20. So a weight is positive where old faces are brighter than young ones.

# %%
pixels, labels = data.drawn().batch(np.arange(600))
ages = labels["age"][:, 0]
chosen, others = pixels[:300], pixels[300:]
weights = chosen[ages[:300] > 60].mean(axis=0) - chosen[ages[:300] < 20].mean(axis=0)
print("shape of an image:", pixels[0].shape, " weights:", weights.size)
viz.images([weights], ["the weights"], columns=1, size=2, signed=True)

# %% [markdown]
# Red weights are positive: bright pixels there increase the sum. Blue weights are negative: bright pixels there
# decrease it. Where the picture is white, the weights are about 0, and the pixels hardly matter. We choose the bias so
# that the sum, bias included, is 0 for the mean of the 300 faces.
#
# **Predict:** the neuron gets 300 other faces. Which have the three smallest sums, young or old ones? And which the
# three largest?

# %%
bias = -(chosen.mean(axis=0) * weights).sum()
sums = (others * weights).sum(axis=(1, 2, 3)) + bias
order = np.argsort(sums)
extreme = [*order[:3], *order[-3:]]
viz.images(others[extreme], [f"sum {sums[i]:.0f}\nage {ages[300 + i]:.0f}" for i in extreme], limits=(0, 1))

# %% [markdown]
# Does the sum grow with the age for all of them? The **correlation coefficient** measures this: 1 if the points of the
# plot lie on a rising straight line, -1 on a falling one, and about 0 if there is no such trend.

# %%
print(f"correlation coefficient: {np.corrcoef(ages[300:], sums)[0, 1]:.2f}")
plots.points(ages[300:], sums, xlabel="age (years)", ylabel="sum before ReLU")

# %% [markdown]
# A single weighted sum of pixels already tells something about the age, also of faces that were not used to choose the
# weights. But the sums of equal ages vary widely. The largest weights are those of the hair, so the neuron takes any
# bright hair for a sign of age, blond hair as well. What can many neurons do?
#
# ## 2. Enough neurons follow any curve
#
# Three neurons with one input make a **hat**: a triangle of height 1 above the points from $c - h$ to $c + h$, with its
# top at $c$. Write $r(z) = \max(z, 0)$. Each neuron has the weight 1, and so the slope 1. The first starts to rise at
# $c - h$. The second bends the line down at $c$; it counts twice, because it must turn a rise into a fall. The third
# ends the fall at $c + h$. At $c$ the line has risen to $h$, so we divide by $h$:
#
# $$ \text{hat}(x) = \frac{r(x - c + h) - 2\, r(x - c) + r(x - c - h)}{h} $$
#
# **Exercise.** Write the hat. `centre` is $c$, and `width` is $h$, the distance from the centre to either end. `x` is
# an array of many inputs: `np.maximum(z, 0)` gives the larger of the two for each element, which `max` does not.


# %%
def hat(x, centre, width):
    """A triangle of height 1 at centre, and 0 outside of centre - width ... centre + width."""

    # <blank>
    def relu(z):
        return np.maximum(z, 0)

    return (relu(x - centre + width) - 2 * relu(x - centre) + relu(x - centre - width)) / width
    # </blank>


hat = course.check_hat(hat)
parts = {"r(x + 1)": np.maximum(xs + 1, 0), "-2 r(x)": -2 * np.maximum(xs, 0), "r(x - 1)": np.maximum(xs - 1, 0)}
left, right = plots.panels(2)
plots.curves(xs, parts, axes=left, xlabel="x", title="three neurons")
plots.curves(xs, {"sum": hat(xs, 0.0, 1.0)}, ["model"], axes=right, xlabel="x", title="their sum: a hat")

# %% [markdown]
# Now take a function to follow, and a number of evenly spaced points. Put a hat on each point, as high as the function
# is there, with its ends at the neighbouring points, and add up the hats. Between two points one hat falls while the
# next one rises. Both are straight lines there, so their sum is the straight line from one value to the next. In the
# figure the hats are grey.


# %%
def wanted(x):
    """The function to follow."""
    return np.sin(2 * x) + 0.3 * x


def imitation(x, points):
    """The sum of hats on evenly spaced points, each as high as the wanted function there."""
    width = points[1] - points[0]
    return sum(wanted(point) * hat(x, point, width) for point in points)


for axes, count in zip(plots.panels(2, share="y"), (7, 15), strict=True):
    points = np.linspace(-3, 3, count)
    for point in points:
        axes.plot(xs, wanted(point) * hat(xs, point, points[1] - points[0]), color=style.colour("reference"), lw=0.6)
    both = {"wanted": wanted(xs), f"{count} hats": imitation(xs, points)}
    figure = plots.curves(xs, both, ["data", "model"], axes=axes, xlabel="x")
figure

# %% [markdown]
# How large can the error be? If $|f''| \le M$, then the straight line between two points on the graph of $f$, with $h$
# from one $x$ to the other, differs from $f$ by at most $M h^2 / 8$.
#
# <details><summary>Why?</summary>
#
# Let $e$ be the difference. It is 0 at both ends, and $e'' = f''$, since the second derivative of a straight line is 0.
# Where $|e|$ is largest, say at $t$, we have $e'(t) = 0$. From there $e'$ changes by at most $M$ per unit of $x$: at a
# distance $u$ from $t$ we have $|e'| \le M u$. Let $d$ be the distance from $t$ to the nearer end, so $d \le h/2$. On
# the way to this end $e$ changes by at most $\int_0^d M u\, du = M d^2 / 2 \le M h^2 / 8$. It is 0 there, so $|e(t)|$
# is no larger than this.
#
# </details>
#
# Here $f''(x) = -4 \sin 2x$, so $M = 4$. The next cell takes 5, 9, 17, ... hats: each time $h$ is halved.
#
# **Predict:** by which factor does the largest error fall each time?

# %%
counts = np.array([5, 9, 17, 33, 65, 129])
errors = [np.abs(imitation(xs, np.linspace(-3, 3, n)) - wanted(xs)).max() for n in counts]
bounds = 4 * (6 / (counts - 1)) ** 2 / 8
for n, error in zip(counts, errors, strict=True):
    print(f"{n:4} hats: largest error {error:.4f}")
both = {"bound": bounds, "measured": errors}
plots.curves(counts, both, ["reference", "model"], "o-", "xy", xlabel="hats", ylabel="largest error")

# %% [markdown]
# Each time the bound falls to a quarter, and soon the error does the same. As $h$ becomes smaller, both fall below any
# limit that you set.
#
# A hat is three neurons, so a weighted sum of neurons can follow this function as closely as you like. It can follow
# any continuous function on a closed interval in this way, also one without derivatives: if the points are close enough
# together, the function changes by as little as you like between neighbours, and the straight lines do not leave that
# range.
#
# Which other functions could take the place of ReLU? M. Leshno and others proved in 1993, for any number of inputs: a
# continuous activation function will do if, and only if, it is not a polynomial. (Their theorem also allows some
# functions with jumps. K. Hornik's well-known proof of 1991 is for bounded activation functions, which ReLU is not.)
# A polynomial fails, even if its graph is curved. Take $z^2$. Then $(w x + b)^2 = w^2 x^2 + 2 w b x + b^2$ is a
# polynomial of degree 2, and so is any weighted sum of such neurons, however many there are.
#
# The next cell compares ReLU, $z^2$ and no activation function at all, which is $z$ itself, the *identity*. It takes
# neurons with evenly spaced bends, and the weighted sum that has the smallest sum of squared errors (`np.linalg.lstsq`
# computes it). It prints the root of the mean square of the error. The curve to follow is now $\cos 2x + 0.3 x$, which
# a parabola follows a little better than a straight line.
#
# **Predict:** how does the error with $z^2$ change from 5 neurons to 40?


# %%
def best_sum(activation, count):
    """The weighted sum of neurons, with slope 1 and evenly spaced bends, that is nearest to the curve."""
    outputs = activation(xs[:, None] - np.linspace(-4, 3, count))
    return outputs @ np.linalg.lstsq(outputs, curve, rcond=None)[0]


curve = np.cos(2 * xs) + 0.3 * xs
activations = {"ReLU": lambda z: np.maximum(z, 0), "square": np.square, "identity": lambda z: z}
for count in (5, 10, 40):
    errors = {name: np.sqrt(np.mean((best_sum(f, count) - curve) ** 2)) for name, f in activations.items()}
    print(f"{count:2} neurons, error:", ", ".join(f"{name} {error:.3f}" for name, error in errors.items()))
best = {name: best_sum(f, 10) for name, f in activations.items()}
colours = ["data", "model", "mistake", "reference"]
plots.curves(xs, {"wanted": curve, **best}, colours, xlabel="x", title="10 neurons", xlim=(-3, 5))

# %% [markdown]
# Forty squares are no better than five: both give the best polynomial of degree 2. With the identity the graphs of the
# neurons are straight lines, and so is that of their sum. This is what an activation function is for.
#
# The theorem says that good weights exist. It does not say how many neurons they take, nor how to find the weights:
# that is the subject of the next unit.
#
# ## 3. A layer is one product of matrices
#
# Neurons that have the same inputs form a **layer**. A **sample** is one example of the data, such as one face; $N$ is
# the number of samples. Write the samples as the rows of a matrix $x$, and the weights of each neuron as a column of a
# matrix $w$. The product $x\,w$ has one row for each sample and one column for each neuron. The element in row $n$ and
# column $k$ is the weighted sum of neuron $k$ for sample $n$:
#
# $$ (x\,w)_{nk} = x_{n1} w_{1k} + x_{n2} w_{2k} + \dots $$
#
# In NumPy the product is `x @ w`. Each neuron has its own bias, so $b$ is a row of numbers, which NumPy adds to every
# row of the product. With `in` inputs and `out` neurons, the **shapes**, the sizes of the arrays along their axes, are
#
# $$ y = \max(x\,w + b,\; 0), \qquad x: (N, \text{in}),\quad w: (\text{in}, \text{out}),\quad b: (\text{out},),
# \quad y: (N, \text{out}). $$
#
# **Predict:** the next cell has two samples with three inputs, and two neurons. Before you run it, compute the first
# row of $y$ by hand. (In such tables red cells are positive and blue ones negative.)

# %%
x = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0]])
w = np.array([[1.0, -1.0], [2.0, 0.0], [-3.0, 1.0]])
b = np.array([1.0, 0.5])
plots.numbers({"x: (2, 3)": x, "w: (3, 2)": w, "b: (2,)": b, "x w + b: (2, 2)": x @ w + b}, form="{:g}")

# %% [markdown]
# The first row of $x\,w$ is $1 \cdot 1 + 2 \cdot 2 + 0 \cdot (-3) = 5$ and $1 \cdot (-1) + 2 \cdot 0 + 0 \cdot 1 = -1$.
# With the biases it is 6 and $-0.5$, and after ReLU 6 and 0.
#
# **Exercise.** Write the layer, with `np.maximum` for all elements at once.


# %%
def layer(x, w, b):
    """max(x w + b, 0) for x (N, in), w (in, out) and b (out,)"""
    # <blank>
    return np.maximum(x @ w + b, 0)
    # </blank>


layer = course.check_layer(layer)

# %% [markdown]
# Fifteen hats take a layer and a weighted sum of its outputs. Neighbouring hats share their bends, so 17 neurons are
# enough for 15 hats. The weights of the sum follow from the formula of the hat: its three neurons get $1/h$, $-2/h$ and
# $1/h$, times its height.

# %%
points = np.linspace(-3, 3, 15)
width = points[1] - points[0]
bends = np.linspace(points[0] - width, points[-1] + width, 17)
w1, b1 = np.ones((1, 17)), -bends
w2 = np.zeros((17, 1))
for i, point in enumerate(points):
    w2[i : i + 3, 0] += wanted(point) * np.array([1, -2, 1]) / width
hidden = layer(xs[:, None], w1, b1)
y = hidden @ w2
print("shapes:", xs[:, None].shape, "->", hidden.shape, "->", y.shape)
print("equal to the sum of hats:", np.allclose(y[:, 0], imitation(xs, points)))

# %%
left, right = plots.panels(2)
left.plot(xs, hidden, color=style.colour("reference"), lw=0.8)
left.set(title="the outputs of 17 neurons", xlabel="x")
plots.curves(xs, {"sum": y}, ["model"], axes=right, title="their weighted sum", xlabel="x")

# %% [markdown]
# This is a **network** of two layers. The first one is called a **hidden layer**, since its outputs are neither the
# inputs nor the answer. The last layer has no ReLU, because the answer may be negative. Networks for images, such as
# the one of unit 0, have more layers and more numbers, and they are built from the same parts.
#
# ## Now read the real thing
#
# minidl's layer is `Dense` in `minidl/nn/layers.py`. It computes $x\,w + b$, with the same shapes; ReLU is a layer of
# its own.
#
# ## Questions
#
# 1. A neuron has $w = -2$ and $b = 3$. Where is its bend, and where is its output 0?
#
# <details><summary>Answer</summary>
#
# $-2 x + 3 = 0$ at $x = 1.5$. For larger $x$ the sum is negative, and the output is 0.
#
# </details>
#
# 2. Two layers without an activation function compute $(x\,w_1 + b_1)\,w_2 + b_2$. Which single layer computes the
#    same?
#
# <details><summary>Answer</summary>
#
# Multiplied out, it is $x\,(w_1 w_2) + (b_1 w_2 + b_2)$: a layer with the weights $w_1 w_2$ and the biases
# $b_1 w_2 + b_2$. So without an activation function further layers add nothing.
#
# </details>
#
# 3. You want the largest error to be a hundredth of what it is. How many times as many hats does the bound ask for?
#
# <details><summary>Answer</summary>
#
# About ten times as many: the bound is proportional to $h^2$, so $h$ must be a tenth.
#
# </details>
#
# ## Further reading
#
# - M. Leshno, V. Ya. Lin, A. Pinkus and S. Schocken, "Multilayer feedforward networks with a nonpolynomial activation
#   function can approximate any function", *Neural Networks* 6, 1993.
# - K. Hornik, "Approximation capabilities of multilayer feedforward networks", *Neural Networks* 4, 1991.
# - M. Nielsen, *Neural Networks and Deep Learning*, 2015, chapter 4: "A visual proof that neural nets can compute any
#   function", with steps in the place of hats.
# - I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, MIT Press, 2016, chapter 6: feedforward networks.
