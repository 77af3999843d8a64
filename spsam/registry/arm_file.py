"""An arm's file with those of its bases: found by name or path, each read once."""

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
    """An arm as its files have it, not merged yet.

    Attributes:
        files: The root's first, the arm's own last.
    """

    files: tuple[YamlFile, ...]

    @property
    def path(self) -> Path:
        """The arm's own file."""
        return self.files[-1].path

    @property
    def root(self) -> ArmFile:
        """The arm that the line of bases begins with."""
        return ArmFile(self.files[:1])

    def base(self, among: Collection[Path] = ()) -> ArmFile | None:
        """The arm that this one is a change of; None for a root.

        Args:
            among: Resolved files of the arms that it stands beside. Of its bases it is the nearest
                of these, and the nearest of all if none is.
        """
        lengths = range(len(self.files) - 1, 0, -1)
        near = (end for end in lengths if self.files[end - 1].path.resolve() in among)
        end = next(near, len(self.files) - 1)
        return ArmFile(self.files[:end]) if end else None


def read_arm_file(path: Path) -> ArmFile:
    """Reads an arm's file and its bases'.

    Args:
        path: Of `registry.files.arm_file`, which finds it by its name.

    Raises:
        InputError: If a file is missing or no YAML, or bases go in a circle.
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
            raise InputError(Problem(f"base: goes in a circle: {circle}", child.path, line))
        seen.add(parent.resolve())
        files.insert(0, read_yaml(parent))
    return ArmFile(tuple(files))


def _base_path(child: YamlFile) -> Path:
    place = (child.path, child.line(("base",)))
    base = child.data["base"]
    if not isinstance(base, str):
        raise InputError(Problem(f"base: expected one arm's name or path, got {base!r}", *place))
    if base.endswith((".yaml", ".yml")) or "/" in base:
        path = child.path.parent / base
        if not path.is_file():
            raise InputError(Problem(f"base: there is no file {path}", *place))
        return path
    # Beside a study's file its neighbours are meant; in a layer the last layer wins by name.
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
