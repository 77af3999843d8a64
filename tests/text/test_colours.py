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
    apart = np.linalg.norm(values[:, None] - values[None], axis=-1)
    assert apart[~np.eye(16, dtype=bool)].min() > 40
    # None vanishes on a black image.
    assert values.max(axis=1).min() > 120
