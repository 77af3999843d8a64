"""Segmentation of new volumes by one trained run or the mean of several."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spsam.config.identity import as_of_then, canonical_json
from spsam.config.schema import RunConfig
from spsam.data.cases import Case
from spsam.data.files.dicom_seg import write_segmentation
from spsam.data.files.seg_nrrd import write_seg_nrrd
from spsam.data.labels import narrow_ids
from spsam.data.plan import Plan
from spsam.data.preparation.restore import name_pieces, write_labels
from spsam.data.preparation.store import PreparedCase
from spsam.engine.answer import Precision, TilesAtOnce, answer_of, largest_of, prepare_for
from spsam.engine.assemble import network_for
from spsam.engine.checkpoint import digest, last_sound, load_trained_state, result_of
from spsam.engine.overlay import draw_overlay
from spsam.engine.predict import OnProgress
from spsam.engine.probabilities import ProbabilityFile
from spsam.errors import InputError, Problem
from spsam.files import write_text
from spsam.model.networks.base import Network
from spsam.registry.trust import with_plugins
from spsam.text.json_text import parse_json


@dataclass(frozen=True)
class Recipe:
    """Description of a run in its checkpoint.

    Attributes:
        path: The checkpoint.
        config: The run's configuration.
        plan: Patch size and grid.
        raw_ids: The id in label files for each class.
        intensities: Intensity statistics of the training cases, for CT.
        blocks: The trained weights that result from the run.
        steps: Number of steps of the schedule after which the weights were saved.
        best_epoch: Epoch, from 0, after which the weights had the best validation score; None for
            the weights of the last step.
        training: Training cases; empty if they are not recorded, as in exported models.
    """

    path: Path
    config: RunConfig
    plan: Plan
    raw_ids: tuple[int, ...]
    intensities: Any
    blocks: dict[str, Tensor]
    steps: int
    best_epoch: int | None = None
    training: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Number of steps of the schedule."""
        return self.config.arm.train.epochs * self.config.arm.train.iterations

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the trained weights."""
        return digest(self.blocks)


@dataclass(frozen=True)
class EnsembleMember:
    """A trained network and the description of its run."""

    recipe: Recipe
    network: Network


def read_recipe(path: Path, plugins: Sequence[Path] = ()) -> Recipe:
    """Reads a checkpoint, which does not contain SAM's weights.

    Args:
        path: The checkpoint.
        plugins: Folders with components that the user trusts; folders named in the file are
            ignored.

    Raises:
        InputError: If the checkpoint is missing or damaged, its version does not describe the run,
            or one of its components is not available.
    """
    state, _, broken = last_sound(path)
    if state is None:
        lines = broken or [f"{path}: there is no such checkpoint"]
        advice = "; copy it again from where it was trained" if broken else ""
        raise InputError([Problem(line + advice) for line in lines])
    if "about" not in state or "config" not in state["about"]:
        raise InputError(
            Problem(
                "the checkpoint of the first version does not describe its run: train again", path
            )
        )
    about = state["about"]
    try:
        return recipe_of(
            path,
            config=parse_json(about["config"]),
            plan=Plan.from_dict(about["plan"]),
            raw_ids=tuple(about["raw_ids"]),
            intensities=about["intensities"],
            blocks=result_of(state),
            steps=int(state["progress"]["steps"]),
            best_epoch=int(state["best"]["epoch"]) if "best" in state else None,
            training=tuple(map(str, about.get("training", ()))),
            plugins=plugins,
        )
    except (ValueError, TypeError, KeyError) as error:
        why = str(error).splitlines()[0]
        message = f"the checkpoint was written by another version of spsam ({why}): train again"
        raise InputError(Problem(message, path)) from error


def recipe_of(path: Path, *, config: Any, plugins: Sequence[Path], **rest: Any) -> Recipe:
    """Builds a recipe from a stored configuration.

    Args:
        path: The file that contains the configuration.
        config: Plain values.
        plugins: Folders with components that the user trusts.
        rest: The other attributes of `Recipe`.

    Raises:
        InputError: If a component is not available.
        ValueError: If the values are not a configuration.
    """
    stored = canonical_json(as_of_then(config))
    allowed = with_plugins(RunConfig.model_validate_json(stored), plugins, path)
    return Recipe(path, allowed, **rest)


def check_ensemble(recipes: Sequence[Recipe]) -> None:
    """Verifies that the logits of several runs can be averaged.

    Raises:
        InputError: With every difference.
    """
    first = recipes[0]
    problems = []
    for other in recipes[1:]:
        ours, theirs = first.config.data, other.config.data
        for name, one, two in (
            ("classes", ours.class_names, theirs.class_names),
            ("label ids", first.raw_ids, other.raw_ids),
            ("regions", *({x.name: x.classes for x in data.regions} for data in (ours, theirs))),
            ("channels", ours.in_channels, theirs.in_channels),
            (
                "inference.keep_largest",
                *(each.config.arm.inference.keep_largest for each in (first, other)),
            ),
        ):
            if one != two:
                message = f"cannot be averaged with {first.path}: {name} {two}, expected {one}"
                problems.append(Problem(message, other.path))
    if problems:
        raise InputError(problems)


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
