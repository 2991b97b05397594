"""Reading of line-based files with errors that name file and line.

Numbers are read as Fortran's list-directed input does, since programs in Fortran write these files: separated by
blanks or commas, exponents with D or without a letter, `3*1` for `1 1 1`, remarks after `!` or `#`.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

_REPEATED = re.compile(r"(\d{1,9})\*(\S+)")
_BARE_EXPONENT = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([+-]\d{2,3})")


def file_error(path, number, message):
    """ValueError "file:line: message"."""
    return ValueError(f"{path}:{number}: {message}")


class NumberedLines:
    """Lines of a text file, consumed one by one; `number` is that of the line read last."""

    def __init__(self, path):
        self.path, self.number = Path(path), 0
        try:
            self._lines = self.path.read_text(encoding="utf-8").split("\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not a text file (byte {error.start})") from None
        except OSError as error:
            raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
        if not any(map(str.strip, self._lines[:100])):
            raise ValueError(f"{path}: the file is empty")

    def error(self, message):
        return file_error(self.path, self.number, message)

    def __len__(self):
        """Lines that are left."""
        return len(self._lines) - self.number

    def at_end(self):
        """Whether only blank lines are left."""
        while self.number < len(self._lines) and not self._lines[self.number].strip():
            self.number += 1
        return self.number >= len(self._lines)

    def expect_end(self, what):
        """Refuse a file that goes on after `what`."""
        if not self.at_end():
            self.number += 1
            raise self.error(f"the file goes on after {what}: {self._lines[self.number - 1].strip()[:60]!r}")

    def next(self, what, blank=False):
        """Next line (next non-blank one unless `blank`)."""
        while self.number < len(self._lines):
            self.number += 1
            line = self._lines[self.number - 1]
            if blank or line.strip():
                return line
        raise ValueError(f"{self.path}:{len(self._lines)}: the file ends before {what}")

    def fields(self, count, what):
        words = _words(self.next(what))
        if len(words) != count:
            raise self.error(f"expected {what} ({count} fields), found {len(words)}: {' '.join(words)[:60]!r}")
        return words

    def first_word(self, what):
        """The first word of the next line alone, as Fortran reads one number."""
        words = _words(self.next(what))
        if not words:
            raise self.error(f"expected {what}, found a remark")
        return words[:1]

    def integers(self, count, what):
        return self.to_integers(self.fields(count, what), what)

    def listed_integers(self, count, what):
        """`count` integers on as many lines as they take; the rest of the last line is skipped, as by Fortran."""
        found = []
        while len(found) < count:
            words = _words(self.next(what))
            for word in words:
                match = _REPEATED.fullmatch(word)
                times, word = (int(match[1]), match[2]) if match else (1, word)
                found += self.to_integers([word], what) * min(times, count - len(found))
                if len(found) == count:
                    break
        return found

    def floats(self, count, what):
        return self.to_floats(self.fields(count, what))

    def to_integers(self, words, what):
        try:
            if any(len(word) > 18 for word in words):
                raise ValueError
            return [int(word) for word in words]
        except ValueError:
            raise self.error(f"expected {what} (integers), found {' '.join(words)[:60]!r}") from None

    def to_floats(self, words):
        try:
            values = [to_float(word) for word in words]
        except ValueError:
            raise self.error(f"expected numbers, found {' '.join(words)[:60]!r}") from None
        if not np.isfinite(values).all():
            raise self.error(f"not finite: {' '.join(words)[:60]!r}")
        return values

    def require(self, n_rows, what):
        """Refuse, before memory is taken for them, rows that the file cannot hold."""
        if n_rows > len(self):
            number = len(self._lines) if self._lines[-1].strip() else len(self._lines) - 1
            raise ValueError(f"{self.path}:{number}: the file ends before {what}: {n_rows} lines announced")

    def table(self, n_rows, n_columns, what):
        """(n_rows, n_columns) float array of the next lines, and the number of the first of them."""
        self.at_end()
        start = self.number
        rows = self._lines[start : start + n_rows]
        try:
            table = np.loadtxt(rows, ndmin=2, comments=None) if len(rows) == n_rows else None
        except ValueError:
            table = None
        if table is not None and table.shape == (n_rows, n_columns) and np.isfinite(table).all():
            self.number = start + n_rows
            return table, start + 1
        # Something is unusual or wrong: read line by line until it shows.
        found = [self.floats(n_columns, what) for _ in range(min(n_rows, len(self) + 1))]
        return np.array(found).reshape(n_rows, n_columns), start + 1


def to_float(word: str) -> float:
    """A number as Fortran writes it; ValueError for others, and for the `1_000` that Python allows."""
    match = _BARE_EXPONENT.fullmatch(word)
    if match:
        word = f"{match[1]}e{match[2]}"
    if "_" in word:
        raise ValueError
    return float(word.lower().replace("d", "e"))


def _words(line):
    return re.split(r"[!#]", line, maxsplit=1)[0].replace(",", " ").split()
