"""Teaching a small SAM: its losses, its schedule, and picking up where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from spsam.config.pretrain import PretrainRecipe, load_recipe
from spsam.engine.checkpoint import previous
from spsam.engine.pretrain import (
    held_out,
    learning_rate,
    lessons,
    measure,
    pretrain,
    save_weights,
    started,
)
from spsam.engine.pretrain_losses import dice_loss, focal_loss, iou
from spsam.engine.pretrain_state import locked
from spsam.errors import InputError, SpsamError
from spsam.model.sam.backbones import backbone_spec
from spsam.model.sam.build import build_sam
from spsam.model.sam.promptable import Asked, PromptableSAM

SHORT = PretrainRecipe(
    title="short",
    steps=4,
    images=2,
    masks=2,
    excerpts=2,
    excerpt_images=3,
    warmup=2,
    checkpoint_every=2,
)


class StoppedError(Exception):
    pass


def train(folder: Path, stop_after: int | None = None) -> PromptableSAM:
    def on_step(done: int, metrics: dict[str, float]) -> None:
        assert np.isfinite(metrics["loss"])
        if done == stop_after:
            raise StoppedError

    return pretrain(
        SHORT,
        checkpoint=folder / "training.pt",
        log=folder / "metrics.jsonl",
        workers=0,
        on_step=on_step,
    )


def test_an_interrupted_training_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    whole = train(tmp_path / "one")
    with pytest.raises(StoppedError):
        train(tmp_path / "two", stop_after=3)
    resumed = train(tmp_path / "two")
    for (name, one), other in zip(
        whole.state_dict().items(), resumed.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name
    logs = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("one", "two")]
    assert logs[0] == logs[1]
    assert [json.loads(line)["step"] for line in logs[0].splitlines()] == [2, 4]
    fresh = PromptableSAM(backbone_spec("sam_tiny")).state_dict()
    still = [name for name, one in whole.state_dict().items() if torch.equal(one, fresh[name])]
    assert not [name for name in still if "weight" in name and "norm" not in name]


@pytest.mark.parametrize("first", range(5))
def test_excerpts_come_first_and_a_resumed_training_sees_what_is_left(first: int) -> None:
    shapes = [tuple(batch["image"].shape) for batch in lessons(SHORT, first, workers=0)]
    every = [(3, 3, 64, 64)] * 2 + [(2, 3, 128, 128)] * 2
    assert shapes == every[first:]


def test_weights_go_into_a_file_that_every_arm_can_load(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sam = PromptableSAM(backbone_spec("sam_tiny"))
    path = tmp_path / "sam.safetensors"
    save_weights(sam, path, SHORT)
    assert path.stat().st_size < 15e6
    encoder, decoder, report = build_sam("sam_tiny", (128, 128), checkpoint=path)
    assert report is not None
    assert report.fits
    for mine, theirs in ((sam.encoder, encoder), (sam.decoder, decoder)):
        for one, other in zip(
            mine.state_dict().values(), theirs.state_dict().values(), strict=True
        ):
            torch.testing.assert_close(one.half().float(), other)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        build_sam("sam_tiny", (128, 128), checkpoint=path)


def test_quality_is_an_iou_of_every_kind_of_prompt() -> None:
    torch.manual_seed(0)
    scores = measure(PromptableSAM(backbone_spec("sam_tiny")), held_out(SHORT, 2))
    assert set(scores) == {"point", "box", "point+box", "point+box, corrected"}
    assert all(0 <= score <= 1 for score in scores.values())


def test_a_correction_points_at_what_was_wrong() -> None:
    target = torch.zeros(3, 8, 8, dtype=torch.bool)
    target[:, 2:6, 2:6] = True
    answer = target.clone()
    answer[0, 2, 2] = False  # missed
    answer[1, 7, 7] = True  # invented
    asked = Asked().corrected(answer, target, torch.zeros(3, 1, 4, 4), np.random.default_rng(0))
    assert asked.points is not None
    assert asked.labels is not None
    assert asked.points[:2, 0].tolist() == [[2, 2], [7, 7]]
    assert asked.labels[:2, 0].tolist() == [1, 0]
    x, y = asked.points[2, 0].long().tolist()
    assert target[2, y, x]
    assert asked.labels[2, 0] == 1


def test_losses_and_iou_of_right_and_wrong_answers() -> None:
    target = torch.zeros(1, 8, 8)
    target[:, :4] = 1
    right, wrong = 20 * (2 * target - 1)[:, None], -20 * (2 * target - 1)[:, None]
    assert focal_loss(right, target).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(right, target).item() == pytest.approx(0, abs=1e-4)
    assert focal_loss(wrong, target).item() > 5
    assert dice_loss(wrong, target).item() > 0.9
    half = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    half[..., :2, :] = True
    assert iou(half, target > 0).item() == 0.5


def test_the_learning_rate_rises_stays_and_falls() -> None:
    recipe = PretrainRecipe(title="x", steps=100, warmup=10, decay_from=0.5, lr=1.0)
    rates = [learning_rate(recipe, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:50] == [1.0] * 40
    assert rates[-1] == pytest.approx(0.02)
    assert sorted(rates[50:], reverse=True) == rates[50:]


def test_mistakes_in_a_recipe_have_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("title: x\nsteps: many\nimagse: 3\n")
    with pytest.raises(InputError) as caught:
        load_recipe(path, {"lr": -1})
    said = "\n".join(str(problem) for problem in caught.value.problems)
    assert "recipe.yaml:2" in said
    assert "did you mean 'images'" in said
    assert "lr" in said


def test_training_starts_from_the_file_that_the_recipe_names(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first = PromptableSAM(backbone_spec("sam_tiny"))
    path = tmp_path / "first.safetensors"
    recipe = SHORT.model_copy(update={"start": save_weights(first, path, SHORT)})
    sam = started(recipe, path)
    for name, value in first.state_dict().items():
        torch.testing.assert_close(sam.state_dict()[name], value.half().float())
    torch.manual_seed(0)
    random = started(SHORT, None).state_dict()
    assert all(torch.equal(value, random[name]) for name, value in first.state_dict().items())


@pytest.mark.parametrize("named", [None, "0" * 64])
def test_another_start_than_the_recipes_is_refused(named: str | None, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(b"other")
    recipe = SHORT.model_copy(update={"start": named})
    with pytest.raises(InputError, match=r"start expects .*, got .*other\.safetensors with"):
        started(recipe, path)
    if named:
        with pytest.raises(InputError, match=r"got none: set --start"):
            started(recipe, None)


def stopped(folder: Path) -> Path:
    """A training that was stopped after its first checkpoint; the file of that."""
    with pytest.raises(StoppedError):
        train(folder, stop_after=2)
    return folder / "training.pt"


def test_another_recipe_does_not_go_on_from_the_old_training(tmp_path: Path) -> None:
    stopped(tmp_path)
    other = SHORT.model_copy(update={"seed": 7, "lr": 0.5})
    with pytest.raises(InputError, match=r"training\.pt: .*seed was 0, is 7.*another --save"):
        pretrain(
            other,
            checkpoint=tmp_path / "training.pt",
            log=tmp_path / "metrics.jsonl",
            workers=0,
            on_step=lambda done, metrics: None,
        )


def test_a_damaged_state_falls_back_and_a_damaged_log_loses_its_line(tmp_path: Path) -> None:
    file = stopped(tmp_path)
    before = previous(file)
    before.write_bytes(file.read_bytes())
    file.write_bytes(b"PK\x03\x04 cut")
    log = tmp_path / "metrics.jsonl"
    log.write_bytes(b"\xa2{\n[1]\n" + log.read_bytes())
    notes: list[str] = []
    pretrain(
        SHORT, checkpoint=file, log=log, workers=0, on_step=lambda *_: None, on_note=notes.append
    )
    assert "damaged" in notes[0]
    assert "2 damaged lines" in notes[1]
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [2, 4]
    for path in (file, before):
        path.write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(SpsamError, match="remove these files to restart"):
        train(tmp_path)


def test_two_trainings_to_one_file_are_refused(tmp_path: Path) -> None:
    # A second object of the same process counts as another process.
    file = tmp_path / "a.pt"
    refused = pytest.raises(InputError, match="another process trains")
    with locked(file), refused, locked(file):
        pass
    with locked(file):
        pass
    assert list(tmp_path.iterdir()) == []
