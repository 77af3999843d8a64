"""Reads NiiVue, which displays volumes in browsers, from the package `ipyniivue`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

from spsam.errors import InputError, Problem
from spsam.extras import require

_PACKAGE = "ipyniivue"
# The script exports only a notebook widget. The name of the class behind it is minified: it is the
# class that is instantiated after this message.
_CLASS = re.compile(
    r'"Creating new Niivue instance"\).{0,200}?=new ([A-Za-z_$][\w$]*)\(', re.DOTALL
)


@dataclass(frozen=True)
class Library:
    """NiiVue's code.

    Attributes:
        script: A JavaScript module that exports the class `Niivue`.
        version: Version of the package that contains it.
        licence: Text of the licence, which must accompany the code.
    """

    script: str
    version: str
    licence: str


def read_library() -> Library:
    """Reads NiiVue without importing the package, which would require notebook libraries.

    Raises:
        InputError: If the package is not installed, or its build is not supported.
    """
    require("view", "spsam view")
    spec = find_spec(_PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    file = Path(spec.origin).parent / "static" / "widget.js"
    found = None
    if file.is_file():
        script = file.read_text(encoding="utf-8")
        found = _CLASS.search(script)
    if found is None:
        message = "is not a supported build of NiiVue: install it with pip install 'spsam[view]'"
        raise InputError(Problem(message, file))
    package = distribution(_PACKAGE)
    licence = package.read_text("licenses/LICENSE") or package.read_text("LICENSE") or ""
    return Library(f"{script}\nexport {{ {found[1]} as Niivue }};\n", package.version, licence)
