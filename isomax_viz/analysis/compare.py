"""What differs by how much: two combinations of network and score on the same images, with an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_choice, check_number
from isomax_viz.analysis import metrics
from isomax_viz.analysis.bootstrap import counted_metric, draw_counts
from isomax_viz.analysis.chosen import Captures, Names, as_list, check_alike, set_scores, shared_ood, tell_machines
from isomax_viz.analysis.scores import Score, ScoreLike, get
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import source
from isomax_viz.catalog.style import data_style, loss_style

__all__ = ["Comparison", "Side", "compare", "names_of", "paired", "same_sets", "side"]

Side = tuple[list[Capture], Score]

# In which a comparison may find its two sides to differ, most telling first, and what to call it.
_TOLD = {
    "entropic_scale": "entropic scale ", "backbone": "network ", "preset": "preset ", "select": "epoch kept ",
    "variant": "", "seed": "seed ",
}  # fmt: skip


def side(parameter: str, value: Any) -> Side:
    """Return the captures and the score of one side.

    Raises
    ------
    TypeError
        If this is no pair of captures and score.
    ValueError
        If the captures differ in more than the seed.

    Examples
    --------
    >>> captures, score = side("a", (Capture.from_arrays([[3.0, 0.0]], [0]), "es"))
    >>> len(captures), score.label
    (1, 'ES')
    """
    if not isinstance(value, tuple) or len(value) != 2:
        raise TypeError(
            f"{parameter} must be a pair (captures, score), such as (capture, 'es'), but is a {type(value).__name__}."
        )
    captures = as_list(value[0])
    columns = ("loss", "entropic_scale", "data", "backbone", "preset", "select")
    check_alike(captures, columns, "the seed", parameter=f"The captures of {parameter}")
    return captures, get(value[1], captures[0].test)


def names_of(sides: list[Side]) -> list[str]:
    """Return what to call both sides: loss and score, and what else tells them apart where these are the same.

    Raises
    ------
    ValueError
        If two different scores share a name.

    Examples
    --------
    >>> one, ten = (Capture.from_arrays([[3.0, 0.0]], [0], loss="isomax", meta={"entropic_scale": s}) for s in (1, 10))
    >>> names_of([([one], get("es")), ([ten], get("es"))])
    ['IsoMax/ES (entropic scale 1)', 'IsoMax/ES (entropic scale 10)']
    """
    names = [f"{loss_style(captures[0].loss).label}/{score.label}" for captures, score in sides]
    (first, one), (second, other) = sides
    if names[0] != names[1]:
        return names
    if (one.function, one.key) != (other.function, other.key):
        raise ValueError(
            f"a and b have different scores with the same name {one.label!r}. Give functions of your own different "
            "names: write them with def, or set function.__name__."
        )
    for key, word in _TOLD.items():
        values = [source(captures[0])[key] for captures in (first, second)]
        if key == "variant":
            values = [value or "as usual" for value in values]
        if None not in values and values[0] != values[1] and (key != "seed" or len(first) == len(second) == 1):
            ends = [f"{value:g}" if isinstance(value, float) else value for value in values]
            return [f"{name} ({word}{end})" for name, end in zip(names, ends, strict=True)]
    return names


def paired(first: list[Capture], second: list[Capture]) -> list[tuple[Capture, Capture]]:
    """Pair captures by the seed of their training; one and one need no seed.

    Raises
    ------
    ValueError
        If seeds are missing, repeated or without a partner, or the test images are not the same.
    """
    pairs = [(first[0], second[0])]
    if len(first) > 1 or len(second) > 1:
        seeds: dict[str, list[Any]] = {}
        for name, captures in (("a", first), ("b", second)):
            found = seeds[name] = [capture.meta.get("seed") for capture in captures]
            if None in found or len(set(found)) < len(found):
                raise ValueError(
                    f"{name} must hold one capture per seed, but has the seeds {found}. Give captures that differ in "
                    "nothing but meta['seed']."
                )
        if set(seeds["a"]) != set(seeds["b"]):
            raise ValueError(
                f"a and b must have the same seeds, but have {sorted(seeds['a'])} and {sorted(seeds['b'])}. "
                "Leave out the captures without a partner."
            )
        pairs = [(capture, second[seeds["b"].index(seed)]) for capture, seed in zip(first, seeds["a"], strict=True)]
    _check_order("test", pairs)
    everything = [capture for pair in pairs for capture in pair]
    data = list(dict.fromkeys(capture.meta["data"] for capture in everything if capture.meta.get("data")))
    labels = everything[0].test.labels
    differ = f"data is {' and '.join(map(repr, data))}" if len(data) > 1 else ""
    if not differ and not all(np.array_equal(capture.test.labels, labels) for capture in everything):
        differ = "labels differ"
    if differ:
        kept = max(capture.meta.get("every", 1) for capture in everything)
        thinned = f", or thin the whole one: capture.every({kept})" if kept > 1 else ""
        raise ValueError(
            f"a and b must come from the same test images in the same order, but their {differ}. Record both on the "
            f"same data{thinned}."
        )
    return pairs


def same_sets(pairs: list[tuple[Capture, Capture]], ood: Names) -> list[str]:
    """Return the out-of-distribution sets to compare on, which must hold the same images everywhere.

    Raises
    ------
    ValueError
        If a set is missing somewhere, or differs in size or, where recorded, in its images.
    """
    everything = [capture for pair in pairs for capture in pair]
    names = shared_ood(everything, ood)
    for name in names:
        _check_order(name, pairs)
        sizes = list(dict.fromkeys(len(capture.ood[name]) for capture in everything))
        marks = [capture.meta.get("ood", {}).get(name, {}).get("fingerprint") for capture in everything]
        if len(sizes) > 1 or len(set(marks) - {None}) > 1:
            found = " and ".join(map(str, sizes)) if len(sizes) > 1 else "different ones of equal number"
            raise ValueError(
                f"The out-of-distribution set {name!r} must hold the same images for a and b, but has {found}. "
                "Record both with the same set."
            )
    return names


def _check_order(name: str, pairs: list[tuple[Capture, Capture]]) -> None:
    for pair in pairs:
        for parameter, capture in zip("ab", pair, strict=True):
            if name in capture.meta.get("unordered", ()) and pair[0].samples[name] is not pair[1].samples[name]:
                raise ValueError(
                    f"The set {name!r} of {parameter} was recorded in a random order, so its images can't be paired. "
                    "Record it again from a DataLoader(..., shuffle=False) without a sampler."
                )


_CHUNK = 32  # resamples at a time: their counts stay in the processor's cache


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What :func:`compare` found; a notebook shows its sentence and the values per seed.

    Attributes
    ----------
    a, b : str
        Names of the two combinations of loss and score.
    metric : str
        A key of :data:`isomax_viz.analysis.metrics.METRICS`.
    difference : float
        Metric of ``a`` minus metric of ``b``, mean over seeds and out-of-distribution sets; a fraction.
    low, high : float
        Its interval: for other images and, with several seeds, for other trainings.
    images : (float, float)
        The interval for other images and these very networks; the same as ``(low, high)`` for one seed.
    confidence : float
        Share of such intervals that hold the difference, if the images and seeds are random ones.
    frame : DataFrame
        One row per pair of seeds and out-of-distribution set: ``pair, seed_a, seed_b, ood, n_id, n_ood, a, b,
        difference``.
    draws : ndarray, shape (resamples,)
        The differences behind ``low`` and ``high``, one for every resample, read-only.
    """

    a: str
    b: str
    metric: str
    difference: float
    low: float
    high: float
    images: tuple[float, float]
    confidence: float
    frame: pd.DataFrame
    draws: np.ndarray

    def __repr__(self) -> str:
        return (
            f"Comparison({self.metric} of {self.a} - {self.b}: {_points(self.difference)} points, "
            f"{100 * self.confidence:g} % interval {_points(self.low)} .. {_points(self.high)}, "
            f"{self.seeds} seed{'s' if self.seeds > 1 else ''})"
        )

    def _repr_markdown_(self) -> str:
        return self.sentence

    @property
    def seeds(self) -> int:
        """Number of pairs of networks."""
        return int(self.frame["pair"].nunique())

    @property
    def per_seed(self) -> pd.Series:
        """The difference of every pair of networks, mean over the out-of-distribution sets."""
        return self.frame.groupby("pair", sort=False)["difference"].mean()

    @property
    def sentence(self) -> str:
        """The result in plain words: direction, size, interval, what it covers, and every seed."""
        *names, final = (data_style(name).label for name in self.frame["ood"].unique())
        sets = f"{', '.join(names)} and {final}" if names else final
        interval = f"{100 * self.confidence:g} % interval {_points(self.low)} to {_points(self.high)}"
        if self.low > 0 or self.high < 0:
            word = "higher" if self.difference > 0 else "lower"
            size = f"{abs(100 * self.difference):.1f} points {word} than that of {self.b}"
            claim = f"The {self.metric} of {self.a} is {size} ({interval})."
        else:
            both = f"Between the {self.metric} of {self.a} and that of {self.b} no difference is established"
            claim = f"{both}: {_points(self.difference)} points ({interval})."
        if self.seeds == 1:
            told = "It is one seed: the interval covers the choice of images only, and another training may differ by"
            return f"{claim} Against {sets}. {told} more."
        each, images = ", ".join(map(_points, self.per_seed)), " to ".join(map(_points, self.images))
        few = f", of which {self.seeds} say little" if self.seeds < 5 else ""
        told = f"The interval covers the choice of images and of seeds{few}; for these very networks it is {images}."
        return f"{claim} Against {sets}; seed by seed: {each}. {told}"


def compare(
    a: tuple[Captures, ScoreLike],
    b: tuple[Captures, ScoreLike],
    *,
    ood: Names = None,
    metric: str = "AUROC",
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two combinations of network and score on the same images, with an interval.

    Parameters
    ----------
    a, b : (captures, score)
        One capture or several (one per seed), and a key of ``iv.scores.SCORES`` or your own function. Several are
        paired by the seed of their training and must differ in nothing else; all must have seen the same test and
        out-of-distribution images in the same order.
    ood : str or list of str, optional
        Out-of-distribution sets, over which the metric is averaged; by default all that both have.
    metric : str
        A key of :data:`isomax_viz.analysis.metrics.METRICS`.
    resamples : int
        Number of bootstrap resamples.
    confidence : float
        Of the interval, in (0, 1).
    seed : int
        Of the bootstrap's random numbers.

    Returns
    -------
    Comparison
        ``.difference`` (a minus b), ``.low``, ``.high``, ``.images``, ``.frame`` (one row per seed and set),
        ``.sentence``.

    Raises
    ------
    TypeError
        If ``a`` or ``b`` is no pair of captures and score.
    ValueError
        If seeds or images do not match, or a name or number is not accepted.

    Notes
    -----
    Images: percentile bootstrap, paired and stratified. In-distribution images are drawn with replacement among
    themselves, those of each out-of-distribution set too, and a draw serves both scores and all seeds.

    Seeds: there are too few for a bootstrap. In simulations where networks differ by more than images explain, the
    95 % interval of one over images and seeds held the true difference 79, 84 and 90 times in 100 for 2, 3 and 5 seeds.
    So to every draw of images an error of the mean over the n seeds is added, from Student's t distribution with n - 1
    degrees of freedom and the standard deviation of the differences per seed, as in a paired t test (96, 95 and 96
    times). It counts how images and seeds act together twice, and so is rather too wide where seeds matter little.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels, clear, vague = np.arange(90) % 3, rng.normal(size=(90, 3)), rng.normal(size=(80, 3))
    >>> clear[np.arange(90), labels] += 3
    >>> capture = Capture.from_arrays(clear, labels, ood={"letters": vague}, loss="softmax")
    >>> found = compare((capture, "max_logit"), (capture, "mps"), ood="letters")
    >>> found.low < found.difference < found.high
    True
    >>> found.frame[["ood", "n_id", "n_ood"]].to_numpy().tolist()
    [['letters', 90, 80]]
    """
    check_choice("metric", metric, metrics.METRICS)
    check_number("resamples", resamples, at_least=1, whole=True)
    check_number("seed", seed, at_least=0, whole=True)
    check_number("confidence", confidence, above=0, below=1)
    sides = [side(name, value) for name, value in (("a", a), ("b", b))]
    names = names_of(sides)
    pairs = paired(*(captures for captures, _ in sides))
    tell_machines(pairs)
    sets = same_sets(pairs, ood)
    scored = [
        [set_scores(capture, score, sets)[1:] for capture, (_, score) in zip(pair, sides, strict=True)]
        for pair in pairs
    ]
    frame = _per_seed(pairs, scored, sets, metric)
    rng = np.random.default_rng(seed)
    of_images = _resampled(scored, sets, metric, resamples=resamples, rng=rng)
    draws = _with_seeds(of_images, frame.groupby("pair")["difference"].mean().to_numpy(), rng)
    draws.flags.writeable = False
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    (low, high), (lowest, highest) = (np.quantile(values, ends).tolist() for values in (draws, of_images))
    difference = float(frame["difference"].mean())
    first, second = names
    return Comparison(first, second, metric, difference, low, high, (lowest, highest), float(confidence), frame, draws)


def _points(fraction: float) -> str:
    return f"{round(100 * fraction, 1) + 0.0:+.1f}".replace("-", "−")  # no minus before zero


# For a and for b: scores of the test images, and of each OOD set.
Scored = list[tuple[np.ndarray, dict[str, np.ndarray]]]


def _per_seed(pairs: list[tuple[Capture, Capture]], scored: list[Scored], sets: list[str], metric: str) -> pd.DataFrame:
    rows = []
    for number, (pair, values) in enumerate(zip(pairs, scored, strict=True)):
        seeds = {f"seed_{key}": capture.meta.get("seed") for key, capture in zip("ab", pair, strict=True)}
        for name in sets:
            a, b = (metrics.ood_metrics(inside, outside[name])[metric] for inside, outside in values)
            counts = {"n_id": len(values[0][0]), "n_ood": len(values[0][1][name])}
            rows.append({"pair": number, **seeds, "ood": name, **counts, "a": a, "b": b, "difference": a - b})
    return pd.DataFrame(rows)


def _resampled(
    scored: list[Scored], sets: list[str], metric: str, *, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the difference in every resample of images, mean over pairs of networks and sets."""
    draws, (inside, outside) = [], scored[0][0]
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        known = draw_counts(rng, len(inside), size)
        unknown = {name: draw_counts(rng, len(outside[name]), size) for name in sets}
        differences = []
        for values in scored:
            for name in sets:
                a, b = (counted_metric(metric, i, o[name], known, unknown[name]) for i, o in values)
                differences.append(a - b)
        draws.append(np.mean(differences, axis=0))
    return np.concatenate(draws)


def _with_seeds(draws: np.ndarray, per_seed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the draws with an error of the mean over the seeds added to each; one seed tells of none."""
    from scipy.special import stdtrit  # a fifth of a second that no figure shall wait for

    n = len(per_seed)
    if n == 1:
        return draws
    # Evenly spaced quantiles in random order: random ones of so long-tailed a distribution would blur the interval.
    quantiles = (np.arange(len(draws)) + 0.5) / len(draws)
    errors = per_seed.std(ddof=1) / np.sqrt(n) * stdtrit(n - 1, rng.permutation(quantiles))
    return np.clip(draws + errors, -1.0, 1.0)  # no two fractions differ by more
