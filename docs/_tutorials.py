"""The gallery: which tutorials there are, in which order, and where the figures come from that they write."""

from __future__ import annotations

import shutil
from glob import glob
from pathlib import Path

#: In the order of the gallery.
ORDER = [
    "first_light.py",
    "moire_cells.py",
    "relax_with_ase.py",
    "electronic_structure.py",
    "exports.py",
    "flat_bands.py",
    "gap_temperature.py",
    "uncertainty.py",
    "phonons.py",
    "published_paper.py",
]


class WrittenFigures:
    """Figures that a tutorial has written into its folder since the last look, besides those open in matplotlib."""

    def __init__(self):
        self.seen: set[str] = set()

    def __repr__(self):
        return type(self).__name__  # the settings' hash must not hold an address

    def __call__(self, block, block_vars, gallery_conf):
        from sphinx_gallery.scrapers import figure_rst

        names = []
        folder = Path(block_vars["src_file"]).parent
        for figure in sorted(glob(str(folder / "*.png"))):
            mark = f"{figure} {Path(figure).stat().st_mtime_ns}"
            if mark not in self.seen:
                self.seen.add(mark)
                target = block_vars["image_path_iterator"].next()
                shutil.copyfile(figure, target)
                names.append(target)
        return figure_rst(names, gallery_conf["src_dir"])


def settings(docs: Path) -> dict:
    """Settings of sphinx-gallery.

    Tutorials run in a copy of their folder, as they leave files beside themselves. What has not changed since the last
    build is not run again.
    """
    copy = docs / "_build" / "tutorials"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(docs.parent / "tutorials", copy, ignore=shutil.ignore_patterns("own_material", "__pycache__"))
    shutil.copyfile(docs / "gallery_header.txt", copy / "GALLERY_HEADER.rst")
    there = {path.name for path in copy.glob("*.py")}
    if there != set(ORDER):
        raise ValueError(f"docs/_tutorials.py must name every tutorial: {sorted(there ^ set(ORDER))}")
    return {
        "examples_dirs": str(copy),
        "gallery_dirs": "gallery",
        "filename_pattern": r"\.py$",
        "within_subsection_order": "_tutorials.by_place",
        "image_scrapers": ("_tutorials.written_figures",),
        "abort_on_example_error": True,
        "download_all_examples": False,
        "show_memory": False,
        "remove_config_comments": True,
        "min_reported_time": 0,
        "show_signature": False,
        "thumbnail_size": (400, 280),
        "backreferences_dir": None,
    }


written_figures = WrittenFigures()


def by_place(name: str) -> int:
    """Place of a tutorial in the gallery."""
    return ORDER.index(name) if name in ORDER else len(ORDER)
