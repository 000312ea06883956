"""The teaching lab in the browser: its values against the tables of the analysis, and a lesson in JupyterLab."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from jupyterlab_driver import Notebook, PictureView
from scipy.special import softmax

import isomax_viz as iv
from isomax_viz import Capture, evaluate, figures, risks
from isomax_viz.analysis.calibration import temperature_table
from isomax_viz.analysis.thresholds import threshold_table
from isomax_viz.catalog.style import percent
from isomax_viz.explorer.lab import EXAMPLES
from isomax_viz.figures._canvas import png

pytestmark = pytest.mark.browser

LESSON = Path(__file__).parents[2] / "notebooks" / "10_two_moons.ipynb"


def made(scale=10.0, loss="isomax", n=300):
    rng = np.random.default_rng(int(scale))
    labels = rng.integers(0, 4, n)
    inside = rng.normal(size=(n, 4)) + 3 * np.eye(4)[labels]
    ood = {"letters": rng.normal(size=(n, 4)) + 1, "patches": 0.5 * rng.normal(size=(n // 2, 4))}
    meta = {"entropic_scale": scale, "preset": "teaching", "data": "digits"}
    return Capture.from_arrays(inside, labels, ood=ood, loss=loss, meta=meta)


def costs_said(page):
    """Return what the sentence says: the cost of the threshold, the cheapest threshold, and its cost."""
    numbers = re.search(r"costs (\S+) per image; the cheapest, at score ≥ (\S+), (\S+)\.$", page.sentence).groups()
    return [float(text.replace("\u2212", "-").replace("∞", "inf")) for text in numbers]


def test_a_dragged_threshold_costs_what_the_table_says(opened):
    capture = made()
    view = opened(iv.explore_risk(capture))
    view.page.wait_for_timeout(100)
    asked = len(view.asked)
    line = view.root.locator(".threshold")
    for share in (0.3, 0.55, 0.8):
        box = view.root.locator("svg[aria-label]").first.bounding_box()
        grip = line.locator("rect").bounding_box()
        view.page.mouse.move(grip["x"] + 5, box["y"] + 0.5 * box["height"])
        view.page.mouse.down()
        view.page.mouse.move(box["x"] + share * box["width"], box["y"] + 0.5 * box["height"], steps=3)
        view.page.mouse.up()
        view.settle()
        threshold = float(line.get_attribute("aria-valuenow"))
        table = threshold_table(capture, score="es", threshold=threshold)
        cost = risks.expected_cost(table["TPR"].iloc[0], table["FPR"].mean())
        best = risks.cheapest_threshold(capture, score="es")
        least = risks.risk_table(capture, score="es")["cost"].min()
        assert costs_said(view) == pytest.approx([cost, best, least], rel=6e-3)
        first = view.root.locator("tr[data-set=letters] td").first.get_attribute("data-value")
        assert int(first) == table["ood_accepted"].iloc[0]
    assert len(view.asked) == asked  # the kernel was not needed


@pytest.mark.parametrize("costs", [(10, 1, 0.5), (1, 1, 0.01), (1, 0, 0.5), (0, 1, 0.5)])
def test_the_cheapest_threshold_follows_the_costs(opened, costs):
    capture = made()
    view = opened(iv.explore_risk(capture, ood="letters"))
    names = ("accept_unknown", "reject_known", "share_unknown")
    for name, value in zip(names, costs, strict=True):
        view.root.locator(f"input[name={name}]").fill(str(value))
    view.settle()
    given = dict(zip(names, map(float, costs), strict=True))
    table = risks.risk_table(capture, "letters", score="es", **given)
    assert costs_said(view)[::2] == pytest.approx([table["cost"].min()] * 2, rel=6e-3, abs=1e-9)
    best = risks.cheapest_threshold(capture, "letters", score="es", **given)
    line = view.root.locator(".threshold")
    assert float(line.get_attribute("data-value").replace("Infinity", "inf")) == pytest.approx(best)
    for slider in view.root.get_by_role("slider").and_(view.root.locator("[data-value]")).all():
        ends = [float(slider.get_attribute(f"aria-value{name}")) for name in ("min", "now", "max")]
        assert ends == sorted(ends)
    view.page.get_by_role("button", name="95 % of ID").click()
    view.settle()
    assert view.root.get_by_role("button", name="cheapest").get_attribute("aria-pressed") == "false"
    assert view.page.evaluate("view.state().costs") == given  # they stay
    pressed = view.root.get_by_role("button", name="cheapest")
    pressed.click()
    view.settle()
    assert pressed.get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_of_a_view_is_on_one_screen(opened, scheme, screenshots):
    views = {
        "risk": iv.explore_risk(made()),
        "temperature": iv.explore_temperature([made(loss="isomax"), made(loss="isomax+")]),
        "simplex": iv.explore_simplex(),
        "alpha": iv.explore_alpha([made(scale) for scale in (1.0, 5.0, 10.0)]),
    }
    for name, view in views.items():
        page = opened(view, scheme=scheme)
        box = page.root.bounding_box()
        assert box["y"] + box["height"] <= 720 and box["x"] + box["width"] <= 1280, name
        assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        assert ("dark" in page.root.get_attribute("class")) == (scheme == "dark")
        page.page.screenshot(path=screenshots / f"lab_{name}_{scheme}.png")
        sizes = [float(page.root.locator("svg[aria-label]").first.get_attribute("font-size"))]
        page.page.get_by_role("button", name="present").click()
        page.settle()
        sizes.append(float(page.root.locator("svg[aria-label]").first.get_attribute("font-size")))
        assert sizes[1] > 1.25 * sizes[0]
        assert page.root.evaluate("node => parseFloat(getComputedStyle(node).fontSize)") == pytest.approx(sizes[1])
        assert page.page.evaluate("document.documentElement.scrollHeight") <= 720, name


@pytest.mark.parametrize("present", [False, True])
def test_words_along_an_axis_lie_over_none_of_its_numbers(opened, present):
    view = iv.explore_temperature([made()]).restore({"present": present})
    script = """svg => { const all = [...svg.querySelectorAll('text')], of = (x) => x.getBoundingClientRect();
      const label = of(all.find((text) => text.getAttribute('transform')?.includes('rotate')));
      const numbers = all.filter((text) => text.getAttribute('text-anchor') === 'end');
      return numbers.every((text) => of(text).left >= label.right); }"""
    for chart in opened(view).root.locator("svg[aria-label]").all():
        assert chart.evaluate(script)


def test_many_rows_of_a_table_leave_room_for_the_sentence(opened):
    sweep = [made(scale) for scale in (1.0, 2.0, 5.0, 10.0, 20.0)]
    view = opened(iv.explore_alpha(sweep).restore({"view": "scores", "ood": ["letters", "patches"]}))
    assert view.root.locator("tbody tr").count() == 10
    assert view.root.bounding_box()["height"] <= 599  # of a notebook's panel at 1280x720


def test_the_temperature_moves_with_the_keyboard_and_without_the_kernel(opened):
    capture = made()
    view = opened(iv.explore_temperature(capture))
    asked = len(view.asked)
    slider = view.root.locator("input[name=temperature]")
    slider.focus()
    for _ in range(4):
        view.page.keyboard.press("ArrowLeft")
    view.settle()
    value = float(slider.get_attribute("aria-valuetext"))
    row = temperature_table(capture, [value]).iloc[0]
    assert value < 1 and f"at temperature {value:g}" in view.sentence
    assert f"AUROC {percent(row['ES'])} of ES, {percent(row['MPS'])} of MPS" in view.sentence
    # The point on the curve of ES lies where the axis says so.
    chart = view.root.locator("svg[aria-label]").nth(2)
    script = """svg => [...svg.querySelectorAll('text[text-anchor=end]')].map((text) => [parseFloat(text.textContent),
      Number(text.getAttribute('y')) - 0.35 * 13])"""
    (high, top), (low, bottom) = [pair for pair in sorted(chart.evaluate(script), reverse=True)][:2]
    place = float(chart.locator("circle").first.get_attribute("cy"))
    assert high + (place - top) / (bottom - top) * (low - high) == pytest.approx(100 * row["ES"], abs=0.05)
    assert len(view.asked) == asked


def test_the_sample_stands_at_its_probabilities(opened):
    view = opened(iv.explore_simplex())
    view.choose("wrong")
    slider = view.root.locator("input[name=scale]")
    slider.focus()
    view.page.keyboard.press("End")
    view.settle()
    p = softmax([-20.0 * distance for distance in EXAMPLES["wrong"][0]])
    svg = view.root.locator("svg[aria-label]").first
    corners = [[float(text.get_attribute(name)) for name in "xy"] for text in svg.locator("text.label").all()[:3]]
    (x0, y0), (x1, _), (x2, _) = corners
    side, base = x1 - x0, y0 - 1.5 * 13
    chosen = svg.locator(".chosen")
    assert x2 == pytest.approx((x0 + x1) / 2)
    assert float(chosen.get_attribute("cx")) == pytest.approx(x0 + side * (p[1] + p[2] / 2), abs=0.01)
    assert float(chosen.get_attribute("cy")) == pytest.approx(base - side * np.sqrt(3) / 2 * p[2], abs=0.01)


def test_the_scale_moves_without_the_kernel_and_one_set_always_stays(opened):
    sweep = [made(scale) for scale in (1.0, 5.0, 10.0)]
    view = opened(iv.explore_alpha(sweep))
    asked = len(view.asked)
    view.root.locator("input[name=scale]").focus()
    view.page.keyboard.press("ArrowRight")
    view.settle()
    chosen = view.root.locator("tr[aria-current]")
    auroc = evaluate(sweep[1], scores="es", ood="letters")["AUROC"].iloc[0]
    assert chosen.locator("th, td").all_inner_texts()[:2] == ["5", "letters"]
    assert chosen.locator("td").nth(3).inner_text() == percent(auroc)
    assert "entropic scale 5" in view.sentence and len(view.asked) == asked
    view.choose("letters")
    assert view.root.locator("input[value=letters]").is_checked()
    view.choose("patches")
    view.root.locator("tr", has_text="patches").first.wait_for()
    assert view.page.evaluate("view.state().ood") == ["letters", "patches"]


def test_an_error_stands_in_the_view_and_goes_with_the_next_choice(opened, monkeypatch):
    view = opened(iv.explore_simplex())

    def broken(**settings):
        raise ValueError("cannot be drawn today")

    monkeypatch.setattr(view.view, "_show", broken)
    view.choose("wrong")
    message = view.root.get_by_role("alert")
    message.get_by_text("cannot be drawn today").wait_for()
    assert view.root.locator("svg[aria-label]").count() == 0 and view.sentence == ""
    view.choose("near one")  # shown before
    view.settle()
    assert message.is_hidden() and view.root.locator("svg[aria-label]").count() == 2


@pytest.fixture(scope="module")
def surfaces():
    return [iv.train_toy("moons", epochs=4, lines=21)]


def test_a_surface_grows_for_the_back_row_and_leaves_no_picture_behind(opened, surfaces):
    view = opened(iv.explore_surfaces(surfaces))
    count = """() => { const [make, end] = [URL.createObjectURL, URL.revokeObjectURL];
      globalThis.live = 1;  // that which is shown
      URL.createObjectURL = (blob) => { live += 1; return make.call(URL, blob); };
      URL.revokeObjectURL = (url) => { live -= 1; return end.call(URL, url); }; }"""
    view.page.evaluate(count)

    def drawn(theme, epoch):
        return PictureView.picture(view) == png(figures.plot_surfaces([surfaces[0].at(epoch)], score="es", theme=theme))

    view.image = view.root.locator("img.plate")
    before = view.drawn
    view.page.get_by_role("button", name="present").click()
    view.wait_drawn(before)
    assert drawn("talk", 4)
    view.page.get_by_role("button", name="present").click()
    view.root.locator("input[name=epoch]").focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowRight", "ArrowLeft"):
        before = view.drawn
        view.page.keyboard.press(key)
        view.wait_drawn(before)
    assert drawn("paper", 2) and view.page.evaluate("live") == 1
    view.page.evaluate("view.close()")
    assert view.page.evaluate("live") == 0


def test_a_slider_plays_to_its_end_and_from_its_beginning(opened):
    sweep = [made(scale) for scale in (1.0, 5.0, 10.0)]
    view = opened(iv.explore_alpha(sweep))
    play, slider = view.page.get_by_role("button", name="play"), view.root.locator("input[name=scale]")
    play.click()
    assert play.get_attribute("aria-pressed") == "true"
    view.page.wait_for_function("() => view.state().scale === 10")
    view.page.locator("button[aria-pressed=false]", has_text="play").wait_for()  # it has stopped
    assert slider.get_attribute("aria-valuetext") == "10" and "entropic scale 10" in view.sentence
    play.click()  # from the beginning
    assert view.page.evaluate("view.state().scale") == 1
    play.click()  # and no further
    view.page.wait_for_timeout(700)
    assert view.page.evaluate("view.state().scale") == 1


@pytest.fixture(scope="module")
def runs():
    return [iv.train_toy("moons", loss=loss, epochs=4, lines=21) for loss in ("softmax", "isomax", "isomax+")]


@pytest.fixture(scope="module")
def lesson(page, lab):
    """The lesson's widget, after short trainings; the answers before it stay folded."""
    lesson = nbformat.read(LESSON, as_version=4)
    last = next(i for i, cell in enumerate(lesson.cells) if "iv.explore" in cell.source)
    first = next(cell for cell in lesson.cells if "iv.train_toy" in cell.source)
    first.source = first.source.replace("loss=loss)", "loss=loss, epochs=4, lines=21)")
    words = [cell for cell in lesson.cells[:last] if cell.cell_type == "markdown"]
    lesson.cells = [first, *words, lesson.cells[last]]
    nbformat.write(lesson, lab.folder / LESSON.name)
    return Notebook(page, lab.address(LESSON.name)).run_all(PictureView)


def test_the_epoch_slider_moves_with_the_keyboard(lesson, page, runs, screenshots):
    def plain(epoch, **options):
        return png(figures.plot_surfaces([run.at(epoch) for run in runs], **options))

    lesson.wait_for_picture(plain(4, score="es"), seconds=60)
    lesson.root.locator("input[name=epoch]").focus()
    for _ in range(2):  # the second before the first is drawn
        page.keyboard.press("ArrowLeft")
    lesson.wait_for_picture(plain(2, score="es"), seconds=60)
    lesson.choose("MDS")
    lesson.choose("features")
    lesson.wait_for_picture(plain(2, score="mds", space="features"), seconds=60)
    lesson.wait_for_text("epoch 2: of the features")
    lesson.screenshot(screenshots / "lab_two_moons.png")


def test_answers_are_folded_and_open_with_a_key(lesson, page):
    folded = page.locator(".jp-RenderedMarkdown details").first
    folded.scroll_into_view_if_needed()
    summary = folded.locator("summary")
    assert not folded.locator("p").first.is_visible()
    summary.focus()
    page.keyboard.press("Enter")
    folded.locator("p").first.wait_for()
