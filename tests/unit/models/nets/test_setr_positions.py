"""SETR's positions: learned on 24 × 24, resampled for other windows, always stored as 576 × 64."""

from __future__ import annotations

import torch
from net_cases import batch, settled, small

from core.models.nets.setr import SetrBranch


def ramp(branch):
    """Positions that hold their own row and column."""
    rows, cols = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    with torch.no_grad():
        branch.positions[:, 0] = rows.reshape(-1)
        branch.positions[:, 1] = cols.reshape(-1)
    return branch


def test_the_state_keeps_the_grid_of_the_published_window():
    assert SetrBranch().state_dict()["positions"].shape == (576, 64)


def test_a_window_of_384_px_takes_the_learned_positions_as_they_are():
    branch = SetrBranch(16, 1)
    assert branch.positions_of(24, 24) is branch.positions


def test_positions_keep_their_place_in_windows_of_other_sizes():
    branch = ramp(SetrBranch(16, 1))
    for rows, cols in [(12, 12), (16, 24), (32, 8)]:
        place = branch.positions_of(rows, cols).detach().view(rows, cols, -1)
        # The centre of cell k of n lies at (k + ½) · 24 / n − ½ of the learned grid; the outer cells are clamped.
        row = ((torch.arange(rows) + 0.5) * 24 / rows - 0.5)[:, None].expand(rows, cols)
        col = ((torch.arange(cols) + 0.5) * 24 / cols - 0.5)[None].expand(rows, cols)
        inner = (slice(2, -2), slice(2, -2))
        torch.testing.assert_close(place[..., 0][inner], row[inner], atol=0.1, rtol=0)
        torch.testing.assert_close(place[..., 1][inner], col[inner], atol=0.1, rtol=0)


def test_every_position_learns_in_the_published_window_and_only_those_sampled_in_a_small_one():
    learning = {}
    for side in (384, 64):
        branch = SetrBranch(16, 1)
        branch(torch.randn(1, 16, side, side)).square().mean().backward()
        learning[side] = int(branch.positions.grad.any(1).sum())
    assert learning[384] == 576
    assert 0 < learning[64] < 576


def test_only_positions_tell_equal_patches_apart():
    branch = SetrBranch(16, 2).eval()
    grid = branch.patches(torch.randn(1, 16, 16, 16).repeat(1, 1, 4, 4)).flatten(2).transpose(1, 2)

    def spread(tokens):
        return (tokens - tokens[:, :1]).abs().max()

    with torch.no_grad():
        assert spread(branch.blocks(grid)) < 1e-4
        assert spread(branch.blocks(grid + branch.positions_of(4, 4))) > 1e-2


def test_a_window_of_another_size_than_384_px_runs_through_the_same_weights():
    net = settled(small("setr"))
    with torch.no_grad():
        for h, w in [(16, 16), (400, 48)]:
            assert net(batch(1, h, w)).shape == (1, 2, h, w)


def test_patches_are_embedded_as_the_convolution_embeds_them_in_bfloat16_too():
    """Asked for as a convolution, 16 channels in bfloat16 come out as garbage on processors with AMX."""
    torch.manual_seed(1)
    branch = SetrBranch(16, 1).eval()
    x = torch.randn(2, 16, 64, 96)
    with torch.no_grad():
        expected = branch.patches(x).flatten(2).transpose(1, 2)
        torch.testing.assert_close(branch.embedded(x), expected, atol=1e-4, rtol=1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            rough = branch.embedded(x).float()
    assert (rough - expected).norm() < 0.01 * expected.norm()
