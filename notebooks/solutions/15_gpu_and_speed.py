# %% [markdown]
# # 15. GPU and speed
#
# The same numbers can take a second or a minute. What decides is seldom the arithmetic alone: numbers must come from
# memory, and somebody must say what to do with them. This notebook measures the machine that it runs on:
#
# 1. where the **time** of a training step goes;
# 2. what a layer costs: **operations and bytes**;
# 3. the **roof**: what this machine can do at most, and how near to it the layers come;
# 4. **fusion**: the same operations on fewer bytes;
# 5. **threads**;
# 6. the **GPU**: who waits for whom.
#
# You need notebook 14. All times are those of the machine where the notebook ran last; run it on yours.

# %%
import textwrap
import time

import matplotlib.pyplot as plt
import numpy as np

import minidl as md
from agegender import data, models
from minidl import course, threads
from minidl.errors import BackendError

F = md.nn.functional
images = data.drawn(64).batch(np.arange(64))[0]
places = ["numpy"]
try:
    places.append(md.backends.get("cupy").name)
except BackendError as error:
    print(textwrap.fill(f"No GPU here: {error}", 110))
print(f"computing on: {', '.join(places)}; {threads.get_num_threads()} threads")


def best(work, rounds=5, place="numpy"):
    """The shortest of some times in seconds, after a warm-up: whatever else the machine does only adds to them."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        md.backends.get(place).synchronize()  # a GPU works on when Python is done: wait for it
        times.append(time.perf_counter() - start)
    return min(times[1:])


# %% [markdown]
# ## 1. Where the time goes
#
# Measure before you change anything: everybody guesses wrong. `md.profile` runs a model forward and backward and makes
# a table of its ops. This is the documented network on 16 faces, each layer on its own (section 4 says why this has to
# be asked for):

# %%
model = models.build("documented", rng=md.Generator(0))
with md.using(fusion=False):
    plain = md.profile(model, images[:16])
print(plain.table())

# %%
KINDS = {"Conv2D": "convolution", "ReLU": "ReLU", "MaxPool2D": "pooling", "Linear": "dense"}
shares = {kind: [0.0, 0.0] for kind in [*KINDS.values(), "all else"]}
for row in plain.rows():
    for part, value in enumerate((row.forward, row.backward + row.other)):
        shares[KINDS.get(row.op, "all else")][part] += value
figure, axes = plt.subplots(figsize=(7, 2.4), layout="constrained")
forward, backward = np.array(list(shares.values())).T
axes.barh(list(shares), forward, label="forward")
axes.barh(list(shares), backward, left=forward, label="backward")
axes.invert_yaxis()
axes.set(xlabel="ms in a step")
axes.legend()
plt.show()
largest = max(shares, key=lambda kind: sum(shares[kind]))
share = sum(shares[largest]) / (forward + backward).sum()
print(f"largest share: {largest}, {share:.0%}; if it took no time, a step would be {1 / (1 - share):.1f} times as fast")

# %% [markdown]
# The last number is the most that can be gained there (Amdahl, "Validity of the Single Processor Approach to Achieving
# Large Scale Computing Capabilities", 1967). Whatever takes 3% of the time is not worth an afternoon.
#
# ## 2. Operations and bytes
#
# A product of matrices $(M, K)$ and $(K, N)$ makes $M N$ sums of $K$ products each. At the least, both matrices are
# read from memory once and the result is written once.
#
# **Exercise.** Write down how many operations that is (a multiplication is one, an addition is one), and how many bytes
# in float32.


# %%
def matmul_cost(M, K, N):
    """The operations and the bytes."""
    # <blank>
    return 2 * M * K * N, 4 * (M * K + K * N + M * N)
    # </blank>


matmul_cost = course.check_matmul_cost(matmul_cost)

# %% [markdown]
# Their quotient is the **intensity**: how many operations there are for each byte that is fetched. A dense layer of the
# network, 9,216 numbers in and 256 out, reads all its weights for every batch:

# %%
batches = (1, 2, 4, 8, 16, 32, 64, 128)
costs = np.array([matmul_cost(count, 9216, 256) for count in batches], float)
weights = md.tensor(np.zeros((9216, 256), np.float32))
inputs = [md.tensor(np.zeros((count, 9216), np.float32)) for count in batches]
taken = np.array([best(lambda x=x: x @ weights) for x in inputs])
figure, axes = plt.subplots(1, 2, figsize=(10, 2.8), layout="constrained")
axes[0].semilogx(batches, costs[:, 0] / costs[:, 1], "o-")
axes[0].set(title="operations for each byte", xlabel="images in a batch")
axes[1].semilogx(batches, 1e6 * taken / batches, "o-", color="tab:red")
axes[1].set(title="microseconds for each image, measured", xlabel="images in a batch", ylim=(0, None))
for part in axes:
    part.set_xticks(batches, batches)
    part.minorticks_off()
plt.show()
print(f"for each image, one by one takes {taken[0] / taken[-1] * 128:.1f} times as long as 128 at a time")

# %% [markdown]
# For one image, every weight is fetched for two operations. With more images the same bytes serve all of them. This is
# one reason for batches.
#
# ## 3. The roof
#
# A machine has two limits: its **peak**, operations a second, and its **bandwidth**, bytes a second. Both can be
# measured, with work that needs only one of them: large products, and copies.

# %%
sides, sizes = (32, 64, 128, 256, 512, 1024), 2 ** np.arange(10, 26)
multiply = md.backends.get("numpy").matmul
squares = [np.ones((side, side), np.float32) for side in sides]
rates = [matmul_cost(len(a), len(a), len(a))[0] / best(lambda a=a: multiply(a, a), 9) for a in squares]
x, y = np.ones((2, sizes[-1]), np.float32)


def copy(size, repeat):
    """Copy so many numbers again and again, on one thread."""
    for _ in range(repeat):
        np.copyto(y[:size], x[:size])


repeats = [max(1, 2**18 // size) for size in sizes]
speeds = [8 * n * k / best(lambda n=n, k=k: copy(n, k)) for n, k in zip(sizes, repeats, strict=True)]
parts = threads.chunks(sizes[-1], 2**18)
bandwidth = 8 * sizes[-1] / best(lambda: threads.for_each(lambda part: np.copyto(y[part], x[part]), parts))
peak = max(rates)
figure, axes = plt.subplots(1, 2, figsize=(10, 2.8), layout="constrained")
axes[0].semilogx(sides, np.array(rates) / 1e9, "o-")
axes[0].set(title="products: GFLOP/s", xlabel="side of the matrices", ylim=(0, None))
axes[0].set_xticks(sides, sides)
axes[0].minorticks_off()
axes[1].semilogx(8 * sizes / 2**20, np.array(speeds) / 1e9, ".-", label="one thread")
axes[1].axhline(bandwidth / 1e9, color="tab:red", ls="--", label="all threads, the largest")
axes[1].set(title="copies: GB/s", xlabel="MiB read and written", ylim=(0, None))
axes[1].legend(fontsize=8)
plt.show()
print(f"peak {peak / 1e9:.0f} GFLOP/s, bandwidth {bandwidth / 1e9:.1f} GB/s")

# %% [markdown]
# Small products do not reach the peak, and small copies are slow: there the time is Python's own. In the middle, copies
# stay in the **cache**, a small and fast memory in the processor. What counts for large layers is the right end.
#
# In a second, memory delivers `bandwidth` bytes, and for each byte there are `intensity` operations to do. The
# processor does `peak` of them at most. Fetching and computing go on side by side, so the slower one of them counts
# (Williams, Waterman and Patterson, "Roofline: An Insightful Visual Performance Model for Multicore Architectures",
# 2009).
#
# **Exercise.** Write how many operations a second can be had.


# %%
def attainable(intensity, peak, bandwidth):
    """Operations a second, for an array of intensities."""
    # <blank>
    return np.minimum(peak, bandwidth * intensity)
    # </blank>


attainable = course.check_attainable(attainable)


def points(axes, rows, op, name, style):
    """The rows of an op, where there is something to do, as points under the roof."""
    found = [row for row in rows if row.op == op and row.flops > 1e6]
    axes.plot([row.flops / row.nbytes for row in found], [row.rate for row in found], style, label=name)


def roofline():
    """The roof of this machine, with the ops of the network under it."""
    axes = plt.figure(figsize=(8, 3.6), layout="constrained").add_subplot()
    line = np.geomspace(0.1, 1000, 100)
    axes.loglog(line, attainable(line, peak, bandwidth) / 1e9, "k")
    axes.axvline(peak / bandwidth, color="tab:gray", ls=":")
    axes.set(xlabel="intensity: operations for each byte", ylabel="GFLOP/s")
    for (op, name), colour in zip(KINDS.items(), ("C0", "C1", "C2", "C3"), strict=True):
        points(axes, plain.rows(), op, name, f"o{colour}")
    return axes


roofline().legend(fontsize=8)
plt.show()
print(f"on this machine the roof bends at {peak / bandwidth:.0f} operations for each byte")

# %% [markdown]
# Left of the dotted line the memory decides, right of it the processor. ReLU and pooling do hardly one operation for
# each byte: far to the left, and no faster processor would help them. Convolutions of many
# channels are furthest to the right; the first one has a single channel.
#
# How near to the roof a point lies says how well it is computed. It can even lie above, for two reasons: what the last
# op has left in the cache need not be fetched, and Winograd's trick (notebook 14) does fewer operations than the
# definition, by which they are counted.
#
# ## 4. Fusion
#
# What is left of the line gets faster by moving fewer bytes. Take $y = \max(a x + b, 0)$. NumPy computes $a x$ for all
# numbers, then adds $b$ to all, then compares all, and each time everything goes through memory. If it is done **block
# by block**, a block stays in the cache for all three:

# %%
STEPS = (
    lambda block: np.multiply(x[block], 0.5, out=y[block]),
    lambda block: np.add(y[block], 0.1, out=y[block]),
    lambda block: np.maximum(y[block], 0, out=y[block]),
)


def one_by_one():
    """Each step for all numbers, then the next."""
    for step in STEPS:
        threads.for_each(step, threads.chunks(len(x), 2**16))


def in_blocks(size):
    """All steps for one block, then for the next."""
    threads.for_each(lambda block: [step(block) for step in STEPS], threads.chunks(len(x), size))


blocks = 2 ** np.arange(12, 23)
taken, whole = np.array([best(lambda size=size: in_blocks(size), 3) for size in blocks]), best(one_by_one)
figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
axes.semilogx(4 * blocks / 1024, 1e3 * taken, "o-", label="in blocks")
axes.axhline(1e3 * whole, color="tab:red", ls="--", label="one step after another")
axes.set(xlabel="KiB in a block", ylabel="ms", ylim=(0, None))
axes.legend()
plt.show()
print(
    f"best: {4 * blocks[taken.argmin()] / 1024:.0f} KiB, {whole / taken.min():.1f} times as fast as one after another"
)

# %% [markdown]
# With tiny blocks Python's own time shows, for each block anew. Blocks that are too large for the cache gain nothing. A
# GPU does the same inside of one kernel, with the numbers in registers.
#
# minidl computes a convolution, its ReLU and its max pooling in one pass, where they follow each other in a
# `Sequential` and the algorithm offers it. The outputs of the convolution, the largest arrays of the whole network, are
# then never stored as a whole:

# %%
fused = md.profile(model, images[:16])
axes = roofline()
points(axes, fused.rows(), "Conv2DReLUMaxPool2D", "convolution, ReLU and pooling in one", "DC4")
axes.legend(fontsize=8)
plt.show()
for name, profile in (("one by one", plain), ("in one pass", fused)):
    rows = [row for row in profile.rows() if row.layer.startswith("features")]
    print(f"{name}: {sum(row.nbytes for row in rows) / 1e6:.0f} MB, {sum(row.total for row in rows):.0f} ms")
with md.using(fusion=False), md.no_grad():
    expected = model(md.tensor(images[:16]))["age"].numpy()
difference = np.abs(model(md.tensor(images[:16]))["age"].numpy() - expected).max()
print(f"largest difference of the ages: {difference:.0e} years")
assert difference < 1e-3

# %% [markdown]
# The diamonds are further to the right: the same operations on an eighth of the bytes. (ReLU and pooling are in their
# time, so they may lie lower than the blue points.) How much time is saved depends on how slow the memory is beside the
# processor.
#
# ## 5. Threads
#
# A processor has several cores, and each is a little computer that shares the memory with the others. minidl cuts its
# work into chunks and lets a thread for each core take one after another. If a share $p$ of the work can be cut, $n$
# threads are at most $1 / (1 - p + p / n)$ times as fast (Amdahl's law).

# %%
cores = threads.get_num_threads()
counts = sorted({1, cores} | {count for count in (2, 4, 8, 16) if count < cores})
batch = md.tensor(images[:16])


def step():
    """The gradients of a training step."""
    model.zero_grad()
    outputs = model(batch)
    (outputs["gender"].sum() + outputs["age"].sum()).backward()
    return [parameter.grad.copy() for parameter in model.parameters()]


times, results = {count: [] for count in counts}, {}
for _ in range(6):  # in turn, so that whatever else the machine does disturbs all alike
    for count in counts:
        threads.set_num_threads(count)
        times[count].append(best(step, 1))
        results[count] = step()
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
line = np.arange(1, max(counts[-1], 8) + 1)
for share in (0.5, 0.9, 0.95, 1.0):
    axes.plot(line, 1 / (1 - share + share / line), lw=1, label=f"{share:.0%} can be cut")
axes.plot(counts, [min(times[1]) / min(times[count]) for count in counts], "ko", label="measured: a training step")
axes.set(xlabel="threads", ylabel="times as fast", xticks=line if len(line) < 20 else counts)
axes.legend(fontsize=8)
plt.show()
same = all((a == b).all() for count in counts for a, b in zip(results[1], results[count], strict=True))
print("the same gradients for any number of threads, to the last bit:", bool(same))
assert same

# %% [markdown]
# The last line is a promise of minidl's. Sums of floating-point numbers depend on their order, so the work is cut by
# its shape, never by the number of threads, and chunks are added up in a fixed order.
#
# All curves but the last flatten: what cannot be cut decides in the end. And threads share the memory: work that waits
# for it gains less than Amdahl's law says.
#
# ## 6. The GPU
#
# A GPU has thousands of small cores and its own fast memory: its roof is far higher. In minidl it takes one word,
# `model.to("cupy")`, and inputs made with `md.tensor(x, backend="cupy")`. But Python only *launches* kernels: it puts
# them into a queue and goes on, while the card works through the queue. Launching takes some microseconds, whatever the
# kernel does.
#
# **Exercise.** Python launches a kernel every `launch` microseconds: kernel $i$, from 0, is in the queue at the time
# $(i + 1)$ `launch`. It begins then, or when the one before it is finished, and takes `work[i]`. When is each finished?


# %%
def finish_times(launch, work):
    """When the card has finished each kernel: an array like work."""
    # <blank>
    end, ends = 0.0, []
    for i, seconds in enumerate(work):
        end = max(end, (i + 1) * launch) + seconds
        ends.append(end)
    return np.array(ends)
    # </blank>


finish_times = course.check_finish_times(finish_times)
figure, axes = plt.subplots(1, 2, figsize=(11, 2.2), layout="constrained", sharex=True)
for part, seconds in zip(axes, (4.0, 25.0), strict=True):
    ends = finish_times(10.0, np.full(6, seconds))
    part.barh(["Python"] * 6, [9.5] * 6, left=10 * np.arange(6), color="tab:orange")
    part.barh(["card"] * 6, seconds - 0.5, left=ends - seconds, color="tab:green")
    part.set(title=f"kernels of {seconds:.0f} us: the card works {6 * seconds / ends[-1]:.0%} of the time", xlabel="us")
    part.invert_yaxis()
plt.show()

# %% [markdown]
# On the left the card waits for Python: a faster card would not help, fewer and larger kernels would. On the right
# Python is done long before the card. Whoever stops the clock then measures nothing, so wait for the card first (`best`
# does, by `synchronize()`). Reading a number, by `loss.item()` for example, waits as well: do it seldom.
#
# A processor has this cost, too, in Python and in the graph. How long does a ReLU take, of few numbers and of many?

# %%
sizes, flat = 2 ** np.arange(0, 23, 2), {}
figure, axes = plt.subplots(1, 2, figsize=(11, 3), layout="constrained")
for place in places:
    inputs = [md.tensor(np.ones(size, np.float32), backend=place) for size in sizes]
    flat[place] = np.array([best(lambda x=x: F.relu(x), 50, place) for x in inputs])
    axes[0].loglog(sizes, 1e6 * flat[place], "o-", label=place)
    network = models.build("documented", rng=md.Generator(0)).to(place).eval()
    batches, rates = (1, 2, 4, 8, 16, 32, 64), []
    for count in batches:
        some = md.tensor(images[:count], backend=place)
        with md.no_grad():
            rates.append(count / best(lambda some=some, network=network: network(some), 3, place))
    axes[1].plot(batches, rates, "o-", label=place)
    least = flat[place].min()
    few = sizes[flat[place] <= 2 * least].max()
    print(
        f"{place}: a ReLU takes {1e6 * least:.0f} us at the least, and less than twice that for up to {few:,} numbers"
    )
axes[0].set(title="ReLU: microseconds", xlabel="numbers")
axes[1].set(title="documented network: images/s", xlabel="images in a batch", xscale="log")
axes[1].set_xticks(batches, batches)
axes[1].minorticks_off()
axes[1].set(**({"yscale": "log"} if len(places) > 1 else {"ylim": (0, None)}))
for part in axes:
    part.legend()
plt.show()

# %% [markdown]
# Up to some thousands of numbers a ReLU takes about the same time, whether there are many or few: that is the cost of
# the op itself, and a batch of one image pays it for every layer. With larger batches it is shared, until the machine
# is busy. On a GPU this takes more images.
#
# Three more things count there. Copying to the card and back is slow, so keep everything on it. Its tensor cores
# multiply faster in TF32, a format with 10 bits after the point: `backend.set_precision("tf32")`. And one kernel for
# many ops saves launches as well as bytes, so the fused pass of section 4 is a single kernel there.
#
# ## Now read the real thing
#
# `minidl/profiler.py` makes the table. `minidl/kernels/numpy/elementwise.py` goes block by block, `minidl/threads.py`
# hands out the chunks, and `minidl/kernels/cupy/implicit_gemm.cu` is the fused pass of a GPU. In a clone of
# the repository, `python -m tests.benchmarks.peers` compares with other frameworks, and `python -m
# tests.benchmarks.gpu` measures a card against its own roof.
