"""Prepared stores written directly, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spsam.checksums import sha256, to_sealed_json
from spsam.data.preparation.chunked import crc_of, pack
from spsam.data.preparation.store import PreparedStore, case_file
from spsam.data.volume import Geometry


def write_store(
    folder: Path,
    cases: Mapping[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]],
    geometry: Geometry | None = None,
    axes: Sequence[int] = (0, 1, 2),
    raw_ids: Sequence[int] = (0, 1, 2, 3),
) -> PreparedStore:
    """`cases`: id -> image `(M, D, H, W)`, label `(D, H, W)`; the original grid is the same."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (image, label) in cases.items():
        packed = {"image": pack(image.astype(np.float32)), "label": pack(label.astype(np.uint8))}
        for part, content in packed.items():
            case_file(folder, name, f"{part}.b2nd").write_bytes(content)
        values = np.sort(label[label > 0], kind="stable")[:, None]
        voxels = np.concatenate(
            [np.argwhere(label == value) for value in np.unique(label[label > 0])]
            or [np.zeros((0, 3))]
        )
        foreground = case_file(folder, name, "foreground.npy")
        np.save(foreground, np.hstack([values, voxels]).astype(np.int32))
        original = geometry or Geometry(label.shape, (1.0, 1.0, 1.0))
        meta = {
            "patient": name,
            "original": asdict(original),
            "axes": axes,
            "spacing": [1.0] * 3,
            "foreground": sha256(foreground.read_bytes()),
            "arrays": {part: crc_of(content) for part, content in packed.items()},
        }
        case_file(folder, name, "json").write_text(to_sealed_json(meta))
    index = {
        "cases": sorted(cases),
        "class_names": [str(value) for value in raw_ids],
        "raw_ids": list(raw_ids),
    }
    (folder / "store.json").write_text(to_sealed_json(index))
    return PreparedStore(folder)
