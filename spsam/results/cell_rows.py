"""The rows of one cell of a study of prompts: a file that grows by one case at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spsam.results.rows import Row, read_rows, write_rows


@dataclass(frozen=True)
class CellRows:
    """`<home>/prompts/cells/<key>.jsonl`; making this object touches no file.

    Studies that share a cell share its file; an interrupted study goes on with the next case.

    Attributes:
        home: The folder of all results.
        key: The cell's identity.
    """

    home: Path
    key: str

    @property
    def path(self) -> Path:
        """The file."""
        return self.home / "prompts" / "cells" / f"{self.key}.jsonl"

    @property
    def maps(self) -> Path:
        """A folder with the answers as label maps, one a case, where they are wanted."""
        return self.home / "prompts" / "cells" / self.key

    def add(self, rows: Iterable[Row]) -> None:
        """Adds all rows of one case."""
        # Written anew, whole: an interruption leaves no half case.
        write_rows(self.path, [*self.read(), *rows], checked=True)

    def read(self, cases: Sequence[str] | None = None) -> list[Row]:
        """The rows of some cases, in that order; None for all there are.

        Raises:
            SpsamError: If the file is damaged.
        """
        if not self.path.is_file():
            return []
        # Twins may have written a case twice; it counts once.
        found = {(row.case, row.metric, row.class_id): row for row in read_rows(self.path)}
        if cases is None:
            return list(found.values())
        order = {case: number for number, case in enumerate(cases)}
        rows = [row for row in found.values() if row.case in order]
        return sorted(rows, key=lambda row: order[row.case])

    def missing(self, cases: Sequence[str]) -> list[str]:
        """The cases that are not answered yet."""
        there = {row.case for row in self.read()}
        return [case for case in cases if case not in there]
