"""Settings that the browser module and the kernel both know, each in its own words, are the same."""

from __future__ import annotations

import json
import re

from isomax_viz.analysis.thresholds import RULES
from isomax_viz.explorer.bundle import text
from isomax_viz.explorer.widget import AXES, DRAWERS, START


def constant(name, file):
    """Return an object of the browser module, whose literals are JSON but for quotes and last commas."""
    (found,) = re.findall(rf"^const {name} = (\{{.*?\}});$", text(file), re.MULTILINE | re.DOTALL)
    return json.loads(re.sub(r",(\s*\})", r"\1", re.sub(r"(\w+): ", r'"\1": ', found)))


def test_an_explorer_begins_in_the_browser_as_in_the_kernel():
    assert constant("START", "explorer.js") == START


def test_axes_drawers_and_rules_on_offer_are_those_that_restore_takes():
    assert tuple(constant("AXES", "controls.js")) == AXES
    assert ("", *constant("TABS", "controls.js")) == DRAWERS
    assert re.findall(r'^  \["[^"]+", "(\w+)", ', text("threshold.js"), re.MULTILINE) == list(RULES)
