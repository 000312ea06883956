"""The scale slider and the watched training against the plain calls behind them."""

from __future__ import annotations

import re
import sys
import time

import numpy as np
import pandas as pd
import pytest
from explorer_captures import asked, make_capture

from isomax_viz import evaluate, explore_alpha, figures, tables, watch
from isomax_viz.catalog.style import percent
from isomax_viz.explorer.lab import ALPHA_VIEWS
from isomax_viz.explorer.watch import read_history
from isomax_viz.figures._canvas import entitle, png


def drawn(view) -> bytes:
    """Return the picture that stands in the saved notebook."""
    return view._repr_mimebundle_()[0]["image/png"]


@pytest.fixture
def sweep():
    return [make_capture("isomax+", entropic_scale=scale, seed=seed) for scale in (1.0, 5.0, 10.0) for seed in (0, 1)]


@pytest.mark.parametrize("key", ["logits", "entropy", "scores"])
def test_the_scale_slider_shows_the_tables_on_common_axes(sweep, key):
    shown = explore_alpha(sweep).restore({"view": key, "scale": 10.0})
    settings = {"loss": "isomax+", "view": key, "score": "es", "ood": ["letters"]}
    panels, summary = asked(shown, {"what": "show", "settings": settings})["panels"]
    table = getattr(tables, ALPHA_VIEWS[key][3].__name__)
    parts = [table(item, ood=["letters"], bins=1) for item in sweep]
    limits = min(part["left"].min() for part in parts), max(part["right"].max() for part in parts)
    for frame, capture in zip(panels["frames"], sweep[::2], strict=True):
        expected = table(capture, ood=["letters"], bins=60, limits=limits)
        np.testing.assert_array_equal([frame["edges"][0], frame["edges"][-1]], limits)
        assert [count for group in frame["groups"] for count in group["count"]] == expected["count"].tolist()
        assert [group["median"] for group in frame["groups"]] == expected["median"].unique().tolist()
        if key == "scores":  # with what plot_scores says: the threshold, and what it detects
            assert frame["marks"] == [[expected["threshold"].iloc[0], "95 % of ID"]]
            row = evaluate(capture, scores="es", ood="letters").iloc[0]
            said = f"AUROC {percent(row['AUROC'])}, TNR@TPR95 {percent(row['TNR@TPR95'])}"
            assert [group.get("detected") for group in frame["groups"]] == [None, said]
    means = evaluate(sweep, scores="es", ood="letters").groupby("entropic_scale")["AUROC"].mean()
    assert [(row["of"], row["cells"][4]) for row in summary["rows"]] == [
        (scale, percent(mean)) for scale, mean in means.items()
    ]
    axes = getattr(figures, f"plot_{key}")(sweep[4], ["letters"], limits=limits)
    entitle(axes, f"{axes.get_title(loc='left')} · entropic scale 10")
    assert drawn(shown) == png(axes.figure)
    shown.close()


def test_the_scale_slider_needs_two_scales():
    with pytest.raises(ValueError, match="at least two entropic scales, but have 0"):
        explore_alpha([make_capture("softmax"), make_capture("isomax")])


def test_a_scale_that_one_loss_lacks_is_said_in_its_place(sweep):
    shown = explore_alpha([*sweep, make_capture("isomax", entropic_scale=1.0), make_capture("softmax")])
    assert [value for value, _ in shown.controls["loss"].options] == ["isomax", "isomax+"]  # SoftMax has no scale
    answer = asked(
        shown, {"what": "show", "settings": {"loss": "isomax", "view": "logits", "score": "es", "ood": ["letters"]}}
    )
    words = "There is no capture of IsoMax at the entropic scale 5. Choose another scale or loss."
    assert answer["panels"][0]["frames"][1] == {"kind": "words", "text": words}
    assert answer["sentence"]["frames"][1] == words
    shown.close()


def test_watching_a_training_gives_its_capture(tmp_path):
    from isomax_viz import Experiment

    experiment = Experiment(loss="isomax+", preset="smoke")
    shown = watch(experiment, store=tmp_path)
    assert shown.running
    capture = shown.wait(120)
    assert capture.meta["id"] == experiment.id and not shown.running
    assert shown.shown["progress"] == 2 * [experiment.protocol.epochs]
    assert f"test accuracy {100 * capture.test.accuracy:.1f} %" in shown.shown["sentence"]
    accuracy, *_ = shown.shown["panels"][0]["frames"]
    test = capture.history[capture.history["split"] == "test"]
    curves = {curve["label"]: curve["points"] for curve in accuracy["curves"]}
    assert curves["test"] == test[["epoch", "accuracy"]].to_numpy().tolist()
    assert drawn(shown) == png(figures.plot_training(capture).figure)
    shown.restore({"quantity": "entropy"})
    assert drawn(shown) == png(figures.plot_training(capture, quantity="entropy").figure)
    shown.close()


def test_a_watched_training_stops_and_goes_on(tmp_path):
    from isomax_viz import Experiment

    experiment = Experiment(loss="softmax", preset="smoke", examples_per_class=20, epochs=40)
    shown = watch(experiment, store=tmp_path, start=False)
    assert "image/png" not in shown._repr_mimebundle_()[0]  # nothing to draw yet
    said = []
    shown.observe(lambda change: said.append(change.new["sentence"]), "shown")
    shown.start()
    end = time.monotonic() + 60
    while not shown.shown["progress"][0] and time.monotonic() < end:
        time.sleep(0.05)
    assert any(re.fullmatch(r"Epoch \d+ of 40, about \d+ (s|min) left\.", words) for words in said)
    shown.stop()
    assert shown.wait(30) is None and not shown.running
    reached = shown.shown["progress"][0]
    assert 0 < reached < 40 and f"Stopped after epoch {reached}" in shown.shown["sentence"]
    assert "epochs=40" in shown._draw().texts[-1].get_text()  # the small print
    first = read_history(shown._store.checkpoint_path(shown.experiment.id))
    shown.start()
    shown.wait(120)
    history = shown.capture.history
    assert history["epoch"].max() == 40
    pd.testing.assert_frame_equal(history.iloc[: len(first)][first.columns], first, check_dtype=False)
    shown.close()


def test_the_end_of_a_training_takes_its_checkpoint_away_while_it_is_watched(tmp_path):
    from isomax_viz import Experiment

    shown = watch(Experiment(loss="softmax", preset="smoke"), store=tmp_path, start=False)
    shown.shown = shown.shown | {"progress": [4, 4]}
    before = dict(shown.shown)
    shown._look()  # no checkpoint, no capture yet
    assert shown.shown == before
    shown.close()


def test_a_button_that_fails_says_why(monkeypatch, tmp_path):
    from isomax_viz import Experiment

    shown = watch(Experiment(loss="softmax", preset="smoke"), store=tmp_path, start=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no_python"))
    assert "no_python" in asked(shown, {"what": "press", "name": "start"}, error=True)
    shown.close()


def test_a_watched_training_that_fails_says_why(tmp_path):
    from isomax_viz import Experiment

    (tmp_path / "file").write_text("")
    shown = watch(Experiment(loss="softmax", preset="smoke"), store=tmp_path / "file")
    assert shown.wait(60) is None
    assert shown.shown["sentence"] == "The training has failed." and "Error" in shown.shown["error"]
    shown.close()
