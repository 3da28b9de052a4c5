"""The glaciers of the SIMULATED world that are there for a reason: the cases that break inventories.

They are found or placed by rule, whatever the seed: one across 180°, one smaller than a pixel, one under cloud in
every scene, one under cloud in the first scene only.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from core.grid import Zone
from core.simulate.glacier import Ice
from core.simulate.noise import F32, F64
from core.simulate.outline import Outlines
from core.simulate.site import Site

TINY_KM2 = 0.0034  # in the inventory; a 60 m pixel has 0.0036
_TINY_SHRINKS_TO = 0.62
_FAR_M = 400.0
_CLEAR_OF_180_M = 250.0  # so that rounding does not decide the home zone of the glacier's middle


def shift_onto_antimeridian(outlines: Outlines, zone: Zone) -> float:
    """How far east (m) the site must move for 180° to cut its largest glacier just east of its middle."""
    middle = shapely.point_on_surface(outlines.then[0])
    _, lat = zone.unproject_points(np.array([middle.x]), np.array([middle.y]))
    x, _ = zone.project_points(np.array([180.0]), lat)
    return float(np.round(x[0] - middle.x, 1)) - _CLEAR_OF_180_M


def move(outlines: Outlines, east_m: float) -> Outlines:
    """Everything `east_m` further east; shared vertices stay shared."""

    def shifted(xy: F64) -> F64:
        return np.asarray(xy + np.array([east_m, 0.0]))

    return Outlines(shapely.transform(outlines.then, shifted), shapely.transform(outlines.now, shifted))


def add_tiny_glacier(
    outlines: Outlines, ice: Ice, corner: tuple[float, float], site: Site, rng: np.random.Generator
) -> Outlines:
    """One glacieret of TINY_KM2 as the last entry, on the highest gentle ground away from all other ice."""
    gy, gx = np.gradient(ndimage.gaussian_filter(ice.surface, 2.0), site.pixel_m)
    away_m = ndimage.distance_transform_edt(ice.then <= 0) * site.pixel_m
    n = site.px
    inner = np.zeros((n, n), dtype=bool)
    inner[n // 8 : -n // 8, n // 8 : -n // 8] = True
    fits = (away_m > _FAR_M) & (np.hypot(gx, gy) < 0.6) & inner
    row, col = np.unravel_index(np.argmax(np.where(fits, ice.surface, -np.inf)), fits.shape)
    angle = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
    radius = 1.0 + 0.12 * np.sin(2 * angle + rng.uniform(0, 6)) + 0.07 * np.sin(3 * angle + rng.uniform(0, 6))
    unit = shapely.Polygon(np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]))
    centre = np.array([corner[0] + (col + 0.5) * site.pixel_m, corner[1] - (row + 0.5) * site.pixel_m])
    then, now = (_scaled(unit, centre, share * TINY_KM2 * 1e6) for share in (1.0, _TINY_SHRINKS_TO))
    return Outlines(_with(outlines.then, then), _with(outlines.now, now))


def _scaled(unit: shapely.Polygon, centre: F64, area_m2: float) -> shapely.Geometry:
    factor = np.sqrt(area_m2 / unit.area)

    def scaled(xy: F64) -> F64:
        return np.asarray(centre + factor * xy)

    return cast("shapely.Geometry", shapely.transform(unit, scaled))


def _with(shapes: NDArray[np.object_], last: shapely.Geometry) -> NDArray[np.object_]:
    return np.concatenate([shapes, np.array([last], dtype=object)])


def glacier_to_hide(outlines: Outlines) -> int:
    """A middling glacier that still has ice and few neighbours under the same cloud."""
    area, still = shapely.area(outlines.then) / 1e6, shapely.area(outlines.now) > 0
    a, _ = shapely.STRtree(outlines.then).query(outlines.then, predicate="dwithin", distance=1600.0)
    neighbours = np.bincount(a, minlength=len(area)).astype(np.float64)
    neighbours[~still | (area < 0.25) | (area > 2.0)] = np.inf
    return int(np.argmin(neighbours))


def half_of_a_large_glacier(outlines: Outlines, avoid: shapely.Geometry | None) -> tuple[int, shapely.Geometry]:
    """(number, the lower half of its width) of the largest glacier that is far from `avoid`."""
    far = np.ones(len(outlines.then), dtype=bool)
    if avoid is not None:
        far = shapely.distance(outlines.then, avoid) > 3000.0
    i = int(np.argmax(np.where(far, shapely.area(outlines.now), -1.0)))
    xmin, ymin, xmax, ymax = outlines.then[i].bounds
    return i, shapely.box(xmin, ymin, xmin + 0.3 * (xmax - xmin), ymax).intersection(outlines.then[i])


def observed_share(number: NDArray[np.integer], seen: NDArray[np.bool_], n: int) -> F32:
    """Share of the pixels of each glacier 1 … n that some scene saw; 1 for one without a pixel centre."""
    pixels = np.bincount(number.ravel(), minlength=n + 1)[1:]
    good = np.bincount(number.ravel(), weights=seen.ravel(), minlength=n + 1)[1:]
    return np.where(pixels > 0, good / np.maximum(pixels, 1), 1.0).astype(np.float32)
