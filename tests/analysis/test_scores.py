"""Scores on logits against closed forms, and score columns: stored beside the samples, used like any other score."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import isomax_viz as iv
from isomax_viz import Capture, Samples, figures, metrics, risks, scores, tables, thresholds
from isomax_viz.analysis import images as selections
from isomax_viz.captures.files import read_capture, write_capture


def samples_of(logits) -> Samples:
    return Samples(logits=logits, labels=np.zeros(len(logits), dtype=int))


def probabilities(row: list[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp(value / temperature) for value in row]
    return [value / sum(powers) for value in powers]


@pytest.mark.parametrize(("exponent", "top"), [(0.1, 100), (0.1, 3), (0.5, 2), (1.0, 1)])
def test_generalised_entropy_is_the_sum_of_its_paper(rng, exponent, top):
    logits = rng.normal(scale=3, size=(20, 7)).astype(np.float32)
    found = scores.generalised_entropy(samples_of(logits), exponent=exponent, top=top)
    for row, value in zip(logits.tolist(), found, strict=True):
        likeliest = sorted(probabilities(row), reverse=True)[:top]
        assert value == pytest.approx(-sum(p**exponent * (1 - p) ** exponent for p in likeliest), rel=1e-9)


def test_generalised_entropy_of_very_many_classes(rng):
    logits = rng.normal(scale=2, size=(3, 5000)).astype(np.float32)
    for row, value in zip(logits.tolist(), scores.compute("gen", samples_of(logits)), strict=True):
        likeliest = sorted(probabilities(row), reverse=True)[:100]
        assert value == pytest.approx(-sum(p**0.1 * (1 - p) ** 0.1 for p in likeliest), rel=1e-7)


def test_generalised_entropy_agrees_with_pytorch_ood_but_for_sign_and_mean(rng):
    torch, library = pytest.importorskip("torch"), pytest.importorskip("pytorch_ood.detector")
    logits = rng.normal(scale=2, size=(50, 10)).astype(np.float32)
    theirs = library.GEN.score(torch.tensor(logits), gamma=0.1).numpy()
    np.testing.assert_allclose(scores.compute("gen", samples_of(logits)), -10 * theirs, rtol=1e-4)


def test_generalised_entropy_tells_apart_what_is_saturated():
    found = scores.compute("gen", samples_of([[0.0, -40.0], [0.0, -60.0], [0.0, -1000.0]]))
    assert found[0] < found[1] < found[2] <= 0
    assert found[0] == pytest.approx(-2 * math.exp(-4.0), rel=1e-12)  # p (1 - p) = exp(-40) to 17 digits


@pytest.mark.parametrize("temperature", [1.0, 10.0, 1000.0])
def test_scaled_probability_is_softmax_of_the_divided_logits(rng, temperature):
    logits = rng.normal(scale=3, size=(20, 7)).astype(np.float32)
    found = scores.scaled_max_probability(samples_of(logits), temperature=temperature)
    wanted = [max(probabilities(row, temperature)) for row in logits.tolist()]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert scores.compute("scaled_mps", samples_of(logits)).dtype == np.float64


def test_energy_is_its_closed_form(rng):
    logits = rng.normal(scale=3, size=(20, 7)).astype(np.float32)
    wanted = [math.log(sum(math.exp(value) for value in row)) for row in logits.tolist()]
    np.testing.assert_allclose(scores.compute("energy", samples_of(logits)), wanted, rtol=1e-5)


def test_options_of_scores_are_checked():
    some = samples_of([[0.0, 1.0]])
    with pytest.raises(ValueError, match="exponent must be a number above 0"):
        scores.generalised_entropy(some, exponent=0)
    with pytest.raises(ValueError, match="top must be a whole number of at least 1"):
        scores.generalised_entropy(some, top=0)
    with pytest.raises(ValueError, match="temperature must be a number above 0"):
        scores.scaled_max_probability(some, temperature=0)


@pytest.fixture
def with_column(capture, rng) -> Capture:
    values = {name: rng.normal(size=len(samples)) for name, samples in capture.samples.items()}
    return scores.add_column(capture, "mine", values)


def test_a_column_is_a_score_like_any_other(with_column):
    test, near = with_column.test, with_column.ood["near"]
    mine = test.extra_scores["mine"]
    assert scores.compute("mine", test).tolist() == mine.tolist()
    row = iv.evaluate(with_column, scores=("es", "mine"), ood="near").set_index("score").loc["mine"]
    assert row["AUROC"] == metrics.auroc(mine, near.extra_scores["mine"])
    assert row["TNR@TPR95"] == metrics.ood_metrics(mine, near.extra_scores["mine"])["TNR@TPR95"]
    table = tables.roc_table(with_column, "near", score="mine")
    assert table["AUROC"].iloc[0] == row["AUROC"] and table["score"].iloc[0] == "mine"
    assert tables.values_table(with_column, "mine", "near")["quantity"].iloc[0] == "mine"
    assert thresholds.find_threshold(with_column, score="mine") == metrics.threshold_at_tpr(mine)
    counted = thresholds.threshold_table(with_column, "near", score="mine").iloc[0]
    assert counted["id_accepted"] == (mine >= metrics.threshold_at_tpr(mine)).sum()
    chosen = selections.select_images(with_column, "near", score="mine", which="doubtful_id", most=1)
    assert chosen["index"].tolist() == [int(mine.argmin())]
    compared = iv.compare((with_column, "mine"), (with_column, "es"), ood="near", resamples=20)
    assert compared.difference == pytest.approx(
        row["AUROC"] - iv.evaluate(with_column, scores="es", ood="near").AUROC[0]
    )
    assert figures.plot_scores(with_column, "near", score="mine").get_xlabel() == "mine score (not a probability)"
    assert "mine" in figures.describe(figures.plot_roc(with_column, "near", score=["es", "mine"]))
    costs = risks.risk_table(with_column, "near", score="mine")
    assert set(costs["threshold"]) == {np.inf, *mine, *near.extra_scores["mine"]}
    threshold = risks.cheapest_threshold(with_column, "near", score="mine")
    assert threshold == costs.loc[costs["cost"].idxmin(), "threshold"]
    assert figures.plot_risk(with_column, "near", score="mine").axes[3].get_xlabel() == "threshold on mine"


def test_columns_travel_with_the_file_in_their_order(with_column, tmp_path, rng):
    odd = scores.add_column(with_column, "a/b: odd name", {"test": rng.normal(size=60).astype(np.float32)})
    loaded = Capture.load(odd.save(tmp_path / "capture.safetensors"))
    assert list(loaded.test.extra_scores) == ["mine", "a/b: odd name"]
    for name, samples in odd.samples.items():
        for key, column in samples.extra_scores.items():
            found = loaded.samples[name].extra_scores[key]
            assert found.tolist() == column.tolist() and found.dtype == column.dtype and not found.flags.writeable


def test_files_without_columns_are_those_of_before(capture, tmp_path):
    path = capture.save(tmp_path / "capture.safetensors")
    arrays, content = read_capture(path)
    assert set(content) == {"meta", "history", "ood"} and not any("score" in name for name in arrays)
    write_capture(path, arrays, content)
    assert Capture.load(path).test.extra_scores == {}


def test_columns_stand_in_the_frame_of_samples(with_column):
    frame = with_column.to_frame()
    assert frame.loc[frame["set"] == "near", "mine"].tolist() == with_column.ood["near"].extra_scores["mine"].tolist()


def test_unknown_scores_are_named_with_all_that_there_are(with_column):
    with pytest.raises(ValueError, match="score must be one of 'mps', .*'energy', .*'mine', but is 'mime'"):
        iv.evaluate(with_column, scores="mime")
    with pytest.raises(ValueError, match=r"but is 'odin'.*Add it with: capture = iv.add_scores\(capture, 'odin'\)"):
        iv.evaluate(with_column, scores="odin")
    with pytest.raises(ValueError, match="value must be one of .*'mine', but is 'odin'"):
        tables.values_table(with_column, "odin")
    partly = with_column.replace(ood={"near": replace(with_column.ood["near"], extra_scores={})})
    with pytest.raises(
        ValueError, match=r"'mine'; their columns are: none. Add it with: capture = iv.scores.add_column"
    ):
        iv.evaluate(partly, scores="mine")
    with pytest.raises(ValueError, match="carry no column for the score 'odin'; their columns are: 'mine'"):
        scores.get("odin")(with_column.test)


def test_logits_farther_apart_than_any_number_have_scores():
    extreme = Samples(logits=np.float32([[3e38, -3e38, 0], [-3e38, -3e38, 3e38]]), labels=[-1, -1])
    assert scores.compute("es", extreme).tolist() == [0.0, 0.0]
    assert scores.compute("mps", extreme).tolist() == [1.0, 1.0]
    assert scores.compute("energy", extreme).tolist() == extreme.logits.max(axis=1).tolist()


def test_known_columns_have_their_words():
    assert scores.words("odin").source == "Liang et al. 2018" and scores.get("ODIN").label == "ODIN"
    assert scores.words("mine").name == "mine" and scores.words("es").label == "ES"


@pytest.mark.parametrize("key", [*scores.SCORES, "Energy", "MPS"])
def test_a_column_is_not_called_as_a_computed_score_and_where_it_is_it_is_read(capture, key):
    with pytest.raises(ValueError, match=f"^key must be none of 'mps', .*, but is {key!r}. Choose another name"):
        scores.add_column(capture, key, {"test": np.zeros(60)})
    own = replace(capture.test, extra_scores={key: np.arange(60.0)})
    assert scores.compute(key, own).tolist() == list(range(60))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"test": [1.0]}, r"extra_scores\['mine'\] must have shape \(60,\), but has shape \(1,\)"),
        ({"test": np.full(60, np.nan)}, "60 of 60 values that are NaN or infinite"),
        ({"nowhere": [1.0]}, "a set of values must be one of 'test', 'near', 'far', but is 'nowhere'"),
    ],
)
def test_columns_are_checked(capture, values, message):
    with pytest.raises(ValueError, match=message):
        scores.add_column(capture, "mine", values)
