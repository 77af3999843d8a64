"""Label descriptions (names and colours) for ITK-SNAP: Segmentation > Import Label Descriptions."""

from __future__ import annotations

from collections.abc import Sequence

from spsam.text.classes import class_labels
from spsam.text.colours import rgb

_HEAD = """\
# ITK-SnAP Label Description File
# Id, red, green, blue (0 to 255), opacity (0 to 1), visible, visible as a mesh (0 or 1), name
"""


def label_description(names: Sequence[str], raw_ids: Sequence[int]) -> str:
    """Return the text of a label description file.

    Args:
        names: Names of all classes, background first.
        raw_ids: For each class, its id in label maps.
    """
    lines = [_line(raw_ids[0], (0, 0, 0), "Clear Label", shown=False)]
    for number, name in enumerate(class_labels(names)):
        if number:
            # The format quotes names but cannot escape a quotation mark.
            lines.append(_line(raw_ids[number], rgb(number), name.replace('"', "'"), shown=True))
    return _HEAD + "".join(lines)


def _line(raw_id: int, colour: tuple[int, int, int], name: str, *, shown: bool) -> str:
    red, green, blue = colour
    flag = int(shown)
    return f'{raw_id:5d} {red:5d} {green:4d} {blue:4d} {flag:8d} {flag:2d} {flag:2d}    "{name}"\n'
