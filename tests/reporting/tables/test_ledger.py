from __future__ import annotations

from pathlib import Path

import pytest

from spsam.errors import InputError
from spsam.registry.arms import load_arm
from spsam.reporting.render.model import Table
from spsam.reporting.tables.ledger import ledger_of_file, ledger_table


@pytest.fixture(scope="module")
def ledger() -> dict[str, list[str]]:
    return entries(ledger_table(load_arm("S9").model_dump(mode="json"), "none"))


def entries(table: Table) -> dict[str, list[str]]:
    return {line.key: [cell.text for cell in line.cells[1:]] for line in table.lines}


def leaves(value: object, path: str) -> list[str]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, f"{path}.{key}")]
    return [path]


def test_every_setting_of_an_arm_is_in_it(ledger: dict[str, list[str]]) -> None:
    arm = load_arm("S9").model_dump(mode="json")
    blocks = arm.pop("blocks")
    labels = ("name", "title", "parent", "summary", "plugins")
    wanted = [
        leaf for key, value in arm.items() if key not in labels for leaf in leaves(value, key)
    ]
    wanted += [f"blocks.{slot}" for slot in blocks]
    wanted += [
        f"blocks.{slot}.{name}" for slot, block in blocks.items() for name in block["params"]
    ]
    assert sorted(ledger) == sorted(wanted)


def test_sources_are_those_of_the_fields(ledger: dict[str, list[str]]) -> None:
    assert ledger["train.poly_power"][:2] == ["0.9", "paper"]
    assert ledger["train.batch_size"][:2] == ["2", "author's code"]
    assert ledger["evaluation.convention"][:2] == ["nnunet", "chosen"]
    assert ledger["blocks.adapter"][:2] == ["dfused", "paper: Sec. 2.1; App. C, Eq. 1"]
    assert all(entry[2] for entry in ledger.values())  # a meaning


@pytest.mark.parametrize("form", ["binary", "logits", "log_odds"])
def test_of_each_form_of_the_mask_it_tells_what_becomes_of_gradients(form: str) -> None:
    arm = load_arm("S9", {"blocks.prompt.mask": form}).model_dump(mode="json")
    value, source, meaning = entries(ledger_table(arm, "none"))["blocks.prompt.mask"]
    assert value == form
    assert ("set (" in source) == (form != "binary")
    told = meaning.split(f"`{form}`: ")[1].split("`")[0]
    assert "gradient" in told
    assert ("no gradient" in told) == (form == "binary")
    assert ("chosen here" in told) == (form != "binary")


def test_what_departs_from_its_source_says_so() -> None:
    arm = load_arm("S9", {"train.epochs": 7}).model_dump(mode="json")
    assert entries(ledger_table(arm, "x"))["train.epochs"][:2] == ["7", "set (paper: 1000)"]


def test_the_ledger_of_a_runs_configuration(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "arm:\n  title: Mine\n  blocks:\n    adapter: {name: unheard_of, params: {}}\n"
        "  inference: {step: 0.75}\npreset: cpu\n"
    )
    table = ledger_of_file(config)
    assert entries(table)["inference.step"][:2] == ["0.75", "set (author's code: 0.5)"]
    assert entries(table)["blocks.adapter"][:2] == ["unheard_of", "chosen"]
    assert "Mine with the preset cpu" in table.caption
    config.write_text("seed: 0\n")
    with pytest.raises(InputError, match="'arm'"):
        ledger_of_file(config)
