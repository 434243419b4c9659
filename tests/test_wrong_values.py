"""Any argument of a public function gives a result, or an error of minidl that explains why not."""

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import data, nn, optim
from minidl.errors import BoundsError, MinidlError, ShapeError
from minidl.testing.arrays import numbers
from minidl.train import Trainer

F = nn.functional
WRONG: list[Any] = ["a", None, 1.5, -1, [], object(), md.tensor([1.0, 2.0]), 10**30, True, {}, (1, "a"), float("nan")]
WRONG += [b"x", slice(None), 1j, np.array("a"), [[1], [1, 2]]]


def x(*shape: int) -> md.Tensor:
    return md.tensor(np.abs(numbers(*shape)).astype(np.float32), requires_grad=True)


def model() -> nn.Module:
    return nn.Dense(3, 2)


def weights() -> list[md.Tensor]:
    w = md.tensor([1.0], requires_grad=True)
    w.grad = np.ones(1, np.float32)
    return [w]


def trainer() -> Trainer:
    layer = nn.Dense(1, 1)
    return Trainer(layer, F.mse_loss, optim.SGD(layer.parameters()))


def pairs() -> data.DataLoader:
    return data.DataLoader(data.ArrayDataset(np.ones((4, 1), np.float32), np.ones((4, 1), np.float32)), 2)


X, IMAGE, RNG, ROWS = x(2, 3), x(2, 6, 6, 2), md.Generator(0), np.ones((2, 1), np.float32)
SET = data.ArrayDataset(np.arange(10.0), np.arange(10))
FACES = data.ImageDataset(np.ones((2, 2, 2, 1), np.uint8), np.ones(2))
TRAINED = trainer()
TRAINED.fit(pairs())
STATE = TRAINED.state_dict()

Call = Callable[..., Any]
CALLS: dict[str, tuple[Call, list[Any]]] = {
    **{name: (getattr(F, name), [X]) for name in ("relu", "sigmoid", "tanh", "exp", "log", "sqrt", "abs", "flatten")},
    "leaky_relu": (F.leaky_relu, [X, 0.1]),
    "maximum": (F.maximum, [X, X]),
    "minimum": (F.minimum, [X, X]),
    "clip": (F.clip, [X, 0, 1]),
    "where": (F.where, [np.ones((2, 3), bool), X, X]),
    "concatenate": (F.concatenate, [[X, X], 0]),
    "stack": (F.stack, [[X, X], 0]),
    "pad": (F.pad, [X, [(1, 1), (1, 1)], 0.0]),
    "broadcast_to": (F.broadcast_to, [X, (4, 2, 3)]),
    "linear": (F.linear, [X, x(3, 4), x(4)]),
    "conv2d": (F.conv2d, [IMAGE, x(3, 3, 2, 4), x(4), 1, 0, "auto"]),
    "max_pool2d": (F.max_pool2d, [IMAGE, 2, 2, 0]),
    "avg_pool2d": (F.avg_pool2d, [IMAGE, 2, 2, 0]),
    "dropout": (F.dropout, [X, 0.5, True, RNG]),
    "batch_norm": (F.batch_norm, [X, x(3), x(3), 1e-3]),
    "softmax": (F.softmax, [X, 1]),
    "log_softmax": (F.log_softmax, [X, 1]),
    "softmax_cross_entropy": (F.softmax_cross_entropy, [X, [0, 1], 5]),
    "binary_cross_entropy": (F.binary_cross_entropy_with_logits, [X, np.zeros((2, 3))]),
    "l1_loss": (F.l1_loss, [X, X.numpy()]),
    "mse_loss": (F.mse_loss, [X, X.numpy()]),
    "huber_loss": (F.huber_loss, [X, X.numpy(), 1.0]),
    "x.sum": (X.sum, [0, False]),
    "x.mean": (X.mean, [0, False]),
    "x.max": (X.max, [0, False]),
    "x.min": (X.min, [0, False]),
    "x.var": (X.var, [0, False]),
    "x.argmax": (X.argmax, [0, False]),
    "x.argmin": (X.argmin, [0, False]),
    "x.reshape": (X.reshape, [3, 2]),
    "x.reshape of a shape": (X.reshape, [(3, 2)]),
    "x.transpose": (X.transpose, [1, 0]),
    "x.backward": (lambda grad: x(1).backward(grad), [np.ones(1)]),
    "x.astype": (X.astype, [np.float64]),
    "x.to": (X.to, ["numpy"]),
    "x[i, j]": (lambda i, j: X[i, j], [0, 1]),
    "x[a:b:c]": (lambda a, b, c: X[a:b:c], [0, 2, 1]),
    "x + y": (lambda y: X + y, [1.0]),
    "y ** x": (lambda y: y**X, [1.0]),
    "x @ y": (lambda y: X @ y, [x(3, 2)]),
    "tensor": (md.tensor, [[1.0], np.float32, False, "numpy"]),
    "zeros": (md.zeros, [2, 3]),
    "randn": (md.randn, [2, 3]),
    "randn of a kind": (lambda rng, dtype: md.randn(2, rng=rng, dtype=dtype), [RNG, np.float32]),
    "arange": (md.arange, [0, 3, 1]),
    "from_numpy": (md.from_numpy, [np.ones(2)]),
    "seed": (md.seed, [0]),
    "Generator": (md.Generator, [0]),
    "Dense": (nn.Dense, [3, 2, True, "he_normal", RNG]),
    "Conv2D": (nn.Conv2D, [2, 4, 3, 1, 0, True, "auto", "he_normal", RNG]),
    "MaxPooling2D": (nn.MaxPooling2D, [2, 2, 0]),
    "AveragePooling2D": (nn.AveragePooling2D, [2, 2, 0]),
    "LeakyReLU": (nn.LeakyReLU, [0.1]),
    "Softmax": (nn.Softmax, [1]),
    "Dropout": (nn.Dropout, [0.5, RNG]),
    "BatchNorm": (lambda c, momentum, eps: nn.BatchNorm(c, momentum=momentum, eps=eps), [3, 0.9, 1e-3]),
    "Sequential": (nn.Sequential, [nn.ReLU(), nn.ReLU()]),
    "Parameter": (nn.Parameter, [[1.0]]),
    "HuberLoss": (nn.HuberLoss, [1.0]),
    "SoftmaxCrossEntropy": (nn.SoftmaxCrossEntropy, [1]),
    "he_normal": (nn.init.he_normal, [(3, 2), RNG]),
    "glorot_uniform": (nn.init.glorot_uniform, [(3, 2), RNG]),
    "zeros of a shape": (nn.init.zeros, [(3, 2), RNG]),
    "Dense()": (nn.Dense(3, 2), [X]),
    "Conv2D()": (nn.Conv2D(2, 4, 3), [IMAGE]),
    "MaxPooling2D()": (nn.MaxPooling2D(2), [IMAGE]),
    "GlobalAveragePooling2D()": (nn.GlobalAveragePooling2D(), [IMAGE]),
    "Flatten()": (nn.Flatten(), [X]),
    "Dropout()": (nn.Dropout(), [X]),
    "BatchNorm()": (nn.BatchNorm(3), [X]),
    "BatchNorm() in eval": (nn.BatchNorm(3).eval(), [X]),
    "model.to": (lambda backend: model().to(backend), ["numpy"]),
    "model.astype": (lambda dtype: model().astype(dtype), [np.float64]),
    "model.train": (lambda mode: model().train(mode), [True]),
    "model.load_state_dict": (lambda state: model().load_state_dict(state), [model().state_dict()]),
    "a weight in a state": (lambda w: model().load_state_dict({"w": w, "b": np.ones(2)}), [np.ones((3, 2))]),
    "SGD": (optim.SGD, [weights(), 0.1, 0.9, True, 0.1]),
    "Adam": (optim.Adam, [weights(), 0.1, (0.9, 0.9), 1e-8]),
    "AdamW": (optim.AdamW, [weights(), 0.1, (0.9, 0.9), 1e-8, 0.1]),
    "RMSprop": (optim.RMSprop, [weights(), 0.1, 0.9, 1e-8, 0.1, 0.1, False]),
    "Adagrad": (optim.Adagrad, [weights(), 0.1, 0.1, 0.1, 0.1, 1e-8]),
    "constant": (optim.constant, [0.1]),
    "step": (optim.step, [0.1, 3, 0.5]),
    "cosine": (optim.cosine, [0.1, 10, 2, 0.0]),
    "one_cycle": (optim.one_cycle, [0.1, 10, 0.3, 0.04, 1e-4]),
    "clip_grad_norm": (optim.clip_grad_norm, [weights(), 1.0]),
    "ArrayDataset": (data.ArrayDataset, [np.ones(3), np.ones(3)]),
    "ImageDataset": (data.ImageDataset, [np.ones((2, 2, 2, 1), np.uint8), np.ones(2)]),
    "Subset": (data.Subset, [SET, [0, 1]]),
    "dataset[i]": (lambda i: SET[i], [0]),
    "subset[i]": (lambda i: data.Subset(SET, [0, 1])[i], [0]),
    "dataset.batch": (SET.batch, [[0, 1]]),
    "dataset.take": (SET.take, [[0, 1]]),
    "subset.batch": (data.Subset(SET, [0, 1]).batch, [[0]]),
    "mirrored batch": (lambda mirror: FACES.batch(np.arange(2), mirror=mirror), [np.array([True, False])]),
    "collate": (data.collate, [[1.0, 2.0]]),
    "DataLoader": (data.DataLoader, [SET, 2]),
    "options of a DataLoader": (
        lambda shuffle, mirror, seed, drop, ahead, backend: data.DataLoader(
            SET, shuffle=shuffle, mirror=mirror, seed=seed, drop_last=drop, prefetch=ahead, backend=backend
        ),
        [False, False, 0, False, 0, None],
    ),
    "Trainer": (Trainer, [TRAINED.model, F.mse_loss, TRAINED.optimizer, {}, []]),
    "fit": (lambda *given: trainer().fit(*given), [pairs(), pairs(), 1, 1]),
    "evaluate": (TRAINED.evaluate, [pairs()]),
    "train_step": (TRAINED.train_step, [ROWS, ROWS]),
    "trainer.load_state_dict": (lambda *given: trainer().load_state_dict(*given), [STATE, pairs()]),
    "loader.load_state_dict": (lambda state: pairs().load_state_dict(state), [pairs().state_dict()]),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_value_gets_an_answer_or_an_error_of_minidl(name: str) -> None:
    function, given = CALLS[name]
    function(*given)
    for place in range(len(given)):
        for wrong in WRONG:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with contextlib.suppress(MinidlError):
                    function(*given[:place], wrong, *given[place + 1 :])


STATES: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "loader": (lambda state: pairs().load_state_dict(state), pairs().state_dict()),
    "trainer": (lambda state: trainer().load_state_dict(state, pairs()), STATE),
    "totals": (
        lambda state: trainer().load_state_dict({**STATE, "totals": state}, pairs()),
        {"sums": {"loss": 1.0}, "count": 2},
    ),
    "row of a history": (
        lambda state: trainer().load_state_dict({**STATE, "history": [state]}, pairs()),
        STATE["history"][0],
    ),
    "generator": (lambda state: setattr(md.Generator(0), "state", state), md.Generator(0).state),
}


@pytest.mark.parametrize("name", STATES)
def test_a_wrong_entry_of_a_state_gets_an_error_of_minidl(name: str) -> None:
    load, state = STATES[name]
    load(state)
    for entry in state:
        for wrong in WRONG:
            with contextlib.suppress(MinidlError):
                load({**state, entry: wrong})


@pytest.mark.parametrize("entry", ["seed", "epoch", "position"])
@pytest.mark.parametrize("wrong", [-1, 1.0, "1", None, True])
def test_a_loader_has_no_place_that_is_not_there(entry: str, wrong: Any) -> None:
    loader = pairs()
    before = loader.state_dict()
    with pytest.raises(MinidlError, match=f"{entry} must be an integer >= 0, got {wrong!r}"):
        loader.load_state_dict({**before, entry: wrong})
    with pytest.raises(MinidlError, match="batch 3, the data set has 4 samples in 2 batches"):
        loader.load_state_dict({**before, "position": 3})
    assert loader.state_dict() == before


@pytest.mark.parametrize("entry", ["epoch", "samples", "seconds", "trained", "totals", "history"])
def test_a_trainer_takes_nothing_over_from_a_state_with_a_wrong_entry(entry: str) -> None:
    one = trainer()
    before = one.state_dict()
    with pytest.raises(MinidlError):
        one.load_state_dict({**STATE, entry: -1}, pairs())
    np.testing.assert_equal(one.state_dict(), before)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (9, r"GetItem: index 9 is out of bounds for axis 0 with size 2: the input has the shape \(2, 3\)"),
        ((0, -4), r"index -4 is out of bounds for axis 1 with size 3"),
        ((0, 0, 0), "too many indices"),
        (np.array([0, 2]), "index 2 is out of bounds"),
        (np.ones(3, bool), "boolean index did not match"),
    ],
)
def test_an_element_that_is_not_there_is_a_bounds_error(index: Any, message: str) -> None:
    with pytest.raises(BoundsError, match=message) as caught:
        X[index]
    assert isinstance(caught.value, IndexError)


@pytest.mark.parametrize("index", [slice(1.5), slice(None, "a"), (slice(None), slice(0, 1.0))])
def test_a_slice_of_fractions_says_what_an_index_is(index: Any) -> None:
    with pytest.raises(MinidlError, match=r"slice indices must be integers .*: use // and int\(...\)"):
        X[index]


@pytest.mark.parametrize("dataset", [SET, data.Subset(SET, np.arange(10))])
def test_samples_that_are_not_there_are_index_errors_so_loops_over_data_sets_end(dataset: Any) -> None:
    assert len(list(dataset)) == 10
    with pytest.raises(BoundsError, match=r"there is no .*sample.* 10"):
        dataset[10]
    with pytest.raises(BoundsError, match="there is no sample 10"):
        dataset.batch(np.array([0, 10]))


@pytest.mark.parametrize(
    "compare", [F.mse_loss, F.binary_cross_entropy_with_logits, lambda y, t: ((y - t) ** 2).mean(), lambda y, t: y == t]
)
def test_a_batch_of_targets_that_are_lists_is_refused_because_it_would_be_transposed(compare: Any) -> None:
    """As many samples as elements: nothing but the order of the axes is wrong."""

    class Boxes(data.Dataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            return np.zeros(2, np.float32), [0.25 * index, 1.0]

    ((inputs, targets),) = data.DataLoader(Boxes(), batch_size=2)
    y = md.tensor(inputs, requires_grad=True)
    for given in (targets, tuple(targets), [targets, targets]):
        with pytest.raises(ShapeError, match=r"of arrays, which may be rows or columns: write np\.stack"):
            compare(y, given)
    np.testing.assert_array_equal(np.stack(targets, axis=1), [[0, 1], [0.25, 1]])
    compare(y, np.stack(targets, axis=1))


def test_inputs_that_are_lists_are_refused_with_what_the_data_set_should_return() -> None:
    class Rows(data.Dataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            return [0.5, 0.25, 1.0], np.zeros(2, np.float32)

    layer = model()
    trainer = Trainer(layer, F.mse_loss, optim.SGD(layer.parameters()))
    with pytest.raises(MinidlError, match=r"got list: .* let the data set return np\.array\(\[\.\.\.\]\) for inputs"):
        trainer.fit(data.DataLoader(Rows(), batch_size=2))
