"""Nets: the neural networks behind the models, in plain torch.

A net turns normalised groups of bands into logits per class (`Net`); it knows nothing of sensors, units, stores or
windows. This package imports torch, so nothing that runs without a net may import it: `core.models` does not.
"""

from core.models.nets.net import Groups, Net, Present, count_weights
from core.models.nets.registry import NETS, build_net

__all__ = ["NETS", "Groups", "Net", "Present", "build_net", "count_weights"]
