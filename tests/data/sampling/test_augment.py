from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch

from spsam.config.augment import AugmentConfig
from spsam.data.sampling.augment import Augmentation, build
from spsam.data.sampling.patches import seeded

DEFAULTS = AugmentConfig().model_dump()
OFF: dict[str, Any] = {
    f"{name}_p": 0.0
    for name in (
        "rotation", "scale", "noise", "blur", "brightness", "contrast", "low_resolution",
        "gamma", "gamma_inverted",
    )
}  # fmt: skip
OFF["mirror"] = False


def made(patch: tuple[int, int, int], **options: Any) -> Augmentation:
    augmentation = build(patch, **{**DEFAULTS, **OFF, **options})
    assert augmentation is not None
    return augmentation


def apply(
    augmentation: Augmentation, image: torch.Tensor, label: torch.Tensor, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    with seeded(seed):
        result = augmentation.transform(image=image.clone(), segmentation=label.clone())
    return result["image"], result["segmentation"]


def sample(augmentation: Augmentation, channels: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    image = torch.randn((channels, *augmentation.cut_size), generator=generator)
    label = torch.randint(0, 4, (1, *augmentation.cut_size), generator=generator).to(torch.int16)
    return image, label


def centre(array: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
    margins = [(full - part) // 2 for full, part in zip(array.shape[1:], size, strict=True)]
    z, y, x = (slice(m, m + part) for m, part in zip(margins, size, strict=True))
    return array[:, z, y, x]


PATCHES = [(4, 32, 32), (1, 24, 16), (2, 16, 16), (16, 24, 20), (3, 33, 31), (2, 5, 5)]


@pytest.mark.parametrize("patch", PATCHES)
def test_nothing_chosen_gives_the_middle_of_the_cut(patch: tuple[int, int, int]) -> None:
    augmentation = made(patch)
    image, label = sample(augmentation)
    new_image, new_label = apply(augmentation, image, label)
    torch.testing.assert_close(new_image, centre(image, patch))
    torch.testing.assert_close(new_label, centre(label, patch))


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("channels", [1, 2])
def test_everything_at_once_keeps_shapes_labels_and_numbers(
    patch: tuple[int, int, int], channels: int
) -> None:
    augmentation = made(patch, **{**dict.fromkeys(OFF, 1.0), "mirror": True})
    image, label = sample(augmentation, channels)
    for seed in range(3):
        new_image, new_label = apply(augmentation, image, label, seed)
        assert new_image.shape == (channels, *patch)
        assert new_label.shape == (1, *patch)
        assert torch.isfinite(new_image).all()
        assert set(new_label.unique().tolist()) <= {0, 1, 2, 3}


def test_disabled_is_nothing() -> None:
    assert build((4, 32, 32), **{**DEFAULTS, "enabled": False}) is None


def test_thin_patches_turn_in_their_plane_only() -> None:
    augmentation = made((4, 32, 32), rotation_p=1.0, scale_p=1.0)
    image, label = (
        torch.zeros((1, *augmentation.cut_size)),
        torch.zeros((1, *augmentation.cut_size)),
    )
    label = label.to(torch.int16)
    image[:, 2], label[:, 2] = 1.0, 3
    new_image, new_label = apply(augmentation, image, label)
    assert not new_image[:, [0, 1, 3]].any()
    assert not new_label[:, [0, 1, 3]].any()
    assert new_image[:, 2].any()
    assert augmentation.cut_size[0] == 4


def test_thick_patches_turn_in_space() -> None:
    augmentation = made((16, 16, 16), rotation_p=1.0)
    image = torch.zeros((1, *augmentation.cut_size))
    image[:, : augmentation.cut_size[0] // 2] = 1
    turned, _ = apply(augmentation, image, image.to(torch.int16))
    assert (turned[0, 9:] > 0.5).any()


@pytest.mark.parametrize(("anisotropy", "flat"), [(3.0, True), (9.0, False)])
def test_the_ratio_that_counts_as_thin_is_a_value(anisotropy: float, flat: bool) -> None:
    augmentation = made((4, 32, 32), anisotropy=anisotropy)
    assert (augmentation.cut_size[0] == 4) is flat


def test_image_and_label_turn_together() -> None:
    augmentation = made((4, 48, 48), rotation_p=1.0, scale_p=1.0, mirror=True)
    image = torch.zeros((1, *augmentation.cut_size))
    image[:, 1:3, 20:40, 15:25] = 1
    for seed in range(5):
        new_image, new_label = apply(augmentation, image, image.to(torch.int16), seed)
        overlap = ((new_image > 0.5) == (new_label == 1)).float().mean()
        assert overlap > 0.995
        assert new_label.any()


def test_scaling_keeps_to_its_range() -> None:
    augmentation = made((4, 64, 64), scale_p=1.0, scale=(1.4, 1.4))
    label = torch.zeros((1, *augmentation.cut_size), dtype=torch.int16)
    middle = augmentation.cut_size[1] // 2
    label[:, :, middle - 14 : middle + 14, middle - 14 : middle + 14] = 1
    _, new_label = apply(augmentation, label.float(), label)
    # Above one, objects become smaller: 28 pixels to 20.
    assert new_label[0, 0].any(0).sum() == 20


def test_blur_of_thin_patches_leaves_slices_apart() -> None:
    augmentation = made((4, 32, 32), blur_p=1.0)
    image, label = sample(augmentation)
    other = image.clone()
    other[:, 0] += 7
    changed = 0
    for seed in range(6):
        first, _ = apply(augmentation, image, label, seed)
        second, _ = apply(augmentation, other, label, seed)
        torch.testing.assert_close(first[:, 1:], second[:, 1:])
        changed += not torch.allclose(first, centre(image, (4, 32, 32)))
    assert 0 < changed < 6


@pytest.mark.parametrize(
    "name", ["noise", "brightness", "contrast", "gamma", "gamma_inverted", "low_resolution"]
)
def test_each_intensity_change_changes_the_image_only(name: str) -> None:
    augmentation = made((4, 32, 32), **{f"{name}_p": 1.0})
    image, label = sample(augmentation)
    changed = []
    for seed in range(6):
        new_image, new_label = apply(augmentation, image, label, seed)
        torch.testing.assert_close(new_label, centre(label, (4, 32, 32)))
        changed.append(not torch.allclose(new_image, centre(image, (4, 32, 32)), atol=1e-4))
    assert all(changed) or (name == "low_resolution" and any(changed))


def test_mirroring_reaches_every_axis() -> None:
    augmentation = made((4, 8, 8), mirror=True)
    image, label = sample(augmentation)
    inner = centre(image, (4, 8, 8))
    variants = {
        axes: inner.flip(axes) if axes else inner
        for axes in [(), (1,), (2,), (3,), (1, 2), (1, 3), (2, 3), (1, 2, 3)]
    }
    seen = set()
    for seed in range(60):
        new_image, _ = apply(augmentation, image, label, seed)
        seen |= {axes for axes, variant in variants.items() if torch.equal(variant, new_image)}
    assert seen == set(variants)


def test_the_chances_are_as_declared() -> None:
    augmentation = made((4, 16, 16), noise_p=0.3)
    image, label = sample(augmentation)
    inner = centre(image, (4, 16, 16))
    hits = [
        not torch.equal(apply(augmentation, image, label, seed)[0], inner) for seed in range(300)
    ]
    assert 0.2 < np.mean(hits) < 0.4


def test_it_travels_to_other_processes() -> None:
    augmentation = build((4, 32, 32), **DEFAULTS)
    assert augmentation is not None
    copy = pickle.loads(pickle.dumps(augmentation))
    image, label = sample(augmentation)
    first, second = apply(augmentation, image, label, 3), apply(copy, image, label, 3)
    assert torch.equal(first[0], second[0])
