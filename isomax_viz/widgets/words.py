"""The words around the picture as HTML: metrics with their definitions, the figure in a sentence, errors."""

from __future__ import annotations

from html import escape

import pandas as pd

from isomax_viz import scores
from isomax_viz.metrics import METRICS
from isomax_viz.style import data_style

__all__ = ["CSS", "error_html", "metrics_html", "sentence_html"]

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


def metrics_html(table: pd.DataFrame) -> str:
    """Return detection metrics as a table that says what each one means and over how many images.

    Parameters
    ----------
    table : DataFrame
        Rows of :func:`isomax_viz.tables.evaluate` for one score.

    Examples
    --------
    >>> from isomax_viz import Capture, evaluate
    >>> capture = Capture.from_arrays([[9.0, 0.0]], [0], ood={"mine": [[0.0, 0.0]]}, loss="softmax")
    >>> html = metrics_html(evaluate(capture, scores="es"))
    >>> "entropic score (ES)" in html, "chance that a random ID sample" in html, "100.0 %" in html
    (True, True, True)
    """
    score = scores.get(table["score"].iloc[0])
    head = "".join(f'<th title="{escape(METRICS[name])}">{name}</th>' for name in METRICS)
    rows = []
    for row in table.to_dict("records"):
        cells = "".join(f"<td>{100 * row[name]:.1f} %</td>" for name in METRICS)
        name = escape(data_style(row["ood"]).label)
        rows.append(f"<tr><td>{name}</td>{cells}<td>{row['n_id']:,}</td><td>{row['n_ood']:,}</td></tr>")
    counts = '<th title="in-distribution test images">n ID</th><th title="out-of-distribution images">n OOD</th>'
    named = f"{score.name} ({score.label})" if score.name != score.label else score.label
    return (
        f"<p>Detection with the <b>{escape(named)}</b>; in-distribution is the positive class. "
        f"AUROC: {METRICS['AUROC']}. TNR@TPR95: {METRICS['TNR@TPR95']}.</p>"
        f"<table><thead><tr><th>against</th>{head}{counts}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )
