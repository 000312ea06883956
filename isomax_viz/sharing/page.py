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
from isomax_viz import scores as scores_module
from isomax_viz._checks import check_choice, check_known, check_number, missing_package
from isomax_viz.captures import Samples
from isomax_viz.metrics import METRICS
from isomax_viz.scores import Score
from isomax_viz.sharing.digest import BINS, VIEWS, digest
from isomax_viz.shelf import DIMENSIONS, Shelf
from isomax_viz.tables import Captures
from isomax_viz.thresholds import RULES

__all__ = ["to_html"]


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
        What to choose from, as for :func:`isomax_viz.explore`.
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
        If a name is not on offer, or no capture has an out-of-distribution set.
    ImportError
        If vl-convert-python is not installed.
    OSError
        If the file cannot be written.

    Notes
    -----
    Figures are drawn by Vega-Lite, whose script is part of the file. Images are counted before writing: metrics are
    those of :func:`isomax_viz.evaluate`, and at every position of the slider the counts are those of
    :func:`isomax_viz.thresholds.threshold_table`. Names and words of the captures cannot run as code.

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
    names = shelf.ood if ood is None else check_known("ood", ood, shelf.ood)
    if not names:
        raise ValueError(
            "None of the captures has an out-of-distribution set to compare with. Record one with "
            "Experiment.run(ood='letters'), or pass ood={'mine': logits} to Capture.from_arrays."
        )
    chosen = _scores(shelf, scores)
    kept = [number for number, capture in enumerate(shelf.captures) if set(names) & set(capture.ood)]
    titles = [shelf.title(number) for number in kept]
    content = digest([shelf.captures[number] for number in kept], titles, scores=chosen, ood=names)
    content["chooser"] = DIMENSIONS["loss"] if shelf.choosers == ["loss"] else "Network"
    content["start"] = _start(start or {}, kept, [score.key for score in chosen], names)
    text = _page(content, title or _title(shelf), chosen)
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OSError(f"{path} could not be written: {error.strerror or error}. Choose another path.") from error
    return path


def _scores(shelf: Shelf, wanted: Any) -> list[Score]:
    if wanted is None:
        wanted = shelf.scores
    listed = [wanted] if isinstance(wanted, str) or callable(wanted) else list(wanted)
    if not listed:
        raise ValueError("scores is empty. Choose at least one score.")
    names = [item for item in listed if isinstance(item, str)]
    check_known("scores", names, shelf.scores, remedy="Your own function (samples -> array) is accepted too.")
    # By name, words() finds the columns of any capture; a function brings its own words.
    return [scores_module.words(item) if isinstance(item, str) else scores_module.get(item) for item in listed]


def _start(wanted: Mapping[str, Any], numbers: Sequence[int], scores: list[str], names: list[str]) -> dict[str, Any]:
    check_known("start", wanted, ("network", "score", "ood", "view", "threshold"))
    number = wanted.get("network", numbers[0])
    if number not in numbers:
        raise ValueError(
            f"start['network'] must be the number of a capture with one of the sets {names!r}, one of {list(numbers)}, "
            f"but is {number!r}."
        )
    threshold = wanted.get("threshold", "tpr95")
    if isinstance(threshold, str):
        check_choice("start['threshold']", threshold, RULES, remedy="A number is accepted too.")
    else:
        threshold = float(check_number("start['threshold']", threshold))
    return {
        "network": numbers.index(number),
        "score": check_choice("start['score']", wanted.get("score", "es" if "es" in scores else scores[0]), scores),
        "ood": check_known("start['ood']", wanted.get("ood", names[:1]), names),
        "view": check_choice("start['view']", wanted.get("view", "scores"), VIEWS),
        "threshold": threshold,
    }


def _title(shelf: Shelf) -> str:
    """Return what all captures have in common, in words."""
    metas = [capture.meta for capture in shelf.captures]
    common = [metas[0].get(name) for name in ("data", "backbone") if len({meta.get(name) for meta in metas}) == 1]
    return " · ".join(["Out-of-distribution detection", *(str(value) for value in common if value)])


def _page(content: Mapping[str, Any], title: str, scores: Sequence[Score]) -> str:
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    parts = {name: _text(name) for name in ("page.css", "page.js", "notice.txt")}
    vega = _vega()
    # "<" is the only letter with which a name inside the data could end the script element that holds them.
    data = json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    template = Environment(
        autoescape=True, loader=PackageLoader("isomax_viz", "sharing"), trim_blocks=True, lstrip_blocks=True
    ).get_template("page.html.jinja")
    return template.render(
        title=title,
        version=isomax_viz.__version__,
        hashes=Markup(" ".join(_hash(script) for script in (vega, parts["page.js"]))),
        css=Markup(parts["page.css"]),
        rules=RULES,
        scores=[_lesson(score) for score in scores],
        metrics=METRICS,
        bins=BINS,
        data=Markup(data),
        notice=Markup(parts["notice.txt"].strip()),
        vega=Markup(vega),
        script=Markup(parts["page.js"]),
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
    return (resources.files("isomax_viz.sharing") / name).read_text(encoding="utf-8")


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
