"""Tidy results: one row per run, case and class, one JSON object a line."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from spsam.checksums import sha256
from spsam.errors import SpsamError
from spsam.files import write_text
from spsam.text.json_text import parse_json


@dataclass(frozen=True)
class Row:
    """The score of one class in one case. It says nothing of arms: `run_id` leads to those.

    Attributes:
        run_id: The run that predicted.
        seed: Its seed.
        fold: Its fold of the split.
        case: The case's id.
        patient: The patient whose case it is.
        class_id: 0 is the background.
        class_name: Its name in the data set.
        metric: Of a run `dice`, and `hd95` of foreground classes; a study of prompts has others.
        convention: What an empty class scores: `nnunet`, `nnformer` or `transunet`; of `hd95`
            `diagonal`, as long as the volume where only one of prediction and reference has it.
        value: Dice in 0…1, HD95 in mm; NaN where the convention leaves the class out of this case.
    """

    run_id: str
    seed: int
    fold: int
    case: str
    patient: str
    class_id: int
    class_name: str
    metric: str
    convention: str
    value: float


_CHECKSUM = "sha256"
_NAMES = tuple(field.name for field in dataclasses.fields(Row))


def write_rows(path: Path, rows: Iterable[Row], *, checked: bool = False) -> None:
    """Writes rows at once: a reader sees all of them or none.

    NaN is written as null, since NaN is no JSON.

    Args:
        path: The file.
        rows: Its lines.
        checked: Whether a last line has the checksum of those before it, for a file that is in no
            run's record.
    """
    lines = []
    for row in rows:
        entry = dataclasses.asdict(row)
        entry["value"] = None if math.isnan(row.value) else float(row.value)
        lines.append(json.dumps(entry) + "\n")
    if checked:
        lines.append(json.dumps({_CHECKSUM: sha256("".join(lines).encode())}) + "\n")
    write_text(path, "".join(lines))


def read_rows(path: Path) -> list[Row]:
    """Reads what `write_rows` wrote.

    Raises:
        SpsamError: If the file cannot be read or a line of it is no row.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError as error:
        raise SpsamError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SpsamError(f"{path}: is damaged: it is no text") from error
    if lines and lines[-1].startswith(f'{{"{_CHECKSUM}"'):
        before = "".join(lines[:-1]).encode()
        if lines.pop() != json.dumps({_CHECKSUM: sha256(before)}) + "\n":
            raise SpsamError(f"{path}: is damaged; remove it to compute its rows again")
    return [_row(line, path, number) for number, line in enumerate(lines, start=1) if line.strip()]


def _row(line: str, path: Path, number: int) -> Row:
    try:
        entry = parse_json(line)
        value = entry["value"]
        return Row(**{**entry, "value": math.nan if value is None else float(value)})
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise SpsamError(
            f"{path}:{number}: expected a JSON object with {', '.join(_NAMES)}; "
            "remove the run's folder to run it again"
        ) from error
