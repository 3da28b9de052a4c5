"""Outlines: those of a region in two releases, and the polygons of change between them.

A file of each release is in memory at a time. A release has no outlines of the inventory but of glaciers that it could
not measure, so there are no polygons of change from the inventory's date on. Where ground was hidden, a release draws
the inventory's outline and does not say which part of it; polygons of such a glacier are marked, because some may be
no change but what filled a gap.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.change.dated import Dated
from core.change.parts import read_parts
from core.change.polygons import SLIVER_PX, change_polygons
from core.change.series import GAP_FILLED, has_flag
from core.change.tables import GeoParquetWriter, polygon_table
from core.release.schema import WITH_AREA
from core.release.table import geometries

_COLUMNS = ("rgi_id", "o2region", "cenlon", "cenlat", "status", "flags", "geometry")


def write_polygons(first: Dated, second: Dated, region: str, file: GeoParquetWriter) -> None:
    """Polygons of change of the glaciers of a region that have an area in both releases."""
    sliver_m = SLIVER_PX * max(first.res_m, second.res_m)
    for part in read_parts(first, region, _COLUMNS):
        then, now, glaciers = _both(part, _mapped(part), second, region)
        pieces = change_polygons(then, now, glaciers["cenlon"].to_numpy(), glaciers["cenlat"].to_numpy(), sliver_m)
        file.write(polygon_table(glaciers, region, (first.label, second.label), pieces, sliver_m))


def _mapped(table: pa.Table) -> NDArray[np.object_]:
    """Mapped outlines, None where nothing was mapped."""
    shapes = geometries(table)
    shapes[~np.asarray(pc.is_in(table.column("status"), pa.array(WITH_AREA)))] = None
    return shapes


def _both(
    part: pa.Table, shapes: NDArray[np.object_], other: Dated, region: str
) -> tuple[NDArray[np.object_], NDArray[np.object_], pd.DataFrame]:
    """Outlines at both dates and the rows of the glaciers of `part` that have an area at both."""
    ids = part.column("rgi_id").combine_chunks()
    found: dict[str, Any] = {}
    filled: dict[str, bool] = {}
    for table in read_parts(other, region, ("rgi_id", "status", "flags", "geometry")):
        chosen = table.filter(
            pc.and_(pc.is_in(table.column("rgi_id"), ids), pc.is_in(table.column("status"), pa.array(WITH_AREA)))
        )
        theirs = chosen.column("rgi_id").to_pylist()
        found |= dict(zip(theirs, geometries(chosen), strict=True))
        filled |= dict(zip(theirs, has_flag(chosen, GAP_FILLED).tolist(), strict=True))
    names = ids.to_pylist()
    then_known = np.asarray(pc.is_in(part.column("status"), pa.array(WITH_AREA)))
    both = then_known & np.array([name in found for name in names], dtype=bool)
    now = np.full(len(names), None, dtype=object)
    now[both] = [found[name] for name, there in zip(names, both.tolist(), strict=True) if there]
    glaciers = part.select(["rgi_id", "o2region", "cenlon", "cenlat"]).to_pandas()
    theirs = np.array([filled.get(name, False) for name in names], dtype=bool)
    glaciers[GAP_FILLED] = has_flag(part, GAP_FILLED) | theirs
    return shapes[both], now[both], glaciers[both].reset_index(drop=True)
