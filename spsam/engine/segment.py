"""New volumes segmented by trained runs: one, or the mean of several."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spsam.config.identity import as_of_then, canonical_json
from spsam.config.schema import InferenceConfig, RunConfig
from spsam.data.cases import Case
from spsam.data.files.dicom_seg import write_segmentation
from spsam.data.plan import Plan
from spsam.data.preparation.preprocess import preprocess
from spsam.data.preparation.restore import PIECE, name_pieces, restored, write_labels
from spsam.data.preparation.store import PreparedCase
from spsam.engine.assemble import network_for
from spsam.engine.checkpoint import digest, last_sound, load_trained_state
from spsam.engine.given_prompts import GivenPrompts
from spsam.engine.predict import SlidingLogits
from spsam.errors import InputError, Problem
from spsam.files import atomic, write_text
from spsam.model.networks.base import Network
from spsam.registry.trust import with_plugins
from spsam.text.json_text import parse_json


@dataclass(frozen=True)
class Recipe:
    """What a checkpoint says of its run.

    Attributes:
        path: The checkpoint.
        config: The run's configuration.
        plan: Patch and grid.
        raw_ids: For each class, the id it has in label files.
        intensities: Statistics of the training cases, for CT.
        blocks: The trained weights.
        steps: For how many of the schedule's steps it was trained.
    """

    path: Path
    config: RunConfig
    plan: Plan
    raw_ids: tuple[int, ...]
    intensities: Any
    blocks: dict[str, Tensor]
    steps: int

    @property
    def total(self) -> int:
        """The schedule's steps."""
        return self.config.arm.train.epochs * self.config.arm.train.iterations

    @cached_property
    def sha256(self) -> str:
        """Of the trained weights."""
        return digest(self.blocks)


@dataclass(frozen=True)
class EnsembleMember:
    """A trained network and how it wants its images."""

    recipe: Recipe
    network: Network


def read_recipe(path: Path, plugins: Sequence[Path] = ()) -> Recipe:
    """Reads a checkpoint; SAM's weights are not in it.

    Args:
        path: The checkpoint.
        plugins: Folders whose components the user allows; those that the file names count nothing.

    Raises:
        InputError: If it is missing, damaged, of a version that says nothing of its run, or has a
            component that is not at hand.
    """
    state, _, broken = last_sound(path)
    if state is None:
        lines = broken or [f"{path}: there is no such checkpoint"]
        advice = "; copy it again from where it was trained" if broken else ""
        raise InputError([Problem(line + advice) for line in lines])
    if "about" not in state or "config" not in state["about"]:
        raise InputError(
            Problem(
                "the checkpoint says nothing of its run, as the first version's: train anew", path
            )
        )
    about = state["about"]
    try:
        stored = canonical_json(as_of_then(parse_json(about["config"])))
        return Recipe(
            path,
            with_plugins(RunConfig.model_validate_json(stored), plugins, path),
            Plan.from_dict(about["plan"]),
            tuple(about["raw_ids"]),
            about["intensities"],
            state["blocks"],
            int(state["progress"]["steps"]),
        )
    except (ValueError, TypeError, KeyError) as error:
        why = str(error).splitlines()[0]
        message = f"the checkpoint is of another version of spsam ({why}): train anew"
        raise InputError(Problem(message, path)) from error


def check_ensemble(recipes: Sequence[Recipe]) -> None:
    """Whether the runs' answers can be averaged.

    Raises:
        InputError: With all that differs.
    """
    first = recipes[0]
    problems = []
    for other in recipes[1:]:
        ours, theirs = first.config.data, other.config.data
        for name, one, two in (
            ("classes", ours.class_names, theirs.class_names),
            ("label ids", first.raw_ids, other.raw_ids),
            ("channels", ours.in_channels, theirs.in_channels),
        ):
            if one != two:
                message = f"cannot be averaged with {first.path}: {name} {two}, there {one}"
                problems.append(Problem(message, other.path))
    if problems:
        raise InputError(problems)


def load_member(recipe: Recipe, sam: Path | None, device: str) -> EnsembleMember:
    """Builds the network of a run and puts its weights in.

    Args:
        recipe: Of the run.
        sam: SAM's weights; None for random ones.
        device: Where it computes.
    """
    network = network_for(recipe.config, recipe.plan.patch_size, sam, recipe.plan.spacing)
    load_trained_state(network, recipe.blocks)
    return EnsembleMember(recipe, network.to(torch.device(device)).eval())


def file_endings(*, probabilities: bool, prompts: bool, dicom_seg: bool) -> list[str]:
    """What `segment` puts behind a result's name, with these options."""
    return [
        ".nii.gz",
        *(["_probabilities.npy"] if probabilities else []),
        *(["_prompts.jsonl"] if prompts else []),
        *([".dcm"] if dicom_seg else []),
    ]


def segment(
    members: Sequence[EnsembleMember],
    case: Case,
    name: Path,
    *,
    mirror: bool | None = None,
    probabilities: bool = False,
    prompts: bool = False,
    dicom_seg: bool = False,
    on_note: Callable[[str], None] = lambda text: None,
) -> None:
    """Segments one volume and writes its label map in its own grid, last of all files.

    Logits of several runs are averaged on the original grid, as nnU-Net averages folds, and named
    by the first one's mask head. Memory is bounded by the image, the label map and two tiles'
    depth of logits.

    Args:
        members: Of runs whose classes are the same.
        case: The volume.
        name: Of the files, without an ending: `NAME.nii.gz`, and where wanted
            `NAME_probabilities.npy` `(K, D, H, W)` float16 on the axes (z, y, x), and
            `NAME_prompts.jsonl`, see `GivenPrompts`.
        mirror: Average over all mirrorings; None as each run says.
        probabilities: Whether to write those.
        prompts: Whether to write the prompts that the networks gave themselves.
        dicom_seg: Whether to write `NAME.dcm`, too: the label map as DICOM-SEG of the volume's
            DICOM series, see `spsam.data.files.dicom_seg`.
        on_note: Called with what the user should know of the volume.

    Raises:
        InputError: With every problem of the volume, or if the runs turn it differently.
    """
    prepared, streams = [], []
    given = GivenPrompts()
    for number, member in enumerate(members):
        recipe = member.recipe
        channels = recipe.config.data.in_channels
        ready = preprocess(
            case, recipe.plan, recipe.intensities, channels=channels, raw_ids=recipe.raw_ids
        )
        prepared.append(ready)
        streams.append(
            SlidingLogits(
                member.network,
                torch.from_numpy(np.ascontiguousarray(ready.image, np.float32)),
                _inference(recipe.config.arm.inference, mirror),
                recipe.config.arm.train,
                given.of(ready, member.network, number) if prompts else None,
            )
        )
    for note in dict.fromkeys(note for ready in prepared for note in ready.notes):
        on_note(str(note))
    first = prepared[0]
    if any((each.turn, each.box) != (first.turn, first.box) for each in prepared):
        raise InputError(
            f"{case.id}: the runs prepare it on different axes; predict with each by itself"
        )
    pieces = [restored(stream, ready) for stream, ready in zip(streams, prepared, strict=True)]
    head = members[0].network.mask_head
    name.parent.mkdir(parents=True, exist_ok=True)
    if probabilities:
        with atomic(_with(name, "_probabilities.npy")) as draft:
            chances = _Probabilities(draft, first, head.activation)
            labels = name_pieces(_mean(pieces), first, head.labels, chances.add)
            chances.finish()
    else:
        labels = name_pieces(_mean(pieces), first, head.labels)
    if prompts:
        lines = [json.dumps(line) + "\n" for line in given.lines]
        write_text(_with(name, "_prompts.jsonl"), "".join(lines))
    if dicom_seg:
        names = members[0].recipe.config.data.class_names
        spacing = first.original.spacing[0]
        write_segmentation(_with(name, ".dcm"), labels, case.files[0], names, spacing)
    write_labels(_with(name, ".nii.gz"), labels, first)


def _inference(config: InferenceConfig, mirror: bool | None) -> InferenceConfig:
    return config if mirror is None else config.model_copy(update={"mirror": mirror})


def _mean(pieces: Sequence[Iterator[Tensor]]) -> Iterator[Tensor]:
    for together in zip(*pieces, strict=True):
        yield together[0] if len(together) == 1 else torch.stack(together).mean(0)


def _with(name: Path, ending: str) -> Path:
    return name.with_name(name.name + ending)


class _Probabilities:
    """A file of probabilities `(K, D, H, W)` that is written piece by piece.

    Args:
        file: Where.
        case: Whose they are.
        activation: What makes them of logits, `softmax` or `sigmoid`.
    """

    def __init__(self, file: Path, case: PreparedCase, activation: str) -> None:
        self._softmax = activation == "softmax"
        shape = (len(case.raw_ids), *case.original.shape)
        whole: Any = np.lib.format.open_memmap(file, "w+", np.float16, shape)
        _reserve(file)
        # What was cut away is background.
        whole[0] = 1
        inside = tuple(slice(*bounds) for bounds in case.box) if case.box else ()
        # A view: what is written into it is turned back, and stands where it was cut out.
        self._view: Any = case.turn.there(whole[(slice(None), *inside)])
        self._whole = whole

    def add(self, start: int, logits: Tensor, labels: Tensor) -> None:
        """Takes slices from `start`, `(K, n, H, W)`, as `name_pieces` gives them."""
        chances = logits.softmax(0) if self._softmax else logits.sigmoid()
        self._view[:, start : start + PIECE] = chances.cpu().numpy()

    def finish(self) -> None:
        """Brings all of it into the file."""
        self._whole.flush()
        self._view = self._whole = None


def _reserve(file: Path) -> None:
    """Takes the disk's room at once: a mapped file on a full disk ends the process by a signal."""
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)
