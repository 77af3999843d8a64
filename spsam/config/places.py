"""Locations of the shipped YAML files, of a user's own files, and of results."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from spsam.errors import InputError, Problem

Kind = Literal["registry", "ablations", "reports"]

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped(kind: Kind) -> Path:
    """The folder of shipped files, in a checkout, an editable install or a wheel.

    Args:
        kind: One of the three data folders.

    Raises:
        InputError: If the installation lacks the folder.
    """
    # A wheel contains them inside the package. This place is checked first, since a folder next to
    # an installed package is in site-packages and may belong to another package.
    packed = _PACKAGE / "_share" / kind
    if packed.is_dir():
        return packed
    beside = _PACKAGE.parent / kind
    if beside.is_dir():
        return beside
    raise InputError(
        f"this installation of spsam lacks the folder '{kind}' (neither {packed} nor {beside} "
        "exists); reinstall spsam"
    )


def tested_versions() -> Path | None:
    """The list of package versions that were tested; None if it is not found."""
    places = (_PACKAGE / "_share" / "constraints.txt", _PACKAGE.parent / "constraints.txt")
    return next((file for file in places if file.is_file()), None)


def layers(kind: Kind) -> list[Path]:
    """The shipped folder, then that of the current folder, whose files take precedence by name."""
    first = shipped(kind)
    own = Path.cwd() / kind
    return [first, own] if own.is_dir() and not own.samefile(first) else [first]


def home(out: Path | None = None) -> Path:
    """The folder of results: `out` if given, else $SPSAM_HOME, else ./spsam-runs.

    Raises:
        InputError: If the path is a file.
    """
    if out is not None:
        return folder_to_be(out)
    named = os.environ.get("SPSAM_HOME")
    return folder_to_be(Path(named) if named else Path("spsam-runs"))


def folder_to_be(path: Path) -> Path:
    """Checks that a path is a folder, or can become one.

    Returns:
        The path.

    Raises:
        InputError: If the path is a file, or is below a file.
    """
    for place in (path, *path.parents):
        if place.is_dir():
            break
        if place.exists():
            raise InputError(Problem("expected a folder for results, got a file", place))
    return path
