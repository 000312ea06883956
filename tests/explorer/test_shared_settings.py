"""What the browser module spells out beside the kernel is the same there."""

from __future__ import annotations

import re
import subprocess

import pytest

from isomax_viz.analysis.thresholds import RULES
from isomax_viz.explorer.bundle import lesson_module, module, text


def test_rules_of_a_threshold_on_offer_are_those_that_restore_takes():
    assert re.findall(r'^  \["[^"]+", "(\w+)", ', text("threshold.js"), re.MULTILINE) == list(RULES)


@pytest.mark.parametrize("joined", [module, lesson_module])
def test_no_two_parts_of_a_module_call_something_alike(joined):
    deno = pytest.importorskip("deno", reason="Deno is not installed; the extra 'test' brings it")
    rules = ["--no-config", "--rules-tags=", "--rules-include=no-redeclare"]
    command = [deno.find_deno_bin(), "lint", *rules, "--ext=js", "-"]
    done = subprocess.run(command, input=joined(), capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Checked 1 file" in done.stderr, done.stdout + done.stderr
