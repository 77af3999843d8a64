"""The only module that imports by name."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from spsam.errors import InputError, Problem, nearest
from spsam.registry.catalogue import Card
from spsam.registry.slots import SLOTS
from spsam.registry.targets import root_of


def resolve(card: Card) -> type:
    """Imports a card's target.

    Raises:
        InputError: If the target lies in neither spsam, nor an installed plugin, nor a folder named
            by --plugin; if its module cannot be imported or defines no such class.
    """
    name, _, wanted = card.target.partition(":")
    root = root_of(card.target, card.plugin, card.file)
    if card.plugin is not None and root == card.plugin:
        _make_importable(root)
    try:
        module = import_module(name)
    except (ImportError, SyntaxError) as error:
        raise InputError(
            Problem(f"target: '{name}' cannot be imported: {error}", card.file)
        ) from error
    came_from = Path(module.__file__ or "").resolve()
    if not came_from.is_relative_to(root.resolve()):
        raise InputError(
            Problem(
                f"target: '{name}' is expected in {root}, but another module of that name is "
                f"installed ({came_from}); rename yours",
                card.file,
            )
        )
    # Only what the module itself defines: an imported class is not a component.
    classes = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == name
    }
    if wanted not in classes:
        raise InputError(
            Problem(
                f"target: '{name}' defines no class '{wanted}'{nearest(wanted, classes)}", card.file
            )
        )
    return classes[wanted]


def make(card: Card, engine: tuple[Any, ...], params: Mapping[str, Any]) -> Any:
    """Builds a card's component.

    Args:
        card: The card.
        engine: What the slot gives, by position.
        params: What YAML sets, by name.

    Returns:
        An object of the slot's base class.

    Raises:
        InputError: As `resolve`; if the class is not derived from the slot's base class, lacks a
            method of it, or cannot be called with what the slot gives.
    """
    component, slot = resolve(card), SLOTS[card.slot]
    home = f"spsam.model.{slot.folder}.base"
    if not issubclass(component, getattr(import_module(home), slot.base)):
        raise InputError(
            Problem(
                f"target: {card.target} is no component of the slot {card.slot}: derive it from "
                f"{home}.{slot.base}",
                card.file,
            )
        )
    if missing := sorted(getattr(component, "__abstractmethods__", ())):
        raise InputError(
            Problem(f"target: {card.target} has to define {', '.join(missing)}", card.file)
        )
    try:
        inspect.signature(component).bind(*engine, **params)
    except TypeError as error:
        given = ", ".join(slot.parameters)
        raise InputError(
            Problem(
                f"target: {card.target} cannot be called with what the slot {card.slot} gives: "
                f"{error}; expected __init__(self, {given}), and behind * what YAML may set",
                card.file,
            )
        ) from error
    return component(*engine, **params)


def _make_importable(folder: Path) -> None:
    # At the end, so that a file in the folder never stands in for an installed package.
    path = str(folder.resolve())
    if path not in sys.path:
        sys.path.append(path)
