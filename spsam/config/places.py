"""Where the shipped YAML files, a user's own ones and the results lie."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from spsam.errors import InputError, Problem

Kind = Literal["registry", "ablations", "reports"]

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped(kind: Kind) -> Path:
    """The folder of shipped files, found alike in a checkout, an editable install and a wheel.

    Args:
        kind: Which of the three data folders.

    Raises:
        InputError: If the installation lacks the folder.
    """
    # A wheel has them inside the package; looked at first, since beside an installed package lies
    # site-packages, where a folder "registry" could be anybody's.
    packed = _PACKAGE / "_share" / kind
    if packed.is_dir():
        return packed
    beside = _PACKAGE.parent / kind
    if beside.is_dir():
        return beside
    raise InputError(
        f"this installation of spsam lacks its folder '{kind}' (looked at {packed} and {beside}); "
        "install it again"
    )


def tested_versions() -> Path | None:
    """The list of packages in the versions that the tests ran with; None if it is not there."""
    places = (_PACKAGE / "_share" / "constraints.txt", _PACKAGE.parent / "constraints.txt")
    return next((file for file in places if file.is_file()), None)


def layers(kind: Kind) -> list[Path]:
    """The shipped folder, then the current folder's own one; the later wins by name."""
    first = shipped(kind)
    own = Path.cwd() / kind
    return [first, own] if own.is_dir() and not own.samefile(first) else [first]


def home(out: Path | None = None) -> Path:
    """Where results go: `out` if given, else the environment's SPSAM_HOME, else ./spsam-runs.

    Raises:
        InputError: If there is a file in its place.
    """
    if out is not None:
        return folder_to_be(out)
    named = os.environ.get("SPSAM_HOME")
    return folder_to_be(Path(named) if named else Path("spsam-runs"))


def folder_to_be(path: Path) -> Path:
    """The path itself, of a folder that is there or can be made.

    Raises:
        InputError: If it is a file, or lies below one.
    """
    for place in (path, *path.parents):
        if place.is_dir():
            break
        if place.exists():
            raise InputError(Problem("expected a folder for results, this is a file", place))
    return path
