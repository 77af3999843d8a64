"""Stored prompt studies, read from their folders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spsam.errors import InputError, Problem
from spsam.reporting.prompts.table import (
    CellResult,
    cells_table,
    overview,
    overview_table,
    prompt_table,
)
from spsam.reporting.render.model import Source, Table
from spsam.results.rows import Row, read_rows
from spsam.text.json_text import parse_json

STUDY_FILE = "study.json"

# Studies stored by earlier versions have no axis `mask`.
_ABOUT = ("prompts", "point", "mask", "source", "disturbance")


def find_prompt_studies(root: Path) -> list[Path]:
    """Finds the folders of prompt studies in a folder of results.

    Args:
        root: A folder of results, or the folder of one study.
    """
    if (root / STUDY_FILE).is_file() and (root / "rows.jsonl").is_file():
        return [root]
    return sorted(file.parent for file in (root / "prompts").glob(f"*/{STUDY_FILE}"))


def read_prompt_study(folder: Path) -> tuple[dict[str, Any], list[Row]]:
    """Reads a study's description and its rows.

    Raises:
        InputError: If the description is missing or damaged.
        SpsamError: If the rows are damaged.
    """
    file = folder / STUDY_FILE
    try:
        about = parse_json(file.read_text(encoding="utf-8"))
        whole = all(key in about for key in ("name", "title", "data", "cases", "cells", "metric"))
        parts = ("keys", "prompts", "point", "source", "disturbance")
        whole = whole and all(key in cell for cell in about["cells"] for key in parts)
        whole = whole and all(key in about["data"] for key in ("class_names", "fingerprint"))
    except OSError as error:
        raise InputError(Problem(f"cannot be read: {error.strerror or error}", file)) from error
    except (ValueError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise InputError(Problem("is not a prompt study; rerun spsam prompts", file))
    return about, read_rows(folder / "rows.jsonl")


def prompt_tables(about: Mapping[str, Any], rows: list[Row]) -> list[Table]:
    """The table of cells and the overview.

    Args:
        about: The study's description.
        rows: The rows of all cells; the `run_id` of a row is the key of its cell.
    """
    by_cell: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in rows:
        by_cell[row.run_id, row.seed].append(row)
    results, sources = [], []
    for cell in about["cells"]:
        keys = cell["keys"]
        # A key contains the seed, or is shared by seeds if nothing is random.
        found = [of for (key, _), of in by_cell.items() if key in keys]
        where = {key: cell[key] for key in ("prompts", "point", "source", "disturbance")}
        results.append(CellResult(**where, mask=cell.get("mask"), seeds=found))
        how = f"Dice ({about['metric']}) in percent: mean over cases, classes, then seeds"
        sources.append(Source(how, tuple(dict.fromkeys(keys)), tuple(about["cases"])))
    table = prompt_table(results, about["data"]["class_names"], about["metric"])
    below = str(about.get("caption") or _caption(about))
    cells = cells_table(table, below, sources)
    known = {
        line.key: source for line in cells.lines for cell in line.cells if (source := cell.source)
    }
    return [cells, overview_table(overview(table), below, known)]


def cell_runs(about: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance of each cell, by its key."""
    data = about["data"]
    return {
        key: {
            **{name: cell[name] for name in _ABOUT if name in cell},
            "network": about.get("network"),
            "run": about.get("run"),
            "weights": (about.get("weights") or {}).get("origin"),
            "data_fingerprint": data["fingerprint"],
            "split_hash": data["split_hash"],
        }
        for cell in about["cells"]
        for key in cell["keys"]
    }


def _caption(about: Mapping[str, Any]) -> str:
    """The caption of a study stored by a version that did not store captions."""
    data = about["data"]
    return (
        f"{about['title']}: {about['network']} on {len(about['cases'])} test cases of "
        f"{data['name']} (fingerprint {data['fingerprint']}; split {data['split_name']}, fold "
        f"{data['fold']}). Dice in percent, mean over cases, then classes."
    )
