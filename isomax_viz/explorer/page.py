"""Captures as one HTML file: the browser module, and answers to all that it may ask."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

import isomax_viz
from isomax_viz._common.checks import check_choice
from isomax_viz._common.files import write_text
from isomax_viz.analysis.chosen import Captures
from isomax_viz.analysis.scores import Score
from isomax_viz.captures.samples import Samples
from isomax_viz.explorer import data
from isomax_viz.explorer.bundle import module
from isomax_viz.explorer.choices import Shelf
from isomax_viz.explorer.pictures import find_images, sheet
from isomax_viz.explorer.views import VIEWS

__all__ = ["READ", "saved_answers", "to_html", "write_page"]

MANY = 400_000  # scores; beyond, a page holds them sorted: exact counts, but no single image
FEW = 300_000  # logits that a page holds image by image
PIXELS = 2_000_000  # of pictures that a page holds

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="{charset}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="isomax_viz {version}">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src {hash}">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0; padding: .6rem 1rem; background: #fff; color: #1a1a1a; font: 14px/1.45 system-ui, sans-serif; }}
h1 {{ font-size: 1.1rem; margin: 0 0 .4rem; overflow-wrap: anywhere; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #1c1c1e; color: #ececf0; }} }}
</style>
</head>
<body>
<h1>{title}</h1>
<noscript><p>This page draws its figures with JavaScript, which is switched off here.</p></noscript>
<main id="explorer"></main>
<script id="data" type="application/json">{data}</script>
{more}<script type="module">{script}</script>
</body>
</html>
"""
READ = """
const page = JSON.parse(document.getElementById("data").textContent);
let state = page.state ?? {};
try {
  if (location.hash) state = JSON.parse(decodeURIComponent(location.hash.slice(1)));
} catch { /* a link of another kind */ }
"""
START = """
globalThis.explorer = mount(document.getElementById("explorer"), { data: page.data, saved: page.saved, state });
"""


def to_html(
    captures: Captures | Shelf,
    path: str | Path = "explorer.html",
    *,
    ood: str | Iterable[str] | None = None,
    scores: str | Callable[[Samples], Any] | Iterable[Any] | None = None,
    title: str | None = None,
    start: Mapping[str, Any] | None = None,
) -> Path:
    """Write one HTML file in which network, score, sets, view and threshold can be chosen in any browser, offline.

    Parameters
    ----------
    captures : Capture, list of Capture, mapping of name to Capture, or Shelf
        What to choose from, as for :func:`isomax_viz.explore`. Those that have none of the sets, or nothing that a
        score needs, are left out.
    path : str or Path
        Where to write; an existing file is replaced.
    ood : str or list of str, optional
        Out-of-distribution sets to choose from; by default all.
    scores : str, callable or list of them, optional
        Scores to choose from: keys of ``iv.scores.SCORES``, names of score columns, or your own functions; by default
        all that the captures give.
    title : str, optional
        Heading of the page; by default what the captures have in common.
    start : mapping, optional
        What the page shows first: ``network`` (number of the capture), ``score``, ``ood`` (list), ``view``,
        ``threshold`` (``"tpr95"``, ``"dtacc"``, ``{"share": 0.99}`` or a number) and what else the explorer's ``look``
        holds.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    ValueError
        If a name is not on offer, two scores share one, or no capture has a set and what a score needs.
    OSError
        If the file cannot be written.

    Notes
    -----
    The page is the explorer itself with all numbers inside; counts are exact at every threshold. With more than 400,000
    scores the page holds them sorted and to six digits, so that it stays small: it counts as exactly, but shows no
    image. Names and words of the captures cannot run as code.

    Examples
    --------
    >>> import tempfile
    >>> from isomax_viz import Capture
    >>> capture = Capture.from_arrays([[9.0, 0.0]], [0], ood={"mine": [[0.3, 0.1]]}, loss="softmax")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = to_html(capture, Path(folder) / "explorer.html")
    ...     path.name, path.stat().st_size < 200_000
    ('explorer.html', True)
    """
    shelf = captures if isinstance(captures, Shelf) else Shelf(captures)
    names, chosen = data.sets_of(shelf, ood), data.scores_of(shelf, scores)
    kept = data.networks_of(shelf, chosen, names)
    wanted = _start(start or {}, kept, [score.key for score in chosen], names)
    shelf = shelf.only(kept, names)
    content = data.digest(shelf, chosen, names)
    amount = sum(sum(network["n"].values()) * len(network["scores"]) for network in content["networks"])
    content["counts_only"] = amount > MANY
    content = {
        "data": content,
        "state": wanted,
        "saved": saved_answers(shelf, content, {score.key: score for score in chosen}),
    }
    return write_page(path, content, module() + READ + START, title=title or _title(shelf))


def write_page(
    path: str | Path, content: Mapping[str, Any], script: str, *, title: str, more: str = "", charset: str = "utf-8"
) -> Path:
    """Write a page whose script finds ``content`` in it; nothing else can run there.

    Parameters
    ----------
    path : str or Path
    content : mapping
        JSON values.
    script : str
        An ECMAScript module.
    title : str
    more : str
        Markup beside the content.
    charset : {"utf-8", "windows-1252"}
        The second for a page of ASCII and of bytes that stand in ``more`` as letters.

    Returns
    -------
    Path
        Where it was written.
    """
    # "<" is the only letter with which a name inside the data could end the script element that holds them.
    ascii_only = charset != "utf-8"
    text = json.dumps(content, allow_nan=False, ensure_ascii=ascii_only, separators=(",", ":")).replace("<", "\\u003c")
    digested = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    about = {"version": isomax_viz.__version__, "charset": charset, "title": escape(title), "data": text, "more": more}
    page = PAGE.format(**about, hash=f"'sha256-{digested}'", script=script)
    path = Path(path).expanduser()
    check_choice("The suffix of path", path.suffix.lower(), [".html"])  # browsers show others as text
    write_text(path, page, remedy="Choose another path.", encoding="latin-1" if ascii_only else "utf-8")
    return path


def _start(wanted: Mapping[str, Any], numbers: list[int], scores: list[str], names: list[str]) -> dict[str, Any]:
    """Return what the page shows first; the browser replaces what it cannot show."""
    number = wanted.get("network", numbers[0])
    if number not in numbers:
        raise ValueError(
            f"start['network'] must be the number of a capture with one of the sets {names!r}, one of {numbers}, "
            f"but is {number!r}."
        )
    beside = wanted.get("beside")
    if beside is not None:
        beside = dict(beside, network=numbers.index(beside["network"])) if beside["network"] in numbers else None
    state = {"score": "es" if "es" in scores else scores[0], "ood": names[:1]} | dict(wanted)
    return state | {"network": numbers.index(number), "beside": beside}


def _title(shelf: Shelf) -> str:
    """Return what all captures have in common, in words."""
    metas = [capture.meta for capture in shelf.captures]
    common = [metas[0].get(name) for name in ("data", "backbone") if len({meta.get(name) for meta in metas}) == 1]
    return " · ".join(["Out-of-distribution detection", *(str(value) for value in common if value)])


def saved_answers(
    shelf: Shelf, content: Mapping[str, Any], scores: Mapping[str, Score], *, lean: bool = False
) -> dict[str, Any]:
    """Return the answers to all requests, each content once; lean: sorted scores and pictures only."""
    numbers = data.Numbers(shelf, scores)
    answers: dict[str, Any] = {}
    buffers: dict[str, Any] = {}

    def keep(request: dict[str, Any], answer: Any, given: list[bytes]) -> None:
        packed_answer, places = data.packed(answer, given), []
        for content in given:
            key = hashlib.sha256(content).hexdigest()[:16]
            buffers.setdefault(key, base64.b64encode(zlib.compress(content, 9)).decode())
            places.append(key)
        asked = json.dumps(request, ensure_ascii=False, separators=(",", ":"))
        answers[asked] = {"json": packed_answer, "buffers": places}

    for request in _requests(shelf, content):
        if lean and request["what"] != "scores":
            continue
        given: list[bytes] = []
        answer = numbers.answer(request)
        if "columns" in answer and (lean or content["counts_only"]):
            answer["columns"] = _counted(answer["columns"], given, negated=request["name"] == "entropy")
        keep(request, answer, given)
    for name, images in _pictures(shelf, content):
        keep({"what": "pictures", "name": name}, sheet(images), [])
    return {"answers": answers, "buffers": buffers}


def _counted(columns: Mapping[str, np.ndarray], buffers: list[bytes], *, negated: bool) -> dict[str, Any]:
    """Return columns as sorted values of six digits whose order and ties are exact.

    Entropies travel as the entropic score, which is their negative and on the page already.
    """
    given = {name: -values for name, values in columns.items()} if negated else columns
    kept = data.in_single_precision(given, step=16)
    return {name: {"sorted": _steps(values, buffers), "negated": negated} for name, values in kept.items()}


def _steps(values: np.ndarray, buffers: list[bytes]) -> dict[str, Any]:
    """Append sorted float32 values as steps between their order keys, four planes of bytes: a third of the size."""
    keys = np.sort(data.order_keys(values))
    steps = np.diff(keys, prepend=0).astype(np.int64) & 0xFFFFFFFF
    buffers.append(steps.astype("<u4").view(np.uint8).reshape(-1, 4).T.tobytes())
    return {"buffer": len(buffers) - 1, "type": "steps"}


def _requests(shelf: Shelf, content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for number, (capture, network) in enumerate(zip(shelf.captures, content["networks"], strict=True)):
        for key in network["scores"]:
            yield {"what": "scores", "network": number, "name": key}
        for key in network["views"]:
            if VIEWS[key].send is not None:
                yield {"what": "view", "network": number, "name": key}
        if content["counts_only"]:
            continue
        few = sum(network["n"].values()) * capture.test.classes * len(shelf) <= FEW
        for name in network["n"]:
            yield {"what": "labels", "network": number, "name": name}
            if few:
                yield {"what": "logits", "network": number, "name": name}


def _pictures(shelf: Shelf, content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Go through the pictures of all sets, where all networks saw the same ones and they are small enough."""
    alike = ("data", "held_out_classes", "every")
    metas = [tuple(capture.meta.get(key) for key in alike) for capture in shelf.captures]
    if content["counts_only"] or metas[0][0] is None or any(meta != metas[0] for meta in metas):
        return
    pixels = 0
    for name in ["ID", *content["sets"]]:
        capture = next(item for item in shelf.captures if name == "ID" or name in item.ood)
        try:
            images = find_images(capture, "test" if name == "ID" else name, {})
        except (ValueError, OSError):  # the page then says that it has no picture
            continue
        pixels += images.images.size
        if pixels <= PIXELS:
            yield name, images
