"""Attributes beside those of RGI 7.0, for the 23 glaciers of the Hintereisferner complex.

The RGI's are from the Copernicus DEM of 2011–2015, ours from SRTM of 2000 at 90 m: a tongue lost some 20 m in between,
so ours are higher. Tolerances are what such elevation models allow, and not an accuracy. Its centre lines are not ours.
"""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from made_glaciers import WGS84
from rasterio.warp import Resampling, reproject

from core.coverage import coverage_share
from core.grid import Lattice, Zone, pixel_area_km2
from core.measure.attributes import glacier_attributes

LATTICE = Lattice(Zone("utm32n"), 30)
ELEVATIONS = ["zmin_m", "zmax_m", "zmed_m", "zmean_m"]


@pytest.fixture(scope="module")
def both(samples: Path) -> pd.DataFrame:
    """A row per glacier: ours minus the RGI's, `length` ours over theirs, `away_m` between the termini."""
    glaciers = gpd.read_file(samples / "oetztal" / "rgi70G_11_hef_complex.gpkg")
    shapes = LATTICE.zone.project(np.asarray(glaciers.geometry.array, dtype=object))
    rows = []
    with rasterio.open(samples / "oetztal" / "srtm_oetztal.tif") as dem:
        for shape, rgi in zip(shapes, glaciers.itertuples(), strict=True):
            window = LATTICE.cover(shape.bounds).pad(1)
            elevation = np.full(window.pad(1).shape, np.nan, np.float32)
            reproject(
                rasterio.band(dem, 1),
                elevation,
                dst_transform=LATTICE.transform(window.pad(1)),
                dst_crs=LATTICE.zone.crs,
                dst_nodata=np.nan,
                resampling=Resampling.cubic,
            )
            ice = coverage_share(np.array([shape], dtype=object), LATTICE, window)
            ours = glacier_attributes(ice, pixel_area_km2(LATTICE, window), elevation, LATTICE, window)
            away = WGS84.inv(ours.termlon, ours.termlat, rgi.termlon, rgi.termlat)[2]
            difference = {name: getattr(ours, name) - getattr(rgi, name) for name in [*ELEVATIONS, "slope_deg"]}
            aspect = (ours.aspect_deg - rgi.aspect_deg + 180) % 360 - 180
            told = {"aspect_deg": aspect, "length": ours.lmax_m / rgi.lmax_m, "away_m": away}
            assert sum(ours.hypsometry.values()) == 1000
            rows.append({"area_km2": rgi.area_km2, **difference, **told})
    return pd.DataFrame(rows)


def test_elevations_are_those_of_the_rgi_and_the_melt_in_between(both):
    assert len(both) == 23
    size = both[ELEVATIONS].abs()
    assert (size.median() < [25, 20, 20, 20]).all(), size.median()
    assert (size.max() < [40, 80, 45, 35]).all(), size.max()
    assert both["zmin_m"].median() > 0


def test_slopes_and_aspects_are_those_of_the_rgi(both):
    assert both["slope_deg"].abs().median() < 1 and both["slope_deg"].abs().max() < 3.5
    assert both["aspect_deg"].abs().median() < 3 and both["aspect_deg"].abs().max() < 20
    assert both.loc[both["area_km2"] > 1, "aspect_deg"].abs().max() < 7


def test_termini_are_within_pixels_of_those_of_the_rgi(both):
    assert both["away_m"].median() < 30
    assert both.loc[both["area_km2"] > 0.1, "away_m"].max() < 200


def test_lengths_are_near_those_of_the_rgi(both):
    assert both["length"].median() == pytest.approx(1, abs=0.05)
    assert (both["length"] - 1).abs().median() < 0.05
    assert both.loc[both["area_km2"] > 0.1, "length"].between(0.75, 1.2).all()
