"""Small inventories on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

Write = Callable[..., str]


def square(lon: float, lat: float, half: float = 0.01) -> Polygon:
    """Corners in millionths of a degree, which every format keeps."""
    return shapely.box(*(round(v, 6) for v in (lon - half, lat - half, lon + half, lat + half)))


def rgi7(geometry: Sequence[BaseGeometry | None], region: str = "11", **columns: Any) -> gpd.GeoDataFrame:
    """RGI 7 glaciers with ids that count from 1."""
    ids = [f"RGI2000-v7.0-G-{region}-{i + 1:05d}" for i in range(len(geometry))]
    return gpd.GeoDataFrame({"rgi_id": ids, **columns}, geometry=list(geometry), crs="EPSG:4326")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write(frame, name) → path of the file, in the format that the name says."""

    def write(frame: gpd.GeoDataFrame, name: str = "outlines.gpkg", **options: Any) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            frame.to_parquet(path)
        else:
            frame.to_file(path, **options)
        return str(path)

    return write
