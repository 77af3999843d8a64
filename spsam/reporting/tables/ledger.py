"""The fidelity ledger: each setting, its value and its source (paper, author's code, chosen)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from spsam.config.identity import as_of_then
from spsam.config.schema import ArmConfig
from spsam.config.yaml_file import read_yaml
from spsam.errors import InputError
from spsam.registry.catalogue import Card, Catalogue
from spsam.registry.signature import REQUIRED, parameters
from spsam.reporting.render.model import Cell, Column, Group, Line, Table

SOURCES = {"P": "paper", "A": "author's code", "C": "chosen"}

# The source of parameters of a block with several sources.
_AS_THE_BLOCK = "see its block"

_LABELS = ("name", "title", "parent", "summary", "plugins")
_COLUMNS = (
    Column("setting", "setting", False),
    Column("value", "value", False),
    Column("source", "source", False),
    Column("meaning", "meaning", False, wide=True),
)


def ledger_of_file(
    config: Path, plugins: Sequence[Path] = (), tuned: Mapping[str, str] | None = None
) -> Table:
    """The ledger of a run.

    Args:
        config: The run's `config.yaml`.
        plugins: As in `ledger_table`.
        tuned: As in `ledger_table`.

    Raises:
        InputError: If the file cannot be read.
    """
    data = as_of_then(read_yaml(config).data)
    arm = data.get("arm")
    if not isinstance(arm, dict):
        raise InputError(f"{config}: expected a run's configuration with the key 'arm'")
    return ledger_table(arm, str(data.get("preset", "")), plugins, tuned)


def ledger_table(
    arm: Mapping[str, Any],
    preset: str,
    plugins: Sequence[Path] = (),
    tuned: Mapping[str, str] | None = None,
) -> Table:
    """One row per setting, in the order of the schema.

    Args:
        arm: The values of an arm, as plain mappings.
        preset: Name of the preset that they include.
        plugins: Folders with additional components; folders stored in the arm are not read.
        tuned: Setting -> how its value was chosen, for tuned settings.
    """
    catalogue = Catalogue.load(plugins)
    groups = []
    for name, field in ArmConfig.model_fields.items():
        if name in _LABELS or name not in arm:
            continue
        if name == "blocks":
            lines = [
                line
                for slot, path, block in _chosen(arm[name])
                for line in _component(slot, path, block, catalogue)
            ]
        elif name == "network":
            lines = list(_component(name, name, arm[name], catalogue))
        else:
            lines = list(_settings(field, arm[name], name))
        groups.append(Group("", tuple(_tuned(line, tuned or {}) for line in lines)))
    counts = {
        label: sum(line.cells[2].text.startswith(label) for g in groups for line in g.lines)
        for label in [*SOURCES.values(), "set", _AS_THE_BLOCK]
    }
    told = ", ".join(f"{count} {label}" for label, count in counts.items())
    caption = (
        f"Settings of {arm.get('title', arm.get('name', 'the arm'))} with the preset {preset}: "
        f"source of each value ({told}). paper: stated in the paper; author's code: from the "
        "author's other code or from nnU-Net, whose training procedure the paper adopts; chosen: "
        "specified by neither; set: the arm or the preset deviates from the value in parentheses; "
        "see its block: the meaning of the block lists the sources of its values."
    )
    return Table("ledger", caption, _COLUMNS, tuple(groups))


def _tuned(line: Line, tuned: Mapping[str, str]) -> Line:
    """The line, with the tuning as source if the value was tuned."""
    if line.key not in tuned:
        return line
    before = line.cells[2].text.removeprefix("set (").removesuffix(")")
    text = f"set ({tuned[line.key]}; {before})"
    cell = Cell(text, {"source": text})
    return Line(line.key, (*line.cells[:2], cell, *line.cells[3:]))


def _settings(field: FieldInfo, value: Any, path: str) -> Iterator[Line]:
    model = field.annotation
    if isinstance(model, type) and issubclass(model, BaseModel) and isinstance(value, Mapping):
        for name, below in model.model_fields.items():
            if name in value:
                yield from _settings(below, value[name], f"{path}.{name}")
        return
    extra = field.json_schema_extra
    label = SOURCES[str(extra["source"])] if isinstance(extra, Mapping) else "chosen"
    # A default of None is derived from other values.
    if not field.is_required() and field.default is not None:
        label = _against(label, _plain(field.default), value)
    yield _line(path, value, label, field.description or "")


def _chosen(blocks: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Slot, path and block of every component; several components in a slot by their names."""
    for slot, value in blocks.items():
        if isinstance(value, list | tuple):
            yield from ((slot, f"blocks.{slot}.{block['name']}", block) for block in value)
        else:
            yield slot, f"blocks.{slot}", value


def _component(
    slot: str, path: str, block: Mapping[str, Any] | str, catalogue: Catalogue
) -> Iterator[Line]:
    block = {"name": block} if isinstance(block, str) else block
    name = str(block["name"])
    try:
        card = catalogue.card(slot, name)
    except InputError:  # of a plugin that is not available
        what = "network" if slot == "network" else "block"
        meaning = f"A {what} of an unavailable plugin; specify its folder with --plugin."
        yield _line(path, name, "chosen", meaning)
        return
    kind = "paper" if "paper" in card.source else "chosen"
    where = card.source.get(kind)
    more = [f"{SOURCES[k[0].upper()]}: {v}" for k, v in card.source.items() if k != kind]
    meaning = " ".join([card.summary, *(text[0].upper() + text[1:] for text in more)])
    yield _line(path, name, f"{kind}: {where}" if where else kind, meaning)
    yield from _parameters(card, block.get("params", {}), path)


def _parameters(card: Card, values: Mapping[str, Any], path: str) -> Iterator[Line]:
    # The text of a card with several sources assigns its values to them.
    kinds = [SOURCES[kind[0].upper()] for kind in card.source]
    label = kinds[0] if len(kinds) == 1 else _AS_THE_BLOCK
    for parameter in parameters(card):
        if parameter.name in values:
            value = values[parameter.name]
            if parameter.default is REQUIRED:
                said = label
            else:
                said = _against(label, _plain(parameter.default), value)
            yield _line(f"{path}.{parameter.name}", value, said, parameter.doc)


def _against(label: str, default: Any, value: Any) -> str:
    return label if default == _plain(value) else f"set ({label}: {_shown(default)})"


def _line(path: str, value: Any, source: str, meaning: str) -> Line:
    shown = _shown(value)
    cells = (
        Cell(path, {"setting": path}),
        Cell(shown, {"value": shown}),
        Cell(source, {"source": source}),
        Cell(meaning, {"meaning": meaning}),
    )
    return Line(path, cells)


def _plain(value: Any) -> Any:
    """The value as read from YAML: lists for tuples, comparable numbers."""
    return json.loads(json.dumps(value, default=str))


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_shown(item) for item in value)}]"
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
