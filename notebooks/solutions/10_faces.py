# %% [markdown]
# # 10. The faces and their traps
#
# A network is as good as what it learns from. UTKFace is a set of 23,708 pictures of faces, each with an age and a
# gender (Zhang, Song and Qi, "Age Progression/Regression by Conditional Adversarial Autoencoder", 2017). This notebook
# looks at it before any network does:
#
# 1. the labels stand in the **names** of the files, and some names are odd;
# 2. **grey** pictures, and what is lost with the colours;
# 3. the **labels**: who is in it, and how well one does without looking at the pictures;
# 4. **copies**, which carry answers from the training part over to the validation part;
# 5. **sorted** names, which make two parts that have little to do with each other;
# 6. a **split** without these faults.
#
# If UTKFace is on this machine (named by `$UTKFACE`, in `./data`, or in Kaggle's input), everything is about it. If
# not, about 2,000 faces that are drawn from a seed, of invented people. What the text says of UTKFace itself was
# counted on the whole set: `docs/results.md` has most of it, and `python -m agegender.data.inspect UTKFace.tar.gz`
# counts it on your copy.

# %%
import io

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from agegender import data, tasks
from agegender.data import decode
from agegender.data.inspect import inspect, table
from minidl import course, viz

rng = np.random.default_rng(0)
faces = data.open()
print(f"{len(faces):,} faces from {faces.source}")
different = len(set(faces.digests))  # a picture that is there twice, byte for byte, counts once
assert different >= 30, f"{different} different faces are too few for what follows: take 30 or more, or UTKFACE=drawn"

# %%
GENDERS = ("male", "female")
some = np.linspace(0, len(faces) - 1, 12).astype(int)
viz.images(faces.images[some], [f"{GENDERS[faces.genders[i]]}, {faces.ages[i]}" for i in some], limits=(0, 255))

# %% [markdown]
# ## 1. What a name says
#
# UTKFace has no table of labels. They are in the names: age, gender (0 male, 1 female), ethnicity (a number from 0 to
# 4) and the date when the picture was collected.

# %%
figure, axes = plt.subplots(figsize=(6, 1.4), layout="constrained")
name = "26_1_3_20170117195547823.jpg.chip.jpg"
meanings = {0: ("age", "crimson"), 3: ("gender", "darkgreen"), 5: ("ethnicity", "navy"), 7: ("date and time", "black")}
for place, letter in enumerate(name):
    if place in meanings:
        meaning, colour = meanings[place]
        axes.text(place, -0.8 * list(meanings).index(place), f"└ {meaning}", color=colour, fontsize=9)
    if letter in "_.":
        colour = "gray"
    axes.text(place, 1, letter, family="monospace", fontsize=14, color=colour)
axes.set(xlim=(-1, len(name) + 1), ylim=(-2.6, 2))
axes.axis("off")
plt.show()

# %% [markdown]
# Five names of the published set are different. Three have no ethnicity, one has a space, one lacks a dot:
#
# ```text
# 39_1_20170116174525125.jpg.chip.jpg        24_0_1_20170116220224657 .jpg.chip.jpg
# 61_1_20170109142408075.jpg.chip.jpg        55_0_0_20170116232725357jpg.chip.jpg
# 61_1_20170109150557335.jpg.chip.jpg
# ```
#
# A program that trusts the first thousand names stops at one of these, or worse, goes on with a date in the place of an
# ethnicity.
#
# **Exercise.** Read a name. `name.split("_")` gives its parts; the date is always the last, and you need not look at
# it. For an ethnicity that is not there say -1.


# %%
def parse_name(name):
    """Age, gender and ethnicity, three integers."""
    # <blank>
    age, gender, *rest = [int(part) for part in name.split("_")[:-1]]
    return age, gender, rest[0] if rest else -1
    # </blank>


parse_name = course.check_parse_name(parse_name)
for name in ("26_1_3_20170117195547823.jpg.chip.jpg", "61_1_20170109142408075.jpg.chip.jpg"):
    print(f"{name}: {parse_name(name)}")

# %% [markdown]
# agegender reads them with a pattern that also refuses what is no name of a face (`agegender/data/names.py`). The file
# is then not used, and the reason is kept in `faces.skipped`.
#
# ## 2. Grey
#
# A pixel has three numbers: red, green and blue. The documented network takes grey pictures of 128 x 128 pixels. Which
# grey should a colour become? The eye does not find all three equally bright, so they are weighed (ITU-R
# Recommendation BT.601):
#
# $$ \text{luma} = 0.299\,R + 0.587\,G + 0.114\,B $$
#
# A JPEG file stores just this as one of its three channels (the JFIF specification says so), so a decoder can give
# grey pictures without ever computing the colours. minidl uses this.
#
# **Exercise.** Write it.


# %%
def luma(rgb):
    """Grey levels (H, W) of a picture (H, W, 3), whose channels are red, green and blue."""
    # <blank>
    return rgb @ np.array([0.299, 0.587, 0.114])
    # </blank>


luma = course.check_luma(luma)

# %% [markdown]
# Different colours can have the same grey. Here are two discs on a red ground. The green one has the luma of the
# ground, the blue one its plain mean:

# %%
rows, columns = np.mgrid[:128, :128]
plate = np.empty((128, 128, 3))
plate[:] = 200, 60, 60
plate[np.hypot(rows - 64, columns - 38) < 22] = 40, 140, 67
plate[np.hypot(rows - 64, columns - 90) < 22] = 60, 60, 200
figure, axes = plt.subplots(1, 3, figsize=(7, 2.6), layout="constrained")
greys = {"colours": plate.astype(np.uint8), "luma": luma(plate), "plain mean": plate.mean(axis=2)}
for part, (title, pixels) in zip(axes, greys.items(), strict=True):
    part.imshow(pixels, cmap="gray", vmin=0, vmax=255)
    part.set(title=title, xticks=[], yticks=[])
plt.show()

# %% [markdown]
# What differs in its tint alone vanishes. The network must do with the rest, which is a third of the numbers. The real
# decoder gives the same grey, rounded:

# %%
file = io.BytesIO()
Image.fromarray(plate.astype(np.uint8)).save(file, "PNG")
difference = np.abs(decode.grey(file.getvalue()) - luma(plate))
print(f"largest difference from agegender's decoder: {difference.max():.2f} of 255 grey levels")
assert difference.max() <= 1

# %% [markdown]
# ## 3. Who is in it
#
# All numbers at once, as `python -m agegender.data.inspect` prints them:

# %%
print(table(inspect(faces) | {"fingerprint": faces.fingerprint[:8]}))

# %%
ages = faces.ages.astype(float)
figure, axes = plt.subplots(figsize=(9, 2.8), layout="constrained")
both = [ages[faces.genders == gender] for gender in (0, 1)]
axes.hist(both, bins=np.arange(0, ages.max() + 2), stacked=True, label=GENDERS, color=("tab:blue", "tab:orange"))
axes.set(xlabel="age (years)", ylabel="faces")
axes.legend()
plt.show()
years, counts = np.unique(faces.ages, return_counts=True)
print("commonest ages:", ", ".join(f"{years[i]} ({counts[i]} faces)" for i in np.argsort(-counts)[:5]))

# %% [markdown]
# Nothing here is even. Nearly half of the faces are of people in their twenties and thirties, so a network meets an old
# face rarely. UTKFace is like this too: half of its names say 20 to 39, and 2,197 of the 23,708 say 26, more than twice
# as many as any other age but 1. The ages in the names are no dates of birth either: a program estimated them, and a
# person looked over the result (says UTKFace's own page, https://susanqq.github.io/UTKFace).
#
# With such labels one can be right without looking. Whoever always says the same age makes a certain error. Any network
# must do better than the best of these answers, its **baseline**.
#
# **Exercise.** Which age, said of everybody, gives the smallest mean absolute error?


# %%
def best_constant(ages):
    """The number c for which the mean of |ages - c| is smallest."""
    # <blank>
    return np.median(ages)
    # </blank>


best_constant = course.check_best_constant(best_constant)

# %%
guesses = np.arange(0, 91)
absolute = [np.abs(ages - guess).mean() for guess in guesses]
squared = [np.sqrt(((ages - guess) ** 2).mean()) for guess in guesses]
figure, axes = plt.subplots(figsize=(6, 2.8), layout="constrained")
axes.plot(guesses, squared, label="root of the mean squared error", color="tab:gray")
axes.plot(guesses, absolute, label="mean absolute error", color="tab:red")
axes.plot([ages.mean()], [ages.std()], "o", color="tab:gray")
axes.plot([best_constant(ages)], [np.abs(ages - best_constant(ages)).mean()], "o", color="tab:red")
axes.set(xlabel="the age that is said of everybody", ylabel="error (years)")
axes.legend(fontsize=8)
plt.show()
print(f"best for absolute errors: {best_constant(ages):.0f}, for squared ones: {ages.mean():.1f}")

# %% [markdown]
# Each kind of error has its own best answer: the lowest points of the curves lie at different ages. Which of them a
# network comes to believe in is a choice of the loss. The documented system takes the absolute error.
#
# ## 4. Copies
#
# A network may learn its training part by heart. So it is judged by faces that it has never seen, the **validation
# part**. In UTKFace 375 groups of files are the same picture, byte for byte. If one goes to the training part and its
# copy to the validation part, the answer has *leaked*: who remembers it gets a good mark for nothing.
#
# Copies are found by a **digest**, a short number made of all bytes of a file: the same content has the same digest,
# and two different ones in practice never do. `faces.digests` has them.
#
# **Exercise.** For each file find the first with the same digest.


# %%
def first_copies(digests):
    """A list: for each file the number of the first file with the same digest (its own, if it is the first)."""
    # <blank>
    first = {}
    return [first.setdefault(digest, number) for number, digest in enumerate(digests)]
    # </blank>


first_copies = course.check_first_copies(first_copies)
groups = np.array(first_copies(faces.digests))
print(f"{len(faces):,} faces, {len(np.unique(groups)):,} different ones")

# %% [markdown]
# What do copies do? The drawn faces have none, so we put some in: of 600 faces (or all, if they are fewer) a part comes
# twice. As a "network that knows everything by heart" we take the nearest neighbour: it says of a face the age of the
# most similar one in the training part. We measure it twice, with a split that does not care for copies, and with one
# that puts all copies on the same side:


# %%
def thumbnails(images):
    """Pictures (N, 128, 128) as rows of 16 x 16 averages in [0, 1]."""
    return images.reshape(len(images), 16, 8, 16, 8).mean(axis=(2, 4)).reshape(len(images), -1) / 255


def nearest_neighbour_error(x, ages, validation):
    """The mean absolute error in years of the nearest neighbour in the rest."""
    train = ~validation
    distances = (x[validation] ** 2).sum(axis=1)[:, None] - 2 * x[validation] @ x[train].T + (x[train] ** 2).sum(axis=1)
    return np.abs(ages[train][distances.argmin(axis=1)] - ages[validation]).mean()


def both_errors(share, rng):
    """The error with copies on both sides, and with copies on one side, if a share of the faces comes twice."""
    chosen = rng.choice(len(faces), min(len(faces), 600), replace=False)
    rows = np.concatenate([chosen, chosen[: round(share * len(chosen))]])
    first = np.array(first_copies([faces.digests[i] for i in rows]))
    x, y = thumbnails(faces.images[rows]), ages[rows]
    careless = rng.permutation(len(rows)) < 0.2 * len(rows)
    originals = rng.permutation(np.unique(first))
    careful = np.isin(first, originals[: round(0.2 * len(originals))])  # each follows the first of its copies
    return nearest_neighbour_error(x, y, careless), nearest_neighbour_error(x, y, careful)


shares = (0, 0.1, 0.2, 0.3, 0.4, 0.5)
errors = np.array([np.mean([both_errors(share, rng) for _ in range(8)], axis=0) for share in shares])
figure, axes = plt.subplots(figsize=(6, 2.8), layout="constrained")
axes.plot(np.multiply(shares, 100), errors[:, 0], "o-", color="tab:red", label="copies on both sides")
axes.plot(np.multiply(shares, 100), errors[:, 1], "o-", color="tab:green", label="copies on one side")
axes.set(xlabel="faces that come twice (%)", ylabel="error (years)", ylim=(0, None))
axes.legend()
plt.show()
if errors[-1, 0] >= 0.9 * errors[-1, 1]:  # as where all have one age, or with a film, whose pictures are all alike
    print("Of these faces copies make hardly a difference: the nearest neighbour does as well without them.")

# %% [markdown]
# The more copies, the better the red curve looks. Nothing has become better: the green one says what a new face would
# meet. (Without copies both are the same but for chance.)
#
# The second trouble: 224 of the 375 groups in UTKFace have names that *disagree* in age or gender. One and the same
# picture is then 25 and 40 years old. No network can please both. Made here, on purpose, with drawn faces:

# %%
twice = rng.choice(len(faces), 3, replace=False)
others = rng.choice(len(faces), 3, replace=False)
shown, titles = [], []
for one, other in zip(twice, others, strict=True):
    shown += [faces.images[one], faces.images[one]]
    titles += [f"{ages[i]:.0f}_{faces.genders[i]}_..." for i in (one, other)]
viz.images(shown, titles, columns=6, limits=(0, 255))

# %% [markdown]
# agegender keeps all files, as the documented system does, and lets copies stay together. The errors that such labels
# cause remain: a perfect score on this set is not possible.
#
# ## 5. Sorted names
#
# A folder is often read in the order of its names, and "the first 80 % for training" is quickly written. But the names
# begin with the age, and they are sorted as *text*:

# %%
print(sorted(["9_1_0", "26_0_0", "100_0_0", "10_1_0", "1_0_0", "3_0_0"]))
by_name = np.array(sorted(range(len(faces)), key=lambda i: f"{faces.ages[i]}_{faces.genders[i]}"))
cut = round(0.8 * len(faces))
shuffled = rng.permutation(len(faces))
splits = {"sorted by name": (by_name[:cut], by_name[cut:]), "shuffled": (shuffled[:cut], shuffled[cut:])}
figure, axes = plt.subplots(1, 2, figsize=(10, 2.8), layout="constrained", sharey=True)
for part, (title, (train, validation)) in zip(axes, splits.items(), strict=True):
    bins = np.arange(0, ages.max() + 5, 5)
    part.hist([ages[train], ages[validation]], bins=bins, stacked=True, label=("training", "validation"))
    part.set(title=title, xlabel="age (years)")
    part.legend(fontsize=8)
axes[0].set(ylabel="faces")
plt.show()
for title, (train, validation) in splits.items():
    print(f"{title}: mean age {ages[train].mean():.1f} in training, {ages[validation].mean():.1f} in validation")

# %% [markdown]
# Sorted, the validation part is old people and children under 10, whose ages the training part hardly has. (In UTKFace
# the mean ages would be 27.8 and 55.5.) What does this do to the results? As a model we take the best weighted
# sum of a face's 256 averages (least squares with a small penalty: ridge regression), once for each split:


# %%
def fitted(x, y, penalty=0.1):
    """The function of x that is the best weighted sum for y."""
    mean = x.mean(axis=0)
    centred = x - mean
    w = np.linalg.solve(centred.T @ centred + penalty * np.eye(x.shape[1]), centred.T @ (y - y.mean()))
    return lambda x: (x - mean) @ w + y.mean()


chosen = np.sort(rng.choice(len(faces), min(len(faces), 4000), replace=False))
x = np.full((len(faces), 256), np.nan)
x[chosen] = thumbnails(faces.images[chosen])
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
for part, (title, parts) in zip(axes, splits.items(), strict=True):
    train, validation = (indices[np.isin(indices, chosen)] for indices in parts)
    model = fitted(x[train], ages[train])
    wrong = [np.abs(model(x[rows]) - ages[rows]).mean() for rows in (train, validation)]
    constant = np.abs(ages[validation] - best_constant(ages[train])).mean()
    part.scatter(ages[train], model(x[train]), s=3, alpha=0.4, label=f"training: error {wrong[0]:.1f} years")
    part.scatter(ages[validation], model(x[validation]), s=5, label=f"validation: error {wrong[1]:.1f} years")
    part.plot([0, 90], [0, 90], color="black", lw=0.8)
    part.set(title=title, xlabel="age (years)")
    part.legend(fontsize=8, loc="upper left")
    print(f"{title}: validation error {wrong[1]:.1f} years, always the same {constant:.1f}")
axes[0].set(ylabel="predicted (years)", ylim=(-30, 130))
plt.show()

# %% [markdown]
# On the left the model is lost where it never was: what it says of the old lies far below the line. The same happens
# with `files[:5000]`, "only some faces, to be quick": they are not some faces, but the first ages. So `--limit` of
# `agegender.train` *draws* its sample.
#
# Opposite orders flatter instead. A film gives a thousand nearly equal pictures, and shuffled they are on both sides.
# The question is always the same: **does the validation part stand to the training part as new data will?**
#
# ## 6. A split without these faults
#
# `data.split` shuffles from a seed, keeps copies together, and meets the size exactly. Of UTKFace it takes 18,966 faces
# for training and 4,742 for validation. (The documented system states 18,970 and 4,740; together these are two more
# than there are pictures.)

# %%
parts = data.split(faces, fraction=0.2, seed=0)
leaked = set(groups[parts.train]) & set(groups[parts.validation])
print(f"{len(parts.train):,} for training, {len(parts.validation):,} for validation, {len(leaked)} pictures in both")
assert not leaked
figure, axes = plt.subplots(1, 2, figsize=(9, 2.6), layout="constrained")
bins = np.arange(0, ages.max() + 5, 5)
for label, rows in {"training": parts.train, "validation": parts.validation}.items():
    axes[0].hist(ages[rows], bins=bins, density=True, histtype="step", lw=2, label=label)
axes[0].set(xlabel="age (years)", ylabel="share of the part, per year")
axes[0].legend()
shares = [[(faces.genders[rows] == g).mean() for rows in (parts.train, parts.validation)] for g in (0, 1)]
axes[1].bar(("training", "validation"), shares[0], label="male")
axes[1].bar(("training", "validation"), shares[1], bottom=shares[0], label="female")
axes[1].set(ylabel="share of the part", ylim=(0, 1.25))
axes[1].legend(loc="upper center", ncols=2)
plt.show()

# %% [markdown]
# Both parts look alike, as far as chance lets them. These are the numbers to beat, of the best answers that are
# always the same, the commonest gender and the median age:

# %%
labels = faces.genders[parts.validation], faces.ages[parts.validation]
for name, value in tasks.baselines(labels).items():
    print(f"{name}: {value:.3f}")

# %% [markdown]
# The next notebook builds the network that beats them. To read on: `agegender/data/utkface.py` chooses and reads the
# files, `decode.py` makes them grey, `split.py` is the split.
