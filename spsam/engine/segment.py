"""Segmentation of new volumes by one trained run or the mean of several."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from spsam.data.cases import Case
from spsam.data.files.dicom_seg import write_segmentation
from spsam.data.files.seg_nrrd import write_seg_nrrd
from spsam.data.labels import narrow_ids
from spsam.data.preparation.restore import name_pieces, write_labels
from spsam.data.preparation.store import PreparedCase
from spsam.engine.answer import Precision, TilesAtOnce, answer_of, largest_of, prepare_for
from spsam.engine.assemble import network_for
from spsam.engine.checkpoint import load_trained_state
from spsam.engine.overlay import draw_overlay
from spsam.engine.predict import OnProgress
from spsam.engine.probabilities import ProbabilityFile
from spsam.engine.recipe import EnsembleMember, Recipe
from spsam.files import write_text


def load_member(recipe: Recipe, sam: Path | None, device: str) -> EnsembleMember:
    """Builds the network of a run and loads its weights.

    Args:
        recipe: Description of the run.
        sam: File with SAM's weights; None for random ones.
        device: Device of the network.
    """
    network = network_for(recipe.config, recipe.plan.patch_size, sam, recipe.plan.spacing)
    load_trained_state(network, recipe.blocks)
    return EnsembleMember(recipe, network.to(torch.device(device)).eval())


FORMS = {
    # In a separate folder, so that `*.nii.gz` matches only label maps.
    "probabilities": "probabilities/{}.nii.gz",
    "prompts": "{}_prompts.jsonl",
    "dicom_seg": "{}.dcm",
    "seg_nrrd": "{}.seg.nrrd",
    "overlay": "{}_overlay.png",
}
"""Name of the file that each option of `segment` writes; `{}` is the name of the result."""


def file_forms(options: Mapping[str, Any]) -> list[str]:
    """Returns the names of the files that `segment` writes with these options."""
    return ["{}.nii.gz", *(form for option, form in FORMS.items() if options.get(option))]


def segment(
    members: Sequence[EnsembleMember],
    case: Case,
    name: Path,
    *,
    prepared: Sequence[PreparedCase] | None = None,
    mirror: bool | None = None,
    precision: Precision | None = None,
    tiles: TilesAtOnce | None = "auto",
    probabilities: bool = False,
    prompts: bool = False,
    dicom_seg: bool = False,
    seg_nrrd: bool = False,
    overlay: bool = False,
    on_note: Callable[[str], None] = lambda text: None,
    on_progress: OnProgress | None = None,
) -> None:
    """Segments one volume and writes its label map on its original grid, after all other files.

    Logits of several runs are averaged on the original grid, as nnU-Net averages folds, and the
    first run's mask head computes the labels. Memory is limited to the image in its file's type,
    the label map and, for each run, the logits of one tile's depth of slices.

    Args:
        members: Networks of runs with the same classes.
        case: The volume.
        name: Path of the files without a suffix: `NAME.nii.gz` and the requested files of `FORMS`.
        prepared: The result of `prepare_for` for the volume; None: it is computed here.
        mirror: Whether to average over all mirrorings; None for each run's own setting.
        precision: Precision of the networks; None for each run's own setting.
        tiles: Number of tiles per forward pass; see `answer_of`.
        probabilities: Whether to write `probabilities/NAME.nii.gz`; see `ProbabilityFile`.
        prompts: Whether to write the networks' own prompts; see `GivenPrompts`.
        dicom_seg: Whether to write `NAME.dcm`, the label map as DICOM-SEG of the volume's DICOM
            series; see `spsam.data.files.dicom_seg`.
        seg_nrrd: Whether to write `NAME.seg.nrrd`, 3D Slicer's segmentation format.
        overlay: Whether to draw `NAME_overlay.png`: contours on slices of the first channel.
        on_note: Called with every note on the volume.
        on_progress: Called with the number of finished tiles and of all tiles, over all runs.

    Raises:
        InputError: With every problem of the volume, or if the runs prepare it on different axes.
    """
    answer = answer_of(
        members,
        prepared or prepare_for([member.recipe for member in members], case),
        mirror=mirror,
        precision=precision,
        tiles=tiles,
        prompts=prompts,
        on_note=on_note,
        on_progress=on_progress,
    )
    first, given = answer.case, answer.given
    head = members[0].network.mask_head
    name.parent.mkdir(parents=True, exist_ok=True)
    if probabilities:
        file = _place(name, "probabilities")
        with closing(ProbabilityFile(file, first, head.activation)) as chances:
            labels = name_pieces(answer.pieces, first, head.labels, chances.add)
            chances.finish()
    else:
        labels = name_pieces(answer.pieces, first, head.labels)
    labels = largest_of(members[0], labels)
    if prompts:
        lines = [json.dumps(line) + "\n" for line in given.lines]
        write_text(_place(name, "prompts"), "".join(lines))
    names, grid = members[0].recipe.config.data.class_names, first.original
    if dicom_seg:
        file = _place(name, "dicom_seg")
        write_segmentation(file, labels, case.files[0], names, grid.spacing[0])
    if seg_nrrd:
        ids = narrow_ids(first.raw_ids)[labels]
        write_seg_nrrd(_place(name, "seg_nrrd"), ids, grid, names, first.raw_ids)
    if overlay:
        image = case.load().image[0]
        file = _place(name, "overlay")
        draw_overlay(file, image, labels, spacing=grid.spacing, class_names=names, title=case.id)
    write_labels(name.with_name(f"{name.name}.nii.gz"), labels, first)


def _place(name: Path, option: str) -> Path:
    """Returns the path of an option's file and creates its folder."""
    place = name.parent / FORMS[option].replace("{}", name.name)
    place.parent.mkdir(parents=True, exist_ok=True)
    return place
