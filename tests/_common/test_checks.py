"""Words of argument errors that no other test sees."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from isomax_viz._common.checks import check_choice, check_labels, check_matrix


@pytest.mark.parametrize(("written", "meant"), [("msd", "mds"), ("pms", "mps"), ("mdss", "mds")])
def test_swapped_letters_are_nearer_than_other_ones(written, meant):
    with pytest.raises(ValueError, match=f"Did you mean '{meant}'"):
        check_choice("score", written, ["mps", "es", "mds"])


@pytest.mark.parametrize("text", ["logits.npz", ["cat", "dog"], pd.Series(["cat", "dog"]), np.array([["1", "2"]])])
def test_text_in_the_place_of_numbers_is_called_that(text):
    with pytest.raises(TypeError, match="logits must be an array of real numbers, but its dtype is .*np.load"):
        check_matrix("logits", text)
    with pytest.raises(TypeError, match="labels must be .* in the order of the logits' columns"):
        check_labels("labels", text, rows=2, classes=2)


def test_transposed_logits_are_noticed_by_their_labels():
    with pytest.raises(ValueError, match=r"labels must have shape \(3,\), but has shape \(5,\).*: logits\.T"):
        check_labels("labels", np.zeros(5), rows=3, classes=5)
    with pytest.raises(ValueError, match=r"has shape \(4,\)\. Give one label each\.$"):
        check_labels("labels", np.zeros(4), rows=3, classes=5)
    assert check_labels("labels", np.zeros(5), rows=5, classes=5).tolist() == [0] * 5
