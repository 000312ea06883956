"""The table of the papers' figures and tables: each row's notebook calls its function, and it works."""

from __future__ import annotations

import re
from functools import reduce
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

import isomax_viz as iv

ROOT = Path(__file__).resolve().parent.parent


def rows() -> list[tuple[str, str, str]]:
    """Return source, notebook and function of every row."""
    text = (ROOT / "docs/papers.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(first, notebook.strip("`"), function.strip("`")) for first, _, notebook, function in cells]


@pytest.fixture(scope="module")
def runs():
    """What the calls below work on: two seeds of each loss, made up, with everything that a capture may carry."""
    made = {}
    for loss in ("softmax", "isomax", "isomax+", "isomax2"):
        for seed in (0, 1):
            rng = np.random.default_rng(seed)
            labels, distances = np.arange(60) % 3, rng.uniform(2, 4, (60, 3))
            distances[np.arange(60), labels] -= 1.5
            far = {name: rng.uniform(1.5, 5, (40, 3)) for name in ("letters", "fooling")}
            meta = {"data": "digits", "seed": seed, "entropic_scale": 10.0, "examples_per_class": 20}
            meta |= {"scales_learning_rate": 0.1, "scales_weight_decay": False}
            capture = iv.Capture.from_arrays(
                -distances,
                labels,
                distances=distances,
                ood={name: {"logits": -values, "distances": values} for name, values in far.items()},
                loss=loss,
                meta=meta,
            )
            history = pd.DataFrame({"epoch": [1, 2], "split": "test", "accuracy": [0.5, 0.9]})
            made[loss, seed] = capture.replace(train=capture.test, history=history)
    return made


def _side_by_side(runs):
    return iv.published.side_by_side(iv.evaluate(list(runs.values())), iv.published.table("isomax2", 1))


def _costs(runs):
    cost = {"approach": "SoftMax/ODIN", "loss": "softmax", "score": "odin", "ood": 1, "AUROC": 0.9}
    spread = {"relative_time": 3.3, "relative_time_low": 3.0, "relative_time_high": 4.0}
    return iv.plot_costs(pd.DataFrame([cost | spread]))


CALLS = {
    "iv.plot_loss_blocks": lambda runs: iv.plot_loss_blocks("isomax"),
    "iv.plot_alpha": lambda runs: iv.plot_alpha(runs["isomax", 0], select_on="letters"),
    "iv.plot_logits": lambda runs: iv.plot_logits(runs["isomax2", 0]),
    "iv.logit_overlaps": lambda runs: iv.logit_overlaps(runs["softmax", 0]),
    "iv.plot_max_probability": lambda runs: iv.plot_max_probability(runs["isomax2", 0]),
    "iv.plot_training": lambda runs: iv.plot_training(list(runs.values())),
    "iv.plot_entropy": lambda runs: iv.plot_entropy(runs["softmax", 0]),
    "iv.plot_robustness": lambda runs: iv.plot_robustness(list(runs.values())),
    "iv.plot_distances": lambda runs: iv.plot_distances(runs["isomax+", 0], nearest=True),
    "iv.papers.fair_comparison": lambda runs: iv.papers.fair_comparison(runs.values()),
    "iv.papers.extended_comparison": lambda runs: iv.papers.extended_comparison(runs.values()),
    "iv.papers.accuracies": lambda runs: iv.papers.accuracies(runs.values()),
    "iv.papers.scales_ablation": lambda runs: iv.papers.scales_ablation(runs["isomax2", 0]),
    "iv.papers.scores_and_losses": lambda runs: iv.papers.scores_and_losses(runs.values()),
    "iv.papers.from_published": lambda runs: iv.papers.from_published("isomax+", 4),
    "iv.published.table": lambda runs: iv.published.table("dismax", 1),
    "iv.methods.table": lambda runs: iv.methods.table("dismax"),
    "iv.plot_costs": _costs,
    "iv.published.side_by_side": _side_by_side,
    "iv.compare": lambda runs: iv.compare((runs["isomax", 0], "es"), (runs["softmax", 0], "es"), resamples=50),
}


def test_every_row_is_executed_and_every_figure_and_table_has_one():
    table = rows()
    assert {function for *_, function in table} == set(CALLS)
    named = " ".join(source for source, *_ in table)
    wanted = {
        "DisMax": (range(1, 7), range(1, 5)),
        "IsoMax2": (range(1, 8), range(1, 6)),
        "IsoMax+": ((1,), range(1, 7)),
    }
    found = {
        (paper, kind, int(number))
        for paper, kind, numbers in re.findall(r"(DisMax|IsoMax2|IsoMax\+) (fig|tab)s?\. ([\d, ]+)", named)
        for number in numbers.strip(", ").split(",")
    }
    for paper, (figures, tables) in wanted.items():
        assert {number for name, kind, number in found if (name, kind) == (paper, "fig")} == set(figures)
        assert {number for name, kind, number in found if (name, kind) == (paper, "tab")} == set(tables)


@pytest.mark.parametrize(("source", "notebook", "function"), rows(), ids=lambda value: str(value)[:40])
def test_a_row_names_a_function_that_works_and_a_notebook_that_uses_it(runs, source, notebook, function):
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    code = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    assert re.search(re.escape(function) + r"\b", code), f"{notebook} does not call {function}"
    assert callable(reduce(getattr, function.split(".")[1:], iv))
    made = CALLS[function](runs)
    if isinstance(made, Axes):
        assert made._repr_png_()[0][:4] == b"\x89PNG" and iv.figures.describe(made)
    elif hasattr(made, "to_latex") and hasattr(made, "wide"):
        assert made._repr_html_().startswith("<style") and len(made.frame)
    else:
        assert len(made.frame if isinstance(made, iv.Comparison) else made)
