"""Real observations through ingest: Everest in 2000 (Landsat 7) and Khumbu in 2024 (Sentinel-2, Sentinel-1, DEM).

What comes out of the tile store is compared with the source file, interpolated here without GDAL.
"""

from __future__ import annotations

import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from scipy.ndimage import map_coordinates

from core.config import Config
from core.grid import Lattice, PixelWindow, Zone
from core.ingest import check_scenes, ingest_block
from core.sensors import sensor
from core.tiles import TileRead, TileStore, open_sensor

SAMPLES = Path(os.environ.get("ICEFLEET_SAMPLES", Path(__file__).parents[2] / "../shared/samples")).resolve()
pytestmark = pytest.mark.skipif(
    not SAMPLES.is_dir(), reason=f"no sample data at {SAMPLES}; set ICEFLEET_SAMPLES to a folder that holds it"
)
ZONE = Zone("utm45n")
LATTICE = Lattice(ZONE, 30)
EVEREST, KHUMBU = SAMPLES / "everest_l7", SAMPLES / "khumbu_s1_s2"
RGB, B4 = EVEREST / "LE71400412000304SGS00_RGB.tif", EVEREST / "LE71400412000304SGS00_B4.tif"
S2, S1, DEM = KHUMBU / "s2_autumn_2024.tif", KHUMBU / "s1_autumn_2024_dB.tif", KHUMBU / "hma-khumbu.tif"
S2_BANDS = {"blue": 1, "green": 2, "red": 3, "nir": 4, "swir1": 5, "swir2": 6}


def config(*scenes: dict) -> Config:
    return Config.model_validate(
        {
            "name": "samples",
            "year": 2000,
            "inventory": str(EVEREST / "rgi60_15_everest_outlines.gpkg"),
            "scenes": [
                {"id": f"{s['sensor']}-{i}", "date": s.pop("date", "2024-10-15"), **s} for i, s in enumerate(scenes)
            ],
            "sensors": {n: {"res_m": 30, "epoch": "2000"} for n in ("optical", "sar_sigma0", "dem")},
        }
    )


def landsat() -> dict:
    return {
        "sensor": "optical",
        "date": "2000-10-30",
        "files": [
            {"path": str(RGB), "bands": {"red": 1, "green": 2, "blue": 3}, "scale": 1 / 255},
            {"path": str(B4), "bands": {"nir": 1}, "scale": 1 / 255},
        ],
    }


@pytest.fixture(scope="module")
def outlines() -> gpd.GeoDataFrame:
    return gpd.read_file(EVEREST / "rgi60_15_everest_outlines.gpkg").to_crs(4326)


def ingested(made: Config, name: str, path: Path, folder: Path) -> tuple[TileRead, PixelWindow, TileStore]:
    """Every block that the raster touches, read back as one window with a rim."""
    store = TileStore(str(folder / "tiles"))
    with rasterio.open(path) as d:
        x, y = corners(d)
    window = LATTICE.cover((x.min(), y.min(), x.max(), y.max())).pad(5)
    for block in LATTICE.blocks(window):
        ingest_block(made, store, block, name)
    return store.read("2000", ZONE, name, window), window, store


def corners(d: rasterio.DatasetReader) -> tuple[np.ndarray, np.ndarray]:
    u, v = np.array([d.transform @ c for c in ((0, 0), (d.width, 0), (d.width, d.height), (0, d.height))]).T
    return Transformer.from_crs(d.crs, ZONE.epsg, always_xy=True).transform(u, v)


def interpolated(path: Path, band: int, window: PixelWindow, power: bool = False) -> np.ndarray:
    """The source at the lattice's pixel centres, bilinear, NaN within half a pixel of its edge and beyond."""
    x, y = np.meshgrid(*LATTICE.centres_m(window))
    with rasterio.open(path) as d:
        u, v = Transformer.from_crs(ZONE.epsg, d.crs, always_xy=True).transform(x, y)
        col, row = ~d.transform @ (u, v)
        data = d.read(band).astype(float)
    data = 10 ** (data / 10) if power else data
    out = map_coordinates(data, [row - 0.5, col - 0.5], order=1, cval=np.nan)
    return 10 * np.log10(out) if power else out


def test_landsat_over_everest_lands_where_the_file_says(tmp_path, outlines):
    made = config(landsat())
    report = check_scenes(made, outlines)
    assert report.missing == ()
    assert report.scenes[0].n_glaciers > 80
    assert report.scenes[0].res_m == pytest.approx(30, rel=2e-3)
    read, window, store = ingested(made, "optical", RGB, tmp_path)
    assert [s.id for s in read.scenes] == ["optical-0"]
    assert {m.bands for m in store.markers("2000", "optical").values()} == {("blue", "green", "red", "nir")}
    assert np.count_nonzero(read.observed) * 900 == pytest.approx(800 * 655 * 900, rel=5e-3)
    assert np.isnan(read.values[4:]).all()
    for path, name, band in ((RGB, "red", 1), (RGB, "green", 2), (RGB, "blue", 3), (B4, "nir", 1)):
        expected = interpolated(path, band, window) / 255
        both = np.isfinite(expected)
        assert read.observed[both].all()
        assert np.abs(read.values[sensor("optical").band_index(name)] - expected)[both].max() < 3e-3, name


def test_everest_opens_in_xarray_with_names_and_crs(tmp_path):
    read, window, store = ingested(config(landsat()), "optical", RGB, tmp_path)
    ds = open_sensor(store.url, "2000", ZONE, "optical")
    xmin, ymin, xmax, ymax = LATTICE.bounds_m(window)
    nir = ds.optical.sel(band="nir", x=slice(xmin, xmax), y=slice(ymax, ymin))
    np.testing.assert_array_equal(nir.values, read.values[3])


def test_sentinel_2_and_landsat_make_one_composite(tmp_path):
    """First the small frame of 2024, then the scene of 2000 around it; the bands are those that both have."""
    made = config({"sensor": "optical", "files": [{"path": str(S2), "bands": S2_BANDS}]}, landsat())
    read, _, store = ingested(made, "optical", RGB, tmp_path)
    share = {s.date.year: float((read.scene == i).mean()) for i, s in enumerate(read.scenes)}
    assert share.keys() == {2000, 2024}
    assert 0.03 < share[2024] < 0.15
    assert share[2000] > 0.8
    bands = {m.bands for m in store.markers("2000", "optical").values()}
    assert ("blue", "green", "red", "nir") in bands


def test_sentinel_2_in_degrees_lands_where_the_file_says(tmp_path, outlines):
    made = config({"sensor": "optical", "files": [{"path": str(S2), "bands": S2_BANDS}]})
    assert check_scenes(made, outlines).scenes[0].n_glaciers > 0
    read, window, _ = ingested(made, "optical", S2, tmp_path)
    for name, number in S2_BANDS.items():
        expected = interpolated(S2, number, window)
        both = np.isfinite(expected)
        assert read.observed[both].mean() > 0.995
        error = np.abs(read.values[sensor("optical").band_index(name)] - expected)[both & read.observed]
        assert error.max() < 0.01, name


def test_sentinel_1_is_interpolated_in_power(tmp_path):
    made = config({"sensor": "sar_sigma0", "files": [{"path": str(S1), "bands": {"vv_db": 1, "vh_db": 2}}]})
    read, window, _ = ingested(made, "sar_sigma0", S1, tmp_path)
    for i in range(2):
        expected = interpolated(S1, i + 1, window, power=True)
        both = np.isfinite(expected) & read.observed
        assert both.sum() > 0.8 * np.isfinite(expected).sum()
        error = np.abs(read.values[i] - expected)[both]
        # Speckle: beside a pixel a hundred times brighter a hundredth of a pixel is a decibel.
        assert np.quantile(error, 0.99) < 0.2
        assert error.mean() < 0.03


def test_the_void_of_the_dem_is_not_observed_and_the_rest_is_the_mean_of_its_pixels(tmp_path):
    made = config({"sensor": "dem", "files": [{"path": str(DEM), "bands": {"elevation_m": 1}, "nodata": 0}]})
    read, window, _ = ingested(made, "dem", DEM, tmp_path)
    with rasterio.open(DEM) as d:
        data = d.read(1).astype(float)
        xmin, _, _, ymax = LATTICE.bounds_m(window)
        rows = (d.transform.f - (ymax - 30 * np.arange(window.shape[0] + 1))) / 8
        cols = ((xmin + 30 * np.arange(window.shape[1] + 1)) - d.transform.c) / 8
    valid = box_sums(data > 0, rows, cols) / (30 / 8) ** 2
    whole, void = valid > 1 - 1e-9, valid < 0.4
    assert whole.sum() > 100_000
    assert void.sum() > 10_000
    # A slope needs a neighbour on one side at least, in both directions; a pixel alone in the void has none.
    some = np.pad(valid >= 0.5, 1)
    sloped = (some[:-2, 1:-1] | some[2:, 1:-1]) & (some[1:-1, :-2] | some[1:-1, 2:])
    assert (whole & sloped).sum() > 0.9999 * whole.sum()
    assert read.observed[whole & sloped].all()
    assert not read.observed[void].any()
    mean = box_sums(data, rows, cols) / (30 / 8) ** 2
    assert np.nanmax(np.abs(read.values[0] - mean)[whole]) < 0.1
    assert 4000 < np.nanmin(read.values[0]) < np.nanmax(read.values[0]) < 8900
    assert 0 <= np.nanmin(read.values[1]) < np.nanmax(read.values[1]) < 90


def box_sums(data: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Integral of a piecewise constant raster over boxes between fractional edges: exact, by double running sums."""
    total = np.pad(np.cumsum(np.cumsum(data.astype(float), axis=0), axis=1), ((1, 0), (1, 0)))
    edges = np.meshgrid(np.clip(rows, 0, data.shape[0]), np.clip(cols, 0, data.shape[1]), indexing="ij")
    return np.diff(np.diff(map_coordinates(total, edges, order=1), axis=0), axis=1)
