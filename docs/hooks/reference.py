"""Pages of the reference, made of what the program itself reads; run by mkdocs-gen-files.

Commands come from their help, configuration from the schema, components from their cards, the API
from docstrings. Documents that lie elsewhere in the repository join as pages, see `elsewhere.py`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import mkdocs_gen_files
import typer
from elsewhere import PAGES
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typer.testing import CliRunner

import spsam
from spsam.cli.main import app
from spsam.config.identity import NOT_IDENTITY
from spsam.config.problems import describe
from spsam.config.schema import ArmConfig
from spsam.registry.catalogue import Catalogue
from spsam.registry.signature import REQUIRED, parameters
from spsam.registry.slots import EVERY_SLOT

ROOT = Path(__file__).parents[2]

SOURCES = {"P": "the paper", "A": "the author's other code or nnU-Net", "C": "chosen here"}
# Keys of an arm that its file gives in another way.
LABELS = ("name", "parent", "plugins", "blocks", "network")


def write(page: str, text: str, edited: str = "") -> None:
    """Writes a page; `edited` is the file that an author would edit."""
    with mkdocs_gen_files.open(page, "w") as stream:
        stream.write(text)
    if edited:
        mkdocs_gen_files.set_edit_path(page, edited)


def verbs(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command, groups and the program itself included."""
    yield words
    for name, below in getattr(command, "commands", {}).items():
        yield from verbs(below, (*words, name))


def commands() -> str:
    """Every command's help."""
    os.environ |= {"COLUMNS": "90", "TERM": "dumb", "NO_COLOR": "1"}
    parts = ["# Commands\n\nThe `--help` of every command.\n"]
    for words in verbs(typer.main.get_command(app)):
        shown = CliRunner().invoke(app, [*words, "--help"], prog_name="spsam").output.rstrip()
        parts.append(f"## `{' '.join(('spsam', *words))}`\n\n```text\n{shown}\n```\n")
    return "\n".join(parts)


def configuration() -> str:
    """Every key of an arm, by section."""
    lines = [
        "# Configuration\n",
        "Every key that an arm, a preset or `--set` can give, with its default. *Source* is where "
        "the value's meaning comes from: "
        f"{', '.join(f'{k} = {v}' for k, v in SOURCES.items())}. A key "
        "marked with * is no part of a run's identity: changing it does not make another run. The "
        "keys of a block or network are those of [its component](components.md).\n",
    ]
    lines += [f"```yaml\n{(ROOT / 'ablations' / 'S9.yaml').read_text()}```\n"]
    lines += _table("arm", {k: f for k, f in ArmConfig.model_fields.items() if k not in LABELS})
    return "\n".join(lines)


def _table(title: str, fields: dict[str, FieldInfo], around: tuple[str, ...] = ()) -> list[str]:
    lines, below = [f"## `{title}`\n", "| key | type | default | source | meaning |"], []
    lines.append("| --- | --- | --- | --- | --- |")
    for key, field in fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            below += _table(".".join((*around, key)), kind.model_fields, (*around, key))
            continue
        given = field.get_default()
        shown = json.dumps(None if given is PydanticUndefined else given, default=str)
        default = "required" if given is PydanticUndefined else f"`{shown}`"
        mark = "*" if ".".join(("arm", *around, key)) in NOT_IDENTITY else ""
        source = dict(field.json_schema_extra or {})["source"]  # type: ignore[arg-type]
        cells = [f"`{key}`{mark}", _kind(field), default, source, str(field.description)]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return [*lines, "", *below] if len(lines) > 3 else below


def _kind(field: FieldInfo) -> str:
    return describe(field.rebuild_annotation())


def components() -> str:
    """Every component of every slot, with what YAML may set."""
    catalogue = Catalogue.load()
    lines = [
        "# Components\n",
        "A component is chosen by its name: a block in `blocks:` of an arm, a network in "
        "`network:`.\n",
    ]
    for slot in EVERY_SLOT.values():
        lines.append(f"## `{slot.name}`\n\n{slot.meaning[0].upper()}{slot.meaning[1:]}.\n")
        for card in catalogue.cards(slot.name):
            source = "; ".join(f"{kind}: {where}" for kind, where in card.source.items())
            lines.append(f"### `{slot.name}`: `{card.name}`\n\n{card.summary}\n")
            lines.append(f"*Class* `{card.target}` · *source* {source}\n")
            rows = [
                f"| `{each.name}` | {describe(each.annotation)} | "
                f"{'required' if each.default is REQUIRED else f'`{json.dumps(each.default)}`'} | "
                f"{each.doc} |"
                for each in parameters(card)
            ]
            if rows:
                lines += ["| parameter | type | default | meaning |", "| --- | --- | --- | --- |"]
                lines += [row.replace(" | None", " \\| None") for row in rows]
            lines.append("")
    return "\n".join(lines)


def api() -> str:
    """The public names, from their docstrings."""
    lines = ["# Python API\n", "Everything here is importable from `spsam`.\n"]
    homes = spsam._HOMES
    for name in sorted(homes, key=lambda each: (each[0].isupper(), each)):
        lines.append(f"::: {homes[name]}.{name}\n    options: {{heading_level: 2}}\n")
    return "\n".join(lines)


def elsewhere() -> None:
    """The documents outside docs/ as pages, with their pictures."""
    for source, page in PAGES.items():
        file = ROOT / source
        write(page, file.read_text(encoding="utf-8"), os.path.relpath(file, ROOT / "docs"))


write("reference/commands.md", commands())
write("reference/configuration.md", configuration())
write("reference/components.md", components())
write("reference/api.md", api())
elsewhere()
