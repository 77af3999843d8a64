"""The files of a result of record.

    <name>/
      study.json       the study's description: data, split, cases, seeds, arms
      runs.json        one object a run: its state, configuration hash, record (environment, git)
      configs/         the resolved configuration of each run
      rows.csv.gz      every score
      tables/          what is claimed: Markdown, CSV, and where each number comes from
      manifest.json    sha-256 of every other file

Nothing in it names a machine or a folder of one.
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

# What of a run's environment may tell of the machine it ran on.
_OF_MACHINE = ("platform", "device_name", "hostname", "user", "cwd")
_PATH = re.compile(r"(?<![\w.:/])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\",:]+[/\\])*([^\s/\\'\",:]+)")


def without_paths(value: Any) -> Any:
    """The value with the last part in the place of every absolute path."""
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    return _PATH.sub(r"\1", value) if isinstance(value, str) else value


def clean_record(record: dict[str, Any]) -> dict[str, Any]:
    """A run's record without its machine's names and paths; the operating system stays."""
    # Checksums of files that are not in a record of results.
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
    """All scores, compressed; equal rows are equal bytes, and no digit is lost."""
    text = rows.to_csv(index=False, lineterminator="\n")
    # No time of day in the header.
    return gzip.compress(text.encode(), 9, mtime=0)


def rows_from_bytes(content: bytes, file: Path) -> pd.DataFrame:
    """The reverse.

    Raises:
        SpsamError: If the file is damaged.
    """
    try:
        text = io.BytesIO(gzip.decompress(content))
        words = dict.fromkeys(("run_id", "arm", "case", "patient", "class_name", "metric"), str)
        # Numbers by Python's own reader: pandas' fast one errs in the last digit.
        texts = {**words, "convention": str, "value": str}
        rows = pd.read_csv(text, dtype=texts, keep_default_na=False)
        return rows.assign(value=[float(value or "nan") for value in rows["value"]])
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise SpsamError(f"{file}: is damaged") from error


def to_json(value: Any) -> str:
    """JSON as all files of a record have it."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
