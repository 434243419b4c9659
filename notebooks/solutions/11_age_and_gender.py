# %% [markdown]
# # 11. Age and gender
#
# Here is the whole thing: the documented network, put together layer by layer, trained, and judged.
#
# 1. the **task**, and where to compute;
# 2. a **block** of convolution, ReLU and pooling, and what four of them make of a face;
# 3. two **heads**, and where the parameters are;
# 4. the **loss** of two answers at once;
# 5. the **training step**, and some epochs of it;
# 6. what has been **learned**, beside what one knows without looking.
#
# The notebook runs as it is on two CPU cores, on Kaggle and on Colab. It takes a GPU if CuPy finds one, and UTKFace if
# it is there: as a data set added to a Kaggle notebook, in `./data`, or where `$UTKFACE` says. Otherwise it takes drawn
# faces of invented people.
#
# On a machine without minidl the next cell installs it. Make a wheel on a machine with the repository (`pip wheel
# --no-deps .`), and upload it: on Colab beside the notebook, on Kaggle as a data set.

# %%
import importlib.util
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("minidl") is None:
    wheels = [*Path.cwd().glob("minidl-*.whl"), *Path("/kaggle/input").rglob("minidl-*.whl")]
    assert wheels, "minidl is not installed, and there is no minidl-*.whl beside the notebook or in Kaggle's input"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", str(wheels[0])], check=True)
    importlib.invalidate_caches()

# %%
import matplotlib.pyplot as plt
import numpy as np

import minidl as md
from agegender import data, models, tasks
from agegender.report import figures
from minidl import course, nn, optim, viz
from minidl.data import DataLoader
from minidl.errors import BackendError

try:
    device = md.backends.get("cupy").name
except BackendError:  # no CuPy, or no GPU that works
    device = "numpy"
print(f"computing with {device}")

# %% [markdown]
# ## 1. The task
#
# A grey face of 128 x 128 pixels goes in. Two numbers come out: one says how sure the network is that the label is 1
# (female), the other is an age in years. With a GPU all faces are used; without, 2,000 of them and only three passes
# over these, so that it is done within a minute or two.

# %%
faces = data.open()
print(f"{len(faces):,} faces from {faces.source}")
assert len(faces) >= 30, f"{len(faces)} faces are too few for what follows: take 30 or more, or UTKFACE=drawn"
if device == "numpy":
    faces = data.sample(faces, 2000)
EPOCHS = 3 if device == "numpy" else 20
parts = data.split(faces)
train, validation = faces.subset(parts.train), faces.subset(parts.validation)
print(f"{len(train):,} to train, {len(validation):,} to validate, {EPOCHS} epochs")
images, targets = train.batch(np.arange(6))
titles = [f"gender {g[0]:.0f}, age {a[0]:.0f}" for g, a in zip(targets["gender"], targets["age"], strict=True)]
viz.images(images, titles, limits=(0, 1))

# %% [markdown]
# ## 2. A block
#
# The network begins with four blocks of the same kind: a convolution with kernels of 3 x 3 and no padding, ReLU, and
# max pooling, which keeps the largest of every 2 x 2 numbers (notebooks 7 and 8). Only the number of filters differs:
# 32, 64, 128 and 256.
#
# **Exercise.** What shape does such a block give?


# %%
def block_shape(shape, filters):
    """(height, width, channels) after the block, for shape (height, width, channels) before it."""
    # <blank>
    height, width, _ = shape
    return (height - 2) // 2, (width - 2) // 2, filters
    # </blank>


block_shape = course.check_block_shape(block_shape)
shape = (128, 128, 1)
for filters in (32, 64, 128, 256):
    print(shape, "->", tuple(block_shape(shape, filters)))
    shape = tuple(block_shape(shape, filters))
print("numbers in the end:", np.prod(shape))

# %% [markdown]
# Now with layers. Let a face go through, with the weights as they are drawn at the start. Of each block's channels we
# look at the first six:

# %%
FILTERS = (1, 32, 64, 128, 256)


def block(number, rng):
    """The layers of block 0, 1, 2 or 3."""
    return [nn.Conv2D(FILTERS[number], FILTERS[number + 1], 3, rng=rng), nn.ReLU(), nn.MaxPooling2D(2)]


rng = md.Generator(0)
layers = [layer for number in range(4) for layer in block(number, rng)]
x, shape, shown, titles = md.tensor(images[:1]), (128, 128, 1), [], []
for number, layer in enumerate(layers):
    x = layer(x)
    if number % 3 == 2:
        shown += [x.numpy()[0, :, :, channel] for channel in range(6)]
        titles += [f"block {number // 3 + 1}: {x.shape[1]} x {x.shape[2]}"] + [""] * 5
        shape = tuple(block_shape(shape, x.shape[3]))
        assert x.shape[1:] == shape
viz.images(shown, titles, size=1.3)

# %% [markdown]
# The pictures become small and many. Though nothing is learned yet, the face is still there for a while: random filters
# are filters too.
#
# ## 3. Two heads
#
# In the end the 6 x 6 x 256 numbers are put in one row of 9,216 and go to two **heads**, one for each question: a dense
# layer of 256 neurons with ReLU, and one neuron that gives the answer.


# %%
class AgeAndGender(nn.Module):
    """The documented network."""

    def __init__(self, rng):
        super().__init__()
        self.features = nn.Sequential(*(layer for number in range(4) for layer in block(number, rng)), nn.Flatten())
        self.gender = nn.Sequential(nn.Dense(9216, 256, rng=rng), nn.ReLU(), nn.Dense(256, 1, rng=rng))
        self.age = nn.Sequential(nn.Dense(9216, 256, rng=rng), nn.ReLU(), nn.Dense(256, 1, rng=rng))

    def forward(self, x):
        features = self.features(x)
        return {"gender": self.gender(features), "age": self.age(features)}


model = AgeAndGender(md.Generator(0))
summary = md.summary(model, (128, 128, 1))
summary

# %% [markdown]
# **Exercise.** How many parameters does a convolution have? Check the table by it.


# %%
def conv_parameters(kernel, channels, filters):
    """The weights and biases of a convolution with square kernels, for an input with so many channels."""
    # <blank>
    return kernel * kernel * channels * filters + filters
    # </blank>


conv_parameters = course.check_conv_parameters(conv_parameters)
for row, number in zip(summary.rows[:12:3], range(4), strict=True):
    count = conv_parameters(3, FILTERS[number], FILTERS[number + 1])
    print(f"{row.path}: {count:,} parameters, the table says {row.parameters:,}")

# %%
rows = [row for row in summary.rows if row.parameters]
names = [f"{row.path} ({row.kind})" for row in rows]
figure, axes = plt.subplots(1, 2, figsize=(9, 2.8), layout="constrained", sharey=True)
axes[0].barh(names, [row.parameters / 1e6 for row in rows], color="tab:blue")
axes[0].set(xlabel="parameters (millions)")
axes[1].barh(names, [row.flops / 1e6 for row in rows], color="tab:red")
axes[1].set(xlabel="work for a face (million operations)")
axes[0].invert_yaxis()
plt.show()
dense = sum(row.parameters for row in rows if row.kind == "Dense")
print(f"{dense / summary.parameters:.0%} of the {summary.parameters:,} parameters are in the dense layers")

# %% [markdown]
# Nearly all parameters are in the heads, nearly all work is in the convolutions: a kernel has few weights, but uses
# each at every place of the picture.
#
# This is the network that agegender knows as "documented". From the same seed it has the same weights:

# %%
ours, theirs = model, models.build("documented", rng=md.Generator(0))
assert ours.state_dict().keys() == theirs.state_dict().keys()
with md.no_grad():
    answers = [network(md.tensor(images))["age"].numpy() for network in (ours, theirs)]
print("same answers:", np.array_equal(*answers))

# %% [markdown]
# ## 4. The loss
#
# The gender head gives a **logit** $z$. The probability of label 1 is $p = 1 / (1 + e^{-z})$, one half where $z = 0$.
# Its loss is the *binary cross-entropy*, $-\ln p$ if the label is 1 and $-\ln(1 - p)$ if it is 0. The age head gives
# years; its loss is the *absolute error*. The loss of the network is their sum:

# %%
z = np.linspace(-6, 6, 200)
years = np.linspace(0, 60, 200)
one = [nn.functional.binary_cross_entropy_with_logits(md.tensor([v]), np.ones(1)).item() for v in z]
absolute = [nn.functional.l1_loss(md.tensor([v]), np.array([30.0])).item() for v in years]
figure, axes = plt.subplots(1, 3, figsize=(10, 2.6), layout="constrained")
axes[0].plot(z, figures.probabilities(z))
axes[0].set(xlabel="logit", title="probability of label 1")
axes[1].plot(z, one, label="label 1")
axes[1].plot(z, one[::-1], label="label 0")
axes[1].set(xlabel="logit", title="loss of the gender")
axes[1].legend(fontsize=8)
axes[2].plot(years, absolute, color="tab:red")
axes[2].set(xlabel="predicted, where 30 is right (years)", title="loss of the age")
plt.show()

# %% [markdown]
# Look at the scales. Ten years of error weigh more than a gender that is missed by a logit of 6. So the age comes
# first: watch the gender accuracy after the first epoch.
#
# ## 5. Training
#
# A step of training takes a batch of faces and does four things: it computes the loss (forward), forgets the gradients
# of the step before, computes the new ones (backward), and lets the optimizer change the parameters.
#
# **Exercise.** Write it. `loss(outputs, targets)` gives a tensor; return its number, `.item()`.


# %%
def training_step(model, loss, optimizer, images, targets):
    """Change the model's parameters by one batch, and return the loss that it had."""
    # <blank>
    value = loss(model(images), targets)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.item()
    # </blank>


training_step = course.check_training_step(training_step)

# %% [markdown]
# The optimizer is Adam (notebook 6). A `DataLoader` makes batches of 32 faces, in a new order in every epoch; a
# `Trainer` could do the whole loop, but here we do it by hand and let it only measure.

# %%
md.seed(0)
model.to(device)
optimizer = optim.Adam(model.parameters(), lr=1e-3)
trainer = md.Trainer(model, tasks.loss, optimizer, tasks.METRICS)
validation_loader = DataLoader(validation, batch_size=64)


def on_device(batch):
    """Images and targets as tensors, where the model is."""
    images, targets = batch
    return md.tensor(images, backend=device), {name: md.tensor(y, backend=device) for name, y in targets.items()}


loader = DataLoader(train, batch_size=32, shuffle=True, seed=0)
losses, history = [], [trainer.evaluate(validation_loader)]
for epoch in range(EPOCHS):
    for batch in loader:
        losses.append(training_step(model, tasks.loss, optimizer, *on_device(batch)))
    history.append(trainer.evaluate(validation_loader))
    row = history[-1]
    print(f"epoch {epoch + 1}: gender accuracy {row['gender_accuracy']:.3f}, age error {row['age_mae']:.2f} years")

# %%
window = min(20, len(losses))
smooth = np.convolve(losses, np.ones(window) / window, "valid")
figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
axes.plot(losses, color="tab:blue", alpha=0.3, label="each batch")
axes.plot(np.arange(len(smooth)) + window // 2, smooth, color="tab:blue", label=f"mean of {window} batches")
axes.plot(
    np.arange(EPOCHS + 1) * len(loader), [row["loss"] for row in history], "o-", color="tab:red", label="validation"
)
axes.set(xlabel="step", ylabel="loss", ylim=(0, None))
axes.legend(fontsize=8)
plt.show()
before, after = history[0]["loss"], history[-1]["loss"]
print(f"validation loss: {before:.1f} before, {after:.1f} after {EPOCHS} epochs")
if after > before / 2:  # as with few faces, which make few steps
    print(f"It has not even halved in {len(losses)} steps: take more faces or more EPOCHS.")

# %% [markdown]
# ## 6. What it has learned
#
# Now every validation face gets its two answers. None of them was seen in training.
#
# **Exercise.** Compute the gender accuracy from the logits.


# %%
def gender_accuracy(logits, labels):
    """The share of faces whose logit says the right gender; both are arrays (N, 1), the labels are 0 or 1."""
    # <blank>
    return ((logits > 0) == (labels == 1)).mean()
    # </blank>


gender_accuracy = course.check_gender_accuracy(gender_accuracy)

# %%
outputs, truth = {"gender": [], "age": []}, {"gender": [], "age": []}
model.eval()
with md.no_grad():
    for images, targets in validation_loader:
        for name, y in model(md.tensor(images, backend=device)).items():
            outputs[name].append(y.numpy())
            truth[name].append(targets[name])
outputs, truth = ({name: np.concatenate(part) for name, part in both.items()} for both in (outputs, truth))
baselines = tasks.baselines((faces.genders[parts.validation], faces.ages[parts.validation]))
accuracy = gender_accuracy(outputs["gender"], truth["gender"])
error = np.abs(outputs["age"] - truth["age"]).mean()
print(f"gender accuracy {accuracy:.3f}, always the commonest {baselines['gender_accuracy']:.3f}")
print(f"age error {error:.2f} years, always the median {baselines['age_mae']:.2f}")

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained", width_ratios=(1, 1, 2))
axes[0].bar(("always the\nsame", "network"), (baselines["gender_accuracy"], accuracy), color=("tab:gray", "tab:blue"))
axes[0].set(title="gender accuracy", ylim=(0, 1))
axes[1].bar(("always the\nsame", "network"), (baselines["age_mae"], error), color=("tab:gray", "tab:red"))
axes[1].set(title="age error (years)")
axes[2].scatter(truth["age"], outputs["age"], s=6, color="tab:red")
axes[2].plot([0, 90], [0, 90], color="black", lw=0.8)
axes[2].set(xlabel="age (years)", ylabel="predicted (years)", title="every validation face")
plt.show()

# %% [markdown]
# A perfect network would put all points on the line. (Real faces are harder: 2,000 of UTKFace and three epochs gave a
# gender accuracy of 0.69 and an age error of 16.1 years, where the median makes 15.5. They take more faces and epochs,
# and so a GPU or some patience.)
#
# And the genders? Nothing in the loss makes the two mistakes, "male" for female and "female" for male, equal:

# %%
said, label = outputs["gender"] > 0, truth["gender"] > 0.5
counts = np.array([[((said == s) & (label == t)).sum() for s in (False, True)] for t in (False, True)])
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained", width_ratios=(1, 2))
axes[0].imshow(counts, cmap="Blues", vmin=0, vmax=counts.max() * 1.3)
for (i, j), count in np.ndenumerate(counts):
    axes[0].text(j, i, count, ha="center", va="center")
axes[0].set(xticks=(0, 1), xticklabels=("male", "female"), yticks=(0, 1), yticklabels=("male", "female"))
axes[0].set(xlabel="said", ylabel="label")
bins = np.linspace(0, 1, 21)
for gender, name in enumerate(("male", "female")):
    chances = figures.probabilities(outputs["gender"][label == gender])
    axes[1].hist(chances, bins=bins, alpha=0.6, label=name)
axes[1].set(xlabel="probability of label 1 (female)", ylabel="faces")
axes[1].legend(title="label")
plt.show()

# %% [markdown]
# And the faces themselves, with the answers below them, wrong genders in red:

# %%
some = np.linspace(0, len(validation) - 1, 12).astype(int)
images, targets = validation.batch(some)
predicted = {"gender": figures.probabilities(outputs["gender"][some]), "age": outputs["age"][some]}
figures.predictions(images, targets, predicted)

# %% [markdown]
# ## Going on
#
# - `md.save("weights.safetensors", model.state_dict())` keeps what was learned, `model.load_state_dict(md.load(...))`
#   brings it back.
# - The same training in one command, with checkpoints, curves and a run that can be stopped and resumed:
#   `python -m agegender.train`. What it reaches on UTKFace is in `docs/results.md`.
# - The next notebook opens the network up: what its filters are, what it looks at, and where and how it is wrong.
# - To read on: `agegender/models.py` is the network, `tasks.py` the loss, `minidl/train.py` the loop.
