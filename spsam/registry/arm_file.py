"""An arm's file and its bases, found by name or path and read once each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from spsam.config.places import layers
from spsam.config.yaml_file import YamlFile, read_yaml
from spsam.errors import InputError, Problem
from spsam.registry.files import arm_file


@dataclass(frozen=True)
class ArmFile:
    """An arm as written in its files, before merging.

    Attributes:
        files: The root's file first, the arm's own last.
    """

    files: tuple[YamlFile, ...]

    @property
    def path(self) -> Path:
        """The arm's own file."""
        return self.files[-1].path

    @property
    def root(self) -> ArmFile:
        """The arm at the end of the chain of bases."""
        return ArmFile(self.files[:1])

    def base(self, among: Collection[Path] = ()) -> ArmFile | None:
        """The arm that this one is derived from; None for a root.

        Args:
            among: Files of the arms in the same study. The nearest base among them is returned, or
                the direct base if there is none.
        """
        lengths = range(len(self.files) - 1, 0, -1)
        near = (end for end in lengths if self.files[end - 1].path.resolve() in among)
        end = next(near, len(self.files) - 1)
        return ArmFile(self.files[:end]) if end else None


def read_arm_file(path: Path) -> ArmFile:
    """Reads an arm's file and the files of its bases.

    Args:
        path: Path of the file, as returned by `registry.files.arm_file` for a name.

    Raises:
        InputError: If a file is missing or is not valid YAML, or if the bases form a cycle.
    """
    files = [read_yaml(path)]
    seen = {files[0].path.resolve()}
    while "base" in files[0].data:
        child = files[0]
        parent = _base_path(child)
        if parent.resolve() in seen:
            names = [file.path.stem for file in reversed(files)]
            circle = " -> ".join([*names, parent.stem])
            line = child.line(("base",))
            raise InputError(Problem(f"base: bases form a cycle: {circle}", child.path, line))
        seen.add(parent.resolve())
        files.insert(0, read_yaml(parent))
    return ArmFile(tuple(files))


def _base_path(child: YamlFile) -> Path:
    place = (child.path, child.line(("base",)))
    base = child.data["base"]
    if not isinstance(base, str):
        raise InputError(Problem(f"base: expected an arm's name or path, got {base!r}", *place))
    if base.endswith((".yaml", ".yml")) or "/" in base:
        path = child.path.parent / base
        if not path.is_file():
            raise InputError(Problem(f"base: file {path} does not exist", *place))
        return path
    # Next to a study's file, neighbouring files come first; among layers, the last one does.
    sibling = child.path.parent / f"{base}.yaml"
    if sibling.is_file() and not any(
        child.path.parent.resolve() == layer.resolve() for layer in layers("ablations")
    ):
        return sibling
    try:
        return arm_file(base)
    except InputError as error:
        raise InputError(
            [Problem(f"base: {problem.message}", *place) for problem in error.problems]
        ) from error
