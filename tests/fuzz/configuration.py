"""Arms, studies, sweeps and studies of prompts, changed: a plan, or a refusal."""

from __future__ import annotations

import errno
import json
import math
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from spsam.config.places import shipped
from spsam.config.yaml_file import read_yaml, to_yaml
from spsam.errors import InputError
from spsam.studies.planning.request import Request
from spsam.studies.prompts.plan_prompts import plan_prompts
from spsam.studies.prompts.request import PromptRequest
from spsam.studies.sweep.plan_sweep import SweepRequest, plan_sweep
from spsam.studies.tuning.plan import plan_study
from tests.fuzz.campaign import Attempt, Campaign, Make, OtherError
from tests.fuzz.trees import RAW, VALUES, mutated, scratched, written

_MARK = "\ue000{}\ue000"
_WORDS = (
    "dfused",
    "vanilla",
    "none",
    "edt",
    "adamw",
    "S9",
    "base",
    "arms",
    "factorial",
    "tpe",
    "median",
)
_VALUES = (
    *VALUES,
    *_WORDS,
    *({"name": word} for word in _WORDS[:5]),
    *(
        {"low": 0.1, "high": 0.2},
        {"low": 1, "high": 10**9, "step": 1},
        {"low": -1, "high": 1, "log": True},
    ),
    *("S1..S99999999999", "S1..S9", [1e20], 1e20, 99999999999, 0.5, [0.1, 0.2]),
    *(_MARK.format(name) for name in RAW),
)
_BLOCKS = {
    "adapter": {"name": "dfused", "ratio": 0.25},
    "mask_head": {"name": "mc_adapter"},
    "prompt": {"name": "edt"},
}
Plan = Callable[[Path, Path], Any]


def start(base: Path) -> Make:
    """The shipped files, as trees."""

    def tree(name: str) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(
            json.dumps(read_yaml(shipped("ablations") / f"{name}.yaml").data)
        )
        return data

    arm = tree("base")
    arm["blocks"] = {**arm["blocks"], **_BLOCKS}
    small = {
        "base": "S9",
        "title": "Mine",
        "blocks": {"adapter": {"name": "vanilla", "ratio": 0.5}},
    }
    more = {"preset": "smoke", "seeds": [0, 3], "set": {"train.epochs": 3}}
    listed = {"title": "Some", "shape": "arms", "arms": ["S1", "S3..S4"], "folds": [0]}
    trees: dict[str, tuple[Plan, list[Any]]] = {
        "arm": (_ablation, [arm, arm, small]),
        "study": (
            _ablation,
            [
                {**each, **more}
                for each in (
                    listed,
                    *map(
                        tree,
                        ("studies/factorial", "studies/one_at_a_time", "studies/leave_one_out"),
                    ),
                )
            ],
        ),
        "sweep": (_sweep, [{**tree("sweeps/adapter"), "preset": "smoke"}]),
        "prompts": (_prompts, [{**tree("prompts"), "preset": "smoke"}]),
    }
    return lambda draw, folder: _attempt(draw, folder, base, trees)


def _attempt(
    draw: random.Random, folder: Path, home: Path, trees: dict[str, tuple[Plan, list[Any]]]
) -> Attempt:
    kind = draw.choice(["arm", "arm", "study", "sweep", "prompts"])
    plan, sound = trees[kind]
    tree, what, path = draw.choice(sound), "a byte changed", folder / "mine.yaml"
    if draw.random() < 0.2:
        path.write_bytes(scratched(draw, to_yaml(tree).encode()))
    else:
        tree, what = mutated(draw, tree, _VALUES)
        path.write_bytes(written(tree).encode("utf-8", "surrogatepass"))
    return Attempt(f"{kind}: {what}", partial(_as_commands_do, plan, path, home), _finite)


def _as_commands_do(plan: Plan, path: Path, home: Path) -> Any:
    """A name that the system finds too long ends a command as an input's mistake does."""
    try:
        return plan(path, home)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise InputError(str(error)) from error


def _ablation(path: Path, home: Path) -> Any:
    planned = plan_study(Request([str(path)], home, preset=None, dry_run=True, overrides={}))
    configs = [run.config.model_dump(mode="python") for arm in planned.arms for run in arm.runs]
    return planned.describe(), configs


def _sweep(path: Path, home: Path) -> Any:
    planned = plan_sweep(SweepRequest(str(path), home))
    return (
        planned.describe(),
        planned.config.model_dump(mode="python"),
        [vars(each) for each in planned.space],
    )


def _prompts(path: Path, home: Path) -> Any:
    planned = plan_prompts(PromptRequest(home, path))
    return (
        planned.describe(),
        planned.config.model_dump(mode="python"),
        list(map(str, planned.cells)),
    )


def _finite(found: Any) -> str:
    """Whether every number of a plan is one, and the plan can be written."""
    for number in _numbers(found):
        if not math.isfinite(number):
            raise OtherError(f"a plan with {number}")
    json.dumps(found[0], allow_nan=False)
    return "planned"


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _numbers(each)
    elif isinstance(value, list | tuple | set):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, float):
        yield value


CAMPAIGN = Campaign("configuration", start, 3000)
