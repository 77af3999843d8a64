"""`spsam registry`: lists the components and the parameters that can be set in YAML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spsam.cli import completion
from spsam.cli.options import AsJson, Plugin
from spsam.errors import InputError, nearest

if TYPE_CHECKING:
    from spsam.registry.catalogue import Card, Catalogue

app = typer.Typer(
    help="Show the components of every slot and their parameters.",
    epilog="Example: spsam registry show adapter/dfused",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list", epilog="Example: spsam registry list --json")
def list_cards(plugin: Plugin = None, as_json: AsJson = False) -> None:
    """List the components of every slot."""
    from spsam.registry.catalogue import EVERY_SLOT, Catalogue

    catalogue = Catalogue.load(plugin or [])
    if as_json:
        short = [_short(card) for slot in EVERY_SLOT for card in catalogue.cards(slot)]
        typer.echo(json.dumps(short, indent=2))
        return
    for slot in EVERY_SLOT.values():
        typer.echo(f"{slot.name} – {slot.meaning}")
        cards = catalogue.cards(slot.name)
        width = max((len(card.name) for card in cards), default=0)
        for card in cards:
            typer.echo(f"  {card.name:<{width}}  {card.summary}")
        typer.echo()
    typer.echo("Details: spsam registry show SLOT/NAME")


@app.command("show", epilog="Example: spsam registry show adapter/dfused")
def show_card(
    component: Annotated[
        list[str],
        typer.Argument(
            help="NAME, SLOT/NAME or SLOT NAME.",
            metavar="[SLOT/]NAME",
            autocompletion=completion.components,
        ),
    ],
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Show a component.

    Prints its parameters, its source and how to enable it.
    """
    from spsam.registry.catalogue import Catalogue

    cards = _find(component, Catalogue.load(plugin or []))
    if as_json:
        shown = [_long(card) for card in cards]
        typer.echo(json.dumps(shown[0] if len(shown) == 1 else shown, indent=2, default=str))
        return
    typer.echo("\n\n".join(_text(card) for card in cards))


def _find(words: Sequence[str], catalogue: Catalogue) -> list[Card]:
    """The card of a slot and name, or all cards of a name (`none` exists in two slots)."""
    from spsam.registry.catalogue import EVERY_SLOT

    parts = [part for word in words for part in word.split("/") if part]
    if len(parts) == 2:
        return [catalogue.card(*parts)]
    if len(parts) != 1:
        raise InputError(f"expected NAME, SLOT/NAME or SLOT NAME, got '{' '.join(words)}'")
    if parts[0] in EVERY_SLOT:
        return catalogue.cards(parts[0])
    everything = [card for slot in EVERY_SLOT for card in catalogue.cards(slot)]
    found = [card for card in everything if card.name == parts[0]]
    if not found:
        hint = nearest(parts[0], {card.name for card in everything})
        raise InputError(f"unknown component '{parts[0]}'{hint}")
    return found


def _short(card: Card) -> dict[str, Any]:
    return {"slot": card.slot, "name": card.name, "summary": card.summary, "target": card.target}


def _long(card: Card) -> dict[str, Any]:
    from spsam.config.problems import describe
    from spsam.registry.signature import REQUIRED, parameters

    return {
        **_short(card),
        "source": card.source,
        "file": str(card.file),
        "parameters": [
            {
                "name": parameter.name,
                "type": describe(parameter.annotation),
                "required": parameter.default is REQUIRED,
                "default": None if parameter.default is REQUIRED else parameter.default,
                "doc": parameter.doc,
            }
            for parameter in parameters(card)
        ],
        "yaml": _yaml(card),
    }


def _text(card: Card) -> str:
    about = _long(card)
    lines = [f"{card.slot}/{card.name} – {card.summary}", f"  class   {card.target}"]
    lines += [f"  {kind:<7} {where}" for kind, where in card.source.items()]
    lines += [f"  card    {card.file}", "", "parameters:"]
    for parameter in about["parameters"]:
        default = "required" if parameter["required"] else json.dumps(parameter["default"])
        lines.append(f"  {parameter['name']}: {parameter['type']} = {default}")
        if parameter["doc"]:
            lines.append(f"      {parameter['doc']}")
    if not about["parameters"]:
        lines.append("  none that can be set in YAML")
    return "\n".join([*lines, "", "in an arm:", *[f"  {line}" for line in _yaml(card).split("\n")]])


def _yaml(card: Card) -> str:
    from spsam.registry.signature import REQUIRED, parameters
    from spsam.registry.slots import NETWORK

    known = parameters(card)
    wrap = "{}" if card.slot == NETWORK.name else "blocks: {{{}}}"
    plain = wrap.format(f"{card.slot}: {card.name}")
    if not known:
        return plain
    values = ", ".join(
        f"{p.name}: {'...' if p.default is REQUIRED else json.dumps(p.default)}" for p in known[:2]
    )
    return f"{plain}\n" + wrap.format(f"{card.slot}: {{name: {card.name}, {values}}}")
