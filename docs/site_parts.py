"""Parts of the site that are made from other files of the repository.

The links come from ``[project.urls]`` in ``pyproject.toml``, and the page of changes is
``CHANGELOG.md``. The pages of the gallery say so if their pictures come from a quick run. An
address that ``pyproject.toml`` does not give is not made up. ``conf.py`` uses all of it, and
``tests/test_site.py`` tests it without Sphinx.
"""

import re
import tomllib
from pathlib import Path

# Labels of [project.urls], as the packaging guide normalises them, and the icon for each.
ICONS = {
    "source": "fa-solid fa-code-branch",
    "sourcecode": "fa-solid fa-code-branch",
    "repository": "fa-solid fa-code-branch",
    "github": "fa-brands fa-github",
    "issues": "fa-solid fa-bug",
    "bugs": "fa-solid fa-bug",
    "bugtracker": "fa-solid fa-bug",
}
OTHER_ICON = "fa-solid fa-link"

QUICK_NOTE = """
.. admonition:: Quick run

   The output and the pictures on {this} come from a run with less data and fewer epochs. The
   figures in the text are those of a full run.
"""


def project_links(pyproject):
    """Return the theme's icon links for the addresses in a ``pyproject.toml``."""
    urls = tomllib.loads(Path(pyproject).read_text(encoding="utf-8"))["project"].get("urls", {})
    links = []
    for label, url in urls.items():
        icon = ICONS.get(re.sub(r"[\W_]", "", label).lower(), OTHER_ICON)
        links.append({"name": label, "url": url, "icon": icon, "type": "fontawesome"})
    return links


def with_quick_note(page, text):
    """Return the text of a page of the gallery with a note below its title."""
    this = "these pages" if page.endswith("index") else "this page"
    note = QUICK_NOTE.format(this=this)
    return re.sub(r"^(.+\n={3,}\n)", rf"\1{note}", text, count=1, flags=re.M)
