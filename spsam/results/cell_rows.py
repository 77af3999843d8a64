"""Rows of one cell of a prompt study, in a file that grows by one case at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spsam.results.rows import Row, read_rows, write_rows


@dataclass(frozen=True)
class CellRows:
    """Handle of `<home>/prompts/cells/<key>.jsonl`; creating the object touches no file.

    Studies that share a cell share its file. An interrupted study resumes with the next case.

    Attributes:
        home: Folder of all results.
        key: Identity of the cell.
    """

    home: Path
    key: str

    @property
    def path(self) -> Path:
        """File with the rows."""
        return self.home / "prompts" / "cells" / f"{self.key}.jsonl"

    @property
    def maps(self) -> Path:
        """Folder with the predicted label maps, one per case, if they are requested."""
        return self.home / "prompts" / "cells" / self.key

    def add(self, rows: Iterable[Row]) -> None:
        """Add all rows of one case."""
        # The whole file is rewritten atomically, so that an interruption leaves no partial case.
        write_rows(self.path, [*self.read(), *rows], checked=True)

    def read(self, cases: Sequence[str] | None = None) -> list[Row]:
        """Read the rows of the given cases, in that order; None reads all rows.

        Raises:
            SpsamError: If the file is damaged.
        """
        if not self.path.is_file():
            return []
        # Concurrent processes may have written a case twice; it counts once.
        found = {(row.case, row.metric, row.class_id): row for row in read_rows(self.path)}
        if cases is None:
            return list(found.values())
        order = {case: number for number, case in enumerate(cases)}
        rows = [row for row in found.values() if row.case in order]
        return sorted(rows, key=lambda row: order[row.case])

    def missing(self, cases: Sequence[str]) -> list[str]:
        """Return the cases that have no rows yet."""
        there = {row.case for row in self.read()}
        return [case for case in cases if case not in there]
