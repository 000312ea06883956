"""Captures as one HTML file: pre-counted numbers, the page's own controls, and Vega-Lite to draw the figures."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import isomax_viz
from isomax_viz._common.checks import missing_package
from isomax_viz._common.files import write_text
from isomax_viz.analysis.metrics import METRICS
from isomax_viz.analysis.scores import Score
from isomax_viz.analysis.tables import Captures
from isomax_viz.analysis.thresholds import RULES
from isomax_viz.captures.samples import Samples
from isomax_viz.explorer.choices import DIMENSIONS, Shelf
from isomax_viz.explorer.data import ALL_COMBINATIONS, BINS, digest, networks_of, scores_of, sets_of, start_of

__all__ = ["to_html"]

SCRIPTS = ("numbers.js", "figures.js", "tables.js", "page.js")  # in this order: each uses those before it


def to_html(
    captures: Captures | Shelf,
    path: str | Path = "explorer.html",
    *,
    ood: str | Iterable[str] | None = None,
    scores: str | Callable[[Samples], Any] | Iterable[Any] | None = None,
    title: str | None = None,
    start: Mapping[str, Any] | None = None,
) -> Path:
    """Write one HTML file in which network, score, sets, view and threshold can be chosen in any browser, offline.

    Parameters
    ----------
    captures : Capture, list of Capture, mapping of name to Capture, or Shelf
        What to choose from, as for :func:`isomax_viz.explore`. Those that have none of the sets, or nothing that a
        score needs, are left out.
    path : str or Path
        Where to write; an existing file is replaced.
    ood : str or list of str, optional
        Out-of-distribution sets to choose from; by default all.
    scores : str, callable or list of them, optional
        Scores to choose from: keys of ``iv.scores.SCORES``, names of score columns, or your own functions; by default
        all that the captures give.
    title : str, optional
        Heading of the page; by default what the captures have in common.
    start : mapping, optional
        What the page shows first: ``network`` (number of the capture), ``score``, ``ood`` (list), ``view`` and
        ``threshold`` (``"tpr95"``, ``"dtacc"`` or a number, of which the nearest position of the slider is shown).

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    ValueError
        If a name is not on offer, two scores share one, or no capture has a set and what a score needs.
    ImportError
        If vl-convert-python is not installed.
    OSError
        If the file cannot be written.

    Notes
    -----
    Figures are drawn by Vega-Lite, whose script is part of the file. Images are counted before writing: metrics are
    those of :func:`isomax_viz.evaluate`, and at every position of the slider the counts are those of
    :func:`isomax_viz.analysis.thresholds.threshold_table`. Names and words of the captures cannot run as code.

    Examples
    --------
    >>> import tempfile
    >>> from isomax_viz import Capture
    >>> capture = Capture.from_arrays([[9.0, 0.0]], [0], ood={"mine": [[0.3, 0.1]]}, loss="softmax")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = to_html(capture, Path(folder) / "explorer.html")
    ...     path.name, path.stat().st_size < 5_000_000
    ('explorer.html', True)
    """
    shelf = captures if isinstance(captures, Shelf) else Shelf(captures)
    names, chosen = sets_of(shelf, ood), scores_of(shelf, scores)
    kept = networks_of(shelf, chosen, names)
    titles = [shelf.title(number) for number in kept]
    content = digest([shelf.captures[number] for number in kept], titles, scores=chosen, ood=names)
    content["chooser"] = DIMENSIONS["loss"] if shelf.choosers == ["loss"] else "Network"
    content["start"] = start_of(start or {}, kept, [score.key for score in chosen], names)
    text = _page(content, title or _title(shelf), chosen)
    path = Path(path).expanduser()
    write_text(path, text, remedy="Choose another path.")
    return path


def _title(shelf: Shelf) -> str:
    """Return what all captures have in common, in words."""
    metas = [capture.meta for capture in shelf.captures]
    common = [metas[0].get(name) for name in ("data", "backbone") if len({meta.get(name) for meta in metas}) == 1]
    return " · ".join(["Out-of-distribution detection", *(str(value) for value in common if value)])


def _page(content: Mapping[str, Any], title: str, scores: Sequence[Score]) -> str:
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    vega, script = _vega(), _script()
    # "<" is the only letter with which a name inside the data could end the script element that holds them.
    data = json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    template = Environment(
        autoescape=True, loader=PackageLoader("isomax_viz", "explorer"), trim_blocks=True, lstrip_blocks=True
    ).get_template("page.html.jinja")
    return template.render(
        title=title,
        version=isomax_viz.__version__,
        hashes=Markup(" ".join(_hash(script) for script in (vega, script))),
        css=Markup(_text("page.css")),
        rules=RULES,
        scores=[_lesson(score) for score in scores],
        metrics=METRICS,
        bins=BINS,
        some_combinations=len(content["sets"]) > ALL_COMBINATIONS,
        data=Markup(data),
        notice=Markup(_text("notice.txt").strip()),
        vega=Markup(vega),
        script=Markup(script),
    )


def _lesson(score: Score) -> dict[str, Any]:
    from latex2mathml.converter import convert
    from markupsafe import Markup

    return {
        "key": score.key,
        "heading": score.name if score.name == score.label else f"{score.label}, {score.name}:",
        "formula": Markup(convert(score.formula)) if score.formula else "",
        "explanation": score.explanation,
        "source": score.source,
    }


def _text(name: str) -> str:
    return (resources.files("isomax_viz.explorer") / name).read_text(encoding="utf-8")


@cache
def _script() -> str:
    """Return the page's own script: its parts in one scope, which nothing else on the page reaches."""
    return '"use strict";\n(() => {\n' + "\n".join(map(_text, SCRIPTS)) + "})();\n"


@cache
def _vega() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script; making it takes seconds, so it is made once."""
    try:
        import vl_convert
    except ImportError as error:
        raise missing_package(
            "vl-convert-python", "write a page whose figures are drawn offline", install="vl-convert-python"
        ) from error
    return vl_convert.javascript_bundle()


def _hash(script: str) -> str:
    """Return what a Content-Security-Policy needs to let exactly this script run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
