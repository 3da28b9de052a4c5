"""Inputs of a learned model: which bands make which group of a net, and how a physical value becomes a number near ±1.

Normalisation is part of the model, never of the store: the mapper hands over physical units and NaN. Each channel is a
band of a sensor with the range [low, high] that becomes [−1, 1]; what lies far outside is clipped, because one
saturated pixel must not drown a window. Beside the value of each channel goes a plane that says where it was observed,
so that a net can tell "not observed" from "average". No torch here: a plan asks what a model needs and runs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.errors import ConfigError
from core.models.protocol import Need
from core.sensors import SENSORS, sensor

SCALINGS = ("linear", "log")
# How far beyond the range a normalised value may go.
CLIP = 3.0


@dataclass(frozen=True)
class Channel:
    """One band and its range in the sensor's units. scaling `log`: sign(x) · log(1 + |x|) before the range is applied,
    for what spans decades; low and high are still in units. Raises ConfigError for what cannot be."""

    sensor: str
    band: str
    low: float
    high: float
    scaling: str = "linear"

    def __post_init__(self) -> None:
        sensor(self.sensor).band_index(self.band)
        if self.scaling not in SCALINGS:
            raise ConfigError(f"channel {self.name}", found=repr(self.scaling), expected=" or ".join(SCALINGS))
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(f"channel {self.name}", found=f"{self.low} to {self.high}", expected="low < high")

    @property
    def name(self) -> str:
        return f"{self.sensor}.{self.band}"

    @property
    def scaled_range(self) -> tuple[float, float]:
        """(low, high) after the scaling."""
        return _scaled(self.low, self.scaling), _scaled(self.high, self.scaling)


def _scaled(value: float, scaling: str) -> float:
    return math.copysign(math.log1p(abs(value)), value) if scaling == "log" else value


@dataclass(frozen=True)
class Group:
    """Bands that a net sees together; missing where none of them was observed in the whole window."""

    name: str
    channels: tuple[Channel, ...]

    @property
    def n_planes(self) -> int:
        """Values first, then one plane of validity for each."""
        return 2 * len(self.channels)

    @property
    def sensors(self) -> tuple[str, ...]:
        """In order of first use."""
        return tuple(dict.fromkeys(channel.sensor for channel in self.channels))


def check_groups(groups: Sequence[Group], anchors: Sequence[str], where: str = "groups") -> None:
    """Raises ConfigError if groups repeat a name or a channel, or if an anchor is no sensor of theirs."""
    if not groups or any(not group.channels for group in groups):
        raise ConfigError(where, found="no channel", expected="at least one group of at least one channel")
    names = [group.name for group in groups]
    channels = [channel.name for group in groups for channel in group.channels]
    for words in (names, channels):
        twice = [word for word in words if words.count(word) > 1]
        if twice:
            raise ConfigError(where, found=f"{twice[0]!r} twice", expected="each once")
    known = {name for group in groups for name in group.sensors}
    if not anchors or not set(anchors) <= known:
        raise ConfigError(
            f"{where}: anchors", found=str(list(anchors)), expected="one or more of " + ", ".join(sorted(known))
        )


def needed_bands(groups: Iterable[Group]) -> dict[str, tuple[str, ...]]:
    """sensor → its bands that any group uses, both in registry order."""
    used = {(channel.sensor, channel.band) for group in groups for channel in group.channels}
    bands = {entry.name: tuple(b for b in entry.band_names if (entry.name, b) in used) for entry in SENSORS}
    return {name: found for name, found in bands.items() if found}


def needs(groups: Sequence[Group], anchors: Sequence[str], without: Sequence[str] = ()) -> tuple[Need, ...]:
    """What the mapper must bring: anchors first, because the first need dates the pixels.

    anchors: a pixel is told only where one of them was observed. A single anchor is required; of several each is
    optional, because any one will do. without: sensors to leave out. Raises ConfigError if no anchor is left.
    """
    bands = {name: found for name, found in needed_bands(groups).items() if name not in without}
    left = [name for name in anchors if name in bands]
    unknown = [name for name in without if name not in needed_bands(groups)]
    if unknown or not left:
        raise ConfigError(
            "model.parameters.without",
            found=", ".join(without),
            expected="some of " + ", ".join(needed_bands(groups)) + ", but not every one of " + ", ".join(anchors),
        )
    ordered = [*left, *(name for name in bands if name not in left)]
    return tuple(Need(name, bands[name], optional=len(left) > 1 or name not in left) for name in ordered)


def to_json(groups: Iterable[Group]) -> list[dict[str, Any]]:
    return [{"name": group.name, "channels": [asdict(channel) for channel in group.channels]} for group in groups]


def from_json(data: Iterable[Mapping[str, Any]]) -> tuple[Group, ...]:
    """Inverse of `to_json`. Raises ConfigError for unknown sensors or bands, TypeError or KeyError for other shapes."""
    return tuple(Group(str(g["name"]), tuple(Channel(**c) for c in g["channels"])) for g in data)
