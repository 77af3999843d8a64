"""Slices of a run that figures show: image, reference, prediction and prompts."""

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
    """The slice of one case with the most reference foreground, cropped around the organs.

    The crop depends on the reference alone, so that figures of several arms show the same pixels.
    The prompts are those of a patch around the organs, as passed from the network to SAM. Prompts
    that a network does not use are None.

    Attributes:
        case: Id of the case.
        slice: Index of the slice in the prepared (oriented and cropped) volume.
        aspect: Height of a pixel divided by its width.
        image: `(h, w)` uint8, the first channel.
        reference: `(h, w)` class indices, uint8, or int16 if they do not fit into uint8.
        prediction: `(h, w)` class indices, of the same types.
        mask: `(h, w)` class with the largest mask prompt, of the same types; 0 outside the patch.
        points: `(n, 4)` class, x, y, and 1 for inside or 0 for outside; in pixels of the crop.
        boxes: `(n, 5)` class, x1, y1, x2, y2, both corners included; in pixels of the crop.
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
    """Write the panels to an `.npz` file atomically."""
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
    """Read a file of `write_panels`.

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
