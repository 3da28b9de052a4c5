"""The registry of nets, and that nobody pays for torch who does not run a net."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.errors import ConfigError
from core.models.nets import NETS, build_net
from core.models.nets.registry import net_parameters

ROOT = Path(__file__).parents[4]
GROUPS = {"optical": 6}


@pytest.mark.parametrize("name", sorted(NETS))
def test_every_default_is_accepted_as_a_parameter(name):
    parameters = net_parameters(name)
    assert "groups" not in parameters and "n_classes" not in parameters
    as_json = {k: list(v) if isinstance(v, tuple) else v for k, v in parameters.items()}
    with torch.device("meta"):
        one, other = build_net(name, GROUPS), build_net(name, GROUPS, parameters=as_json)
    assert [(k, v.shape) for k, v in one.state_dict().items()] == [(k, v.shape) for k, v in other.state_dict().items()]


@pytest.mark.parametrize(
    "name, parameters, message",
    [
        ("unett", {}, "did you mean 'unet'"),
        ("unet", {"widht": 8}, "did you mean 'width'"),
        ("unet", {"width": "8"}, "expected int"),
        ("unet", {"width": True}, "expected int"),
        ("unet", {"norm": "layer"}, "batch or group"),
        ("unet", {"depth": 0}, "1 to 6"),
        ("unet", {"location": "country"}, "coordinates"),
        ("glaciernet2", {"vote": "loud"}, "hard or soft"),
        ("cryonet", {"blocks": [3, 4]}, "four stages"),
    ],
)
def test_a_wrong_name_or_parameter_is_named_with_the_nearest(name, parameters, message):
    with pytest.raises(ConfigError, match=message):
        build_net(name, GROUPS, parameters=parameters)


@pytest.mark.parametrize("groups, n_classes", [({}, 2), ({"optical": 0}, 2), (GROUPS, 1)])
def test_a_net_of_nothing_is_refused(groups, n_classes):
    with pytest.raises(ConfigError):
        build_net("cnn5", groups, n_classes)


def test_models_are_loaded_without_torch():
    code = "import sys, core.models; sys.exit('torch' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=False).returncode == 0
