"""The lesson before a browser reads it: what it holds, how bytes travel, and what is refused."""

from __future__ import annotations

import json
import re
import zlib

import numpy as np
import pytest

import isomax_viz as iv
from isomax_viz.explorer.lesson_page import _letters


def test_bytes_come_back_from_letters_that_html_leaves_alone():
    rng = np.random.default_rng(0)
    for content in (bytes(range(256)) * 3, rng.bytes(10_001), b""):
        letters = _letters(content)
        assert not set("\0\r<") & set(letters) and max(map(ord, letters), default=0) < 256
        plain = re.sub("=(.)", lambda found: chr((ord(found[1]) - 64) & 255), letters, flags=re.DOTALL)
        apart = zlib.decompress(bytes((ord(letter) - 42) & 255 for letter in plain))
        even = -(-len(apart) // 2)
        back = bytearray(len(apart))
        back[::2], back[1::2] = apart[:even], apart[even:]
        assert bytes(back) == content


def test_a_page_bears_the_suffix_of_one(tmp_path):
    with pytest.raises(ValueError, match=r"suffix of path must be one of '.html', but is '.5'"):
        iv.to_html(iv.load_example("digits", loss="isomax", seed=0), tmp_path / "digits_0.5")
    assert not list(tmp_path.iterdir())


def test_the_page_is_one_small_file_that_asks_for_nothing(tmp_path):
    path = iv.lesson(tmp_path / "new" / "lesson.html")
    text = path.read_bytes()
    assert 2_000_000 < len(text) < 2_500_000
    assert b'<meta charset="windows-1252">' in text and b"default-src 'none'" in text
    outside = re.sub(rb'<script id="network-\d" type="text/plain">.*?</script>', b"", text, flags=re.DOTALL)
    assert outside.isascii() and not re.search(rb"https?://(?!www\.w3\.org)", outside)


def test_networks_of_a_capture_of_ones_own_are_those_of_the_store(tmp_path):
    experiment = iv.Experiment(loss="isomax", preset="smoke")
    capture = experiment.run(ood=("patches",), store=tmp_path, progress=False)
    pad = iv.lab.draw(capture, store=tmp_path)
    (file,) = pad._files
    start = 8 + int.from_bytes(file[:8], "little")
    about = json.loads(json.loads(file[8:start])["__metadata__"]["network"])
    assert about["id"] == capture.meta["id"] and about["loss"] == "isomax"
    assert list(pad._content["data"]["sets"]) == ["patches"] and pad._content["data"]["morph"] is None


FITS = {"data": "digits", "backbone": "small_cnn", "loss": "isomax", "id": "x"}
WRONG = [("data", "cifar10"), ("backbone", "resnet34"), ("loss", "dismax"), ("held_out_classes", [3])]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_network_that_the_pad_cannot_feed_is_refused(name, value):
    capture = iv.Capture.from_arrays([[1.0, 0.0]], [0], ood={"letters": [[0.0, 0.0]]}, meta=FITS | {name: value})
    with pytest.raises(ValueError, match=re.escape(f"{name}={value!r}")):
        iv.lab.draw(capture)


def test_captures_that_share_no_unknown_pictures_are_refused():
    made = [
        iv.Capture.from_arrays([[1.0, 0.0]], [0], ood=dict.fromkeys(sets, [[0.0, 0.0]]), meta=FITS)
        for sets in (["letters"], ["patches"], [])
    ]
    for captures, words in ((made[:2], "['letters'] and ['patches']"), (made[2], "have []")):
        with pytest.raises(ValueError, match=re.escape(words)):
            iv.lab.draw(captures)


def test_a_capture_without_its_network_says_so(tmp_path):
    meta = {"data": "digits", "backbone": "small_cnn"}
    capture = iv.Capture.from_arrays([[1.0, 0.0]], [0], ood={"letters": [[0.0, 0.0]]}, loss="isomax", meta=meta)
    with pytest.raises(ValueError, match="does not say which experiment recorded it"):
        iv.lab.draw(capture, store=tmp_path)


@pytest.mark.parametrize("wrong", [{"loss": "isomax2"}, {"score": "energy"}, {"seed": -1}])
def test_moons_take_what_the_page_can_train(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        iv.lab.moons(**wrong)


@pytest.fixture(scope="module")
def view():
    return iv.lab.questions()


def test_a_lesson_keeps_its_state_and_its_picture():
    view = iv.lab.questions(5)
    assert view.state()["draw"]["score"] == "es" and view.state()["part"] == "units"
    wanted = {"part": "draw", "draw": {"score": "mds", "picture": [0, 255] * 32, "share": None}, "gaps": {"0": 12.5}}
    assert view.restore(json.dumps(wanted)) is view
    kept = view.state()
    assert kept["draw"]["costs"] == {"accept_unknown": 1.0, "reject_known": 1.0, "share_unknown": 0.5}
    assert (kept["draw"]["score"], kept["draw"]["share"], kept["gaps"]) == ("mds", None, {"0": 12.5})
    kept["draw"]["score"] = "es"
    assert view.state()["draw"]["score"] == "mds"


def test_a_saved_notebook_keeps_a_picture_of_each_part():
    view = iv.lab.questions(5, 7).restore({"gaps": {"1": 12.5}})
    texts = [text.get_text() for text in view._draw().texts]
    assert texts == [
        "5. Where is that on the ROC curve?",
        "7. Is the nearest prototype near? (guessed, 12.5 points away)",
    ]
    drawn = view.restore({"part": "draw", "draw": {"against": "patches", "picture": [9] * 64}})._draw()
    titles = [axes.get_title(loc="left") for axes in drawn.axes]
    assert titles[0] == "What was drawn" and len(titles) == 5 and "IsoMax2" in titles[4]
    moved = iv.lab.moons().restore({"moons": {"moved": {"0": [9.0, 9.0]}}})._draw()
    assert max(line.get_xdata().max() for line in moved.axes[0].lines) == 9.0
    bundle, metadata = iv.lab.moons()._repr_mimebundle_()
    assert bundle["image/png"][:4] == b"\x89PNG" and metadata["image/png"]["alt"].startswith("Lesson(moons")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"parts": 1}, "state"),
        ({"part": "moon"}, "part must be one of"),
        ({"draw": {"score": "knn"}}, "score must be one of"),
        ({"draw": {"colour": 1}}, "colour"),
        ({"draw": {"picture": [0] * 63}}, "64 grey values, row by row, but has 63"),
        ({"draw": {"picture": [300] * 64}}, "A pixel of picture"),
        ({"draw": {"share": 2}}, "share must be"),
        ({"draw": {"focus": 4}}, "focus must be"),
        ({"draw": {"costs": {"share_unknown": 2}}}, "share_unknown must be"),
        ({"question": 12}, "question must be"),
        ({"moons": {"seed": -1}}, "seed must be"),
        ({"moons": {"moved": {"999": [0, 0]}}}, "moved must be one of"),
        ({"gaps": {"12": 1.0}}, "gaps must be one of"),
        ({"gaps": None}, "gaps must be a mapping"),
        ({"gaps": {"0": "far"}}, "A gap or place must be a number"),
        ('["part"]', "state must be a mapping"),
    ],
)
def test_a_state_that_is_not_on_offer_changes_nothing(view, state, words):
    before = view.state()
    with pytest.raises((TypeError, ValueError), match=words):
        view.restore(state)
    assert view.state() == before


@pytest.mark.parametrize("number", [0, 13])
def test_questions_are_numbered_from_1_to_12(number):
    with pytest.raises(ValueError, match="number"):
        iv.lab.questions(number)
