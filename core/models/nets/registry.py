"""The nets that a configuration can name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

from core.errors import ConfigError
from core.models.nets.cnn5 import Cnn5
from core.models.nets.cryonet import CryoNet
from core.models.nets.deeplab import DeepLab
from core.models.nets.glaciernet2 import GlacierNet2
from core.models.nets.glavitu import GlaViTU
from core.models.nets.net import Net
from core.models.nets.resunet import ResUNet
from core.models.nets.segnet import SegNet
from core.models.nets.setr import Setr
from core.models.nets.unet import UNet

NETS: dict[str, type[Net]] = {
    "cnn5": Cnn5,
    "cryonet": CryoNet,
    "deeplab": DeepLab,
    "glaciernet2": GlacierNet2,
    "glavitu": GlaViTU,
    "resunet": ResUNet,
    "segnet": SegNet,
    "setr": Setr,
    "unet": UNet,
}


def net_parameters(name: str) -> dict[str, Any]:
    """Every parameter of the net `name` with its default. Raises ConfigError naming the nearest known net."""
    make = NETS.get(name)
    if make is None:
        raise ConfigError("net.name", found=repr(name), expected=" or ".join(NETS), fix=_near(name, NETS))
    signature = inspect.signature(make).parameters.values()
    return {p.name: p.default for p in signature if p.kind is inspect.Parameter.KEYWORD_ONLY}


def build_net(
    name: str, groups: Mapping[str, int], n_classes: int = 2, parameters: Mapping[str, Any] | None = None
) -> Net:
    """The net `name` over `groups` (group → channels), freshly initialised from torch's global generator.

    parameters: as `net_parameters` lists them, of the same types; a list may stand for a tuple, as in JSON.
    Raises ConfigError naming the nearest known net or parameter.
    """
    known = net_parameters(name)
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in (parameters or {}).items()}
    for key, value in given.items():
        if key not in known:
            raise ConfigError(
                f"net.parameters.{key}", found="an unknown parameter", expected=", ".join(known), fix=_near(key, known)
            )
        expected = type(known[key])
        # Exact types, because True is an int to Python; a whole number may stand for a real one.
        if type(value) is not expected and (type(value), expected) != (int, float):
            raise ConfigError(f"net.parameters.{key}", found=repr(value), expected=expected.__name__)
    return NETS[name](groups, n_classes, **given)


def _near(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else ""
