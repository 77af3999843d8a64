"""Recording of a network's own prompts, in the coordinates of the original volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from spsam.data.preparation.store import PreparedCase
from spsam.engine.predict import OnTile, Place
from spsam.model.networks.base import Network, Output
from spsam.model.networks.self_prompt_sam import SelfPromptSAM


class GivenPrompts:
    """Collects the prompts of all tiles, without mirrored ones.

    Attributes:
        lines: One entry per tile, slice and class with a prompt: `member` (index of the run),
            `tile`, `class` and, if the run uses them, `point` and `box` (two corners), in voxels
            (x, y, z) of the file, counted from 0.
    """

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def of(self, case: PreparedCase, network: Network, member: int) -> OnTile:
        """Returns a callback that records the prompts of one run's tiles.

        Args:
            case: The case as prepared for the run.
            network: The run's network.
            member: Index of the run.
        """
        tiles = 0

        def hear(output: Output, places: Sequence[Place]) -> None:
            nonlocal tiles
            prompts = output.prompts
            if prompts is None:
                return  # The network does not use prompts.
            assert isinstance(network, SelfPromptSAM)
            frame = network.image_encoder.image_size
            present = prompts.present.cpu().numpy()
            kinds = {"point": _array(prompts.points), "box": _array(prompts.boxes)}
            for index, place in enumerate(places):
                for depth, k in np.argwhere(present[index]).tolist():
                    line: dict[str, Any] = {"member": member, "tile": tiles + index, "class": k}
                    for kind, values in kinds.items():
                        if values is None:
                            continue
                        pairs = values[index, depth, k].reshape(-1, 2)
                        at = in_volume(pairs, depth, place, frame, case)
                        # Flips and transpositions can exchange the corners.
                        corners = [at.min(axis=0).tolist(), at.max(axis=0).tolist()]
                        line[kind] = at[0].tolist() if kind == "point" else corners
                    self.lines.append(line)
            tiles += len(places)

        return hear


def in_volume(
    pairs: NDArray[np.float64],
    depth: int,
    place: Place,
    frame: tuple[int, int],
    case: PreparedCase,
) -> NDArray[np.float64]:
    """Converts pixels of the encoder's frame to voxels of the file.

    Args:
        pairs: `(n, 2)` (x, y) in one slice of a tile.
        depth: Index of the slice in the tile.
        place: Position of the tile in the prepared volume.
        frame: (h, w) of the encoder's input.
        case: The prepared volume.

    Returns:
        `(n, 3)` (x, y, z), rounded to hundredths.
    """
    tile = [each.stop - each.start for each in place[1:]]
    # Pixel centres are scaled.
    inside = [(pairs[:, 1 - axis] + 0.5) * tile[axis] / frame[axis] - 0.5 for axis in (0, 1)]
    at = np.stack([np.full(len(pairs), float(depth)), *inside], axis=1)
    at += [each.start for each in place]
    box = case.box or tuple((0, size) for size in case.original.shape)
    cut = np.array([box[axis][1] - box[axis][0] for axis in case.axes])
    at = (at + 0.5) * cut / np.array(case.label.shape) - 0.5
    at = np.where(case.flips, cut - 1 - at, at)
    file = np.empty_like(at)
    for turned, axis in enumerate(case.axes):
        file[:, axis] = at[:, turned] + box[axis][0]
    rounded: NDArray[np.float64] = np.round(file[:, ::-1], 2)
    return rounded


def _array(values: Tensor | None) -> NDArray[np.float64] | None:
    return None if values is None else values.detach().double().cpu().numpy()
