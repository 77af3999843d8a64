"""Tidy results: one row per run, case, class and metric, one JSON object per line."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spsam.checksums import sha256
from spsam.errors import SpsamError
from spsam.files import write_text
from spsam.text.json_text import parse_json


@dataclass(frozen=True)
class Row:
    """The score of one class in one case. Its arm is found through `run_id`.

    Attributes:
        run_id: Id of the run that predicted the case.
        seed: Seed of the run.
        fold: Fold of the split.
        case: Id of the case.
        patient: Id of the patient.
        class_id: Id of the class; 0 is the background.
        class_name: Name of the class in the data set.
        metric: `dice`, or `hd95` for foreground classes; a prompt study has further metrics.
        convention: Score of an empty class. For Dice: `nnunet`, `nnformer` or `transunet`. For
            `hd95`: `diagonal`, the volume's diagonal if only one of prediction and reference
            contains the class.
        value: Dice in 0…1 or HD95 in mm; NaN if the convention excludes the class in this case.
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
    """Write rows atomically.

    NaN is written as null, because JSON has no NaN.

    Args:
        path: The file.
        rows: The rows, one per line.
        checked: Write a checksum of the rows in the first line, for a file whose checksum is not
            in a run's record. The first line also exists in a truncated file.
    """
    lines = []
    for row in rows:
        entry = dataclasses.asdict(row)
        entry["value"] = None if math.isnan(row.value) else float(row.value)
        lines.append(json.dumps(entry) + "\n")
    if checked:
        lines.insert(0, _checksum(lines))
    write_text(path, "".join(lines))


def read_rows(path: Path) -> list[Row]:
    """Read a file of `write_rows`.

    Raises:
        SpsamError: If the file cannot be read, its checksum does not match, or a line is not a row.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError as error:
        raise SpsamError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SpsamError(f"{path}: is damaged: it is not a text file") from error
    first = 1
    if lines and lines[0].startswith(f'{{"{_CHECKSUM}"'):
        first = 2
        if lines.pop(0) != _checksum(lines):
            raise SpsamError(f"{path}: is damaged; remove it to compute its rows again")
    return [_row(line, path, number) for number, line in enumerate(lines, first) if line.strip()]


def _checksum(lines: Sequence[str]) -> str:
    return json.dumps({_CHECKSUM: sha256("".join(lines).encode())}) + "\n"


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
