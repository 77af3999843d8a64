from __future__ import annotations

import json

from typer.testing import CliRunner

from spsam.cli.main import app

SMALL = ["--preset", "smoke", "--size", "32", "--depth", "2", "--classes", "3", "--repeats", "1"]


def test_json_holds_parts_and_memory() -> None:
    result = CliRunner().invoke(app, ["bench", "S1", *SMALL, "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["sizes"]["patch"] == [2, 32, 32]
    assert told["trained_from"] == "prompt_generator"
    assert {"encoder", "backward", "optimiser"} < set(told["own"]["parts"])
    assert told["against"] == {} == told["ratio"]


def test_a_table_is_printed_for_people() -> None:
    result = CliRunner().invoke(app, ["bench", "S9", *SMALL, "--against", "official"])
    assert result.exit_code == 0, result.output
    assert "official" in result.stdout
    assert [line.split()[0] for line in result.stdout.splitlines()[4:]][-3:] == [
        "step",
        "inference",
        "peak",
    ]


def test_an_arm_is_compared_with_another_value_of_its_own_or_another_arm() -> None:
    for against in ("blocks.adapter=none", "S3"):
        result = CliRunner().invoke(app, ["bench", "S9", *SMALL, "--against", against, "--json"])
        assert result.exit_code == 0, result.output
        told = json.loads(result.stdout)
        assert list(told["against"]) == list(told["ratio"]) == [against]
        assert told["arm"] == "S9"


def test_mistakes_end_with_2() -> None:
    for wrong in (
        ["--against", "mednext"],
        ["--against", "train.epoch=1"],
        ["--backbone", "sam_huge"],
        ["--device", "cuda:9"],
    ):
        result = CliRunner().invoke(app, ["bench", "S9", *SMALL, *wrong])
        assert result.exit_code == 2, result.output
