"""GlaViTU: the published numbers of weights, and what its description says beyond them."""

from __future__ import annotations

import pytest
import torch
from net_cases import settled
from torch import nn

from core.models.nets import build_net, count_weights
from core.models.nets.resunet import Up

PUBLISHED = {"optical": 6, "dem": 2}


def vectors(n=3, h=32, w=32):
    return {g: torch.randn(n, c, h, w) for g, c in PUBLISHED.items()}


@pytest.fixture(scope="module")
def glavitu():
    return build_net("glavitu", PUBLISHED)


@pytest.mark.parametrize(
    "part, weights",
    [
        ("stem.fusion", 96_256),
        ("stem.location", 5_504),
        ("setr", 1_838_208),
        ("resunet", 8_097_344),
        ("head", 130),
        ("auxiliary", 130),
    ],
)
def test_a_part_has_the_published_number_of_weights(glavitu, part, weights):
    assert count_weights(glavitu.get_submodule(part)) == weights


def test_the_whole_has_the_published_number_of_weights(glavitu):
    assert count_weights(glavitu) == 10_037_442 + 130


def test_the_constants_of_the_norms_are_the_published_ones(glavitu):
    norms = [m for m in glavitu.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.01)}
    assert {m.eps for m in glavitu.modules() if isinstance(m, nn.LayerNorm)} == {1e-3}
    assert {m.approximate for m in glavitu.modules() if isinstance(m, nn.GELU)} == {"none"}


def test_the_auxiliary_head_is_for_training_alone():
    net = settled(build_net("glavitu", PUBLISHED, parameters={"width": 16, "depth": 1}), vectors())
    groups = vectors()
    with torch.no_grad():
        before = net(groups)
        net.auxiliary.weight.fill_(float("nan"))
        assert torch.equal(net(groups), before)
        assert net.forward_train(groups)[1].isnan().all()


def test_each_branch_is_added_to_its_input():
    """With both branches silenced the head sees the fused map itself."""
    net = settled(build_net("glavitu", PUBLISHED, parameters={"width": 16, "depth": 1}), vectors())
    groups = vectors()
    with torch.no_grad():
        for branch in (net.setr, net.resunet):
            branch.last.weight.zero_()
            branch.last.bias.zero_()
        fused = net.stem(net.observe(groups, None), None)
        torch.testing.assert_close(net(groups), net.head(fused))


def test_the_up_convolution_is_padded_below_and_right_only():
    up = Up(1, 1).eval()
    with torch.no_grad():
        up.conv.weight.copy_(torch.tensor([[[[1.0, 10.0], [100.0, 1000.0]]]]))
        found = up(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))[0, 0]
    # Enlarged: 1 1 2 2 / 1 1 2 2 / 3 3 4 4 / 3 3 4 4, then a row and a column of 0.
    assert found[0, 0] == pytest.approx(1111, rel=1e-3)
    assert found[1, 1] == pytest.approx(1 + 20 + 300 + 4000, rel=1e-3)
    assert found[3, 3] == pytest.approx(4, rel=1e-3)
    assert found[0, 3] == pytest.approx(2 + 200, rel=1e-3)
