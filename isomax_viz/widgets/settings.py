"""The explorer's settings as JSON, and back: checked as a whole before anything changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from isomax_viz._common.checks import check_choice, check_known, check_number
from isomax_viz.analysis.thresholds import RULES
from isomax_viz.widgets.controls import ALONE
from isomax_viz.widgets.views import VIEWS

__all__ = ["read", "write"]

PLAIN = ("beside", "same_axes", "score", "ood", "view", "quantity", "threshold", "large_text")


def read(explorer: Any) -> dict[str, Any]:
    """Return an explorer's settings as plain JSON values."""
    shelf, get = explorer.shelf, explorer.controls
    other, place = get["beside"].value, shelf.places[explorer.number]
    return {name: place[name] for name in shelf.choosers} | {
        "beside": None if other == ALONE else {name: shelf.places[other][name] for name in shelf.choosers},
        "same_axes": get["same_axes"].value,
        "score": get["score"].value,
        "ood": list(get["ood"].value),
        "view": get["view"].value,
        "quantity": get["quantity"].value,
        "threshold": get["threshold"].value,
        "large_text": get["large_text"].value,
    }


def write(explorer: Any, state: Mapping[str, Any] | str) -> None:
    """Set an explorer's controls, without drawing.

    Raises
    ------
    ValueError
        If a name or value is not on offer; nothing is changed then.
    """
    shelf, get = explorer.shelf, explorer.controls
    wanted = json.loads(state) if isinstance(state, str) else dict(state)
    check_known("state", wanted, [*shelf.choosers, *PLAIN])
    place = {name: wanted[name] for name in shelf.choosers if name in wanted}
    number = shelf.find(place) if place else explorer.number
    values = {name: wanted[name] for name in PLAIN if name in wanted}
    _check(shelf, number, values)
    if "beside" in values:
        values["beside"] = ALONE if values["beside"] is None else shelf.find(values["beside"])
    with explorer.silently():
        explorer.show_place(number)
        for name, value in values.items():
            get[name].value = value


def _check(shelf: Any, number: int, values: dict[str, Any]) -> None:
    accepted = {"score": shelf.scores, "view": VIEWS, "quantity": shelf.quantities or [None]}
    for name in accepted.keys() & values.keys():
        if values[name] not in accepted[name]:
            check_choice(name, values[name], accepted[name])
    if "ood" in values:
        values["ood"] = check_known("ood", values["ood"], shelf.captures[number].ood)
        if not values["ood"]:
            raise ValueError("ood is empty. Choose at least one out-of-distribution set.")
    if isinstance(values.get("threshold"), str):
        check_choice("threshold", values["threshold"], RULES, remedy="A number is accepted too.")
    elif "threshold" in values:
        values["threshold"] = float(check_number("threshold", values["threshold"]))
    for name in ("same_axes", "large_text"):
        if not isinstance(values.get(name, True), bool):
            raise ValueError(f"{name} must be True or False, but is {values[name]!r}.")
