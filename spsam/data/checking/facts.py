"""Facts about a data set's cases, and the report with errors and warnings."""

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
    """Facts about one case; an unreadable case has errors only.

    Attributes:
        id: Id of the case.
        patient: Id of the patient.
        errors: Problems that would stop the training.
        warnings: Problems that would not stop the training, but may spoil its result.
        geometry: Geometry of the image.
        voxels: Number of voxels of each class; empty without a reference.
        digest: Hash of the image's voxels.
        low: Smallest intensity of the first channel.
        inside: Median intensity of the first channel in the foreground; None without foreground.
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
    """Result of `examine`.

    Attributes:
        dataset: The examined data set.
        facts: One entry per case, in the data set's order.
        split: The first fold of the split that training would use; None if there is none.
        errors: Problems that would stop the training.
        warnings: Problems that the user should check.
    """

    dataset: DataSet
    facts: list[Facts]
    split: Split | None = None
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    @property
    def orientations(self) -> Mapping[str, int]:
        """Orientation code -> number of cases, the most frequent first."""
        found = (orientation(each.geometry) for each in self.facts if each.geometry)
        return dict(Counter(found).most_common())

    @property
    def ignored(self) -> float:
        """Mean share of voxels with the ignore label over the readable cases."""
        shares = [each.ignored for each in self.facts if each.voxels]
        return sum(shares) / len(shares) if shares else 0.0

    @property
    def cases_of_class(self) -> Mapping[str, int]:
        """Class -> number of readable cases that contain it."""
        return {
            name: sum(bool(each.voxels and each.voxels[index]) for each in self.facts)
            for index, name in enumerate(class_labels(self.dataset.class_names))
            if index
        }
