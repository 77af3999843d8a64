"""Slice of a case for figures, with the network's own prompts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spsam.config.schema import TrainConfig
from spsam.data.labels import narrow_indices, without_ignored
from spsam.data.preparation.store import PreparedCase
from spsam.data.volume import Volume
from spsam.engine.predict import autocast
from spsam.engine.recording.counts import around, as_prepared
from spsam.model.networks.base import Network
from spsam.model.networks.self_prompt_sam import SelfPromptSAM
from spsam.model.prompts.types import PADDING, Prompts
from spsam.results.panels import Panel

MOST = 40
"""Maximum number of cases shown, which limits the size of a run's files."""

_MARGIN = 15.0  # mm around the organs


def shown(count: int) -> set[int]:
    """Selects which of `count` cases are shown: all, or `MOST` evenly spaced ones."""
    return set(np.linspace(0, count - 1, min(count, MOST)).round().astype(int).tolist())


def picture(
    network: Network | None,
    case: PreparedCase,
    volume: Volume,
    labels: NDArray[np.integer],
    train: TrainConfig | None = None,
) -> Panel:
    """Crops the slice with the most foreground and computes the network's prompts there.

    Args:
        network: The network, set to evaluation mode; None for an external prediction.
        case: The prepared case.
        volume: The case as acquired.
        labels: `(D, H, W)` prediction on the original grid, array axes (z, y, x).
        train: Precision of the network.
    """
    assert volume.label is not None
    image, reference, prediction = (
        as_prepared(map_, case) for map_ in (volume.image[0], volume.label, labels)
    )
    pixels = (reference > 0).sum(axis=(1, 2))
    index = int(pixels.argmax()) if pixels.any() else len(reference) // 2
    spacing = [volume.spacing[axis] for axis in case.axes]
    crop = around(reference[index] > 0, spacing[1:], _MARGIN) or (slice(None), slice(None))
    here = reference[index][crop]
    prompts: dict[str, Any] = {}
    if isinstance(network, SelfPromptSAM) and train is not None:
        prompts = _prompts(network, case, _Grid(case, network, image.shape, index, crop), train)
    return Panel(
        case=case.id,
        slice=index,
        aspect=round(spacing[1] / spacing[2], 4),
        image=_bytes(image[index][crop]),
        reference=narrow_indices(without_ignored(here)).copy(),
        prediction=narrow_indices(without_ignored(prediction[index][crop], here)).copy(),
        **prompts,
    )


def _prompts(
    network: SelfPromptSAM, case: PreparedCase, grid: _Grid, train: TrainConfig
) -> dict[str, Any]:
    """Computes `mask`, `points` and `boxes` of a `Panel`."""
    device = next(network.parameters()).device
    with torch.inference_mode(), autocast(device, train):
        prompts = network.eval()(grid.tile(case).to(device)).prompts
    assert prompts is not None
    return {
        "mask": grid.mask(prompts),
        "points": grid.points(prompts),
        "boxes": grid.boxes(prompts),
    }


class _Grid:
    """One patch around a crop, and the mapping from its pixels to the crop's."""

    def __init__(
        self,
        case: PreparedCase,
        network: SelfPromptSAM,
        original: tuple[int, ...],
        index: int,
        crop: tuple[slice, ...],
    ) -> None:
        self.size = (network.depth, *network.image_size)
        self.encoder = network.image_encoder.image_size
        prepared = case.label.shape
        # Number of original pixels per prepared pixel.
        self.scale = [whole / small for whole, small in zip(original, prepared, strict=True)]
        bounds = [(index, index + 1)]
        bounds += [part.indices(whole)[:2] for part, whole in zip(crop, original[1:], strict=True)]
        self.first = [low for low, _ in bounds[1:]]
        self.shape = tuple(high - low for low, high in bounds[1:])
        self.start = []
        for (low, high), scale, size, whole in zip(
            bounds, self.scale, self.size, prepared, strict=True
        ):
            start = round((low + high) / 2 / scale - size / 2)
            # A volume smaller than the patch is in its centre, as in inference.
            slack = whole - size
            self.start.append(min(max(start, 0), slack) if slack >= 0 else slack // 2)
        nearest = int(np.clip((index + 0.5) / self.scale[0], 0, prepared[0] - 1))
        self.slice = nearest - self.start[0]

    def tile(self, case: PreparedCase) -> Tensor:
        """Cuts the patch, `(1, M, D, H, W)`, zero beyond the volume."""
        tile = np.zeros((len(case.image), *self.size), np.float32)
        inside, source = [slice(None)], [slice(None)]
        for start, size, whole in zip(self.start, self.size, case.label.shape, strict=True):
            low, high = max(start, 0), min(start + size, whole)
            source.append(slice(low, high))
            inside.append(slice(low - start, high - start))
        tile[tuple(inside)] = case.image[tuple(source)]
        return torch.from_numpy(tile)[None]

    def points(self, prompts: Prompts) -> NDArray[np.float64] | None:
        """Returns `points` of a `Panel`."""
        if prompts.points is None:
            return None
        present = prompts.present[0, self.slice].cpu().numpy()
        found = [
            (k, *self._place(place), 1.0)
            for k, place in enumerate(_array(prompts.points[0, self.slice]))
            if present[k]
        ]
        if prompts.extra_points is not None and prompts.extra_labels is not None:
            kinds = prompts.extra_labels[0, self.slice].cpu().numpy()
            places = _array(prompts.extra_points[0, self.slice])
            for k, number in zip(*np.nonzero(kinds != PADDING), strict=True):
                found.append((int(k), *self._place(places[k, number]), float(kinds[k, number])))
        return np.array(found, np.float64).reshape(-1, 4)

    def boxes(self, prompts: Prompts) -> NDArray[np.float64] | None:
        """Returns `boxes` of a `Panel`."""
        if prompts.boxes is None:
            return None
        present = prompts.present[0, self.slice].cpu().numpy()
        found = [
            (k, *self._place(box[:2]), *self._place(box[2:]))
            for k, box in enumerate(_array(prompts.boxes[0, self.slice]))
            if present[k]
        ]
        return np.array(found, np.float64).reshape(-1, 5)

    def mask(self, prompts: Prompts) -> NDArray[np.integer] | None:
        """Returns `mask` of a `Panel`."""
        if prompts.masks is None:
            return None
        masks = prompts.masks[0, self.slice, :, 0].float().cpu().numpy()
        # Resized binary masks overlap at borders. The last class wins a tie, not the background.
        largest = len(masks) - 1 - masks[::-1].argmax(axis=0)
        rows, columns = (self._sources(axis, largest.shape[axis]) for axis in (0, 1))
        mask = narrow_indices(largest)[np.ix_(rows, columns)]
        mask[rows < 0] = 0
        mask[:, columns < 0] = 0
        return mask

    def _place(self, place: NDArray[np.float64]) -> tuple[float, float]:
        """Converts (x, y) from the encoder's frame to the crop's."""
        result = []
        for axis, value in ((1, place[0]), (0, place[1])):
            edge = (value + 0.5) * self.size[1 + axis] / self.encoder[axis] + self.start[1 + axis]
            result.append(float(edge * self.scale[1 + axis] - 0.5 - self.first[axis]))
        return result[0], result[1]

    def _sources(self, axis: int, size: int) -> NDArray[np.intp]:
        """Maps the crop's pixels along an axis to those of a mask prompt; -1 beyond the patch."""
        centres = np.arange(self.shape[axis]) + self.first[axis] + 0.5
        within = centres / self.scale[1 + axis] - self.start[1 + axis]
        index = np.floor(within * size / self.size[1 + axis]).astype(np.intp)
        return np.where((index < 0) | (index >= size), -1, index)


def _array(places: Tensor) -> NDArray[np.float64]:
    return places.double().cpu().numpy()


def _bytes(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Scales intensities to 0…255 between the crop's 0.5th and 99.5th percentiles."""
    low, high = np.percentile(image, (0.5, 99.5))
    scaled = (image.astype(np.float64) - low) / max(float(high - low), 1e-9)
    grey: NDArray[np.uint8] = (255 * np.clip(scaled, 0, 1)).round().astype(np.uint8)
    return grey
