"""Finds, reads and checks the description of a study, `ablation.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spsam.checksums import from_sealed_json
from spsam.errors import InputError, Problem
from spsam.reporting.study_data import ArmData, folds_of

STUDY_FILE = "ablation.json"
_OF_DATA = ("name", "fingerprint", "split_name", "split_hash", "fold", "class_names")


def find_studies(root: Path) -> list[Path]:
    """Finds the folders of studies in a folder of results, sorted by name.

    Args:
        root: A folder of results, or the folder of one study.
    """
    if (root / STUDY_FILE).is_file():
        return [root]
    return sorted(file.parent for file in (root / "ablations").glob(f"*/{STUDY_FILE}"))


def read_about(file: Path) -> dict[str, Any]:
    """Reads a study's description.

    Raises:
        InputError: If the description is missing or damaged.
    """
    try:
        about = from_sealed_json(file.read_bytes())
        arms, folds = as_arms(about), len(folds_of(about))
        whole = all(len(arm.run_ids) == folds * len(seeds_of(about, arm)) for arm in arms)
        # Checks for keys that are used later: a description without them is damaged.
        _ = (str(about["name"]), int(about["cases"]["test"]), *map(int, about["seeds"]))
        _ = [about["data"][key] for key in _OF_DATA]
    except OSError as error:
        raise InputError(Problem(f"cannot be read: {error.strerror or error}", file)) from error
    except (ValueError, TypeError, KeyError, AttributeError):
        whole = False
    if not whole or not about["arms"] or not about["seeds"]:
        raise InputError(Problem("is not a study's description; rerun spsam ablate", file))
    return dict(about)


def as_arms(about: Mapping[str, Any]) -> list[ArmData]:
    """Reads the arms of a study's description."""
    return [
        ArmData(
            name=entry["name"],
            title=entry["title"],
            parent=entry["parent"],
            diff=tuple(entry["diff"]),
            trained_parameters=_parameters(entry),
            run_ids=tuple(entry["run_ids"]),
            levels=entry.get("levels", {}),
            weights=_weights(entry.get("weights")),
            external=_is_external(entry),
            tuned=_tuned(entry.get("tuned")),
            initial=tuple(str(each) for each in entry.get("initial", ())),
            best={key: int(value) for key, value in entry.get("best", {}).items()},
            # Older descriptions store the base as parent, even if it is not in the study.
            base=entry.get("base", entry["parent"]),
            recipe=str(entry.get("recipe", "")),
            steps=int(entry.get("steps", 0)),
        )
        for entry in about["arms"]
    ]


def seeds_of(about: Mapping[str, Any], arm: ArmData) -> list[int]:
    """The seeds of an arm: those of the study; for an external, only the first one."""
    seeds = list(about["seeds"])
    return seeds[:1] if arm.external else seeds


def _is_external(entry: Mapping[str, Any]) -> bool:
    """Whether an entry describes external predictions; checks for keys that are used later."""
    external = entry.get("external")
    if external is None:
        return False
    _ = (str(external["folder"]), external["sha256"].items())
    return True


def _tuned(entry: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Budget and values of the tuning, as plain values for captions."""
    if entry is None:
        return {}
    space = {str(key): dict(found) for key, found in entry["space"].items()}
    return {
        "trials": int(entry["trials"]),
        "sampler": str(entry["sampler"]),
        "validation_cases": int(entry["validation_cases"]),
        "space": {key: _range(found) for key, found in space.items()},
        "values": None if entry["values"] is None else dict(entry["values"]),
    }


def _range(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    if "choices" in entry:
        return {"choices": list(entry["choices"])}
    return {"low": entry["low"], "high": entry["high"], "log": bool(entry["log"])}


def _parameters(entry: Mapping[str, Any]) -> float:
    return math.nan if _is_external(entry) else int(entry["trained_parameters"])


def _weights(told: Mapping[str, Any] | None) -> str:
    return f"{told['backbone']}, {told['origin']}" if told else ""
