"""Other files in data folders: system files, duplicates and files that belong to no case."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from spsam.data.files.parts import parts
from spsam.errors import Problem

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")

# Files and folders that systems create; macOS adds a `._NAME` for every file of an archive.
_LITTER = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir"),
    *("$recycle.bin", "system volume information", "lost+found"),
}
_SHOWN = 5


def is_litter(path: Path) -> bool:
    """Check whether a file or folder is hidden, or created by systems and editors."""
    name = path.name
    return name.startswith(".") or name.endswith("~") or name.lower() in _LITTER


def entries(folder: Path) -> list[Path]:
    """Return the sorted files and folders in a folder, without system files."""
    return sorted(each for each in folder.iterdir() if not is_litter(each))


def is_file(path: Path) -> bool:
    """Check whether an entry is a file, or a broken link, which is reported later."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def stem(path: Path) -> str | None:
    """Return a file's name without its image suffix; None for another kind of file."""
    for ending in ENDINGS:
        if path.name.lower().endswith(ending) and not is_litter(path):
            return path.name[: -len(ending)]
    return None


def second(path: Path, first: Path) -> Problem:
    """Return the problem of two files for the same part of a case."""
    return Problem(f"is a duplicate of {first.name}: remove one of them", path)


def unread_notes(known: Iterable[Path], endings: tuple[str, ...] = ENDINGS) -> list[str]:
    """Return a note about image files that do not belong to the data set, if there are any.

    Args:
        known: The files that are read, or that another message reports.
        endings: Suffixes of the files that are searched for, in the folders of the known files.
    """
    files = {part for file in known for part in parts(file)}
    found = [
        each
        for folder in sorted({file.parent for file in files})
        for each in (entries(folder) if folder.is_dir() else [])
        if each not in files and is_file(each) and each.name.lower().endswith(endings)
    ]
    if not found:
        return []
    return [f"{len(found)} files do not belong to the data set and are excluded: {shown(found)}"]


def shown(files: list[Path]) -> str:
    """Format the first file names of a long list."""
    names = ", ".join(f"{file.parent.name}/{file.name}" for file in files[:_SHOWN])
    return names + (", …" if len(files) > _SHOWN else "")
