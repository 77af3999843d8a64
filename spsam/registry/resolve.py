"""The only module that imports by name."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from spsam.errors import InputError, Problem, nearest
from spsam.registry.catalogue import Card
from spsam.registry.slots import EVERY_SLOT, NETWORK
from spsam.registry.targets import root_of

# What a component's own code may raise where it does not fit what it is given.
_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


def build(card: Card, engine: Sequence[Any], params: Mapping[str, Any]) -> Any:
    """Builds a component.

    Args:
        card: The component's.
        engine: What the engine gives, by position.
        params: What YAML sets.

    Raises:
        InputError: If the component cannot be resolved, lacks a method of its slot's base, cannot
            be called with what the slot gives, or cannot be built with these parameters.
    """
    component = resolve(card)
    _check_form(card, component, engine, params)
    try:
        return component(*engine, **params)
    except _FAILURES as error:
        if "memory" in str(error):  # the machine's limit, which says nothing of the parameters
            raise
        given = ", ".join(f"{name}={value!r}" for name, value in params.items())
        message = (
            f"{_key(card)}: the {card.slot} '{card.name}' ({card.target}) cannot be built "
            f"with {given or 'no parameters'}: {_reason(error)}"
        )
        raise InputError(message) from error


def _check_form(
    card: Card, component: type, engine: Sequence[Any], params: Mapping[str, Any]
) -> None:
    """Refuses a class that its slot cannot use, whatever its parameters."""
    if missing := sorted(getattr(component, "__abstractmethods__", ())):
        raise InputError(
            Problem(f"target: {card.target} has to define {', '.join(missing)}", card.file)
        )
    try:
        inspect.signature(component).bind(*engine, **params)
    except TypeError as error:
        given = ", ".join(EVERY_SLOT[card.slot].given(base_of(card, component)))
        raise InputError(
            Problem(
                f"target: {card.target} cannot be called with what the slot {card.slot} gives: "
                f"{error}; expected __init__(self, {given}), and behind * what YAML may set",
                card.file,
            )
        ) from error


def check_names(card: Card, named: Sequence[str]) -> None:
    """Refuses a component that names what its slot does not offer.

    Args:
        card: The component's.
        named: Its positional parameters.

    Raises:
        InputError: With the names that nobody gives.
    """
    offered = EVERY_SLOT[card.slot].parameters
    if unknown := [name for name in named if name not in offered]:
        raise InputError(
            Problem(
                f"target: {card.target} takes {', '.join(unknown)}, which the engine does not "
                f"give; it gives, by name, {', '.join(offered)}; what YAML may set stands behind *",
                card.file,
            )
        )


def _key(card: Card) -> str:
    return card.slot if card.slot == NETWORK.name else f"blocks.{card.slot}"


def _reason(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__


def resolve(card: Card) -> type:
    """Imports a card's target.

    Raises:
        InputError: If the target lies in neither spsam, nor an installed plugin, nor a folder named
            by --plugin; if its module cannot be imported or defines no such class, or one that
            does not derive from its slot's base.
    """
    name, _, wanted = card.target.partition(":")
    root = root_of(card.target, card.plugin, card.file)
    if card.plugin is not None and root == card.plugin:
        _make_importable(root)
    try:
        module = import_module(name)
    except _FAILURES as error:
        raise InputError(
            Problem(f"target: '{name}' cannot be imported: {_reason(error)}", card.file)
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
    found = classes[wanted]
    base_of(card, found)
    return found


def base_of(card: Card, component: type) -> str:
    """Which of its slot's bases a component derives from.

    Raises:
        InputError: If it is none.
    """
    slot = EVERY_SLOT[card.slot]
    module = import_module(slot.base_module)
    for base in slot.bases:
        if issubclass(component, getattr(module, base)):
            return base
    raise InputError(Problem(slot.refusal(card.target), card.file))


def _make_importable(folder: Path) -> None:
    # At the end, so that a file in the folder never stands in for an installed package.
    path = str(folder.resolve())
    if path not in sys.path:
        sys.path.append(path)
