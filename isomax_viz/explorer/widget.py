"""The explorer in a notebook: the browser draws, the kernel answers when numbers, pictures or files are needed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import traitlets
from matplotlib.figure import Figure

from isomax_viz import figures
from isomax_viz._common.checks import check_choice, check_known, check_number, check_ood
from isomax_viz._common.files import csv_text, short_name, write_text
from isomax_viz.analysis import metrics
from isomax_viz.analysis import scores as scores_module
from isomax_viz.analysis.chosen import Captures
from isomax_viz.analysis.histograms import KNOWN
from isomax_viz.analysis.images import nearest_training
from isomax_viz.analysis.risks import cheapest_threshold
from isomax_viz.analysis.thresholds import RULES, find_threshold, same_share
from isomax_viz.captures.capture import Capture
from isomax_viz.datasets import ImageSet
from isomax_viz.explorer.cells import BrowserView
from isomax_viz.explorer.choices import Shelf
from isomax_viz.explorer.data import Numbers, digest, gives, scores_of, sets_of
from isomax_viz.explorer.page import to_html
from isomax_viz.explorer.pictures import Networks, find_images, on_pad, read_image, sheet
from isomax_viz.explorer.views import AXES, COSTS, DRAWERS, FORMATS, START, VIEWS, View
from isomax_viz.figures import describe, save_figure
from isomax_viz.figures._canvas import png

__all__ = ["Explorer", "check_mapping", "checked_costs", "explore", "plain_call"]

PANEL = (4.8, 3.3)  # inches of each of two panels


class Explorer(BrowserView):
    """Captures under controls for all that can be chosen; see :func:`isomax_viz.explore`.

    Attributes
    ----------
    look : dict
        What the browser shows, as it says it; :meth:`state` is the same by name. It can be observed.
    selected : list
        The images that were chosen in the plot, as [set, index in it]; "test" is the known set. It can be observed.

    Examples
    --------
    >>> sets = {"letters": [[0.3, 0.1]], "patches": [[0.0, 0.2]]}
    >>> view = Explorer(Capture.from_arrays([[9.0, 0.0], [1.0, 8.0]], [0, 1], ood=sets, loss="softmax"))
    >>> view.state()["score"], view.state()["ood"], view.state()["threshold"]
    ('es', ['letters'], 'tpr95')
    >>> view.restore({"score": "mps"}).state()["score"]
    'mps'
    """

    selected: traitlets.List = traitlets.List().tag(sync=True)

    def __init__(
        self,
        captures: Captures,
        *,
        scores: Sequence[str] | None = None,
        images: Mapping[str, ImageSet] | None = None,
        folder: str | Path = ".",
        store: str | Path | None = None,
    ) -> None:
        self.shelf = Shelf(captures)
        self.folder, self._own_images = Path(folder), dict(images or {})
        self._sets = sets_of(self.shelf, None)
        self._scores = {score.key: score for score in scores_of(self.shelf, scores)}
        self._numbers = Numbers(self.shelf, self._scores)
        self._images = cache(self._find_images)  # found and checked once
        self._networks = Networks(self.shelf.captures, store)
        first = next(iter(self.shelf.captures[0].ood), self._sets[0])
        score = "es" if "es" in self._scores else next(iter(self._scores))
        super().__init__(START | {"ood": [first], "score": score})

    def __repr__(self) -> str:
        return f"Explorer({len(self.shelf)} captures; the controls need a running notebook)"

    def _answer(self, request: dict[str, Any], buffers: list[Any], found: list[bytes]) -> Any:
        what = request["what"]
        if what == "start":
            metas = [capture.meta for capture in self.shelf.captures]
            able = {
                "judges": any(meta.get("id") for meta in metas),
                "pad": all(m.get("data") == "digits" for m in metas),
            }
            return digest(self.shelf, list(self._scores.values()), self._sets) | able
        if what == "pictures":
            return sheet(self._images(request["network"], request["name"]), request["indices"])
        if what == "nearest":
            capture, name = self.shelf.captures[request["network"]], request["name"]
            rows = nearest_training(capture, "test" if name == KNOWN else name, request["index"])
            return rows.to_dict("list")
        if what == "judge":
            return self._judge(request, buffers)
        if what == "save":
            return {"path": str(self.save(self._file_name(request["suffix"])))}
        return {"code": self.code()} if what == "code" else self._numbers.answer(request)

    def _find_images(self, number: int, name: str) -> ImageSet:
        return find_images(self.shelf.captures[number], "test" if name == KNOWN else name, self._own_images)

    def _judge(self, request: dict[str, Any], buffers: list[Any]) -> dict[str, Any]:
        """Return what the networks that differ in their loss only say about one picture."""
        known = self._networks.known(request["network"]).test
        drawn = on_pad(request["pad"]) if "pad" in request else read_image(bytes(buffers[0]), request["name"])
        image, rows = drawn.matched_to(known), []
        own = self.shelf.places[request["network"]]
        for number, place in enumerate(self.shelf.places):
            if any(place[name] != own[name] for name in place if name not in ("loss", "entropic_scale")):
                continue
            try:
                said = self._networks.judge(number, image)
            except (ValueError, OSError, ImportError) as error:
                rows.append({"network": number, "words": str(error)})
                continue
            computed = [key for key in self._given(number) if key in scores_module.SCORES]
            scores = {key: float(scores_module.compute(key, said)[0]) for key in computed}
            called = known.class_names[int(said.require("predictions")[0])]
            rows.append({"network": number, "scores": scores, "called": called})
            rows[-1]["probability"] = float(said.max_probabilities[0])
        return {"rows": rows, **sheet(image)}

    def _given(self, number: int) -> list[str]:
        """Return the scores that a capture gives."""
        capture = self.shelf.captures[number]
        return [key for key, score in self._scores.items() if gives(capture, score, list(capture.ood))]

    def state(self) -> dict[str, Any]:
        """Return the settings as plain JSON values; :meth:`restore` takes them back."""
        look, beside = dict(self.look), self.look["beside"]
        look["beside"] = beside and {**self._named(beside["network"]), "score": beside["score"]}
        return self._named(look.pop("network")) | look

    def _named(self, number: int) -> dict[str, Any]:
        return {name: self.shelf.places[number][name] for name in self.shelf.choosers}

    def restore(self, state: Mapping[str, Any] | str) -> Explorer:
        """Set what :meth:`state` returned (or its JSON); what is left out stays as it is.

        Parameters
        ----------
        state : mapping or str
            Settings by name.

        Returns
        -------
        Explorer
            Itself.

        Raises
        ------
        TypeError, ValueError
            If a name or value is not on offer. Nothing is changed then.

        Examples
        --------
        >>> view = Explorer(Capture.from_arrays([[9.0, 0.0]], [0], ood={"mine": [[0.3, 0.1]]}, loss="softmax"))
        >>> view.restore('{"score": "mps", "view": "entropy"}').state()["view"]
        'entropy'
        """
        try:
            wanted = dict(check_mapping("state", json.loads(state) if isinstance(state, str) else state))
        except RecursionError as error:
            raise ValueError(f"state is no JSON of state(): {error}.") from error
        choosers = self.shelf.choosers
        check_known("state", wanted, [*choosers, *(name for name in START if name != "network")])
        place = {name: wanted.pop(name) for name in choosers if name in wanted}
        look = self.look | wanted
        if place:
            look["network"] = self.shelf.find(place, near=self._named(look["network"]))
        if wanted.get("beside") is not None:
            other = dict(check_mapping("beside", wanted["beside"]))
            look["beside"] = {"score": other.pop("score", None), "network": self.shelf.find(other)}
        if _by_cost(look) and "threshold" not in wanted:
            look["threshold"] = {"costs": look["costs"]}
        self._check(look)
        self.look = look
        return self

    def _check(self, look: dict[str, Any]) -> None:
        capture, beside = self.shelf.captures[look["network"]], look["beside"]
        look["ood"] = check_ood(_names("ood", look["ood"]), capture.ood)
        check_choice("score", look["score"], self._given(look["network"]))
        if beside and beside["score"] is not None:
            check_choice("beside['score']", beside["score"], self._given(beside["network"]))
        check_choice("view", look["view"], [key for key, view in VIEWS.items() if view.given(capture)])
        check_choice("quantity", look["quantity"], [START["quantity"], *self.shelf.quantities])
        check_choice("axes", look["axes"], AXES)
        check_choice("drawer", look["drawer"], ["", *DRAWERS])
        if not isinstance(look["present"], bool):
            raise ValueError(f"present must be True or False, but is {look['present']!r}.")
        for name in ("selection", "zoom"):
            if not isinstance(look[name], (Mapping, list, type(None))):
                raise TypeError(f"{name} must be None or what state() returned, but is {look[name]!r}.")
        look["threshold"] = _threshold(look["threshold"])
        look["costs"] = look["threshold"]["costs"] if _by_cost(look) else checked_costs(look["costs"])

    def code(self) -> str:
        """Return the plain Python that draws the same figure."""
        name, numbers, options = plain_call(self.look, self.shelf.captures)
        words = [f"captures[{number}]" for number in numbers]
        arguments = [words[0] if len(words) == 1 else f"[{', '.join(words)}]"]
        grid = len(words) == 2 and VIEWS[self.look["view"]].kind in EACH
        arguments = [name, *arguments] if grid else arguments
        arguments += [f"{key}={value!r}" for key, value in options.items()]
        call = f"{'iv.plot_grid' if grid else name}({', '.join(arguments)})"
        return f"import isomax_viz as iv\n\n# captures: the list that explore() was given\n{call}"

    def _draw(self) -> Figure:
        _, numbers, options = plain_call(self.look, self.shelf.captures)
        view, captures = VIEWS[self.look["view"]], [self.shelf.captures[number] for number in numbers]
        if len(captures) == 2 and view.kind in EACH:
            return figures.plot_grid(view.plot, captures, **options)
        return view.plot(captures[0] if len(captures) == 1 else captures, **options).get_figure(root=True)

    def _file_name(self, suffix: str) -> str:
        if suffix == "html":
            return "explorer.html"  # holds every loss, score and view
        look, view = self.look, VIEWS[self.look["view"]]
        losses = [self.shelf.captures[number].loss for number in plain_call(look, self.shelf.captures)[1]]
        parts = [look["view"], *losses, *([look["score"]] if "score" in view.uses else [])]
        parts += look["ood"] if "ood" in view.uses else []
        return short_name(re.sub(r"[^\w+.-]+", "-", "_".join(parts))) + f".{suffix}"

    def save(self, path: str | Path) -> Path:
        """Write the figure (.png, .svg, .pdf), its data (.csv), the settings (.json) or all of it as a page (.html).

        Parameters
        ----------
        path : str or Path
            Relative to the explorer's folder. The suffix says what to write.

        Returns
        -------
        Path
            Where it was written.

        Raises
        ------
        ValueError
            If the suffix is another one.
        OSError
            If the place cannot be written.
        """
        path = self.folder / path  # an absolute one stays
        suffix = check_choice("The suffix of path", path.suffix.lower().lstrip("."), FORMATS)
        if suffix in ("png", "svg", "pdf"):
            return save_figure(self._draw(), path)
        if suffix == "html":
            return to_html(self.shelf, path, start=self.look)
        text = json.dumps(self.state(), indent=1) if suffix == "json" else csv_text(self._table())
        write_text(path, text, remedy="Choose a folder that you may write to: explore(captures, folder=...).")
        return path

    def _table(self) -> pd.DataFrame:
        """Return the data that the figure draws, as its table function gives it."""
        view, (_, numbers, options) = VIEWS[self.look["view"]], plain_call(self.look, self.shelf.captures)
        sets = {name: options[name] for name in ("ood", *COSTS) if name in options}
        scores = [{"score": score} if "score" in options else {} for score in _scores(self.look)]
        captures = [self.shelf.captures[number] for number in numbers]
        tables = [view.table(capture, **sets, **score) for capture, score in zip(captures, scores, strict=False)]
        if len(tables) == 1:
            return tables[0]
        return pd.concat([table.assign(capture=k) for k, table in enumerate(tables)], ignore_index=True)

    def to_html(self, path: str | Path = "explorer.html") -> Path:
        """Write one HTML file in which the same captures can be explored without a kernel or a network.

        Parameters
        ----------
        path : str or Path
            Relative to the explorer's folder. The page begins with what is shown now.

        Returns
        -------
        Path
            Where it was written; see :func:`isomax_viz.to_html`.
        """
        return self.save(Path(path).with_suffix(".html"))

    def freeze(self) -> None:
        """Show the view as a plain image below the running cell: it stays where no kernel runs."""
        from IPython.display import HTML, Image, display

        figure = self._draw()
        # As text: names of sets come from anybody, and Markdown would take them as markup.
        display(Image(png(figure), format="png", alt=describe(figure)), HTML(f"<p>{escape(describe(figure))}</p>"))


def explore(
    captures: Captures,
    *,
    images: Mapping[str, ImageSet] | None = None,
    folder: str | Path = ".",
    store: str | Path | None = None,
) -> Explorer:
    """Explore what networks said: toggle loss, score, out-of-distribution sets and view, move the threshold.

    Parameters
    ----------
    captures : Capture, list of Capture or mapping of name to Capture
        What to choose from. Choosers appear for everything in which the captures differ.
    images : mapping of str to ImageSet, optional
        Pictures of your own sets by name ("test" for the known ones); those of the package's sets are found by
        themselves.
    folder : str or Path
        Where figures, data and settings are saved.
    store : str or Path, optional
        Where the trained networks lie that can score an image of your own; by default the usual store.

    Returns
    -------
    Explorer
        A widget: the last line of a cell shows it. Running the cell again closes the former one.

    Raises
    ------
    TypeError
        If there is something else than captures.
    ValueError
        If there is none, or none of them has an out-of-distribution set.

    Examples
    --------
    >>> explore(Capture.from_arrays([[9.0, 0.0]], [0], ood={"mine": [[0.3, 0.1]]}, loss="softmax"))
    Explorer(1 captures; the controls need a running notebook)
    """
    return Explorer(captures, images=images, folder=folder, store=store)


def check_mapping(parameter: str, value: Any) -> Mapping[str, Any]:
    """Return the value if it is a mapping."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{parameter} must be a mapping, such as state() holds, but is {value!r}.")
    return value


def _names(parameter: str, value: Any) -> str | list[str]:
    if not isinstance(value, (str, list, tuple)):
        raise TypeError(f"{parameter} must be a name or a list of names, but is {value!r}.")
    return value if isinstance(value, str) else list(value)


def _threshold(wanted: Any) -> str | float | dict[str, Any]:
    """Return what to hold as a threshold, checked: a rule, a share of the known images, costs, or a number."""
    if isinstance(wanted, str):
        return check_choice("threshold", wanted, RULES, remedy="A number is accepted too, and {'share': 0.99}.")
    if not isinstance(wanted, Mapping):
        return float(check_number("threshold", wanted))
    check_known("threshold", wanted, ("share", "costs"))
    if "share" in wanted:
        return {"share": check_number("threshold['share']", wanted["share"], above=0, at_most=1)}
    return {"costs": checked_costs(wanted.get("costs"))}


def checked_costs(wanted: Any) -> dict[str, float]:
    """Return costs of errors, whole and checked."""
    costs = COSTS | dict(check_mapping("threshold['costs']", wanted))
    check_known("threshold['costs']", costs, COSTS)
    for name, value in costs.items():
        check_number(name, value, at_least=0, at_most=1 if name == "share_unknown" else None)
    return costs


EACH = ("binned", "columns", "matrix", "points")  # one panel per capture


def plain_call(look: Mapping[str, Any], captures: list[Capture]) -> tuple[str, list[int], dict[str, Any]]:
    """Return the plot function by name, the numbers of its captures and its options, which draw what a look shows.

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0]], [0], ood={"mine": [[0.0, 0.0]]}, loss="softmax")
    >>> plain_call(START | {"view": "entropy", "ood": ["mine"]}, [capture])
    ('iv.plot_entropy', [0], {'ood': ['mine']})
    """
    view = VIEWS[look["view"]]
    if view.kind == "cost":
        look = {**look, "beside": None}  # one network has one cost
    numbers = [look["network"]]
    if look["beside"] is not None and (view.kind != "lines" or "quantity" in view.uses):
        numbers.append(look["beside"]["network"])
    chosen = [captures[number] for number in numbers]
    options: dict[str, Any] = {}
    if "ood" in view.uses:
        options["ood"] = _drawable(look, view, chosen)
    if "score" in view.uses:
        options["score"] = _one_or_all(list(dict.fromkeys(_scores(look))))
        options["threshold"] = _one_or_all([float(f"{value:.9g}") for value in _thresholds(look, chosen)])
    if "costs" in view.uses:
        options |= dict(look["costs"]) | ({"threshold": "cheapest"} if _by_cost(look) else {})
    if "quantity" in view.uses:
        options["quantity"] = look["quantity"]
    options |= dict(view.options)
    shared = look["axes"] == "shared"
    if len(numbers) == 2 and view.kind in ("scores", "compare"):
        options |= {"panels": "scores", "share": shared}
    elif len(numbers) == 2 and view.kind in EACH:
        # Of the feature space, each network has a plane of its own.
        options |= {"size": PANEL} | ({} if view.kind == "points" else {"sharex": shared, "sharey": shared})
    if look["present"]:
        options["theme"] = "talk"
    name = view.plot.__name__
    import isomax_viz

    return f"iv.{name}" if name in isomax_viz.__all__ else f"iv.figures.{name}", numbers, options


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _by_cost(look: Mapping[str, Any]) -> bool:
    return isinstance(look["threshold"], Mapping) and "costs" in look["threshold"]


def _drawable(look: Mapping[str, Any], view: View, captures: list[Capture]) -> list[str]:
    names = [name for name in look["ood"] if all(name in capture.ood for capture in captures)]
    if view.kind == "points":
        names = [name for name in names if all(capture.ood[name].features is not None for capture in captures)]
    return names


def _thresholds(look: Mapping[str, Any], captures: list[Capture]) -> list[float]:
    """Return the threshold of each capture for what is held; a number on the first is the same share on the other."""
    wanted, ood, pairs = look["threshold"], look["ood"], list(zip(captures, _scores(look), strict=False))
    if isinstance(wanted, str):
        return [find_threshold(capture, ood, score=score, rule=wanted) for capture, score in pairs]
    if not isinstance(wanted, Mapping):
        others = (
            same_share(wanted, captures[0], other, score=look["score"], other_score=key) for other, key in pairs[1:]
        )
        return [wanted, *others]
    if "share" in wanted:
        known = [scores_module.compute(score, capture.test) for capture, score in pairs]
        return [metrics.threshold_at_tpr(values, wanted["share"]) for values in known]
    return [cheapest_threshold(capture, ood, score=score, **wanted["costs"]) for capture, score in pairs]


def _scores(look: Mapping[str, Any]) -> list[str]:
    """Return the scores of A and of B."""
    return [look["score"], *([look["beside"]["score"] or look["score"]] if look["beside"] else [])]
