"""What is added in one place works everywhere: a loss of its own head and record, a score, a figure."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import isomax_viz as iv
from isomax_viz import figures
from isomax_viz.analysis import methods, scores
from isomax_viz.catalog.looks import Style
from isomax_viz.catalog.losses import LOSSES, Loss
from isomax_viz.explorer.choices import Shelf
from isomax_viz.explorer.lessons import loss_lesson, score_lesson
from isomax_viz.learning.losses import HEADS, IsoMaxHead


class SquaredHead(IsoMaxHead):
    """Minus the squared distances."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return -self.distances(features).square()


def test_a_loss_is_a_head_and_a_record(monkeypatch, tmp_path):
    look = Style("Squared", "#123456", ":", ">")
    blocks = (("features", "f", ""), ("squared distances", "-d^2", "prototypes"))
    record = Loss(look=look, formula="d_k^2", sentence="Squared.", blocks=blocks, logits="logit = −d²", source="here")
    monkeypatch.setitem(HEADS, "squared", SquaredHead)
    monkeypatch.setitem(LOSSES, "squared", record)
    capture = iv.Experiment(loss="squared", preset="smoke").run(store=tmp_path, progress=False)
    assert capture.loss == "squared" and "Squared" in repr(capture)
    assert set(iv.evaluate(capture)["score"]) == {"mps", "es", "mds"}
    ax = iv.plot_logits(capture, ood="letters")
    assert ax.get_title(loc="left").startswith("Squared") and ax.get_xlabel() == "logit = −d²"
    assert iv.plot_loss_blocks("squared").get_title(loc="left") == "Squared loss"
    assert loss_lesson("squared")["label"] == "Squared" and "<math" in loss_lesson("squared")["formula"]
    assert methods.label("squared+oe", "mds") == "Squared with Outlier Exposure/MDS"
    assert Shelf([capture]).options("loss") == ["squared"]


def test_a_score_is_a_function_in_its_record(monkeypatch, capture):
    score = scores.Score(
        key="second", label="2nd", name="second distance", formula="-d_2", explanation="Words.", source="here",
        function=lambda samples: -np.sort(samples.distances, axis=1)[:, 1], needs=("distances",),
    )  # fmt: skip
    monkeypatch.setitem(scores.SCORES, "second", score)
    assert iv.evaluate(capture, scores="second")["score"].tolist() == ["second", "second"]
    assert "second" in Shelf([capture]).scores
    bare = iv.Capture.from_arrays(capture.test.logits, capture.test.labels)
    assert "second" not in Shelf([bare]).scores and "mds" not in Shelf([bare]).scores
    assert iv.plot_scores(capture, "near", score="second").get_xlabel().startswith("2nd score")
    assert score_lesson(score)["explanation"] == "Words." and "<math" in score_lesson(score)["formula"]
    assert methods.demands("softmax", "second") == {"training_features"} and not methods.demands("isomax", "second")
    with pytest.raises(ValueError, match="key must be none of .*'second'"):
        scores.add_column(capture, "second", {"test": np.zeros(60)})


def test_a_figure_is_a_function_and_its_export():
    functions = [name for name in figures.__all__ if name.startswith("plot_")]
    assert len(functions) > 15
    for name in functions:
        assert getattr(iv, name) is getattr(figures, name)
