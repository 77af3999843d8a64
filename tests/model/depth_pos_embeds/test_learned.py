from __future__ import annotations

import pytest
import torch

from spsam.model.depth_pos_embeds.learned import LearnedDepthPosEmbed
from spsam.model.depth_pos_embeds.none import NoDepthPosEmbed

from ..components import count

E_, C, D, GRID = 5, 4, 3, (2, 6)


@pytest.mark.parametrize("embed", [NoDepthPosEmbed, LearnedDepthPosEmbed])
def test_nothing_is_added_at_first(embed: type) -> None:
    module = embed(E_, C, D, GRID)
    tokens, image_pe = torch.randn(2 * D, *GRID, E_), torch.randn(1, C, *GRID)
    assert torch.equal(module.encoder_tokens(tokens), tokens)
    position = module.decoder_position(image_pe)
    assert torch.equal(position, image_pe.expand_as(position))


@pytest.mark.parametrize("full_grid", [False, True])
@torch.no_grad()
def test_every_slice_has_its_own_vector(full_grid: bool) -> None:
    module = LearnedDepthPosEmbed(E_, C, D, GRID, full_grid=full_grid)
    module.encoder.normal_()
    module.decoder.normal_()
    tokens, image_pe = torch.randn(2 * D, *GRID, E_), torch.randn(1, C, *GRID)
    got, position = module.encoder_tokens(tokens), module.decoder_position(image_pe)
    for b in range(2):
        for d in range(D):
            wanted = tokens[b * D + d] + module.encoder[0, d]
            torch.testing.assert_close(got[b * D + d], wanted)
    added = position - image_pe
    assert added.shape == (D, C, *GRID)
    flat = torch.allclose(added, added[:, :, :1, :1].expand_as(added), atol=1e-6)
    assert flat is not full_grid


def test_parameters() -> None:
    assert count(NoDepthPosEmbed(E_, C, D, GRID)) == 0
    assert count(LearnedDepthPosEmbed(E_, C, D, GRID)) == D * (E_ + C)
    everywhere = LearnedDepthPosEmbed(E_, C, D, GRID, full_grid=True)
    assert count(everywhere) == D * (E_ + C * GRID[0] * GRID[1])


def test_the_data_type_of_the_tokens_stays() -> None:
    module = LearnedDepthPosEmbed(E_, C, D, GRID)
    assert module.encoder_tokens(torch.zeros(D, *GRID, E_).bfloat16()).dtype == torch.bfloat16
    assert module.decoder_position(torch.zeros(1, C, *GRID).bfloat16()).dtype == torch.bfloat16
