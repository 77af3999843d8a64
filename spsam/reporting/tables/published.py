"""Numbers printed in the paper."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spsam.config.places import shipped


@dataclass(frozen=True)
class PublishedRow:
    """The row of one method.

    Attributes:
        method: Name in the paper.
        mean: Mean Dice in percent, as printed.
        classes: Dice by class, percent.
        place: File and line, e.g. `published/table3_acdc.csv:4`.
    """

    method: str
    mean: float
    classes: Mapping[str, float]
    place: str

    @property
    def own_mean(self) -> float:
        """The mean over the classes of the row."""
        return sum(self.classes.values()) / len(self.classes)

    def disagrees(self, digits: int) -> bool:
        """Whether the printed mean differs from the mean of the row by more than rounding.

        Args:
            digits: Number of printed digits.
        """
        # The mean and all classes are rounded by up to half a digit.
        return abs(self.own_mean - self.mean) > 10.0**-digits + 1e-9


def published_methods(name: str) -> list[PublishedRow]:
    """Reads the methods of one of the paper's comparison tables.

    Args:
        name: Stem of the file, e.g. `table3_acdc`.
    """
    file = shipped("reports") / "published" / f"{name}.csv"
    return [
        PublishedRow(
            method=line["method"],
            mean=float(line["mean"]),
            classes={k: float(v) for k, v in line.items() if k not in ("method", "mean")},
            place=f"published/{file.name}:{number}",
        )
        for number, line in enumerate(_lines(file), start=2)
    ]


def published_ablation() -> dict[str, tuple[float, str]]:
    """The paper's ablation on ACDC: arm -> mean Dice in percent, and its file and line."""
    file = shipped("reports") / "published" / "table4_ablation_acdc.csv"
    return {
        line["arm"]: (float(line["dsc"]), f"published/{file.name}:{number}")
        for number, line in enumerate(_lines(file), start=2)
    }


def _lines(file: Path) -> Sequence[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))
