"""Several panels of one figure function in one figure: losses side by side, one set or quantity per row."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple

from isomax_viz._common.checks import check_number
from isomax_viz.captures.capture import Capture
from isomax_viz.catalog import style
from isomax_viz.figures._canvas import (
    NOTE_STRIP,
    CanvasAxes,
    caption_of,
    legend_size,
    new_figure,
    worded_options,
    write_note,
)
from isomax_viz.figures.histograms import set_density_axis

__all__ = ["plot_grid"]


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
        Give all panels the same limits. By default histograms keep their own (the logits of SoftMax span ten times
        those of the others), all other figures share them where the axes have the same label.
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
    _check_takes_axes(plot_function)
    panels = _as_list(data)
    name, values = _one_option(each)
    if columns is not None:
        check_number("columns", columns, at_least=1, whole=True)
    cells = [(item, {name: value} if each else {}) for value in values for item in panels]
    wide = columns or (len(cells) if len(cells) < 4 else 2 if len(cells) == 4 else 3)
    wide = len(panels) if each and len(panels) > 1 else wide
    high = -(-len(cells) // wide)
    square = getattr(plot_function, "__name__", "") == "plot_roc"
    width, height = size or ((3.9, 3.9) if square else (4.2, 3.0) if wide < 4 else (3.3, 2.8))
    with style.context(theme):
        figure = new_figure(width * wide, height * high + 0.5, panels=len(cells))
        figure.one_note = True
        axes = []
        for place, (item, option) in enumerate(cells, start=1):
            ax = figure.add_subplot(high, wide, place, axes_class=CanvasAxes)
            with worded_options():
                axes.append(plot_function(item, ax=ax, **(options | option)))
        _share(axes, sharex, sharey)
        _title(figure, axes)
        write_note(figure, _common_note(axes))
        if options.get("legend", True):
            _common_legend(figure, axes)
        _label_outside(axes, wide)
        _settle_legends(figure, axes)
    return figure


def _check_takes_axes(plot_function: Callable[..., Axes]) -> None:
    if not callable(plot_function):
        raise TypeError("plot_grid takes the function first, then the data: iv.plot_grid(iv.plot_scores, captures).")
    kinds: dict[str, Any] = {}
    with suppress(ValueError):  # what is not written in Python need not tell what it takes
        kinds = {name: item.kind for name, item in inspect.signature(plot_function).parameters.items()}
    if kinds and "ax" not in kinds and inspect.Parameter.VAR_KEYWORD not in kinds.values():
        name = getattr(plot_function, "__name__", repr(plot_function))
        raise TypeError(
            f"plot_function must take the axes to draw on (ax=...), but {name} takes none: it makes a figure of its "
            "own. Call it by itself, once for each capture."
        )


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


def _share(axes: list[Axes], sharex: bool | None, sharey: bool | None) -> None:
    histograms = any(caption_of(ax).drawn is not None for ax in axes)
    if sharex if sharex is not None else not histograms and len({ax.get_xlabel() for ax in axes}) == 1:
        limits = [ax.get_xlim() for ax in axes]
        for ax in axes:
            ax.set_xlim(min(low for low, _ in limits), max(high for _, high in limits))
    if sharey if sharey is not None else not histograms and len({ax.get_ylabel() for ax in axes}) == 1:
        limits = [ax.get_ylim() for ax in axes]
        low, high = min(low for low, _ in limits), max(high for _, high in limits)
        for ax in axes:
            if caption_of(ax).drawn is not None and ax.get_yscale() == "linear":
                # The words on what is cut off depend on where the axis ends.
                set_density_axis(ax, caption_of(ax).drawn, top=high, legend=False)
            else:
                ax.set_ylim(low, high)


def _title(figure: Figure, axes: list[Axes]) -> None:
    """Title each panel with what differs, the figure with what all panels share."""
    captions = [caption_of(ax) for ax in axes]
    shared = [part for part in captions[0].parts if all(part in caption.parts for caption in captions)]
    for ax, caption in zip(axes, captions, strict=True):
        words = " · ".join(part for part in caption.parts if part not in shared)
        ax.set_title(words, loc="left", pad=caption.pad)
    if shared:
        figure.suptitle(" · ".join(shared), x=0.01, ha="left")


def _common_note(axes: list[Axes]) -> str:
    notes = [note.split(" · ") for note in dict.fromkeys(caption_of(ax).note for ax in axes) if note]
    if len({len(parts) for parts in notes}) > 1:
        return " | ".join(" · ".join(parts) for parts in notes)
    return " · ".join(", ".join(dict.fromkeys(values)) for values in zip(*notes, strict=True))


def _common_legend(figure: Figure, axes: list[Axes]) -> None:
    """Replace the panels' legends by one below them if all have the same entries."""
    legends = [ax.get_legend() for ax in axes]
    if len(axes) < 2 or any(legend is None for legend in legends):
        return
    labels = [[text.get_text() for text in legend.get_texts()] for legend in legends]
    if any(entries != labels[0] for entries in labels):
        return
    handles = [legend.legend_handles for legend in legends]
    for ax, legend in zip(axes, legends, strict=True):
        legend.remove()
        if caption_of(ax).drawn is not None:
            # Without a legend the axis needs no headroom; a shared axis keeps its end.
            top = ax.get_ylim()[1] if len({other.get_ylim() for other in axes}) == 1 else None
            set_density_axis(ax, caption_of(ax).drawn, top=top, legend=False)
    # One swatch per look: the in-distribution groups have the colour of each panel's loss.
    merged = [tuple({_look(handle): handle for handle in entry}.values()) for entry in zip(*handles, strict=True)]
    # The layout leaves room for a legend at the very bottom; the pad (in font sizes) lifts it above the note's strip.
    above_note = 0.6 + NOTE_STRIP * 72 / rcParams["legend.fontsize"]
    swatch = max(2.0, 1.1 * max(map(len, merged)))
    figure.legend(
        merged,
        labels[0],
        loc="outside lower center",
        ncols=_fitting_columns(figure, labels[0], swatch=swatch),
        borderaxespad=above_note,
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0)},
        handlelength=swatch,
    )


def _settle_legends(figure: Figure, axes: list[Axes]) -> None:
    """Place the legends of histograms again where the panels have their final size, which only the layout knows."""
    own = [ax for ax in axes if caption_of(ax).drawn is not None and ax.get_legend() is not None]
    if not own:
        return
    figure.get_layout_engine().execute(figure)
    shared = len(axes) > 1 and len({ax.get_ylim() for ax in axes}) == 1
    for ax in own:
        set_density_axis(ax, caption_of(ax).drawn, top=ax.get_ylim()[1] if shared else None)


def _fitting_columns(figure: Figure, labels: list[str], *, swatch: float) -> int:
    """Return how many entries of a legend stand side by side, at most four, without leaving the figure."""
    letters = max(len(line) for label in labels for line in label.split("\n"))
    # In font sizes: a letter is about 0.55 wide, and 2.8 are the gaps of an entry.
    entry = (swatch + 0.55 * letters + 2.8) * legend_size() / 72
    return max(1, min(len(labels), 4, int(figure.get_size_inches()[0] / entry)))


def _look(handle: Any) -> tuple[Any, ...]:
    getters = ("get_facecolor", "get_edgecolor", "get_hatch", "get_color", "get_linestyle")
    return tuple(str(getattr(handle, name)()) for name in getters if hasattr(handle, name))


def _label_outside(axes: list[Axes], columns: int) -> None:
    """Drop axis labels that the neighbour on the left, or the panel below, repeats."""
    across, up = [ax.get_xlabel() for ax in axes], [ax.get_ylabel() for ax in axes]
    for place, ax in enumerate(axes):
        if place % columns and up[place] == up[place - 1]:
            ax.set_ylabel("")
        if place + columns < len(axes) and across[place] == across[place + columns]:
            ax.set_xlabel("")
