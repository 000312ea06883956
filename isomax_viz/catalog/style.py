"""One colour, line style and label per loss and per data set, how numbers are written, and the figures' settings.

The losses' colours are those of Okabe and Ito (distinguishable with the common kinds of colour blindness); a line style
or a hatch always stands beside the colour.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import isnan
from typing import Any
from unicodedata import category

from isomax_viz.catalog.looks import OKABE_ITO, Style
from isomax_viz.catalog.losses import EXTRA_DATA, LOSSES, Loss, split_loss

__all__ = [
    "DATA_STYLES", "OKABE_ITO", "SPARE_STYLES", "Style", "context", "count_label", "data_style", "known", "loss_record",
    "loss_style", "loss_styles", "number", "percent", "plain", "titles", "zoom",
]  # fmt: skip

# A colour has one meaning on a page: sets have none of the losses' colours. Most are Paul Tol's, told apart by their
# lightness too; a known set stands in the colour of its loss.
DATA_STYLES = {
    "digits": Style("digits", "#5A4632"),
    "letters": Style("letters", "#EE7733", "-", "o"),
    "patches": Style("patches", "#AA3377", "--", "s"),
    "gaussian": Style("gaussian noise", "#AA9900", "-.", "^"),
    "uniform": Style("uniform noise", "#665500", ":", "v"),
    "unseen": Style("unseen classes", "#A65628", (0, (5, 1)), "P"),
    "cifar10": Style("CIFAR10", "#EE7733", "-", "o"),
    "cifar100": Style("CIFAR100", "#A65628", (0, (5, 1)), "D"),
    "svhn": Style("SVHN", "#AA3377", "--", "s"),
    "tinyimagenet": Style("TinyImageNet", "#EE7733", "-", "o"),
    "tinyimagenet_resize": Style("TinyImageNet (resize)", "#EE7733", "-", "o"),
    "lsun_resize": Style("LSUN (resize)", "#AA9900", "-.", "h"),
    "fooling": Style("fooling images", "#665500", (0, (3, 1, 1, 1)), "X"),
    "mnist": Style("MNIST", "#5A4632", "-", "o"),
    "fashion_mnist": Style("Fashion-MNIST", "#AA3377", "--", "s"),
    "far blob": Style("far blob", "#1A1A1A", "-", "P"),
    "ring": Style("ring", "#1A1A1A", "--", "X"),
}

_UNKNOWN = Style("unknown loss", "#7F3C8D", (0, (4, 2, 1, 2)), "$?$")

# For curves that differ in something else than loss or data set, in order.
SPARE_STYLES = (
    Style("", OKABE_ITO["blue"], "-", "o"),
    Style("", OKABE_ITO["vermillion"], "--", "s"),
    Style("", OKABE_ITO["green"], "-.", "^"),
    Style("", OKABE_ITO["purple"], ":", "D"),
    Style("", OKABE_ITO["black"], (0, (5, 1)), "v"),
    Style("", OKABE_ITO["orange"], (0, (3, 1, 1, 1)), "P"),
)

# For what has no style of its own: a stable choice by name, so that a set keeps its colour from figure to figure.
_SPARE = ("#AA3377", "#EE7733", "#EE3377", "#665500", "#AA9900", "#A65628")
_SPARE_LINES = ("-", "--", "-.", ":")
# For losses of the reader's own, in order: apart from the looks above and, mostly of Tol's muted scheme, safe for the
# colour-blind.
_OWN_LOOKS = (
    ("#332288", (0, (2, 1)), ">"),
    ("#117733", (0, (7, 1, 2, 1)), "d"),
    ("#882255", (0, (10, 3)), "H"),
    ("#44AA99", (0, (3, 2, 1, 2, 1, 2)), "8"),
    ("#999933", (0, (1, 3)), "p"),
    ("#661100", (0, (5, 2, 5, 2, 1, 2)), "X"),
)


def plain(words: Any, *, most: int = 40) -> str:
    r"""Return somebody's words as one line that can be drawn and written to a file, and that a legend shows.

    Parameters
    ----------
    words : object
        Such as the name of a data set.
    most : int
        Letters; in longer words the middle is left out.

    Examples
    --------
    >>> plain("two\nlines\0"), plain("a" * 50 + "b", most=7)
    ('two lines�', 'aaa…aab')
    """
    # A file of SVG cannot hold control characters, nor a font half a pair of surrogates.
    line = " ".join(str(words).split())
    line = "".join("\N{REPLACEMENT CHARACTER}" if category(letter) in ("Cc", "Cs") else letter for letter in line)
    if len(line) > most:
        line = f"{line[: most // 2]}…{line[-((most - 1) // 2) :]}"
    # Matplotlib leaves labels that begin with an underscore out of legends: a space of no width stands before it.
    return "\N{ZERO WIDTH SPACE}" + line if line.startswith("_") else line


def loss_styles(losses: Iterable[str]) -> dict[str, Style]:
    """Return the styles of the losses of one figure: all differ in colour, line and marker.

    Parameters
    ----------
    losses : iterable of str
        Keys of losses; with extra data followed by ``"+oe"``, ``"+acet"`` or ``"+energy"``, which keeps the colour.
        Known losses look the same in every figure. Losses of your own get spare looks in the order given, so give the
        losses of a whole figure at once.

    Returns
    -------
    dict of str to Style
        In the order given, each loss once.

    Examples
    --------
    >>> looks = loss_styles(["isomax+", "MyHead", "YourHead"])
    >>> looks["isomax+"].label, looks["MyHead"].label, looks["MyHead"].color == looks["YourHead"].color
    ('IsoMax+', 'MyHead', False)
    """
    looks: dict[str, Style] = {}
    own: list[str] = []
    for name in dict.fromkeys(map(str, losses)):
        looks[name] = LOSSES[name].look if name in LOSSES else _other_look(name, own)
    return looks


def _other_look(name: str, own: list[str]) -> Style:
    """Return the look of a loss of one's own (``own`` lists those so far), or of any loss with extra data."""
    base, method = split_loss(name)
    if base in LOSSES:
        look = LOSSES[base].look
    elif base == "unknown":
        look = _UNKNOWN
    else:
        own += [base] if base not in own else []
        again, number = divmod(own.index(base), len(_OWN_LOOKS))
        color, _, marker = _OWN_LOOKS[number]
        line = _OWN_LOOKS[(number + again) % len(_OWN_LOOKS)][1]  # the seventh has the first one's colour, another line
        look = Style(plain(base), color, line, marker)
    if not method:
        return look
    extra = EXTRA_DATA[method]
    return replace(look, label=f"{look.label} + {extra.short}", linestyle=extra.linestyle, marker=extra.marker)


def loss_record(loss: str) -> Loss:
    """Return what is known of a loss, with or without extra data; of one of your own, that it has prototypes.

    Examples
    --------
    >>> loss_record("softmax+oe").logits, loss_record("MyHead").logits
    ('logit = wᵀf + b', 'logit')
    """
    name = str(loss)
    return LOSSES.get(name) or LOSSES.get(split_loss(name)[0]) or Loss(look=loss_style(name))


def loss_style(loss: str) -> Style:
    """Return the style of a loss that stands alone; see :func:`loss_styles` for several.

    Examples
    --------
    >>> loss_style("isomax+").label, loss_style("softmax+oe").label
    ('IsoMax+', 'SoftMax + outliers')
    >>> loss_style("unknown").label, loss_style("MyHead").label
    ('unknown loss', 'MyHead')
    """
    return loss_styles([loss])[str(loss)]


def data_style(name: str) -> Style:
    """Return the style of a data set; an unknown one gets a stable spare colour under its own name.

    Examples
    --------
    >>> data_style("gaussian").label
    'gaussian noise'
    """
    if name in DATA_STYLES:
        return DATA_STYLES[name]
    number = sum(name.encode(errors="surrogatepass"))
    line = _SPARE_LINES[number // len(_SPARE) % len(_SPARE_LINES)]
    return Style(plain(name), _SPARE[number % len(_SPARE)], line, "h")


def known(value: Any) -> bool:
    """Return whether a table says this: neither None nor NaN."""
    return value is not None and not (isinstance(value, float) and isnan(value))


def number(value: float) -> str:
    """Return a number with three significant digits and a true minus sign.

    Examples
    --------
    >>> number(-0.42189), number(1234.5), number(999.7)
    ('−0.422', '1,234', '1,000')
    """
    return (f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}").replace("-", "−")


def percent(fraction: float) -> str:
    """Return a fraction as percent with one decimal.

    Examples
    --------
    >>> percent(0.9731)
    '97.3 %'
    """
    return f"{100 * fraction:.1f} %"


def count_label(name: str, n: int, unit: str = "") -> str:
    """Return a legend entry with its number of values.

    Examples
    --------
    >>> count_label("letters", 1597)
    'letters (n = 1,597)'
    """
    return f"{name} (n = {n:,}{' ' + unit if unit else ''})"


def titles(loss: str | None, data: Any, ood: Iterable[str]) -> tuple[str, ...]:
    """Return the parts of a title, without what is not known.

    Examples
    --------
    >>> titles("isomax+", "digits", ["letters"])
    ('IsoMax+', 'digits', 'test against letters')
    >>> titles("unknown", None, ["letters", "patches", "uniform"])
    ('test against 3 sets',)
    """
    parts = [loss_style(str(loss)).label] if known(loss) and loss != "unknown" else []
    parts += [data_style(str(data)).label] if known(data) else []
    names = [data_style(name).label for name in ood]
    # The legend names them all; a title has room for two.
    against = ", ".join(names) if len(names) < 3 else f"{len(names)} sets"
    return (*parts, f"test against {against}") if names else tuple(parts)


_LOCK = threading.RLock()

# DejaVu Sans draws Latin, Greek, Cyrillic, Arabic, Hebrew and some emoji; of these, what is installed draws the rest.
_OTHER_SCRIPTS = (
    "Noto Sans CJK SC,Noto Sans CJK JP,Source Han Sans SC,WenQuanYi Micro Hei,WenQuanYi Zen Hei,"  # Linux
    "Microsoft YaHei,Yu Gothic,Malgun Gothic,Nirmala UI,Segoe UI Symbol,"  # Windows
    "PingFang SC,Hiragino Sans,Apple SD Gothic Neo,Arial Unicode MS,Noto Sans Devanagari,Noto Emoji"  # macOS and others
).split(",")

# fmt: off
_SETTINGS = {
    "figure.facecolor": "white", "savefig.facecolor": "white", "axes.facecolor": "white",
    "text.color": "#1a1a1a", "axes.labelcolor": "#1a1a1a",
    "axes.edgecolor": "#4D4D4D", "xtick.color": "#4D4D4D", "ytick.color": "#4D4D4D",
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left",
    "axes.titlesize": 11, "axes.labelsize": 10, "xtick.labelsize": 9, "ytick.labelsize": 9,
    "legend.fontsize": 8.5, "legend.frameon": False, "hatch.linewidth": 0.6,
    "text.usetex": False,
    # SVG text stays text (searchable, small), and ids do not change from run to run. PDF embeds TrueType: many journals
    # refuse fonts of Type 3, Matplotlib's default.
    "svg.fonttype": "none", "svg.hashsalt": "isomax_viz", "pdf.fonttype": 42,
}
_THEMES = {
    "paper": {},
    # Readable from the back row of a lecture room.
    "talk": {
        "axes.titlesize": 16, "axes.labelsize": 15, "xtick.labelsize": 13, "ytick.labelsize": 13,
        "figure.titlesize": 17, "legend.fontsize": 13,
    },
}
# fmt: on


def zoom(panels: int) -> float:
    """Return how much larger than usual a figure is drawn under the present settings.

    Large words need a larger figure, or they lie over each other. One panel has some room to spare; several have none.

    Parameters
    ----------
    panels : int
        How many stand in the figure.

    Examples
    --------
    >>> with context("talk"):
    ...     zoom(1), zoom(4)
    (1.2, 1.45)
    """
    from matplotlib import rcParams

    large = rcParams["axes.titlesize"] == _THEMES["talk"]["axes.titlesize"]
    return 1.0 if not large else 1.2 if panels == 1 else 1.45


@contextmanager
def context(theme: str = "paper") -> Iterator[None]:
    """Apply the figure settings inside a ``with`` block and restore the former ones after it.

    Parameters
    ----------
    theme : {"paper", "talk"}
        ``"talk"`` has larger text, for projection. Figures made in it are larger too (:func:`zoom`), with larger curves
        and markers: sizes that are asked for are those on paper.

    Examples
    --------
    >>> import matplotlib as mpl
    >>> before = mpl.rcParams["axes.titlesize"]
    >>> with context("talk"):
    ...     mpl.rcParams["axes.titlesize"]
    16.0
    >>> mpl.rcParams["axes.titlesize"] == before
    True
    """
    import matplotlib as mpl
    from matplotlib.font_manager import fontManager

    from isomax_viz._common.checks import check_choice

    there = {font.name for font in fontManager.ttflist}
    fonts = {"font.family": ["DejaVu Sans", *(name for name in _OTHER_SCRIPTS if name in there)]}
    # Matplotlib's settings belong to the whole program, and widgets may draw in a thread beside the cells'.
    with _LOCK, mpl.rc_context(_SETTINGS | fonts | _THEMES[check_choice("theme", theme, _THEMES)]):
        yield
