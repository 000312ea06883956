"""The scale slider, the watched training and the teaching lab's controls against the plain calls behind them."""

from __future__ import annotations

import sys
import time

import pandas as pd
import pytest
from explorer_captures import make_capture

from isomax_viz import evaluate, figures, tables, train_toy
from isomax_viz.explorer import explore_alpha, explore_risk, explore_simplex, explore_surfaces, watch
from isomax_viz.explorer.lab import ALPHA_VIEWS
from isomax_viz.explorer.watch import read_history
from isomax_viz.figures._canvas import png


@pytest.fixture
def captures():
    return [make_capture(loss) for loss in ("softmax", "isomax", "isomax+")]


def picture(view) -> bytes:
    return bytes(view.picture.value)


@pytest.fixture
def sweep():
    return [make_capture("isomax+", entropic_scale=scale, seed=seed) for scale in (1.0, 5.0, 10.0) for seed in (0, 1)]


@pytest.mark.parametrize("key", ["logits", "entropy", "scores"])
def test_the_scale_slider_shows_the_plain_figure_on_common_axes(sweep, key):
    shown = explore_alpha(sweep)
    shown.controls["view"].value = key
    for scale, capture in ((5.0, sweep[2]), (10.0, sweep[4])):
        shown.controls["scale"].value = scale
        parts = [getattr(tables, ALPHA_VIEWS[key][3].__name__)(item, ood=["letters"], bins=1) for item in sweep]
        limits = min(part["left"].min() for part in parts), max(part["right"].max() for part in parts)
        axes = getattr(figures, f"plot_{key}")(capture, ["letters"], limits=limits)
        axes.set_title(f"{axes.get_title(loc='left')} · entropic scale {scale:g}", loc="left")
        assert picture(shown) == png(axes.figure)
        row = evaluate(sweep, scores="es", ood="letters").groupby("entropic_scale")["AUROC"].mean()[scale]
        assert f'<tr class="chosen"><td>{scale:g}</td>' in shown.summary.value
        assert f"<td>{100 * row:.1f} %</td>" in shown.summary.value
    shown.close()


def test_the_scale_slider_needs_two_scales(captures):
    with pytest.raises(ValueError, match="at least two entropic scales, but have 0"):
        explore_alpha(captures)


def test_watching_a_training_gives_its_capture(tmp_path):
    from isomax_viz import Experiment

    experiment = Experiment(loss="isomax+", preset="smoke")
    shown = watch(experiment, store=tmp_path)
    assert shown.running
    capture = shown.wait(120)
    assert capture.meta["id"] == experiment.id and not shown.running
    assert shown.progress.value == shown.progress.max == experiment.protocol.epochs
    assert picture(shown) == png(figures.plot_training(capture).figure)
    assert f"test accuracy {100 * capture.test.accuracy:.1f} %" in shown.told.value
    shown.quantity.value = "entropy"
    assert picture(shown) == png(figures.plot_training(capture, quantity="entropy").figure)
    shown.close()


def test_a_watched_training_stops_and_goes_on(tmp_path):
    from isomax_viz import Experiment

    shown = watch(Experiment(loss="softmax", preset="smoke", epochs=16), store=tmp_path, start=False)
    shown.start()
    end = time.monotonic() + 60
    while not shown.progress.value and time.monotonic() < end:
        time.sleep(0.05)
    assert f"Epoch {shown.progress.value} of 16" in shown.told.value
    shown.stop()
    assert shown.wait(30) is None and not shown.running
    reached = shown.progress.value
    assert 0 < reached < 16 and f"Stopped after epoch {reached}" in shown.told.value
    first = read_history(shown._store.checkpoint_path(shown.experiment.id))
    shown.start()
    shown.wait(120)
    history = shown.capture.history
    assert history["epoch"].max() == 16
    pd.testing.assert_frame_equal(history.iloc[: len(first)][first.columns], first, check_dtype=False)
    shown.close()


def test_a_button_that_fails_says_why(monkeypatch, tmp_path):
    from isomax_viz import Experiment

    shown = watch(Experiment(loss="softmax", preset="smoke"), store=tmp_path, start=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no_python"))
    with pytest.raises(FileNotFoundError):
        shown.start_button.click()
    assert 'role="alert"' in shown.told.value and "no_python" in shown.told.value
    shown.close()


def test_a_watched_training_that_fails_says_why(tmp_path):
    from isomax_viz import Experiment

    (tmp_path / "file").write_text("")
    shown = watch(Experiment(loss="softmax", preset="smoke"), store=tmp_path / "file")
    assert shown.wait(60) is None
    assert 'role="alert"' in shown.told.value and "Error" in shown.told.value
    shown.close()


# ------------------------------------------------------------------------------------------------------ teaching lab


def test_playing_goes_on_from_where_the_slider_was_left():
    view = explore_surfaces(train_toy("moons", epochs=2, lines=9))
    player = view.children[1].children[1]
    assert player.value == 2
    view.controls["epoch"].value = 0
    assert player.value == 0
    view.restore({"epoch": 1})
    assert player.value == 1
    view.close()


def test_the_risk_view_offers_the_scores_that_the_capture_gives():
    for distances, keys in ((False, ["mps", "es"]), (True, ["mps", "es", "mds"])):
        view = explore_risk(make_capture("isomax", distances=distances))
        score = view.controls["score"]
        assert [key for _, key in score.options] == keys
        assert "bright" not in score.tooltip  # no colour of this figure says the score
        view.close()


def test_a_step_alone_restores_the_threshold_by_hand():
    view = explore_risk(make_capture("isomax"))
    assert view.restore({"step": 30}).state()["rule"] == "by hand"
    assert view.state()["step"] == 30
    assert view.restore({"step": 30, "rule": "tpr95"}).state()["rule"] == "tpr95"
    view.close()


@pytest.mark.parametrize("strict", [True, False])
def test_what_no_control_can_mend_is_refused_before_there_is_a_view(strict):
    capture = make_capture("isomax")
    for error, options, message in (
        (TypeError, {"capture": [capture]}, "must be one Capture"),
        (ValueError, {"capture": capture.replace(ood={})}, "no out-of-distribution set to compare with"),
        (ValueError, {"capture": capture, "ood": "lettres"}, "ood must be one of .* Did you mean 'letters'"),
        (ValueError, {"capture": capture, "scores": []}, "scores is empty. Choose at least one"),
    ):
        with pytest.raises(error, match=message):
            explore_risk(**options, strict=strict)
    with pytest.raises(ValueError, match="entropic_scale must be a number above 0, but is -1"):
        explore_simplex(entropic_scale=-1, strict=strict)
