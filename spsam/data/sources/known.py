"""Published data sets: their organs, the ids of these in label files, and their splits.

This is the only module that maps ids to organs. All other modules refer to organs by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spsam.data.cases import Modality

Parts = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Known:
    """A published data set.

    Attributes:
        name: Name in results, folders and the published tables.
        title: Full name.
        modality: Imaging modality, which determines the intensity normalisation.
        organs: Name -> id of every organ in the official label files; 0 is the background.
        scored: The organs that publications score, in the order of the classes; None selects all.
            Other organs count as background.
        aliases: Spelling of an organ in official files -> its name here.
        splits: Name -> part -> patients.
        source: Publications that define the above.
    """

    name: str
    title: str
    modality: Modality
    organs: Mapping[str, int]
    scored: tuple[str, ...] | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    splits: Mapping[str, Parts] = field(default_factory=dict)
    source: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, background first."""
        return ("background", *(self.organs if self.scored is None else self.scored))

    def class_of(self, ids: Mapping[str, int] | None = None) -> dict[int, int]:
        """Map each id of a label file to its class.

        Args:
            ids: Organ -> id, if a copy of the data set uses different ids.
        """
        classes = self.classes
        numbers = self.organs if ids is None else ids
        return {0: 0} | {
            number: classes.index(name) if name in classes else 0
            for name, number in numbers.items()
        }

    def raw_ids(self, ids: Mapping[str, int] | None = None) -> tuple[int, ...]:
        """Return the id of each class in a label file; `ids` as in `class_of`."""
        numbers = self.organs if ids is None else ids
        return (0, *(numbers[name] for name in self.classes[1:]))


def _patients(pattern: str, numbers: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(pattern.format(number) for number in numbers)


_ACDC_VAL = (89, 90, 91, 93, 94, 96, 97, 98, 99, 100)
_ACDC_TEST = (2, 3, 8, 9, 12, 14, 17, 24, 42, 48, 49, 53, 55, 64, 67, 79, 81, 88, 92, 95)
_ACDC_TRAIN = tuple(number for number in range(1, 101) if number not in {*_ACDC_VAL, *_ACDC_TEST})

ACDC = Known(
    name="acdc",
    title="Automatic Cardiac Diagnosis Challenge",
    modality="MR",
    organs={"RV": 1, "MYO": 2, "LV": 3},
    splits={
        "acdc_70_10_20": {
            "train": _patients("patient{:03d}", _ACDC_TRAIN),
            "val": _patients("patient{:03d}", _ACDC_VAL),
            "test": _patients("patient{:03d}", _ACDC_TEST),
        }
    },
    source="Bernard et al., IEEE TMI 2018; split of nnFormer, arXiv 2109.03201",
)

_SYNAPSE_TEST = (1, 2, 3, 4, 8, 22, 25, 29, 32, 35, 36, 38)
_SYNAPSE_TRAIN = tuple(
    number for number in (*range(1, 11), *range(21, 41)) if number not in _SYNAPSE_TEST
)

SYNAPSE = Known(
    name="synapse",
    title="Synapse multi-organ CT (Beyond the Cranial Vault)",
    modality="CT",
    organs={
        "spleen": 1,
        "right_kidney": 2,
        "left_kidney": 3,
        "gallbladder": 4,
        "esophagus": 5,
        "liver": 6,
        "stomach": 7,
        "aorta": 8,
        "inferior_vena_cava": 9,
        "portal_and_splenic_vein": 10,
        "pancreas": 11,
        "right_adrenal_gland": 12,
        "left_adrenal_gland": 13,
    },
    scored=(
        "aorta",
        "gallbladder",
        "left_kidney",
        "right_kidney",
        "liver",
        "pancreas",
        "spleen",
        "stomach",
    ),
    splits={
        "synapse_18_12": {
            "train": _patients("case{:04d}", _SYNAPSE_TRAIN),
            "val": (),
            "test": _patients("case{:04d}", _SYNAPSE_TEST),
        }
    },
    source="Landman et al., MICCAI 2015 challenge; split and organs of TransUNet, arXiv 2102.04306",
)

# Ids in TransUNet's preprocessed slices and volumes: the eight organs in alphabetical order.
SYNAPSE_PREPROCESSED: Mapping[str, int] = {
    name: number for number, name in enumerate(SYNAPSE.classes[1:], start=1)
}

AMOS = Known(
    name="amos22",
    title="AMOS22 abdominal organs, the CT subset",
    modality="CT",
    organs={
        "spleen": 1,
        "right_kidney": 2,
        "left_kidney": 3,
        "gallbladder": 4,
        "esophagus": 5,
        "liver": 6,
        "stomach": 7,
        "aorta": 8,
        "inferior_vena_cava": 9,
        "pancreas": 10,
        "right_adrenal_gland": 11,
        "left_adrenal_gland": 12,
        "duodenum": 13,
        "bladder": 14,
        "prostate_uterus": 15,
    },
    # Spelling in the challenge's dataset.json.
    aliases={
        "arota": "aorta",
        "gall_bladder": "gallbladder",
        "postcava": "inferior_vena_cava",
    },
    source="Ji et al., NeurIPS 2022 (arXiv 2206.08023)",
)

KNOWN = (ACDC, SYNAPSE, AMOS)
