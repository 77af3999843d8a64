"""Reader of the Automatic Cardiac Diagnosis Challenge (ACDC) in its official layout."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from spsam.data.cases import Case, DataSet
from spsam.data.sources.beside import entries, second, unread_notes
from spsam.data.sources.known import ACDC
from spsam.data.volume import read_geometry, read_volume
from spsam.errors import InputError, Problem

LAYOUT = (
    "ACDC: [training/|testing/]patient001/patient001_frame01.nii.gz and "
    "patient001_frame01_gt.nii.gz"
)
_PARTS = ("training", "testing")
_PATIENT = re.compile(r"patient\d+")
_FRAME = re.compile(r"(patient\d+_frame\d+)(_gt)?\.nii(?:\.gz)?", re.IGNORECASE)
# The complete heart beat, which is part of the data set and has no references.
_BEAT = re.compile(r"patient\d+_4d\.nii(?:\.gz)?", re.IGNORECASE)


def recognise(folder: Path) -> bool:
    """Check for ACDC patients in the folder, or in its `training` or `testing` folder."""
    return any(_frames(patient) for patient in _patients(folder))


def read(folder: Path) -> DataSet:
    """Open the folder of patients, or its parent folder.

    Frames without a reference (`_gt`) are excluded, with a note.

    Raises:
        InputError: If a reference has no image, a patient or a file occurs twice, or no frame has a
            reference.
    """
    cases: list[Case] = []
    problems: list[Problem] = []
    unlabelled: list[str] = []
    known: list[Path] = []
    seen: dict[str, Path] = {}
    ids = ACDC.class_of()
    for patient in _patients(folder):
        if patient.name in seen:
            problems.append(Problem(f"the patient is also in {seen[patient.name]}", patient))
            continue
        seen[patient.name] = patient
        for frame, files in sorted(_frames(patient).items()):
            problems += [second(more[1], more[0]) for more in files.values() if len(more) > 1]
            known += [each for more in files.values() for each in more]
            image, label = (files.get(kind, [None])[0] for kind in ("image", "label"))
            if image is None:
                assert label is not None
                problems.append(Problem(f"the image {frame}.nii.gz is missing", label))
            elif label is None:
                unlabelled.append(frame)
            else:
                load = partial(read_volume, image, label, ids)
                geometry = partial(read_geometry, image)
                cases.append(Case(frame, patient.name, load, geometry, (image, label)))
    if not problems and not cases:
        problems.append(Problem("no frame has a reference (*_gt.nii.gz)", folder))
    if problems:
        raise InputError(problems)
    notes = []
    if unlabelled:
        shown = ", ".join(unlabelled[:5]) + (", …" if len(unlabelled) > 5 else "")
        notes.append(f"{len(unlabelled)} frames without a reference are excluded: {shown}")
    known += [each for place in _patients(folder) for each in entries(place) if _is_beat(each)]
    notes += unread_notes(known)
    return DataSet(
        name=ACDC.name,
        cases=tuple(sorted(cases, key=lambda case: case.id)),
        class_names=ACDC.classes,
        raw_ids=ACDC.raw_ids(),
        channel_names=("MR",),
        modality=ACDC.modality,
        published=ACDC.name,
        folder=folder.parent if folder.name in _PARTS else folder,
        splits=ACDC.splits,
        notes=tuple(notes),
    )


def _patients(folder: Path) -> list[Path]:
    places = [folder, *(folder / part for part in _PARTS)]
    return sorted(
        path
        for place in places
        if place.is_dir()
        for path in place.iterdir()
        if _PATIENT.fullmatch(path.name) and path.is_dir()
    )


def _is_beat(path: Path) -> bool:
    return _BEAT.fullmatch(path.name) is not None


def _frames(patient: Path) -> dict[str, dict[str, list[Path]]]:
    """Map each frame's name to the candidates for its `image` and its `label`."""
    frames: dict[str, dict[str, list[Path]]] = {}
    for path in entries(patient):
        match = _FRAME.fullmatch(path.name)
        if match:
            kind = "label" if match[2] else "image"
            frames.setdefault(match[1].lower(), {}).setdefault(kind, []).append(path)
    return frames
