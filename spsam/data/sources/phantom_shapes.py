"""Geometry of the built-in cardiac phantom: organs as soft memberships, in mm.

Coordinates: x points right and y down from the image's centre; t runs along the heart's long axis,
from 0 at the apex to 1 at the base. Every shape is a membership in 0…1 with a border of about one
pixel, so that slices contain partial volumes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Anatomy:
    """The heart of one patient in one phase; lengths in mm, angles in radians."""

    centre: tuple[float, float]
    drift: tuple[float, float]
    lv_radius: float
    wall: float
    ellipticity: float
    septum: float
    rv_radial: float
    rv_tangential: float
    rv_start: float
    rv_bend: float
    apex: float
    wobble: tuple[tuple[float, float, float], ...]
    septal_thickening: float
    aorta: tuple[float, float, float]
    liver: tuple[float, float, float]
    lung: tuple[float, float, float]
    chest: float

    def contracted(self, rng: np.random.Generator) -> Anatomy:
        """Return the same heart at end-systole: small cavities, thick wall, similar muscle area."""
        cavity = (self.lv_radius - self.wall) * rng.uniform(0.55, 0.85)
        outer = self.lv_radius * rng.uniform(0.90, 0.97)
        return replace(
            self,
            lv_radius=outer,
            wall=outer - cavity,
            apex=self.apex * 1.5,
            rv_radial=self.rv_radial * rng.uniform(0.6, 0.85),
            rv_tangential=self.rv_tangential * rng.uniform(0.85, 0.95),
            rv_start=self.rv_start * 1.3,
        )


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw a patient at end-diastole; some hearts are dilated, some hypertrophic."""
    lv_radius = rng.uniform(27, 38)
    wall = float(np.clip(rng.normal(9.5, 2.2), 6, 0.5 * lv_radius))
    wobble = tuple(
        (rng.normal(0, 0.035 / k), rng.uniform(0, 2 * np.pi), rng.normal(0, 0.5)) for k in (2, 3, 4)
    )
    return Anatomy(
        centre=(rng.uniform(2, 14), rng.uniform(-8, 8)),
        drift=(rng.normal(0, 6), rng.normal(0, 6)),
        lv_radius=lv_radius,
        wall=wall,
        ellipticity=rng.uniform(0.9, 1.1),
        septum=np.pi + rng.normal(0.15, 0.3),
        rv_radial=rng.uniform(17, 29),
        rv_tangential=lv_radius * rng.uniform(0.95, 1.3),
        rv_start=rng.uniform(0.1, 0.22),
        rv_bend=rng.uniform(0.004, 0.011),
        apex=rng.uniform(0.06, 0.14),
        wobble=wobble,
        septal_thickening=rng.normal(0, 0.12),
        aorta=(rng.uniform(32, 46), rng.uniform(40, 52), rng.uniform(8, 12)),
        liver=(rng.uniform(-62, -38), rng.uniform(46, 62), rng.uniform(30, 44)),
        lung=(rng.uniform(62, 78), rng.uniform(-22, 6), rng.uniform(30, 40)),
        chest=rng.uniform(66, 82),
    )


def soft(distance: Array, width: float) -> Array:
    """Return the membership at `distance` mm inside (positive) a border of a width in mm."""
    return np.clip(distance / width + 0.5, 0.0, 1.0)


def profile(t: Array) -> Array:
    """Return the relative radius along the long axis: 0 at the apex, 1 towards the base."""
    t = np.clip(t, 0.0, 1.0)
    return (1 - (1 - t) ** 2.2) ** (1 / 2.2)


def heart_shapes(anatomy: Anatomy, x: Array, y: Array, t: Array, pixel: float) -> dict[str, Array]:
    """Compute the memberships of the heart's structures.

    Args:
        anatomy: The patient in one phase.
        x: `(1, 1, W)` coordinate in mm.
        y: `(1, H, 1)` coordinate in mm.
        t: `(S, 1, 1)` position along the long axis.
        pixel: In-plane pixel size in mm, used as the width of borders.

    Returns:
        Name -> `(S, H, W)` membership in 0…1.
    """
    cx = anatomy.centre[0] + anatomy.drift[0] * (t - 0.5)
    cy = anatomy.centre[1] + anatomy.drift[1] * (t - 0.5)
    dx, dy = x - cx, y - cy
    angle = np.arctan2(dy, dx)
    radius = np.hypot(dx / anatomy.ellipticity, dy * anatomy.ellipticity)
    ripple = 1.0 + sum(
        a * np.cos(k * angle + phase + turn * t)
        for k, (a, phase, turn) in zip((2, 3, 4), anatomy.wobble, strict=True)
    )
    outer = anatomy.lv_radius * profile(t) * ripple
    cavity_t = (t - anatomy.apex) / (1 - anatomy.apex)
    thick = 1.0 + anatomy.septal_thickening * np.cos(angle - anatomy.septum)
    inner = (anatomy.lv_radius - anatomy.wall * thick) * profile(cavity_t) * ripple
    inside = (t > 0.0) & (t <= 1.0)
    disc = soft(outer - radius, pixel)
    cavity = soft(inner - radius, pixel) * inside * (cavity_t > 0.0)
    # Above the valves, an atrium replaces the cavity. It is as bright, but not a class.
    atrium = soft(0.9 * outer - radius, pixel) * (t > 1.0)
    shapes = _right_ventricle(anatomy, dx, dy, t, pixel)
    shapes["rv"] *= 1 - disc
    shapes["heart_wall"] = disc
    shapes["epicardium"] = disc * inside
    shapes["atrium"] = atrium
    shapes["cavity"] = cavity
    shapes["papillary"] = _papillary(anatomy, (dx, dy), inner, t, pixel) * cavity
    return shapes


def _right_ventricle(
    anatomy: Anatomy, dx: Array, dy: Array, t: Array, pixel: float
) -> dict[str, Array]:
    """Compute a crescent on the septal side that bends around the left ventricle."""
    cos, sin = np.cos(anatomy.septum), np.sin(anatomy.septum)
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    size = profile((t - anatomy.rv_start) / (1.1 - anatomy.rv_start))
    radial = np.maximum(anatomy.rv_radial * size, 1e-3)
    tangential = np.maximum(anatomy.rv_tangential * size, 1e-3)
    u = u - 0.85 * anatomy.lv_radius * profile(t) - 0.15 * radial + anatomy.rv_bend * v**2
    reach = np.hypot(u / radial, v / tangential)
    distance = (1 - reach) * np.minimum(radial, tangential)
    inside = (t > anatomy.rv_start) & (t < 1.12)
    return {
        "rv": soft(distance, pixel) * inside,
        "rv_wall": soft(distance + 3.0, pixel) * inside,
        # Fat is in the grooves where the ventricles meet, not all around.
        "heart_fat": soft(distance + 6.0, 3 * pixel)
        * np.clip(1.4 * np.abs(v) / tangential - 0.5, 0.0, 0.8)
        * inside,
    }


def _papillary(
    anatomy: Anatomy, offset: tuple[Array, Array], inner: Array, t: Array, pixel: float
) -> Array:
    """Compute two dark muscles in the cavity; they count as blood pool, as in ACDC."""
    dx, dy = offset
    both = np.zeros(np.broadcast(dx, t).shape)
    for turn in (2.0, -2.3):
        towards = anatomy.septum + turn
        px, py = 0.68 * inner * np.cos(towards), 0.68 * inner * np.sin(towards)
        size = 0.2 * inner * ((t > 0.25) & (t < 0.75))
        both = np.maximum(both, soft(size - np.hypot(dx - px, dy - py), pixel) * (size > 0))
    return both


def surroundings(anatomy: Anatomy, x: Array, y: Array, t: Array, pixel: float) -> dict[str, Array]:
    """Compute the memberships of chest wall, lungs, liver, aorta and vessels.

    These are structures that a threshold would also segment. The arguments are those of
    `heart_shapes`.
    """
    ax, ay, ar = anatomy.aorta
    lx, ly, lr = anatomy.liver
    ux, uy, ur = anatomy.lung
    skin = anatomy.chest - np.hypot(0.85 * (x - 8), y - 6)
    # The liver's dome rises towards the apical slices.
    dome = lr * (1.15 - 0.45 * t)
    ripple = 3.0 * np.sin(x / 9.0) + 2.0 * np.cos(y / 7.0 + x / 17.0)
    lung = ur + 10 * (t - 0.5) - np.hypot(0.8 * (x - ux), 0.55 * (y - uy)) + ripple
    left = 0.7 * ur - np.hypot(0.9 * (x + ux), 0.6 * (y + 12)) + ripple
    vessels = np.maximum(
        2.5 - np.hypot(x - ux + 14 - 8 * t, y - uy - 6), 2.0 - np.hypot(x - ux, y - uy + 16 * t)
    )
    everywhere = np.ones(np.broadcast(x, t).shape)
    return {
        "body": soft(skin + 12, 2 * pixel) * everywhere,
        "inside": soft(skin, 2 * pixel) * everywhere,
        "lung": np.maximum(soft(lung, 3 * pixel), soft(left, 3 * pixel)),
        "vessels": soft(vessels, pixel) * everywhere,
        "liver": soft(dome - np.hypot(0.7 * (x - lx), y - ly) + 0.5 * ripple, 2 * pixel),
        "aorta": soft(ar - np.hypot(x - ax, y - ay - 3 * t), pixel) * everywhere,
    }
