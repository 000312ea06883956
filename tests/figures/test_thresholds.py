"""Thresholds, selections, projections and their figures against hand-made cases and independent formulas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import confusion_matrix

from isomax_viz import Capture, figures, metrics
from isomax_viz.analysis.features import feature_space_table, prototype_distances_table
from isomax_viz.analysis.images import select_images
from isomax_viz.analysis.scores import compute
from isomax_viz.analysis.thresholds import find_threshold, same_share, threshold_table


def make_capture(loss="isomax", *, seed=0, n=80):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    logits, features = rng.normal(size=(n, 3)), rng.normal(size=(n, 4)) * [4, 2, 1, 0.5]
    logits[np.arange(n), labels] += 3
    ood = {name: {"logits": rng.normal(size=(50, 3)), "features": rng.normal(size=(50, 4))} for name in ("a", "b")}
    capture = Capture.from_arrays(logits, labels, features=features, ood=ood, loss=loss)
    return capture.replace(prototypes=rng.normal(size=(3, 4)))


@pytest.fixture
def capture():
    return make_capture()


@pytest.mark.parametrize("threshold", ["tpr95", "dtacc", -0.4])
def test_counts_are_those_of_scikit_learn(capture, threshold):
    id_scores = compute("es", capture.test)
    for row in threshold_table(capture, score="es", threshold=threshold).to_dict("records"):
        ood_scores = compute("es", capture.ood[row["ood"]])
        truth = [1] * len(id_scores) + [0] * len(ood_scores)
        said = np.concatenate([id_scores, ood_scores]) >= row["threshold"]
        (tn, fp), (fn, tp) = confusion_matrix(truth, said)
        names = ("id_accepted", "id_rejected", "ood_accepted", "ood_rejected")
        assert tuple(row[name] for name in names) == (tp, fn, fp, tn)
        assert (row["TPR"], row["FPR"], row["TNR"]) == pytest.approx((tp / 80, fp / 50, tn / 50))


def test_rules_give_the_thresholds_of_the_metrics(capture):
    id_scores = compute("es", capture.test)
    both = np.concatenate([compute("es", capture.ood[name]) for name in ("a", "b")])
    assert find_threshold(capture, score="es") == metrics.threshold_at_tpr(id_scores)
    assert find_threshold(capture, score="es", rule="dtacc") == metrics.best_dtacc_threshold(id_scores, both)


@pytest.mark.parametrize("share", [1.0, 0.75, 0.5, 0.0125, 0.0])
def test_the_same_share_of_known_images(capture, share):
    other, scores = make_capture(seed=1), np.sort(compute("es", capture.test))[::-1]
    threshold = scores[round(80 * share) - 1] if share else scores[0] + 1
    there = same_share(float(threshold), capture, other, score="es")
    assert (compute("es", other.test) >= there).mean() == pytest.approx(share)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": "tpr90"}, "threshold must be one of 'tpr95', 'dtacc', but is 'tpr90'"),
        ({"threshold": [1.0, 2.0]}, "threshold must have one number per capture \\(1\\), but has 2"),
        ({"threshold": float("nan")}, "threshold must be a number"),
        ({"ood": "c"}, "ood must be one of 'a', 'b', but is 'c'"),
    ],
)
def test_impossible_thresholds_are_rejected(capture, options, message):
    with pytest.raises(ValueError, match=message):
        threshold_table(capture, **options)


def marked(curve):
    (place,) = curve.get_markevery()
    return tuple(curve.get_xydata()[place])


@pytest.mark.parametrize("threshold", [-0.4, -0.41, "dtacc", 9.0, -9.0, float("inf")])
def test_the_operating_point_lies_where_the_counts_say(capture, threshold):
    figure = figures.plot_operating_point(capture, "a", score="es", threshold=threshold)
    row = threshold_table(capture, "a", score="es", threshold=threshold).iloc[0]
    (curve,) = [line for line in figure.axes[1].lines if "AUROC" in line.get_label()]
    assert marked(curve) == (row["FPR"], row["TPR"])
    (line,) = [line for line in figure.axes[0].lines if line.get_gid() == "threshold"]
    assert list(line.get_xdata()) == [row["threshold"]] * 2
    assert figure.axes[0].texts[0].get_text().endswith(f"accepts {100 * row['TPR']:.1f} % of ID")


def test_each_point_lies_on_its_own_curve_whatever_the_captures_differ_in():
    scaled = [make_capture(seed=seed).replace(meta={"loss": "isomax", "entropic_scale": seed}) for seed in (1, 3, 10)]
    captures = [make_capture("softmax", seed=5), *scaled, make_capture("isomax", seed=6)]
    sets = (name for name in ["a"])  # can be gone through once only
    values = [-0.5, -0.6, -0.7, -0.8, -0.9]
    figure = figures.plot_operating_point(captures, sets, score="es", threshold=values, panels="roc")
    curves = [line for line in figure.axes[0].lines if line.get_zorder() == 3]
    rows = threshold_table(captures, "a", score="es", threshold=values)
    assert {marked(curve) for curve in curves} == set(zip(rows["FPR"], rows["TPR"], strict=True)) and len(curves) == 5


def test_a_plane_needs_two_images_and_two_features():
    logits, labels = [[1.0, 0.0], [0.0, 1.0]], [0, 1]
    for images, features in ((1, [[1.0, 2.0]]), (2, [[1.0], [2.0]])):
        capture = Capture.from_arrays(logits[:images], labels[:images], features=features)
        with pytest.raises(ValueError, match="at least 2 test images and 2 features"):
            feature_space_table(capture)


def test_the_plane_is_that_of_scikit_learn(capture):
    table = feature_space_table(capture)
    known = capture.test.features.astype(float)
    pca = PCA(2).fit(known)
    for group, points in (("ID", known), ("a", capture.ood["a"].features), ("prototype", capture.prototypes)):
        rows = table[table["group"] == group]
        wanted = pca.transform(points.astype(float))
        signs = np.sign((wanted * rows[["x", "y"]].to_numpy()).sum(axis=0))
        np.testing.assert_allclose(rows[["x", "y"]], wanted * signs, atol=1e-6)
    assert table["explained"].iloc[0] == pytest.approx(pca.explained_variance_ratio_.sum())


def test_isomax_plus_compares_directions():
    capture = make_capture("isomax+")
    unit = capture.prototypes / np.linalg.norm(capture.prototypes, axis=1, keepdims=True)
    wanted = np.linalg.norm(unit[:, None] - unit, axis=2)
    table = prototype_distances_table(capture)
    np.testing.assert_allclose(table["distance"].to_numpy().reshape(3, 3), wanted, atol=1e-6)


def test_what_is_missing_is_named(capture):
    with pytest.raises(ValueError, match="carry no features. Pass features=.* Experiment.run"):
        feature_space_table(Capture.from_arrays([[1.0, 0.0]], [0]))
    with pytest.raises(ValueError, match="carries no prototypes"):
        prototype_distances_table(Capture.from_arrays([[1.0, 0.0]], [0]))
    bare = capture.replace(ood={"a": capture.ood["a"], "b": replace(capture.ood["b"], features=None)})
    with pytest.raises(ValueError, match="The samples of 'b' carry no features. Pass features="):
        feature_space_table(bare)
    with pytest.raises(ValueError, match="which must be one of 'confident_ood'"):
        select_images(capture, which="worst")


def test_selections_hold_the_right_images(capture):
    ood = np.concatenate([compute("es", capture.ood[name]) for name in ("a", "b")])
    rows = select_images(capture, score="es", which="confident_ood", most=5)
    assert rows["score"].tolist() == np.sort(ood)[::-1][:5].tolist() and set(rows["set"]) <= {"a", "b"}
    rows = select_images(capture, score="es", which="doubtful_id", most=5)
    assert rows["score"].tolist() == np.sort(compute("es", capture.test))[:5].tolist()
