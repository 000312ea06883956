"""Every notebook runs, is committed with its outputs, and stays thin."""

from __future__ import annotations

import ast
import re
import time
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))

# They need recorded captures only, and run where PyTorch is not installed.
WITHOUT_TORCH = ("01_logits_entropy_probability", "05_distance_score", "07_explorer")
# They need the networks that the quickstart trains; run beside it, each would wait for the other's trainings.
LATE = ("03_training_dynamics", "06_tables", "12_threshold_and_cost", "13_entropy_principle")
# Two epochs show that every cell runs; what the whole trainings show is committed, and `make figures` makes it anew.
SHORT = """
from isomax_viz.experiments import Experiment as _Experiment
_whole = _Experiment.protocol.fget
_Experiment.protocol = property(lambda e: _whole(e).with_epochs(min(2, _whole(e).epochs)))
"""
# What it records beyond the sets that every experiment does.
SETS = {"06_tables": ("letters", "patches", "fooling", "gaussian", "uniform")}


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.notebook
@pytest.mark.parametrize("path", sorted(NOTEBOOKS, key=lambda path: path.stem in LATE), ids=lambda path: path.stem)
def test_notebook_runs(path, request, record_property, monkeypatch):
    from isomax_viz.experiments import Experiment, reports
    from isomax_viz.experiments.sweep import sweep

    monkeypatch.setattr(reports, "_PREPARE", SHORT)  # without SVG, which only the gallery needs; it has tests
    whole = Experiment.protocol.fget
    monkeypatch.setattr(Experiment, "protocol", property(lambda e: whole(e).with_epochs(min(2, whole(e).epochs))))
    if path.stem in WITHOUT_TORCH:
        request.getfixturevalue("hide_torch")
    start = time.perf_counter()
    if path.stem in reports.STUDIES:  # in this process; those that the notebook would start know of no short trainings
        sweep(reports.STUDIES[path.stem], ood=SETS.get(path.stem), progress=False)
    notebook = reports.execute(path)
    record_property("notebook", f"{path.stem}: {time.perf_counter() - start:.0f} s")  # printed at the end
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output.output_type == "error" for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_thin_and_committed_with_its_figures(path):
    notebook = nbformat.read(path, as_version=4)
    assert path.stat().st_size < 1_500_000, (
        "pictures of fewer dots, or fewer of them: the repository keeps every version"
    )
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    for number, cell in enumerate(code_cells(notebook), start=1):
        assert len(cell.source.splitlines()) <= 15, cell.source
        nodes = list(ast.walk(ast.parse(cell.source)))
        definitions = [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda))]
        if path.stem in ("20_your_own", "21_hypotheses"):  # show how short a definition of the reader's own is
            assert all(node.end_lineno - node.lineno < 10 for node in definitions), cell.source
        else:
            assert not definitions, cell.source
        assert cell.execution_count == number, "refresh it with: make notebooks"
        for output in cell.outputs:
            assert output.output_type != "error" and output.get("name") != "stderr"
    assert any("image/png" in output.get("data", {}) for cell in code_cells(notebook) for output in cell.outputs)
    assert "widgets" not in notebook.metadata


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_between_notebooks_lead_somewhere(path):
    notebook = nbformat.read(path, as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_picture_stands_in_the_place_of_each_widget(path):
    for cell in code_cells(nbformat.read(path, as_version=4)):
        if re.search(r"iv\.(explore|watch|lab\.)", cell.source) and not cell.source.endswith(".state()"):
            assert any("image/png" in output.get("data", {}) for output in cell.outputs), cell.source
