"""The teaching lab against closed forms, brute force and plain calls."""

from __future__ import annotations

import ast
import builtins
import copy
import json
import pickle
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import student_versions as classroom
from explorer_captures import asked
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell
from scipy.optimize import minimize_scalar
from scipy.special import softmax, xlogy

import isomax_viz as iv
from isomax_viz import Capture, Samples, calibration, figures, metrics, risks, scores
from isomax_viz.analysis.features import surface_table
from isomax_viz.analysis.thresholds import find_threshold, threshold_table
from isomax_viz.captures.provenance import variant
from isomax_viz.datasets import TOYS, Toy, load_toy, toy_from_images
from isomax_viz.explorer.lab import EXAMPLES
from isomax_viz.figures._canvas import png
from isomax_viz.learning.losses import HEADS

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
LESSONS = sorted(path for path in NOTEBOOKS.glob("1[0-3]_*.ipynb"))
SMALL = {"epochs": 2, "lines": 15}


@pytest.fixture(scope="module")
def runs():
    return {loss: iv.train_toy("moons", loss=loss, **SMALL) for loss in ("softmax", "isomax", "isomax+")}


@pytest.fixture(scope="module")
def blobs():
    """A trained IsoMax of three classes."""
    return iv.train_toy("blobs", loss="isomax", epochs=12, lines=31)


@pytest.fixture
def known(rng):
    """A capture whose test logits are wrong now and then, and one unknown set."""
    labels = rng.integers(0, 3, 400)
    logits = rng.normal(size=(400, 3)) + 2.0 * np.eye(3)[labels]
    unknown = {"near": 0.8 * rng.normal(size=(150, 3)), "far": 0.3 * rng.normal(size=(70, 3))}
    return Capture.from_arrays(logits, labels, ood=unknown, loss="isomax", meta={"entropic_scale": 10.0})


# ---------------------------------------------------------------------------------------------------------- toys


@pytest.mark.parametrize("name", TOYS)
def test_toys_are_standardised_and_repeat(name):
    toy, again, other = load_toy(name, n=90), load_toy(name, n=90), load_toy(name, n=90, seed=1)
    np.testing.assert_allclose(toy.train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(toy.train.std(axis=0), 1, rtol=1e-5)
    np.testing.assert_array_equal(toy.train, again.train)
    assert not np.array_equal(toy.train, other.train)
    assert len(np.unique(np.bincount(toy.train_labels))) == 1  # as many of each class


def test_without_noise_the_moons_are_half_circles():
    moons = load_toy("moons", n=60, noise=0.0)
    # Standardising keeps an axis-parallel ellipse, a x^2 + b y^2 + c x + d y = 1.
    for label in (0, 1):
        x, y = moons.train[moons.train_labels == label].astype(np.float64).T
        terms = np.column_stack([x**2, y**2, x, y])
        solution, *_ = np.linalg.lstsq(terms, np.ones(len(x)), rcond=None)
        np.testing.assert_allclose(terms @ solution, 1, atol=1e-4)


def test_unknown_points_lie_where_they_say():
    toy = load_toy("moons")
    far, ring = toy.ood["far blob"], np.linalg.norm(toy.ood["ring"], axis=1)
    np.testing.assert_allclose(far.mean(axis=0), 4 / np.sqrt(2), atol=0.1)
    assert 2.2 < ring.min() and ring.max() < 3.0
    assert np.linalg.norm(toy.train, axis=1).max() < 2.6 < np.linalg.norm(far, axis=1).min()


def test_pictures_become_rows_of_standardised_pixels():
    toy, images = toy_from_images("digits", ood="uniform"), iv.datasets.load_id("digits")
    assert toy.train.mean() == pytest.approx(0, abs=1e-4) and toy.train.std() == pytest.approx(1, abs=1e-4)
    first = images.test.images[0].reshape(-1) / 255
    np.testing.assert_allclose(toy.test[0] * images.std[0] + images.mean[0], first, atol=1e-5)
    np.testing.assert_array_equal(toy.test_labels, images.test.labels)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: load_toy("moon"), "name must be one of .* Did you mean 'moons'"),
        (lambda: load_toy("moons", n=3), "n must be a whole number of at least 4"),
        (lambda: load_toy("moons", noise=-1.0), "noise must be a number of at least 0"),
        (lambda: Toy("x", [[0.0]], [0], [[0.0]], [0], {}, ("one",)), "number of class_names .* at least 2"),
        (lambda: Toy("x", [[0.0]], [2], [[0.0]], [0], {}, ("a", "b")), "train_labels must lie in"),
        (lambda: Toy("x", [[0.0]], [0], [[0.0]], [0], {"far": [[1.0, 2.0]]}, ("a", "b")), r"ood\['far'\] must have"),
        (lambda: Toy("x", [[0.0]], [-1], [[0.0]], [0], {}, ("a", "b")), "train must have .* 1 labels of -1.* into ood"),
        (lambda: Toy("x", [[0.0]], [0], np.empty((0, 1)), [], {}, ("a", "b")), "test must have at least one point"),
        (lambda: Toy("x", [[0.0]], [0], [[0.0]], [0], {"test": [[1.0]]}, ("a", "b")), "must not call a set 'test'"),
        (lambda: iv.train_toy("moons", loss="isomx"), "loss must be one of .* Did you mean 'isomax'"),
        (lambda: iv.train_toy("moons", loss="softmax", entropic_scale=3.0), "entropic_scale can't be set"),
        (lambda: iv.train_toy("moons", epochs=0), "epochs must be a whole number of at least 1"),
    ],
)
def test_toys_reject_what_they_cannot_use(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ------------------------------------------------------------------------------------------------- training, planes


def forward(weights, points):
    """The two hidden layers, by hand."""
    for layer in (0, 2, 4):
        points = points @ weights[f"backbone.{layer}.weight"].T + weights[f"backbone.{layer}.bias"]
        points = np.maximum(points, 0) if layer < 4 else points
    return points


def grid(plane):
    return np.array([(x, y) for y in plane.y for x in plane.x])


def test_planes_are_what_the_weights_say(runs):
    """Every snapshot's surface, recomputed in numpy from its weights: softmax, distances, unit distances."""
    for loss, run in runs.items():
        for snapshot in run.snapshots:
            features = forward(snapshot.weights, grid(snapshot.planes["input"]))
            plane = snapshot.planes["input"].samples
            np.testing.assert_allclose(plane.features, features, atol=2e-4)
            for vectors, said in (
                (features, plane),
                (grid(snapshot.planes["features"]), snapshot.planes["features"].samples),
            ):
                np.testing.assert_allclose(said.logits, logits_by_hand(loss, snapshot.weights, vectors), atol=5e-4)


def logits_by_hand(loss, weights, features):
    if loss == "softmax":
        return features @ weights["head.linear.weight"].T + weights["head.linear.bias"]
    prototypes = weights["head.prototypes"]
    if loss == "isomax+":
        features = features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-30)
        prototypes = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
    distances = np.linalg.norm(features[:, None] - prototypes, axis=2)
    return -distances * (np.abs(weights["head.distance_scale"]) if loss == "isomax+" else 1.0)


def test_regions_of_isomax_are_voronoi_cells(blobs):
    """The class that the network decides for is the one with the nearest prototype, at every point of the plane."""
    plane, prototypes = blobs.final.planes["features"], blobs.capture.prototypes
    distances = np.linalg.norm(grid(plane)[:, None] - prototypes, axis=2)
    table = surface_table(blobs, score="mds", space="features")
    rows = table[table["group"] == "plane"]
    clear = np.diff(np.sort(distances, axis=1)[:, :2]).ravel() > 1e-5
    np.testing.assert_array_equal(rows["label"][clear], distances.argmin(axis=1)[clear])
    np.testing.assert_allclose(rows["value"], -distances.min(axis=1), atol=1e-5)
    assert set(rows["label"]) == {0, 1, 2}


def test_the_features_of_isomax_plus_lie_on_circles(runs):
    table = surface_table(runs["isomax+"], space="features")
    radius = np.hypot(table["x"], table["y"]).groupby(table["group"])
    for group, length in {"ID": 1.0, "prototype": 1.0, "far blob": 1.13, "ring": 1.26}.items():
        np.testing.assert_allclose(radius.get_group(group), length, rtol=1e-5)


def test_circles_of_many_unknown_sets_stay_within_the_plane():
    ood = {f"set {number}": [[number, 1.0], [-1.0, number]] for number in range(7)}
    toy = Toy("mine", np.eye(2).repeat(20, axis=0), [0] * 20 + [1] * 20, np.eye(2), [0, 1], ood, ("a", "b"))
    table = surface_table(iv.train_toy(toy, loss="isomax+", **SMALL), space="features")
    radius = np.hypot(table["x"], table["y"])[table["ood"]].groupby(table["group"]).mean()
    np.testing.assert_allclose(radius, 1 + np.arange(1, 8) / 14, rtol=1e-5)
    assert radius.max() < table.loc[table["group"] == "plane", "x"].max()


def test_the_feature_plane_leaves_the_known_points_as_large_however_many_sets_there_are():
    """The same far points, as one unknown set or as three, give the same plane."""
    known, labels = np.array([[0.0, 1.0], [1.0, 0.0]]).repeat(20, axis=0), [0] * 20 + [1] * 20
    far = [[400.0, 300.0], [-500.0, 100.0]]
    extents = []
    for names in (["a"], ["a", "b", "c"]):
        toy = Toy("mine", known, labels, known, labels, dict.fromkeys(names, far), ("a", "b"))
        plane = iv.train_toy(toy, loss="softmax", **SMALL).final.planes["features"]
        extents.append([*plane.x[[0, -1]], *plane.y[[0, -1]]])
    assert extents[0] == pytest.approx(extents[1])


@pytest.mark.parametrize("loss", HEADS)
def test_every_head_gives_a_surface(loss):
    run = iv.train_toy("blobs", loss=loss, epochs=3, lines=5)
    assert run.epochs == (0, 1, 2, 3)
    learned = run.capture.history.query("split == 'train'")["cross_entropy"]
    assert learned.iloc[-1] < learned.iloc[0]
    assert run.capture.test.accuracy > 0.6
    moved = [not np.array_equal(a, b) for a, b in zip(*(run.at(n).weights.values() for n in (0, 3)), strict=True)]
    assert any(moved)


def test_training_repeats_and_leaves_the_random_numbers_alone():
    import torch

    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first, second = (iv.train_toy("moons", loss="isomax", **SMALL) for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    np.testing.assert_array_equal(first.capture.test.logits, second.capture.test.logits)
    other = iv.train_toy("moons", loss="isomax", seed=1, **SMALL)
    assert not np.array_equal(first.capture.test.logits, other.capture.test.logits)


@pytest.mark.parametrize("again", [lambda item: item, copy.deepcopy, lambda item: pickle.loads(pickle.dumps(item))])
def test_a_snapshot_of_a_training_stays_frozen(again):
    found = again(iv.train_toy("moons", epochs=1, lines=3).final)
    plane = found.planes["input"]
    for array in (plane.x, plane.y, found.planes["features"].x, *found.weights.values(), *found.points.values()):
        assert not array.flags.writeable


def test_a_head_of_ones_own_is_passed_as_a_class():
    from isomax_viz.learning.losses import IsoMaxHead

    class Mine(IsoMaxHead):
        pass

    run = iv.train_toy("moons", loss=Mine, entropic_scale=3.0, **SMALL)
    assert run.capture.loss == "Mine" and run.capture.meta["entropic_scale"] == 3.0
    plain = iv.train_toy("moons", loss="isomax", entropic_scale=3.0, **SMALL)
    np.testing.assert_array_equal(run.capture.test.logits, plain.capture.test.logits)


def test_pictures_have_no_input_plane():
    run = iv.train_toy(toy_from_images("digits", ood=[]), epochs=1, lines=5)
    with pytest.raises(ValueError, match="space must be one of 'features'.* no input plane"):
        surface_table(run)
    with pytest.raises(ValueError, match=r"epoch must be one of 0 .. 1 .* but is 7"):
        run.at(7)


# ------------------------------------------------------------------------------------------------------- surfaces


def test_a_surface_draws_the_scores_of_its_plane(blobs):
    ax = figures.plot_surface(blobs, score="es")
    plane = blobs.final.planes["input"]
    p = softmax(plane.samples.logits.astype(np.float64), axis=1)
    np.testing.assert_allclose(ax.images[0].get_array(), xlogy(p, p).sum(axis=1).reshape(31, 31), atol=1e-5)
    left, right, bottom, top = ax.images[0].get_extent()
    step = plane.x[1] - plane.x[0]
    assert (left, right) == pytest.approx((plane.x[0] - step / 2, plane.x[-1] + step / 2))


def test_the_words_over_a_surface_count_what_is_accepted(blobs):
    ax = figures.plot_surface(blobs, score="mds", space="features")
    inside = -blobs.capture.test.distances.min(axis=1)
    threshold = metrics.threshold_at_tpr(inside)
    share = (-blobs.capture.ood["ring"].distances.min(axis=1) >= threshold).mean()
    words = " ".join(text.get_text() for text in reversed(ax.texts) if not text.get_gid())
    assert f"ring{share:.0%}" in "".join(words.split())
    assert f"{100 * share:.0f}" in figures.describe(ax)


def test_the_black_line_is_where_the_score_equals_the_threshold(blobs):
    ax = figures.plot_surface(blobs, score="mds", space="features")
    line = next(item for item in ax.collections if item.get_gid() == "threshold")
    points = np.concatenate([path.vertices for path in line.get_paths()])
    threshold = metrics.threshold_at_tpr(-blobs.capture.test.distances.min(axis=1))
    distances = np.linalg.norm(points[:, None] - blobs.capture.prototypes, axis=2).min(axis=1)
    step = np.diff(blobs.final.planes["features"].x)[0]
    np.testing.assert_allclose(distances, -threshold, atol=step)  # interpolated between grid lines


def test_panels_are_in_the_order_of_networks_and_scores(runs):
    figure = figures.plot_surfaces(runs.values(), score=["mps", "mds"])
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]
    networks = ("SoftMax", "IsoMax, scale 10", "IsoMax+, scale 10")
    assert titles == [f"{network} · {score}" for score in ("MPS", "MDS") for network in networks]
    with pytest.raises(ValueError, match="data and score must each have at least one entry"):
        figures.plot_surfaces([])


@pytest.mark.parametrize("score", ["es", "energy"])
def test_axes_stand_still_from_epoch_to_epoch(runs, score):
    places = set()
    for epoch in (0, 1, 2):
        figure = figures.plot_surfaces([runs["softmax"].at(epoch), runs["isomax"].at(epoch)], score=score)
        png(figure)
        places.add(tuple(round(side, 4) for ax in figure.axes for side in ax.get_position().bounds))
    assert len(places) == 1


def test_words_over_a_surface_break_alike_whatever_is_accepted(runs):
    table = surface_table(runs["softmax"]).replace({"group": {"ring": "a set with a name of some length"}})
    words = []
    for threshold in (table["value"].min() - 1, table["value"].max() + 1):  # all is accepted, and nothing
        figure = figures.plot_grid(figures.plot_surface, table.assign(threshold=threshold))
        words += [text.get_text() for text in figure.axes[0].texts if text.get_text().startswith("accepted")]
    assert [line.count("\n") for line in words] == [1, 1] and "100\N{NO-BREAK SPACE}%" in words[0]
    lengths = [[len(line) for line in text.split("\n")] for text in words]
    assert lengths[0] == lengths[1] and "100" not in words[1]


def test_what_differs_between_panels_stands_over_each(runs):
    """Epochs or data of which there are several belong to the panels, not to the whole figure."""
    run = runs["isomax"]
    figure = figures.plot_surfaces([run.at(0), run.at(2)])
    titles = [ax.get_title(loc="left") for ax in figure.axes[:2]]
    assert titles == ["epoch 0", "epoch 2"] and figure.get_suptitle() == "IsoMax, scale 10 · moons · ES"
    other = iv.train_toy("blobs", loss="isomax", **SMALL)
    figure = figures.plot_surfaces([run, other])
    titles = [ax.get_title(loc="left") for ax in figure.axes[:2]]
    assert titles == ["moons", "blobs"] and figure.get_suptitle() == "IsoMax, scale 10 · ES · epoch 2"


def test_the_black_line_encloses_scores_that_saturate(runs):
    """A threshold that equals the largest score accepts the points of that score, and the line runs around them."""
    table = surface_table(runs["softmax"], score="mps")
    plane = table["group"] == "plane"
    saturated = plane & table["x"].between(-1, 1) & table["y"].between(-1, 1)
    table.loc[plane, "value"] = np.where(saturated[plane], 1.0, 0.5)
    table["threshold"] = 1.0
    ax = figures.plot_surface(table)
    line = next(item for item in ax.collections if item.get_gid() == "threshold")
    points = np.concatenate([path.vertices for path in line.get_paths()])
    for axis, name in enumerate("xy"):
        inside = table.loc[saturated, name]
        np.testing.assert_allclose(
            [points[:, axis].min(), points[:, axis].max()], [inside.min(), inside.max()], atol=1e-6
        )


def test_regions_are_drawn_from_the_decisions(blobs):
    ax = figures.plot_surface(blobs, regions=True)
    decisions = blobs.final.planes["input"].samples.predictions.reshape(31, 31)
    np.testing.assert_array_equal(ax.images[0].get_array(), decisions)
    with pytest.raises(
        ValueError,
        match="data is a DataFrame without .*or the table that isomax_viz.analysis.features.surface_table",
    ):
        figures.plot_surface(pd.DataFrame({"x": [0.0]}))


# ----------------------------------------------------------------------------------------------------- calibration


def test_the_likelihood_is_that_of_scipy(known):
    for temperature in (0.2, 1.0, 4.0):
        p = softmax(known.test.logits.astype(np.float64) / temperature, axis=1)
        expected = -np.log(p[np.arange(400), known.test.labels]).mean()
        found = calibration.negative_log_likelihood(known.test.logits, known.test.labels, temperature=temperature)
        assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("factor", [0.01, 1.0, 30.0])
def test_the_fitted_temperature_minimises_the_likelihood(known, factor):
    logits, labels = factor * known.test.logits.astype(np.float64), known.test.labels

    def loss(log_temperature):
        p = softmax(logits / np.exp(log_temperature), axis=1)
        return -np.log(p[np.arange(len(labels)), labels]).mean()

    oracle = minimize_scalar(
        loss, bounds=np.log([1e-3 * factor, 1e3 * factor]), method="bounded", options={"xatol": 1e-10}
    )
    assert calibration.fit_temperature(logits, labels) == pytest.approx(np.exp(oracle.x), rel=1e-4)


def test_a_temperature_that_cannot_be_fitted_says_why():
    with pytest.raises(ValueError, match="every sample is classified correctly"):
        calibration.fit_temperature([[2.0, 0.0], [0.0, 3.0]], [0, 1])
    with pytest.raises(ValueError, match="the correct classes have no larger logits"):
        calibration.fit_temperature([[2.0, 0.0], [0.0, 3.0]], [1, 0])
    with pytest.raises(ValueError, match="1 are -1 .* give samples of known class"):
        calibration.fit_temperature([[2.0, 0.0], [0.0, 3.0]], [0, -1])
    with pytest.raises(ValueError, match="logits is empty. Give at least one sample"):
        calibration.fit_temperature(np.empty((0, 3)), [])
    with pytest.raises(ValueError, match="No temperature between .* differ from the others by next to nothing"):
        calibration.fit_temperature([[1 + 5e-7, 0.0], [0.0, 1.0]], [0, 0])


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_the_calibration_error_is_that_of_the_definition(rng, bins):
    confidences, correct = rng.uniform(0.1, 1, 500), rng.random(500) < 0.7
    total = 0.0
    for left, right in zip(np.arange(bins) / bins, np.arange(1, bins + 1) / bins, strict=True):
        members = (confidences > left) & (confidences <= right)
        if members.any():
            total += members.mean() * abs(confidences[members].mean() - correct[members].mean())
    assert calibration.calibration_error(confidences, correct, bins=bins) == pytest.approx(total, abs=1e-9)


def test_bins_of_equal_count_hold_equally_many(rng):
    confidences = rng.uniform(0.2, 1, 300)
    table = calibration.reliability_table(confidences, np.ones(300, dtype=bool), bins=10, binning="count")
    assert table["n"].tolist() == [30] * 10
    order = np.sort(confidences).reshape(10, 30)
    np.testing.assert_allclose(table["confidence"], order.mean(axis=1))
    np.testing.assert_allclose(table["right"], order[:, -1])


def test_equal_confidences_share_a_bin():
    table = calibration.reliability_table([1.0] * 6, [True] * 5 + [False], bins=4, binning="count")
    assert table[["n", "confidence", "accuracy"]].to_numpy().tolist() == [[6, 1.0, 5 / 6]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([2.0], [True]), "confidences must lie in 0 .. 1, .* not logits"),
        (([0.5, 0.6], [True]), "must have the same shape"),
        (([], []), "confidences is empty"),
        (([0.5, np.nan], [True, False]), "confidences has 1 of 2 values that are NaN"),
        (([0.5, 0.6], [3, 7]), "correct must say .* True or False.*Give predictions == labels"),
    ],
)
def test_reliability_rejects_what_it_cannot_use(arguments, message):
    with pytest.raises(ValueError, match=message):
        calibration.reliability_table(*arguments)
    with pytest.raises(ValueError, match="binning must be one of 'width', 'count'"):
        calibration.reliability_table([0.5], [True], binning="widths")


def test_entropy_and_cross_entropy_on_the_simplex_are_the_closed_forms():
    """Two equal rivals at a distance gap g: L(s) = log(1 + 2 e^{-s g}), H(s) = L(s) + s g (1 - p)."""
    gap, scales = 0.3, np.array([0.0, 1.0, 10.0, 200.0])
    table = calibration.scale_table([-0.2, -0.2 - gap, -0.2 - gap], 0, scales)
    loss = np.log1p(2 * np.exp(-scales * gap))
    np.testing.assert_allclose(table["cross_entropy"], loss, atol=1e-6)
    np.testing.assert_allclose(table["entropy"], loss + scales * gap * (1 - np.exp(-loss)), atol=1e-6)
    np.testing.assert_allclose(table[["p0", "p1", "p2"]].sum(axis=1), 1)
    assert table["entropy"].iloc[0] == pytest.approx(np.log(3))
    with pytest.raises(ValueError, match="scales must be a number of at least 0"):
        calibration.scale_table([0.0, 1.0], 0, [-1.0])
    with pytest.raises(ValueError, match="label must be a whole number of at least 0 and of at most 1, but is -1"):
        calibration.scale_table([0.0, 1.0], -1, [1.0])


def test_a_temperature_table_is_the_metrics_at_each_temperature(known):
    table = calibration.temperature_table(known, [0.1, 2.0], ood=["far"])
    for row in table.to_dict("records"):
        p = softmax(known.test.logits.astype(np.float64) / row["temperature"], axis=1)
        q = softmax(known.ood["far"].logits.astype(np.float64) / row["temperature"], axis=1)
        assert row["entropy"] == pytest.approx(-xlogy(p, p).sum(axis=1).mean(), rel=1e-4)
        assert row["ES"] == pytest.approx(metrics.auroc(xlogy(p, p).sum(axis=1), xlogy(q, q).sum(axis=1)), abs=1e-4)
        assert row["accuracy"] == known.test.accuracy
        error = calibration.calibration_error(p.max(axis=1), known.test.predictions == known.test.labels)
        assert row["calibration_error"] == pytest.approx(error, abs=1e-5)
    assert np.isnan(calibration.temperature_table(known.replace(ood={}), [1.0])["ES"]).all()


def test_cold_isomax_is_as_it_was_trained(trained):
    """At temperature 1 / entropic scale, the likelihood is the loss that the training reports for the test images."""
    capture = trained["isomax"]
    cold = 1 / capture.meta["entropic_scale"]
    found = calibration.negative_log_likelihood(capture.test.logits, capture.test.labels, temperature=cold)
    reported = capture.history.query("split == 'test'")["cross_entropy"].iloc[-1]
    assert found == pytest.approx(reported, rel=1e-4)


def test_a_reliability_diagram_draws_its_table(known):
    ax = figures.plot_reliability(known, temperature=0.5, bins=10)
    p = softmax(known.test.logits.astype(np.float64) / 0.5, axis=1).max(axis=1)
    table = calibration.reliability_table(p, known.test.predictions == known.test.labels, bins=10)
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], table["accuracy"])
    points = next(line for line in ax.lines if line.get_gid() == "bins")
    np.testing.assert_allclose(points.get_xdata(), table["confidence"], atol=1e-6)
    assert "10 bins of equal width" in ax.texts[-1].get_text()
    counts = [int(text.get_text().replace(",", "")) for text in ax.texts if text.get_gid() == "count"]
    assert counts == table["n"].tolist() and sum(counts) == 400


def test_confidence_is_the_probability_of_what_was_decided():
    """IsoMax2 decides by its class logits; the largest probability for detection may be that of another class."""
    logits, decided, labels = 1 + np.log([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]]), [1, 0, 1], [1, 0, 0]
    test = Samples(logits, labels, predictions=decided)
    capture = Capture(test=test, ood={}, meta={"loss": "isomax2"})
    np.testing.assert_allclose(calibration.decided_probabilities(test), [0.3, 0.6, 0.8], rtol=1e-6)
    row = calibration.temperature_table(capture, [1.0], bins=10).iloc[0]
    assert row["confidence"] == pytest.approx((0.3 + 0.6 + 0.8) / 3)
    assert row["calibration_error"] == pytest.approx((abs(0.3 - 1) + abs(0.6 - 1) + abs(0.8 - 0)) / 3, abs=1e-6)
    points = next(line for line in figures.plot_reliability(capture).lines if line.get_gid() == "bins")
    np.testing.assert_allclose(points.get_xydata(), [[0.3, 1], [0.6, 1], [0.8, 0]], atol=1e-6)


def test_fewer_bins_of_equal_count_are_named():
    capture = Capture.from_arrays([[9.0, 0.0]] * 8 + [[0.1, 0.0]] * 2, [0] * 10, loss="softmax")
    assert "(2 bins of equal count)" in figures.plot_reliability(capture, bins=5, binning="count").texts[-1].get_text()


def test_temperatures_multiply(known):
    twice = calibration.at_temperature(calibration.at_temperature(known, 0.5), 0.2)
    np.testing.assert_allclose(twice.test.logits, known.test.logits / 0.1, rtol=1e-5)
    assert twice.meta["logits_divided_by"] == pytest.approx(0.1)
    figure = figures.plot_temperature(calibration.at_temperature(known, 0.1))
    marked = {line.get_gid(): line.get_xdata()[0] for line in figure.axes[1].lines}
    assert marked["training"] == pytest.approx(1.0)  # these logits are as cold as in the training already


def test_a_temperature_leaves_the_settings_of_the_training_alone(known):
    """Logit normalisation has a setting of that name."""
    normalised = known.replace(meta=iv.Experiment(loss="logit_norm").meta)
    warm = calibration.at_temperature(normalised, 2.0)
    assert warm.meta["temperature"] == 0.04 and warm.meta["logits_divided_by"] == 2.0
    assert variant(calibration.at_temperature(known, 0.1)) == ""
    marked = {line.get_gid(): line.get_xdata()[0] for line in figures.plot_temperature(normalised).axes[1].lines}
    assert marked["detection"] == 1.0


def test_without_unknown_sets_the_temperature_figure_says_so():
    capture = Capture.from_arrays([[2.0, 0.0], [2.0, 0.0]], [0, 1], loss="softmax")
    assert "There is no out-of-distribution set to detect." in figures.describe(figures.plot_temperature(capture))


def test_percent_labels_differ_however_near_they_are():
    near = np.linspace(0.0, 1.0, 400)
    logits = np.column_stack([3 + near, np.zeros(400)])
    capture = Capture.from_arrays(logits, [0] * 399 + [1], ood={"x": logits[:5] - [[3.2, 0.0]]}, loss="softmax")
    axes = figures.plot_temperature(capture).axes[2]
    axes.figure.canvas.draw()
    low, high = axes.get_ylim()
    words = [text.get_text() for text in axes.get_yticklabels() if low <= text.get_position()[1] <= high]
    assert len(set(words)) == len(words) > 2


def test_the_simplex_marks_the_probabilities_of_the_scale():
    figure = figures.plot_simplex((-0.2, -0.5, -0.8), scale=3.0)
    chosen = next(line for line in figure.axes[0].lines if "chosen" in line.get_label())
    p = softmax([-0.6, -1.5, -2.4])
    expected = p[1] * np.array([1, 0]) + p[2] * np.array([0.5, np.sqrt(3) / 2])
    np.testing.assert_allclose(chosen.get_xydata()[0], expected, atol=1e-6)
    with pytest.raises(ValueError, match="logits must have three numbers"):
        figures.plot_simplex((0.0, 1.0))


def test_the_temperature_figure_marks_training_detection_and_fit(known):
    figure = figures.plot_temperature(known, temperature=0.5)
    marked = {line.get_gid(): line.get_xdata()[0] for line in figure.axes[1].lines}
    assert marked["training"] == 0.1 and marked["detection"] == 1.0
    assert marked["fitted"] == calibration.fit_temperature(known.test.logits, known.test.labels)


# ------------------------------------------------------------------------------------------------------------ costs


COSTS = {"accept_unknown": 7.0, "reject_known": 2.0, "share_unknown": 0.2}


def brute_force(capture, threshold, score="es"):
    """Each image in turn, one set after the other."""
    total = 0.0
    for value in scores.compute(score, capture.test):
        total += 2.0 * 0.8 * (value < threshold) / len(capture.test)
    for samples in capture.ood.values():
        for value in scores.compute(score, samples):
            total += 7.0 * 0.2 * (value >= threshold) / len(samples) / len(capture.ood)
    return total


def test_the_expected_cost_is_that_of_counting_images(known):
    table = risks.risk_table(known, score="es", **COSTS)
    for row in table.iloc[:: len(table) // 12].to_dict("records"):
        assert row["cost"] == pytest.approx(brute_force(known, row["threshold"]))
    best = risks.cheapest_threshold(known, score="es", **COSTS)
    everything = [brute_force(known, value) for value in table["threshold"]]
    assert brute_force(known, best) == pytest.approx(min(everything))


def test_extreme_costs_accept_or_reject_everything(known):
    assert risks.cheapest_threshold(known, accept_unknown=0.0) <= scores.compute("es", known.test).min()
    assert risks.cheapest_threshold(known, reject_known=0.0) > max(
        scores.compute("es", samples).max() for samples in known.ood.values()
    )


def test_rejecting_everything_can_be_drawn_however_near_the_scores_are():
    """The threshold above all scores stays above them in single precision, in which the counts are made."""
    capture = Capture.from_arrays([[0.1, 0.0]] * 4, [0, 1, 0, 1], ood={"same": [[0.1, 0.0]] * 3}, loss="softmax")
    figure = figures.plot_risk(capture, score="mps", accept_unknown=10.0)
    words = [text.get_text() for text in figure.axes[2].texts]
    assert words == ["0 (0.0 %)", "4 (100.0 %)", "0 (0.0 %)", "3 (100.0 %)"]
    assert "this threshold costs 0.5 per image, the cheapest 0.5" in figures.describe(figure)


def test_an_infinite_threshold_counts_and_is_drawn_at_the_edge(known):
    same = known.replace(ood={"same": Samples(known.test.logits, np.full(400, -1))})
    reject_all = risks.cheapest_threshold(same, accept_unknown=10.0)
    values = scores.compute("es", same.test)
    for threshold, share, edge in ((reject_all, 0, values.max()), (-np.inf, 1, values.min())):
        assert np.isinf(threshold)
        row = threshold_table(same, threshold=threshold).iloc[0]
        assert row["threshold"] == threshold and row["TPR"] == row["FPR"] == share
        figure = figures.plot_risk(same, threshold=threshold)
        words = [text.get_text() for text in figure.axes[2].texts]
        rejected = f"{400 - 400 * share} ({100 - 100 * share:.1f} %)"
        assert words == 2 * [f"{400 * share} ({100 * share:.1f} %)", rejected]
        line = next(line for line in figure.axes[0].lines if line.get_zorder() == 20)
        assert 0 < np.sign(threshold) * (line.get_xdata()[0] - edge) < 0.01 * np.ptp(values)
    for nothing in (np.nan, [np.nan]):
        with pytest.raises(ValueError, match="threshold must be a number, but is nan"):
            threshold_table(known, "near", threshold=nothing)
    with pytest.raises(ValueError, match="threshold must be a number, but is nan"):
        figures.plot_risk(known, threshold=np.nan)


def test_sets_may_be_named_by_a_generator(known):
    names = ["near", "far"]
    once = threshold_table([known, known], (name for name in names), threshold="dtacc")
    pd.testing.assert_frame_equal(once, threshold_table([known, known], names, threshold="dtacc"))
    assert png(figures.plot_risk(known, (name for name in names))) == png(figures.plot_risk(known, names))


def test_a_grid_refuses_figures_that_take_no_axes(known):
    for function in (figures.plot_risk, figures.plot_operating_point):
        with pytest.raises(TypeError, match=f"take the axes to draw on .ax=.*, but {function.__name__} takes none"):
            iv.plot_grid(function, [known])


def test_between_two_scores_the_drawn_cost_is_that_of_a_threshold_there(known):
    """Marked by hand anywhere, the point of the threshold lies on the curve."""
    table = risks.risk_table(known, "near", **COSTS)
    figure = figures.plot_risk(known, "near", threshold=-0.8123, **COSTS)
    ax = figure.axes[3]
    curve, marked = ax.lines[0], ax.lines[-1]
    assert curve.get_drawstyle() == "steps-post" and (np.diff(curve.get_xdata()) < 0).all()
    above = table[table["threshold"] >= -0.8123].iloc[-1]
    assert marked.get_xydata()[0] == pytest.approx([-0.8123, above["cost"]])


def test_a_cost_needs_an_unknown_set(known):
    with pytest.raises(ValueError, match="ood must name at least one out-of-distribution set"):
        risks.risk_table(known, [])
    with pytest.raises(ValueError, match="ood must name at least one out-of-distribution set"):
        find_threshold(known, [], rule="dtacc")


def test_costs_out_of_range_are_rejected(known):
    with pytest.raises(ValueError, match="share_unknown must be a number of at least 0 and of at most 1"):
        risks.risk_table(known, share_unknown=1.5)
    with pytest.raises(ValueError, match="accept_unknown must be a number of at least 0"):
        figures.plot_risk(known, accept_unknown=-1.0)
    with pytest.raises(ValueError, match="threshold must be one of 'cheapest', 'tpr95', 'dtacc'"):
        figures.plot_risk(known, threshold="cheap")


def test_no_point_of_the_curve_is_cheaper_than_the_marked_one(known):
    """The line of equal cost through the cheapest point supports the ROC curve of one set."""
    figure = figures.plot_risk(known, "near", **COSTS)
    curve_axes = figure.axes[1]
    line = next(item for item in curve_axes.lines if "equal cost" in str(item.get_label()))
    (x0, y0), (x1, y1) = line.get_xydata()
    assert (y1 - y0) / (x1 - x0) == pytest.approx(7.0 * 0.2 / (2.0 * 0.8))
    fpr, tpr, _ = metrics.roc(scores.compute("es", known.test), scores.compute("es", known.ood["near"]))
    above = (tpr - y0) - (y1 - y0) / (x1 - x0) * (fpr - x0)
    assert above.max() == pytest.approx(0, abs=1e-9)


def test_the_counts_in_the_figure_are_those_of_the_threshold(known):
    figure = figures.plot_risk(known, "near", threshold=-0.8)
    accepted = int((scores.compute("es", known.ood["near"]) >= -0.8).sum())
    words = [text.get_text() for text in figure.axes[2].texts]
    assert words[2].startswith(f"{accepted} (") and words[3].startswith(f"{150 - accepted} (")


def test_the_two_meanings_are_two_points_of_the_curve(rng):
    inside, outside = rng.normal(1, 1, 200), rng.normal(0, 1, 300)
    first, second = risks.two_meanings(inside, outside).values()
    threshold = np.sort(inside)[10]  # 190 of 200 at or above it
    assert first == pytest.approx((outside >= threshold).mean())
    threshold = np.sort(outside)[284]  # 285 of 300 at or below it
    assert second == pytest.approx((inside <= threshold).mean())
    whole = risks.two_meanings(np.array([40, 30, 20, 10], dtype=np.uint8), np.array([25, 0], dtype=np.uint8))
    assert list(whole.values()) == [0.5, 0.5]


def test_disagreements_are_the_pairs_that_two_metrics_rank_differently():
    values = {"a": (0.9, 0.3), "b": (0.8, 0.5), "c": (0.7, 0.45), "d": (0.6, 0.2)}
    rows = [
        {"loss": name, "score": "es", "ood": "x", "seed": 0, "AUROC": auroc, "TNR@TPR95": tnr}
        for name, (auroc, tnr) in values.items()
    ]
    found = risks.disagreements(pd.DataFrame(rows))
    assert list(zip(found["first"], found["second"], strict=True)) == [("a / es", "c / es"), ("a / es", "b / es")]
    assert found.attrs["pairs"] == 6
    with pytest.raises(ValueError, match="metrics must be one of"):
        risks.disagreements(pd.DataFrame(rows), ("AUROC", "FPR95"))


def test_detectors_of_other_data_are_no_rivals_and_two_scales_are_two_detectors():
    values = [("x", 1.0, 0.9, 0.3), ("x", 10.0, 0.8, 0.5), ("y", 1.0, 0.7, 0.9), ("y", 10.0, 0.95, 0.2)]
    names = ["data", "entropic_scale", "AUROC", "TNR@TPR95"]
    table = pd.DataFrame(values, columns=names).assign(loss="isomax", score="es", ood="noise", seed=0)
    found = risks.disagreements(table)
    assert found.attrs["pairs"] == 2
    assert found[["data", "first", "second"]].to_numpy().tolist() == [
        ["y", "isomax, scale 10 / es", "isomax, scale 1 / es"],
        ["x", "isomax, scale 1 / es", "isomax, scale 10 / es"],
    ]


def test_trainings_that_were_changed_otherwise_are_no_rivals():
    values = [("softmax", None, 0.9, 0.3), ("softmax", "epochs=2", 0.8, 0.5)]
    values += [("isomax", None, 0.7, 0.4), ("isomax", "epochs=2", 0.6, 0.8)]
    table = pd.DataFrame(values, columns=["loss", "variant", "AUROC", "TNR@TPR95"])
    found = risks.disagreements(table.assign(score="es", ood="noise", seed=0))
    assert found.attrs["pairs"] == 2
    assert found["first"].tolist() == ["softmax / es"] * 2 and found["second"].tolist() == ["isomax / es"] * 2
    assert [value if isinstance(value, str) else "" for value in found["variant"]] == ["epochs=2", ""]


# ---------------------------------------------------------------------------------------------------------- widgets


def drawn(view):
    """Return the picture that stands in the saved notebook."""
    return view._repr_mimebundle_()[0]["image/png"]


def test_the_surface_view_is_the_plain_figure_at_every_setting(runs):
    chosen = [runs["softmax"], runs["isomax"]]
    view = iv.explore_surfaces(chosen)
    seen = set()
    for state, plain in (
        ({"epoch": 0}, {"score": "es"}),
        ({"epoch": 1, "score": "mds"}, {"score": "mds"}),
        ({"space": "features", "fill": "regions"}, {"score": "mds", "space": "features", "regions": True}),
        ({"present": True}, {"score": "mds", "space": "features", "regions": True, "theme": "talk"}),
    ):
        view.restore(state)
        figure = figures.plot_surfaces([run.at(view.state()["epoch"]) for run in chosen], **plain)
        picture = drawn(view)
        assert picture == png(figure)
        answer = asked(view, {"what": "show", "settings": view.state()})
        assert answer["sentence"] == figures.describe(figure)
        seen.add(picture)
    assert len(seen) == 4


def test_the_risk_view_begins_with_the_cheapest_threshold_and_draws_the_plain_figure(known):
    view = iv.explore_risk(known, ood="near")
    assert drawn(view) == png(figures.plot_risk(known, "near"))
    view.restore({"score": "mps", "threshold": {"costs": COSTS}})
    assert view.state()["costs"] == COSTS
    assert drawn(view) == png(figures.plot_risk(known, "near", score="mps", **COSTS))
    assert "threshold='cheapest', accept_unknown=7.0" in view.code()
    view.restore({"threshold": "tpr95"})  # the costs stay
    assert drawn(view) == png(figures.plot_risk(known, "near", score="mps", threshold="tpr95", **COSTS))
    pd.testing.assert_frame_equal(view._table(), risks.risk_table(known, "near", score="mps", **COSTS))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"costs": {"accept": 1.0}}, r"costs'\] must be one of .*accept_unknown"),
        (
            {"threshold": {"costs": {"share_unknown": 1.5}}},
            "share_unknown must be a number of at least 0 and of at most 1",
        ),
        ({"costs": {"reject_known": -1.0}}, "reject_known must be a number of at least 0"),
    ],
)
def test_costs_that_cannot_be_are_refused(known, state, message):
    view = iv.explore_risk(known)
    before = view.state()
    with pytest.raises(ValueError, match=message):
        view.restore(state)
    assert view.state() == before


def test_the_risk_view_offers_the_scores_that_the_capture_gives(known):
    assert not {"mds"} & set(iv.explore_risk(known)._scores)
    assert list(iv.explore_risk(known, scores=["mps", "es"])._scores) == ["mps", "es"]


def test_what_no_control_can_mend_is_refused_before_there_is_a_view(known):
    for error, options, message in (
        (TypeError, {"capture": [known]}, "must be one Capture"),
        (ValueError, {"capture": known.replace(ood={})}, "no out-of-distribution set to compare with"),
        (ValueError, {"capture": known, "ood": "nea"}, "ood must be one of .* Did you mean 'near'"),
        (ValueError, {"capture": known, "scores": []}, "scores is empty. Choose at least one"),
        (ValueError, {"capture": known, "scores": ["mds"]}, "scores must be one of"),
    ):
        with pytest.raises(error, match=message):
            iv.explore_risk(**options)
    with pytest.raises(ValueError, match="entropic_scale must be a number above 0, but is -1"):
        iv.explore_simplex(entropic_scale=-1)


def test_the_temperature_view_sends_its_tables(known):
    view = iv.explore_temperature(known).restore({"temperature": 0.1})
    assert drawn(view) == png(figures.plot_temperature(known, temperature=0.1))
    answer = asked(view, {"what": "show", "settings": {"loss": "isomax"}})
    reliability, doubt, detection = answer["panels"]
    values = [value for value, _ in view.controls["temperature"].options]
    table = calibration.temperature_table(known, values)
    for panel, columns in ((doubt, ("cross_entropy", "entropy")), (detection, ("ES", "MPS"))):
        for curve, column in zip(panel["curves"], columns, strict=True):
            np.testing.assert_array_equal(curve["points"], table[["temperature", column]])
    cold = calibration.at_temperature(known, 0.1).test
    rows = calibration.reliability_table(calibration.decided_probabilities(cold), cold.predictions == cold.labels)
    (curve,) = reliability["frames"][values.index(0.1)]["curves"]
    np.testing.assert_array_equal(curve["points"], rows[["confidence", "accuracy"]])
    assert f"AUROC {100 * table['ES'].iloc[0]:.1f}" in answer["sentence"]["frames"][0]
    with pytest.raises(ValueError, match="captures must have different losses"):
        iv.explore_temperature([known, known])


def test_without_unknown_sets_the_temperature_view_says_so(known):
    answer = asked(iv.explore_temperature(known.replace(ood={})), {"what": "show", "settings": {"loss": "isomax"}})
    assert answer["panels"][2] == {"kind": "words", "text": "There is no out-of-distribution set to detect."}
    assert "AUROC" not in answer["sentence"]["frames"][0]


def test_the_simplex_view_sends_the_way_of_the_sample():
    view = iv.explore_simplex(entropic_scale=12.0).restore({"scale": 12.0, "example": "wrong"})
    logits = [-distance for distance in EXAMPLES["wrong"][0]]
    assert drawn(view) == png(figures.plot_simplex(logits, scale=12.0, entropic_scale=12.0))
    answer = asked(view, {"what": "show", "settings": {"example": "wrong"}})
    way = np.array(answer["panels"][0]["points"])
    np.testing.assert_allclose(way[:, 1:], softmax(way[:, :1] * logits, axis=1), rtol=1e-5)
    offered = [value for value, _ in view.controls["scale"].options]
    assert set(offered) <= set(way[:, 0]) and len(answer["sentence"]["frames"]) == len(offered)
    p = softmax(12.0 * np.array(logits))
    assert f"cross-entropy {-np.log(p[0]):.3g}" in answer["sentence"]["frames"][offered.index(12.0)]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"scales": 1.0}, "state must be one of .* Did you mean 'scale'"),
        ({"scale": 1.0, "example": "near on"}, "example must be one of .* Did you mean 'near one'"),
        ({"example": "wrong", "scale": 3.3}, "scale must be one of 0.0, 0.25"),
        ({"present": "yes"}, "present must be one of False, True, but is 'yes'"),
    ],
)
def test_restore_rejects_what_is_not_on_offer_and_changes_nothing(state, message):
    view = iv.explore_simplex()
    before = view.state()
    with pytest.raises(ValueError, match=message):
        view.restore(state)
    assert view.state() == before
    assert view.restore(json.dumps(before)).state() == before


def test_an_error_is_what_the_browser_hears(monkeypatch):
    monkeypatch.setattr("isomax_viz.explorer.lab.scale_table", broken)
    request = {"what": "show", "settings": {"example": "wrong"}}
    assert asked(iv.explore_simplex(), request, error=True) == "RuntimeError: cannot be drawn today"


def broken(*args, **kwargs):
    raise RuntimeError("cannot be drawn today")


def test_every_control_is_described_and_closing_closes_all(known, runs):
    for view in (iv.explore_surfaces(runs["isomax"]), iv.explore_simplex(), iv.explore_temperature(known)):
        start = asked(view, {"what": "start"})
        assert start["title"] and all(control["label"] and control["tooltip"] for control in start["controls"])
        view.close()
        assert view.comm is None and view.layout.comm is None


def test_surfaces_need_runs_with_common_epochs(runs):
    with pytest.raises(ValueError, match="runs must be at least one, with common epochs"):
        iv.explore_surfaces([])
    with pytest.raises(ValueError, match="spaces must be one of 'input', 'features'"):
        iv.explore_surfaces(runs["isomax"], spaces="feature")


# -------------------------------------------------------------------------------------------------- student versions


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_committed_student_versions_are_what_the_teachers_notebook_gives(path):
    teacher = nbformat.read(path, as_version=4)
    expected = classroom.student_version(teacher, lessons=tuple(item.name for item in LESSONS))
    committed = (NOTEBOOKS / "student" / path.name).read_text(encoding="utf-8")
    assert committed.rstrip("\n") == nbformat.writes(expected).rstrip("\n"), "refresh it with: make student"


def test_every_student_version_has_its_lesson():
    assert [path.name for path in sorted((NOTEBOOKS / "student").glob("*.ipynb"))] == [path.name for path in LESSONS]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_students_see_questions_and_no_answers(path):
    teacher, student = (nbformat.read(item, as_version=4) for item in (path, NOTEBOOKS / "student" / path.name))
    answers = [cell.source for cell in teacher.cells if "answer" in cell.metadata.get("tags", [])]
    text = "\n".join(cell.source for cell in student.cells)
    assert len(answers) >= 4 and all(answer not in text for answer in answers)
    assert "<details>" not in text and text.count(classroom.PLACEHOLDER) == len(answers)
    assert all("<details>" in answer and "</details>" in answer for answer in answers)  # folded
    questions = sum(cell.source.count("**Question ") for cell in teacher.cells)
    assert questions == text.count("**Question ") >= 5
    assert not any(cell.get("outputs") for cell in student.cells)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_student_code_is_the_teachers_code(path):
    """What the tests execute for the teacher is what students run; only tagged code may be missing, and is not used."""
    teacher, student = (nbformat.read(item, as_version=4) for item in (path, NOTEBOOKS / "student" / path.name))
    codes = [cell.source for cell in teacher.cells if cell.cell_type == "code"]
    kept = [cell.source for cell in student.cells if cell.cell_type == "code"]
    assert [code for code in codes if code in kept] == kept
    names = [node for node in ast.walk(ast.parse("\n".join(kept))) if isinstance(node, ast.Name)]
    defined = {node.id for node in names if isinstance(node.ctx, ast.Store)} | set(dir(builtins))
    for node in ast.walk(ast.parse("\n".join(kept))):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            defined |= {alias.asname or alias.name for alias in node.names}
    assert {node.id for node in names} <= defined


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_links_of_student_versions_lead_somewhere(path):
    import re

    notebook = nbformat.read(NOTEBOOKS / "student" / path.name, as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert targets and all((NOTEBOOKS / "student" / target).exists() for target in targets)


def test_a_student_version_by_hand(tmp_path, monkeypatch):
    cells = [
        new_markdown_cell("# One\n[two](two.ipynb) [three](three.ipynb#part) [web](https://example.org)"),
        new_code_cell("x = 1", execution_count=1),
        new_markdown_cell("42", metadata={"tags": ["answer"]}),
        new_code_cell("y = 2", metadata={"tags": ["answer"]}),
    ]
    for name, part in (("one", cells), ("two", cells[:3]), ("three", cells[:2])):
        nbformat.write(new_notebook(cells=part), tmp_path / f"{name}.ipynb")
    written = classroom.write_student_versions(tmp_path)
    assert [path.name for path in written] == ["one.ipynb", "two.ipynb"]
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    assert classroom.write_student_versions("~") == written
    student = nbformat.read(written[0], as_version=4)
    assert [cell.source for cell in student.cells[1:]] == ["x = 1", classroom.PLACEHOLDER]
    assert "(two.ipynb) [three](../three.ipynb#part) [web](https://example.org)" in student.cells[0].source
    assert student.cells[1].execution_count is None


def test_a_student_version_keeps_what_is_no_code_and_links_by_scheme():
    raw, mail = new_raw_cell("rm -r everything"), new_markdown_cell("[us](mailto:a@example.org) [two](two.ipynb)")
    cells = [new_markdown_cell("# One"), raw, mail]
    notebook = new_notebook(cells=cells)
    for cell in notebook.cells:
        del cell["id"]  # as in notebooks of older versions
    first, second = (classroom.student_version(notebook) for _ in range(2))
    assert first == second
    assert [cell.cell_type for cell in first.cells] == ["markdown", "raw", "markdown"]
    assert first.cells[2].source == "[us](mailto:a@example.org) [two](../two.ipynb)"


def test_student_versions_need_a_title_and_answers(tmp_path):
    with pytest.raises(ValueError, match="A lesson must begin with a title"):
        classroom.student_version(new_notebook(cells=[new_code_cell("1")]))
    with pytest.raises(ValueError, match="A lesson must begin with a title"):
        title = new_markdown_cell("# The answer is 42", metadata={"tags": ["answer"]})
        classroom.student_version(new_notebook(cells=[title]))
    with pytest.raises(FileNotFoundError, match="No notebook in .* has a cell with the tag 'answer'"):
        classroom.write_student_versions(tmp_path)
