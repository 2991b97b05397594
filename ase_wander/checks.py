"""Configuration files and their plain values, checked without what a model needs.

A worker that imports no torch starts in a fraction of the time.
"""

from __future__ import annotations

import math
import reprlib
from pathlib import Path

import yaml

#: Bounds on a YAML file: bytes, nesting, values after aliases are written out, digits of a number.
MAX_BYTES, MAX_DEPTH, MAX_VALUES, MAX_DIGITS = 10_000_000, 40, 100_000, 100


def read_mapping(path, known) -> dict:
    """The mapping in a YAML file; ValueError, with the file's name, for one that is missing, unreadable or holds none.

    Refused too, before memory or time is taken for it: a file that aliases or merge keys (`<<`) blow up, nesting deeper
    than MAX_DEPTH, a key that is given twice.

    `known` are the keys that the message then names.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: {'is a folder, not a file' if path.is_dir() else 'no such file'}")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size} bytes are no configuration (at most {MAX_BYTES})")
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=CheckedLoader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not readable as YAML ({' '.join(str(error).split())[:500]})") from None
    if not isinstance(raw, dict):
        raise ValueError(f"{path}: expected keys {', '.join(known)}")
    return raw


class CheckedLoader(yaml.SafeLoader):
    """Plain values only, within bounds, see `read_mapping`."""

    def compose_node(self, parent, index):
        """A node, unless it lies too deep."""
        self.depth = getattr(self, "depth", 0) + 1
        if self.depth > MAX_DEPTH:
            raise yaml.YAMLError(f"{self.place(self.peek_event())}: nested more than {MAX_DEPTH} levels deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def get_single_data(self):
        """The document, unless its aliases stand for too much."""
        node = self.get_single_node()
        if node is None:
            return None
        self._size(node, {}, set())
        return self.construct_document(node)

    def _size(self, node, known, open_nodes):
        """Values that a node stands for when aliases are written out, each node looked at once."""
        if id(node) in open_nodes:
            raise yaml.YAMLError(f"{self.place(node)}: a value that contains itself")
        if id(node) in known:
            return known[id(node)]
        parts = []
        if isinstance(node, yaml.MappingNode):
            self._refuse_repeated(node)
            parts = [x for pair in node.value for x in pair]
        elif isinstance(node, yaml.SequenceNode):
            parts = node.value
        elif node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float") and len(node.value) > MAX_DIGITS:
            raise yaml.YAMLError(f"{self.place(node)}: a number of {len(node.value)} digits")
        open_nodes.add(id(node))
        known[id(node)] = 1 + sum(self._size(part, known, open_nodes) for part in parts)
        open_nodes.discard(id(node))
        if known[id(node)] > MAX_VALUES:
            raise yaml.YAMLError(f"{self.place(node)}: more than {MAX_VALUES} values, with the aliases written out")
        return known[id(node)]

    def _refuse_repeated(self, node):
        keys = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys and key.value != "<<":
                raise yaml.YAMLError(f"{self.place(key)}: {key.value[:60]!r} is given twice")
            keys.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))

    @staticmethod
    def place(node):
        """Line of a node or an event."""
        return f"line {node.start_mark.line + 1}"


def shown(value, most: int = 120) -> str:
    """`repr` of a value for a message, cut where it is long, in bounded time also for what aliases have blown up."""
    text = _shortener.repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."


_shortener = reprlib.Repr()
_shortener.maxlist = _shortener.maxtuple = _shortener.maxdict = 8
_shortener.maxlevel, _shortener.maxstring, _shortener.maxother, _shortener.maxlong = 5, 100, 100, 60


def is_number(value) -> bool:
    """A finite real number; True and False are none."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def is_integer(value, least: int = 1) -> bool:
    """An integer of at least `least`; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**63


def is_list_of(value, length: int) -> bool:
    """A list, not empty, of lists of `length` numbers."""
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(isinstance(row, (list, tuple)) and len(row) == length and all(map(is_number, row)) for row in value)
    )


def check_name(name: str, where: str) -> None:
    """ValueError for a name that does not make a file name of its own folder."""
    if not isinstance(name, str) or not 0 < len(name) <= 200 or name.startswith("."):
        raise ValueError(f"{where}: {shown(name)} is not a name of up to 200 letters, digits, _, - and .")
    if not all(c.isalnum() or c in "_-." for c in name):
        raise ValueError(f"{where}: {shown(name)} is not a name of letters, digits, _, - and .")
