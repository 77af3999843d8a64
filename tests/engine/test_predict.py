"""The sliding window and mirroring, on networks whose answer is known."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from spsam.config.schema import InferenceConfig, TrainConfig
from spsam.engine import predict
from spsam.engine.predict import SlidingLogits, starts
from spsam.model.networks.base import Output
from spsam.registry.arms import load_arm

ARM = load_arm("base", {"inference.mirror": False})


class Pointwise(nn.Module):
    """Logits of a voxel from that voxel alone, so tiles must agree with the whole."""

    depth, image_size = 2, (16, 16)

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))

    def forward(self, tiles: Tensor) -> Output:
        assert not self.training
        assert tiles.shape[2:] == (self.depth, *self.image_size)
        return Output(tiles * self.scale[:, None, None, None], [], None)


class Sided(Pointwise):
    """Adds a ramp along x, which mirroring averages out."""

    def forward(self, tiles: Tensor) -> Output:
        ramp = torch.linspace(-1, 1, tiles.shape[-1])
        return Output(super().forward(tiles).logits + ramp, [], None)


def whole_logits(
    network: Pointwise, volume: Tensor, inference: InferenceConfig, train: TrainConfig
) -> Tensor:
    logits = SlidingLogits(network, volume, inference, train)
    return logits.slices(0, logits.shape[1])


@pytest.mark.parametrize("shape", [(2, 16, 16), (5, 40, 23), (1, 9, 50)])
def test_tiles_agree_with_the_whole_whatever_the_size(shape: tuple[int, int, int]) -> None:
    volume = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    network = Pointwise().train()
    logits = whole_logits(network, volume, ARM.inference, ARM.train)
    expected = volume * network.scale.detach()[:, None, None, None]
    assert logits.shape == (3, *shape)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


def test_mirroring_averages_both_sides() -> None:
    volume = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    mirrored = load_arm("base", {"inference.mirror": True})
    plain = whole_logits(Sided(), volume, ARM.inference, ARM.train)
    both = whole_logits(Sided(), volume, mirrored.inference, mirrored.train)
    expected = whole_logits(Pointwise(), volume, ARM.inference, ARM.train)
    assert (plain - expected).abs().max() > 0.9
    torch.testing.assert_close(both, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("step", [0.5, 0.3, 0.75, 1.0])
@pytest.mark.parametrize("shape", [(2, 16, 16), (7, 40, 23), (1, 9, 50), (6, 16, 17)])
def test_it_is_monais_sliding_window(step: float, shape: tuple[int, int, int]) -> None:
    from monai.inferers.utils import sliding_window_inference

    inference = load_arm("base", {"inference.mirror": False, "inference.step": step}).inference
    volume = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    network = Sided()
    expected = sliding_window_inference(
        volume[None],
        roi_size=(network.depth, *network.image_size),
        sw_batch_size=1,
        predictor=lambda tiles: network.eval()(tiles).logits,
        overlap=1 - step,
        mode="gaussian",
        sigma_scale=inference.sigma,
    )
    assert torch.equal(whole_logits(network, volume, inference, ARM.train), expected[0])


def test_slices_are_given_up_once_taken_and_the_same_in_pieces() -> None:
    volume = torch.randn(1, 40, 20, 23, generator=torch.Generator().manual_seed(0))
    whole = whole_logits(Sided(), volume, ARM.inference, ARM.train)
    stream = SlidingLogits(Sided(), volume, ARM.inference, ARM.train)
    assert stream.shape == whole.shape
    pieces = []
    for first in range(0, 40, 3):
        # A slice may be asked for again at a piece's beginning, as interpolation does.
        begin = max(0, first - 1)
        pieces.append(stream.slices(begin, min(40, first + 3))[:, first - begin :])
        held = sum(each.shape[1] for each in stream._held)
        assert held <= 3 + 1 + network_depth()
    assert torch.equal(torch.cat(pieces, 1), whole)


def network_depth() -> int:
    return Sided.depth


class Recorded:
    """An image that notes which slices are taken."""

    def __init__(self, values: Tensor) -> None:
        self.values, self.shape = values, tuple(values.shape)
        self.taken: list[tuple[int, int]] = []

    def __getitem__(self, key: tuple[slice, slice]) -> Tensor:
        assert key[0] == slice(None)
        self.taken.append((key[1].start, key[1].stop))
        return self.values[key]


def test_slices_of_the_image_are_taken_once_and_a_tiles_depth_ahead_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What lies on the disk, or is resampled when it is taken, need not be in memory."""
    sums: list[int] = []

    def on_cpu(device: torch.device, size: int) -> torch.device:
        sums.append(size)
        return device

    monkeypatch.setattr(predict, "device_of_sums", on_cpu)
    volume = torch.randn(1, 40, 20, 23, generator=torch.Generator().manual_seed(0))
    image = Recorded(volume)
    stream = SlidingLogits(Sided(), image, ARM.inference, ARM.train)
    for index in range(40):
        stream.slices(index, index + 1)
        assert image.taken[-1][1] <= index + 2 * network_depth()
    taken = [index for first, stop in image.taken for index in range(first, stop)]
    assert taken == list(range(40))
    # Three classes' sums in one tile's depth, whatever the volume's is.
    assert sums == [3 * network_depth() * 20 * 23 * 4]
    whole = whole_logits(Sided(), volume, ARM.inference, ARM.train)
    stream = SlidingLogits(Sided(), Recorded(volume), ARM.inference, ARM.train)
    assert torch.equal(stream.slices(0, 40), whole)


@pytest.mark.parametrize("batch", [1, 4])
def test_tiles_are_told_as_they_are_done(batch: int) -> None:
    volume = torch.zeros(1, 5, 40, 23)
    inference = load_arm(
        "base", {"inference.mirror": False, "inference.batch_size": batch}
    ).inference
    told: list[tuple[int, int]] = []
    stream = SlidingLogits(
        Pointwise(),
        volume,
        inference,
        ARM.train,
        on_progress=lambda done, total: told.append((done, total)),
    )
    stream.slices(0, 5)
    tiles = len(starts(5, 2, 0.5)) * len(starts(40, 16, 0.5)) * len(starts(23, 16, 0.5))
    assert {total for _, total in told} == {tiles}
    done = [each for each, _ in told]
    assert done == sorted(done)
    assert done[-1] == tiles


@given(size=st.integers(1, 60), tile=st.integers(1, 30), step=st.floats(0.05, 1))
def test_tiles_cover_an_axis_and_stay_on_it(size: int, tile: int, step: float) -> None:
    size = max(size, tile)
    found = starts(size, tile, step)
    assert found[0] == 0
    assert found[-1] == size - tile
    assert all(
        0 < b - a <= max(1, tile * step, 0) + 1e-9 or tile == size
        for a, b in itertools.pairwise(found)
    )
