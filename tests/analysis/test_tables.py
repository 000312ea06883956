"""Tables against sums made by hand, explicit loops and scikit-learn."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from isomax_viz import Capture, methods, metrics, scores, tables, thresholds
from isomax_viz.analysis.calibration import temperature_table
from isomax_viz.analysis.chosen import chosen_ood
from isomax_viz.analysis.features import feature_space_table
from isomax_viz.analysis.risks import risk_table
from isomax_viz.analysis.thresholds import threshold_table
from isomax_viz.captures.provenance import SOURCE_COLUMNS


def explicit_groups(capture, name):
    """Return intra, inter and OOD logits, collected one by one."""
    intra, inter, ood = [], [], []
    for row, label in zip(capture.test.logits, capture.test.labels, strict=True):
        for j, value in enumerate(row):
            (intra if j == label else inter).append(value)
    for row in capture.ood[name].logits:
        ood.extend(row)
    return {"intra-class ID": intra, "inter-class ID": inter, name: ood}


@pytest.mark.parametrize("n", [1, 2, 3, 4, 99, 100])
def test_the_median_of_a_group_is_numpys(n, rng):
    logits = rng.normal(size=(n, 3)).round(1)  # with ties
    capture = Capture.from_arrays(logits, np.zeros(n, int), ood={"one": [[0.0, 1.0, 2.0]]})
    table = tables.values_table(capture, "max_logit").groupby("group")["median"].first()
    assert table["ID"] == np.median(capture.test.logits.max(axis=1)) and table["one"] == 2.0


def test_logits_table_counts_what_a_loop_counts(capture):
    table = tables.logits_table(capture, "near", bins=17)
    groups = explicit_groups(capture, "near")
    everything = np.concatenate([np.array(values) for values in groups.values()])
    edges = np.linspace(everything.min(), everything.max(), 18)
    assert list(table["group"].unique()) == list(groups)
    for name, values in groups.items():
        rows = table[table["group"] == name]
        np.testing.assert_allclose(rows["left"], edges[:-1], rtol=1e-6)
        np.testing.assert_allclose(rows["right"], edges[1:], rtol=1e-6)
        np.testing.assert_array_equal(rows["count"], np.histogram(values, 17, (edges[0], edges[-1]))[0])
        assert (rows["n"] == len(values)).all() and rows["count"].sum() == len(values)
        assert rows["median"].iloc[0] == pytest.approx(np.median(values))
        assert (rows["density"] * (rows["right"] - rows["left"])).sum() == pytest.approx(1)
    assert table.set_index("group")["ood"].groupby(level=0).first().to_dict() == {
        "intra-class ID": False, "inter-class ID": False, "near": True,
    }  # fmt: skip


def test_distances_are_logits_of_isomax_with_the_sign_turned(capture):
    logits = tables.logits_table(capture, ["far", "near"], bins=11)
    distances = tables.logits_table(capture, ["far", "near"], quantity="distance", bins=11)
    assert list(distances["group"].unique()) == ["intra-class ID", "inter-class ID", "far", "near"]
    for name in distances["group"].unique():
        turned = logits.loc[logits["group"] == name, "count"].to_numpy()[::-1]
        # Values on an edge belong to the bin on their right, so turning the sign may move a few of them.
        assert np.abs(turned - distances.loc[distances["group"] == name, "count"].to_numpy()).sum() <= 2
    assert (distances["quantity"] == "distance").all()


@pytest.mark.parametrize("value", ["entropy", "max_probability", "min_distance", "mps", "es", "mds", "energy"])
def test_values_table_bins_the_value_itself(capture, value):
    table = tables.values_table(capture, value, bins=9)
    attribute = {"entropy": "entropies", "max_probability": "max_probabilities", "min_distance": "min_distances"}
    for name, samples in {"ID": capture.test, **capture.ood}.items():
        values = getattr(samples, attribute[value]) if value in attribute else scores.compute(value, samples)
        rows = table[table["group"] == name]
        expected = np.histogram(values, bins=9, range=(table["left"].min(), table["right"].max()))[0]
        np.testing.assert_array_equal(rows["count"], expected)
        assert rows["n"].iloc[0] == len(samples)
    assert (table["quantity"] == value).all()


def test_normalised_entropy_is_a_share_of_log_classes(capture):
    plain = tables.values_table(capture, "entropy", bins=8)
    normalised = tables.values_table(capture, "entropy", normalised=True, bins=8)
    np.testing.assert_allclose(normalised["right"] * np.log(4), plain["right"], rtol=1e-6)
    np.testing.assert_allclose(normalised["density"] / np.log(4), plain["density"], rtol=1e-6)
    with pytest.raises(ValueError, match="normalised=True divides the entropy"):
        tables.values_table(capture, "mps", normalised=True)


def test_limits_narrow_the_view_and_not_the_density(capture):
    wide = tables.values_table(capture, "entropy", "near", bins=[0.0, 0.5, 1.0, 1.5])
    narrow = tables.values_table(capture, "entropy", "near", bins=1, limits=(0.5, 1.0))
    for name in ("ID", "near"):
        middle = wide[(wide["group"] == name) & (wide["left"] == 0.5)].iloc[0]
        only = narrow[narrow["group"] == name].iloc[0]
        assert middle["density"] == only["density"] and middle["n"] == only["n"] and middle["count"] == only["count"]


def test_equal_values_get_a_bin_of_finite_width():
    capture = Capture.from_arrays([[1.0, 0.0], [1.0, 0.0]], [0, 0], ood={"x": [[1.0, 0.0]]})
    table = tables.values_table(capture, "max_logit", bins=2)
    assert table["count"].sum() == 3 and np.isfinite(table["density"]).all()


def test_scores_table_has_the_threshold_and_the_metrics(capture):
    table = tables.scores_table(capture, "mds")
    id_scores = -capture.test.min_distances
    threshold = table["threshold"].iloc[0]
    assert threshold == metrics.threshold_at_tpr(id_scores) and (id_scores >= threshold).mean() >= 0.95
    assert table["TPR"].iloc[0] == (id_scores >= threshold).mean()
    for name, samples in capture.ood.items():
        row = table[table["group"] == name].iloc[0]
        expected = metrics.ood_metrics(id_scores, -samples.min_distances)
        assert row["AUROC"] == pytest.approx(expected["AUROC"])
        assert row["TNR@TPR95"] == pytest.approx(expected["TNR@TPR95"])
    assert table.loc[table["group"] == "ID", "AUROC"].isna().all()


def test_evaluate_gives_one_row_per_capture_score_and_set(capture):
    table = tables.evaluate([capture, capture.replace(meta={"loss": "isomax+", "seed": 3})], ood=["far", "near"])
    assert list(table.columns) == list(tables.EVALUATE_COLUMNS)
    assert len(table) == 2 * 3 * 2 and set(table["score"]) == {"mps", "es", "mds"}
    row = table[(table["loss"] == "isomax") & (table["score"] == "es") & (table["ood"] == "far")].iloc[0]
    assert (row["data"], row["seed"], row["n_id"], row["n_ood"]) == ("made up", 0, 60, 30)
    assert row["backbone"] is None and row["accuracy"] == capture.test.accuracy
    labels = np.repeat([1, 0], [60, 30])
    pooled = -np.concatenate([capture.test.entropies, capture.ood["far"].entropies])
    assert row["AUROC"] == pytest.approx(roc_auc_score(labels, pooled))
    assert ((table[list(metrics.METRICS)] >= 0) & (table[list(metrics.METRICS)] <= 1)).all(axis=None)


def test_evaluate_leaves_mds_out_only_by_default(capture):
    bare = Capture.from_arrays(capture.test.logits, capture.test.labels, ood={"x": capture.ood["far"].logits})
    assert list(tables.evaluate(bare)["score"]) == ["mps", "es"]
    with pytest.raises(ValueError, match="carry no feature-prototype distances"):
        tables.evaluate(bare, scores=("mps", "mds"))


def test_evaluate_takes_your_own_score(capture):
    def second(samples):
        return np.sort(samples.logits, axis=1)[:, -2]

    assert list(tables.evaluate(capture, scores=["es", second], ood="far")["score"]) == ["es", "second"]
    assert list(tables.evaluate(capture, scores=second, ood="far")["score"]) == ["second"]


@pytest.mark.parametrize("table", [tables.evaluate, tables.roc_table])
def test_two_scores_of_one_name_are_refused(capture, table):
    parameter = "scores" if table is tables.evaluate else "score"
    one, other = (lambda samples: samples.entropies), (lambda samples: -samples.entropies)
    with pytest.raises(ValueError, match="scores holds '<lambda>' 2 times. Name each once, .* write them with def"):
        table(capture, **{parameter: [one, other]})
    with pytest.raises(ValueError, match="scores holds 'es' 2 times"):
        table(capture, **{parameter: ["es", "mps", "es"]})
    with pytest.raises(ValueError, match="list of scores is empty. Name at least one"):
        table(capture, **{parameter: []})
    # A generator serves every capture, not the first one only.
    once = table([capture, capture], **{parameter: (name for name in ("es", "mps"))})
    pd.testing.assert_frame_equal(once, table([capture, capture], **{parameter: ["es", "mps"]}))


def test_roc_table_is_the_curve_of_scikit_learn(capture):
    # Rounded scores have ties, between ID and OOD too.
    def coarse(samples):
        return np.round(-samples.entropies, 1)

    table = tables.roc_table(capture, "near", score=coarse)
    pooled = np.concatenate([coarse(capture.test), coarse(capture.ood["near"])])
    fpr, tpr, _ = roc_curve(np.repeat([1, 0], [60, 40]), pooled, drop_intermediate=False)
    assert len(table) <= len(fpr)
    # Dropped points lie on the lines between the others: compare both curves by the length and the area under them.
    points = set(zip(np.round(fpr, 12), np.round(tpr, 12), strict=True))
    assert set(zip(table["fpr"].round(12), table["tpr"].round(12), strict=True)) <= points
    assert np.trapezoid(table["tpr"], table["fpr"]) == pytest.approx(np.trapezoid(tpr, fpr))
    assert table["AUROC"].iloc[0] == pytest.approx(np.trapezoid(tpr, fpr))
    operating = table[table["operating_point"]]
    assert len(operating) == 1 and operating["tpr"].iloc[0] == tpr[tpr >= 0.95].min()
    assert operating["threshold"].iloc[0] == metrics.threshold_at_tpr(coarse(capture.test))


def test_roc_table_keeps_the_corners_of_a_long_curve_only():
    rng = np.random.default_rng(0)
    logits = np.stack([rng.normal(3, 1, 5000), np.zeros(5000)], axis=1)
    unknown = np.stack([rng.normal(1, 1, 5000), np.zeros(5000)], axis=1)
    capture = Capture.from_arrays(logits, np.zeros(5000, int), ood={"x": unknown})
    table = tables.roc_table(capture, score="max_logit")
    assert len(table) < 6000
    fpr, tpr, _ = metrics.roc(capture.test.logits.max(axis=1), capture.ood["x"].logits.max(axis=1))
    assert np.trapezoid(table["tpr"], table["fpr"]) == pytest.approx(np.trapezoid(tpr, fpr), abs=1e-12)


def test_training_table_is_long_and_keeps_the_column_called_loss(capture):
    history = pd.DataFrame(
        {"epoch": [1, 1, 2, 2], "split": ["train", "test"] * 2, "loss": [2.0, 2.1, 1.0, 1.2], "accuracy": 0.5}
    )
    table = tables.training_table([capture.replace(history=history), capture.replace(history=history)])
    assert len(table) == 2 * 4 * 2 and set(table["loss"]) == {"isomax"} and set(table["capture"]) == {0, 1}
    row = table.query("capture == 1 and epoch == 2 and split == 'test' and quantity == 'loss'")
    assert row["value"].item() == 1.2
    with pytest.raises(ValueError, match="has no training history. Record one"):
        tables.training_table(capture)


def test_wrong_input_is_told_what_to_do(capture):
    with pytest.raises(ValueError, match="ood must be one of 'near', 'far', but is 'fare'. Did you mean 'far'?"):
        tables.logits_table(capture, "fare")
    with pytest.raises(ValueError, match="quantity must be one of 'logit', 'distance'"):
        tables.logits_table(capture, quantity="logits")
    with pytest.raises(ValueError, match="value must be one of 'entropy'"):
        tables.values_table(capture, "entrop")
    with pytest.raises(ValueError, match="score must be one of"):
        tables.evaluate(capture, scores="ess")
    bare = Capture.from_arrays([[1.0, 0.0]], [0])
    for function in (tables.evaluate, tables.roc_table, tables.logits_table):
        with pytest.raises(ValueError, match="no out-of-distribution set to compare with. Record one"):
            function(bare)
    empty = Capture.from_arrays([[1.0, 0.0]], [0], ood={"nothing": np.empty((0, 2))})
    for function in (tables.evaluate, tables.roc_table, tables.values_table, tables.scores_table):
        with pytest.raises(ValueError, match="set 'nothing' is empty. Record it"):
            function(empty)
    with pytest.raises(TypeError, match="data must be one Capture"):
        tables.logits_table([capture])
    with pytest.raises(TypeError, match="captures must be one Capture or a list of them, but holds a dict"):
        tables.evaluate([{}])
    asked = SimpleNamespace(loss="isomax", run=None)  # as an Experiment: its capture is meant
    for function in (tables.evaluate, tables.roc_table, tables.logits_table):
        with pytest.raises(TypeError, match=r"Pass what its run\(\) returns"):
            function(asked)
    with pytest.raises(ValueError, match="captures is empty"):
        tables.evaluate([])
    with pytest.raises(ValueError, match="ood must name at least one"):
        tables.roc_table(capture, [])
    with pytest.raises(ValueError, match="bins must be a whole number or an increasing sequence"):
        tables.logits_table(capture, bins=[1.0, 0.0])
    with pytest.raises(ValueError, match="limits must be"):
        tables.logits_table(capture, limits=(1, 0))
    unlabelled = Capture.from_arrays([[1.0, 0.0]], [-1], ood={"x": [[1.0, 0.0]]})
    with pytest.raises(ValueError, match="the test samples carry no labels"):
        tables.logits_table(unlabelled)


def test_no_out_of_distribution_set_is_refused_by_every_table(capture):
    message = "ood must name at least one out-of-distribution set, or be None for all"
    for function in (chosen_ood, tables.logits_table, tables.roc_table, feature_space_table):
        with pytest.raises(ValueError, match=message):
            function(capture, [])
    for function in (tables.evaluate, tables.scores_table, tables.values_table, threshold_table):
        with pytest.raises(ValueError, match=message):
            function(capture, ood=iter([]))
    with pytest.raises(ValueError, match=message):
        temperature_table(capture, [1.0], ood=[])
    with pytest.raises(ValueError, match=message):
        risk_table(capture, ood=[])


def test_tables_survive_csv(capture, tmp_path):
    table = tables.logits_table(capture, bins=5)
    assert set(SOURCE_COLUMNS) <= set(table.columns)
    table.to_csv(tmp_path / "bins.csv", index=False)
    back = pd.read_csv(tmp_path / "bins.csv")
    pd.testing.assert_frame_equal(back.drop(columns=list(SOURCE_COLUMNS)), table.drop(columns=list(SOURCE_COLUMNS)))


def test_binning_a_full_test_set_is_quick():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(10_000, 10)).astype(np.float32)
    capture = Capture.from_arrays(logits, rng.integers(0, 10, 10_000), ood={"x": logits + 1})
    tables.logits_table(capture)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        tables.logits_table(capture)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1  # about 8 ms on an idle core: the bound is for a busy one


@pytest.mark.parametrize(("call", "said"), [
    (lambda c: tables.logits_table(c, bins=[0, 1, 2], limits=(0, 2)), "limits changes nothing with edges of bins"),
    (lambda c: tables.scores_table(c, bins=[0, 1], limits=(0, 2)), "limits changes nothing with edges of bins"),
    (lambda c: thresholds.find_threshold(c, "lettrs"), "ood must be one of 'near', 'far', but is 'lettrs'"),
    (lambda c: methods.table("dismax", measured=pd.DataFrame()), "measured changes nothing with paper"),
    (lambda c: methods.table("dismax", approaches=[("softmax", "es")]), "approaches changes nothing with paper"),
    (lambda c: methods.table(approaches=[], measured=pd.DataFrame()), "approaches changes nothing with measured"),
])  # fmt: skip
def test_options_that_change_nothing_are_refused(capture, call, said):
    with pytest.raises(ValueError, match=said):
        call(capture)
