"""Files that are sound, each by itself, and do not lie where or as they should."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import SimpleITK

from tests.broken_inputs.kinds import (
    PREDICTED,
    Command,
    Kind,
    Place,
    check,
    evaluate,
    predict,
    prepare,
)
from tests.data.layouts import (
    SHAPE,
    blocks,
    random_image,
    write_image,
    write_msd,
    write_nnunet,
)

IMAGE, LABEL = "imagesTr/organ_002.nii.gz", "labelsTr/organ_002.nii.gz"
TURNED = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
ORGANS = blocks(values=(1, 2))
Make = Callable[[Place], Sequence[Command]]


def organs(spoil: Callable[[Path], object], **kind: object) -> Make:
    """The Decathlon's layout with one case spoilt, checked and prepared."""

    def make(place: Place) -> Sequence[Command]:
        data = write_msd(place.folder / "organs", 5, **kind)  # type: ignore[arg-type]
        spoil(data)
        return [check(data), prepare(place, data)]

    return make


def checked(spoil: Callable[[Path], object]) -> Make:
    """The same, only checked: training would run."""
    return lambda place: organs(spoil)(place)[:1]


def label_maps(spoil: Callable[[Path], object]) -> Make:
    """A prediction, spoilt, and its reference, scored."""

    def make(place: Place) -> Sequence[Command]:
        for part in ("made", "wanted"):
            write_image(place.folder / part / "a.nii.gz", ORGANS)
        spoil(place.folder / "made" / "a.nii.gz")
        return [evaluate(place)]

    return make


def scored_with_a_warning(place: Place) -> Sequence[Command]:
    for part, direction in (("made", TURNED), ("wanted", None)):
        write_image(place.folder / part / "a.nii.gz", ORGANS, direction=direction)
    return [["evaluate", place.folder / "made", place.folder / "wanted"]]


def header(path: Path, spoil: Callable[[bytearray], object]) -> Path:
    """An uncompressed copy of an image beside it, with bytes of its header changed."""
    plain = path.with_suffix("")
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(path)), str(plain))
    content = bytearray(plain.read_bytes())
    spoil(content)
    plain.write_bytes(content)
    return plain


def lean(content: bytearray, qform: int) -> None:
    """Tilts an axis of the sform; with a qform beside it or without."""
    rows = np.frombuffer(bytes(content), "<f4", 12, 280).reshape(3, 4).copy()
    rows[0, 1] += 0.2 * np.linalg.norm(rows[:, 1])
    content[280:328] = rows.astype("<f4").tobytes()
    content[252:256] = np.array([qform, 1], "<i2").tobytes()


def repacked(data: Path, spoil: Callable[[bytearray], object]) -> None:
    """Changes an image's header where it lies."""
    plain = header(data / IMAGE, spoil)
    content = plain.read_bytes()
    plain.unlink()
    import gzip

    (data / IMAGE).write_bytes(gzip.compress(content))


def channel_of_another_grid(place: Place) -> Sequence[Command]:
    data = write_nnunet(place.folder / "data")
    write_image(data / "imagesTr" / "bt_001_0001.nii.gz", random_image(1, (5, 20, 23)))
    return [check(data), prepare(place, data)]


def channels_missing_in_a_scan(place: Place) -> Sequence[Command]:
    file = write_image(place.folder / "scan.nii.gz", random_image(1, (2, *SHAPE)))
    return [predict(place, place.home / "run0", file)]


def flat_scan(place: Place) -> Sequence[Command]:
    file = place.folder / "flat.nii.gz"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(random_image(1)[0]), str(file))
    return [check(file)]


def lonely_channels(place: Place) -> Sequence[Command]:
    for name in ("a_0000", "a_0002"):
        write_image(place.folder / "scans" / f"{name}.nii.gz", random_image(1))
    return [check(place.folder / "scans"), predict(place, place.home / "run0", "scans")]


KINDS = (
    Kind(
        "a label of another size",
        organs(lambda d: write_image(d / LABEL, blocks((5, 20, 22), (1, 2)))),
        f"{LABEL}: the label's size 5 × 20 × 22 is not that of its image, 5 × 20 × 24",
    ),
    Kind(
        "a label of another spacing",
        organs(lambda d: write_image(d / LABEL, ORGANS, spacing=(8.0, 1.5, 1.0))),
        f"{LABEL}: the label's spacing .* mm is not that of its image, .* mm",
    ),
    Kind(
        "a label of another origin",
        checked(lambda d: write_image(d / LABEL, ORGANS, origin=(50.0, 0.0, 0.0))),
        rf"{LABEL}: the label's origin \(50, 0, 0\) mm is not that of its image, \(3, -4, 5\) mm "
        r"\(.*\); voxels are matched by index",
        code=0,
    ),
    Kind(
        "a label of another direction",
        checked(lambda d: write_image(d / LABEL, ORGANS, direction=TURNED)),
        rf"{LABEL}: the label's direction RAS is not that of its image, LPS \(.*\); voxels are "
        "matched by index",
        code=0,
    ),
    Kind(
        "an image with time as a fourth axis",
        organs(lambda d: write_image(d / IMAGE, random_image(1, (3, *SHAPE)))),
        f"{IMAGE}: expected 1 channels, the image has 3",
    ),
    Kind(
        "an image that lacks a channel",
        organs(lambda d: write_image(d / IMAGE, random_image(1)), modality={"0": "T1", "1": "T2"}),
        f"{IMAGE}: expected 2 channels, the image has 1",
    ),
    Kind(
        "one slice as a flat image",
        organs(
            lambda d: SimpleITK.WriteImage(
                SimpleITK.GetImageFromArray(random_image(1)[0]), str(d / IMAGE)
            )
        ),
        f"{IMAGE}: expected a 3D image, got 2 dimensions",
    ),
    Kind("a flat scan", flat_scan, r"flat\.nii\.gz: expected a 3D image, got 2 dimensions"),
    Kind(
        "a channel of another grid",
        channel_of_another_grid,
        r"bt_001_0001\.nii\.gz: the channel's size 5 × 20 × 23 is not that of its image",
    ),
    Kind(
        "channels that are not all there",
        lonely_channels,
        "expected channels 0000, 0001, … of a, got 0000, 0002",
    ),
    Kind(
        "a scan of another modality than the run's",
        channels_missing_in_a_scan,
        r"scan\.nii\.gz: expected 1 channels, the image has 2",
        1,
        PREDICTED,
    ),
    Kind(
        "a sheared sform",
        organs(lambda d: repacked(d, lambda content: lean(content, 0))),
        f"{IMAGE}: its axes are not at right angles .*resample it first",
    ),
    Kind(
        "a sheared sform beside a qform",
        checked(lambda d: repacked(d, lambda content: lean(content, 1))),
        f"{IMAGE}: its axes are not at right angles .*; they are read as right angles",
        code=0,
    ),
    Kind(
        "two forms that disagree",
        checked(
            lambda d: repacked(
                d,
                lambda c: [struct.pack_into("<h", c, 254, 4), struct.pack_into("<f", c, 292, 90.0)],
            )
        ),
        f"{IMAGE}: its sform and qform disagree by up to .* mm: the qform is used",
        code=0,
    ),
    Kind(
        "a voxel size of 0 beside an sform",
        checked(lambda d: repacked(d, lambda c: struct.pack_into("<f", c, 88, 0.0))),
        rf"{IMAGE}: its voxel size \(pixdim\) is 0; 8 along z is used from its sform",
        code=0,
    ),
    Kind(
        "a voxel size of 0 without an sform",
        organs(
            lambda d: repacked(
                d,
                lambda c: [
                    struct.pack_into("<hh", c, 252, 1, 0),
                    struct.pack_into("<f", c, 88, 0.0),
                ],
            )
        ),
        f"{IMAGE}: its header has no voxel size",
    ),
    Kind(
        "a header of nine dimensions",
        organs(lambda d: repacked(d, lambda c: c.__setitem__(slice(40, 42), b"\x09\x00"))),
        f"{IMAGE}: its header claims 9 dimensions",
    ),
    Kind(
        "spacing in cm",
        checked(
            lambda d: [
                write_image(d / IMAGE, random_image(1), spacing=(0.8, 0.15, 0.15)),
                write_image(d / LABEL, ORGANS, spacing=(0.8, 0.15, 0.15)),
            ]
        ),
        r"organ_002: spacing 0\.8 × 0\.15 × 0\.15 mm is far from the median, 8 × 1\.5 × 1\.5 mm",
        code=0,
    ),
    Kind(
        "an image of another orientation",
        checked(
            lambda d: [
                write_image(d / IMAGE, random_image(1), direction=TURNED),
                write_image(d / LABEL, ORGANS, direction=TURNED),
            ]
        ),
        r"cases differ in orientation \(LPS 4, RAS 1\)",
        code=0,
    ),
    Kind(
        "a prediction of another size",
        label_maps(lambda p: write_image(p, blocks((5, 20, 22), (1, 2)))),
        r"made/a\.nii\.gz: the prediction's size 5 × 20 × 22 is not that of its reference, "
        r"5 × 20 × 24 \(.*wanted/a\.nii\.gz\)",
    ),
    Kind(
        "a prediction of another spacing",
        label_maps(lambda p: write_image(p, ORGANS, spacing=(8.0, 1.5, 1.0))),
        r"made/a\.nii\.gz: the prediction's spacing 8 × 1\.5 × 1 mm is not that of its reference",
    ),
    Kind(
        "a prediction of another direction",
        scored_with_a_warning,
        r"warning: .*made/a\.nii\.gz: the prediction's direction RAS is not that of its reference, "
        r"LPS \(.*wanted/a\.nii\.gz\); voxels are matched by index",
        0,
    ),
)
