"""The explorer against the plain calls that it stands for."""

from __future__ import annotations

import ast
import dataclasses
import gc
import json
import os
import subprocess
import sys
import time
import weakref
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from matplotlib import _pylab_helpers
from PIL import Image

from isomax_viz import Capture, evaluate, explore, figures, metrics, tables, train_toy
from isomax_viz.analysis import features as projections
from isomax_viz.analysis.scores import SCORES, compute
from isomax_viz.analysis.thresholds import score_range
from isomax_viz.datasets import ImageSet, load_id
from isomax_viz.explorer import cells as lifetime
from isomax_viz.explorer import explore_alpha, explore_risk, explore_simplex, explore_surfaces, watch
from isomax_viz.explorer import widget as drawing
from isomax_viz.explorer.choices import Shelf
from isomax_viz.explorer.lab import ALPHA_VIEWS
from isomax_viz.explorer.pictures import ask_network, sheet
from isomax_viz.explorer.state import VIEWS, code
from isomax_viz.explorer.watch import read_history
from isomax_viz.figures._canvas import png
from isomax_viz.store.folder import StoreError

NOW = datetime.now(UTC)


def make_capture(loss: str, *, seed: int = 0, distances: bool = True, n: int = 60, sets=("letters", "patches"), **meta):
    """Return a small capture of random numbers whose OOD sets lie lower than the ID set."""
    rng = np.random.default_rng([seed, *loss.encode()])
    labels = rng.integers(0, 4, n)

    def arrays(shift):
        logits = rng.normal(size=(n, 4)) - 4
        logits[np.arange(n), labels] += shift
        features = {"features": rng.normal(size=(n, 5)) + shift}
        return {"logits": logits} | features | ({"distances": np.abs(logits)} if distances else {})

    inside = arrays(4)
    ood = {name: arrays(1 + position) for position, name in enumerate(sets)}
    meta = {"data": "digits", "backbone": "small_cnn", "preset": "teaching", "seed": seed} | meta
    capture = Capture.from_arrays(inside.pop("logits"), labels, ood=ood, loss=loss, meta=meta, **inside)
    history = pd.DataFrame({"epoch": [1, 2, 1, 2], "split": ["train"] * 2 + ["test"] * 2, "accuracy": rng.random(4)})
    return capture.replace(history=history, prototypes=rng.normal(size=(4, 5)))


@pytest.fixture
def captures():
    return [make_capture(loss) for loss in ("softmax", "isomax", "isomax+")]


@pytest.fixture
def view(captures):
    shown = explore(captures)
    yield shown
    shown.close()


def picture(view) -> bytes:
    return bytes(view.picture.value)


def plain(code: str, captures) -> bytes:
    """Run the code that the explorer shows, as a person who copies it would, and return the picture."""
    *body, last = ast.parse(code).body
    names = {"captures": captures}
    exec(compile(ast.Module(body, []), "code", "exec"), names)
    drawn = eval(compile(ast.Expression(last.value), "code", "eval"), names)
    return png(drawn.get_figure(root=True))


@pytest.mark.parametrize("key", VIEWS)
@pytest.mark.parametrize("beside", [None, {"loss": "softmax"}])
def test_every_view_is_the_plain_figure(view, captures, key, beside):
    view.restore({"view": key, "loss": "isomax+", "beside": beside, "ood": ["letters", "patches"], "score": "mds"})
    assert picture(view) == plain(code(view.look), captures)
    assert (len(view.look.captures) == 2) == (beside is not None)


def test_the_plain_calls_are_those_of_the_library(view, captures):
    view.restore({"view": "entropy", "ood": ["patches"]})
    assert picture(view) == png(figures.plot_entropy(captures[0], ["patches"]).figure)
    view.restore({"view": "roc", "score": "mps", "threshold": 0.5})
    wanted = figures.plot_operating_point(captures[0], ["patches"], score="mps", threshold=0.5, panels="roc")
    assert picture(view) == png(wanted)
    view.restore({"view": "logits", "beside": {"loss": "isomax"}, "same_axes": False})
    pair = figures.plot_grid(
        figures.plot_logits, captures[:2], ood=["patches"], size=(4.8, 3.3), sharex=False, sharey=False
    )
    assert picture(view) == png(pair)


@pytest.mark.parametrize("key", SCORES)
def test_every_score_is_the_plain_figure_with_its_metrics(view, captures, key):
    view.controls["score"].value = key
    assert picture(view) == png(figures.plot_operating_point(captures[0], ["letters"], score=key))
    row = evaluate(captures[0], scores=key, ood="letters").iloc[0]
    for name in ("TNR@TPR95", "AUROC", "DTACC", "AUPR-in", "AUPR-out"):
        assert f"<td>{100 * row[name]:.1f} %</td>" in view.summary.value
    assert SCORES[key].name in view.summary.value
    assert SCORES[key].explanation in view.lesson.value and "<math" in view.lesson.value


def test_threshold_moves_picture_and_counts_together(view, captures):
    bar, capture = view.controls["threshold"], captures[0]
    id_scores, ood_scores = (compute("es", samples) for samples in (capture.test, capture.ood["letters"]))
    assert bar.number.value == pytest.approx(metrics.threshold_at_tpr(id_scores), rel=1e-3)
    bar.number.value = -0.8
    assert picture(view) == png(figures.plot_operating_point(capture, ["letters"], score="es", threshold=-0.8))
    accepted, passed = int((id_scores >= -0.8).sum()), int((ood_scores >= -0.8).sum())
    for number in (accepted, 60 - accepted, passed, 60 - passed):
        assert f"<td>{number} of 60 (" in view.summary.value
    assert view.state()["threshold"] == -0.8
    bar.rules["dtacc"].click()
    assert view.state()["threshold"] == "dtacc"
    assert bar.number.value == pytest.approx(metrics.best_dtacc_threshold(id_scores, ood_scores), rel=1e-3)
    bar.number.value = -0.8
    view.controls["score"].value = "mps"
    assert view.state()["threshold"] == "tpr95"  # -0.8 means nothing on another score
    bar.rules["tpr95"].click()
    assert picture(view) == png(figures.plot_operating_point(capture, ["letters"], score="mps"))


def test_two_panels_compare_at_the_same_share_of_known_images(view, captures):
    view.restore({"loss": "softmax", "beside": {"loss": "isomax+"}, "threshold": -0.8})
    one, two = view.look.threshold
    shares = [
        (compute("es", capture.test) >= value).mean()
        for capture, value in zip((captures[0], captures[2]), (one, two), strict=True)
    ]
    assert one == -0.8 and shares[0] == pytest.approx(shares[1])
    assert "SoftMax: letters" in view.summary.value and "IsoMax+: letters" in view.summary.value
    left, right = figures.plot_operating_point(
        [captures[0], captures[2]], ["letters"], score="es", panels="scores", share=True
    ).axes
    assert left.get_xlim() == right.get_xlim()


def test_summary_says_the_figure_in_words_and_how_many_images(view, captures):
    words = figures.describe(figures.plot_operating_point(captures[0], ["letters"], score="es"))
    assert words and words in view.summary.value
    assert " of 60 (" in view.summary.value
    assert "chance that a random ID sample scores higher" in view.summary.value


def test_state_survives_json_and_restores_the_picture(view):
    view.controls["loss"].value = "isomax+"
    view.controls["score"].value = "mds"
    view.controls["view"].value = "distances"
    view.controls["ood"].value = ("patches",)
    view.controls["threshold"].number.value = -3.5
    view.controls["large_text"].value = True
    view.restore({})
    text, before = json.dumps(view.state()), picture(view)
    view.restore({"loss": "softmax", "score": "mps", "view": "scores", "ood": ["letters"]})
    assert picture(view) != before
    assert view.restore(text) is view
    assert picture(view) == before and json.dumps(view.state()) == text


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"loss": "isomx"}, "loss must be one of 'softmax', 'isomax', 'isomax.', but is 'isomx'"),
        ({"score": "mdss"}, "score must be one of .* Did you mean 'mds'"),
        ({"ood": ["svhn"]}, "ood must be one of 'letters', 'patches', but is 'svhn'"),
        ({"view": "umap"}, "view must be one of 'scores'"),
        ({"colour": "red"}, "state must be one of 'loss', 'beside', 'same_axes', 'score', 'ood', 'view'"),
        ({"threshold": "95"}, "threshold must be one of 'tpr95', 'dtacc', but is '95'. A number is accepted too"),
        ({"threshold": float("nan")}, "threshold must be a number"),
        ({"beside": {"loss": "isomax3"}}, "loss must be one of"),
        ({"large_text": 1}, "large_text must be True or False"),
        ({"ood": []}, "ood is empty"),
    ],
)
def test_restore_rejects_what_is_not_on_offer_and_changes_nothing(view, state, message):
    before = view.state()
    with pytest.raises(ValueError, match=message):
        view.restore(state | {"view": state.get("view", "entropy")})
    assert view.state() == before


def test_errors_show_in_the_view_and_raise_under_test(captures, monkeypatch):
    broken = captures[0].replace(test=make_capture("softmax", distances=False).test)
    shown = explore([broken, captures[2]])
    with pytest.raises(ValueError, match="distances"):
        shown.controls["score"].value = "mds"
    assert "carry no feature-prototype distances" in shown.message.value and 'role="alert"' in shown.message.value
    assert shown.message.layout.display is None and shown.picture.layout.visibility == "hidden"
    shown.controls["loss"].value = "isomax+"
    assert shown.message.layout.display == "none" and shown.picture.layout.visibility == "visible"
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    quiet = explore([broken, captures[2]])
    quiet.controls["score"].value = "mds"
    assert "carry no feature-prototype distances" in quiet.message.value
    for item in (shown, quiet):
        item.close()


def test_the_former_picture_is_pale_while_another_is_drawn(view, monkeypatch):
    seen, draw = [], view.painter.picture

    def watched(look):
        seen.append("isomax-viz-stale" in view.picture._dom_classes)
        return draw(look)

    monkeypatch.setattr(view.painter, "picture", watched)
    view.controls["view"].value = "entropy"
    view.controls["view"].value = "scores"  # kept from the beginning
    assert seen == [True, False]
    monkeypatch.setattr(view.painter, "picture", lambda look: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        view.controls["view"].value = "logits"
    assert "isomax-viz-stale" not in view.picture._dom_classes


def test_one_set_stays_chosen(view):
    button = view.controls["ood"].buttons["letters"]
    button.value = False
    assert button.value and view.state()["ood"] == ["letters"]


def test_sets_that_a_capture_lacks_are_disabled_and_others_take_over(captures):
    other = make_capture("isomax2", sets=("uniform",))
    shown = explore([*captures, other])
    shown.controls["loss"].value = "isomax2"
    assert shown.state()["ood"] == ["uniform"]
    assert [name for name, button in shown.controls["ood"].buttons.items() if button.disabled] == ["letters", "patches"]
    shown.close()


def test_choosers_appear_where_captures_differ_and_give_way():
    sweep = [make_capture("isomax+", entropic_scale=scale, seed=seed) for scale in (1.0, 10.0) for seed in (0, 1)]
    shown = explore([*sweep, make_capture("softmax", entropic_scale=None)])
    assert list(shown.controls)[:4] == ["loss", "entropic_scale", "seed", "beside"]
    shown.restore({"loss": "isomax+", "entropic_scale": 10.0, "seed": 1})
    assert shown.capture is sweep[3]
    shown.controls["loss"].value = "softmax"
    assert shown.state()["entropic_scale"] == "not said" and shown.state()["seed"] == 0
    shown.controls["entropic_scale"].value = 1.0
    assert shown.capture is sweep[0]
    with pytest.raises(ValueError, match="No capture has .* together"):
        shown.restore({"loss": "softmax", "entropic_scale": 1.0})
    shown.close()


def test_captures_that_nothing_tells_apart_get_names():
    capture = make_capture("softmax")
    assert Shelf({"before": capture, "after": capture}).options("name") == ["before", "after"]
    assert Shelf([capture, capture]).options("name") == ["1", "2"]
    assert Shelf([capture]).choosers == ["loss"]


@pytest.mark.parametrize(
    ("captures", "error", "message"),
    [
        ([], ValueError, "captures is empty"),
        (["isomax"], TypeError, "holds a str"),
        (Capture.from_arrays([[1.0, 0.0]], [0]), ValueError, "None of the captures has an out-of-distribution set"),
    ],
)
def test_explore_rejects_what_it_cannot_show(captures, error, message):
    with pytest.raises(error, match=message):
        explore(captures)


def test_every_control_is_described(view):
    def walk(widget):
        yield widget
        for child in getattr(widget, "children", ()):
            yield from walk(child)

    interactive = [item for item in walk(view) if hasattr(item, "disabled")]
    assert len(interactive) >= 5
    for item in interactive:
        assert item.description and item.tooltip


def test_closing_closes_everything(captures):
    before = set(ipywidgets.widget._instances)
    shown = explore(captures)
    made = [item for key, item in ipywidgets.widget._instances.items() if key not in before]
    assert sum(isinstance(item, ipywidgets.DOMWidget) for item in made) < 60
    shown.close()
    assert set(ipywidgets.widget._instances) == before


def test_running_a_cell_again_closes_its_former_view(captures, monkeypatch):
    runs = [("a", "1"), ("a", "1"), ("b", "2"), ("a", "3")]
    views = []
    for run in runs:
        monkeypatch.setattr(lifetime, "current_cell", lambda run=run: run)
        views.append(explore(captures))
    # Two views of one run live together; the next run of that cell closes both.
    assert [shown.comm is None for shown in views] == [True, True, False, False]
    for shown in views[2:]:
        shown.close()


def test_the_cell_is_known_from_the_front_end(monkeypatch):
    parent = {"metadata": {"cellId": "c1"}, "header": {"msg_id": "m1"}, "content": {"code": "explore()"}}
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(parent_header=parent))
    assert lifetime.current_cell() == ("c1", "m1")
    parent["metadata"] = {}
    assert lifetime.current_cell() == ("explore()", "m1")
    monkeypatch.setattr("IPython.get_ipython", lambda: None)
    assert lifetime.current_cell() == ("", "")


def test_a_thousand_changes_leave_nothing_behind(captures):
    shown = explore(captures)
    losses, scores = ("softmax", "isomax", "isomax+"), ("mps", "es", "mds")

    def change(times):
        for step in range(times):
            # Every tenth picture is a new one: a threshold that was never shown.
            threshold = {"threshold": 0.001 * step} if step % 10 == 0 else {"threshold": "tpr95"}
            shown.restore({"loss": losses[step % 3], "score": scores[step // 3 % 3]} | threshold)
        gc.collect()
        # Matplotlib remembers up to 4,096 measured words by weak reference: no leak, but it fills up in this test.
        objects = sum(not issubclass(type(item), weakref.ReferenceType) for item in gc.get_objects())
        return objects, len(ipywidgets.widget._instances), resident_memory()

    # Until as many pictures are kept as ever will be: that takes memory, and the more of it in pieces, the more there
    # was before in this process.
    change(600)
    objects, instances, memory = change(100)
    more_objects, more_instances, more_memory = change(1000)
    assert more_instances == instances
    assert more_objects - objects < 500
    assert more_memory - memory < 20_000_000
    assert not _pylab_helpers.Gcf.figs
    shown.close()


def resident_memory() -> int:
    """Return the memory of this process in bytes, 0 where the system does not tell."""
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if path.is_file() else 0


def test_widgets_load_without_torch():
    code = "import sys; sys.modules['torch'] = None; import isomax_viz as iv; iv.explore"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr == ""


def test_the_view_has_words_where_no_widget_can_be_drawn(view):
    assert view._repr_mimebundle_()["text/plain"] == "Explorer(3 captures; the controls need a running notebook)"


def test_the_slider_spans_the_scores(view, captures):
    bar, low, high = view.controls["threshold"], *score_range(captures[0], ["letters"], score="es")
    bar.slider.value = 100
    assert view.look.threshold == (pytest.approx(low + 0.25 * (high - low)),)
    assert view.state()["threshold"] == view.look.threshold[0]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_saved_figures_are_those_of_the_plain_call(view, captures, tmp_path, suffix):
    view.folder = tmp_path
    view.restore({"view": "entropy"})
    wanted = figures.save_figure(figures.plot_entropy(captures[0], ["letters"]), tmp_path / f"plain.{suffix}")
    assert view.save(f"mine.{suffix}").read_bytes() == wanted.read_bytes()


@pytest.mark.parametrize(
    ("key", "table"),
    [
        ("scores", lambda capture: tables.scores_table(capture, "mds", ["letters"])),
        ("logits", lambda capture: tables.logits_table(capture, ["letters"])),
        ("entropy", lambda capture: tables.values_table(capture, "entropy", ["letters"])),
        ("max_probability", lambda capture: tables.values_table(capture, "max_probability", ["letters"])),
        ("distances", lambda capture: tables.logits_table(capture, ["letters"], quantity="distance")),
        ("roc", lambda capture: tables.roc_table(capture, ["letters"], score="mds")),
        ("training", tables.training_table),
        ("prototypes", projections.prototype_distances_table),
        ("features", lambda capture: projections.feature_space_table(capture, ["letters"])),
    ],
)
def test_saved_data_are_those_of_the_plain_table(view, captures, tmp_path, key, table):
    view.restore({"view": key, "score": "mds"})
    written = pd.read_csv(view.save(tmp_path / "data.csv"))
    table(captures[0]).to_csv(tmp_path / "plain.csv", index=False)
    pd.testing.assert_frame_equal(written, pd.read_csv(tmp_path / "plain.csv"))


def test_saved_settings_restore_the_view(view, captures, tmp_path):
    view.restore({"loss": "isomax+", "beside": {"loss": "softmax"}, "view": "scores", "threshold": -0.9})
    path, before = view.save(tmp_path / "settings.json"), picture(view)
    other = explore(captures)
    assert picture(other.restore(path.read_text())) == before
    other.close()


def test_buttons_save_into_the_folder_and_say_where(view, tmp_path):
    view.folder = tmp_path
    view.controls["more"].value = "take_away"
    for suffix in ("png", "csv", "json"):
        view.take_away.buttons[suffix].click()
        name = f"scores_softmax_es_letters.{suffix}"
        assert (tmp_path / name).is_file() and name in view.take_away.told.value
    view.take_away.buttons["show code"].click()
    assert "plot_operating_point(captures[0]" in view.take_away.told.value
    drawing.refresh_drawer(view)
    assert view.take_away.told.value  # as long as it is about this picture
    view.controls["score"].value = "mps"
    assert not view.take_away.told.value
    view.controls["score"].value = "es"
    with pytest.raises(ValueError, match="The suffix of path must be one of 'png', 'svg', 'pdf', 'csv', 'json'"):
        view.save("figure.jpeg")
    (tmp_path / "file").write_text("")
    view.folder = tmp_path / "file"
    with pytest.raises(OSError, match="could not be written"):
        view.take_away.buttons["csv"].click()
    assert "could not be written" in view.message.value


def test_freeze_leaves_the_picture_as_a_plain_image(view, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda item, **options: shown.append(item))
    view.freeze()
    assert shown[0].data == picture(view) and shown[1].data in view.summary.value


def test_pictures_behind_the_numbers(view, captures):
    images = {
        name: ImageSet(
            name,
            np.arange(60, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 1), np.uint8),
            np.zeros(60, int),
            ("some",),
        )
        for name in ("test", "letters", "patches")
    }
    shown = explore(captures, images=images)
    shown.controls["more"].value = "pictures"
    capture, scores = captures[0], {name: compute("es", item) for name, item in captures[0].samples.items()}
    assert shown.selected == [("letters", i) for i in np.argsort(-scores["letters"], kind="stable")[:24]]
    shown.gallery.which.value = "doubtful_id"
    assert shown.selected == [("test", i) for i in np.argsort(scores["test"], kind="stable")[:24]]
    shown.gallery.which.value = "near_threshold"
    bar = shown.controls["threshold"]
    bar.slider.value = 140
    threshold = shown.look.threshold[0]
    nearest = np.concatenate([scores["test"], scores["letters"]])
    nearest = np.sort(np.abs(nearest - threshold))[:24]
    assert [abs(scores[name][i] - threshold) for name, i in shown.selected] == pytest.approx(list(nearest))
    shown.gallery.which.value = "range"
    shown.gallery.limits.value = (10, 30)
    lowest, highest = score_range(capture, ["letters"], score="es")
    low, high = (lowest + (highest - lowest) * share for share in (0.1, 0.3))
    assert shown.selected and all(low <= scores[name][i] <= high for name, i in shown.selected)
    plain = sheet(capture, shown.gallery.rows, images)
    assert bytes(shown.gallery.image.value) == plain
    shown.close()


def test_a_click_on_the_histogram_shows_its_pictures(captures):
    images = {
        name: ImageSet(name, np.zeros((60, 8, 8, 1), np.uint8), np.zeros(60, int), ("some",))
        for name in ("test", "letters", "patches")
    }
    shown, capture = explore(captures, images=images), captures[0]
    low, high = score_range(capture, ["letters"], score="es")
    scores = {name: compute("es", item) for name, item in capture.samples.items()}
    for band in (19, 0, 0):
        shown.controls["more"].value = "explain" if band else "pictures"
        shown.bands.index = band
        first, last = (low + (high - low) * (band + end) / 20 for end in (0, 1))
        within = {(name, i) for name in ("test", "letters") for i in np.flatnonzero(
            (scores[name] >= first) & (scores[name] <= last))}  # fmt: skip
        assert shown.selected and set(shown.selected) <= within
        assert len(shown.selected) == min(24, len(within))
        assert shown.bands.index is None and shown.controls["more"].value == "pictures"
    # The buttons lie over the axes of the only histogram, and nowhere else.
    axes = figures.plot_operating_point(capture, ["letters"], score="es").axes[0].get_position()
    assert float(shown.bands.layout.left.rstrip("%")) == pytest.approx(100 * axes.x0, abs=1e-3)
    assert float(shown.bands.layout.top.rstrip("%")) == pytest.approx(100 * (1 - axes.y1), abs=1e-3)
    for state in ({"view": "entropy"}, {"view": "scores", "beside": {"loss": "isomax"}}):
        assert shown.bands.layout.visibility == "visible"
        shown.restore(state)
        assert shown.bands.layout.visibility == "hidden"
        shown.restore({"view": "scores", "beside": None})
    shown.close()


def test_pictures_that_are_unknown_or_others_are_not_shown(captures):
    short = {"letters": ImageSet("letters", np.zeros((3, 8, 8, 1), np.uint8), np.zeros(3, int), ("some",))}
    shown = explore(captures, images=short)
    with pytest.raises(ValueError, match="not those that the capture recorded"):
        shown.controls["more"].value = "pictures"
    assert "not those that the capture recorded" in shown.message.value
    shown.close()


def test_one_image_is_judged_by_the_network_of_the_capture_alone(trained, tmp_path_factory):
    capture = next(item for item in trained.values() if item.loss == "isomax+")
    pictures = load_id("digits").test.subset([0, 1])
    said = ask_network(capture, pictures.with_provenance(), store=tmp_path_factory.getbasetemp() / "store")
    np.testing.assert_allclose(said.logits, capture.test.logits[:2], rtol=1e-4, atol=1e-6)
    other = capture.replace(test=dataclasses.replace(capture.test, logits=capture.test.logits + 0.1))
    with pytest.raises(StoreError, match="not the one behind this capture"):
        ask_network(other, pictures, store=tmp_path_factory.getbasetemp() / "store")


def test_feature_space_leaves_out_sets_without_features_and_says_so(captures):
    lacking = [
        item.replace(ood={**item.ood, "patches": dataclasses.replace(item.ood["patches"], features=None)})
        for item in captures
    ]
    shown = explore(lacking)
    shown.restore({"ood": ["letters", "patches"], "view": "features"})
    assert picture(shown) == png(figures.plot_feature_space(lacking[0], ["letters"]).figure)
    assert "Recorded without features: patches." in shown.summary.value
    shown.controls["view"].value = "entropy"
    assert "without features" not in shown.summary.value and shown.state()["ood"] == ["letters", "patches"]
    shown.close()


def test_one_image_says_when_only_numbers_are_there(view):
    buffer = BytesIO()
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(buffer, "png")
    view.controls["more"].value = "one_image"
    file = {"name": "mine.png", "type": "image/png", "size": 1, "content": buffer.getvalue(), "last_modified": NOW}
    with pytest.raises(ValueError, match="needs the network, but this capture does not say"):
        view.one_image.upload.value = (file,)
    assert "only its numbers are there" in view.message.value
    with pytest.raises(ValueError, match="'notes.txt' is no image file"):
        view.one_image.upload.value = (file | {"name": "notes.txt", "content": b"words"},)


def test_reset_goes_back_to_the_first_settings(view):
    before, state = picture(view), view.state()
    view.restore({"loss": "isomax+", "view": "features", "large_text": True})
    assert picture(view) != before
    view.controls["reset"].click()
    assert view.state() == state and picture(view) == before


def test_large_text_is_the_talk_theme(view, captures):
    view.restore({"view": "entropy", "large_text": True})
    assert picture(view) == png(figures.plot_entropy(captures[0], ["letters"], theme="talk").figure)


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
