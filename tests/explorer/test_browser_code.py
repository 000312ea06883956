"""The browser module's own checks: format, linter, types and tests, by Deno, which comes as a wheel."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

deno = pytest.importorskip("deno", reason="Deno is not installed; the extra 'test' brings it")
ROOT = Path(__file__).parents[2]
CODE = "isomax_viz/explorer/browser/"


CHECKS = (["fmt", "--check"], ["lint"], ["check", CODE], ["test", "--no-remote"])


@pytest.mark.parametrize("check", CHECKS, ids=" ".join)
def test_the_browser_code_passes(check):
    done = subprocess.run([deno.find_deno_bin(), *check], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
