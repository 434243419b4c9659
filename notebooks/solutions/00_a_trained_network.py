# %% [markdown]
# # 0. A trained network
#
# This course builds a neural network and everything that it needs, until nothing in it is a black box. This unit shows
# the result first: a network that looks at a face and answers with an age and a gender. You train it, measure how good
# its answers are, and look for its mistakes. How it works is not explained yet: the other units do that. At the end you
# find out whether your Python and your calculus are enough for the course.
#
# **You will be able to**
#
# - say what goes into the network and what comes out of it;
# - measure its answers, and compare them with answers that need no network;
# - find its largest mistakes;
# - say what you will build in this course, and whether you are ready for it.
#
# **Prior knowledge:** Python, a little NumPy, and derivatives as they are taught at school. Section 4 tests all three.
#
# **Time:** about 50 minutes, three exercises included. The training takes about a minute, or less.
#
# Run the cells in order, each with Shift+Enter. In an exercise, write your answer in the place of the three dots and
# run the cell: it prints "right" or a hint. You can skip an exercise: the notebook then continues with minidl's own
# version. A right answer is kept in the folder `mine` beside the notebooks, and later units use it: in unit 13 your
# answers train the network of this unit. Terms in bold type are listed in the course's glossary,
# `docs/guide/glossary.md`.

# %%
import numpy as np

import minidl as md
from agegender import data, models, tasks
from minidl import course, optim, viz
from minidl.course import plots, style
from minidl.data import DataLoader

style.use()
md.seed(0)

# %% [markdown]
# ## 1. A network learns from examples
#
# The faces of this course are drawn by a program, so they show no real people. Each has two **labels**, the right
# answers as the data state them: an age in years, and a gender, 0 (male) or 1 (female). What such labels are, and what
# harm they can do, is a subject of unit 12.

# %%
faces = data.drawn()
images, labels = faces.batch(np.arange(12))
ages, genders = labels["age"][:, 0], labels["gender"][:, 0]
print("shape of the images:", images.shape, " smallest and largest value:", images.min(), images.max())
viz.images(images, [f"{'MF'[int(g)]}, {a:.0f}" for g, a in zip(genders, ages, strict=True)], limits=(0, 1))

# %% [markdown]
# For the network a face is an array of 128 x 128 brightness values, from 0 (black) to 1 (white). (In the printed shape,
# 12 is the number of faces, and 1 the number of values for each pixel. A colour image would have three.) From these it
# computes two numbers: an age, and a number that is positive if its answer is "female". What it computes depends on
# millions of numbers, its **parameters**. They start as random numbers, and **training** changes them so that the
# answers come nearer to the labels of some examples.
#
# We train with 500 faces, which the network sees four times, and keep 300 other faces to test it.
#
# **Predict:** ages are between 0 and 90. How many years is the answer off, in the mean over all faces, before training?
# And after it?

# %%
train, new = faces.subset(np.arange(500)), faces.subset(np.arange(500, 800))
model = models.build("documented", rng=md.Generator(0))
trainer = md.Trainer(model, tasks.loss, optim.Adam(model.parameters(), lr=1e-3), tasks.METRICS)
train_batches = DataLoader(train, batch_size=16, shuffle=True, seed=0)
new_batches = DataLoader(new, batch_size=50)
print(f"{sum(p.size for p in model.parameters()):,} parameters")

history = [trainer.evaluate(new_batches)]
for times in range(1, 5):
    trainer.fit(train_batches, epochs=times)
    history.append(trainer.evaluate(new_batches))
for times, row in enumerate(history):
    print(f"seen {times} times: {row['age_mae']:.1f} years off, gender right for {row['gender_accuracy']:.0%}")

# %%
left, right = plots.panels(2)
below = {"xlabel": "times seen", "xticks": range(5)}
plots.curves(range(5), {"new faces": [row["age_mae"] for row in history]}, ["validation"], "o-", axes=left, **below)
plots.curves(range(5), {"": [row["gender_accuracy"] for row in history]}, ["validation"], "o-", axes=right, **below)
left.set(title="new faces: years off", ylim=(0, None))
right.set(title="new faces: share of genders right", ylim=(0, 1))
left.figure

# %% [markdown]
# The results need not become better every time: training changes the answers for the 500 faces, and these are measured
# with the 300 others. An **epoch** is one pass through all training faces: here there are four.
#
# ## 2. A result means little without a comparison
#
# Here are 12 of the new faces, with their labels and the network's answers:


# %%
def answers(images):
    """The network's ages and genders for images (N, 128, 128, 1)."""
    with md.no_grad():
        outputs = model(md.tensor(images))
    return tasks.years(outputs["age"].numpy()[:, 0]), outputs["gender"].numpy()[:, 0] > 0


model.eval()
images, labels = new.batch(np.arange(300))
ages, genders = labels["age"][:, 0], labels["gender"][:, 0] == 1
said_ages, said_genders = answers(images)
truth = [f"{'MF'[int(g)]}, {a:.0f}" for g, a in zip(genders, ages, strict=True)]
said = [f"said {'MF'[int(g)]}, {a:.0f}" for g, a in zip(said_genders, said_ages, strict=True)]
titles = ["\n".join(pair) for pair in zip(truth, said, strict=True)]
viz.images(images[:12], titles[:12], limits=(0, 1))

# %% [markdown]
# How good are these answers? For the gender, take the share of answers that are right. For the age, take the **mean
# absolute error**: the mean over all faces of the difference between answer and label, without its sign.
#
# **Exercise.** Write it. Both arguments are arrays of the same length. Use NumPy, without a loop.


# %%
def mean_absolute_error(answers, targets):
    """The mean of the absolute differences between answers and targets."""
    # <blank>
    return np.abs(answers - targets).mean()
    # </blank>


mean_absolute_error = course.check_mean_absolute_error(mean_absolute_error)

# %% [markdown]
# A **baseline** is a result to compare with. The simplest answer needs no network and no face: always the same age, the
# median of the training ages (at most half of them are below it, at most half above), and always the more common
# gender.
#
# **Predict:** how far off is the answer that is always the same?

# %%
middle, common = np.median(faces.ages[:500]), faces.genders[:500].mean() > 0.5
errors = {
    "always the median": mean_absolute_error(np.full(300, middle), ages),
    "network": mean_absolute_error(said_ages, ages),
}
shares = {"always the same": np.mean(genders == common), "network": np.mean(genders == said_genders)}
left, right = plots.panels(2, height=1.6)
plots.bars(errors, ["reference", "model"], "{:.1f}", axes=left, xlabel="mean absolute error (years)", xlim=(0, 20))
plots.bars(shares, ["reference", "model"], "{:.0%}", axes=right, xlabel="genders right", xlim=(0, 1))

# %% [markdown]
# Here each point is one of the 300 faces. A perfect network would put all points on the grey line.

# %%
[axes] = plots.panels(1)
plots.points(ages, said_ages, axes=axes, xlabel="age (years)", ylabel="answer (years)")
axes.plot([0, 90], [0, 90], color=style.colour("reference"))
axes.figure

# %% [markdown]
# After so short a training, much can still improve. What the same network reaches with thousands of photographs is in
# `docs/results.md`.
#
# ## 3. The mistakes say what the network does
#
# **Exercise.** Find the largest errors of the ages. `np.argsort(a)` gives the indices that sort `a`, the smallest
# element first.


# %%
def largest_errors(answers, targets, count):
    """The indices of the count answers that differ most from their targets, the largest difference first."""
    # <blank>
    return np.argsort(-np.abs(answers - targets))[:count]
    # </blank>


largest_errors = course.check_largest_errors(largest_errors)
worst = largest_errors(said_ages, ages, 6)
viz.images(images[worst], [titles[i] for i in worst], limits=(0, 1))

# %% [markdown]
# Do these faces have something in common, such as their ages? Write down a guess: unit 12 measures the errors of groups
# of faces, with which you can test it.
#
# You can also change the images. A mirrored face shows a person of the same age, and so does a face that is upside
# down. A person would hardly be misled.
#
# **Predict:** how does the mean absolute error change for mirrored faces, and how for faces upside down?

# %%
changed = {"as they are": images, "mirrored": images[:, :, ::-1], "upside down": images[:, ::-1]}
viz.images([array[0] for array in changed.values()], list(changed), columns=3, limits=(0, 1))

# %%
by_change = {name: mean_absolute_error(answers(array)[0], ages) for name, array in changed.items()}
plots.bars(by_change, ["model"], "{:.1f}", xlabel="mean absolute error (years)")

# %% [markdown]
# A mirrored face is nearly the same image, a face upside down is a very different one. The network has seen no face
# upside down, so nothing in its training made it answer well there: it has learned from its examples alone.
#
# ## What you will build
#
# | units | what you build | the question that they answer |
# | --- | --- | --- |
# | 1, 2 | neurons, layers, a first training | What is a network, and how does it learn? |
# | 3, 4 | derivatives by the computer | How are millions of derivatives computed at once? |
# | 5, 6 | losses and optimizers | What does training make small, and how does it do this quickly? |
# | 7, 8 | convolution, pooling, dense layers | Which layers suit images? |
# | 9 | dropout, batch normalisation, fair comparisons | What helps on faces that were not learned? |
# | 10, 11, 12 | data, the network of this unit, a look inside | Can the result be trusted? |
# | 13 | your own library | Do your answers train this network? |
# | 14, 15, 16 | fast convolution, speed, plugins | How is it made fast, and how is it extended? (electives) |
#
# ## 4. Are you ready?
#
# The course uses Python, NumPy and derivatives. You have written NumPy above. Try these questions, too, each without
# running it.
#
# 1. `a` has the shape (3, 4). What are the shapes of `a[0]`, `a[:, 1]`, `a.sum(axis=0)` and `a[:, None]`?
# 2. `x` has the shape (5, 3), `w` the shape (3, 2), and `b` the shape (2,). What is the shape of `x @ w + b`?
# 3. What does `[n**2 for n in range(4) if n != 2]` give?
# 4. What are the derivatives of $x^3$, of $e^{2x}$ and of $\ln x$?
# 5. $f = x^2 y$. What is the derivative with respect to $x$, if $y$ stays as it is? And with respect to $y$?
#
# <details><summary>Answers</summary>
#
# 1. (4,), (3,), (4,) and (3, 1, 4).
# 2. (5, 2): NumPy adds `b` to each of the five rows.
# 3. `[0, 1, 9]`.
# 4. $3 x^2$, $2 e^{2x}$ and $1/x$.
# 5. $2 x y$ and $x^2$.
#
# </details>
#
# **Exercise.** What is the derivative of $f(x) = (2 x - 1)^3$? Compute it on paper, then write it as a function.


# %%
def cube_slope(x):
    """The derivative of (2 x - 1)^3."""
    # <blank>
    return 6 * (2 * x - 1) ** 2
    # </blank>


cube_slope = course.check_cube_slope(cube_slope)

# %% [markdown]
# The derivative is the slope of the tangent, a straight line that touches the curve. The figure shows three tangents,
# in pink, with the slopes of your function.
#
# **Predict:** where is the tangent of this curve horizontal?

# %%
[axes] = plots.panels(1)
xs = np.linspace(-0.2, 1.2, 141)
plots.curves(xs, {"f": (2 * xs - 1) ** 3}, ["data"], axes=axes, xlabel="x", ylabel="f(x)")
for at in (0.0, 0.5, 0.9):
    ends = np.array([at - 0.15, at + 0.15])
    axes.plot(ends, (2 * at - 1) ** 3 + cube_slope(at) * (ends - at), color=style.colour("gradient"), lw=3)
axes.figure

# %% [markdown]
# With $u = 2 x - 1$ the chain rule gives $3 u^2 \cdot 2 = 6 (2 x - 1)^2$, which is 0 at $x = 1/2$.
#
# If most of this went well, go on with unit 1. If it was the NumPy that was hard, read the first source below; if it
# was the derivatives, read the second one. Both are free.
#
# ## Questions
#
# 1. A friend has a network that gets 90% of the genders right. What do you ask before you are impressed?
#
# <details><summary>Answer</summary>
#
# Which share an answer that is always the same gets right. If 90% of the faces have the same label, the network may be
# worthless. And whether the faces were among those that it was trained with.
#
# </details>
#
# 2. Why are the 300 faces that we test with not among the 500 that we train with?
#
# <details><summary>Answer</summary>
#
# A network with millions of parameters can come to know its 500 examples by heart. What matters is how it answers for
# faces that it has not seen.
#
# </details>
#
# 3. An answer of "always 30 years" has a mean absolute error of 16 years. Is there a better constant answer?
#
# <details><summary>Answer</summary>
#
# Perhaps: the median of the labels has the smallest mean absolute error of all constant answers. If you move away from
# it, you come nearer to at most half of the labels and go further away from at least half of them.
#
# </details>
#
# ## Further reading
#
# - "NumPy: the absolute basics for beginners", in NumPy's documentation, numpy.org.
# - E. Herman and G. Strang, *Calculus Volume 1*, OpenStax, 2016, chapter 3: derivatives, with the chain rule in section
#   3.6.
# - M. Nielsen, *Neural Networks and Deep Learning*, 2015, chapter 1: a network that reads handwritten digits, trained
#   before it is explained how its gradients are computed (chapter 2).
