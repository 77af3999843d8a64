from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from spsam.cli.main import app
from spsam.config.yaml_file import read_value
from spsam.registry.catalogue import EVERY_SLOT, Card, Catalogue

CARDS = [card for slot in EVERY_SLOT for card in Catalogue.load().cards(slot)]


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["registry", *arguments])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def told(*arguments: str) -> Any:
    return json.loads(said(*arguments, "--json"))


def test_list_names_every_component() -> None:
    text = said("list")
    for card in CARDS:
        assert card.summary in text
    assert [(card["slot"], card["name"]) for card in told("list")] == [
        (card.slot, card.name) for card in CARDS
    ]


@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card.slot}/{card.name}")
def test_show_every_component(card: Card) -> None:
    text = said("show", f"{card.slot}/{card.name}")
    about = told("show", card.slot, card.name)
    assert card.summary in text
    assert about["target"] == card.target
    for parameter in about["parameters"]:
        assert parameter["name"] in text
        assert parameter["doc"], f"{parameter['name']} has no description"


@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card.slot}/{card.name}")
def test_what_show_says_to_write_is_yaml(card: Card) -> None:
    for line in told("show", card.slot, card.name)["yaml"].splitlines():
        blocks = read_value(line.removeprefix("blocks: "))
        block = blocks[card.slot]
        assert (block if isinstance(block, str) else block["name"]) == card.name


def test_a_name_alone_shows_all_that_are_called_so() -> None:
    assert told("show", "dfused")["slot"] == "adapter"
    assert {card["slot"] for card in told("show", "none")} == {"adapter", "depth_pos_embed"}
    assert len(told("show", "adapter")) == len([c for c in CARDS if c.slot == "adapter"])


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["dfusde"], "did you mean 'dfused'"),
        (["adapter/dfusde"], "did you mean 'dfused'"),
        (["adaptr/dfused"], "did you mean 'adapter'"),
        (["a", "b", "c"], "expected NAME"),
    ],
)
def test_unknown_names(words: list[str], hint: str) -> None:
    result = CliRunner().invoke(app, ["registry", "show", *words])
    assert result.exit_code == 2
    assert hint in result.stderr
    assert result.stdout == ""
