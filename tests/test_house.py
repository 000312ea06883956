"""The arrows of the house: what may import what, what is public, and that importing does nothing."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections import Counter
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import isomax_viz as iv

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "isomax_viz"
# The wings, from top to bottom: each imports only from those before it. From `learning` on they need PyTorch.
WINGS = tuple(
    "_common catalog captures datasets analysis papers figures store explorer learning experiments cli".split()
)
LOWER = (*WINGS[WINGS.index("learning") :], "__main__")
LARGEST_FOLDER = 20


@cache
def modules() -> list[str]:
    return [name for _, name, _ in pkgutil.walk_packages([str(PACKAGE)], "isomax_viz.")]


def is_upper(module: str) -> bool:
    return module.split(".")[1] not in LOWER


def run(code: str, *words: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_upper_half_leaves_torch_out():
    names = [name for name in modules() if is_upper(name) and name != "isomax_viz.__main__"]
    assert "isomax_viz.explorer" in names and "isomax_viz.figures" in names
    code = f"import sys, importlib\nfor name in {names!r}: importlib.import_module(name)\n"
    heavy = ("torch", "torchvision", "pytorch_ood", "matplotlib.pyplot")
    assert run(code + f"print([name for name in {heavy!r} if name in sys.modules])") == "[]"


def test_the_upper_half_works_with_torch_hidden(hide_torch, tmp_path):
    code = """
import sys, isomax_viz as iv, numpy as np
rng = np.random.default_rng(0)
capture = iv.Capture.from_arrays(rng.normal(size=(50, 3)), np.arange(50) % 3, ood={"x": rng.normal(size=(40, 3))})
print(len(iv.evaluate([capture])), iv.plot_logits(capture, ood="x")._repr_png_()[0][:4])
examples = iv.load_example("digits", seed=0)
figure = iv.plot_grid(iv.plot_scores, examples, ood="letters", score="mds")
iv.explore(examples).to_html(f"{sys.argv[1]}/explorer.html")
iv.save_figure(figure, f"{sys.argv[1]}/figure.png")
print(len(iv.datasets.load_ood("letters", iv.datasets.load_id("digits"))))
experiment = iv.Experiment(loss="isomax", entropic_scale=3, outliers="oe")
print(experiment.id, iv.Experiment.from_json(experiment.to_json()) == iv.Experiment.from_meta(experiment.meta))
print(len(iv.Experiment.grid(loss=["softmax", "isomax"], entropic_scale=[1, 10])))
"""
    lines = run(code, str(tmp_path)).splitlines()
    assert {path.name for path in tmp_path.iterdir()} >= {"explorer.html", "figure.png"}
    assert lines[0] == r"2 b'\x89PNG'" and int(lines[1]) > 100
    assert lines[2] == "digits-small_cnn-isomax+oe-teaching-s0-031b5d1415 True" and lines[3] == "3"
    assert len(lines) == 4


def test_what_needs_torch_says_which_line_to_run_where_it_is_hidden(hide_torch, tmp_path):
    code = """
import contextlib, importlib, sys, isomax_viz as iv
from isomax_viz import cli
from isomax_viz.datasets import load_id, load_ood
from isomax_viz.explorer.pictures import Networks
def said(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:
        print(getattr(call, "__name__", ""), *arguments, type(error).__name__, error, sep="|")
for name in iv.__all__:
    said(getattr, iv, name)
experiment, (example,) = iv.Experiment(), iv.load_example("digits", loss="isomax", seed=0)
digits = load_id("digits")
networks = Networks([example], None)
for call, *arguments in (
    (experiment.run,), (experiment.network,), (iv.methods.measure, example), (networks.file, 0),
    (networks.judge, 0, load_ood("letters", digits)), (importlib.import_module, "isomax_viz.learning.losses"),
):
    said(call, *arguments)
with contextlib.redirect_stderr(sys.stdout):
    for command in (["train", "--quiet"], ["sweep"], ["figures"]):
        assert cli.main(command) == 1
    assert cli.main(["sweep", "--dry-run"]) == 0
"""
    told = "PyTorch is needed to train or run a network, but is not installed. Install it with: "
    told += 'python -m pip install "isomax_viz[train]"'
    lines = run(code).splitlines()
    public = "SweepError add_scores load_network make_fooling record sweep train_toy".split()
    assert [line.split("|")[2] for line in lines[:7]] == public
    assert [line.split("|")[0] for line in lines[7:13]] == "run network measure file judge import_module".split()
    assert all(line.endswith(f"|ImportError|{told}") for line in lines[:13])
    assert lines[13:16] == [f"isomax_viz: {told}"] * 3 and len(lines) == 17


def test_importing_the_package_is_inert_and_loads_next_to_nothing():
    heavy = ("numpy", "pandas", "matplotlib", "ipywidgets", "IPython", "scipy", "sklearn", "torch", "pydantic")
    assert run(f"import sys, isomax_viz; print([name for name in {heavy!r} if name in sys.modules])") == "[]"
    code = (
        "import numpy as np; state = np.random.get_state()[1].sum(); import isomax_viz as iv; iv.figures, iv.explore;"
    )
    assert run(code + "print(state == np.random.get_state()[1].sum())") == "True"


# A widget that scores one picture or watches a training needs the network, and imports it only when asked to.
# Costs are declared in the upper half, where they are also measured when asked for.
LATE = {("explorer", "experiments"), ("explorer", "learning"), ("analysis", "experiments")}


def imports(path: Path) -> list[tuple[str, bool]]:
    """Which modules of the house a file imports, and whether inside a function; what only types need does not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    inside = {id(child) for function in functions for child in ast.walk(function)}
    known = set(modules())
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "isomax_viz":
            deep = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in deep]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("isomax_viz.")]
        found += [(name, id(node) in inside) for name in names if name != "isomax_viz"]
    return found


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@pytest.mark.parametrize("module", FILES)
def test_arrows_point_one_way(module):
    """No module imports from a wing that stands further down the house."""
    if module.count(".") == 0 or module == "isomax_viz.__main__":
        return
    here = module.split(".")[1]
    for name, is_late in imports(FILES[module]):
        there = name.split(".")[1]
        if not (is_late and (here, there) in LATE):
            assert WINGS.index(there) <= WINGS.index(here), f"{module} imports {name}"


def test_no_circle_inside_a_wing():
    """Files of a wing build on each other in one direction only, imports inside functions counted too."""
    arrows = {module: {name for name, _ in imports(path)} for module, path in FILES.items()}
    graph = {
        module: {name for name in names if name.split(".")[1] == module.split(".")[1] and name != module}
        for module, names in arrows.items()
        if module.count(".")
    }
    for module in graph:  # a wing's own __init__ hands names on: nobody inside imports from it
        wing = ".".join(module.split(".")[:2])
        assert module == wing or wing not in graph[module], f"{module} imports from {wing} itself"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_house_has_its_wings_and_no_crowded_folder():
    tracked = {path for path in PACKAGE.rglob("*.py*") if path.suffix in (".py", ".pyi")}
    root = {path.relative_to(PACKAGE).parts[0] for path in tracked}
    assert root == {*WINGS, "__init__.py", "__init__.pyi", "__main__.py"}
    code = {".py", ".js", ".css", ".json"}
    crowded = Counter(path.parent for path in PACKAGE.rglob("*") if path.suffix in code)
    assert max(crowded.values()) <= LARGEST_FOLDER


def test_every_public_name_is_there_and_comes_from_us():
    for name in iv.__all__:
        value = getattr(iv, name)
        home = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", "isomax_viz")
        assert home.startswith("isomax_viz"), name
        assert name in dir(iv)
    with pytest.raises(AttributeError, match="plot_everything"):
        _ = iv.plot_everything


@pytest.mark.parametrize("name", modules())
def test_every_module_declares_what_it_exports(name):
    if name.endswith("__main__"):
        return
    module = importlib.import_module(name)
    assert module.__doc__
    for public in getattr(module, "__all__", []):
        assert getattr(module, public) is not None


def requirements(text: str) -> dict[str, str]:
    found = re.finditer(r"^\s*-?\s*([A-Za-z][\w-]*)(>=[\d.]+)\s*$", text, re.M)
    return {match[1].lower().replace("_", "-"): match[2] for match in found}


def test_environment_yml_lists_what_pyproject_lists():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    packages = project["dependencies"] + project["optional-dependencies"]["train"]
    wanted = requirements("\n".join(packages)) | {"python": project["requires-python"]}
    conda = requirements((ROOT / "environment.yml").read_text())
    conda["torch"] = conda.pop("pytorch")  # conda's name for it
    assert conda == wanted


def test_the_versions_that_are_known_to_work_are_versions_that_are_asked_for():
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    asked = {item.name.lower().replace("_", "-"): item.specifier for item in map(Requirement, sum(lists, []))}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        assert line.startswith("#") or asked[name].contains(version), line
