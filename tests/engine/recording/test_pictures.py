"""What figures show lies where the organs lie, on whatever grid the network works."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from spsam.config.schema import TrainConfig
from spsam.data.geometry import Turn
from spsam.data.preparation.store import PreparedCase
from spsam.data.volume import Geometry, Volume
from spsam.engine.assemble import build_network
from spsam.engine.recording.pictures import MOST, picture, shown
from spsam.model.networks.self_prompt_sam import SelfPromptSAM
from spsam.registry.arms import load_arm

from ..networks import small


class Seeing(torch.nn.Module):
    """A prompt generator that finds what is bright in the patch."""

    def __init__(self, patch: list[Tensor]) -> None:
        super().__init__()
        self.patch = patch

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        bright = self.patch[-1].float() - 0.5
        return [torch.cat([-bright, bright, torch.full_like(bright, -9.0)], dim=1)]


def seeing() -> SelfPromptSAM:
    network, patches = small("S3"), []
    network.register_forward_pre_hook(lambda _, args: patches.append(args[0]))
    network.prompt_generator = Seeing(patches)  # type: ignore[assignment]
    return network


def example(
    prepared: tuple[int, int, int],
    axes: tuple[int, int, int],
    flips: tuple[bool, bool, bool] = (False, False, False),
    margin: int = 0,
) -> tuple[PreparedCase, Volume]:
    """A block that fills the same place of both grids; the original one is twice as fine."""
    label = np.zeros(prepared, np.uint8)
    label[1:-1, 30:42, 20:36] = 1
    fine = label.repeat(2, axis=1).repeat(2, axis=2)
    fine[2] = np.roll(fine[2], 1) | fine[2]  # the slice with the most foreground
    turn = Turn(axes, flips)
    cut = turn.back(fine)
    # Preparation may cut a part out of the volume and turn it over.
    box = tuple((margin, margin + size) for size in cut.shape) if margin else None
    original = np.pad(cut, margin)
    spacing = tuple(np.array([4.0, 1.0, 2.0])[np.argsort(axes)])
    case = PreparedCase(
        id="block",
        patient="p",
        image=label[None].astype(np.float32),
        label=label,
        foreground={},
        spacing=(4.0, 2.0, 4.0),
        original=Geometry(original.shape, spacing),
        axes=axes,
        flips=flips,
        box=box,  # type: ignore[arg-type]
        raw_ids=(0, 1, 2),
    )
    return case, Volume(original[None].astype(np.float32), original, spacing)


@pytest.mark.parametrize("prepared", [(4, 90, 100), (4, 50, 40)], ids=["larger", "smaller"])
@pytest.mark.parametrize(
    "placed",
    [((0, 1, 2),), ((2, 0, 1),), ((0, 2, 1), (True, False, True), 3)],
    ids=["as it is", "other axes", "cut and turned over"],
)
def test_prompts_lie_on_the_organ(prepared: tuple[int, int, int], placed: tuple[Any, ...]) -> None:
    case, volume = example(prepared, *placed)
    assert volume.label is not None
    panel = picture(seeing(), case, volume, volume.label, TrainConfig())
    assert (panel.case, panel.slice, panel.aspect) == ("block", 2, 0.5)
    # 15 mm at 1 and 2 mm a pixel.
    assert panel.reference.shape[0] == 24 + 15 + min(15, 2 * prepared[1] - 84)
    np.testing.assert_array_equal(panel.reference, panel.prediction)
    assert panel.image.max() == 255
    assert panel.image.min() == 0
    assert panel.mask is not None
    assert panel.points is not None
    assert panel.boxes is not None
    inside = panel.reference == 1
    # At a quarter of the patch's resolution.
    assert (panel.mask == 1)[inside].mean() > 0.75
    assert (panel.mask == 1)[~inside].mean() < 0.15
    (point,) = panel.points[panel.points[:, 0] == 1]
    assert inside[round(point[2]), round(point[1])]
    (box,) = panel.boxes[panel.boxes[:, 0] == 1]
    rows, columns = np.nonzero(inside)
    wanted = [columns.min(), rows.min(), columns.max(), rows.max()]
    # A pixel of the prepared grid is two here, and its centre stands for it.
    np.testing.assert_allclose(box[1:], wanted, atol=1.6)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_has_the_same_masks(precision: Any) -> None:
    case, volume = example((4, 90, 100), (0, 1, 2))
    assert volume.label is not None
    whole, half = (
        picture(seeing(), case, volume, volume.label, TrainConfig(precision=each))
        for each in ("fp32", precision)
    )
    np.testing.assert_array_equal(half.mask, whole.mask)


def test_a_plain_network_has_no_prompts() -> None:
    case, volume = example((4, 90, 100), (0, 1, 2))
    assert volume.label is not None
    network = build_network(
        load_arm("unet2d"), in_channels=1, num_classes=3, depth=3, image_size=(64, 64)
    )
    panel = picture(network, case, volume, volume.label, TrainConfig())
    assert (panel.mask, panel.points, panel.boxes) == (None, None, None)
    assert panel.image.shape == panel.reference.shape


def test_few_of_many_cases_are_shown() -> None:
    assert shown(3) == {0, 1, 2}
    assert len(shown(500)) == MOST
    assert {0, 499} <= shown(500)
    assert shown(0) == set()
