"""Declared needs against the papers' printed tables; measured costs against counts by hand; the figure of both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import isomax_viz as iv
from isomax_viz import figures, methods, published, scores
from isomax_viz.catalog.losses import EXTRA_DATA, LOSSES
from isomax_viz.figures.costs import spread_out
from isomax_viz.learning.detectors import DETECTORS, KNearest
from isomax_viz.learning.losses import HEADS
from isomax_viz.learning.training.protocols import METHODS


@pytest.mark.parametrize("paper", ["isomax+", "dismax"])
def test_declarations_give_the_papers_tables(paper):
    printed = published.table(paper, 1)
    rendered = methods.table(paper)
    assert rendered.index.tolist() == printed["method"].drop_duplicates().tolist()
    assert rendered.columns.tolist() == printed["feature"].drop_duplicates().tolist()
    for row in printed.itertuples():
        assert rendered.loc[row.method, row.feature] == row.value, (row.method, row.feature)


def test_every_score_and_detector_is_declared_with_its_words():
    assert set(scores.COLUMNS) == set(DETECTORS) and not set(scores.COLUMNS) & set(scores.SCORES)
    for key, detector in DETECTORS.items():
        assert detector.key == key and scores.words(key).explanation.endswith(".") and scores.words(key).source
    for score in (scores.SCORES | scores.COLUMNS).values():
        assert set(score.demands) <= set(methods.DEMANDS)
        assert "tuning" not in score.demands or "training pictures" in score.settings
    for record in (LOSSES | EXTRA_DATA).values():
        assert set(record.demands) <= set(methods.DEMANDS)


def test_extra_data_has_the_same_names_everywhere():
    assert tuple(METHODS) == tuple(EXTRA_DATA)


def test_a_combination_demands_what_its_parts_do():
    table = methods.table(approaches=[("softmax", "odin"), ("isomax+", "odin"), ("isomax++oe", "mds"), ("godin", "es")])
    needed = {name: {key for key in methods.DEMANDS if row[key]} for name, row in table.iterrows()}
    assert needed["IsoMax+/ODIN"] == needed["SoftMax/ODIN"] >= {"tuning", "slow_inference", "gradients"}
    assert needed["IsoMax+ with Outlier Exposure/MDS"] == {"additional_data"}
    assert needed["Generalized ODIN/ES"] == {"accuracy_drop"}


def test_distances_without_prototypes_demand_training_features():
    for loss, head in HEADS.items():
        taken = "training_features" in methods.demands(loss, "mds")
        assert taken == (not hasattr(head(4, 3), "prototypes")), loss
    assert methods.demands("softmax+oe", "mds") == {"additional_data", "training_features"}


def test_unknown_parts_are_named():
    with pytest.raises(ValueError, match="paper must be one of 'isomax.', 'dismax', but is 'isomax2'"):
        methods.table("isomax2")
    with pytest.raises(
        ValueError, match="loss must be one of .*, but is 'isomax.*With extra data: the loss, '.', and one"
    ):
        methods.demands("isomax+xx", "es")
    with pytest.raises(ValueError, match="score must be one of .*, but is 'best'"):
        methods.demands("isomax+", "best")


@pytest.fixture(scope="module")
def scored(trained):
    """Captures with columns, one twice as if of two seeds, with a set that is drawn fast."""
    both = trained["softmax"], trained["isomax+"]
    few = [capture.replace(ood={"uniform": capture.ood["uniform"]}) for capture in both]
    other = few[0].replace(test=few[0].test)
    softmax = iv.add_scores(few[0], ("mahalanobis_features", KNearest(k=7), "ensemble"), members=[other])
    return [softmax, other, few[1]]


@pytest.fixture(scope="module")
def measured(scored, session_store):
    return methods.measure(scored, rounds=2, pictures=20, store=session_store)


def test_costs_stand_beside_what_is_demanded(measured, scored):
    assert measured["approach"].tolist() == [
        "SoftMax/MPS", "SoftMax/energy", "SoftMax/GEN", "SoftMax/Mahalanobis (features)",
        "SoftMax/k nearest neighbours", "SoftMax/deep ensemble", "IsoMax+/MDS", "IsoMax+/energy",
    ]  # fmt: skip
    rows = measured.set_index("approach")
    n, features, classes = len(scored[0].train), 128, 10
    extra = rows["extra_parameters"]
    assert extra["SoftMax/MPS"] == 0
    assert extra["SoftMax/Mahalanobis (features)"] == classes * features + features**2
    assert extra["SoftMax/k nearest neighbours"] == n * features
    assert extra["IsoMax+/MDS"] == 1 - classes  # one distance scale, no biases
    assert extra["SoftMax/deep ensemble"] > 280_000  # a whole second network
    accuracy = {capture.loss: capture.test.accuracy for capture in scored}
    assert rows.loc["IsoMax+/MDS", "accuracy_difference"] == accuracy["isomax+"] - accuracy["softmax"]
    assert rows.loc["SoftMax/deep ensemble", "accuracy"] == accuracy["softmax"]  # the mean of two equal answers
    found = iv.evaluate(scored[0], scores="knn").iloc[0]
    assert rows.loc["SoftMax/k nearest neighbours", "AUROC"] == found["AUROC"]
    assert (measured["relative_time"] > 0).all()
    assert (measured["relative_time_low"] <= measured["relative_time_high"]).all()
    assert rows.loc["SoftMax/k nearest neighbours", "chosen"] == "k 7"
    joined = methods.table(measured=measured)
    assert joined.index.tolist() == measured["approach"].tolist()
    assert joined.loc["SoftMax/k nearest neighbours", ["training_features", "ood"]].tolist() == [True, 1]


def test_distances_to_class_means_are_measured_with_what_they_keep(scored, session_store):
    plain = scored[1].replace(test=replace(scored[1].test, predictions=1 - scored[1].test.predictions % 2))
    asked = {"approaches": [("softmax", "mds")], "rounds": 1, "pictures": 20, "store": session_store}
    changed = {"epochs": 4, "scales_learning_rate": 2.0}
    told = [capture.replace(meta=capture.meta | {"changed": changed}) for capture in (plain, scored[0])]
    row = methods.measure(told, **asked).loc[0]
    assert row["variant"] == "epochs=4"  # a setting of a loss is a part of what is compared
    assert row["extra_parameters"] == 10 * 128
    assert row["AUROC"] == iv.evaluate(scored[0], scores="mds").AUROC[0]
    assert row["accuracy_difference"] == 0  # to the network that is measured, not to another seed, listed before it


def test_what_can_not_be_compared_is_refused(scored):
    alone = methods.COMPARED[:1]
    with pytest.raises(ValueError, match="must differ in loss and seed only, but have the data values"):
        methods.measure([scored[0], scored[2].replace(meta=scored[2].meta | {"data": "mnist"})], approaches=alone)
    away = scored[2].replace(ood={"letters": scored[2].ood["uniform"]})
    with pytest.raises(ValueError, match="must have an out-of-distribution set in common"):
        methods.measure([scored[0], away], approaches=alone)
    with pytest.raises(ValueError, match=r"every member of the ensemble, the seeds \[0\], but hold 0 of them"):
        methods.measure(scored[0], approaches=[("softmax", "ensemble")])


def test_only_what_a_capture_has_is_measured(scored):
    with pytest.raises(ValueError, match=r"No capture has the approach \('softmax', 'odin'\).*'knn'"):
        methods.measure(scored, approaches=[("softmax", "odin")])
    own = scores.add_column(scored[2], "mine", {name: np.zeros(len(item)) for name, item in scored[2].samples.items()})
    with pytest.raises(ValueError, match="column 'mine' was not added by iv.add_scores"):
        methods.measure(own, approaches=[("isomax+", "mine")])


def test_the_figure_names_every_point_and_marks_what_is_free(measured):
    ax = figures.plot_costs(measured)
    points = {line.get_gid(): line for line in ax.lines if line.get_gid()}
    assert set(points) == set(measured["approach"])
    for row in measured.to_dict("records"):
        line = points[row["approach"]]
        assert (line.get_xdata()[0], line.get_ydata()[0]) == (row["relative_time"], row["AUROC"])
        free = not methods.demands(row["loss"], row["score"])
        assert (line.get_markerfacecolor() == "white") == (not free)
        assert row["approach"] in figures.describe(ax)
    written = {text.get_text(): text.get_position()[1] for text in ax.texts}
    names = measured.sort_values("AUROC", ascending=False, kind="stable")["approach"]
    heights = [written[name] for name in names]
    assert all(above - below >= 0.0519 for above, below in zip(heights[:-1], heights[1:], strict=True))
    assert ax.get_xscale() == "log" and "TNR@TPR95" in figures.plot_costs(measured, metric="TNR@TPR95").get_ylabel()
    with pytest.raises(ValueError, match="data is a DataFrame without approach.*iv.methods.measure"):
        figures.plot_costs(pd.DataFrame({"loss": ["softmax"]}))
    with pytest.raises(ValueError, match="metric must be one of 'AUROC', 'TNR@TPR95'"):
        figures.plot_costs(measured, metric="accuracy")


@pytest.mark.parametrize("n", [1, 5, 17, 40])
def test_names_keep_order_and_distance_within_the_height(rng, n):
    wished = np.sort(rng.uniform(0, 1, n))[::-1] ** 3
    found = spread_out(wished, gap=0.05)
    assert found.min() >= -1e-9 and found.max() <= 1 + 1e-9
    if n * 0.05 <= 1:
        assert (np.diff(found) <= -0.05 + 1e-9).all()
    else:
        assert (np.diff(found) < 0).all()
