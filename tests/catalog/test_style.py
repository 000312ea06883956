"""Looks of losses and data sets."""

from __future__ import annotations

import warnings

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from isomax_viz.catalog import style
from isomax_viz.catalog.losses import LOSSES
from isomax_viz.catalog.style import DATA_STYLES, OKABE_ITO, data_style, loss_style, loss_styles
from isomax_viz.figures.feature_space import CLASS_COLORS


def test_losses_of_one_figure_differ_in_colour_line_and_marker():
    own = [f"Mine{number}" for number in range(6)]
    looks = loss_styles([*own[:3], *LOSSES, "unknown", *own[3:]])
    for what in ("label", "color", "linestyle", "marker"):
        assert len({str(getattr(look, what)) for look in looks.values()}) == len(looks) == 15
    assert {name: looks[name] for name in LOSSES} == {name: loss.look for name, loss in LOSSES.items()}


def test_many_losses_of_ones_own_still_look_different():
    looks = loss_styles(f"Mine{number}" for number in range(36))
    assert len({(look.color, look.linestyle) for look in looks.values()}) == 36


def test_extra_data_keeps_the_colour_of_its_loss():
    looks = loss_styles(["A", "B+oe", "softmax+oe", "B", "B+acet"])
    assert looks["B+oe"].color == looks["B+acet"].color == looks["B"].color != looks["A"].color
    assert len({looks[name].marker for name in ("B+oe", "B", "B+acet")}) == 3
    assert (
        looks["softmax+oe"].label == "SoftMax + outliers" and looks["softmax+oe"].color == loss_style("softmax").color
    )


def test_a_colour_has_one_meaning_on_a_page():
    own = [f"mine {k}" for k in range(40)]
    losses = {look.color.lower() for look in loss_styles([*LOSSES, *own, "unknown"]).values()}
    sets = {data_style(name).color.lower() for name in (*DATA_STYLES, *own)}
    classes = {color.lower() for color in CLASS_COLORS}
    assert not (losses | {color.lower() for color in OKABE_ITO.values()}) & sets
    assert not (losses | sets) & classes


def test_other_scripts_are_drawn_with_the_fonts_that_are_installed(monkeypatch):
    letter = "\ue000"  # in one of Matplotlib's own fonts and not in DejaVu Sans, as Chinese is in others'
    for fonts, expected in ((("No Such Font", "STIXNonUnicode"), ["STIXNonUnicode"]), (("No Such Font",), [])):
        monkeypatch.setattr(style, "_OTHER_SCRIPTS", fonts)
        with style.context(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert mpl.rcParams["font.family"] == ["DejaVu Sans", *expected]
            figure = Figure()
            figure.text(0.5, 0.5, letter)
            FigureCanvasAgg(figure).draw()
        assert bool(caught) != bool(expected), caught
