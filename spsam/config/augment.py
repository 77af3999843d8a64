"""The ranges of training's augmentation: nnU-Net's, which the paper names (App. D)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from spsam.config.fields import Fraction, NotNegative, Positive, Section, author, paper


class AugmentConfig(Section):
    """Random changes of a training patch; a `..._p` is the probability of one.

    Ranges are `[low, high]`; angles in degrees, the rest factors unless it says otherwise.
    """

    enabled: bool = paper(True, "Change training patches at all.")
    anisotropy: Positive = author(
        3.0,
        "A patch is turned and blurred in plane only if its largest side / D is above.",
    )
    rotation_p: Fraction = author(0.2, "Rotation.")
    rotation: Annotated[float, Field(ge=0, le=180)] = author(
        180.0, "Largest rotation in the plane of an anisotropic patch, degrees."
    )
    rotation_isotropic: Annotated[float, Field(ge=0, le=180)] = author(
        30.0, "Largest rotation about each axis of another patch, degrees."
    )
    scale_p: Fraction = author(0.2, "Scaling.")
    scale: tuple[Positive, Positive] = author((0.7, 1.4), "Zoom.")
    noise_p: Fraction = author(0.1, "Gaussian noise.")
    noise_variance: tuple[NotNegative, NotNegative] = author((0.0, 0.1), "Variance of the noise.")
    blur_p: Fraction = author(0.2, "Gaussian blur.")
    blur_sigma: tuple[Positive, Positive] = author((0.5, 1.0), "Width of the blur, pixels.")
    brightness_p: Fraction = author(0.15, "Multiplicative brightness.")
    brightness: tuple[Positive, Positive] = author((0.75, 1.25), "Factor of all intensities.")
    contrast_p: Fraction = author(0.15, "Contrast, keeping the range of intensities.")
    contrast: tuple[Positive, Positive] = author((0.75, 1.25), "Factor around the mean.")
    low_resolution_p: Fraction = author(0.25, "Simulated low resolution, in the plane.")
    low_resolution: tuple[Positive, Positive] = author((0.5, 1.0), "Zoom down before zooming up.")
    gamma_p: Fraction = author(0.3, "Gamma correction.")
    gamma_inverted_p: Fraction = author(0.1, "Gamma correction of the inverted image.")
    gamma: tuple[Positive, Positive] = author((0.7, 1.5), "Exponent.")
    mirror: bool = paper(True, "Mirror on every axis, each with probability one half.")

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
