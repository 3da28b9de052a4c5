"""All checks on one file of a table of a region that need nothing but the file, the manifest and the owners."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from core.release.check_details import check_front, check_surface
from core.release.check_files import check_geo
from core.release.check_geometry import LINEAR, POLYGONAL, check_areas, check_shapes
from core.release.check_rows import check_area_rows, check_missing, check_origin, check_outline_rows
from core.release.finding import Finding
from core.release.owners import Owners, hidden_km2
from core.release.schema import AREA, FRONT, HYPSOMETRY, OUTLINE, SURFACE
from core.release.table import geometries


def check_table(
    key: str, name: str, table: pa.Table, region: str, owners: Owners, manifest: Mapping[str, Any]
) -> Generator[Finding, None, bool]:
    """Findings; then whether the file can be used further, that is whether its geometry can be read.

    name: of the table, whose schema the file has. owners: those of the region, none for glacier_area itself.
    """
    if name != HYPSOMETRY:
        try:
            shapes = geometries(table)
        except shapely.errors.GEOSException as error:
            yield Finding("unreadable", key, f"a geometry is no WKB ({str(error).strip()})")
            return False
        yield from check_geo(key, table, shapes)
        yield from check_shapes(key, table, shapes, LINEAR if name == FRONT else POLYGONAL)
    if name == AREA:
        yield from check_areas(key, table, shapes, res_m(manifest), hidden_km2(table))
        yield from check_area_rows(key, table, manifest)
    elif name == OUTLINE:
        hidden = np.nan_to_num(owners.values(table.column("rgi_id").to_pylist(), "hidden_km2"))
        yield from check_areas(key, table, shapes, res_m(manifest), hidden)
        yield from check_outline_rows(key, table, owners)
    elif name == FRONT:
        yield from check_front(key, table, shapes, owners, res_m(manifest))
    elif name == SURFACE:
        yield from check_surface(key, table, owners)
    yield from check_missing(key, table)
    yield from check_origin(key, table, manifest, region)
    return True


def res_m(manifest: Mapping[str, Any]) -> float:
    """Pixel of the map, metres; 0 where the manifest does not say, which is a finding already."""
    value = manifest.get("res_m")
    return float(value) if isinstance(value, int | float) else 0.0
