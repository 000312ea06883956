"""Tables in the papers' shape: means and spreads by hand, the best marked, exports that can be read back."""

from __future__ import annotations

import io
import re

import numpy as np
import pandas as pd
import pytest

import isomax_viz as iv
from isomax_viz import Capture, Samples, published
from isomax_viz.papers import tables as paper_tables


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
    averaged = paper_tables.scores_and_losses(captures, ood=["letters", "patches"], spread="averaged")
    per_set = results.groupby("ood")["AUROC"].std().mean()
    again = value(averaged.frame, method="IsoMax/MDS", metric="AUROC")
    assert (again["mean"], again["std"]) == pytest.approx((per_seed.mean(), per_set)) and per_set != found["std"]
    assert averaged.title == f"{table.title} (±: that of each set, averaged)"
    with pytest.raises(ValueError, match="spread must be one of 'of averages', 'averaged', but is 'both'"):
        paper_tables.scores_and_losses(captures, spread="both")
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
    calls = (
        paper_tables.fair_comparison, paper_tables.extended_comparison, paper_tables.scores_and_losses,
        paper_tables.accuracies,
    )  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match="where their loss is 'isomax', only, but have the entropic_scale values"):
            call([*captures, other])
        with pytest.raises(
            ValueError, match=r"IsoMax(/ES)? on digits has seed 0 twice. Give every training once, each"
        ):
            call([*captures, captures[6]])
    # Another seed does not make another setting the same one: such means looked like those of one setting.
    mixed = [*captures, made("isomax", 7, entropic_scale=3.0)]
    with pytest.raises(
        ValueError, match=r"but have the entropic_scale values \[None, 3.0\]. Give captures of one sett"
    ):
        paper_tables.fair_comparison(mixed)
    with pytest.raises(ValueError, match="but have the training values .'as usual', 'scales_learning_rate=1.0'"):
        paper_tables.accuracies([*captures, made("isomax2", 7, changed={"scales_learning_rate": 1.0})])
    # A fair comparison trains all losses alike.
    for changed in ({"preset": "smoke"}, {"changed": {"epochs": 3}}, {"select": "best_test"}):
        with pytest.raises(ValueError, match="captures must differ in loss and seed only, but have the"):
            paper_tables.fair_comparison([made("softmax"), made("isomax", **changed)])
    with pytest.raises(ValueError, match="has seed 0 twice. Give every training once.* and every method once"):
        paper_tables.fair_comparison(made("softmax"), methods=[("softmax", "es"), ("softmax", "es")])
    with pytest.raises(ValueError, match="one of the losses 'isomax', 'isomax\\+', but are of 'softmax'"):
        paper_tables.scores_and_losses(made("softmax"))
    with pytest.raises(ValueError, match="tolerance must be a number of at least 0"):
        paper_tables.fair_comparison(captures, tolerance=-1)
    with pytest.raises(
        ValueError, match="tolerance must be a fraction below 0.5, but is 1. One point of percent is 0.01"
    ):
        paper_tables.from_published("isomax+", 3, tolerance=1)


def test_each_data_set_has_its_own_sets_and_the_same_for_all_its_networks(captures):
    # As in the papers: what is unknown to one data set is what the other was trained on.
    def on(data, loss, seed, sets):
        capture = made(loss, seed, data=data)
        return capture.replace(ood={name: samples for name, samples in zip(sets, capture.ood.values(), strict=False)})

    runs = [on("cifar10", loss, 0, ["svhn", "lsun_resize"]) for loss in ("softmax", "isomax")]
    runs += [on("svhn", "isomax", 0, ["cifar10", "lsun_resize"])]
    for table in (
        paper_tables.fair_comparison(runs),
        paper_tables.extended_comparison(runs, ood=["svhn", "cifar10", "lsun_resize"]),
    ):
        rows = table.frame[["data", "ood"]].drop_duplicates().to_numpy().tolist()
        assert sorted(rows) == [
            ["cifar10", "lsun_resize"], ["cifar10", "svhn"], ["svhn", "cifar10"], ["svhn", "lsun_resize"],
        ]  # fmt: skip
    title = paper_tables.scores_and_losses(runs).title
    assert title.endswith("over small_cnn cifar10: SVHN, LSUN (resize); small_cnn svhn: CIFAR10, LSUN (resize)")
    # A set that one network was not shown does not enter the averages of the others.
    more = [captures[0].replace(ood={"easy": captures[0].ood["letters"]} | captures[0].ood), *captures[1:]]
    both = [paper_tables.scores_and_losses(runs).frame for runs in (captures, more)]
    pd.testing.assert_frame_equal(*both)
    with pytest.raises(ValueError, match="ood must be one of .*, but is 'cifar10'"):
        paper_tables.fair_comparison(captures, ood="cifar10")
    with pytest.raises(ValueError, match="ood must be one of 'letters', 'patches', 'fooling', but is 'easy'"):
        paper_tables.fair_comparison(more, ood="easy")


def test_unequal_numbers_of_seeds_are_told(captures):
    table = paper_tables.fair_comparison(captures[1:])
    assert set(table.frame.loc[table.frame["method"] == "IsoMax+/MDS", "seeds"]) == {2}
    assert "standard deviation over 2 to 3 seeds" in table._repr_html_() and "2 or 3 seeds" in repr(table)
    untold = captures[0].replace(train=None)
    frame = paper_tables.accuracies([untold, *captures[1:]]).frame
    row = value(frame, method="IsoMax+", metric="train accuracy")
    assert row["seeds"] == 2
    assert row["mean"] == pytest.approx(np.mean([capture.train.accuracy for capture in captures[1:3]]))


def test_names_of_ones_own_survive_html_and_latex():
    capture = made("softmax").replace(meta={"data": "a<b> & 50 %_$x$ {y} ^~\\", "seed": 0, "loss": "softmax"})
    table = paper_tables.fair_comparison(capture, methods=[("softmax", lambda samples: samples.logits.max(axis=1))])
    page = table._repr_html_()
    assert "SoftMax/&lt;lambda&gt;" in page and "a&lt;b&gt; &amp; 50 %" in page and "<lambda>" not in page
    latex = table.to_latex()
    assert r"SoftMax/\textless{}lambda\textgreater{}" in latex
    expected = r"a\textless{}b\textgreater{} \& 50 \%\_\$x\$ \{y\} \textasciicircum{}\textasciitilde{}\textbackslash{}"
    assert expected in latex
    # IsoMax+ table 5 has a method with a superscript: a bare ^ stops LaTeX.
    assert "^" not in paper_tables.from_published("isomax+", 5).to_latex()


def test_two_tables_on_a_page_do_not_share_their_bold_cells():
    first, second = paper_tables.from_published("isomax2", 1), paper_tables.from_published("isomax2", 4)
    ids = [re.search(r'<table id="(\w+)"', table._repr_html_())[1] for table in (first, second, first)]
    assert ids[0] == ids[2] != ids[1]
