"""Metrics against the reference values, scikit-learn with ties, and a loop that spells the definitions out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from isomax_viz import metrics
from tests.conftest import GOLDEN

# What the definitions of this project give for the golden score arrays.
OWN = {0: (0.765643, 0.319, 0.7045), 1: (0.7674828, 0.3596, 0.7037), 2: (0.75425, 0.304, 0.692), 3: (1.0, 1.0, 1.0)}


@pytest.mark.parametrize("number", OWN)
def test_golden_values(number):
    data = np.load(GOLDEN / f"metrics_{number}.npz")
    inside, outside = data["in_scores"], data["out_scores"]
    ours = metrics.ood_metrics(inside, outside)
    assert (ours["AUROC"], ours["TNR@TPR95"], ours["DTACC"]) == pytest.approx(OWN[number], abs=1e-9)
    assert ours["DTACC"] == pytest.approx(data["DTACC"].item(), abs=1e-9)
    if number != 2:  # the reference treats tied scores as if they were ordered
        assert metrics.tnr_at_tpr(inside, outside, method="nearest") == pytest.approx(data["TNR"].item(), abs=1e-9)
        assert ours["AUROC"] == pytest.approx(data["AUROC"].item(), abs=1e-9)
        for positive, key in (("in", "AUIN"), ("out", "AUOUT")):
            area = metrics.aupr(inside, outside, positive=positive, method="trapezoid")
            assert area == pytest.approx(data[key].item(), abs=1e-9)


def tied(dtype):
    """Scores from a few values only, so that ties within and across the sets are common."""
    values = st.sampled_from([-1e30, -2.5, -1.0, -0.0, 0.0, 1e-30, 0.5, 1.0, 3.0, 1e30])
    return st.lists(values, min_size=1, max_size=40).map(lambda items: np.array(items, dtype=dtype))


def spelled_out(inside, outside):
    """Each definition as a loop over all thresholds."""
    points = []
    for threshold in sorted({*inside.tolist(), *outside.tolist()}, reverse=True):
        points.append((np.mean(inside >= threshold), np.mean(outside >= threshold)))
    tnr = next(1 - fpr for tpr, fpr in points if tpr >= 0.95)
    return tnr, max([0.5] + [(tpr + 1 - fpr) / 2 for tpr, fpr in points])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_metrics_equal_scikit_learn_and_the_definitions_also_with_ties(dtype):
    @given(tied(dtype), tied(dtype))
    def check(inside, outside):
        ours = metrics.ood_metrics(inside, outside)
        truth = np.repeat([1, 0], [len(inside), len(outside)])
        scores = np.concatenate([inside, outside])
        assert ours["AUROC"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-9)
        assert ours["AUPR-in"] == pytest.approx(average_precision_score(truth, scores), abs=1e-9)
        assert ours["AUPR-out"] == pytest.approx(average_precision_score(1 - truth, -scores), abs=1e-9)
        assert (ours["TNR@TPR95"], ours["DTACC"]) == pytest.approx(spelled_out(inside, outside), abs=1e-9)
        single = {
            "TNR@TPR95": metrics.tnr_at_tpr(inside, outside),
            "AUROC": metrics.auroc(inside, outside),
            "DTACC": metrics.dtacc(inside, outside),
            "AUPR-in": metrics.aupr(inside, outside),
            "AUPR-out": metrics.aupr(inside, outside, positive="out"),
        }
        assert single == pytest.approx(ours, abs=1e-12)

    check()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=2, max_size=50))
def test_counts_keep_every_float32(values):
    inside, outside = np.float32(values[::2]), np.float32(values[1::2])
    thresholds, accepted_id, accepted_ood = metrics.counts(inside, outside)
    assert thresholds.dtype == np.float32 and thresholds.tolist() == sorted({*values}, reverse=True)
    assert accepted_id.tolist() == [int((inside >= threshold).sum()) for threshold in thresholds]
    assert accepted_ood.tolist() == [int((outside >= threshold).sum()) for threshold in thresholds]


def test_blocks_join_also_where_equal_scores_lie_across_them(monkeypatch, rng):
    inside, outside = rng.integers(0, 9, 300).astype(float), rng.integers(-3, 6, 200).astype(float)
    whole = metrics.ood_metrics(inside, outside), [part.tolist() for part in metrics.counts(inside, outside)]
    monkeypatch.setattr(metrics, "_ROWS", 7)
    assert metrics.ood_metrics(inside, outside) == pytest.approx(whole[0], abs=1e-14)
    assert [part.tolist() for part in metrics.counts(inside, outside)] == whole[1]


def test_orientation_on_a_case_that_can_be_checked_by_hand():
    ours = metrics.ood_metrics([4.0, 3.0, 2.0], [1.0, 0.0])
    assert ours == {"TNR@TPR95": 1.0, "AUROC": 1.0, "DTACC": 1.0, "AUPR-in": 1.0, "AUPR-out": 1.0}
    swapped = metrics.ood_metrics([1.0, 0.0], [4.0, 3.0, 2.0])
    assert (swapped["TNR@TPR95"], swapped["AUROC"], swapped["DTACC"]) == (0.0, 0.0, 0.5)
    # AUPR depends on the ratio of the sets, and "in" and "out" are different things.
    assert metrics.aupr([2.0], [3.0, 1.0]) == pytest.approx(1 / 2)
    assert metrics.aupr([2.0], [3.0, 1.0], positive="out") == pytest.approx((1 + 2 / 3) / 2)


def test_the_threshold_accepts_exactly_the_share_asked_for():
    scores = np.arange(1, 21, dtype=float)  # 95 % of 20 is 19, whatever binary fractions say
    assert metrics.threshold_at_tpr(scores) == 2.0
    assert metrics.threshold_at_tpr(scores, 1.0) == 1.0
    assert metrics.threshold_at_tpr(np.zeros(5)) == 0.0
    assert metrics.threshold_at_tpr(scores, 1e-300) == 20.0  # at least one, however small the share
    assert metrics.tnr_at_tpr(scores, scores, tpr=1e-300) == 19 / 20
    assert metrics.best_dtacc_threshold([3.0, 2.0], [1.0]) == 2.0


def test_all_scores_equal_is_chance():
    ours = metrics.ood_metrics(np.ones(10), np.ones(10))
    assert (ours["AUROC"], ours["DTACC"], ours["TNR@TPR95"]) == (0.5, 0.5, 0.0)


@pytest.mark.parametrize(
    ("inside", "outside", "error", "message"),
    [
        ([], [1.0], ValueError, "id_scores is empty"),
        ([1.0], [], ValueError, "ood_scores is empty"),
        ([1.0, np.nan], [1.0], ValueError, "id_scores has 1 of 2 values that are NaN or infinite; .* index 1"),
        ([1.0], [np.inf, -np.inf], ValueError, "ood_scores has 2 of 2 values"),
        ([[1.0]], [1.0], ValueError, "id_scores must be one-dimensional"),
        (["a"], [1.0], TypeError, "id_scores must be an array of real numbers"),
        ([1.0], [1 + 2j], TypeError, "ood_scores must be an array of real numbers"),
        ([True], [1.0], TypeError, "id_scores must be an array of real numbers"),
        (np.array([1], "m8[s]"), [1.0], TypeError, r"id_scores must be .* real numbers, but its dtype is timedelta64"),
        ([1.0], [2**53 + 1, 0], ValueError, "ood_scores must be numbers that float64 tells apart, .* beyond 2..53"),
    ],
)
def test_bad_scores_are_refused(inside, outside, error, message):
    for function in (metrics.ood_metrics, metrics.auroc, metrics.roc, metrics.dtacc, metrics.aupr):
        with pytest.raises(error, match=message):
            function(inside, outside)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="method must be one of 'at_least', 'nearest', but is 'exact'"):
        metrics.tnr_at_tpr([1.0], [0.0], method="exact")
    with pytest.raises(ValueError, match="tpr must be a number above 0 and of at most 1, but is 95"):
        metrics.threshold_at_tpr([1.0], 95)
    with pytest.raises(ValueError, match="positive must be one of 'in', 'out'"):
        metrics.aupr([1.0], [0.0], positive="id")


def test_tensors_are_accepted():
    torch = pytest.importorskip("torch")
    assert metrics.auroc(torch.tensor([2.0, 1.0], requires_grad=True), torch.tensor([0.0], dtype=torch.bfloat16)) == 1.0
