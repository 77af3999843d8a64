"""SAM's weights, and checkpoints of runs."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from spsam.engine.checkpoint import digest, previous, read_whole, save_whole
from spsam.model.sam.backbones import BACKBONES
from tests.broken_inputs.kinds import RECORDS, Command, Kind, Place, ablate, predict, train
from tests.data.layouts import random_image, truncate, write_image

Make = Callable[[Place], Sequence[Command]]
AGAIN = "copy it again from where it was trained"


class Code:
    """What unpickles it makes a folder."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("out",)


def sam(name: str, write: Callable[[Path], object]) -> Make:
    """A file given as SAM's weights."""

    def make(place: Place) -> Sequence[Command]:
        write(place.folder / name)
        return [ablate(place, "S1", "--checkpoint", place.folder / name)]

    return make


def changed(change: Callable[[dict[str, Any]], object], path: Path) -> None:
    """The shipped weights of sam_tiny with a change."""
    shipped = BACKBONES["sam_tiny"].shipped_weights
    assert shipped is not None
    state: dict[str, Any] = dict(load_file(shipped))
    change(state)
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)


def larger(state: dict[str, Any]) -> None:
    state["image_encoder.patch_embed.proj.weight"] = torch.zeros(768, 3, 16, 16)


def without_a_number(state: dict[str, Any]) -> None:
    name = next(each for each in state if "qkv.weight" in each)
    state[name][0, 0] = torch.nan


def cut(path: Path) -> None:
    changed(lambda state: None, path)
    truncate(path)


def run(spoil: Callable[[Path], object]) -> Make:
    """A run's checkpoint, spoilt, asked to segment."""

    def make(place: Place) -> Sequence[Command]:
        file = place.folder / "run" / "checkpoint.pt"
        file.parent.mkdir()
        shutil.copy(place.home / "run0" / "checkpoint.pt", file)
        spoil(file)
        return [predict(place, file, write_image(place.folder / "a.nii.gz", random_image(1)))]

    return make


def edited(change: Callable[[dict[str, Any]], object]) -> Make:
    """A run's checkpoint with a change, and a hash that is true of it."""

    def spoil(file: Path) -> None:
        state = read_whole(file)
        change(state)
        save_whole(file, state)

    return run(spoil)


def other_content(file: Path) -> None:
    state = read_whole(file)
    told = digest(state)
    next(iter(state["blocks"].values())).add_(1)
    torch.save({**state, "sha256": told}, file)


def narrower(state: dict[str, Any]) -> None:
    name = max(state["blocks"], key=lambda name: state["blocks"][name].numel())
    state["blocks"][name] = state["blocks"][name][:1].clone()


def fewer(state: dict[str, Any]) -> None:
    for name in list(state["blocks"])[:2]:
        del state["blocks"][name]


def nobodys(place: Place) -> Sequence[Command]:
    scan = write_image(place.folder / "a.nii.gz", random_image(1))
    (place.folder / "run").mkdir()
    return [predict(place, "run", scan), predict(place, "0123abcd", scan)]


def missing(place: Place) -> Sequence[Command]:
    scan = write_image(place.folder / "a.nii.gz", random_image(1))
    return [predict(place, "run/checkpoint.pt", scan)]


def without_volumes(place: Place) -> Sequence[Command]:
    return [predict(place, place.home / "run0")]


def of_other_classes(place: Place) -> Sequence[Command]:
    file = place.folder / "other.pt"
    state = read_whole(place.home / "run1" / "checkpoint.pt")
    state["about"]["raw_ids"] = [0, 1, 2, 7]
    save_whole(file, state)
    scan = write_image(place.folder / "a.nii.gz", random_image(1))
    return [predict(place, place.home / "run0", file, scan)]


def resumed(place: Place) -> Sequence[Command]:
    """A training that was interrupted, whose checkpoints are both damaged."""
    shutil.copytree(
        place.home / "runs", place.out / "runs", ignore=shutil.ignore_patterns("run[01]")
    )
    shutil.copytree(place.home / "prepared", place.out / "prepared")
    named = (place.home / "run0").resolve().name
    folder = place.out / "runs" / named
    (folder / "run.json").write_text('{"status": "running"}')
    for file in (folder / "checkpoint.pt", previous(folder / "checkpoint.pt")):
        file.write_bytes(b"not a checkpoint")
    few = ["train.epochs=1", "train.generator_epochs=0", "backbone.weights=random"]
    words: Command = ["--data", place.home / "acdc"]
    for each in few:
        words += ["--set", each]
    return [train(place, *words, arm="S9")]


def prompted(place: Place) -> Sequence[Command]:
    """A study of a run without its checkpoint."""
    folder = place.folder / "results" / "runs" / "mine"
    folder.mkdir(parents=True)
    for name in ("config.yaml", "run.json"):
        shutil.copy(place.home / "run0" / name, folder)
    return [["prompts", "--run", folder, "--data", place.home / "acdc", "--out", place.out]]


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"image_encoder.x": Code()}))


def saved(content: Any) -> Callable[[Path], object]:
    return lambda path: torch.save(content, path)


KINDS = (
    Kind(
        "weights that are not there",
        sam("sam.pth", lambda path: None),
        r"sam\.pth: this checkpoint file does not exist",
    ),
    Kind(
        "weights that are a folder",
        sam("sam.pth", Path.mkdir),
        r"sam\.pth: this checkpoint file does not exist",
    ),
    Kind(
        "weights of another network",
        sam("sam.pth", saved({"conv1.weight": torch.zeros(3)})),
        r"sam\.pth contains conv1\.weight…, expected the names of SAM's own checkpoints",
    ),
    Kind(
        "weights of another SAM",
        sam("sam.pth", partial(changed, larger)),
        r"sam\.pth: expected a checkpoint of sam_tiny \(width \d+, .*\), got one of .*width 768",
    ),
    Kind(
        "weights of which some are missing",
        sam("sam.pth", partial(changed, lambda s: s.pop(next(n for n in s if "neck" in n)))),
        r"sam\.pth: expected exactly the weights of sam_tiny, got 1 missing",
    ),
    Kind(
        "weights with something else among them",
        sam("sam.pth", saved({"image_encoder.x": torch.zeros(1), "epoch": 3})),
        r"sam\.pth: expected only weights, got other values: epoch",
    ),
    Kind(
        "weights that are a list",
        sam("sam.pth", saved([1, 2])),
        r"sam\.pth contains a list, expected SAM's state dict",
    ),
    Kind(
        "weights that are text",
        sam("sam.pth", lambda path: path.write_text("404: not found")),
        r"sam\.pth is not a PyTorch file \(it begins with b'404:'\); specify a SAM checkpoint",
    ),
    Kind(
        "weights with a NaN",
        sam("sam.safetensors", partial(changed, without_a_number)),
        r"sam\.safetensors: 1 of its weights contain NaN or infinity \(.*qkv\.weight\)",
    ),
    Kind("weights cut off", sam("sam.pth", cut), r"sam\.pth is truncated .*copy it again"),
    Kind(
        "weights as safetensors, cut off",
        sam("sam.safetensors", cut),
        r"sam\.safetensors cannot be read as safetensors .*copy or create it again",
    ),
    Kind(
        "weights that would run code",
        sam("sam.pth", pickled),
        r"sam\.pth cannot be read as PyTorch weights .*; it is damaged or contains",
    ),
    Kind("a checkpoint that is not there", missing, r"checkpoint\.pt: there is no such checkpoint"),
    Kind(
        "a run without a checkpoint",
        nobodys,
        r"there is no such trained run: expected a folder or checkpoint\.pt of a run",
    ),
    Kind("a run without volumes", without_volumes, "expected volumes after the runs: image files"),
    Kind(
        "a checkpoint that is text",
        run(lambda file: file.write_text("nothing")),
        rf"checkpoint\.pt: is not a checkpoint or is damaged.*; {AGAIN}",
    ),
    Kind(
        "a checkpoint cut off",
        run(truncate),
        rf"checkpoint\.pt: is not a checkpoint or is damaged.*; {AGAIN}",
    ),
    Kind(
        "a checkpoint of no bytes",
        run(lambda file: file.write_bytes(b"")),
        rf"checkpoint\.pt: is not a checkpoint or is damaged.*; {AGAIN}",
    ),
    Kind(
        "a checkpoint of another program",
        run(saved({"state_dict": {"a": torch.zeros(2)}})),
        r"checkpoint\.pt: is not a checkpoint .*: it contains no weights of added blocks",
    ),
    Kind(
        "a checkpoint that would run code",
        run(lambda file: file.write_bytes(pickle.dumps({"blocks": Code()}))),
        rf"checkpoint\.pt: is not a checkpoint or is damaged.*; {AGAIN}",
    ),
    Kind(
        "a checkpoint with another content",
        run(other_content),
        rf"checkpoint\.pt: the checkpoint is damaged: its hash does not match; {AGAIN}",
    ),
    Kind(
        "a checkpoint of the first version",
        edited(lambda state: state.pop("about")),
        r"checkpoint\.pt: the checkpoint of the first version does not describe its run",
    ),
    Kind(
        "a checkpoint of another version",
        edited(lambda state: state["about"].update(config='{"arm": 3}')),
        r"checkpoint\.pt: the checkpoint was written by another version of spsam .*: train again",
    ),
    Kind(
        "a checkpoint that lacks its plan",
        edited(lambda state: state["about"].pop("plan")),
        r"checkpoint\.pt: the checkpoint was written by another version of spsam .*: train again",
    ),
    Kind("blocks of another arm", edited(fewer), "the checkpoint belongs to another arm: missing"),
    Kind(
        "blocks of another shape",
        edited(narrower),
        r"the checkpoint belongs to another arm or version: .* has the shape \(1.*, expected",
    ),
    Kind(
        "runs of other classes",
        of_other_classes,
        r"other\.pt: cannot be averaged with .*checkpoint\.pt: label ids \(0, 1, 2, 7\), expected",
    ),
    Kind(
        "a training with two damaged checkpoints",
        resumed,
        r"(?s)checkpoint\.pt: is not a checkpoint.*previous\.pt: is not.*remove these files",
        1,
        RECORDS,
    ),
    Kind("a study of a run without its checkpoint", prompted, "--run .*mine: the run is not fini"),
)
