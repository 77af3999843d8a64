from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from spsam.model.adapters.placement import DECODER_PLACES, USUAL_ENCODER_PLACES, AdapterSet


class Shift(nn.Module):
    """Adds one, and remembers what it was given."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = nn.Parameter(torch.zeros(dim))
        self.seen: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return x + 1


def build(
    encoder: tuple[str, ...] = USUAL_ENCODER_PLACES,
    decoder: tuple[str, ...] = DECODER_PLACES,
    scale: float = 0.5,
) -> AdapterSet:
    return AdapterSet(
        lambda dim, _: Shift(dim),
        encoder_dim=8,
        encoder_blocks=3,
        decoder_dim=4,
        encoder_places=encoder,
        decoder_places=decoder,
        parallel_scale=scale,
    )


def test_one_adapter_for_every_place_of_every_block() -> None:
    adapters = build()
    names = {name for name, module in adapters.named_modules() if isinstance(module, Shift)}
    assert names == {
        *(f"encoder.{i}.{place}" for i in range(3) for place in USUAL_ENCODER_PLACES),
        *(f"decoder.{i}.{place}" for i in range(2) for place in DECODER_PLACES[:4]),
        "final.after_final_attention",
    }
    # No two places share weights, and each has the width of its transformer.
    assert sum(p.numel() for p in adapters.parameters()) == 3 * 2 * 8 + (2 * 4 + 1) * 4


def test_by_default_after_both_attentions_between_tokens_and_image() -> None:
    adapters = AdapterSet(lambda dim, _: Shift(dim), encoder_dim=8, encoder_blocks=1, decoder_dim=4)
    assert list(adapters.encoder_site(0)) == ["after_attention", "parallel_mlp"]
    assert list(adapters.decoder_site(1)) == ["after_token_to_image", "after_image_to_token"]
    assert not list(adapters.final)


def test_serial_keeps_the_adapters_skip_and_parallel_does_not() -> None:
    adapters = build(scale=0.25)
    x, output = torch.randn(6, 5, 8), torch.randn(6, 5, 8)
    site = adapters.encoder_site(0)
    torch.testing.assert_close(adapters.serial(site, "after_attention", x, (2, 3)), x + 1)
    torch.testing.assert_close(
        adapters.parallel(site, "parallel_mlp", x, output, (2, 3)), output + 0.25
    )


def test_a_place_without_an_adapter_leaves_everything() -> None:
    adapters = build(encoder=(), decoder=())
    x, output = torch.randn(6, 5, 8), torch.randn(6, 5, 8)
    site = adapters.encoder_site(0)
    assert adapters.serial(site, "after_attention", x, (2, 3)) is x
    assert adapters.parallel(site, "parallel_mlp", x, output, (2, 3)) is output
    assert not list(adapters.parameters())


@given(
    volumes=st.integers(1, 3),
    depth=st.integers(1, 4),
    rows=st.integers(1, 3),
    cols=st.integers(1, 3),
)
def test_slices_are_unfolded_from_the_batch(volumes: int, depth: int, rows: int, cols: int) -> None:
    adapters = build()
    folded = torch.arange(volumes * depth * rows * cols * 8.0).reshape(-1, rows, cols, 8)
    site = adapters.encoder_site(1)
    out = adapters.serial(site, "after_attention", folded, (volumes, depth))
    assert out.shape == folded.shape
    seen = site["after_attention"].seen
    assert tuple(seen.shape) == (volumes, depth, rows * cols, 8)
    for b in range(volumes):
        for d in range(depth):
            assert torch.equal(seen[b, d].reshape(rows, cols, 8), folded[b * depth + d])


def test_a_place_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no such place in the decoder: \['after_attention'\]"):
        build(decoder=("after_attention",))
    with pytest.raises(ValueError, match="no such place in the encoder"):
        build(encoder=("behind",))
