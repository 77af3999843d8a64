"""One colour for each class."""

from __future__ import annotations

import re

import numpy as np

from spsam.text.colours import NOTHING, class_colour, class_colours, rgb


def test_every_class_has_a_colour_of_its_own() -> None:
    colours = class_colours(256)
    assert len(colours) == 255
    assert all(re.fullmatch("#[0-9A-F]{6}", colour) for colour in colours)
    assert len(set(colours[:100])) == 100
    assert class_colour(0) == NOTHING
    assert rgb(1) == (0xE6, 0x9F, 0x00)


def test_colours_of_sixteen_classes_can_be_told_apart() -> None:
    values = np.array([rgb(k) for k in range(1, 17)], float)
    seen = _lab(values / 255)
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
    assert apart[~np.eye(16, dtype=bool)].min() > 26
    # None vanishes on a black image.
    assert values.max(axis=1).min() > 120


def _lab(values: np.ndarray) -> np.ndarray:
    """CIELab of sRGB, where equal distances look alike."""
    linear = np.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92)
    weights = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(linear @ np.transpose(weights) / (0.9505, 1.0, 1.089)).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
