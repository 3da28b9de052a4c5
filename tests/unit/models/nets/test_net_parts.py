"""What single nets promise beyond the protocol."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from net_cases import batch, settled, small
from torch import nn

from core.errors import ConfigError
from core.models.nets.cnn5 import REACH_PX
from core.models.nets.glavitu_fusion import Fusion
from core.models.nets.net import Observed
from core.models.nets.resnet import RESNET50, RESNET101, WIDTHS, ResNet


@pytest.mark.parametrize("blocks, published", [(RESNET50, 25_557_032), (RESNET101, 44_549_160)])
def test_the_encoder_is_the_published_resnet(blocks, published):
    """The published totals are for three channels and include the classifier of 1000 classes."""
    trainable = sum(p.numel() for p in ResNet(3, blocks).parameters())
    assert trainable == published - (2048 * 1000 + 1000)


@pytest.mark.parametrize("output_stride, last", [(32, 2), (16, 4)])
def test_the_encoder_gives_features_at_every_stride(output_stride, last):
    features = ResNet(2, (1, 1, 1, 1), output_stride=output_stride)(torch.randn(2, 2, 64, 64))
    assert [f.shape[1] for f in features] == list(WIDTHS)
    assert [f.shape[2] for f in features] == [32, 16, 8, 4, last]


def test_the_heat_of_a_pixel_is_decided_by_its_close_surroundings():
    net = settled(small("cnn5"))
    groups = batch(1, 32, 32)
    row, col = 16, 12
    with torch.no_grad():
        before = net(groups)[0, :, row, col]
        far = {g: x.clone() for g, x in groups.items()}
        for x in far.values():
            x[..., : row - REACH_PX, :] += 10
            x[..., col + REACH_PX + 1 :] += 10
        assert torch.equal(net(far)[0, :, row, col], before)
        near = {g: x.clone() for g, x in groups.items()}
        near["dem"][..., row - REACH_PX, col - REACH_PX] += 100
        assert not torch.equal(net(near)[0, :, row, col], before)


@pytest.mark.parametrize("vote", ["hard", "soft"])
def test_glaciernet2_is_the_mean_of_its_members(vote):
    net = settled(small("glaciernet2", n_classes=3, vote=vote))
    with torch.no_grad():
        answer = net(batch()).softmax(1)
        members = net.members(batch())
    if vote == "hard":
        votes = [F.one_hot(m.argmax(1), 3).movedim(-1, 1).float() for m in members]
        assert set(answer.mul(2).round().unique().tolist()) <= {0, 1, 2}
    else:
        votes = [m.softmax(1) for m in members]
    torch.testing.assert_close(answer, (votes[0] + votes[1]) / 2, atol=1e-5, rtol=0)


def test_the_members_of_glaciernet2_share_no_weight():
    net = settled(small("glaciernet2"))
    segnet, _ = net.members(batch())
    segnet.square().mean().backward()
    assert all(p.grad is None for p in net.deeplab.parameters())


def fuse(combine, seen):
    torch.manual_seed(1)
    fusion = Fusion({"optical": 6, "sar": 2, "dem": 2}, 8, combine=combine).eval()
    with torch.no_grad():
        return fusion, fusion(seen)


@pytest.mark.parametrize("combine", ["sum", "mean"])
def test_fusion_adds_exactly_what_is_there(combine):
    values = batch(2, 8, 8)
    masks = {"optical": None, "sar": torch.tensor([True, False]).view(-1, 1, 1, 1), "dem": None}
    fusion, found = fuse(combine, Observed(values, masks))
    with torch.no_grad():
        parts = {g: fusion.encoders[g](x) for g, x in values.items()}
    expected = parts["optical"] + parts["dem"] + parts["sar"] * torch.tensor([1.0, 0.0]).view(-1, 1, 1, 1)
    if combine == "mean":
        expected = expected / torch.tensor([3.0, 2.0]).view(-1, 1, 1, 1)
    torch.testing.assert_close(found, expected)


def test_fusion_refuses_another_way_to_combine():
    with pytest.raises(ConfigError, match="sum or mean"):
        Fusion({"optical": 6}, combine="max")


def test_group_norm_trains_on_a_batch_of_one():
    net = small("unet", norm="group").train()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    main, _ = net.forward_train(batch(1))
    main.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())
