"""A study's description, `ablation.json`: found, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spsam.checksums import from_sealed_json
from spsam.errors import InputError, Problem
from spsam.reporting.study_data import ArmData, folds_of

STUDY_FILE = "ablation.json"
_OF_DATA = ("name", "fingerprint", "split_name", "split_hash", "fold", "class_names")


def find_studies(root: Path) -> list[Path]:
    """The folders of the studies below a folder of results, in the order of their names.

    Args:
        root: A folder of results, or the folder of one study.
    """
    if (root / STUDY_FILE).is_file():
        return [root]
    return sorted(file.parent for file in (root / "ablations").glob(f"*/{STUDY_FILE}"))


def read_about(file: Path) -> dict[str, Any]:
    """Reads a study's description.

    Raises:
        InputError: If there is none or it is damaged.
    """
    try:
        about = from_sealed_json(file.read_bytes())
        count = len(about["seeds"]) * len(folds_of(about))
        whole = all(len(arm.run_ids) == count for arm in as_arms(about))
        # What is read later is read here, too: a description without it is damaged.
        _ = (str(about["name"]), int(about["cases"]["test"]), *map(int, about["seeds"]))
        _ = [about["data"][key] for key in _OF_DATA]
    except OSError as error:
        raise InputError(Problem(f"cannot be read: {error.strerror or error}", file)) from error
    except (ValueError, TypeError, KeyError, AttributeError):
        whole = False
    if not whole or not about["arms"] or not about["seeds"]:
        raise InputError(Problem("is no study's description; run spsam ablate again", file))
    return dict(about)


def as_arms(about: Mapping[str, Any]) -> list[ArmData]:
    """The arms of a study's description."""
    return [
        ArmData(
            name=entry["name"],
            title=entry["title"],
            parent=entry["parent"],
            diff=tuple(entry["diff"]),
            trained_parameters=int(entry["trained_parameters"]),
            run_ids=tuple(entry["run_ids"]),
            levels=entry.get("levels", {}),
            weights=_weights(entry.get("weights")),
            # Earlier descriptions have it as the parent, whether it is in the study or not.
            base=entry.get("base", entry["parent"]),
        )
        for entry in about["arms"]
    ]


def _weights(told: Mapping[str, Any] | None) -> str:
    return f"{told['backbone']}, {told['origin']}" if told else ""
