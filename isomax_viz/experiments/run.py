"""Running: an experiment's description in, trained network and capture in the store out."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch

import isomax_viz
from isomax_viz import datasets
from isomax_viz._common.checks import check_choice
from isomax_viz._common.system import processor
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.files import DamagedCaptureError
from isomax_viz.datasets import ImageSet, InDistribution
from isomax_viz.learning.backbones import Classifier
from isomax_viz.learning.build import assemble, try_out
from isomax_viz.learning.recording.network import record_capture, record_ood
from isomax_viz.learning.training.checkpoint import Checkpoint, serialised
from isomax_viz.learning.training.hardware import choose_device
from isomax_viz.learning.training.loop import train
from isomax_viz.learning.training.outliers import Outliers, load_outliers
from isomax_viz.store.folder import Store, StoreError, not_whole

if TYPE_CHECKING:
    from isomax_viz.experiments.experiment import Experiment, Sets

__all__ = ["data_of", "finished", "load_network", "run"]

logger = logging.getLogger(__name__)


def run(
    experiment: Experiment, ood: Sets, *, store: Store, device: str | torch.device | None, **options: Any
) -> Capture:
    """Train once, then read the store; see :meth:`isomax_viz.Experiment.run`.

    Parameters
    ----------
    experiment : Experiment
        What to train.
    ood : iterable of str or ImageSet, optional
        Sets that the capture shall hold.
    store : Store
        Where results live.
    device : str or torch.device, optional
        Where to compute.
    **options
        Of :func:`~isomax_viz.learning.training.loop.train`, such as ``progress``, that do not change what is described.
    """
    wanted = _wanted(experiment, ood)
    capture = _stored(experiment, store)
    if capture is None or _missing(capture, wanted):
        with store.lock(experiment.id):
            capture = _stored(experiment, store)  # another process may have finished it while we waited
            if capture is None and experiment.id in store:
                capture = _recorded_again(experiment, store, device=device)
            if capture is None:
                capture = _create(experiment, wanted, store=store, device=device, **options)
            elif _missing(capture, wanted):
                data, network = _same_data(experiment, store), load_network(experiment, store=store)
                missing = [wanted[name] for name in _missing(capture, wanted)]
                capture = record_ood(capture, network, data, missing, device=device)
                store.replace_capture(experiment.id, capture)
    return capture.replace(ood={name: capture.ood[name] for name in wanted})


def finished(experiment: Experiment, ood: Sets, *, store: Store) -> Capture | None:
    """Return the capture if it is in the store with all sets asked for, else None; nothing is computed."""
    wanted = _wanted(experiment, ood)
    capture = _stored(experiment, store)
    if capture is None or _missing(capture, wanted):
        return None
    return capture.replace(ood={name: capture.ood[name] for name in wanted})


def load_network(experiment: Experiment, *, store: Store) -> Classifier:
    """Return the trained network on the CPU, in evaluation mode."""
    parts = (experiment.backbone, experiment.loss, experiment.settings)
    shape = store.head(experiment.id).get("network") or _shape(data_of(experiment))
    model = assemble(*parts, **shape, seed=experiment.seed)
    try:
        model.load_state_dict(safetensors.torch.load(store.weights(experiment.id)))
    except (safetensors.SafetensorError, RuntimeError) as error:  # other names or shapes
        reason = " ".join(str(error).split())[:300]
        raise not_whole(store.path(experiment.id) / "network.safetensors", reason) from error
    return model.eval()


def _wanted(experiment: Experiment, ood: Sets) -> dict[str, str | ImageSet]:
    learned = experiment.recipe.data if experiment.recipe is not None else None
    if ood is None:
        ood = datasets.default_ood(experiment.data) + (("unseen",) if experiment.held_out_classes else ())
        ood = [name for name in ood if name != learned]
    if not isinstance(ood, (str, ImageSet, Iterable)):
        raise TypeError(f"ood must be the name of a set, an ImageSet, or several of them, but is {ood!r}.")
    wanted: dict[str, str | ImageSet] = {}
    for item in [ood] if isinstance(ood, (str, ImageSet)) else ood:
        name = item.name if isinstance(item, ImageSet) else item
        if name == learned:
            raise ValueError(
                f"ood={learned!r} can't measure detection here: the network was trained against it as outlier_data. "
                "Choose another set, or other outlier_data."
            )
        if not isinstance(item, ImageSet):
            remedy = "An ImageSet of your own (iv.datasets.from_folder, from_arrays) is accepted too."
            check_choice("ood", name, datasets.OOD_SETS, remedy=remedy)
            if name == "unseen" and not experiment.held_out_classes:
                raise ValueError("ood='unseen' needs classes to train without: Experiment(held_out_classes=(8, 9)).")
            if name == experiment.data:
                raise ValueError(f"ood={name!r} is what the network is trained on. Choose another set.")
        elif name in datasets.OOD_SETS or name in ("train", "test", *wanted):
            remedy = f"Rename it: dataclasses.replace(images, name='my_{name}')."
            raise ValueError(f"An ImageSet named {name!r} would be taken for another set of that name. {remedy}")
        wanted[name] = item
    return wanted


def _stored(experiment: Experiment, store: Store) -> Capture | None:
    if experiment.id not in store:
        return None
    store.head(experiment.id)  # foreign or newer formats are refused here
    try:
        return store.capture(experiment.id)
    except (DamagedCaptureError, FileNotFoundError) as error:
        logger.warning("%s", error)
        return None


def _recorded_again(experiment: Experiment, store: Store, *, device: str | torch.device | None) -> Capture:
    """Replace a damaged capture; its network is whole, so this takes seconds where training may take hours."""
    logger.warning("The network of %s is there, so it is recorded again.", experiment.id)
    manifest = store.manifest(experiment.id)
    network, history = load_network(experiment, store=store), pd.DataFrame(manifest["history"])
    meta = _meta(experiment, manifest)
    capture = record_capture(network, _same_data(experiment, store), meta=meta, history=history, device=device)
    store.replace_capture(experiment.id, capture)
    return capture


def _missing(capture: Capture, wanted: Mapping[str, str | ImageSet]) -> list[str]:
    recorded = capture.meta.get("ood", {})
    return [
        name
        for name, item in wanted.items()
        if name not in capture.ood or (isinstance(item, ImageSet) and recorded[name]["fingerprint"] != item.fingerprint)
    ]


def data_of(experiment: Experiment) -> InDistribution:
    """Return the pictures that an experiment learns and is tested on."""
    data = datasets.load_id(experiment.data, held_out_classes=experiment.held_out_classes)
    if experiment.examples_per_class is None:
        return data
    return data.with_examples_per_class(experiment.examples_per_class, seed=experiment.seed)


def _same_data(experiment: Experiment, store: Store) -> InDistribution:
    """Return the pictures of a stored experiment, if they are those that it was trained on."""
    data, then = data_of(experiment), store.manifest(experiment.id).get("pictures")
    if then is not None and then != _fingerprints(data):
        raise StoreError(
            f"{experiment.title} was trained on other pictures than {experiment.data!r} has now (a smaller bundle, "
            "another download): what would be recorded now can't be compared with it. Bring the former files back, or "
            f"remove it and train again: iv.store.remove({experiment.id!r})."
        )
    return data


def _fingerprints(data: InDistribution) -> dict[str, str]:
    return {"train": data.train.fingerprint, "test": data.test.fingerprint}


def _shape(data: InDistribution) -> dict[str, Any]:
    return {"channels": data.train.channels, "classes": len(data.train.class_names)}


def _built(experiment: Experiment, data: InDistribution) -> Classifier:
    """Return the untrained network; what is the reader's own was tried."""
    parts, before = (experiment.backbone, experiment.loss, experiment.settings), experiment.id
    model = assemble(*parts, **_shape(data), seed=experiment.seed)
    try_out(model, *parts, data, seed=experiment.seed)
    if experiment.id != before:
        raise ValueError(
            f"What {experiment.title} is made of changes while it is used (a list or dict that is filled, a counter): "
            "its id would be another each time, and its result never found again. Copy that value before changing it."
        )
    return model


def _create(
    experiment: Experiment,
    wanted: Mapping[str, str | ImageSet],
    *,
    store: Store,
    device: str | torch.device | None,
    checkpoint_every_s: float = 30.0,
    **options: Any,
) -> Capture:
    data, source = data_of(experiment), datasets.ID_SETS[experiment.data]
    used: torch.device = choose_device(device)
    model, recipe, protocol, outliers = _built(experiment, data), experiment.recipe, experiment.protocol, None
    told: dict[str, Any] = {}
    if recipe is not None:
        protocol, outliers = recipe.protocol(protocol), Outliers(recipe, load_outliers(recipe.data, data))
        images = outliers.images
        told["extra_data"] = recipe.described() | {"n": len(images), "fingerprint": images.fingerprint}
        told["extra_data"] |= {"provenance": dict(images.provenance)}
        if recipe.fine_tunes:
            plain, again = experiment.model_copy(update={"outliers": None}), {"device": used, **options}
            run(plain, (), store=store, checkpoint_every_s=checkpoint_every_s, **again)
            _same_data(plain, store)
            model, told["extra_data"]["started_from"] = load_network(plain, store=store), plain.id
    start = time.perf_counter()
    checkpoint = Checkpoint(store.checkpoint_path(experiment.id), every_s=checkpoint_every_s)
    options |= {"seed": experiment.seed, "precision": experiment.precision, "title": experiment.title}
    options |= {"padding": source.padding, "flip": source.padding > 0, "device": used}
    history = train(model, data, protocol, outliers=outliers, checkpoint=checkpoint, **options)
    manifest = {
        "experiment": experiment.model_dump(mode="json"),
        "protocol": protocol.described(),
        "duration_s": round(time.perf_counter() - start, 3),
        "device": str(used),
        "machine": torch.cuda.get_device_name(used) if used.type == "cuda" else processor(),
        "computing": history.attrs["computing"],
        "versions": {module.__name__: module.__version__ for module in (isomax_viz, torch, np)}
        | {"python": platform.python_version()},
        "history": history.to_dict(orient="list"),
        "pictures": _fingerprints(data),
        "network": _shape(data),
        **told,
    }
    capture = record_capture(model, data, meta=_meta(experiment, manifest), history=history, device=used)
    capture = record_ood(capture, model, data, wanted.values(), device=used)
    store.write(experiment.id, manifest=manifest, weights=serialised(model), capture=capture)
    checkpoint.remove()
    return capture


def _meta(experiment: Experiment, manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": experiment.id,
        **experiment.meta,
        **{name: manifest[name] for name in ("protocol", "device", "computing", "versions")},
        **{name: manifest[name] for name in ("machine", "extra_data") if name in manifest},
    }
