"""The explorer's kernel half: what it answers, its settings, the plain calls behind it, and its life."""

from __future__ import annotations

import ast
import dataclasses
import json
import subprocess
import sys
from io import BytesIO
from types import SimpleNamespace

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from explorer_captures import make_capture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from isomax_viz import Capture, explore, figures, load_example, metrics, tables
from isomax_viz.analysis.risks import cheapest_threshold
from isomax_viz.analysis.scores import SCORES, compute
from isomax_viz.analysis.thresholds import same_share
from isomax_viz.captures.samples import Samples
from isomax_viz.datasets import ImageSet, load_id, load_ood
from isomax_viz.explorer import cells as lifetime
from isomax_viz.explorer.bundle import module
from isomax_viz.explorer.choices import Shelf
from isomax_viz.explorer.pictures import Networks, find_images, on_pad
from isomax_viz.explorer.views import START, VIEWS
from isomax_viz.explorer.widget import plain_call
from isomax_viz.figures._canvas import png
from isomax_viz.store.folder import StoreError


@pytest.fixture
def captures():
    return [make_capture(loss) for loss in ("softmax", "isomax", "isomax+")]


@pytest.fixture
def view(captures):
    shown = explore(captures)
    yield shown
    shown.close()


def asked(view, request, buffers=()):
    """Return what the browser would hear, and the bytes beside it."""
    heard = []
    view.send = lambda content, buffers=None: heard.append((content, buffers))
    view._heard(view, {"id": "1", "request": request}, list(buffers))
    (content, given), *more = heard
    assert not more and content["id"] == "1"
    json.dumps(content, allow_nan=False)
    return content, given


def plain(code, captures):
    """Run the code that the explorer shows, as a person who copies it would, and return the figure."""
    *body, last = ast.parse(code).body
    names = {"captures": captures}
    exec(compile(ast.Module(body, []), "code", "exec"), names)
    return eval(compile(ast.Expression(last.value), "code", "eval"), names).get_figure(root=True)


@pytest.mark.parametrize("key", VIEWS)
@pytest.mark.parametrize("beside", [None, {"loss": "softmax"}, {"loss": "softmax", "score": "mps"}])
def test_the_code_draws_what_stands_in_the_saved_notebook(view, captures, key, beside):
    view.restore({"loss": "isomax+", "view": key, "ood": ["letters", "patches"], "beside": beside})
    bundle, metadata = view._repr_mimebundle_()
    assert bundle["image/png"] == png(plain(view.code(), captures))
    assert bundle["text/plain"] == "Explorer(3 captures; the controls need a running notebook)"
    assert metadata["image/png"]["alt"]


@pytest.mark.parametrize("key", SCORES)
def test_numbers_sent_are_those_of_the_library(view, captures, key):
    content, buffers = asked(view, {"what": "scores", "network": 2, "name": key})
    sent = content["answer"]
    for name, samples in {"ID": captures[2].test, **captures[2].ood}.items():
        place = sent["columns"][name]
        values, exact = np.frombuffer(buffers[place["buffer"]], place["type"]), compute(key, samples)
        np.testing.assert_allclose(values, exact, rtol=1e-6)
        np.testing.assert_array_equal(np.argsort(values, kind="stable"), np.argsort(exact, kind="stable"))
    for name in captures[2].ood:
        expected = metrics.ood_metrics(compute(key, captures[2].test), compute(key, captures[2].ood[name]))
        assert sent["metrics"][name] == expected


def test_every_view_sends_what_its_table_holds(view, captures):
    capture = captures[2]
    answer = asked(view, {"what": "view", "network": 2, "name": "logits"})
    group, table = answer[0]["answer"]["groups"][1], tables.logits_table(capture, bins=600)
    counts = np.frombuffer(answer[1][group["counts"]["buffer"]], "i4")
    np.testing.assert_array_equal(counts, table.loc[table["group"] == "inter-class ID", "count"])
    sent = asked(view, {"what": "view", "network": 2, "name": "training"})[0]["answer"]["panels"]
    assert list(sent) == ["accuracy"] and len(sent["accuracy"]["curves"]) == 2
    rows = capture.history[capture.history["split"] == "test"]
    assert sent["accuracy"]["curves"][1]["points"] == rows[["epoch", "accuracy"]].to_numpy().tolist()
    for key in ("prototypes", "features", "calibration", "entropy"):
        assert "answer" in asked(view, {"what": "view", "network": 2, "name": key})[0]


def test_images_come_with_labels_and_logits(view, captures):
    content, buffers = asked(view, {"what": "labels", "network": 0, "name": "ID"})
    place = content["answer"]["predictions"]
    np.testing.assert_array_equal(np.frombuffer(buffers[place["buffer"]], "i4"), captures[0].test.predictions)
    content, buffers = asked(view, {"what": "logits", "network": 0, "name": "letters"})
    place = content["answer"]["logits"]
    np.testing.assert_array_equal(
        np.frombuffer(buffers[place["buffer"]], "f4"), captures[0].ood["letters"].logits.ravel()
    )


def test_who_saw_the_same_images_is_told_by_labels_fingerprints_and_order():
    one, other = make_capture("isomax"), make_capture("isomax+")  # with labels of their own
    shuffled = one.replace(meta=dict(one.meta, unordered=["letters"], ood={"patches": {"fingerprint": "f"}}))
    view = explore({"one": one, "other": other, "shuffled": shuffled})
    a, b, c = (network["seen"] for network in asked(view, {"what": "start"})[0]["answer"]["networks"])
    assert a["ID"] != b["ID"] and a["ID"] == c["ID"] and a["letters"] is None
    assert "order of its own" in c["letters"] and c["patches"] == "f"
    view.close()


def test_an_error_reaches_the_browser_in_words(view):
    content, _ = asked(view, {"what": "pictures", "network": 0, "name": "ID", "indices": [0]})
    assert "The pictures of 'test' at hand are not those that the capture recorded" in content["error"]
    assert asked(view, {"what": "scores", "network": 0, "name": "nothing"})[0]["error"] == "KeyError: 'nothing'"


def test_the_module_travels_by_request_and_is_no_state_of_the_widget(view):
    content, buffers = asked(view, {"what": "module"})
    assert buffers[0].decode() == module() and content["answer"] == {}
    saved = json.dumps({key: value for key, value in view.get_state().items() if isinstance(value, (str, dict, list))})
    assert len(saved) < 5_000 and "densityTop" not in saved


def test_names_cannot_run_as_code():
    hostile = "</script><img onerror=alert(1)>"
    view = explore(make_capture("isomax", sets=(hostile,), backbone=hostile))
    content, _ = asked(view, {"what": "start"})
    assert list(content["answer"]["sets"]) == [hostile]  # as text: the browser module makes text nodes of names
    source = module()
    assert "innerHTML" not in source and "eval(" not in source and "new Function" not in source
    view.close()


def test_state_survives_json_and_restores(view):
    first = view.state()
    wanted = {"loss": "isomax+", "score": "mds", "ood": ["patches"], "view": "entropy", "threshold": {"share": 0.99}}
    wanted |= {"beside": {"loss": "softmax", "score": "mps"}, "axes": "rank", "present": True}
    state = view.restore(wanted).state()
    assert {name: state[name] for name in wanted} == wanted
    other = view.restore(first).restore(json.dumps(state)).state()
    assert other == state and view.restore(json.dumps(first)).state() == first


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"loss": "isomax3"}, "loss must be one of .*'isomax3'"),
        ({"score": "mdss"}, "score must be one of .*Did you mean 'mds'"),
        ({"view": "entrpy"}, "view must be one of .*Did you mean 'entropy'"),
        ({"ood": "svhn"}, "ood must be one of 'letters', 'patches', but is 'svhn'"),
        ({"ood": []}, "ood must name at least one"),
        ({"threshold": "tpr"}, "threshold must be one of 'tpr95', 'dtacc'"),
        ({"threshold": {"share": 2}}, r"threshold\['share'\] must be a number"),
        ({"threshold": float("nan")}, "threshold must be a number"),
        ({"axes": "x"}, "axes must be one of 'shared', 'own', 'rank'"),
        ({"present": 1}, "present must be True or False, but is 1"),
        ({"zoomed": 1}, "state must be one of"),
    ],
)
def test_restore_rejects_what_is_not_on_offer_and_changes_nothing(view, state, message):
    before = view.state()
    with pytest.raises(ValueError, match=message):
        view.restore({"present": True} | state)
    assert view.state() == before


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        (5, TypeError, "state must be a mapping"),
        ({"beside": 5}, TypeError, "beside must be a mapping"),
        ({"beside": {"loss": "isomax", "score": "mdss"}}, ValueError, r"beside\['score'\] must be one of"),
        ({"ood": 5}, TypeError, "ood must be a name or a list of names, but is 5"),
        ({"zoom": 5}, TypeError, "zoom must be None or what state"),
        ({"threshold": {}}, TypeError, r"threshold\['costs'\] must be a mapping"),
        ({"threshold": {"costs": {"reject_known": -1}}}, ValueError, "reject_known must be a number of at least 0"),
        ({"drawer": "explained"}, ValueError, "drawer must be one of .*Did you mean 'explain'"),
        ({"quantity": "loss"}, ValueError, "quantity must be one of 'accuracy'"),
    ],
)
def test_restore_says_what_a_setting_must_be(view, state, error, message):
    with pytest.raises(error, match=message):
        view.restore(state)


def test_a_view_that_the_capture_lacks_is_refused():
    view = explore(Capture.from_arrays([[3.0, 0.0], [0.0, 2.0]], [0, 1], ood={"mine": [[0.4, 0.1]]}, loss="softmax"))
    for state in ({"view": "training"}, {"score": "mds"}):
        with pytest.raises(ValueError, match="must be one of"):
            view.restore(state)
    view.close()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "es", "letters", "isomax", "tpr95"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["share", "costs", "score", "loss", "by", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([*START, "loss", "other"]), anything, max_size=4) | anything)
def test_whatever_is_restored_is_refused_in_words_or_can_be_drawn(view, state):
    before = view.state()
    try:
        view.restore(state)
    except (TypeError, ValueError):
        assert view.state() == before
        return
    assert view.code()
    assert view.restore(json.dumps(view.state())).restore(before).state() == before


def test_a_held_threshold_is_that_of_the_library(captures):
    one, other = captures[2], captures[0]
    look = START | {"network": 2, "beside": {"network": 0, "score": None}, "ood": ["letters"]}
    costs = {"accept_unknown": 3.0, "reject_known": 1.0, "share_unknown": 0.2}
    for wanted, expected in (
        ({"share": 0.9}, [metrics.threshold_at_tpr(compute("es", item.test), 0.9) for item in (one, other)]),
        ({"costs": costs}, [cheapest_threshold(item, ["letters"], score="es", **costs) for item in (one, other)]),
        (-1.0, [-1.0, same_share(-1.0, one, other, score="es")]),
    ):
        _, numbers, options = plain_call(look | {"threshold": wanted}, captures)
        assert numbers == [2, 0]
        np.testing.assert_allclose(options["threshold"], expected, rtol=1e-8)


def test_two_scores_are_drawn_and_saved_both(view, captures, tmp_path):
    view.restore({"loss": "isomax+", "score": "mds", "beside": {"loss": "softmax", "score": "mps"}, "threshold": -1.0})
    name, numbers, options = plain_call(view.look, captures)
    assert numbers == [2, 0] and options["score"] == ["mds", "mps"]
    share = float((compute("mds", captures[2].test) >= -1.0).mean())
    expected = metrics.threshold_at_tpr(compute("mps", captures[0].test), share)
    np.testing.assert_allclose(options["threshold"], [-1.0, expected], rtol=1e-8)
    labels = [ax.get_xlabel() for ax in plain(view.code(), captures).axes]
    assert [label[:3] for label in labels] == ["MDS", "MPS"]
    with pytest.raises(ValueError, match=r"score must have one value per capture \(1\), but has 2"):
        figures.plot_operating_point(captures[0], score=["mds", "mps"])
    saved = pd.read_csv(view.save(tmp_path / "x.csv"))
    assert saved.groupby("capture")["quantity"].first().tolist() == ["mds", "mps"]


def test_choosers_appear_where_captures_differ():
    items = [make_capture("isomax", seed=seed, entropic_scale=scale) for seed in (0, 1) for scale in (1.0, 10.0)]
    view = explore([*items, make_capture("softmax")])
    sent = asked(view, {"what": "start"})[0]["answer"]
    assert list(sent["dimensions"]) == ["loss", "entropic_scale", "seed"]
    assert view.restore({"loss": "isomax", "seed": 1, "entropic_scale": 10.0}).look["network"] == 3
    view.close()


def test_captures_that_nothing_tells_apart_get_names(captures):
    assert [Shelf({"a": captures[0], "b": captures[0]}).title(n) for n in (0, 1)] == ["SoftMax · a", "SoftMax · b"]


def test_what_a_capture_lacks_is_not_on_offer():
    bare = Capture.from_arrays([[3.0, 0.0], [0.0, 2.0]], [0, 1], ood={"mine": [[0.4, 0.1]]}, loss="softmax")
    view = explore([bare, make_capture("isomax")])
    first, second = asked(view, {"what": "start"})[0]["answer"]["networks"]
    assert "mds" not in first["scores"] and "mds" in second["scores"]
    assert list(first["n"]) == ["ID", "mine"] and not {"training", "features", "distances"} & set(first["views"])
    view.close()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([], ValueError, "captures is empty"),
        ("digits", TypeError, "captures must be one Capture or a list"),
        (Capture.from_arrays([[1.0, 0.0]], [0]), ValueError, "None of the captures has an out-of-distribution set"),
        (make_capture("isomax", sets=("ID",)), ValueError, "ood holds a set called 'ID'"),
    ],
)
def test_explore_rejects_what_it_cannot_show(given, error, message):
    with pytest.raises(error, match=message):
        explore(given)


def test_closing_closes_everything(captures):
    before = set(ipywidgets.widget._instances)
    explore(captures).close()
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


def test_widgets_load_without_torch():
    code = "import sys; sys.modules['torch'] = None; import isomax_viz as iv; iv.explore"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr == ""


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_saved_figures_are_those_of_the_plain_call(view, captures, tmp_path, suffix):
    view.restore({"loss": "isomax+", "view": "entropy"})
    path = view.save(tmp_path / f"mine.{suffix}")
    expected = figures.save_figure(figures.plot_entropy(captures[2], ood=["letters"]), tmp_path / f"plain.{suffix}")
    assert path.read_bytes() == expected.read_bytes()


@pytest.mark.parametrize(
    ("key", "table"),
    [
        ("scores", lambda capture: tables.scores_table(capture, "es", ["letters"])),
        ("roc", lambda capture: tables.roc_table(capture, ["letters"], score="es")),
        ("distances", lambda capture: tables.logits_table(capture, ["letters"], quantity="distance")),
        ("training", tables.training_table),
    ],
)
def test_saved_data_are_those_of_the_plain_table(view, captures, tmp_path, key, table):
    view.restore({"loss": "isomax+", "view": key})
    table(captures[2]).to_csv(tmp_path / "plain.csv", index=False)
    pd.testing.assert_frame_equal(pd.read_csv(view.save(tmp_path / "x.csv")), pd.read_csv(tmp_path / "plain.csv"))


def test_the_browser_saves_into_the_folder_and_hears_where(captures, tmp_path):
    view = explore(captures, folder=tmp_path)
    view.restore({"loss": "isomax+", "view": "roc"})
    for suffix in ("csv", "json", "png"):
        path = asked(view, {"what": "save", "suffix": suffix})[0]["answer"]["path"]
        assert path == str(tmp_path / f"roc_isomax+_es_letters.{suffix}")
    assert view.restore((tmp_path / "roc_isomax+_es_letters.json").read_text()).state()["view"] == "roc"
    with pytest.raises(ValueError, match="The suffix of path must be one of"):
        view.save("x.gif")
    assert asked(view, {"what": "code"})[0]["answer"]["code"] == view.code()
    view.close()


def test_freeze_leaves_the_picture_as_a_plain_image(view, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *items, **options: shown.extend(items))
    view.freeze()
    assert shown[0].data == view._repr_mimebundle_()[0]["image/png"] and "AUROC" in shown[1].data


def test_freeze_shows_names_as_text(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *items, **options: shown.extend(items))
    explore(make_capture("isomax", sets=("<img src=x onerror=alert(1)>",))).freeze()
    assert "&lt;img" in shown[1].data and "<img" not in shown[1].data


def test_pictures_are_those_of_the_set(captures):
    digits = load_id("digits").test
    images = ImageSet(
        images=digits.images[:60], labels=captures[0].test.labels, class_names=digits.class_names, name="m"
    )
    view = explore(captures, images={"test": images})
    content, buffers = asked(view, {"what": "pictures", "network": 0, "name": "ID", "indices": [7, 3]})
    assert content["answer"] == {"png": {"buffer": 0, "type": "u1"}, "height": 8, "columns": 32}
    pixels = np.asarray(Image.open(BytesIO(buffers[0])))
    np.testing.assert_array_equal(pixels[:, :8], digits.images[7, :, :, 0])
    np.testing.assert_array_equal(pixels[:, 8:16], digits.images[3, :, :, 0])
    view.close()


def test_of_drawn_sets_as_many_pictures_are_drawn_as_were_recorded(capture):
    digits = load_id("digits")
    few = load_ood("uniform", digits, n=40)
    told = {"uniform": {"fingerprint": few.fingerprint}, "fooling": {"provenance": {"source": "made here"}}}
    recorded = capture.replace(ood=dict.fromkeys(told, capture.ood["near"]), meta={"data": "digits", "ood": told})
    assert find_images(recorded, "uniform", {}).fingerprint == few.fingerprint
    with pytest.raises(
        ValueError, match=r"'fooling' were made by iv.make_fooling\('digits', n=40\). Give them: explore"
    ):
        find_images(recorded, "fooling", {})


def test_of_every_other_picture_that_was_recorded_the_right_ones_are_shown():
    digits = load_id("digits")
    known, letters, uniform = (
        digits.test.every(2),
        load_ood("letters", digits).every(2),
        load_ood("uniform", digits, n=80),
    )
    sets = {"letters": letters, "uniform": uniform.every(2)}
    noise = np.random.default_rng(0).normal(size=(300, 10))
    told = {name: {"fingerprint": images.fingerprint} for name, images in sets.items()}
    recorded = Capture(
        test=Samples(noise, known.labels),
        ood={name: Samples(noise[: len(images)], np.full(len(images), -1)) for name, images in sets.items()},
        meta={"data": "digits", "every": 2, "ood": told},
    )
    for name, images in {"test": known, **sets}.items():
        np.testing.assert_array_equal(find_images(recorded, name, {}).images, images.images)
    for pictures in (digits.test, known):  # the whole set does as well as what was kept of it
        np.testing.assert_array_equal(find_images(recorded, "test", {"test": pictures}).images, known.images)
    learnt = recorded.replace(train=Samples(noise, digits.train.labels[:300]))  # of these none are left out
    images = {"train": digits.train.subset(np.arange(300))}
    np.testing.assert_array_equal(find_images(learnt, "train", images).images, images["train"].images)
    with pytest.raises(ValueError, match="'letters' at hand are not those"):
        find_images(recorded.replace(meta={**recorded.meta, "every": 3}), "letters", {})


def test_the_nearest_training_pictures_are_those_of_scikit_learn(captures):
    rng, train = np.random.default_rng(0), load_id("digits").train
    logits = rng.normal(size=(len(train), 4))
    recorded = Samples(logits, train.labels % 4, features=rng.normal(size=(len(train), 5)))
    view = explore(captures[2].replace(train=recorded))
    found = NearestNeighbors(n_neighbors=6).fit(normalize(recorded.features))
    for name, samples in (("ID", captures[2].test), ("patches", captures[2].ood["patches"])):
        content, _ = asked(view, {"what": "nearest", "network": 0, "name": name, "index": 7})
        distances, rows = found.kneighbors(normalize(samples.features[7:8]))
        assert content["answer"]["index"] == rows[0].tolist()
        assert content["answer"]["label"] == (train.labels[rows[0]] % 4).tolist()
        np.testing.assert_allclose(content["answer"]["distance"], distances[0], rtol=1e-5)
    request = {"what": "pictures", "network": 0, "name": "train", "indices": [3]}
    assert "not those that the capture recorded" in asked(view, request)[0]["error"]  # it has other labels
    view.close()
    digits = explore(captures[2].replace(train=recorded), images={"train": train})
    pixels = np.asarray(Image.open(BytesIO(asked(digits, request)[1][0])))
    np.testing.assert_array_equal(pixels[:, :8], train.images[3, :, :, 0])
    digits.close()


def test_a_capture_without_training_features_says_so(view):
    content, _ = asked(view, {"what": "nearest", "network": 0, "name": "ID", "index": 0})
    assert content["error"].startswith("The capture holds no features of training images")


def test_one_image_is_judged_by_the_network_of_the_capture_alone(trained, session_store):
    capture = next(item for item in trained.values() if item.loss == "isomax+")
    pictures = load_id("digits").test.subset([0, 1])
    said = Networks([capture], session_store).judge(0, pictures.with_provenance())
    np.testing.assert_allclose(said.logits, capture.test.logits[:2], rtol=1e-4, atol=1e-6)
    other = capture.replace(test=dataclasses.replace(capture.test, logits=capture.test.logits + 0.1))
    with pytest.raises(StoreError, match="not the one behind this capture"):
        Networks([other], session_store).judge(0, pictures)


def test_what_is_drawn_is_scored_by_every_loss(trained, session_store):
    view = explore(list(trained.values()), store=session_store)
    blocks = [16 if column in (3, 4) else 0 for _ in range(8) for column in range(8)]
    content, buffers = asked(view, {"what": "judge", "network": 0, "pad": blocks})
    rows = content["answer"]["rows"]
    assert len(rows) == len(trained) and buffers[0][:4] == b"\x89PNG"
    for row in rows:
        said = view._networks.judge(row["network"], on_pad(blocks))
        assert row["scores"]["es"] == float(compute("es", said)[0])
    view.close()


def test_where_there_is_no_network_the_answer_says_so(view):
    rows = asked(view, {"what": "judge", "network": 0, "pad": [0] * 64})[0]["answer"]["rows"]
    assert len(rows) == 3 and all("does not say which experiment recorded it" in row["words"] for row in rows)


def test_shipped_captures_are_judged_by_shipped_networks(tmp_path):
    view = explore(load_example("digits", seed=0), store=tmp_path)
    blocks = [16 if column in (3, 4) else 0 for _ in range(8) for column in range(8)]
    rows = asked(view, {"what": "judge", "network": 0, "pad": blocks})[0]["answer"]["rows"]
    assert [sorted(row) for row in rows] == [["called", "network", "probability", "scores"]] * 4
    view.close()
