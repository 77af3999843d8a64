"""The ranges of training augmentation: those of nnU-Net, which the paper cites (App. D)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from spsam.config.fields import Fraction, NotNegative, Positive, Section, author, paper


class AugmentConfig(Section):
    """Random augmentation of training patches. Keys ending in `_p` are probabilities.

    Ranges are `[low, high]`: angles in degrees, other values factors unless stated otherwise.
    """

    enabled: bool = paper(True, "Enable augmentation.")
    anisotropy: Positive = author(
        3.0,
        "Patches are rotated and blurred in-plane only if their largest side / D exceeds this "
        "value (anisotropic patches).",
    )
    rotation_p: Fraction = author(0.2, "Probability of a rotation.")
    rotation: Annotated[float, Field(ge=0, le=180)] = author(
        180.0, "Maximum in-plane rotation of an anisotropic patch, degrees."
    )
    rotation_isotropic: Annotated[float, Field(ge=0, le=180)] = author(
        30.0, "Maximum rotation of an isotropic patch about each axis, degrees."
    )
    scale_p: Fraction = author(0.2, "Probability of scaling.")
    scale: tuple[Positive, Positive] = author((0.7, 1.4), "Range of the scale factor.")
    noise_p: Fraction = author(0.1, "Probability of Gaussian noise.")
    noise_variance: tuple[NotNegative, NotNegative] = author(
        (0.0, 0.1), "Range of the noise variance."
    )
    blur_p: Fraction = author(0.2, "Probability of a Gaussian blur.")
    blur_sigma: tuple[Positive, Positive] = author(
        (0.5, 1.0), "Range of the blur's standard deviation, pixels."
    )
    brightness_p: Fraction = author(0.15, "Probability of a brightness change.")
    brightness: tuple[Positive, Positive] = author(
        (0.75, 1.25), "Range of the factor applied to all intensities."
    )
    contrast_p: Fraction = author(0.15, "Probability of a contrast change; the range is kept.")
    contrast: tuple[Positive, Positive] = author(
        (0.75, 1.25), "Range of the factor applied to deviations from the mean."
    )
    low_resolution_p: Fraction = author(0.25, "Probability of simulated in-plane low resolution.")
    low_resolution: tuple[Positive, Positive] = author(
        (0.5, 1.0), "Range of the downsampling factor."
    )
    gamma_p: Fraction = author(0.3, "Probability of a gamma correction.")
    gamma_inverted_p: Fraction = author(
        0.1, "Probability of a gamma correction of the inverted image."
    )
    gamma: tuple[Positive, Positive] = author((0.7, 1.5), "Range of the exponent.")
    mirror: bool = paper(True, "Mirror along each axis with probability 1/2.")

    @field_validator(
        "scale",
        "noise_variance",
        "blur_sigma",
        "brightness",
        "contrast",
        "low_resolution",
        "gamma",
    )
    @classmethod
    def _low_then_high(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise PydanticCustomError(
                "said",
                "expected [low, high], got [{low}, {high}]",
                {"low": value[0], "high": value[1]},
            )
        return value
