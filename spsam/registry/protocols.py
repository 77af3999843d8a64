"""A preset, and what it sets for one data set: its protocol, in the folder that has its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spsam.config.places import layers
from spsam.config.problems import raise_all
from spsam.config.yaml_file import YamlFile, read_yaml
from spsam.errors import InputError, Problem, nearest
from spsam.registry.files import preset_path

OTHER = "other"
"""The protocol of every data set that has none of its own."""


@dataclass(frozen=True)
class Protocol:
    """What a preset sets for a data set. The file is a diff over the preset, with two keys more.

    Attributes:
        name: The file's name without .yaml: a data set's, or `other`.
        file: The file, read.
        summary: What it is, in words.
        split: The split that is taken where none is asked for; None leaves it to the data set.
    """

    name: str
    file: YamlFile
    summary: str
    split: str | None

    @property
    def path(self) -> Path:
        """The file's."""
        return self.file.path

    def describe(self) -> dict[str, Any]:
        """As plain values."""
        return {"name": self.name, "summary": self.summary, "split": self.split}


def read_preset(name_or_path: str | Path) -> YamlFile:
    """A preset, by its name or path.

    Raises:
        InputError: If there is none, or its file is no YAML.
    """
    return read_yaml(preset_path(str(name_or_path)))


def find_protocol(preset: Path, names: Sequence[str]) -> Protocol | None:
    """The protocol of a preset for a data set.

    Args:
        preset: The preset's file `p.yaml`. Its protocols are the files of the folder `p` beside
            it. For a shipped preset, files of ./ablations/presets/p come first.
        names: What the data set is called; the first name that has a file is taken.

    Returns:
        None where the preset has no protocols.

    Raises:
        InputError: If the protocol's own keys are wrong.
    """
    known = _protocols(preset)
    for name in (*names, OTHER):
        if name in known:
            return _read(known[name])
    return None


def named_protocol(preset: Path, name: str) -> Protocol:
    """A protocol of a preset by its name.

    Raises:
        InputError: If the preset has no such protocol.
    """
    known = _protocols(preset)
    if name not in known:
        has = f"; it has {', '.join(sorted(known))}" if known else "; it has none"
        raise InputError(
            f"preset '{preset.stem}' has no protocol '{name}'{nearest(name, known)}{has}"
        )
    return _read(known[name])


def _protocols(preset: Path) -> dict[str, Path]:
    """By name; a preset that replaces a shipped one does not inherit its protocols."""
    folders = [layer / "presets" for layer in layers("ablations")]
    here = preset.parent.resolve()
    first = next((at for at, folder in enumerate(folders) if folder.resolve() == here), None)
    beside = [preset.parent] if first is None else folders[first:]
    return {path.stem: path for folder in beside for path in (folder / preset.stem).glob("*.yaml")}


def _read(path: Path) -> Protocol:
    file = read_yaml(path)
    problems = [
        Problem(f"{key}: expected text, got {file.data[key]!r}", path, file.line((key,)))
        for key in ("summary", "split")
        if not isinstance(file.data.get(key, ""), str)
    ]
    raise_all(problems)
    return Protocol(path.stem, file, file.data.get("summary", ""), file.data.get("split"))
