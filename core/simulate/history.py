"""SIMULATED glaciers of one landscape in three years, with outlines and a table of truth, for measuring change.

Promise: an outline of a later year lies within that of the first year, glaciers keep their number, their divides stay
vertex for vertex, and the areas of the table are those of the polygons. Glaciers that touch the border are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray

from core.simulate import glacier
from core.simulate.land.ice import YEARS
from core.simulate.land.land import Land, build_land
from core.simulate.outline import Outlines, draw_outlines
from core.simulate.surface import burn

_SMALLEST_KM2 = 0.15


@dataclass(frozen=True)
class History:
    """lands and outlines: one entry per year of `years`; outlines[k][i] is glacier i (empty when it is gone).
    transform: pixels → metres of the landscape, north up. truth: a row per glacier and year: glacier, year, area_km2,
    debris_share, mean_thinning_m_a, simulated (always True)."""

    years: tuple[int, ...]
    lands: tuple[Land, ...]
    outlines: tuple[NDArray[np.object_], ...]
    transform: Affine
    truth: pd.DataFrame


def simulate_history(seed: int, px: int = 512, res_m: float = 30.0, site: str | None = None) -> History:
    """The same mountains in each of `ice.YEARS`. px a multiple of 16."""
    lands = tuple(build_land(seed, px, res_m, year, site) for year in range(len(YEARS)))
    transform = Affine(res_m, 0.0, 0.0, 0.0, -res_m, px * res_m)
    first = lands[0]
    ground = (first.surface_m - first.ice_m).astype(np.float32)
    drawn = [
        draw_outlines(
            # A glacier never grows here; the minimum keeps rounding from saying so.
            glacier.Ice(first.edge, np.minimum(land.edge, first.edge), first.surface_m, first.below_ela_m),
            ground,
            transform,
            _SMALLEST_KM2,
        )
        for land in lands[1:]
    ]
    then = drawn[0].then
    side = px * res_m
    inner = shapely.box(2.0 * res_m, 2.0 * res_m, side - 2.0 * res_m, side - 2.0 * res_m)
    whole = shapely.within(then, inner)
    outlines = (then[whole], *(_by_number(then, d)[whole] for d in drawn))
    rows = [
        row
        for year, land, shapes in zip(YEARS, lands, outlines, strict=True)
        for row in _rows(year, land, shapes, transform)
    ]
    return History(YEARS, lands, outlines, transform, pd.DataFrame(rows))


def _by_number(then: NDArray[np.object_], drawn: Outlines) -> NDArray[np.object_]:
    """The later outlines of `drawn` in the order of `then`: each drawing orders and cuts the first year anew."""
    point, number = shapely.STRtree(then).query(shapely.point_on_surface(drawn.then), predicate="within")
    return np.array(
        [shapely.intersection(shapely.union_all(drawn.now[point[number == i]]), then[i]) for i in range(len(then))],
        dtype=object,
    )


def _rows(year: int, land: Land, shapes: NDArray[np.object_], transform: Affine) -> list[dict[str, object]]:
    """The truth of one year."""
    n = len(shapes)
    number = burn(shapes, np.arange(1, n + 1, dtype=np.int32), land.glacier.shape, transform).ravel()
    count = np.maximum(np.bincount(number, minlength=n + 1), 1)
    debris = np.bincount(number, land.debris.cover.ravel(), n + 1) / count
    thinning = np.bincount(number, land.thinning_m_a.ravel(), n + 1) / count
    return [
        {
            "glacier": i,
            "year": year,
            "area_km2": float(shapely.area(shape)) / 1e6,
            "debris_share": float(debris[i + 1]),
            "mean_thinning_m_a": float(thinning[i + 1]),
            "simulated": True,
        }
        for i, shape in enumerate(shapes)
    ]
