"""A study of prompts as `spsam prompts` leaves it."""

from __future__ import annotations

import json
from pathlib import Path

from spsam.results.rows import Row, write_rows

NAMES = ("background", "left", "right")


def make_prompt_study(home: Path, name: str = "prompts-01") -> Path:
    """Three cells, one of them with two seeds; two cases."""
    cells = [
        {"prompts": "point", "point": "edt", "source": "ground_truth", "disturbance": None},
        {"prompts": "point", "point": "random", "source": "ground_truth", "disturbance": None},
        {"prompts": "box", "point": None, "source": "disturbed", "disturbance": "off 5%"},
    ]
    keys = [["key0"], ["key1a", "key1b"], ["key2"]]
    rows = [
        Row(key, seed, 0, case, case, k, NAMES[k], "mask", "slices", 0.1 * (n + 1) + 0.01 * seed)
        for n, of_cell in enumerate(keys)
        for seed, key in enumerate(of_cell)
        for case in ("a", "b")
        for k in (1, 2)
    ]
    folder = home / "prompts" / name
    folder.mkdir(parents=True)
    write_rows(folder / "rows.jsonl", rows)
    about = {
        "name": name,
        "title": "Which prompts",
        "network": "plain SAM",
        "run": None,
        "data": {
            "name": "my_data",
            "fingerprint": "0123",
            "split_name": "default",
            "split_hash": "4567",
            "fold": 0,
            "class_names": NAMES,
        },
        "cases": ["a", "b"],
        "metric": "mask",
        "cells": [{**cell, "keys": of} for cell, of in zip(cells, keys, strict=True)],
    }
    (folder / "study.json").write_text(json.dumps(about), encoding="utf-8")
    return folder
