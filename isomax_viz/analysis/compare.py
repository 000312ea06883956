"""What differs by how much: two combinations of network and score on the same images, with an interval."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_choice, check_number
from isomax_viz.analysis import metrics
from isomax_viz.analysis import scores as scores_module
from isomax_viz.analysis.bootstrap import counted_metric, draw_counts
from isomax_viz.analysis.comparable import check_alike, shared_ood, tell_machines
from isomax_viz.analysis.tables import Captures, as_list
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import source, variant
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog.style import data_style, loss_style

__all__ = ["Comparison", "Side", "compare", "names_of", "paired", "same_sets", "side"]

Side = tuple[list[Capture], scores_module.Score]

# In which a comparison may find its two sides to differ, most telling first, and what to call it.
_TOLD = {"entropic_scale": "entropic scale", "backbone": "network", "preset": "preset", "select": "epoch kept"}


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
    return captures, scores_module.get(value[1], captures[0].test)


def names_of(sides: list[Side]) -> list[str]:
    """Return what to call both sides: loss and score, and what else tells them apart where these are the same.

    Raises
    ------
    ValueError
        If two different scores share a name.

    Examples
    --------
    >>> one, ten = (Capture.from_arrays([[3.0, 0.0]], [0], loss="isomax", meta={"entropic_scale": s}) for s in (1, 10))
    >>> names_of([([one], scores_module.get("es")), ([ten], scores_module.get("es"))])
    ['IsoMax/ES (entropic scale 1)', 'IsoMax/ES (entropic scale 10)']
    """
    names = [f"{loss_style(captures[0].loss).label}/{score.label}" for captures, score in sides]
    (first, one), (second, other) = sides
    if names[0] != names[1]:
        return names
    if _computed_by(one) != _computed_by(other):
        raise ValueError(
            f"a and b have different scores with the same name {one.label!r}. Give functions of your own different "
            "names: write them with def, or set function.__name__."
        )
    told = [source(captures[0]) for captures in (first, second)]
    for key, word in _TOLD.items():
        values = [one[key] for one in told]
        if None not in values and values[0] != values[1]:
            ends = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
            return [f"{name} ({word} {end})" for name, end in zip(names, ends, strict=True)]
    changes = [variant(captures[0]) for captures in (first, second)]
    if changes[0] != changes[1]:
        return [f"{name} ({change or 'as usual'})" for name, change in zip(names, changes, strict=True)]
    seeds = [one["seed"] for one in told]
    if len(first) == len(second) == 1 and None not in seeds and seeds[0] != seeds[1]:
        return [f"{name} (seed {seed})" for name, seed in zip(names, seeds, strict=True)]
    return names


def _computed_by(score: scores_module.Score) -> Any:
    # Two readers of one column are two partial objects that do the same.
    function = score.function
    return (function.func, function.args, function.keywords) if isinstance(function, partial) else function


def paired(first: list[Capture], second: list[Capture]) -> list[tuple[Capture, Capture]]:
    """Pair captures by the seed of their training; one and one need no seed.

    Raises
    ------
    ValueError
        If seeds are missing, repeated or without a partner, or the test images are not the same.
    """
    if len(first) == len(second) == 1:
        pairs = [(first[0], second[0])]
    else:
        keyed: list[dict[Any, Capture]] = []
        for parameter, captures in (("a", first), ("b", second)):
            seeds = [capture.meta.get("seed") for capture in captures]
            if None in seeds or len(set(seeds)) < len(seeds):
                raise ValueError(
                    f"{parameter} must hold one capture per seed, but has the seeds {seeds}. Give captures that differ "
                    "in nothing but meta['seed']."
                )
            keyed.append(dict(zip(seeds, captures, strict=True)))
        if keyed[0].keys() != keyed[1].keys():
            raise ValueError(
                f"a and b must have the same seeds, but have {sorted(keyed[0])} and {sorted(keyed[1])}. "
                "Leave out the captures without a partner."
            )
        pairs = [(capture, keyed[1][seed]) for seed, capture in keyed[0].items()]
    everything = [capture for pair in pairs for capture in pair]
    data = list(dict.fromkeys(capture.meta["data"] for capture in everything if capture.meta.get("data")))
    if len(data) > 1:
        raise ValueError(
            f"a and b must come from the same test images, but their data is {' and '.join(map(repr, data))}. "
            "Record both on the same data."
        )
    _check_order("test", pairs)
    for capture in everything:
        if not np.array_equal(capture.test.labels, everything[0].test.labels):
            raise ValueError(
                "a and b must come from the same test images in the same order, but their labels differ. "
                "Record both on the same data."
            )
    return pairs


def same_sets(pairs: list[tuple[Capture, Capture]], ood: str | Iterable[str] | None) -> list[str]:
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
            found = f"{sizes[0]} and {sizes[1]}" if len(sizes) > 1 else "different ones of equal number"
            raise ValueError(
                f"The out-of-distribution set {name!r} must hold the same images for a and b, but has {found}. "
                "Record both with the same set."
            )
    return names


def _check_order(name: str, pairs: list[tuple[Capture, Capture]]) -> None:
    for a, b in pairs:
        for parameter, capture in (("a", a), ("b", b)):
            if name in capture.meta.get("unordered", ()) and a.samples[name] is not b.samples[name]:
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
        low, high = _points(self.low), _points(self.high)
        images = " to ".join(map(_points, self.images))
        interval = f"{100 * self.confidence:g} % interval {low} to {high}"
        if self.low > 0 or self.high < 0:
            word = "higher" if self.difference > 0 else "lower"
            claim = f"{abs(100 * self.difference):.1f} points {word} than that of {self.b} ({interval})"
            claim = f"The {self.metric} of {self.a} is {claim}."
        else:
            claim = f"Between the {self.metric} of {self.a} and that of {self.b} no difference is established"
            claim += f": {_points(self.difference)} points ({interval})."
        each = ", ".join(_points(value) for value in self.per_seed)
        covers = f"Against {sets}; seed by seed: {each}. " if self.seeds > 1 else f"Against {sets}. "
        if self.seeds == 1:
            told = "It is one seed: the interval covers the choice of images only"
            return f"{claim} {covers}{told}, and another training may differ by more."
        few = f", of which {self.seeds} say little" if self.seeds < 5 else ""
        told = f"The interval covers the choice of images and of seeds{few}; for these very networks it is {images}"
        return f"{claim} {covers}{told}."


def compare(
    a: tuple[Captures, str | Callable[[Samples], np.ndarray]],
    b: tuple[Captures, str | Callable[[Samples], np.ndarray]],
    *,
    ood: str | Iterable[str] | None = None,
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
    if not 0 < check_number("confidence", confidence, above=0) < 1:
        raise ValueError(f"confidence must lie between 0 and 1, but is {confidence!r}. Usual is 0.95.")
    sides = [side(name, value) for name, value in (("a", a), ("b", b))]
    names = names_of(sides)
    tell_machines(captures[0] for captures, _ in sides)
    pairs = paired(*(captures for captures, _ in sides))
    sets = same_sets(pairs, ood)
    scored = [_scored(pair, [score for _, score in sides], sets) for pair in pairs]
    frame = _per_seed(pairs, scored, sets, metric)
    rng = np.random.default_rng(seed)
    of_images = _resampled(scored, sets, metric, resamples=resamples, rng=rng)
    draws = _with_seeds(of_images, frame.groupby("pair")["difference"].mean().to_numpy(), rng)
    draws.flags.writeable = False
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    (low, high), images = (np.quantile(values, ends).tolist() for values in (draws, of_images))
    difference = float(frame["difference"].mean())
    return Comparison(names[0], names[1], metric, difference, low, high, (images[0], images[1]), float(confidence),
                      frame, draws)  # fmt: skip


def _points(fraction: float) -> str:
    return f"{round(100 * fraction, 1) + 0.0:+.1f}".replace("-", "−")  # no minus before zero


Scored = list[dict[str, np.ndarray]]  # for a and for b: "" for the test images, else the name of an OOD set


def _scored(pair: tuple[Capture, Capture], scores: list[scores_module.Score], sets: list[str]) -> Scored:
    return [
        {"": scores_module.compute(score, capture.test)}
        | {name: scores_module.compute(score, capture.ood[name]) for name in sets}
        for capture, score in zip(pair, scores, strict=True)
    ]


def _per_seed(pairs: list[tuple[Capture, Capture]], scored: list[Scored], sets: list[str], metric: str) -> pd.DataFrame:
    rows = []
    for number, (pair, values) in enumerate(zip(pairs, scored, strict=True)):
        for name in sets:
            a, b = (metrics.ood_metrics(one[""], one[name])[metric] for one in values)
            seeds = {f"seed_{key}": capture.meta.get("seed") for key, capture in zip("ab", pair, strict=True)}
            counts = {"n_id": len(values[0][""]), "n_ood": len(values[0][name])}
            rows.append({"pair": number, **seeds, "ood": name, **counts, "a": a, "b": b, "difference": a - b})
    return pd.DataFrame(rows)


def _resampled(
    scored: list[Scored], sets: list[str], metric: str, *, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the difference in every resample of images, mean over pairs of networks and sets."""
    draws = []
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        counts = {name: draw_counts(rng, len(scored[0][0][name]), size) for name in ("", *sets)}
        total = np.zeros(size)
        for values in scored:
            for name in sets:
                a, b = (counted_metric(metric, one[""], one[name], counts[""], counts[name]) for one in values)
                total += a - b
        draws.append(total / (len(scored) * len(sets)))
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
