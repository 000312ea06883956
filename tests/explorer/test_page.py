"""The page without a kernel: its numbers are the library's, names cannot run as code, and nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest

import isomax_viz as iv
from isomax_viz import Capture, evaluate, explore, scores, to_html
from isomax_viz.catalog import losses as known
from isomax_viz.catalog.style import DATA_STYLES
from isomax_viz.explorer import page
from isomax_viz.explorer.data import DARK, _light, from_order_keys, on_dark

LOSSES = ("softmax", "isomax", "isomax+", "isomax2")
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


def unpacked(content, request):
    """Return the answer that a page holds, its arrays as numpy arrays."""
    found = content["saved"]["answers"][json.dumps(request, separators=(",", ":"))]
    given = [zlib.decompress(base64.b64decode(content["saved"]["buffers"][place])) for place in found["buffers"]]

    def revive(value):
        if isinstance(value, dict) and set(value) == {"buffer", "type"}:
            raw = given[value["buffer"]]
            if value["type"] != "steps":
                return np.frombuffer(raw, value["type"])
            steps = np.frombuffer(raw, np.uint8).reshape(4, -1).T.copy().view("<u4").ravel().astype(np.int64)
            steps[0] = np.int32(np.uint32(steps[0]))
            return from_order_keys(np.cumsum(steps))
        return {key: revive(item) for key, item in value.items()} if isinstance(value, dict) else value

    return revive(found["json"])


@pytest.fixture(scope="module")
def captures():
    return [make(loss, seed=seed).replace(prototypes=np.eye(4)) for seed, loss in enumerate(("softmax", "isomax+"))]


@pytest.fixture(scope="module")
def written(captures, tmp_path_factory):
    return Page(to_html(captures, tmp_path_factory.mktemp("page") / "explorer.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("many", [10**9, 0])
@pytest.mark.parametrize("key", ["mps", "es", "mds", "gen", "scaled_mps"])
def test_the_page_holds_the_scores_in_their_order(captures, tmp_path, monkeypatch, key, many):
    monkeypatch.setattr(page, "MANY", many)
    content = Page(to_html(captures, tmp_path / "x.html", scores=key).read_text("utf-8")).content
    assert content["data"]["counts_only"] == (many == 0)
    for number, capture in enumerate(captures):
        answer = unpacked(content, {"what": "scores", "network": number, "name": key})
        sets = {"ID": capture.test, **capture.ood}
        exact = {name: scores.compute(key, samples) for name, samples in sets.items()}
        kept = {name: column["sorted"] if many == 0 else np.sort(column) for name, column in answer["columns"].items()}
        # Every count at every threshold is exact if pooled scores keep their order and their ties.
        names = np.repeat(list(exact), 300)
        pooled, sent = np.concatenate(list(exact.values())), np.concatenate([kept[name] for name in exact])
        ranked = [np.unique(values, return_inverse=True)[1] for values in (pooled, sent)]
        for name in exact:
            np.testing.assert_array_equal(np.sort(ranked[0][names == name]), np.sort(ranked[1][names == name]))
        np.testing.assert_allclose(np.sort(sent), np.sort(pooled), rtol=1e-5)


def test_metrics_are_those_of_evaluate(written, captures):
    for number, capture in enumerate(captures):
        rows = evaluate(capture, scores=list(scores.SCORES)).to_dict("records")
        assert len(rows) == 2 * len(scores.SCORES)
        for row in rows:
            sent = unpacked(written.content, {"what": "scores", "network": number, "name": row["score"]})
            assert sent["metrics"][row["ood"]] == {name: row[name] for name in iv.metrics.METRICS}


def test_four_losses_five_sets_and_ten_thousand_images_stay_below_three_megabytes(tmp_path):
    made = [make(loss, n=10_000, sets=tuple("abcde"), seed=n) for n, loss in enumerate(LOSSES)]
    assert to_html(made, tmp_path / "x.html").stat().st_size < 3_000_000


def test_the_explorer_writes_the_page_it_shows(captures, tmp_path):
    view = explore(captures, folder=tmp_path)
    view.restore({"loss": "isomax+", "score": "mds", "ood": ["patches"], "view": "prototypes", "threshold": "dtacc"})
    path = view.to_html("other.html")
    assert path == tmp_path / "other.html"
    state = Page(path.read_text("utf-8")).content["state"]
    wanted = {"network": 1, "score": "mds", "ood": ["patches"], "view": "prototypes", "threshold": "dtacc"}
    assert {name: state[name] for name in wanted} == wanted
    view.close()


def test_names_of_a_mapping_reach_the_page(tmp_path):
    capture = make()
    view = explore({"before": capture, "after": capture}, folder=tmp_path)
    content = Page(view.to_html().read_text("utf-8")).content
    assert [network["title"] for network in content["data"]["networks"]] == ["IsoMax · before", "IsoMax · after"]
    view.close()


def test_every_colour_stands_out_from_the_dark_background():
    for style in (*(loss.look for loss in known.LOSSES.values()), *DATA_STYLES.values()):
        rgb = [int(on_dark(style.color)[place : place + 2], 16) for place in (1, 3, 5)]
        assert (_light(rgb) + 0.05) / (_light(DARK) + 0.05) >= 4.5, style.label


def test_nothing_is_fetched_and_only_our_scripts_may_run(written):
    assert written.places == [] and written.tags.count("script") == 2
    assert "default-src 'none'" in written.policy and "unsafe-inline" not in written.policy.split("script-src")[1]
    allowed = re.findall(r"'sha256-([^']+)'", written.policy)
    digests = [hashlib.sha256(script.encode()).digest() for script in written.scripts[1:]]
    assert allowed == [base64.b64encode(item).decode() for item in digests]
    assert "unsafe-eval" not in written.policy


def test_names_and_titles_are_text(tmp_path):
    capture = make(sets=(HOSTILE,), data=HOSTILE, backbone=HOSTILE, loss=HOSTILE)

    def mine(samples):
        """<img src=x onerror="window.hacked=1">"""  # noqa: D300, D400, D403
        return samples.logits.max(axis=1)

    mine.__name__ = HOSTILE
    parsed = Page(to_html(capture, tmp_path / "x.html", scores=["es", mine], title=HOSTILE).read_text("utf-8"))
    assert "img" not in parsed.tags and parsed.tags.count("script") == 2
    assert list(parsed.content["data"]["sets"]) == [HOSTILE] and HOSTILE in parsed.content["data"]["scores"]
    assert HOSTILE in parsed.text  # the heading, word for word


def test_a_network_without_any_of_the_scores_is_left_out(tmp_path):
    bare = Capture.from_arrays([[3.0, 0.0]], [0], ood={"letters": [[0.1, 0.0]]}, loss="softmax")
    content = Page(to_html([bare, make()], tmp_path / "x.html", scores="mds").read_text("utf-8")).content
    assert [network["title"] for network in content["data"]["networks"]] == ["IsoMax"]
    assert content["state"]["network"] == 0
    with pytest.raises(ValueError, match=r"start\['network'\] must be the number .* one of \[1\], but is 0"):
        to_html([bare, make()], tmp_path / "x.html", scores="mds", start={"network": 0})
    mixed = Capture.from_arrays(
        [[3.0, 0.0]], [0], distances=[[0.0, 3.0]], ood={"letters": [[0.1, 0.0]]}, loss="isomax"
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"No capture gives one of the scores \['mds'\] .* Choose another score"):
        to_html(mixed, tmp_path / "x.html", scores="mds")


def test_scores_of_one_name_are_told_apart_or_refused(tmp_path):
    content = Page(to_html(make(), tmp_path / "x.html", scores=["es", "mps", "es"]).read_text("utf-8")).content
    assert list(content["data"]["scores"]) == ["es", "mps"]
    two = [lambda samples: samples.logits.max(axis=1), lambda samples: -samples.logits.max(axis=1)]
    with pytest.raises(ValueError, match="two are called '<lambda>'. Define your functions"):
        to_html(make(), tmp_path / "x.html", scores=two)


@pytest.mark.parametrize("name", ["ID", "intra-class ID", "inter-class ID"])
def test_a_set_cannot_go_by_the_name_of_the_known_images(tmp_path, name):
    # Its counts would stand where theirs belong.
    with pytest.raises(ValueError, match=f"ood holds a set called '{name}', .* Give it another name"):
        to_html(make(sets=("letters", name)), tmp_path / "x.html")
    assert to_html(make(sets=("letters", name)), tmp_path / "x.html", ood="letters").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ood": "svhn"}, "ood must be one of 'letters', 'patches', but is 'svhn'"),
        ({"scores": "mdss"}, "scores must be one of .*Did you mean 'mds'"),
        ({"scores": []}, "scores is empty. Choose at least one"),
        ({"ood": []}, "ood must name at least one"),
        ({"start": {"network": 5}}, r"start\['network'\] must be the number of a capture .* but is 5"),
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
