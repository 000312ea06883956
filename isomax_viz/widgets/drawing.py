"""What follows a change in the explorer: picture and numbers at once; what stands below and the next pictures later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from isomax_viz.analysis.thresholds import score_range
from isomax_viz.catalog.style import data_style
from isomax_viz.widgets import lessons, panel, words
from isomax_viz.widgets.views import VIEWS, Look

__all__ = ["refresh_drawer", "show_pictures", "update"]

AHEAD = 8  # pictures that are drawn while nobody asks for anything


def update(explorer: Any) -> None:
    """Show what an explorer's controls say; nothing of a former picture stays beside an error."""
    explorer.idle.cancel()
    try:
        drawn = explorer.guarded(_draw, explorer)
    except Exception:
        explorer.picture.layout.visibility, explorer.summary.value = "hidden", ""
        raise
    explorer.picture.layout.visibility = "visible" if drawn else "hidden"
    if drawn:
        chosen = explorer.drawers.get(explorer.controls["more"].value)
        explorer.drawer.children = () if chosen is None else (chosen,)
        explorer.slow.do(explorer.guarded, refresh_drawer, explorer)
        explorer.idle.prepare(_ahead, explorer, panel.neighbours(explorer)[:AHEAD])
    else:
        explorer.summary.value = ""


def _draw(explorer: Any) -> None:
    get, capture = explorer.controls, explorer.capture
    with explorer.silently():
        get["ood"].offer([name for name in explorer.shelf.ood if name in capture.ood])
    look = explorer.look
    with _pale_until_drawn(explorer, look):
        picture = explorer.painter.picture(look)
        explorer.picture.value = picture.png
    explorer.bands.put(picture.place)
    low, high = score_range(capture, look.ood, score=look.score)
    get["threshold"].show(look.threshold[0], low=low, high=high)
    absent = [data_style(name).label for name in get["ood"].value if name not in look.ood]
    remark = words.sentence_html(f"Recorded without features: {', '.join(absent)}.") if absent else ""
    explorer.summary.value = explorer.numbers.html(look) + remark + words.sentence_html(picture.words)
    for name, needed in (
        ("threshold", "threshold" in VIEWS[look.view].uses),
        ("same_axes", len(look.captures) == 2 and "same_axes" in VIEWS[look.view].uses),
        ("quantity", "quantity" in VIEWS[look.view].uses),
    ):
        get[name].layout.display = None if needed else "none"


@contextmanager
def _pale_until_drawn(explorer: Any, look: Look) -> Iterator[None]:
    """Make the former picture pale while another is drawn: the buttons say already what is to come."""
    if explorer.painter.knows(look):
        yield
        return
    explorer.picture.add_class(words.STALE)
    try:
        yield
    finally:
        explorer.picture.remove_class(words.STALE)


def refresh_drawer(explorer: Any) -> None:
    """Bring what stands below an explorer's picture up to date, if it is open."""
    name, look = explorer.controls["more"].value, explorer.look
    if name == "explain":
        losses = tuple(explorer.shelf.captures[number].loss for number in look.captures)
        explorer.lesson.value = lessons.lesson_html(losses, look.score)
    elif name == "pictures":
        explorer.gallery.refresh()
    elif name == "one_image":
        explorer.one_image.refresh()
    elif name == "take_away":
        explorer.take_away.forget()


def show_pictures(explorer: Any, low: float, high: float) -> None:
    """Open the images whose scores lie in a part of the axis, in percent of the way along it."""
    explorer.gallery.choose_range(low, high)
    if explorer.controls["more"].value == "pictures":
        explorer.slow.do(explorer.guarded, refresh_drawer, explorer)
    else:
        explorer.controls["more"].value = "pictures"  # which brings the drawer up to date


def _ahead(explorer: Any, looks: list[Look]) -> None:
    """Draw one picture that may be asked for next, and the others after a pause: the kernel stays responsive."""
    try:
        explorer.painter.picture(looks[0])
    except (ValueError, IndexError):
        return  # shown once somebody chooses it
    explorer.idle.prepare(_ahead, explorer, looks[1:])
