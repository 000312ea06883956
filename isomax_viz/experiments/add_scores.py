"""Scoring: detectors fitted on what a network was trained on, their scores stored as columns of its capture."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from isomax_viz._common.checks import check_choice
from isomax_viz.analysis import scores
from isomax_viz.analysis.scores import add_column
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.datasets import OOD_SETS, ImageSet, InDistribution, load_ood
from isomax_viz.experiments.experiment import Experiment
from isomax_viz.experiments.run import data_of
from isomax_viz.learning.detectors import DETECTORS, Detector, Ensemble, Known
from isomax_viz.learning.detectors.base import pytorch_ood
from isomax_viz.learning.fooling_images import load_unknown
from isomax_viz.learning.surgery import split_classifier
from isomax_viz.learning.training.hardware import choose_device

__all__ = ["add_scores", "detector_for", "experiment_of", "known_of", "pictures_of"]

Method = str | Detector | Callable[[Samples], np.ndarray]
Methods = Method | Iterable[Method]

_FEW = 20  # pictures by which a network is known


def add_scores(
    capture: Capture,
    methods: Methods,
    *,
    network: Experiment | nn.Module | None = None,
    data: InDistribution | None = None,
    images: Mapping[str, ImageSet] | None = None,
    members: Iterable[Capture] = (),
    store: str | Path | None = None,
    device: str | torch.device | None = None,
) -> Capture:
    """Fit detectors on the network's training data and store their scores as columns of the capture.

    From then on ``iv.evaluate(capture, scores="odin")``, ``iv.plot_scores(capture, score="odin")`` and ``iv.explore``
    know them like any other score, also after ``capture.save()``, and without the network.

    Parameters
    ----------
    capture : Capture
        With training samples, as ``Experiment.run()`` records them.
    methods : str, Detector, function, or several of them
        Keys of :data:`isomax_viz.learning.detectors.DETECTORS`, or detectors with options of your own, such as
        ``detectors.KNearest(k=10)``; or a score of your own, a function from samples to an array, under its name.
    network : Experiment or Module, optional
        The network behind the capture; by default the one in the store that the capture tells of. A module is one with
        ``backbone`` and ``head``, or a classifier as :func:`isomax_viz.record` takes it; it is left on the device, in
        evaluation mode.
    data : InDistribution, optional
        Its training and test pictures; by default those that the capture tells of.
    images : mapping of str to ImageSet, optional
        Pictures of your own behind out-of-distribution sets of the capture, by name.
    members : iterable of Capture
        Captures of other seeds, for ``"ensemble"``.
    store : str or Path, optional
        Where the network lies; by default the usual store.
    device : str or torch.device, optional
        Where to compute; by default the best there is.

    Returns
    -------
    Capture
        A new one; ``meta["detectors"]`` tells what each chose and how long that took.

    Raises
    ------
    ValueError
        If a method is unknown, or needs what is not there; the message says what to pass.
    ImportError
        If pytorch-ood is needed and not installed.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> from isomax_viz import Samples
    >>> train = Samples(logits=np.eye(2)[[0, 1] * 30], labels=[0, 1] * 30, features=rng.normal(size=(60, 3)))
    >>> capture = Capture.from_arrays([[1.0, 0.0]], [0], features=[[0.0, 0.0, 0.0]]).replace(train=train)
    >>> add_scores(capture, "mahalanobis_features").test.extra_scores["mahalanobis_features"].shape
    (1,)
    """
    listed: list[Any] = [methods] if isinstance(methods, (str, Detector)) or callable(methods) else list(methods)
    functions = [item for item in listed if callable(item) and not isinstance(item, Detector)]
    for score in map(scores.get, functions):
        sets = {"test": capture.test} | dict(capture.ood)
        capture = add_column(capture, score.key, {name: scores.compute(score, item) for name, item in sets.items()})
    detectors = [detector_for(item, members=members) for item in listed if item not in functions]
    needed = {name for detector in detectors for name in detector.needs}
    known = known_of(capture, network=network, data=data, store=store, device=device, needed=needed)
    with suppress(ImportError):  # before the clock starts; a detector that needs it says so itself
        pytorch_ood()
    pictures = cache(lambda name: pictures_of(known, name, images or {}))  # some sets are drawn, which takes seconds
    for detector in detectors:
        sets = {"test": capture.test} | dict(capture.ood)
        with known.threads():
            start = time.perf_counter()
            detector.fit(known)
            spent = round(time.perf_counter() - start, 3)
            values = {name: detector.column(name, samples, partial(pictures, name)) for name, samples in sets.items()}
        told = {**capture.meta.get("detectors", {}), detector.key: {"settings": detector.settings, "fit_s": spent}}
        capture = add_column(capture, detector.key, values).replace(meta={**capture.meta, "detectors": told})
    return capture


def detector_for(method: str | Detector, *, members: Iterable[Capture] = ()) -> Detector:
    """Return the detector of that key with its usual settings, or the one that is given.

    Examples
    --------
    >>> detector_for("knn").k
    50
    """
    if isinstance(method, Detector):
        return method
    remedy = "Scores of iv.scores.SCORES need no column: they are computed from the logits."
    key = check_choice("methods", method, DETECTORS, remedy=remedy)
    return Ensemble(members=members) if key == "ensemble" else DETECTORS[key]()


def experiment_of(capture: Capture, *, remedy: str = "Pass network=experiment (or the network itself).") -> Experiment:
    """Return the experiment that recorded a capture.

    Raises
    ------
    ValueError
        If the capture does not say, or this version would train another network.
    """
    if not capture.meta.get("id"):
        raise ValueError(f"The network is needed, but this capture does not say which experiment recorded it. {remedy}")
    experiment = Experiment.from_meta(capture.meta)
    if experiment.id != capture.meta["id"]:
        raise ValueError(
            f"The capture comes from experiment {capture.meta['id']}, but its settings describe {experiment.id} here. "
            f"Run the experiment again. {remedy}"
        )
    return experiment


def known_of(
    capture: Capture,
    *,
    network: Experiment | nn.Module | None = None,
    data: InDistribution | None = None,
    store: str | Path | None = None,
    device: str | torch.device | None = None,
    needed: Iterable[str] = ("network", "data"),
) -> Known:
    """Return what detectors are fitted on; network and pictures are looked up only where they are needed."""
    if isinstance(network, Experiment) and capture.meta.get("id") not in (None, network.id):
        recorder = f"network is the experiment {network.id}, but the capture was recorded by {capture.meta['id']}"
        raise ValueError(f"{recorder}. Pass that one, or leave network out.")
    given: dict[str, Any] = {"network": None, "data": data}
    if isinstance(network, nn.Module):
        layer, factor = capture.meta.get("layer"), capture.meta.get("logits_factor", 1.0)
        given["network"] = split_classifier(network, layer=layer, factor=factor)
    lacking = [name for name in needed if given[name] is None]
    # A network of one's own without pictures, of which the capture tells nothing: the detector says what it needs.
    if lacking and (given["network"] is None or capture.meta.get("id")):
        experiment = network if isinstance(network, Experiment) else experiment_of(capture)
        given["network"] = experiment.network(store=store) if "network" in lacking else given["network"]
        given["data"] = data_of(experiment) if "data" in lacking else data
    if given["data"] is not None and len(given["data"].test) != len(capture.test):
        given["data"] = replace(given["data"], test=given["data"].test.every(capture.meta.get("every", 1)))
    labels = [item.train.labels for item in (given["data"], capture) if item is not None and item.train is not None]
    if len(labels) == 2 and not np.array_equal(labels[0], labels[1]):
        said = "data must be what the capture was recorded on, but its training labels differ"
        raise ValueError(f"{said}. Pass the same data.")
    known = Known(capture, **given, device=choose_device(device))
    if known.network is not None:
        _check_behind(capture, known)
    return known


@torch.no_grad()
def _check_behind(capture: Capture, known: Known) -> None:
    """Raise an error if a network gives other logits than were captured, for a few pictures or captured features."""
    network, given = known.network, "test pictures"
    if known.data is not None:
        few = known.data.test.subset(np.arange(min(_FEW, len(known.data.test))))
        dtype = next((weights.dtype for weights in network.parameters()), torch.float32)
        features = network.backbone(next(known.inputs(few)).to(dtype)).float()
    elif capture.test.features is not None:
        features, given = torch.tensor(capture.test.features[:_FEW], device=known.device), "captured features"
    else:
        return
    wanted = capture.test.require("logits")[:_FEW]
    fits = features.shape[1] == getattr(network.head, "num_features", features.shape[1])
    found = network.head(features).float().cpu().numpy() if fits else np.empty(0)
    # Captures at half precision round to three digits.
    if found.shape != wanted.shape or np.abs(found - wanted).max() > 0.01 * np.abs(wanted).max():
        said = f"network is not the one behind this capture: it gives other logits for the {given}"
        raise ValueError(f"{said}. Pass the network and the data that were recorded.")


def pictures_of(known: Known, name: str, images: Mapping[str, ImageSet]) -> ImageSet:
    """Return the pictures behind a set of the capture.

    Raises
    ------
    ValueError
        If they are not known, or are others than the captured ones.
    """
    if name == "test":
        return known.data.test
    if name not in images and name not in OOD_SETS:
        raise ValueError(f"The pictures of the set {name!r} are needed. Pass images={{{name!r}: an ImageSet}}.")
    n, every = len(known.capture.ood[name]), known.capture.meta.get("every", 1)
    drawn = name not in images and OOD_SETS[name].kind == "drawn"  # as many as were recorded
    found = load_ood(name, known.data, n=n * every) if drawn else load_unknown(images.get(name, name), known.data)
    found, original = (item.every(every, count=n) for item in (found, images.get(name, found)))
    told = known.capture.meta.get("ood", {}).get(name, {}).get("fingerprint", original.fingerprint)
    if len(found) != n or original.fingerprint != told:
        remedy = "Record the set again: Experiment.run(ood=...)."
        raise ValueError(f"The pictures of the set {name!r} are not those that were captured. {remedy}")
    return found
