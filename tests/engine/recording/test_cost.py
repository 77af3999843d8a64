from __future__ import annotations

import mmap

import pytest
import torch
from torch import nn

from spsam.config.schema import TrainConfig
from spsam.engine.recording.cost import PeakMemory, gigaflops, larger, step_seconds

from ..networks import small


def test_operations_of_a_convolution_and_a_product() -> None:
    class Two(nn.Module):
        depth, image_size = 2, (8, 8)

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv3d(3, 500, 3, padding=1), nn.Linear(8, 1000)

        def forward(self, volume: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(volume))  # type: ignore[no-any-return]

    operations = 2 * 128 * 3 * 27 * 500 + 2 * 16 * 500 * 8 * 1000
    network: object = Two()
    assert gigaflops(network, 3, TrainConfig()) == round(operations / 1e9, 3)  # type: ignore[arg-type]


def test_a_network_costs_what_it_is_twice_as_deep() -> None:
    # A generator whose cost is its patch's alone: msp may compose kernels, once for all slices.
    generator = {"blocks.prompt_generator": "stacked_cnn"}
    networks = [small("S3", generator, depth=depth) for depth in (2, 4)]
    shallow, deep = (gigaflops(each, 1, TrainConfig()) for each in networks)
    assert 0 < deep == pytest.approx(2 * shallow, rel=1e-3)


def test_steps_by_phase() -> None:
    epochs = [{"epoch": e, "step_seconds": s} for e, s in enumerate((1.0, 3.0, 1.5, 7.0, 8.0, 9.0))]
    assert step_seconds(epochs, 3) == {"generator": 1.5, "joint": 8.0}
    assert step_seconds([{"epoch": 0}], 0) == {"generator": None, "joint": None}


def test_the_peak_is_this_runs() -> None:
    first = PeakMemory(torch.device("cpu"))
    # Pages of its own: an array may be put where the process has free memory already.
    taken = mmap.mmap(-1, 40 << 20)
    taken.write(b"1" * (40 << 20))
    high = first.read()["peak_memory_bytes"]
    taken.close()
    second = PeakMemory(torch.device("cpu"))
    if second.read()["peak_memory_of"] != "process":
        pytest.skip("this system does not forget a process's peak")
    assert second.read()["peak_memory_bytes"] < high - (30 << 20)
    high_of, low_of = ({"peak_memory_bytes": size, "peak_memory_of": "device"} for size in (2, 1))
    assert larger({}, low_of) == low_of
    assert larger(high_of | {"gflops": 3}, low_of) == high_of
