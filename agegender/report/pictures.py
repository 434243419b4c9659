"""The plots of a run, saved in its folder."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import minidl as md
from minidl.data import Dataset

from .. import tasks
from ..errors import cause
from ..runs.folder import EXAMPLES, PLOTS
from . import figures
from .speaker import Speaker


class Pictures:
    """The plots of a run. Errors, such as those of a bad matplotlib setting, become warnings: training continues."""

    def __init__(self, say: Speaker, folder: Path) -> None:
        self.say, self.folder = say, folder
        self.drawn: list[Path] = []

    def curves(self, history: Sequence[dict[str, float]], baselines: dict[str, float]) -> None:
        """Plot the learning curves."""
        with self.drawing("curves.png") as path:
            figures.learning_curves(history, baselines).savefig(path, dpi=110)

    def examples(self, model: md.nn.Module, faces: Dataset, count: int = 18) -> None:
        """Draw ``count`` faces, evenly spaced, with their predictions."""
        chosen = np.linspace(0, len(faces) - 1, min(count, len(faces))).astype(np.intp)
        images, truth = faces.batch(chosen)
        model.eval()
        with md.no_grad():
            outputs = model(md.tensor(images).to(model.parameters()[0].backend.name))
            chances = md.nn.functional.sigmoid(outputs["gender"])
        predicted = {"gender": chances.numpy(), "age": tasks.years(outputs["age"].numpy())}
        with self.drawing(EXAMPLES) as path:
            figures.predictions(images, truth, predicted).savefig(path, dpi=110)

    @contextmanager
    def drawing(self, name: str) -> Iterator[Path]:
        """Record a plot as drawn, or turn an error into a warning."""
        path = self.folder / PLOTS / name
        self.drawn = [other for other in self.drawn if other != path]
        try:
            yield path
            self.drawn.append(path)
        except Exception as error:
            self.say(f"warning: {path} cannot be drawn: {cause(error)}", always=True)
