"""One glacier measured in one window of the mosaic.

Ice share of a pixel: 1 inside mapped ice, 0 away from it, and along the edge the probability itself, scaled so that
the threshold is one half, as the best guess of how much of the pixel is ice. Areas are sums of ellipsoidal pixel
areas. What was not observed is never counted as ice-free: below `min_observed_fraction` a glacier has no area but a
reason; above, the hidden part is filled with the ice share seen in the rest of the outline, and widens sigma.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from core.grid import Lattice, pixel_area_km2
from core.measure.outline import outline
from core.measure.ownership import Ownership, advance_px, with_advance
from core.stitch import NOT_OBSERVED, decode

Float32 = NDArray[np.float32]
# Standard deviation of a uniform share in [0, 1]: what is known of a hidden pixel at worst.
UNKNOWN_SHARE_SIGMA = 12**-0.5


@dataclass(frozen=True)
class MeasureRules:
    """See `core.config.MeasureConfig`; areas in km², distances in metres."""

    threshold: float = 0.5
    advance_m: float = 20.0
    min_observed_fraction: float = 0.9
    min_area_km2: float = 0.01


@dataclass(frozen=True)
class MosaicWindow:
    """What the mosaic says in a glacier's window.

    probability: (rows, cols) uint8 as `core.stitch` encodes it. scene: (rows, cols) int32, index into the scenes that
    come with it, −1 where not observed. spread: (rows, cols) uint8, as encoded, of the votes of the model; None from a
    model of one vote. missing: names of blocks of the plan that have no commit, with the reason.
    """

    probability: NDArray[np.uint8]
    scene: NDArray[np.int32]
    missing: tuple[tuple[str, str], ...] = ()
    spread: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Measurement:
    """The numbers of one glacier; None where they cannot be told. `geometry` in zone metres, None if not mapped."""

    status: str
    reason: str | None
    observed_fraction: float | None
    area_km2: float | None = None
    area_sigma_km2: float | None = None
    area_expected_km2: float | None = None
    area_advance_km2: float | None = None
    area_loss_km2: float | None = None
    scenes: tuple[int, ...] = ()
    flags: tuple[str, ...] = ()
    geometry: shapely.Geometry | None = None


def measure_glacier(
    ownership: Ownership,
    mosaic: MosaicWindow,
    lattice: Lattice,
    rules: MeasureRules,
    elevation_m: Float32 | None = None,
) -> Measurement:
    """Measure one glacier.

    elevation_m: (rows, cols) metres, NaN unknown: it leads the ice outside all outlines to its glaciers.
    area_sigma_km2: half a pixel along the whole outline (Paul et al. 2013, 10.3189/2013AoG63A296, as one standard
    deviation, divides included) and, in quadrature, the hidden area times the larger of √(f(1−f)) and 1/√12, f being
    the ice share seen inside the outline.
    """
    if mosaic.missing:
        block, why = mosaic.missing[0]
        return Measurement("quarantined", f"block {block} was not mapped: {why}", None)
    area = pixel_area_km2(lattice, ownership.window)
    seen = mosaic.probability != NOT_OBSERVED
    probability = np.where(seen, decode(mosaic.probability), 0).astype(np.float32)
    mapped = ice_share(probability, seen, rules.threshold)
    sure = seen & (probability >= rules.threshold)
    reach = advance_px(rules.advance_m, lattice.res_m)
    ownership = with_advance(ownership, sure, elevation_m, reach, edge=mapped > 0)
    outline_km2 = float(np.sum(ownership.own * area, dtype=np.float64))
    hidden_km2 = float(np.sum(np.where(seen, 0, ownership.own * area), dtype=np.float64))
    observed = min(1.0, max(0.0, 1.0 - hidden_km2 / outline_km2)) if outline_km2 > 0 else 0.0
    used = np.unique(mosaic.scene[seen & (ownership.share > 0)])
    scenes = tuple(int(s) for s in used[used >= 0])
    if observed <= 0.0:
        return Measurement("not_observed", "no valid observation inside the outline", 0.0)
    if observed < rules.min_observed_fraction:
        why = f"only {observed:.1%} of the outline was observed, {rules.min_observed_fraction:.0%} are needed"
        return Measurement("not_observed", why, observed, scenes=scenes)
    mapped = ownership.share * mapped
    ice = np.where(seen, mapped, 0)
    ice_km2 = _sum(ice, area)
    inside = _sum(np.minimum(ice, ownership.own), area)
    seen_share = min(1.0, inside / (outline_km2 - hidden_km2))
    filled_km2 = hidden_km2 * seen_share
    total = ice_km2 + filled_km2
    whole = np.where(seen, mapped, ownership.own) if hidden_km2 > 0 else ice
    shape = outline(whole.astype(np.float32), lattice, ownership.window)
    edge = 0.5 * lattice.res_m / 1000 * shapely.length(shape) / 1000
    gap = hidden_km2 * max((seen_share * (1 - seen_share)) ** 0.5, UNKNOWN_SHARE_SIGMA)
    small = total < rules.min_area_km2
    return Measurement(
        status="below_minimum" if small else "measured",
        reason=f"mapped area {total:.4f} km² is below {rules.min_area_km2} km²" if small else None,
        observed_fraction=observed,
        area_km2=total,
        area_sigma_km2=float(np.hypot(edge, gap)),
        area_expected_km2=_sum(ownership.share * probability, area) + filled_km2,
        area_advance_km2=_sum(np.maximum(0, ice - ownership.own) * seen, area),
        area_loss_km2=_sum(np.maximum(0, ownership.own - ice) * seen, area),
        scenes=scenes,
        flags=("gap_filled",) if hidden_km2 > 1e-9 else (),
        geometry=None if shapely.is_empty(shape) else shape,
    )


def ice_share(probability: Float32, seen: NDArray[np.bool_], threshold: float) -> Float32:
    """Ice share of each pixel (see module): (rows, cols) float32. Pixels that were not seen decide nothing."""
    ice = seen & (probability >= threshold)
    near_ice = maximum_filter(ice, size=3, mode="nearest")
    near_rock = ~minimum_filter(ice | ~seen, size=3, mode="nearest")
    below = probability * np.float32(0.5 / threshold)
    above = np.float32(0.5) + (probability - np.float32(threshold)) * np.float32(0.5 / (1 - threshold))
    edge = np.where(ice, above, below)
    return np.where(near_ice & near_rock, edge, ice).astype(np.float32)


def _sum(share: NDArray[np.floating], area: Float32) -> float:
    return float(np.sum(share * area, dtype=np.float64))
