"""Presets and their protocols: the values for one data set, in a folder named after the preset."""

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
"""The protocol of data sets without a protocol of their own."""


@dataclass(frozen=True)
class Protocol:
    """The part of a preset for one data set: a diff of the preset, with two additional keys.

    Attributes:
        name: Name of the file without .yaml: that of a data set, or `other`.
        file: The parsed file.
        summary: One sentence about the protocol.
        split: The split, unless another one is requested; None: the data set's default.
    """

    name: str
    file: YamlFile
    summary: str
    split: str | None

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self.file.path

    def describe(self) -> dict[str, Any]:
        """The protocol as plain values."""
        return {"name": self.name, "summary": self.summary, "split": self.split}


def read_preset(name_or_path: str | Path) -> YamlFile:
    """Reads a preset, by its name or path.

    Raises:
        InputError: If there is no such preset, or its file is not valid YAML.
    """
    return read_yaml(preset_path(str(name_or_path)))


def find_protocol(preset: Path, names: Sequence[str]) -> Protocol | None:
    """Finds the protocol of a preset for a data set.

    Args:
        preset: The file of the preset, `p.yaml`. Its protocols are the files in the folder `p` next
            to it. For a shipped preset, files in ./ablations/presets/p take precedence.
        names: The names of the data set; the first one with a file is used.

    Returns:
        The protocol; None if the preset has no protocols.

    Raises:
        InputError: If `summary` or `split` of the protocol is invalid.
    """
    known = _protocols(preset)
    for name in (*names, OTHER):
        if name in known:
            return _read(known[name])
    return None


def named_protocol(preset: Path, name: str) -> Protocol:
    """Finds a protocol of a preset by its name.

    Raises:
        InputError: If the preset has no such protocol.
    """
    known = _protocols(preset)
    if name not in known:
        has = f"; available: {', '.join(sorted(known))}" if known else "; it has no protocols"
        raise InputError(
            f"preset '{preset.stem}' has no protocol '{name}'{nearest(name, known)}{has}"
        )
    return _read(known[name])


def _protocols(preset: Path) -> dict[str, Path]:
    """Protocols by name; a preset that replaces a shipped one does not inherit its protocols."""
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
