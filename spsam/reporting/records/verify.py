"""Recomputes results of record from their rows."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from spsam.checksums import sha256
from spsam.errors import InputError, Problem, SpsamError
from spsam.reporting.prompts.stored import prompt_tables
from spsam.reporting.records.format import MANIFEST, ROWS, RUNS, STUDY, TABLES, rows_from_bytes
from spsam.reporting.records.write import record_tables
from spsam.reporting.render.files import to_csv
from spsam.reporting.render.model import Table
from spsam.reporting.score_rows import as_rows
from spsam.reporting.study_data import StudyData
from spsam.reporting.study_description import as_arms
from spsam.results.rows import Row
from spsam.text.json_text import parse_json

# Values are written with six digits.
_TOLERANCE = 2e-6


def find_records(folder: Path) -> list[Path]:
    """The results of record in a folder and its subfolders, or the folder itself if it is one."""
    if (folder / MANIFEST).is_file():
        return [folder]
    found = (sorted(folder.glob(f"{depth}/{MANIFEST}")) for depth in ("*", "*/*"))
    return [file.parent for files in found for file in files]


def read_record(folder: Path) -> StudyData:
    """Reads a recorded ablation, like `read_study` reads a stored one.

    Raises:
        InputError: If the folder does not contain a record of an ablation.
        SpsamError: If a file is damaged.
    """
    about, runs = _json(folder / STUDY), _json(folder / RUNS)
    arms = as_arms(about)
    lines = [{key: value for key, value in run.items() if key != "record"} for run in runs]
    table = pd.DataFrame.from_records(lines).assign(folder=str(folder))
    rows = rows_from_bytes((folder / ROWS).read_bytes(), folder / ROWS)
    return StudyData(folder, about, arms, as_rows(rows, arms), table)


def verify_record(folder: Path) -> list[str]:
    """Recomputes the tables of a record.

    Returns:
        Every difference, with its file and, in a table, its row and column; empty if there is none.
    """
    differences: list[str] = []
    try:
        differences += _files(folder)
        differences += [f"{folder.name}: {text}" for text in _tables(folder)]
    except (OSError, SpsamError) as error:
        differences.append(f"{folder.name}: {error}")
    return differences


def _files(folder: Path) -> Iterator[str]:
    sums = _json(folder / MANIFEST)
    there = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }
    for name in sorted(there | set(sums)):
        if name not in there:
            yield f"{folder.name}: {name} is missing"
        elif name not in sums:
            yield f"{folder.name}: {name} is not in the manifest"
        elif sha256((folder / name).read_bytes()) != sums[name]:
            yield f"{folder.name}: {name} differs from its recorded checksum"


def _tables(folder: Path) -> Iterator[str]:
    again = {table.name: table for table in _again(folder)}
    for name, table in again.items():
        file = folder / TABLES / f"{name}.csv"
        if not file.is_file():
            yield f"{TABLES}/{name}.csv is missing"
            continue
        yield from _compare(file.read_text(encoding="utf-8"), table)
    for file in sorted((folder / TABLES).glob("*.csv")):
        if file.stem not in again:
            yield f"{TABLES}/{file.name}: not reproduced from the rows"


def _again(folder: Path) -> Sequence[Table]:
    about = _json(folder / STUDY)
    if "arms" in about:
        return record_tables(read_record(folder))[0]
    rows = rows_from_bytes((folder / ROWS).read_bytes(), folder / ROWS)
    records = rows.astype(object).to_dict("records")
    return prompt_tables(about, [Row(**_named(record)) for record in records])


def _named(record: dict[Any, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in record.items()}


def _compare(stored: str, table: Table) -> Iterator[str]:
    name = f"{TABLES}/{table.name}.csv"
    old, new = (list(csv.DictReader(io.StringIO(text))) for text in (stored, to_csv(table)))
    if len(old) != len(new):
        yield f"{name}: {len(old)} rows are stored, {len(new)} computed"
        return
    for line, before, after in zip(table.lines, old, new, strict=True):
        for column in dict.fromkeys([*before, *after]):
            was, now = before.get(column), after.get(column)
            if not _equal(was, now):
                yield f"{name}: row {line.key}, column {column}: stored {was}, computed {now}"


def _equal(one: str | None, other: str | None) -> bool:
    if one == other:
        return True
    try:
        return math.isclose(float(one or ""), float(other or ""), rel_tol=0, abs_tol=_TOLERANCE)
    except ValueError:
        return False


def _json(file: Path) -> Any:
    try:
        return parse_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(Problem(f"cannot be read: {error.strerror or error}", file)) from error
    except ValueError as error:
        raise SpsamError(f"{file}: is damaged") from error
