"""Writing of a label map as DICOM-SEG, which viewers overlay on its series; uses highdicom."""

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

# Attributes that the standard requires but that may be empty; anonymised series often lack them.
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "ReferringPhysicianName"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
)


def segmentation_problems(folder: Path) -> list[Problem]:
    """Report why label maps of a volume cannot be written as DICOM-SEG; reads one header."""
    if absent := missing("dicom", "DICOM-SEG"):
        return [Problem(absent)]
    if not folder.is_dir():
        return [Problem("a DICOM-SEG requires a DICOM series, this is a file", folder)]
    import pydicom

    header = pydicom.dcmread(ordered_files(folder)[0], stop_before_pixels=True)
    if "FrameOfReferenceUID" not in header:
        message = "the series has no FrameOfReferenceUID, which a DICOM-SEG requires"
        return [Problem(message, folder)]
    return []


def write_segmentation(
    path: Path,
    labels: npt.NDArray[np.integer],
    folder: Path,
    names: Sequence[str],
    slice_spacing: float,
) -> None:
    """Write class indices as binary segments, atomically.

    Args:
        path: The file, `.dcm`.
        labels: `(D, H, W)` class indices; slices in the order of `read_series`.
        folder: The series.
        names: Names of all classes, background first; class k becomes segment k.
        slice_spacing: Distance of adjacent slices in mm, used as thickness if headers lack it.

    Raises:
        InputError: With the problems of `segmentation_problems`, or if headers lack an attribute.
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
            # Without any foreground, all frames are kept, because a file requires a frame.
            omit_empty_frames=bool(labels.any()),
        )
    except (AttributeError, ValueError, TypeError) as error:
        message = f"no DICOM-SEG can be written for the series ({error}); omit --dicom-seg"
        raise InputError(Problem(message, folder)) from error
    with atomic(path) as draft:
        result.save_as(draft)


def _description(number: int, name: str) -> Any:
    import highdicom
    from highdicom.sr.coding import CodedConcept
    from pydicom.sr.codedict import codes

    import spsam

    # DICOM uses the backslash to separate values.
    label = name.replace("\\", "/")[:64]
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.SCT.AnatomicalStructure,
        # The classes of a data set have names but no codes of a terminology.
        segmented_property_type=CodedConcept(str(number), "99SPSAM", label),
        algorithm_type="AUTOMATIC",
        display_color=highdicom.color.CIELabColor.from_rgb(*rgb(number)),
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="Self-Prompt SAM",
            family=codes.DCM.ArtificialIntelligence,
            version=spsam.__version__,
        ),
    )
