"""The tuning stage of a study: a sweep's space and search, the same for every arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spsam.config.choices import choice_or_range_problems
from spsam.config.problems import Place, PlaceOf, check, dotted
from spsam.config.sweep import SweepConfig
from spsam.config.yaml_file import KeyPath
from spsam.errors import Problem

SEARCH = ("trials", "sampler", "pruner", "prune_by", "prune_every", "seed")
"""Keys of `tune` that say how values are searched; every other one is a value's dotted key."""


@dataclass(frozen=True)
class Tune:
    """How the values of every arm are chosen on validation cases, before its runs.

    Attributes:
        space: Dotted key -> choices or a range, as a sweep's.
        search: A sweep's own settings.
        path: Where it stands in the study's file.
    """

    space: Mapping[str, Any]
    search: Mapping[str, Any] = field(default_factory=dict)
    path: KeyPath = ("tune",)

    @property
    def section(self) -> str:
        """Its place in words."""
        return dotted(self.path)

    def sweep(self, arm: str, title: str) -> SweepConfig:
        """The sweep of one arm."""
        found, problems = check(SweepConfig, self._data(arm, title), lambda path: Place(None, None))
        assert not problems, "the study's file was checked"
        assert isinstance(found, SweepConfig)
        return found

    def problems(self, place: PlaceOf) -> list[Problem]:
        """Every mistake in it, where it was written."""
        if not self.space:
            said = f"{self.section}: expected a dotted key to tune, such as train.optimizer.lr"
            return [place(self.path).problem(said)]
        found = []
        for key, entry in self.space.items():
            found += choice_or_range_problems(entry, place, (*self.path, key))
        _, wrong = check(SweepConfig, self._data("arm", "title"), lambda path: place(self.path))
        return [*found, *wrong]

    def _data(self, arm: str, title: str) -> dict[str, Any]:
        return {"title": title, "arm": arm, "space": dict(self.space), **self.search}


def as_tune(entry: Mapping[str, Any], path: KeyPath = ("tune",)) -> Tune:
    """Tells the keys of a `tune` section apart.

    Args:
        entry: The section.
        path: Where it stands.
    """
    space = {key: value for key, value in entry.items() if key not in SEARCH}
    return Tune(space, {key: entry[key] for key in SEARCH if key in entry}, path)
