"""Inputs that all runs of a study share: data, splits, the preset's protocol and the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spsam.config.problems import gather, raise_all
from spsam.config.schema import ArmConfig, DataIdentity, RegionConfig
from spsam.config.yaml_file import YamlFile
from spsam.errors import InputError, Problem
from spsam.registry.protocols import Protocol, find_protocol
from spsam.studies.backend import Backend
from spsam.studies.planning.request import Request

if TYPE_CHECKING:
    from spsam.data.cases import DataSet
    from spsam.data.split import Split


@dataclass(frozen=True)
class StudyInputs:
    """Inputs that all runs of a study share.

    Attributes:
        preset: The preset's name.
        protocol: The preset's protocol for the data set; None if it has none.
        dataset: The data set.
        splits: Fold -> split.
        device: The device that executes the runs.
    """

    preset: str
    protocol: Protocol | None
    dataset: DataSet
    splits: Mapping[int, Split]
    device: str

    def identity(self, fold: int) -> DataIdentity:
        """Returns the data's part of the configuration of a run on a fold."""
        from spsam.data.plan import VERSION

        dataset, split = self.dataset, self.splits[fold]
        return DataIdentity(
            name=dataset.name,
            fingerprint=dataset.fingerprint,
            split_name=split.name,
            split_hash=split.hash,
            fold=fold,
            num_classes=dataset.num_classes,
            class_names=dataset.class_names,
            in_channels=dataset.in_channels,
            preparation=VERSION[dataset.modality],
            regions=tuple(
                RegionConfig(name=each.name, classes=each.classes) for each in dataset.regions
            ),
            ignore_id=dataset.ignore_id,
        )

    def check_classes(self, arm: ArmConfig) -> None:
        """Checks that the data set has the classes to which an arm refers.

        Raises:
            InputError: If a class is missing.
        """
        named = arm.inference.keep_largest
        dataset = self.dataset
        what = "regions" if dataset.regions else "classes"
        here = [region.name for region in dataset.regions] or dataset.class_names[1:]
        lacking = [] if isinstance(named, bool) else [each for each in named if each not in here]
        if lacking:
            raise InputError(
                f"{arm.name}: inference.keep_largest contains {', '.join(lacking)}, but the "
                f"{what} of {dataset.name} are {', '.join(here)}"
            )

    def check_validation(self, arm: ArmConfig) -> None:
        """Checks that there are validation cases if an arm evaluates them.

        Raises:
            InputError: If there are none.
        """
        from spsam.data.split import title

        every = arm.train.validate_every
        lacking = [title(split, fold) for fold, split in self.splits.items() if not split.val]
        if every and lacking:
            raise InputError(
                f"{arm.name}: train.validate_every is {every}, but there are no validation cases "
                f"in {', '.join(lacking)}; use --validate {every}, which holds out an eighth of "
                "the training patients, or a split file with val"
            )


def open_inputs(
    request: Request, preset: YamlFile | None, backend: Backend, *, validate: bool
) -> StudyInputs:
    """Opens a request's data set and determines its splits, its protocol and the device.

    Args:
        request: The request, with its folds.
        preset: The preset; None if it is invalid, which the caller has already recorded.
        backend: The engine.
        validate: Whether to hold out validation cases.

    Raises:
        InputError: With every problem of the device, the data, the protocol and the split.
    """
    from spsam.data.dataset import open_dataset
    from spsam.data.split import split_cases

    problems: list[Problem] = []
    protocol: Protocol | None = None
    with gather(problems):
        dataset = open_dataset(request.data)
        with gather(problems):
            # A data set can have its own name and the name of a published one.
            names = [name for name in (dataset.name, dataset.published) if name is not None]
            protocol = None if preset is None else find_protocol(preset.path, names)
        usual = None if protocol is None else protocol.split
        splits = {
            fold: split_cases(dataset, request.split, fold, protocol=usual, validate=validate)
            for fold in request.folds
        }
    with gather(problems):
        device = backend.device(request.device)
    raise_all(problems)
    return StudyInputs(Path(request.preset_named).stem, protocol, dataset, splits, device)
