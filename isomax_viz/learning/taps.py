"""Taps: a whole classifier with a head inside as the ``backbone`` and ``head`` that training and recording ask for."""

from __future__ import annotations

from torch import Tensor, nn

from isomax_viz.learning.backbones import Classifier
from isomax_viz.learning.losses import Head

__all__ = ["FeatureTap", "TappedClassifier", "as_classifier"]


class FeatureTap(nn.Module):
    """A classifier as backbone: runs it whole and returns what its head receives.

    Whatever the classifier does behind its head (a log-softmax, auxiliary outputs) is left aside. Nothing of the
    classifier changes, and no hook stays in it.

    Parameters
    ----------
    model : Module
        A classifier that contains a head.
    layer : str
        Name of the head in it.
    """

    def __init__(self, model: nn.Module, layer: str) -> None:
        super().__init__()
        self.model = model
        self.layer = layer

    @property
    def head(self) -> Head:
        """The head inside the classifier."""
        return self.model.get_submodule(self.layer)

    @property
    def num_features(self) -> int:
        """Length of a feature vector."""
        return self.head.num_features

    def forward(self, images: Tensor) -> Tensor:
        """Return the features, shape (n, num_features).

        Raises
        ------
        ValueError
            If the classifier does not call its head exactly once with one vector per image.
        """
        received: list[Tensor] = []
        handle = self.head.register_forward_pre_hook(
            lambda _, inputs, named: received.append(inputs[0] if inputs else next(iter(named.values()))),
            with_kwargs=True,
        )
        try:
            self.model(images)
        finally:
            handle.remove()
        shapes = [tuple(features.shape) for features in received]
        if len(shapes) != 1 or len(shapes[0]) != 2:
            raise ValueError(
                f"The network must call its head {self.layer!r} once, with one feature vector per image, but gave it "
                f"{', '.join(map(str, shapes)) or 'nothing'}. Pool over places or tokens before the head."
            )
        return received[0]


class TappedClassifier(nn.Module):
    """A classifier with the parts that training and recording ask for: ``backbone`` and ``head``.

    See :func:`as_classifier`. The head stands inside the backbone's network, so ``state_dict`` has everything once.

    Parameters
    ----------
    backbone : FeatureTap
        The classifier's features.
    """

    def __init__(self, backbone: FeatureTap) -> None:
        super().__init__()
        self.backbone = backbone

    @property
    def head(self) -> Head:
        """The head inside the classifier."""
        return self.backbone.head

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits for detection, shape (n, classes)."""
        return self.head(self.backbone(images))


def as_classifier(model: nn.Module) -> Classifier | TappedClassifier:
    """Return a network with a head inside as one with a ``backbone`` and a ``head``, to be trained and recorded.

    Parameters
    ----------
    model : Module
        After :func:`~isomax_viz.learning.surgery.replace_last_linear`. It is shared, not copied: training one trains
        the other.

    Returns
    -------
    TappedClassifier or Classifier
        What :func:`isomax_viz.learning.training.train` and :mod:`isomax_viz.learning.recording` accept. A network that
        is one already is returned as it is.

    Raises
    ------
    ValueError
        If the network has no head, or several.

    Examples
    --------
    >>> import torch
    >>> from isomax_viz.learning.surgery import replace_last_linear
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 10))
    >>> classifier = as_classifier(replace_last_linear(model, "isomax").model)
    >>> classifier.backbone(torch.zeros(4, 3, 8, 8)).shape, classifier(torch.zeros(4, 3, 8, 8)).shape
    (torch.Size([4, 32]), torch.Size([4, 10]))
    """
    if isinstance(model, (Classifier, TappedClassifier)):
        return model
    heads = [name for name, module in model.named_modules() if isinstance(module, Head)]
    if len(heads) != 1 or not heads[0]:
        raise ValueError(
            f"model must contain one head, but {type(model).__name__} has {len(heads) if any(heads) else 'none'} "
            "inside. Put one in: isomax_viz.learning.surgery.replace_last_linear(model, 'isomax+')."
        )
    return TappedClassifier(FeatureTap(model, heads[0]))
