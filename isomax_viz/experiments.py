"""Experiment: one frozen, validated description -> id -> trained network and capture in the store."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from isomax_viz import running
from isomax_viz._common.checks import check_number
from isomax_viz.captures.capture import Capture
from isomax_viz.catalog.style import loss_style
from isomax_viz.datasets import ImageSet
from isomax_viz.learning.backbones import Classifier
from isomax_viz.learning.custom_code import fingerprint, name_of
from isomax_viz.learning.settings import OF_HEADS, OF_OUTLIERS, Settings
from isomax_viz.learning.training.outliers import METHODS, Recipe
from isomax_viz.learning.training.protocols import Protocol, protocol_for
from isomax_viz.store.folder import Store

__all__ = ["Experiment"]

# Raise it when the same description would train another network: stored results then count as another experiment's.
REVISION = 2


class Experiment(Settings):
    """One training, described completely: what is trained, on what, and how.

    Parameters
    ----------
    data : str
        In-distribution data set; see :data:`isomax_viz.datasets.ID_SETS`.
    backbone : str or callable
        See :data:`isomax_viz.learning.backbones.BACKBONES`; or a class or function of your own, called with
        ``in_channels=...``, that gives a module from images to features with an attribute ``num_features``.
    loss : str, Head class or callable
        See :data:`isomax_viz.learning.losses.HEADS`; or your own :class:`~isomax_viz.learning.losses.Head`, or a
        function of ``num_features, num_classes`` that returns one. The id then covers the source of what you pass (see
        :func:`isomax_viz.learning.custom_code.fingerprint`): change it, and it is another experiment.
    entropic_scale : float
        Above 0; used by IsoMax, IsoMax+ and DisMax only.
    seed : int
        Determines initial weights, shuffling and augmentation.
    preset : str
        Training protocol: "smoke" (two epochs), "teaching" (embedded data, seconds), "quick" (pictures of
        CIFAR's size on a CPU, minutes), "paper".
    epochs : int, optional
        Another number of epochs; the preset's milestones move in proportion.
    held_out_classes : tuple of int
        Classes to train without; they become the near out-of-distribution set ``"unseen"``.
    examples_per_class : int, optional
        Train with so many pictures of each class (robustness study of the IsoMax2 paper); the seed says which.
    select : str
        Which epoch's network is kept: "last", "best_validation", or "best_test", which is what the papers' code does
        and which makes the test accuracy optimistic.
    validation : float
        Share of the training pictures held out for watching, in [0, 0.9].
    scales_learning_rate : float
        Learning rate of IsoMax2's scales and tilts, as a factor.
    scales_weight_decay : bool
        Whether IsoMax2's scales and tilts decay.
    precision : str
        Number format of the backbone while training: "auto", "float32", "bfloat16".
    distance, training_function, detection_function : str
        d, g and h of the DisMax frame; see :class:`~isomax_viz.learning.losses.DisMaxHead`.
    similarity : str
        h of Generalized ODIN: "cosine", "euclidean", "inner".
    temperature : float
        Of logit normalisation, above 0.
    outliers : str, optional
        Train with extra data: "oe" (Outlier Exposure), "acet" (adversarial confidence), or "energy" (fine-tune the
        network of the same experiment without outliers, with bounds for the energy).
    outlier_data : str
        What the extra data is, see :func:`~isomax_viz.learning.training.outliers.load_outliers`. It can't be an
        out-of-distribution set of the same experiment.
    outlier_weight : float, optional
        Weight of the outliers' term; by default that of the method's paper: 0.5, 1 and 0.1.
    energy_margins : (float, float), optional
        Energies, of the class logits, that known pictures shall be below and outliers above. By default (-25, -7) for
        SoftMax, as in the paper; other losses need their own.
    adversarial_radius : float
        By how much ACET may change a pixel, on the scale [0, 1].
    adversarial_steps : int, optional
        ACET's steps of gradient ascent per batch; by default 40 with preset "paper", as in its paper, else 5.

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

    @property
    def protocol(self) -> Protocol:
        """The training protocol: the preset's, with this experiment's own settings applied."""
        protocol = protocol_for(self.preset, data=self.data, backbone=self.backbone, loss=self.loss)
        if self.epochs is not None:
            protocol = protocol.with_epochs(self.epochs)
        scales = {"scales_learning_rate": self.scales_learning_rate, "scales_weight_decay": self.scales_weight_decay}
        own = scales if self.of_head("slow_parameters") else {}  # settings that a loss does not use do not count
        return replace(protocol, select=self.select, validation=self.validation, **own)

    @property
    def settings(self) -> dict[str, Any]:
        """The options that the loss uses, for its head."""
        return {name: getattr(self, name) for name in self.of_head("settings")}

    @property
    def recipe(self) -> Recipe | None:
        """How extra data takes part in the training; None where it does not."""
        if self.outliers is None:
            return None
        method, weight = self.outliers, self.outlier_weight or METHODS[self.outliers][1]
        if method == "energy":
            return Recipe(method, self.outlier_data, weight, margins=self.energy_margins or (-25.0, -7.0))
        if method == "acet":
            steps = self.adversarial_steps or (40 if self.preset == "paper" else 5)
            return Recipe(method, self.outlier_data, weight, radius=self.adversarial_radius, steps=steps)
        return Recipe(method, self.outlier_data, weight)

    @property
    def method(self) -> str:
        """What figures and tables call the training: the loss, and the method that uses extra data."""
        return f"{name_of(self.loss)}+{self.outliers}" if self.outliers else name_of(self.loss)

    @property
    def id(self) -> str:
        """Readable name and hash of all that determines the network (not OOD sets, device or place)."""
        names = ("data", "seed", "held_out_classes", "examples_per_class", "precision")
        content = {name: getattr(self, name) for name in names} | self.settings
        content |= {"backbone": _identity(self.backbone), "loss": _identity(self.loss)}
        content |= {"protocol": asdict(self.protocol), "revision": REVISION}
        if self.recipe is not None:
            content["outliers"] = self.recipe.described()
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
        words = (self.data, name_of(self.backbone), self.method, self.preset, f"s{self.seed}", digest)
        return "-".join(re.sub(r"[^A-Za-z0-9._+=]", "_", word) for word in words)

    @property
    def title(self) -> str:
        """Words for progress bars and messages."""
        return " · ".join([loss_style(self.method).label, self.data, name_of(self.backbone), f"seed {self.seed}"])

    @property
    def meta(self) -> dict[str, Any]:
        """What a capture keeps of the description: JSON values, without settings that are not used."""
        told = self.model_dump(mode="json")
        unused = [name for name in OF_HEADS if name not in self.settings]
        if self.recipe is None:
            unused += ["outliers", *OF_OUTLIERS]
        shown = {"loss": self.method, "backbone": name_of(self.backbone)}
        # What from_meta needs beyond the names that are shown.
        exact = {name: told[name] for name in shown if told[name] != shown[name]}
        kept = {name: value for name, value in (told | shown).items() if name not in unused}
        return {"entropic_scale": None} | kept | ({"exact": exact} if exact else {})

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> Experiment:
        """Return the experiment that recorded a capture, from its ``meta``.

        Raises
        ------
        ValueError
            If no experiment recorded it, or it used something of your own that is not found as it was.

        Examples
        --------
        >>> Experiment.from_meta(Experiment(loss="softmax", outliers="oe").meta).outliers
        'oe'
        """
        if not meta.get("loss") or not meta.get("preset"):
            raise ValueError("This capture does not say which experiment recorded it: only its numbers are there.")
        told = {**meta, **meta.get("exact", {})}
        return cls(**{name: told[name] for name in cls.model_fields if told.get(name) is not None})

    def run(
        self,
        ood: Iterable[str | ImageSet] | str | ImageSet | None = None,
        *,
        device: str | torch.device | None = None,
        store: Store | str | Path | None = None,
        compile: bool | str | None = None,
        deterministic: bool = False,
        checkpoint_every_s: float = 30.0,
        progress: bool = True,
    ) -> Capture:
        """Train once, then read the store; out-of-distribution sets are recorded on demand and join the capture.

        A training that was interrupted goes on where it was.

        Parameters
        ----------
        ood : iterable of str or ImageSet, optional
            Which out-of-distribution sets the capture shall hold; by default those of the data set.
        device : str or torch.device, optional
            Where to compute; by default the best there is. It does not change the id.
        store : Store, str or Path, optional
            By default :func:`isomax_viz.store.folder.default_folder`.
        compile : bool or str, optional
            Compile the backbone, in that mode of ``torch.compile``; by default once a training is long enough to repay
            it.
        deterministic : bool
            Identical numbers from run to run on CUDA too, at some cost in speed; on the CPU they are identical anyway.
        checkpoint_every_s : float
            Least time between two writes of what an interrupted training goes on from, in seconds.
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
        check_number("checkpoint_every_s", checkpoint_every_s, at_least=0)
        options = {"compile": compile, "deterministic": deterministic, "checkpoint_every_s": checkpoint_every_s}
        return running.run(self, ood, store=store, device=device, progress=progress, **options)

    def network(self, *, store: Store | str | Path | None = None) -> Classifier:
        """Return the trained network on the CPU, in evaluation mode.

        Raises
        ------
        StoreError
            If the experiment has not been run, or its weights are damaged.
        """
        return running.load_network(self, store=store if isinstance(store, Store) else Store(store))


def _identity(thing: Any) -> str:
    return thing if isinstance(thing, str) else f"{thing.__qualname__}#{fingerprint(thing)}"
