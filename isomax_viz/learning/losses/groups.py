"""Parameter groups: which parameters learn slowly, and which without weight decay."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["parameter_groups"]


def parameter_groups(
    model: nn.Module, *, lr: float, weight_decay: float, slow_factor: float = 0.1, slow_decay: bool = False
) -> list[dict[str, Any]]:
    """Return parameter groups for an optimiser: as asked, but for what heads declare slow or undecayed.

    Parameters
    ----------
    model : Module
        Any module that contains heads.
    lr : float
        Learning rate of all but the slow parameters.
    weight_decay : float
        Weight decay of all but the slow parameters.
    slow_factor : float
        The slow parameters' learning rate as a factor of ``lr``.
    slow_decay : bool
        Whether the slow parameters decay too.

    Returns
    -------
    list of dict
        One group, and another for ``slow_parameters`` and for ``undecayed_parameters`` where a head declares them.

    Notes
    -----
    Source: "Hyperparameter-Free Isotropic Maximization Loss", Supplementary Material B and its Table 3, the ablation.

    Examples
    --------
    >>> from isomax_viz.learning.losses import IsoMax2Head
    >>> groups = parameter_groups(IsoMax2Head(8, 3), lr=0.1, weight_decay=1e-4)
    >>> [(round(group["lr"], 6), group["weight_decay"], len(group["params"])) for group in groups]
    [(0.1, 0.0001, 1), (0.01, 0.0, 2)]
    """
    slow, undecayed = (_declared(model, attribute) for attribute in ("slow_parameters", "undecayed_parameters"))
    named = list(model.named_parameters())
    plain = [parameter for name, parameter in named if name not in slow | undecayed]
    groups = [{"params": plain, "lr": lr, "weight_decay": weight_decay}]
    if slow:
        params = [parameter for name, parameter in named if name in slow]
        groups.append({"params": params, "lr": lr * slow_factor, "weight_decay": weight_decay * slow_decay})
    if undecayed:
        params = [parameter for name, parameter in named if name in undecayed]
        groups.append({"params": params, "lr": lr, "weight_decay": 0.0})
    return groups


def _declared(model: nn.Module, attribute: str) -> set[str]:
    """Return the full names of the parameters that modules name in an attribute."""
    return {
        f"{prefix}.{name}".lstrip(".")
        for prefix, module in model.named_modules()
        for name in getattr(module, attribute, ())
    }
