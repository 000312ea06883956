"""Words of figures: they lie over nothing, inside the picture, and mean themselves, in every figure and both themes."""

from __future__ import annotations

import re
import warnings
from functools import cache
from itertools import combinations
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

import isomax_viz as iv
from isomax_viz import Capture, Samples, figures
from isomax_viz.analysis.features import Plane, Snapshot
from isomax_viz.catalog.style import plain
from isomax_viz.datasets import ImageSet
from isomax_viz.figures._canvas import CanvasAxes, png

LONG = "a set of pictures whose name tells everything about where they come from"


@cache
def make(loss="isomax", *, name="letters", data="digits", **meta):
    rng = np.random.default_rng(len(loss))
    labels = np.arange(200) % 4
    distances = rng.uniform(2, 4, (200, 4))
    distances[np.arange(200), labels] -= 1.2
    features = np.eye(4)[labels] + rng.normal(0, 0.2, (200, 4))
    far = rng.uniform(2, 4, (80, 4))
    unknown = {"logits": -far, "distances": far, "features": rng.normal(0, 0.5, (80, 4))}
    meta = {"data": data, "backbone": "small_cnn", "preset": "teaching", "seed": 0, "entropic_scale": 10.0} | meta
    capture = Capture.from_arrays(-distances, labels, features=features, distances=distances,
                                  ood={name: unknown, "patches": unknown}, loss=loss, meta=meta)  # fmt: skip
    epochs = np.repeat([1, 2, 3], 2)
    history = {"epoch": epochs, "split": ["train", "test"] * 3, "accuracy": 0.3 * epochs, "entropy": 2.0 / epochs}
    return capture.replace(prototypes=np.eye(4), history=pd.DataFrame(history))


@cache
def sure(*, name, data):
    """A network whose probabilities are nearly all 1, known or not, with four sets: bars are cut off."""
    rng = np.random.default_rng(0)
    certain = np.where(np.arange(4) == 0, rng.choice([9.0, 2.0], (100, 1), p=[0.8, 0.2]), rng.normal(size=(100, 4)))
    sets = dict.fromkeys((name, "patches", "gaussian", "uniform"), certain)
    return Capture.from_arrays(certain, np.zeros(100, int), ood=sets, loss="softmax", meta={"data": data})


def cost_rows(*names):
    rows = {"approach": names, "loss": ["softmax", "isomax", "isomax+"][: len(names)], "score": "es", "ood": 2}
    times = np.array([1.0, 1.01, 3.0])[: len(names)]
    times = {"relative_time": times, "relative_time_low": times * 0.9, "relative_time_high": times * 1.1}
    return pd.DataFrame(rows | times | {"AUROC": np.array([0.9, 0.9, 0.95])[: len(names)], "preset": None})


@cache
def snapshot(loss, name, data, epoch):
    """A network that measures distances to four points of the plane."""
    centres, ticks = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]]), np.linspace(-2, 2, 15)
    rng, labels = np.random.default_rng(epoch), np.arange(40) % 4
    points = {"test": centres[labels] + rng.normal(0, 0.3, (40, 2)), name: rng.normal(0, 1.5, (30, 2))}

    def said(points, labels=None):
        distances = np.linalg.norm(points[:, None] - centres, axis=2)
        labels = np.full(len(points), -1) if labels is None else labels
        return Samples(-distances, labels, features=points, distances=distances)

    meta = {
        "loss": loss,
        "data": data,
        "preset": "teaching",
        "backbone": "two layers",
        "seed": 0,
        "entropic_scale": 10.0,
    }
    meta["classes"] = [f"{name} {number}" for number in range(4)]
    capture = Capture(said(points["test"], labels), {name: said(points[name])}, meta=meta, prototypes=centres)
    plane = Plane(ticks, ticks, said(np.stack(np.meshgrid(ticks, ticks), axis=2).reshape(-1, 2)))
    return Snapshot(epoch, capture, {"input": plane, "features": plane}, points, {})


def pictures(name, n):
    return ImageSet(name, np.random.default_rng(n).integers(0, 255, (n, 8, 8, 1), np.uint8), np.zeros(n, int), ("one",))


@cache
def at_temperatures(capture):
    return iv.calibration.temperature_table(capture, [0.05, 0.1, 1.0, 2.0])


def every_plot(name="letters", data="digits", loss="MyHead"):
    """Every plotting function, given words of somebody's own wherever they can be."""
    one, other = make("softmax", name=name, data=data), make(loss, name=name, data=data)
    scales = [
        make(loss, name=name, data=data, entropic_scale=scale, seed=seed) for scale in (1.0, 10.0) for seed in (0, 1)
    ]
    sizes = [make(loss, name=name, data=data, examples_per_class=n) for n in (10, 30)]
    pair = [one, other]

    def compared(**theme):
        result = iv.compare((other, "es"), (one, "es"), ood="patches", resamples=20)
        return figures.plot_comparisons({name: result, data: result}, **theme)

    return {
        "logits": lambda **theme: figures.plot_logits(other, **theme),
        "distances": lambda **theme: figures.plot_distances(other, nearest=True, **theme),
        "entropy": lambda **theme: figures.plot_entropy(one, **theme),
        "max_probability": lambda **theme: figures.plot_max_probability(one, **theme),
        "max_probability with cut bars": lambda **theme: figures.plot_max_probability(
            sure(name=name, data=data), **theme
        ),
        "scores": lambda **theme: figures.plot_scores(other, **theme),
        "roc": lambda **theme: figures.plot_roc(pair, **theme),
        "operating_point": lambda **theme: figures.plot_operating_point(pair, **theme),
        "operating_point of four": lambda **theme: figures.plot_operating_point([*pair, *pair], **theme),
        "risk": lambda **theme: figures.plot_risk(other, **theme),
        "temperature": lambda **theme: figures.plot_temperature(other, table=at_temperatures(other), **theme),
        "reliability": lambda **theme: figures.plot_reliability(other, **theme),
        "simplex": lambda **theme: figures.plot_simplex(scale=3.0, **theme),
        "training": lambda **theme: figures.plot_training(pair, **theme),
        "alpha": lambda **theme: figures.plot_alpha(scales, select_on="patches", **theme),
        "robustness": lambda **theme: figures.plot_robustness(sizes, quantity="mean AUROC", **theme),
        "comparisons": compared,
        "feature_space": lambda **theme: figures.plot_feature_space(other, **theme),
        "prototype_distances": lambda **theme: figures.plot_prototype_distances(other, **theme),
        "costs": lambda **theme: figures.plot_costs(cost_rows("plain", name, "other"), **theme),
        "loss_blocks": lambda **theme: figures.plot_loss_blocks("isomax+", **theme),
        "surface": lambda **theme: figures.plot_surface(snapshot(loss, name, data, 3), space="features", **theme),
        "surfaces": lambda **theme: figures.plot_surfaces(
            [snapshot("softmax", name, data, 3), snapshot(loss, name, data, 3)], score=["mds", "mps"], **theme
        ),
        "pictures": lambda **theme: figures.plot_pictures([pictures(data, 12), pictures(name, 5)], **theme),
        "grid": lambda **theme: figures.plot_grid(figures.plot_scores, pair, ood=name, **theme),
        "grid of curves": lambda **theme: figures.plot_grid(figures.plot_roc, [pair, one], **theme),
        "grid of maps": lambda **theme: figures.plot_grid(figures.plot_prototype_distances, [*pair, *pair], **theme),
    }  # fmt: skip


KINDS = tuple(every_plot())


def test_no_figure_is_forgotten():
    public = {name for name in figures.__all__ if name.startswith("plot_")}
    assert public == {f"plot_{kind}" for kind in KINDS if " " not in kind}


def shown(figure):
    """The words that a reader sees, with the boxes of pixels that they fill."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()  # lays out as a drawing does
    found = []
    for text in figure.findobj(Text):
        box = text.get_window_extent()
        if text.get_visible() and text.get_text().strip() and box.width > 1:
            found.append((text, box))
    # Tick labels beyond the limits are made, but not drawn.
    for ax in figure.findobj(Axes):
        for axis, low, high in ((ax.xaxis, *sorted(ax.get_xlim())), (ax.yaxis, *sorted(ax.get_ylim()))):
            edge = 1e-6 * (high - low)
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            drawn = ax.get_visible() and axis.get_visible() and ax.axison
            beyond = {
                id(label) for tick in ticks for label in (tick.label1, tick.label2)
                if not (drawn and low - edge <= tick.get_loc() <= high + edge)
            }  # fmt: skip
            found = [(text, box) for text, box in found if id(text) not in beyond]
    return found


def columns_of(figure):
    return max(ax.get_subplotspec().get_gridspec().ncols for ax in figure.axes if ax.get_subplotspec())


def markers(figure):
    """The boxes of pixels of all markers that stand alone, such as operating points and prototypes."""
    boxes = []
    for ax in figure.axes:
        for line in ax.lines:
            if (
                line.get_marker() not in ("", "None", None, ".", "|")
                and line.get_gid() != "bins"
                and len(line.get_xdata()) < 9
            ):
                half = line.get_markersize() / 2 * figure.dpi / 72
                every = line.get_markevery()
                points = line.get_xydata() if every is None else line.get_xydata()[every]
                for x, y in ax.transData.transform(points):
                    boxes.append(mpl.transforms.Bbox.from_extents(x - half, y - half, x + half, y + half))
    return boxes


@pytest.mark.parametrize("theme", ["paper", "talk"])
@pytest.mark.parametrize("kind", KINDS)
def test_words_lie_over_nothing_and_inside_the_picture(kind, theme):
    for words in ({}, {"name": LONG, "data": LONG, "loss": LONG}):
        drawn = every_plot(**words)[kind](theme=theme)
        figure = drawn.get_figure(root=True)
        found = shown(figure)
        width, height = figure.bbox.size
        outside = [text.get_text() for text, box in found
                   if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1]  # fmt: skip
        assert not outside, (kind, words, outside)
        small = [(text, box.padded(-1)) for text, box in found if text.get_gid() != "class"]
        over = [(one.get_text(), other.get_text()) for (one, a), (other, b) in combinations(small, 2) if a.overlaps(b)]
        assert not over, (kind, words, over)
        dots = markers(figure)
        hidden = [text.get_text() for text, box in small if any(box.overlaps(dot) for dot in dots)]
        assert not hidden, (kind, words, hidden)
        panels = [ax for ax in figure.axes if isinstance(ax, CanvasAxes)]  # without scales beside a map
        narrow = [ax.get_title(loc="left") for ax in panels if ax.bbox.width < 0.35 * width / columns_of(figure)]
        assert not narrow, (kind, words, narrow)
        if theme == "talk" and not words:  # on a projector the figure fills the screen
            points = min(text.get_size() for text, _ in found if text.get_gid() != "note")
            assert points * figure.dpi / 72 * min(1280 / width, 720 / height) > 8, (kind, width, height)


def test_words_lie_over_nothing_in_a_figure_of_a_journals_size():
    """As docs/how_to/figure_for_a_paper.md has it."""
    captures = iv.load_example("digits", seed=0)
    with mpl.rc_context({"font.size": 7}):
        figure = Figure(figsize=(7, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        figures.plot_scores(captures[0], ood="letters", score="es", ax=left)
        figures.plot_roc(captures, ood="letters", score="es", ax=right)
        found = [(text, box.padded(-1)) for text, box in shown(figure)]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= 700 and box.y1 <= 320 for _, box in found)
    assert not [(a.get_text(), b.get_text()) for (a, one), (b, two) in combinations(found, 2) if one.overlaps(two)]
    assert min(left.bbox.height, right.bbox.height) > 150  # nearly half of it


def test_marks_curves_and_small_print_grow_for_a_talk_in_figures_made_here():
    paper, talk = (figures.plot_training([make("softmax"), make()], theme=theme) for theme in ("paper", "talk"))
    lines, larger = ([*ax.lines, *ax.get_legend().get_lines()] for ax in (paper, talk))
    assert [line.get_linewidth() for line in larger] == pytest.approx([1.5 * line.get_linewidth() for line in lines])
    marked = [pair for pair in zip(lines, larger, strict=True) if pair[0].get_marker() != "None"]
    assert len(marked) == 6 and {(one.get_markersize(), two.get_markersize()) for one, two in marked} == {(6, 9)}
    notes = [[text.get_size() for text in ax.figure.texts if text.get_gid() == "note"] for ax in (paper, talk)]
    assert notes == [[6.5], [9.75]]
    outlines = [
        [drawn.get_linewidth() for drawn in (*ax.patches, *ax.get_legend().get_patches())]
        for ax in (figures.plot_scores(make(), theme=theme) for theme in ("paper", "talk"))
    ]
    assert len(outlines[0]) >= 4 and outlines[1] == pytest.approx([1.5 * width for width in outlines[0]])
    spaces = (figures.plot_feature_space(make(), theme=theme) for theme in ("paper", "talk"))
    crosses = [[points.get_sizes().tolist() for points in ax.collections] for ax in spaces]
    assert crosses == [[[70]], [[70 * 1.5**2]]]  # areas
    with mpl.rc_context({"lines.markersize": 12}):
        ax = Figure().subplots()
        (own,) = ax.plot([0, 1], marker="o")
        figures.plot_roc(make(), ax=ax)
    assert (own.get_markersize(), own.get_linewidth()) == (12, 1.5)


@pytest.mark.parametrize("theme", ["paper", "talk"])
@pytest.mark.parametrize("loss", ["softmax", "isomax", "isomax+", "isomax2", "dismax"])
def test_words_of_blocks_stand_inside_their_block(loss, theme):
    ax = figures.plot_loss_blocks(loss, theme=theme)
    words = [box.padded(-0.5) for text, box in shown(ax.figure) if text.get_gid() in ("block", "formula")]
    blocks = [patch.get_window_extent() for patch in ax.patches]
    assert len(words) == 2 * len(blocks)
    for box in words:
        assert sum(block.y0 <= box.y0 and box.y1 <= block.y1 and block.x0 <= box.x0 for block in blocks) == 1


def test_the_scale_beside_a_map_is_as_high_as_the_map():
    figure = figures.plot_grid(figures.plot_prototype_distances, [make("isomax"), make("isomax2"), make("isomax")] * 2)
    FigureCanvasAgg(figure).draw()
    for ax in figure.axes:
        (scale,) = ax.child_axes
        assert scale.bbox.y0 == pytest.approx(ax.bbox.y0) and scale.bbox.y1 == pytest.approx(ax.bbox.y1)


HOSTILE = (
    "$a_b$ and $\\frac{ 100 % & more",
    "_back\\slash^2 {x}\ntwo lines bell\a",
    "\u05e9\u05dc \u0639\u0627 \U0001f600 #~",
)


def check_drawn(kind, name):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = every_plot(name=name, data=name, loss=name)[kind]().get_figure(root=True)
        assert png(figure)[:4] == b"\x89PNG"
    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes)]
    labels = [str(item.get_label()) for ax in figure.axes for item in (*ax.lines, *ax.patches)]
    handles = [label for label in labels if name[:3] in label and not re.fullmatch(r"_child\d+", label)]  # Matplotlib's
    assert not handles or any(legend.get_texts() for legend in legends if legend), kind


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", KINDS)
def test_names_are_words_whatever_they_hold(kind, name):
    check_drawn(kind, name)


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12).filter(
        lambda name: name != "patches"
    ),
)
@example("reliability", "0")
def test_any_name_can_be_drawn(kind, name):
    check_drawn(kind, name)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_legend_and_a_file_keep_every_name(name, tmp_path):
    ax = figures.plot_scores(make(name=name, data=name), name)
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(words) == 2 and plain(name)[:8] in words[1] and len(ax.get_legend_handles_labels()[1]) == 2
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        path = figures.save_figure(ax, tmp_path / "a.svg")
    assert plain(name).split()[0] in "".join(ElementTree.parse(path).getroot().itertext())


def test_settings_of_the_reader_change_no_words():
    with mpl.rc_context({"text.usetex": True, "text.parse_math": True}):
        ax = Figure().subplots()
        figures.plot_scores(make(name="50 % of _all_ $x"), ax=ax)
        assert not any(text.get_usetex() for text in (ax.xaxis.label, *ax.texts, *ax.get_legend().get_texts()))
        png(figures.plot_roc(make(name="_a$b%")).figure)
    assert len(ax.get_legend().get_texts()) == 3


def test_losses_of_ones_own_differ_in_colour_dash_and_marker():
    ax = figures.plot_roc([make(loss) for loss in ("HeadOne", "HeadTwo", "isomax", "softmax")], "letters")
    lines = [line for line in ax.lines if "AUROC" in line.get_label()]
    for look in (lambda line: line.get_color(), lambda line: line._dash_pattern, lambda line: line.get_marker()):
        assert len({str(look(line)) for line in lines}) == 4


@pytest.mark.parametrize("plot", [figures.plot_risk, figures.plot_temperature, figures.plot_reliability])
@pytest.mark.parametrize("given", ["list", "table"])
def test_what_is_no_capture_is_told_so(plot, given):
    data = [make()] if given == "list" else iv.tables.roc_table(make())
    with pytest.raises(
        TypeError, match=f"{plot.__name__} draws one Capture, but received a {type(data).__name__}. Call"
    ):
        plot(data)


@pytest.mark.parametrize(
    ("plot", "table", "options", "message"),
    [
        (figures.plot_logits, iv.tables.logits_table, {"bins": 10}, "bins=10 changes nothing in a table that is made"),
        (figures.plot_entropy, iv.tables.values_table, {"normalised": True}, "Give it to iv.tables.values_table"),
        (figures.plot_scores, iv.tables.scores_table, {"score": "mds"}, "score='mds' changes nothing"),
        (figures.plot_scores, iv.tables.scores_table, {"limits": (0, 1)}, r"limits=\(0, 1\) changes nothing"),
        (figures.plot_roc, iv.tables.roc_table, {"score": ["mps"]}, "or plot_roc the captures"),
        (figures.plot_distances, iv.tables.logits_table, {"nearest": True}, "nearest=True changes nothing"),
    ],
)
def test_options_that_change_nothing_in_a_table_are_refused(plot, table, options, message):
    with pytest.raises(ValueError, match=message):
        plot(table(make()), **options)
    plot(table(make()), **{name: None for name in options if name == "limits"})


def test_the_density_axis_ends_where_it_is_told():
    ax = figures.plot_entropy(make(), top=0.5)
    assert ax.get_ylim() == (0, 0.5) and any(text.get_text().startswith("cut off") for text in ax.texts)
    with pytest.raises(ValueError, match="top must be a number above 0"):
        figures.plot_entropy(make(), top=0.0)


def test_a_grid_says_where_axes_differ_and_writes_a_legend_once():
    pair = [make("softmax"), make("isomax")]
    differ = figures.plot_grid(figures.plot_entropy, pair)
    assert any("axes differ" in text.get_text() for text in differ.texts)
    alike = figures.plot_grid(figures.plot_roc, pair, ood="letters")
    assert not any("axes differ" in text.get_text() for text in alike.texts)
    twice = figures.plot_grid(figures.plot_training, pair, each={"quantity": ["accuracy", "entropy"]})
    assert [ax.get_legend() is not None for ax in twice.axes] == [True, True, False, False]
    labelled = [ax.get_xlabel() for ax in figures.plot_grid(figures.plot_logits, [*pair, make("isomax2"), *pair]).axes]
    assert all(labelled)
