"""Figures: what is drawn equals the table, words are right, nothing leaks into pyplot."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from isomax_viz import Capture, compare, figures, metrics, tables
from isomax_viz.analysis import features as projections
from isomax_viz.catalog import style
from isomax_viz.figures import _canvas
from isomax_viz.figures._canvas import CanvasAxes, CanvasFigure, caption_of, png

HISTOGRAMS = {
    "logits": (figures.plot_logits, tables.logits_table),
    "distances": (figures.plot_distances, lambda capture: tables.logits_table(capture, quantity="distance")),
    "entropy": (figures.plot_entropy, tables.values_table),
    "max_probability": (figures.plot_max_probability, lambda capture: tables.values_table(capture, "max_probability")),
    "scores": (figures.plot_scores, tables.scores_table),
}
META = {"data": "digits", "backbone": "small_cnn", "preset": "teaching", "seed": 0}


def history(offset=0.0):
    epochs = np.repeat([1, 2, 3], 2)
    return pd.DataFrame(
        {
            "epoch": epochs,
            "split": ["train", "test"] * 3,
            "accuracy": 0.3 * epochs - offset - np.tile([0, 0.05], 3),
            "cross_entropy": 2.0 / epochs,
            "intra_logit_mean": 1.0 * epochs,
            "intra_logit_std": 0.5,
        }
    )


@pytest.fixture
def softmax():
    """SoftMax-like: almost every ID image is certain, so that entropies pile up at zero."""
    rng = np.random.default_rng(1)
    labels = np.arange(400) % 5
    logits = rng.normal(0, 1.5, (400, 5))
    logits[np.arange(400), labels] += 15
    unknown = {"letters": rng.normal(0, 2.5, (300, 5)), "patches": rng.normal(0, 2, (200, 5))}
    return Capture.from_arrays(logits, labels, ood=unknown, loss="softmax", meta=META).replace(history=history())


@pytest.fixture
def isomax():
    rng = np.random.default_rng(2)
    labels = np.arange(400) % 5
    distances = rng.uniform(2, 4, (400, 5))
    distances[np.arange(400), labels] -= 1
    far = {"letters": rng.uniform(2, 4, (300, 5)), "patches": rng.uniform(3, 4, (200, 5))}
    unknown = {name: {"logits": -values, "distances": values} for name, values in far.items()}
    capture = Capture.from_arrays(-distances, labels, distances=distances, ood=unknown, loss="isomax", meta=META)
    return capture.replace(history=history(0.1))


def stairs(ax):
    return [(patch.get_data().values, patch.get_data().edges, patch.get_label()) for patch in ax.patches]


@pytest.mark.parametrize("kind", HISTOGRAMS)
def test_what_is_drawn_is_the_table(isomax, kind):
    plot, make_table = HISTOGRAMS[kind]
    table = make_table(isomax)
    from_capture, from_table = plot(isomax), plot(table)
    for drawn, again, group in zip(stairs(from_capture), stairs(from_table), table["group"].unique(), strict=True):
        rows = table[table["group"] == group]
        np.testing.assert_array_equal(drawn[0], rows["density"])
        np.testing.assert_array_equal(drawn[1], [*rows["left"], rows["right"].iloc[-1]])
        for left, right in zip(drawn, again, strict=True):
            np.testing.assert_array_equal(left, right)
        assert f"(n = {rows['n'].iloc[0]:,}" in drawn[2]
    assert from_capture.get_title(loc="left") == from_table.get_title(loc="left")
    assert from_capture.get_ylabel() == "density"
    assert figures.describe(from_capture) == figures.describe(from_table) != ""
    assert from_capture._repr_png_() == from_table._repr_png_()


@pytest.mark.parametrize("kind", HISTOGRAMS)
def test_a_table_can_be_narrowed_to_one_set(isomax, kind):
    plot, make_table = HISTOGRAMS[kind]
    ax = plot(make_table(isomax), "patches")
    assert [label for *_, label in stairs(ax)][-1].startswith("patches (n = ")
    assert not any("letters" in label for *_, label in stairs(ax))
    with pytest.raises(ValueError, match="ood must be one of 'letters', 'patches', but is 'letter'"):
        plot(make_table(isomax), "letter")


def test_titles_and_axes_name_what_is_shown(softmax, isomax):
    assert figures.plot_logits(isomax, "letters").get_title(loc="left") == "IsoMax · digits · test against letters"
    labels = {
        "softmax": ("logit = wᵀf + b", "distance to class mean of training features"),
        "isomax": ("logit = −distance", "feature-prototype distance"),
        "isomax+": ("logit = −|learned scale| · distance", "feature-prototype distance (unit vectors)"),
        "isomax2": ("logit = −distance", "feature-prototype distance"),
    }
    for loss, (logit, distance) in labels.items():
        capture = isomax.replace(meta={**META, "loss": loss})
        assert figures.plot_logits(capture).get_xlabel() == logit
        assert figures.plot_logits(capture, quantity="distance").get_xlabel() == distance
        assert figures.plot_distances(capture).get_xlabel() == distance
    assert figures.plot_entropy(softmax).get_xlabel() == "entropy (nats)"
    assert figures.plot_entropy(softmax, normalised=True).get_xlabel() == "entropy / log(number of classes)"
    assert figures.plot_max_probability(softmax).get_xlabel() == "maximum probability"
    assert figures.plot_scores(softmax).get_xlabel() == "ES score (not a probability)"


def test_legends_count_logits_or_images(isomax):
    labels = figures.plot_logits(isomax).get_legend_handles_labels()[1]
    assert labels == [
        "intra-class ID (n = 400 logits)", "inter-class ID (n = 1,600 logits)", "letters (n = 1,500 logits)",
        "patches (n = 1,000 logits)",
    ]  # fmt: skip
    assert figures.plot_entropy(isomax, "letters").get_legend_handles_labels()[1] == [
        "digits, ID (n = 400)", "letters (n = 300)",
    ]  # fmt: skip


def test_colours_follow_loss_and_set(isomax):
    from matplotlib.colors import to_hex

    intra, inter, letters, _ = figures.plot_logits(isomax).patches
    assert to_hex(intra.get_facecolor()) == to_hex(inter.get_facecolor()) == style.loss_style("isomax").color.lower()
    assert inter.get_hatch() and not intra.get_hatch()
    assert to_hex(letters.get_edgecolor()) == style.data_style("letters").color.lower()


def test_captures_without_provenance_have_no_blanks():
    bare = Capture.from_arrays([[3.0, 0.0], [0.0, 3.0]], [0, 1], ood={"mine": [[0.1, 0.0]]})
    ax = figures.plot_entropy(bare)
    assert ax.get_title(loc="left") == "test against mine" and not ax.figure.texts
    assert [label for *_, label in stairs(ax)] == ["ID (n = 2)", "mine (n = 1)"]
    for data in (bare, tables.logits_table(bare)):
        with pytest.raises(ValueError, match="ood must name at least one out-of-distribution set, or be None for all"):
            figures.plot_logits(data, [])
    with pytest.raises(ValueError, match="ood must name at least one"):
        figures.plot_roc(tables.roc_table(bare), [])


def test_the_note_says_what_is_not_the_papers_protocol(isomax):
    ax = figures.plot_entropy(isomax)
    assert [text.get_text() for text in ax.figure.texts] == ["preset teaching · digits · small_cnn · seed 0"]
    paper = figures.plot_entropy(isomax.replace(meta={**META, "loss": "isomax", "preset": "paper"}))
    assert not paper.figure.texts
    other = isomax.replace(meta={**isomax.meta, "seed": 1})
    grid = figures.plot_grid(figures.plot_entropy, [isomax, other])
    notes = [text.get_text() for text in grid.texts if text.get_gid() == "note"]
    assert notes == ["preset teaching · digits · small_cnn · seed 0, seed 1"]
    assert not any(text.get_gid() == "note" for ax in grid.axes for text in ax.texts)


@pytest.mark.parametrize("preset", ["teaching", "paper"])
def test_the_note_names_the_machines_of_networks_that_come_from_several(isomax, preset):
    def on(name, seed):
        told = {"machine": name, "versions": {"torch": "2.14"}, "preset": preset, "seed": seed}
        return isomax.replace(meta={**isomax.meta, **told})

    words = "trained on Xeon, PyTorch 2.14 and EPYC, PyTorch 2.14"
    for names, expected in ((("Xeon", "EPYC"), words), (("Xeon", "Xeon"), "")):
        pair = [on(name, seed) for seed, name in enumerate(names)]
        for figure in (figures.plot_roc(pair).figure, figures.plot_grid(figures.plot_entropy, pair)):
            note = "".join(text.get_text() for text in figure.texts if text.get_gid() == "note").replace("\n", " ")
            assert ("trained on" in note) == bool(expected) and expected in note


def test_a_spike_is_cut_off_and_said_so(softmax):
    table = tables.values_table(softmax, "entropy", "letters")
    tallest = table.groupby("left")["density"].max().sort_values(ascending=False)
    ax = figures.plot_entropy(table)
    assert tallest.iloc[0] > ax.get_ylim()[1] > tallest.iloc[3]
    words = next(text.get_text() for text in ax.texts if text.get_text().startswith("cut off"))
    first = table[(table["group"] == "ID") & (table["density"] > ax.get_ylim()[1])]
    assert words.startswith("cut off: 0 to ")
    assert f"{100 * first['count'].sum() / 400:.1f} % of digits, ID" in words
    log = figures.plot_entropy(table, yscale="log")
    assert log.get_ylim()[1] > tallest.iloc[0] and not log.texts and "logarithmic" in log.get_ylabel()


def test_no_spike_no_cut(isomax):
    ax = figures.plot_entropy(isomax)
    assert ax.get_ylim()[1] > max(values.max() for values, *_ in stairs(ax)) and not ax.texts


@pytest.mark.parametrize("kind", HISTOGRAMS)
def test_the_legend_covers_no_data(softmax, isomax, kind):
    plot, _ = HISTOGRAMS[kind]
    for capture in (isomax,) if kind == "distances" else (softmax, isomax):
        ax = plot(capture)
        canvas = FigureCanvasAgg(ax.figure)
        canvas.draw()
        box = ax.get_legend().get_window_extent().transformed(ax.transData.inverted())
        for values, edges, _ in stairs(ax):
            under = (edges[1:] > box.x0) & (edges[:-1] < box.x1)
            seen = np.minimum(values, ax.get_ylim()[1])  # a spike is cut off
            assert not under.any() or seen[under].max() <= box.y0, (kind, capture.loss)


def test_the_threshold_stands_where_95_percent_are_accepted(isomax):
    ax = figures.plot_scores(isomax, "letters", score="mds")
    id_scores, ood_scores = -isomax.test.min_distances, -isomax.ood["letters"].min_distances
    threshold = metrics.threshold_at_tpr(id_scores)
    line = next(line for line in ax.lines if line.get_gid() == "threshold")
    assert set(line.get_xdata()) == {threshold}
    words = next(text.get_text() for text in ax.texts if text.get_text().startswith("score"))
    assert f"accepts {100 * (id_scores >= threshold).mean():.1f} % of ID" in words
    expected = metrics.ood_metrics(id_scores, ood_scores)
    label = stairs(ax)[1][2]
    assert f"AUROC {100 * expected['AUROC']:.1f} %, TNR@TPR95 {100 * expected['TNR@TPR95']:.1f} %" in label
    limits = figures.plot_scores(isomax, "letters", score="mds", limits=(-5, -4)).get_xlim()
    assert limits == (-5, -4)  # a threshold outside does not move the view


def test_roc_curves_are_the_table_and_mark_the_operating_point(softmax, isomax):
    table = tables.roc_table([softmax, isomax], "letters")
    for ax in (figures.plot_roc([softmax, isomax], "letters"), figures.plot_roc(table)):
        curves = [line for line in ax.lines if line.get_label().startswith(("SoftMax", "IsoMax"))]
        for curve, (_, rows) in zip(curves, table.groupby("capture"), strict=True):
            np.testing.assert_array_equal(curve.get_xdata(), rows["fpr"])
            np.testing.assert_array_equal(curve.get_ydata(), rows["tpr"])
            assert f"AUROC {100 * rows['AUROC'].iloc[0]:.1f} %" in curve.get_label()
        for curve, (_, rows) in zip(curves, table.groupby("capture"), strict=True):
            first, (marked,) = rows[rows["tpr"] >= 0.95].iloc[0], curve.get_markevery()
            assert (curve.get_xdata()[marked], curve.get_ydata()[marked]) == (first["fpr"], first["tpr"])
        assert ax.get_title(loc="left") == "digits · ES · test against letters"


def test_roc_tells_losses_sets_scores_and_seeds_apart(softmax, isomax):
    ax = figures.plot_roc([softmax, isomax], score="energy")
    labels = [label.split(" (")[0] for label in ax.get_legend_handles_labels()[1]]
    assert labels == ["SoftMax · letters", "SoftMax · patches", "IsoMax · letters", "IsoMax · patches"]
    ax = figures.plot_roc(isomax, "letters", score=["es", "mds"])
    assert [label.split(" (")[0] for label in ax.get_legend_handles_labels()[1]] == ["ES", "MDS"]
    runs = [isomax, isomax.replace(meta={**isomax.meta, "seed": 1})]
    ax = figures.plot_roc(runs, "letters")
    (label,) = ax.get_legend_handles_labels()[1]
    assert label.startswith("IsoMax (AUROC ") and label.endswith("± 0.0 %, 2 runs)")
    assert sum(len(line.get_xdata()) > 2 for line in ax.lines) == 2
    # A loss without entropic scale does not make the scale a difference; two scales of one loss do.
    scaled = isomax.replace(meta={**isomax.meta, "entropic_scale": 10.0})
    labels = figures.plot_roc([softmax, scaled], "letters").get_legend_handles_labels()[1]
    assert [label.split(" (")[0] for label in labels] == ["SoftMax", "IsoMax"]
    other = isomax.replace(meta={**isomax.meta, "entropic_scale": 3.0})
    labels = figures.plot_roc([scaled, other], "letters").get_legend_handles_labels()[1]
    assert [label.split(" (")[0] for label in labels] == ["entropic scale 10", "entropic scale 3"]
    mixed = pd.concat([tables.roc_table(softmax, "letters", score="mps"), tables.roc_table(isomax, "letters")])
    labels = figures.plot_roc(mixed).get_legend_handles_labels()[1]
    assert [label.split(" (")[0] for label in labels] == ["SoftMax · MPS", "IsoMax · ES"]


def test_roc_averages_over_seeds_alone(softmax, isomax):
    quick = isomax.replace(meta={**isomax.meta, "preset": "quick"})
    short = isomax.replace(meta={**isomax.meta, "changed": {"epochs": 3}})
    other = isomax.replace(meta={**isomax.meta, "data": "cifar10"})
    unnamed = isomax.replace(meta={**isomax.meta, "seed": None})
    for captures, wanted in (
        ([isomax, quick], ["preset teaching", "preset quick"]),
        ([isomax, short], ["unchanged", "epochs=3"]),
        ([isomax, other, softmax], ["IsoMax · digits", "IsoMax · CIFAR10", "SoftMax · digits"]),
    ):
        labels = figures.plot_roc(captures, "letters").get_legend_handles_labels()[1]
        assert [label.split(" (AUROC")[0] for label in labels] == wanted
        again = tables.roc_table(captures, "letters").to_csv(index=False)  # "nothing" comes back as NaN
        assert figures.plot_roc(pd.read_csv(io.StringIO(again))).get_legend_handles_labels()[1] == labels
    for captures in ([isomax, isomax], [unnamed, unnamed]):  # no two seeds: there is no spread to tell
        (label,) = figures.plot_roc(captures, "letters").get_legend_handles_labels()[1]
        assert label.endswith(" %, mean of 2)")
    spoken = figures.describe(figures.plot_training([isomax, quick]))
    assert "IsoMax preset teaching test" in spoken and "IsoMax preset quick test" in spoken


@pytest.mark.parametrize("loss", ["softmax", "softmax+oe", "logit_norm", "godin"])
def test_losses_without_prototypes_have_class_means(isomax, loss):
    capture = isomax.replace(meta={**isomax.meta, "loss": loss}, prototypes=np.eye(5))
    assert figures.plot_distances(capture).get_xlabel() == "distance to class mean of training features"
    assert "between class means" in figures.describe(figures.plot_prototype_distances(capture))


@pytest.mark.parametrize("loss", ["isomax+", "isomax++oe", "isomax++acet", "scaled_cosine"])
def test_losses_that_compare_directions_are_drawn_in_unit_vectors(isomax, loss):
    capture = isomax.replace(meta={**isomax.meta, "loss": loss}, prototypes=3 * np.eye(5))
    assert figures.plot_distances(capture).get_xlabel() == "feature-prototype distance (unit vectors)"
    table = projections.prototype_distances_table(capture)
    np.testing.assert_allclose(table.loc[table["row"] != table["column"], "distance"], np.sqrt(2))
    again = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    assert len(figures.plot_prototype_distances(again).get_xticklabels()) == 5


def test_histograms_of_values_that_float32_hardly_tells_apart():
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 10
    known, unknown = rng.normal(size=(300, 10)), rng.normal(size=(200, 10))
    known[np.arange(300), labels] += rng.uniform(18, 26, 300)  # probabilities between 0.999999 and 1
    unknown[:, 0] += rng.uniform(18, 26, 200)
    capture = Capture.from_arrays(known, labels, ood={"blobs": unknown}, loss="softmax")
    table = tables.values_table(capture, "max_probability")
    assert (table["right"] > table["left"]).all()
    assert table.groupby("group")["count"].sum().to_dict() == {"ID": 300, "blobs": 200}
    equal = Capture.from_arrays(np.full((3, 2), 1e20), [0, 1, 0], ood={"far": np.full((2, 2), 1e20)})
    assert tables.logits_table(equal)["count"].sum() == 3 + 3 + 4


def test_misspelt_options_are_called_what_they_are(softmax):
    for call in (
        lambda: figures.plot_scores(softmax, scores="mds"),
        lambda: figures.plot_grid(figures.plot_scores, [softmax], scores="mds"),
    ):
        with pytest.raises(TypeError, match="plot_scores has no option 'scores'.* Did you mean 'score'"):
            call()
    for plot, near in ((figures.plot_roc, "score"), (figures.plot_training, "")):
        for place in ({}, {"ax": Figure().subplots()}):
            with pytest.raises(TypeError, match=f"{plot.__name__} has no option 'scors', nor.*{near}"):
                plot(softmax, scors="mds", **place)
    with pytest.raises(TypeError, match="takes the function first"):
        figures.plot_grid([softmax], figures.plot_scores)
    with pytest.raises(TypeError, match="score must be one name or function"):
        figures.plot_scores(softmax, score=["es", "mds"])


def test_a_quantity_without_splits_is_drawn_once(softmax):
    same = softmax.history.assign(learning_rate=0.1)
    ax = figures.plot_training(softmax.replace(history=same), quantity="learning_rate")
    assert len(ax.lines) == 1 and [text.get_text() for text in ax.get_legend().texts] == ["SoftMax"]
    assert "SoftMax 0.1." in figures.describe(ax)


def test_training_curves_show_the_history(softmax, isomax):
    ax = figures.plot_training([softmax, isomax])
    drawn = {(line.get_color(), line.get_linestyle()): line.get_ydata() for line in ax.lines}
    assert len(drawn) == 4
    expected = softmax.history.query("split == 'test'")["accuracy"]
    np.testing.assert_array_equal(drawn[(style.loss_style("softmax").color, "-")], expected)
    train = isomax.history.query("split == 'train'")["accuracy"]
    np.testing.assert_array_equal(drawn[(style.loss_style("isomax").color, "--")], train)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["SoftMax", "IsoMax", "train", "test"]
    again = figures.plot_training(tables.training_table([softmax, isomax]))
    assert again._repr_png_() == ax._repr_png_()
    banded = figures.plot_training(isomax, quantity="intra_logit_mean")
    heights = banded.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (0.5, 3.5)
    with pytest.raises(ValueError, match="quantity must be one of 'accuracy', .* 'acuracy'. Did you mean 'accuracy'"):
        figures.plot_training(isomax, quantity="acuracy")


def test_a_grid_titles_what_differs_and_shares_one_legend(softmax, isomax):
    figure = figures.plot_grid(figures.plot_logits, [softmax, isomax], ood="letters")
    labels = ["intra-class ID (n = 400 logits)", "inter-class ID (n = 1,600 logits)", "letters (n = 1,500 logits)"]
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["SoftMax", "IsoMax"]
    assert figure.get_suptitle() == "digits · test against letters"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == labels
    assert all(ax.get_legend() is None for ax in figure.axes)
    alone = figures.plot_logits(isomax, "letters")
    for one, other in zip(stairs(figure.axes[1]), stairs(alone), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    scores = figures.plot_grid(figures.plot_scores, [softmax, isomax], ood="letters")
    assert not scores.legends and all(ax.get_legend() is not None for ax in scores.axes)
    assert figures.describe(figure).count("median logit") == 2


def test_a_grid_repeats_rows_and_shares_axes(softmax, isomax):
    figure = figures.plot_grid(
        figures.plot_entropy, [softmax, isomax], each={"ood": ["letters", "patches"]}, sharey=True
    )
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles[0] == "SoftMax · test against letters" and titles[3] == "IsoMax · test against patches"
    assert len({ax.get_ylim() for ax in figure.axes}) == 1
    curves = figures.plot_grid(figures.plot_training, [softmax, isomax])
    assert len({ax.get_ylim() for ax in curves.axes}) == 1
    both = figures.plot_grid(
        figures.plot_training, [[softmax, isomax]], each={"quantity": ["accuracy", "cross_entropy"]}
    )
    assert [ax.get_ylabel() for ax in both.axes] == ["accuracy", "mean cross-entropy (nats)"]
    free = figures.plot_grid(figures.plot_entropy, [softmax, isomax])
    assert len({ax.get_ylim() for ax in free.axes}) == 2
    shared = figures.plot_grid(figures.plot_entropy, [softmax, isomax], sharex=True)
    assert len({ax.get_xlim() for ax in shared.axes}) == 1
    with pytest.raises(ValueError, match="each must be one option with a list of values"):
        figures.plot_grid(figures.plot_entropy, [softmax], each={"ood": "letters"})
    with pytest.raises(ValueError, match="data is empty"):
        figures.plot_grid(figures.plot_entropy, [])


def test_a_given_axes_is_drawn_on_and_returned(isomax):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    for plot in (figures.plot_logits, figures.plot_scores, figures.plot_roc, figures.plot_training):
        right.clear()
        assert plot(isomax, ax=right) is right
        assert not isinstance(right, CanvasAxes) and not hasattr(right, "_repr_png_")
    assert not left.has_data() and not figure.texts
    assert sum(text.get_gid() == "note" for text in right.texts) == 1


def test_figures_show_themselves_as_opaque_pictures(isomax):
    ax = figures.plot_logits(isomax)
    assert isinstance(ax, CanvasAxes) and isinstance(ax.figure, CanvasFigure)
    picture = Image.open(io.BytesIO(ax._repr_png_()[0]))
    assert picture.mode == "RGB" and picture.size == (660, 418) and picture.getpixel((1, 1)) == (255, 255, 255)
    assert ax._repr_png_() == ax.figure._repr_png_()
    assert ax._repr_png_()[1] == {"alt": figures.describe(ax)}
    assert not hasattr(ax, "_repr_svg_") and not hasattr(ax.figure, "_repr_svg_")
    assert ax._repr_png_()[0] == png(ax.figure)


def test_drawing_leaves_no_trace_in_pyplot_or_its_settings():
    code = """
import sys, numpy as np, matplotlib
before = matplotlib.rcParams.copy()
import isomax_viz as iv
rng = np.random.default_rng(0)
capture = iv.Capture.from_arrays(rng.normal(size=(50, 3)), np.arange(50) % 3, ood={"x": rng.normal(size=(40, 3))})
for plot in (iv.plot_logits, iv.plot_entropy, iv.plot_scores, iv.plot_roc):
    plot(capture)._repr_png_()
iv.plot_grid(iv.plot_entropy, [capture, capture])._repr_png_()
print("matplotlib.pyplot" in sys.modules, matplotlib.rcParams.copy() == before)
import matplotlib.pyplot as plt
print(plt.get_fignums())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split("\n")[:2] == ["False True", "[]"], done.stderr


def test_talk_theme_has_larger_words(isomax):
    paper, talk = figures.plot_scores(isomax), figures.plot_scores(isomax, theme="talk")
    assert talk.xaxis.label.get_size() > 1.3 * paper.xaxis.label.get_size()
    with pytest.raises(ValueError, match="theme must be one of 'paper', 'talk'"):
        figures.plot_logits(isomax, theme="poster")


@pytest.mark.parametrize("plot", [figures.plot_logits, figures.plot_scores, figures.plot_entropy])
@pytest.mark.parametrize("theme", ["paper", "talk"])
def test_words_stay_inside_the_picture(softmax, plot, theme):
    ax = plot(softmax, "letters", theme=theme)
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    box = ax.get_tightbbox(canvas.get_renderer())
    width, height = canvas.get_width_height()
    assert box.x0 >= 0 and box.y0 >= 0 and box.y1 <= height and box.x1 <= width
    note = ax.figure.texts[0].get_window_extent()
    assert note.y1 < ax.xaxis.label.get_window_extent().y0


@pytest.mark.filterwarnings("error")  # "axes sizes collapsed to zero"
@pytest.mark.parametrize("theme", ["paper", "talk"])
def test_legends_of_several_panels_stay_inside_the_picture_and_apart_from_each_other(softmax, isomax, theme):
    pair = [softmax, isomax]
    for figure in (
        figures.plot_grid(figures.plot_scores, pair * 2, theme=theme),
        figures.plot_operating_point(softmax, score="mps", theme=theme),
        figures.plot_operating_point(pair, score="energy", theme=theme, panels="scores"),
        figures.plot_operating_point(pair, score="energy", theme=theme, panels="roc"),
    ):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        width, height = canvas.get_width_height()
        boxes = [ax.get_legend().get_window_extent() for ax in figure.axes if ax.get_legend()]
        assert boxes and all(0 <= box.x0 and box.x1 <= width and 0 <= box.y0 and box.y1 <= height for box in boxes)
        assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_saved_files_are_the_same_every_time(isomax, tmp_path, suffix):
    ax = figures.plot_scores(isomax, "letters")
    first = figures.save_figure(ax, tmp_path / "new" / f"a.{suffix}").read_bytes()
    second = figures.save_figure(figures.plot_scores(isomax, "letters").figure, tmp_path / f"b.{suffix}").read_bytes()
    assert first == second and len(first) > 1000
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert first.startswith(start)
    if suffix == "svg":
        text = first.decode()
        assert "<dc:date>" not in text and "median ES score" in text and "IsoMax · digits" in text
    if suffix == "pdf":  # journals refuse fonts of type 3
        assert b"/FontFile2" in first and b"/Type3" not in first
    if suffix == "png":
        assert Image.open(tmp_path / "b.png").text["Description"].startswith("IsoMax, digits, test against letters")


def test_saving_says_what_is_wrong(isomax, tmp_path):
    ax = figures.plot_entropy(isomax)
    with pytest.raises(ValueError, match="suffix of path must be one of 'png', 'svg', 'pdf', but is 'jpg'"):
        figures.save_figure(ax, tmp_path / "a.jpg")
    with pytest.raises(TypeError, match="drawn must be Axes or a Figure, but is of type ndarray. Give one"):
        figures.save_figure(Figure().subplots(1, 2), tmp_path / "a.png")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="could not be written: .* Choose a folder"):
        figures.save_figure(ax, tmp_path / "file" / "a.png")
    plain = Figure()
    plain.subplots()
    assert figures.save_figure(plain, tmp_path / "plain.svg").is_file() and figures.describe(plain) == ""


def test_description_gives_medians(isomax):
    words = figures.describe(figures.plot_entropy(isomax, "letters"))
    assert words.startswith("IsoMax, digits, test against letters: median entropy digits, ID ")
    assert f"{np.median(isomax.test.entropies):.3g} nats (n = 400)" in words
    assert f"letters {np.median(isomax.ood['letters'].entropies):.3g} nats (n = 300)." in words


def test_wrong_input_is_told_what_to_do(isomax):
    with pytest.raises(TypeError, match="For several captures side by side use iv.plot_grid"):
        figures.plot_logits([isomax])
    with pytest.raises(ValueError, match="ood must be one of 'letters', 'patches', but is 'digits'"):
        figures.plot_entropy(isomax, "digits")
    with pytest.raises(ValueError, match="yscale must be one of 'linear', 'log'"):
        figures.plot_entropy(isomax, yscale="symlog")
    with pytest.raises(ValueError, match="without threshold, TPR.* iv.tables.scores_table made from them"):
        figures.plot_scores(tables.values_table(isomax))
    with pytest.raises(ValueError, match="without fpr, tpr"):
        figures.plot_roc(tables.evaluate(isomax))
    with pytest.raises(ValueError, match="without rows"):
        figures.plot_logits(tables.logits_table(isomax).iloc[:0])
    bare = Capture.from_arrays(isomax.test.logits, isomax.test.labels, ood={"x": isomax.ood["letters"].logits})
    with pytest.raises(ValueError, match="carry no feature-prototype distances"):
        figures.plot_distances(bare)
    with pytest.raises(ValueError, match="has no training history"):
        figures.plot_training(bare)


def test_networks_of_the_best_test_epoch_are_marked_under_any_preset():
    logits = np.array([[2.0, 0.0], [0.0, 1.0]])
    for preset in ("paper", "teaching"):
        notes = []
        for select in ("last", "best_test"):
            meta = {"data": "cifar10", "preset": preset, "select": select, "seed": 0}
            capture = Capture.from_arrays(logits, [0, 1], ood={"far": logits / 2}, loss="isomax", meta=meta)
            notes.append(caption_of(figures.plot_entropy(capture)).note)
        assert "best test epoch" not in notes[0] and notes[1].endswith("best test epoch")


def test_comparisons_show_difference_interval_and_seeds(softmax, isomax):
    result = compare((isomax, "es"), (softmax, "mps"), ood="letters", resamples=40)
    ax = figures.plot_comparisons({"IsoMax better?": result, "the other way": result})
    interval, point = ax.lines[1], ax.lines[2]
    np.testing.assert_allclose(interval.get_xdata(), [100 * result.low, 100 * result.high])
    np.testing.assert_allclose(point.get_xdata(), [100 * result.difference])
    excludes = result.low > 0 or result.high < 0
    assert (point.get_markerfacecolor() != "white") == excludes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["IsoMax better?", "the other way"]
    assert result.sentence in figures.describe(ax)
    pair = f"{result.a} − {result.b}"
    assert ax.get_title(loc="left") == pair  # one pair of networks each: no small marks to explain
    assert caption_of(ax).note == "test against letters · seed 0"
    turned = compare((softmax, "mps"), (isomax, "es"), ood="letters", resamples=20)
    mixed = figures.plot_comparisons({"this": result, "that": turned})
    names = [text.get_text() for text in mixed.get_yticklabels()]
    assert names == [f"this\n{pair}", f"that\n{result.b} − {result.a}"] and mixed.get_title(loc="left") == ""
    again = [item.replace(meta={**item.meta, "seed": 1}) for item in (isomax, softmax)]
    result = compare(([isomax, again[0]], "es"), ([softmax, again[1]], "mps"), ood="letters", resamples=40)
    assert figures.plot_comparisons(result).get_title(loc="left") == f"{pair} · small marks: pairs of seeds"


def test_comparisons_of_different_kinds_are_refused(softmax, isomax):
    one = compare((isomax, "es"), (softmax, "es"), ood="letters", resamples=20)
    other = compare((isomax, "es"), (softmax, "es"), ood="letters", metric="TNR@TPR95", resamples=20)
    with pytest.raises(ValueError, match="AUROC at 95 % and TNR@TPR95 at 95 %"):
        figures.plot_comparisons({"a": one, "b": other})
    with pytest.raises(ValueError, match="There is no comparison to draw"):
        figures.plot_comparisons({})
    with pytest.raises(TypeError, match="what iv.compare returned"):
        figures.plot_comparisons([one])


@pytest.mark.parametrize("theme", ["paper", "talk"])
def test_the_layout_ends_where_nothing_moves_and_the_picture_is_that_of_many_runs(monkeypatch, softmax, isomax, theme):
    runs = []
    execute = ConstrainedLayoutEngine.execute
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda self, fig: (runs.append(fig), execute(self, fig)))

    def drawn():
        pair = {"plane": figures.plot_operating_point(softmax, theme=theme)}
        pair["grid"] = figures.plot_grid(figures.plot_roc, [softmax, isomax], theme=theme)
        return {name: png(figure) for name, figure in pair.items()}

    pictures, short = drawn(), len(runs)
    monkeypatch.setattr(_canvas.np, "allclose", lambda *_, **__: False)  # the layout never stands still
    assert drawn() == pictures
    assert short < 2 * 5 < len(runs) - short
