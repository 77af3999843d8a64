"""Colours of classes, the same in all figures, pages and images."""

from __future__ import annotations

import colorsys

# Palette of Okabe and Ito for colour-blind readers, without black, which is used by the image.
_FIRST = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
# Saturation and value of the further colours, chosen so that sixteen classes are at least 26 apart
# in CIELab.
_SHADES = ((0.75, 0.95), (0.85, 0.55), (0.35, 0.95), (1.0, 0.8))
_GOLDEN = 0.618034

NOTHING = "#444444"
"""Colour of the background, in the few places that draw it."""

MISSED, EXTRA, CONFUSED = "#4C8DFF", "#FF4B3E", "#FFE14D"
"""Colours of wrong pixels: foreground predicted as background, background predicted as foreground,
and a wrong foreground class. They also differ in brightness."""


def class_colour(number: int) -> str:
    """Return the colour of a class as `#RRGGBB`.

    The first seven classes use a palette that colour-blind readers can distinguish. The hues of
    further classes are spaced by the golden angle, so that the first hundred colours differ.

    Args:
        number: Id of the class; 0 is the background.
    """
    if number <= 0:
        return NOTHING
    if number <= len(_FIRST):
        return _FIRST[number - 1]
    step = number - len(_FIRST) - 1
    parts = colorsys.hsv_to_rgb((step * _GOLDEN) % 1, *_SHADES[step % len(_SHADES)])
    return "#" + "".join(f"{round(255 * part):02X}" for part in parts)


def class_colours(count: int) -> tuple[str, ...]:
    """Return the colours of classes 1 to `count - 1`; `count` includes the background."""
    return tuple(class_colour(number) for number in range(1, count))


def rgb(number: int) -> tuple[int, int, int]:
    """Return the colour of a class as red, green and blue in 0…255."""
    colour = class_colour(number)
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
