"""Prompt-free segmentation of a whole volume by a sliding window."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from spsam.config.pretrain import PretrainRecipe
from spsam.config.schema import InferenceConfig, RunConfig, TrainConfig
from spsam.data.preparation.restore import restore_labels
from spsam.data.preparation.store import PreparedCase
from spsam.engine.keep_largest import postprocessed
from spsam.model.networks.base import Network, Output

Place = tuple[slice, slice, slice]
OnTile = Callable[[Output, Sequence[Place]], None]

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
) -> npt.NDArray[np.integer]:
    """Segments a prepared case on its original grid, with the logits of some slices in memory.

    Args:
        network: The network; set to evaluation mode.
        case: The prepared case.
        config: Configuration of inference, precision and classes.
        on_piece: As in `restore_labels`; it receives the network's labels before components are
            removed.

    Returns:
        `(D, H, W)` class indices, array axes (z, y, x), after `inference.keep_largest`.
    """
    image = torch.from_numpy(np.array(case.image, dtype=np.float32))
    arm = config.arm
    logits = SlidingLogits(network, image, arm.inference, arm.train)
    labels = restore_labels(logits, case, network.mask_head.labels, on_piece)
    return postprocessed(labels, arm.inference, config.data)


class SlidingLogits:
    """Final logits of a prepared volume, computed on demand from the first to the last slice.

    Tiles are processed in the order of their depth. Slices that no further tile reaches are
    finished, and consumed slices are discarded. Memory is therefore limited to little more than a
    tile's depth, for a volume of any length.

    Args:
        network: The network; set to evaluation mode.
        image: `(M, D, H, W)` prepared intensities of any size, on any device.
        inference: Step, Gaussian weighting and mirroring.
        train: Precision in which the network was trained.
        on_tile: Called with the network's output for some tiles, without mirrored ones, and their
            positions in the volume. Positions are negative in the padding before a small volume.
    """

    def __init__(
        self,
        network: Network,
        image: Tensor,
        inference: InferenceConfig,
        train: TrainConfig,
        on_tile: OnTile | None = None,
    ) -> None:
        self._network = network.eval()
        self._device = next(network.parameters()).device
        self._inference, self._train = inference, train
        self._on_tile = on_tile
        size = image.shape[1:]
        self._tile = (network.depth, *network.image_size)
        # Half of the padding is added on either side, as in training.
        missing = [max(0, tile - have) for tile, have in zip(self._tile, size, strict=True)]
        self._before = [each // 2 for each in missing]
        pads = [(each // 2, each - each // 2) for each in missing]
        flat = [number for pair in reversed(pads) for number in pair]
        self._image = functional.pad(image, flat) if any(missing) else image
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
        size = tuple(self._image.shape[1:])
        depths, rows, columns = (
            starts(have, tile, self._inference.step)
            for have, tile in zip(size, self._tile, strict=True)
        )
        total: Tensor | None = None
        counts = torch.zeros((self._tile[0], *size[1:]), device=self._device)
        for depth, following in zip(depths, [*depths[1:], size[0]], strict=True):
            corners = [(depth, row, column) for row in rows for column in columns]
            for begin in range(0, len(corners), self._inference.batch_size):
                some = corners[begin : begin + self._inference.batch_size]
                places = [self._place(corner) for corner in some]
                for place, logits in zip(places, self._tiles(places), strict=True):
                    if total is None:
                        total = torch.zeros((len(logits), *counts.shape), device=self._device)
                    _, h, w = place
                    total[:, :, h, w] += logits * weights
                    counts[:, h, w] += weights
            assert total is not None
            done = following - depth if following < size[0] else self._tile[0]
            yield total[:, :done] / counts[:done]
            total = _moved(total, done, axis=1)
            counts = _moved(counts, done, axis=0)

    def _place(self, corner: tuple[int, int, int]) -> Place:
        d, h, w = (slice(a, a + tile) for a, tile in zip(corner, self._tile, strict=True))
        return d, h, w

    def _tiles(self, places: Sequence[Place]) -> Tensor:
        """Computes logits `(n, K, d, h, w)` of some tiles, averaged over mirrorings."""
        tiles = torch.stack([self._image[(slice(None), *place)] for place in places])
        tiles = tiles.to(self._device, torch.float32)
        flips: list[tuple[int, ...]] = [()]
        if self._inference.mirror:
            flips = [axes for n in range(4) for axes in itertools.combinations((2, 3, 4), n)]
        total: Tensor | None = None
        for axes in flips:
            with autocast(self._device, self._train):
                output = self._network(tiles.flip(axes) if axes else tiles)
            if self._on_tile is not None and not axes:
                self._on_tile(output, [self._unpadded(place) for place in places])
            assert output.logits is not None
            logits = output.logits.float()
            logits = logits.flip(axes) if axes else logits
            total = logits if total is None else total + logits
        assert total is not None
        return total / len(flips) if len(flips) > 1 else total

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


def _moved(values: Tensor, by: int, axis: int) -> Tensor:
    """Shifts values towards the beginning of an axis and fills the end with zeros."""
    kept = values.narrow(axis, by, values.shape[axis] - by)
    end = torch.zeros_like(values.narrow(axis, 0, by))
    return torch.cat([kept, end], dim=axis)
