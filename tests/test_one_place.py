"""What is added in one place works everywhere: a loss of its own head and record, a score, a figure."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

import isomax_viz as iv
from isomax_viz import figures
from isomax_viz.analysis import methods, scores
from isomax_viz.captures.provenance import note, source
from isomax_viz.catalog.looks import Style
from isomax_viz.catalog.losses import LOSSES, Loss
from isomax_viz.catalog.style import loss_style, titles
from isomax_viz.explorer.choices import Shelf
from isomax_viz.explorer.lessons import loss_lesson, score_lesson
from isomax_viz.figures._canvas import Caption, attach, check_capture, check_options, draw_legend, drawing
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


def test_a_figure_is_a_function_and_its_export(monkeypatch, capture, tmp_path):
    def plot_class_counts(data, *, legend=True, theme="paper", ax=None, **kwargs):
        """Draw how many test images of each class there are."""
        check_options(plot_class_counts, kwargs, Rectangle, Axes.bar)
        capture = check_capture(plot_class_counts, data)
        with drawing(ax, theme=theme) as axes:
            counts = np.bincount(capture.test.labels)
            bars = axes.bar(range(len(counts)), counts, color=loss_style(capture.loss).color, **kwargs)
            axes.set(xlabel="class", ylabel="images")
            if legend:
                draw_legend(axes, [bars], ["test images"])
            parts, frame = titles(capture.loss, capture.meta.get("data"), []), pd.DataFrame([source(capture)])
            return attach(axes, Caption(parts, note(frame), f"Images of each class: {counts}."), own=ax is None)

    monkeypatch.setattr(figures, "plot_class_counts", plot_class_counts, raising=False)
    meta = {"data": "digits", "preset": "teaching", "backbone": "small_cnn", "seed": 0}
    pair = [capture.replace(meta={**meta, "loss": loss}) for loss in ("isomax", "mine")]
    ax = figures.plot_class_counts(pair[0], theme="talk", alpha=0.5)
    assert ax.get_title(loc="left") == "IsoMax · digits" and ax._repr_png_()[1]["alt"].startswith(
        "Images of each class"
    )
    assert "preset teaching" in "".join(text.get_text() for text in ax.figure.texts)
    grid = iv.plot_grid(figures.plot_class_counts, pair)
    assert [ax.get_title(loc="left") for ax in grid.axes] == ["IsoMax", "mine"] and grid.get_suptitle() == "digits"
    assert len(grid.legends) == 1 and len({ax.get_ylim() for ax in grid.axes}) == 1
    assert b"Images of each class" in iv.save_figure(ax, tmp_path / "counts.svg").read_bytes()
    with pytest.raises(TypeError, match="plot_class_counts has no option 'colour'"):
        figures.plot_class_counts(pair[0], colour="red")
    with pytest.raises(TypeError, match="plot_class_counts draws one Capture, but received a list"):
        figures.plot_class_counts(pair)


def test_every_figure_is_exported_under_the_package():
    for name in figures.__all__:
        if name.startswith("plot_"):
            assert getattr(iv, name) is getattr(figures, name)


def test_the_way_from_a_capture_to_its_figure_is_short():
    """A reader who follows one call meets few files: the figure, its canvas, its table, the data and their looks."""
    package, (capture, *_) = Path(iv.__file__).parent, iv.load_example("digits", loss="isomax+")
    entered = set()

    def note_file(frame, event, _):
        path = Path(frame.f_code.co_filename)
        if event == "call" and package in path.parents and frame.f_code.co_name != "<module>":
            entered.add(path.relative_to(package).as_posix())

    sys.setprofile(note_file)
    try:
        iv.plot_logits(capture, ood="letters")
    finally:
        sys.setprofile(None)
    assert {"figures/histograms.py", "analysis/histograms.py"} < entered and len(entered) <= 7, sorted(entered)
