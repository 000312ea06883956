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
from pathlib import Path

import pytest

import isomax_viz as iv

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "isomax_viz"
LOWER = (
    "learning",
    "running",
    "experiments",
    "scoring",
    "costs",
    "trainings",
    "_tasks",
    "_workers",
    "sweeps",
    "cli",
    "reports",
    "__main__",
)

# Each may import only from those before it.
ORDER = """
_check_arrays _checks _paths _processes _atomic _capture_files _parquet loss_names style samples _packing captures
origins examples columns scores _counting metrics
bootstrap histograms alike tables shelf thresholds risks reliability calibration selections projections planes
pairs comparisons
overlaps studies loss_blocks methods _published published printed paper_rows paper_tables datasets figures sharing
_manifests _store_files store doctor classroom widgets learning running experiments scoring costs
trainings _tasks _workers sweeps
reports cli __main__
""".split()


def modules() -> list[str]:
    return [name for _, name, _ in pkgutil.walk_packages([str(PACKAGE)], "isomax_viz.")]


def is_upper(module: str) -> bool:
    return module.split(".")[1] not in LOWER


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_upper_half_leaves_torch_out():
    names = [name for name in modules() if is_upper(name)]
    assert "isomax_viz.explorer" in names and "isomax_viz.figures" in names
    code = f"import sys, importlib\nfor name in {names!r}: importlib.import_module(name)\n"
    heavy = ("torch", "torchvision", "pytorch_ood", "matplotlib.pyplot")
    assert run(code + f"print([name for name in {heavy!r} if name in sys.modules])") == "[]"


def test_the_upper_half_works_with_torch_hidden():
    code = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "pytorch_ood"):
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Hidden())
import isomax_viz as iv, numpy as np
rng = np.random.default_rng(0)
capture = iv.Capture.from_arrays(rng.normal(size=(50, 3)), np.arange(50) % 3, ood={"x": rng.normal(size=(40, 3))})
print(len(iv.evaluate([capture])), iv.plot_logits(capture, ood="x")._repr_png_()[0][:4])
iv.explore(capture)
print(len(iv.datasets.load_ood("letters", iv.datasets.load_id("digits"))))
try:
    iv.Experiment
except ImportError as error:
    print("ImportError")
"""
    lines = run(code).splitlines()
    assert lines[0] == r"2 b'\x89PNG'" and int(lines[1]) > 100 and lines[2] == "ImportError"


def test_importing_the_package_is_inert_and_loads_next_to_nothing():
    heavy = ("numpy", "pandas", "matplotlib", "ipywidgets", "IPython", "scipy", "sklearn", "torch", "pydantic")
    assert run(f"import sys, isomax_viz; print([name for name in {heavy!r} if name in sys.modules])") == "[]"
    code = (
        "import numpy as np; state = np.random.get_state()[1].sum(); import isomax_viz as iv; iv.figures, iv.widgets;"
    )
    assert run(code + "print(state == np.random.get_state()[1].sum())") == "True"


# A widget that scores one picture or watches a training needs the network, and imports it only when asked to.
# Costs are declared in the upper half, where they are also measured when asked for.
LATE = {("widgets", "experiments"), ("widgets", "learning"), ("widgets", "running"), ("methods", "costs")}


def imports(path: Path) -> list[tuple[str, bool]]:
    """Which modules of the house a file imports, and whether inside a function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    inside = {id(child) for function in functions for child in ast.walk(function)}
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("isomax_viz"):
            names = [node.module.split(".")[1]] if "." in node.module else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".")[1] for alias in node.names if alias.name.startswith("isomax_viz.")]
        found += [(name, id(node) in inside) for name in names]
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_point_one_way(path):
    """No module imports from one that stands further down the house."""
    here = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if here == "__init__":
        return
    for name, is_late in imports(path):
        if name in ORDER and not (is_late and (here, name) in LATE):
            assert ORDER.index(name) <= ORDER.index(here), f"{here} imports {name}"


def test_every_public_name_is_there_and_comes_from_us():
    for name in iv.__all__:
        value = getattr(iv, name)
        home = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", "isomax_viz")
        assert home.startswith("isomax_viz"), name
        assert name in dir(iv)
    with pytest.raises(AttributeError, match="has no attribute 'plot_everything'"):
        _ = iv.plot_everything


def test_what_editors_see_equals_what_is_exported():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name for node in ast.walk(block) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == set(iv.__all__) - {"__version__"}


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
    wanted = requirements("\n".join(project["dependencies"])) | {"python": project["requires-python"]}
    conda = requirements((ROOT / "environment.yml").read_text())
    conda["torch"] = conda.pop("pytorch")  # conda's name for it
    assert conda == wanted
