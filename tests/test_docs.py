"""The documentation: public names have a place, links and references lead somewhere, CI and citation are sound."""

from __future__ import annotations

import ast
import importlib
import inspect
import linecache
import re
import shutil
import textwrap
import tomllib
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

import isomax_viz as iv

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts]
TEXTS = [
    *PAGES,
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *(ROOT / "data").rglob("README.md"),
]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MODULES = sorted((ROOT / "isomax_viz").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))


def described() -> dict[str, Path]:
    """Return the modules whose members a page of the reference describes."""
    found = {}
    for page in (DOCS / "api").glob("*.md"):
        for module in re.findall(r"^\.\. automodule:: (\S+)$", page.read_text(encoding="utf-8"), re.M):
            assert module not in found, f"{module} stands on {found.get(module)} and {page}"
            found[module] = page
    return found


def resolve(name: str):
    """Return what a dotted name stands for."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            fields = getattr(value, "__dataclass_fields__", {}) | getattr(value, "model_fields", {})
            value = fields[part] if part in fields else getattr(value, part)
        return value
    raise ModuleNotFoundError(name)


def blocks(page: Path) -> list[str]:
    """Return the Python blocks of a page, or of a notebook's prose."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = nbformat.reads(text, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return [textwrap.dedent(block) for block in re.findall(r"^ *```python\n(.*?)^ *```", text, re.DOTALL | re.M)]


def test_every_public_name_has_a_page():
    pages = described()
    listed = {name for module in pages for name in importlib.import_module(module).__all__}
    for name in iv.__all__:
        value = getattr(iv, name)
        if inspect.ismodule(value):
            found = any(f"{module}.".startswith(f"{value.__name__}.") for module in pages)
        else:
            found = name in listed
        assert found, f"iv.{name}: name its module on a page of docs/api/, as the others are"


@pytest.mark.parametrize("module", sorted(described()))
def test_every_described_module_is_there_and_says_what_it_is_for(module):
    found = importlib.import_module(module)
    assert found.__doc__ and found.__all__


@pytest.mark.parametrize("page", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            place = page.parent / target
            if place.suffix == ".ipynb" and place.parent.resolve() == DOCS / "notebooks":
                place = ROOT / "notebooks" / place.name  # the build copies them
            assert place.exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_every_page_is_in_a_table_of_contents_and_its_references_resolve(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\{py:\w+\}`(?:[^`<]*<)?~?([\w.]+)>?`", text):
        assert resolve(target) is not None
    if page not in (DOCS / "index.md", DOCS / "instructor_notes.md"):
        index = page.parent / "index.md" if page.name != "index.md" else page.parent.parent / "index.md"
        entry = page.relative_to(index.parent).with_suffix("").as_posix()
        assert re.search(rf"^({re.escape(entry)}|\*)$", index.read_text(encoding="utf-8"), re.M)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_docstrings_refer_to_is_there(path):
    """``:func:`isomax_viz.x.y``` and its like; short names are left to the reader of the module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef)
    text = "\n".join(ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, nodes))
    for target in re.findall(r":(?:func|class|meth|data|attr|mod):`~?(isomax_viz[\w.]*)`", text):
        assert resolve(target) is not None, target


def test_the_code_on_the_pages_is_python_and_names_what_there_is():
    for page in [*TEXTS, *NOTEBOOKS]:
        for block in blocks(page):
            tree = ast.parse(block)
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "iv":
                    assert hasattr(iv, node.attr), f"{page.name}: iv.{node.attr}"
                if isinstance(node, ast.ImportFrom) and node.module.startswith("isomax_viz"):
                    assert all(resolve(f"{node.module}.{alias.name}") for alias in node.names)


# Statements that a test can't execute: all that hold one of these.
NOT_EXECUTED = (
    'preset="paper"',  # a download, a GPU and a day
    "LocalCluster(",  # starts processes; tests/experiments/test_sweep.py executes it
    "tcp://scheduler:8786",  # the address of somebody's Dask cluster
    "submitit",  # starts jobs; tests/experiments/test_sweep.py executes it
    "executor.update_parameters(",  # the same
    "iv.sweep(experiments, executor)",  # the same
)


@pytest.fixture
def short(monkeypatch, tmp_path):
    """Short trainings in this process, in a folder and a store of their own; what the pages take for granted."""
    import torch

    from isomax_viz.experiments import add_scores as scoring
    from isomax_viz.experiments import run as running
    from isomax_viz.experiments import sweep as sweeps
    from isomax_viz.learning.training.protocols import PRESETS

    for preset in ("teaching", "quick"):
        monkeypatch.setitem(PRESETS, preset, PRESETS["smoke"].with_epochs(1))
    load, run = running.data_of, sweeps.sweep

    def few(experiment):
        data = load(experiment)
        return data if experiment.examples_per_class else data.with_examples_per_class(10, seed=experiment.seed)

    for module in (running, scoring):
        monkeypatch.setattr(module, "data_of", few)
    # The first two of a list, here: tests/experiments/test_sweep.py has the processes and clusters.
    monkeypatch.setattr(iv, "sweep", lambda listed, executor=None: run(listed[:2], progress=False), raising=False)
    monkeypatch.setenv("ISOMAX_VIZ_STORE", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    with zipfile.ZipFile("my_pictures.zip", "w") as archive:
        for number in range(4):
            Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save("picture.png")
            archive.write("picture.png", f"root/class{number % 2}/{number}.png")
            for split in ("train", "test")[: 1 + number % 2]:  # the test folder lacks a class
                folder = Path("own", split, f"class{number % 2}")
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy("picture.png", folder / f"{number}.png")
    shutil.copytree("own/train", "my_pictures")
    known, unknown = rng.normal(size=(60, 10)), rng.normal(size=(40, 10))
    np.savez("mine.npz", logits=known, labels=np.arange(60) % 10, my_logits=unknown)
    pd.DataFrame(known).assign(label=np.arange(60) % 10).to_csv("known.csv", index=False)
    pd.DataFrame(unknown).to_csv("unknown.csv", index=False)
    layers = torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
    return {
        "logits": rng.normal(size=(60, 10)),
        "my_logits": rng.normal(size=(40, 10)),
        "id_scores": rng.normal(2, 1, 60),
        "ood_scores": rng.normal(size=40),
        "svhn_scores": rng.normal(size=40),
        "noise_scores": rng.normal(size=40),
        **{name: rng.normal(2, 1, 60) for name in ("id_energy", "id_knn")},
        **{name: rng.normal(size=40) for name in ("svhn_energy", "svhn_knn")},
        "labels": np.arange(60) % 10,
        "targets": torch.arange(60) % 10,
        "features": torch.randn(60, 128),
        "my_features": torch.randn(40, 128),
        "images": torch.randn(60, 1, 8, 8),
        "other_images": torch.randn(40, 1, 8, 8),
        "model": torch.nn.Sequential(torch.nn.Flatten(), *layers),
        "capture": iv.load_example("digits", loss="isomax+", seed=0)[0],
        "iv": iv,
        "__name__": "__main__",
    }


@pytest.mark.parametrize(
    "page",
    [page for page in [*PAGES, ROOT / "README.md"] if blocks(page)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_code_on_the_pages_runs(page, short):
    for number, block in enumerate(blocks(page)):
        file = f"<{page.name} {number}>"
        linecache.cache[file] = len(block), None, block.splitlines(keepends=True), file  # as a notebook does for a cell
        for statement in ast.parse(block).body:
            if not any(part in ast.get_source_segment(block, statement) for part in NOT_EXECUTED):
                exec(compile(ast.Module([statement], []), file, "exec"), short)


def test_what_is_not_executed_is_still_on_a_page():
    text = "\n".join(block for page in [*PAGES, ROOT / "README.md"] for block in blocks(page))
    assert [part for part in NOT_EXECUTED if part not in text] == []


def test_the_definitions_are_those_of_the_code():
    text = (DOCS / "definitions.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.M)) <= set(iv.scores.SCORES)
    paper = importlib.import_module("isomax_viz.learning.training.protocols").PRESETS["paper"]
    assert (paper.epochs, paper.milestones, paper.batch_size) == (300, (150, 200, 250), 64)
    assert "epochs 150, 200 and 250 of 300" in text and "batch 64" in text
    example, said = re.search(r"^(iv.metrics.*?)  # (.*)$", text, re.M).groups()
    values = {name: eval(value) for name, value in (part.split() for part in said.split(", "))}
    assert {name: eval(example)[name] for name in values} == pytest.approx(values)


def test_continuous_integration_covers_what_pyproject_promises():
    matrix = WORKFLOW["jobs"]["test"]["strategy"]["matrix"]
    oldest = re.fullmatch(r">=(3\.\d+)", PROJECT["requires-python"])[1]
    versions = [tuple(map(int, version.split("."))) for version in matrix["python"]]
    assert matrix["python"][0] == oldest and versions == [(3, minor) for minor in range(11, 14)]
    assert {system.partition("-")[0] for system in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert True in WORKFLOW and "pull_request" in WORKFLOW[True]  # YAML 1.1 reads the key `on` as true


def test_continuous_integration_runs_what_make_test_runs():
    commands = " ".join(step.get("run", "") for step in WORKFLOW["jobs"]["test"]["steps"])
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^test:.*\n((?:\t.*\n)+)", makefile, re.M)[1]
    for tool in ("ruff check .", "python -m mypy"):
        assert tool in recipe and tool in commands
    assert "python -m pytest " in recipe and commands.endswith("python -m pytest")
    assert set(re.findall(r'"\.\[(\w+)\]"', commands)) == {"test"} <= set(PROJECT["optional-dependencies"])
    assert "make" not in commands and "source " not in commands  # there is neither on Windows
    docs = " ".join(step.get("run", "") for step in WORKFLOW["jobs"]["docs"]["steps"])
    building = re.search(r"^docs:.*\n\t\$\(BIN\)/(.*)\n", makefile, re.M)[1]
    assert building in docs


def test_the_citation_file_agrees_with_the_package_and_names_the_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0" and citation["license"] == PROJECT["license"]
    assert str(citation["version"]) == iv.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {citation['version']} ({citation['date-released']})\n" in changelog
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]
    titles = {reference["title"] for reference in citation["references"]}
    assert set(iv.published.papers()["title"]) <= titles and len(titles) == 4
