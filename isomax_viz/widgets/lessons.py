"""One sentence and one formula for every loss and score, as MathML that browsers draw without any script."""

from __future__ import annotations

from functools import cache
from html import escape

from isomax_viz.analysis.scores import words as score_words
from isomax_viz.catalog.losses import compares_directions, has_prototypes
from isomax_viz.catalog.style import loss_style

__all__ = ["lesson_html", "mathml"]

_OVER = r"\mathcal{L} = -\log \frac{e^{%s}}{\sum_j e^{%s}}"
# loss -> (formula of the training loss for an image with features f and class k, one sentence)
LOSSES = {
    "softmax": (
        _OVER % (r"w_k \cdot f + b_k", r"w_j \cdot f + b_j"),
        "A linear layer: the farther the features lie along the direction of a class, the surer the network is, also "
        "of what it never saw.",
    ),
    "isomax": (
        _OVER % (r"-E_s \lVert f - p_k \rVert", r"-E_s \lVert f - p_j \rVert"),
        "Distances to one learned prototype per class replace the linear layer; the entropic scale E_s sharpens the "
        "training only and is left out afterwards, which keeps entropies high.",
    ),
    "isomax+": (
        _OVER
        % (
            r"-E_s |d_s| \lVert \hat{f} - \hat{p}_k \rVert",
            r"-E_s |d_s| \lVert \hat{f} - \hat{p}_j \rVert",
        ),
        "IsoMax between unit vectors (features and prototypes are brought to length 1), with a learned distance scale "
        "d_s.",
    ),
    "isomax2": (
        _OVER % (r"-s_k \lVert f - p_k \rVert - t_k", r"-s_j \lVert f - p_j \rVert - t_j"),
        "Every class learns its own scale s and tilt t in place of the entropic scale; both are left out afterwards.",
    ),
}
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
        if loss in LOSSES:
            formula, words = LOSSES[loss]
            if score == "mds" and not compares_directions(loss):
                words += f" {_OF_ANY_LENGTH if has_prototypes(loss) else _WITHOUT_PROTOTYPES}"
            rows.append((loss_style(loss).label, mathml(formula), escape(words)))
    return "".join(
        f'<div class="lesson"><b>{escape(name)}</b><span class="formula">{formula}</span><p>{words}</p></div>'
        for name, formula, words in rows
    )
