"""Several panels of one figure function in one figure: losses side by side, one set or quantity per row."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple

from isomax_viz._common.checks import check_number
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import machine, several_machines
from isomax_viz.catalog import style
from isomax_viz.figures import _canvas as canvas

__all__ = ["plot_grid"]

SQUARE = ("plot_prototype_distances", "plot_reliability", "plot_roc")  # their axes are as high as they are wide


def plot_grid(
    plot_function: Callable[..., Axes],
    data: Any,
    *,
    each: Mapping[str, Sequence[Any]] | None = None,
    columns: int | None = None,
    sharex: bool | None = None,
    sharey: bool | None = None,
    size: tuple[float, float] | None = None,
    theme: str = "paper",
    **options: Any,
) -> Figure:
    """Draw one panel per capture with the same figure function, with one legend if all panels agree on it.

    Parameters
    ----------
    plot_function : callable
        Any ``plot_*`` function of this package that takes ``ax`` (or one with the same signature).
    data : list or dict of what the function draws
        One panel each: captures, tables, or (for ROC and training curves) lists of captures.
    each : mapping of one option to its values, optional
        Repeats the row of panels for every value, such as ``{"ood": ["letters", "patches"]}``.
    columns : int, optional
        Panels per row; by default all up to three, two for four, else three. With ``each`` and several data it is the
        number of data.
    sharex, sharey : bool, optional
        Give all panels the same limits. By default histograms and feature spaces keep their own (the logits of SoftMax
        span ten times those of the others), all other figures share them where the axes have the same label.
    size : (float, float), optional
        Width and height of one panel in inches.
    theme : {"paper", "talk"}
        Text and line sizes.
    **options
        Passed on to the function, such as ``ood="letters"``.

    Returns
    -------
    Figure
        A notebook shows it. Panels are titled with what differs between them.

    Raises
    ------
    TypeError
        If the function takes no ``ax``: those that draw several panels make a figure of their own.
    ValueError
        If there is nothing to draw or more than one option in ``each``.

    Examples
    --------
    >>> from isomax_viz.figures import plot_entropy
    >>> logits, unknown = [[9.0, 0.0], [0.0, 9.0]], {"letters": [[0.1, 0.0]]}
    >>> captures = [Capture.from_arrays(logits, [0, 1], ood=unknown, loss=loss) for loss in ("softmax", "isomax")]
    >>> figure = plot_grid(plot_entropy, captures, ood="letters")
    >>> [ax.get_title(loc="left") for ax in figure.axes], figure.get_suptitle()
    (['SoftMax', 'IsoMax'], 'test against letters')
    """
    taken, panels = _parameters(plot_function), _as_list(data)
    name, values = _one_option(each)
    if columns is not None:
        check_number("columns", columns, at_least=1, whole=True)
    cells = [(item, {name: value} if each else {}) for value in values for item in panels]
    wide = columns or canvas.in_a_row(len(cells))
    wide = len(panels) if each and len(panels) > 1 else wide
    high = -(-len(cells) // wide)
    square = getattr(plot_function, "__name__", "") in SQUARE
    width, height = size or ((3.9, 3.9) if square else (4.2, 3.0) if wide < 4 else (3.3, 2.8))
    with style.context(theme):
        figure = canvas.new_figure(width * wide, height * high + 0.5, panels=len(cells))
        axes = []
        for place, (item, option) in enumerate(cells, start=1):
            ax = figure.add_subplot(high, wide, place, axes_class=canvas.CanvasAxes)
            axes.append(plot_function(item, ax=ax, **(options | option)))
        _share(axes, "x", sharex)
        if sharey and "top" in taken and options.get("yscale") != "log":
            # What is cut off depends on where the axis ends: all panels are drawn again, with the same end.
            top = max(ax.get_ylim()[1] for ax in axes)
            for ax, (item, option) in zip(axes, cells, strict=True):
                limits = ax.get_xlim()
                ax.clear()
                plot_function(item, ax=ax, **({"top": top} | options | option)).set_xlim(limits)
        else:
            _share(axes, "y", sharey)
        _share_legends(figure, axes)
        _title(figure, axes)
        _label_outside(axes, wide)
        canvas.grow(figure, axes, rows=high)
        differ = len({ax.get_xlim() for ax in axes}) > 1 or len({ax.get_ylim() for ax in axes}) > 1
        mixed = several_machines(machine(item) for item in panels if isinstance(item, Capture))
        note = " · ".join(filter(None, (canvas.common_note(axes), mixed)))
        canvas.write_note(figure, note, warning="axes differ between panels" if differ else "")
        canvas.lay_out(figure)
    return figure


def _parameters(plot_function: Callable[..., Axes]) -> Mapping[str, inspect.Parameter]:
    """Return what the function takes: axes to draw on among others."""
    if not callable(plot_function):
        raise TypeError("plot_grid takes the function first, then the data: iv.plot_grid(iv.plot_scores, captures).")
    taken = inspect.signature(plot_function).parameters
    if "ax" not in taken and not any(item.kind is item.VAR_KEYWORD for item in taken.values()):
        name = getattr(plot_function, "__name__", repr(plot_function))
        raise TypeError(
            f"plot_function must take the axes to draw on (ax=...), but {name} takes none: it makes a figure of its "
            "own. Call it by itself, once for each capture."
        )
    return taken


def _as_list(data: Any) -> list[Any]:
    if isinstance(data, (Capture, pd.DataFrame)):
        return [data]
    data = data.values() if isinstance(data, Mapping) else data
    listed = list(data) if isinstance(data, Iterable) else [data]
    if not listed:
        raise ValueError("data is empty. Give one capture (or table) per panel.")
    return listed


def _one_option(each: Mapping[str, Sequence[Any]] | None) -> tuple[str, list[Any]]:
    if not each:
        return "", [None]
    if len(each) != 1 or isinstance(next(iter(each.values())), str):
        raise ValueError(
            f"each must be one option with a list of values, such as {{'ood': ['letters']}}, but is {each!r}."
        )
    ((name, values),) = each.items()
    if not list(values):
        raise ValueError(f"each[{name!r}] is empty. Give one value per row of panels.")
    return name, list(values)


def _share(axes: list[Axes], which: str, wanted: bool | None) -> None:
    """Give the panels the same limits, by default where the labels are alike and none has limits of its own."""
    if wanted is None:
        alike = len({ax.xaxis.label.get_text() if which == "x" else ax.yaxis.label.get_text() for ax in axes}) == 1
        wanted = alike and not any(canvas.caption_of(ax).own_limits for ax in axes)
    if wanted:
        limits = [ax.get_xlim() if which == "x" else ax.get_ylim() for ax in axes]
        for ax in axes:
            ax.set(**{f"{which}lim": (min(low for low, _ in limits), max(high for _, high in limits))})


def _title(figure: Figure, axes: list[Axes]) -> None:
    """Title each panel with what differs, the figure with what all panels share."""
    captions = [canvas.caption_of(ax) for ax in axes]
    shared = [part for part in captions[0].parts if all(part in caption.parts for caption in captions)]
    for ax, caption in zip(axes, captions, strict=True):
        canvas.entitle(ax, " · ".join(part for part in caption.parts if part not in shared))
    if shared:
        words = figure.suptitle(" · ".join(shared), x=0.01, ha="left")
        canvas.take_literally([words])
        canvas.break_words(words, 0.97 * figure.bbox.width)


def _share_legends(figure: Figure, axes: list[Axes]) -> None:
    """Replace the panels' legends by one below them if all have the same entries, else drop repeated ones."""
    own = [(ax, legend) for ax in axes if (legend := ax.get_legend()) is not None]
    labels = [tuple(" ".join(text.get_text().split()) for text in legend.get_texts()) for _, legend in own]
    handles = [legend.legend_handles for _, legend in own]
    common = len(own) == len(axes) > 1 and len(set(labels)) == 1
    said: set[Any] = set()
    for (_, legend), words, entries in zip(own, labels, handles, strict=True):
        looks = (words, *map(_look, entries))
        if common or looks in said:
            legend.remove()
        said.add(looks)
    if not common:
        return
    # One swatch per look: the in-distribution groups have the colour of each panel's loss.
    merged = [tuple({_look(handle): handle for handle in entry}.values()) for entry in zip(*handles, strict=True)]
    swatch = max(2.0, 1.1 * max(map(len, merged)))
    side_by_side = {tuple: HandlerTuple(ndivide=None, pad=0)}
    canvas.legend_below(figure, merged, labels[0], handlelength=swatch, handler_map=side_by_side)


def _look(handle: Any) -> tuple[Any, ...]:
    getters = ("get_facecolor", "get_edgecolor", "get_hatch", "get_color", "get_linestyle", "get_marker")
    return tuple(str(getattr(handle, name)()) for name in getters if hasattr(handle, name))


def _label_outside(axes: list[Axes], columns: int) -> None:
    """Label the axes at the left and the lower edge only where all panels have the same."""
    if len({ax.get_ylabel() for ax in axes}) == 1:
        for place, ax in enumerate(axes):
            if place % columns:
                ax.set_ylabel("")
    if len({ax.get_xlabel() for ax in axes}) == 1:
        for ax in axes[:-columns]:
            ax.set_xlabel("")
