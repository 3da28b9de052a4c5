"""Location encoding: regions with an "unknown", coordinates in degrees, and a vector that can be fitted to a scene."""

from __future__ import annotations

import pytest
import torch
from net_cases import batch, settled, small

from core.errors import ConfigError
from core.models.nets.glavitu_fusion import LocationEncoding, coordinate_vector, region_vector

LOCATED = ["glavitu", "resunet", "setr", "unet"]


def test_a_region_is_one_slot_and_all_else_is_unknown():
    found = region_vector(torch.tensor([0, 10, 11, -1, 99]))
    assert found.shape == (5, 12)
    assert found.argmax(1).tolist() == [0, 10, 11, 11, 11]
    assert (found.sum(1) == 1).all()


def test_coordinates_are_read_as_degrees_and_meet_at_180():
    found = coordinate_vector(torch.tensor([0.0, 90.0, -46.0, -46.0]), torch.tensor([0.0, 90.0, 180.0, -180.0]))
    torch.testing.assert_close(found[:2], torch.tensor([[0.0, 1, 0, 1], [1, 0, 1, 0]]), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[2], found[3])


@pytest.mark.parametrize("name", LOCATED)
def test_the_region_changes_the_answer_and_none_means_unknown(name):
    net = settled(small(name, location="region"))
    groups = batch()
    with torch.no_grad():
        unknown = net(groups)
        assert torch.equal(unknown, net(groups, location=region_vector(torch.tensor([11, 11, 11]))))
        mixed = net(groups, location=region_vector(torch.tensor([11, 4, 11])))
    assert torch.equal(mixed[0], unknown[0])
    assert not torch.allclose(mixed[1], unknown[1], atol=1e-4)


def test_other_numbers_of_regions():
    net = settled(small("unet", location="region", regions=19))
    assert net(batch(), location=region_vector(torch.tensor([18, 0, 19]), 19)).shape == (3, 2, 64, 64)


def test_coordinates_are_wanted_and_their_shape_is_checked():
    net = small("unet", location="coordinates").eval()
    with pytest.raises(ConfigError, match="found none"):
        net(batch())
    with pytest.raises(ConfigError, match=r"\(3, 4\)"):
        net(batch(), location=region_vector(torch.zeros(3, dtype=torch.long)))
    where = coordinate_vector(torch.tensor([46.0, 79, -45]), torch.tensor([8.0, 20, 170]))
    assert net(batch(), location=where).shape == (3, 2, 64, 64)


def test_one_sample_in_ten_trains_as_unknown_and_none_answers_so():
    encoding = LocationEncoding("region")
    known = region_vector(torch.zeros(4000, dtype=torch.long))
    lost = encoding.train()._vector(known, 4000, known)
    assert 0.07 < float(lost[:, 11].mean()) < 0.13
    assert (lost.sum(1) == 1).all()
    assert encoding.eval()._vector(known, 4000, known) is known


def test_a_frozen_net_can_fit_the_slots_to_a_scene():
    """Adaptation without labels: minimise the entropy of the answer over the region vector alone."""
    net = settled(small("glavitu")).requires_grad_(False)
    groups = batch(2)
    slots = torch.zeros(12, requires_grad=True)
    optimiser = torch.optim.Adam([slots], 0.05)
    entropy = []
    for _ in range(6):
        log_p = net(groups, location=slots.softmax(0).expand(2, -1)).log_softmax(1)
        loss = -(log_p.exp() * log_p).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        entropy.append(loss.item())
    assert entropy[-1] < entropy[0]
