"""Which layer gives what a network returns: found by running the network, not by the order of definition."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from isomax_viz._common.checks import check_choice
from isomax_viz.learning.losses import Head
from isomax_viz.learning.training.hardware import choose_device

__all__ = [
    "OutputLayer", "evaluated", "find_output_layer", "hooked", "layer_outputs", "linear_layers", "plain_network",
    "walk",
]  # fmt: skip

logger = logging.getLogger(__name__)

Call = tuple[str, Any, Any]  # name of a layer, what it received, what it gave
_FORMS = {"logits": lambda logits: logits, "log-softmax": nn.LogSoftmax(dim=1), "softmax": nn.Softmax(dim=1)}


def plain_network(model: nn.Module) -> nn.Module:
    """Return the network itself of one that was compiled or spread over devices.

    Raises
    ------
    TypeError
        If it is no network, or one whose layers can't be watched: scripted or exported.

    Examples
    --------
    >>> network = nn.Linear(2, 3)
    >>> plain_network(torch.compile(network)) is network
    True
    """
    if isinstance(model, (torch.jit.ScriptModule, torch.fx.GraphModule, torch.export.ExportedProgram)):
        raise TypeError(
            f"model is a {type(model).__name__}: it was scripted, traced or exported, and such a program has no layers "
            "to read features from. Pass the network that it was made of."
        )
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, but is {type(model).__name__}. Pass the network itself.")
    parallel = isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel))
    inner = model.module if parallel else getattr(model, "_orig_mod", model)
    return model if inner is model else plain_network(inner)


def linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the linear layers and heads of a network by name, in the order of definition.

    Raises
    ------
    ValueError
        If there is none; the message says why.

    Examples
    --------
    >>> list(linear_layers(nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 10))))
    ['1', '3']
    """
    layers = {name: module for name, module in walk(model) if isinstance(module, (nn.Linear, Head))}
    if layers:
        return layers
    _check_readable(model)
    raise ValueError(
        f"model must contain a torch.nn.Linear that gives the logits, but {type(model).__name__} has none. Put a "
        "head behind what gives features: isomax_viz.learning.backbones.Classifier(backbone, head)."
    )


def _check_readable(model: nn.Module) -> None:
    """Say of a network in which the last layer was not found if that is because a part of it can't be read."""
    for name, module in model.named_modules():
        how = "scripted" if isinstance(module, torch.jit.ScriptModule) else "quantised"
        if how == "scripted" or "quantized" in type(module).__module__:
            raise ValueError(
                f"The layer {name!r} of {type(model).__name__} is {how}, and can't be read as a torch.nn.Linear. Pass "
                f"the network as it was before it was {how}."
            )


def walk(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield names and modules in the order of definition, without the insides of layers, heads and attention."""
    yield name, module
    # Attention reads the weights of its linear layer and never calls it; a normalised weight is a part of its layer.
    if not isinstance(module, (Head, nn.Linear, nn.MultiheadAttention)):
        for key, child in module.named_children():
            yield from walk(child, f"{name}.{key}".lstrip("."))


@contextmanager
def evaluated(model: nn.Module, device: str | torch.device | None = None) -> Iterator[torch.device]:
    """Put the network in evaluation mode on the device, and bring everything back afterwards."""
    modes = {module: module.training for module in model.modules()}
    parameter = next(iter([*model.parameters(), *model.buffers()]), torch.empty(0))
    home, chosen = parameter.device, parameter.device if device is None else choose_device(device)
    try:
        model.eval()
        if chosen != home:
            model.to(chosen)
        yield chosen
    finally:
        if chosen != home:
            model.to(home)
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def hooked(layers: Mapping[str, nn.Module], keep: Callable[[str, Any, Any], Any]) -> Iterator[None]:
    """Meanwhile call ``keep(name, received, given)`` whenever a layer has run."""

    def hook(name: str, _: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        keep(name, inputs[0] if inputs else next(iter(named.values()), None), output)

    with ExitStack() as stack:
        for name, layer in layers.items():
            stack.callback(layer.register_forward_hook(partial(hook, name), with_kwargs=True).remove)
        yield


@contextmanager
def _watched(layers: Mapping[str, nn.Module]) -> Iterator[list[Call]]:
    """Collect what layers receive and give, as copies, in the order in which they finish."""
    calls: list[Call] = []

    def keep(name: str, *parts: Any) -> None:
        # Before anybody changes them in place.
        calls.append((name, *(part.clone() if isinstance(part, Tensor) else part for part in parts)))

    # A compiled part would run without looking at the hooks.
    eager = torch.compiler.set_stance("force_eager") if hasattr(torch.compiler, "set_stance") else nullcontext()
    with eager, hooked(layers, keep):
        yield calls


def _returned_logits(output: Any) -> Tensor | None:
    """Return what a classifier returns as its logits, or what it makes of them; None where that is not known."""
    if isinstance(output, Mapping):
        output = output.get("logits")
    elif hasattr(output, "logits"):
        output = output.logits
    elif isinstance(output, (tuple, list)) and output:
        output = output[0]
    return output if isinstance(output, Tensor) and output.ndim == 2 else None


@dataclass(frozen=True)
class OutputLayer:
    """A layer, and what the network makes of what it gives.

    Attributes
    ----------
    name : str
        As in ``model.get_submodule(name)``.
    form : str, optional
        "logits", "softmax" or "log-softmax"; None if that is not known, because the reader named the layer.
    factor : float
        What the logits are multiplied by before.
    """

    name: str
    form: str | None = None
    factor: float = 1.0

    def gives(self, logits: Tensor, returned: Tensor) -> bool:
        """Return whether a network that returned this had these logits at the layer."""
        if logits.shape != returned.shape:
            return False
        tolerance = max(torch.finfo(part.dtype).eps for part in (logits, returned)) ** 0.5
        expected = _FORMS[self.form](self.factor * logits.double())  # type: ignore[index]  # known where asked
        room = tolerance * expected.nan_to_num(0, 0, 0).abs().max().item()
        return torch.allclose(expected, returned.double(), rtol=tolerance, atol=room, equal_nan=True)


def matching(name: str, logits: Tensor, returned: Tensor) -> OutputLayer | None:
    """Return in which form, and times which factor, the logits of a layer were returned; None if in none.

    Examples
    --------
    >>> logits = torch.tensor([[2.0, 0.0, 1.0], [1.0, 4.0, 1.0]])
    >>> matching("fc", logits, logits / 4), matching("fc", logits, logits + 1)
    (OutputLayer(name='fc', form='logits', factor=0.25), None)
    >>> matching("fc", logits, logits.softmax(dim=1))
    OutputLayer(name='fc', form='softmax', factor=1.0)
    """
    if logits.shape == returned.shape:
        for form in _FORMS:
            for factor in (1.0, _factor(form, logits.double(), returned.double())):
                layer = OutputLayer(name, form, factor)
                if factor > 0 and layer.gives(logits, returned):
                    return layer
    return None


def _factor(form: str, logits: Tensor, returned: Tensor) -> float:
    """Return the factor of the logits by least squares; of the softmax, of their differences to the largest."""
    if form != "logits":
        returned = returned.log() if form == "softmax" else returned
        largest = logits.argmax(dim=1, keepdim=True)
        logits, returned = (part - part.gather(1, largest) for part in (logits, returned))
    finite = logits.isfinite() & returned.isfinite()
    logits, returned = logits[finite], returned[finite]
    return ((logits * returned).sum() / (logits * logits).sum()).item()


@torch.no_grad()
def find_output_layer(model: nn.Module, images: Tensor, named: str | None = None) -> OutputLayer:
    """Return the layer that gives what a classifier returns.

    Parameters
    ----------
    model : Module
        A classifier, in evaluation mode.
    images : Tensor
        A few images, as it wants them.
    named : str, optional
        The layer to take instead; there is a warning if the network returns nothing of it.

    Returns
    -------
    OutputLayer
        A linear layer or head whose output is returned, times a constant, or its softmax or log-softmax; else the
        smallest part with such layers inside of which that is true (a linear layer with an adapter).

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> class Network(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc, self.projection = nn.Linear(8, 3), nn.Linear(8, 5)
    ...     def forward(self, images):
    ...         return self.fc(images), self.projection(images)
    >>> find_output_layer(Network(), torch.randn(4, 8)).name
    'fc'
    """
    if named is not None:
        return _named_layer(model, named, images)
    layers = linear_layers(model)
    parts = {name: part for name, part in walk(model) if any(f"{layer}.".startswith(f"{name}.") for layer in layers)}
    with _watched(parts) as calls:
        output = model(images)
    returned = _returned_logits(output)
    if returned is None:
        raise ValueError(
            f"{type(model).__name__} returns {_words(output)}, and it is not known which part of that are the logits. "
            "A classifier returns a tensor of shape (images, classes), that as the first of a tuple, or as 'logits'. "
            f"Name the layer that gives them (layer=..., one of {_listed(layers)}), or pool over places or tokens."
        )
    found = (_match(name, parts[name], a, b, returned) for name, a, b in calls if _is_rows(a) and _is_rows(b))
    matches = [match for match in found if match is not None]
    best = [match for match in matches if match.name in layers][-1:] or matches[:1]
    if not best:
        raise _other_than_returned(model, layers)
    further = [part for part in output[1:] if _is_rows(part)] if isinstance(output, (tuple, list)) else []
    others = [name for name, _, logits in calls if name in layers and any(matching(name, logits, b) for b in further)]
    if others:
        told = f"what several layers give; the first, of {best[0].name!r}, counts as the logits. If those are another's"
        logger.warning("%s returns %s, name it: layer=..., one of %s.", type(model).__name__, told, _listed(others))
    return best[0]


def _match(name: str, layer: nn.Module, features: Tensor, logits: Tensor, returned: Tensor) -> OutputLayer | None:
    if not isinstance(layer, Head):
        return matching(name, logits, returned)
    # The logits for detection are what a head is recorded with, whichever of its logits the network returns.
    both = layer.both_logits(features)
    return OutputLayer(name, "logits") if any(matching(name, part, returned) for part in both) else None


def _other_than_returned(model: nn.Module, layers: Iterable[str]) -> ValueError:
    _check_readable(model)
    return ValueError(
        f"{type(model).__name__} returns something else than its layers give ({_listed(layers)}): the mean of several, "
        "a scale for each class, or the like comes after them. Put what comes after a layer into one module with it, "
        "name the layer whose logits you want (layer=...), or compute the logits yourself: "
        "iv.Capture.from_arrays(logits, labels, ood=...)."
    )


@torch.no_grad()
def layer_outputs(model: nn.Module, layer: OutputLayer, images: Tensor) -> dict[str, Tensor]:
    """Run a network on images and return what its last layer received as ``features`` and gave as ``logits``.

    Raises
    ------
    ValueError
        If the layer is not called once with one vector per image, or gives other logits than the network returns.
    """
    part = model.get_submodule(layer.name)
    with _watched({layer.name: part}) as calls:
        output = model(images)
    if len(calls) != 1 or not all(map(_is_rows, calls[0][1:])) or len(calls[0][1]) != len(images):
        found = "; ".join(f"{_words(before)} -> {_words(after)}" for _, before, after in calls) or "it was not called"
        raise ValueError(
            f"Layer {layer.name!r} must be called once, with one feature vector for each of {len(images)} images, but: "
            f"{found}. Name the layer that gives the logits (layer=...), or pool over places or tokens before it."
        )
    _, features, logits = calls[0]
    if layer.form is not None:
        returned = _returned_logits(output)
        head = isinstance(part, Head)
        if not (_match(layer.name, part, features, logits, returned) if head else layer.gives(logits, returned)):
            raise _other_than_returned(model, [layer.name])
    return {"features": features, "logits": layer.factor * logits if layer.factor != 1 else logits}


def _named_layer(model: nn.Module, name: str, images: Tensor) -> OutputLayer:
    """Return a layer that the reader named, with a warning if the network returns nothing of it."""
    layers, parts = linear_layers(model), dict(model.named_modules())
    part = parts.get(name) or parts[check_choice("layer", name, layers)]
    with _watched({name: part}) as calls:
        output = model(images)
    several = output.values() if isinstance(output, Mapping) else output
    returned = filter(_is_rows, several if isinstance(output, (tuple, list, Mapping)) else [output])
    if not any(matching(name, call[2], tensor) for tensor in returned for call in calls if _is_rows(call[2])):
        said = f"Layer {name!r} is recorded as you say, but {type(model).__name__} returns something else"
        logger.warning("%s: the scores are those of the layer.", said)
    return OutputLayer(name)


def _is_rows(part: Any) -> bool:
    return isinstance(part, Tensor) and part.ndim == 2


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _words(output: Any) -> str:
    if isinstance(output, Tensor):
        return f"a tensor of shape {tuple(output.shape)}"
    keys = f" with the keys {_listed(output)}" if isinstance(output, Mapping) else ""
    return f"a {type(output).__name__}{keys}"
