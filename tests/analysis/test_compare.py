"""Comparisons: resampled metrics against the metrics of repeated scores, intervals against SciPy's bootstrap."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

import isomax_viz as iv
from isomax_viz import Capture, metrics
from isomax_viz.analysis import bootstrap


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


def test_sets_and_images_are_resampled_as_a_loop_does():
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
        for r in range(size):
            total = 0.0
            for one, other in zip(a, b, strict=True):
                for name in sets:
                    values = [
                        metrics.dtacc(
                            np.repeat(capture.test.max_probabilities, counts[""][:, r]),
                            np.repeat(capture.ood[name].max_probabilities, counts[name][:, r]),
                        )
                        for capture in (one, other)
                    ]
                    total += (values[0] - values[1]) / 6
            expected.append(total)
    np.testing.assert_allclose(found.images, np.quantile(expected, [0.025, 0.975]), atol=1e-12)
    np.testing.assert_allclose((found.low, found.high), np.quantile(found.draws, [0.025, 0.975]), atol=1e-12)
    assert found.frame[["pair", "ood"]].to_numpy().tolist() == [[i, name] for i in range(3) for name in sets]
    assert (found.frame["seed_a"] == found.frame["seed_b"]).all()
    table = iv.evaluate([*a, *b], scores="mps").groupby("loss")["DTACC"].mean()
    assert found.difference == pytest.approx(table["isomax"] - table["softmax"])
    np.testing.assert_allclose(found.per_seed.mean(), found.difference)


def test_with_many_images_the_interval_is_that_of_a_paired_t_test():
    # The same scores from the same images in every network, shifted by its own gap: seeds are all that varies.
    rng = np.random.default_rng(5)
    labels, base, far = np.zeros(4000, int), rng.normal(size=4000), rng.normal(size=4000)

    def shifted(gap, seed):
        logits = np.stack([base + gap, np.full(4000, -9.0)], axis=1)
        unknown = np.stack([far, np.full(4000, -9.0)], axis=1)
        return Capture.from_arrays(logits, labels, ood={"x": unknown}, loss="isomax", meta={"seed": seed})

    a = [shifted(gap, seed) for seed, gap in enumerate((0.2, 1.5, 0.9))]
    b = [shifted(gap, seed) for seed, gap in enumerate((0.1, 0.0, 0.4))]
    found = iv.compare((a, "max_logit"), (b, "max_logit"), resamples=2000)
    oracle = stats.ttest_rel(found.frame["a"], found.frame["b"]).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=0.02)
    assert found.high - found.low > 10 * (found.images[1] - found.images[0])


def test_the_interval_holds_the_true_difference_as_often_as_it_says():
    """Networks differ by more than images do; the true difference is that of all networks and all images."""
    rng, gaps, spread, n, rounds = np.random.default_rng(3), (1.6, 1.2), 0.3, 80, 150
    true = np.subtract(*(stats.norm.cdf(gap / np.sqrt(2 + spread**2)) for gap in gaps))
    labels, held = np.zeros(n, int), 0
    for _ in range(rounds):
        known, unknown = rng.normal(size=(2, n)), rng.normal(size=(2, n))
        sides = []
        for gap in gaps:
            networks = []
            for seed in range(3):
                # Half of the variance belongs to the image, which every network sees, half to network and image.
                inside, outside = ((part[0] + rng.normal(size=n)) / 2**0.5 for part in (known, unknown))
                logits = np.stack([inside + gap + spread * rng.normal(), np.full(n, -99.0)], axis=1)
                far = np.stack([outside, np.full(n, -99.0)], axis=1)
                networks.append(Capture.from_arrays(logits, labels, ood={"x": far}, meta={"seed": seed}))
            sides.append((networks, "max_logit"))
        found = iv.compare(*sides, resamples=200)
        held += found.low <= true <= found.high
    # 95 % and what chance allows in so few rounds: 0.90 is three standard errors below.
    assert 0.90 <= held / rounds < 1


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
    assert alone.images == (alone.low, alone.high)
    assert several.low < several.images[0] < several.difference < several.images[1] < several.high


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
        "Between the AUROC of IsoMax+/ES (seed 0) and that of IsoMax+/ES (seed 9) no difference is established: +0.0"
    )
    runs = [made(seed, gap=2) for seed in range(3)]
    assert (
        "seed by seed: +0.0, +0.0, +0.0. The interval" in iv.compare((runs, "es"), (runs, "es"), resamples=20).sentence
    )
    told = iv.compare((runs, "es"), (runs, "mps"), resamples=20)
    ends = " to ".join(f"{100 * end:+.1f}".replace("-", "−") for end in told.images)
    assert f"of seeds, of which 3 say little; for these very networks it is {ends}." in told.sentence
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
    with pytest.raises(ValueError, match="captures of a must differ in the seed only, .* loss values .'isomax', 'soft"):
        iv.compare(([a, made(1, gap=2, loss="softmax")], "es"), ([a, b], "es"))
    with pytest.raises(
        ValueError, match="of b must differ in the seed only, .* training values .'as usual', 'epochs=3"
    ):
        iv.compare(([a, b], "es"), ([a, made(1, gap=2, changed={"epochs": 3})], "es"))
    with pytest.raises(
        ValueError, match="must come from the same test images in the same order, but their data is 'digits' and 'svhn'"
    ):
        iv.compare((a, "es"), (a.replace(meta={**a.meta, "data": "svhn"}), "es"))
    marked = [a.replace(meta={**a.meta, "ood": {"letters": {"fingerprint": mark}}}) for mark in ("1", "2")]
    with pytest.raises(ValueError, match="set 'letters' must hold the same images .* but has different ones of equal"):
        iv.compare((marked[0], "es"), (marked[1], "es"))
    with pytest.raises(ValueError, match="a and b have different scores with the same name '<lambda>'"):
        iv.compare((a, lambda samples: samples.entropies), (a, lambda samples: -samples.entropies))
    with pytest.raises(ValueError, match="seed must be a whole number of at least 0"):
        iv.compare((a, "es"), (b, "es"), seed=-1)
    with pytest.raises(ValueError, match="same test images in the same order"):
        iv.compare((a, "es"), (made(1, gap=2, n=80), "es"))
    with pytest.raises(ValueError, match="set 'letters' must hold the same images for a and b, but has 100 and 90"):
        iv.compare((a, "es"), (made(1, gap=2, m=90), "es"))
    with pytest.raises(ValueError, match="ood must be one of 'letters', 'patches'"):
        iv.compare((a, "es"), (b, "es"), ood="cifar10")
    with pytest.raises(ValueError, match="ood must name at least one"):
        iv.compare((a, "es"), (b, "es"), ood=[])
    with pytest.raises(ValueError, match="confidence must be a number above 0 and below 1, but is 95"):
        iv.compare((a, "es"), (b, "es"), confidence=95)
    with pytest.raises(ValueError, match="resamples must be a whole number of at least 1"):
        iv.compare((a, "es"), (b, "es"), resamples=0)


def test_networks_of_several_machines_are_named(caplog):
    def on(machine, torch, seed, gap, loss="isomax"):
        return made(seed, gap=gap, loss=loss, machine=machine, versions={"torch": torch})

    iv.compare(([on("Xeon", "2.14", 0, 1)], "es"), ([on("Xeon", "2.14", 0, 2)], "es"), resamples=5)
    assert caplog.text == ""
    first, second = ([on("Xeon", "2.14", 0, gap), on("EPYC", "2.14", 1, gap)] for gap in (1, 2))
    iv.compare((first, "es"), (second, "es"), resamples=5)
    assert caplog.text == ""  # each pair of networks comes from one machine
    moved = [first[0], on("Xeon", "2.14", 1, 1)]
    iv.compare((moved, "es"), (second, "es"), resamples=5)
    iv.papers.accuracies([*moved, on("Xeon", "2.14", 0, 1, "softmax"), on("EPYC", "2.14", 1, 1, "softmax")])
    told = "come from 2 machines or versions (Xeon, PyTorch 2.14; EPYC, PyTorch 2.14)"
    assert [told in record.getMessage() for record in caplog.records] == [True, True]
    caplog.clear()
    iv.compare(([on("Xeon", "2.14", 0, 1)], "es"), ([on("Xeon", "2.13", 0, 2)], "es"), resamples=5)
    assert "come from 2 machines or versions (Xeon, PyTorch 2.14; Xeon, PyTorch 2.13)" in caplog.text


def test_names_say_what_tells_the_sides_apart():
    def named(one, other):
        found = iv.compare((made(0, gap=2, **one), "es"), (made(0, gap=2, **other), "es"), resamples=5)
        return found.a, found.b

    assert named({"backbone": "small_cnn"}, {"backbone": "resnet34"}) == (
        "IsoMax/ES (network small_cnn)", "IsoMax/ES (network resnet34)",
    )  # fmt: skip
    assert named({}, {"changed": {"epochs": 3}}) == ("IsoMax/ES (as usual)", "IsoMax/ES (epochs=3)")
    carrying = iv.scores.add_column(made(0, gap=2), "mine", {"test": np.zeros(120), "letters": np.ones(100)})
    assert iv.compare((carrying, "mine"), (carrying, "mine"), ood="letters", resamples=5).a == "IsoMax/mine"


@pytest.mark.parametrize(("seeds", "told"), [(["0"], "seed 0"), (["a", "b"], "seeds a, b"), ([0.0, 1], "seeds 0, 1")])
def test_seeds_that_are_words_are_printed_as_they_are(seeds, told):
    captures = [made(number, gap=2).replace(meta={"seed": seed}) for number, seed in enumerate(seeds)]
    ax = iv.plot_comparisons(iv.compare((captures, "es"), (captures, "mps"), resamples=5))
    assert ax.figure.texts[0].get_text() == f"test against letters, patches · {told}"
