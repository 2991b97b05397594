"""Settings of the site. `.ci/docs` builds it, `.ci/docs --quick` without running tutorials."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS))

import _repository  # noqa: E402
import _tutorials  # noqa: E402

import ase_wander  # noqa: E402

project = "ase_wander"
author = "The ase_wander authors"
copyright = f"2026, {author}"
version = release = ase_wander.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates", "gallery/**/*.py", "gallery/**/*.ipynb"]
html_theme = "furo"
html_title = f"ase_wander {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False

# Markdown: equations between dollars, anchors of all headings as on the repository's pages.
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 4
html_math_renderer = "mathml"  # drawn by the browser itself: nothing is loaded from a network
suppress_warnings = ["config.cache"]  # functions among the settings of the gallery cannot be pickled

# Docstrings.
autosummary_generate = True
autosummary_imported_members = True
autodoc_typehints = "none"  # numpydoc shows what the docstring says
autodoc_member_order = "bysource"
numpydoc_show_class_members = True
numpydoc_class_members_toctree = False
numpydoc_show_inherited_class_members = False
add_module_names = False
default_role = "code"
templates_path = ["_templates"]
python_use_unqualified_type_names = True

# Tutorials.
sphinx_gallery_conf = _tutorials.settings(DOCS)

doctest_global_setup = "import matplotlib; matplotlib.use('Agg')"


def _to_mathml(latex, display):
    from latex2mathml.converter import convert

    return convert(latex, display=display)


def _inline(self, node):
    from docutils import nodes

    self.body.append(_to_mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def _block(self, node):
    from docutils import nodes

    number = f'<span class="eqno">({node["number"]})</span>' if node.get("number") else ""
    self.body.append(f'<div class="math">{_to_mathml(node.astext(), "block")}{number}</div>')
    raise nodes.SkipNode


def _source_read(app, docname, source):
    path = DOCS / f"{docname}.md"
    if path.is_file() and not docname.startswith(_repository.GENERATED):
        source[0] = _repository.for_site(source[0], path, f"{docname}.md")


def setup(app):
    """Pages from the repository, links out of `docs/`, equations as MathML."""
    _repository.write_pages()
    app.connect("source-read", _source_read)
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True}
