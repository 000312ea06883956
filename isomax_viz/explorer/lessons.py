"""One sentence and one formula for every loss and score, as MathML that browsers draw without any script."""

from __future__ import annotations

from functools import cache
from html import escape

from isomax_viz.analysis.scores import Score
from isomax_viz.catalog.style import loss_record, loss_style

__all__ = ["CSS", "error_html", "loss_lesson", "mathml", "score_lesson", "sentence_html"]

# What the minimum distance score means for losses for which its own sentence is not true.
_WITHOUT_PROTOTYPES = "It has no prototypes: the distances are those to the class means of the training features."
_OF_ANY_LENGTH = (
    "The length of the features is not fixed: features that are short lie near all prototypes, so that the nearest one "
    "can be nearer to unknown images than to known ones. Look whether the AUROC is below 50 %."
)


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


def score_lesson(score: Score) -> dict[str, str]:
    """Return what a score is, in words and as a formula.

    Examples
    --------
    >>> from isomax_viz.analysis.scores import SCORES
    >>> score_lesson(SCORES["mds"])["name"]
    'minimum distance score'
    """
    formula = mathml(score.formula) if score.formula else ""
    words = {"label": score.label, "name": score.name, "explanation": score.explanation, "source": score.source}
    return words | {"formula": formula}


def loss_lesson(loss: str) -> dict[str, str]:
    """Return what a loss is, in words and as a formula; one of your own has no formula.

    Examples
    --------
    >>> loss_lesson("isomax+")["label"], "unit vectors" in loss_lesson("isomax+")["words"]
    ('IsoMax+', True)
    """
    record = loss_record(loss)
    return {
        "label": loss_style(loss).label,
        "formula": mathml(record.formula) if record.formula else "",
        "words": record.sentence,
        "distances": "" if record.unit_vectors else _OF_ANY_LENGTH if record.prototypes else _WITHOUT_PROTOTYPES,
    }


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
.isomax-viz-picture img { max-width: 100%; height: auto; object-fit: contain; border-radius: 3px; background: white; }
.isomax-viz table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 2px 0 6px 0; }
.isomax-viz th, .isomax-viz td { padding: 3px 14px 3px 0; text-align: right; white-space: nowrap; }
.isomax-viz th:first-child, .isomax-viz td:first-child { text-align: left; }
.isomax-viz th { font-weight: 600; border-bottom: 1px solid var(--jp-border-color1, #bdbdbd);
  color: var(--jp-ui-font-color1, #212121); }
.isomax-viz th[title] { text-decoration: underline dotted; text-underline-offset: 3px; cursor: help; }
.isomax-viz td { color: var(--jp-ui-font-color1, #212121); }
.isomax-viz p { margin: 4px 0; color: var(--jp-ui-font-color1, #212121); max-width: 62em; }
.isomax-viz p.small { color: var(--jp-ui-font-color2, #616161); font-size: 12px; }
.isomax-viz tr.chosen td { font-weight: 600; background: var(--jp-layout-color2, #eeeeee); }
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
