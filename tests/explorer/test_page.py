"""The page without a kernel: its numbers are the library's, names cannot run as code, and nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import combinations

import numpy as np
import pytest

import isomax_viz as iv
from isomax_viz import Capture, evaluate, explore, scores, to_html
from isomax_viz.analysis.thresholds import find_threshold, threshold_table
from isomax_viz.catalog.losses import LOSSES
from isomax_viz.catalog.style import DATA_STYLES, OKABE_ITO
from isomax_viz.explorer import page
from isomax_viz.explorer.data import BINS, DARK, _contrast, digest, on_dark

HOSTILE = '</script><img src=x onerror="window.hacked=1"><!--'


def make(loss="isomax", *, n=300, sets=("letters", "patches"), seed=0, **meta) -> Capture:
    """Return a capture of random distances whose sets lie farther and farther out."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)

    def arrays(shift):
        distances = rng.gamma(9.0, 0.4, (n, 4)).astype(np.float32)
        distances[np.arange(n), labels] *= shift
        return {"logits": -distances, "distances": distances}

    known = arrays(0.3)
    ood = {name: arrays(0.5 + 0.2 * position) for position, name in enumerate(sets)}
    meta = {"data": "digits", "backbone": "small_cnn", "preset": "teaching", "seed": seed} | meta
    return Capture.from_arrays(
        known["logits"], labels, distances=known["distances"], ood=ood, loss=loss, meta=meta
    )  # fmt: skip


def test_pages_and_figures_are_written_to_the_home_that_a_path_begins_with(tmp_path, monkeypatch):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    capture = make(n=20)
    assert to_html(capture, "~/new/page.html") == home / "new" / "page.html"
    assert iv.figures.save_figure(iv.plot_entropy(capture), "~/new/entropy.png") == home / "new" / "entropy.png"
    assert len(list((home / "new").iterdir())) == 2 and not list(elsewhere.iterdir())


class Page(HTMLParser):
    """The tags of a page, the text of its scripts, and the attributes that name other places."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.scripts, self.places, self.policy, self.text = [], [], [], "", ""
        self._script = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append(tag)
        self.places += [given[name] for name in ("src", "href") if name in given]
        assert not any(name.startswith("on") for name in given)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]
        if tag == "script":
            self._script = True
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._script = self._script and tag != "script"

    def handle_data(self, data):
        if self._script:
            self.scripts[-1] += data
        else:
            self.text += data

    @property
    def content(self):
        return json.loads(self.scripts[0])


@pytest.fixture(scope="module")
def captures():
    return [make(loss, seed=seed).replace(prototypes=np.eye(4)) for seed, loss in enumerate(("softmax", "isomax+"))]


@pytest.fixture(scope="module")
def written(captures, tmp_path_factory):
    return Page(to_html(captures, tmp_path_factory.mktemp("page") / "explorer.html").read_text(encoding="utf-8"))


def edges_of(thresholds):
    """Read thresholds as the page does: float32 where the scores are."""
    kind = np.float32 if thresholds["single"] else np.float64
    return [float(kind(edge)) for edge in thresholds["edges"]]


@pytest.mark.parametrize("key", ["mps", "es", "mds", "gen", "scaled_mps"])
def test_counts_at_every_threshold_are_those_of_the_table(written, captures, key):
    for number, capture in enumerate(captures):
        stored = written.content["networks"][number]["scores"][key]
        edges = edges_of(stored["thresholds"])
        assert edges == sorted(set(edges)) and len(edges) > 300
        accepted = {name: 300 - np.cumsum(steps) for name, steps in stored["thresholds"]["rejected"].items()}
        for k in range(0, len(edges), 23):
            table = threshold_table(capture, score=key, threshold=edges[k])
            assert table["id_accepted"].tolist() == [accepted["ID"][k]] * 2
            assert table["ood_accepted"].tolist() == [accepted["letters"][k], accepted["patches"][k]]


def test_metrics_are_those_of_evaluate(written, captures):
    for number, capture in enumerate(captures):
        network = written.content["networks"][number]
        rows = evaluate(capture, scores=list(network["scores"])).to_dict("records")
        assert len(rows) == 2 * len(scores.SCORES)
        for row in rows:
            shown = network["scores"][row["score"]]["metrics"][row["ood"]]
            assert shown == {name: row[name] for name in iv.metrics.METRICS}
        assert network["accuracy"] == rows[0]["accuracy"] and network["n"]["ID"] == 300


@pytest.mark.parametrize("key", ["es", "scaled_mps"])
def test_the_thresholds_of_both_rules_are_on_the_list(key):
    capture = make(sets=("a", "b", "c"))
    content = digest([capture], ["one"], scores=[scores.get(key)], ood=list(capture.ood))
    edges = set(edges_of(content["networks"][0]["scores"][key]["thresholds"]))
    assert find_threshold(capture, score=key) in edges
    for size in (1, 2, 3):
        for chosen in combinations("abc", size):
            assert find_threshold(capture, list(chosen), score=key, rule="dtacc") in edges


def test_bars_count_every_value_once(written, captures):
    values = written.content["networks"][1]["values"]
    assert set(values) == {"logits", "entropy", "max_probability", "distances"}
    groups = {group["name"]: group for group in values["logits"]["groups"]}
    assert list(groups) == ["intra-class ID", "inter-class ID", "letters", "patches"]
    test = captures[1].test
    own = test.logits[np.arange(300), test.labels]
    limits = values["logits"]["low"], values["logits"]["high"]
    np.testing.assert_array_equal(groups["intra-class ID"]["counts"], np.histogram(own, BINS, limits)[0])
    assert sum(groups["letters"]["counts"]) == groups["letters"]["n"] == 1200
    entropies = values["entropy"]["groups"][2]
    assert entropies["median"] == pytest.approx(np.median(captures[1].ood["patches"].entropies))


def test_captures_that_differ_in_what_they_carry():
    bare = Capture.from_arrays([[3.0, 0.0], [0.0, 2.0]], [0, 1], ood={"letters": [[0.4, 0.1]]}, loss="softmax")
    whole = scores.add_column(make(), "knn", {name: np.arange(300.0) for name in ("test", "letters", "patches")})
    keys = [scores.words(key) for key in ("es", "mds", "knn")]
    first, second = digest([bare, whole], ["a", "b"], scores=keys, ood=["letters", "patches"])["networks"]
    assert list(first["scores"]) == ["es"] and list(second["scores"]) == ["es", "mds", "knn"]
    assert list(first["n"]) == ["ID", "letters"] and "distances" not in first["values"]


def test_nothing_is_fetched_and_only_our_scripts_may_run(written):
    assert written.places == [] and written.tags.count("script") == 3
    assert "default-src 'none'" in written.policy and "unsafe-inline" not in written.policy.split("script-src")[1]
    allowed = re.findall(r"'sha256-([^']+)'", written.policy)
    digests = [hashlib.sha256(script.encode()).digest() for script in written.scripts[1:]]
    assert allowed == [base64.b64encode(item).decode() for item in digests]
    assert "vegaEmbed" in written.scripts[1]


def test_names_and_titles_are_text(tmp_path):
    capture = make(sets=(HOSTILE,), data=HOSTILE, backbone=HOSTILE, loss=HOSTILE)

    def mine(samples):
        """<img src=x onerror="window.hacked=1">"""  # noqa: D300, D400, D403
        return samples.logits.max(axis=1)

    mine.__name__ = HOSTILE
    parsed = Page(to_html(capture, tmp_path / "x.html", scores=["es", mine], title=HOSTILE).read_text("utf-8"))
    assert "img" not in parsed.tags and parsed.tags.count("script") == 3
    assert list(parsed.content["sets"]) == [HOSTILE] and HOSTILE in parsed.content["scores"]
    assert HOSTILE in parsed.text  # the heading, word for word


def test_a_network_without_any_of_the_scores_is_left_out(tmp_path):
    bare = Capture.from_arrays([[3.0, 0.0]], [0], ood={"letters": [[0.1, 0.0]]}, loss="softmax")
    content = Page(to_html([bare, make()], tmp_path / "x.html", scores="mds").read_text("utf-8")).content
    assert [network["title"] for network in content["networks"]] == ["IsoMax"]
    assert content["start"]["network"] == 0
    with pytest.raises(ValueError, match=r"start\['network'\] must be the number .* one of \[1\], but is 0"):
        to_html([bare, make()], tmp_path / "x.html", scores="mds", start={"network": 0})
    mixed = Capture.from_arrays(
        [[3.0, 0.0]], [0], distances=[[0.0, 3.0]], ood={"letters": [[0.1, 0.0]]}, loss="isomax"
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"No capture gives one of the scores \['mds'\] .* Choose another score"):
        to_html(mixed, tmp_path / "x.html", scores="mds")


def test_scores_of_one_name_are_told_apart_or_refused(tmp_path):
    content = Page(to_html(make(), tmp_path / "x.html", scores=["es", "mps", "es"]).read_text("utf-8")).content
    assert list(content["scores"]) == ["es", "mps"]
    two = [lambda samples: samples.logits.max(axis=1), lambda samples: -samples.logits.max(axis=1)]
    with pytest.raises(ValueError, match="two are called '<lambda>'. Define your functions"):
        to_html(make(), tmp_path / "x.html", scores=two)


@pytest.mark.parametrize("name", ["ID", "intra-class ID", "inter-class ID"])
def test_a_set_cannot_go_by_the_name_of_the_known_images(tmp_path, name):
    # Its counts would stand where theirs belong.
    with pytest.raises(ValueError, match=f"ood holds a set called '{name}', .* Give it another name"):
        to_html(make(sets=("letters", name)), tmp_path / "x.html")
    assert to_html(make(sets=("letters", name)), tmp_path / "x.html", ood="letters").exists()


def test_more_sets_than_all_combinations_are_told(tmp_path):
    told = "Of several sets together, the best DTACC"
    assert told not in Page(to_html(make(sets=tuple("abcde")), tmp_path / "x.html").read_text("utf-8")).text
    assert told in Page(to_html(make(sets=tuple("abcdef")), tmp_path / "x.html").read_text("utf-8")).text


def test_four_losses_five_sets_and_ten_thousand_images_stay_below_five_megabytes(tmp_path):
    path = to_html(make(n=10_000, sets=tuple("abcde")), tmp_path / "one.html")
    fixed = len(page._vega()) + len(page._script()) + sum(len(page._text(name)) for name in ("page.css", "notice.txt"))
    assert fixed + 4 * (path.stat().st_size - fixed) < 5_000_000


def test_the_explorer_writes_the_page_it_shows(captures, tmp_path):
    view = explore(captures, folder=tmp_path)
    view.restore({"loss": "isomax+", "score": "mds", "ood": ["patches"], "view": "entropy", "threshold": "dtacc"})
    view.take_away.buttons["html"].click()
    assert "explorer.html" in view.take_away.told.value and view.message.layout.display == "none"
    start = Page((tmp_path / "explorer.html").read_text("utf-8")).content["start"]
    assert start == {"network": 1, "score": "mds", "ood": ["patches"], "view": "entropy", "threshold": "dtacc"}
    view.restore({"view": "prototypes"})  # the page has no such view
    path = view.to_html("other.html")
    assert path == tmp_path / "other.html" and Page(path.read_text("utf-8")).content["start"]["view"] == "scores"
    view.close()


def test_names_of_a_mapping_reach_the_page(tmp_path):
    capture = make()
    view = explore({"before": capture, "after": capture}, folder=tmp_path)
    content = Page(view.to_html().read_text("utf-8")).content
    assert [network["title"] for network in content["networks"]] == ["IsoMax · before", "IsoMax · after"]
    assert content["chooser"] == "Network"
    view.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ood": "svhn"}, "ood must be one of 'letters', 'patches', but is 'svhn'"),
        ({"scores": "mdss"}, "scores must be one of .*Did you mean 'mds'"),
        ({"scores": []}, "scores is empty. Choose at least one"),
        ({"ood": []}, "ood is empty. Choose at least one"),
        ({"start": {"loss": "isomax"}}, "start must be one of 'network', 'score'"),
        ({"start": {"network": 5}}, r"start\['network'\] must be the number of a capture .* but is 5"),
        ({"start": {"view": "training"}}, r"start\['view'\] must be one of 'scores'"),
        ({"start": {"threshold": "95"}}, r"start\['threshold'\] must be one of 'tpr95', 'dtacc'.* number is accepted"),
    ],
)
def test_what_is_not_on_offer_is_refused(captures, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        to_html(captures, tmp_path / "x.html", **options)
    assert not (tmp_path / "x.html").exists()


def test_a_capture_without_sets_and_a_place_that_cannot_be_written(captures, tmp_path):
    with pytest.raises(ValueError, match="None of the captures has an out-of-distribution set"):
        to_html(Capture.from_arrays([[1.0, 0.0]], [0]), tmp_path / "x.html")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="could not be written: .* Choose another path"):
        to_html(captures, tmp_path / "file" / "x.html")


def test_a_full_disk_leaves_the_former_page(captures, tmp_path, monkeypatch):
    path = tmp_path / "explorer.html"
    path.write_text("former")

    def full(hidden):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("isomax_viz._common.files._flush", full)
    with pytest.raises(OSError, match="explorer.html could not be written: No space left on device. Choose another"):
        to_html(captures, path)
    assert path.read_text() == "former" and list(tmp_path.iterdir()) == [path]


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "vl_convert", None)
    with pytest.raises(ImportError, match="vl-convert-python is needed .* pip install vl-convert-python"):
        page._vega.__wrapped__()


def test_every_colour_stands_out_from_the_dark_background():
    assert _contrast([255, 255, 255], "#000000") == pytest.approx(21)
    for style in (*(loss.look for loss in LOSSES.values()), *DATA_STYLES.values()):
        rgb = [int(on_dark(style.color)[place : place + 2], 16) for place in (1, 3, 5)]
        assert _contrast(rgb, DARK) >= 4.5, style.label
    assert on_dark(OKABE_ITO["orange"]) == OKABE_ITO["orange"].lower()
