"""The colour of each class: one, wherever the class is drawn or written."""

from __future__ import annotations

import colorsys

# Okabe and Ito's, which colour-blind readers tell apart; black is the image's.
_FIRST = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
# Saturation and value of those that follow, chosen so that sixteen classes are at least 26 apart in
# CIELab.
_SHADES = ((0.75, 0.95), (0.85, 0.55), (0.35, 0.95), (1.0, 0.8))
_GOLDEN = 0.618034

NOTHING = "#444444"
"""Of the background, where it has to be drawn at all."""

MISSED, EXTRA, CONFUSED = "#4C8DFF", "#FF4B3E", "#FFE14D"
"""Of a wrong pixel: foreground called background, the other way round, and a wrong class. Their
brightness differs, too, on a grey image."""


def class_colour(number: int) -> str:
    """The colour of a class as `#RRGGBB`.

    Seven classes have the colours that colour-blind readers tell apart; of more, hues follow by the
    golden angle, so that no two of the first hundred are equal.

    Args:
        number: Of the class, the background 0.
    """
    if number <= 0:
        return NOTHING
    if number <= len(_FIRST):
        return _FIRST[number - 1]
    step = number - len(_FIRST) - 1
    parts = colorsys.hsv_to_rgb((step * _GOLDEN) % 1, *_SHADES[step % len(_SHADES)])
    return "#" + "".join(f"{round(255 * part):02X}" for part in parts)


def class_colours(count: int) -> tuple[str, ...]:
    """The colours of classes 1 to `count - 1`, of `count` classes with the background."""
    return tuple(class_colour(number) for number in range(1, count))


def rgb(number: int) -> tuple[int, int, int]:
    """The colour of a class as red, green, blue from 0 to 255."""
    colour = class_colour(number)
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
