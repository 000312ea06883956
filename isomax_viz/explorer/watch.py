"""Watch a training that runs in a process of its own: the notebook stays usable; it can be stopped and continued."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import traitlets
from matplotlib.figure import Figure

from isomax_viz.captures.capture import Capture
from isomax_viz.explorer.lab import Control, LabView, in_lines
from isomax_viz.explorer.views import Answer, training_panels
from isomax_viz.figures import plot_training

if TYPE_CHECKING:
    from isomax_viz.experiments.experiment import Experiment

__all__ = ["Watch", "read_history", "watch"]

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


def epochs_of(history: pd.DataFrame | None) -> int:
    """Return how many epochs a history holds."""
    return 0 if history is None else int(history["epoch"].max())


class Watch(LabView):
    """A training with its progress, curves and a button to stop it; see :func:`isomax_viz.watch`.

    Attributes
    ----------
    experiment : Experiment
    capture : Capture or None
        The result, once the training has ended.
    shown : dict
        What the browser draws: the curves so far, ``progress`` (epochs done, epochs in all), the buttons that are
        ``offered``, a ``sentence`` that says what happens, and ``error``, why the training failed.
    """

    shown = traitlets.Dict().tag(sync=True)
    buttons = (
        ("start", "Start the training, or go on where it was"),
        ("stop", "Stop the training; what it has learned is kept"),
    )

    def __init__(self, experiment: Experiment, *, store: str | Path | None = None) -> None:
        from isomax_viz.store.folder import Store

        self.experiment = experiment
        self.capture: Capture | None = None
        self._store = Store(store)
        self._process: subprocess.Popen | None = None
        self._ended: subprocess.Popen | None = None
        self._stopped, self._began, self._lock = False, (0.0, 0), threading.RLock()
        names = [(name, name.replace("_", " ")) for name in SHOWN]
        quantity = Control("quantity", "Quantity", "What to follow over the epochs", names, SHOWN[0], asks=False)
        super().__init__(f"Training: {experiment.title}", [quantity], lambda: dict(self.shown), self._plain_curves)
        self._tell("")

    def __repr__(self) -> str:
        return f"Watch({self.experiment.title}; the controls need a running notebook)"

    def _answer(self, request: dict[str, Any], buffers: list[Any], found: list[bytes]) -> Answer:
        if request["what"] == "press":
            {"start": self.start, "stop": self.stop}[request["name"]]()
            return {}
        return super()._answer(request, buffers, found)

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
        first = self._tell("The training has started ...")
        self._began = time.monotonic(), first
        threading.Thread(target=self._follow, args=(self._process,), daemon=True).start()

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
        while process.poll() is None:
            self._look()
            with suppress(subprocess.TimeoutExpired):
                process.wait(EVERY)
        self._finish(process)

    def _look(self) -> None:
        """Show the epochs so far, where there are new ones."""
        with self._lock:
            done, last, (began, first) = epochs_of(self._history()), self.experiment.protocol.epochs, self._began
            if done <= self.shown["progress"][0]:  # at the end, the checkpoint is gone
                return
            left = (time.monotonic() - began) / (done - first) * (last - done)
            spell = f"{left / 60:.0f} min" if left > 90 else f"{left:.0f} s"
            self._tell(f"Epoch {done} of {last}, {f'about {spell} left' if done < last else 'recording the result'}.")

    def _finish(self, process: subprocess.Popen) -> None:
        with self._lock:
            if process is not self._process or self._ended is process:
                return
            self._ended = process
            if self._stopped:
                self._tell(f"Stopped after epoch {epochs_of(self._history())}. Start goes on from there.")
            elif process.returncode == 0:
                self.capture = capture = self.experiment.run(store=self._store, progress=False)
                accuracy = f"{100 * capture.test.accuracy:.1f} %"
                self._tell(f"The training has ended: test accuracy {accuracy}. The result is in .capture.")
            else:
                self._errors.seek(0)
                last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
                self._tell("The training has failed.", error=last[0])
            self._errors.close()

    def _tell(self, sentence: str, *, error: str = "") -> int:
        """Show the epochs so far with a sentence, and return how many there are."""
        history, panels, last = self._history(), [], self.experiment.protocol.epochs
        if history is not None:
            found = training_panels(self._so_far(history))
            for panel in found.values():
                panel["x"] |= {"low": 1, "high": last}  # what is still to come has its place
            frames = [in_lines(found[name], str(self.experiment.loss)) for name in SHOWN]
            panels = [{"by": "quantity", "frames": frames}]
        offered = [] if self.capture else ["stop" if self.running else "start"]
        progress = [epochs_of(history), last]
        told = {"sentence": sentence, "error": error, "progress": progress, "offered": offered}
        self.shown = {"panels": panels} | told
        return progress[0]

    def _history(self) -> pd.DataFrame | None:
        if self.capture is not None:
            return self.capture.history
        return read_history(self._store.checkpoint_path(self.experiment.id))

    def _so_far(self, history: pd.DataFrame) -> Capture:
        # A capture needs samples, a history has none yet: one made-up sample that no curve shows.
        return Capture.from_arrays([[0.0, 0.0]], [0], meta=self.experiment.meta).replace(history=history)

    def _plain_curves(self, **options: Any) -> Figure | None:
        history = self._history()
        if history is None:
            return None
        return plot_training(self._so_far(history), **options).get_figure(root=True)

    def close(self) -> None:
        """Stop the training and close the view."""
        self.stop()
        super().close()


def watch(experiment: Experiment, *, store: str | Path | None = None, start: bool = True) -> Watch:
    """Train an experiment in a process of its own and watch its curves; the notebook stays usable.

    Parameters
    ----------
    experiment : Experiment
    store : str or Path, optional
        As in ``Experiment.run``.
    start : bool
        Start at once; else the button does.

    Returns
    -------
    Watch
        Its ``capture`` is the result once the training has ended; ``wait()`` waits for it. *stop* keeps what was
        learned, and *start* goes on from there.
    """
    view = Watch(experiment, store=store)
    if start:
        view.start()
    return view
