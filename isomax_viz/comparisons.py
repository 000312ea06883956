"""What differs by how much: two combinations of network and score on the same images, with an interval."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz import metrics
from isomax_viz import scores as scores_module
from isomax_viz._checks import check_choice, check_number
from isomax_viz.bootstrap import counted_metric, draw_counts
from isomax_viz.captures import Capture, Samples
from isomax_viz.histograms import chosen_ood
from isomax_viz.style import data_style, loss_style
from isomax_viz.tables import Captures, as_list

__all__ = ["Comparison", "compare"]

_CHUNK = 32  # resamples at a time: their counts stay in the processor's cache


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What :func:`compare` found; a notebook shows its sentence and the values per seed.

    Attributes
    ----------
    a, b : str
        Names of the two combinations of loss and score.
    metric : str
        A key of :data:`isomax_viz.metrics.METRICS`.
    difference : float
        Metric of ``a`` minus metric of ``b``, mean over seeds and out-of-distribution sets; a fraction.
    low, high : float
        Its bootstrap interval.
    confidence : float
        Share of intervals that would hold the difference, if all were as the bootstrap supposes.
    frame : DataFrame
        One row per pair of seeds and out-of-distribution set: ``pair, seed_a, seed_b, ood, n_id, n_ood, a, b,
        difference``.
    draws : ndarray, shape (resamples,)
        The difference in every resample, read-only.
    """

    a: str
    b: str
    metric: str
    difference: float
    low: float
    high: float
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
        told = (
            "The interval covers the choice of images and of seeds"
            if self.seeds > 1
            else (
                "It is one seed: the interval covers the choice of images only, and another training may differ by more"
            )
        )
        few = "; with so few seeds it is too narrow" if 1 < self.seeds < 5 else ""
        return f"{claim} {covers}{told}{few}."


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
        paired by the seed of their training; all must have seen the same test and out-of-distribution images in the
        same order.
    ood : str or list of str, optional
        Out-of-distribution sets, over which the metric is averaged; by default all that both have.
    metric : str
        A key of :data:`isomax_viz.metrics.METRICS`.
    resamples : int
        Number of bootstrap resamples.
    confidence : float
        Of the interval, in (0, 1).
    seed : int
        Of the bootstrap's random numbers.

    Returns
    -------
    Comparison
        ``.difference`` (a minus b), ``.low``, ``.high``, ``.frame`` (one row per seed and set), ``.sentence``.

    Raises
    ------
    TypeError
        If ``a`` or ``b`` is no pair of captures and score.
    ValueError
        If seeds or images do not match, or a name or number is not accepted.

    Notes
    -----
    Percentile bootstrap, paired and stratified: in-distribution images are drawn with replacement among themselves,
    those of each out-of-distribution set too, and a draw serves both scores and all seeds. Independently of them,
    pairs of seeds are drawn (the two-way bootstrap of Owen 2007, "The pigeonhole bootstrap"). A bootstrap over n seeds
    is too narrow by about a factor sqrt((n - 1) / n), and blind for one.

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
    if not 0 < check_number("confidence", confidence, above=0) < 1:
        raise ValueError(f"confidence must lie between 0 and 1, but is {confidence!r}. Usual is 0.95.")
    sides = [_side(name, value) for name, value in (("a", a), ("b", b))]
    pairs = _paired(*(captures for captures, _ in sides))
    sets = _common_sets(pairs, ood)
    scored = [_scored(pair, [score for _, score in sides], sets) for pair in pairs]
    frame = _per_seed(pairs, scored, sets, metric)
    draws = _resampled(scored, sets, metric, resamples=resamples, rng=np.random.default_rng(seed))
    draws.flags.writeable = False
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    names = _names(sides)
    difference = float(frame["difference"].mean())
    return Comparison(*names, metric, difference, float(low), float(high), float(confidence), frame, draws)


def _points(fraction: float) -> str:
    return f"{100 * fraction:+.1f}".replace("-", "−")


def _side(parameter: str, value: Any) -> tuple[list[Capture], scores_module.Score]:
    if not isinstance(value, tuple) or len(value) != 2:
        raise TypeError(
            f"{parameter} must be a pair (captures, score), such as (capture, 'es'), but is a {type(value).__name__}."
        )
    return as_list(value[0]), scores_module.get(value[1])


def _names(sides: list[tuple[list[Capture], scores_module.Score]]) -> list[str]:
    """Return what to call both sides: loss and score, and the entropic scale where nothing else differs."""
    names = [f"{loss_style(captures[0].loss).label}/{score.label}" for captures, score in sides]
    scales = [captures[0].meta.get("entropic_scale") for captures, _ in sides]
    if names[0] == names[1] and None not in scales and scales[0] != scales[1]:
        names = [f"{name} (entropic scale {scale:g})" for name, scale in zip(names, scales, strict=True)]
    return names


def _paired(first: list[Capture], second: list[Capture]) -> list[tuple[Capture, Capture]]:
    if len(first) == len(second) == 1:
        pairs = [(first[0], second[0])]
    else:
        keyed = []
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
    for capture in everything:
        if not np.array_equal(capture.test.labels, everything[0].test.labels):
            raise ValueError(
                "a and b must come from the same test images in the same order, but their labels differ. "
                "Record both on the same data."
            )
    return pairs


def _common_sets(pairs: list[tuple[Capture, Capture]], ood: str | Iterable[str] | None) -> list[str]:
    everything = [capture for pair in pairs for capture in pair]
    if ood is None:
        common = [name for name in everything[0].ood if all(name in capture.ood for capture in everything)]
        ood = common or None
    names = list(chosen_ood(everything[0], ood))
    if not names:
        raise ValueError("ood is empty. A comparison needs at least one out-of-distribution set.")
    for capture in everything:
        for name, samples in chosen_ood(capture, names).items():
            if len(samples) != len(everything[0].ood[name]):
                raise ValueError(
                    f"The out-of-distribution set {name!r} must hold the same images for a and b, but has "
                    f"{len(everything[0].ood[name])} and {len(samples)}. Record both with the same set."
                )
    return names


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
            a, b = (metrics.ood_metrics(side[""], side[name])[metric] for side in values)
            seeds = {f"seed_{key}": capture.meta.get("seed") for key, capture in zip("ab", pair, strict=True)}
            counts = {"n_id": len(values[0][""]), "n_ood": len(values[0][name])}
            rows.append({"pair": number, **seeds, "ood": name, **counts, "a": a, "b": b, "difference": a - b})
    return pd.DataFrame(rows)


def _resampled(
    scored: list[Scored], sets: list[str], metric: str, *, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the difference in every resample of images and of pairs of seeds."""
    draws = []
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        counts = {name: draw_counts(rng, len(scored[0][0][name]), size) for name in ("", *sets)}
        weights = draw_counts(rng, len(scored), size)
        differences = np.zeros((len(scored), size))
        for number, values in enumerate(scored):
            for name in sets:
                a, b = (counted_metric(metric, side[""], side[name], counts[""], counts[name]) for side in values)
                differences[number] += (a - b) / len(sets)
        draws.append((weights * differences).sum(axis=0) / len(scored))
    return np.concatenate(draws)
