"""What every net promises: shapes, missing groups that cannot matter, samples that do not see each other."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from net_cases import GROUPS, NAMES, WIDE, batch, settled, small

from core.errors import ConfigError
from core.models.nets import build_net

every_net = pytest.mark.parametrize("name", NAMES)
GARBAGE = torch.tensor([float("nan"), float("inf"), -float("inf"), 1e30])


@every_net
def test_logits_have_the_size_of_the_groups(name):
    net = settled(small(name, n_classes=3))
    for n, h, w in [(3, 64, 64), (1, 33, 50), (2, 7, 95)]:
        with torch.no_grad():
            logits = net(batch(n, h, w))
            main, aux = net.forward_train(batch(n, h, w))
        assert logits.shape == main.shape == (n, 3, h, w)
        assert logits.dtype == torch.float32
        assert torch.isfinite(logits).all()
        assert aux is None or aux.shape == logits.shape


@every_net
def test_a_net_of_full_size_answers_and_every_weight_learns(name):
    """In eval mode, where the bias of a convolution before a batch norm is not cancelled by the batch's own mean."""
    net = settled(build_net(name, GROUPS))
    groups = batch(3, 64, 64)
    main, aux = net.forward_train(groups)
    label = (groups["optical"][:, 0] > 0).long()
    (F.cross_entropy(main, label) + (0 if aux is None else F.cross_entropy(aux, label))).backward()
    dead = [k for k, p in net.named_parameters() if p.grad is None or not p.grad.any() or not p.grad.isfinite().all()]
    assert dead == []


@every_net
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_values_of_a_missing_group_cannot_matter(name, mode):
    nets = [settled(small(name)) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    clean, dirty = batch(), batch()
    present = {"sar": torch.tensor([1.0, 0.0, 1.0]), "dem": torch.tensor([0.0, 1.0, 1.0])}
    for group, there in present.items():
        clean[group][there == 0] = 0
        dirty[group][there == 0] = GARBAGE.repeat(WIDE // 4)
    found = []
    for net, groups in zip(nets, (clean, dirty), strict=True):
        net.train(mode == "train")
        torch.manual_seed(5)  # the same dropout
        with torch.no_grad():
            found.append(net(groups, present))
    assert torch.isfinite(found[0]).all()
    assert torch.equal(*found)
    for (key, one), other in zip(nets[0].state_dict().items(), nets[1].state_dict().values(), strict=True):
        assert torch.equal(one, other), key


@every_net
def test_a_missing_group_gets_no_gradient_from_garbage(name):
    net = settled(small(name))
    groups = batch()
    groups["sar"][1] = float("nan")
    main, _ = net.forward_train(groups, {"sar": torch.tensor([1.0, 0.0, 1.0])})
    main.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


@every_net
def test_a_group_that_is_not_given_is_one_that_no_sample_has(name):
    net = settled(small(name))
    groups = batch()
    none = {"sar": torch.zeros(3)}
    with torch.no_grad():
        assert torch.equal(net(groups, none), net({g: x for g, x in groups.items() if g != "sar"}))
        assert torch.equal(net(groups), net(groups, {g: torch.ones(3) for g in groups}))


@every_net
def test_a_present_group_does_matter_and_missing_is_not_average(name):
    net = settled(small(name, **({"vote": "soft"} if name == "glaciernet2" else {})))
    groups = batch()
    with torch.no_grad():
        full, without = net(groups), net(groups, {"sar": torch.tensor([1.0, 0.0, 1.0])})
        average = net({**groups, "sar": torch.zeros_like(groups["sar"])})
    assert torch.equal(full[[0, 2]], without[[0, 2]])
    assert not torch.allclose(full[1], without[1], atol=1e-4)
    assert not torch.allclose(average[1], without[1], atol=1e-4)


@every_net
def test_the_same_call_gives_the_same_bits(name):
    net = settled(small(name))
    groups, present = batch(), {"dem": torch.tensor([1.0, 0.0, 1.0])}
    with torch.no_grad():
        assert torch.equal(net(groups, present), net(groups, present))


@every_net
def test_a_sample_does_not_see_the_others(name):
    """Bit for bit in a batch of the same size; to float32 rounding in one of another size, for which the library under
    torch may choose other kernels."""
    net = settled(small(name, **({"vote": "soft"} if name == "glaciernet2" else {})))
    groups, others = batch(3), batch(3, seed=9)
    mixed = {g: torch.cat([x[:1], others[g][1:] * 100]) for g, x in groups.items()}
    with torch.no_grad():
        together = net(groups)
        assert torch.equal(together[0], net(mixed)[0])
        alone = torch.cat([net({g: x[k : k + 1] for g, x in groups.items()}) for k in range(3)])
    torch.testing.assert_close(alone, together, atol=2e-4, rtol=1e-4)


@every_net
def test_channels_last_gives_the_same_answer(name):
    net = settled(small(name, **({"vote": "soft"} if name == "glaciernet2" else {})))
    groups = batch()
    with torch.no_grad():
        expected = net(groups)
        net = net.to(memory_format=torch.channels_last)
        found = net({g: x.to(memory_format=torch.channels_last) for g, x in groups.items()})
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)


@every_net
def test_the_state_of_a_net_rebuilds_it(name):
    one, other = settled(small(name)), settled(small(name), batch(seed=8))
    other.load_state_dict(one.state_dict(), strict=True)
    with torch.no_grad():
        assert torch.equal(one(batch()), other(batch()))


@pytest.mark.parametrize(
    "groups, message",
    [
        ({}, "no group"),
        ({"thermal": torch.zeros(1, 1, 8, 8)}, "thermal"),
        ({"optical": torch.zeros(1, 5, 8, 8)}, "groups.optical"),
        ({"optical": torch.zeros(1, 6, 8, 8), "dem": torch.zeros(1, 2, 8, 9)}, "groups.dem"),
    ],
)
def test_groups_that_the_net_was_not_built_for_are_named(groups, message):
    with pytest.raises(ConfigError, match=message):
        small("unet")(groups)


def test_presence_of_an_unknown_group_is_an_error():
    with pytest.raises(ConfigError, match="thermal"):
        small("unet")(batch(), {"thermal": torch.ones(3)})


@pytest.mark.parametrize("name", ["cnn5", "unet", "glaciernet2"])
def test_a_location_is_never_ignored(name):
    with pytest.raises(ConfigError, match="no location encoding"):
        small(name).eval()(batch(), location=torch.zeros(3, 12))
