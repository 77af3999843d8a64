"""A results store as an ablation leaves it, made without training anything."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spsam.results.rows import Row, write_rows
from spsam.results.run_folder import RunFolder

Value = Callable[[int, int, int, int], float]

CLASSES = ("background", "RV", "MYO", "LV")


def noise(arm: int, seed: int, case: int, k: int) -> float:
    """A Dice: later arms are better, with differences between cases, seeds and classes."""
    shake = np.random.default_rng([arm, seed, case, k]).normal(0, 0.01)
    if k == 0:
        return 0.99
    return float(np.clip(0.6 + 0.05 * arm + 0.02 * math.sin(case) + 0.03 * k + shake, 0, 1))


def make_study(
    home: Path,
    arms: Sequence[str] = ("S1", "S2", "S3"),
    seeds: Sequence[int] = (0, 1, 2),
    *,
    cases: int = 6,
    value: Value = noise,
    data: str = "acdc",
    classes: Sequence[str] = CLASSES,
    titles: Mapping[str, str] | None = None,
    status: Mapping[tuple[str, int], str] | None = None,
    extra: Mapping[str, Any] | None = None,
    name: str = "study-01",
) -> Path:
    """Writes a study and its runs; returns the study's folder.

    Args:
        home: The folder of all results.
        arms: Each is the child of the one before it.
        seeds: One run an arm and seed.
        cases: How many; two a patient.
        value: Of arm, seed, case and class; NaN is left out.
        data: The data set's name.
        classes: All classes, background first.
        titles: Of arms; others are called "title of X".
        status: Of runs that are not finished, by arm and seed; `missing` makes no folder.
        extra: More for every run's record.
        name: The study's.
    """
    entries = []
    for number, arm in enumerate(arms):
        ids = [f"{arm}run{seed:03d}" for seed in seeds]
        entries.append(
            {
                "name": arm,
                "title": (titles or {}).get(arm, f"title of {arm}"),
                "parent": arms[number - 1] if number else None,
                "diff": [{"key": "blocks.adapter", "parent": "none", "value": arm}],
                "run_id": ids[0],
                "run_ids": ids,
                "patch_size": [4, 32, 32],
                "trained_parameters": 1000 * (number + 1),
                "total_parameters": 100_000,
                "parameters": {},
            }
        )
        for seed, run_id in zip(seeds, ids, strict=True):
            state = (status or {}).get((arm, seed), "finished")
            run = RunFolder(home, run_id)
            if state != "missing":
                _write_run(run, state, arm, seed, extra or {})
            if state == "finished":
                scored = [
                    Row(
                        run_id=run_id,
                        seed=seed,
                        fold=0,
                        case=f"patient{c // 2:03d}_frame{c % 2}",
                        patient=f"patient{c // 2:03d}",
                        class_id=k,
                        class_name=classes[k],
                        metric="dice",
                        convention="nnunet",
                        value=value(number, seed, c, k),
                    )
                    for c in range(cases)
                    for k in range(len(classes))
                ]
                write_rows(run.rows, scored)
    about = {
        "name": name,
        "data": {
            "name": data,
            "fingerprint": "0123456789abcdef",
            "split_name": "default",
            "split_hash": "fedcba9876543210",
            "fold": 0,
            "num_classes": len(classes),
            "class_names": list(classes),
            "in_channels": 1,
        },
        "cases": {"train": 8, "val": 2, "test": cases},
        "notes": [],
        "preset": "cpu",
        "device": "cpu",
        "seeds": list(seeds),
        "arms": entries,
    }
    folder = home / "ablations" / name
    folder.mkdir(parents=True)
    (folder / "ablation.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


def _write_run(run: RunFolder, state: str, arm: str, seed: int, extra: Mapping[str, Any]) -> None:
    run.path.mkdir(parents=True)
    run.config.write_text(f"arm:\n  name: {arm}\nseed: {seed}\n", encoding="utf-8")
    run.note(
        status=state,
        run_id=run.run_id,
        arm=arm,
        seed=seed,
        trained_parameters=1000,
        total_parameters=100_000,
        seconds=12.5,
        environment={
            "spsam": "0.1.0",
            "python": "3.11.7",
            "platform": "Linux-6.1-x86_64",
            "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
            "device": "cpu",
        },
        **extra,
    )


def as_external(folder: Path, arm: str) -> Path:
    """Makes an arm of a study one that was predicted elsewhere; returns the study's folder."""
    file = folder / "ablation.json"
    about = json.loads(file.read_text(encoding="utf-8"))
    for entry in about["arms"]:
        if entry["name"] == arm:
            entry["external"] = {"folder": "maps", "sha256": {}}
            entry["title"] = "predicted by another program, scored by spsam"
            entry["trained_parameters"] = None
            entry["run_ids"] = entry["run_ids"][:1]
    file.write_text(json.dumps(about), encoding="utf-8")
    return folder
