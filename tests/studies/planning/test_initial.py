"""`--init-from`: which run is meant, what is said of it, and that it begins with its weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from spsam.cli.main import app
from spsam.config.overrides import parse_overrides
from spsam.engine.checkpoint import read_whole, result_of
from spsam.engine.recipe import read_recipe
from spsam.engine.training import train as loop
from spsam.engine.training.run_training import network_of
from spsam.errors import InputError
from spsam.results.run_folder import RunFolder
from spsam.studies.planning.initial import _seen
from spsam.studies.planning.planner import plan_ablation
from spsam.studies.planning.request import Request
from spsam.studies.runs.listing import read_config

FEW = ["train.epochs=1", "train.generator_epochs=0", "backbone.weights=random"]


def spsam(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def train(home: Path, *more: object, arm: str = "S9", out: Path | None = None) -> Result:
    """Seed 5 of an arm on the data set that `two_runs` has, with as few steps."""
    sets = [word for value in FEW for word in ("--set", value)]
    return spsam(
        "train", arm, "--data", home / "acdc", "--preset", "smoke", "--out", out or home,
        "--seed", 5, *sets, *more,
    )  # fmt: skip


def plan(home: Path, *more: object, **options: Any) -> dict[str, Any]:
    result = train(home, *more, "--dry-run", "--no-measure", "--json", **options)
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def test_every_form_of_a_name_is_the_same_run_and_another_than_from_scratch(
    two_runs: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.zip"
    assert spsam("export", "S9/0", model, "--out", two_runs).exit_code == 0
    run = read_recipe(two_runs / "run0" / "checkpoint.pt")
    names = ["S9/0", "single/S9/0/0", (two_runs / "run0").resolve(), model]
    names += [(two_runs / "run0").resolve().name, two_runs / "run0" / "checkpoint.pt"]
    ids = {plan(two_runs, "--init-from", name)["arms"][0]["run_id"] for name in names}
    assert len(ids) == 1
    scratch = plan(two_runs)["arms"][0]
    other = plan(two_runs, "--init-from", "S9/1")["arms"][0]
    assert len({*ids, scratch["run_id"], other["run_id"]}) == 3
    assert "initial" not in scratch
    told = plan(two_runs, "--init-from", "S9/0")
    (words,) = told["arms"][0]["initial"]
    assert "adapter, prompt_generator, mask_head of S9 seed 0 fold 0 on " in words
    assert f"S9 is initialised with {words}" in told["notes"]
    assert run.training


def test_what_is_not_taken_is_said_before_training(two_runs: Path) -> None:
    result = train(two_runs, "--init-from", "S9/0", "--dry-run", "--no-measure", arm="S6")
    assert result.exit_code == 0, result.output
    shown = " ".join(result.stdout.split())
    assert "S6 is initialised with adapter, prompt_generator of S9 seed 0" in shown
    assert "S6 initialises the rest as usual: " in shown
    assert "mask_head: S6 has no such block" in shown


@pytest.mark.parametrize(
    ("learnt", "fingerprint", "split_hash", "validated", "refused", "notes"),
    [
        ("ab", "f", "other", True, False, 0),
        ("ac", "f", "other", False, False, 0),
        ("ac", "f", "other", True, True, 0),
        ("ad", "f", "other", False, True, 0),
        # The same split, other data, and nobody knows.
        ("ad", "f", "same", True, False, 0),
        ("ad", "g", "other", True, False, 0),
        ("", "f", "other", True, False, 1),
    ],
)
def test_what_a_run_learnt_from_is_never_scored(  # noqa: PLR0917 - a row of the table
    learnt: str, fingerprint: str, split_hash: str, validated: bool, refused: bool, notes: int
) -> None:
    data = SimpleNamespace(fingerprint=fingerprint, split_hash=split_hash, name="d")
    recipe: Any = SimpleNamespace(config=SimpleNamespace(data=data), training=tuple(learnt))
    split = SimpleNamespace(hash="same", train=("a", "b"), val=("c",), test=("d",))
    inputs: Any = SimpleNamespace(dataset=SimpleNamespace(fingerprint="f"), splits={0: split})
    if refused:
        with pytest.raises(InputError, match=r"was trained on 1 of the cases that fold 0 scores"):
            _seen(recipe, inputs, 0, validated=validated)
    else:
        assert len(_seen(recipe, inputs, 0, validated=validated)) == notes


def test_a_model_given_away_does_not_say_what_it_learnt_from(
    two_runs: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.zip"
    assert spsam("export", "S9/0", model, "--out", two_runs).exit_code == 0
    told = plan(two_runs, "--init-from", model, "--split", "five_fold", "--fold", 1)
    assert any("it may have been trained on cases that are scored" in n for n in told["notes"])


@pytest.mark.parametrize(
    ("word", "arm", "more", "said"),
    [
        ("S8", "S9", [], "--init-from S8: there is no such trained run"),
        ("gone.zip", "S9", [], "--init-from gone.zip: there is no such trained run"),
        ("S9", "S9", [], "has seeds 0, 1: select one"),
        ("S9/all", "S9", [], "found 2 runs; expected one, or one for fold 0"),
        ("S9/0", "unet2d", [], "unet2d has the network unet2d, but the trained run has"),
        ("S9/0", "S1", [], "S1 can load no block of"),
        ("S9/0", "S9", ["--split", "five_fold", "--fold", "0..4"], "was trained on"),
    ],
)
def test_wrong_use_is_one_sentence(
    two_runs: Path, word: str, arm: str, more: list[str], said: str
) -> None:
    result = train(two_runs, "--init-from", word, *more, "--dry-run", "--no-measure", arm=arm)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_it_begins_with_the_weights_and_records_where_they_come_from(
    two_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    save = loop.save_whole

    def noted(path: Path, state: dict[str, Any], **options: Any) -> None:
        seen.append({key: value.clone() for key, value in state["blocks"].items()})
        save(path, state, **options)

    monkeypatch.setattr(loop, "save_whole", noted)
    file = two_runs / "run0" / "checkpoint.pt"
    result = train(two_runs, "--init-from", file, "--json", out=tmp_path)
    assert result.exit_code == 0, result.output
    folder, source = RunFolder(tmp_path, json.loads(result.stdout)["run_id"]), read_recipe(file)
    assert seen[0].keys() == source.blocks.keys()
    assert all(torch.equal(seen[0][key], value) for key, value in source.blocks.items())
    trained = result_of(read_whole(folder.checkpoint))
    assert any(not torch.equal(trained[key], source.blocks[key]) for key in trained)
    record = folder.read()["initial"]
    assert record["run_id"] == (two_runs / "run0").resolve().name
    assert record["sha256"] == read_config(folder).initial_sha256
    assert (record["arm"], record["seed"], record["left"]) == ("S9", 0, {})
    assert str(two_runs) not in json.dumps(record)


def test_a_run_that_has_begun_needs_the_earlier_one_no_more(two_runs: Path, tmp_path: Path) -> None:
    request = Request(
        ["S9"], tmp_path, str(two_runs / "acdc"), "smoke", [5], device="cpu",
        overrides=parse_overrides(FEW),
        init_from=str(two_runs / "run0"),
    )  # fmt: skip
    ((_, run),) = plan_ablation(request).runs
    assert run.initial is not None
    lost = replace(run, initial=replace(run.initial, file=tmp_path / "lost.pt"))
    with pytest.raises(InputError, match=r"lost.pt: there is no such checkpoint"):
        network_of(lost, torch.device("cpu"))
    lost.folder.path.mkdir(parents=True)
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        (lost.folder.path / name).write_bytes(b"its own")
        network_of(lost, torch.device("cpu"))
        (lost.folder.path / name).unlink()
