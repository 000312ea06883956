"""Costs: what approaches cost on this machine beside what they detect, measured in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from isomax_viz._common.checks import check_number
from isomax_viz.analysis import methods, scores
from isomax_viz.analysis.chosen import Captures, as_list, check_alike, shared_ood
from isomax_viz.analysis.tables import evaluate
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import variant
from isomax_viz.captures.samples import Samples
from isomax_viz.experiments.add_scores import experiment_of, known_of
from isomax_viz.experiments.experiment import SETTINGS
from isomax_viz.learning.detectors import DETECTORS, Detector, Ensemble, Known
from isomax_viz.learning.losses.heads import euclidean
from isomax_viz.learning.recording.network import class_means

__all__ = ["computed", "in_turn", "measure"]

Approaches = Iterable[tuple[str, str]]

# Settings that belong to a loss or a method: what is compared may differ in them.
_OF_LOSSES = tuple(name for name, setting in SETTINGS.items() if setting.losses or setting.methods)


def measure(
    captures: Captures,
    *,
    approaches: Approaches | None = None,
    ood: str | Iterable[str] | None = None,
    pictures: int = 100,
    rounds: int = 9,
    store: str | Path | None = None,
    device: str | torch.device | None = None,
) -> pd.DataFrame:
    """Measure detection, accuracy, inference time, extra parameters and fit time of approaches.

    Parameters
    ----------
    captures : list of Capture
        One per training, with the score columns that are to be compared (:func:`isomax_viz.add_scores`). Captures that
        differ in their seed alone are the members of the deep ensemble; the one that has it is measured.
    approaches : iterable of (loss, score), optional
        By default those of :data:`isomax_viz.analysis.methods.COMPARED` that the captures have.
    ood : str or list of str, optional
        Out-of-distribution sets over which the metrics are averaged; by default all that the captures share.
    pictures : int
        Test pictures per timed call.
    rounds : int
        How often everything is timed, in turn: each round gives one ratio to a plain forward pass in the same round.
    store, device
        As in :func:`isomax_viz.add_scores`.

    Returns
    -------
    DataFrame
        One row per approach: ``approach, loss, score, data, backbone, preset, select, seed, variant`` (what was changed
        against the preset, but for settings of losses and methods), ``ood`` (number of sets), ``AUROC, TNR@TPR95``
        (means over sets, fractions), ``accuracy, accuracy_difference`` (to SoftMax, where there is a capture of it),
        ``relative_time`` (median over rounds of the time divided by that of a plain forward pass of the same network)
        with its quartiles ``relative_time_low, relative_time_high``, ``extra_parameters`` (numbers to keep beyond those
        of the same network with a SoftMax layer), ``fit_s`` (seconds to fit and tune, without the trainings of an
        ensemble's other networks) and ``chosen`` (what tuning chose).

    Raises
    ------
    ValueError
        If an approach is asked for that no capture has, or captures differ in more than loss and seed.
    """
    check_number("rounds", rounds, at_least=1, whole=True)
    check_number("pictures", pictures, at_least=1, whole=True)
    listed = as_list(captures)
    remedy = "Measure each setting separately."
    check_alike(listed, ("data", "backbone", "preset", "select"), "loss and seed", without=_OF_LOSSES, remedy=remedy)
    ood = shared_ood(listed, ood)
    by_loss: dict[str, list[Capture]] = {}
    for capture in listed:
        by_loss.setdefault(capture.loss, []).append(capture)
    # Of several seeds, the capture that has the score columns comes first.
    for group in by_loss.values():
        group.sort(key=lambda item: -len(item.test.extra_scores))
    wanted = _wanted(by_loss, approaches)
    base = by_loss["softmax"][0].test.accuracy if "softmax" in by_loss else np.nan
    rows = {}
    for loss, (capture, *others) in by_loss.items():
        asked = [score for key, score in wanted if key == loss]
        if not asked:
            continue
        known = known_of(capture, store=store, device=device)
        with known.threads():
            detectors = {key: _fitted(key, known, others, store) for key in asked if key not in scores.SCORES}
            times = _times(known, asked, detectors, pictures=pictures, rounds=rounds)
        for score in asked:
            ratios = [a / b for a, b in zip(times[score], times[""], strict=True)]
            rows[loss, score] = _row(known, score, detectors.get(score), ratios, ood=ood, base=base)
    return pd.DataFrame([rows[item] for item in wanted])


def _wanted(by_loss: dict[str, list[Capture]], approaches: Approaches | None) -> list[tuple[str, str]]:
    has = {
        (loss, score)
        for loss, group in by_loss.items()
        for capture in group
        for score in [*scores.SCORES, *capture.test.extra_scores]
        if scores.words(score).fits(capture.test)
    }
    if approaches is None:
        return [item for item in methods.COMPARED if item in has]
    wanted = [(loss, score) for loss, score in approaches]
    for item in wanted:
        if item not in has:
            raise ValueError(
                f"No capture has the approach {item!r}. Give a capture of that loss, with the score added by "
                f"iv.add_scores. There are: {', '.join(map(repr, sorted(has)))}."
            )
    return wanted


def _fitted(key: str, known: Known, others: list[Capture], store: str | Path | None) -> Detector:
    """Return the detector with the settings that the capture tells, so that nothing is tuned again."""
    told = known.capture.meta.get("detectors", {}).get(key)
    if key not in DETECTORS or told is None:
        raise ValueError(f"The column {key!r} was not added by iv.add_scores, so its costs can't be measured.")
    if key != "ensemble":
        return DETECTORS[key].from_settings(told["settings"]).fit(known)
    # Exactly the networks that gave the column: more would cost more than what was scored.
    seeds = told["settings"]["seeds"]
    others = [item for item in others if item.meta.get("seed") in seeds]
    if len(others) != len(seeds):
        raise ValueError(
            f"captures must hold every member of the ensemble, the seeds {seeds}, but hold {len(others)} of them. "
            "Pass the captures of these seeds too."
        )
    networks = [experiment_of(item).network(store=store) for item in others]
    return Ensemble(members=others, networks=networks).fit(known)


def _times(
    known: Known, asked: list[str], detectors: dict[str, Detector], *, pictures: int, rounds: int
) -> dict[str, list[float]]:
    inputs, _ = next(iter(known.batches(known.data.test).in_order(pictures)))
    means = torch.tensor(class_means(known.train), device=known.device) if _to_means(known, *asked) else None

    def score(name: str) -> object:
        if not name:
            with torch.no_grad():
                return known.network(inputs).cpu()
        if name in detectors:
            return detectors[name].score(inputs).cpu()
        return computed(known.network, inputs, name, means=means)

    return in_turn({name: partial(score, name) for name in ("", *asked)}, rounds=rounds)


def _takes_distances(score: str) -> bool:
    return "distances" in scores.words(score).needs


def _to_means(known: Known, *asked: str) -> bool:
    """Return whether one of the scores takes distances to class means, because there are no prototypes."""
    return any(map(_takes_distances, asked)) and not hasattr(known.network.head, "distances")


@torch.no_grad()
def computed(network: nn.Module, inputs: Tensor, score: str, *, means: Tensor | None = None) -> np.ndarray:
    """Return a score that one forward pass gives; distances are those to class means where there are no prototypes."""
    features, distances = network.backbone(inputs).float(), None
    logits = network.head(features)
    if _takes_distances(score):
        distances = network.head.distances(features) if means is None else euclidean(features, means)
    return scores.compute(score, Samples(logits=logits, labels=np.full(len(inputs), -1), distances=distances))


def in_turn(functions: dict[str, Callable[[], Any]], *, rounds: int) -> dict[str, list[float]]:
    """Return seconds per call, timed in turn A B C A B C ... so that a drift of the machine's speed meets all alike.

    Examples
    --------
    >>> calls = []
    >>> found = in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    >>> calls, len(found["a"])
    (['a', 'b', 'a', 'b', 'a', 'b'], 2)
    """
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()  # each ends on the CPU: nothing is left running on a GPU
            times[name].append(time.perf_counter() - start)
    return times


def _row(
    known: Known, score: str, detector: Detector | None, ratios: list[float], *, ood: list[str], base: float
) -> dict[str, Any]:
    capture, head = known.capture, known.network.head
    found = evaluate(capture, scores=score, ood=ood)
    told = capture.meta.get("detectors", {}).get(score, {})
    accuracy = detector.accuracy if isinstance(detector, Ensemble) else capture.test.accuracy
    low, median, high = np.quantile(ratios, (0.25, 0.5, 0.75)).tolist()
    means = head.num_features * head.num_classes if _to_means(known, score) else 0
    # Beyond those of a linear layer with biases.
    of_head = sum(parameter.numel() for parameter in head.parameters()) - (head.num_features + 1) * head.num_classes
    return {
        "approach": methods.label(capture.loss, score),
        "loss": capture.loss,
        "score": score,
        **{name: capture.meta.get(name) for name in ("data", "backbone", "preset", "select", "seed")},
        "variant": variant(capture, without=_OF_LOSSES) or None,
        "ood": len(found),
        "AUROC": found["AUROC"].mean(),
        "TNR@TPR95": found["TNR@TPR95"].mean(),
        "accuracy": accuracy,
        "accuracy_difference": accuracy - base,
        "relative_time": median,
        "relative_time_low": low,
        "relative_time_high": high,
        "extra_parameters": of_head + means + (detector.extra_parameters if detector is not None else 0),
        "fit_s": told.get("fit_s", 0.0),
        "chosen": _in_words(told.get("settings", {})),
    }


def _in_words(settings: dict[str, Any]) -> str:
    """Return the settings in which a reader is interested: numbers, not lists, and not the seed.

    Examples
    --------
    >>> _in_words({"temperature": 1000.0, "step": 0.0014, "weights": [1, 2]})
    'temperature 1000, step 0.0014'
    """
    shown = {name: value for name, value in settings.items() if isinstance(value, (int, float)) and name != "seed"}
    return ", ".join(f"{name} {value:g}" for name, value in shown.items())
