"""What every figure shares: what it is given, the canvas and the words around it, and how it is shown and saved."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter
from matplotlib.transforms import ScaledTranslation
from PIL import Image

from isomax_viz._common.checks import check_choice, check_ood, run_hint
from isomax_viz._common.files import new_entry
from isomax_viz.captures.capture import Capture
from isomax_viz.catalog import style

__all__ = [
    "CanvasAxes", "CanvasFigure", "Caption", "as_table", "attach", "break_words", "caption_of", "check_capture",
    "check_options", "common_note", "describe", "draw_legend", "drawing", "enlarged", "entitle", "grow", "in_a_row",
    "lay_out", "legend_below", "mosaic", "new_figure", "png", "save_figure", "small", "take_literally", "write_note",
]  # fmt: skip

DPI = 110
FORMATS = ("png", "svg", "pdf")
GREY = "#767676"  # of small print: as pale as can be read
NOTE_STRIP = 0.17  # inches
HEAD = 0.22  # share of a figure that title, legend and lines above the axes may take before the figure grows


def check_options(plot: Callable[..., Any], options: dict[str, Any], artist: type, method: Callable[..., Any]) -> None:
    """Raise a TypeError about the plotting function where an option is neither its own nor Matplotlib's.

    Parameters
    ----------
    plot : callable
        The function of this package.
    options : dict
        What it passes on.
    artist : type
        Class of the artists that are drawn: their properties are accepted.
    method : callable
        Method of Matplotlib or seaborn that draws them: what it takes by name is accepted, too.

    Examples
    --------
    >>> from matplotlib.lines import Line2D
    >>> def plot_this(data, *, score="es", **kwargs): ...
    >>> check_options(plot_this, {"lw": 2, "scalex": False}, Line2D, Axes.plot)
    >>> check_options(plot_this, {"scores": "mps"}, Line2D, Axes.plot)
    Traceback (most recent call last):
        ...
    TypeError: plot_this has no option 'scores', nor has what Matplotlib draws for it. Did you mean 'score'?
    """
    for option in options:
        if not hasattr(artist, f"set_{option}") and option not in inspect.signature(method).parameters:
            near = difflib.get_close_matches(option, inspect.signature(plot).parameters, n=1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{plot.__name__} has no option {option!r}, nor has what Matplotlib draws for it.{meant}")


def as_table(
    plot: Callable[..., Any],
    data: Any,
    make: Callable[..., pd.DataFrame],
    columns: Iterable[str],
    *,
    module: str = "iv.tables",
    narrow: bool = False,
    **options: Any,
) -> pd.DataFrame:
    """Return the table to draw: the given one, or what ``make(data, **options)`` makes of captures.

    Parameters
    ----------
    plot : callable
        The plotting function, whose signature says what is the default of an option.
    data : object
        What it was given.
    make : callable
        Makes its table.
    columns : iterable of str
        What a given table must have.
    module : str
        In which a reader finds ``make``.
    narrow : bool
        Whether ``ood`` chooses among the sets of a table, as it does among those of a capture.
    **options
        Of ``make``. They change nothing in a table that is made already, and are refused with one.

    Raises
    ------
    ValueError
        If the table is another one, or an option is given with it.

    Examples
    --------
    >>> def plot_this(data, *, bins=50): ...
    >>> def this_table(data, *, bins): ...
    >>> as_table(plot_this, pd.DataFrame({"loss": ["isomax"]}), this_table, ["loss"], bins=10)
    Traceback (most recent call last):
        ...
    ValueError: bins=10 changes nothing in a table that is made already. Give it to iv.tables.this_table, or plot_this
    the captures.
    """
    if not isinstance(data, pd.DataFrame):
        return make(data, **options)
    ood = options.pop("ood") if narrow else None
    made, defaults = f"{module}.{make.__name__}", inspect.signature(plot).parameters
    for name, value in options.items():
        given = name in defaults and value is not defaults[name].default
        if given and not (isinstance(value, (int, float, str)) and value == defaults[name].default):
            raise ValueError(
                f"{name}={value!r} changes nothing in a table that is made already. "
                f"Give it to {made}, or {plot.__name__} the captures."
            )
    missing = ", ".join(name for name in columns if name not in data.columns) or ("" if len(data) else "rows")
    if missing:
        raise ValueError(
            f"data is a DataFrame without {missing}. Give captures, or the table that {made} made from them."
        )
    if not narrow:
        return data
    names, is_set = (data["group"], data["ood"]) if "group" in data else (data["ood"], data["ood"].notna())
    return data[~is_set | names.isin(check_ood(ood, names[is_set].unique()))]


def check_capture(plot: Callable[..., Any], value: Any) -> Capture:
    """Return what is one capture, else say what a plotting function needs.

    Examples
    --------
    >>> def plot_this(capture): ...
    >>> check_capture(plot_this, [])
    Traceback (most recent call last):
        ...
    TypeError: plot_this draws one Capture, but received a list. Call it once for each capture.
    """
    if isinstance(value, Capture):
        return value
    remedy = run_hint(value) or "Call it once for each capture."
    raise TypeError(f"{plot.__name__} draws one Capture, but received a {type(value).__name__}. {remedy}")


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
    lines : tuple of str
        Small words between title and axes.
    own_limits : bool
        Whether the limits belong to this panel alone, unless asked for otherwise.
    """

    parts: tuple[str, ...] = ()
    note: str = ""
    alt: str = ""
    lines: tuple[str, ...] = ()
    own_limits: bool = False


class CanvasFigure(Figure):
    """A figure that pyplot does not know (so nothing leaks) and that a notebook shows as the result of a cell."""

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        # The second part becomes the picture's metadata in the notebook, from where pages take the alternative text.
        return png(self), {"alt": describe(self)}


class CanvasAxes(Axes):
    """Axes that a notebook shows as the picture of their figure."""

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        figure = self.get_figure(root=True)
        return png(figure), {"alt": describe(figure)}


def small() -> float:
    """Return the size of small words in points: those of the legend, which outside our settings may be a word."""
    return 0.9 * FontProperties(size=rcParams["legend.fontsize"]).get_size_in_points()


def enlarged(points: float) -> float:
    """Return a size on paper (of markers, curves, small print) as large as the theme has it."""
    return 1.5 * points if style.zoom(1) > 1 else points


def new_figure(width: float, height: float, *, panels: int = 1) -> CanvasFigure:
    """Return an empty figure of that size in inches (times the theme's zoom), whose layout follows the words."""
    zoom = style.zoom(panels)
    figure = CanvasFigure(figsize=(zoom * width, zoom * height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)  # has one renderer, which knows the sizes of words that the layout asks for again and again
    return figure


def in_a_row(panels: int) -> int:
    """Return how many of so many panels stand beside each other on a page or screen.

    Examples
    --------
    >>> [in_a_row(panels) for panels in (2, 3, 4, 5, 9)]
    [2, 3, 2, 3, 3]
    """
    return 2 if panels == 4 else min(panels, 3)


@contextmanager
def mosaic(
    layout: Sequence[Sequence[Any]], width: float, height: float, *, theme: str, **options: Any
) -> Iterator[dict[Any, Axes]]:
    """Yield the axes of a new figure of several panels by name, and lay the figure out when they are drawn.

    Parameters
    ----------
    layout, **options
        See :meth:`matplotlib.figure.Figure.subplot_mosaic`.
    width, height : float
        Inches, before the theme's zoom.
    theme : {"paper", "talk"}
    """
    with style.context(theme):
        figure = new_figure(width, height, panels=2)
        yield figure.subplot_mosaic(layout, subplot_kw={"axes_class": CanvasAxes}, **options)
        grow(figure, figure.axes, rows=len(layout))
        write_note(figure, common_note(figure.axes))
        lay_out(figure)
        figure.set_layout_engine("none")  # once: axes stand still while a widget switches what they show


def lay_out(figure: Figure) -> None:
    """Run the layout until axes of equal scales are at their place, so that the first picture is like all others."""
    former: list[float] = []
    for _ in range(1 if all(ax.get_aspect() == "auto" for ax in figure.axes) else 5):
        figure.get_layout_engine().execute(figure)
        # Where axes may lie, and where they do: these follow late.
        places = [ax.get_position(original).bounds for ax in figure.axes for original in (True, False)]
        if former and np.allclose(places, former, rtol=0, atol=1e-9):
            return
        former = places


@contextmanager
def drawing(ax: Axes | None, *, theme: str = "paper", size: tuple[float, float] = (6.0, 3.8)) -> Iterator[Axes]:
    """Yield axes to draw on: the given ones under the caller's settings, else those of a new figure in that theme.

    Parameters
    ----------
    ax : Axes or None
        Where to draw. Given axes keep the settings of the program they come from.
    theme : {"paper", "talk"}
        Settings of a new figure, see :func:`isomax_viz.catalog.style.context`.
    size : (float, float)
        Width and height of a new figure in inches.
    """
    if ax is not None:
        yield ax
        return
    with style.context(theme):
        yield new_figure(*size).add_subplot(axes_class=CanvasAxes)


def draw_legend(ax: Axes, handles: Sequence[Any], labels: Sequence[str], **options: Any) -> None:
    """Draw a legend above the axes, where no data can be; in figures of the caller's, where Matplotlib finds room.

    :func:`attach` puts it over the lines of small words and the title over both.

    Parameters
    ----------
    ax : Axes
    handles, labels : sequence
        As for :meth:`matplotlib.axes.Axes.legend`.
    **options
        Passed on to it.
    """
    if not handles:
        return
    if ax.get_figure(root=True).get_layout_engine() is None:
        take_literally(ax.legend(handles, labels, loc="best", **options).get_texts())
        return
    look = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderpad": 0.1, "borderaxespad": 0} | options
    _fit(lambda columns: ax.legend(handles, labels, ncols=columns, **look), len(labels), _room(ax))


def legend_below(figure: Figure, handles: Sequence[Any], labels: Sequence[str], **options: Any) -> None:
    """Draw one legend for all panels at the bottom of a figure."""
    # The layout leaves room for a legend at the very bottom; the pad (in font sizes) lifts it above the note's strip.
    look = {"loc": "outside lower center", "borderaxespad": 0.6 + enlarged(NOTE_STRIP) * 72 / (small() / 0.9)} | options
    _fit(lambda n: figure.legend(handles, labels, ncols=n, **look), len(labels), 0.98 * figure.bbox.width)


def _fit(draw: Callable[[int], Legend], entries: int, room: float) -> Legend:
    """Draw a legend in as many columns as there is room for (in pixels), one at least, with its lines broken."""
    for columns in range(min(4, entries), 0, -1):
        legend = draw(columns)
        take_literally(legend.get_texts())
        too_wide = legend.get_window_extent().width - room
        if too_wide <= 0:
            return legend
        if columns > 1:
            legend.remove()
    wide = max(text.get_window_extent().width for text in legend.get_texts())
    for text in legend.get_texts():
        break_words(text, wide - too_wide)
    return legend


def _room(ax: Axes, way: str = "width") -> float:
    """Return how much room words along the axes have that way, in pixels, before the layout is known."""
    figure, spec = ax.get_figure(root=True), ax.get_subplotspec()
    if figure.get_layout_engine() is None or spec is None:
        return float(getattr(ax.bbox, way))
    grid, wide = spec.get_gridspec(), way == "width"
    ratios, span = (grid.get_width_ratios(), spec.colspan) if wide else (grid.get_height_ratios(), spec.rowspan)
    # Columns share their widest labels: a panel may be narrower than its part.
    part = sum(ratios[span.start : span.stop]) / sum(ratios) * (0.93 if len(ratios) > 1 else 1.0)
    # What stands beside the axes: numbers, a label, and gaps.
    labels = (ax.yaxis if wide else ax.xaxis).get_tightbbox()
    beside = getattr(labels, way) if labels else 0.0
    beside += sum(bar.get_tightbbox().width + 0.03 * figure.bbox.width for bar in _bars(ax) if wide)
    gap = 2.5 * FontProperties(size=rcParams["axes.labelsize"]).get_size_in_points() * figure.dpi / 72
    return part * getattr(figure.bbox, way) - beside - gap


def _bars(ax: Axes) -> list[Axes]:
    bars = [item.colorbar.ax for item in (*ax.images, *ax.collections) if item.colorbar is not None]
    return [bar for bar in bars if bar.get_in_layout()]


def break_words(text: Text, room: float) -> None:
    """Break words into lines that are no wider (or, upright, no higher) than so many pixels."""
    words = re.sub(" (?=[−%0-9])", "\N{NO-BREAK SPACE}", text.get_text())  # a number stays with its name and unit
    letters, upright = len(words), text.get_rotation() == 90
    while letters > 8:
        box = text.get_window_extent()
        length = box.height if upright else box.width
        if length <= room:
            return
        letters = max(8, int(min(0.95, room / length) * letters))
        text.set_text("\n".join(wrap(words, letters, break_on_hyphens=False)))


def attach(ax: Axes, caption: Caption, *, own: bool) -> Axes:
    """Write what stands around a drawing: lines, title and note; remember the caption, and return the axes.

    Parameters
    ----------
    ax : Axes
    caption : Caption
    own : bool
        Whether the figure was made here: then its note stands at the bottom of the figure, else under the axes.
    """
    ax.isomax_caption, ax.isomax_lines = caption, 0.0
    take_literally([*ax.texts, ax.xaxis.label, ax.yaxis.label])
    for axis in (ax.xaxis, ax.yaxis):
        if isinstance(axis.get_major_formatter(), FixedFormatter):  # names; numbers of logarithmic axes are formulas
            take_literally(axis.get_ticklabels())
    wide, high = _room(ax), _room(ax, "height")
    for line in reversed(caption.lines):
        up = 4 + ax.isomax_lines
        words = ax.annotate(line, (0, 1), (0, up), xycoords="axes fraction", textcoords="offset points", va="bottom",
                            fontsize=small(), annotation_clip=False)  # fmt: skip
        take_literally([words])
        break_words(words, wide)
        ax.isomax_lines += 1.3 * small() * (1 + words.get_text().count("\n"))
    break_words(ax.xaxis.label, wide)
    for axes in (ax, *_bars(ax)):
        break_words(axes.yaxis.label, high)
    entitle(ax, " · ".join(caption.parts))
    figure = ax.get_figure(root=True)
    if isinstance(figure, CanvasFigure):  # elsewhere may be lines of somebody else's
        _enlarge(ax, ax.get_legend())
    if own:
        grow(figure, [ax], rows=1)
        write_note(figure, caption.note)
        if ax.get_aspect() != "auto":
            lay_out(figure)
    elif caption.note and not isinstance(figure, CanvasFigure):
        ax.annotate(caption.note, (1, 0), (0, -33), xycoords="axes fraction", textcoords="offset points", ha="right",
                    va="top", fontsize=6.5, color=GREY, gid="note", annotation_clip=False)  # fmt: skip
        take_literally(ax.texts)
    return ax


def _enlarge(ax: Axes, legend: Legend | None) -> None:
    for drawn in (*ax.lines, *ax.patches, *ax.collections, *(legend.legend_handles if legend else ())):
        drawn.set_linewidth(np.multiply(enlarged(1), drawn.get_linewidth()))  # a collection may have many
        if isinstance(drawn, Line2D):
            drawn.set_markersize(enlarged(drawn.get_markersize()))
        elif isinstance(drawn, PathCollection):
            drawn.set_sizes(enlarged(1) ** 2 * drawn.get_sizes())  # areas


def entitle(ax: Axes, title: str) -> None:
    """Write the title of axes over all that stands above them: lines of small words, then the legend."""
    lines = getattr(ax, "isomax_lines", 0.0)
    height = 4 + lines if lines else 0.0
    legend = ax.get_legend()
    if legend is not None and ax.get_figure(root=True).get_layout_engine() is not None:
        up = ScaledTranslation(0, (height + 2) / 72, ax.get_figure(root=True).dpi_scale_trans)
        legend.set_bbox_to_anchor((0, 1), ax.transAxes + up)
        height += 2 + legend.get_window_extent().height * 72 / ax.get_figure(root=True).dpi
    words = ax.set_title(title, loc="left", pad=5 + height)
    take_literally([words])
    break_words(words, _room(ax))
    ax.isomax_head = (5 + height) / 72 + words.get_window_extent().height / ax.get_figure(root=True).dpi


def grow(figure: Figure, axes: Sequence[Axes], *, rows: int) -> None:
    """Make a figure higher where titles and legends above its rows of axes would leave these too little room."""
    width, height = figure.get_size_inches()
    more = max(getattr(ax, "isomax_head", 0.0) for ax in axes) - HEAD * height / rows
    if more > 0:
        figure.set_size_inches(width, height + rows * more)


def take_literally(texts: Iterable[Text]) -> None:
    """Make words mean themselves: a name with dollars or underscores is neither a formula nor TeX."""
    for text in texts:
        text.set_usetex(False)
        if text.get_gid() != "formula":
            text.set_parse_math(False)


def common_note(axes: Iterable[Axes]) -> str:
    """Return the small print of all panels in one line, what they share once."""
    notes = [note.split(" · ") for note in dict.fromkeys(caption_of(ax).note for ax in axes) if note]
    if len({len(parts) for parts in notes}) > 1:
        return " | ".join(" · ".join(parts) for parts in notes)
    return " · ".join(", ".join(dict.fromkeys(values)) for values in zip(*notes, strict=True))


def write_note(figure: Figure, note: str, *, warning: str = "") -> None:
    """Write small print at the bottom right of a figure, a warning left of it, on a strip kept free."""
    if not note and not warning:
        return
    height = figure.get_size_inches()[1]
    words = figure.text(0.994, 0.04 / height, note, ha="right", va="bottom", size=enlarged(6.5), color=GREY, gid="note")
    take_literally([words])
    room = 0.98 * figure.bbox.width
    if warning:
        room -= figure.text(0.006, 0.04 / height, warning, va="bottom", fontsize=small()).get_window_extent().width
    break_words(words, room)
    strip = NOTE_STRIP + 0.11 * words.get_text().count("\n")
    height += enlarged(strip) - NOTE_STRIP  # what larger or more lines need, the axes do not lose
    figure.set_figheight(height)
    figure.get_layout_engine().set(rect=(0, enlarged(strip) / height, 1, 1 - enlarged(strip) / height))


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


def png(figure: Figure) -> bytes:
    """Return the figure as an opaque PNG picture; the same figure gives the same bytes.

    One drawing pass: ``savefig`` would draw a figure with automatic layout twice, and a widget waits for this.
    """
    canvas = figure.canvas if isinstance(figure.canvas, FigureCanvasAgg) else FigureCanvasAgg(figure)
    canvas.draw()
    buffer, opaque = BytesIO(), np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
    Image.fromarray(opaque).save(buffer, format="png", dpi=(figure.dpi, figure.dpi))
    return buffer.getvalue()


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
    TypeError
        If it is neither Axes nor a Figure, such as the array of axes that ``plt.subplots`` gives.
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
    if not isinstance(drawn, (Axes, Figure)):
        raise TypeError(f"drawn must be Axes or a Figure, but is of type {type(drawn).__name__}. Give one of the axes.")
    path = Path(path).expanduser()
    suffix = check_choice("The suffix of path", path.suffix.lower().lstrip("."), FORMATS)
    figure = drawn.get_figure(root=True)
    text = describe(drawn if isinstance(drawn, Figure) else figure) or None
    metadata: dict[str, Any] = {
        "png": {"Software": None, "Description": text or ""},
        "svg": {"Date": None, "Creator": None, "Description": text},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None, "Subject": text},
    }[suffix]
    with style.context(), new_entry(path, remedy="Choose a folder that you may write to.") as file:
        figure.savefig(file, format=suffix, dpi=dpi, facecolor="white", metadata=metadata)
    return path
