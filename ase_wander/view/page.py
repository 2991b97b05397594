"""The page: a template with everything in it, and the numbers."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files

#: Where the numbers and the title go in the template.
DATA, TITLE = "/*DATA*/null", "<!--TITLE-->"


def html_page(data: dict) -> str:
    """The HTML file of what `view_data` gives: it loads nothing from a network."""
    template = files("ase_wander.view").joinpath("page.html").read_text(encoding="utf-8")
    # "</script>" inside a string would end the script.
    numbers = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    return template.replace(TITLE, escape(data["title"])).replace(DATA, numbers)
