"""Figures: the graph shows the existing values and gradients, and nothing overlaps."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

import minidl as md
from minidl import viz
from minidl.errors import GraphError
from minidl.nn import functional as F


def shared() -> tuple[md.Tensor, dict[str, md.Tensor]]:
    """A loss in which x and z are used twice."""
    x, w, b = (md.tensor(value, requires_grad=True) for value in (2.0, -3.0, 10.0))
    z = F.relu(x * w + b)
    return (z - 1) ** 2 + z * x, {"x": x, "w": w, "b": b, "z": z}


def texts(graph: viz.Graph, step: int | None = None) -> list[str]:
    return [text.get_text() for text in graph.draw(step).axes[0].texts]


def test_the_steps_end_with_the_gradients_of_backward() -> None:
    loss, names = shared()
    last = viz.Graph(loss, names).steps[-1].gradients
    loss.backward()
    for name in "xwb":
        assert last[names[name]] == names[name].grad, name


def test_each_step_goes_back_through_one_op() -> None:
    loss, names = shared()
    steps = viz.Graph(loss).steps
    assert steps[0].tensor is None
    assert steps[0].gradients == {loss: 1}
    signs = [step.tensor.op.name for step in steps[1:] if step.tensor is not None and step.tensor.op is not None]
    assert signs == ["Add", "Mul", "Pow", "Sub", "ReLU", "Add", "Mul"]
    assert [(to is names["z"], float(dx)) for to, dx in steps[2].passed] == [(True, 2.0), (False, 4.0)]
    assert float(steps[2].gradients[names["x"]]) == 4.0


def test_arrays_are_shown_by_their_shapes_and_a_product_with_itself_has_two_arrows() -> None:
    x = md.tensor(np.ones((2, 3)), requires_grad=True)
    y = (x * x).sum()
    graph = viz.Graph(y, {"x": x})
    y.backward()  # frees the graph, but not what is drawn
    assert {"x", "(2, 3)", "*", "Sum", "6", "grad (2, 3)"} <= set(texts(graph))
    assert len(graph.draw().axes[0].patches) == 3 + 3


def test_a_picture_of_a_step_shows_what_is_known_then() -> None:
    loss, names = shared()
    graph = viz.Graph(loss, names)
    assert not [text for text in texts(graph, 0) if text.startswith("grad") and text != "grad 1"]
    assert {"x", "w", "b", "z = ReLU", "17", "grad 16", "grad -20"} <= set(texts(graph))
    assert "-24" in texts(graph, 7)
    assert "-24" not in texts(graph, 6)
    assert len(graph.draw_backward().axes) == len(graph.steps) == 8


def test_boxes_lie_apart_and_arrows_lead_to_the_right() -> None:
    loss, names = shared()
    graph = viz.Graph(loss, names)
    places = [*graph.places.values(), *(bend for bends in graph.bends.values() for bend in bends)]
    assert len(set(places)) == len(places)
    assert len(graph.bends[names["x"], graph.tensors[1], 1]) == 3  # over three columns
    for tensor in graph.tensors:
        for x in tensor.op.inputs or () if tensor.op is not None else ():
            assert graph.places[x][0] < graph.places[tensor][0]


def test_a_long_name_takes_a_line_of_its_own() -> None:
    x = md.tensor([[1.0, 2.0]], requires_grad=True)
    loss = F.softmax_cross_entropy(x, [1])
    assert {"loss", "SoftmaxCrossEntropy"} <= set(texts(viz.Graph(loss, {"loss": loss})))


def test_there_must_be_a_graph() -> None:
    loss, _ = shared()
    with pytest.raises(GraphError, match="no graph to draw"):
        viz.Graph(md.tensor(1.0, requires_grad=True))
    loss.backward()
    with pytest.raises(GraphError, match="draw it before calling backward"):
        viz.Graph(loss)


def test_images_share_limits_only_if_asked() -> None:
    pictures = np.arange(12.0).reshape(3, 2, 2, 1)
    own = [axes.images[0].get_clim() for axes in viz.images(pictures, ["one"], columns=2).axes]
    assert own == [(0, 3), (4, 7), (8, 11)]
    assert {axes.images[0].get_clim() for axes in viz.images(pictures, limits=(0, 1)).axes} == {(0, 1)}
    (axes,) = viz.images([np.array([[-3.0, 1.0]])], ["kernel"], signed=True).axes
    assert axes.images[0].get_clim() == (-3, 3)
    assert axes.get_title() == "kernel"


def test_a_picture_shows_itself() -> None:
    assert viz.images(np.zeros((2, 4, 4)))._repr_png_().startswith(b"\x89PNG")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    picture = viz.images(np.zeros((2, 4, 4)))
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*plots to write a.png to: create it first"):
        picture.savefig(tmp_path / "plots" / "a.png")
    picture.savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "options", "usual", "made", "start"),
    [
        ("a", {}, "png", "a.png", b"\x89PNG"),
        ("a", {}, "svg", "a.svg", b"<?xml"),
        ("a.", {}, "pdf", "a.pdf", b"%PDF"),
        ("a", {"format": "pdf"}, "png", "a", b"%PDF"),
        ("a", {"format": None}, "svg", "a.svg", b"<?xml"),
        ("a.png", {"format": "svg"}, "pdf", "a.png", b"<?xml"),
        ("a.b.PNG", {}, "svg", "a.b.PNG", b"\x89PNG"),
    ],
)
def test_the_name_and_the_format_of_a_saved_picture_are_those_of_matplotlib(
    name: str, options: dict[str, str | None], usual: str, made: str, start: bytes, tmp_path: Path
) -> None:
    with matplotlib.rc_context({"savefig.format": usual}):
        for folder, picture in ((tmp_path / "ours", viz.Picture(1, 1)), (tmp_path / "theirs", Figure((1, 1)))):
            folder.mkdir()
            picture.savefig(folder / name, **options)
            assert [path.name for path in folder.iterdir()] == [made]
            assert (folder / made).read_bytes().startswith(start)


@pytest.mark.parametrize("shape", [(3,), (3, 2)])
@pytest.mark.parametrize("computed", [True, False])
def test_a_tensor_that_is_plotted_as_it_is_says_to_plot_its_array(shape: tuple[int, ...], computed: bool) -> None:
    leaf = md.tensor(np.ones(shape, np.float32), requires_grad=True)
    axes = Figure().add_subplot()
    for draw in (axes.plot, axes.hist, lambda x: axes.scatter(x, x)):
        with pytest.raises(
            GraphError, match=r"converted to a NumPy array implicitly.* use x\.numpy\(\) if no gradient"
        ):
            draw(leaf * 2 if computed else leaf)
    axes.plot(leaf.numpy())
