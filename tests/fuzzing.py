"""JSON documents that are wrong in any way, for tests of what reads them."""

from __future__ import annotations

import copy

from hypothesis import strategies as st

numbers = st.integers() | st.sampled_from([2**63, -(2**63) - 1, 10**400]) | st.floats()
leaves = st.none() | st.booleans() | numbers | st.text(st.characters(exclude_categories=()), max_size=10)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


hostile = (
    values | st.builds(nested, st.integers(0, 600)) | st.dates().map(str) | st.sampled_from(["9999-12-31T23:59-23:00"])
)


def places(value: object, path: tuple = ()) -> list[tuple]:
    """Return the way to every part of a JSON document."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key in keys for place in places(value[key], (*path, key))]


def changed(document: dict, place: int, new: object, *, drop: bool) -> dict:
    document = copy.deepcopy(document)
    ways = places(document)
    *way, last = ways[place % len(ways)]
    inside = document
    for key in way:
        inside = inside[key]
    if drop:
        del inside[last]
    else:
        inside[last] = new
    return document
