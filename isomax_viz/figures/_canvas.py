"""Figures that show themselves in a notebook, without pyplot and its global list of figures."""

from __future__ import annotations

import difflib
import struct
import traceback
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from isomax_viz._common.checks import check_choice
from isomax_viz.catalog import style

__all__ = [
    "CanvasAxes",
    "CanvasFigure",
    "Caption",
    "KEPT",
    "SHOWN",
    "add_panel",
    "attach",
    "caption_of",
    "describe",
    "drawing",
    "encode_png",
    "fixed_figure",
    "png",
    "save_figure",
    "worded_options",
]


@contextmanager
def worded_options() -> Iterator[None]:
    """Raise a TypeError about the plotting function where an option of it is misspelt."""
    try:
        yield
    except AttributeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise TypeError(_words(error)) from error


def _words(error: AttributeError) -> str:
    option = str(error).rpartition(" argument ")[2].strip("'\"")
    plotting = [
        frame.f_code
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_name.startswith("plot_") and frame.f_code.co_name != "plot_grid"
    ]
    if not plotting:
        return str(error)
    code = plotting[0]
    near = difflib.get_close_matches(option, code.co_varnames[: code.co_argcount + code.co_kwonlyargcount], n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    return f"{code.co_name} has no option {option!r}, nor has what Matplotlib draws for it.{meant}"


SHOWN, KEPT = 3, 6  # zlib levels


def encode_png(pixels: np.ndarray, *, dpi: float, level: int = SHOWN) -> bytes:
    """Return an opaque PNG picture; the same pixels give the same bytes.

    Parameters
    ----------
    pixels : array of uint8, shape (height, width, 3 or 4)
        What stands behind the first three channels is dropped.
    dpi : float
        Dots per inch, for programs that place pictures by their size on paper.
    level : int
        Of compression: what a widget shows for a moment must be ready soon; what a file keeps (:data:`KEPT`) takes
        twice the time and a tenth less room.

    Returns
    -------
    bytes

    Notes
    -----
    A widget waits for this: it takes less than half the time that Pillow needs, for a smaller file. The filters of PNG
    (differences to the pixel above or to the left) make drawings larger, those with smooth colour maps too: their eight
    bits per channel lie in runs, which differences break up.

    Examples
    --------
    >>> from io import BytesIO
    >>> from PIL import Image
    >>> pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    >>> np.array_equal(np.asarray(Image.open(BytesIO(encode_png(pixels, dpi=100)))), pixels)
    True
    """
    height, width = pixels.shape[:2]
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)  # each row starts with its filter: 0, none
    rows[:, 1:] = pixels[:, :, :3].reshape(height, 3 * width)
    per_metre = round(dpi / 0.0254)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1)),
        (b"IDAT", zlib.compress(rows.data, level)),
        (b"IEND", b""),
    )
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, content in chunks:
        parts += [struct.pack(">I", len(content)), kind, content, struct.pack(">I", zlib.crc32(kind + content))]
    return b"".join(parts)


DPI = 110
FORMATS = ("png", "svg", "pdf")
NOTE_COLOR = "#767676"
NOTE_STRIP = 0.15  # inches
# What a wide legend must cover stays visible through it.
LEGEND = {"frameon": True, "facecolor": "white", "edgecolor": "none", "framealpha": 0.85, "fancybox": False}


@dataclass(frozen=True)
class Caption:
    """What the words around a drawing say.

    Attributes
    ----------
    parts : tuple of str
        Title in parts, such as ``("IsoMax+", "digits", "test against letters")``; a grid titles its panels with those
        that differ.
    note : str
        Small print: preset, data, backbone and seed, empty for the papers' own protocol.
    alt : str
        The figure in one sentence of text.
    drawn : object
        What a histogram figure drew, so that a grid can give its panels one density axis.
    pad : float, optional
        Space under the title in points.
    """

    parts: tuple[str, ...] = ()
    note: str = ""
    alt: str = ""
    drawn: Any = None
    pad: float | None = None

    @property
    def title(self) -> str:
        """The parts in one line."""
        return " · ".join(self.parts)


class CanvasFigure(Figure):
    """A figure that pyplot does not know (so nothing leaks) and that a notebook shows as the result of a cell."""

    one_note = False  # a grid writes the small print of its panels once

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        # The second part becomes the picture's metadata in the notebook, from where pages take the alternative text.
        return png(self, level=KEPT), {"alt": describe(self)}


class CanvasAxes(Axes):
    """Axes that a notebook shows as the picture of their figure."""

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        figure = self.get_figure(root=True)
        return png(figure, level=KEPT), {"alt": describe(figure)}


def legend_size() -> float:
    """Return the legend's font size in points; outside our own settings it may be a word such as "medium"."""
    return FontProperties(size=rcParams["legend.fontsize"]).get_size_in_points()


def small() -> float:
    """Return the size of words inside the axes, which follow the legend's."""
    return 0.9 * legend_size()


def title_pad(lines: int) -> float:
    """Return the space between axes and title, in points, that holds so many lines of small words."""
    return 5 + 1.35 * lines * legend_size()


def new_figure(width: float, height: float, *, panels: int = 1) -> CanvasFigure:
    """Return an empty figure of that size in inches (times the theme's zoom), whose layout follows the labels."""
    zoom = style.zoom(panels)
    return CanvasFigure(figsize=(zoom * width, zoom * height), dpi=DPI, layout="constrained")


def _still_figure(width: float, height: float, lines: int) -> CanvasFigure:
    """Return an empty figure with margins from the font sizes.

    Axes stand still while a widget switches what they show, and a quarter of the drawing time is saved.
    """
    width, height = style.zoom(1) * width, style.zoom(1) * height
    figure = CanvasFigure(figsize=(width, height), dpi=DPI)
    across, up = width * 72, height * 72
    title, label, tick = (float(rcParams[name]) for name in ("axes.titlesize", "axes.labelsize", "xtick.labelsize"))
    figure.subplots_adjust(
        left=(1.5 * label + 3.4 * tick + 8) / across,
        right=1 - 12 / across,
        bottom=(1.6 * label + 1.3 * tick + 6 + 72 * NOTE_STRIP) / up,
        top=1 - (1.45 * title + title_pad(lines)) / up,
    )
    return figure


@contextmanager
def drawing(
    ax: Axes | None, *, theme: str = "paper", size: tuple[float, float] = (6.0, 3.8), lines: int | None = None
) -> Iterator[Axes]:
    """Yield axes to draw on: the given ones under the caller's settings, else those of a new figure in that theme.

    Parameters
    ----------
    ax : Axes or None
        Where to draw. Given axes keep the settings of the program they come from.
    theme : {"paper", "talk"}
        Settings of a new figure, see :func:`isomax_viz.catalog.style.context`.
    size : (float, float)
        Width and height of a new figure in inches.
    lines : int, optional
        Lines of small words between axes and title. If given, a new figure has fixed margins; by default its layout
        follows the labels.
    """
    if ax is not None:
        yield ax
        return
    with style.context(theme):
        figure = new_figure(*size) if lines is None else _still_figure(*size, lines)
        with worded_options():
            yield figure.add_subplot(axes_class=CanvasAxes)


def attach(ax: Axes, caption: Caption, *, own: bool) -> Axes:
    """Write title and note, remember the caption, and return the axes.

    Parameters
    ----------
    ax : Axes
    caption : Caption
    own : bool
        Whether the figure was made here: then its note stands at the bottom of the figure, else under the axes.
    """
    ax.set_title(caption.title, loc="left", pad=caption.pad)
    ax.isomax_caption = caption
    if own:
        write_note(ax.get_figure(root=True), caption.note)
    elif caption.note and not getattr(ax.get_figure(root=True), "one_note", False):
        for old in [text for text in ax.texts if text.get_gid() == "note"]:
            old.remove()
        ax.annotate(
            caption.note,
            (1, 0),
            (0, -33),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=6.5,
            color=NOTE_COLOR,
            gid="note",
            annotation_clip=False,
        )
    return ax


def write_note(figure: Figure, note: str) -> None:
    """Write small print at the bottom right of the figure, on a strip that the layout leaves free."""
    if not note:
        return
    if figure.get_layout_engine() is not None:
        strip = NOTE_STRIP / figure.get_size_inches()[1]
        figure.get_layout_engine().set(rect=(0, strip, 1, 1 - strip))
    figure.text(0.994, 0.012, note, ha="right", va="bottom", fontsize=6.5, color=NOTE_COLOR, gid="note")


def caption_of(ax: Axes) -> Caption:
    """Return the caption of axes that a plot function drew on, an empty one for others."""
    return getattr(ax, "isomax_caption", Caption())


def describe(drawn: Axes | Figure) -> str:
    """Return the figure in words, for readers who cannot see it and for reports.

    Parameters
    ----------
    drawn : Axes or Figure
        What a plot function or :func:`~isomax_viz.figures.plot_grid` returned.

    Returns
    -------
    str
        One sentence per panel; empty if nothing of this package is drawn there.

    Examples
    --------
    >>> from isomax_viz import Capture
    >>> from isomax_viz.figures import plot_entropy
    >>> capture = Capture.from_arrays([[9.0, 0.0]], [0], ood={"mine": [[0.0, 0.0]]}, loss="softmax")
    >>> describe(plot_entropy(capture))
    'SoftMax, test against mine: median entropy ID 0.00123 nats (n = 1), mine 0.693 nats (n = 1).'
    """
    panels = [drawn] if isinstance(drawn, Axes) else drawn.axes
    return " ".join(alt for alt in (caption_of(ax).alt for ax in panels) if alt)


def png(figure: Figure, *, level: int = SHOWN) -> bytes:
    """Return the figure as an opaque PNG picture; the same figure gives the same bytes at each level of compression.

    One drawing pass: ``savefig`` would draw a figure with automatic layout twice, and a widget waits for this.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return encode_png(np.asarray(canvas.buffer_rgba()), dpi=figure.dpi, level=level)


def save_figure(drawn: Axes | Figure, path: str | Path, *, dpi: float = 200) -> Path:
    """Write the figure that is shown (the same object) as PNG, SVG or PDF, by the suffix of the path.

    Parameters
    ----------
    drawn : Axes or Figure
        What a plot function returned; for axes their whole figure is written.
    path : str or Path
        Ends in ``.png``, ``.svg`` or ``.pdf``. Missing folders are made.
    dpi : float
        Dots per inch of a PNG.

    Returns
    -------
    Path
        Where it was written. The file holds no date, so the same figure gives the same file; the description of
        :func:`describe` travels in its metadata.

    Raises
    ------
    ValueError
        If the suffix is another one.
    OSError
        If the place cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from isomax_viz import Capture
    >>> from isomax_viz.figures import plot_entropy
    >>> capture = Capture.from_arrays([[9.0, 0.0]], [0], ood={"mine": [[0.0, 0.0]]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_figure(plot_entropy(capture), f"{folder}/entropy.svg").name
    'entropy.svg'
    """
    path = Path(path).expanduser()
    suffix = check_choice("The suffix of path", path.suffix.lower().lstrip("."), FORMATS)
    figure = drawn.get_figure(root=True)
    text = describe(drawn if isinstance(drawn, Figure) else figure) or None
    metadata: dict[str, Any] = {
        "png": {"Software": None, "Description": text or ""},
        "svg": {"Date": None, "Creator": None, "Description": text},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None, "Subject": text},
    }[suffix]
    buffer = BytesIO()
    with style.context():
        figure.savefig(buffer, format=suffix, dpi=dpi, facecolor="white", metadata=metadata)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())
    except OSError as error:
        raise OSError(
            f"The figure could not be written to {path}: {error.strerror or error}. "
            "Choose a folder that you may write to."
        ) from error
    return path


def fixed_figure(width: float, height: float) -> CanvasFigure:
    """Return an empty figure of that size in inches."""
    figure = CanvasFigure(figsize=(width, height), dpi=DPI)
    figure.one_note = True
    return figure


def add_panel(figure: CanvasFigure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Return axes at that place, in inches from the bottom left; labels and title lie outside it."""
    wide, high = figure.get_size_inches()
    return figure.add_axes((left / wide, bottom / high, width / wide, height / high), axes_class=CanvasAxes)
