"""What is known of a loss by its key, declared once: its look, its words, its formulas, what the papers say of it.

The key is that of the head in :data:`isomax_viz.learning.losses.HEADS`. A network that was trained with extra data has
the name of its loss followed by that of the data: ``"softmax+oe"``.
"""

from __future__ import annotations

from dataclasses import dataclass

from isomax_viz.catalog.looks import OKABE_ITO, LineStyle, Style

__all__ = ["EXTRA_DATA", "LOSSES", "ExtraData", "Loss", "split_loss"]

# From the features up: name, formula (mathtext without dollar signs), the artefact that it leaves in feature space.
Block = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Loss:
    r"""What is known of a loss.

    Attributes
    ----------
    look : Style
        Label, colour, line and marker.
    formula : str
        The training loss (LaTeX) for an image with features f and class k.
    sentence : str
        What it does, in plain language.
    blocks : tuple of (name, formula, artefact)
        Its parts from the features up, for :func:`isomax_viz.plot_loss_blocks`.
    logits : str
        What its logits are, for axes.
    geometry : {"affine", "distance", "unit distance", "cosine"}
        What its logits are functions of.
    prototypes : bool
        Whether it has prototypes; where it has none, the class means of the training features stand in.
    demands : tuple of str
        Keys of :data:`isomax_viz.analysis.methods.DEMANDS`, as the IsoMax+ paper's Table 1 labels them.
    ood_logits : str
        Which in-distribution logits the out-of-distribution ones resemble, as the papers say; empty if they do not.
    source : str
        Where it was proposed.
    """

    look: Style
    formula: str = ""
    sentence: str = ""
    blocks: tuple[Block, ...] = ()
    logits: str = "logit"
    geometry: str = "distance"
    prototypes: bool = True
    demands: tuple[str, ...] = ()
    ood_logits: str = ""
    source: str = ""

    @property
    def unit_vectors(self) -> bool:
        """Whether its distances are those between features and prototypes of length 1."""
        return self.prototypes and self.geometry in ("unit distance", "cosine")


@dataclass(frozen=True, kw_only=True)
class ExtraData:
    """What training with extra data adds to a loss.

    Attributes
    ----------
    label, short : str
        Its name, and the word for legends.
    linestyle, marker
        What a look gets in place of its own; the colour stays that of the loss.
    demands, source
        As for :class:`Loss`.
    """

    label: str
    short: str
    linestyle: LineStyle
    marker: str
    demands: tuple[str, ...]
    source: str


_FEATURES = ("features", r"f = f_\theta(x)", "")
_UNIT_VECTORS = ("unit vectors", r"\hat f,\; \hat p_j", "")
_AFFINE = ("affine map: logits", r"z_j = w_j^\top f + b_j", "hyperplanes: only the direction along w matters")
_DISTANCES = ("distances: logits", r"z_j = -\Vert f - p_j \Vert", "prototypes: equal distance, equal logit")
_ENTROPIC_SCALE = ("entropic scale (training only)", r"E_s \, z_j", "")
_END = (("softmax", r"p_j = e^{z_j} / \sum_i e^{z_i}", ""), ("cross-entropy", r"-\log p_k", ""))


def _cross_entropy(exponent: str) -> str:
    """Return the loss of a class k among classes j, from its exponent with @ in the place of the class."""
    of_its_class, of_any = exponent.replace("@", "k"), exponent.replace("@", "j")
    return rf"\mathcal{{L}} = -\log \frac{{e^{{{of_its_class}}}}}{{\sum_j e^{{{of_any}}}}}"


# fmt: off
LOSSES = {
    "softmax": Loss(
        look=Style("SoftMax", "#4D4D4D", ":", "s"), formula=_cross_entropy(r"w_@^\top f + b_@"),
        sentence="A linear layer: the farther the features lie along the direction of a class, the surer the network "
        "is, also of what it never saw.",
        blocks=(_FEATURES, _AFFINE, *_END), logits="logit = wᵀf + b", geometry="affine", prototypes=False,
        ood_logits="inter-class", source="the usual last layer",
    ),
    "isomax": Loss(
        look=Style("IsoMax", OKABE_ITO["sky blue"], "--", "o"),
        formula=_cross_entropy(r"-E_s \lVert f - p_@ \rVert"),
        sentence="Distances to one learned prototype per class replace the linear layer; the entropic scale E_s "
        "sharpens the training only and is left out afterwards, which keeps entropies high.",
        blocks=(_FEATURES, _DISTANCES, _ENTROPIC_SCALE, *_END), logits="logit = −distance",
        ood_logits="not inter-class", source="DisMax paper 2019",
    ),
    "isomax+": Loss(
        look=Style("IsoMax+", OKABE_ITO["blue"], "-", "D"),
        formula=_cross_entropy(r"-E_s |d_s| \lVert \hat{f} - \hat{p}_@ \rVert"),
        sentence="IsoMax between unit vectors (features and prototypes are brought to length 1), with a learned "
        "distance scale d_s.",
        blocks=(
            *(_FEATURES, _UNIT_VECTORS),
            ("distances: logits", r"z_j = -|d_s| \, \Vert \hat f - \hat p_j \Vert", "prototypes on the unit sphere"),
            *(_ENTROPIC_SCALE, *_END),
        ),
        logits="logit = −|learned scale| · distance", geometry="unit distance", source="IsoMax+ paper",
    ),
    "isomax2": Loss(
        look=Style("IsoMax2", OKABE_ITO["green"], "-.", "^"),
        formula=_cross_entropy(r"-s_@ \lVert f - p_@ \rVert - t_@"),
        sentence="Every class learns its own scale s and tilt t in place of the entropic scale; both are left out "
        "afterwards.",
        blocks=(_FEATURES, _DISTANCES, ("scales, tilts (training, classifying)", r"s_j z_j - t_j", ""), *_END),
        logits="logit = −distance", ood_logits="intra-class", source="IsoMax2 paper",
    ),
    "dismax": Loss(
        look=Style("DisMax", OKABE_ITO["black"], (0, (5, 1)), "v"),
        formula=_cross_entropy(r"-g(d(f, p_@))"),
        sentence="The frame of the 2019 paper: any distance d to one prototype per class, a function g of it for "
        "training and another, h, for detection. The Euclidean distance with g(d) = E_s d and h(d) = d is IsoMax.",
        blocks=(
            *(_FEATURES, ("distances: logits", r"z_j = -h(d(f, p_j))", _DISTANCES[2])),
            *(("another function (training, classifying)", r"-g(d(f, p_j))", ""), *_END),
        ),
        source="DisMax paper 2019",
    ),
    "scaled_cosine": Loss(
        look=Style("Scaled Cosine", OKABE_ITO["orange"], (0, (3, 1, 1, 1)), "P"),
        formula=_cross_entropy(r"s(f) \cos \theta_@"),
        sentence="Cosines of the angles between the features and one prototype per class, times a scale s that is read "
        "from the features of each image and left out for detection.",
        blocks=(
            *(_FEATURES, _UNIT_VECTORS),
            ("cosines: logits", r"z_j = \hat p_j^\top \hat f", "directions: only the angle matters"),
            *(("scale of each image (not in detection)", r"s(f) \, z_j", ""), *_END),
        ),
        geometry="cosine", demands=("accuracy_drop",), source="Techapanurak et al. 2019",
    ),
    "godin": Loss(
        look=Style("Generalized ODIN", OKABE_ITO["vermillion"], (0, (1, 1)), "h"),
        formula=_cross_entropy(r"h_@(f) / g(f)"),
        sentence="The confidence is divided in two: a similarity h to each class, by default a cosine, and one number "
        "g between 0 and 1 for each image, which acts as a temperature and is left out for detection.",
        blocks=(
            _FEATURES,
            ("similarities: logits", r"z_j = h_j(f) = \hat w_j^\top \hat f", "directions: only the angle matters"),
            *(("temperature of each image (not in detection)", r"z_j / g(f)", ""), *_END),
        ),
        geometry="cosine", prototypes=False, demands=("accuracy_drop",), source="Hsu et al. 2020",
    ),
    "logit_norm": Loss(
        look=Style("LogitNorm", OKABE_ITO["purple"], (0, (6, 2, 1, 2)), "<"),
        formula=_cross_entropy(r"z_@ / (\tau \lVert z \rVert)"),
        sentence="A linear layer whose logits z are brought to length 1 and divided by a temperature in training "
        "only: logits that merely grow do not lower the loss.",
        blocks=(_FEATURES, _AFFINE, ("length 1 (training only)", r"z_j / (\tau \Vert z \Vert)", ""), *_END),
        geometry="affine", prototypes=False, source="Wei et al. 2022",
    ),
}
# fmt: on

# What follows the name of a loss that was trained with extra data: "softmax+oe" is SoftMax with Outlier Exposure.
# fmt: off
EXTRA_DATA = {
    "oe": ExtraData(
        label="Outlier Exposure", short="outliers", linestyle=(0, (8, 2)), marker="*",
        demands=("additional_data",), source="Hendrycks et al. 2019",
    ),
    "acet": ExtraData(
        label="ACET", short="ACET", linestyle=(0, (4, 1, 1, 1, 1, 1)), marker="X",
        demands=("tuning", "accuracy_drop"), source="Hein et al. 2019",
    ),
    "energy": ExtraData(
        label="energy bounds", short="energy bounds", linestyle=(0, (2, 2)), marker="p",
        demands=("tuning", "additional_data"), source="Liu et al. 2020",
    ),
}
# fmt: on


def split_loss(loss: str) -> tuple[str, str]:
    """Return the name of a loss without that of extra data, and that of the extra data, empty if there is none.

    Examples
    --------
    >>> split_loss("isomax++oe"), split_loss("isomax+")
    (('isomax+', 'oe'), ('isomax+', ''))
    """
    name = str(loss)  # a table of the reader's own may hold something else than text
    base, _, method = name.rpartition("+")
    return (base, method) if base and method in EXTRA_DATA else (name, "")
