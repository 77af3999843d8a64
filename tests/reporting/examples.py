"""A small ablation for the tests of the reports."""

from __future__ import annotations

import math
from collections.abc import Sequence

from spsam.reporting.ablation_table import ArmResult, Provenance, SeedResult
from spsam.results.rows import Row

CLASSES = ("background", "right_ventricle", "my & o 100%")


def rows(*cases: Sequence[float]) -> list[Row]:
    """One case an argument, with its Dice of every class."""
    return [
        Row("id", 0, 0, f"case{n}", f"patient{n}", k, CLASSES[k], "dice", "nnunet", value)
        for n, values in enumerate(cases)
        for k, value in enumerate(values)
    ]


def arm(
    name: str, parent: str | None, *seeds: list[Row] | str, title: str = "", parameters: int = 1000
) -> ArmResult:
    """An arm whose seeds are rows, or a status where there are none."""
    runs = [
        SeedResult(seed, result)
        if isinstance(result, str)
        else SeedResult(seed, "finished", result)
        for seed, result in enumerate(seeds)
    ]
    return ArmResult(name, title or f"title of {name}", parent, parameters, runs)


PROVENANCE = Provenance(
    data="my_data",
    fingerprint="0123abcd",
    split="default",
    split_hash="4567ef",
    fold=0,
    cases=2,
    seeds=(0, 1),
    preset="cpu",
    convention="nnunet",
)

ARMS = [
    arm("S1", "base", rows([1.0, 0.5, math.nan], [1.0, 0.7, 0.2]), rows([1.0, 0.8, 0.4])),
    arm("S2", "S1", rows([1.0, 0.9, 0.9]), rows([1.0, 0.7, 0.9]), parameters=1_234_567),
    arm("S3", "S2", "failed", "failed", title="a_b & c% [bold] {x} ~^\\ <y> |z|"),
    arm("mine", "S2", rows([1.0, 0.9, 0.9]), "failed"),
    arm("late", "S3", "planned", "running"),
]
