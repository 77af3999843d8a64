"""The slices of a run that figures show: image, reference, prediction and prompts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spsam.errors import SpsamError
from spsam.results.arrays import read_arrays, write_arrays
from spsam.text.json_text import parse_json

_ARRAYS = ("image", "reference", "prediction", "mask", "points", "boxes")


@dataclass(frozen=True)
class Panel:
    """One case's slice with the most foreground in the reference, cropped around the organs.

    Which pixels it shows depends on the reference alone, so that arms can stand side by side.
    Prompts are those of a patch around the organs, as the network gave them to SAM. What a network
    does not use is None.

    Attributes:
        case: Its id.
        slice: Index of the slice, in the volume as preparation cut and turned it.
        aspect: Height over width of a pixel.
        image: `(h, w)` uint8, first channel.
        reference: `(h, w)` class indices, uint8 or, from class 256 on, int16.
        prediction: `(h, w)` class indices; likewise.
        mask: `(h, w)` likewise, the class whose mask prompt is the largest; 0 outside the patch.
        points: `(n, 4)` class, x, y, and 1 for inside or 0 for outside, pixels of the crop.
        boxes: `(n, 5)` class, x1, y1, x2, y2, pixels of the crop, both corners inside.
    """

    case: str
    slice: int
    aspect: float
    image: NDArray[np.uint8]
    reference: NDArray[np.integer]
    prediction: NDArray[np.integer]
    mask: NDArray[np.integer] | None = None
    points: NDArray[np.float64] | None = None
    boxes: NDArray[np.float64] | None = None


def write_panels(path: Path, panels: Sequence[Panel]) -> None:
    """Writes them at once, `.npz`."""
    arrays: dict[str, NDArray[Any]] = {}
    index = []
    for number, panel in enumerate(panels):
        index.append({"case": panel.case, "slice": panel.slice, "aspect": panel.aspect})
        for name in _ARRAYS:
            if (value := getattr(panel, name)) is not None:
                arrays[f"{name}_{number}"] = value
    arrays["index"] = np.array(json.dumps(index))
    write_arrays(path, arrays)


def read_panels(path: Path) -> list[Panel]:
    """Reads what `write_panels` wrote.

    Raises:
        SpsamError: If the file is missing or damaged.
    """
    arrays = read_arrays(path)
    try:
        index = parse_json(str(arrays["index"]))
        return [
            Panel(
                case=str(entry["case"]),
                slice=int(entry["slice"]),
                aspect=float(entry["aspect"]),
                image=arrays[f"image_{number}"],
                reference=arrays[f"reference_{number}"],
                prediction=arrays[f"prediction_{number}"],
                mask=arrays.get(f"mask_{number}"),
                points=arrays.get(f"points_{number}"),
                boxes=arrays.get(f"boxes_{number}"),
            )
            for number, entry in enumerate(index)
        ]
    except (KeyError, ValueError, TypeError) as error:
        raise SpsamError(f"{path}: is damaged: {error}") from error
