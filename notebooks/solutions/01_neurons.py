# %% [markdown]
# # 1. Neurons and tensors
#
# A neural network is a function with many adjustable numbers in it. This notebook builds one from nothing:
#
# 1. a **neuron**, a weighted sum that is cut off at 0;
# 2. many neurons, which together can follow **any function**;
# 3. a **layer**, the same as one product of matrices.
#
# Blanks are yours to fill. A blank that you leave open is no obstacle: the notebook then goes on with minidl's own
# version. The solutions are in `notebooks/solutions`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from agegender import data
from minidl import course, viz

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
# say how to find them: that is what the next notebook, `02_slopes_and_training`, is about.
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
