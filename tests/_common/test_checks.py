"""Words of argument errors that no other test sees."""

from __future__ import annotations

import pytest

from isomax_viz._common.checks import check_choice


@pytest.mark.parametrize(("written", "meant"), [("msd", "mds"), ("pms", "mps"), ("mdss", "mds")])
def test_swapped_letters_are_nearer_than_other_ones(written, meant):
    with pytest.raises(ValueError, match=f"Did you mean '{meant}'"):
        check_choice("score", written, ["mps", "es", "mds"])
