"""Decoding of the stored pixel values of a DICOM file."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK

from spsam.data.files.reading import check_memory
from spsam.errors import InputError, Problem

# SimpleITK has no type annotations.
sitk: Any = SimpleITK

# Attributes that another decoder requires; none that would make it scale or turn the pixels.
_PIXELS = (
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("SamplesPerPixel", "NumberOfFrames", "SOPInstanceUID", "PixelData"),
)
_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")


def stored(file: Path) -> npt.NDArray[np.generic]:
    """Decode the stored values of every frame, `(n, H, W)`, without slope and intercept.

    MONOCHROME1 (inverted display) is ignored, because it only affects screens.

    Raises:
        InputError: If the file has no pixels, colours or single bits, if its header contradicts
            itself, or if no installed decoder supports its compression.
    """
    import pydicom

    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        # pydicom's warnings concern other readers; the relevant values are checked here.
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(file, force=True)
        _check(file, dataset)
        pixels = _decoded(file, dataset)
    count = int(dataset.get("NumberOfFrames") or 1)
    whole = np.reshape(pixels, (-1, *pixels.shape[-2:]))
    if whole.shape != (count, int(dataset.Rows), int(dataset.Columns)):
        message = (
            f"expected {count} frames of {dataset.Rows} × {dataset.Columns}, got {whole.shape}"
        )
        raise InputError(Problem(message, file))
    return whole


def _check(file: Path, dataset: Any) -> None:
    if not {"PixelData", "FloatPixelData", "DoubleFloatPixelData"} & {
        element.keyword for element in dataset if element.keyword.endswith("PixelData")
    }:
        raise InputError(Problem("the DICOM file contains no pixels", file))
    colours = str(dataset.get("PhotometricInterpretation", ""))
    if int(dataset.get("SamplesPerPixel", 1)) != 1 or colours not in _MONOCHROME:
        message = f"its pixels are colours ({colours}): expected one number each; convert it"
        raise InputError(Problem(message, file))
    if int(dataset.BitsAllocated) < 8:
        message = "its pixels are single bits, as in a DICOM-SEG: expected numbers; convert it"
        raise InputError(Problem(message, file))
    _check_bits(file, dataset)
    count = int(dataset.get("NumberOfFrames") or 1)
    size = count * int(dataset.Rows) * int(dataset.Columns) * int(dataset.BitsAllocated) // 8
    check_memory(size, file)


def _decoded(file: Path, dataset: Any) -> npt.NDArray[Any]:
    from pydicom import pixels

    # The function is documented, but not in the module's type annotations.
    decoders: Any = pixels
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise InputError(Problem("its header does not specify the TransferSyntax", file))
    if not syntax.is_encapsulated:
        return np.asarray(dataset.pixel_array)
    try:
        decoder = decoders.get_decoder(syntax)
    except NotImplementedError:
        decoder = None
    if decoder is not None and decoder.is_available:
        return np.asarray(dataset.pixel_array)
    return _unpacked_by_gdcm(file, dataset)


def _unpacked_by_gdcm(file: Path, dataset: Any) -> npt.NDArray[Any]:
    """Decode pixels with SimpleITK if pydicom has no decoder for them.

    SimpleITK receives the pixels alone, as a secondary capture. From the original file it would
    scale all frames like the first one.
    """
    import pydicom
    from pydicom.dataset import FileMetaDataset

    plain: Any = pydicom.Dataset()
    for name in _PIXELS:
        if name in dataset:
            setattr(plain, name, dataset[name].value)
    plain.SOPClassUID, plain.Modality = _CAPTURE, "OT"
    plain.PhotometricInterpretation = "MONOCHROME2"
    plain["PixelData"].VR = dataset["PixelData"].VR
    plain["PixelData"].is_undefined_length = True
    meta: Any = FileMetaDataset()
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    meta.MediaStorageSOPClassUID = _CAPTURE
    meta.MediaStorageSOPInstanceUID = str(dataset.get("SOPInstanceUID", "1.2"))
    plain.file_meta = meta
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "pixels.dcm"
        plain.save_as(copy, enforce_file_format=True)
        try:
            image = sitk.ReadImage(str(copy))
        except RuntimeError as error:
            name = dataset.file_meta.TransferSyntaxUID.name
            message = f"its pixels are compressed as {name}, and are damaged or of a kind that "
            raise InputError(Problem(f"{message}is not supported: convert it", file)) from error
    return np.asarray(sitk.GetArrayFromImage(image))


def _check_bits(file: Path, dataset: Any) -> None:
    """Check that the header's bits are the lowest ones; other bits may hold unrelated data."""
    bits, whole = int(dataset.get("BitsStored", 0)), int(dataset.BitsAllocated)
    top = int(dataset.get("HighBit", bits - 1))
    if "PixelData" in dataset and (not 1 <= bits <= whole or top != bits - 1):
        message = (
            f"its header claims {bits} of {whole} bits with high bit {top}: expected the lowest"
        )
        raise InputError(Problem(f"{message} bits; convert it", file))
