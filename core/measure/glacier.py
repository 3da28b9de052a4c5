"""One glacier measured in one window of the mosaic.

Ice share of a pixel: 1 inside mapped ice, 0 away from it, and along the edge the probability itself, scaled so that
the threshold is one half, as the best guess of how much of the pixel is ice. Areas are sums of ellipsoidal pixel
areas. What was not observed is never counted as ice-free: below `min_observed_fraction` a glacier has no area but a
reason; above, the hidden part is filled with the ice share seen in the rest of the outline, and widens sigma.

The order: whose ground it is (outlines, then the flood into free ice), what of it is ice (the map, then the optional
rules on snow, terminus and objects), how much that is and how sure, and what it is like.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, maximum_filter, minimum_filter

from core.grid import Lattice, pixel_area_km2
from core.measure.accumulation import add_accumulation
from core.measure.attributes import Attributes, glacier_attributes
from core.measure.calving import Calving, calving_front
from core.measure.objects import refine_objects
from core.measure.outline import outline
from core.measure.ownership import Ownership, advance_px, with_advance
from core.measure.rules import TERMINUS_FEATURES, MeasureRules
from core.measure.surfaces import Surfaces, divide_surfaces, surfaces_by_rule
from core.measure.terminus_refinement import TerminusRules, maps_from_spread, refine_terminus
from core.measure.uncertainty import AreaSigma, boundary_sigma, free_share, hidden_sigma, model_sigma
from core.measure.water import NewIce, new_ice_on_water
from core.stitch import NOT_OBSERVED, decode

Float32 = NDArray[np.float32]
# Names of layers → those that there are, on the glacier's window: (rows, cols) float32, NaN = not observed.
ReadLayers = Callable[[Collection[str]], Mapping[str, Float32]]


def no_layers(names: Collection[str]) -> Mapping[str, Float32]:
    """For runs that have nothing but the probability."""
    del names
    return {}


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
    """The numbers of one glacier; None where they cannot be told. `geometry`, None if not mapped, and `surfaces`,
    polygons of each class that occurs, in zone metres (in degrees after `core.measure.group.in_lon_lat`)."""

    status: str
    reason: str | None
    observed_fraction: float | None
    area_km2: float | None = None
    sigma: AreaSigma | None = None
    area_expected_km2: float | None = None
    area_advance_km2: float | None = None
    area_loss_km2: float | None = None
    scenes: tuple[int, ...] = ()
    flags: tuple[str, ...] = ()
    geometry: shapely.Geometry | None = None
    attributes: Attributes = field(default_factory=Attributes)
    cover: Surfaces | None = None
    surfaces: Mapping[str, shapely.Geometry] = field(default_factory=dict)
    calving: Calving | None = None

    @property
    def area_sigma_km2(self) -> float | None:
        return None if self.sigma is None else self.sigma.total


def measure_glacier(
    ownership: Ownership,
    mosaic: MosaicWindow,
    lattice: Lattice,
    rules: MeasureRules,
    layers: ReadLayers = no_layers,
    term_type: int | None = None,
) -> Measurement:
    """Measure one glacier. term_type: of RGI 7.0, None if not assigned."""
    if mosaic.missing:
        block, why = mosaic.missing[0]
        return Measurement("quarantined", f"block {block} was not mapped: {why}", None)
    area = pixel_area_km2(lattice, ownership.window)
    seen = mosaic.probability != NOT_OBSERVED
    outline_km2 = float(np.sum(ownership.own * area, dtype=np.float64))
    hidden_km2 = float(np.sum(np.where(seen, 0, ownership.own * area), dtype=np.float64))
    observed = min(1.0, max(0.0, 1.0 - hidden_km2 / outline_km2)) if outline_km2 > 0 else 0.0
    if outline_km2 <= 0.0 and ownership.ceded_px > 0:
        why = "outlines that come before it in the inventory claim all of its ground"
        return Measurement("quarantined", why, None)
    if observed <= 0.0:
        return Measurement("not_observed", "no valid observation inside the outline", 0.0)
    if observed < rules.min_observed_fraction:
        why = f"only {observed:.1%} of the outline was observed, {rules.min_observed_fraction:.0%} are needed"
        return Measurement("not_observed", why, observed, scenes=_scenes(ownership, mosaic))
    known = layers(rules.layers)
    told = np.where(seen, decode(mosaic.probability), np.float32(np.nan)).astype(np.float32)
    spread = None if mosaic.spread is None else np.where(seen, decode(mosaic.spread), np.float32(0)).astype(np.float32)
    ownership, afloat = _own_ground(ownership, told, seen, known, lattice, rules, term_type)
    told = afloat.told
    mapped = np.where(seen, told, 0).astype(np.float32)
    told, flags = _refined(ownership, told, spread, area, known, lattice, rules)
    flags += afloat.flags + _doubts(ownership, seen, known.get("elevation_m"), lattice, rules)

    probability = np.where(seen, told, 0).astype(np.float32)
    ice = np.where(seen, ownership.share * ice_share(probability, seen, rules.threshold), 0).astype(np.float32)
    ice_km2 = _sum(ice, area)
    inside = _sum(np.minimum(ice, ownership.own), area)
    seen_share = min(1.0, inside / (outline_km2 - hidden_km2))
    filled_km2 = hidden_km2 * seen_share
    total = ice_km2 + filled_km2
    # Hidden ground is drawn as most of the rest is.
    whole = np.where(seen, ice, ownership.own).astype(np.float32) if hidden_km2 > 0 and seen_share >= 0.5 else ice
    shape = outline(whole, lattice, ownership.window)
    if hidden_km2 > 1e-9:
        flags = (*flags, "gap_filled")
    small = total < rules.min_area_km2
    cover, surfaces = _surfaces(whole, area, known, total, lattice, ownership, rules)
    others = (ownership.label >= 0) & (ownership.label != ownership.index)
    cut_km2 = 0.0 if ownership.cut_off is None else _sum(ice * ownership.cut_off, area)
    model_km2 = model_sigma(probability, ownership.share * area, lattice.res_m, rules.correlation_m, spread, mapped)
    return Measurement(
        status="below_minimum" if small else "measured",
        reason=f"mapped area {total:.4f} km² is below {rules.min_area_km2} km²" if small else None,
        observed_fraction=observed,
        area_km2=total,
        sigma=AreaSigma(
            boundary_sigma(shapely.length(shape), free_share(whole >= 0.5, others), lattice.res_m, rules.boundary_px),
            # What fills the hidden part errs as the part that it is filled from. New ice that the reach cuts off is
            # seasonal snow, and then none of it, or a surge, and then there is more.
            float(np.hypot(model_km2 / observed, cut_km2)),
            float(np.hypot(hidden_sigma(hidden_km2, seen_share), afloat.sigma_km2(area))),
        ),
        area_expected_km2=_sum(ownership.share * probability, area) + filled_km2,
        area_advance_km2=_sum(np.maximum(0, ice - ownership.own) * seen, area),
        area_loss_km2=_sum(np.maximum(0, ownership.own - ice) * seen, area),
        scenes=_scenes(ownership, mosaic),
        flags=flags,
        geometry=None if shapely.is_empty(shape) else shape,
        # What has no outline is no ground that anybody could look up.
        attributes=_attributes(whole, area, known, lattice, ownership, term_type, rules)
        if not shapely.is_empty(shape)
        else Attributes(),
        cover=cover,
        surfaces=surfaces,
        calving=calving_front(ownership, whole, known, lattice, term_type, seen) if rules.fronts else None,
    )


def _scenes(ownership: Ownership, mosaic: MosaicWindow) -> tuple[int, ...]:
    """Of the ground that the glacier owns."""
    used = np.unique(mosaic.scene[(mosaic.probability != NOT_OBSERVED) & (ownership.share > 0)])
    return tuple(int(s) for s in used[used >= 0])


def _own_ground(
    bare: Ownership,
    told: Float32,
    seen: NDArray[np.bool_],
    known: Mapping[str, Float32],
    lattice: Lattice,
    rules: MeasureRules,
    term_type: int | None,
) -> tuple[Ownership, NewIce]:
    """The glacier's ground with its new ice, less what is water, and the map without that."""
    ownership = _with_new_ice(bare, told, seen, known, lattice, rules)
    afloat = new_ice_on_water(ownership, told, known, rules, term_type)
    if not afloat.removed:
        return ownership, afloat
    # What hung together over water is lost with it; nothing is won, for it may be a neighbour's.
    rest = _with_new_ice(bare, afloat.told, seen, known, lattice, rules)
    return replace(rest, share=np.minimum(ownership.share, rest.share)), afloat


def _with_new_ice(
    ownership: Ownership,
    told: Float32,
    seen: NDArray[np.bool_],
    known: Mapping[str, Float32],
    lattice: Lattice,
    rules: MeasureRules,
) -> Ownership:
    """The glacier's ground with what lies beyond all outlines and is its ice now."""
    ice = seen & (told >= rules.threshold)
    # Pixels beside ice that are ice in part belong to whom that ice belongs to.
    edge = seen & ~ice & maximum_filter(ice, size=3, mode="nearest")
    return with_advance(ownership, ice, known.get("elevation_m"), advance_px(rules.advance_m, lattice.res_m), edge)


def _refined(
    ownership: Ownership,
    told: Float32,
    spread: Float32 | None,
    area: Float32,
    known: Mapping[str, Float32],
    lattice: Lattice,
    rules: MeasureRules,
) -> tuple[Float32, tuple[str, ...]]:
    """The probability after the optional rules, and what they did as flags."""
    flags: list[str] = []
    if rules.accumulation and not {"ndsi", "elevation_m"} <= known.keys():
        flags.append("left_out_accumulation")
    elif rules.accumulation:
        grown = add_accumulation(
            told, known["ndsi"], known["elevation_m"], ownership.own >= 0.5, threshold=rules.threshold
        )
        told = grown.probability
        if grown.added.any():
            flags.append(f"added_accumulation:{int(np.count_nonzero(grown.added))}")
    if rules.terminus and (spread is None or "elevation_m" not in known):
        flags.append("left_out_terminus")
    elif rules.terminus and spread is not None:
        features = np.stack([known[name] for name in TERMINUS_FEATURES if name in known])
        first, second = maps_from_spread(told, spread)
        settled = refine_terminus(
            first, second, features, known["elevation_m"], ownership.share > 0, TerminusRules(rules.threshold)
        )
        if settled.outcome == "refined":
            told = settled.probability
            flags.append(f"settled_terminus:{settled.settled}")
    if rules.objects is not None and rules.objects.rules:
        judged = refine_objects(
            told, ownership.share, ownership.own, area, lattice.res_m, known, rules.objects, rules.threshold
        )
        told = judged.probability
        flags += judged.flags
        if judged.left_out:
            flags.append(f"left_out_rules:{len({rule for rule, _ in judged.left_out})}")
    return told, tuple(flags)


def _doubts(
    ownership: Ownership,
    seen: NDArray[np.bool_],
    elevation_m: Float32 | None,
    lattice: Lattice,
    rules: MeasureRules,
) -> tuple[str, ...]:
    """What the numbers do not say, each with its pixels: ground claimed twice, new ice that goes on beyond the reach,
    new ice beside other glaciers where no elevation says whose it is, ground within the reach that nobody saw."""
    reach = advance_px(rules.advance_m, lattice.res_m)
    counts = {"ceded_overlap": round(ownership.ceded_px), "advance_at_limit": ownership.beyond_px}
    new = (ownership.share > 0) & (ownership.label < 0)
    if new.any() and bool(((ownership.label >= 0) & (ownership.label != ownership.index)).any()):
        counts["divided_by_distance"] = int(
            np.count_nonzero(new if elevation_m is None else new & np.isnan(elevation_m))
        )
    near = maximum_filter(ownership.own > 0, size=max(1, 2 * reach - 1), mode="constant")
    unseen = ~seen & near & (ownership.label < 0)
    if unseen.any():
        # A pixel less, because what is mapped ends at the same distance if the buffer is no wider than the reach.
        counts["foreland_hidden"] = int(
            np.count_nonzero(distance_transform_edt(ownership.own == 0)[unseen] <= reach - 1)
        )
    return tuple(f"{flag}:{count}" for flag, count in counts.items() if count)


def _attributes(
    ice: Float32,
    area: Float32,
    known: Mapping[str, Float32],
    lattice: Lattice,
    ownership: Ownership,
    term_type: int | None,
    rules: MeasureRules,
) -> Attributes:
    if not rules.attributes or "elevation_m" not in known:
        return Attributes()
    return glacier_attributes(ice, area, known["elevation_m"], lattice, ownership.window, term_type)


def _surfaces(
    ice: Float32,
    area: Float32,
    known: Mapping[str, Float32],
    total_km2: float,
    lattice: Lattice,
    ownership: Ownership,
    rules: MeasureRules,
) -> tuple[Surfaces | None, dict[str, shapely.Geometry]]:
    """Areas of the surfaces, and the outline of each."""
    if not rules.surfaces or not {"green", "red", "nir"} <= known.keys() or not np.isfinite(known["green"]).any():
        return None, {}
    cover = divide_surfaces(surfaces_by_rule(known, known.get("slope_deg")), ice, area, total_km2=total_km2)
    if cover.area_debris_km2 is None:
        return cover, {}
    drawn = {
        name: outline(share, lattice, ownership.window)
        for name, share in (("clean_ice", cover.clean_ice), ("debris", cover.debris), ("lake", cover.lake))
        if share.any()
    }
    return cover, {name: shape for name, shape in drawn.items() if not shapely.is_empty(shape)}


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
