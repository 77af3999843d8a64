"""Volumes that lie elsewhere in the patient than what belongs to them, or are of another scale."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.broken_inputs.geometry import IMAGE, LABEL, ORGANS, TURNED, checked, label_maps, organs
from tests.broken_inputs.kinds import (
    PREDICTED,
    Command,
    Kind,
    Place,
    check,
    evaluate,
    predict,
    prepare,
    train,
)
from tests.data.layouts import SPACING, random_image, write_image, write_msd, write_nnunet

Make = Callable[[Place], Sequence[Command]]

MOVED = (23.0, -4.0, 5.0)
METRES, MICRONS = 1, 3
MICRO = (1e-3, 1e-3, 1e-3)


def channel(**where: Sequence[float]) -> Make:
    """A channel that lies elsewhere than the first: in a data set and in a scan."""

    def make(place: Place) -> Sequence[Command]:
        data = write_nnunet(place.folder / "data")
        write_image(data / "imagesTr" / "bt_001_0001.nii.gz", random_image(1), **where)
        scans = place.folder / "scans"
        write_image(scans / "bt_001_0000.nii.gz", random_image(1))
        write_image(scans / "bt_001_0001.nii.gz", random_image(2), **where)
        return [check(data), prepare(place, data), train(place, "--data", data), check(scans)]

    return make


def scan_of_shifted_channels(place: Place) -> Sequence[Command]:
    for name, origin in (("a_0000", (3.0, -4.0, 5.0)), ("a_0001", MOVED)):
        write_image(place.folder / "scans" / f"{name}.nii.gz", random_image(1), origin=origin)
    return [predict(place, place.home / "run0", "scans")]


def label_of_another_ending(place: Place) -> Sequence[Command]:
    """Formats differ, and so does where the label says that it lies."""
    data = write_msd(place.folder / "organs", 5)
    (data / LABEL).unlink()
    other = LABEL.replace(".nii.gz", ".nrrd")
    write_image(data / other, ORGANS, origin=MOVED)
    file = data / "dataset.json"
    file.write_text(file.read_text().replace(f"./{LABEL}", f"./{other}"))
    return [check(data)]


def evaluated(spoil: Callable[[Path], object]) -> Make:
    """The same, scored with a warning: nothing is saved, so that nothing is left."""

    def make(place: Place) -> Sequence[Command]:
        label_maps(spoil)(place)
        return [["evaluate", place.folder / "made", place.folder / "wanted"]]

    return make


def tiny_maps(place: Place) -> Sequence[Command]:
    for part, spacing in (("made", MICRO), ("wanted", (3e-4, 3e-4, 3e-4))):
        write_image(place.folder / part / "a.nii.gz", ORGANS, spacing=spacing)
    return [evaluate(place)]


def tiny_maps_of_one_grid(place: Place) -> Sequence[Command]:
    for part in ("made", "wanted"):
        write_image(place.folder / part / "a.nii.gz", ORGANS, spacing=MICRO)
    return [["evaluate", place.folder / "made", place.folder / "wanted"]]


def unit(path: Path, code: int) -> Path:
    """Lets a header name another unit of length."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[123] = code
    path.write_bytes(gzip.compress(bytes(content)))
    return path


def scan_in(code: int) -> Make:
    def make(place: Place) -> Sequence[Command]:
        scan = write_image(place.folder / "scan.nii.gz", random_image(1))
        return [predict(place, place.home / "run0", unit(scan, code))]

    return make


def training_in(code: int) -> Make:
    return organs(lambda d: [unit(d / IMAGE, code), unit(d / LABEL, code)])


def large_scan(place: Place) -> Sequence[Command]:
    """Within a hundredfold, and beyond the memory of any machine."""
    place.patch.setattr("spsam.data.preparation.bounds.memory_at_hand", lambda: 2**20)
    spacing = tuple(50 * each for each in SPACING)
    scan = write_image(place.folder / "scan.nii.gz", random_image(1), spacing=spacing)
    return [predict(place, place.home / "run0", scan)]


def allocation_fails(place: Place) -> Sequence[Command]:
    """Of one scan of two, as torch tells it; what memory has room for is an estimate."""
    from spsam.data.check import load_checked

    def fails(case: Any, *more: Any) -> Any:
        if case.id == "a":
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return load_checked(case, *more)

    place.patch.setattr("spsam.engine.answer.load_checked", fails)
    for number, name in enumerate("ab"):
        write_image(place.folder / "scans" / f"{name}.nii.gz", random_image(number))
    return [predict(place, place.home / "run0", "scans")]


KINDS = (
    Kind(
        "a channel that is shifted",
        channel(origin=MOVED),
        r"bt_001_0001\.nii\.gz: the channel's origin \(23, -4, 5\) mm is not that of its image",
    ),
    Kind(
        "a channel that is turned",
        channel(direction=TURNED),
        r"bt_001_0001\.nii\.gz: the channel's direction RAS is not that of its image, LPS",
    ),
    Kind(
        "a channel of another spacing",
        channel(spacing=(8.0, 1.5, 1.51)),
        r"bt_001_0001\.nii\.gz: the channel's spacing 8 × 1\.5 × 1\.51 mm is not that of its image",
    ),
    Kind(
        "a scan whose channels are shifted",
        scan_of_shifted_channels,
        r"a_0001\.nii\.gz: the channel's origin \(23, -4, 5\) mm is not that of its image",
        1,
        PREDICTED,
    ),
    Kind(
        "a shifted label of another ending",
        label_of_another_ending,
        r"organ_002\.nrrd: the label's origin \(23, -4, 5\) mm is not that of its image",
        0,
    ),
    Kind(
        "a prediction that is shifted",
        evaluated(lambda p: write_image(p, ORGANS, origin=MOVED)),
        r"warning: .*made/a\.nii\.gz: the prediction's origin \(23, -4, 5\) mm is not that of its "
        r"reference, .*voxels are matched by index",
        0,
    ),
    Kind(
        "a label a third of a voxel's size, in microns",
        organs(
            lambda d: [
                write_image(d / IMAGE, random_image(2), spacing=MICRO),
                write_image(d / LABEL, ORGANS, spacing=(3e-4, 3e-4, 3e-4)),
            ]
        ),
        r"organ_002\.nii\.gz: the label's spacing 0\.0003 × 0\.0003 × 0\.0003 mm is not that of",
    ),
    Kind(
        "a prediction a third of a voxel's size, in microns",
        tiny_maps,
        r"made/a\.nii\.gz: the prediction's spacing 0\.001 × 0\.001 × 0\.001 mm is not that of",
    ),
    Kind(
        "a tolerance beyond the volume",
        tiny_maps_of_one_grid,
        r"wanted/a\.nii\.gz: is 0\.024 mm long, .*tolerance .* is 2 mm, so all surfaces agree",
        0,
    ),
    Kind(
        "a scan in metres",
        scan_in(METRES),
        r"scan\.nii\.gz: its spacing is 8000 × 1500 × 1500 mm, that of the training cases "
        r"8 × 1\.5 × 1\.5 mm, a factor of 1000; check that the spacing and unit in its header are",
        1,
        PREDICTED,
    ),
    Kind(
        "a scan in microns",
        scan_in(MICRONS),
        r"scan\.nii\.gz: its spacing is 0\.008 × 0\.0015 × 0\.0015 mm, that of the training "
        "cases 8 ×",
        1,
        PREDICTED,
    ),
    Kind(
        "a training case in metres",
        training_in(METRES),
        r"organ_002.*spacing( is)? 8000 × 1500 × 1500 mm",
    ),
    Kind(
        "a scan that memory has no room for",
        large_scan,
        r"scan\.nii\.gz: resampled to 5 × 1000 × 1200 voxels it would need \d+\.\d GiB of memory, "
        r"0\.0 GiB are free; its spacing is 400 × 75 × 75 mm, that of the training cases 8 × 1\.5",
        1,
        PREDICTED,
    ),
    Kind(
        "a scan that memory has no room for after all",
        allocation_fails,
        "a: not enough memory; close other programs(.|\n)*1 of 2 label maps",
        1,
        (*PREDICTED, "out/b.nii.gz"),
    ),
    Kind(
        "a training case five times as coarse",
        checked(
            lambda d: [
                write_image(d / part, array, spacing=tuple(5 * each for each in SPACING))
                for part, array in ((IMAGE, random_image(2)), (LABEL, ORGANS))
            ]
        ),
        r"organ_002: spacing 40 × 7\.5 × 7\.5 mm is far from the median, .*is the header's unit",
        0,
    ),
)
