"""Label maps as another program leaves them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK

from spsam.data.volume import Geometry
from tests.studies.fakes import GEOMETRY


def write_map(
    folder: Path, name: str, *, ids: Sequence[int] = (1, 2), geometry: Geometry = GEOMETRY
) -> Path:
    """A label map with a row of pixels of each id."""
    array = np.zeros(geometry.shape, np.uint8)
    for row, value in enumerate(ids):
        array[:, row, 4:12] = value
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(geometry.spacing[::-1])
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.nii.gz"
    SimpleITK.WriteImage(image, str(file))
    return file
