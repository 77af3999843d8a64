"""The cards of all components: shipped, from installed plugins, from ./registry and --plugin."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from spsam.config.places import layers
from spsam.config.problems import check, places_in, unique
from spsam.config.yaml_file import YamlFile, read_yaml
from spsam.errors import InputError, Problem, nearest
from spsam.registry.slots import EVERY_SLOT, SLOTS, Slot
from spsam.registry.targets import installed_plugins

__all__ = ["EVERY_SLOT", "SLOTS", "Card", "Catalogue", "Slot"]

_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Card:
    """A component as described by its card.

    Attributes:
        slot: The slot that it fits.
        name: Name of the card's file without .yaml.
        target: `package.module:Class`.
        summary: One sentence.
        source: `paper` -> section, `author` or `chosen` -> reason.
        file: The card's file.
        plugin: The folder passed by --plugin that contains the card; None for all others.
        line: Line of the target in the file.
    """

    slot: str
    name: str
    target: str
    summary: str
    source: dict[str, str]
    file: Path
    plugin: Path | None = None
    line: int | None = None


class _CardSource(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    paper: str | None = None
    author: str | None = None
    chosen: str | None = None


class _CardFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    summary: str
    source: _CardSource = _CardSource()


class Catalogue:
    """All cards, by slot and name; cards of later layers replace earlier ones of the same name.

    Args:
        cards: The cards, layer by layer.
        plugins: The folders passed by --plugin.
    """

    def __init__(self, cards: Sequence[Card], plugins: Sequence[Path] = ()) -> None:
        self.plugins = tuple(plugins)
        self._cards: dict[str, dict[str, Card]] = {slot: {} for slot in EVERY_SLOT}
        for card in cards:
            self._cards[card.slot][card.name] = card

    @classmethod
    def load(cls, plugins: Sequence[Path] = ()) -> Catalogue:
        """Reads registry/<slot>/<name>.yaml of all layers; imports no component.

        Args:
            plugins: Folders that each contain registry/ and the Python modules of its components.

        Raises:
            InputError: With every invalid card and missing folder.
        """
        problems: list[Problem] = []
        cards: list[Card] = []
        for folder, plugin in _folders(plugins, problems):
            for slot, path in _files(folder, problems):
                card = _read_card(slot, path, plugin, problems)
                if card is not None:
                    cards.append(card)
        if problems:
            raise InputError(unique(problems))
        return cls(cards, plugins)

    def cards(self, slot: str) -> list[Card]:
        """The cards of a slot, sorted by name.

        Raises:
            InputError: If there is no such slot.
        """
        if slot not in self._cards:
            raise InputError(f"unknown slot '{slot}'{nearest(slot, EVERY_SLOT)}")
        return [self._cards[slot][name] for name in sorted(self._cards[slot])]

    def card(self, slot: str, name: str) -> Card:
        """The card of a component.

        Raises:
            InputError: If there is no such slot or component; suggests the nearest name.
        """
        known = {card.name: card for card in self.cards(slot)}
        if name not in known:
            raise InputError(f"unknown {slot} '{name}'{nearest(name, known)}")
        return known[name]


def _folders(
    plugins: Sequence[Path], problems: list[Problem]
) -> Iterator[tuple[Path, Path | None]]:
    shipped, *own = layers("registry")
    yield shipped, None
    for package in installed_plugins().values():
        yield package / "registry", None
    for folder in own:
        yield folder, None
    for plugin in plugins:
        if (plugin / "registry").is_dir():
            yield plugin / "registry", plugin
        else:
            problems.append(
                Problem(f"--plugin {plugin}: expected a folder with registry/<slot>/<name>.yaml")
            )


def _files(folder: Path, problems: list[Problem]) -> Iterator[tuple[str, Path]]:
    if not folder.is_dir():
        return
    for below in sorted(folder.iterdir()):
        files = sorted(below.glob("*.yaml")) if below.is_dir() else []
        if files and below.name not in EVERY_SLOT:
            problems.append(
                Problem(f"unknown slot '{below.name}'{nearest(below.name, EVERY_SLOT)}", below)
            )
            continue
        yield from ((below.name, path) for path in files)


def _read_card(slot: str, path: Path, plugin: Path | None, problems: list[Problem]) -> Card | None:
    try:
        file: YamlFile = read_yaml(path)
    except InputError as error:
        problems.extend(error.problems)
        return None
    read, found = check(_CardFile, file.data, places_in(file))
    problems.extend(found)
    if read is None:
        return None
    line = file.line(("target",))
    if not _TARGET.fullmatch(read.target):
        said = f"target: expected package.module:Class, got '{read.target}'"
        problems.append(Problem(said, path, line))
        return None
    source = {key: value for key, value in read.source.model_dump().items() if value is not None}
    return Card(slot, path.stem, read.target, read.summary, source, path, plugin, line)
