"""Overlaps of logits: closed forms, values far away, and what the papers say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import isomax_viz as iv
from isomax_viz import Capture, Samples


def sample_overlap(a, b, bins=20) -> float:
    """Share in common of two samples, in bins between quantiles of both, where each sample counts as much."""
    shares = {value: 0.0 for value in sorted({*a, *b})}
    for part in (a, b):
        for value in part:
            shares[value] += 0.5 / len(part)
    below = np.cumsum(list(shares.values()))
    cuts = sorted({list(shares)[np.argmax(below >= k / bins - 1e-12)] for k in range(1, bins)})
    counts = [np.bincount(np.searchsorted(cuts, part, side="right"), minlength=len(cuts) + 1) for part in (a, b)]
    return np.minimum(counts[0] / len(a), counts[1] / len(b)).sum()


def overlapping(a, b, **options) -> float:
    """The overlap that the table gives for own logits a and unknown logits b (of two classes, so twice each)."""
    known, unknown = np.full((len(a), 2), -99.0), np.repeat(np.asarray(b, float)[:, None], 2, axis=1)
    known[:, 0] = a
    capture = Capture.from_arrays(known, np.zeros(len(a), int), ood={"x": unknown})
    return iv.logit_overlaps(capture, resamples=1, **options).iloc[0]["intra_overlap"]


def made(*, loss="softmax", near="inter", seed=0, far=()) -> Capture:
    """Own logits around 6, others around 0; unknown images' logits like the one kind or the other."""
    rng = np.random.default_rng(seed)
    labels, logits = np.arange(300) % 3, rng.normal(size=(300, 3))
    logits[np.arange(300), labels] += 6
    outside = rng.normal({"inter": 0, "between": 3, "intra": 6}[near], 1, (200, 3))
    outside[: len(far), 0] = far
    return Capture.from_arrays(logits, labels, ood={"x": outside}, loss=loss)


@pytest.mark.parametrize("gap", [0.5, 1.0, 2.0])
def test_two_normal_samples_overlap_as_their_densities_do(gap):
    rng = np.random.default_rng(1)
    found = overlapping(rng.normal(size=20_000), rng.normal(gap, 1, 5_000), bins=50)
    assert found == pytest.approx(2 * stats.norm.cdf(-gap / 2), abs=0.02)


def test_samples_of_one_distribution_overlap_by_what_the_docs_say():
    rng = np.random.default_rng(2)
    found = [overlapping(rng.normal(size=600), rng.normal(size=6000), bins=20) for _ in range(20)]
    assert np.mean(found) == pytest.approx(1 - 0.4 * np.sqrt(20 * (1 / 600 + 1 / 6000)), abs=0.01)


def test_neither_units_nor_sizes_nor_ties_matter():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=400), rng.normal(1, 2, 700)
    overlap = overlapping(a, b)
    assert overlap == pytest.approx(overlapping(b, a)) == pytest.approx(overlapping(np.exp(5 * a), np.exp(5 * b)))
    assert overlapping(np.repeat(a, 3), b) == pytest.approx(overlap, abs=1e-12)
    # Three values only: the bins are the values.
    assert overlapping([0, 0, 1, 2], [0, 2, 2, 2]) == pytest.approx(0.25 + 0.25)
    assert overlapping([4.0], [4.0, 4.0]) == 1


def test_one_value_far_away_changes_next_to_nothing():
    plain, odd = (iv.logit_overlaps(made(far=far)).iloc[0] for far in ((), (1e6,)))
    for column in ("intra_overlap", "inter_overlap"):
        assert odd[column] == pytest.approx(plain[column], abs=0.01)
    assert plain["intra_overlap"] < 0.05 < 0.85 < plain["inter_overlap"]


@pytest.mark.parametrize(("loss", "near", "says", "agrees"), [
    ("softmax", "inter", "inter-class", True),
    ("softmax", "intra", "inter-class", False),
    ("isomax2", "intra", "intra-class", True),
    ("isomax2", "inter", "intra-class", False),
    ("isomax+", "inter", None, None),
])  # fmt: skip
def test_what_resembles_what_and_whether_the_papers_say_so(loss, near, says, agrees):
    row = iv.logit_overlaps(made(loss=loss, near=near)).iloc[0]
    assert (row["this_run"], row["papers_say"], row["agrees"]) == (f"{near}-class", says, agrees)


def test_what_the_images_do_not_decide_is_undecided():
    capture = Capture.from_arrays([[9.0, 0.0], [0.0, 9.0]], [0, 1], ood={"x": [[50.0, 60.0]]}, loss="softmax")
    row = iv.logit_overlaps(capture).iloc[0]
    assert (row["intra_overlap"], row["inter_overlap"], row["this_run"], row["agrees"]) == (0, 0, "undecided", None)
    between = made(near="between")
    row = iv.logit_overlaps(between).iloc[0]
    assert row["low"] < 0 < row["high"] and row["this_run"] == "undecided" and row["agrees"] is None


@pytest.mark.parametrize(("shift", "agrees"), [(3.0, True), (0.0, None), (-3.0, False)])
def test_isomax_is_compared_with_softmax_on_the_same_set(shift, agrees):
    """The paper: they do not completely overlap the inter-class logits, as those of SoftMax do."""
    known, like = made(loss="softmax"), made(loss="isomax")
    apart = {"x": replace(like.ood["x"], logits=like.ood["x"].logits + abs(shift))}
    pair = (known, like.replace(ood=apart)) if shift >= 0 else (known.replace(ood=apart), like)
    table = iv.logit_overlaps(pair)
    row = table.iloc[1]
    assert row["papers_say"] == "not inter-class"
    assert (None if row["agrees"] is None else bool(row["agrees"])) is agrees
    assert row["difference"] == pytest.approx(row["inter_overlap"] - table.iloc[0]["inter_overlap"], abs=1e-9)
    alone = iv.logit_overlaps(pair[1]).iloc[0]
    assert alone["agrees"] is None and np.isnan(alone["low"])


def test_overlaps_and_intervals_are_those_of_drawing_images_again():
    capture = made(near="between")
    row = iv.logit_overlaps(capture, resamples=300).iloc[0]
    inside, outside = capture.test, capture.ood["x"].logits
    assert row["intra_overlap"] == pytest.approx(sample_overlap(inside.intra_logits, outside.ravel()), abs=1e-6)
    assert row["inter_overlap"] == pytest.approx(sample_overlap(inside.inter_logits, outside.ravel()), abs=1e-6)
    rng, found = np.random.default_rng(5), []
    for _ in range(300):
        known, unknown = rng.integers(0, 300, 300), outside[rng.integers(0, 200, 200)].ravel()
        part = Samples(logits=inside.logits[known], labels=inside.labels[known])
        found.append(sample_overlap(part.inter_logits, unknown) - sample_overlap(part.intra_logits, unknown))
    assert [row["low"], row["high"]] == pytest.approx(np.quantile(found, [0.025, 0.975]), abs=0.03)


def test_rows_name_their_network_and_set():
    captures = [made().replace(meta={"loss": "isomax", "entropic_scale": scale}) for scale in (1.0, 10.0)]
    table = iv.logit_overlaps(captures, ood=(name for name in ["x"]))
    assert table[["entropic_scale", "ood"]].to_numpy().tolist() == [[1.0, "x"], [10.0, "x"]]


def test_what_cannot_overlap_is_told_what_to_do():
    with pytest.raises(ValueError, match="bins must be a whole number of at least 2, but is 1"):
        iv.logit_overlaps(made(), bins=1)
    with pytest.raises(ValueError, match="confidence must be a number above 0 and below 1, but is 95"):
        iv.logit_overlaps(made(), confidence=95)
    unlabelled = made().replace(test=Samples(logits=np.zeros((3, 3)), labels=[-1, -1, -1]))
    with pytest.raises(ValueError, match="carry no labels, so no logit is that of its own class"):
        iv.logit_overlaps(unlabelled)
    with pytest.raises(ValueError, match="ood must be one of 'x', but is 'y'"):
        iv.logit_overlaps(made(), ood="y")


def test_known_and_unknown_images_are_drawn_apart_where_they_are_as_many():
    values = np.random.default_rng(0).normal(size=100)
    known, unknown = np.stack([np.full(100, 9.0), values], axis=1), np.stack([values, values], axis=1)
    row = iv.logit_overlaps(Capture.from_arrays(known, np.zeros(100, int), ood={"x": unknown})).iloc[0]
    assert (
        row["difference"] == pytest.approx(1) and row["low"] < row["high"] < 0.99
    )  # two draws of the same images differ
