from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spsam.engine.prompting.tiles import cut_tiles, tile_starts

from ...data.stores import write_store


@pytest.mark.parametrize("shape", [(5, 20, 24), (2, 7, 40), (1, 1, 1), (4, 16, 16), (9, 33, 17)])
def test_every_voxel_is_owned_once(shape: tuple[int, int, int], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, shape)
    store = write_store(tmp_path, {"a": (rng.normal(size=(2, *shape)), label)})
    tiles = cut_tiles(store.case("a"), (4, 16, 16))
    assert tiles.images.shape == (len(tiles), 2, 4, 16, 16)
    assert int(tiles.owned.sum()) == label.size
    counted = np.bincount(tiles.reference[tiles.owned].numpy(), minlength=4)
    assert counted.tolist() == np.bincount(label.ravel(), minlength=4).tolist()
    assert not tiles.reference[~tiles.owned].any() or len(tiles) > 1


def test_the_last_tile_ends_with_the_volume_and_a_small_volume_is_in_the_middle() -> None:
    assert tile_starts((10, 16, 10), (4, 16, 16)) == [(0, 0, -3), (4, 0, -3), (6, 0, -3)]
