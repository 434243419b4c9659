# %% [markdown]
# # 12. Looking inside
#
# A trained network gives answers and no reasons. This notebook asks it for some, each in a few lines:
#
# 1. a small network is **trained**;
# 2. its **filters**, before and after;
# 3. its **feature maps**, and the faces that excite a channel most;
# 4. **saliency**: the pixels that an answer depends on;
# 5. **Grad-CAM**: the places that speak for an answer;
# 6. the **worst errors**;
# 7. errors **by group**: who is served badly;
# 8. **calibration**: is a probability of 80 % right in 80 % of the cases?
# 9. **misuse and consent**, and what the labels are.
#
# It takes UTKFace and a GPU where they are, else drawn faces and the CPU, as notebook 11 does. What the text says of
# the results is said of the drawn faces. Their people are cartoons: what holds for them says nothing about real ones.

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
except BackendError:
    device = "numpy"
faces = data.open()
print(f"{len(faces):,} faces from {faces.source}, computing with {device}")
assert len(faces) >= 30, f"{len(faces)} faces are too few for what follows: take 30 or more, or UTKFACE=drawn"
if device == "numpy":
    faces = data.sample(faces, 2000)
parts = data.split(faces)
train, validation = faces.subset(parts.train), faces.subset(parts.validation)
rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. A small network
#
# The plan is that of notebook 11, with fewer filters and smaller heads, so that it learns more in the same time:


# %%
class Small(nn.Module):
    """The documented network, made smaller."""

    def __init__(self, rng):
        super().__init__()
        layers = []
        for channels, filters in ((1, 16), (16, 32), (32, 64), (64, 64)):
            layers += [nn.Conv2D(channels, filters, 3, rng=rng), nn.ReLU(), nn.MaxPooling2D(2)]
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.gender, self.age = models.head(6 * 6 * 64, rng), models.head(6 * 6 * 64, rng)

    def forward(self, x):
        features = self.features(x)
        return {"gender": self.gender(features), "age": self.age(features)}


md.seed(0)
model, untrained = Small(md.Generator(0)).to(device), Small(md.Generator(0)).to(device)
loader = DataLoader(train, 32, shuffle=True)
EPOCHS = 5
optimizer = optim.Adam(model.parameters(), lr=optim.cosine(1e-3, EPOCHS * len(loader)))
trainer = md.Trainer(model, tasks.loss, optimizer, tasks.METRICS)
history = trainer.fit(loader, DataLoader(validation, 64), EPOCHS)
baselines = tasks.baselines((faces.genders[parts.validation], faces.ages[parts.validation]))
figures.learning_curves(history, baselines)

# %% [markdown]
# All that follows is about the validation part. These are the answers for it:

# %%
model.eval()
images, truth = validation.batch(np.arange(min(len(validation), 1000)))
with md.no_grad():
    batches = [model(md.tensor(images[i : i + 64], backend=device)) for i in range(0, len(images), 64)]
logits, predicted_ages = (np.concatenate([batch[name].numpy() for batch in batches])[:, 0] for name in batches[0])
labels, ages = truth["gender"][:, 0], truth["age"][:, 0]
chances = figures.probabilities(logits)
right, errors = (logits > 0) == labels, predicted_ages - ages
print(f"gender accuracy {right.mean():.3f}, age error {np.abs(errors).mean():.2f} years")

# %% [markdown]
# ## 2. Filters
#
# The kernels of the first layer work on pixels, so they are little pictures themselves: red weights count bright pixels
# for, blue ones against. Above, as they were drawn at the start; below, as they are now:

# %%
kernels = [network.features[0].w.numpy()[:, :, 0].transpose(2, 0, 1) for network in (untrained, model)]
largest = max(np.abs(part).max() for part in kernels)
moved = np.linalg.norm(kernels[1] - kernels[0]) / np.linalg.norm(kernels[0])
print(f"all kernels together have changed by {moved:.0%}")
viz.images(np.concatenate(kernels), columns=10, size=0.6, signed=True, limits=(-largest, largest))

# %% [markdown]
# They have hardly changed: the first layer needed little learning, and what looks like structure was mostly there by
# chance. That a kernel looks like something does not show that it was learned.
#
# ## 3. Feature maps
#
# A **hook** is called with what a layer gives. With it we can look at any layer while the network works. (minidl
# computes convolution, ReLU and pooling in one pass; a layer with a hook is computed on its own, so that there is
# something to see.)


# %%
def look(network, x, path):
    """The outputs for images x, and the tensor that the layer of that path gave."""
    seen = []
    layer = dict(network.named_modules())[path]
    remove = layer.add_hook(lambda module, inputs, output: seen.append(output))
    outputs = network(x)
    remove()
    return outputs, seen[0]


shown, titles = [], []
for path in ("features.1", "features.4", "features.7", "features.10"):
    with md.no_grad():
        _, maps = look(model, md.tensor(images[:1], backend=device), path)
    strongest = np.argsort(-maps.numpy().std(axis=(0, 1, 2)))[:6]
    shown += [*maps.numpy()[0, :, :, strongest]]
    titles += [f"{maps.shape[1]} x {maps.shape[2]}", *[""] * 5]
viz.images(shown, titles, size=1.1)

# %% [markdown]
# These are the six channels of each block that differ most from place to place. The first ones still draw the face: its
# edges, its bright and dark parts. The last ones are a few bright spots that say "here is something", and no longer
# what it looks like. To find out *what*, ask how a channel's mean goes with the labels, and which faces excite it most.
# Here is the channel that grows most with age, the one that falls most, and the same for the gender:

# %%
with md.no_grad():
    batches = [md.tensor(images[i : i + 64], backend=device) for i in range(0, len(images), 64)]
    found = [look(model, batch, "features.10")[1].numpy() for batch in batches]
excitement = np.concatenate(found).mean(axis=(1, 2))
alive = np.flatnonzero(excitement.std(axis=0) > 0)
shown, titles = [], []
for name, values in {"age": ages, "female": labels}.items():
    if np.ptp(values) == 0:  # of people who are all alike in this there is nothing to learn
        continue
    together = np.array([np.corrcoef(excitement[:, channel], values)[0, 1] for channel in alive])
    for place in (together.argmax(), together.argmin()):
        shown += [*images[np.argsort(-excitement[:, alive[place]])[:5]]]
        titles += [f"channel {alive[place]}", f"{name}: {together[place]:+.2f}", *[""] * 3]
viz.images(shown, titles, columns=5, size=0.95, limits=(0, 1))

# %% [markdown]
# The numbers are correlations over all validation faces. For the age these channels seem to know white hair from dark
# hair; the heads weigh all channels together.
#
# ## 4. Saliency
#
# Which pixels does an answer depend on? Change one a little: does the answer move? That is the gradient of the answer
# by the image, and one backward pass gives it for all pixels (Simonyan, Vedaldi and Zisserman, "Deep Inside
# Convolutional Networks", 2013).
#
# **Exercise.** Make a map of it: how large is the gradient of each pixel, whatever its sign? If there are several
# channels, take the largest.


# %%
def saliency(dx):
    """(N, H, W): how much each pixel matters, from the gradient dx (N, H, W, C) of an answer."""
    # <blank>
    return np.abs(dx).max(axis=3)
    # </blank>


saliency = course.check_saliency(saliency)


def saliency_for_age(network, images):
    """The saliency maps of the age."""
    x = md.tensor(images, backend=device, requires_grad=True)
    network(x)["age"].sum().backward()  # each face's age depends on its own pixels alone
    return saliency(md.tensor(x.grad).numpy())


some = rng.choice(len(images), 4, replace=False)
after, before = (saliency_for_age(network, images[some]) for network in (model, untrained))
titles = [f"{ages[i]:.0f}, says {predicted_ages[i]:.0f}" for i in some]
viz.images([*images[some], *after, *before], [*titles, "trained", *[""] * 3, "untrained"], columns=4, size=1.15)

# %% [markdown]
# The second row should be compared with the third, of a network that knows nothing (a test from Adebayo et al., "Sanity
# Checks for Saliency Maps", 2018): what both show does not come from learning. Here the trained network looks at the
# eyes and their surroundings, the untrained one at everything.
#
# A picture can be pleasant and wrong, so here is a test with a number. We paint over a tenth of the pixels with the
# picture's mean grey: the most salient tenth, or any tenth. By how much does the answer move?

# %%
chosen, moved = images[:100], {}
scores = saliency_for_age(model, chosen).reshape(len(chosen), -1)
for name, rank in {"most salient": -scores, "random": rng.random(scores.shape), "least salient": scores}.items():
    painted, tenth = chosen.reshape(len(chosen), -1).copy(), np.argsort(rank)[:, : 128 * 128 // 10]
    np.put_along_axis(painted, tenth, chosen.mean(axis=(1, 2, 3))[:, None], axis=1)
    with md.no_grad():
        answers = model(md.tensor(painted.reshape(chosen.shape), backend=device))["age"].numpy()[:, 0]
    moved[name] = np.abs(answers - predicted_ages[: len(chosen)]).mean()
figure, axes = plt.subplots(figsize=(5, 2.2), layout="constrained")
axes.barh(list(moved), list(moved.values()))
axes.set(xlabel="how far the age moves (years)")
axes.invert_yaxis()
plt.show()

# %% [markdown]
# ## 5. Grad-CAM
#
# Pixels are small. The maps of the last convolution are coarse and know more. Grad-CAM (Selvaraju et al., "Grad-CAM:
# Visual Explanations from Deep Networks via Gradient-based Localization", 2017) asks each map $A_k$ how much it counts
# for an answer $y$: the mean of the gradient over its places. Then it adds the maps up with these weights, and keeps
# what speaks *for* the answer:
#
# $$ \alpha_k = \frac{1}{HW} \sum_{i, j} \frac{\partial y}{\partial A_{ijk}}, \qquad
# \text{heat} = \max\left(\sum_k \alpha_k A_k,\; 0\right) $$
#
# **Exercise.** Write it, for several images at once.


# %%
def grad_cam(maps, gradients):
    """The heat (N, H, W) from maps (N, H, W, K) and the gradients of the answer by them, of the same shape."""
    # <blank>
    weights = gradients.mean(axis=(1, 2), keepdims=True)
    return np.maximum((weights * maps).sum(axis=3), 0)
    # </blank>


grad_cam = course.check_grad_cam(grad_cam)

# %% [markdown]
# `retain_grad` keeps the gradient of a tensor in the middle of the graph. The answer is the logit for those whom the
# network takes for female, and the negative logit for the others:

# %%
some = [*np.flatnonzero(logits > 0)[:4], *np.flatnonzero(logits <= 0)[:4]]
outputs, maps = look(model, md.tensor(images[some], backend=device), "features.10")
maps.retain_grad()
signs = np.where(logits[some] > 0, 1, -1).astype(np.float32)[:, None]
(outputs["gender"] * md.tensor(signs, backend=device)).sum().backward()
heat = grad_cam(maps.numpy(), md.tensor(maps.grad).numpy())
figure, axes = plt.subplots(1, len(some), figsize=(11, 1.8), layout="constrained", squeeze=False)
for part, i, warmth in zip(axes[0], some, heat, strict=True):
    part.imshow(images[i, :, :, 0], cmap="gray", vmin=0, vmax=1)
    # 12 x 12 places, 8 pixels apart; the first is the middle of what its convolutions see, at 18.5
    part.imshow(warmth, cmap="inferno", alpha=0.5, extent=(14.5, 110.5, 110.5, 14.5), interpolation="bilinear")
    part.set(xlim=(0, 127), ylim=(127, 0), xticks=[], yticks=[])
    part.set_title(f"says {'female' if logits[i] > 0 else 'male'}", fontsize=9)
plt.show()

# %% [markdown]
# The square is what the middles of the 12 x 12 places span; bright is where the maps speak for the answer. Here that is
# about the eyes for "female", where the lashes are drawn, and spread widely for "male". Grad-CAM shows what a network
# uses, not what it should use.
#
# ## 6. The worst errors
#
# Ten minutes with the worst answers teach more than a third digit of the mean. Above, the ages that are furthest off;
# below, the genders that were missed most surely, with the probability of "female":

# %%
worst = np.argsort(-np.abs(errors))[:6]
surest = np.argsort(-np.abs(chances - labels))[:6]
titles = [f"is {ages[i]:.0f}, says {predicted_ages[i]:.0f}" for i in worst]
titles += [f"{('male', 'female')[int(labels[i])]}, {chances[i]:.0%}" for i in surest]
viz.images(images[[*worst, *surest]], titles, size=1.1, limits=(0, 1))

# %% [markdown]
# Look for what they have in common, then look at the data. In UTKFace the same picture can bear two different labels
# (notebook 10): then at least one of them is wrong, and the network may be right.
#
# ## 7. By group
#
# A mean hides who is behind it. Let us take it apart by age and gender.
#
# **Exercise.** Compute the mean of values in each group.


# %%
def group_means(values, groups):
    """An array with the mean of the values in group 0, 1, ..., NaN if it has none; groups[i] is that of values[i]."""
    # <blank>
    return np.array([values[groups == group].mean() for group in range(groups.max() + 1)])
    # </blank>


group_means = course.check_group_means(group_means)

# %%
EDGES = (10, 20, 30, 40, 60)
NAMES = ("0-9", "10-19", "20-29", "30-39", "40-59", "60 +")
groups = np.digitize(ages, EDGES)
measures = {"size of the age error": np.abs(errors), "age error with its sign": errors, "gender accuracy": right * 1.0}
figure, axes = plt.subplots(1, 3, figsize=(11, 2.8), layout="constrained")
for part, (title, values) in zip(axes, measures.items(), strict=True):
    for gender, name in enumerate(("male", "female")):
        rows = labels == gender
        if not rows.any():
            continue
        there, number = np.unique(groups[rows], return_inverse=True)  # the groups with faces, numbered from 0
        means = group_means(values[rows], number)
        spread = np.sqrt(np.maximum(group_means(values[rows] ** 2, number) - means**2, 0))
        places = there + 0.4 * gender - 0.2
        part.bar(places, means, 0.38, yerr=spread / np.sqrt(np.bincount(number)), capsize=2, label=name)
    part.axhline(values.mean(), color="black", lw=0.8)
    part.set(title=title, xlabel="age")
    part.set_xticks(range(len(NAMES)), NAMES)
axes[0].legend(fontsize=8)
plt.show()
for gender, name in enumerate(("male", "female")):
    counts = np.bincount(groups[labels == gender], minlength=len(NAMES))
    print(f"{name} faces:", dict(zip(NAMES, counts.tolist(), strict=True)))

# %% [markdown]
# The line is the mean of all, the whiskers are one standard error: with few faces in a group, its bar says little. The
# middle picture shows a habit of networks that are not sure: their answers go to the middle, so that the young are made
# older and the old younger.
#
# ## 8. Calibration
#
# The network says "female, 80 %". Among all faces of which it says so, are 80 % female? Sort the faces by their
# probability into bins, and compare in each bin the mean probability with the share of label 1. The mean of the
# differences, each bin counted by its faces, is the **expected calibration error** (Naeini, Cooper and Hauskrecht,
# "Obtaining Well Calibrated Probabilities Using Bayesian Binning", 2015):
#
# $$ \text{ECE} = \sum_b \frac{n_b}{N} \left|\, \bar{p}_b - \bar{y}_b\, \right| $$
#
# **Exercise.** Write it. A bin without faces counts nothing; a probability of 1 belongs to the last bin.


# %%
def calibration_error(probabilities, labels, bins):
    """The expected calibration error, for arrays (N,) and so many bins of equal width from 0 to 1."""
    # <blank>
    number = np.minimum((probabilities * bins).astype(int), bins - 1)
    total = 0.0
    for b in np.unique(number):
        inside = number == b
        total += inside.mean() * abs(probabilities[inside].mean() - labels[inside].mean())
    return total
    # </blank>


calibration_error = course.check_calibration_error(calibration_error)

# %% [markdown]
# A repair that often helps: divide all logits by one number, the **temperature** (Guo et al., "On Calibration of Modern
# Neural Networks", 2017). It changes no decision, only how sure they are. We choose it on one half of the faces, by the
# smallest cross-entropy, and look at the other half:

# %%
half, BINS = np.arange(len(logits)) % 2 == 0, 8
temperatures = np.linspace(0.2, 3, 100)
scaled = (md.tensor(logits[half] / t) for t in temperatures)
losses = [nn.functional.binary_cross_entropy_with_logits(z, labels[half]).item() for z in scaled]
temperature = temperatures[np.argmin(losses)]
figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
for part, t in zip(axes, (1.0, temperature), strict=False):
    p = figures.probabilities(logits[~half] / t)
    number = np.minimum((p * BINS).astype(int), BINS - 1)
    filled = np.unique(number)
    said, is_so = (np.array([values[number == b].mean() for b in filled]) for values in (p, labels[~half]))
    part.bar((filled + 0.5) / BINS, is_so, width=0.9 / BINS, color="lightsteelblue", label="share of label 1")
    part.plot([0, 1], [0, 1], color="black", lw=0.8)
    part.plot(said, is_so, "o", color="tab:red", label="at the mean probability")
    for b in filled:
        part.text((b + 0.5) / BINS, 1.05, (number == b).sum(), ha="center", fontsize=8)
    part.set(
        title=f"temperature {t:.2f}: ECE {calibration_error(p, labels[~half], BINS):.3f}",
        xlabel="probability of label 1",
        ylim=(0, 1.15),
    )
figure.legend(*part.get_legend_handles_labels(), fontsize=8, loc="outside lower left", ncols=2)
axes[2].plot(temperatures, losses)
axes[2].set(xlabel="temperature", title="cross-entropy of the first half")
plt.show()

# %% [markdown]
# The dots should lie on the line. The numbers at the top count the faces of each bin. A temperature below 1 means that
# the probabilities were too close to one half; a temperature above 1 means that they were too close to 0 and 1, which
# is common after long training (Guo et al.).
#
# Is the error that remains after the repair real, or is it chance? To find out, draw labels *from the repaired
# probabilities*, so that these are calibrated by construction, and compute the error of the drawn labels, many times:

# %%
p = figures.probabilities(logits[~half] / temperature)
measured = calibration_error(p, labels[~half], BINS)
by_chance = [calibration_error(p, (rng.random(len(p)) < p).astype(float), BINS) for _ in range(500)]
low, high = np.quantile(by_chance, (0.05, 0.95))
print(f"calibrated probabilities: an error of {low:.3f} to {high:.3f} in nine cases of ten")
print(f"measured: {measured:.3f}, {'above' if measured > high else 'not above'} that range")

# %% [markdown]
# The drawn labels must come from the same probabilities as the measured error. With the probabilities before the repair
# the two numbers would describe two different predictors, and could not be compared. An error far above the range means
# that one temperature was not enough: it stretches all logits alike. An error just above it is weak evidence, because
# calibrated probabilities too are above it once in twenty times.
#
# ## 9. Misuse, consent and what the labels are
#
# **What the labels are.** A label of UTKFace is not what a person said about themselves. Its authors write that age,
# gender and race were estimated by an algorithm and checked by a human annotator (Zhang, Song and Qi, "Age
# Progression / Regression by Conditional Adversarial Autoencoder", 2017, and the page of the data set). The label
# "gender" has two values and records how a face was read by others. It is not a person's gender: it has no place for
# people who are neither male nor female, and it is wrong for people whom others misread. The label "age" is an
# estimate too. An accuracy on such labels measures agreement with the people and programs that made them, and nothing
# else. Keyes ("The Misgendering Machines", 2018) describes what such systems mean for trans people.
#
# **Consent.** The pictures of UTKFace were collected from the web, and the data set is offered for non-commercial
# research only. It does not say that the people in them agreed to be training data. If you add faces of your
# own, ask each person first, say what you will do with the picture, and delete it when they ask you to. For this
# reason the notebooks are published with drawn faces only.
#
# **Misuse.** A mean accuracy says little about who is served badly. Buolamwini and Gebru ("Gender Shades", 2018)
# measured three commercial gender classifiers: the error was at most 0.8 % for lighter-skinned men and up to 34.7 %
# for darker-skinned women. A network like this one should decide nothing about a person: not who may enter, not who
# may buy, not what they are shown. A saliency map or a calibrated probability does not change that: it tells how the
# network behaves, not whether the question should be asked. Before others use a model, say in writing what it is for,
# what it is not for, and how it does in each group (Mitchell et al., "Model Cards for Model Reporting", 2019).
#
# To read on in the code: hooks are in `minidl/nn/module.py`, `retain_grad` is in `minidl/tensor.py`.
