"""Experiment: one frozen, validated description -> id -> trained network and capture in the store."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

import isomax_viz
from isomax_viz import datasets
from isomax_viz._checks import check_choice, check_number
from isomax_viz.captures import Capture, CaptureError
from isomax_viz.datasets import ImageSet, InDistribution
from isomax_viz.learning.backbones import BACKBONES, Classifier
from isomax_viz.learning.losses import HEADS
from isomax_viz.learning.recording import record_capture, record_ood
from isomax_viz.learning.training import PRESETS, Protocol, choose_device, train
from isomax_viz.store import Store
from isomax_viz.style import loss_style

__all__ = ["Experiment"]

logger = logging.getLogger(__name__)

# Raise it when the same description would train another network: stored results then count as another experiment's.
REVISION = 1


class Experiment(BaseModel):
    """One training, described completely: what is trained, on what, and how.

    Parameters
    ----------
    data : str
        In-distribution data set; see :data:`isomax_viz.datasets.ID_SETS`.
    backbone : str
        See :data:`isomax_viz.learning.backbones.BACKBONES`.
    loss : str
        See :data:`isomax_viz.learning.losses.HEADS`.
    entropic_scale : float
        Above 0; used by IsoMax and IsoMax+ only.
    seed : int
        Determines initial weights, shuffling and augmentation.
    preset : str
        Training protocol: "smoke" (two epochs), "teaching" (embedded data, seconds), "paper".
    epochs : int, optional
        Another number of epochs; the preset's milestones move in proportion.
    held_out_classes : tuple of int
        Classes to train without; they become the near out-of-distribution set ``"unseen"``.

    Raises
    ------
    ValueError
        For unknown names and impossible values; the message lists what is accepted.

    Examples
    --------
    >>> experiment = Experiment(loss="isomax+", preset="smoke")
    >>> Experiment.from_json(experiment.to_json()) == experiment
    True
    >>> Experiment(loss="softmax", entropic_scale=3).id == Experiment(loss="softmax").id
    True
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))

    data: str = "digits"
    backbone: str = "small_cnn"
    loss: str = "isomax+"
    entropic_scale: float = 10.0
    seed: int = 0
    preset: str = "teaching"
    epochs: int | None = None
    held_out_classes: tuple[int, ...] = ()

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise ValueError(_in_plain_words(error, accepted=type(self).model_fields)) from None

    @field_validator("data", "backbone", "loss", "preset", mode="before")
    @classmethod
    def _known(cls, value: Any, info: Any) -> str:
        accepted = {"data": datasets.ID_SETS, "backbone": BACKBONES, "loss": HEADS, "preset": PRESETS}
        return check_choice(info.field_name, value, accepted[info.field_name])

    @field_validator("entropic_scale", "seed", "epochs", mode="before")
    @classmethod
    def _number(cls, value: Any, info: Any) -> Any:
        if value is None and info.field_name == "epochs":
            return None
        bounds = {"entropic_scale": {"above": 0}, "seed": {"at_least": 0, "whole": True}}
        try:
            return check_number(info.field_name, value, **bounds.get(info.field_name, {"at_least": 1, "whole": True}))
        except TypeError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _classes_remain(self) -> Experiment:
        classes = int(datasets.ID_SETS[self.data].classes)
        held_out = tuple(sorted(set(self.held_out_classes)))
        unknown = [label for label in held_out if not 0 <= label < classes]
        if unknown:
            raise ValueError(f"held_out_classes must lie in 0 .. {classes - 1} for {self.data!r}, but holds {unknown}.")
        if classes - len(held_out) < 2:
            raise ValueError(f"held_out_classes leaves {classes - len(held_out)} of {classes} classes; keep 2 or more.")
        object.__setattr__(self, "held_out_classes", held_out)
        return self

    @property
    def protocol(self) -> Protocol:
        """The training protocol: the preset's, with ``epochs`` applied."""
        protocol = PRESETS[self.preset]
        if self.epochs is None:
            return protocol
        milestones = tuple(round(m * self.epochs / protocol.epochs) for m in protocol.milestones)
        return replace(protocol, epochs=self.epochs, milestones=milestones)

    @property
    def settings(self) -> dict[str, Any]:
        """The options that the loss uses, for its head."""
        return {name: getattr(self, name) for name in HEADS[self.loss].settings}

    @cached_property
    def id(self) -> str:
        """Readable name and hash of all that determines the network (not OOD sets, device or place)."""
        unused = {"entropic_scale"} - set(self.settings)
        content = self.model_dump(mode="json", exclude=unused | {"epochs", "preset"})
        content |= {"protocol": asdict(self.protocol), "revision": REVISION}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
        return f"{self.data}-{self.backbone}-{self.loss}-{self.preset}-s{self.seed}-{digest}"

    @property
    def title(self) -> str:
        """Words for progress bars and messages."""
        return " · ".join([loss_style(self.loss).label, self.data, self.backbone, f"seed {self.seed}"])

    def to_json(self) -> str:
        """Return the description as JSON."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> Experiment:
        """Return the experiment that :meth:`to_json` described.

        Raises
        ------
        ValueError
            If the text is no JSON object or describes no possible experiment.
        """
        try:
            settings = json.loads(text)
        except ValueError as error:
            raise ValueError(f"This is no JSON: {error}. Write it with experiment.to_json().") from None
        if not isinstance(settings, dict):
            raise ValueError(f"An experiment is a JSON object, but this is {text[:40]!r}.")
        return cls(**settings)

    def run(
        self,
        ood: Iterable[str | ImageSet] | str | None = None,
        *,
        device: str | torch.device | None = None,
        store: Store | str | Path | None = None,
        progress: bool = True,
    ) -> Capture:
        """Train once, then read the store; out-of-distribution sets are recorded on demand and join the capture.

        Parameters
        ----------
        ood : iterable of str or ImageSet, optional
            Which out-of-distribution sets the capture shall hold; by default those of the data set.
        device : str or torch.device, optional
            Where to compute; by default the best there is. It does not change the id.
        store : Store, str or Path, optional
            By default :func:`isomax_viz.store.default_folder`.
        progress : bool
            Show progress bars.

        Returns
        -------
        Capture

        Raises
        ------
        StoreError
            If the store can't be written.
        TrainingError
            If the loss becomes non-finite.
        """
        store = store if isinstance(store, Store) else Store(store)
        wanted = self._wanted(ood)
        capture = self._stored(store)
        if capture is None or self._missing(capture, wanted):
            with store.lock(self.id):
                capture = self._stored(store)  # another process may have finished it while we waited
                if capture is None:
                    capture = self._create(store, wanted, device=device, progress=progress)
                elif self._missing(capture, wanted):
                    capture = self._extend(store, capture, wanted, device=device)
        return capture.replace(ood={name: capture.ood[name] for name in wanted})

    def network(self, *, store: Store | str | Path | None = None) -> Classifier:
        """Return the trained network on the CPU, in evaluation mode.

        Raises
        ------
        StoreError
            If the experiment has not been run, or its weights are damaged.
        """
        store = store if isinstance(store, Store) else Store(store)
        model = self._build(datasets.load_id(self.data, held_out_classes=self.held_out_classes))
        model.load_state_dict({name: torch.from_numpy(value) for name, value in store.weights(self.id).items()})
        return model.eval()

    def _wanted(self, ood: Iterable[str | ImageSet] | str | None) -> dict[str, str | ImageSet]:
        if ood is None:
            ood = datasets.default_ood(self.data) + (("unseen",) if self.held_out_classes else ())
        sets = [ood] if isinstance(ood, (str, ImageSet)) else list(ood)
        for item in sets:
            if not isinstance(item, ImageSet):
                remedy = "An ImageSet of your own (iv.datasets.from_folder, from_arrays) is accepted too."
                check_choice("ood", item, datasets.OOD_SETS, remedy=remedy)
            if item == "unseen" and not self.held_out_classes:
                raise ValueError("ood='unseen' needs classes to train without: Experiment(held_out_classes=(8, 9)).")
        return {item.name if isinstance(item, ImageSet) else item: item for item in sets}

    def _stored(self, store: Store) -> Capture | None:
        if self.id not in store:
            return None
        store.manifest(self.id)
        try:
            return store.capture(self.id)
        except (CaptureError, FileNotFoundError) as error:
            # The network is whole: recording again is a matter of seconds, training again may be one of hours.
            logger.warning("%s The network is there, so it is recorded again.", error)
            data = datasets.load_id(self.data, held_out_classes=self.held_out_classes)
            manifest = store.manifest(self.id)
            history = pd.DataFrame(manifest["history"])
            capture = record_capture(self.network(store=store), data, meta=self._meta(manifest), history=history)
            with store.lock(self.id):
                store.replace_capture(self.id, capture)
            return capture

    @staticmethod
    def _missing(capture: Capture, wanted: dict[str, str | ImageSet]) -> list[str]:
        recorded = capture.meta.get("ood", {})
        return [
            name
            for name, item in wanted.items()
            if name not in capture.ood
            or (isinstance(item, ImageSet) and recorded[name]["fingerprint"] != item.fingerprint)
        ]

    def _build(self, data: InDistribution) -> Classifier:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            backbone = BACKBONES[self.backbone](in_channels=data.train.channels)
            head = HEADS[self.loss](backbone.num_features, len(data.train.class_names), **self.settings)
            return Classifier(backbone, head)

    def _create(
        self, store: Store, wanted: dict[str, Any], *, device: str | torch.device | None, progress: bool
    ) -> Capture:
        data = datasets.load_id(self.data, held_out_classes=self.held_out_classes)
        source = datasets.ID_SETS[self.data]
        device = choose_device(device)
        model = self._build(data)
        start = time.perf_counter()
        history = train(
            model,
            data,
            self.protocol,
            seed=self.seed,
            device=device,
            padding=source.padding,
            flip=source.flip,
            progress=progress,
            title=self.title,
        )
        manifest = {
            "experiment": self.model_dump(mode="json"),
            "protocol": asdict(self.protocol),
            "duration_s": round(time.perf_counter() - start, 3),
            "device": str(device),
            "versions": _versions(),
            "history": history.to_dict(orient="list"),
        }
        capture = record_capture(model, data, meta=self._meta(manifest), history=history, device=device)
        capture = record_ood(capture, model, data, wanted.values(), device=device)
        weights = {name: value.detach().cpu().contiguous().numpy() for name, value in model.state_dict().items()}
        store.write(self.id, manifest=manifest, weights=weights, capture=capture)
        return capture

    def _extend(self, store: Store, capture: Capture, wanted: dict[str, Any], *, device: Any) -> Capture:
        data = datasets.load_id(self.data, held_out_classes=self.held_out_classes)
        missing = [wanted[name] for name in self._missing(capture, wanted)]
        capture = record_ood(capture, self.network(store=store), data, missing, device=device)
        store.replace_capture(self.id, capture)
        return capture

    def _meta(self, manifest: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": self.id,
            **self.model_dump(mode="json"),
            "entropic_scale": self.entropic_scale if "entropic_scale" in self.settings else None,
            **{name: manifest[name] for name in ("protocol", "device", "versions")},
        }


def _versions() -> dict[str, str]:
    return {
        "isomax_viz": isomax_viz.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _in_plain_words(error: ValidationError, *, accepted: Iterable[str]) -> str:
    sentences = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"])
        if item["type"] == "value_error":
            sentences.append(str(item["ctx"]["error"]))
        elif item["type"] == "extra_forbidden":
            sentences.append(f"Experiment has no setting {name!r}; it has {', '.join(accepted)}.")
        else:
            sentences.append(f"{name}: {item['msg']} (received {item['input']!r}).")
    return " ".join(sentences)
