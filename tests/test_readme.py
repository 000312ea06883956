"""README: every file it points to is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_every_relative_link_leads_somewhere():
    targets = re.findall(r"\]\(([^)#\s]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    relative = [target for target in targets if "://" not in target]
    assert len(relative) >= 2  # the pictures at least
    assert [target for target in relative if not (ROOT / target).exists()] == []
