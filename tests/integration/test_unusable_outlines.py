"""Outlines that cannot be mapped still have their row, with the reason."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from core.errors import ConfigError
from core.release import verify_release
from tests.integration.conftest import Run


def test_glaciers_without_a_usable_outline_have_a_row_that_says_so(run: Run, tmp_path: Path) -> None:
    outlines = gpd.GeoDataFrame(
        {
            "rgi_id": [f"RGI2000-v7.0-G-11-{k:05d}" for k in range(1, 5)],
            "o1region": "11",
            "cenlon": [8.0, 8.1, None, 8.2],
            "cenlat": [46.0, 46.1, None, 46.2],
            "area_km2": [1.0, 2.5, None, None],
        },
        geometry=[
            shapely.Point(8.0, 46.0).buffer(0.02),
            None,
            shapely.Polygon(),
            shapely.Point(8.2, 46.2),
        ],
        crs=4326,
    )
    outlines.to_file(tmp_path / "outlines.gpkg")
    config = tmp_path / "c.yaml"
    config.write_text("name: broken\nyear: 2020\ninventory: outlines.gpkg\ngrid: {res_m: 30}\nmodel: {name: oracle}\n")
    ran = run(config, "execution.workers=1")
    area = ran.area().sort_index()
    assert list(area["status"]) == ["measured", "quarantined", "quarantined", "quarantined"]
    assert area["status_reason"][1:].notna().all() and area["area_km2"][1:].isna().all()
    assert area["area_inventory_km2"].iloc[1] == 2.5 and pd.isna(area["area_inventory_km2"].iloc[2])
    assert verify_release(ran.prepared.run.release_url) == []
    assert not ran.driven.clean, "a glacier that failed must show in the exit code"


def test_an_inventory_without_any_usable_outline_does_not_start_a_run(run: Run, tmp_path: Path) -> None:
    outlines = gpd.GeoDataFrame({"rgi_id": ["RGI60-11.00001"]}, geometry=[shapely.Point(8.2, 46.2)], crs=4326)
    outlines.to_file(tmp_path / "outlines.geojson")
    config = tmp_path / "c.yaml"
    config.write_text("name: broken\nyear: 2020\ninventory: outlines.geojson\nmodel: {name: oracle}\n")
    with pytest.raises(ConfigError, match="inventory"):
        run(config)
