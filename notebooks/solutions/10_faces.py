# %% [markdown]
# # 10. The faces and their traps
#
# A network is as good as what it learns from, and a result is as good as the faces it was measured with. UTKFace is a
# set of 23,708 photographs of faces, each with an age and a gender (Zhang, Song and Qi, 2017). This unit looks at such
# data before any network does, and shows with numbers how a result becomes too good, and how it becomes too bad.
#
# **You will be able to**
#
# - read labels from file names, and deal with names that are odd;
# - say what is lost when a photograph becomes grey, and how the grey is computed;
# - find the best answer that is always the same, for each kind of error;
# - find copies, and say how much they flatter a result;
# - split data so that the validation part stands to the training part as new faces will.
#
# **Prior knowledge:** baselines (unit 0), the median and L1 (unit 5), validation and overfitting (unit 6).
#
# **Time:** about 90 minutes, 30 of them for the four exercises.
#
# If UTKFace is on this machine (named by `$UTKFACE`, in `./data`, or in Kaggle's input), the cells are about it. If
# not, they are about 2,000 faces of invented people, drawn from a seed. What the text says of a result was found with
# the drawn faces. What it says of UTKFace was counted on the whole set: `docs/results.md` has most of it, and
# `python -m agegender.data.inspect UTKFace.tar.gz` counts it on your copy.

# %%
import inspect
import io

import numpy as np
from PIL import Image

from agegender import data, tasks
from agegender.data import decode
from agegender.data.inspect import inspect as statistics
from agegender.data.inspect import table
from minidl import course, viz
from minidl.course import plots, style

style.use()
rng = np.random.default_rng(0)
faces = data.open()
print(f"{len(faces):,} faces from {faces.source}")
different = len(set(faces.digests))  # a picture that is there twice, byte for byte, counts once
assert different >= 30, f"{different} different faces are too few for what follows: take 30 or more, or UTKFACE=drawn"
ages = faces.ages.astype(float)
GENDERS = "male", "female"

# %% [markdown]
# ## 1. The labels are in the names of the files
#
# UTKFace has no table of labels. A name has four parts: the age, the gender (0 male, 1 female), a number from 0 to 4
# for the ethnicity, and when the picture was added to the set, here on 17 January 2017 at 19:55:47.823:
#
# ```text
# 26_1_3_20170117195547823.jpg.chip.jpg
# ```
#
# Such labels are somebody's estimate; unit 12 says whose. Twelve faces, each with its gender and age:

# %%
some = np.linspace(0, len(faces) - 1, 12).astype(int)
titles = [f"{GENDERS[faces.genders[i]]}, {faces.ages[i]}" for i in some]
viz.images(faces.images[some], titles, limits=(0, 255))

# %% [markdown]
# Five names of the published set are different. Three have no ethnicity, one has a space, one lacks a dot:
#
# ```text
# 39_1_20170116174525125.jpg.chip.jpg        24_0_1_20170116220224657 .jpg.chip.jpg
# 61_1_20170109142408075.jpg.chip.jpg        55_0_0_20170116232725357jpg.chip.jpg
# 61_1_20170109150557335.jpg.chip.jpg
# ```
#
# A program that was tried on the first thousand names stops at one of these or, worse, goes on with a date in the place
# of an ethnicity.
#
# **Exercise.** Read a name. `name.split("_")` gives its parts; the date is always the last, and you need not look at
# it. For an ethnicity that is not there return -1.


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
# agegender reads names with a pattern that also refuses what is no label, such as an age of 300. Such a file is not
# used, and the reason is kept in `faces.skipped`.
#
# ## 2. Decoding: from a file to grey numbers
#
# **Decoding** a file turns its bytes into pixels. Each pixel of a photograph has three numbers, red, green and blue,
# from 0 to 255. The documented network takes one: a grey level. Which grey should a colour become? The three do not
# look equally bright, so they get weights. The **luma** of ITU-R Recommendation BT.601, a standard for television, is
#
# $$ \text{luma} = 0.299\,R + 0.587\,G + 0.114\,B $$
#
# The weights add up to 1, so grey stays the grey it was. A JPEG file stores this luma as one of its three channels
# (JFIF specification, version 1.02), so a program can read a grey picture from it without computing the colours.
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
# A picture to try it on: two discs on a red ground, a green one and a blue one. The red, green and blue of the ground
# are (200, 60, 60), of the left disc (40, 140, 67), of the right disc (60, 60, 200).
#
# **Predict:** compute the luma and the plain mean of the three colours. Which disc disappears in which picture?

# %%
rows, columns = np.mgrid[:128, :128]
plate = np.empty((128, 128, 3))
plate[:] = 200, 60, 60
plate[np.hypot(rows - 64, columns - 38) < 22] = 40, 140, 67
plate[np.hypot(rows - 64, columns - 90) < 22] = 60, 60, 200
pictures = {"colours": plate.astype(np.uint8), "luma": luma(plate), "plain mean": plate.mean(axis=2)}
panels = plots.panels(3, 2.3)
for axes, (title, picture) in zip(panels, pictures.items(), strict=True):
    axes.imshow(picture, vmin=0, vmax=255)
    axes.set(title=title, xticks=[], yticks=[])
panels[0].figure

# %% [markdown]
# Colours of the same grey become one. Grey pictures have a third of the numbers, and the network must do with what is
# left. agegender's decoder gives the same grey, rounded to an integer:

# %%
file = io.BytesIO()
Image.fromarray(plate.astype(np.uint8)).save(file, "PNG")
difference = np.abs(decode.grey(file.getvalue()) - luma(plate))
print(f"largest difference from agegender's decoder: {difference.max():.2f} of 255 grey levels")
assert difference.max() <= 1

# %% [markdown]
# It also scales each picture to 128 x 128 pixels and keeps them as integers of one byte. A batch is made of them only
# when it is needed: float32, divided by 255, so from 0 to 1.
#
# **Predict:** how many megabytes do 23,708 such pictures take as bytes, and how many as float32?

# %%
batch, _ = faces.batch(np.arange(8))
print(f"kept: {faces.images.shape}, {faces.images.dtype}, {faces.images[0].min()} to {faces.images[0].max()}")
print(f"a batch: {batch.shape}, {batch.dtype}, {batch[0].min():.2f} to {batch[0].max():.2f}")
print(f"23,708 pictures: {23708 * 128 * 128 / 1e6:.0f} MB as bytes, {23708 * 128 * 128 * 4 / 1e6:.0f} MB as float32")

# %% [markdown]
# ## 3. Who is in it, and the best answer that is always the same
#
# All counts at once, as `python -m agegender.data.inspect` prints them:

# %%
print(table(statistics(faces) | {"fingerprint": faces.fingerprint[:8]}))

# %%
[axes] = plots.panels(1)
both = [ages[faces.genders == gender] for gender in (0, 1)]
axes.hist(both, bins=np.arange(0, ages.max() + 2), stacked=True, label=GENDERS, color=style.OTHERS[:2])
axes.set(xlabel="age (years)", ylabel="faces")
axes.legend().figure

# %%
years, counts = np.unique(faces.ages, return_counts=True)
print("most common ages:", ", ".join(f"{years[i]} ({counts[i]} faces)" for i in np.argsort(-counts)[:5]))
print(f"aged 20 to 39: {np.mean((ages >= 20) & (ages < 40)):.0%} of the faces; 70 and older: {np.mean(ages >= 70):.1%}")

# %% [markdown]
# The ages are not evenly distributed, so a network meets an old face rarely. UTKFace is like this too: half of its
# names say 20 to 39, and 2,197 of the 23,708 say 26, more than twice as many as any other age but 1.
#
# With such labels one can be right without looking. Unit 0 compared the network with answers that are always the same.
# Which of them is best?
#
# **Exercise.** Which age, said of everybody, gives the smallest mean absolute error?


# %%
def best_constant(ages):
    """The number c for which the mean of |ages - c| is smallest."""
    # <blank>
    return np.median(ages)
    # </blank>


best_constant = course.check_best_constant(best_constant)

# %% [markdown]
# **Predict:** is the best constant the same if the error is squared?

# %%
guesses = np.arange(0, 91)
kinds = {
    "root of the mean squared error": [np.sqrt(((ages - guess) ** 2).mean()) for guess in guesses],
    "mean absolute error": [np.abs(ages - guess).mean() for guess in guesses],
}
[axes] = plots.panels(1)
colours = ["reference", "model"]
plots.curves(guesses, kinds, colours, axes=axes, xlabel="the age that is said of everybody", ylabel="error (years)")
for best, error, colour in zip((ages.mean(), best_constant(ages)), kinds.values(), colours, strict=True):
    axes.plot(best, np.interp(best, guesses, error), "o", ms=7, color=style.colour(colour))
print(f"best for absolute errors: {best_constant(ages):.0f}, for squared ones: {ages.mean():.1f}")
axes.figure

# %% [markdown]
# The best constant is the median for one and the mean for the other (unit 5), and the mean is larger here: the few old
# people count more if their errors are squared. Which age a network gives to a face that tells it nothing is therefore
# a choice of the loss. The documented network takes the absolute error.
#
# ## 4. Copies carry answers from training to validation
#
# The **validation part** is the part of the data with which a network is judged and never trained. In UTKFace 375
# groups of files are the same picture, byte for byte. If one of them is in the training part and its copy in the
# validation part, the right answer has come over with it: a network that knows its training part by heart gets a good
# mark for nothing. This is called **leakage**. Well-known data have such copies: 3.3% of the test images of CIFAR-10
# and 10% of those of CIFAR-100 have duplicates in the training set (Barz and Denzler, 2020).
#
# Copies are found by a **digest**, a short number computed from all bytes of a file. Equal files have equal digests;
# that two different files have the same one is so unlikely that it can be ignored. `faces.digests` has them.
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
# How much do copies flatter? The drawn faces have none, so we put some in: of 600 faces a share $s$ comes twice. As a
# "network that knows everything by heart" we take the **nearest neighbour**: it gives a face the age of the most
# similar face in the training part. A fifth of the faces is the validation part. The next cell measures it with two
# splits: one that ignores copies, and one that puts all copies of a picture into the same part.
#
# For a face with a copy in the training part the error is 0. Of the $600\,(1 + s)$ files $1200\,s$ have a copy, and the
# copy is in the training part with probability 0.8. So the error should be multiplied by $1 - 0.8 \cdot 2 s / (1 + s)$.
#
# **Predict:** what is this factor for $s = 0.5$?


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


shares = np.array([0, 0.1, 0.2, 0.3, 0.4, 0.5])
draws = np.array([[both_errors(share, rng) for _ in range(8)] for share in shares])
errors, spread = draws.mean(axis=1), draws.std(axis=1, ddof=1)
expected = errors[:, 1].mean() * (1 - 0.8 * 2 * shares / (1 + shares))
print(f"the error differs by about {spread.mean():.1f} years from one of the 8 draws to another")
curves = {"expected": expected, "copies in both parts": errors[:, 0], "copies in one part": errors[:, 1]}
colours = ["reference", "mistake", "validation"]
axis = {"xlabel": "faces that come twice (%)", "ylabel": "error (years)", "ylim": (0, None)}
figure = plots.curves(100 * shares, curves, colours, "o-", **axis)
if errors[-1, 0] >= 0.9 * errors[-1, 1]:  # as where all have one age, or with a film, whose pictures are all alike
    print("Of these faces copies make hardly a difference: the nearest neighbour does as well without them.")
figure

# %% [markdown]
# The more copies, the better the red curve looks, as expected: for $s = 0.5$ the factor is 0.47. Nothing has become
# better: the green curve is the error that new faces will have.
#
# A second trouble: 224 of the 375 groups in UTKFace have names that *disagree* in age or gender. One and the same
# picture is then, for example, 25 and 40 years old. No network can please both. Made here on purpose, with drawn faces:

# %%
twice, others = (rng.choice(len(faces), 3, replace=False) for _ in range(2))
shown = [faces.images[i] for i in twice for _ in range(2)]
titles = [f"{ages[i]:.0f}_{faces.genders[i]}_..." for pair in zip(twice, others, strict=True) for i in pair]
viz.images(shown, titles, columns=6, limits=(0, 255))

# %% [markdown]
# agegender uses all files, as the document that describes the network does, and keeps copies in one part. A perfect
# score on such labels is not possible.
#
# What a digest does not find: a copy that was saved again has other bytes. `data.split` therefore also compares the
# decoded pixels. It still does not find a copy that was cropped or made brighter, or another photograph of the same
# person: the names do not say who it is.
#
# ## 5. Sorted names make a validation part of other people
#
# A folder is often read in the order of its names, and "the first 80% for training" is quickly written. But the names
# begin with the age, and they are sorted as *text*.
#
# **Predict:** in which order does Python sort the names 9_1, 26_0, 100_0, 10_1, 1_0 and 3_0? Which ages are then in the
# last fifth?

# %%
print(sorted(["9_1", "26_0", "100_0", "10_1", "1_0", "3_0"]))
by_name = np.array(sorted(range(len(faces)), key=lambda i: f"{faces.ages[i]}_{faces.genders[i]}"))
cut = round(0.8 * len(faces))
shuffles = [rng.permutation(len(faces)) for _ in range(5)]
splits = {"sorted by name": by_name, "shuffled": shuffles[0]}
left, right = plots.panels(2, share="y")
for axes, (title, order) in zip((left, right), splits.items(), strict=True):
    colours = [style.colour("training"), style.colour("validation")]
    parts = [ages[order[:cut]], ages[order[cut:]]]
    axes.hist(parts, np.arange(0, 121, 5), stacked=True, color=colours, label=("training", "validation"))
    axes.set(title=title, xlabel="age (years)")
    print(f"{title}: mean age {parts[0].mean():.1f} in training, {parts[1].mean():.1f} in validation")
left.set(ylabel="faces")
right.legend().figure

# %% [markdown]
# Sorted, the validation part has ages that the training part hardly has. (In UTKFace they would be 5 to 9 and 54 to 99,
# and the mean ages 27.8 and 55.5.) What does this do to a result? As a model we take the weighted sum of the 256
# averages of a face that fits the training part best: least squares, with a small penalty on the weights (**ridge
# regression**). Once for the sorted names, and for five shuffles.
#
# **Predict:** which part has the larger error in the sorted split, and is the model better there than a constant?


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


def validation_error(order):
    """The answers and ages of the validation part, its error, and that of the best constant of the training part."""
    train, validation = (part[np.isin(part, chosen)] for part in (order[:cut], order[cut:]))
    said, truth = fitted(x[train], ages[train])(x[validation]), ages[validation]
    return said, truth, np.abs(said - truth).mean(), np.abs(truth - best_constant(ages[train])).mean()


panels = plots.panels(2, 3.0, share="y")
for axes, (title, order) in zip(panels, splits.items(), strict=True):
    said, truth, error, constant = validation_error(order)
    print(f"{title}: validation error {error:.1f} years, the best constant of the training part {constant:.1f}")
    plots.points(truth, said, colours=["validation"], axes=axes, title=title, xlabel="age (years)")
    axes.plot([0, 90], [0, 90], color=style.colour("reference"))
panels[0].set(ylabel="answer (years)")
found = [validation_error(order)[2] for order in shuffles]
print(f"five shuffles: validation error {min(found):.1f} to {max(found):.1f} years")
panels[0].figure

# %% [markdown]
# On the left the model is lost: what it says of the old lies far below the line, because it has hardly seen an old
# face. The same happens with `files[:5000]`, "only some faces, to be quick": in UTKFace these are the ages 1, 10 to 25
# and 100 to 116. So `--limit` of `agegender.train` *draws* its sample.
#
# Keep the error of the shuffled split in mind. It is a second kind of baseline, a simple model that looks at the faces:
# a network with millions of parameters is worth its trouble only if it does better.
#
# The sorted split makes a result too bad. Shuffling can make it too good: a film gives a thousand nearly equal
# pictures, and shuffled they are in both parts. The question is always the same: does the validation part stand to the
# training part as new faces will?
#
# ## 6. A split without these faults
#
# `data.split` shuffles with a seed, keeps copies together, and meets the size exactly where the copies allow it. Of
# UTKFace it takes 18,966 faces for training and 4,742 for validation. (The document that describes the network states
# 18,970 and 4,740; together these are two more than there are pictures.)
#
# **Predict:** will both parts have the same share of women, exactly?

# %%
parts = data.split(faces, fraction=0.2, seed=0)
leaked = set(groups[parts.train]) & set(groups[parts.validation])
print(f"{len(parts.train):,} for training, {len(parts.validation):,} for validation, {len(leaked)} pictures in both")
assert not leaked
both = {"training": parts.train, "validation": parts.validation}
left, right = plots.panels(2)
for name, rows in both.items():
    left.hist(
        ages[rows], np.arange(0, 121, 5), density=True, histtype="step", lw=2, color=style.colour(name), label=name
    )
left.set(xlabel="age (years)", ylabel="share of the part, per year")
left.legend()
women = {name: float(faces.genders[rows].mean()) for name, rows in both.items()}
plots.bars(women, list(both), "{:.1%}", axes=right, xlabel="share of label 1")

# %% [markdown]
# Both parts look alike, as far as chance lets them. These are the numbers to beat on this part, those of the best
# answers that are always the same:

# %%
labels = faces.genders[parts.validation], faces.ages[parts.validation]
for name, value in tasks.baselines(labels).items():
    print(f"{name}: {value:.3f}")

# %% [markdown]
# A validation part that has been used to choose, such as the number of epochs or the best of ten networks, has become
# part of the training. For the final figure keep a test set that has chosen nothing (unit 6).

# %% [markdown]
# ## Questions
#
# 1. A friend mirrors every face to have twice as many, then shuffles and splits. What happens to the validation error?
#
# <details><summary>Answer</summary>It becomes too good: most validation faces have their mirror image in the training
# part, which has the same labels and looks nearly the same. Split first, then mirror the training part only.</details>
#
# 2. The mean grey of all 23,708 pictures is subtracted from every picture before the split. Is this leakage?
#
# <details><summary>Answer</summary>Yes, in principle: the validation part has helped to prepare the training part. One
# number from thousands of pictures carries almost nothing, so here it does no harm that could be measured. But compute
# such numbers from the training part alone: then the question does not arise.</details>
#
# 3. You are given a part of UTKFace in which all faces are between 20 and 39. Someone reports an error of 4.8 years. Is
#    this good?
#
# <details><summary>Answer</summary>Hardly. If the ages are spread evenly from 20 to 39, always saying 30 is wrong by 5
# years on average. Ask for the error of the best constant on the same faces.</details>
#
# ## Now read the real thing
#
# `agegender/data/utkface.py` chooses and reads the files, `decode.py` makes them grey, and this is the split:

# %%
print(inspect.getsource(data.split))

# %% [markdown]
# Further reading:
#
# - Z. Zhang, Y. Song and H. Qi, "Age Progression/Regression by Conditional Adversarial Autoencoder", 2017, and
#   https://susanqq.github.io/UTKFace: the data set.
# - E. Hamilton, "JPEG File Interchange Format, Version 1.02", 1992; Recommendation ITU-R BT.601: luma.
# - B. Barz and J. Denzler, "Do We Train on Test Data? Purging CIFAR of Near-Duplicates", 2020.
# - S. Kaufman, S. Rosset and C. Perlich, "Leakage in Data Mining: Formulation, Detection, and Avoidance", 2011; S.
#   Kapoor and A. Narayanan, "Leakage and the Reproducibility Crisis in Machine-Learning-Based Science", 2023.
# - T. Gebru et al., "Datasheets for Datasets", 2021: what to write down about data before others use them.
#
# The next unit builds the network that beats the baselines.
