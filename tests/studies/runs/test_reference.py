"""Runs by name: which are meant, which are ambiguous, and what is told of the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from spsam.checksums import to_sealed_json
from spsam.cli.main import app
from spsam.config.identity import run_id
from spsam.config.schema import ArmConfig, DataIdentity, RunConfig
from spsam.config.yaml_file import to_yaml
from spsam.errors import InputError
from spsam.registry.arms import load_arm
from spsam.results.rows import Row, write_rows
from spsam.results.run_folder import RunFolder
from spsam.studies.runs.listing import list_runs
from spsam.studies.runs.reference import find_run, find_runs


def spsam(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def config_of(arm: ArmConfig, data: str, seed: int, fold: int) -> RunConfig:
    identity = DataIdentity(
        name=data, fingerprint=f"{data:0<16}", split_name="five_fold", split_hash=f"fold{fold}",
        fold=fold, num_classes=2, class_names=("background", "heart"), in_channels=1,
    )  # fmt: skip
    return RunConfig(arm=arm, preset="smoke", data=identity, seed=seed)


def make_run(home: Path, config: RunConfig, status: str = "finished") -> RunFolder:
    """A run's folder as training leaves it, with a checkpoint of no use."""
    folder = RunFolder(home, run_id(config))
    folder.path.mkdir(parents=True)
    folder.config.write_text(to_yaml(config.model_dump(mode="json")), encoding="utf-8")
    folder.checkpoint.write_bytes(b"weights")
    scores = [("dice", 0, 1.0), ("dice", 1, 0.5 + config.seed / 10), ("hd95", 1, 3.0)]
    rows = [
        Row(folder.run_id, config.seed, config.data.fold, "a", "a", k, "x", metric, "nnunet", value)
        for metric, k, value in scores
    ]
    if status == "finished":
        write_rows(folder.rows, rows)
    folder.note(status=status, arm=config.arm.name, seed=config.seed)
    return folder


def make_study(
    home: Path,
    name: str,
    arms: tuple[str, ...] = ("S3", "S9"),
    seeds: tuple[int, ...] = (0,),
    folds: tuple[int, ...] = (0, 1),
    *,
    without: frozenset[str] = frozenset(),
) -> dict[str, RunFolder]:
    """A study on a data set of its own name, without the runs `ARM/SEED/FOLD` of `without`."""
    made: dict[str, RunFolder] = {}
    entries = []
    for arm in arms:
        configs = [
            config_of(load_arm(arm, preset="smoke"), name, seed, fold)
            for seed in seeds
            for fold in folds
        ]
        for config in configs:
            key = f"{arm}/{config.seed}/{config.data.fold}"
            folder = RunFolder(home, run_id(config))
            if key not in without and not folder.path.exists():
                make_run(home, config)
            made[key] = folder
        entries.append(
            {
                "name": arm,
                "title": arm,
                "parent": None,
                "diff": [],
                "trained_parameters": 1,
                "run_ids": [run_id(config) for config in configs],
            }
        )
    data = configs[0].data.model_dump(mode="json")
    about = {
        "name": name, "data": data, "cases": {"test": 1}, "seeds": seeds, "arms": entries,
        "folds": [{"fold": fold, "split_hash": f"fold{fold}"} for fold in folds],
    }  # fmt: skip
    (home / "ablations" / name).mkdir(parents=True)
    (home / "ablations" / name / "ablation.json").write_text(to_sealed_json(about))
    return made


def checkpoints(home: Path, word: str) -> set[str]:
    found = find_runs(word, home)
    assert found is not None
    assert {file.name for file in found.files} == {"checkpoint.pt"}
    return {file.parent.name for file in found.files}


def test_an_arm_is_its_folds_and_more_words_are_fewer_runs(tmp_path: Path) -> None:
    made = make_study(tmp_path, "acdc")
    both = {made["S9/0/0"].run_id, made["S9/0/1"].run_id}
    for word in ("S9", "acdc/S9", "S9/0", "acdc/S9/0", "S9/all", "acdc/S9/all"):
        assert checkpoints(tmp_path, word) == both
    one = {made["S9/0/1"].run_id}
    run = made["S9/0/1"]
    for word in ("S9/0/1", "acdc/S9/0/1", run.run_id, run.run_id[:6], str(run.path)):
        assert checkpoints(tmp_path, word) == one
    assert find_run("acdc/S9/0/1", tmp_path) == made["S9/0/1"]
    assert find_runs("S9/1", tmp_path) is None
    assert find_runs("other/S9", tmp_path) is None
    assert find_runs(run.run_id[:3], tmp_path) is None
    (tmp_path / "model.zip").touch()
    with pytest.raises(InputError, match="an exported model has neither cases nor predictions"):
        find_run(str(tmp_path / "model.zip"), tmp_path)
    with pytest.raises(InputError, match=r"--run S9: found 2 runs; select one of: acdc/S9/0/0, ac"):
        find_run("S9", tmp_path)


def test_seeds_are_averaged_only_where_all_are_asked_for(tmp_path: Path) -> None:
    made = make_study(tmp_path, "acdc", ("S9",), seeds=(0, 7))
    with pytest.raises(InputError, match=r"S9: has seeds 0, 7: select one \(acdc/S9/0\), or ac"):
        find_runs("S9", tmp_path)
    assert checkpoints(tmp_path, "S9/7") == {made["S9/7/0"].run_id, made["S9/7/1"].run_id}
    assert checkpoints(tmp_path, "S9/all") == {run.run_id for run in made.values()}
    assert checkpoints(tmp_path, "S9/all/1") == {made["S9/0/1"].run_id, made["S9/7/1"].run_id}


def test_an_arm_of_two_studies_is_ambiguous_unless_they_share_it(tmp_path: Path) -> None:
    make_study(tmp_path, "acdc")
    make_study(tmp_path, "hippocampus", ("S9",))
    with pytest.raises(InputError, match="several studies; select one: acdc/S9, hippocampus/S9"):
        find_runs("S9", tmp_path)
    with pytest.raises(InputError, match="select one: acdc/S9/0/1, hippocampus/S9/0/1"):
        find_runs("S9/0/1", tmp_path)
    assert len(checkpoints(tmp_path, "hippocampus/S9")) == 2
    assert len(checkpoints(tmp_path, "S3")) == 2
    # A smaller study of the same runs is no other answer.
    about = json.loads((tmp_path / "ablations" / "acdc" / "ablation.json").read_text())
    arm = {**about["arms"][0], "run_ids": about["arms"][0]["run_ids"][:1]}
    (tmp_path / "ablations" / "few").mkdir()
    (tmp_path / "ablations" / "few" / "ablation.json").write_text(
        to_sealed_json({**about, "name": "few", "arms": [arm], "folds": about["folds"][:1]})
    )
    assert len(checkpoints(tmp_path, "S3")) == 2
    assert len(checkpoints(tmp_path, "few/S3")) == 1
    (shared,) = [run for run in list_runs(tmp_path).runs if len(run.studies) > 1]
    assert shared.studies == (("acdc", "S3"), ("few", "S3"))


def test_a_run_that_is_two_arms_has_both_names(tmp_path: Path) -> None:
    made = make_study(tmp_path, "acdc", ("S9",))
    about = json.loads((tmp_path / "ablations" / "acdc" / "ablation.json").read_text())
    arm = {**about["arms"][0], "name": "adapter=dfused"}
    (tmp_path / "ablations" / "factorial").mkdir()
    (tmp_path / "ablations" / "factorial" / "ablation.json").write_text(
        to_sealed_json({**about, "name": "factorial", "arms": [arm]})
    )
    runs = {run.run_id for run in made.values()}
    for word in ("S9", "acdc/S9", "adapter=dfused", "factorial/adapter=dfused"):
        assert checkpoints(tmp_path, word) == runs
    assert find_runs("factorial/S9", tmp_path) is None
    result = spsam("runs", "--out", tmp_path, "--study=factorial", "--arm=S9", "--json")
    assert json.loads(result.stdout) == []
    result = spsam("runs", "--out", tmp_path, "--arm=adapter=dfused", "--json")
    assert {run["run_id"] for run in json.loads(result.stdout)} == runs


def test_a_studys_name_may_lack_its_hash(tmp_path: Path) -> None:
    first = make_study(tmp_path, "mine-01234567", ("S9",))
    assert checkpoints(tmp_path, "mine/S9") == {run.run_id for run in first.values()}
    make_study(tmp_path, "mine-89abcdef", ("S9",))
    with pytest.raises(InputError, match="select one: mine-01234567/S9/0, mine-89abcdef/S9/0"):
        find_runs("mine/S9/0", tmp_path)
    assert len(checkpoints(tmp_path, "mine-89abcdef/S9")) == 2


def test_missing_folds_are_told_and_runs_that_are_not_finished_refused(tmp_path: Path) -> None:
    made = make_study(tmp_path, "acdc", ("S9",), without=frozenset({"S9/0/1"}))
    found = find_runs("S9", tmp_path)
    assert found is not None
    assert [file.parent for file in found.files] == [made["S9/0/0"].path]
    assert found.notes == ["S9: omits acdc/S9/0/1, which is planned"]
    with pytest.raises(InputError, match="name is finished: acdc/S9/0/1 is planned"):
        find_runs("S9/0/1", tmp_path)
    made["S9/0/0"].checkpoint.unlink()
    with pytest.raises(InputError, match="the checkpoint was removed"):
        find_runs("S9", tmp_path)


def test_single_runs_of_other_values_are_no_ensemble(tmp_path: Path) -> None:
    arm = load_arm("S9", preset="smoke")
    longer = load_arm("S9", {"train.epochs": 3}, preset="smoke")
    first = make_run(tmp_path, config_of(arm, "acdc", 0, 0))
    assert checkpoints(tmp_path, "single/S9") == checkpoints(tmp_path, "S9") == {first.run_id}
    second = make_run(tmp_path, config_of(longer, "acdc", 0, 1))
    with pytest.raises(InputError, match="have different values or data") as caught:
        find_runs("S9", tmp_path)
    assert all(f"{run.run_id} (single/S9/0/" in str(caught.value) for run in (first, second))


def test_latest_is_what_was_finished_last(tmp_path: Path) -> None:
    import os

    with pytest.raises(InputError, match="no run is finished yet"):
        find_runs("latest", tmp_path)
    made = make_study(tmp_path, "acdc")
    os.utime(made["S3/0/1"].record, (4e9, 4e9))
    assert checkpoints(tmp_path, "latest") == {made["S3/0/1"].run_id}
    assert find_run("latest", tmp_path) == made["S3/0/1"]


def test_runs_are_listed_filtered_and_damage_is_a_line(tmp_path: Path) -> None:
    made = make_study(tmp_path, "acdc", without=frozenset({"S3/0/1"}))
    make_run(tmp_path, config_of(load_arm("S1", preset="smoke"), "acdc", 2, 0), "running")
    made["S9/0/0"].record.write_text("{")
    (tmp_path / "ablations" / "torn").mkdir()
    (tmp_path / "ablations" / "torn" / "ablation.json").write_text("{")
    (tmp_path / "runs" / "notes").mkdir()
    result = spsam("runs", "--out", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    said = {run["name"]: run for run in json.loads(result.stdout)}
    assert {name: run["state"] for name, run in said.items()} == {
        "acdc/S3/0/0": "finished", "acdc/S3/0/1": "planned", "acdc/S9/0/0": "damaged",
        "acdc/S9/0/1": "finished", "single/S1/2/0": "interrupted", "notes": "damaged",
    }  # fmt: skip
    assert said["acdc/S9/0/1"]["dice"] == pytest.approx(50)
    assert said["acdc/S3/0/1"]["when"] is None
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 3
    assert all(line.startswith("warning: ") for line in lines)
    shown = spsam(
        "runs", "--out", tmp_path, "--arm", "S9", "--state", "finished", "--study", "acdc"
    )
    table = [line.split() for line in shown.stdout.splitlines() if "finished" in line]
    assert [line[:6] for line in table] == [["acdc", "S9", "0", "1", "finished", "50.00"]]
    assert table[0][-1] == made["S9/0/1"].run_id
    assert spsam("runs", "--out", tmp_path, "--state", "done").exit_code == 2
    # What is damaged stops nothing else.
    assert checkpoints(tmp_path, "S3") == {made["S3/0/0"].run_id}


def test_an_unknown_name_is_a_sentence_with_the_nearest(tmp_path: Path) -> None:
    make_study(tmp_path, "acdc")
    out = tmp_path / "out"
    scans = tmp_path / "scans"
    scans.mkdir()
    for word, near in (("S99", "did you mean 'S9'?"), ("acdc/S8", "did you mean 'acdc/S")):
        result = spsam("predict", word, scans, "--save", out, "--out", tmp_path)
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"error: {word}: there is no such trained run: expected a folder")
        assert near in line
    result = spsam("prompts", "--run", "xyz", "--out", tmp_path)
    assert "--run xyz: there is no such trained run" in result.stderr
    assert "known arms: S3, S9 (spsam runs lists all)" in result.stderr
    assert not out.exists()


def test_a_trial_of_a_sweep_is_no_run_of_its_arm(tmp_path: Path) -> None:
    trial = make_run(tmp_path, config_of(load_arm("S9", preset="smoke"), "acdc", 0, 0))
    folder = tmp_path / "sweeps" / "search"
    folder.mkdir(parents=True)
    (folder / "trials.csv").write_text(f"number,user_attrs_run_id\n0,{trial.run_id}\n")
    assert find_runs("S9", tmp_path) is None
    assert checkpoints(tmp_path, "search/S9") == {trial.run_id}
