"""Locations of components' code, found without importing it."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from spsam.errors import InputError, Problem

GROUP = "spsam.components"

_ROOT = Path(__file__).resolve().parents[2]


@lru_cache(maxsize=1)
def installed_plugins() -> dict[str, Path]:
    """Packages of installed distributions with an entry point in `spsam.components`.

    The entry point specifies the package: `[project.entry-points."spsam.components"]`,
    `mine = "my_package"`. Its cards are in my_package/registry/<slot>/<name>.yaml.

    Returns:
        Top-level package -> its folder.
    """
    found = {}
    for entry in entry_points(group=GROUP):
        package = entry.value.partition(":")[0].partition(".")[0].strip()
        spec = find_spec(package)  # of a top-level name: executes no code of the package
        if spec is not None and spec.submodule_search_locations:
            found[package] = Path(next(iter(spec.submodule_search_locations)))
    return found


def root_of(target: str, plugin: Path | None, card: Path) -> Path:
    """The folder that contains the target's top-level package.

    Args:
        target: `package.module:Class`.
        plugin: The folder passed by --plugin that contains the card, if any.
        card: The card's file, for errors.

    Raises:
        InputError: If the target is neither in spsam, nor in an installed plugin, nor in a folder
            passed by the user: a YAML file alone never executes code.
    """
    module = target.partition(":")[0]
    top = module.partition(".")[0]
    if top == "spsam":
        return _ROOT
    if plugin is not None and module_file(module, plugin) is not None:
        return plugin
    if top in installed_plugins():
        return installed_plugins()[top].parent
    where = f"in {plugin}, " if plugin is not None else ""
    raise InputError(
        Problem(
            f"target: '{target}' is not in spsam, {where}nor in an installed package with an entry "
            f"point in '{GROUP}'; pass its folder with --plugin",
            card,
        )
    )


def module_file(module: str, root: Path) -> Path | None:
    """The file of a module in a folder; None if it does not exist."""
    path = root.joinpath(*module.split("."))
    for file in (path.with_name(path.name + ".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def spsam_root() -> Path:
    """The folder that contains the package spsam."""
    return _ROOT
