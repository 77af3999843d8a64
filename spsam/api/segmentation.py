"""A volume's label map in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Segmentation:
    """What a run makes of a volume, on the volume's own grid.

    Attributes:
        labels: `(D, H, W)` on the axes (z, y, x): the ids of the training's label files.
        class_names: The class of each id, background first.
        spacing: (z, y, x) in mm.
        origin: (x, y, z) in mm of the first voxel's centre.
        direction: Nine direction cosines, row by row, in (x, y, z) order.
        probabilities: `(K, D, H, W)` float32 in the order of `class_names`; None where not asked
            for. Of a run whose mask head has a sigmoid a voxel's do not sum to 1.
        prompts: The prompts that the networks gave themselves, a line a tile, slice and class:
            `member` (which run), `tile`, `class` (index in `class_names`), `point` (x, y, z) and
            `box` (two corners) in voxels of the image; None where not asked for.
    """

    labels: NDArray[np.integer]
    class_names: Mapping[int, str]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]
    probabilities: NDArray[np.float32] | None = field(default=None, repr=False)
    prompts: pd.DataFrame | None = field(default=None, repr=False)

    @property
    def volumes(self) -> dict[str, float]:
        """Millilitres of each class but the background."""
        z, y, x = self.spacing
        voxel = z * y * x / 1000
        foreground = list(self.class_names.items())[1:]
        return {name: float((self.labels == value).sum()) * voxel for value, name in foreground}

    def to_sitk(self) -> Any:
        """The label map as a `SimpleITK.Image` with the image's spacing, origin and direction."""
        import SimpleITK

        # Its functions carry no types.
        library: Any = SimpleITK
        image = library.GetImageFromArray(self.labels)
        image.SetSpacing(self.spacing[::-1])
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image
