"""NiiVue, which shows volumes in a browser: read from the package `ipyniivue` that brings it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

from spsam.errors import InputError, Problem
from spsam.extras import require

_PACKAGE = "ipyniivue"
# Its script exports the widget of a notebook alone. The class behind it has a name that a minifier
# chose: what is made an instance of after this message.
_CLASS = re.compile(
    r'"Creating new Niivue instance"\).{0,200}?=new ([A-Za-z_$][\w$]*)\(', re.DOTALL
)


@dataclass(frozen=True)
class Library:
    """NiiVue's code.

    Attributes:
        script: A JavaScript module that exports the class `Niivue`.
        version: Of the package that brings it.
        licence: Its text, which goes wherever the code goes.
    """

    script: str
    version: str
    licence: str


def read_library() -> Library:
    """Reads NiiVue; the package is not imported, which would take a notebook's libraries.

    Raises:
        InputError: If the package is not installed, or of another build.
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
        message = "is no build of NiiVue that spsam knows: pip install 'spsam[view]' brings one"
        raise InputError(Problem(message, file))
    package = distribution(_PACKAGE)
    licence = package.read_text("licenses/LICENSE") or package.read_text("LICENSE") or ""
    return Library(f"{script}\nexport {{ {found[1]} as Niivue }};\n", package.version, licence)
