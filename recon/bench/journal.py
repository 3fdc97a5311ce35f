"""Runs that are done, a line each, so that a benchmark can be stopped and goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Journal:
    """Rows in `rows.jsonl` of a folder, or for this run only where there is none."""

    def __init__(self, folder: Path | None) -> None:
        self.path = None if folder is None else folder / "rows.jsonl"
        self.rows = list(self._read())

    def find(self, **what: Any) -> Row | None:
        """The latest row that has all of `what`."""
        plain = json.loads(json.dumps(what))  # as it was written
        return next((row for row in reversed(self.rows) if plain.items() <= row.items()), None)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def _read(self) -> Iterator[Row]:
        """What is there; a line that a kill cut short is left out."""
        if self.path is None or not self.path.is_file():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                yield row
