"""Differences with their intervals, one below the other."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Number
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from isomax_viz.analysis.compare import Comparison
from isomax_viz.catalog.style import data_style, known, plain
from isomax_viz.figures._canvas import Caption, attach, check_options, drawing, small

__all__ = ["plot_comparisons"]

_EXCLUDES, _INCLUDES, _SEED = "#0072B2", "#767676", "#1a1a1a"


def plot_comparisons(
    data: Comparison | Mapping[str, Comparison], *, theme: str = "paper", ax: Axes | None = None, **kwargs: Any
) -> Axes:
    """Draw differences of a metric with their intervals, one row per comparison.

    Parameters
    ----------
    data : Comparison, or mapping of str to Comparison
        From :func:`isomax_viz.compare`; the keys name the rows, by default "a − b".
    theme, ax
        As in :func:`~isomax_viz.figures.plot_logits`.
    **kwargs
        Passed on to :meth:`matplotlib.axes.Axes.plot` for the intervals.

    Returns
    -------
    Axes
        Points are differences, lines between strokes their intervals, small marks below them the pairs of seeds where
        there are several. Filled points and thick lines: the interval excludes zero.

    Raises
    ------
    TypeError
        If something else than comparisons is given.
    ValueError
        If there is nothing to draw, or the comparisons are of different metrics or confidence.

    Examples
    --------
    >>> from isomax_viz import Capture, compare
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(60) % 3
    >>> capture = Capture.from_arrays(
    ...     rng.normal(size=(60, 3)) + 2 * np.eye(3)[labels], labels, ood={"x": rng.normal(size=(40, 3))})
    >>> ax = plot_comparisons({"ES above MPS?": compare((capture, "es"), (capture, "mps"), resamples=50)})
    >>> ax.get_xlabel(), [label.get_text() for label in ax.get_yticklabels()]
    ('difference of AUROC (points), 95 % interval', ['ES above MPS?'])
    """
    check_options(plot_comparisons, kwargs, Line2D, Axes.plot)
    rows = _rows(data)
    first = next(iter(rows.values()))
    with drawing(ax, theme=theme, size=(7.0, 1.3 + 0.5 * len(rows))) as axes:
        axes.axvline(0, color="#4D4D4D", linewidth=0.9, zorder=1)
        for height, comparison in enumerate(rows.values()):
            _draw_row(axes, height, comparison, kwargs)
        _draw_seeds(axes, rows)
        pairs = [plain(f"{comparison.a} − {comparison.b}", most=80) for comparison in rows.values()]
        shared = pairs[0] if len(set(pairs)) == 1 else ""
        # The sign of a difference means nothing without the order of the two.
        names = [plain(name, most=80) for name in rows]
        told = [[name] if shared or name == pair else [name, pair] for name, pair in zip(names, pairs, strict=True)]
        axes.set_yticks(range(len(rows)), ["\n".join(fill(line, 44) for line in lines) for lines in told])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0, labelsize=small())
        axes.grid(axis="x", color="#E5E5E5", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.set_xlabel(f"difference of {first.metric} (points), {100 * first.confidence:g} % interval")
        alt = " ".join(f"{name}: {comparison.sentence}" for name, comparison in rows.items())
        several = any(comparison.seeds > 1 for comparison in rows.values())
        title = ((shared,) if shared else ()) + (("small marks: pairs of seeds",) if several else ())
        lines = ("left of zero the first is worse, right of it better",)
        return attach(axes, Caption(title, _note(rows), alt, lines), own=ax is None)


def _note(rows: Mapping[str, Comparison]) -> str:
    """Return the small print: the sets and the seeds, where all comparisons have the same."""
    sets = {", ".join(data_style(name).label for name in row.frame["ood"].unique()) for row in rows.values()}
    seeds = {tuple(row.frame.drop_duplicates("pair")["seed_a"]) for row in rows.values()}
    parts = [f"test against {next(iter(sets))}"] if len(sets) == 1 else []
    only = next(iter(seeds))
    if len(seeds) == 1 and all(known(seed) for seed in only):
        words = [f"{seed:.0f}" if isinstance(seed, Number) else str(seed) for seed in only]
        parts.append(f"seed{'s' if len(only) > 1 else ''} {', '.join(words)}")
    return " · ".join(parts)


def _rows(data: Comparison | Mapping[str, Comparison]) -> dict[str, Comparison]:
    rows = {f"{data.a} − {data.b}": data} if isinstance(data, Comparison) else data
    if not isinstance(rows, Mapping) or not all(isinstance(value, Comparison) for value in rows.values()):
        raise TypeError(
            "plot_comparisons needs what iv.compare returned, or several of them by name: {'scale 1 or 10?': "
            f"iv.compare(...)}}; received {type(data).__name__}."
        )
    if not rows:
        raise ValueError("There is no comparison to draw. Give at least one: {'scale 1 or 10?': iv.compare(...)}.")
    kinds = {(value.metric, value.confidence) for value in rows.values()}
    if len(kinds) > 1:
        words = " and ".join(f"{metric} at {100 * confidence:g} %" for metric, confidence in sorted(kinds))
        raise ValueError(f"These comparisons are of different kinds ({words}). Draw each kind in axes of its own.")
    return dict(rows)


def _draw_row(ax: Axes, height: int, comparison: Comparison, options: dict[str, Any]) -> None:
    excludes = comparison.low > 0 or comparison.high < 0
    color = _EXCLUDES if excludes else _INCLUDES
    # Strokes at the ends, higher than the point: an interval narrower than it can be seen.
    look = {"color": color, "linewidth": 3.0 if excludes else 1.4, "zorder": 2}
    look |= {"marker": "|", "markersize": 15, "markeredgewidth": 1.4} | options
    ax.plot([100 * comparison.low, 100 * comparison.high], [height, height], **look)
    face = color if excludes else "white"
    ax.plot(100 * comparison.difference, height, "o", color=color, markerfacecolor=face, markersize=7, zorder=4)


def _draw_seeds(ax: Axes, rows: Mapping[str, Comparison]) -> None:
    import seaborn as sns  # brings pyplot along, which nothing else here needs

    several = {height: row.per_seed for height, row in enumerate(rows.values()) if row.seeds > 1}
    if several:
        values = 100 * np.concatenate([seeds.to_numpy() for seeds in several.values()])
        heights = np.repeat([height + 0.28 for height in several], [len(seeds) for seeds in several.values()])
        look = {"marker": "|", "color": _SEED, "size": 8, "linewidth": 1.2, "jitter": False, "zorder": 3}
        sns.stripplot(x=values, y=heights, orient="h", native_scale=True, ax=ax, **look)
