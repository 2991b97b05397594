"""Pages of the site that live elsewhere in the repository, and links of its Markdown that lead out of `docs/`.

The Markdown files are written to be read in the repository, with links relative to the file. On the site a link to a
page leads to that page, a link to a tutorial to its gallery page, and a link to any other file of the repository is the
file's name, in code letters.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent

#: Folder of the site for what is made here.
GENERATED = "generated"

#: File of the repository: page of the site.
PAGES = {
    "README.md": f"{GENERATED}/readme.md",
    "CHANGELOG.md": f"{GENERATED}/changelog.md",
    "CONTRIBUTING.md": f"{GENERATED}/contributing.md",
}

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
IMAGE = re.compile(r'<img src="([^"]+)"((?: \w+="[^"]*")*)>')


def page_of(target: Path) -> str | None:
    """Page of the site, relative to `docs/`, of a path relative to the repository; None for what is no page."""
    name = target.as_posix()
    if name in PAGES:
        return PAGES[name]
    parts = target.parts
    if parts[0] == "docs" and target.suffix == ".md":
        return "/".join(parts[1:])
    if parts[0] == "tutorials" and len(parts) == 2 and target.suffix == ".py":
        return f"gallery/{target.stem}.rst"
    if parts[0] == "models" and name.endswith("/card.md"):
        return f"{GENERATED}/{parts[1]}.md"
    return None


def for_site(text: str, source: Path, page: str) -> str:
    """Markdown of the file `source` with links as they must be on the page `page` (relative to `docs/`).

    Figures outside `docs/` are copied beside the generated pages.
    """
    here, up = source.parent, "../" * page.count("/")

    def inside(link):
        """Path relative to the repository, and the anchor; None for links to elsewhere."""
        address, _, anchor = link.partition("#")
        if "://" in address or address.startswith("mailto:") or not address:
            return None
        path = (here / address).resolve()
        if not path.is_relative_to(ROOT) or not path.exists():
            raise ValueError(f"{source}: no such file: {link}")
        return path.relative_to(ROOT), f"#{anchor}" if anchor else ""

    def figure(path):
        if path.parts[0] == "docs":
            return up + "/".join(path.parts[1:])
        name = "-".join(path.parts[1:])
        (DOCS / GENERATED).mkdir(exist_ok=True)
        shutil.copyfile(ROOT / path, DOCS / GENERATED / name)
        return f"{up}{GENERATED}/{name}"

    def replace(match):
        mark, words, link = match.groups()
        found = inside(link)
        if found is None:
            return match[0]
        path, anchor = found
        if mark:
            return f"![{words}]({figure(path)})"
        target = page_of(path)
        if target is None:
            return f"`{path.as_posix()}`" if words in (path.name, link) else f"{words} (`{path.as_posix()}`)"
        return f"[{words}]({up}{target}{anchor})"

    def image(match):
        options = dict(re.findall(r'(\w+)="([^"]*)"', match[2]))
        rows = [f":{name}: {value}" + ("px" if value.isdigit() else "") for name, value in options.items()]
        return "\n".join(["", f"```{{image}} {figure(inside(match[1])[0])}", *rows, "```", ""])

    return IMAGE.sub(image, LINK.sub(replace, text))


def write_pages() -> None:
    """README, changelog, guide for contributors and the models' cards as pages of the site."""
    cards = {p.relative_to(ROOT).as_posix(): page_of(p.relative_to(ROOT)) for p in ROOT.glob("models/*/card.md")}
    (DOCS / GENERATED).mkdir(exist_ok=True)
    for name, page in {**PAGES, **cards}.items():
        source = ROOT / name
        text = for_site(source.read_text(encoding="utf-8"), source, page)
        target = DOCS / page
        if not target.is_file() or target.read_text(encoding="utf-8") != text:  # unchanged pages are not built anew
            target.write_text(text, encoding="utf-8")
