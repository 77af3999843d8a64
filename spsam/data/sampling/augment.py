"""nnU-Net's augmentation with `batchgeneratorsv2`; values are [A] unless noted otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.pseudo2d import (
    Convert2DTo3DTransform,
    Convert3DTo2DTransform,
)
from batchgeneratorsv2.transforms.utils.random import RandomTransform

Range = tuple[float, float]
Patch = tuple[int, int, int]

# Width that reduces the library's blur kernel to one voxel.
_NO_BLUR = 1e-3
# Divisor by which nnU-Net enlarges the cut, so that a rotated and shrunk patch is filled.
_SCALE_MARGIN = 0.85


class Augmentation:
    """The transform from a larger cut of a volume to an augmented patch.

    Attributes:
        patch_size: (D, H, W) of the result.
        cut_size: (D, H, W) of the input, which has the same centre as the patch.
        transform: Accepts and returns `image=(M, D, H, W)` and `segmentation=(1, D, H, W)`; draws
            from the global random generators of torch and NumPy.
    """

    def __init__(self, patch_size: Patch, cut_size: Patch, transform: BasicTransform) -> None:
        self.patch_size = patch_size
        self.cut_size = cut_size
        self.transform = transform


def build(
    patch_size: Patch,
    *,
    enabled: bool,
    anisotropy: float,
    rotation_p: float,
    rotation: float,
    rotation_isotropic: float,
    scale_p: float,
    scale: Range,
    noise_p: float,
    noise_variance: Range,
    blur_p: float,
    blur_sigma: Range,
    brightness_p: float,
    brightness: Range,
    contrast_p: float,
    contrast: Range,
    low_resolution_p: float,
    low_resolution: Range,
    gamma_p: float,
    gamma_inverted_p: float,
    gamma: Range,
    mirror: bool,
) -> Augmentation | None:
    """Build the transforms in nnU-Net's order. The names of probabilities end in `_p`.

    Args:
        patch_size: (D, H, W).
        enabled: Whether to augment; otherwise None is returned.
        anisotropy: Rotation and blur are restricted to the plane if the patch's largest side
            exceeds its depth by more than this factor.
        rotation_p: Probability of a rotation.
        rotation: Largest angle in degrees, in the plane, for anisotropic patches.
        rotation_isotropic: Largest angle in degrees about each axis, for other patches.
        scale_p: Probability of scaling.
        scale: Factor, the same for all axes; above one, objects become smaller.
        noise_p: Probability of noise.
        noise_variance: Range of the noise as defined by the library, for z-scored intensities.
        blur_p: Probability of blur; it is then applied to each channel with probability one half.
        blur_sigma: Standard deviation of the Gaussian blur in voxels.
        brightness_p: Probability of a change in brightness.
        brightness: Factor of the intensities.
        contrast_p: Probability of a change in contrast.
        contrast: Factor about the mean; the range of intensities is kept.
        low_resolution_p: Probability of a low resolution; it is then applied to each channel with
            probability one half.
        low_resolution: Factor of the simulated size.
        gamma_p: Probability of a gamma correction.
        gamma_inverted_p: Probability of a gamma correction of inverted intensities.
        gamma: Exponent.
        mirror: Whether to flip each axis with probability one half.

    Returns:
        The augmentation; None if it is not enabled.
    """
    if not enabled:
        return None
    # A single slice cannot be rotated out of its plane.
    flat = max(patch_size) / patch_size[0] > anisotropy or patch_size[0] == 1
    radians = math.radians(rotation if flat else rotation_isotropic)
    per_channel = {"synchronize_channels": False, "p_per_channel": 1.0}
    gamma_of = {"p_retain_stats": 1, **per_channel}
    gamma_range = BGContrast(gamma)
    steps = [
        (noise_p, GaussianNoiseTransform(noise_variance, synchronize_channels=True)),
        (blur_p, _blur(patch_size, flat, blur_sigma)),
        (brightness_p, MultiplicativeBrightnessTransform(BGContrast(brightness), **per_channel)),
        (contrast_p, ContrastTransform(BGContrast(contrast), preserve_range=True, **per_channel)),
        (low_resolution_p, _low_resolution(flat, low_resolution)),
        (gamma_inverted_p, GammaTransform(gamma_range, p_invert_image=1, **gamma_of)),
        (gamma_p, GammaTransform(gamma_range, p_invert_image=0, **gamma_of)),
    ]
    spatial = SpatialTransform(
        patch_size[1:] if flat else patch_size,
        patch_center_dist_from_border=0,
        random_crop=False,
        p_rotation=rotation_p,
        rotation=(-radians, radians),
        p_scaling=scale_p,
        scaling=scale,
        p_synchronize_scaling_across_axes=1,
        # Voxels from outside become background, because their label must be a valid class.
        border_mode_seg="zeros",
    )
    # Slices become channels, so that all of them are rotated in the plane in the same way.
    around = [Convert3DTo2DTransform(), spatial, Convert2DTo3DTransform()] if flat else [spatial]
    chosen = [RandomTransform(step, apply_probability=p) for p, step in steps if p > 0]
    mirrors = [MirrorTransform(allowed_axes=(0, 1, 2))] if mirror else []
    cut = _cut_size(patch_size, flat, radians)
    return Augmentation(patch_size, cut, ComposeTransforms([*around, *chosen, *mirrors]))


def _blur(patch_size: Patch, flat: bool, sigma: Range) -> BasicTransform:
    # The kernel mirrors the volume at its ends, for which a few slices are not deep enough. Across
    # thick slices, a blur of one voxel would extend over a centimetre.
    flat = flat or patch_size[0] <= math.ceil(3 * sigma[1] + 1)

    return GaussianBlurTransform(
        _BlurWidth(sigma, flat),
        synchronize_channels=False,
        synchronize_axes=False,
        p_per_channel=0.5,
    )


class _BlurWidth:
    """Blur width of one axis (1 is the depth). It is a class, because closures do not pickle."""

    def __init__(self, sigma: Range, flat: bool) -> None:
        self.sigma = sigma
        self.flat = flat

    def __call__(self, shape: Sequence[int], dim: int) -> float:
        return _NO_BLUR if self.flat and dim == 1 else float(np.random.uniform(*self.sigma))


def _low_resolution(flat: bool, scale: Range) -> BasicTransform:
    return SimulateLowResolutionTransform(
        scale,
        synchronize_channels=False,
        synchronize_axes=True,
        ignore_axes=(0,) if flat else None,
        p_per_channel=0.5,
    )


def _cut_size(patch_size: Patch, flat: bool, radians: float) -> Patch:
    """Return the patch size plus even margins (none along the depth of a flat patch)."""
    angle = min(radians, math.pi / 2)
    reach = (math.cos(angle) + math.sin(angle)) / _SCALE_MARGIN
    depth, height, width = (
        size + 2 * math.ceil(max(0.0, size * (reach - 1)) / 2) for size in patch_size
    )
    return (patch_size[0] if flat else depth), height, width
