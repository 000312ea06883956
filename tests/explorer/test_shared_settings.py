"""What the browser module spells out beside the kernel is the same there."""

from __future__ import annotations

import re

from isomax_viz.analysis.thresholds import RULES
from isomax_viz.explorer.bundle import text


def test_rules_of_a_threshold_on_offer_are_those_that_restore_takes():
    assert re.findall(r'^  \["[^"]+", "(\w+)", ', text("threshold.js"), re.MULTILINE) == list(RULES)
