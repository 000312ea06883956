"""Reports: execute the notebooks and turn them into a gallery that opens without a kernel or a network.

Every figure that a notebook shows is written as PNG and SVG, every notebook as HTML with its formulas as MathML.
"""

from __future__ import annotations

import base64
import logging
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from PIL import Image
from tqdm.auto import tqdm

from isomax_viz._common.checks import check_choice
from isomax_viz._common.system import available_cores
from isomax_viz.experiments.of_notebooks import EXPERIMENTS, STUDIES
from isomax_viz.experiments.sweep import sweep
from isomax_viz.learning.training.hardware import choose_device

__all__ = ["EXPERIMENTS", "STUDIES", "ReportError", "build", "execute"]

logger = logging.getLogger(__name__)

# Runs in the kernel before the first cell and leaves no trace in the notebook: figures show themselves as PNG, and for
# the gallery as SVG too. Progress bars would only fill the pages.
_PREPARE = """
from io import StringIO
from matplotlib.figure import Figure
from isomax_viz.catalog import style as _style
def _svg(figure):
    buffer = StringIO()
    with _style.context():
        figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
_formatter = get_ipython().display_formatter.formatters["image/svg+xml"]
_formatter.for_type(Figure, _svg)
_formatter.for_type_by_name("isomax_viz.figures._canvas", "CanvasAxes", lambda ax: _svg(ax.get_figure(root=True)))
del _formatter
"""
_WIDGET = "application/vnd.jupyter.widget-view+json"
_SVG = "image/svg+xml"


# JupyterLab's page leaves out the words that figures carry for readers who cannot see them.
_PAGE = "page.html.j2"
_PAGE_TEMPLATE = """{% extends 'lab/index.html.j2' %}
{% block data_png scoped %}
{%- set words = output | get_metadata('alt', 'image/png') -%}
{{ super() | replace('<img ', '<img alt="' ~ (words | escape_html) ~ '" ', 1) if words else super() }}
{% endblock data_png %}
"""


# What must not stand in a page, which may hold words of a stranger's notebook; and no page runs or fetches anything.
_ACTIVE = ["script", "iframe", "frame", "object", "embed", "applet", "base", "form", "link", "template"]
_TARGETS = ("href", "src", "action", "formaction", "xlink:href", "srcdoc")
_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data: 'self' file:; "
    "style-src 'unsafe-inline'; font-src data:; form-action 'none'; base-uri 'none'\">"
)


class ReportError(RuntimeError):
    """A notebook failed; the message says which, and at which cell."""


@dataclass(frozen=True)
class Picture:
    """One figure of the gallery: its file, what it stands below, its words, its shape in pixels."""

    stem: str
    heading: str
    text: str
    width: int
    height: int


LARGE = 250_000  # letters of a picture in a committed notebook


def build(
    notebooks: Path, output: Path, *, only: str | None = None, update_notebooks: bool = False, progress: bool = True
) -> Path:
    """Train what the notebooks need, execute them, and write the gallery.

    Parameters
    ----------
    notebooks : Path
        Folder of ``*.ipynb``.
    output : Path
        Folder to write: ``index.html``, ``explorer.html``, ``<notebook>.html``, ``figures/*.png``, ``figures/*.svg``,
        ``metrics.csv``.
    only : str, optional
        Name of the only notebook to execute (without suffix).
    update_notebooks : bool
        Put the fresh outputs into the notebooks themselves.
    progress : bool
        Show progress bars.

    Returns
    -------
    Path
        The gallery's ``index.html``.

    Raises
    ------
    FileNotFoundError
        If there are no notebooks.
    ReportError
        If a notebook fails. What was written before stays.
    SweepError
        If a training fails. The others are kept.
    """
    from isomax_viz.analysis.tables import evaluate
    from isomax_viz.explorer.page import to_html

    paths = sorted(notebooks.glob("*.ipynb"))
    if not paths:
        raise FileNotFoundError(f"There are no notebooks in {notebooks.resolve()}. Run this where the README lies.")
    if only is not None:
        check_choice("only", only, [path.stem for path in paths])
        paths = [path for path in paths if path.stem == only]
    figures = output / "figures"
    if only is None:
        shutil.rmtree(figures, ignore_errors=True)
    figures.mkdir(parents=True, exist_ok=True)
    studied = [experiment for path in paths for experiment in STUDIES.get(path.stem, ())]
    workers = _suitable_workers()
    captures = sweep([*EXPERIMENTS, *studied], workers, progress=progress)
    evaluate(captures[: len(EXPERIMENTS)], scores=("mps", "es", "mds", "max_logit", "energy")).to_csv(
        output / "metrics.csv", index=False, float_format="%.6f"
    )
    to_html(captures[: len(EXPERIMENTS)], output / "explorer.html")
    chapters = []
    with ThreadPoolExecutor(workers) as pool:  # each notebook has a process of its own, its kernel
        executed = tqdm(pool.map(execute, paths), total=len(paths), desc="notebooks", disable=not progress)
        for path, notebook in zip(paths, executed, strict=True):  # the pages before a failing one are written
            pictures = list(_extract_pictures(notebook, path.stem, figures))
            _without_volatile(notebook)
            if update_notebooks:
                _lighten(notebook)
                nbformat.write(notebook, path)
            page = output / f"{path.stem}.html"
            page.write_text(_to_html(notebook, path.stem), encoding="utf-8")
            title = next((heading for cell in notebook.cells for heading in _headings(cell)), path.stem)
            chapters.append((title, page.name, pictures))
    index = output / "index.html"
    if only is None or not index.exists():  # one notebook alone leaves the gallery of all as it is
        index.write_text(_gallery(chapters), encoding="utf-8")
    return index


def _lighten(notebook: NotebookNode) -> None:
    """Store large pictures, which are smooth shades, with 256 colours: a third of the size."""
    for output in (output for cell in notebook.cells for output in cell.get("outputs", ())):
        picture = output.get("data", {}).get("image/png", "")
        if len(picture) > LARGE:
            buffer = BytesIO()
            with Image.open(BytesIO(base64.b64decode(picture))) as image:
                image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
            output["data"]["image/png"] = base64.b64encode(buffer.getvalue()).decode()


def _suitable_workers() -> int:
    """Return how many trainings or notebooks to run at a time: small networks use one core each, or a GPU."""
    import torch

    return available_cores() if choose_device().type == "cpu" else max(1, torch.cuda.device_count())


def execute(path: Path, *, timeout_s: int = 600) -> NotebookNode:
    """Execute a notebook in its own folder and return it with its outputs; the file stays as it is.

    Parameters
    ----------
    path : Path
        The notebook.
    timeout_s : int
        Longest time for one cell, in seconds.

    Raises
    ------
    ReportError
        If a cell fails; the message holds the cell and the error.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    notebook = nbformat.read(path, as_version=4)
    prepare = nbformat.v4.new_code_cell(_PREPARE)
    notebook.cells.insert(0, prepare)
    client = NotebookClient(
        notebook,
        timeout=timeout_s,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        extra_arguments=["--Application.log_level=ERROR"],
        store_widget_state=False,
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError) as error:
        raise ReportError(f"The notebook {path} failed.\n{error}") from error
    notebook.cells.remove(prepare)
    return notebook


def _extract_pictures(notebook: NotebookNode, name: str, folder: Path) -> Iterator[Picture]:
    number, heading = 0, name
    for cell in notebook.cells:
        heading = [heading, *_headings(cell)][-1]
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" not in data:
                continue
            number += 1
            file = folder / f"{name}_{number}.png"
            file.write_bytes(base64.b64decode(data["image/png"]))
            if _SVG in data:
                file.with_suffix(".svg").write_text(data[_SVG], encoding="utf-8")
            with Image.open(file) as image:
                yield Picture(file.stem, heading, output.metadata.get("image/png", {}).get("alt", ""), *image.size)


def _without_volatile(notebook: NotebookNode) -> None:
    """Remove what differs from run to run or does not live outside a kernel, so that a re-run makes no difference."""
    for number, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), 1):
        cell.execution_count = number
        cell.metadata.pop("execution", None)
        cell.outputs = [output for output in cell.outputs if not _is_volatile(output)]
        for output in cell.outputs:
            for kind in (_SVG, _WIDGET):  # beside a widget stands its picture
                output.get("data", {}).pop(kind, None)
            if "execution_count" in output:
                output["execution_count"] = number
    notebook.metadata.pop("widgets", None)
    # The version of Python would change with every reader.
    notebook.metadata["language_info"] = {"name": "python"}


def _is_volatile(output: NotebookNode) -> bool:
    data = output.get("data", {})
    return output.output_type == "stream" and output.name == "stderr" or _WIDGET in data and "image/png" not in data


def _headings(cell: NotebookNode) -> list[str]:
    """Return the headings of a cell, as plain words."""
    found = re.findall(r"^#+\s+(.+)", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else []
    return [re.sub(r"[`*$]", "", heading).strip() for heading in found]


def _to_html(notebook: NotebookNode, title: str) -> str:
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    page = nbformat.from_dict(notebook)
    for cell in page.cells:
        if cell.cell_type == "markdown":
            cell.source = _formulas_as_mathml(cell.source)
    exporter = HTMLExporter(template_file=_PAGE, extra_loaders=[DictLoader({_PAGE: _PAGE_TEMPLATE})])
    # Formulas are MathML already and there are no widgets: nothing has to be fetched.
    exporter.mathjax_url = exporter.require_js_url = exporter.jquery_url = exporter.mermaid_js_url = ""
    body, _ = exporter.from_notebook_node(page, resources={"metadata": {"name": title}})
    return _at_rest(body).replace(".ipynb)", ".html)").replace('.ipynb"', '.html"')


def _at_rest(page: str) -> str:
    """Return a page without anything that runs or fetches, whatever words and outputs a notebook holds."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(page, "html.parser")
    for tag in soup.find_all(_ACTIVE):
        tag.decompose()
    for tag in soup.find_all("meta", attrs={"http-equiv": True}):
        tag.decompose()
    for tag in soup.find_all(True):
        for name, value in list(tag.attrs.items()):
            target = re.sub(r"[\s\x00-\x20]", "", str(value)).lower() if name in _TARGETS else ""
            if name.startswith("on") or target.startswith(("javascript:", "vbscript:", "data:text")):
                del tag[name]
    soup.head.insert(0, BeautifulSoup(_POLICY, "html.parser"))  # type: ignore[union-attr]  # nbconvert writes one
    return str(soup)


def _formulas_as_mathml(markdown: str) -> str:
    from latex2mathml.converter import convert

    markdown = re.sub(r"\$\$(.+?)\$\$", lambda m: convert(m[1].strip(), display="block"), markdown, flags=re.DOTALL)
    return re.sub(r"(?<![\\$])\$([^$\n]+?)\$", lambda m: convert(m[1].strip()), markdown)


def _gallery(chapters: list[tuple[str, str, list[Picture]]]) -> str:
    from jinja2 import Environment

    template = Path(__file__).with_name("gallery.html.j2").read_text(encoding="utf-8")
    return Environment(autoescape=True, trim_blocks=True).from_string(template).render(chapters=chapters)
