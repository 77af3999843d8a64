"""Generates `ablations/base.yaml` from the schema: `python -m spsam.config.base_arm`.

Title, summary and blocks are written by hand, at the top of the file. The values below the marker
are the defaults of `ArmConfig`, each with its meaning and its source.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from spsam.config.identity import NOT_IDENTITY
from spsam.config.places import shipped
from spsam.config.schema import ArmConfig, Block
from spsam.files import write_text

MARKER = "# The values from here on are written by `python -m spsam.config.base_arm`."
_LABELS = ("name", "title", "parent", "summary", "plugins", "blocks")
_WIDTH = 100
_LEGEND = """\
# Each is the schema's default; its source is [P] the paper, [A] the author's other code or nnU-Net,
# or [C] chosen here.
"""


def render(head: str) -> str:
    """The content of the file.

    Args:
        head: The current file, or its part above the marker, which is kept.
    """
    own = head.partition(MARKER)[0].rstrip("\n")
    fields = {key: f for key, f in ArmConfig.model_fields.items() if key not in _LABELS}
    values = "\n".join(line for key, field in fields.items() for line in ["", *_lines(key, field)])
    return f"{own}\n\n{MARKER}\n{_LEGEND}{values}\n"


def _lines(key: str, field: FieldInfo, around: tuple[str, ...] = ()) -> Iterator[str]:
    """The lines of a key and its comment; for a section, also those of its keys."""
    section, indent, path = field.annotation, "  " * len(around), (*around, key)
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    named = [word for word in _choices(section) if word not in str(field.description)]
    choices = f" One of {', '.join(_choices(section))}." if named else ""
    meaning = f"[{extra['source']}] {field.description}{choices}"
    if ".".join(("arm", *path)) in NOT_IDENTITY:
        meaning += " Not part of a run's identity."
    yield from textwrap.wrap(
        meaning, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
    )
    if isinstance(section, type) and issubclass(section, BaseModel) and section is not Block:
        yield f"{indent}{key}:"
        for name, inner in section.model_fields.items():
            yield from _lines(name, inner, path)
    else:
        default = field.default
        yield f"{indent}{key}: {_value(default.name if isinstance(default, Block) else default)}"


def _choices(annotation: Any) -> list[str]:
    """The possible names of a value, or of the items of a list."""
    words: list[str] = []
    waiting = [annotation]
    while waiting:
        kind = waiting.pop()
        if get_origin(kind) is Literal:
            words += map(str, get_args(kind))
        elif get_origin(kind) in (tuple, Union, UnionType):
            waiting += get_args(kind)
    return words


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    bare = isinstance(value, str) and re.fullmatch(r"[a-z]\w*", value)
    return str(value) if bare else json.dumps(value)


def main() -> None:
    """Rewrites the shipped file."""
    path: Path = shipped("ablations") / "base.yaml"
    write_text(path, render(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
