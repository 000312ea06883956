"""Surgery: put the head of a loss in the place of the last linear layer of any classifier."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from isomax_viz._common.checks import check_choice
from isomax_viz.learning.backbones import Classifier
from isomax_viz.learning.losses import HEADS, Head, SoftMaxHead
from isomax_viz.learning.output_layer import evaluated, find_output_layer, hooked, linear_layers, plain_network, walk

__all__ = ["Replaced", "as_classifier", "replace_last_linear", "split_classifier"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, repr=False)
class Replaced:
    """What :func:`replace_last_linear` did; it shows itself as one line.

    Attributes
    ----------
    model : Module
        The network, which was changed in place.
    name : str
        Where in the network the layer was, as in ``model.get_submodule(name)``.
    before : Module
        The layer that was taken out.
    head : Head
        What stands there now.
    """

    model: nn.Module
    name: str
    before: nn.Module
    head: Head

    def __repr__(self) -> str:
        return f"Replaced({self.name!r} of {type(self.model).__name__}: {_words(self.before)} -> {_words(self.head)})"


def replace_last_linear(
    model: nn.Module,
    loss: str | type[Head] | Head = "isomax+",
    *,
    layer: str | None = None,
    num_classes: int | None = None,
    images: Tensor | None = None,
    **settings: Any,
) -> Replaced:
    """Swap the last linear layer of a classifier, in place, for the head of a loss.

    The last layer is the last ``nn.Linear`` in the order of definition, where that is certain; a head that stands there
    already is replaced as a linear layer is. The head starts as its paper says. SoftMax alone computes what the linear
    layer computed: it keeps the weights, unless the number of classes changes.

    Parameters
    ----------
    model : Module
        A classifier of torchvision or timm, or your own.
    loss : str, Head class or Head
        A key of :data:`~isomax_viz.learning.losses.HEADS`, or a head of your own: its class, or an instance.
    layer : str, optional
        Name of the layer to replace, for networks where the order of definition does not tell.
    num_classes : int, optional
        Number of classes of the head; by default that of the layer.
    images : Tensor, optional
        A few images, as the network wants them: the layer is then found by what the network returns, and one that gives
        something else is refused.
    **settings
        Options of the head, such as ``entropic_scale``.

    Returns
    -------
    Replaced
        Which layer was changed; its ``head`` has the loss to train with. The package's own training and recording ask
        for :func:`~isomax_viz.learning.surgery.as_classifier` of the model.

    Raises
    ------
    TypeError
        If the model is no module, or an instance of a head comes with options for another.
    ValueError
        If there is no linear layer, if it is not certain that it is the last one (something that learns, a softmax or a
        sibling comes after it, another gives as many numbers), or if the head does not fit.

    Examples
    --------
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 10))
    >>> replaced = replace_last_linear(model, "isomax", entropic_scale=5.0)
    >>> replaced
    Replaced('3' of Sequential: Linear(in_features=32, out_features=10, bias=True) -> IsoMaxHead(num_features=32, \
num_classes=10, entropic_scale=5.0))
    >>> logits = model(torch.zeros(4, 3, 8, 8))
    >>> replaced.head.loss(logits, torch.tensor([0, 1, 2, 3])).backward()
    """
    model = plain_network(model)
    name = _layer_to_replace(model, layer, images)
    if not name:
        raise ValueError(f"model must contain the layer to replace, but is itself {_words(model)}. Use the head alone.")
    before = model.get_submodule(name)
    head = _head_for(before, loss, num_classes=num_classes, settings=settings)
    device = next((parameter.device for parameter in before.parameters()), None)
    head.to(device).train(before.training)
    # A layer may stand in several places.
    for place in [key for key, module in model.named_modules(remove_duplicate=False) if module is before]:
        parent, _, child = place.rpartition(".")
        setattr(model.get_submodule(parent), child, head)
    replaced = Replaced(model, name, before, head)
    logger.info("%r", replaced)
    return replaced


def _layer_to_replace(model: nn.Module, layer: str | None, images: Tensor | None) -> str:
    layers = linear_layers(model)
    if layer is not None:
        return check_choice("layer", layer, layers)
    if images is None:
        return _last_linear(model, layers)
    with evaluated(model):
        found = find_output_layer(model, images)
    if found.name not in layers or found.factor != 1:
        scaled = f"are multiplied by {found.factor:g} afterwards"
        how = "are made by several layers" if found.name not in layers else scaled
        raise ValueError(
            f"The logits of {type(model).__name__} come from {found.name!r} and {how}, so a head there would not be "
            "what the network returns. Take that out first, or name the layer to replace all the same: layer=..."
        )
    return found.name


def _last_linear(model: nn.Module, layers: dict[str, nn.Module]) -> str:
    """Return the last linear layer in the order of definition, where that is certain enough."""
    layers = _claimed(model, layers)
    name, remedy = list(layers)[-1], "Pass a few images, by which it is found (images=...), or name it: layer=..."
    modules = list(walk(model))
    position = [key for key, _ in modules].index(name)
    for key, module in modules[position + 1 :]:
        learns = any(True for _ in module.parameters(recurse=isinstance(module, nn.MultiheadAttention)))
        if learns or isinstance(module, (nn.Softmax, nn.LogSoftmax)):
            raise ValueError(
                f"The last linear layer of {type(model).__name__} is {name!r}, but {type(module).__name__} {key!r} is "
                f"defined after it, so it may not be what gives the logits. {remedy}"
            )
    learning = [key for key, module in modules[:position] if any(True for _ in module.parameters(recurse=False))]
    size, classes = _sizes(layers[name])
    for key, other in layers.items():
        is_sibling = key in learning[-1:] and key.rpartition(".")[0] == name.rpartition(".")[0]
        # As many outputs: members of an ensemble, a layer with an adapter. What gives its inputs may come before it.
        if other is not layers[name] and _sizes(other)[1] != size and (is_sibling or _sizes(other)[1] == classes):
            raise ValueError(
                f"{key!r} and {name!r} of {type(model).__name__} are linear layers side by side, so it is not "
                f"certain which gives the logits. {remedy}"
            )
    return name


def _claimed(model: nn.Module, layers: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """Return the layers that the model itself calls its classifier, as timm's do; all where it does not say."""
    claimed = model.get_classifier() if hasattr(model, "get_classifier") else None
    parts = claimed if isinstance(claimed, (tuple, list)) else [claimed]
    inside = [module for part in parts if isinstance(part, nn.Module) for module in part.modules()]
    found = {name: layer for name, layer in layers.items() if layer in inside}
    if inside and not found:
        wanted = "model must contain a torch.nn.Linear that gives the logits"
        raise ValueError(f"{wanted}, but what {type(model).__name__} calls its classifier has none.")
    return found or layers


def _sizes(layer: nn.Module) -> tuple[int, int]:
    if isinstance(layer, Head):
        return layer.num_features, layer.num_classes
    return layer.in_features, layer.out_features


def _words(module: nn.Module) -> str:
    return f"{type(module).__name__}({module.extra_repr()})"


def _head_for(before: nn.Module, loss: Any, *, num_classes: int | None, settings: dict[str, Any]) -> Head:
    features, classes = _sizes(before)
    if features == 0:
        raise ValueError(f"{_words(before)} does not know its size yet. Run the network on one batch of images first.")
    if isinstance(loss, Head):
        given = [*settings, *(["num_classes"] if num_classes is not None else [])]
        if given:
            raise TypeError(f"A head brings its own {', '.join(given)}. Pass the class or its name, or leave that out.")
        if loss.num_features != features:
            raise ValueError(f"loss must be a head of {features} features, as {_words(before)}, but is {_words(loss)}.")
        return loss
    if isinstance(loss, type) and issubclass(loss, Head):
        kind = loss
    else:
        kind = HEADS[check_choice("loss", loss, HEADS, remedy="A Head of your own: pass its class or an instance.")]
    for name in settings:
        check_choice(f"a setting of {kind.__name__}", name, kind.settings)
    head = kind(features, classes if num_classes is None else num_classes, **settings)
    if type(head) is SoftMaxHead and head.num_classes == classes:
        _copy_weights(before, head)
    return head


@torch.no_grad()
def _copy_weights(before: nn.Module, head: SoftMaxHead) -> None:
    linear = before.linear if isinstance(before, SoftMaxHead) else before
    if isinstance(linear, nn.Linear):
        head.linear.weight.copy_(linear.weight)
        head.linear.bias.copy_(torch.zeros(head.num_classes) if linear.bias is None else linear.bias)


class FeatureExtractor(nn.Module):
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
        with hooked({self.layer: self.head}, lambda _, features, __: received.append(features)):
            self.model(images)
        shapes = [tuple(features.shape) for features in received]
        if len(shapes) != 1 or len(shapes[0]) != 2:
            raise ValueError(
                f"The network must call its head {self.layer!r} once, with one feature vector per image, but gave it "
                f"{', '.join(map(str, shapes)) or 'nothing'}. Pool over places or tokens before the head."
            )
        return received[0]


class SplitClassifier(Classifier):
    """A classifier with the parts that training and recording ask for: ``backbone`` and ``head``.

    See :func:`as_classifier`. The head stands inside the backbone's network, so ``state_dict`` has everything once.

    Parameters
    ----------
    backbone : FeatureExtractor
        The classifier's features.
    """

    def __init__(self, backbone: FeatureExtractor) -> None:
        nn.Module.__init__(self)
        self.backbone = backbone

    @property
    def head(self) -> Head:
        """The head inside the classifier."""
        return self.backbone.head


def as_classifier(model: nn.Module) -> Classifier:
    """Return a network with a head inside as one with a ``backbone`` and a ``head``, to be trained and recorded.

    Parameters
    ----------
    model : Module
        After :func:`~isomax_viz.learning.surgery.replace_last_linear`. It is shared, not copied: training one trains
        the other.

    Returns
    -------
    Classifier
        What :func:`isomax_viz.learning.training.loop.train` and :mod:`isomax_viz.learning.recording.network` accept. A
        network that is one already is returned as it is.

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
    if isinstance(model, Classifier):
        return model
    heads = [name for name, module in model.named_modules() if isinstance(module, Head)]
    if len(heads) != 1 or not heads[0]:
        raise ValueError(
            f"model must contain one head, but {type(model).__name__} has {len(heads) if any(heads) else 'none'} "
            "inside. Put one in: isomax_viz.learning.surgery.replace_last_linear(model, 'isomax+')."
        )
    return SplitClassifier(FeatureExtractor(model, heads[0]))


def split_classifier(model: nn.Module, *, layer: str | None = None, factor: float = 1.0) -> nn.Module:
    """Return a classifier as one with ``backbone`` and ``head``, to be asked and not to be trained.

    Parameters
    ----------
    model : Module
        Any classifier; one with both is returned as it is.
    layer : str, optional
        Name of the layer that gives its logits, as a capture's ``meta["layer"]``; by default the last linear one.
    factor : float
        What the network multiplies them by, as a capture's ``meta["logits_factor"]``.

    Raises
    ------
    ValueError
        If the layer is neither linear nor a head.

    Examples
    --------
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 10))
    >>> split = split_classifier(model)
    >>> split.backbone(torch.zeros(4, 3, 8, 8)).shape, split.head
    (torch.Size([4, 32]), SoftMaxHead(
      num_features=32, num_classes=10
      (linear): Linear(in_features=32, out_features=10, bias=True)
    ))
    """
    if hasattr(model, "backbone") and isinstance(getattr(model, "head", None), Head):
        return model
    model = plain_network(model)
    name = _last_linear(model, linear_layers(model)) if layer is None else layer
    part = dict(model.named_modules()).get(name)
    if isinstance(part, Head):
        return SplitClassifier(FeatureExtractor(model, name))
    if part is None or not any(isinstance(module, nn.Linear) for module in part.modules()):
        raise ValueError(
            f"The score needs a linear last layer or a head, but {name!r} of {type(model).__name__} is "
            f"{'none of its layers' if part is None else f'a {type(part).__name__}'}. Use a score of captured features."
        )
    if type_before_parametrizations(part) is not nn.Linear:
        return Classifier(FeatureExtractor(model, name), _Scaled(part, factor))
    head = SoftMaxHead(*_sizes(part)).to(part.weight.device)
    _copy_weights(part, head)
    for parameter in head.parameters():
        parameter.requires_grad_(False).mul_(factor)
    return Classifier(FeatureExtractor(model, name), head)


class _Scaled(Head):
    """What gives the logits of a foreign network and is more than a linear layer (one with an adapter), as a head."""

    def __init__(self, part: nn.Module, factor: float) -> None:
        inside = list(linear_layers(part).values())
        super().__init__(_sizes(inside[0])[0], _sizes(inside[-1])[1])
        self.part, self.factor = part, factor

    def _get_name(self) -> str:
        return type(self.part).__name__

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits that were captured, shape (n, classes)."""
        return self.factor * self.part(features.to(next(self.parameters()).dtype)).float()
