# %% [markdown]
# # 4. Gradients of arrays
#
# In unit 3 the nodes of the graphs were numbers. In a network every node is an array: an image, many samples at once,
# the weights of a layer. This unit carries the chain rule over to arrays, and the results are short: what broadcasting
# copies forward is summed backward, and one matrix product forward becomes two backward. At the end a layer trains with
# gradients that you wrote.
#
# **You will be able to**
#
# - say what dy is, the gradient that arrives at an op in the backward pass, and which shape it has;
# - derive the gradient of an op on arrays, index by index;
# - undo broadcasting in the backward pass;
# - write the backward pass of a matrix product, and say why a fitting shape does not prove it right;
# - check each of these by a gradient check.
#
# **Prior knowledge:** unit 3 (graph, chain rule, gradient check), and in NumPy shapes, axes, `sum(axis=...)` and `@`.
#
# **Time:** about 90 minutes, two exercises included.

# %%
import inspect

import numpy as np

import minidl as md
from agegender import data
from minidl import course, nn, op, viz
from minidl.course import plots, style
from minidl.testing import GradientError, gradcheck

style.use()
F = nn.functional
rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. The gradient of an image is an image
#
# The gradient of the loss with respect to an array has the shape of that array: it has one derivative for
# each element. For an image it is an image, which says for each pixel how the loss changes with it.
#
# Let the loss be the mean squared difference between one drawn face, $x$, and another one, the goal $g$. Both have $P$
# pixels. We do gradient descent, and the parameters are the pixels of $x$:
#
# $$ L = \frac{1}{P} \sum_i (x_i - g_i)^2, \qquad \frac{\partial L}{\partial x_i} = \frac{2}{P} (x_i - g_i) $$
#
# **Predict:** with a learning rate of $0.05\,P$ each step moves $x_i$ by $-0.1\,(x_i - g_i)$. By which factor does the
# loss fall in one step, and in ten?

# %%
faces, _ = data.drawn(20).batch(np.array([4, 9]))
face, goal = md.tensor(faces[0], requires_grad=True), faces[1]
shown, slopes, losses = [], [], []
for _ in range(41):
    loss = F.mse_loss(face, goal)
    face.zero_grad()
    loss.backward()
    shown.append(face.numpy())
    slopes.append(face.grad)
    losses.append(loss.item())
    face.data = face.data - 0.05 * face.size * face.grad
print(f"one step: {losses[1] / losses[0]:.3f}, ten steps: {losses[10] / losses[0]:.3f}, 0.81^10 = {0.81**10:.3f}")
steps = [0, 5, 10, 40]
viz.images([shown[n] for n in steps], [f"step {n}" for n in steps], limits=(0, 1))

# %%
largest = np.abs(slopes[0]).max()
viz.images([slopes[n] for n in steps], [f"gradient, step {n}" for n in steps], signed=True, limits=(-largest, largest))

# %% [markdown]
# Each difference shrinks to 0.9 of what it was, so the loss, a mean of squares, shrinks to 0.81. In the second row the
# gradient is negative at blue pixels, which must become brighter, and positive at red ones, which must become darker.
# The closer the face is to its goal, the paler they are.
#
# ## 2. dy: the gradient that arrives at an op
#
# An op computes an array $y$ from an array $x$, and the loss $L$ depends on $y$. In the backward pass an array arrives:
#
# $$ dy_i = \frac{\partial L}{\partial y_i} $$
#
# It has one derivative for each element of $y$, so it has the shape of $y$. Its name is the **cotangent** of $y$. We
# write **dy**, as one name (it is no product, and no differential), and likewise dx, dw, db for the gradients of the
# loss with respect to $x$, $w$, $b$. The op has to compute dx from dy. Each element is a number, so the chain rule of
# unit 3 holds: add up over all paths. From $x_j$ a path leads through each $y_i$ that depends on it:
#
# $$ dx_j = \sum_i dy_i \, \frac{\partial y_i}{\partial x_j} $$
#
# The table of all $\partial y_i / \partial x_j$, with a row for each result and a column for each input, is the
# **Jacobian** $J$. So $dx = dy\,J$, a row of numbers times a matrix: a **vector-Jacobian product**. An example: the
# products of neighbours, $y_i = x_i\,x_{i+1}$, for four numbers $x$.
#
# Indices count from 0 in this unit, as in NumPy.
#
# **Predict:** which elements of its Jacobian, of 3 rows and 4 columns, are 0? What stands in the others?


# %%
def neighbours(x):
    """The products of neighbours."""
    return x[:-1] * x[1:]


def gradient(dy):
    """dx for the inputs 2, -1, 3, 5; backward(dy) begins with dy instead of 1."""
    x = md.tensor([2.0, -1.0, 3.0, 5.0], requires_grad=True)
    neighbours(x).backward(dy)
    return x.grad


jacobian = [gradient(one) for one in np.eye(3, dtype=np.float32)]  # dy = (0, 1, 0) gives the second row
dy = np.array([1.0, -2.0, 4.0], dtype=np.float32)
plots.numbers({"dy": dy, "Jacobian": jacobian, "dx = dy J": gradient(dy)})

# %% [markdown]
# Row $i$ has $x_{i+1}$ in column $i$ and $x_i$ in column $i + 1$; the rest is 0. Check one element by hand:
# $dx_1 = 1 \cdot 2 + (-2) \cdot 3 = -4$.
#
# A backward pass does not store the Jacobian, because it is huge. Take one layer of unit 3: 256 samples, 1,000 outputs
# each, and 1,000 x 1,000 weights, in float32, which takes 4 bytes for each number. How large is the Jacobian of its
# outputs with respect to its weights?

# %%
results, weights = 256 * 1000, 1000 * 1000
print(f"elements of the Jacobian: {results * weights:,}, in float32 {4 * results * weights / 1e12:.1f} terabytes")

# %% [markdown]
# Most of them are 0: a weight affects one output of each sample. `backward` computes the product $dy\,J$ by a short
# formula for each kind of op. For an op that works element by element, as softplus in unit 3, $y_i$ depends on $x_i$
# only: $J$ has the slopes on its diagonal and 0 elsewhere, and $dx_i = dy_i$ times the slope. The next two sections
# derive the formulas of the two most important ops that are not of this kind.
#
# ## 3. Copies forward, sums backward
#
# In `x + b` with shapes `(4, 3)` and `(3,)` NumPy adds `b` to each row of `x`, as if it were copied four times. This is
# **broadcasting**. An element of $b$ has four paths to the loss, one through each row, and each has slope 1. So its
# gradient is a sum: **the gradient of what was copied is the sum of dy over the copies**.
#
# **Predict:** the next cell has a dy of shape `(4, 3)`. What are the three elements of db?

# %%
x = md.tensor(np.zeros((4, 3)), requires_grad=True)
b = md.tensor(np.zeros(3), requires_grad=True)
dy = np.array([[1.0, 0, 2], [3, 0, -1], [5, 2, 0], [1, -4, 0]])
(x + b).backward(dy)
plots.numbers({"dy": dy, "dx": x.grad, "db": b.grad})

# %% [markdown]
# dx equals dy, as no element of $x$ was copied. db has the sums of the columns.
#
# NumPy compares shapes from the *last* axis. It adds the axes that are missing in front, and copies along these, and
# along axes of size 1:
#
# | shape of dy | shape of the input | copied along | the gradient of the input |
# | --- | --- | --- | --- |
# | `(4, 3)` | `(3,)` | axis 0, which was added | `dy.sum(axis=0)`, shape `(3,)` |
# | `(4, 3)` | `(4, 1)` | axis 1, of size 1 | `dy.sum(axis=1, keepdims=True)`, shape `(4, 1)` |
# | `(4, 3)` | `()` | both, which were added | `dy.sum()`, shape `()` |
# | `(4, 3)` | `(4, 3)` | none | `dy` |
#
# **Exercise.** Write a function that computes the last column, for any shape that NumPy can broadcast to that of dy.
# (`sum(axis=...)` also takes a tuple of axes, and `keepdims=True` keeps them with size 1.)


# %%
def unbroadcast(dy, shape):
    """The gradient of an input of that shape, given dy for the broadcast result: sums over what was copied."""
    # <blank>
    added = dy.ndim - len(shape)
    dy = dy.sum(axis=tuple(range(added)))
    ones = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return dy.sum(axis=ones, keepdims=True)
    # </blank>


unbroadcast = course.check_unbroadcast(unbroadcast)

# %% [markdown]
# The gradient check does not use this formula: it moves each element of the inputs a little. We try your function
# inside an op, a product with broadcasting, for several pairs of shapes. (minidl would undo the broadcasting itself if
# `backward` did not; here nothing is left for it to do.)


# %%
class Mul(op.Op):
    """y = x s, element by element, with broadcasting."""

    def forward(self, x, s):
        self.save(x, s)
        return x * s

    def backward(self, dy):
        x, s = self.saved
        return unbroadcast(dy * s, x.shape), unbroadcast(dy * x, s.shape)


for one, other in [((4, 3), (3,)), ((4, 3), (4, 1)), ((2, 1, 3), (4, 1)), ((4, 3), ())]:
    checked = gradcheck(Mul.apply, rng.normal(size=one), rng.normal(size=other))
    print(one, "*", other, f"right, {checked.compared} derivatives compared")

# %% [markdown]
# A sum does the opposite: many numbers forward become one, and backward one dy goes to all of them. In
# $y = x_1 + x_2 + \dots$ each slope is 1, so each $x_i$ gets dy: **the gradient of what was summed is a copy of dy**. A
# mean also divides by the number of elements, forward and backward.
#
# **Predict:** $y$ is the mean of each column of a `(4, 3)` array, and dy is (4, 8, -4). What is dx?

# %%
x = md.tensor(rng.normal(size=(4, 3)), requires_grad=True)
dy = np.array([4.0, 8.0, -4.0])
x.mean(axis=0).backward(dy)
plots.numbers({"dy": dy, "dx": x.grad})

# %% [markdown]
# ## 4. The matrix product, index by index
#
# A layer computes $y = x w + b$. Section 3 has given db, so we take $y = x w$ here. $x$ is a **batch**: several samples
# that are computed together, one in each row. If there are $N$ samples with `in` inputs each, and the layer has `out`
# outputs, the shapes are
#
# $$ x: (N, \mathrm{in}), \qquad w: (\mathrm{in}, \mathrm{out}), \qquad y = x w: (N, \mathrm{out}), \qquad
# y_{nj} = \sum_i x_{ni}\, w_{ij} $$
#
# With two samples, two inputs and two outputs there are four results:
#
# $$ y_{00} = x_{00} w_{00} + x_{01} w_{10} \qquad y_{01} = x_{00} w_{01} + x_{01} w_{11} $$
# $$ y_{10} = x_{10} w_{00} + x_{11} w_{10} \qquad y_{11} = x_{10} w_{01} + x_{11} w_{11} $$
#
# **Predict:** $w_{10}$, in the lower left corner of $w$, grows by 1. Which results change, and by how much? Take $x$
# from the next cell.

# %%
x = np.array([[1.0, 2.0], [3.0, 4.0]])
w = np.array([[5.0, -1.0], [0.0, 2.0]])
larger = w + np.array([[0.0, 0.0], [1.0, 0.0]])
plots.numbers({"x": x, "w": w, "y = x w": x @ w, "change of y": x @ larger - x @ w})

# %% [markdown]
# The formulas say the same: $w_{10}$ occurs in $y_{00}$, with slope $x_{01}$, and in $y_{10}$, with slope $x_{11}$.
# These are its two paths to the loss, so
#
# $$ dw_{10} = x_{01}\, dy_{00} + x_{11}\, dy_{10} $$
#
# In general $w_{ij}$ occurs once for each sample, in $y_{nj}$ with slope $x_{ni}$. Every sample uses the same weight,
# and the contributions of the samples add up, as for any number that is copied:
#
# $$ dw_{ij} = \sum_n x_{ni}\, dy_{nj} $$
#
# This sum over $n$ is the element in row $i$ and column $j$ of a matrix product. Of which matrices? In a product
# $(a b)_{ij} = \sum_n a_{in} b_{nj}$ the summed index is the *last* of the first factor and the *first* of the second.
# A factor in which it is the other one must be transposed: $(a^T)_{in} = a_{ni}$, in NumPy `a.T`.
#
# **Exercise.** Write dw as a matrix product. Then do the same for dx: in which results does $x_{ni}$ occur, and with
# which slopes?


# %%
def matmul_backward(dy, x, w):
    """The gradients (dx, dw) of y = x @ w, for dy (N, out), x (N, in) and w (in, out)."""
    # <blank>
    dx = dy @ w.T
    dw = x.T @ dy
    return dx, dw
    # </blank>


matmul_backward = course.check_matmul_backward(matmul_backward)

# %% [markdown]
# <details><summary>dx, index by index</summary>
#
# $x_{ni}$ occurs in the results of its own sample, $y_{nj}$ for every $j$, with slope $w_{ij}$. So
# $dx_{ni} = \sum_j dy_{nj}\, w_{ij}$. The summed index $j$ is the last of dy, as it must be, but also the last of $w$,
# which must be transposed: $dx = dy\,w^T$.
#
# </details>
#
# The gradient check, as before in an op, for three sizes:


# %%
class MatMul(op.Op):
    """y = x w, a matrix product with your own backward."""

    def forward(self, x, w):
        self.save(x, w)
        return x @ w

    def backward(self, dy):
        return matmul_backward(dy, *self.saved)


for N, inputs, outputs in [(2, 2, 2), (4, 3, 2), (1, 5, 3)]:
    checked = gradcheck(MatMul.apply, rng.normal(size=(N, inputs)), rng.normal(size=(inputs, outputs)))
    print(f"N = {N}, in = {inputs}, out = {outputs}: right, {checked.compared} derivatives compared")

# %% [markdown]
# "Find the product whose shape fits" is popular advice, but a shape that fits proves nothing. If $N$, in and out are
# equal, *every* product of dy and $x$, transposed or not, has the shape of $w$. Here are four of them as dw, for three
# samples with three inputs and three outputs.
#
# **Predict:** how many of the four pass the gradient check?

# %%
candidates = {
    "x.T @ dy": lambda dy, x: x.T @ dy,
    "x @ dy": lambda dy, x: x @ dy,
    "dy.T @ x": lambda dy, x: dy.T @ x,
    "dy @ x.T": lambda dy, x: dy @ x.T,
}
for name, product in candidates.items():

    class Candidate(MatMul):
        """y = x w, with one of the candidates as dw."""

        def backward(self, dy, product=product):
            x, w = self.saved
            return matmul_backward(dy, x, w)[0], product(dy, x)

    try:
        gradcheck(Candidate.apply, rng.normal(size=(3, 3)), rng.normal(size=(3, 3)))
        print(f"{name}: right")
    except GradientError:
        print(f"{name}: wrong, although its shape fits")

# %% [markdown]
# You now know where the time of a backward pass goes: each matrix product of the forward pass costs two in the backward
# pass, one for dx and one for dw. The first layer of a network needs no dx, because training does not change the data.
# Two layers have two products forward and three backward: those of unit 3.
#
# ## 5. A layer trained by your own gradients
#
# All parts are there to train a layer without autograd. The data are 200 samples with three inputs and two **targets**,
# the outputs that the layer should have. They come from weights and biases that we pretend not to know, plus **noise**:
# random numbers, here with a mean square of about $0.1^2 = 0.01$. The loss is the mean squared error over all elements,
# so $dy = 2\,(y - t) / (\text{number of elements})$ for targets $t$. `step` is your own from unit 2, if you wrote it.
#
# **Predict:** to about which value does the loss fall: 0, 0.01 or 0.1?

# %%
step = course.mine("step")
true_w, true_b = np.array([[1.0, -2.0], [0.5, 0.0], [-1.0, 3.0]]), np.array([2.0, -1.0])
x = rng.normal(size=(200, 3))
targets = x @ true_w + true_b + 0.1 * rng.normal(size=(200, 2))

w, b = np.zeros((3, 2)), np.zeros(2)
losses = []
for _ in range(60):
    y = x @ w + b
    losses.append(((y - targets) ** 2).mean())
    dy = 2 * (y - targets) / y.size
    _, dw = matmul_backward(dy, x, w)
    db = unbroadcast(dy, b.shape)
    w, b = step(w, dw, lr=0.2), step(b, db, lr=0.2)

# %% [markdown]
# The same with minidl, which records the graph and calls `backward`:

# %%
p = {"w": md.tensor(np.zeros((3, 2)), requires_grad=True), "b": md.tensor(np.zeros(2), requires_grad=True)}
by_minidl = []
for _ in range(60):
    loss = F.mse_loss(x @ p["w"] + p["b"], targets)
    by_minidl.append(loss.item())
    loss.backward()
    for tensor in p.values():
        tensor.data = tensor.data - 0.2 * tensor.grad
        tensor.zero_grad()
left, right = plots.panels(2, share="both")
shown = {"yours": losses, "noise": [0.01] * 60}
plots.curves(range(60), shown, ["model", "data"], log="y", axes=left, xlabel="step", ylabel="loss")
shown = {"minidl": by_minidl, "noise": [0.01] * 60}
plots.curves(range(60), shown, ["reference", "data"], log="y", axes=right, xlabel="step")

# %%
print("your weights equal minidl's up to rounding:", np.allclose(w, p["w"].numpy(), rtol=1e-9, atol=1e-9))
plots.numbers({"true w": true_w, "your w": w, "true b": true_b, "your b": b}, form="{:.2f}")

# %% [markdown]
# The loss falls to about 0.01, the mean square of the noise, which no weights can predict. (The 400 random numbers of
# these targets do not have exactly this mean square, and the weights follow them a little.) The two curves are the
# same.
#
# ## Now read the real thing
#
# In minidl `backward` of an op may ignore broadcasting: `Op.gradients` in `minidl/op.py` calls the function below on
# whatever `backward` returns. Compare it with yours; most of it is the message for a wrong shape. Then read `MatMul` in
# `minidl/ops/matmul.py`, and `Sum` and `Mean` in `minidl/ops/reduce.py`.

# %%
print(inspect.getsource(op.unbroadcast))

# %% [markdown]
# ## Questions
#
# 1. A layer has 784 inputs and 10 outputs, and a batch has 64 samples. What are the shapes of dy, dx, dw and db?
#
# <details><summary>Answer</summary>
#
# Those of $y$, $x$, $w$ and $b$: (64, 10), (64, 784), (784, 10) and (10,). The sum over the samples has removed $N$
# from dw and db.
#
# </details>
#
# 2. dw is a sum over all samples, not a mean. With twice as many samples, does gradient descent need half the learning
#    rate?
#
# <details><summary>Answer</summary>
#
# Not if the loss is a mean: its dy already has the factor $1/N$, as in section 5. If the loss is a sum over the
# samples, dw grows with $N$, and the learning rate must shrink.
#
# </details>
#
# 3. $y = x x^T$, so $y$ has shape (N, N). What is dx? (Use your `matmul_backward` with $w = x^T$; $x$ is used twice.)
#
# <details><summary>Answer</summary>
#
# As the first factor $x$ gets $dy\,w^T = dy\,x$. As the second factor $w = x^T$ gets $x^T dy$, and $x$ its transpose,
# $dy^T x$. Both uses add up: $dx = (dy + dy^T)\,x$.
#
# </details>
#
# ## Further reading
#
# - J. Johnson, "Backpropagation for a Linear Layer", handout of Stanford's course CS231n, 2017: section 4 with all
#   steps written out.
# - I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, MIT Press, 2016, section 6.5: backpropagation for
#   arrays.
# - M. B. Giles, "Collected Matrix Derivative Results for Forward and Reverse Mode Algorithmic Differentiation", in
#   *Advances in Automatic Differentiation*, Springer, 2008: the same for inverses, determinants and more.
# - NumPy's documentation, "Broadcasting": the rule that you have inverted.
