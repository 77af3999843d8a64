"""What lies in folders of data beside the files that are meant: litter, copies, strangers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from spsam.data.files.parts import parts
from spsam.errors import Problem

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")

# What systems put into folders; macOS puts a `._NAME` beside every file of an archive.
_LITTER = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir"),
    *("$recycle.bin", "system volume information", "lost+found"),
}
_SHOWN = 5


def is_litter(path: Path) -> bool:
    """Whether a file or folder is hidden, or one that systems and editors leave."""
    name = path.name
    return name.startswith(".") or name.endswith("~") or name.lower() in _LITTER


def entries(folder: Path) -> list[Path]:
    """Files and folders in a folder, sorted, without litter."""
    return sorted(each for each in folder.iterdir() if not is_litter(each))


def is_file(path: Path) -> bool:
    """Whether an entry is a file, or a link to one that is gone, which is to be named."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def stem(path: Path) -> str | None:
    """A file's name without an image's ending; None for another kind of file."""
    for ending in ENDINGS:
        if path.name.lower().endswith(ending) and not is_litter(path):
            return path.name[: -len(ending)]
    return None


def second(path: Path, first: Path) -> Problem:
    """What is said of two files that would be one part of one case."""
    return Problem(f"is a second file of what {first.name} is, too: take one away", path)


def unread_notes(known: Iterable[Path], endings: tuple[str, ...] = ENDINGS) -> list[str]:
    """What the user should know of files that a data set does not name.

    Args:
        known: The files that are read, or that something else was said of.
        endings: Of the files that are looked for, in the folders of the known ones.
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
    return [f"{len(found)} files are no part of the data set and are left out: {shown(found)}"]


def shown(files: list[Path]) -> str:
    """The first names of a list that may be long."""
    names = ", ".join(f"{file.parent.name}/{file.name}" for file in files[:_SHOWN])
    return names + (", …" if len(files) > _SHOWN else "")
