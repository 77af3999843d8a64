"""New scans without a reference, for prediction: image files and DICOM series."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from spsam.data.cases import Case
from spsam.data.files.dicom import series_in
from spsam.data.files.image import read_geometry
from spsam.data.volume import read_volume
from spsam.errors import InputError, Problem

LAYOUT = (
    "an image (.nii, .nii.gz, .nrrd, .mha), a folder of images, a folder of one DICOM series, "
    "or a folder of such folders"
)
ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")

_CHANNEL = re.compile(r"(.+)_(\d{4})")


def open_volumes(path: Path) -> list[Case]:
    """The volumes below a path, sorted by id; nothing is read but DICOM headers.

    A case's id is its file's name without the ending, or its DICOM folder's name. Files
    `NAME_0000…`, `NAME_0001…` of one folder are the channels of one case `NAME`.

    Args:
        path: An image file, a folder of image files, a folder of one DICOM series, or a folder
            whose folders hold one series each.

    Returns:
        Cases whose `load()` gives a volume with label None.

    Raises:
        InputError: If there is nothing, several DICOM series lie in one folder, a channel is
            missing or two volumes would have one id; all of it.
    """
    if path.is_file():
        name = stem(path)
        if name is None:
            raise InputError(Problem(f"expected {LAYOUT}", path))
        return [_case(_CHANNEL.sub(r"\1", name) if name.endswith("_0000") else name, [path])]
    if not path.is_dir():
        raise InputError(Problem("there is no such file or folder", path))
    found = list(_images(path))
    if not found:
        folders = [path, *sorted(each for each in path.iterdir() if each.is_dir())]
        found = [(each.resolve().name, [each]) for each in folders if series_in(each)]
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
    names = [name for name, _ in found]
    problems += [
        Problem(f"two volumes are called '{name}'; rename one, for the results' names", path)
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    if problems:
        raise InputError(problems)
    return [_case(name, files) for name, files in sorted(found)]


def stem(path: Path) -> str | None:
    """A file's name without an image's ending; None for another kind of file."""
    for ending in ENDINGS:
        if path.name.lower().endswith(ending) and not path.name.startswith("."):
            return path.name[: -len(ending)]
    return None


def _images(folder: Path) -> Iterable[tuple[str, list[Path]]]:
    """Each volume's name and its files, one a channel."""
    single: list[tuple[str, list[Path]]] = []
    channels: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        name = stem(file) if file.is_file() else None
        if name is None:
            continue
        match = _CHANNEL.fullmatch(name)
        # A number alone may be the scan's own: channels count from zero.
        if match and any((folder / f"{match[1]}_0000{end}").is_file() for end in ENDINGS):
            channels.setdefault(match[1], []).append(file)
        else:
            single.append((name, [file]))
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
        load=partial(read_volume, files[0] if len(files) == 1 else tuple(files), None, {}),
        geometry=partial(read_geometry, files[0]),
        files=tuple(files),
    )
