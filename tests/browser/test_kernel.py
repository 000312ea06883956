"""The explorer beside a kernel, in a page of its own: what it asks for, and how much of that it keeps."""

from __future__ import annotations

import numpy as np
import pytest

import isomax_viz as iv
from isomax_viz.analysis.images import nearest_training
from isomax_viz.analysis.scores import compute
from isomax_viz.captures.samples import Samples
from isomax_viz.datasets import load_id
from isomax_viz.explorer.pictures import on_pad

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def captures():
    """The recorded networks, the first of them with made-up training features."""
    first, *others = iv.load_example("digits", seed=0)
    train, rng = load_id("digits").train, np.random.default_rng(0)
    logits = rng.normal(size=(len(train), 10))
    recorded = Samples(logits, train.labels, features=rng.normal(size=(len(train), 128)))
    return [first.replace(train=recorded), *others]


@pytest.fixture
def shown(opened, captures):
    """The explorer at its 1280x720."""
    return opened(iv.explore(captures))


def test_why_an_image_is_out_shows_its_nearest_training_pictures(shown, captures):
    shown.page.get_by_role("button", name="Pictures").click()
    shown.page.get_by_role("button", name="least confident ID").click()
    shown.page.locator(".thumbs button").first.click()
    near = shown.page.locator("aside .thumbs > div")
    near.nth(5).wait_for()
    index = next(request["index"] for request in shown.asked if request["what"] == "nearest")
    rows = nearest_training(captures[0], "test", index)
    assert [text.split()[0] for text in near.all_inner_texts()] == [str(label) for label in rows["label"]]
    sheet = next(request for request in shown.asked if request.get("name") == "train")
    assert sheet["indices"] == rows["index"].tolist()
    shown.page.locator(".threshold").first.press("ArrowRight")
    shown.page.wait_for_timeout(500)
    near.nth(5).wait_for()
    assert sum(request["what"] == "nearest" for request in shown.asked) == 1  # though the drawer was filled anew
    assert sum(request.get("name") == "train" for request in shown.asked) == 1
    shown.choose("IsoMax")
    shown.page.get_by_role("button", name="least confident ID").click()
    shown.page.locator(".thumbs button").first.click()
    shown.page.get_by_text("The capture holds no features of training images").wait_for()


@pytest.mark.parametrize("name", ["Threshold", "Point of the cost curve", "Point of the ROC curve"])
def test_a_mark_keeps_the_keyboard_when_the_picture_is_drawn_anew(shown, name):
    shown.page.locator("select[name=view]").select_option("cost")
    line = shown.page.locator(f"[role=slider][aria-label='{name}']")
    line.focus()
    for change in (
        lambda: shown.page.set_viewport_size({"width": 1100, "height": 720}),
        lambda: shown.page.emulate_media(color_scheme="dark"),
    ):
        before, share = shown.drawn, float(line.get_attribute("data-value"))
        change()
        shown.wait_drawn(before)
        shown.page.keyboard.press("PageDown")
        shown.page.wait_for_timeout(100)
        assert float(line.get_attribute("data-value")) < share
    assert shown.page.locator("svg[role=img] [role=slider]").count() == 0  # a screen reader looks into no picture


BESIDE, DRAWER = {"loss": "isomax+", "score": None}, {"drawer": "pictures", "selection": {"by": "doubtful_id"}}
LOOKS = {
    "plain": {},
    "costs": {"view": "cost"},
    "two sides": {"beside": BESIDE},
    "two sides and drawer": {"beside": BESIDE, **DRAWER},
    "compared": {"beside": BESIDE, "view": "compare", **DRAWER},
    "large": {"present": True},
    "large with drawer": {"present": True, **DRAWER},
    "large with two sides": {"present": True, "beside": BESIDE},
}


@pytest.mark.parametrize("look", LOOKS)
def test_it_fits_the_panel_of_a_notebook_at_1280_by_720(opened, look):
    page = opened(iv.explore(iv.load_example("digits")).restore(LOOKS[look]), width=1100 + 2 * 8)  # margins of the page
    page.page.wait_for_timeout(200)
    assert page.root.bounding_box()["height"] <= 599
    pictures = page.page.locator("aside canvas.picture").count()
    assert bool(pictures) == ("drawer" in LOOKS[look])
    tables = page.page.locator(".scroll:has(td), aside")
    assert tables.count() == 2 and tables.evaluate_all("all => all.every(e => e.scrollWidth <= e.clientWidth)")


def test_the_sentence_is_hidden_only_where_room_is_short_and_the_table_says_it(opened):
    page = opened(iv.explore(iv.load_example("digits")).restore({"present": True, "view": "scores", **DRAWER}))
    said = page.page.locator("p[role=status]", has_text="known images").first
    for width, height, shown in ((1280, 720, False), (2560, 1440, True), (390, 800, True)):
        page.page.set_viewport_size({"width": width, "height": height})
        page.page.wait_for_timeout(200)
        assert (said.bounding_box()["height"] > 1) == shown
    page.page.set_viewport_size({"width": 1280, "height": 720})
    page.page.locator("select[name=view]").select_option("cost")
    page.page.get_by_text("per image; the cheapest").wait_for()
    assert said.bounding_box()["height"] > 1


def test_numbers_along_an_axis_are_exact(shown):
    shown.page.locator("select[name=view]").select_option("training")
    shown.page.wait_for_function("() => document.querySelectorAll('svg[aria-label]').length === 1")
    texts = shown.page.locator("svg[aria-label] text[text-anchor=end]").all_text_contents()
    assert np.ptp(np.diff([float(text.split()[0]) for text in texts])) == pytest.approx(0, abs=1e-9)


def test_the_pad_keeps_its_ink_and_every_loss_says_what_it_sees_as_the_pen_moves(shown):
    shown.page.get_by_role("button", name="One image").click()
    box = shown.page.locator("canvas.pad").bounding_box()
    x, y, mouse = box["x"] + box["width"] / 2, box["y"] + 20, shown.page.mouse
    mouse.move(x, y)
    mouse.down()
    verdicts = shown.page.locator(".verdict tbody tr:has(th)")
    verdicts.nth(3).wait_for()  # while the pen is down
    mouse.move(x, y + 110, steps=8)
    mouse.up()
    shown.page.wait_for_timeout(1500)
    blocks = [request["pad"] for request in shown.asked if request["what"] == "judge"]
    assert len(blocks) > 1 and sum(blocks[-1]) > sum(blocks[0]) + 60  # one stroke, not its last point
    ink = "canvas => canvas.getContext('2d').getImageData(0, 0, 32, 32).data.filter((v, k) => k % 4 === 0 && v > 127)"
    assert shown.page.locator("canvas.pad").evaluate(f"canvas => ({ink})(canvas).length") == sum(blocks[-1])
    said = [float(compute("es", shown.view._networks.judge(k, on_pad(blocks[-1])))[0]) for k in range(4)]
    cells = [row.locator("td").nth(1).inner_text() for row in verdicts.all()]
    assert [float(text.replace("\u2212", "-")) for text in cells] == pytest.approx(said, rel=5e-3)
    shown.choose("MPS")  # what was drawn stays
    shown.page.locator(".verdict th", has_text="MPS").wait_for()
    shown.page.get_by_role("button", name="wipe").click()
    assert verdicts.count() == 0
    script = """(pad, [clientX, clientY]) => {
        const press = () => pad.dispatchEvent(new PointerEvent('pointerdown', { buttons: 1, clientX, clientY }));
        press();
        press();
        [...document.querySelectorAll('button')].find((item) => item.textContent === 'wipe').click(); }"""
    shown.page.locator("canvas.pad").evaluate(script, [x, y])
    shown.page.wait_for_timeout(1000)
    assert verdicts.count() == 0  # neither the question under way nor the one that waited


def test_after_an_error_no_verdict_of_a_former_image_comes_back(shown, monkeypatch):
    shown.page.get_by_role("button", name="One image").click()
    pad, verdicts = shown.page.locator("canvas.pad"), shown.page.locator(".verdict tbody tr:has(th)")
    pad.click()
    verdicts.nth(3).wait_for()
    monkeypatch.setattr(shown.view._networks, "known", lambda number: 1 / 0)
    pad.click()
    shown.page.locator(".verdict [role=alert]").wait_for()
    shown.choose("MPS")
    shown.page.wait_for_timeout(500)
    assert verdicts.count() == 0 and shown.page.locator(".verdict [role=alert]").count() == 1
