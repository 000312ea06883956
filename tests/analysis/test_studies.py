"""Studies over several trainings: tables against sums by hand, figures against their tables."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

import isomax_viz as iv
from isomax_viz import Capture, Samples, metrics, studies
from isomax_viz.analysis import loss_blocks
from isomax_viz.catalog import style
from isomax_viz.catalog.losses import LOSSES

META = {"data": "digits", "backbone": "small_cnn", "preset": "teaching"}


def made(seed=0, *, loss="isomax", gap=2.0, **meta) -> Capture:
    rng = np.random.default_rng(seed)
    labels, logits = np.arange(60) % 3, rng.normal(size=(60, 3))
    logits[np.arange(60), labels] += gap
    unknown = {name: rng.normal(shift, 1, (40, 3)) for name, shift in (("letters", 0), ("patches", 1), ("gaussian", 2))}
    return Capture.from_arrays(logits, labels, ood=unknown, loss=loss, meta=META | {"seed": seed} | meta)


@pytest.fixture
def scales():
    """Two seeds of three entropic scales; the middle one separates best."""
    return [
        made(seed, gap=gap, entropic_scale=scale) for scale, gap in ((1.0, 1), (10.0, 5), (30.0, 2)) for seed in (0, 1)
    ]


@pytest.fixture
def sizes():
    return [
        made(seed, loss=loss, gap=gap, examples_per_class=n)
        for loss in ("softmax", "isomax2")
        for n, gap in ((10, 1), (100, 4))
        for seed in (0, 1)
    ]


def auroc(capture, name):
    return metrics.auroc(-capture.test.entropies, -capture.ood[name].entropies)


def test_alpha_table_holds_the_metrics_and_the_choice(scales):
    table = studies.alpha_table(scales, select_on="patches")
    assert len(table) == 6 * (1 + 2 * 3)
    for number, capture in enumerate(scales):
        rows = table[table["capture"] == number].set_index(["quantity", "ood"])
        assert rows.loc[("accuracy", ""), "value"] == capture.test.accuracy
        assert rows.loc[("AUROC", "letters"), "value"] == auroc(capture, "letters")
        assert rows.loc[("AUROC", "letters"), "role"] == "report"
        assert rows.loc[("AUROC", "patches"), "role"] == "choice"
    detected = {}
    for capture in scales:
        values = -capture.test.entropies, -capture.ood["patches"].entropies
        detected.setdefault(capture.meta["entropic_scale"], []).append(metrics.tnr_at_tpr(*values))
    best = max(detected, key=lambda scale: np.mean(detected[scale]))
    assert best == 10 and (table["chosen_scale"] == best).all()
    only = studies.alpha_table(scales, select_on="patches", ood="letters", score="mps")
    assert list(only["ood"].unique()) == ["", "patches", "letters"] and (only["score"] == "mps").all()


def test_of_equal_scales_the_smallest_is_chosen(scales):
    alike = [capture.replace(test=scales[0].test, ood=scales[0].ood) for capture in scales]
    assert studies.alpha_table(alike, select_on="letters")["chosen_scale"].iloc[0] == 1


def test_robustness_table_averages_over_sets(sizes):
    table = studies.robustness_table(sizes)
    for number, capture in enumerate(sizes):
        rows = table[table["capture"] == number].set_index("quantity")["value"]
        assert rows["accuracy"] == capture.test.accuracy
        assert rows["mean AUROC"] == pytest.approx(np.mean([auroc(capture, name) for name in capture.ood]))
    assert set(table["examples_per_class"]) == {10, 100}
    assert table["ood"].unique().tolist() == ["", "letters, patches, gaussian"]
    assert table["sets"].unique().tolist() == [0, 3]


def test_robustness_averages_over_the_same_sets_for_every_network(sizes):
    # One network was shown a further, very easy set: its mean must not profit from it.
    easy = Samples(logits=np.zeros((5, 3)), labels=[-1] * 5)
    further = [sizes[0].replace(ood={"easy": easy} | sizes[0].ood), *sizes[1:]]
    pd.testing.assert_frame_equal(studies.robustness_table(further), studies.robustness_table(sizes))
    with pytest.raises(ValueError, match="ood must be one of 'letters', 'patches', 'gaussian', but is 'easy'"):
        studies.robustness_table(further, ood="easy")
    apart = [sizes[0].replace(ood={"easy": easy}), sizes[1]]
    with pytest.raises(ValueError, match="must have an out-of-distribution set in common, but have: easy; letters, pa"):
        studies.robustness_table(apart)
    with pytest.raises(ValueError, match="ood must name at least one"):
        studies.robustness_table(sizes, ood=[])


def test_what_would_be_averaged_wrongly_is_refused(scales, sizes):
    def other(capture, **meta):
        return capture.replace(meta={**capture.meta, **meta})

    with pytest.raises(
        ValueError, match="captures holds seed 0 twice with entropic_scale 1.0. Give every training once"
    ):
        studies.alpha_table([*scales, scales[0]], select_on="patches")
    with pytest.raises(ValueError, match="seed only, but have the training values .'as usual', 'epochs=3'"):
        studies.alpha_table([scales[0], other(scales[1], changed={"epochs": 3})], select_on="patches")
    with pytest.raises(ValueError, match="seed only, but have the select values .*'best_test'"):
        studies.alpha_table([scales[0], other(scales[1], select="best_test")], select_on="patches")
    with pytest.raises(ValueError, match="seed 0 twice with loss 'softmax', examples_per_class 10"):
        studies.robustness_table([*sizes, sizes[0]])
    with pytest.raises(ValueError, match=r"but have the entropic_scale values \[1.0, 10.0\]"):
        studies.robustness_table([other(sizes[0], entropic_scale=1.0), other(sizes[1], entropic_scale=10.0)])
    studies.robustness_table(
        [other(capture, changed={"epochs": 600 // capture.meta["examples_per_class"]}) for capture in sizes]
    )
    with pytest.raises(ValueError, match="loss and seed, where the number of examples is 10, only, but have the train"):
        studies.robustness_table([other(sizes[0], changed={"epochs": 3}), *sizes[1:]])


def test_the_number_of_examples_is_counted_where_nobody_asked_for_one():
    capture = made()
    train = Samples(logits=np.zeros((7, 3)), labels=[0, 0, 0, 1, 1, 2, 2])
    assert studies.examples_per_class(capture.replace(train=train)) == 2
    with pytest.raises(ValueError, match="does not say how many training examples it had. Record it with"):
        studies.examples_per_class(capture)


def means_and_points(ax):
    return [line for line in ax.lines if line.get_gid() != "chosen scale"], ax.collections


@pytest.mark.parametrize("quantity", studies.ALPHA_QUANTITIES)
def test_alpha_lines_are_means_and_points_are_seeds(scales, quantity):
    table = studies.alpha_table(scales, select_on="patches")
    drawn, again = (
        iv.plot_alpha(scales, select_on="patches", quantity=quantity),
        iv.plot_alpha(table, quantity=quantity),
    )
    assert drawn._repr_png_() == again._repr_png_()
    means, points = means_and_points(drawn)
    groups = table[table["quantity"] == quantity].groupby("ood", sort=False)
    for mean, point, (_, rows) in zip(means, points, groups, strict=True):
        expected = rows.groupby("entropic_scale")["value"].mean()
        np.testing.assert_array_equal(mean.get_xdata(), expected.index)
        np.testing.assert_allclose(mean.get_ydata(), expected)
        np.testing.assert_array_equal(point.get_offsets()[:, 1], rows["value"])
    assert drawn.get_xscale() == "log" and [text.get_text() for text in drawn.get_xticklabels()] == ["1", "10", "30"]
    line = next(line for line in drawn.lines if line.get_gid() == "chosen scale")
    assert set(line.get_xdata()) == {10.0}


def test_a_table_that_was_cut_is_drawn_or_refused(scales, sizes):
    table = studies.alpha_table(scales, select_on="patches")
    ax = iv.plot_alpha(table[table["role"] != "choice"])
    assert ax.get_legend_handles_labels()[1] == ["letters", "gaussian noise"]
    assert iv.figures.describe(ax).endswith("Another set chose the scale 10.")
    with pytest.raises(ValueError, match="quantity must be one of 'accuracy', but is 'AUROC'"):
        iv.plot_alpha(table[table["quantity"] == "accuracy"], quantity="AUROC")
    table = studies.robustness_table(sizes)
    with pytest.raises(ValueError, match="quantity must be one of 'accuracy', but is 'mean AUROC'"):
        iv.plot_robustness(table[table["quantity"] == "accuracy"], quantity="mean AUROC")


def test_trainings_of_unequal_length_are_told_by_their_last_epochs():
    history = pd.DataFrame({"epoch": [1, 2, 3], "split": "test", "accuracy": [0.5, 0.8, 0.9]})
    long, short = (made(loss=loss).replace(history=history[:n]) for loss, n in (("isomax", 3), ("softmax", 2)))
    told = iv.figures.describe(iv.plot_training([long, short]))
    assert told.endswith("accuracy after the last epoch of each training: IsoMax test 90.0 %, SoftMax test 80.0 %.")
    assert "after epoch 3: IsoMax test 90.0 %." in iv.figures.describe(iv.plot_training(long))


def test_the_set_that_chose_the_scale_is_set_apart(scales):
    ax = iv.plot_alpha(scales, select_on="patches")
    assert ax.get_legend_handles_labels()[1] == ["patches (chose the scale)", "letters", "gaussian noise"]
    (chose, letters, _), _ = means_and_points(ax)
    assert chose.get_color() == "#767676" and letters.get_color() == style.data_style("letters").color
    assert iv.figures.describe(ax).endswith("patches chose the scale 10.")
    assert ax.figure.texts[0].get_text() == "preset teaching · digits · small_cnn · seeds 0, 1"
    accuracy = iv.plot_alpha(scales, select_on="patches", quantity="accuracy")
    assert accuracy.get_legend_handles_labels()[1] == ["test images"]
    assert to_hex(accuracy.lines[0].get_color()) == style.loss_style("isomax").color.lower()


@pytest.mark.parametrize("quantity", studies.ROBUSTNESS_QUANTITIES)
def test_robustness_lines_are_means_and_points_are_seeds(sizes, quantity):
    table = studies.robustness_table(sizes)
    ax = iv.plot_robustness(sizes, quantity=quantity)
    assert ax._repr_png_() == iv.plot_robustness(table, quantity=quantity)._repr_png_()
    means, points = means_and_points(ax)
    groups = table[table["quantity"] == quantity].groupby("loss", sort=False)
    for mean, point, (_, rows) in zip(means, points, groups, strict=True):
        np.testing.assert_allclose(mean.get_ydata(), rows.groupby("examples_per_class")["value"].mean())
        np.testing.assert_array_equal(point.get_offsets()[:, 1], rows["value"])
    assert ax.get_legend_handles_labels()[1] == ["SoftMax", "IsoMax2"]
    assert ax.get_ylabel() == ("accuracy" if quantity == "accuracy" else "mean AUROC (3 sets)")
    assert iv.figures.describe(ax).startswith("digits")


@pytest.mark.parametrize("quantity", studies.ALPHA_QUANTITIES)
def test_a_table_is_drawn_the_same_after_it_was_written_and_read(scales, quantity):
    """The accuracy belongs to no set: its empty names are missing in a file."""
    table = studies.alpha_table(scales, select_on="patches")
    for part in (table, table[table["quantity"] == quantity]):
        again = pd.read_csv(io.StringIO(part.to_csv(index=False)))
        drawn, plain = (iv.plot_alpha(one, quantity=quantity) for one in (again, part))
        assert drawn._repr_png_() == plain._repr_png_() and len(means_and_points(drawn)[0]) > 0


def test_one_table_holds_one_score(scales, sizes):
    for make, captures in ((studies.robustness_table, sizes), (iv.plot_robustness, sizes)):
        with pytest.raises(TypeError, match=r"score must be one name or function, but is \['es', 'mps'\]"):
            make(captures, score=["es", "mps"])
    for make in (studies.alpha_table, iv.plot_alpha):
        with pytest.raises(TypeError, match=r"score must be one name or function, but is \('es', 'mps'\)"):
            make(scales, select_on="patches", score=("es", "mps"))


def test_studies_say_what_is_wrong(scales, sizes):
    with pytest.raises(
        ValueError, match="select_on must be one of .*, but is None. Name the set that chooses the scale"
    ):
        iv.plot_alpha(scales)
    with pytest.raises(ValueError, match="entropic scale and the seed only, but have the loss values"):
        iv.plot_alpha([scales[0], sizes[0]], select_on="letters")
    with pytest.raises(ValueError, match="has no entropic scale, so nothing can be drawn against it"):
        iv.plot_alpha(sizes[:1], select_on="letters")
    with pytest.raises(ValueError, match="quantity must be one of 'accuracy', 'TNR@TPR95', 'AUROC', but is 'auroc'"):
        iv.plot_alpha(scales, select_on="letters", quantity="auroc")
    with pytest.raises(ValueError, match="without data, entropic_scale.* iv.studies.alpha_table made from them"):
        iv.plot_alpha(pd.DataFrame({"loss": ["isomax"]}))
    other = sizes[0].replace(meta={**sizes[0].meta, "data": "cifar10"})
    with pytest.raises(ValueError, match="number of training examples only, but have the data values"):
        iv.plot_robustness([sizes[0], other])
    with pytest.raises(ValueError, match="quantity must be one of 'accuracy', 'mean AUROC'"):
        iv.plot_robustness(sizes, quantity="AUROC")


@pytest.mark.parametrize("loss", LOSSES)
def test_loss_blocks_draw_every_block_in_order(loss):
    table = loss_blocks.loss_blocks_table(loss)
    ax = iv.plot_loss_blocks(loss)
    assert ax._repr_png_() == iv.plot_loss_blocks(table)._repr_png_()
    words = {gid: [text for text in ax.texts if text.get_gid() == gid] for gid in ("block", "formula", "artefact")}
    assert [text.get_text() for text in words["block"]] == table["block"].tolist()
    assert [text.get_text().strip("$") for text in words["formula"]] == table["formula"].tolist()
    heights = [text.get_position()[1] for text in words["block"]]
    assert heights == sorted(heights) and words["block"][0].get_text() == "features"
    assert words["artefact"][0].get_text() in iv.figures.describe(ax)
    with pytest.raises(ValueError, match="loss must be one of 'softmax'"):
        iv.plot_loss_blocks("arcface")
    with pytest.raises(ValueError, match="points must be a whole number of at least 2, but is 1"):
        loss_blocks.plane_table(loss, points=1)


def test_the_plane_is_the_softmax_of_each_loss():
    centres = loss_blocks.CENTRES
    for loss, logit in {
        "softmax": lambda f, c: f @ c,
        "isomax": lambda f, c: -np.sqrt(((f - c) ** 2).sum()),
        "isomax2": lambda f, c: -np.sqrt(((f - c) ** 2).sum()),
        "isomax+": lambda f, c: -3 * np.sqrt(((f / np.sqrt(f @ f) - c / np.sqrt(c @ c)) ** 2).sum()),
    }.items():
        plane = loss_blocks.plane_table(loss, points=4)
        for row in plane.to_dict("records"):
            logits = np.array([logit(np.array([row["x"], row["y"]]), centre) for centre in centres])
            p = np.exp(logits) / np.exp(logits).sum()
            assert row["max_probability"] == pytest.approx(p.max(), rel=1e-5)
            assert row["lead_1"] == pytest.approx(p[1] - max(p[0], p[2]), abs=1e-6)
    # The point of the figure: far away SoftMax is certain, IsoMax is not.
    far = {loss: loss_blocks.plane_table(loss)["max_probability"].quantile(0.9) for loss in ("softmax", "isomax")}
    assert far["softmax"] > 0.999 and far["isomax"] < 0.97
