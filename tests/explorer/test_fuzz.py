"""States of the explorer that are wrong in any way: restored or refused, and then nothing has changed."""

from __future__ import annotations

import json

import pytest
from explorer_captures import make_capture
from fuzzing import changed, hostile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from isomax_viz import explore, explore_risk

fuzzed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module", params=[explore, explore_risk])
def view(request):
    capture = make_capture("isomax")
    return request.param([capture, make_capture("isomax", seed=1)] if request.param is explore else capture)


def restore(view, state) -> None:
    before = view.state()
    try:
        view.restore(state)
    except (ValueError, TypeError) as error:
        assert str(error) and view.state() == before
    else:
        assert json.loads(json.dumps(view.state())) == view.state()
        view.restore(before)


@fuzzed
@given(state=hostile)
@example(state="[" * 100_000)
@example(state={"threshold": {"share": 10**400}})
@example(state={"beside": {"score": []}})
def test_any_state_is_restored_or_refused(view, state):
    restore(view, state)
    restore(view, json.dumps(state))


@fuzzed
@given(place=st.integers(0, 40), new=hostile, drop=st.booleans())
def test_a_changed_state_is_restored_or_refused(view, place, new, drop):
    restore(view, changed(view.state(), place, new, drop=drop))
