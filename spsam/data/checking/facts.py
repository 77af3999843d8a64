"""What is known of a data set's cases, and what there is to say of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from spsam.data.cases import DataSet
from spsam.data.geometry import Geometry, orientation
from spsam.data.split import Split
from spsam.errors import Problem
from spsam.text.classes import class_labels


@dataclass(frozen=True)
class Facts:
    """What one case is; of an unreadable one only the problems.

    Attributes:
        id: The case.
        patient: Whose.
        errors: Training would break on them.
        warnings: Training would run, but perhaps not on what was meant.
        geometry: Of the image.
        voxels: For each class its number of voxels; empty without a reference.
        digest: Of the image's voxels.
        low: Smallest intensity of the first channel.
        inside: Its median over the foreground; None without any.
        zeros: Share of voxels that are zero in every channel.
        ignored: Share of voxels with the ignore label.
    """

    id: str
    patient: str
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    geometry: Geometry | None = None
    voxels: tuple[int, ...] = ()
    digest: str = ""
    low: float = 0.0
    inside: float | None = None
    zeros: float = 0.0
    ignored: float = 0.0


@dataclass
class DataReport:
    """What `examine` found.

    Attributes:
        dataset: What was examined.
        facts: One a case, in the data set's order.
        split: The one that training would take, its first fold; None if there is none.
        errors: Where training would break.
        warnings: What the user should look at.
    """

    dataset: DataSet
    facts: list[Facts]
    split: Split | None = None
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    @property
    def orientations(self) -> Mapping[str, int]:
        """Code -> number of cases, the commonest first."""
        found = (orientation(each.geometry) for each in self.facts if each.geometry)
        return dict(Counter(found).most_common())

    @property
    def ignored(self) -> float:
        """Mean share of voxels with the ignore label over the readable cases."""
        shares = [each.ignored for each in self.facts if each.voxels]
        return sum(shares) / len(shares) if shares else 0.0

    @property
    def cases_of_class(self) -> Mapping[str, int]:
        """In how many readable cases a class has a voxel."""
        return {
            name: sum(bool(each.voxels and each.voxels[index]) for each in self.facts)
            for index, name in enumerate(class_labels(self.dataset.class_names))
            if index
        }
