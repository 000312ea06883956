"""Descriptions of experiments that are wrong in any way: an experiment or a ValueError, never another error.

Some hundred cases in every run; ``pytest --hypothesis-profile nightly`` tries many more.
"""

from __future__ import annotations

import json

from fuzzing import changed, hostile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from isomax_viz import Experiment

WHOLE = Experiment(
    loss="isomax+", outliers="energy", outlier_data="noise", held_out_classes=(8, 9), energy_margins=(-25, -7)
)
unhurried = settings(deadline=None)
names = st.sampled_from(sorted(Experiment.model_fields)) | st.text(max_size=8)


def read(function, document) -> None:
    try:
        found = function(document)
    except ValueError as error:
        assert str(error)
    else:
        assert Experiment.from_json(found.to_json()) == found


@unhurried
@given(text=st.text(max_size=40) | hostile.map(json.dumps))
@example(text="[" * 100_000)
@example(text='{"a":' * 100_000)
@example(text='{"seed": ' + "9" * 5000 + "}")
def test_any_text_is_an_experiment_or_refused(text):
    read(Experiment.from_json, text)


@unhurried
@given(settings=st.dictionaries(names, hostile, max_size=4))
@example(settings={"seed": 10**400})
@example(settings={"entropic_scale": 10**400, "loss": "isomax"})
@example(settings={"backbone": "shutil:rmtree#0"})
def test_any_settings_are_an_experiment_or_refused(settings):
    read(Experiment.from_json, json.dumps(settings))
    read(Experiment.from_meta, {"loss": "isomax", "preset": "smoke", **settings})


@unhurried
@given(place=st.integers(0, 60), new=hostile, drop=st.booleans())
def test_a_changed_description_is_an_experiment_or_refused(place, new, drop):
    read(Experiment.from_json, json.dumps(changed(json.loads(WHOLE.to_json()), place, new, drop=drop)))
    read(Experiment.from_meta, changed(dict(WHOLE.meta), place, new, drop=drop))


@unhurried
@given(meta=hostile)
def test_any_meta_leads_to_an_experiment_or_is_refused(meta):
    read(Experiment.from_meta, meta)
