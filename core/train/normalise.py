"""Normalise: the ranges of every band, and the groups that a training configuration names.

Ranges are physical, the same for every model, so that two models can be compared and an ensemble shares its inputs.
They are not taken from a training set: published minima and maxima are outlier driven (the descending SAR maxima of
GlaViTU among them). `measured_ranges` looks at percentiles of chips where a data set needs others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from core.errors import ConfigError
from core.models.inputs import Channel, Group
from core.sensors import SENSORS, nearest, sensor
from core.train.chip import Chip

# Band → (low, high, scaling) in units. Fresh snow is 0.9 bright, dark water 0.02; σ0 of land spans −25 to 5 dB and VH
# lies 7 dB below VV; slopes beyond 60° are rare at 30 m; glaciers move by 0.1 m/yr to some km/yr, hence the logarithm.
RANGES: Mapping[str, tuple[float, float, str]] = {
    **dict.fromkeys(("blue", "green", "red", "nir", "swir1", "swir2"), (0.0, 1.0, "linear")),
    "vv_db": (-25.0, 5.0, "linear"),
    "vh_db": (-32.0, -2.0, "linear"),
    **dict.fromkeys(("coh06", "coh12", "coh24", "coh36", "coh48"), (0.0, 1.0, "linear")),
    "kelvin": (245.0, 315.0, "linear"),
    "elevation_m": (0.0, 6000.0, "linear"),
    "slope_deg": (0.0, 60.0, "linear"),
    "dhdt_m_a": (-5.0, 5.0, "linear"),
    "dhdt_sigma_m_a": (0.0, 2.0, "linear"),
    "v_m_a": (0.0, 500.0, "log"),
    "vx_m_a": (-500.0, 500.0, "log"),
    "vy_m_a": (-500.0, 500.0, "log"),
    "coverage": (0.0, 1.0, "linear"),
}


def channel(name: str) -> Channel:
    """`sensor.band` → its channel. Raises ConfigError naming the nearest known sensor or band."""
    owner, _, band = name.partition(".")
    sensor(owner).band_index(band)
    return Channel(owner, band, *RANGES[band])


def build_groups(named: Mapping[str, Sequence[str]]) -> tuple[Group, ...]:
    """group → sensors (all their bands) or `sensor.band`s, as a configuration has them, → groups."""
    groups = []
    for name, members in named.items():
        bands: list[str] = []
        for member in members:
            owner = member.partition(".")[0]
            if owner not in {entry.name for entry in SENSORS}:
                raise ConfigError(
                    f"groups.{name}: {member!r}", found="no such sensor", fix=nearest(owner, [s.name for s in SENSORS])
                )
            bands += [member] if "." in member else [f"{owner}.{band}" for band in sensor(owner).band_names]
        groups.append(Group(name, tuple(channel(band) for band in bands)))
    return tuple(groups)


def measured_ranges(groups: Sequence[Group], chips: Iterable[Chip], percent: float = 1.0) -> tuple[Group, ...]:
    """The groups with ranges from `percent` to 100 − `percent` of what the chips hold; a band that none has keeps its
    own. Memory: every 16th pixel of every chip."""
    found: dict[str, list[np.ndarray[tuple[int], np.dtype[np.float32]]]] = {}
    for chip in chips:
        for name, values in chip.values.items():
            for band, plane in zip(sensor(name).band_names, values[:, ::4, ::4], strict=True):
                found.setdefault(f"{name}.{band}", []).append(plane[np.isfinite(plane)])
    return tuple(
        replace(group, channels=tuple(_fitted(c, found.get(c.name, []), percent) for c in group.channels))
        for group in groups
    )


def _fitted(known: Channel, planes: list[np.ndarray[tuple[int], np.dtype[np.float32]]], percent: float) -> Channel:
    pixels = np.concatenate(planes) if planes else np.empty(0, np.float32)
    if len(pixels) < 100:
        return known
    low, high = (float(v) for v in np.percentile(pixels, (percent, 100 - percent)))
    return replace(known, low=low, high=high) if low < high else known
