"""Traces a number in a table back to the runs it was computed from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spsam.errors import InputError, Problem, nearest
from spsam.reporting.report import FOLDER, all_studies
from spsam.text.json_text import parse_json

_ENDING = ".provenance.json"


def trace(table: str, row: str, column: str, root: Path) -> dict[str, Any]:
    """Finds the origin of a number.

    Args:
        table: Name of a table, or the path of one of its files.
        row: Name of a row: an arm, a method, a case.
        column: Name of a column, or its title.
        root: The folder of results, or of one study, in which the table is searched.

    Returns:
        table (the file), row, column, text, values, how, published, cases and runs: one mapping per
        run with run_id, arm, seed, config_hash, git_commit, data_fingerprint, split_hash, ….

    Raises:
        InputError: If there is no such table, row or column; suggests the nearest name.
    """
    file = _find(table, root)
    try:
        content = parse_json(file.read_text(encoding="utf-8"))
        rows, columns = content["rows"], content["columns"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(Problem("is damaged; rerun spsam report", file)) from error
    if row not in rows:
        raise InputError(f"{content['table']} has no row '{row}'{nearest(row, rows)}")
    if column not in columns:
        raise InputError(f"{content['table']} has no column '{column}'{nearest(column, columns)}")
    cell = rows[row].get(column)
    if cell is None:
        has = [name for name in columns if name in rows[row]]
        raise InputError(
            f"{content['table']}, row '{row}': column '{column}' contains no number; "
            f"columns with numbers: {', '.join(has)}"
        )
    return {
        "table": str(file.with_name(content["table"])),
        "row": row,
        "column": column,
        **{key: cell[key] for key in ("text", "values", "how", "published")},
        "cases": content["cases"][cell["cases"]],
        "runs": [{"run_id": run, **content["runs"].get(run, {})} for run in cell["runs"]],
    }


def trace_text(found: dict[str, Any]) -> str:
    """The origin as text."""
    values = [f"{key} {value}" for key, value in found["values"].items() if value is not None]
    lines = [
        f"{found['table']}: row {found['row']}, column {found['column']}",
        f"printed     {found['text']}",
        f"values      {', '.join(values)}",
        f"how         {found['how']}",
    ]
    if found["published"]:
        lines.append(f"published   {found['published']}")
    if found["cases"]:
        lines.append(f"cases       {len(found['cases'])}: {', '.join(found['cases'])}")
    for run in found["runs"]:
        about = {key: value for key, value in run.items() if value is not None}
        lines.append(f"run         {about.pop('run_id')}")
        lines += [f"  {key:<18} {value}" for key, value in about.items() if key in _SHOWN]
    return "\n".join(lines)


_SHOWN = (
    *("arm", "seed", "fold", "config_hash", "git_commit", "git_dirty"),
    *("data_fingerprint", "split_hash", "network"),
    *("prompts", "point", "mask", "source", "disturbance"),
)


def _find(table: str, root: Path) -> Path:
    named = Path(table)
    if named.parent != Path() or named.suffix in (".json", ".csv", ".md", ".tex", ".html"):
        file = named.parent / (named.name.removesuffix(_ENDING).split(".")[0] + _ENDING)
        if not file.is_file():
            raise InputError(Problem("file does not exist; run spsam report first", file))
        return file
    folders = [study / FOLDER for study in all_studies(root)]
    found = [f for folder in folders if (f := folder / f"{table}{_ENDING}").is_file()]
    if not found:
        known = _known(folders)
        if not known:
            raise InputError(Problem("contains no report; run spsam report first", root))
        raise InputError(f"unknown table '{table}'{nearest(table, known)}")
    if len(found) > 1:
        raise InputError(
            f"{len(found)} studies have a table '{table}'; specify one of these paths instead: "
            + ", ".join(str(file) for file in found)
        )
    return found[0]


def _known(folders: Sequence[Path]) -> list[str]:
    files = (file for folder in folders for file in folder.glob(f"*{_ENDING}"))
    return sorted({file.name.removesuffix(_ENDING) for file in files})
