"""Imports and builds components. No other module imports by name."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from spsam.errors import InputError, Problem, nearest
from spsam.registry.catalogue import Card
from spsam.registry.slots import EVERY_SLOT, NETWORK
from spsam.registry.targets import root_of

# Errors that a component's own code may raise if its arguments are unsuitable.
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
        card: The card of the component.
        engine: The engine's arguments, by position.
        params: The parameters from YAML.

    Raises:
        InputError: If the component cannot be imported, lacks a method of its slot's base, cannot
            be called with the slot's arguments, or cannot be built with these parameters.
    """
    component = resolve(card)
    _check_form(card, component, engine, params)
    try:
        return component(*engine, **params)
    except InputError as error:
        place = f"{_key(card)}: {card.name}: "
        raise InputError(
            [replace(each, message=place + each.message) for each in error.problems]
        ) from error
    except _FAILURES as error:
        if "memory" in str(error):  # caused by the machine, not by the parameters
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
    """Rejects a class that its slot cannot use with any parameters."""
    if missing := sorted(getattr(component, "__abstractmethods__", ())):
        raise InputError(
            Problem(f"target: {card.target} must define {', '.join(missing)}", card.file)
        )
    try:
        inspect.signature(component).bind(*engine, **params)
    except TypeError as error:
        given = ", ".join(EVERY_SLOT[card.slot].given(base_of(card, component)))
        raise InputError(
            Problem(
                f"target: {card.target} cannot be called with the arguments of the slot "
                f"{card.slot}: {error}; expected __init__(self, {given}), with parameters from "
                "YAML after *",
                card.file,
            )
        ) from error


def check_names(card: Card, named: Sequence[str]) -> None:
    """Rejects a component with positional parameters that its slot does not provide.

    Args:
        card: The card of the component.
        named: Names of its positional parameters.

    Raises:
        InputError: With the unknown names.
    """
    offered = EVERY_SLOT[card.slot].parameters
    if unknown := [name for name in named if name not in offered]:
        raise InputError(
            Problem(
                f"target: {card.target} takes {', '.join(unknown)}, which the engine does not "
                f"provide; it provides {', '.join(offered)}; parameters from YAML must follow *",
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
        InputError: If the target is neither in spsam, nor in an installed plugin, nor in a folder
            passed by --plugin; if its module cannot be imported or does not define the class; or if
            the class does not derive from its slot's base.
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
    # Only classes defined in the module itself: an imported class is not a component.
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
    """The base class, among those of its slot, that a component derives from.

    Raises:
        InputError: If it derives from none of them.
    """
    slot = EVERY_SLOT[card.slot]
    module = import_module(slot.base_module)
    for base in slot.bases:
        if issubclass(component, getattr(module, base)):
            return base
    raise InputError(Problem(slot.refusal(card.target), card.file))


def _make_importable(folder: Path) -> None:
    # Appended, so that a file in the folder never shadows an installed package.
    path = str(folder.resolve())
    if path not in sys.path:
        sys.path.append(path)
