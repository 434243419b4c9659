# %% [markdown]
# # 15. GPU and speed
#
# The same computation can take a second or a minute. The number of operations decides only a part of this. Numbers also
# have to come from memory, and each operation has to be started. This elective measures all three on your machine, with
# or without a GPU.
#
# **You will be able to**
#
# - find out where the time of a training step goes, and the most that a change there can gain;
# - count operations and bytes, and tell which of the two limits a layer;
# - fuse two steps into one pass, predict the gain and measure it;
# - say what threads can gain, and what they cannot;
# - explain why a GPU may wait for Python, and what a CUDA graph changes.
#
# **Prior knowledge:** the documented network (unit 11), bytes and relative times (unit 14, sections 1 and 2).
#
# **Time:** about 2 hours, 40 minutes of them for the four exercises.

# %%
import inspect
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import minidl as md
from agegender import data, models
from minidl import course, threads
from minidl.capture import CapturedStep
from minidl.course import plots, style, timing
from minidl.errors import BackendError
from minidl.kernels.numpy import elementwise

style.use()
F = md.nn.functional
images, labels = data.drawn(64).batch(np.arange(64))
places = ["numpy"]
try:
    places.append(md.backends.get("cupy").name)
except BackendError as error:
    print(textwrap.fill(f"No GPU here: {error}", 110))
print(f"computing with {' and '.join(places)}, on {threads.get_num_threads()} threads")


def best(work, rounds=5):
    """The shortest of several times in seconds, after a first one that does not count."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times[1:])


# %% [markdown]
# Whatever else a machine does can only add to a time, so for a single computation the shortest of several is the best
# estimate. To compare two, let them run in turn and look at the ratios, as in unit 14.
#
# ## 1. Measure first where the time goes
#
# A **profile** is a list of the parts of a program with the time that each takes. `md.profile` runs a model forward and
# backward and lists its ops. This is the documented network on 8 faces. (`fusion=False` makes each layer an op of its
# own; section 4 says what happens otherwise. Section 3 needs the columns GFLOP/s and MB.)
#
# **Predict:** which layers take most of the time?

# %%
model = models.build("documented", rng=md.Generator(0))
with md.using(fusion=False):
    plain = md.profile(model, images[:8])
print(plain.table())

# %%
KINDS = {"Conv2D": "convolution", "ReLU": "ReLU", "MaxPool2D": "pooling", "Linear": "dense"}
shares = dict.fromkeys([*KINDS.values(), "all else"], 0.0)
whole = sum(row.total for row in plain.rows())
for row in plain.rows():
    shares[KINDS.get(row.op, "all else")] += row.total / whole
name, share = max(shares.items(), key=lambda item: item[1])
print(f"largest share: {name}. If it took no time, a step would be {1 / (1 - share):.1f} times as fast")
plots.bars(shares, form="{:.0%}", xlabel="share of the time of a step")

# %% [markdown]
# Let a part take the share $p$ of the time. If it becomes $k$ times as fast, the whole takes $1 - p + p / k$ of its
# time. So the whole becomes at most $1 / (1 - p)$ times as fast, however large $k$ is. This is **Amdahl's law**
# (Amdahl, 1967). For a part with a share of 3% this is a factor of $1 / 0.97 = 1.03$.
#
# ## 2. Operations per byte is the number to know
#
# We count each addition and each multiplication of floats as one **operation**. A product of matrices $(M, K)$ and
# $(K, N)$ has $M N$ elements, each a sum of $K$ products. At the least, both matrices are read from memory once and the
# result is written once.
#
# **Exercise.** How many operations is that, and how many bytes in float32?


# %%
def matmul_cost(M, K, N):
    """The operations and the bytes."""
    # <blank>
    return 2 * M * K * N, 4 * (M * K + K * N + M * N)
    # </blank>


matmul_cost = course.check_matmul_cost(matmul_cost)

# %% [markdown]
# Operations divided by bytes are the **intensity** of a computation. The first dense layer of a head has 9,216 inputs
# and 256 outputs.
#
# **Predict:** what is its intensity for a batch of one face, roughly? And for 128?

# %%
batches = (1, 2, 4, 8, 16, 32, 64, 128)
intensities = [np.divide(*matmul_cost(count, 9216, 256)) for count in batches]
weights = np.ones((9216, 256), np.float32)
multiply = md.backends.get("numpy").matmul
inputs = {count: np.ones((count, 9216), np.float32) for count in batches}
relative = timing.ratios({count: lambda x=x: multiply(x, weights) for count, x in inputs.items()}, 9)
per_face = [np.median(relative[count]) / count for count in batches]
print(f"intensity {intensities[0]:.1f} for one face, {intensities[-1]:.0f} for 128")
print(f"time per face in a batch of 128, relative to one alone: {per_face[-1]:.2f}")
left, right = plots.panels(2)
ticks = {"xticks": batches, "xticklabels": batches, "xlabel": "faces in a batch"}
plots.curves(batches, {"": intensities}, marks="o-", log="xy", axes=left, title="operations per byte", **ticks)
plots.curves(batches, {"": per_face}, marks="o-", log="x", axes=right, title="time per face, relative", **ticks)
for axes in (left, right):
    axes.minorticks_off()
right.set_ylim(0, None)
right.figure

# %% [markdown]
# For one face each weight is read for one multiplication and one addition: two operations for four bytes. In a larger
# batch the same weights serve all faces. This is one reason for batches.
#
# ## 3. Peak and bandwidth limit every computation
#
# A machine has two limits: the **peak**, the most operations per second, and the **bandwidth**, the most bytes per
# second between memory and processor. Both can be measured, each with work that hardly needs the other: products of
# large matrices, and copies. (GFLOP/s are $10^9$ floating-point operations per second.)
#
# **Predict:** do small matrices and small copies reach the same rates as large ones?

# %%
sides, sizes = (32, 64, 128, 256, 512, 1024), 2 ** np.arange(10, 25)
squares = [np.ones((side, side), np.float32) for side in sides]
rates = [matmul_cost(len(a), len(a), len(a))[0] / best(lambda a=a: multiply(a, a), 9) for a in squares]
x, y = np.full((2, sizes[-1]), 0.75, np.float32)


def copy(size):
    """Copy `size` numbers again and again, 2**20 numbers or more in all."""
    for _ in range(max(1, 2**20 // size)):
        np.copyto(y[:size], x[:size])


speeds = [8 * max(size, 2**20) / best(lambda size=size: copy(size), 7) for size in sizes]
parts = threads.chunks(sizes[-1], 2**18)
together = 8 * sizes[-1] / best(lambda: threads.for_each(lambda part: np.copyto(y[part], x[part]), parts), 9)
peak, bandwidth = max(rates), max(together, speeds[-1])
left, right = plots.panels(2)
plots.curves(sides, {"": np.array(rates) / 1e9}, marks="o-", log="x", axes=left, title="products: GFLOP/s")
left.set(xticks=sides, xticklabels=sides, xlabel="rows and columns", ylim=(0, None))
left.minorticks_off()
plots.curves(8 * sizes / 2**20, {"one thread": np.array(speeds) / 1e9}, marks="o-", log="x", axes=right)
right.axhline(bandwidth / 1e9, color=style.colour("reference"), ls="--", label="bandwidth")
right.set(title="copies: GB/s", xlabel="MiB read and written", ylim=(0, None))
right.legend()
print(f"peak {peak / 1e9:.0f} GFLOP/s, bandwidth {bandwidth / 1e9:.1f} GB/s")
print(f"best copy / largest copy, one thread: {max(speeds) / speeds[-1]:.1f}")
right.figure

# %% [markdown]
# For small matrices and small copies, starting the operation takes a large part of the time. Copies of medium size use
# the cache, the small memory in the processor (unit 14), which is much faster than the main memory. An array that is
# larger than the cache has to come from the main memory each time. The bandwidth is that of the largest copy, on one
# thread or on all (section 5). A cache of more than 128 MiB would need a larger one. If other programs run meanwhile,
# both limits come out too low.
#
# In one second the memory delivers `bandwidth` bytes, with `intensity` operations to do for each. The processor does
# at most `peak` operations. Reading and computing overlap, so the slower of the two decides.
#
# **Exercise.** Write the highest attainable rate. It is called the **roofline** (Williams, Waterman and Patterson,
# 2009).


# %%
def attainable(intensity, peak, bandwidth):
    """The highest number of operations per second, for an array of intensities."""
    # <blank>
    return np.minimum(peak, bandwidth * intensity)
    # </blank>


attainable = course.check_attainable(attainable)

# %% [markdown]
# Now the ops of the network under the roof of your machine. The profile counts the operations of each op's definition,
# forward and backward, and the bytes of its inputs and outputs, once for each of the two. (The backward pass moves up
# to twice as many: it also has gradients to read or write. So the true points are a little further to the left.)
#
# **Predict:** which ops are limited by the memory?


# %%
def roofline(title, *groups):
    """The roof of this machine, and groups (marker, kinds of ops, profile) of points under it."""
    [axes] = plots.panels(1, 3.4)
    line = np.geomspace(0.1, 1000, 200)
    plots.curves(line, {"roof": attainable(line, peak, bandwidth) / 1e9}, ["data"], log="xy", axes=axes, title=title)
    axes.axvline(peak / bandwidth, color=style.colour("reference"), ls=":")
    for marker, kinds, profile in groups:
        for op, name in kinds.items():
            rows = [row for row in profile.rows() if row.op == op and row.flops > 1e6]
            axes.plot([row.flops / row.nbytes for row in rows], [row.rate for row in rows], marker, label=name)
    axes.set(xlabel="intensity: operations per byte", ylabel="GFLOP/s")
    axes.legend(loc="lower right")
    return axes.figure


print(f"the roof bends at {peak / bandwidth:.0f} operations per byte")
for op, name in KINDS.items():
    found = [row.flops / row.nbytes for row in plain.rows() if row.op == op and row.flops > 1e6]
    print(f"{name}: {min(found):.3g} to {max(found):.3g} operations per byte")
roofline("each layer on its own", ("o", KINDS, plain))

# %% [markdown]
# Left of the dotted line the memory sets the limit, right of it the processor. ReLU and pooling do less than one
# operation per byte, so they are far to the left: a higher peak would not help them. Convolutions with many channels
# are furthest to the right. The first convolution has one channel, and is the leftmost of them.
#
# The distance to the roof is the most that could still be gained with the same operations and bytes. A point can even
# lie above it: what the op before has left in the cache is not read from memory, Winograd's algorithm (unit 14) needs
# fewer operations than are counted, and the machine may have been busier when the roof was measured.
#
# ## 4. Fusion: two steps, one pass through memory
#
# An array $x$ is larger than the cache, and $y = 4\,(x - 0.5)$ is to be computed. In NumPy these are two steps. The
# first reads all of $x$ and writes all of $y$; the second reads and writes all of $y$. If instead both steps are done
# for one block of the array, then for the next one, the block of $y$ is still in the cache when the second step needs
# it. To combine steps so that data moves through memory once is called **fusion**.
#
# **Exercise.** Write it. A step is called as `first(source, target)`: it reads one array and writes the other. They may
# be the same array, and slices such as `y[start : start + size]` are views: writing to them changes `y`. First `first`
# reads `x` and writes `y`, then `second` reads `y` and writes `y`. The last block may be shorter.


# %%
def fused(first, second, x, y, size):
    """Write second(first(x)) to y and return y: both steps for one block of `size` elements, then for the next."""
    # <blank>
    for start in range(0, len(x), size):
        block = slice(start, start + size)
        first(x[block], y[block])
        second(y[block], y[block])
    return y
    # </blank>


fused = course.check_fused(fused)

# %% [markdown]
# The fused pass moves half of the bytes: it reads and writes once instead of twice. If the memory were the only limit,
# it would be twice as fast. We measure two pairs of steps: subtract and multiply, and `exp` and `log`, which need much
# more arithmetic for each element.
#
# **Predict:** which pair gains more? What happens with very small blocks, and with a single block?

# %%
PAIRS = {
    "subtract, multiply": (lambda a, out: np.subtract(a, 0.5, out=out), lambda a, out: np.multiply(a, 4, out=out)),
    "exp, log": (lambda a, out: np.exp(a, out=out), lambda a, out: np.log(a, out=out)),
}
blocks, gains = 2 ** np.arange(12, 25, 2), {}
for name, (first, second) in PAIRS.items():
    works = {"two passes": lambda first=first, second=second: (first(x, y), second(y, y))}
    works |= {n: lambda n=n, first=first, second=second: fused(first, second, x, y, n) for n in blocks}
    measured = timing.ratios(works, 8)
    gains[name] = [1 / np.median(measured[n]) for n in blocks]
    print(f"{name}: with blocks of 1 MiB {gains[name][3]:.2f} times as fast as in two passes")
gains["two passes"] = [1.0] * len(blocks)
kinds = [style.BLUE, style.ORANGE, "reference"]
plots.curves(4 * blocks / 1024, gains, kinds, "o-", log="x", xlabel="KiB in a block", ylabel="times as fast")

# %% [markdown]
# - With small blocks there are many calls, and each call of a NumPy function takes some time before it computes
#   anything. This can cost more than fusion gains.
# - A single block, at the right, is the two passes again. In between are blocks that fit into the cache.
# - A gain of 2 cannot be expected even of the first pair: the second step takes some time even if its data is in the
#   cache. Many processors also read memory before they write to it, once in both versions.
# - `exp` and `log` need so much arithmetic that the memory is hardly their limit. Fusion saves bytes, so it can help
#   only where bytes are the limit.
#
# How large the gain is depends on the machine, and on what else uses its memory meanwhile: run the cell again to see
# how far you can trust it.
#
# minidl fuses a convolution, its ReLU and its max pooling, where they follow each other in a `Sequential`. The outputs
# of the convolutions, the largest arrays of the network, are then never stored as a whole.
#
# **Predict:** where do the points move under the roof?

# %%
fusing = md.profile(model, images[:8])
moved = {
    name: sum(row.nbytes for row in profile.rows() if row.layer.startswith("features")) / 1e6
    for name, profile in (("each layer on its own", plain), ("fused", fusing))
}
print(", ".join(f"{name}: {megabytes:.0f} MB" for name, megabytes in moved.items()))
assert moved["fused"] < 0.2 * moved["each layer on its own"]
FUSED = {"Conv2DReLUMaxPool2D": "convolution, ReLU and pooling"}
roofline("circles: each layer on its own, diamonds: fused", ("o", KINDS, plain), ("D", FUSED, fusing))

# %%
batch = md.tensor(images[:8])


def gradients():
    """The ages of 8 faces, and the gradients of all parameters."""
    model.zero_grad()
    outputs = model(batch)
    (outputs["gender"].sum() + outputs["age"].sum()).backward()
    return outputs["age"].numpy(), [parameter.grad.copy() for parameter in model.parameters()]


def layer_by_layer():
    with md.using(fusion=False):
        return gradients()


difference = np.abs(gradients()[0] - layer_by_layer()[0]).max()
assert difference < 1e-3
measured = timing.ratios({"each layer on its own": layer_by_layer, "fused": gradients}, 5)
print(f"largest difference of the ages: {difference:.0e} years")
print(f"time of a step, fused / each layer on its own: {timing.spread(measured['fused'])}")

# %% [markdown]
# The diamonds are further to the right: nearly the same operations for an eighth of the bytes. The last line is a
# median with its quartiles: half of the ratios lie between them. The gain in time, if there is any, is much smaller
# than that in bytes. Most of the time goes into products of matrices, whose limit is the processor. And minidl computes
# ReLU and pooling on all threads, in small pieces, even without fusion.
#
# ## 5. Threads share the work, and the memory
#
# A processor has several **cores**, each of which computes on its own. A **thread** is a part of a program that can run
# on a core beside others. minidl cuts its work into chunks, and each thread takes one after another. If the share $p$
# of the time is for work that can be cut, $n$ threads need $1 - p + p / n$ of the time (Amdahl's law, section 1).
#
# **Predict:** how many times as fast is a training step with all threads?

# %%
cores = threads.get_num_threads()
counts = sorted({1, cores} | {count for count in (2, 4, 8, 16) if count < cores})
results = {}


def step_with(count):
    threads.set_num_threads(count)
    results[count] = gradients()[1]


relative = timing.ratios({count: lambda count=count: step_with(count) for count in counts}, 5)
threads.set_num_threads(cores)  # for the cells below
line = np.arange(1, max(counts[-1], 8) + 1)
ideal = {f"{share:.0%} can be cut": 1 / (1 - share + share / line) for share in (0.5, 0.9, 0.95, 1.0)}
[axes] = plots.panels(1, 3.0)
plots.curves(line, ideal, axes=axes, xlabel="threads", ylabel="times as fast")
axes.plot(counts, [1 / np.median(relative[count]) for count in counts], "o", color="black", label="measured")
axes.legend()
same = all((a == b).all() for count in counts for a, b in zip(results[1], results[count], strict=True))
assert same
print(f"with {cores} threads: {1 / np.median(relative[cores]):.2f} times as fast as with one")
print("the gradients are the same for any number of threads, to the last bit")
axes.figure

# %% [markdown]
# If something else uses the cores, the points are lower. All curves but the last level off at $1 / (1 - p)$. Threads
# also share one memory: work that is limited by the bandwidth gains less than Amdahl's law says.
#
# A sum of floats depends on the order of its terms. The chunks of minidl depend on the shapes of the arrays, never on
# the number of threads, and their results are added in a fixed order. So the number of threads does not change them.
#
# ## 6. A GPU works through a queue
#
# A **GPU**, the processor of a graphics card, has thousands of small cores and a fast memory of its own. For float32,
# NVIDIA states up to 8.1 TFLOP/s and 320 GB/s for the T4 (a card that Colab offers), and 67 TFLOP/s and 3,350 GB/s for
# the H100 (SXM). 1 TFLOP/s is 1,000 GFLOP/s.
#
# **Predict:** at which intensity do these roofs bend? Does the memory limit fewer ops on a GPU?

# %%
CARDS = {"this machine": (peak, bandwidth), "T4": (8.1e12, 320e9), "H100": (67e12, 3350e9)}
for name, (top, reading) in CARDS.items():
    least = sum(max(row.flops / top, row.nbytes / reading) for row in fusing.rows())
    print(f"{name}: bends at {top / reading:.0f} operations per byte, a step takes at least {1e3 * least:.2f} ms")
line = np.geomspace(0.1, 1000, 200)
roofs = {name: attainable(line, *limits) / 1e9 for name, limits in CARDS.items()}
plots.curves(line, roofs, log="xy", xlabel="intensity: operations per byte", ylabel="GFLOP/s")

# %% [markdown]
# The least time of a step is a sum over its ops: each takes at least the longer of its two times, computing and
# reading, by the counts of section 3. Both limits of a card are far above those of a laptop. But with less than one
# operation per byte, ReLU and pooling are far to the left of every bend, so on a GPU the memory limits them, too. The
# further to the right a roof bends, the more ops are limited by the memory.
#
# On a fast card the ops take so little time that something else may take longer. A function that runs on a GPU is
# called a **kernel**. (It has nothing in common with the kernel of a convolution.) Python does not run kernels, it
# **launches** them: it puts them into a queue and goes on, while the card works through the queue in order. A launch
# takes Python some microseconds, whatever the kernel does.
#
# **Exercise.** Python launches a kernel every `launch` microseconds: kernel $i$, counted from 0, is in the queue at the
# time $(i + 1)$ `launch`. The card starts it then, or when the kernel before it is finished, whichever is later. It
# takes `work[i]`. When is each finished?


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
launches = 10.0 * np.arange(6)
for axes, seconds in zip(plots.panels(2, 1.7, share="x"), (4.0, 25.0), strict=True):
    ends = finish_times(10.0, np.full(6, seconds))
    rows = {"Python": (launches, launches + 10), "card": (ends - seconds, ends)}
    title = f"kernels of {seconds:.0f} µs: card busy {6 * seconds / ends[-1]:.0%}"
    plots.timeline(rows, [style.ORANGE, style.BLUE], axes=axes, title=title, xlabel="µs")
axes.figure

# %% [markdown]
# On the left the card waits for Python. A faster card would not help; fewer and larger kernels would. On the right
# Python has launched everything long before the card is done.
#
# We can try this without a GPU. A thread of its own is our card: `card.submit(f, x)` puts a call into its queue and
# returns at once. The first cell submits work that only waits, and your function predicts the times (in milliseconds).
# The second one submits 20 products of matrices.
#
# **Predict:** Python stops the clock when it has submitted the 20 products. Which part of their time does it measure?

# %%
launch, work, ends = 10, [4, 25, 3, 30, 4, 4, 4, 30], []
start = time.perf_counter()


def kernel(milliseconds):
    time.sleep(milliseconds / 1e3)
    ends.append(1e3 * (time.perf_counter() - start))


with ThreadPoolExecutor(1) as card:
    for milliseconds in work:
        time.sleep(launch / 1e3)
        card.submit(kernel, milliseconds)
both = {"predicted": finish_times(launch, np.array(work, float)), "measured": ends}
plots.curves(range(8), both, ["reference", "model"], "o-", xlabel="kernel", ylabel="finished after (ms)")

# %%
a = np.ones((300, 300), np.float32)
with ThreadPoolExecutor(1) as card:
    start = time.perf_counter()
    submitted = [card.submit(multiply, a, a) for _ in range(20)]
    launched = time.perf_counter() - start
    for product in submitted:
        product.result()  # waits for this one
    finished = time.perf_counter() - start
assert launched < finished
print(f"all are launched after {launched / finished:.0%} of the time in which all are finished")

# %% [markdown]
# The waiting kernels never finish earlier than predicted. They are later, because each sleep and each switch between
# threads takes longer than planned, above all on a busy machine. And a clock that is stopped after the launches
# measures the launches. On a GPU, wait for the card first: `md.backends.get("cupy").synchronize()`. Reading a result,
# for example with `loss.item()`, waits as well, and meanwhile Python launches nothing: do it seldom.
#
# ## 7. One launch for a whole step: CUDA graphs
#
# The ops of a training step are the same for every batch. A **CUDA graph** is a recording of them. It is launched as a
# whole, and the card goes from kernel to kernel without waiting for Python (NVIDIA, *CUDA Programming Guide*). We count
# one launch for a graph.
#
# **Predict:** a launch takes 10 µs and a step has 50 equal kernels. For which durations of a kernel is the graph
# faster, and by which factor?

# %%
durations = np.array([1, 2, 5, 10, 20, 50, 100.0])
one_by_one = np.array([finish_times(10.0, np.full(50, duration))[-1] for duration in durations])
as_graph = 10.0 + 50 * durations
factor = {"one by one": one_by_one / as_graph, "as a graph": np.ones(len(durations))}
print(f"a graph is {factor['one by one'].max():.1f} times as fast for kernels of {durations[0]:.0f} µs")
labels_of = {"xlabel": "duration of a kernel (µs)", "ylabel": "time, relative to the graph", "ylim": (0, None)}
plots.curves(durations, factor, ["mistake", "model"], "o-", log="x", **labels_of)

# %% [markdown]
# The graph wins where a launch takes longer than a kernel: for small batches, small networks and fast cards. For long
# kernels it changes nothing, as the card is never idle.
#
# minidl captures the forward and the backward pass of a step as a CUDA graph, if the model declares that it does the
# same for every batch (`static`). `Trainer` does this by itself, with the class that the next cell uses:


# %%
def as_a_graph(place):
    """The time of a step on 4 faces if it may be captured, relative to one that is computed."""
    network = models.build("documented", rng=md.Generator(0)).to(place)
    backend = md.backends.get(place)
    x, ages = backend.asarray(images[:4]), backend.asarray(labels["age"][:4])

    def compute(x, ages, network):
        loss = F.l1_loss(network(x)["age"], ages)
        loss.backward()
        return loss.data

    def run(step):
        network.zero_grad()
        step(x, ages, network)
        backend.synchronize()

    step = CapturedStep(compute)
    measured = timing.ratios({"computed": lambda: run(step.computed), "captured": lambda: run(step)}, 5)
    return timing.spread(measured["captured"]) if step.replays else f"not captured, as {step.reason}"


for place in places:
    print(f"{place}: {as_a_graph(place)}")

# %% [markdown]
# Without a GPU there is no queue. Each op takes the time of Python and of the graph of unit 3, then that of its
# elements.
#
# **Predict:** how many times as long as for one number does a ReLU take for 1,000 numbers? And for a million?

# %%
sizes, by_size = 2 ** np.arange(0, 21, 2), {}
for place in places:
    backend = md.backends.get(place)
    inputs = {n: md.tensor(np.ones(n, np.float32), backend=place) for n in sizes}
    works = {n: lambda x=x, backend=backend: (F.relu(x), backend.synchronize()) for n, x in inputs.items()}
    medians = np.array([np.median(values) for values in timing.ratios(works, 51).values()])
    by_size[place] = medians / medians.min()
    few = sizes[by_size[place] <= 2].max()
    print(f"{place}: ReLUs of up to {few:,} numbers take at most twice the least time")
plots.curves(sizes, by_size, marks="o-", log="xy", xlabel="numbers", ylabel="time of a ReLU, relative")

# %% [markdown]
# Up to some size a ReLU takes about the same time, that of starting it. A batch of one face pays this for every op; in
# a larger batch the faces share it. A GPU needs larger batches than a processor before it is busy.
#
# Three more things count on a GPU.
#
# - Its memory is its own. Copies from and to the main memory go over a connection that is much slower than the memory
#   of the card, so keep all data on the card: `model.to("cupy")`, `dataset.to("cupy")`.
# - Its **tensor cores** multiply small matrices as one operation. Since the A100 (2020) they also take float32, but
#   round the factors to TF32, with 10 binary digits after the point instead of 23: `backend.set_precision("tf32")`.
# - One kernel for several ops saves launches as well as bytes. In the documented network, the forward pass of a block
#   (section 4) is one kernel there.
#
# ## Questions
#
# 1. An op takes 20% of the time of a step. You make it four times as fast. How many times as fast is the step?
# 2. $y = \max(a x + b, 0)$ is computed in three steps on an array that is much larger than the cache, then in one fused
#    pass. By which factor do the bytes shrink? Why is the gain in time smaller?
# 3. A model is measured on a GPU, and a batch of 64 takes no longer than a batch of 1. Which explanations can you think
#    of, and how do you find out which is right?
#
# <details><summary>Answers</summary>
#
# 1. It takes 0.8 + 0.2 / 4 = 0.85 of the time: 1.18 times as fast. No change to this op can gain more than 1.25.
# 2. By 3: each step reads and writes the array once. The arithmetic of all three steps remains, and so does the time
#    that the cache takes to deliver the data.
# 3. The clock was stopped after the launches: synchronise before reading it, and the times will differ. Or the launches
#    take longer than the kernels, even with 64 images: then the times stay equal after synchronising, and a CUDA graph
#    makes both shorter. Or 64 images still do not use all cores of the card: then they stay equal with a graph, too.
#
# </details>
#
# ## Further reading
#
# - G. Amdahl, "Validity of the Single Processor Approach to Achieving Large Scale Computing Capabilities", 1967.
# - S. Williams, A. Waterman and D. Patterson, "Roofline: An Insightful Visual Performance Model for Multicore
#   Architectures", 2009.
# - U. Drepper, "What Every Programmer Should Know About Memory", 2007: caches and bandwidth.
# - NVIDIA, *CUDA Programming Guide*: asynchronous execution, and "CUDA Graphs". NVIDIA's specifications of the T4 and
#   the H100: the peaks and bandwidths above.
#
# ## Now read the real thing
#
# `for_blocks` in `minidl/kernels/numpy/elementwise.py` is your `fused` for any formula, with the blocks on all threads:

# %%
print(inspect.getsource(elementwise.for_blocks))

# %% [markdown]
# `minidl/profiler.py` makes the table of section 1, `minidl/threads.py` hands out the chunks, and `minidl/capture.py`
# captures steps. `docs/guide/gpu.md` explains the fused pass on a GPU. In a clone of the repository, `python -m
# tests.benchmarks.gpu` measures a card against its own roof.
