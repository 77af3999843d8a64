"""A label map of a DICOM series as DICOM-SEG, which viewers lay over the series; by highdicom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spsam.data.files.dicom import ordered_files
from spsam.errors import InputError, Problem
from spsam.extras import missing
from spsam.files import atomic
from spsam.text.classes import class_labels
from spsam.text.colours import rgb

# The standard wants them, empty where nothing is known; anonymised series often lack them.
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "ReferringPhysicianName"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
)


def segmentation_problems(folder: Path) -> list[Problem]:
    """Why no DICOM-SEG can be made of label maps of a volume; reads one header."""
    if absent := missing("dicom", "DICOM-SEG"):
        return [Problem(absent)]
    if not folder.is_dir():
        return [Problem("expected a DICOM series, a DICOM-SEG refers to one", folder)]
    import pydicom

    header = pydicom.dcmread(ordered_files(folder)[0], stop_before_pixels=True)
    if "FrameOfReferenceUID" not in header:
        message = "the series has no FrameOfReferenceUID, by which a DICOM-SEG lies on it"
        return [Problem(message, folder)]
    return []


def write_segmentation(
    path: Path,
    labels: npt.NDArray[np.integer],
    folder: Path,
    names: Sequence[str],
    slice_spacing: float,
) -> None:
    """Writes class indices as binary segments; the file is there completely or not at all.

    Args:
        path: The file, `.dcm`.
        labels: `(D, H, W)` class indices, slices as `read_series` orders them.
        folder: The series.
        names: Of all classes, background first; class k becomes segment k.
        slice_spacing: Distance of two slices, mm; taken for their thickness where none is said.

    Raises:
        InputError: With `segmentation_problems`, or if the headers lack something else.
    """
    problems = segmentation_problems(folder)
    if problems:
        raise InputError(problems)
    import highdicom
    import pydicom

    import spsam

    series = [pydicom.dcmread(file, stop_before_pixels=True) for file in ordered_files(folder)]
    for header in series:
        for name in _MAY_BE_EMPTY:
            header.setdefault(name, "")
        header.setdefault("SliceThickness", slice_spacing)
    try:
        result = highdicom.seg.Segmentation(
            source_images=series,
            pixel_array=labels.astype(np.uint8 if len(names) <= 256 else np.uint16),
            segmentation_type="BINARY",
            segment_descriptions=[
                _description(k, name) for k, name in enumerate(class_labels(names)) if k
            ],
            series_instance_uid=highdicom.UID(),
            series_number=1000,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="spsam",
            manufacturer_model_name="Self-Prompt SAM",
            software_versions=spsam.__version__,
            device_serial_number="0",
            # Without a voxel there is no frame to leave out the others for.
            omit_empty_frames=bool(labels.any()),
        )
    except (AttributeError, ValueError, TypeError) as error:
        message = f"no DICOM-SEG can be made of the series ({error}); leave out --dicom-seg"
        raise InputError(Problem(message, folder)) from error
    with atomic(path) as draft:
        result.save_as(draft)


def _description(number: int, name: str) -> Any:
    import highdicom
    from highdicom.sr.coding import CodedConcept
    from pydicom.sr.codedict import codes

    import spsam

    # A backslash divides values in DICOM.
    label = name.replace("\\", "/")[:64]
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.SCT.AnatomicalStructure,
        # A data set's classes have names, no code of a terminology.
        segmented_property_type=CodedConcept(str(number), "99SPSAM", label),
        algorithm_type="AUTOMATIC",
        display_color=highdicom.color.CIELabColor.from_rgb(*rgb(number)),
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="Self-Prompt SAM",
            family=codes.DCM.ArtificialIntelligence,
            version=spsam.__version__,
        ),
    )
