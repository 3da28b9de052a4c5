"""Models: what turns the bands of a window into the probability of glacier.

One small protocol (`Model`), one registry (`build_model`). A model says which sensors it needs and how large its
windows are; it knows nothing of blocks, zones or stores.
"""

from core.models.protocol import Calibrated, Inputs, Model, ModelSpec, Need, OnDevice, Voting, has_spread
from core.models.registry import build_model

__all__ = ["Calibrated", "Inputs", "Model", "ModelSpec", "Need", "OnDevice", "Voting", "build_model", "has_spread"]
