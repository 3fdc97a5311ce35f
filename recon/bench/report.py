"""Tables of a benchmark: printed as they come, and written as Markdown and JSON when asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    cells = [[f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    lines = [header, ["---"] * len(header), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


@dataclass
class Report:
    """One run of a benchmark. Prints its title at once."""

    title: str
    """The machine and what the numbers are."""
    tables: list[dict[str, Any]] = field(default_factory=list)
    """Each with heading, columns and rows."""

    def __post_init__(self) -> None:
        print(self.title, flush=True)

    def add(self, columns: Sequence[str], rows: Sequence[Sequence[object]], heading: str = "") -> None:
        """Print a table and keep it."""
        found = {"heading": heading, "columns": list(columns), "rows": [list(row) for row in rows]}
        self.tables.append(found)
        print("\n" + _markdown(found), flush=True)

    def write(self, folder: Path | None, name: str) -> None:
        """Write `name`.md and `name`.json into `folder`; nothing when it is None."""
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        text = "\n\n".join([self.title, *(_markdown(found) for found in self.tables)])
        (folder / f"{name}.md").write_text(text + "\n", encoding="utf-8")
        plain = {"title": self.title, "tables": self.tables}
        (folder / f"{name}.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def _markdown(found: dict[str, Any]) -> str:
    text = table(found["columns"], found["rows"])
    return f"### {found['heading']}\n\n{text}" if found["heading"] else text
