"""The files of a result of record.

    <name>/
      study.json       the study's description: data, split, cases, seeds, arms
      runs.json        one object per run: state, configuration hash, record (environment, git)
      configs/         the resolved configuration of each run
      rows.csv.gz      every score
      tables/          the reported results: Markdown, CSV, and the origin of each number
      manifest.json    SHA-256 of every other file

A record contains no names of machines and no absolute paths.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from spsam.errors import SpsamError

STUDY = "study.json"
RUNS = "runs.json"
CONFIGS = "configs"
ROWS = "rows.csv.gz"
TABLES = "tables"
MANIFEST = "manifest.json"

# Keys of a run's environment that may identify its machine.
_OF_MACHINE = ("platform", "device_name", "hostname", "user", "cwd")
_PATH = re.compile(r"(?<![\w.:/])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\",:]+[/\\])*([^\s/\\'\",:]+)")


def without_paths(value: Any) -> Any:
    """Replaces every absolute path in a value by its last component."""
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    return _PATH.sub(r"\1", value) if isinstance(value, str) else value


def clean_record(record: dict[str, Any]) -> dict[str, Any]:
    """A run's record without names and paths of its machine; the operating system is kept."""
    # These files are not part of a result of record.
    kept = {key: value for key, value in record.items() if key != "files"}
    environment = dict(kept.get("environment") or {})
    system = str(environment.get("platform", "")).split("-")[0]
    environment = {k: v for k, v in environment.items() if k not in _OF_MACHINE}
    if system:
        environment["system"] = system
    kept["environment"] = environment
    found: dict[str, Any] = without_paths(kept)
    return found


def rows_to_bytes(rows: pd.DataFrame) -> bytes:
    """All scores, compressed; lossless, and identical bytes for equal rows."""
    text = rows.to_csv(index=False, lineterminator="\n")
    # No time stamp in the header.
    return gzip.compress(text.encode(), 9, mtime=0)


def rows_from_bytes(content: bytes, file: Path) -> pd.DataFrame:
    """The inverse of `rows_to_bytes`.

    Raises:
        SpsamError: If the file is damaged.
    """
    try:
        text = io.BytesIO(gzip.decompress(content))
        words = dict.fromkeys(("run_id", "arm", "case", "patient", "class_name", "metric"), str)
        # Parsed by Python: pandas' fast parser is inaccurate in the last digit.
        texts = {**words, "convention": str, "value": str}
        rows = pd.read_csv(text, dtype=texts, keep_default_na=False)
        return rows.assign(value=[float(value or "nan") for value in rows["value"]])
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise SpsamError(f"{file}: is damaged") from error


def to_json(value: Any) -> str:
    """JSON as formatted in all files of a record."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
