"""The gallery: what it writes, that it opens without a network, and what it says when a notebook fails."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from PIL import Image

import isomax_viz as iv
from isomax_viz import Experiment, cli
from isomax_viz.experiments import reports
from isomax_viz.experiments.reports import ReportError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with one small notebook, and smoke experiments in place of the real ones."""
    monkeypatch.setattr(reports, "EXPERIMENTS", (Experiment(loss="isomax", preset="smoke"),))
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_markdown_cell("# A <title>\n\nA formula $p_j$ and another:\n\n$$\\sum_j p_j = 1$$"),
        nbformat.v4.new_code_cell(
            "import isomax_viz as iv\n"
            "capture = iv.Capture.from_arrays([[3.0, 0.0]] * 20, [0] * 20, ood={'x': [[0.1, 0.0]] * 20})\n"
            "iv.plot_entropy(capture)"
        ),
        nbformat.v4.new_code_cell(
            "import ipywidgets, sys\nprint('step', 1, 'of 9', file=sys.stderr)\nipywidgets.IntSlider()"
        ),
    ]
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "00_small.ipynb")
    return tmp_path


def test_the_gallery_is_complete_and_self_contained(folder):
    source = folder / "notebooks" / "00_small.ipynb"
    before = source.read_text()
    index = reports.build(folder / "notebooks", folder / "reports", progress=False)
    assert source.read_text() == before
    page = index.read_text()
    assert "A &lt;title&gt;" in page and 'src="figures/00_small_1.png"' in page and "median entropy" in page
    with Image.open(index.parent / "figures/00_small_1.png") as image:
        assert 'width="{}" height="{}"'.format(*image.size) in page
    assert (index.parent / "figures/00_small_1.png").read_bytes()[:4] == b"\x89PNG"
    assert ET.parse(index.parent / "figures/00_small_1.svg").getroot().tag.endswith("svg")
    assert 'href="explorer.html"' in page
    explorer = (index.parent / "explorer.html").read_text("utf-8")
    content = json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', explorer, re.S)[1])
    losses = [network["label"] for network in content["data"]["networks"]]
    assert losses == ["IsoMax"] and len(content["saved"]["answers"]) > 10
    assert 'mount(document.getElementById("explorer"), { data: page.data, saved: page.saved, state })' in explorer
    metrics = pd.read_csv(index.parent / "metrics.csv")
    assert set(metrics["score"]) == {"mps", "es", "mds", "max_logit", "energy"} and metrics["AUROC"].between(0, 1).all()
    notebook_page = (index.parent / "00_small.html").read_text()
    assert "<math" in notebook_page and "$p_j$" not in notebook_page
    assert "<script" not in notebook_page and "step 1 of 9" not in notebook_page
    for text in (page, notebook_page):
        assert not re.findall(r'(?:src|href)="(?:https?:)?//(?!isomax)[^"]*\.(?:js|css)', text)


def test_the_gallery_has_contents_the_explorer_and_one_line_for_each_picture():
    wide, tall = (
        reports.Picture("00_a_1", "Logits", "Many words", 900, 300),
        reports.Picture("01_b_1", "ROC", "More", 3, 4),
    )
    page = BeautifulSoup(reports._gallery([("One", "00_a.html", [wide]), ("Two", "01_b.html", [tall])]), "html.parser")
    contents = page.select("nav a")
    assert [link.text for link in contents] == ["One", "Two"]
    assert [page.find(id=link["href"][1:]).h2.a["href"] for link in contents] == ["00_a.html", "01_b.html"]
    frame = page.iframe
    assert frame["src"] == "explorer.html" and "allow-same-origin" not in frame["sandbox"]
    assert frame in page.nav.find_all_previous("iframe")
    for figure, picture in zip(page.select("section .row figure"), (wide, tall), strict=True):
        assert figure["style"] == f"--shape: {picture.width / picture.height:.3f}" and figure.img["alt"] == picture.text
        folded = figure.figcaption.details
        assert folded.summary.text == f"{picture.heading} {picture.text}" and not folded.has_attr("open")
        assert [link["href"] for link in folded.select("a")] == [
            f"figures/{picture.stem}.{kind}" for kind in ("png", "svg")
        ]
    assert page.find("meta", attrs={"name": "viewport"}) and "prefers-color-scheme: dark" in page.style.text


def test_pictures_of_a_page_carry_their_words(folder, caplog):
    notebook = reports.execute(folder / "notebooks" / "00_small.ipynb")
    reports._without_volatile(notebook)
    (output,) = notebook.cells[1].outputs
    words = output.metadata["image/png"]["alt"]
    assert "median entropy" in words
    output.metadata["image/png"]["alt"] = f'{words} "Quoted" & <less>.'
    page = BeautifulSoup(reports._to_html(notebook, "small"), "html.parser")
    assert [image["alt"] for image in page.select("img")] == [f'{words} "Quoted" & <less>.']
    assert "Alternative text is missing" not in caplog.text
    output.metadata["image/png"].pop("alt")  # a picture of someone else's: the page still opens, and says so
    page = BeautifulSoup(reports._to_html(notebook, "small"), "html.parser")
    assert [image["alt"] for image in page.select("img")] == ["No description has been provided for this image"]


def test_a_widget_leaves_its_picture_in_the_committed_notebook_or_nothing():
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "0"}, "text/plain": "Explorer"}
    given = [widget | {"image/png": "AA=="}, widget, {"text/plain": "3"}]
    outputs = [nbformat.v4.new_output("execute_result", data) for data in given]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("explorer", outputs=outputs)])
    reports._without_volatile(notebook)
    left = [output.data for output in notebook.cells[0].outputs]
    assert left == [{"text/plain": "Explorer", "image/png": "AA=="}, {"text/plain": "3"}]


class Runs(HTMLParser):
    """An independent reader: collects what a browser would run, follow or fetch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag in ("script", "iframe", "object", "embed", "form", "base", "link"):
            self.found.append(tag)
        self.found += [name for name in given if name.startswith("on")]
        links = "".join(str(given.get(name, "")) for name in ("href", "src")).lower()
        self.found += ["target"] * ("script:" in links.replace("\n", ""))
        self.found += ["refresh"] * (given.get("http-equiv", "").lower() == "refresh")


HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<ScRiPt\n>alert(1)</sCript >",
    "<a href='java\nscript:alert(1)'>x</a>",
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<meta http-equiv='refresh' content='0;url=https://example.org'>",
    "<form action='javascript:alert(1)'><button formaction='javascript:alert(1)'>x</button></form>",
)


@pytest.mark.parametrize("words", HOSTILE)
def test_nothing_runs_in_a_page_whatever_a_notebook_holds(words):
    outputs = [
        nbformat.v4.new_output("display_data", {"text/html": words}),
        nbformat.v4.new_output("display_data", {"text/markdown": words}),
        nbformat.v4.new_output("stream", name="stdout", text=words),
        nbformat.v4.new_output(
            "display_data", {"image/png": "iVBORw0KGgo="}, metadata={"image/png": {"alt": f'">{words}'}}
        ),
    ]
    cells = [nbformat.v4.new_markdown_cell(f"# {words}\n\n{words}"), nbformat.v4.new_code_cell(words, outputs=outputs)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    heading = reports._headings(cells[0])[0]
    chapter = (heading, "x.html", [reports.Picture("x_1", heading, f'">{words}', 4, 3)])
    # The one thing that runs in the gallery is the explorer's page, in a frame of another origin.
    for page, runs in ((reports._to_html(notebook, words), []), (reports._gallery([chapter]), ["iframe"])):
        reader = Runs()
        reader.feed(page)
        assert reader.found == runs and "default-src 'none'" in page.partition("</head>")[0]
        assert "script-src" not in page  # none at all


def test_updating_twice_changes_nothing(folder):
    source = folder / "notebooks" / "00_small.ipynb"
    reports.build(folder / "notebooks", folder / "reports", update_notebooks=True, progress=False)
    first = source.read_text()
    assert (
        '"image/png"' in first and "svg" not in first and "widget-view" not in first and '"name": "stderr"' not in first
    )
    reports.build(folder / "notebooks", folder / "reports", update_notebooks=True, progress=False)
    assert source.read_text() == first


def test_a_failing_notebook_is_named_with_its_error(folder):
    path = folder / "notebooks" / "01_bad.ipynb"
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("import isomax_viz as iv\niv.scores.get('msp')")]
    )
    nbformat.write(notebook, path)
    with pytest.raises(ReportError, match="01_bad.ipynb failed(.|\n)*score must be one of"):
        reports.build(folder / "notebooks", folder / "reports", progress=False)
    assert (folder / "reports" / "00_small.html").exists()  # what was finished stays


def test_the_command_line_says_what_is_wrong_and_exits_non_zero(folder, capsys):
    assert cli.main(["figures", "--notebooks", str(folder / "none")]) == 1
    assert "There are no notebooks in" in capsys.readouterr().err
    assert cli.main(["figures", "--notebooks", str(folder / "notebooks"), "--only", "00_smal"]) == 1
    assert "Did you mean '00_small'" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        cli.main(["paint"])
    done = subprocess.run([sys.executable, "-m", "isomax_viz", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "examples:" in done.stdout


@pytest.mark.parametrize("stem", reports.STUDIES)
def test_the_trainings_of_a_notebook_are_those_it_runs(stem, monkeypatch):
    """What is trained first, with its progress seen, is what the notebook reads, neither more nor less."""
    asked = set()
    monkeypatch.setattr(Experiment, "run", lambda self, *args, **kwargs: asked.add(self.id))
    monkeypatch.setattr(iv, "sweep", lambda listed, *args, **kwargs: asked.update(e.id for e in listed), raising=False)
    monkeypatch.setattr(iv, "make_fooling", lambda data: None)
    path = Path(__file__).resolve().parents[2] / "notebooks" / f"{stem}.ipynb"
    names: dict = {}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            # Without captures the figures and tables fail; what is asked for stands before them.
            with suppress(Exception):
                exec(cell.source, names)
    assert asked == {experiment.id for experiment in reports.STUDIES[stem]}
