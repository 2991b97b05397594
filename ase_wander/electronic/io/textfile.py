"""Reading of line-based files with errors that name file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def file_error(path, number, message):
    """ValueError "file:line: message"."""
    return ValueError(f"{path}:{number}: {message}")


class NumberedLines:
    """Lines of a text file, consumed one by one; `number` is that of the line read last."""

    def __init__(self, path):
        self.path, self.number = Path(path), 0
        try:
            self._lines = self.path.read_text().splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not a text file (byte {error.start})") from None
        if not self._lines:
            raise ValueError(f"{path}: the file is empty")

    def error(self, message):
        return file_error(self.path, self.number, message)

    def at_end(self):
        """Whether only blank lines are left."""
        while self.number < len(self._lines) and not self._lines[self.number].strip():
            self.number += 1
        return self.number >= len(self._lines)

    def next(self, what, blank=False):
        """Next line (next non-blank one unless `blank`)."""
        while self.number < len(self._lines):
            self.number += 1
            line = self._lines[self.number - 1]
            if blank or line.strip():
                return line
        raise ValueError(f"{self.path}:{len(self._lines)}: the file ends before {what}")

    def fields(self, count, what):
        words = self.next(what).split()
        if len(words) != count:
            raise self.error(f"expected {what} ({count} fields), found {len(words)}: {' '.join(words)[:60]!r}")
        return words

    def integers(self, count, what):
        words = self.fields(count, what)
        try:
            return [int(word) for word in words]
        except ValueError:
            raise self.error(f"expected {what} (integers), found {' '.join(words)[:60]!r}") from None

    def floats(self, count, what):
        return self.to_floats(self.fields(count, what))

    def to_floats(self, words):
        try:
            values = [float(word.lower().replace("d", "e")) for word in words]
        except ValueError:
            raise self.error(f"expected numbers, found {' '.join(words)[:60]!r}") from None
        if not np.isfinite(values).all():
            raise self.error(f"not finite: {' '.join(words)[:60]!r}")
        return values

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
        # Something is wrong: read line by line until it shows.
        return np.array([self.floats(n_columns, what) for _ in range(n_rows)]), start + 1
