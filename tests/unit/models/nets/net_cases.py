"""What the tests of the nets share: a small version of every net, batches, and nets with sensible batch statistics."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from core.models.nets import NETS, build_net

GROUPS = {"optical": 6, "sar": 2, "dem": 2}
TINY = (1, 1, 1, 1)
# Every kind of layer of the real net, as few of them as do.
SMALL = {
    "cnn5": {"width": 8},
    "cryonet": {"blocks": TINY, "width": 8},
    "deeplab": {"blocks": TINY, "width": 16},
    "glaciernet2": {"segnet_width": 8, "deeplab_blocks": TINY, "deeplab_width": 16},
    "glavitu": {"width": 16, "depth": 2},
    "resunet": {"width": 8},
    "segnet": {"width": 8},
    "setr": {"width": 16, "depth": 2},
    "unet": {"width": 8, "depth": 3},
}
NAMES = sorted(NETS)
# Where the groups of a sample end: some nets take the mean over the window, or normalise by it.
WIDE = 64


def small(name, n_classes=2, **parameters):
    return build_net(name, GROUPS, n_classes, {**SMALL[name], **parameters})


def batch(n=3, h=WIDE, w=WIDE, seed=0, groups=GROUPS):
    generator = torch.Generator().manual_seed(seed)
    return {g: torch.randn(n, c, h, w, generator=generator) for g, c in groups.items()}


def settled(net, groups=None):
    """The net in eval mode, its batch norms filled from a batch, as they would be after training."""
    for layer in net.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = None
    with torch.no_grad():
        net.train()
        net.forward_train(batch(seed=77) if groups is None else groups)
    return net.eval()


def scene(n, seed, side=WIDE):
    """A smooth landscape with noise, and the class that the sign of two of its smooth bands decides."""
    generator = torch.Generator().manual_seed(seed)
    low = torch.randn(n, sum(GROUPS.values()), side // 8, side // 8, generator=generator)
    smooth = F.interpolate(low, size=(side, side), mode="bicubic")
    noisy = smooth + 0.3 * torch.randn(smooth.shape, generator=generator)
    return dict(zip(GROUPS, noisy.split(list(GROUPS.values()), 1), strict=True)), (
        smooth[:, 0] + smooth[:, 6] > 0
    ).long()


def train_briefly(net, steps):
    """A few steps of Adam: enough that the probabilities are neither flat nor decided by chance. In float64, because a
    few steps magnify the last bits of float32, and every kind of processor would test another net."""
    net = net.double()
    for layer in net.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = 0.2
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    net.train()
    for step in range(steps):
        groups, label = scene(2, step)
        groups = {name: x.double() for name, x in groups.items()}
        main, aux = net.forward_train(groups)
        loss = F.cross_entropy(main, label) + (0 if aux is None else F.cross_entropy(aux, label))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.float().eval()
