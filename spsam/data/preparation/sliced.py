"""A normalised image on a plan's grid whose slices are computed on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spsam.data.geometry import Turn
from spsam.data.preparation.resample import Floats, Resampler

Statistics = Sequence[Mapping[str, float]]
"""For each channel: low, high, mean and std."""

PIECE = 16
"""Number of slices that are resampled together. The boundaries of these pieces are fixed, so that a
slice has the same bits whichever other slices are requested with it."""


@dataclass(frozen=True)
class Scale:
    """Normalisation of one channel to zero mean and unit standard deviation.

    Attributes:
        mean: Mean of the volume (`float64`) or of the training foreground.
        deviation: Standard deviation of the same voxels.
        bounds: Range to which values are clipped first; None: they are not clipped.
        limits: Smallest and largest normalised value of the volume.
    """

    mean: float | np.float64
    deviation: float
    bounds: tuple[float, float] | None
    limits: tuple[float, float] = (0.0, 0.0)

    def __call__(self, values: npt.NDArray[Any]) -> Floats:
        """Normalise values of any type."""
        values = values.astype(np.float32, copy=False)
        if self.bounds is not None:
            values = values.clip(*self.bounds)
        scaled: Floats = ((values - self.mean) / self.deviation).astype(np.float32, copy=False)
        return scaled


class SlicedImage:
    """A normalised image `(M, D, H, W)` on a plan's grid, float32.

    Memory contains the acquired image and the most recent piece of resampled slices.

    Args:
        image: The acquired image `(M, D, H, W)`, of any type.
        turn: Turn from the image's axes to the plan's.
        shape: (D, H, W) on the plan's grid.
        statistics: Statistics of the training cases, to whose range values are clipped; None: the
            image's own mean and deviation, without clipping.
        masked: Whether voxels that are zero in all channels are excluded from the statistics and
            remain zero.
    """

    def __init__(
        self,
        image: npt.NDArray[Any],
        turn: Turn,
        shape: Sequence[int],
        statistics: Statistics | None,
        *,
        masked: bool = False,
    ) -> None:
        self.shape = (len(image), *shape)
        self.dtype = np.dtype(np.float32)
        self._masked = masked
        self._scales = scales(image, statistics, masked=masked)
        self._source = turn.there(image)
        self._resampler = Resampler(self._source.shape[1:], shape)
        self._piece: tuple[int, Floats] | None = None

    def __getitem__(self, key: tuple[slice, slice]) -> Floats:
        """Return `image[:, first:stop]`; no other index is supported."""
        channels, depth = key
        assert channels == slice(None), key
        first, stop, _ = depth.indices(self.shape[1])
        found = np.empty((self.shape[0], stop - first, *self.shape[2:]), np.float32)
        for number in range(first // PIECE, -(-stop // PIECE)):
            begin, piece = number * PIECE, self._slices(number)
            low, high = max(first, begin), min(stop, begin + PIECE)
            found[:, low - first : high - first] = piece[:, low - begin : high - begin]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return self[:, : self.shape[1]].astype(dtype or np.float32, copy=False)

    def _slices(self, number: int) -> Floats:
        """Return a piece of all channels; the most recent piece is cached."""
        if self._piece is None or self._piece[0] != number:
            self._piece = None
            first = number * PIECE
            stop = min(first + PIECE, self.shape[1])
            piece = np.empty((self.shape[0], stop - first, *self.shape[2:]), np.float32)
            for channel, scale in enumerate(self._scales):

                def part(depth: slice, rows: slice, channel: int = channel) -> Floats:
                    return self._normalised(channel, depth, rows)

                piece[channel] = self._resampler.slices(part, first, stop, scale.limits)
            self._piece = number, piece
        return self._piece[1]

    def _normalised(self, channel: int, depth: slice, rows: slice) -> Floats:
        result = self._scales[channel](self._source[channel, depth, rows])
        if self._masked:
            result[(self._source[:, depth, rows] == 0).all(axis=0)] = 0
        return result


def scales(
    image: npt.NDArray[Any], statistics: Statistics | None, *, masked: bool = False
) -> list[Scale]:
    """Return the scale of each channel, computed slice by slice.

    Args:
        image: `(M, D, H, W)`, any type.
        statistics: See `SlicedImage`.
        masked: See `SlicedImage`.
    """
    counted = [_Counted(image[:, index], masked) for index in range(image.shape[1])]
    found = []
    for channel in range(len(image)):
        extremes = [
            (values.min(), values.max())
            for each in counted
            if (values := each.values(channel)).size
        ]
        low, high = min(low for low, _ in extremes), max(high for _, high in extremes)
        if statistics is None:
            count = sum(each.values(channel).size for each in counted)
            # In double precision, because float32 is too imprecise for a sum over a large volume.
            total = sum(each.values(channel).sum(dtype=np.float64) for each in counted)
            mean = np.float64(total / count)
            squares = sum(
                np.square(each.values(channel) - mean).sum(dtype=np.float64) for each in counted
            )
            scale = Scale(mean, max(float(np.sqrt(squares / count)), 1e-8), None)
        else:
            known = statistics[channel]
            bounds = known["low"], known["high"]
            scale = Scale(known["mean"], max(float(known["std"]), 1e-8), bounds)
        ends = scale(np.array([low, high]))
        if any(each.empty for each in counted):
            ends = np.append(ends, np.float32(0))
        limits = float(ends.min()), float(ends.max())
        found.append(Scale(scale.mean, scale.deviation, scale.bounds, limits))
    return found


class _Counted:
    """The voxels of one slice `(M, H, W)` that are included in the statistics."""

    def __init__(self, plane: npt.NDArray[Any], masked: bool) -> None:
        self._plane, self._masked = plane, masked

    def values(self, channel: int) -> npt.NDArray[Any]:
        plane: npt.NDArray[Any] = self._plane[channel]
        return plane[self._inside] if self._masked else plane

    @property
    def empty(self) -> bool:
        """Whether some voxels are excluded."""
        return self._masked and not self._inside.all()

    @property
    def _inside(self) -> npt.NDArray[np.bool_]:
        inside: npt.NDArray[np.bool_] = (self._plane != 0).any(axis=0)
        return inside
