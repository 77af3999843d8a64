"""Views of scans with the label maps of folders of predictions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spsam.data.labels import without_ignored
from spsam.data.sources.label_maps import RECORD, label_maps
from spsam.errors import InputError, Problem
from spsam.reporting.view.page import ViewedCase
from spsam.studies.predicted import volume_hash
from spsam.studies.progress_events import ProgressListener
from spsam.studies.viewing.runs import REFERENCE, read_labels
from spsam.text.json_text import parse_json

if TYPE_CHECKING:
    from spsam.data.cases import Case

_DEFAULT = 3


@dataclass(frozen=True)
class FoldersView:
    """Folders of `spsam predict`, shown as layers of the same scans.

    Attributes:
        folders: Name on the page -> folder.
        scans: The images.
        references: Scan's name -> reference label map, if there are any.
    """

    folders: Mapping[str, Path]
    scans: Sequence[Case]
    references: Mapping[str, Path]

    @property
    def known(self) -> list[str]:
        """The cases that can be shown: scans with a prediction in every folder."""
        there = [set(_record(folder)["volumes"]) for folder in self.folders.values()]
        return sorted(case.id for case in self.scans if all(case.id in some for some in there))

    def default(self) -> list[str]:
        """Returns the first three cases."""
        found = self.known[:_DEFAULT]
        if not found:
            named = ", ".join(map(str, self.folders.values()))
            raise InputError(f"none of the scans in --images is segmented in {named}")
        return found

    def views(self, names: Sequence[str], watch: ProgressListener) -> Iterator[ViewedCase]:
        """Yields each case with its label maps, and its prompts if `spsam predict` wrote them.

        Raises:
            InputError: If a file cannot be read, or a scan is not the one that was segmented.
        """
        scans = {case.id: case for case in self.scans}
        classes = _classes(self.folders)
        ignore_id = _record(next(iter(self.folders.values())))["ignore"]
        for number, name in enumerate(names):
            watch.stage("reading", number, len(names))
            case = scans[name]
            self._refuse_other(case)
            volume = case.load()
            layers: dict[str, NDArray[np.integer]] = {}
            if name in self.references:
                layers[REFERENCE] = without_ignored(
                    read_labels(self.references[name], list(classes), ignore_id)
                )
            prompts: dict[str, Sequence[Mapping[str, Any]]] = {}
            for label, folder in self.folders.items():
                layers[label] = read_labels(folder / f"{name}.nii.gz", list(classes))
                prompts[label] = _prompts(folder / f"{name}_prompts.jsonl")
            for label, labels in layers.items():
                if labels.shape != volume.image.shape[1:]:
                    raise InputError(f"{label} of {name} does not have the scan's size")
            yield ViewedCase(
                name=name,
                facts="",
                image=volume.image[0].astype(np.float32, copy=False),
                geometry=volume.geometry,
                class_names=list(classes.values()),
                layers=layers,
                prompts={label: lines for label, lines in prompts.items() if lines},
                shown=(REFERENCE, list(self.folders)[-1]),
            )
        watch.stage("reading", len(names), len(names))

    def _refuse_other(self, case: Case) -> None:
        problems = [
            Problem("is not the scan that was segmented under this name", file)
            for folder in self.folders.values()
            for file in case.files[:1]
            if _record(folder)["volumes"][case.id]["input"] != volume_hash(case)
        ]
        if problems:
            raise InputError(problems[:1])


def is_predicted(folder: Path) -> bool:
    """Whether a folder was written by `spsam predict`."""
    return (folder / RECORD).is_file()


def open_references(folder: Path | None) -> dict[str, Path]:
    """Returns the label maps by the names of their scans."""
    return {} if folder is None else label_maps(folder)


def _record(folder: Path) -> dict[str, Any]:
    file = folder / RECORD
    try:
        said = parse_json(file.read_text(encoding="utf-8"))
        ignore = said.get("ignore")
        return {
            "volumes": dict(said["volumes"]),
            "classes": dict(said["classes"]),
            "ignore": None if ignore is None else int(ignore),
        }
    except (ValueError, KeyError, TypeError) as error:
        message = "is not a valid record of spsam predict"
        raise InputError(Problem(message, file)) from error


def _classes(folders: Mapping[str, Path]) -> dict[int, str]:
    """Returns the classes' names by id, background first; all folders must have the same."""
    found = [_record(folder)["classes"] for folder in folders.values()]
    if any(list(each.items()) != list(found[0].items()) for each in found):
        raise InputError("the folders have different classes: view them separately")
    return {int(raw_id): str(name) for raw_id, name in found[0].items()}


def _prompts(file: Path) -> list[Mapping[str, Any]]:
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]
