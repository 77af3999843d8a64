from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from spsam.config.prompt_study import Disturbance
from spsam.engine.prompting.sources import (
    disturbed_labels,
    disturbed_prompts,
    from_class,
    generator,
    label_logits,
    only,
)
from spsam.model.prompts.base import Prompts
from spsam.model.prompts.edt import EdtPrompt

K, FRAME = 3, (32, 40)


def labels() -> np.ndarray[Any, Any]:
    maps = np.zeros((1, 2, *FRAME), dtype=np.int64)
    maps[0, :, 8:18, 10:24] = 1
    maps[0, 1, 20:26, 10:20] = 2
    return maps


def prompts(maps: np.ndarray[Any, Any] | None = None) -> Prompts:
    maps = labels() if maps is None else maps
    logits = label_logits(torch.from_numpy(maps), K, 5.0)
    made: Prompts = EdtPrompt(K)(logits, FRAME, (16, 20))
    return made


def disturbed(seed: int = 0, **amounts: float) -> Prompts:
    return disturbed_prompts(
        prompts(), Disturbance(name="a", **amounts), generator(seed), frame=FRAME, scale=(1.0, 1.0)
    )


def test_logits_name_the_label() -> None:
    maps = torch.from_numpy(labels())
    logits = label_logits(maps, K, 5.0)
    assert torch.equal(logits.argmax(dim=1), maps)
    assert logits.unique().tolist() == [-5.0, 5.0]


def test_eroded_and_dilated_by_pixels() -> None:
    maps = labels()
    eroded = disturbed_labels(maps, Disturbance(name="a", erode=2))
    assert (eroded[0, 0] == 1).sum() == (10 - 4) * (14 - 4)
    dilated = disturbed_labels(maps, Disturbance(name="a", dilate=1))
    assert (dilated[0, 0] == 1).sum() == 10 * 14 + 2 * (10 + 14)
    # Grown towards each other, no class takes another's pixels.
    wide = disturbed_labels(maps, Disturbance(name="a", dilate=30))
    assert (wide[maps > 0] == maps[maps > 0]).all()
    gone = disturbed_labels(maps, Disturbance(name="a", erode=20))
    assert not gone.any()


def test_a_shifted_point_is_so_far_away() -> None:
    before, after = prompts(), disturbed(point_shift=3)
    assert before.points is not None
    assert after.points is not None
    distance = (after.points - before.points).norm(dim=-1)
    assert torch.allclose(distance[..., 1:][before.present[..., 1:]], torch.tensor(3.0), atol=1e-4)
    assert not after.points[~before.present].any()
    assert torch.equal(after.boxes, before.boxes)  # type: ignore[arg-type]


def test_a_jittered_box_moves_by_its_size_at_most_and_stays_in_the_frame() -> None:
    before, after = prompts(), disturbed(box_jitter=0.2)
    assert before.boxes is not None
    assert after.boxes is not None
    size = before.boxes[..., 2:] - before.boxes[..., :2] + 1
    moved = (after.boxes - before.boxes).abs().reshape(1, 2, K, 2, 2)
    assert (moved <= 0.2 * size[..., None, :] + 1e-4).all()
    assert moved.max() > 0
    assert (after.boxes >= 0).all()
    assert (after.boxes[..., 2] <= FRAME[1] - 1).all()
    assert torch.equal(after.points, before.points)  # type: ignore[arg-type]


def test_a_dropped_class_has_no_prompt_and_the_background_stays() -> None:
    after = disturbed(drop=1.0)
    assert after.present[..., 0].all()
    assert not after.present[..., 1:].any()
    assert after.points is not None
    assert after.boxes is not None
    assert after.masks is not None
    assert not after.points[..., 1:, :].any()
    assert not after.boxes[..., 1:, :].any()
    assert (after.masks[:, :, 1] == after.masks.min()).all()


@dataclass(frozen=True, eq=False)
class Several(Prompts):
    """Prompts of a strategy that gives more than one point."""

    extra_points: torch.Tensor | None = None
    extra_labels: torch.Tensor | None = None


def test_further_points_move_with_the_first_and_go_with_the_class() -> None:
    one = prompts()
    assert one.points is not None
    labels = torch.ones((*one.present.shape, 2), dtype=torch.int64)
    more = Several(
        one.points, one.boxes, one.present, one.masks,
        one.points[..., None, :].repeat(1, 1, 1, 2, 1),
        labels,
    )  # fmt: skip
    options: Any = {"frame": FRAME, "scale": (1.0, 1.0)}
    away = Disturbance(name="a", point_shift=3)
    moved: Any = disturbed_prompts(more, away, generator(0), **options)
    assert torch.equal(moved.extra_points[..., 0, :], moved.points)
    assert torch.equal(moved.extra_points[..., 1, :], moved.points)
    gone: Any = disturbed_prompts(more, Disturbance(name="a", drop=1), generator(0), **options)
    assert (gone.extra_labels[..., 1:, :] == -1).all()
    assert (gone.extra_labels[..., 0, :] == 1).all()
    boxed: Any = only(more, ("box",))
    assert boxed.points is boxed.extra_points is boxed.extra_labels is boxed.masks is None
    foreground: Any = from_class(more, 1)
    assert foreground.extra_points.shape == (1, 2, K - 1, 2, 2)


def test_draws_depend_on_the_seed_alone() -> None:
    first, again, other = (disturbed(seed, point_shift=3) for seed in (1, 1, 2))
    assert torch.equal(first.points, again.points)  # type: ignore[arg-type]
    assert not torch.equal(first.points, other.points)  # type: ignore[arg-type]


@pytest.mark.parametrize("use", [("point",), ("box",), ("mask",), ("point", "mask")])
def test_only_the_kinds_in_use_are_left(use: tuple[str, ...]) -> None:
    left = only(prompts(), use)
    given = {"point": left.points, "box": left.boxes, "mask": left.masks}
    assert {kind for kind, value in given.items() if value is not None} == set(use)


def test_from_class_leaves_the_first_classes_out() -> None:
    part = from_class(prompts(), 1)
    assert part.present.shape == (1, 2, K - 1)
    assert part.masks is not None
    assert part.masks.shape[2] == K - 1
    assert torch.equal(part.boxes, prompts().boxes[:, :, 1:])  # type: ignore[index,arg-type]
