from __future__ import annotations

from pathlib import Path

import pytest

from spsam.config.schema import Block
from spsam.errors import InputError
from spsam.studies.planning.space import overrides
from spsam.studies.sweep.plan_sweep import sweep_path
from spsam.studies.sweep.search import PRUNERS, SAMPLERS, make_pruner, make_sampler
from tests.studies.sweep.fakes import SPACE, planned

WRONG = """\
title: A search
arm: S9
preset: smoke
set: {train.epochs: 3, train.batchsize: 1}
space:
  blocks.adapter: [none, vanila]
  blocks.adapter.ratio: {low: 0.1, high: 0.5}
  blocks.adapter.dfused.ratio: {low: 0.1, high: 0.5}
  blocks.prompt.edt.points: [1, 2]
  components.prompt_generator.msp.finest: [4, 2]
  train.optimiser.lr: {low: 1e-4, high: 1e-1}
  train.epochs: [3, 4]
  train.iterations: {low: 0, high: 4}
sampler: tpee
pruner: {name: median, n_startup_trial: 3}
"""


def test_all_mistakes_of_a_space_are_said_at_once_with_their_lines(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        planned(tmp_path, WRONG)
    file = tmp_path / "search.yaml"
    said = str(caught.value).replace(f"{file}:", "").splitlines()
    expected = [
        ("4: set.train.batchsize: ", "batch_size"),
        ("6: space.blocks.adapter: with 'vanila': ", "did you mean 'vanilla'?"),
        ("7: space.blocks.adapter.ratio: ", "add the component's name"),
        ("8: space.blocks.adapter.dfused.ratio: ", "has no choice 'dfused'"),
        ("9: space.blocks.prompt.edt.points: ", "no key here chooses the prompt"),
        ("10: space.components.prompt_generator.msp.finest: ", "blocks.prompt_generator.finest"),
        ("11: space.train.optimiser.lr: ", "did you mean 'optimizer'?"),
        ("12: space.train.epochs: ", "fixed by 'set'"),
        ("13: space.train.iterations: with 0: ", "greater than or equal to 1"),
        ("14: sampler: unknown sampler 'tpee'", "did you mean 'tpe'?"),
        ("15: pruner: ", "did you mean 'n_startup_trials'?"),
    ]
    for begins, holds in expected:
        assert any(line.startswith(begins) and holds in line for line in said), (begins, said)
    assert len(said) == len(expected)
    assert [path.name for path in tmp_path.iterdir()] == ["search.yaml"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{low: 2, high: 1}", "expected low below high"),
        ("{low: 0, high: 1, log: true}", "expected low above 0"),
        ("{low: 1, high: 9, step: 2, log: true}", "expected log or step, got both"),
        ("{low: 1, hihg: 2}", "did you mean 'high'?"),
        ("[4]", "at least two choices"),
        ("[4, 4]", "contains 4 twice"),
        ("4", "a list of choices or {low"),
    ],
)
def test_entries_that_are_no_space(entry: str, said: str, tmp_path: Path) -> None:
    text = f"title: A\narm: S9\nspace:\n  train.epochs: {entry}\n"
    with pytest.raises(InputError) as caught:
        planned(tmp_path, text)
    assert any(f":{4}: " in line and said in line for line in str(caught.value).splitlines())


def test_several_objectives_are_not_pruned(tmp_path: Path) -> None:
    text = SPACE + "objectives: [dice, trained_parameters]\npruner: median\n"
    with pytest.raises(InputError, match="several objectives"):
        planned(tmp_path, text)


def test_numbers_are_of_the_settings_kind(tmp_path: Path) -> None:
    text = "title: A\narm: S9\nspace:\n  train.clip_norm: {low: 1, high: 9}\n"
    sweep = planned(tmp_path, text + "  train.epochs: {low: 1, high: 9}\n")
    assert [dimension.whole for dimension in sweep.space] == [False, True]


def test_no_test_case_is_in_a_sweep(tmp_path: Path) -> None:
    from spsam.data.split import split_cases
    from tests.studies.fakes import tiny_dataset

    whole = split_cases(tiny_dataset(), validate=True)
    split = planned(tmp_path).context.split
    assert split.train == whole.train
    assert split.test == split.val == whole.val
    assert not set(whole.test) & {*split.train, *split.val, *split.test}


def test_a_split_without_validation_cases_has_some_held_back(tmp_path: Path) -> None:
    file = tmp_path / "split.json"
    file.write_text('{"train": ["patient0", "patient2", "patient3"], "test": ["patient1"]}')
    split = planned(tmp_path, split=str(file)).context.split
    assert (len(split.train), len(split.test)) == (2, 1)
    assert "case1" not in {*split.train, *split.test}


def test_too_few_patients_to_hold_any_back_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "split.json"
    file.write_text('{"train": ["patient0"], "test": ["patient1"]}')
    with pytest.raises(InputError, match="no validation cases"):
        planned(tmp_path, split=str(file))


def test_shipped_sweeps_are_found_by_name() -> None:
    assert sweep_path("adapter").is_file()
    with pytest.raises(InputError, match="did you mean 'adapter'"):
        sweep_path("adaptr")


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_suggests(name: str) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    for number in range(3):
        study.sampler = make_sampler(Block(name=name), number)
        study.optimize(lambda trial: trial.suggest_int("x", 0, 99), n_trials=1)
    assert len({trial.params["x"] for trial in study.trials}) > 1


@pytest.mark.parametrize("name", PRUNERS)
def test_every_pruner_is_made(name: str) -> None:
    needed = {"percentile": {"percentile": 25.0}, "threshold": {"upper": 1.0}}
    assert make_pruner(Block(name=name, params=needed.get(name, {}))) is not None


def test_a_grid_is_a_study() -> None:
    with pytest.raises(InputError, match=r"not supported.* `shape: factorial`"):
        make_sampler(Block(name="grid"))


def test_cmaes_has_one_objective(tmp_path: Path) -> None:
    text = SPACE + "objectives: [dice, trained_parameters]\nsampler: cmaes\n"
    with pytest.raises(InputError, match="'cmaes': expected one objective"):
        planned(tmp_path, text)


def test_the_first_trial_is_the_arm_as_it_is(tmp_path: Path) -> None:
    text = "title: A\narm: S9\npreset: smoke\nspace:\n  blocks.adapter: [none, dfused]\n"
    text += "  blocks.adapter.dfused.ratio: {low: 0.1, high: 0.5}\n"
    sweep = planned(tmp_path, text)
    start = sweep.start()
    assert start == {"blocks.adapter": "dfused", "blocks.adapter.dfused.ratio": 0.25}
    run = sweep.plan_trial(0, overrides(sweep.space, start)).runs[0]
    assert run.folder.run_id == sweep.base.runs[0].folder.run_id
    # The space may not hold it.
    assert planned(tmp_path, text.replace("high: 0.5", "high: 0.2")).start() is None
    assert (
        planned(
            tmp_path,
            text.replace("none, dfused", "none, vanilla").replace("dfused.ratio", "vanilla.ratio"),
        ).start()
        is None
    )


def test_a_choice_may_be_several_components(tmp_path: Path) -> None:
    text = """\
title: One or two
arm: fact_conv_depth
preset: smoke
space:
  blocks.adapter: [lora, [fact, conv_depth]]
  blocks.adapter.lora.rank: {low: 2, high: 8}
"""
    sweep = planned(tmp_path, text)
    (slot, rank) = sweep.space
    assert slot.holds(["fact", "conv_depth"])
    assert not slot.holds("fact")
    found = overrides(sweep.space, {"blocks.adapter": slot.named(["fact", "conv_depth"])})
    assert found == {"blocks.adapter": ["fact", "conv_depth"]}
    assert rank.needs == ("blocks.adapter", "lora")


def test_a_samplers_parameters_are_checked() -> None:
    with pytest.raises(InputError, match="'tpe' has no parameter 'n_startup'; did you mean"):
        make_sampler(Block(name="tpe", params={"n_startup": 3}))
    with pytest.raises(InputError, match="rejects these values"):
        make_pruner(Block(name="percentile", params={"percentile": 300.0}))
