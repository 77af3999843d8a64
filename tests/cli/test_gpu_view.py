"""`--device-memory`: a plan for a GPU that is not here."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from spsam.cli.gpu_view import _lines, _time
from spsam.cli.main import app
from spsam.cli.options import parse_memory
from spsam.cli.plan_view import _large_lines
from spsam.config.train import TrainConfig
from spsam.errors import InputError

COMMAND = ["train", "S9", "--data", "phantom", "--preset", "smoke", "--dry-run"]


def test_a_plan_for_a_gpu_that_is_not_here(tmp_path: Path) -> None:
    values = ["--set", "train.precision=half", "--device-memory", "2GB", "--json"]
    result = CliRunner().invoke(app, [*COMMAND, *values, "--out", str(tmp_path / "home")])
    assert result.exit_code == 0, result.output
    plan = json.loads(result.stdout)
    (way,) = plan["arms"][0]["gpu"]
    assert plan["device_memory"] == 2e9
    assert way["fits"]
    # What half precision is on a GPU, not on this machine.
    assert way["precision"] == "fp16"
    assert set(way["memory"]["kept_by_part"]) >= {"encoder", "generator", "decoder", "loss"}
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("text", ["many", "-3", "0", "nan", "inf", "1e9", "24TB"])
def test_a_memory_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected GB of GPU memory"):
        parse_memory(text)


@pytest.mark.parametrize("text", ["24", "24GB", " 24 gb"])
def test_memory_in_gigabytes(text: str) -> None:
    assert parse_memory(text) == 24.0


def test_without_a_dry_run_nothing_is_planned() -> None:
    for words in (["train", "S9"], ["ablate", "S9"]):
        result = CliRunner().invoke(app, [*words, "--device-memory", "24GB"])
        assert result.exit_code == 2
        assert "requires --dry-run" in result.output


def way(pieces: int, twice: bool, fits: bool) -> dict[str, Any]:
    memory = {
        "peak": 3e10,
        "weights": 1e9,
        "gradients": 1e9,
        "optimizer": 1e9,
        "kept": 2e10,
        "kept_by_part": {"encoder": 2e10, "prompts": 0},
        "overhead": 1e9,
        "operations": 10**15,
    }
    told = {"accumulate": pieces, "checkpoint_activations": twice, "fits": fits}
    return {**told, "precision": "fp16", "memory": memory}


def test_what_to_give_so_that_it_fits_and_what_to_do_where_nothing_does() -> None:
    text = "\n".join(_lines([way(1, False, False), way(2, True, True)], 24))
    assert "use --set train.accumulate=2 --set train.checkpoint_activations=true" in text
    text = "\n".join(_lines([way(1, False, False)], 24))
    assert "nothing fits into 24 GB: choose a smaller patch" in text


def test_thousands_of_hours_are_called_too_long() -> None:
    short, long = _time([way(1, False, True)], 100), _time([way(1, False, True)], 10**6)
    assert len(short) == 1
    assert "too long for one GPU" in long[-1]


def test_thousands_of_hours_on_a_cpu_come_with_advice() -> None:
    train = TrainConfig(epochs=1000, iterations=250)
    ablation: Any = SimpleNamespace(
        arms=[SimpleNamespace(arm=SimpleNamespace(train=train))], preset="paper"
    )
    large = {"arm": "S9", "peak": 5e10, "free": 1e10, "joint_step": 300.0, "seconds": 7.5e7}
    text = "\n".join(_large_lines(ablation, large))
    assert "20,833 hours per run are not practical" in text
    assert "--device-memory 24GB" in text
    assert "hours per run" not in "\n".join(_large_lines(ablation, {**large, "seconds": 1e6}))
