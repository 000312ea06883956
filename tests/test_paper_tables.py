"""Tables in the papers' shape: means and spreads by hand, the best marked, exports that can be read back."""

from __future__ import annotations

import io
import re

import numpy as np
import pandas as pd
import pytest

import isomax_viz as iv
from isomax_viz import Capture, Samples, paper_tables, published


def made(loss, seed=0, *, gap=2.0, **meta) -> Capture:
    rng = np.random.default_rng(seed)
    labels, distances = np.arange(60) % 3, rng.uniform(2, 4, (60, 3))
    distances[np.arange(60), labels] -= gap
    far = {name: rng.uniform(low, 5, (40, 3)) for name, low in (("letters", 1), ("patches", 2), ("fooling", 1))}
    unknown = {name: {"logits": -values, "distances": values} for name, values in far.items()}
    meta = {"data": "digits", "backbone": "small_cnn", "preset": "teaching", "seed": seed} | meta
    capture = Capture.from_arrays(-distances, labels, distances=distances, ood=unknown, loss=loss, meta=meta)
    return capture.replace(train=Samples(logits=-distances[:30], labels=labels[:30]))


@pytest.fixture
def captures():
    return [made(loss, seed) for loss in ("isomax+", "softmax", "isomax", "isomax2") for seed in (0, 1, 2)]


def value(frame, **wanted):
    for name, content in wanted.items():
        frame = frame[frame[name] == content]
    (row,) = frame.to_dict("records")
    return row


def test_the_fair_comparison_has_means_and_spreads_over_seeds(captures):
    table = paper_tables.fair_comparison(captures)
    results = iv.evaluate(captures)
    for method, (loss, score) in zip(table.frame["method"].unique(), paper_tables.FAIR, strict=True):
        for metric in paper_tables.FAIR_METRICS:
            rows = (results["loss"] == loss) & (results["score"] == score) & (results["ood"] == "letters")
            expected = results.loc[rows, metric]
            found = value(table.frame, method=method, metric=metric, ood="letters")
            assert found["mean"] == pytest.approx(expected.mean())
            assert found["std"] == pytest.approx(np.std(expected, ddof=1)) and found["seeds"] == 3
    assert list(table.frame["ood"].unique()) == ["letters", "patches"]  # fooling belongs to the extended table
    assert list(table.frame["method"].unique()) == [
        "SoftMax/MPS", "SoftMax/ES", "IsoMax/ES", "IsoMax2/ES", "IsoMax+/MDS",
    ]  # fmt: skip
    assert repr(table) == "PaperTable(Fair comparison of seamless detection: 2 rows, 5 methods, 3 seeds)"
    assert set(paper_tables.extended_comparison(captures).frame["ood"]) == {"letters", "patches", "fooling"}


def test_the_best_and_what_is_within_the_tolerance_is_bold(captures):
    for tolerance in (0.0, 0.01, 0.2):
        table = paper_tables.fair_comparison(captures, tolerance=tolerance)
        for _, rows in table.frame.groupby(["ood", "metric"]):
            np.testing.assert_array_equal(rows["best"], rows["mean"] >= rows["mean"].max() - tolerance - 1e-12)
    page = table._repr_html_()
    assert page.count("font-weight: bold") == 1 and page == table._repr_html_()
    bold = table.to_latex().count(r"\textbf")
    assert bold == table.frame["best"].sum() > 0


def test_crossed_table_averages_over_sets_before_seeds(captures):
    table = paper_tables.scores_and_losses(captures, ood=["letters", "patches"])
    results = iv.evaluate(captures, scores="mds", ood=["letters", "patches"]).query("loss == 'isomax'")
    per_seed = results.groupby("seed")["AUROC"].mean()
    found = value(table.frame, method="IsoMax/MDS", metric="AUROC")
    assert (found["mean"], found["std"]) == pytest.approx((per_seed.mean(), per_seed.std()))
    assert "average over letters, patches" in table.title
    assert list(table.wide().columns.get_level_values("metric").unique()) == ["TNR@TPR95", "AUROC"]


def test_accuracies_are_those_of_the_captures(captures):
    frame = paper_tables.accuracies(captures).frame
    for split in ("train", "test"):
        expected = [getattr(capture, split).accuracy for capture in captures if capture.loss == "isomax2"]
        found = value(frame, method="IsoMax2", metric=f"{split} accuracy")
        assert (found["mean"], found["std"]) == pytest.approx((np.mean(expected), np.std(expected, ddof=1)))
    assert list(frame["method"].unique()) == ["SoftMax", "IsoMax", "IsoMax+", "IsoMax2"]


def test_the_ablation_names_methods_as_the_paper_does():
    options = [(factor, decay) for decay in (True, False) for factor in (1.0, 0.1)]
    runs = [
        made("isomax2", seed, scales_learning_rate=factor, scales_weight_decay=decay)
        for factor, decay in options
        for seed in (0, 1)
    ]
    table = paper_tables.scales_ablation(runs, ood="fooling")
    theirs = published.table("isomax2", 3)
    assert list(table.frame["method"].unique()) == list(theirs["method"].unique())
    assert list(table.frame["metric"].unique()) == list(theirs["metric"].unique())
    with pytest.raises(ValueError, match="captures must be of 'isomax2' and say how its scales and tilts were trained"):
        paper_tables.scales_ablation(made("isomax"))


def test_published_tables_take_the_same_shape():
    table = paper_tables.from_published("isomax+", 3)
    row = value(table.frame, backbone="resnet110", data="cifar10", ood="svhn", method="IsoMax+_MDS", metric="AUROC")
    assert (row["mean"], row["std"], row["best"]) == (pytest.approx(0.981), pytest.approx(0.009), True)
    assert table.wide().shape == (18, 6) and repr(table).endswith("18 rows, 3 methods)")
    small = paper_tables.from_published("isomax2", 4)
    assert small.wide().shape == (6, 6)
    missing = paper_tables.from_published("isomax2", 2)  # ACET has no values for DenseNet
    assert "nan" not in missing.to_latex().lower() and "nan" not in missing._repr_html_().lower()
    with pytest.raises(ValueError, match="Table 1 of 'dismax' holds no numbers. Read it with iv.published.table"):
        paper_tables.from_published("dismax", 1)


def test_exports_can_be_read_back(captures, tmp_path):
    table = paper_tables.fair_comparison(captures)
    text = table.to_csv(tmp_path / "fair.csv")
    back = pd.read_csv(tmp_path / "fair.csv")
    pd.testing.assert_frame_equal(back, table.frame.reset_index(drop=True), atol=1e-6, check_dtype=False)
    assert pd.read_csv(io.StringIO(text)).equals(back)
    latex = table.to_latex(tmp_path / "fair.tex")
    assert (tmp_path / "fair.tex").read_text(encoding="utf-8") == latex
    assert latex.count(r"\toprule") == latex.count(r"\bottomrule") == 1
    rows = [line for line in latex.splitlines() if r"$\pm$" in line and "&" in line]
    assert len(rows) == 2 and all(line.count("&") == 2 + 15 for line in rows)
    assert r"small\_cnn" in latex and "mean $\\pm$ standard deviation over 3 seeds" in latex
    assert "; bold: within 1 point of the best" in table._repr_html_()
    assert "; bold: the best<" in paper_tables.from_published("isomax2", 3, tolerance=0)._repr_html_()


def test_one_seed_has_no_spread():
    table = paper_tables.fair_comparison(made("softmax"))
    assert table.frame["std"].isna().all() and "±" not in table._repr_html_()
    assert set(table.frame["method"]) == {"SoftMax/MPS", "SoftMax/ES"}


def test_mixed_settings_are_refused(captures):
    other = made("isomax", 1, entropic_scale=3.0)
    with pytest.raises(ValueError, match="IsoMax/ES on digits has seed 1 twice. Give captures of one setting"):
        paper_tables.fair_comparison([*captures, other])
    with pytest.raises(ValueError, match="IsoMax on digits has seed 1 twice"):
        paper_tables.accuracies([*captures, other])
    with pytest.raises(ValueError, match="one of the losses 'isomax', 'isomax\\+', but are of 'softmax'"):
        paper_tables.scores_and_losses(made("softmax"))
    with pytest.raises(ValueError, match="tolerance must be a number of at least 0"):
        paper_tables.fair_comparison(captures, tolerance=-1)


def test_two_tables_on_a_page_do_not_share_their_bold_cells():
    first, second = paper_tables.from_published("isomax2", 1), paper_tables.from_published("isomax2", 4)
    ids = [re.search(r'<table id="(\w+)"', table._repr_html_())[1] for table in (first, second, first)]
    assert ids[0] == ids[2] != ids[1]
