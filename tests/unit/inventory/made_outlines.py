"""Outlines that tests make up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import geopandas as gpd
import shapely
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry


def square(lon: float, lat: float, half: float = 0.01) -> Polygon:
    """Corners in millionths of a degree, which every format keeps."""
    return shapely.box(*(round(v, 6) for v in (lon - half, lat - half, lon + half, lat + half)))


def rgi7(geometry: Sequence[BaseGeometry | None], region: str = "11", **columns: Any) -> gpd.GeoDataFrame:
    """RGI 7 glaciers with ids that count from 1."""
    ids = [f"RGI2000-v7.0-G-{region}-{i + 1:05d}" for i in range(len(geometry))]
    return gpd.GeoDataFrame({"rgi_id": ids, **columns}, geometry=list(geometry), crs="EPSG:4326")
