"""The page without a kernel, opened from disk and operated with the network cut."""

from __future__ import annotations

import numpy as np
import pytest

from isomax_viz import Capture, evaluate, to_html
from isomax_viz.analysis.thresholds import find_threshold, threshold_table

pytestmark = pytest.mark.browser

HOSTILE = '</script><img src=x onerror="window.hacked=1">'
LOSSES = {"softmax": "SoftMax", "isomax": "IsoMax", "isomax+": "IsoMax+", "isomax2": "IsoMax2"}
SETS = ("letters", "patches", HOSTILE)


@pytest.fixture(scope="module")
def made():
    """Four captures of random distances, whose sets lie farther and farther out."""
    rng, captures = np.random.default_rng(0), []
    for loss in LOSSES:
        labels = rng.integers(0, 4, 500)

        def arrays(shift, labels=labels):
            distances = rng.gamma(9.0, 0.4, (500, 4)).astype(np.float32)
            distances[np.arange(500), labels] *= shift
            return {"logits": -distances, "distances": distances}

        known = arrays(0.3)
        ood = {name: arrays(0.5 + 0.15 * place) for place, name in enumerate(SETS)}
        meta = {"data": "digits", "backbone": HOSTILE, "preset": "teaching", "seed": 0}
        arguments = {"distances": known["distances"], "ood": ood, "loss": loss, "meta": meta}
        captures.append(Capture.from_arrays(known["logits"], labels, **arguments))
    return captures


class Shared:
    """The page as a person uses it."""

    def __init__(self, page) -> None:
        self.page = page

    def choose(self, name: str, value: str) -> None:
        """Choose by the label of a radio button, and wait for the new drawing."""
        before = self.page.evaluate("document.body.dataset.drawn")
        self.page.get_by_role("group", name=name).get_by_role("radio", name=value, exact=True).check()
        self.page.wait_for_function("before => document.body.dataset.drawn !== before", arg=before)

    def against(self, value: str, wanted: bool) -> None:
        """Add or leave out an out-of-distribution set."""
        before = self.page.evaluate("document.body.dataset.drawn")
        self.page.get_by_role("checkbox", name=value, exact=True).set_checked(wanted)
        self.page.wait_for_function("before => document.body.dataset.drawn !== before", arg=before)

    @property
    def threshold(self) -> float:
        return float(self.page.locator("#threshold-value").get_attribute("data-value"))

    def numbers(self, table: str) -> list[list[float]]:
        """Return the exact numbers behind the cells of a table, row by row."""
        script = (
            "t => [...t.tBodies[0].rows].map(r => [...r.cells].map(c => c.dataset.value).filter(v => v !== undefined))"
        )
        return [[float(value) for value in row] for row in self.page.locator(f"#{table}").evaluate(script)]

    def accepts(self, capture, score, sets) -> None:
        """Check the counts that are shown against the library's, at the threshold that is shown."""
        table = threshold_table(capture, list(sets), score=score, threshold=self.threshold)
        columns = ["id_accepted", "id_rejected", "ood_accepted", "ood_rejected"]
        assert self.numbers("counts") == table[columns].to_numpy(dtype=float).tolist()
        first = table.iloc[0]
        share = f"{first['id_accepted']} of 500 ({100 * first['TPR']:.1f}\u00a0%)"
        assert self.page.locator("#counts tbody td").first.inner_text() == share

    def svg(self, side: str = "left") -> str:
        return self.page.locator(f"#{side} svg").inner_html()

    def shot(self, path) -> None:
        self.page.screenshot(path=path, full_page=True)


@pytest.fixture(scope="module")
def opened(browser, made, tmp_path_factory):
    """The page in a browser without a network; everything that it asks for is kept."""
    path = to_html(made, tmp_path_factory.mktemp("page") / "explorer.html")
    context = browser.new_context(offline=True, viewport={"width": 1250, "height": 1000})
    page = context.new_page()
    page.asked, page.said = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("console", lambda message: page.said.append(message.text))
    page.goto(path.as_uri())
    page.wait_for_function("document.body.dataset.drawn")
    yield page
    context.close()


@pytest.fixture
def shared(opened):
    """The page at IsoMax+, ES, letters, scores, 95 %."""
    view = Shared(opened)
    opened.reload()
    opened.wait_for_function("document.body.dataset.drawn")
    view.choose("Loss", "IsoMax+")
    return view


def test_every_network_and_score_shows_the_numbers_of_the_library(shared, made):
    for score, label in (("mps", "MPS"), ("mds", "MDS"), ("scaled_mps", "scaled MPS")):
        shared.choose("Score", label)
        rows = evaluate(made, scores=score, ood="letters")
        columns = ["n_id", "n_ood", "TNR@TPR95", "AUROC", "DTACC", "AUPR-in", "AUPR-out", "accuracy"]
        assert shared.numbers("metrics") == rows[columns].to_numpy(dtype=float).tolist()
        assert f"{100 * rows['AUROC'].iloc[2]:.1f}\u00a0%" in shared.page.locator("#metrics tr.chosen").inner_text()
        assert shared.threshold == find_threshold(made[2], score=score)
        shared.accepts(made[2], score, ["letters"])
    drawings = {shared.svg()}
    for title in ("SoftMax", "IsoMax", "IsoMax2"):
        shared.choose("Loss", title)
        drawings.add(shared.svg())
    assert len(drawings) == 4


def test_the_threshold_moves_by_keyboard_button_and_mouse(shared, made, screenshots):
    page, slider, before = shared.page, shared.page.locator("#threshold"), shared.threshold
    slider.focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    assert shared.threshold > before and "score at least" in slider.get_attribute("aria-valuetext")
    shared.accepts(made[2], "es", ["letters"])
    assert page.locator("#rule-tpr95").get_attribute("aria-pressed") == "false"
    page.get_by_role("button", name="best DTACC").click()
    assert shared.threshold == find_threshold(made[2], "letters", rule="dtacc")
    shared.accepts(made[2], "es", ["letters"])
    shared.against("patches", True)
    assert shared.threshold == find_threshold(made[2], ["letters", "patches"], rule="dtacc")
    shared.accepts(made[2], "es", ["letters", "patches"])
    box = page.locator("#left svg").bounding_box()
    for share in (0.3, 0.7):
        page.mouse.click(box["x"] + share * box["width"], box["y"] + 0.6 * box["height"])
        shared.accepts(made[2], "es", ["letters", "patches"])
        rule = page.locator("#left svg .mark-rule.role-mark line").last.bounding_box()
        # The line is drawn where the mouse is, to the next threshold on the list.
        assert abs(rule["x"] + rule["width"] / 2 - box["x"] - share * box["width"]) < 6
    shared.shot(screenshots / "page_light.png")


def test_every_view_says_in_words_what_it_shows(shared, made):
    summary, seen = shared.page.locator("#summary"), set()
    for view in ("Logits", "Entropy", "Max. probability", "Distances"):
        shared.choose("View", view)
        seen.add(shared.svg())
        assert f"IsoMax+, {view.lower()}: medians" in summary.inner_text()
        assert not shared.page.locator("#threshold-bar").is_visible()
    assert len(seen) == 4
    shared.choose("View", "ROC")
    assert shared.page.locator("#left svg").count() == 0 and "AUROC" in shared.page.locator("#right svg").text_content()
    accepted = int((-made[2].test.entropies >= np.float32(shared.threshold)).sum())
    assert f"accepts {accepted} of 500 known images" in summary.inner_text()
    assert summary.get_attribute("aria-live") == "polite"
    assert shared.page.locator("#note").inner_text() == f"preset teaching · digits · {HOSTILE} · seed 0"


def test_one_set_stays_chosen_and_all_together_fit(shared, made):
    shared.against("patches", True)
    shared.against(HOSTILE, True)
    shared.accepts(made[2], "es", SETS)
    shared.against("patches", False)
    shared.against(HOSTILE, False)
    only = shared.page.get_by_role("checkbox", name="letters", exact=True)
    only.click()
    assert only.is_checked()


def test_every_control_is_labelled_and_reached_by_keyboard(shared):
    page, seen = shared.page, []
    page.locator("h1").click()
    for _ in range(14):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.name || document.activeElement.id"))
    for name in ("network", "score", "ood", "view", "threshold", "rule-tpr95", "rule-dtacc"):
        assert name in seen, seen
    unnamed = "[...document.querySelectorAll('input')].filter(e => !(e.labels[0] && e.labels[0].innerText.trim()))"
    assert page.evaluate(f"{unnamed}.length") == 0
    page.get_by_role("radio", name="IsoMax+", exact=True).focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("radio", name="IsoMax2", exact=True).is_checked()


def test_dark_theme_is_legible_and_narrow_windows_have_room(shared, screenshots):
    page = shared.page
    drawn = page.evaluate("document.body.dataset.drawn")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("before => document.body.dataset.drawn !== before", arg=drawn)
    ink = page.locator("td").first.evaluate("e => getComputedStyle(e).color")
    assert min(int(part) for part in ink.strip("rgb()").split(",")) > 180
    assert page.locator("#left svg").evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(28, 28, 30)"
    assert 'fill="#ececf0"' in shared.svg()  # titles of the axes
    shared.shot(screenshots / "page_dark.png")
    drawn = page.evaluate("document.body.dataset.drawn")
    page.set_viewport_size({"width": 420, "height": 900})
    page.wait_for_function("before => document.body.dataset.drawn !== before", arg=drawn)
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    shared.shot(screenshots / "page_narrow.png")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1250, "height": 1000})


def test_all_colours_set_by_the_system_leave_the_choice_visible(shared):
    page = shared.page
    page.emulate_media(forced_colors="active")
    grounds = "[...document.querySelectorAll('#choose-view span')].map(e => getComputedStyle(e).backgroundColor)"
    chosen, *others = page.evaluate(grounds)
    page.emulate_media(forced_colors="none")
    assert chosen not in others and len(set(others)) == 1


def test_wide_tables_scroll_by_keyboard_and_nothing_is_cut_on_a_phone(shared, screenshots):
    page = shared.page
    boxes = page.locator(".scroll")
    assert boxes.evaluate_all("all => all.map(e => e.tabIndex)") == [-1, -1]  # nothing to scroll: no stop for the key
    drawn = page.evaluate("document.body.dataset.drawn")
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_function("before => document.body.dataset.drawn !== before", arg=drawn)
    assert boxes.evaluate_all("all => all.map(e => e.tabIndex)") == [0, 0]
    region = page.get_by_role("region", name="Detection with the entropic score, over all thresholds")
    region.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("e => e.scrollLeft > 0", arg=region.element_handle())
    name = region.locator("tbody th").first.bounding_box()
    assert abs(name["x"] - region.bounding_box()["x"]) < 1  # whose numbers these are stays in sight
    frame = page.locator("#left svg").bounding_box()
    words = page.locator("#left svg text", has_text="accepts").bounding_box()
    assert words["x"] >= frame["x"] and words["x"] + words["width"] <= frame["x"] + frame["width"]
    assert region.locator("caption span").evaluate("e => e.getBoundingClientRect().right") <= 400
    shared.shot(screenshots / "page_phone.png")
    page.set_viewport_size({"width": 1250, "height": 1000})


def test_after_a_figure_that_failed_the_next_one_is_drawn(browser, made, tmp_path):
    page = browser.new_page(viewport={"width": 1250, "height": 1000})
    page.goto(to_html(made[2], tmp_path / "explorer.html").as_uri())
    page.wait_for_function("document.body.dataset.drawn")
    view, message = Shared(page), page.get_by_role("alert")
    page.evaluate("() => { window.whole = vegaEmbed; vegaEmbed = () => { throw new Error('no room'); }; }")
    page.get_by_role("radio", name="Logits", exact=True).check()
    message.wait_for()
    assert message.inner_text() == "This page could not be drawn: no room"
    page.evaluate("() => { vegaEmbed = window.whole; }")
    view.choose("View", "Entropy")
    assert not message.is_visible() and page.locator("#left svg").count() == 1
    page.close()


def test_extremes_and_names_of_the_language_itself(browser, tmp_path):
    """Scores beyond counting, scores that are all alike, and sets whose names every JavaScript object knows."""
    rng = np.random.default_rng(0)

    def huge(samples):
        return samples.logits.max(axis=1).astype(np.float64) * 1e300

    def tiny(samples):
        return samples.logits.max(axis=1).astype(np.float64) * 1e-300

    def alike(samples):
        return np.ones(len(samples))

    first, second = (
        Capture.from_arrays(
            rng.normal(size=(50, 3)), np.arange(50) % 3, ood={name: rng.normal(size=(50, 3))}, loss=loss
        )
        for name, loss in (("constructor", "softmax"), ("__proto__", "isomax"))
    )
    page = browser.new_page(viewport={"width": 1250, "height": 1000})
    page.goto(to_html([first, second], tmp_path / "x.html", scores=[huge, tiny, alike]).as_uri())
    page.wait_for_function("document.body.dataset.drawn")
    view = Shared(page)
    for loss, capture, name in (("IsoMax", second, "__proto__"), ("SoftMax", first, "constructor")):
        view.choose("Loss", loss)
        for score in (huge, tiny, alike):
            if not page.get_by_role("radio", name=score.__name__, exact=True).is_checked():
                view.choose("Score", score.__name__)
            table = threshold_table(capture, [name], score=score, threshold=view.threshold)
            columns = ["id_accepted", "id_rejected", "ood_accepted", "ood_rejected"]
            assert view.numbers("counts") == table[columns].to_numpy(dtype=float).tolist()
            shown = page.locator("main").inner_text() + page.locator("#charts").inner_html()
            assert not any(word in shown for word in ("NaN", "Infinity", "undefined"))
            assert len(page.locator("#threshold-value").inner_text()) < 24
    assert not page.get_by_role("alert").is_visible()
    page.close()


def test_the_rules_choose_as_the_library_does_among_equal_scores(browser, tmp_path):
    rng = np.random.default_rng(3)

    def coarse(samples):
        return np.rint(2 * samples.logits.max(axis=1))

    made = [
        Capture.from_arrays(
            rng.normal(size=(60, 3)) + 0.4, np.arange(60) % 3, loss=loss,
            ood={name: rng.normal(size=(n, 3)) for name, n in (("letters", 7), ("patches", 45))},
        )
        for loss in LOSSES
    ]  # fmt: skip
    page = browser.new_page(viewport={"width": 1250, "height": 1000})
    page.goto(to_html(made, tmp_path / "x.html", scores=coarse).as_uri())
    page.wait_for_function("document.body.dataset.drawn")
    view = Shared(page)
    for sets in (["letters"], ["letters", "patches"]):
        if len(sets) > 1:
            view.against("patches", True)
        for capture, loss in zip(made[::-1], list(LOSSES.values())[::-1], strict=True):
            view.choose("Loss", loss)
            for rule, label in (("dtacc", "best DTACC"), ("tpr95", "95 % of ID")):
                page.get_by_role("button", name=label).click()
                assert view.threshold == find_threshold(capture, sets, score=coarse, rule=rule)
                table = threshold_table(capture, sets, score=coarse, threshold=view.threshold)
                columns = ["id_accepted", "id_rejected", "ood_accepted", "ood_rejected"]
                assert view.numbers("counts") == table[columns].to_numpy(dtype=float).tolist()
        rows = evaluate(made, scores=coarse, ood=sets)
        columns = ["n_id", "n_ood", "TNR@TPR95", "AUROC", "DTACC", "AUPR-in", "AUPR-out", "accuracy"]
        assert view.numbers("metrics") == rows[columns].to_numpy(dtype=float).tolist()
    page.close()


def test_nothing_was_fetched_and_no_name_ran(opened):
    """Runs last: what the page asked for and said in all the tests above."""
    assert opened.asked and all(url.startswith("file:") and url.endswith("explorer.html") for url in opened.asked)
    assert opened.evaluate("window.hacked") is None and opened.locator("img").count() == 0
    assert opened.said == []
