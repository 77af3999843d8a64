"""How many tiles a network gets at once, and what happens if memory does not hold them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spsam.config.schema import InferenceConfig, TrainConfig
from spsam.engine import tile_batch
from spsam.engine.predict import Place, SlidingLogits
from spsam.engine.tile_batch import TileBatch
from spsam.model.networks.base import Output
from spsam.registry.arms import load_arm

CPU = torch.device("cpu")


def settings(batch: Any, **values: Any) -> tuple[InferenceConfig, TrainConfig]:
    arm = load_arm("base", {"inference.batch_size": batch, **values})
    return arm.inference, arm.train


class Small(nn.Module):
    """Holds at most some tiles; notes how many it was given."""

    depth, image_size = 2, (8, 8)

    def __init__(self, most: int = 99) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(torch.randn(3, 1, 3, 3, 3, generator=generator))
        self.most = most
        self.given: list[int] = []

    def forward(self, tiles: Tensor) -> Output:
        self.given.append(len(tiles))
        if len(tiles) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return Output(nn.functional.conv3d(tiles, self.weight, padding=1), [], None)


def labels(network: Small, batch: Any, heard: list[int] | None = None, **values: Any) -> Tensor:
    volume = torch.randn(1, 7, 30, 21, generator=torch.Generator().manual_seed(0))

    def hear(output: Output, places: Sequence[Place]) -> None:
        assert output.logits is not None
        assert len(output.logits) == len(places)
        if heard is not None:
            heard.append(len(places))

    stream = SlidingLogits(network, volume, *settings(batch, **values), on_tile=hear)
    return stream.slices(0, 7).argmax(0)


@pytest.mark.parametrize("mirror", [False, True])
def test_labels_are_the_same_for_any_number_of_tiles(
    mirror: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"inference.mirror": mirror}
    one = labels(Small(), 1, **values)
    for batch in (2, 5, 64):
        assert torch.equal(labels(Small(), batch, **values), one)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    network = Small()
    assert torch.equal(labels(network, "auto", **values), one)
    assert max(network.given) == 4


@pytest.mark.parametrize("mirror", [False, True])
def test_halves_where_memory_does_not_hold_all(mirror: bool) -> None:
    values = {"inference.mirror": mirror}
    heard: list[int] = []
    network = Small(most=3)
    assert torch.equal(labels(network, 16, heard, **values), labels(Small(), 1, **values))
    # Each tile is heard of once, and what did not fit is not tried again.
    assert sum(heard) == 6 * 7 * 5
    assert network.given[:4] == [16, 8, 4, 2]
    assert max(network.given[3:]) == 2


def test_one_tile_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        labels(Small(most=0), 4)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    class Wrong(Small):
        def forward(self, tiles: Tensor) -> Output:
            self.given.append(len(tiles))
            raise RuntimeError("shapes do not fit")

    network = Wrong()
    with pytest.raises(RuntimeError, match="shapes"):
        labels(network, 4)
    assert network.given == [4]


def test_as_many_as_half_of_the_free_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    monkeypatch.setattr(tile_batch, "peak_resident", lambda: 0)
    for free, expected in ((2000, 10), (130, 1), (10**9, 16)):
        monkeypatch.setattr(tile_batch, "memory_at_hand", lambda free=free: free)
        batch = TileBatch(*settings("auto"), CPU)
        assert batch.size == 1
        with batch.measured(100):
            pass
        assert batch.size == expected
        assert batch.size == expected
        batch.halve(expected)
        assert batch.size == max(1, expected // 2)


def test_on_a_gpu_by_what_the_first_tile_took(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = {"memory_allocated": 1000, "max_memory_allocated": 4000, "memory_reserved": 6000}
    for name, value in peaks.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (25_000, 80_000))
    batch = TileBatch(*settings("auto"), torch.device("cuda"))
    with batch.measured(10):
        pass
    # 25,000 of the driver's and 5,000 that torch keeps unused; 3,000 a tile.
    assert batch.size == 5


def test_sums_are_on_the_gpu_if_it_is_large_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile_batch, "free_memory", lambda device: 1000)
    gpu = torch.device("cuda", 1)
    assert tile_batch.device_of_sums(gpu, 500) == gpu
    assert tile_batch.device_of_sums(gpu, 501) == CPU
    assert tile_batch.device_of_sums(CPU, 10**12) == CPU


def test_a_number_that_is_given_is_taken() -> None:
    assert TileBatch(*settings(7), CPU).size == 7


def test_deterministic_runs_get_one_tile_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert TileBatch(*settings("auto", **{"train.deterministic": True}), CPU).size == 1
