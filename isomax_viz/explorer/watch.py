"""Watch a training that runs in a process of its own: the notebook stays usable; it can be stopped and continued."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import pandas as pd

from isomax_viz.captures.capture import Capture
from isomax_viz.explorer import cells as lifetime
from isomax_viz.explorer import controls
from isomax_viz.explorer import lessons as words
from isomax_viz.figures import plot_training
from isomax_viz.figures._canvas import png

if TYPE_CHECKING:
    from isomax_viz.experiments.experiment import Experiment

__all__ = ["Watch", "read_history"]

EVERY = 0.5  # seconds between two looks
SHOWN = ("accuracy", "cross_entropy", "entropy", "loss")
# The training runs as always; only its checkpoints, from which the curves are read, are written more often.
CHILD = """
import sys
from isomax_viz.experiments import Experiment
Experiment.from_json(sys.argv[1]).run(store=sys.argv[2], checkpoint_every_s=float(sys.argv[3]), progress=False)
"""


def read_history(path: Path) -> pd.DataFrame | None:
    """Return the history in a checkpoint, None where there is none yet.

    Examples
    --------
    >>> read_history(Path("nowhere.safetensors")) is None
    True
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return pd.DataFrame(json.loads(file.metadata()["state"])["rows"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        return None  # not written yet, or gone because the training has ended


class Watch(widgets.VBox):
    """A training with its progress, curves and a button to stop it; see :func:`isomax_viz.watch`.

    Attributes
    ----------
    experiment : Experiment
    capture : Capture or None
        The result, once the training has ended.
    picture : ipywidgets.Image
        What ``plot_training`` gives for the epochs so far.
    told : ipywidgets.HTML
        What happens, in words.
    """

    def __init__(self, experiment: Experiment, *, store: str | Path | None = None) -> None:
        from isomax_viz.store.folder import Store

        self.experiment = experiment
        self.capture: Capture | None = None
        self._store = Store(store)
        self._process: subprocess.Popen | None = None
        self._ended: subprocess.Popen | None = None
        self._rows = 0
        self._stopped = False
        self._began = 0.0, 0
        epochs = experiment.protocol.epochs
        self.progress = widgets.IntProgress(
            description="Epochs",
            max=epochs,
            tooltip="Epochs that are done",
            style={"description_width": controls.LABEL_WIDTH},
            layout={"width": "520px", "max_width": "100%"},
        )
        self.quantity = controls.quantity_chooser(SHOWN)
        self.quantity.observe(lambda change: self._draw(force=True), "value")
        self.start_button = widgets.Button(
            description="start", tooltip="Start the training, or go on where it was", layout={"width": "auto"}
        )
        self.stop_button = widgets.Button(
            description="stop", tooltip="Stop the training; what it has learned is kept", layout={"width": "auto"}
        )
        self.start_button.on_click(lambda _: self._guarded(self.start))
        self.stop_button.on_click(lambda _: self._guarded(self.stop))
        self.picture, self.told = widgets.Image(format="png"), widgets.HTML()
        stage = widgets.Box([self.picture], layout={"min_height": "418px", "overflow": "hidden"})
        stage.add_class("isomax-viz-picture")
        row = widgets.HBox([self.progress, self.start_button, self.stop_button], layout={"flex_flow": "row wrap"})
        super().__init__([widgets.HTML(words.CSS), row, self.quantity, self.told, stage])
        self.add_class("isomax-viz")
        lifetime.register(self)

    def __repr__(self) -> str:
        return f"Watch({self.experiment.title}; the controls need a running notebook)"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return super()._repr_mimebundle_(**kwargs) | {"text/plain": repr(self)}

    @property
    def running(self) -> bool:
        """Whether the training runs now."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the training, or go on where it was stopped."""
        if self.running:
            return
        self._stopped = False
        self._errors = tempfile.TemporaryFile()  # a pipe that nobody reads would stop the training once it is full
        arguments = [self.experiment.to_json(), str(self._store.folder), str(EVERY)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", CHILD, *arguments], stdout=subprocess.DEVNULL, stderr=self._errors
        )
        self._tell("The training has started ...")
        self._began = time.monotonic(), self.progress.value
        threading.Thread(target=self._follow, args=(self._process,), daemon=True).start()

    def _guarded(self, action: Callable[[], None]) -> None:
        """Do what a button asks for; an error is shown in the view, and raised under test."""
        try:
            action()
        except Exception as error:
            self.told.value = words.error_html(error)
            if lifetime.under_test():
                raise

    def stop(self) -> None:
        """Stop the training; ``start`` goes on after the last epoch that was kept."""
        if self._process is not None and self.running:
            self._stopped = True
            self._process.terminate()

    def wait(self, seconds: float | None = None) -> Capture | None:
        """Wait until the training has ended and return its capture, None if it was stopped."""
        if self._process is not None:
            self._process.wait(seconds)
            self._finish(self._process)
        return self.capture

    def _follow(self, process: subprocess.Popen) -> None:
        while True:
            try:
                process.wait(EVERY)
            except subprocess.TimeoutExpired:
                self._draw()
                continue
            self._finish(process)
            return

    def _finish(self, process: subprocess.Popen) -> None:
        with lifetime.LOCK:
            if process is not self._process or self._ended is process:
                return
            self._ended = process
            if self._stopped:
                self._tell(f"Stopped after epoch {self.progress.value}. Start goes on from there.")
            elif process.returncode == 0:
                self.capture = capture = self.experiment.run(store=self._store, progress=False)
                self._draw(force=True)
                accuracy = f"{100 * capture.test.accuracy:.1f} %"
                self._tell(f"The training has ended: test accuracy {accuracy}. The result is in .capture.")
            elif self.comm is not None:
                self._errors.seek(0)
                last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
                self.told.value = words.error_html(RuntimeError(last[0]))
            self._errors.close()

    def _so_far_in_words(self) -> str:
        done, last, (began, first) = self.progress.value, self.progress.max, self._began
        if done <= first:
            return f"Epoch {done} of {last}."
        left = (time.monotonic() - began) / (done - first) * (last - done)
        return f"Epoch {done} of {last}, about {f'{left / 60:.0f} min' if left > 90 else f'{left:.0f} s'} left."

    def _tell(self, text: str) -> None:
        if self.comm is not None:
            self.told.value = words.sentence_html(text)

    def _history(self) -> pd.DataFrame | None:
        if self.capture is not None:
            return self.capture.history
        return read_history(self._store.checkpoint_path(self.experiment.id))

    def _draw(self, *, force: bool = False) -> None:
        """Show the epochs so far, where there are new ones."""
        with lifetime.LOCK:
            history = self._history()
            if history is None or self.comm is None or (len(history) == self._rows and not force):
                return
            self._rows = len(history)
            self.progress.value = int(history["epoch"].max())
            if self.running:
                self._tell(self._so_far_in_words())
            self.picture.value = png(plot_training(self._so_far(history), quantity=self.quantity.value).figure)

    def _so_far(self, history: pd.DataFrame) -> Capture:
        meta = {name: getattr(self.experiment, name) for name in ("loss", "data", "backbone", "preset", "seed")}
        # A capture needs samples, a history has none yet: one made-up sample that no curve shows.
        return Capture.from_arrays([[0.0, 0.0]], [0], meta=meta).replace(history=history)

    def close(self) -> None:
        """Stop the training and close the view with everything in it."""
        self.stop()
        lifetime.close_tree(self)
