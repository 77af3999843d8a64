"""Files that make up one image: headers may refer to other files, and DICOM series are folders."""

from __future__ import annotations

import re
from pathlib import Path

from spsam.data.files.dicom import series_files

# Longest text header that is searched; voxels may follow it.
_HEADER = 64 * 1024
_PAIRED = {".hdr": (".img", ".img.gz"), ".img": (".hdr", ".hdr.gz")}
_META = re.compile(rb"^\s*ElementDataFile\s*=[ \t]*(.*?)\s*$", re.MULTILINE)
_NRRD = re.compile(rb"^data ?file:[ \t]*(.*?)\s*$", re.MULTILINE | re.IGNORECASE)
_INSIDE = ("", "LOCAL", "local")


def parts(path: Path) -> tuple[Path, ...]:
    """Return every file whose content an image depends on, the given one first.

    These are the voxel files that a MetaImage or NRRD header refers to, both files of a NIfTI or
    Analyze pair, or the files of a folder's DICOM series.

    Args:
        path: An image file, or the folder of a DICOM series; it may be missing.
    """
    if path.is_dir():
        return series_files(path) or (path,)
    name = path.name.lower()
    try:
        if name.endswith((".mha", ".mhd")):
            return (path, *_named(path, _META, _head(path)))
        if name.endswith((".nrrd", ".nhdr")):
            # The header ends at an empty line.
            header = re.split(rb"\r?\n\r?\n", _head(path), maxsplit=1)[0]
            return (path, *_named(path, _NRRD, header))
    except OSError:
        # The problem is reported when the file is read.
        return (path,)
    return (path, *_other_half(path))


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_HEADER)


def _named(path: Path, pattern: re.Pattern[bytes], header: bytes) -> list[Path]:
    """Return the files that a header's entry refers to: one, a list, or a numbered pattern."""
    match = pattern.search(header)
    value = "" if match is None else match[1].decode(errors="replace")
    if match is None or value in _INSIDE:
        return []
    names = [value]
    if re.match(r"LIST\b", value):
        names = header[match.end() :].decode(errors="replace").split("\n")
    elif "%" in value:
        names = _numbered(value)
    # Binary data after the header may look like names with a zero byte; these are skipped.
    return [path.parent / name.strip() for name in names if name.strip() and "\0" not in name]


def _numbered(value: str) -> list[str]:
    """Expand a pattern such as `slice%03d.raw 1 10 1`: first, last (included) and step."""
    pattern, *rest = value.split()
    try:
        numbers = [int(each) for each in rest]
        first, last, step = (*numbers, 1)[:3] if len(numbers) > 1 else (0, -1, 1)
        last += 1 if step > 0 else -1
        return [pattern % number for number in range(first, last, step)]
    except (ValueError, TypeError):
        return []


def _other_half(path: Path) -> list[Path]:
    stem = re.sub(r"\.gz$", "", path.name, flags=re.IGNORECASE)
    wanted = _PAIRED.get(Path(stem).suffix.lower(), ())
    names = {(stem[:-4] + ending).lower() for ending in wanted}
    if not names or not path.parent.is_dir():
        return []
    return sorted(each for each in path.parent.iterdir() if each.name.lower() in names)
