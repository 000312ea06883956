"""What the explorer is built of: its controls, their order, and what one more click would show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ipywidgets as widgets

from isomax_viz.analysis.thresholds import find_threshold, same_share
from isomax_viz.widgets import controls, words
from isomax_viz.widgets.threshold import ThresholdBar
from isomax_viz.widgets.views import VIEWS, Look

__all__ = ["arrange", "look_of", "make_controls", "neighbours", "thresholds_of", "with_features"]

PICTURE_HEIGHT = 418  # of the plain figures: the page must not jump when a picture is exchanged
DRAWERS = (
    ("Explain", "explain", "What the losses and the score mean"),
    ("Pictures", "pictures", "The images behind the numbers"),
    ("One image", "one_image", "Score an image of your own"),
    ("Take away", "take_away", "Save figure, data and settings; show the code; freeze the picture"),
    ("Nothing", "nothing", "Only the picture and its numbers"),
)


def make_controls(explorer: Any) -> dict[str, Any]:
    """Return the explorer's controls by name, each telling the explorer when it was changed."""
    shelf = explorer.shelf
    made = {name: controls.chooser(shelf, name) for name in shelf.choosers}
    for name, control in made.items():
        control.observe(lambda change, name=name: explorer.chosen(name), "value")
    several = {
        "beside": controls.compare_chooser(shelf),
        "same_axes": controls.switch("same axes", tooltip="Give both panels the same axes", value=True),
        "score": controls.score_chooser(shelf.scores),
        "view": controls.view_chooser(),
        "quantity": controls.quantity_chooser(shelf.quantities),
        "more": controls.drawer_chooser(DRAWERS),
        "large_text": controls.switch("large text", tooltip="Text that is legible from the back row"),
    }
    several["score"].value = "es"
    for name, control in several.items():
        control.observe(lambda change, name=name: explorer.changed(name), "value")
    several["ood"] = controls.Several("Against", shelf.ood, changed=lambda: explorer.changed("ood"))
    several["threshold"] = ThresholdBar(changed=lambda: explorer.changed("threshold"))
    several["reset"] = widgets.Button(
        description="reset", tooltip="Back to the first settings", layout={"width": "auto"}
    )
    several["reset"].on_click(lambda _: explorer.reset())
    return made | several


def arrange(explorer: Any) -> list[widgets.Widget]:
    """Return the explorer's parts from top to bottom."""
    get, shelf = explorer.controls, explorer.shelf
    # As large as the picture and no larger, so that shares of the one are shares of the other.
    frame = widgets.Box([explorer.picture, explorer.bands], layout={"overflow": "hidden", "margin": "0"})
    frame.add_class("isomax-viz-frame")
    stage = widgets.Box([frame], layout={"min_height": f"{PICTURE_HEIGHT}px", "overflow": "hidden"})
    stage.add_class("isomax-viz-picture")
    beside = widgets.HBox([get["beside"], get["same_axes"]], layout={"flex_flow": "row wrap"})
    beside.layout.display = None if len(shelf) > 1 else "none"
    last = widgets.HBox([get["more"], get["large_text"], get["reset"]], layout={"flex_flow": "row wrap"})
    choosers = [get[name] for name in shelf.choosers]
    above = [widgets.HTML(words.CSS), *choosers, beside, get["score"], get["ood"], get["view"], get["quantity"]]
    return [*above, explorer.message, stage, get["threshold"], explorer.summary, last, explorer.drawer]


def look_of(explorer: Any) -> Look:
    """Return all that determines the picture, as the controls stand."""
    get, number = explorer.controls, explorer.number
    other, score, ood = get["beside"].value, get["score"].value, get["ood"].value
    numbers = (number,) if other in (controls.ALONE, number) else (number, other)
    if get["view"].value == "features":
        ood = with_features(explorer, numbers, ood)
    return Look(
        view=get["view"].value,
        captures=numbers,
        score=score,
        ood=ood,
        threshold=thresholds_of(explorer, numbers, score, ood),
        quantity=get["quantity"].value or "accuracy",
        same_axes=get["same_axes"].value,
        theme="talk" if get["large_text"].value else "paper",
    )


def with_features(explorer: Any, numbers: tuple[int, ...], ood: tuple[str, ...]) -> tuple[str, ...]:
    """Return the sets whose features all these captures have; all of them if none has any, for the figure to say so."""
    captures = [explorer.shelf.captures[number] for number in numbers]
    there = [name for name in ood if all(item.ood[name].features is not None for item in captures if name in item.ood)]
    return tuple(there) or ood


def thresholds_of(explorer: Any, numbers: tuple[int, ...], score: str, ood: tuple[str, ...]) -> tuple[float, ...]:
    """Return the threshold of each of these captures for what is chosen: a rule, or a number on the first one."""
    chosen, value = [explorer.shelf.captures[number] for number in numbers], explorer.controls["threshold"].value
    if isinstance(value, str):
        return tuple(find_threshold(capture, ood, score=score, rule=value) for capture in chosen)
    return (value, *(same_share(value, chosen[0], other, score=score) for other in chosen[1:]))


def neighbours(explorer: Any) -> list[Look]:
    """Return the looks, not drawn yet, that one more click on the control used last would give."""
    look, name = explorer.look, explorer.last
    if name == "view":
        looks = [replace(look, view=view) for view in VIEWS]
    elif name == "score":
        looks = [_moved(explorer, look, look.captures, score) for score in explorer.shelf.scores]
    else:
        numbers = range(len(explorer.shelf))
        looks = [_moved(explorer, look, (number, *look.captures[1:]), look.score) for number in numbers]
    return [item for item in looks if item is not None and not explorer.painter.knows(item)]


def _moved(explorer: Any, look: Look, numbers: tuple[int, ...], score: str) -> Look | None:
    try:
        thresholds = thresholds_of(explorer, numbers, score, look.ood)
    except ValueError:
        return None  # a capture without this set or without distances
    return replace(look, captures=numbers, score=score, threshold=thresholds)
