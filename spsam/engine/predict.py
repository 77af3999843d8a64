"""Prompt-free segmentation of a whole volume by a sliding window."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spsam.config.pretrain import PretrainRecipe
from spsam.config.schema import InferenceConfig, RunConfig, TrainConfig
from spsam.data.preparation.bounds import is_out_of_memory
from spsam.data.preparation.restore import restore_labels
from spsam.data.preparation.store import PreparedCase
from spsam.engine.device import give_back
from spsam.engine.keep_largest import postprocessed
from spsam.engine.tile_batch import TileBatch, device_of_sums
from spsam.model.networks.base import Network, Output

Place = tuple[slice, slice, slice]
OnTile = Callable[[Output, Sequence[Place]], None]
OnProgress = Callable[[int, int], None]
"""Called with the number of finished tiles and of all tiles."""

# Number of finished slices that are yielded together.
_FINISHED = 4


class Image(Protocol):
    """Prepared intensities `(M, D, H, W)` that are read some slices at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (M, D, H, W)."""
        ...

    def __getitem__(self, key: tuple[slice, slice]) -> Any:
        """Returns `image[:, first:stop]` as an array or a tensor."""
        ...


PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def precision(train: TrainConfig) -> torch.dtype:
    """Returns the data type of a run's computations."""
    return PRECISIONS[train.precision]


def autocast(device: torch.device, train: TrainConfig | PretrainRecipe) -> torch.autocast:
    """Returns the autocast context of a training's precision."""
    # torch requires a 16-bit type even if autocast is disabled.
    kind = torch.bfloat16 if train.precision == "fp32" else PRECISIONS[train.precision]
    return torch.autocast(device.type, kind, enabled=train.precision != "fp32")


def predict_labels(
    network: Network,
    case: PreparedCase,
    config: RunConfig,
    on_piece: Callable[[int, Tensor, Tensor], None] | None = None,
    on_progress: OnProgress | None = None,
) -> npt.NDArray[np.integer]:
    """Segments a prepared case on its original grid, with the logits of some slices in memory.

    Args:
        network: The network; set to evaluation mode.
        case: The prepared case.
        config: Configuration of inference, precision and classes.
        on_piece: As in `restore_labels`; it receives the network's labels before components are
            removed.
        on_progress: Called with the number of finished tiles and of all tiles.

    Returns:
        `(D, H, W)` class indices, array axes (z, y, x), after `inference.keep_largest`.
    """
    arm = config.arm
    logits = SlidingLogits(network, case.image, arm.inference, arm.train, on_progress=on_progress)
    labels = restore_labels(logits, case, network.mask_head.labels, on_piece)
    return postprocessed(labels, arm.inference, config.data)


class SlidingLogits:
    """Final logits of a prepared volume, computed on demand from the first to the last slice.

    Tiles are processed in the order of their depth. Slices that no further tile reaches are
    finished, and consumed slices are discarded. A volume of any length needs memory for the logits
    of one tile's depth of slices, and for as many slices of the image.

    Args:
        network: The network; set to evaluation mode.
        image: `(M, D, H, W)` prepared intensities of any size: an array, a tensor or another object
            that returns slices.
        inference: Step, Gaussian weighting, mirroring and tiles per forward pass.
        train: Precision in which the network was trained.
        on_tile: Called with the network's output for some tiles, without mirrored ones, and their
            positions in the volume. Positions are negative in the padding before a small volume.
        on_progress: Called with the number of finished tiles and of all tiles.
    """

    def __init__(
        self,
        network: Network,
        image: Image,
        inference: InferenceConfig,
        train: TrainConfig,
        *,
        on_tile: OnTile | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._network = network.eval()
        self._device = next(network.parameters()).device
        self._inference, self._train = inference, train
        self._batch = TileBatch(inference, train, self._device)
        self._on_tile, self._on_progress = on_tile, on_progress
        channels, *size = image.shape
        self._tile = (network.depth, *network.image_size)
        # Half of the padding is added on either side, as in training.
        missing = [max(0, tile - have) for tile, have in zip(self._tile, size, strict=True)]
        self._before = [each // 2 for each in missing]
        self._size = [have + more for have, more in zip(size, missing, strict=True)]
        self._image = image
        # One tile's depth of slices of the padded image, and the index of the first one.
        self._slab = torch.zeros((channels, self._tile[0], *self._size[1:]))
        self._begins = -self._tile[0]
        self._slabs = self._run()
        self._held: list[Tensor] = [next(self._slabs)]
        self._first = 0
        self.shape: tuple[int, ...] = (len(self._held[0]), *size)

    def slices(self, first: int, stop: int) -> Tensor:
        """Returns some slices and discards earlier ones.

        Args:
            first: First slice, at least that of the previous call.
            stop: First slice after the returned ones.

        Returns:
            `(K, n, H, W)` float32 logits.
        """
        first, stop = first + self._before[0], stop + self._before[0]
        while self._first + sum(each.shape[1] for each in self._held) < stop:
            self._held.append(next(self._slabs))
        held = torch.cat(self._held, dim=1) if len(self._held) > 1 else self._held[0]
        self._held = [held[:, first - self._first :]]
        self._first = first
        inside = [
            slice(before, before + size)
            for before, size in zip(self._before[1:], self.shape[2:], strict=True)
        ]
        return self._held[0][:, : stop - first, inside[0], inside[1]]

    @torch.inference_mode()
    def _run(self) -> Iterator[Tensor]:
        """Computes finished slices of the padded volume, `(K, n, H, W)`, in order."""
        # Importing MONAI takes seconds; plans and tables do not need it.
        from monai.data.utils import compute_importance_map

        weights = compute_importance_map(
            self._tile, mode="gaussian", sigma_scale=self._inference.sigma, device=self._device
        )
        depths, rows, columns = (
            starts(have, tile, self._inference.step)
            for have, tile in zip(self._size, self._tile, strict=True)
        )
        total: Tensor | None = None
        counts = torch.zeros((self._tile[0], *self._size[1:]))
        number, tiles = 0, len(depths) * len(rows) * len(columns)
        for depth, following in zip(depths, [*depths[1:], self._size[0]], strict=True):
            self._read(depth)
            corners = [(depth, row, column) for row in rows for column in columns]
            while corners:
                count = self._batch.size
                some, corners = corners[:count], corners[count:]
                places = [self._place(corner) for corner in some]
                for place, logits in zip(places, self._tiles(places), strict=True):
                    if total is None:
                        where = device_of_sums(self._device, len(logits) * counts.nbytes)
                        counts, weights = counts.to(where), weights.to(where)
                        total = torch.zeros((len(logits), *counts.shape), device=where)
                    _, h, w = place
                    total[:, :, h, w] += logits.to(total.device).mul_(weights)
                    counts[:, h, w] += weights
                number += len(places)
                if self._on_progress is not None:
                    self._on_progress(number, tiles)
            assert total is not None
            done = following - depth if following < self._size[0] else self._tile[0]
            for first in range(0, done, _FINISHED):
                finished = slice(first, min(done, first + _FINISHED))
                yield total[:, finished] / counts[finished]
            _move(total, done, axis=1)
            _move(counts, done, axis=0)

    def _read(self, depth: int) -> None:
        """Moves the slab of the image to the slices from `depth` on; reads only new slices."""
        by = min(depth - self._begins, self._tile[0])
        _move(self._slab, by, axis=1)
        self._begins = depth
        kept = self._tile[0] - by
        offset = depth - self._before[0]
        first, stop = max(0, offset + kept), min(self._image.shape[1], offset + self._tile[0])
        if first < stop:
            slices = torch.as_tensor(self._image[:, first:stop])
            _, height, width = self._before
            rows, columns = (
                slice(before, before + size)
                for before, size in zip((height, width), slices.shape[2:], strict=True)
            )
            self._slab[:, first - offset : stop - offset, rows, columns] = slices

    def _place(self, corner: tuple[int, int, int]) -> Place:
        d, h, w = (slice(a, a + tile) for a, tile in zip(corner, self._tile, strict=True))
        return d, h, w

    def _tiles(self, places: Sequence[Place]) -> Tensor:
        """Computes logits `(n, K, d, h, w)` of some tiles, averaged over mirrorings."""
        tiles = torch.stack([self._slab[:, :, h, w] for _, h, w in places]).to(self._device)
        flips: list[tuple[int, ...]] = [()]
        if self._inference.mirror:
            flips = [axes for n in range(4) for axes in itertools.combinations((2, 3, 4), n)]
        total: Tensor | None = None
        for axes in flips:
            if axes:
                logits = self._logits(tiles.flip(axes), ()).flip(axes)
            else:
                logits = self._logits(tiles, [self._unpadded(place) for place in places])
            total = logits if total is None else total.add_(logits)
        assert total is not None
        return total.div_(len(flips)) if len(flips) > 1 else total

    def _logits(self, tiles: Tensor, places: Sequence[Place]) -> Tensor:
        """Computes logits of some tiles, in smaller batches if memory is insufficient.

        Args:
            tiles: `(n, M, d, h, w)`.
            places: Position of each tile, for `on_tile`; empty for mirrored tiles.
        """
        found: list[Tensor] = []
        first = 0
        while first < len(tiles):
            count = min(self._batch.size, len(tiles) - first)
            some = slice(first, first + count)
            try:
                found.append(self._forward(tiles[some], places[some]))
            except (MemoryError, RuntimeError) as error:
                if count == 1 or not is_out_of_memory(error):
                    raise
            else:
                first += count
                continue
            # After the `except` block, because the error's traceback keeps tensors in memory.
            give_back()
            self._batch.halve(count)
        return torch.cat(found) if len(found) > 1 else found[0]

    def _forward(self, tiles: Tensor, places: Sequence[Place]) -> Tensor:
        with self._batch.measured(tiles.nbytes), autocast(self._device, self._train):
            output = self._network(tiles)
        assert output.logits is not None
        if self._on_tile is not None and places:
            self._on_tile(output, places)
        # A copy, because the caller modifies it in place.
        logits: Tensor = output.logits.to(torch.float32, copy=True)
        return logits

    def _unpadded(self, place: Place) -> Place:
        d, h, w = (
            slice(each.start - before, each.stop - before)
            for each, before in zip(place, self._before, strict=True)
        )
        return d, h, w


def starts(size: int, tile: int, step: float) -> list[int]:
    """Computes the first voxel of each tile along an axis; the last tile ends with the axis.

    Args:
        size: Length of the axis, at least that of a tile.
        tile: Length of a tile.
        step: Distance between two tiles as a fraction of a tile; at least one voxel.
    """
    stride = max(1, int(tile * step)) if tile < size else tile
    count = -(-(size - tile) // stride) + 1
    return [min(index * stride, size - tile) for index in range(count)]


def _move(values: Tensor, by: int, axis: int) -> None:
    """Shifts slices towards the beginning of an axis, in place, and fills the end with zeros."""
    kept = values.shape[axis] - by
    for index in range(kept):
        values.select(axis, index).copy_(values.select(axis, index + by))
    values.narrow(axis, kept, by).zero_()
