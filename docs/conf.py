"""Settings of the site. `make docs` writes its generated pages first: docs/build.py."""

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from nlmebayes import __version__

project, author, release = "nlmebayes", "the authors of nlmebayes", __version__
project_copyright = "the authors of nlmebayes, licence Apache-2.0"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "sphinx_copybutton",
    "making.docstrings",
    "making.mathematics",
]
exclude_patterns = ["gallery/files"]


add_module_names = False
toc_object_entries = False  # each name has a heading
default_role = "py:obj"  # of single backquotes in docstrings
autodoc_typehints = "none"  # types stand in the docstrings
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
suppress_warnings = ["ref.python"]  # a word in single backquotes may be the name of several methods
napoleon_custom_sections = ["Source", "Sources"]

myst_enable_extensions = ["colon_fence", "dollarmath", "deflist", "attrs_inline"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # docs/build.py runs the notebooks, and keeps each run
nb_merge_streams = True

html_context = {"default_mode": "auto"}
html_theme = "pydata_sphinx_theme"
html_title = "nlmebayes"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_sidebars = {page: [] for page in ("index", "gallery/index", "gallery/fields", "zoo/index")}
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "show_prev_next": False,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def setup(app):
    """Pages are written anew when what writes them has changed."""
    makers = b"".join(path.read_bytes() for path in sorted((Path(__file__).parent / "making").glob("*.py")))
    app.add_config_value("makers", hashlib.sha256(makers).hexdigest(), "env")
