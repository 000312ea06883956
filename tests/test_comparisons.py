"""Comparisons: resampled metrics against the metrics of repeated scores, intervals against SciPy's bootstrap."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
from scipy import stats

import isomax_viz as iv
from isomax_viz import Capture, bootstrap, comparisons, metrics


def made(seed: int, *, gap: float, loss: str = "isomax", n: int = 120, m: int = 100, **meta) -> Capture:
    """A capture whose test logits stand out by ``gap``; other images of the same kind for each seed."""
    rng = np.random.default_rng(seed)
    labels, logits = np.arange(n) % 4, rng.normal(size=(n, 4))
    logits[np.arange(n), labels] += gap
    unknown = {"letters": rng.normal(size=(m, 4)), "patches": rng.normal(0.3, 1, size=(m - 20, 4))}
    return Capture.from_arrays(logits, labels, ood=unknown, loss=loss, meta={"data": "digits", "seed": seed, **meta})


@pytest.mark.parametrize("metric", metrics.METRICS)
@pytest.mark.parametrize("ties", [False, True])
def test_counted_scores_are_repeated_scores(rng, metric, ties):
    inside, outside = rng.normal(1, 1, 41), rng.normal(0, 1, 33)
    if ties:
        inside, outside = np.round(inside), np.round(outside)
    id_counts, ood_counts = bootstrap.draw_counts(rng, 41, 50), bootstrap.draw_counts(rng, 33, 50)
    found = bootstrap.counted_metric(metric, inside, outside, id_counts, ood_counts)
    for value, of_id, of_ood in zip(found, id_counts.T.astype(int), ood_counts.T.astype(int), strict=True):
        expected = metrics.ood_metrics(np.repeat(inside, of_id), np.repeat(outside, of_ood))[metric]
        assert value == pytest.approx(expected, abs=1e-12)


def test_draws_are_what_drawing_with_replacement_gives():
    counts = bootstrap.draw_counts(np.random.default_rng(0), 10, 20_000)
    assert (counts.sum(axis=0) == 10).all()
    expected = stats.binom(10, 0.1).pmf(np.arange(4))
    found = [(counts == k).mean() for k in range(4)]
    np.testing.assert_allclose(found, expected, atol=0.005)


def test_auroc_of_many_images_loses_no_digits(rng):
    inside, outside = rng.normal(1, 1, 6000), rng.normal(0, 1, 7000)
    once = np.ones((6000, 1), np.float32), np.ones((7000, 1), np.float32)
    assert bootstrap.counted_metric("AUROC", inside, outside, *once)[0] == pytest.approx(
        metrics.auroc(inside, outside), abs=1e-14
    )


def test_the_interval_is_that_of_scipy_for_one_seed():
    a, b = made(0, gap=2.5), made(1, gap=2.0)
    found = iv.compare((a, "max_logit"), (b, "es"), ood="letters", resamples=4000)
    scores = [
        (iv.scores.compute(score, capture.test), iv.scores.compute(score, capture.ood["letters"]))
        for capture, score in ((a, "max_logit"), (b, "es"))
    ]

    def difference(id_index, ood_index):
        one, other = (metrics.auroc(inside[id_index], outside[ood_index]) for inside, outside in scores)
        return one - other

    oracle = stats.bootstrap(
        (np.arange(120), np.arange(100)), difference, vectorized=False, method="percentile", n_resamples=4000, rng=1
    )
    assert found.difference == pytest.approx(metrics.auroc(*scores[0]) - metrics.auroc(*scores[1]), abs=1e-15)
    assert found.low == pytest.approx(oracle.confidence_interval.low, abs=0.004)
    assert found.high == pytest.approx(oracle.confidence_interval.high, abs=0.004)
    assert found.draws.std(ddof=1) == pytest.approx(oracle.standard_error, rel=0.05)


def test_seeds_and_sets_are_averaged_and_resampled_as_a_loop_does():
    seeds, sets = (0, 1, 2), ("letters", "patches")
    a, b = [made(seed, gap=2.5) for seed in seeds], [made(seed, gap=2.0, loss="softmax") for seed in seeds]
    found = iv.compare((a, "mps"), (b[::-1], "mps"), metric="DTACC", resamples=40)
    rng = np.random.default_rng(0)
    expected = []
    for size in (32, 8):
        counts = {
            name: bootstrap.draw_counts(rng, n, size).astype(int)
            for name, n in (("", 120), ("letters", 100), ("patches", 80))
        }
        weights = bootstrap.draw_counts(rng, 3, size)
        for r in range(size):
            total = 0.0
            for one, other, weight in zip(a, b, weights[:, r], strict=True):
                for name in sets:
                    values = [
                        metrics.dtacc(
                            np.repeat(capture.test.max_probabilities, counts[""][:, r]),
                            np.repeat(capture.ood[name].max_probabilities, counts[name][:, r]),
                        )
                        for capture in (one, other)
                    ]
                    total += weight * (values[0] - values[1]) / 6
            expected.append(total)
    np.testing.assert_allclose(found.draws, expected, atol=1e-12)
    np.testing.assert_allclose((found.low, found.high), np.quantile(expected, [0.025, 0.975]), atol=1e-12)
    assert found.frame[["pair", "ood"]].to_numpy().tolist() == [[i, name] for i in range(3) for name in sets]
    assert (found.frame["seed_a"] == found.frame["seed_b"]).all()
    table = iv.evaluate([*a, *b], scores="mps").groupby("loss")["DTACC"].mean()
    assert found.difference == pytest.approx(table["isomax"] - table["softmax"])
    np.testing.assert_allclose(found.per_seed.mean(), found.difference)


def test_pairing_narrows_the_interval_and_seeds_widen_it():
    one = made(0, gap=2.0)
    itself = iv.compare((one, "es"), (one, "es"))
    assert (itself.low, itself.difference, itself.high) == (0, 0, 0)
    # Networks that differ from seed to seed by more than the images explain.
    a = [made(seed, gap=1 + seed) for seed in range(3)]
    b = [made(seed, gap=1.0) for seed in range(3)]
    several = iv.compare((a, "es"), (b, "es"))
    alone = iv.compare((a[1], "es"), (b[1], "es"))
    assert several.high - several.low > 1.5 * (alone.high - alone.low)


def test_the_sentence_says_what_was_found():
    a, b = made(0, gap=4.0, loss="isomax+"), made(1, gap=0.5, loss="softmax")
    found = iv.compare((a, "es"), (b, "mps"), ood="letters", resamples=200)
    points = f"{100 * found.difference:.1f} points higher than that of SoftMax/MPS"
    assert found.sentence.startswith(f"The AUROC of IsoMax+/ES is {points} (95 % interval +")
    assert "Against letters. It is one seed: the interval covers the choice of images only" in found.sentence
    assert iv.compare((b, "mps"), (a, "es"), ood="letters").sentence.startswith("The AUROC of SoftMax/MPS is")
    assert "lower than" in iv.compare((b, "mps"), (a, "es"), ood="letters").sentence
    assert repr(found).startswith("Comparison(AUROC of IsoMax+/ES - SoftMax/MPS: +") and repr(found).endswith("1 seed)")
    same = iv.compare((a, "es"), (a.replace(meta={**a.meta, "seed": 9}), "es"), resamples=50)
    assert same.sentence.startswith(
        "Between the AUROC of IsoMax+/ES and that of IsoMax+/ES no difference is established"
    )
    runs = [made(seed, gap=2) for seed in range(3)]
    assert (
        "seed by seed: +0.0, +0.0, +0.0. The interval" in iv.compare((runs, "es"), (runs, "es"), resamples=20).sentence
    )
    assert "with so few seeds it is too narrow" in iv.compare((runs, "es"), (runs, "es"), resamples=20).sentence
    scaled = [made(0, gap=2, entropic_scale=scale) for scale in (1.0, 10.0)]
    found = iv.compare((scaled[0], "es"), (scaled[1], "es"), resamples=20)
    assert (found.a, found.b) == ("IsoMax/ES (entropic scale 1)", "IsoMax/ES (entropic scale 10)")
    assert found._repr_markdown_() == found.sentence


def test_the_result_cannot_be_changed():
    capture = made(0, gap=1)
    found = iv.compare((capture, "es"), (capture, "mps"), resamples=10)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.difference = 1.0
    with pytest.raises(ValueError, match="read-only"):
        found.draws[0] = 1.0


def test_wrong_comparisons_are_told_what_to_do():
    a, b = made(0, gap=2), made(1, gap=2)
    with pytest.raises(
        TypeError, match=r"a must be a pair \(captures, score\), such as \(capture, 'es'\), but is a Capture"
    ):
        iv.compare(a, (b, "es"))
    with pytest.raises(ValueError, match="metric must be one of .* but is 'auroc'"):
        iv.compare((a, "es"), (b, "es"), metric="auroc")
    with pytest.raises(ValueError, match="score must be one of"):
        iv.compare((a, "entropy"), (b, "es"))
    with pytest.raises(
        ValueError, match=r"a and b must have the same seeds, but have \[0, 1\] and \[0, 2\]. Leave out"
    ):
        iv.compare(([a, b], "es"), ([a, made(2, gap=2)], "es"))
    with pytest.raises(ValueError, match=r"b must hold one capture per seed, but has the seeds \[0, 0\]"):
        iv.compare(([a, b], "es"), ([a, a], "es"))
    with pytest.raises(ValueError, match="same test images in the same order"):
        iv.compare((a, "es"), (made(1, gap=2, n=80), "es"))
    with pytest.raises(ValueError, match="set 'letters' must hold the same images for a and b, but has 100 and 90"):
        iv.compare((a, "es"), (made(1, gap=2, m=90), "es"))
    with pytest.raises(ValueError, match="ood must be one of 'letters', 'patches'"):
        iv.compare((a, "es"), (b, "es"), ood="cifar10")
    with pytest.raises(ValueError, match="ood is empty"):
        iv.compare((a, "es"), (b, "es"), ood=[])
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1, but is 95"):
        iv.compare((a, "es"), (b, "es"), confidence=95)
    with pytest.raises(ValueError, match="resamples must be a whole number of at least 1"):
        iv.compare((a, "es"), (b, "es"), resamples=0)


def test_two_thousand_resamples_of_a_full_test_set_take_seconds():
    rng = np.random.default_rng(0)
    values = [{"": rng.normal(1, 1, 10_000), "x": rng.normal(size=10_000)} for _ in range(2)]
    start = time.perf_counter()
    comparisons._resampled([values], ["x"], "AUROC", resamples=500, rng=rng)
    assert time.perf_counter() - start < 5  # 0.7 s on an idle core, so 3 s for 2,000: the bound is for a busy one
