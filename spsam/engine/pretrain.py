"""Training of a small SAM to segment prompted objects, after SAM's own training procedure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Subset

from spsam.config.pretrain import PretrainRecipe
from spsam.data.sampling.questions import Lesson, Question, Questions
from spsam.engine.predict import autocast
from spsam.engine.pretrain_losses import dice_loss, focal_loss, iou, picture_loss
from spsam.engine.pretrain_state import lines_until, resume, save
from spsam.errors import InputError
from spsam.files import atomic, write_text
from spsam.model.sam.backbones import backbone_spec
from spsam.model.sam.build import build_sam
from spsam.model.sam.checkpoint import official_state
from spsam.model.sam.excerpt import Excerpt
from spsam.model.sam.promptable import Asked, PromptableSAM
from spsam.model.sam.state_file import CHECKSUM, file_sha256, state_sha256

Metrics = dict[str, float]

_KINDS = ("point", "box", "point+box")
_SHARES = (0.2, 0.4, 0.4)


def pretrain(
    recipe: PretrainRecipe,
    *,
    checkpoint: Path,
    log: Path,
    workers: int,
    on_step: Callable[[int, Metrics], None],
    on_note: Callable[[str], None] = lambda text: None,
    start: Path | None = None,
) -> PromptableSAM:
    """Trains SAM to the end of the recipe, resuming from the last checkpoint if there is one.

    Args:
        recipe: Defines the training completely.
        checkpoint: File for checkpoints, written during training.
        log: File with one JSON line per checkpoint: mean metrics since the previous one.
        workers: Processes that generate images.
        on_step: Called with the number of finished steps and the last step's metrics.
        on_note: Called with a note if a checkpoint or log is damaged.
        start: File with initial weights, as required by the recipe's `start`.

    Returns:
        The trained SAM.

    Raises:
        InputError: If the checkpoint belongs to another recipe, or `start` is not the recipe's.
        SpsamError: If there are checkpoints but none is intact.
    """
    spec = backbone_spec(recipe.backbone)
    torch.manual_seed(recipe.seed)
    sam = started(recipe, start)
    sam.requires_grad_(True)
    pictures = PictureHead(spec.out_dim, spec.patch)
    optimizer = torch.optim.AdamW(
        [*sam.parameters(), *pictures.parameters()],
        lr=recipe.lr,
        betas=(0.9, 0.98),
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    parts = nn.ModuleDict({"sam": sam, "pictures": pictures})
    first = resume(checkpoint, recipe, parts, optimizer, on_note)
    lines = lines_until(log, first, on_note)
    since: dict[str, list[float]] = {}
    excerpt = Excerpt(sam, spec, spec.native_size // 2)
    for step, batch in enumerate(lessons(recipe, first, workers), start=first):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        rng = np.random.default_rng([recipe.seed, step])
        asked: PromptableSAM = sam
        if step < recipe.excerpts:
            excerpt.move(*rng.integers(excerpt.corners, size=2))
            asked = excerpt
        metrics = _step(asked, pictures, batch, optimizer, recipe=recipe, rng=rng)
        done = step + 1
        for name, value in metrics.items():
            since.setdefault(name, []).append(value)
        if done % recipe.checkpoint_every == 0 or done == recipe.steps:
            save(checkpoint, recipe, done, parts, optimizer)
            means = {name: sum(values) / len(values) for name, values in sorted(since.items())}
            lines.append(json.dumps({"step": done, **means}))
            write_text(log, "\n".join(lines) + "\n")
            since.clear()
        on_step(done, metrics)
    return sam


def started(recipe: PretrainRecipe, start: Path | None) -> PromptableSAM:
    """Builds the initial SAM, with random weights or those of a file whose hash is in the recipe.

    Args:
        recipe: Its `start` is the expected SHA-256; None for random weights.
        start: File with initial weights.

    Raises:
        InputError: If the file does not match the recipe's hash, only one of both is given, or the
            file does not contain the weights of this SAM.
    """
    spec = backbone_spec(recipe.backbone)
    found = None if start is None else file_sha256(start)
    if found != recipe.start:
        expected = f"a file with sha-256 {recipe.start}" if recipe.start else "no file"
        came = f"{start} with {found}" if start else "none"
        message = f"the recipe's start expects {expected}, got {came}: set --start to this file or "
        raise InputError(message + "change the hash by --set start=SHA256 (null: random weights)")
    if start is None:
        return PromptableSAM(spec)
    size = (spec.native_size, spec.native_size)
    encoder, decoder, _ = build_sam(spec.name, size, checkpoint=start)
    return PromptableSAM(spec, (encoder, decoder))


def lessons(recipe: PretrainRecipe, first: int, workers: int) -> Iterator[Lesson]:
    """Iterates over the remaining batches: excerpts, then whole images.

    Args:
        recipe: Defines the training.
        first: Number of finished steps.
        workers: Processes that generate images.
    """
    spec = backbone_spec(recipe.backbone)
    parts = (
        (0, min(recipe.excerpts, recipe.steps), spec.native_size // 2, recipe.excerpt_images),
        (recipe.excerpts, recipe.steps, spec.native_size, recipe.images),
    )
    for start, end, size, images in parts:
        done = max(0, first - start)
        if done >= end - start:
            continue
        questions = Questions(
            recipe.seed,
            (end - start) * images,
            size,
            recipe.masks,
            4 * size // spec.patch,
            recipe.box_jitter,
        )
        todo = Subset(questions, range(done * images, len(questions)))
        yield from DataLoader(todo, images, num_workers=workers)


def learning_rate(recipe: PretrainRecipe, step: int) -> float:
    """Computes the learning rate of a step: linear warm-up, constant, linear decay to zero.

    Args:
        recipe: Defines the schedule.
        step: Index of the step.
    """
    rise = min(1.0, (step + 1) / recipe.warmup)
    start = recipe.decay_from * recipe.steps
    fall = min(1.0, (recipe.steps - step) / max(1.0, recipe.steps - start))
    return recipe.lr * rise * fall


class PictureHead(nn.Module):
    """Predicts an image's borders and its flat version from the embedding; used only in training.

    Prompted masks supervise the encoder by only a few borders per image, through a decoder that is
    not trained yet. This head supervises it by all borders at once. The flat image enables the
    start of the training: a linear map already reproduces most of it, whereas borders alone
    resulted in no gradient for 300 steps.

    Args:
        dim: C, channels of the embedding.
        patch: Side length of a token, pixels.
    """

    def __init__(self, dim: int, patch: int) -> None:
        super().__init__()
        self.to_pixels = nn.Sequential(nn.Conv2d(dim, 2 * patch**2, 1), nn.PixelShuffle(patch))

    def forward(self, embedding: Tensor) -> Tensor:
        """Predicts logits of borders and the flat image, `(B, 2, H, W)`, from `(B, C, gh, gw)`."""
        found: Tensor = self.to_pixels(embedding)
        return found


def _step(
    sam: PromptableSAM,
    pictures: PictureHead,
    batch: Lesson,
    optimizer: torch.optim.Optimizer,
    *,
    recipe: PretrainRecipe,
    rng: np.random.Generator,
) -> Metrics:
    target = batch["masks"].flatten(0, 1)  # (n, H, W), n = images · masks
    kind = str(rng.choice(_KINDS, p=_SHARES))
    asked = Asked(
        points=batch["points"].flatten(0, 1)[:, None] if "point" in kind else None,
        labels=torch.ones(len(target), 1) if "point" in kind else None,
        boxes=batch["boxes"].flatten(0, 1) if "box" in kind else None,
        masks=batch["rough"].flatten(0, 1) if rng.random() < recipe.mask_prompts else None,
    )
    metrics: Metrics = {}
    with autocast(torch.device("cpu"), recipe):
        embedding = sam.embed(batch["image"])
        found = pictures(embedding)
    at_once = picture_loss(found.float(), batch["borders"], batch["flat"])
    loss = recipe.picture_weight * at_once
    metrics["pictures"] = float(at_once.detach())
    for number in range(recipe.rounds):
        # A single point is ambiguous (part or whole), so that the best of three masks counts.
        ambiguous = kind == "point" and number == 0 and asked.masks is None
        with autocast(torch.device("cpu"), recipe):
            masks, quality = sam.answer(embedding, asked)
        answers = masks[:, 1:] if ambiguous else masks[:, :1]
        answers = functional.interpolate(
            answers.float(), target.shape[1:], mode="bilinear", align_corners=False
        )
        errors = recipe.focal_weight * focal_loss(answers, target) + dice_loss(answers, target)
        ious = iou(answers.detach() > 0, target > 0)
        guess = (quality[:, 1:] if ambiguous else quality[:, :1]).float()
        loss = loss + errors.min(dim=1).values.mean() + (guess - ious).square().mean()
        metrics[f"iou/{kind}/{number}"] = float(ious.max(dim=1).values.mean())
        best = errors.argmin(dim=1)
        rows = torch.arange(len(target))
        asked = asked.corrected(
            answers.detach()[rows, best] > 0,
            target > 0,
            masks.detach()[rows, best + (1 if ambiguous else 0)][:, None].float(),
            rng,
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    for group in optimizer.param_groups:
        nn.utils.clip_grad_norm_(group["params"], recipe.clip_norm)
    optimizer.step()
    return {"loss": float(loss.detach()), **metrics}


def held_out(recipe: PretrainRecipe, pictures: int) -> DataLoader[Lesson]:
    """Generates batches of held-out images from another sequence than training's, with tight boxes.

    Args:
        recipe: Defines the size of images and the number of masks per image.
        pictures: Number of images.
    """
    spec = backbone_spec(recipe.backbone)
    rough = 4 * spec.native_grid[0]
    size = spec.native_size
    found = Questions(recipe.seed + 1, pictures, size, recipe.masks, rough, box_jitter=0.0)
    return DataLoader(found, recipe.images)


@torch.no_grad()
def measure(sam: PromptableSAM, questions: Iterable[Question], seed: int = 0) -> Metrics:
    """Computes the mean IoU of the single mask over all masks, for each kind of prompts.

    Args:
        sam: SAM at the images' size.
        questions: Batches with at least one mask.
        seed: Seed of the corrections.

    Returns:
        Mean IoU for `point`, `box`, `point+box`, and `point+box, corrected`, after one correction.
    """
    size = sam.encoder.image_size[0]
    found: dict[str, list[Tensor]] = {}
    sam.eval()
    for number, batch in enumerate(questions):
        target = batch["masks"].flatten(0, 1) > 0
        embedding = sam.embed(batch["image"])
        points = batch["points"].flatten(0, 1)[:, None]
        boxes, ones = batch["boxes"].flatten(0, 1), torch.ones(len(target), 1)
        first = {
            "point": Asked(points, ones),
            "box": Asked(boxes=boxes),
            "point+box": Asked(points, ones, boxes),
        }
        for kind, asked in first.items():
            answer, logits = _single(sam, embedding, asked, size)
            found.setdefault(kind, []).append(iou(answer, target)[:, 0])
        rng = np.random.default_rng([seed, number])
        again = asked.corrected(answer[:, 0], target, logits, rng)
        answer, _ = _single(sam, embedding, again, size)
        found.setdefault("point+box, corrected", []).append(iou(answer, target)[:, 0])
    return {kind: float(torch.cat(values).mean()) for kind, values in found.items()}


def _single(
    sam: PromptableSAM, embedding: Tensor, asked: Asked, size: int
) -> tuple[Tensor, Tensor]:
    """Predicts the single mask `(n, 1, H, W)` and its logits `(n, 1, 4gh, 4gw)`."""
    logits = sam.answer(embedding, asked)[0][:, :1]
    large = functional.interpolate(logits, (size, size), mode="bilinear", align_corners=False)
    return large > 0, logits


def save_weights(sam: PromptableSAM, path: Path, recipe: PretrainRecipe) -> str:
    """Writes the weights by SAM's own names in half precision, completely or not at all.

    Args:
        sam: The trained SAM.
        path: A `.safetensors` file.
        recipe: Written to the file's metadata.

    Returns:
        SHA-256 of the file.
    """
    from safetensors.torch import save_file

    state = {
        name: value.detach().half().contiguous()
        for name, value in official_state(sam.encoder, sam.decoder).items()
    }
    metadata = {"recipe": recipe.model_dump_json(), CHECKSUM: state_sha256(state)}
    with atomic(path) as draft:
        save_file(state, draft, metadata=metadata)
    return file_sha256(path)
