from __future__ import annotations

import json
from pathlib import Path

import pytest

from spsam.errors import InputError
from spsam.studies.planning.plan import Ablation
from tests.studies.conftest import Planner


def ids(ablation: Ablation) -> dict[str, str]:
    return {arm.arm.name: arm.runs[0].folder.run_id for arm in ablation.arms}


def study(text: str, name: str = "s.yaml") -> str:
    """Writes a study into the current folder."""
    Path(name).write_text(f"title: A\n{text}")
    return name


def test_leave_one_out_puts_the_base_s_components_back(plan: Planner, tmp_path: Path) -> None:
    (tmp_path / "bare.yaml").write_text("base: S9\nblocks: {adapter: none}\n")
    made = plan(study("shape: leave_one_out\nfull: S9\n"))
    slots = ["input_adapter", "depth_pos_embed", "adapter", "prompt_generator", "mask_head"]
    assert list(ids(made)) == ["S9", *[f"S9-{slot}" for slot in slots]]
    assert all(arm.base == "S9" and len(arm.diff) == 1 for arm in made.arms[1:])
    assert made.arms[0].base is None
    # The same runs as those of arms from files.
    files = ids(plan("S8", "S9", "bare.yaml"))
    assert ids(made)["S9-mask_head"] == files["S8"]
    assert ids(made)["S9-adapter"] == files["bare"]
    assert ids(made)["S9"] == files["S9"]
    chosen = plan(study("shape: leave_one_out\nfull: S9\nbase: S3\nslots: [adapter]\n"))
    assert list(ids(chosen)) == ["S9", "S9-adapter"]
    assert chosen.arms[1].arm.blocks.adapter.name == "vanilla"


def test_what_is_set_of_a_block_stays_with_the_full_arm(plan: Planner) -> None:
    text = "shape: leave_one_out\nfull: S9\nslots: [adapter]\nset: {blocks.adapter.ratio: 0.5}\n"
    full, bare = plan(study(text)).arms
    assert full.arm.blocks.adapter.params["ratio"] == 0.5
    assert bare.arm.blocks.adapter.name == "none"


def test_one_at_a_time_leaves_out_what_the_base_has(plan: Planner) -> None:
    text = """\
shape: one_at_a_time
base: S3
factors:
  blocks.adapter: [vanilla, dfused]
  blocks.adapter.ratio: [0.5]
  blocks.prompt: [{name: farthest, count: 2}]
"""
    made = plan(study(text))
    names = ["S3", "adapter=dfused", "ratio=0.5", "prompt=farthest(count=2)"]
    assert list(ids(made)) == names
    assert [arm.base for arm in made.arms] == [None, "S3", "S3", "S3"]
    assert "adapter=vanilla is omitted: it is equal to S3" in made.notes
    assert ids(made)["adapter=dfused"] == ids(plan("S6"))["S6"]
    assert made.arms[2].arm.blocks.adapter.name == "vanilla"


def test_a_factorial_has_every_combination_once(plan: Planner) -> None:
    text = """\
shape: factorial
base: S9
factors:
  blocks.adapter.dfused.ratio: [0.25, 0.5]
  blocks.adapter: [none, dfused]
  blocks.mask_head: [argmax, mc_adapter]
seeds: 2
"""
    made = plan(study(text))
    assert len(made.arms) == 6
    assert len({run.folder.run_id for _, run in made.runs}) == 12
    levels = [dict(arm.levels) for arm in made.arms]
    assert {"adapter": "none", "mask_head": "argmax"} in levels
    assert {"adapter": "dfused", "ratio": "0.5", "mask_head": "mc_adapter"} in levels
    for arm in made.arms:
        blocks = arm.arm.blocks
        assert blocks.adapter.name == arm.levels["adapter"]
        assert blocks.mask_head.name == arm.levels["mask_head"]
        if "ratio" in arm.levels:
            assert blocks.adapter.params["ratio"] == float(arm.levels["ratio"])
        assert arm.arm.name == ",".join(f"{k}={v}" for k, v in arm.levels.items())
    described = made.describe()
    assert described["study"] == {"title": "A", "shape": "factorial"}
    assert json.loads(json.dumps(described)) == described


def test_a_factor_chooses_between_one_and_several(plan: Planner) -> None:
    text = """\
shape: factorial
base: S9
factors:
  blocks.adapter: [dfused, [fact, conv_depth], [{name: fact, rank: 8}, conv_depth]]
  blocks.adapter.dfused.ratio: [0.25, 0.5]
"""
    made = plan(study(text))
    assert list(ids(made)) == [
        "adapter=dfused,ratio=0.25",
        "adapter=dfused,ratio=0.5",
        "adapter=fact+conv_depth",
        "adapter=fact(rank=8)+conv_depth",
    ]
    ranks = [made.arms[index].arm.blocks.of("adapter")[0].params["rank"] for index in (2, 3)]
    assert ranks == [32, 8]
    assert made.arms[2].diff == [
        {"key": "blocks.adapter", "parent": "dfused", "value": "fact + conv_depth"}
    ]


def test_several_components_are_left_out_as_one_block(plan: Planner, tmp_path: Path) -> None:
    (tmp_path / "both.yaml").write_text("base: S8\nblocks: {adapter: [fact, conv_depth]}\n")
    made = plan(study("shape: leave_one_out\nfull: both.yaml\nslots: [adapter]\n"))
    assert made.arms[1].arm.title == "both without adapter fact + conv_depth"
    assert made.arms[1].arm.blocks.adapter.name == "none"
    back = plan(study("shape: leave_one_out\nfull: S9\nbase: both.yaml\nslots: [adapter]\n"))
    assert [block.name for block in back.arms[1].arm.blocks.of("adapter")] == ["fact", "conv_depth"]


def test_equal_cells_of_a_product_are_refused(plan: Planner) -> None:
    text = "shape: factorial\nbase: S9\nfactors:\n  train.optimizer.lr: [1, 1.0]\n"
    with pytest.raises(InputError, match=r"lr=1.0 is omitted: it is equal to lr=1; give each"):
        plan(study(text))


def test_a_product_has_an_end(plan: Planner) -> None:
    values = list(range(1, 40))
    text = f"shape: factorial\nbase: S9\nfactors:\n  train.epochs: {values}\n"
    text += f"  train.iterations: {values}\n"
    # The values are tried one by one, the products are not.
    with pytest.raises(InputError, match=r"s.yaml:4: factors: give more than 1000 arms"):
        plan(study(text))


def test_arms_are_listed_with_paths_beside_the_file(plan: Planner, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "mine.yaml").write_text("base: S3\ntrain: {epochs: 7}\n")
    made = plan(study("shape: arms\narms: [S1..S2, mine.yaml]\n", "deep/s.yaml"))
    assert list(ids(made)) == ["S1", "S2", "mine"]
    assert [arm.base for arm in made.arms] == [None, "S1", "S2"]


def test_the_command_line_wins_over_the_file(plan: Planner) -> None:
    text = "shape: arms\narms: [S1]\nseeds: [3, 5]\npreset: smoke\nset: {train.epochs: 3}\n"
    made = plan(study(text), preset=None)
    assert (made.preset, list(made.request.seeds)) == ("smoke", [3, 5])
    assert made.arms[0].arm.train.epochs == 3
    made = plan("s.yaml", seeds=[1], preset="demo", overrides={"train.epochs": 4})
    assert (made.preset, list(made.request.seeds)) == ("demo", [1])
    assert made.arms[0].arm.train.epochs == 4


def test_folds_have_splits_and_plans_of_their_own(plan: Planner) -> None:
    text = "shape: arms\narms: [S1, S2]\nseeds: 2\nfolds: [0, 1, 4]\n"
    made = plan(study(text), split="five_fold")
    assert len(made.runs) == 2 * 2 * 3
    order = [(arm.arm.name, run.config.seed, run.config.data.fold) for arm, run in made.runs]
    assert order[:4] == [("S1", 0, 0), ("S2", 0, 0), ("S1", 0, 1), ("S2", 0, 1)]
    tested = [set(split.test) for split in made.splits.values()]
    assert not tested[0] & tested[1]
    for _, run in made.runs:
        assert run.split is made.splits[run.config.data.fold]
        assert run.config.data.split_hash == run.split.hash
    about = made.describe()
    assert about["cases"]["test"] == len(set().union(*tested))
    assert [fold["fold"] for fold in about["folds"]] == [0, 1, 4]
    # A fold's run is that of the fold alone.
    alone = plan("S1", split="five_fold", folds=[1], seeds=[1])
    assert alone.arms[0].runs[0].folder.run_id == made.arms[0].runs[4].folder.run_id


def test_a_study_stands_alone(plan: Planner) -> None:
    with pytest.raises(InputError, match=r"s.yaml is a study: give it alone"):
        plan("S1", study("shape: arms\narms: [S1]\n"))


def test_a_shipped_study_is_known_by_its_name(plan: Planner) -> None:
    made = plan("factorial", seeds=[0])
    assert len(made.arms) == 8
    assert made.name.startswith("factorial-tiny-smoke-")


WRONG = """\
shape: factorial
base: S99
set: {train.epoch: 3}
factors:
  blocks.adapter: [none, dfusde]
  blocks.adapter.vanilla.ratio: [0.1, 0.2]
  train.optimiser.lr: [1e-3, 1e-2]
"""


def test_mistakes_of_factors_have_their_lines(plan: Planner) -> None:
    with pytest.raises(InputError) as caught:
        plan(study(WRONG.replace("S99", "S9")))
    said = [str(problem) for problem in caught.value.problems]
    for begins, holds in (
        ("s.yaml:4: set.train.epoch: ", "did you mean 'epochs'?"),
        ("s.yaml:6: factors.blocks.adapter: with 'dfusde': ", "did you mean 'dfused'?"),
        ("s.yaml:7: factors.blocks.adapter.vanilla.ratio: ", "no choice 'vanilla'"),
        ("s.yaml:8: factors.train.optimiser.lr: ", "did you mean 'optimizer'?"),
    ):
        assert any(line.startswith(begins) and holds in line for line in said), (begins, said)
    assert len(said) == 4
    with pytest.raises(InputError, match=r"s.yaml:3: base: unknown arm 'S99'; did you mean 'S9'"):
        plan(study(WRONG))


def test_mistakes_of_slots(plan: Planner) -> None:
    text = "shape: leave_one_out\nfull: S3\nslots: [adaptr, mask_head]\n"
    with pytest.raises(InputError) as caught:
        plan(study(text))
    said = [str(problem) for problem in caught.value.problems]
    assert said[0] == "s.yaml:4: slots: unknown slot 'adaptr'; did you mean 'adapter'?"
    assert "mask_head of S3 is the same in its base" in said[1]
    with pytest.raises(InputError, match="no block that its base lacks"):
        plan(study("shape: leave_one_out\nfull: base\n"))
