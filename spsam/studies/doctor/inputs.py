"""Checks of the user's files: SAM's weights and the data set."""

from __future__ import annotations

from collections.abc import Iterator

from spsam.errors import InputError
from spsam.studies.doctor.finding import Examination, Finding


def checkpoint(examined: Examination) -> Iterator[Finding]:
    """Reports whether a checkpoint can be read, its hash, and whether it is an official one."""
    if examined.checkpoint is None:
        return
    from spsam.model.sam.backbones import BACKBONES
    from spsam.model.sam.origin import weights_origin
    from spsam.model.sam.state_file import file_sha256, read_state

    try:
        read_state(examined.checkpoint)
    except InputError as error:
        yield Finding("checkpoint", "wrong", str(error), "download or copy the file again")
        return
    sha256 = file_sha256(examined.checkpoint)
    origins = [weights_origin(spec, sha256) for spec in BACKBONES.values()]
    known = next((each for each in origins if each.kind in ("official", "shipped")), None)
    facts = {"sha256": sha256, "backbone": known.backbone if known else None}
    facts["origin"] = known.kind if known else "other"
    name = examined.checkpoint.name
    if known:
        yield Finding("checkpoint", "ok", f"{name}: {known.backbone}, {known}", "", facts)
        return
    official = [spec.official_file for spec in BACKBONES.values() if spec.official_file]
    text = f"{name}: not an official file (SHA-256 {sha256[:12]}…); official ones: " + ", ".join(
        official
    )
    yield Finding("checkpoint", "note", text, "", facts)


def data(examined: Examination) -> Iterator[Finding]:
    """Reports whether the data set's layout and headers are valid, and its size."""
    if examined.data is None:
        return
    from spsam.data.dataset import open_dataset

    try:
        dataset = open_dataset(examined.data)
    except InputError as error:
        first, *more = error.problems
        text = str(first) + (f" (and {len(more)} more)" if more else "")
        yield Finding("data", "wrong", text, f"spsam data check {examined.data} lists every fault")
        return
    facts = {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "cases": len(dataset.cases),
        "classes": list(dataset.class_names),
        "channels": list(dataset.channel_names),
        "notes": list(dataset.notes),
    }
    channels = "1 channel" if dataset.in_channels == 1 else f"{dataset.in_channels} channels"
    text = (
        f"{dataset.name}: {len(dataset.cases)} cases, {dataset.num_classes} classes, {channels}, "
        f"{dataset.modality}"
    )
    yield Finding("data", "ok", text, "", facts)
    for note in dataset.notes:
        yield Finding("data", "note", note)
