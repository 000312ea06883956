"""One sentence and one formula for every loss and score, as MathML that browsers draw without any script."""

from __future__ import annotations

from functools import cache

from isomax_viz.analysis.scores import Score
from isomax_viz.catalog.style import loss_record, loss_style

__all__ = ["loss_lesson", "mathml", "score_lesson"]

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
