"""One sentence and one formula for every loss and score, as MathML that browsers draw without any script."""

from __future__ import annotations

from functools import cache
from html import escape

import pandas as pd

from isomax_viz.analysis import scores
from isomax_viz.analysis.metrics import METRICS
from isomax_viz.analysis.scores import words as score_words
from isomax_viz.catalog.losses import loss_record
from isomax_viz.catalog.style import data_style, loss_style

__all__ = [
    "CSS",
    "STALE",
    "code_html",
    "error_html",
    "lesson_html",
    "mathml",
    "sentence_html",
    "summary_html",
    "verdict_html",
]

# What a score means for losses for which its own sentence is not true.
_WITHOUT_PROTOTYPES = "It has no prototypes: the distances are those to the class means of the training features."
_OF_ANY_LENGTH = (
    "The length of the features is not fixed: features that are short lie near all prototypes, so that the nearest one "
    "can be nearer to unknown images than to known ones. Look whether the AUROC is below 50 %."
)
_SYMBOLS = "p<sub>j</sub> probability, z<sub>j</sub> logit, d<sub>j</sub> distance to the prototype of class j"


@cache
def mathml(latex: str) -> str:
    """Return a formula as MathML.

    Examples
    --------
    >>> mathml("x^2")[:5]
    '<math'
    """
    from latex2mathml.converter import convert

    # Fractions at full size: they stand in a line of their own.
    return convert(latex).replace("<math ", '<math displaystyle="true" ', 1)


def lesson_html(losses: tuple[str, ...], score: str) -> str:
    """Return what the losses and the score are, with formula and direction.

    Parameters
    ----------
    losses : tuple of str
        Keys of the losses that are shown; unknown ones have no lesson.
    score : str
        A key of :data:`isomax_viz.analysis.scores.SCORES`, or the name of a column.

    Examples
    --------
    >>> html = lesson_html(("isomax+",), "mds")
    >>> "minimum distance score" in html, "unit vectors" in html, html.count("<math")
    (True, True, 2)
    """
    chosen = score_words(score)
    rows = [
        (
            f"{chosen.label}: {chosen.name}" if chosen.label != chosen.name else chosen.name,
            mathml(chosen.formula) if chosen.formula else "",
            f"{escape(chosen.explanation)} Higher = more in-distribution. "
            f"{f'Source: {escape(chosen.source)}. ' if chosen.source else ''}"
            f'<span class="small">({_SYMBOLS})</span>',
        )
    ]
    for loss in dict.fromkeys(losses):
        record = loss_record(loss)
        if record.formula:
            words = record.sentence
            if "distances" in chosen.needs and not record.unit_vectors:
                words += f" {_OF_ANY_LENGTH if record.prototypes else _WITHOUT_PROTOTYPES}"
            rows.append((loss_style(loss).label, mathml(record.formula), escape(words)))
    return "".join(
        f'<div class="lesson"><b>{escape(name)}</b><span class="formula">{formula}</span><p>{words}</p></div>'
        for name, formula, words in rows
    )


# Of a picture whose settings have changed and that is being drawn anew.
STALE = "isomax-viz-stale"

# Colours come from JupyterLab's own variables, so that light and dark themes are both legible; the second value serves
# front ends without them.
CSS = """<style>
.isomax-viz { font-family: var(--jp-ui-font-family, system-ui, sans-serif); max-width: 1100px; }
.isomax-viz .widget-html-content { line-height: 1.45; }
.isomax-viz .widget-label { text-align: left; color: var(--jp-ui-font-color2, #616161); }
.isomax-viz .widget-toggle-buttons { display: flex; flex-flow: row nowrap; align-items: baseline; margin: 0 2px; }
.isomax-viz .widget-toggle-buttons > .widget-label { flex: none; }
.isomax-viz .widget-toggle-button, .isomax-viz .widget-toggle-buttons .widget-toggle-button {
  width: auto; min-width: 54px; padding: 0 12px; margin: 2px 4px 2px 0; border-radius: 4px; box-shadow: none;
  border: 1px solid var(--jp-border-color2, #e0e0e0); background: var(--jp-layout-color1, white);
  color: var(--jp-ui-font-color1, #212121); overflow: visible; }
.isomax-viz .widget-toggle-button.mod-active { background: var(--jp-brand-color1, #1976d2); color: white;
  border-color: var(--jp-brand-color1, #1976d2); }
.isomax-viz .widget-toggle-button:focus-visible, .isomax-viz button:focus-visible {
  outline: 2px solid var(--jp-brand-color2, #42a5f5); outline-offset: 1px; }
.isomax-viz .widget-toggle-button:disabled { opacity: 0.35; }
.isomax-viz-picture { align-items: flex-start; }
.isomax-viz-frame { position: relative; width: fit-content; max-width: 100%; }
.isomax-viz .isomax-viz-bands { position: absolute; margin: 0; }
.isomax-viz .isomax-viz-bands > .widget-label { display: none; }
.isomax-viz .isomax-viz-bands > div { display: flex; width: 100%; height: 100%; }
.isomax-viz .isomax-viz-bands .widget-toggle-button { flex: 1 1 0; min-width: 0; height: 100%; margin: 0; padding: 0;
  border: none; border-radius: 0; background: transparent; color: transparent; }
.isomax-viz .isomax-viz-bands .widget-toggle-button:hover { background: rgba(0, 114, 178, 0.12); }
.isomax-viz-picture img { max-width: 100%; height: auto; object-fit: contain; border-radius: 3px; background: white; }
/* Later than most pictures are drawn, so that quick changes do not flicker. */
.isomax-viz img.isomax-viz-stale { opacity: 0.35; transition: opacity 0s 0.15s; }
.isomax-viz table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 2px 0 6px 0; }
.isomax-viz th, .isomax-viz td { padding: 3px 14px 3px 0; text-align: right; white-space: nowrap; }
.isomax-viz th:first-child, .isomax-viz td:first-child { text-align: left; }
.isomax-viz th { font-weight: 600; border-bottom: 1px solid var(--jp-border-color1, #bdbdbd);
  color: var(--jp-ui-font-color1, #212121); }
.isomax-viz th[title] { text-decoration: underline dotted; text-underline-offset: 3px; cursor: help; }
.isomax-viz td { color: var(--jp-ui-font-color1, #212121); }
.isomax-viz p { margin: 4px 0; color: var(--jp-ui-font-color1, #212121); max-width: 62em; }
.isomax-viz p.small { color: var(--jp-ui-font-color2, #616161); font-size: 12px; }
.isomax-viz th.group { text-align: left; font-weight: 400; border-bottom: none; padding-top: 0;
  color: var(--jp-ui-font-color2, #616161); }
.isomax-viz tr.chosen td { font-weight: 600; background: var(--jp-layout-color2, #eeeeee); }
.isomax-viz .gap { padding-left: 14px; }
.isomax-viz .lesson { margin: 6px 0; } .isomax-viz .lesson b { margin-right: 18px; }
.isomax-viz .lesson .formula { font-size: 17px; vertical-align: middle; }
.isomax-viz .lesson .small { color: var(--jp-ui-font-color2, #616161); }
.isomax-viz math { color: var(--jp-ui-font-color1, #212121); }
.isomax-viz pre { background: var(--jp-layout-color2, #eeeeee); color: var(--jp-ui-font-color1, #212121);
  padding: 8px 12px; border-radius: 3px; white-space: pre-wrap; max-width: 62em; margin: 4px 0; }
.isomax-viz .jupyter-button { border-radius: 4px; }
.isomax-viz .jupyter-button.mod-info { background: var(--jp-brand-color1, #1976d2); color: white; }
.isomax-viz .error { border-left: 4px solid #D55E00; padding: 6px 12px; margin: 4px 0;
  background: var(--jp-layout-color2, #eeeeee); color: var(--jp-ui-font-color1, #212121); max-width: 62em; }
</style>"""


def error_html(error: BaseException) -> str:
    """Return an error as a message inside the view.

    Examples
    --------
    >>> error_html(ValueError("logits < 0"))
    '<div class="error" role="alert"><b>This view could not be drawn.</b><br>logits &lt; 0</div>'
    """
    text = str(error) if isinstance(error, (ValueError, OSError, ImportError)) else f"{type(error).__name__}: {error}"
    return f'<div class="error" role="alert"><b>This view could not be drawn.</b><br>{escape(text)}</div>'


def sentence_html(text: str) -> str:
    """Return the figure in words: the alternative text of the picture, and small print below it."""
    return f'<p class="small">{escape(text)}</p>' if text else ""


def code_html(text: str) -> str:
    """Return code to copy.

    Examples
    --------
    >>> code_html("a < b")
    '<pre>a &lt; b</pre>'
    """
    return f"<pre>{escape(text)}</pre>"


def verdict_html(verdict: str, reasons: str) -> str:
    """Return an answer with its reasons.

    Examples
    --------
    >>> verdict_html("ES = 1 < 2: rejected.", "Why.")
    '<p><b>ES = 1 &lt; 2: rejected.</b> Why.</p>'
    """
    return f"<p><b>{escape(verdict)}</b> {escape(reasons)}</p>"


def summary_html(metrics: pd.DataFrame, counts: pd.DataFrame, *, titles: tuple[str, ...]) -> str:
    """Return detection metrics and what the threshold does as one table that says what each number means.

    Parameters
    ----------
    metrics : DataFrame
        Rows of :func:`isomax_viz.analysis.tables.evaluate` for one score.
    counts : DataFrame
        Rows of :func:`isomax_viz.analysis.thresholds.threshold_table`, in the same order.
    titles : tuple of str
        Name of each capture; shown where there are two.

    Examples
    --------
    >>> from isomax_viz import Capture, evaluate
    >>> from isomax_viz.analysis.thresholds import threshold_table
    >>> capture = Capture.from_arrays([[9.0, 0.0]], [0], ood={"mine": [[0.0, 0.0]]}, loss="softmax")
    >>> html = summary_html(evaluate(capture, scores="es"), threshold_table(capture), titles=("SoftMax",))
    >>> "entropic score (ES)" in html, "chance that a random ID sample" in html, "100.0 %" in html
    (True, True, True)
    """
    score = scores.words(metrics["score"].iloc[0])
    named = f"{score.name} ({score.label})" if score.name != score.label else score.label
    head = "".join(f'<th title="{escape(words)}">{name}</th>' for name, words in (METRICS | _COUNTED).items())
    rows = [
        _row(metric, count, titles[int(count["capture"])] if len(titles) > 1 else "")
        for metric, count in zip(metrics.to_dict("records"), counts.to_dict("records"), strict=True)
    ]
    thresholds = ", ".join(f"{value:.4g}".replace("-", "−") for value in counts["threshold"].unique())
    first = f"<th class='group'></th><th class='group' colspan='{len(METRICS)}'>over all thresholds</th>"
    second = f"<th class='group gap' colspan='{len(_COUNTED)}'>at score ≥ {thresholds}</th>"
    return (
        f"<p>Detection with the <b>{escape(named)}</b>; in-distribution (ID) is the positive class.</p>"
        f"<table><thead><tr>{first}{second}</tr><tr><th>against</th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
        f'<p class="small">AUROC: {METRICS["AUROC"]}. TNR@TPR95: {METRICS["TNR@TPR95"]}. DTACC: {METRICS["DTACC"]}.</p>'
    )


_COUNTED = {
    "ID accepted": "in-distribution test images with a score at or above the threshold",
    "ID rejected": "in-distribution test images below it: errors",
    "OOD accepted": "out-of-distribution images at or above it: errors",
    "OOD rejected": "out-of-distribution images below it",
}


def _row(metric: dict, count: dict, title: str) -> str:
    name = escape(data_style(metric["ood"]).label)
    cells = "".join(f"<td>{100 * metric[key]:.1f} %</td>" for key in METRICS)
    for key in _COUNTED:
        kind, what = key.split()
        number, of = count[f"{kind.lower()}_{what}"], count[f"n_{kind.lower()}"]
        cells += f"<td>{number:,} of {of:,} ({100 * number / of:.1f} %)</td>"
    return f"<tr><td>{escape(title) + ': ' if title else ''}{name}</td>{cells}</tr>"
