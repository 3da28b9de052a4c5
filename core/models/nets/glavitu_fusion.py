"""The fusion of GlaViTU 1.0: each group weighs its own features, then the groups that are present are summed.

An encoder per group (two convolutions, spatial dropout, squeeze and excitation) makes `width` features; a group that a
sample lacks adds exactly 0, so a net takes any subset of the groups it was built for. The location encoding adds what
is known of the place, as a region or as coordinates, to every pixel alike.
Maslov et al. 2025, Nature Communications 16, 10.1038/s41467-024-54956-x.
The batch norms of an encoder see the zeros of the samples without the group while training: where groups are often
missing and batches small, `norm="group"` is free of that.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.models.nets.blocks import BN_EPS, GLAVITU_MOMENTUM, Gate, norm2d
from core.models.nets.net import Observed, masked, no_location

# The published regions, and the slot for "unknown" behind them.
REGIONS = 11
LOCATIONS = ("none", "region", "coordinates")
COMBINES = ("sum", "mean")


class GroupEncoder(nn.Sequential):
    """(Conv3×3 → norm → LeakyReLU 0.2) × 2 → spatial dropout → gate without reduction."""

    def __init__(self, channels: int, width: int, norm: str, momentum: float, dropout: float) -> None:
        super().__init__(
            nn.Conv2d(channels, width, 3, padding=1),
            norm2d(norm, width, momentum),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            norm2d(norm, width, momentum),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Dropout2d(dropout),
            Gate(width, width),
        )


class Fusion(nn.Module):
    """Groups → (n, width, h, w). combine: `sum`, as published, or `mean` over the groups that the sample has, whose
    scale does not depend on how many those are. A sample without any group gives 0."""

    def __init__(
        self,
        groups: Mapping[str, int],
        width: int = 64,
        *,
        norm: str = "batch",
        momentum: float = GLAVITU_MOMENTUM,
        dropout: float = 0.1,
        combine: str = "sum",
    ) -> None:
        super().__init__()
        if combine not in COMBINES:
            raise ConfigError("net.combine", found=repr(combine), expected=" or ".join(COMBINES))
        self.combine = combine
        self.encoders = nn.ModuleDict({g: GroupEncoder(c, width, norm, momentum, dropout) for g, c in groups.items()})

    def forward(self, seen: Observed) -> Tensor:
        features = [masked(self.encoders[g](x), seen.masks[g]) for g, x in seen.values.items()]
        total = features[0]
        for more in features[1:]:
            total = total + more
        return total if self.combine == "sum" else total / _how_many(seen, total)


def _how_many(seen: Observed, like: Tensor) -> Tensor:
    """Groups that each sample has, at least 1, (n, 1, 1, 1) or a scalar."""
    count = like.new_zeros(())
    for mask in seen.masks.values():
        count = count + (1 if mask is None else mask.to(like.dtype))
    return count.clamp(min=1)


class LocationEncoding(nn.Module):
    """A vector of the place → (n, width, 1, 1), to be added to the fused map.

    kind `region`: one-hot of the regions and, last, "unknown" (`region_vector`); no vector means unknown, and in
    training each sample becomes unknown with probability `unknown`. Any real vector is taken, so that the slots can be
    fitted to a scene. kind `coordinates`: (n, 4) from `coordinate_vector`; a vector must be given.
    """

    def __init__(self, kind: str, width: int = 64, *, regions: int = REGIONS, unknown: float = 0.1) -> None:
        super().__init__()
        self.kind, self.unknown = kind, unknown
        self.length = regions + 1 if kind == "region" else 4
        # The dropout's rate is not published; it takes that of the fusion. [u]
        self.layers = nn.Sequential(
            nn.Linear(self.length, width),
            nn.BatchNorm1d(width, BN_EPS, GLAVITU_MOMENTUM),
            nn.LeakyReLU(0.3),
            nn.Linear(width, width),
            nn.BatchNorm1d(width, BN_EPS, GLAVITU_MOMENTUM),
            nn.LeakyReLU(0.3),
            nn.Dropout(0.1),
        )

    def forward(self, location: Tensor | None, samples: int, like: Tensor) -> Tensor:
        encoded: Tensor = self.layers(self._vector(location, samples, like))
        return encoded[:, :, None, None]

    def _vector(self, location: Tensor | None, samples: int, like: Tensor) -> Tensor:
        if location is None:
            if self.kind == "coordinates":
                raise ConfigError("location", found="none", expected="(n, 4) sine and cosine of latitude and longitude")
            return _unknown(self.length, like).expand(samples, -1)
        if tuple(location.shape) != (samples, self.length):
            expected = f"({samples}, {self.length}) for {self.kind}"
            raise ConfigError("location", found=str(tuple(location.shape)), expected=expected)
        if self.kind == "coordinates" or not self.training:
            return location
        lost = torch.rand(samples, 1, device=location.device) < self.unknown
        return torch.where(lost, _unknown(self.length, location), location)


def _unknown(length: int, like: Tensor) -> Tensor:
    """(1, length) with the last slot set."""
    last = torch.arange(length, device=like.device) == length - 1
    return last.to(like.dtype)[None]


class Stem(nn.Module):
    """Fusion, and the location encoding added to it. location: one of LOCATIONS."""

    def __init__(
        self,
        groups: Mapping[str, int],
        width: int = 64,
        *,
        location: str = "none",
        regions: int = REGIONS,
        norm: str = "batch",
        momentum: float = GLAVITU_MOMENTUM,
        dropout: float = 0.1,
        combine: str = "sum",
    ) -> None:
        super().__init__()
        if location not in LOCATIONS:
            raise ConfigError("net.location", found=repr(location), expected=" or ".join(LOCATIONS))
        self.fusion = Fusion(groups, width, norm=norm, momentum=momentum, dropout=dropout, combine=combine)
        self.location = None if location == "none" else LocationEncoding(location, width, regions=regions)

    def forward(self, seen: Observed, location: Tensor | None) -> Tensor:
        fused: Tensor = self.fusion(seen)
        if self.location is None:
            no_location(location)
            return fused
        encoded: Tensor = self.location(location, fused.shape[0], fused)
        return fused + encoded.to(fused.dtype)


def region_vector(region: Tensor, regions: int = REGIONS) -> Tensor:
    """One-hot (n, regions + 1) float32 of (n,) integers; anything outside 0 … regions − 1 is "unknown"."""
    known = (region >= 0) & (region < regions)
    slot = torch.where(known, region, regions)
    return torch.nn.functional.one_hot(slot, regions + 1).float()


def coordinate_vector(lat_deg: Tensor, lon_deg: Tensor) -> Tensor:
    """(n, 4) float32: sine and cosine of latitude, sine and cosine of longitude, of (n,) degrees."""
    lat, lon = torch.deg2rad(lat_deg.double()), torch.deg2rad(lon_deg.double())
    return torch.stack([lat.sin(), lat.cos(), lon.sin(), lon.cos()], 1).float()
