"""Sphinx's configuration; docs/building.md has the command.

The pages are plain Markdown that also reads well where the repository is hosted. What only
the site needs (tables of contents, frames) stands in comments that begin with ``site``; they
are opened here. The pages of the reference are made from ``pygru.__all__``, the page of changes
from ``CHANGELOG.md``, and the links to the repository from ``pyproject.toml``.
"""

import importlib.util
import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import matplotlib  # noqa: E402
import reference_pages  # noqa: E402
import site_parts  # noqa: E402

import pygru  # noqa: E402

matplotlib.use("Agg")

project = "pygru"
author = "the pygru developers"
copyright = "the pygru developers; BSD-3-Clause"
version = release = pygru.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["templates"]
highlight_language = "none"
toc_object_entries_show_parents = "hide"

# ---- Markdown ------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3


def open_comments(app, name, source):
    """Let the site see what the comments ``<!-- site ... -->`` hold."""
    source[0] = re.sub(r"<!-- site\n(.*?)\n-->", r"\1", source[0], flags=re.S)


def link_to_gallery(app, name, source):
    """Let links to an example lead to its page, with its pictures, instead of the program."""
    source[0] = re.sub(
        r"\]\(((?:\.\./)*)\.\./examples/(plot_\w+)\.py\)", r"](\1gallery/\2.rst)", source[0]
    )


# ---- the reference -------------------------------------------------------------------------

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
reference_pages.write(HERE / "reference", changelog=HERE.parent / "CHANGELOG.md")


INHERITED = ("sklearn", "sktime", "aeon", "skbase")


def skip_inherited(app, what, name, member, skip, options):
    """Leave out methods that estimators inherit: their texts refer to other projects."""
    home = getattr(member, "__module__", None) or ""
    return True if home.split(".")[0] in INHERITED else None


# ---- the gallery ---------------------------------------------------------------------------

# Programs that are no examples; and the example whose package has to be installed by itself,
# because it asks for a framework: pip install --no-deps uzmorph-bigru
IGNORED = [r"/(?!plot_)[^/]*\.py$"]
if importlib.util.find_spec("uzmorph_bigru") is None:
    IGNORED.append(r"/plot_13_\w+\.py$")

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "ignore_pattern": "|".join(IGNORED),
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "image_srcset": ["2x"],
    "backreferences_dir": None,
    "capture_repr": (),  # what an example prints, and its pictures
}


def mark_quick_pictures(app, name, source):
    """Say on the pages of the gallery that their pictures come from a quick run."""
    if name.startswith("gallery/") and os.environ.get("PYGRU_EXAMPLES") == "quick":
        source[0] = site_parts.with_quick_note(name, source[0])


# ---- the look ------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = "pygru"
html_static_path = ["static"]
html_css_files = ["pygru.css"]
html_logo = "static/logo.svg"
html_favicon = "static/logo.svg"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "pygru"},
    "icon_links": site_parts.project_links(HERE.parent / "pyproject.toml"),
    "navbar_align": "left",
    "navbar_end": ["release", "theme-switcher", "navbar-icon-links"],
    "navbar_persistent": ["search-button"],
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
    "pygments_dark_style": "github-dark",
}
html_sidebars = {"index": [], "faq": [], "start/from_*": [], "reference/changelog": []}


def setup(app):
    """Connect what is defined above."""
    app.connect("source-read", open_comments)
    app.connect("source-read", link_to_gallery)
    app.connect("source-read", mark_quick_pictures)
    app.connect("autodoc-skip-member", skip_inherited)
