"""The parameters of a component that YAML can set: its signature is the schema."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spsam.config.problems import PlaceOf, check, dotted
from spsam.config.yaml_file import KeyPath
from spsam.errors import InputError, Problem, nearest
from spsam.registry.catalogue import Card
from spsam.registry.slots import EVERY_SLOT
from spsam.registry.source_code import (
    Module,
    annotation,
    constant,
    derives,
    handed_on,
    inits,
    read_module,
)
from spsam.registry.targets import module_file, root_of

# The default of a parameter without a default.
REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True)
class Parameter:
    """A keyword-only parameter of a component.

    Attributes:
        name: Name of the parameter.
        annotation: Type of the parameter.
        default: Default value; `REQUIRED` if there is none.
        doc: Description from the docstring of the class.
    """

    name: str
    annotation: Any
    default: Any
    doc: str


def parameters(card: Card) -> list[Parameter]:
    """The keyword-only parameters of a card's target, in order; nothing is imported.

    If an `__init__` ends in `**base` and passes it to `super().__init__`, the parameters of the
    base follow its own.

    Raises:
        InputError: If the target does not exist, or its signature cannot be read without executing
            code.
    """
    module, name = _target(card)
    docs = _docs(module, name)
    found: dict[str, Parameter] = {}
    filled: set[str] = set()
    open_end: InputError | None = None
    for where, init in inits(module, name):
        for argument, default in zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True):
            if argument.arg not in found and argument.arg not in filled:
                found[argument.arg] = _parameter(where, argument, default, docs)
        handed = handed_on(init)
        message = f"{card.target} must list its parameters: *args and **kwargs cannot be checked"
        open_end = where.fail(init, message)
        if init.args.vararg is not None or (init.args.kwarg is not None and handed is None):
            raise open_end
        if handed is None:
            return list(found.values())
        filled |= handed
    if open_end is not None:
        raise open_end
    return []


def positional(card: Card) -> tuple[str, ...]:
    """The names of the parameters that a component takes from the engine.

    Raises:
        InputError: As in `parameters`.
    """
    for _, init in inits(*_target(card)):
        return tuple(each.arg for each in [*init.args.posonlyargs, *init.args.args][1:])
    return ()


def validate(
    card: Card, params: Mapping[str, Any], place: PlaceOf, prefix: KeyPath
) -> tuple[dict[str, Any], list[Problem]]:
    """Validates the parameters that YAML sets for a component.

    Args:
        card: The card of the component.
        params: Parameter -> value.
        place: Maps a key path to the place of its value.
        prefix: Key path of the block, e.g. `("blocks", "adapter")`.

    Returns:
        All parameters with their values, including defaults, and all mistakes.
    """
    try:
        known = {parameter.name: parameter for parameter in parameters(card)}
    except InputError as error:
        return {}, list(error.problems)
    where = f"{dotted(prefix)}: " if prefix else ""
    problems = []
    for name in params:
        if name not in known:
            hint = nearest(name, known) or "; it has none"
            message = f"{where}{card.slot} '{card.name}' has no parameter '{name}'{hint}"
            problems.append(place((*prefix, name)).problem(message))
    values = {}
    for name, parameter in known.items():
        if name in params:
            values[name], found = check(parameter.annotation, params[name], place, (*prefix, name))
            problems.extend(found)
        elif parameter.default is REQUIRED:
            message = f"{where}{card.slot} '{card.name}' requires the parameter '{name}'"
            problems.append(place(prefix).problem(message))
        else:
            # Validated like a written value, so that `1` and `1.0` have the same identity.
            checked, found = check(parameter.annotation, parameter.default, place, (*prefix, name))
            values[name] = parameter.default if found else checked
    return values, problems


def _target(card: Card) -> tuple[Module, str]:
    """The module and the name of a card's class."""
    name, _, wanted = card.target.partition(":")
    root = root_of(card.target, card.plugin, card.file)
    file = module_file(name, root)
    if file is None:
        message = f"target: module '{name}' does not exist in {root}"
        raise InputError(Problem(message, card.file, card.line))
    module = read_module(name, file, root)
    if wanted not in module.classes:
        hint = nearest(wanted, module.classes)
        message = f"target: {file} defines no class '{wanted}'{hint}"
        raise InputError(Problem(message, card.file, card.line))
    slot = EVERY_SLOT[card.slot]
    bases = [(slot.base_module, base) for base in slot.bases]
    if all(derives(module, wanted, base) is False for base in bases):
        raise InputError(Problem(slot.refusal(card.target), card.file, card.line))
    return module, wanted


def _parameter(
    module: Module, argument: ast.arg, default: ast.expr | None, docs: Mapping[str, str]
) -> Parameter:
    if argument.annotation is None:
        raise module.fail(argument, f"parameter '{argument.arg}' requires a type annotation")
    return Parameter(
        name=argument.arg,
        annotation=annotation(module, argument.annotation),
        default=REQUIRED if default is None else constant(module, default),
        doc=docs.get(argument.arg, ""),
    )


def _docs(module: Module, name: str) -> dict[str, str]:
    """Descriptions from the `Args:` sections of a class, its bases and their `__init__`."""
    texts: list[str | None] = []
    seen: tuple[Module, str] | None = (module, name)
    while seen is not None and seen[1] in seen[0].classes:
        definition = seen[0].classes[seen[1]]
        texts.append(ast.get_docstring(definition))
        base = definition.bases[0] if definition.bases else None
        if not isinstance(base, ast.Name):
            break
        seen = (seen[0], base.id) if base.id in seen[0].classes else seen[0].follow(base.id)
    texts += [ast.get_docstring(init) for _, init in inits(module, name)]
    found: dict[str, str] = {}
    for text in texts:  # the text nearest to the component takes precedence
        found = {**_args_section(text or ""), **found}
    return found


def _args_section(docstring: str) -> dict[str, str]:
    found: dict[str, str] = {}
    inside, name = False, None
    for line in docstring.splitlines():
        if re.fullmatch(r"Args:\s*", line):
            inside = True
        elif inside and line and not line[0].isspace():
            inside = False
        elif inside and (match := re.fullmatch(r" {4}(\w+)(?: \([^)]*\))?:\s*(.*)", line)):
            name = match.group(1)
            found[name] = match.group(2)
        elif inside and name is not None and line.strip():
            found[name] = f"{found[name]} {line.strip()}"
    return found
