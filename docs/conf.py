"""The documentation site: ``make docs`` reads the docstrings and the executed notebooks and writes docs/_build/html.

Nothing is fetched while building or reading: formulas become MathML, the notebooks show the outputs they carry, and the
pictures of the first page are drawn from recorded captures.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

import isomax_viz as iv  # noqa: E402

# Where the public names live, from the one file that lists them.
STUB = (ROOT / "isomax_viz" / "__init__.pyi").read_text(encoding="utf-8")
HOMES = {name: home for home, name in re.findall(r"^from \.([\w.]+) import (\w+)", STUB, re.MULTILINE)}

project = "isomax_viz"
author = "the isomax_viz contributors"
release = version = iv.__version__
copyright = author  # noqa: A001 - Sphinx's name for it

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "myst_nb",
]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build", "instructor_notes.md"]

# Docstrings are numpydoc; each module's __all__ says what is public.
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_preprocess_types = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "show-inheritance": False}
autosummary_generate = False
add_module_names = False
toc_object_entries_show_parents = "hide"

# Types in docstrings are words for people ("array, shape (n,)"); Sphinx tries to look each word up.
suppress_warnings = ["ref.python"]

# The notebooks are committed with their outputs: nothing runs here.
nb_execution_mode = "off"
nb_number_source_lines = False
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "pydata_sphinx_theme"
html_title = "isomax_viz"
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "header_links_before_dropdown": 3,  # one row at 1280 pixels
    "pygments_light_style": "default",
}
html_sidebars = {name: [] for name in ("index", "first_hour", "definitions", "contradictions")}
html_math_renderer = "mathml"
html_context = {"default_mode": "auto"}


def _mathml_inline(translator, node: nodes.math) -> None:
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _mathml_block(translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def _copy_notebooks(app) -> None:
    """Put the notebooks where Sphinx reads them; they stay where people open them."""
    target = HERE / "notebooks"
    for old in target.glob("*.ipynb"):
        old.unlink()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        shutil.copyfile(path, target / path.name)


def _draw_pictures(app) -> None:
    """Draw what the first page shows, with the calls that it names."""
    captures = iv.load_example("digits", seed=0)
    plus = captures[2]
    pictures = {
        "logits": iv.plot_grid(iv.plot_logits, captures, ood="letters"),
        "scores": iv.plot_scores(plus, ood=["letters", "uniform"], score="mds").figure,
        "operating_point": iv.figures.plot_operating_point(plus, ood="letters", score="es"),
        "roc": iv.plot_roc(captures, ood="letters", score="es").figure,
        "alpha": iv.plot_alpha(iv.load_example("cifar10-alpha", loss="isomax+"), select_on="cifar100").figure,
        "feature_space": iv.plot_feature_space(plus, ood="letters").figure,
        "blocks": iv.plot_loss_blocks("isomax+").figure,
    }
    (HERE / "drawn").mkdir(exist_ok=True)
    for name, figure in pictures.items():
        iv.save_figure(figure, HERE / "drawn" / f"{name}.png")


def _links_out_of_the_site(app, docname: str, source: list[str]) -> None:
    """Notebooks point at files of the repository, such as ../README.md, which have no page here: keep their words."""
    if docname.startswith("notebooks/"):
        source[0] = re.sub(r"\[([^\]]+)\]\((\.\./[^)]+)\)", r"\1", source[0])


def _by_public_name(app, env, node, contnode):
    """Lead a reference to a public name, such as isomax_viz.evaluate, to the module whose page describes it."""
    name = node.get("reftarget", "").rpartition(".")[2]
    if node.get("refdomain") != "py" or name not in HOMES or not node["reftarget"].startswith("isomax_viz."):
        return None
    target = f"isomax_viz.{HOMES[name]}.{name}"
    return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, node["reftype"], target, node, contnode)


def setup(app):
    """Connect what stands above."""
    app.add_html_math_renderer("mathml", (_mathml_inline, None), (_mathml_block, None))
    app.connect("builder-inited", _copy_notebooks)
    app.connect("builder-inited", _draw_pictures)
    app.connect("source-read", _links_out_of_the_site)
    app.connect("missing-reference", _by_public_name)
    return {"parallel_read_safe": True}
