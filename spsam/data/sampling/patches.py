"""Training patches, each determined by a seed and its number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from spsam.data.preparation.store import PreparedCase, PreparedStore
from spsam.data.sampling.augment import build
from spsam.errors import SpsamError

Scalar = TypeVar("Scalar", bound=np.generic)


class Patch(TypedDict):
    """A patch: `image` `(M, D, H, W)` float32, `label` `(D, H, W)` int64, `IGNORED` included."""

    image: Tensor
    label: Tensor


class PatchDataset(Dataset[Patch]):
    """Random patches of prepared volumes.

    Patch i depends on the seed and on i only: not on the number of workers, and not on previous
    patches. The global random generators are left unchanged.

    Args:
        store: The prepared volumes.
        ids: Ids of the cases, which are drawn with equal probability.
        patch_size: (D, H, W). A smaller volume is padded evenly on both sides with zeros (its mean
            intensity) and background.
        length: Number of patches.
        seed: Seed of the sequence.
        foreground: Share of patches that are centred on a foreground voxel, whose class is drawn
            uniformly from the classes in the volume. The others are centred on any voxel, or on any
            annotated voxel if the volume has ignored ones. All patches are then shifted into the
            volume, so that its corners, which the sliding window always visits, are sampled.
        augment: All keywords of `augment.build`; None or `enabled=False` disables augmentation.
    """

    def __init__(
        self,
        store: PreparedStore,
        ids: Sequence[str],
        patch_size: tuple[int, int, int],
        *,
        length: int,
        seed: int,
        foreground: float,
        augment: Mapping[str, Any] | None,
    ) -> None:
        assert ids, "patches require cases"
        self.store = store
        self.ids = tuple(sorted(ids))
        self.patch_size = patch_size
        self.length = length
        self.seed = seed
        self.foreground = foreground
        self.augmentation = build(patch_size, **augment) if augment is not None else None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Patch:
        """Return a patch.

        Raises:
            SpsamError: If the case's image contains NaN or infinity.
        """
        if not 0 <= index < self.length:
            raise IndexError(index)
        sequence = np.random.SeedSequence([self.seed, index])
        rng = np.random.default_rng(sequence)
        case = self.store.case(self.ids[int(rng.integers(len(self.ids)))])
        cut = self.patch_size if self.augmentation is None else self.augmentation.cut_size
        # The cut is the patch with equal margins on both sides.
        margin = (np.array(cut) - np.array(self.patch_size)) // 2
        start = self._start(case, rng) - margin
        pixels = cut_out(case.image, start, cut).astype(np.float32, copy=False)
        # A sum is cheap, and is not finite if any value is not.
        if not np.isfinite(pixels.sum()) and not np.isfinite(pixels).all():
            message = (
                "its prepared image contains NaN or infinity, which cannot be used for training"
            )
            advice = f"remove {self.store.folder} to prepare it again"
            raise SpsamError(f"{case.id}: {message}; {advice}")
        image = torch.from_numpy(pixels)
        label = torch.from_numpy(cut_out(case.label, start, cut).astype(np.int64))
        if self.augmentation is not None:
            with seeded(int(sequence.generate_state(1)[0])):
                result = self.augmentation.transform(
                    image=image, segmentation=label[None].to(torch.int16)
                )
            image, label = result["image"], result["segmentation"][0].long()
        return {"image": image.contiguous(), "label": label.contiguous()}

    def _start(self, case: PreparedCase, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Return the patch's first voxel (d, h, w); negative if the volume is smaller."""
        size, patch = np.array(case.label.shape), np.array(self.patch_size)
        spare = size - patch
        centred = bool(rng.random() < self.foreground)
        if centred and case.foreground:
            classes = sorted(case.foreground)
            voxels = case.foreground[classes[int(rng.integers(len(classes)))]]
            centre = voxels[int(rng.integers(len(voxels)))]
        elif case.annotated is not None and len(case.annotated):
            # If few voxels are annotated, most other patches would not contribute to the loss.
            centre = case.annotated[int(rng.integers(len(case.annotated)))]
        else:
            centre = rng.integers(0, size)
        inside = np.clip(centre - patch // 2, 0, np.maximum(spare, 0))
        # Padded as in the sliding window: evenly on both sides.
        first: npt.NDArray[np.int64] = np.where(spare < 0, -(-spare // 2), inside).astype(np.int64)
        return first


def cut_out(
    array: npt.NDArray[Scalar], start: npt.NDArray[np.int64], size: Sequence[int]
) -> npt.NDArray[Scalar]:
    """Copy the box of `size` from `start` in the last three axes; zeros outside the array."""
    low = np.maximum(start, 0)
    high = np.minimum(start + np.array(size), array.shape[-3:])
    d, h, w = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    if np.array_equal(high - low, size):
        # No padding is needed here, and data read from a file are a copy already.
        piece = array[..., d, h, w]
        return piece if piece.flags.owndata else piece.copy()
    result = np.zeros((*array.shape[:-3], *size), array.dtype)
    if np.all(high > low):
        z, y, x = (slice(int(a), int(b)) for a, b in zip(low - start, high - start, strict=True))
        result[..., z, y, x] = array[..., d, h, w]
    return result


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of torch (CPU) and NumPy, and restore their states at the end."""
    state = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(state)
