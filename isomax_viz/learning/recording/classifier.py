"""Recording any PyTorch classifier: what its last layer receives and what the network returns become a capture."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from isomax_viz._common.checks import as_numeric, check_labels, check_matrix, check_ood_names
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.datasets import ImageSet, InDistribution, load_ood
from isomax_viz.datasets.images import UNLABELLED
from isomax_viz.learning import output_layer
from isomax_viz.learning.losses import HEADS, Head
from isomax_viz.learning.recording.inputs import BatchReader, Data, check_complete, checked_normalisation, drawing
from isomax_viz.learning.recording.network import assemble_capture, gather, head_outputs

__all__ = ["record"]

_FEW = 8  # images by which the layer is found


def record(
    model: nn.Module,
    id_data: InDistribution | Data,
    ood: Mapping[str, InDistribution | Data | str] | None = None,
    *,
    train: InDistribution | Data | None = None,
    layer: str | None = None,
    loss: str | None = None,
    normalise: tuple[Any, Any] | None = None,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
) -> Capture:
    """Record what a classifier of yours says: any network of torchvision, timm or your own that ends in a linear layer.

    Logits are what the network returns: a tensor, the first of a tuple, or ``logits`` of a mapping or object; where it
    returns their softmax or log-softmax, they are read before that. Features are what the layer receives that gives
    them. The network is run in evaluation mode and without gradients, and is left as it was.

    Parameters
    ----------
    model : Module
        A classifier. What ``torch.compile`` made of one will do; a scripted, exported or quantised one has no layers to
        read from.
    id_data : InDistribution, ImageSet, (images, labels) or DataLoader
        In-distribution test data. Arrays and batches of a DataLoader must be preprocessed as the network wants them;
        pictures of an ImageSet are scaled to [0, 1] and normalised. Of an InDistribution, the test pictures are taken.
        A DataLoader should not shuffle: captures are compared image by image.
    ood : mapping of str to data, optional
        Out-of-distribution sets by name: as ``id_data``, but labels are ignored and images alone will do. ImageSets are
        brought to the size of ``id_data``, and beside it a name of :data:`isomax_viz.datasets.OOD_SETS` is one too.
    train : data, optional
        Training data, as ``id_data``; by default that of an InDistribution. Without prototypes, distances (and so MDS)
        are those to the class means of the training features, and there are none without training data.
    layer : str, optional
        Name of the layer whose logits are recorded, where the network returns something else (a mean of several).
    loss : str, optional
        Name of the loss, for colours and titles; by default ``"softmax"`` for a linear layer, a head's own otherwise.
    normalise : (mean, std), optional
        One number for each channel, on the scale [0, 1], for pictures of an ImageSet; by default the statistics of the
        training pictures of an InDistribution. ``(0, 1)`` leaves pictures in [0, 1].
    device : str or torch.device, optional
        Where to run; by default where the network is. It is brought back afterwards.
    batch_size : int, optional
        Pictures per forward pass; a DataLoader has its own.

    Returns
    -------
    Capture
        With features, and distances where there is something to measure them from.

    Raises
    ------
    TypeError
        If something is neither a module nor data.
    ValueError
        If no layer gives what the network returns, shapes disagree, a set is empty, there is a single class, labels are
        missing or out of range, or the network gives NaN.

    Examples
    --------
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3))
    >>> images = torch.randn(30, 1, 8, 8)
    >>> record(model, (images, torch.arange(30) % 3), {"noise": torch.rand(20, 1, 8, 8)})
    Capture(SoftMax · Sequential: test 30, ood noise 20)
    """
    model = output_layer.plain_network(model)
    output_layer.linear_layers(model)
    if isinstance(id_data, InDistribution):
        train = id_data if train is None else train
        normalise = (id_data.mean, id_data.std) if normalise is None else normalise
    test = id_data.test if isinstance(id_data, InDistribution) else id_data
    train = train.train if isinstance(train, InDistribution) else train
    known = {"test": test} | ({"train": train} if train is not None else {})
    named = check_ood_names({} if ood is None else ood, "data")
    others = {key: _pictures(value, like=id_data) for key, value in named.items()}
    how: dict[str, Any] = {"normalise": checked_normalisation(normalise), "batch_size": batch_size}
    recorder = _Recorder(model, layer)
    with output_layer.evaluated(model, device) as device:
        samples = {key: recorder.samples(BatchReader(key, device=device, **how), value) for key, value in known.items()}
        outside = {
            key: recorder.samples(BatchReader(f"ood[{key!r}]", device=device, is_labelled=False, **how), value)
            for key, value in others.items()
        }
    head = model.get_submodule(recorder.layer.name)
    meta = {
        "loss": loss or _loss_of(head),
        "backbone": type(model).__name__,
        "layer": recorder.layer.name,
        "recorded_by": "isomax_viz.record",
        **_origin(id_data),
        "ood": {
            key: {"fingerprint": value.fingerprint, "provenance": dict(value.provenance)}
            for key, value in others.items()
            if isinstance(value, ImageSet)
        },
    }
    if recorder.layer.factor != 1:
        meta["logits_factor"] = recorder.layer.factor
    unordered = [key for key, value in (known | others).items() if key != "train" and drawing(value)]
    return assemble_capture(head, samples, outside, meta=meta | ({"unordered": unordered} if unordered else {}))


def _pictures(value: Any, *, like: Any) -> Any:
    """Return catalogue names and ImageSets as pictures of the size that the network knows, other data as it is."""
    if isinstance(value, InDistribution):
        value = value.test
    if isinstance(value, (str, ImageSet)):
        if isinstance(like, (InDistribution, ImageSet)):
            return load_ood(value, like)
        if isinstance(value, str):
            raise TypeError(
                f"ood={value!r} needs id_data to be an ImageSet or an InDistribution: only then is it known to what "
                "size and scale pictures are brought. Pass the preprocessed images instead."
            )
    return value


class _Recorder:
    """Records sets of images; which layer is read is found by the first images of the first set."""

    def __init__(self, model: nn.Module, named: str | None) -> None:
        self.model, self.named = model, named
        self.layer: output_layer.OutputLayer = None  # type: ignore[assignment]  # found by the first images
        self.dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)

    def samples(self, reader: BatchReader, value: Data) -> Samples:
        labels: list[np.ndarray] = []
        arrays = gather(self._outputs(reader, value, labels))
        if not arrays:
            raise ValueError(f"{reader.name} is empty: it gave no image. Give at least one.")
        logits = check_matrix(f"The logits of {reader.name}", arrays["logits"])
        if logits.shape[1] < 2:
            raise ValueError(
                f"Layer {self.layer.name!r} gives {logits.shape[1]} logit per image; at least 2 are needed, one per "
                "class. A binary classifier with one output z has the logits (0, z): a layer behind it can give both."
            )
        if reader.name != "train":
            check_complete(reader.name, value, len(logits))
        if reader.is_labelled and isinstance(value, ImageSet):
            _check_classes(reader.name, value, logits.shape[1])
        rows, classes = logits.shape
        if not reader.is_labelled:
            return Samples(labels=np.full(rows, -1), **arrays)
        whole = {"rows": rows, "classes": classes, "lowest": 0}
        return Samples(labels=check_labels(f"The labels of {reader.name}", np.concatenate(labels), **whole), **arrays)

    def _outputs(self, reader: BatchReader, value: Data, labels: list[np.ndarray]) -> Iterator[dict[str, Tensor]]:
        for images, targets in reader.batches(value):
            try:
                yield self._of_batch(images.to(reader.device, self.dtype))
            except Exception as error:
                kind = type(self.model).__name__
                error.add_note(f"{kind} was given images of {reader.name}, shape {tuple(images.shape)}.")
                raise
            if reader.is_labelled:
                labels.append(as_numeric(f"The labels of {reader.name}", targets))

    @torch.no_grad()
    def _of_batch(self, images: Tensor) -> dict[str, Tensor]:
        if self.layer is None:
            self.layer = output_layer.find_output_layer(self.model, images[:_FEW], self.named)
        outputs = output_layer.layer_outputs(self.model, self.layer, images)
        head = self.model.get_submodule(self.layer.name)
        return head_outputs(head, outputs["features"]) if isinstance(head, Head) else outputs


def _check_classes(name: str, images: ImageSet, classes: int) -> None:
    if images.class_names == UNLABELLED:
        raise ValueError(f"{name} is an ImageSet without labels. In-distribution data needs them: pass labels=...")
    said = f"{name} has {len(images.class_names)} classes, but the network tells {classes} apart"
    remedy = "Number the pictures by the network's classes: from_folder(path, class_names=train.class_names)."
    if len(images.class_names) > classes:
        raise ValueError(f"{said}. {remedy}")
    if len(images.class_names) < classes:
        warnings.warn(f"{said}: its labels likely stand for other classes than the network's. {remedy}", stacklevel=4)


def _loss_of(head: nn.Module) -> str:
    names = {kind: key for key, kind in HEADS.items()}
    return names.get(type(head), type(head).__name__) if isinstance(head, Head) else "softmax"


def _origin(id_data: Any) -> dict[str, Any]:
    images = id_data.test if isinstance(id_data, InDistribution) else id_data
    if not isinstance(images, ImageSet):
        return {}
    name = id_data.name if isinstance(id_data, InDistribution) else images.name
    return {"data": name, "classes": list(images.class_names), "provenance": dict(images.provenance)}
