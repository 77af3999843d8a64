"""Search for new scans without references, for prediction: image files and DICOM series."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from spsam.data.cases import Case
from spsam.data.files.dicom import series_in
from spsam.data.files.image import read_geometry
from spsam.data.files.parts import parts
from spsam.data.sources.beside import ENDINGS, entries, is_file, stem
from spsam.data.volume import read_volume
from spsam.errors import InputError, Problem

__all__ = ["ENDINGS", "LAYOUT", "left_out", "open_volumes", "stem"]

LAYOUT = (
    "an image (.nii, .nii.gz, .nrrd, .mha), a folder of images, a folder of one DICOM series, "
    "or a folder of such folders"
)

_CHANNEL = re.compile(r"(.+)_(\d{4})")


def open_volumes(path: Path) -> list[Case]:
    """Return the volumes in a path, sorted by id; only DICOM headers are read.

    The id of a case is its file's name without the suffix, or its DICOM folder's name. Files
    `NAME_0000…`, `NAME_0001…` in one folder are the channels of one case `NAME`.

    Args:
        path: An image file, the folder of one DICOM series, or a folder that contains both at any
            depth. Hidden and system files are skipped.

    Returns:
        Cases whose `load()` returns a volume with label None.

    Raises:
        InputError: If no volume is found; with every folder of several DICOM series, every missing
            channel and every id of two volumes.
    """
    if path.is_file():
        name = stem(path)
        if name is None:
            raise InputError(Problem(f"expected {LAYOUT}", path))
        return [_case(_CHANNEL.sub(r"\1", name) if name.endswith("_0000") else name, [path])]
    if not path.is_dir():
        raise InputError(Problem("there is no such file or folder", path))
    found = [each for folder in _folders(path) for each in _volumes(folder)]
    if not found:
        raise InputError(Problem(f"there is no volume in the folder; expected {LAYOUT}", path))
    problems: list[Problem] = []
    for name, files in found:
        if files[0].is_dir() and len(series_in(files[0])) > 1:
            try:
                read_geometry(files[0])
            except InputError as error:
                problems += error.problems
        problems += _channel_problems(name, files)
    for name in sorted({name for name, _ in found}):
        same = [files[0] for other, files in found if other == name]
        if len(same) > 1:
            where = " and ".join(str(each.relative_to(path)) for each in same[:3])
            message = f"two volumes are named '{name}', but results need unique names: rename"
            problems.append(Problem(f"{message} or remove one of {where}", path))
    if problems:
        raise InputError(problems)
    return [_case(name, files) for name, files in sorted(found)]


def left_out(path: Path) -> list[Path]:
    """Return the files in a folder that `open_volumes` does not read, without system files."""
    if not path.is_dir():
        return []
    found = [files for folder in _folders(path) for _, files in _volumes(folder)]
    read = {part for files in found for file in files for part in parts(file)}
    return [
        each
        for folder in _folders(path)
        for each in entries(folder)
        if is_file(each) and each not in read
    ]


def _folders(folder: Path, seen: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Yield a folder and all its subfolders without system files; cyclic links are skipped."""
    real = folder.resolve()
    if real in seen:
        return
    yield folder
    for each in entries(folder):
        if each.is_dir():
            yield from _folders(each, seen | {real})


def _volumes(folder: Path) -> list[tuple[str, list[Path]]]:
    """Return each volume's name and its files, one per channel; a DICOM series is its folder."""
    files = [each for each in entries(folder) if is_file(each)]
    images = {file: name for file in files if (name := stem(file)) is not None}
    single: list[tuple[str, list[Path]]] = []
    channels: dict[str, list[Path]] = {}
    for file, name in images.items():
        match = _CHANNEL.fullmatch(name)
        # Channels count from zero; otherwise the number is part of the scan's name.
        if match and f"{match[1]}_0000" in images.values():
            channels.setdefault(match[1], []).append(file)
        else:
            single.append((name, [file]))
    if len(files) > len(images) and series_in(folder):
        single.append((folder.resolve().name, [folder]))
    return [*single, *channels.items()]


def _channel_problems(name: str, files: list[Path]) -> list[Problem]:
    if len(files) == 1:
        return []
    numbers = [int((stem(file) or "")[-4:]) for file in files]
    if numbers == list(range(len(files))):
        return []
    shown = ", ".join(f"{number:04d}" for number in numbers)
    return [Problem(f"expected channels 0000, 0001, … of {name}, got {shown}", files[0])]


def _case(name: str, files: list[Path]) -> Case:
    return Case(
        id=name,
        patient=name,
        load=partial(
            read_volume, files[0] if len(files) == 1 else tuple(files), None, {}, as_stored=True
        ),
        geometry=partial(read_geometry, files[0]),
        files=tuple(files),
    )
