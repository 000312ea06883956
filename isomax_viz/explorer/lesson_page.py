"""The lesson: people draw, and networks answer in the browser; as one offline page, and in notebooks."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import traitlets
from matplotlib.figure import Figure

from isomax_viz._common.checks import check_choice, check_known, check_number
from isomax_viz._common.system import data_folder
from isomax_viz.analysis.chosen import Captures, as_list
from isomax_viz.analysis.histograms import scores_table
from isomax_viz.analysis.metrics import threshold_at_tpr
from isomax_viz.analysis.risks import cheapest_threshold
from isomax_viz.analysis.scores import compute
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.examples import load_example
from isomax_viz.datasets import load_id
from isomax_viz.datasets.toys import load_toy
from isomax_viz.explorer.bundle import lesson_module, text
from isomax_viz.explorer.cells import BrowserView
from isomax_viz.explorer.choices import Shelf
from isomax_viz.explorer.data import digest, scores_of
from isomax_viz.explorer.page import READ, saved_answers, write_page
from isomax_viz.explorer.pictures import Networks
from isomax_viz.explorer.views import COSTS
from isomax_viz.explorer.widget import check_mapping, checked_costs
from isomax_viz.figures import plot_scores
from isomax_viz.figures._canvas import draw_legend, drawing, entitle, mosaic
from isomax_viz.figures.surfaces import draw_points

__all__ = ["Lesson", "draw", "lesson", "moons", "questions"]

LOSSES = ("softmax", "isomax", "isomax+", "isomax2")
SETS = ("letters", "patches", "gaussian")
SCORES = ("es", "mps", "mds", "max_logit", "energy")
PANELS = ("why", "cost")
SIDE = 8  # of the pad, in pixels
# Where a part begins; what can be chosen in it stands in ``offered``.
DRAW = {"score": "es", "share": 0.95, "focus": 0, "panel": "why", "picture": None, "costs": COSTS}
MOONS = {"loss": "isomax+", "score": "mds", "seed": 0, "moved": {}}
TITLE = "Known or unknown? Draw, and four losses answer"
START = """
const files = page.networks.map((_, k) => fromLetters(document.getElementById(`network-${k}`).textContent));
const options = { data: page, buffers: files, state };
globalThis.lesson = await lesson(document.getElementById("explorer"), options);
"""


class Lesson(BrowserView):
    """The lesson in a notebook; :func:`draw`, :func:`moons` and :func:`questions` build it.

    Attributes
    ----------
    look : dict
        What was drawn, chosen and guessed, as JSON values. It can be observed.

    Examples
    --------
    >>> view = moons().restore({"moons": {"loss": "softmax"}})
    >>> view.state()["moons"]
    {'loss': 'softmax', 'score': 'mds', 'seed': 0, 'moved': {}}
    """

    version = traitlets.Unicode(hashlib.sha256(lesson_module().encode()).hexdigest()[:16]).tag(sync=True)

    def __init__(self, content: dict[str, Any], captures: Sequence[Capture], networks: Sequence[bytes]) -> None:
        self._content, self._captures, self._files = content, captures, list(networks)
        super().__init__(content["start"])

    def __repr__(self) -> str:
        return f"Lesson({', '.join(self._content['parts'])}; it needs a running notebook)"

    def _module(self) -> str:
        return lesson_module()

    def _answer(self, request: dict[str, Any], buffers: list[Any], found: list[bytes]) -> dict[str, Any]:
        found += self._files
        return self._content

    def state(self) -> dict[str, Any]:
        """Return what was drawn, chosen and guessed as plain JSON values; :meth:`restore` takes them back."""
        return deepcopy(self.look)

    def restore(self, state: Mapping[str, Any] | str) -> Lesson:
        """Set what :meth:`state` returned (or its JSON); what is left out stays as it is.

        Raises
        ------
        TypeError, ValueError
            If a name or value is not on offer. Nothing is changed then.
        """
        wanted, look = check_mapping("state", json.loads(state) if isinstance(state, str) else state), self.state()
        check_known("state", wanted, look)
        for name, value in wanted.items():
            if name in self._content["offered"]:
                check_known(f"state[{name!r}]", check_mapping(name, value), look[name])
                look[name] |= value
            else:
                look[name] = value
        self._check(look)
        self.look = look
        return self

    def _check(self, look: dict[str, Any]) -> None:
        draw, asked, points = look["draw"], self._content["list"], self._content["toy"]["points"]
        check_choice("part", look["part"], self._content["parts"])
        check_number("question", look["question"], at_least=0, at_most=len(asked) - 1, whole=True)
        check_number("focus", draw["focus"], at_least=0, at_most=len(self._captures) - 1, whole=True)
        check_number("seed", look["moons"]["seed"], at_least=0, whole=True)
        check_known("gaps", check_mapping("gaps", look["gaps"]), map(str, range(len(asked))))
        check_known("moved", check_mapping("moved", look["moons"]["moved"]), map(str, range(len(points))))
        for value in (*look["gaps"].values(), *(half for place in look["moons"]["moved"].values() for half in place)):
            check_number("A gap or place", value)
        for part, choices in self._content["offered"].items():
            for name in choices.keys() - {"focus"}:
                check_choice(name, look[part][name], choices[name])
        draw["costs"] = checked_costs(draw["costs"])
        if draw["share"] is not None:
            check_number("share", draw["share"], above=0, at_most=1)
        if draw["picture"] is not None:
            for value in draw["picture"]:
                check_number("A pixel of picture", value, at_least=0, at_most=255)
            if len(draw["picture"]) != SIDE**2:
                raise ValueError(f"picture must be {SIDE**2} grey values, row by row, but has {len(draw['picture'])}.")

    def _draw(self) -> Figure:
        look = self.look
        if look["part"] == "moons":
            return _points(look["moons"]["moved"])
        return self._histograms(**look["draw"]) if look["part"] == "draw" else self._titles(look["gaps"])

    def _histograms(
        self, *, against: str, score: str, share: float | None, costs: dict[str, float], picture: Any, **_: Any
    ) -> Figure:
        """Return the scores of known and unknown images of all networks, and the picture where one was drawn."""
        pad, last = ["pad"] if picture else [], len(self._captures) - 1
        layout = [[*pad, place, min(place + 1, last)] for place in range(0, last + 1, 2)]
        widths = [*(2.4 for _ in pad), 4.2, 4.2]
        with mosaic(layout, sum(widths), 3.2 * len(layout), theme="paper", width_ratios=widths) as axes:
            for place, capture in enumerate(self._captures):
                known = compute(score, capture.test)
                cheapest = cheapest_threshold(capture, against, score=score, **costs)
                at = cheapest if share is None else threshold_at_tpr(known, share)
                table = scores_table(capture, score, against).assign(threshold=at, TPR=(known >= at).mean())
                plot_scores(table, ax=axes[place])
            if picture:
                axes["pad"].imshow(np.reshape(picture, (SIDE, SIDE)), cmap="gray", vmin=0, vmax=255, aspect="equal")
                axes["pad"].set_axis_off()
                entitle(axes["pad"], "What was drawn")
        return axes[0].get_figure(root=True)

    def _titles(self, gaps: Mapping[str, float]) -> Figure:
        """Return the questions in words, with how far guesses were away."""
        asked = self._content["list"]
        figure = Figure(figsize=(7.0, 0.3 * len(asked) + 0.4))
        for row, question in enumerate(asked):
            away = f" (guessed, {gaps[str(row)]:.3g} points away)" if str(row) in gaps else ""
            words = f"{question['number']}. {question['title']}{away}"
            figure.text(0.02, 1 - (row + 1) / (len(asked) + 1), words, va="center")
        return figure


def lesson(path: str | Path = "lesson.html") -> Path:
    """Write the lesson as one HTML file: draw a digit, a letter, nonsense, and see which losses know what they know.

    Beside the pad stand why each score is what it is, what a threshold costs, a network that is trained in the page,
    and twelve questions to guess before they are answered.

    Parameters
    ----------
    path : str or Path
        Where to write; an existing file is replaced. It ends in ``.html``: browsers show others as text.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    FileNotFoundError
        If the recorded digits or their networks are missing.
    OSError
        If the file cannot be written.

    Notes
    -----
    The page holds the networks of :func:`isomax_viz.load_network` ("digits", seed 0) at half precision and the scores
    of their captures; it computes everything itself, without a server, a kernel or the internet.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     lesson(Path(folder) / "lesson.html").stat().st_size < 2_500_000
    True
    """
    captures, files = _shipped()
    texts = [
        f'<script id="network-{number}" type="text/plain">{_letters(content)}</script>\n'
        for number, content in enumerate(files)
    ]
    script = lesson_module().encode("ascii", "backslashreplace").decode() + READ + START
    content = _content(captures, parts=("draw", "moons", "units"))
    return write_page(path, content, script, title=TITLE, more="".join(texts), charset="windows-1252")


def draw(captures: Captures | None = None, *, store: str | Path | None = None) -> Lesson:
    """Draw a picture in a notebook; the networks behind captures answer in the browser as the pen moves.

    Parameters
    ----------
    captures : Capture or list of Capture, optional
        Of digits and ``small_cnn``, one a loss; by default those that come with the package, which need no PyTorch.
    store : str or Path, optional
        Where the trained networks lie; by default the usual store.

    Returns
    -------
    Lesson

    Raises
    ------
    ValueError
        If a network takes other pictures than the pad gives, has another head or backbone, or is not at hand; if the
        captures share no set of unknown pictures.

    Examples
    --------
    >>> draw()
    Lesson(draw; it needs a running notebook)
    """
    if captures is None:
        chosen, files = _shipped()
    else:
        chosen = as_list(captures)
        _check_fit(chosen)
        networks = Networks(chosen, store)
        files = [networks.file(number) for number in range(len(chosen))]
    return Lesson(_content(chosen, parts=("draw",)), chosen, files)


def moons(*, loss: str = "isomax+", score: str = "mds", seed: int = 0) -> Lesson:
    """Train a network on two moons in the browser, and drag points and prototypes.

    Parameters
    ----------
    loss : {"softmax", "isomax", "isomax+"}
    score : {"mds", "es", "mps"}
    seed : int
        Of the initial weights and the order of the points: those of :func:`isomax_viz.train_toy`, step by step. After
        some epochs single precision can part the two.

    Returns
    -------
    Lesson

    Examples
    --------
    >>> moons(loss="softmax")
    Lesson(moons; it needs a running notebook)
    """
    captures, _ = _shipped()
    view = Lesson(_content(captures, parts=("moons",)), captures, [])
    return view.restore({"moons": {"loss": loss, "score": score, "seed": seed}})


def questions(*numbers: int) -> Lesson:
    """Ask questions whose answers are guessed as a mark in a plot before they are shown.

    Parameters
    ----------
    *numbers : int
        Of the questions, 1 to 12; by default all.

    Returns
    -------
    Lesson

    Raises
    ------
    ValueError
        If there is no question of that number.

    Examples
    --------
    >>> questions(3, 7)
    Lesson(units, draw, moons; it needs a running notebook)
    """
    captures, files = _shipped()
    content = _content(captures, parts=("units", "draw", "moons"))
    asked = content["list"]
    for number in numbers:
        check_number("number", number, at_least=1, at_most=len(asked), whole=True)
    content |= {"list": [asked[number - 1] for number in numbers] or asked}
    return Lesson(content, captures, files)


def _shipped() -> tuple[list[Capture], list[bytes]]:
    recorded = load_example("digits", loss=LOSSES, seed=0)
    captures = [capture.replace(ood={name: capture.ood[name] for name in SETS}) for capture in recorded]
    folder = data_folder() / "networks" / "digits"
    return captures, [(folder / f"small_cnn-{capture.loss}-s0.safetensors").read_bytes() for capture in captures]


FITS: dict[str, tuple[Any, ...]] = {
    "data": ("digits",),
    "backbone": ("small_cnn",),
    "loss": LOSSES,
    "held_out_classes": (None, [], ()),
}


def _check_fit(captures: Sequence[Capture]) -> list[str]:
    """Refuse captures whose networks the page cannot run side by side; return the sets that they share."""
    for capture in captures:
        for name, accepted in FITS.items():
            if capture.meta.get(name) not in accepted:
                raise ValueError(
                    f"The pad draws 8x8 grey pictures of ten digits for small_cnn under {', '.join(LOSSES)}, but a "
                    f"capture has {name}={capture.meta.get(name)!r}. Leave it out; iv.explore takes image files of any "
                    "size."
                )
    shared = [name for name in captures[0].ood if all(name in capture.ood for capture in captures)]
    if not shared:
        sets = " and ".join(str(list(capture.ood)) for capture in captures)
        raise ValueError(
            f"The pad compares a drawing with unknown pictures that all captures know, but these have {sets}. Run "
            "their experiments with ood=('letters',)."
        )
    return shared


def _content(captures: Sequence[Capture], *, parts: Sequence[str]) -> dict[str, Any]:
    """Return what the browser needs beside the networks' files, as JSON values."""
    names = _check_fit(captures)
    shelf = Shelf(list(captures)).only(list(range(len(captures))), names)
    scores = scores_of(shelf, SCORES)
    data = digest(shelf, scores, names) | {"morph": None}
    if "letters" in names:
        four = int(np.flatnonzero(load_id("digits").test.labels == 4)[0])
        data["morph"] = [four, "letters", 0]  # the first letter is an A
    networks = []
    for capture in captures:
        (mean,), (std,) = capture.meta["mean"], capture.meta["std"]
        means = capture.prototypes if capture.loss == "softmax" else None  # those of the classes
        networks.append({"mean": mean, "std": std, "means": [] if means is None else means.round(5).tolist()})
    saved = saved_answers(shelf, data | {"counts_only": False}, {score.key: score for score in scores}, lean=True)
    offered = {
        "draw": {"score": SCORES, "against": names, "focus": list(range(len(captures))), "panel": PANELS},
        "moons": {"loss": LOSSES[:3], "score": SCORES[:3]},
    }
    start = {"part": parts[0], "present": False, "question": 0, "gaps": {}}
    start |= deepcopy({"draw": DRAW | {"against": names[0]}, "moons": MOONS})
    rest = {"toy": _toy(), "list": json.loads(text("lesson/units.json")), "parts": list(parts)}
    return {"data": data, "saved": saved, "networks": networks, "offered": offered, "start": start} | rest


def _toy() -> dict[str, Any]:
    """Return the two moons as JSON values; the shortest decimals that are these float32 numbers."""
    toy = load_toy("moons")
    unknown = np.concatenate(list(toy.ood.values()))
    places = {"points": toy.train, "test": toy.test, "far": toy.ood["far blob"], "unknown": unknown}
    rows = {name: [[float(str(number)) for number in row] for row in values] for name, values in places.items()}
    labels = {"labels": toy.train_labels.tolist(), "testLabels": toy.test_labels.tolist()}
    return rows | labels | {"classes": list(toy.class_names)}


def _points(moved: Mapping[str, Sequence[float]]) -> Figure:
    """Return the two moons, as they were moved, beside the unknown points."""
    toy = load_toy("moons")
    train = np.array(toy.train)
    for index, place in moved.items():
        train[int(index)] = place
    names = [toy.class_names[label] for label in toy.train_labels]
    known = {"group": "ID", "ood": False, "name": names, "label": toy.train_labels, "x": train[:, 0], "y": train[:, 1]}
    parts = [pd.DataFrame(known)]
    for name, points in toy.ood.items():
        parts.append(pd.DataFrame({"group": name, "ood": True, "x": points[:, 0], "y": points[:, 1]}))
    with drawing(None, size=(5.0, 5.4)) as ax:
        handles = draw_points(ax, pd.concat(parts), len(toy.class_names))
        ax.set_aspect("equal")
        draw_legend(ax, handles, [handle.get_label() for handle in handles])
        entitle(ax, "Two moons: points that train a network")
    return ax.get_figure(root=True)


def _letters(content: bytes) -> str:
    """Return bytes as text of one letter a byte (yEnc); base64 would make the page a third larger.

    The two bytes of half-precision numbers are compressed apart. Moved by 42, few bytes meet a letter that HTML would
    change; those, and "=", stand behind a "=", moved by 64 more.
    """
    packed = zlib.compress(content[::2] + content[1::2], 9)
    moved = bytes((byte + 42) & 255 for byte in range(256))
    escaped = {place: b"=" + bytes([(place + 64) & 255]) for place in b"\0\r<="}
    return b"".join(escaped.get(byte) or bytes([byte]) for byte in packed.translate(moved)).decode("latin-1")
