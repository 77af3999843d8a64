"""Files of arms, presets and studies, found by name, range or path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from spsam.config.numbers import LARGEST, MOST_LISTED, whole
from spsam.config.places import layers
from spsam.config.problems import gather, raise_all
from spsam.config.study import is_study
from spsam.errors import InputError, Problem, nearest, shortened

PROMPT_STUDY = "prompts"
"""The file in the folder of arms that is not an arm: the prompt study."""

_RANGE = re.compile(r"(?P<prefix>.*?)(?P<first>\d+)\.\.(?P<again>.*?)(?P<last>\d+)")


def arm_files(words: Sequence[str], beside: Path | None = None) -> list[Path]:
    """Finds the files of arms.

    Args:
        words: Names, ranges, paths of YAML files, and comma-separated lists of these:
            `["arm1..arm3", "arm6,base", "mine.yaml"]`. A range expands to `<prefix><number>`.
        beside: The folder that relative paths refer to, if the file exists there.

    Returns:
        The files in the order given, without repetitions.

    Raises:
        InputError: With every unknown name and missing file.
    """
    known = _named(".")
    found: dict[Path, None] = {}
    problems: list[Problem] = []
    for listed in (_path_from(beside, word) for word in words):
        for word in [listed] if Path(listed).is_file() else listed.split(","):
            with gather(problems):
                found |= dict.fromkeys(_files_of(word.strip(), known))
    if not found and not problems:
        problems.append(Problem(f"no arm given; known: {', '.join(arm_names())}"))
    raise_all(problems)
    return list(found)


def arm_file(name_or_path: str | Path, beside: Path | None = None) -> Path:
    """Finds the file of an arm by its name or path.

    Files in ./ablations take precedence over shipped ones.

    Args:
        name_or_path: Name or path of the arm.
        beside: As in `arm_files`.

    Raises:
        InputError: If there is no such arm; suggests the nearest name.
    """
    if isinstance(name_or_path, Path) or _is_path(name_or_path):
        return _existing(Path(_path_from(beside, str(name_or_path))), "arm")
    return _one_of(_named("."), name_or_path, "arm")


def arm_names() -> list[str]:
    """The names of all known arms, in natural order (2 before 10)."""
    return sorted(_named("."), key=natural)


def preset_path(name: str) -> Path:
    """Finds the file of a preset by its name or path.

    Raises:
        InputError: If there is no such preset; suggests the nearest name.
    """
    return named_file(name, "presets", "preset")


def named_file(name: str, below: str, what: str) -> Path:
    """Finds a file by its name in a subfolder of the arms' folder, or by its path.

    Args:
        name: The name or the path.
        below: The subfolder.
        what: The kind of file, for messages.

    Raises:
        InputError: If there is no such file; suggests the nearest name.
    """
    if _is_path(name):
        return _existing(Path(name), what)
    return _one_of(_named(below), name, what)


def study_path(word: str) -> Path | None:
    """Finds the file of a study by its path or name; None if there is no such study.

    A name shared by an arm and a study refers to the arm.
    """
    if _is_path(word):
        path = Path(word)
        return path if is_study(path) else None
    return None if word in _named(".") else _named("studies").get(word)


def hiding_notes(paths: Iterable[Path]) -> list[str]:
    """A note for each file in ./ablations that replaces a shipped file of the same name."""
    first, *own = layers("ablations")
    notes = []
    for path in dict.fromkeys(paths):
        for layer in own:
            if not path.resolve().is_relative_to(layer.resolve()):
                continue
            name = path.resolve().relative_to(layer.resolve())
            if (first / name).is_file():
                notes.append(f"{path} replaces the shipped {name}")
    return notes


def _files_of(word: str, known: Mapping[str, Path]) -> list[Path]:
    """The files of a name, a range or a path; empty for an empty word."""
    if not word:
        return []
    if _is_path(word):
        return [_existing(Path(word), "arm")]
    names = [word] if word in known else _range(word)
    unknown = [name for name in names if name not in known]
    raise_all(Problem(f"unknown arm '{name}'{nearest(name, known)}") for name in unknown)
    return [known[name] for name in names]


def _range(word: str) -> list[str]:
    """Expands a range to names; any other word is returned as a single name."""
    match = _RANGE.fullmatch(word)
    if match is None:
        return [word]
    prefix, first, last = match["prefix"], match["first"], match["last"]
    if match["again"] not in ("", prefix):
        raise InputError(f"'{word}': expected one prefix, e.g. {prefix}{first}..{prefix}{last}")
    start, end = whole(first), whole(last)
    if start is None or end is None or end - start >= MOST_LISTED:
        raise InputError(
            f"'{shortened(word)}': expected a range of at most {MOST_LISTED} arms, with numbers up "
            f"to {LARGEST}"
        )
    if start > end:
        raise InputError(f"'{word}': expected the smaller number first")
    width = len(first) if first.startswith("0") else 0
    return [f"{prefix}{number:0{width}d}" for number in range(start, end + 1)]


def _one_of(known: Mapping[str, Path], name: str, what: str) -> Path:
    if name not in known:
        raise InputError(f"unknown {what} '{name}'{nearest(name, known)}")
    return known[name]


def _path_from(folder: Path | None, word: str) -> str:
    """The path of the file in a folder, if a word is the name of one; else the word."""
    if folder is None or not word.endswith((".yaml", ".yml")) or not (folder / word).is_file():
        return word
    return str(folder / word)


def _is_path(word: str) -> bool:
    return word.endswith((".yaml", ".yml")) or "/" in word or "\\" in word


def _existing(path: Path, what: str) -> Path:
    if not path.is_file():
        raise InputError(f"{what} file {path} does not exist")
    return path


def _named(below: str) -> dict[str, Path]:
    folders = [layer / below for layer in layers("ablations")]
    found = {path.stem: path for folder in folders for path in folder.glob("*.yaml")}
    return {name: path for name, path in found.items() if name != PROMPT_STUDY}


def natural(name: str) -> list[tuple[int, str]]:
    """A sort key for natural order: 2 before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
