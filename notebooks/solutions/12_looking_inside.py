# %% [markdown]
# # 12. Looking inside
#
# A trained network gives answers and no reasons. In this unit you look for reasons: in its kernels, in its feature
# maps, and in the pixels that an answer depends on. Such pictures are easy to make and easy to believe, so each gets a
# test that it can fail. Then you find out for whom the answers are wrong, and whether the network knows when it may be.
# The last section is about what such a network must not be used for.
#
# **You will be able to**
#
# - look at kernels and feature maps, and say what they do not prove;
# - write saliency and Grad-CAM, and test such maps;
# - find out by an experiment what a network responds to;
# - measure errors by group, and say whether probabilities are calibrated;
# - say what a label of age or gender is, and what must not be decided by a network that learned it.
#
# **Prior knowledge:** `dy` (unit 4), logits and cross-entropy (unit 5), convolution and the receptive field (unit 7),
# the data and its split (unit 10), the documented network and the standard error (unit 11).
#
# **Time:** about two and a half hours, in two sittings: sections 1 to 6, then 7 to 11.
#
# As in unit 11, the notebook uses UTKFace and a GPU if they are there, else drawn faces and the CPU. What the text says
# of results was found with the drawn faces, which are cartoons: it says nothing about real people.

# %%
import inspect
from dataclasses import replace

import numpy as np

import minidl as md
from agegender import data, models, tasks
from agegender.data.drawn import draw_person
from agegender.data.person import sample_person
from agegender.report import figures
from minidl import course, nn, optim, viz
from minidl.course import plots, style
from minidl.data import ArrayDataset, DataLoader
from minidl.errors import BackendError

style.use()
F = nn.functional
SEED = 0  # another seed gives another network: does the text still hold for it?
rng = np.random.default_rng(SEED)
try:
    device = md.backends.get("cupy").name
except BackendError:  # no CuPy, or no GPU that works
    device = "numpy"
faces = data.open()
print(f"{len(faces):,} faces from {faces.source}, computing with {device}")
assert len(faces) >= 30, f"{len(faces)} faces are too few for what follows: take 30 or more, or UTKFACE=drawn"
if device == "numpy":
    faces = data.sample(faces, 2000)

# %% [markdown]
# ## 1. A network to look into
#
# It has the plan of the documented network, but is smaller, so that it is trained within seconds: faces of 64 x 64
# pixels (means of 2 x 2), and three blocks of 16, 32 and 64 filters instead of four.


# %%
class Small(nn.Module):
    """Three blocks and two heads."""

    def __init__(self, rng):
        super().__init__()
        layers = []
        for channels, filters in ((1, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2D(channels, filters, 3, rng=rng), nn.ReLU(), nn.MaxPooling2D(2)]
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.gender, self.age = models.head(6 * 6 * 64, rng), models.head(6 * 6 * 64, rng)

    def forward(self, x):
        features = self.features(x)
        return {"gender": self.gender(features), "age": self.age(features)}


parts = data.split(faces, fraction=0.4)  # many faces to look at
pixels, targets = faces.batch(np.arange(len(faces)))
pixels = F.avg_pool2d(md.tensor(pixels), 2).numpy()
train, validation = (
    ArrayDataset(pixels[rows], {name: values[rows] for name, values in targets.items()})
    for rows in (parts.train, parts.validation)
)
md.seed(SEED)
model, untrained = Small(md.Generator(SEED)).to(device), Small(md.Generator(SEED)).to(device)
loader, EPOCHS = DataLoader(train, 16, shuffle=True, seed=SEED), 6
optimizer = optim.Adam(model.parameters(), lr=optim.cosine(2e-3, EPOCHS * len(loader)))
trainer = md.Trainer(model, tasks.loss, optimizer, tasks.METRICS)
history = trainer.fit(loader, DataLoader(validation, 64), EPOCHS)

# %% [markdown]
# All that follows is about the validation part, which the network has not learned from. `untrained` is a second network
# with the weights that the first had before training.

# %%
for axes, (name, caption) in zip(plots.panels(2), figures.CURVES[1:], strict=True):
    both = {"training": [row[name] for row in history], "validation": [row[f"val_{name}"] for row in history]}
    plots.curves(range(1, EPOCHS + 1), both, list(both), "o-", axes=axes, xlabel="epoch", ylabel=caption)
axes.figure

# %%
images, labels, ages = (array[parts.validation][:1000] for array in (pixels, targets["gender"], targets["age"]))
labels, ages = labels[:, 0], ages[:, 0]
model.eval()


def answers(network, images):
    """The logits and the ages (years) that a network gives for images (N, 64, 64, 1)."""
    with md.no_grad():
        batches = [network(md.tensor(images[i : i + 64], backend=device)) for i in range(0, len(images), 64)]
    logits, years = (np.concatenate([batch[name].numpy() for batch in batches])[:, 0] for name in ("gender", "age"))
    return logits, tasks.years(years)


logits, said_ages = answers(model, images)
right, errors = (logits > 0) == labels, said_ages - ages
print(f"gender accuracy {right.mean():.3f}, age error {np.abs(errors).mean():.2f} years, for {len(images)} faces")
print("trivial baselines: {gender_accuracy:.3f} and {age_mae:.2f} years".format(**tasks.baselines((labels, ages))))

# %% [markdown]
# ## 2. What a kernel looks like proves little
#
# The kernels of the first layer work on pixels, so they can be drawn. Red weights are positive, blue ones negative. The
# upper row shows eight of the 16 kernels before training, the lower row the same kernels after it.
#
# **Predict:** by how much have the weights of the three convolutions changed, in percent of their size?

# %%
before, after = dict(untrained.named_parameters()), dict(model.named_parameters())
for number in range(3):
    old, new = (network[f"features.{3 * number}.w"].numpy() for network in (before, after))
    print(f"convolution {number + 1}: changed by {np.linalg.norm(new - old) / np.linalg.norm(old):.0%}")
kernels = [network["features.0.w"].numpy()[:, :, 0].transpose(2, 0, 1)[:8] for network in (before, after)]
largest = max(np.abs(part).max() for part in kernels)
viz.images(np.concatenate(kernels), columns=8, size=0.8, signed=True, limits=(-largest, largest))

# %% [markdown]
# The first layer has changed least, and its kernels look as they did when they were random. So what looks like an edge
# or a spot here was mostly there by chance. Has this layer learned nothing, then? A test: put its old weights back, and
# leave everything else as trained. Then the same for the other convolutions.
#
# **Predict:** what happens to the age error if the old weights of the first layer are put back?


# %%
def put_back(number):
    """The trained network with the first weights and biases of one convolution."""
    mixed = Small(md.Generator(SEED)).to(device)
    old = {name: p for name, p in before.items() if name.startswith(f"features.{3 * number}.")}
    mixed.load_state_dict({name: p.numpy() for name, p in (after | old).items()})
    return answers(mixed, images)


mixed = {"trained": (logits, said_ages)} | {f"old convolution {number + 1}": put_back(number) for number in range(3)}
measures = {
    "gender accuracy": {name: float(((z > 0) == labels).mean()) for name, (z, _) in mixed.items()},
    "age error (years)": {name: float(np.abs(years - ages).mean()) for name, (_, years) in mixed.items()},
}
plots.compared(measures, ["model", *["mistake"] * 3])

# %% [markdown]
# A small change of weights can be a large change of answers: the later layers were trained together with these kernels.
# (For some seeds the gender hardly suffers from the first layer, but the age does.) So neither "it has structure" nor
# "it has hardly changed" tells what a layer has learned. A test on the answers does.
#
# ## 3. Some channels follow the age, before any training too
#
# A **hook** is a function that is called with what a layer gives. With one you can look at any layer while the network
# works. (minidl computes convolution, ReLU and pooling in one pass. A layer with a hook is computed on its own, so that
# its output exists.)


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
for path in ("features.1", "features.4", "features.7"):
    with md.no_grad():
        _, maps = look(model, md.tensor(images[:1], backend=device), path)
    strongest = np.argsort(-maps.numpy().std(axis=(0, 1, 2)))[:6]
    shown += [*maps.numpy()[0, :, :, strongest]]
    titles += [f"{maps.shape[1]} x {maps.shape[2]}", *[""] * 5]
viz.images(shown, titles, size=1.05)

# %% [markdown]
# These are, for one face, the six feature maps of each block that vary most from place to place. The first ones still
# show the face; the last ones are a few bright places.
#
# What does a channel of the last block respond to? Take the mean of its map for each face, and compute the correlation
# coefficient (unit 1) between these means and the ages of the faces. The next cell finds the largest one, without its
# sign, among the 64 channels, for three cases: the trained network, the untrained one, and the trained one with
# shuffled ages, which belong to other faces.
#
# **Predict:** how large is it in each of the three cases?


# %%
def channel_means(network):
    """The mean of each map of the last block (N, 64)."""
    with md.no_grad():
        batches = [md.tensor(images[i : i + 64], backend=device) for i in range(0, len(images), 64)]
        return np.concatenate([look(network, batch, "features.7")[1].numpy().mean(axis=(1, 2)) for batch in batches])


def correlations(means, values):
    """The correlation coefficient of each channel with values (N,); 0 for a channel that is always the same."""
    x, y = (array - array.mean(axis=0) for array in (means, values))
    size = np.sqrt((x**2).sum(axis=0) * (y**2).sum())
    return np.divide(y @ x, size, out=np.zeros(len(size)), where=size > 0)


means = channel_means(model)
cases = {
    "trained": correlations(means, ages),
    "untrained": correlations(channel_means(untrained), ages),
    "trained, shuffled ages": correlations(means, rng.permutation(ages)),
}
largest = {name: float(np.abs(found).max()) for name, found in cases.items()}
plots.bars(largest, ["model", "reference", "mistake"], "{:.2f}", xlabel="largest correlation with the age")

# %% [markdown]
# Training has made the correlation larger, but it did not start from 0. A random filter, too, gives other values for
# bright hair than for dark hair, and in these drawings most old people have bright hair. Even with shuffled ages it is
# not 0: that is the largest of 64 correlations which are there by chance. So before you call a channel "the age
# detector", compare it with both.
#
# The six faces that excite two channels most: the one that rises most with the age, and the one that falls most.

# %%
chosen = cases["trained"].argmax(), cases["trained"].argmin()
strongest = [np.argsort(-means[:, channel])[:6] for channel in chosen]
titles = [f"{ages[i]:.0f} years" for rows in strongest for i in rows]
print("correlation with the age:", ", ".join(f"{cases['trained'][channel]:+.2f}" for channel in chosen))
viz.images(images[np.concatenate(strongest)], titles, size=1.05, limits=(0, 1))

# %% [markdown]
# ## 4. Saliency: which pixels does the answer depend on?
#
# Change one pixel a little: does the answer move? The derivative of the answer with respect to the pixel says how much,
# and one backward pass gives it for all pixels. Its size is the **saliency** of the pixel (Simonyan, Vedaldi and
# Zisserman, 2013).
#
# **Exercise.** Make a map of it: how large is the derivative of each pixel, whatever its sign? If there are several
# channels, take the largest.


# %%
def saliency(dx):
    """(N, H, W): how much each pixel matters, from the gradient dx (N, H, W, C) of an answer."""
    # <blank>
    return np.abs(dx).max(axis=3)
    # </blank>


saliency = course.check_saliency(saliency)

# %% [markdown]
# Each face's age depends on its own pixels alone. So the gradient of the *sum* of all ages has the derivatives of every
# face in its place. The maps below are those of the trained network, then those of the untrained one, which knows
# nothing about ages: what both show does not come from learning (a test from Adebayo et al., 2018).
#
# **Predict:** what does the map of the untrained network look like?


# %%
def saliency_for_age(network, images):
    """The saliency maps of the age, in years per unit of brightness."""
    x = md.tensor(images, backend=device, requires_grad=True)
    network(x)["age"].sum().backward()
    return saliency(md.tensor(x.grad).numpy())


some = rng.choice(len(images), 4, replace=False)
maps = [saliency_for_age(network, images[some]) for network in (model, untrained)]
titles = [f"{ages[i]:.0f}, said {said_ages[i]:.0f}" for i in some] + ["trained"] * 4 + ["untrained"] * 4
for name, found in zip(("trained", "untrained"), maps, strict=True):
    tenth = np.sort(found.reshape(4, -1))[:, -(64 * 64 // 10) :]
    print(f"{name}: {tenth.sum() / found.sum():.0%} of the saliency is in a tenth of the pixels")
viz.images([*images[some], *maps[0], *maps[1]], titles, columns=4, size=1.3)

# %% [markdown]
# The untrained network depends a little on every pixel. The trained one depends most on a few places, which lie on the
# face.
#
# ## 5. A map can be tested: paint over it
#
# A map can look right and be wrong, so here is a test with a number. If the pixels of a map matter, painting over them
# moves the answer. We paint over a tenth of the pixels with the mean grey of the face, and measure how far the age
# moves. The tenth is chosen by the saliency (the most and the least salient pixels), by the saliency of the untrained
# network, by the edges of the face (no network at all), or by chance.
#
# **Predict:** the order of the five bars.

# %%
chosen = images[:100]
scores = saliency_for_age(model, chosen)
ways = {
    "most salient": scores,
    "edges of the face": np.hypot(*np.gradient(chosen[..., 0], axis=(1, 2))),
    "most salient, untrained": saliency_for_age(untrained, chosen),
    "by chance": rng.random(scores.shape),
    "least salient": -scores,
}
moved = {}
for name, score in ways.items():
    painted = chosen.reshape(len(chosen), -1).copy()
    tenth = np.argsort(-score.reshape(len(chosen), -1))[:, : 64 * 64 // 10]
    np.put_along_axis(painted, tenth, chosen.mean(axis=(1, 2, 3))[:, None], axis=1)
    distances = np.abs(answers(model, painted.reshape(chosen.shape))[1] - said_ages[: len(chosen)])
    moved[name] = float(distances.mean())
    print(f"{name}: {moved[name]:.1f} years, standard error {distances.std() / len(chosen) ** 0.5:.1f}")
plots.bars(moved, ["model", *["reference"] * 4], "{:.1f}", xlabel="how far the age moves (years)")

# %% [markdown]
# The map passes: its pixels move the answer most, and those that it calls unimportant hardly move it. But the edges
# come near to it without any network, and even the map of a network that has learned nothing chooses pixels that matter
# more than others. So it proves little that a map lies on the face: what counts is how far the first bar is from the
# next two.
#
# One doubt remains. A painted face is unlike any face in the training part, so some of the movement may come from that.
# Hooker et al. (2019) therefore train again on painted images.
#
# ## 6. Grad-CAM: which places speak for an answer?
#
# Single pixels say little. The maps of the last convolution are coarser, but respond to larger patterns. **Grad-CAM**
# (gradient-weighted class activation mapping, Selvaraju et al., 2017) asks how much each map $A_k$ counts for an
# answer $y$, by the mean of the gradient over its positions. Then it adds the maps with these weights, and keeps what
# speaks *for* the answer:
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
# `retain_grad` keeps the gradient of a tensor in the middle of the graph. The answer is the logit where the network
# says "female", and minus the logit where it says "male". The upper row is the trained network's, the lower row that of
# the untrained one for the same faces and answers.


# %%
def heat(network, rows):
    """The heat of the trained network's answers for the gender, from the maps of a network."""
    outputs, maps = look(network, md.tensor(images[rows], backend=device), "features.7")
    maps.retain_grad()
    signs = np.where(logits[rows] > 0, 1, -1).astype(np.float32)[:, None]
    (outputs["gender"] * md.tensor(signs, backend=device)).sum().backward()
    return grad_cam(maps.numpy(), md.tensor(maps.grad).numpy())


some = [*np.flatnonzero(logits > 0)[:3], *np.flatnonzero(logits <= 0)[:3]]
titles = [f"says {'female' if logits[i] > 0 else 'male'}" for i in some] + ["untrained"] * len(some)
# 12 x 12 positions, 4 pixels apart; the receptive field of the first is 18 pixels wide, with its middle at 8.5
both = np.concatenate([heat(network, some) for network in (model, untrained)])
plots.heat(images[[*some, *some]], both, (6.5, 54.5, 54.5, 6.5), titles, columns=len(some))

# %% [markdown]
# Yellow is where the maps speak for the answer; each picture has its own scale. For "female" this is about the eyes,
# where these faces have lashes; for "male" it is nearly everywhere. Each position of a map sees 18 x 18 pixels, so do
# not read more detail into the heat than that. And like every picture of this kind it shows what this network uses, not
# what it should use.
#
# ## 7. An experiment: change one thing
#
# Maps show *where*, not *what*. The surest way to find out what a network responds to is an experiment: change one
# thing, leave the rest as it is, and compare the answers. With photographs this is hard. The program that draws our
# faces can do it: it draws the same person with the same light and pose twice, and one trait is different.
#
# **Predict:** the people are men of 30 years, with short dark hair and without a beard. Which makes the network's age
# rise more, white hair or wrinkles? Which changes the answer "male" more, long hair or a full beard?

# %%
CHANGES = {
    "long hair": {"style": "long"},
    "long lashes": {"lashes": 0.11},
    "full beard": {"beard": "full"},
    "glasses": {"glasses": True},
    "white hair": {"hair": 240.0},
    "wrinkles": {"forehead": 0.8, "crow_feet": 0.8, "folds": 0.8, "bags": 0.8},
}
PLAIN = {"style": "short", "beard": "none", "glasses": False, "earrings": False, "hair": 60.0, "beard_tone": 60.0}


def men(change, count=40):
    """Men of 30 years with a change, as the network takes them."""
    people = [replace(sample_person(30, 0, np.random.default_rng(i)), **(PLAIN | change)) for i in range(count)]
    drawn = np.array([draw_person(person, np.random.default_rng(i)) for i, person in enumerate(people)])
    return F.avg_pool2d(md.tensor(drawn[..., None].astype(np.float32) / 255), 2).numpy()


changed = {name: men(change) for name, change in CHANGES.items()}
plain_logits, plain_ages = answers(model, men({}))
shown = [men({}, 1)[0], *(array[0] for array in changed.values())]
viz.images(shown, ["a man of 30", *changed], columns=7, limits=(0, 1))

# %%
print(f"without a change: mean logit {plain_logits.mean():.1f}, mean age {plain_ages.mean():.1f}")
differences = {"logit, towards female": {}, "age (years)": {}}
for name, array in changed.items():
    for kind, plain, said in zip(differences.values(), (plain_logits, plain_ages), answers(model, array), strict=True):
        kind[name] = float((said - plain).mean())
plots.compared(differences, form="{:+.1f}")

# %% [markdown]
# White hair alone makes a man of 30 old. Wrinkles, which the drawing program gives to old people as well, hardly count;
# they are thin lines at 64 x 64 pixels. Long hair says "female", too, not only the lashes on which the heat of section
# 6 lay. A full beard does not say "male" much more clearly than a bare chin. So the network has not learned what age
# is, or gender. It has learned a **shortcut** (Geirhos et al., 2020): a rule that works for faces like those of the
# training part and fails for others, such as a young man with bleached hair.
#
# ## 8. The worst errors suggest a guess
#
# The upper row shows the ages that are furthest off; the lower row the genders that were missed most surely, with the
# probability of "female".

# %%
chances = figures.probabilities(logits)
worst, surest = np.argsort(-np.abs(errors))[:6], np.argsort(-np.abs(chances - labels))[:6]
titles = [f"is {ages[i]:.0f},\nsaid {said_ages[i]:.0f}" for i in worst]
titles += [f"{('male', 'female')[int(labels[i])]},\nsaid {chances[i]:.0%}" for i in surest]
viz.images(images[[*worst, *surest]], titles, size=1.05, limits=(0, 1))

# %% [markdown]
# Write down what they have in common, as in unit 0. Does it fit what section 7 found? Then look at the labels: in
# UTKFace the same picture can have two different ones (unit 10). At least one of them is wrong, and the network may be
# right.
#
# ## 9. Errors by group test the guess
#
# A mean over all hides who is behind it. Take it apart by age and gender.
#
# **Exercise.** Compute the mean of values in each group.


# %%
def group_means(values, groups):
    """An array with the mean of the values in group 0, 1, ..., NaN if it has none; groups[i] is that of values[i]."""
    # <blank>
    members = [values[groups == group] for group in range(groups.max() + 1)]
    return np.array([part.mean() if len(part) else np.nan for part in members])
    # </blank>


group_means = course.check_group_means(group_means)

# %% [markdown]
# **Predict:** for which ages does the network say too much, and for which too little?

# %%
NAMES = "0-9", "10-19", "20-29", "30-39", "40-59", "60 +"
groups = np.digitize(ages, (10, 20, 30, 40, 60))


def by_group(values, groups):
    """The mean of each group and its standard error."""
    means = group_means(values, groups)
    variances = group_means(values**2, groups) - means**2
    return means, np.sqrt(np.maximum(variances, 0) / np.bincount(groups))


measures = {"age error with its sign (years)": errors, "gender accuracy": right * 1.0}
for axes, (caption, values) in zip(plots.panels(2), measures.items(), strict=True):
    axes.axhline(values.mean(), color=style.colour("reference"), lw=1)
    for gender, name in enumerate(("male", "female")):
        rows = labels == gender
        if rows.any():  # a data set of one's own may have one gender only
            means, spread = by_group(values[rows], groups[rows])
            places = np.arange(len(means)) + 0.2 * gender
            plots.whiskers(places, {name: means}, {name: spread}, [style.OTHERS[gender]], axes=axes, title=caption)
    axes.set_xticks(range(6), NAMES, rotation=45)
    axes.legend()
axes.figure

# %%
for gender, name in enumerate(("male", "female")):
    counts = np.bincount(groups[labels == gender], minlength=6)
    print(f"{name} faces:", ", ".join(f"{count} of {group}" for group, count in zip(NAMES, counts, strict=True)))

# %% [markdown]
# The grey line is the mean of all, and a whisker is one standard error: with few faces in a group its mean says little.
# The network makes the young older and the old younger. Even the best possible answer does this. Where a face does not
# show its age, L1 wants the median age of all faces that look like it (unit 5), and this lies nearer to the middle than
# the ages of the youngest and the oldest of them. The mean error over all hides it, and a person of 70 meets it in
# full.
#
# ## 10. Calibration: is 80% right in 80% of the cases?
#
# The network gives the probability 0.8 to "female". Of all faces for which it does so, are 80% female? Then its
# probabilities are **calibrated**. To measure it, sort the faces by their probability into $B$ bins of equal width, and
# compare in each bin the mean probability $\bar{p}_b$ with the share $\bar{y}_b$ of label 1. The mean of the
# differences, each bin weighted by the number $n_b$ of its faces, is the **expected calibration error** (Naeini, Cooper
# and Hauskrecht, 2015):
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
# A remedy for bad calibration: divide all logits by one number, the **temperature** $T$ (Guo et al., 2017). This
# changes no answer, as the sign of a logit stays. Above 1 it makes all probabilities less certain, below 1 more
# certain. We choose $T$ on one half of the validation faces, by the smallest cross-entropy, and look at the other half.
#
# **Predict:** this network was trained for a short time. Is it too certain or not certain enough?

# %%
half, BINS = np.arange(len(logits)) % 2 == 0, 8
temperatures = np.geomspace(0.1, 5, 200)
scaled = [md.tensor(logits[half] / t) for t in temperatures]
losses = [F.binary_cross_entropy_with_logits(z, labels[half]).item() for z in scaled]
temperature = float(temperatures[np.argmin(losses)])
for axes, t in zip(plots.panels(2, 3.0, share="y"), (1.0, temperature), strict=True):
    p = figures.probabilities(logits[~half] / t)
    there, number, counts = np.unique((p * BINS).astype(int).clip(0, BINS - 1), return_inverse=True, return_counts=True)
    said, share = group_means(p, number), group_means(labels[~half], number)
    axes.plot([0, 1], [0, 1], color=style.colour("reference"), lw=1)
    spread = {"": np.sqrt(said * (1 - said) / counts)}
    plots.whiskers(said, {"": share}, spread, ["model"], axes=axes, xlabel="mean probability in a bin")
    axes.set(
        title=f"T = {t:.2f}: ECE {calibration_error(p, labels[~half], BINS):.3f}",
        ylabel="share of label 1",
        ylim=(-0.05, 1.05),
    )
axes.figure

# %% [markdown]
# On the grey line a network is calibrated. A whisker is one standard error of the share of label 1, if the
# probabilities are right. If the points are below it on the left and above it on the right, it is not certain enough,
# and a temperature below 1 repairs this. After long training the opposite is common (Guo et al.).
#
# Is an ECE real, or is it chance? With few faces in a bin, the share of label 1 differs from the mean probability even
# if the probabilities are right. To find out by how much, make a world in which they *are* right: draw a new label for
# each face from its probability, compute the ECE for the drawn labels, and repeat.
#
# **Predict:** which of the two measured errors is larger than chance explains?

# %%
for t in (1.0, temperature):
    p = figures.probabilities(logits[~half] / t)
    measured = calibration_error(p, labels[~half], BINS)
    by_chance = [calibration_error(p, (rng.random(len(p)) < p).astype(float), BINS) for _ in range(500)]
    low, high = np.quantile(by_chance, (0.05, 0.95))
    verdict = "above that range" if measured > high else "not above that range"
    print(f"T = {t:.2f}: by chance {low:.3f} to {high:.3f} in 90% of the draws; measured {measured:.3f}, {verdict}")

# %% [markdown]
# The labels must be drawn from the same probabilities that the error is measured for: otherwise the two numbers
# describe different probabilities, and cannot be compared. Right probabilities, too, have an error above the range once
# in twenty times. And an error within the range does not prove that they are right, only that so few faces do not show
# the contrary.
#
# ## 11. What the labels are, and what they must not be used for
#
# **The labels.** Here they are what a program drew: two genders, with hair, lashes and beards as its author imagined
# them (`agegender/data/person.py`). Section 7 found these stereotypes again in the network. The labels of UTKFace are
# not what people said about themselves, either. According to the data set's page, age, gender and race were estimated
# by an algorithm (DEX) and checked by a human annotator. So its "gender" records how a face was read by others, as one
# of two. It has no place for people who are neither male nor female, and it is wrong for people whom others misread.
# Its "age" is an apparent age. An accuracy on such labels measures agreement with those who made them, and nothing
# else. Keyes (2018) describes what this means for trans people.
#
# **Consent.** The pictures of UTKFace were collected from the web, for non-commercial research only. Its page does not
# say that the people in them were asked; it offers to remove a picture if its owner asks. If you add faces of your
# own, ask each person first, say what you will do with the picture, and delete it when they want you to. For this
# reason the course shows drawn faces only.
#
# **Misuse.** A mean says little about those who are served badly. Buolamwini and Gebru (2018) measured three commercial
# gender classifiers: the error was at most 0.8% for lighter-skinned men, and up to 34.7% for darker-skinned women. Nor
# would equal errors make every use right. A network like this one must decide nothing about a person: not who may
# enter, not who may buy, not what they are shown. A saliency map or a calibrated probability does not change this. It
# says how the network behaves, not whether the question should be asked. Before you give a model to others, write down
# what it is for, what it is not for, and how well it does in each group (a **model card**, Mitchell et al., 2019).

# %% [markdown]
# ## Questions
#
# 1. A colleague shows a saliency map that lies on the eyes, and says: "The network looks at the eyes." Which two tests
#    do you ask for?
#
# <details><summary>Answer</summary>The map of an untrained network for the same face, and whether the answer moves more
# if these pixels are painted over than if as many others are. Best is an experiment that changes nothing but the
# eyes.</details>
#
# 2. The data have as many labels 1 as labels 0. A network gives the probability 0.5 to every face. What are its
#    accuracy and its expected calibration error? What does this say about calibration?
#
# <details><summary>Answer</summary>The accuracy is 0.5 and the error is 0: all faces are in one bin, and half of them
# have label 1. So a calibrated network can be useless. Calibration says whether the probabilities can be believed, not
# whether they help.</details>
#
# 3. An annotator reads every tenth face wrongly. What accuracy does a network reach on these labels if it answers as
#    the people themselves would? And one that makes the annotator's mistakes?
#
# <details><summary>Answer</summary>0.9, and 1. The better score goes to the network that is wrong about
# people.</details>
#
# ## Now read the real thing
#
# A hook is a function in a list, which a module calls after its `forward`. This is how it gets there and how it is
# removed; `retain_grad` is in `minidl/tensor.py`.

# %%
print(inspect.getsource(nn.Module.add_hook))

# %% [markdown]
# Further reading:
#
# - K. Simonyan, A. Vedaldi and A. Zisserman, "Deep Inside Convolutional Networks: Visualising Image Classification
#   Models and Saliency Maps", 2013.
# - J. Adebayo et al., "Sanity Checks for Saliency Maps", 2018; S. Hooker et al., "A Benchmark for Interpretability
#   Methods in Deep Neural Networks", 2019: tests of such maps.
# - R. Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2017.
# - R. Geirhos et al., "Shortcut Learning in Deep Neural Networks", 2020.
# - M. Naeini, G. Cooper and M. Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", 2015; C.
#   Guo, G. Pleiss, Y. Sun and K. Weinberger, "On Calibration of Modern Neural Networks", 2017.
# - Z. Zhang, Y. Song and H. Qi, "Age Progression/Regression by Conditional Adversarial Autoencoder", 2017, and
#   https://susanqq.github.io/UTKFace: the data set.
# - J. Buolamwini and T. Gebru, "Gender Shades: Intersectional Accuracy Disparities in Commercial Gender
#   Classification", 2018; O. Keyes, "The Misgendering Machines: Trans/HCI Implications of Automatic Gender
#   Recognition", 2018; M. Mitchell et al., "Model Cards for Model Reporting", 2019.
