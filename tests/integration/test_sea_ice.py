"""A SIMULATED fjord through the whole job: a rule that maps clean ice takes mélange and sea ice for glacier, and the
release must not."""

from __future__ import annotations

import math
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import yaml
from affine import Affine

from core.grid import Zone
from core.release import verify_release
from tests.integration.conftest import Ran, Run

ZONE, RES_M = Zone("utm33n"), 30
WEST, EAST, SHORE, HEAD, RETREAT = 499_980, 502_020, 8_700_000, 8_706_000, 300
OLD = shapely.box(WEST, SHORE, EAST, HEAD)
DRIFT_M = 240  # how far sea ice reaches from where the front was
BANDS = ("blue", "green", "red", "nir", "swir1")
GLACIER, SEA_ICE, ROCK = (0.7, 0.7, 0.68, 0.6, 0.05), (0.75, 0.72, 0.7, 0.6, 0.06), (0.1, 0.1, 0.12, 0.2, 0.25)
OPEN_WATER = (0.06, 0.05, 0.03, 0.01, 0.01)


def write(path: Path, bands: np.ndarray, place: Affine) -> str:
    profile = {"driver": "GTiff", "count": len(bands), "dtype": "float32", "nodata": -9999}
    height, width = bands.shape[1:]
    with rasterio.open(
        path, "w", crs=ZONE.crs.to_wkt(), transform=place, height=height, width=width, **profile
    ) as file:
        file.write(bands.astype(np.float32))
    return str(path)


def fjord(folder: Path, front: int) -> Path:
    """The configuration of a fjord whose glacier ends at y = `front`, with sea ice before the old front. The elevation
    model is of that day."""
    west, north, side = WEST - 3000, HEAD + 1500, 360
    x = west + (np.arange(side) + 0.5) * RES_M
    y = (north - (np.arange(side) + 0.5) * RES_M)[:, None]
    between = (x > WEST) & (x < EAST)
    water = between & (y < front)
    ice = between & (y >= front) & (y < HEAD)
    drifting = water & (y < SHORE) & (y >= SHORE - DRIFT_M)
    kinds = np.where(ice, 0, np.where(drifting, 1, np.where(water, 3, 2)))
    spectra = np.array([GLACIER, SEA_ICE, ROCK, OPEN_WATER])
    place = Affine(RES_M, 0, west, 0, -RES_M, north)
    image = write(folder / "image.tif", np.moveaxis(spectra[kinds], -1, 0), place)
    height = np.where(water, 0, np.where(ice, 40 + 0.05 * (y - front), 300 + 0 * x * y))
    dem = write(folder / "dem.tif", height[None], place)
    outlines = gpd.GeoSeries([OLD], crs=ZONE.epsg).to_crs(4326)
    names = {"RGIId": ["RGI60-07.00001"], "O1Region": ["7"], "TermType": [1], "BgnDate": ["20000801"]}
    gpd.GeoDataFrame(names, geometry=outlines, crs=4326).to_file(folder / "outlines.gpkg")
    settings = {
        "name": "fjord",
        "year": 2020,
        "simulated": True,
        "inventory": "outlines.gpkg",
        "grid": {"res_m": RES_M, "buffer_m": 300},
        "measure": {"advance_m": 300, "objects": "default"},
        "model": {"name": "band_ratio"},
        "sensors": {"optical": {"res_m": RES_M}, "dem": {"res_m": RES_M}},
        "scenes": [
            {
                "id": "IMAGE",
                "sensor": "optical",
                "date": "2020-08-01",
                "files": [{"path": image, "bands": {band: k + 1 for k, band in enumerate(BANDS)}, "nodata": -9999}],
            },
            {
                "id": "DEM",
                "sensor": "dem",
                "date": "2020-08-01",
                "files": [{"path": dem, "bands": {"elevation_m": 1}, "nodata": -9999}],
            },
        ],
    }
    (folder / "c.yaml").write_text(yaml.safe_dump(settings))
    return folder / "c.yaml"


@pytest.fixture(scope="module")
def runs(run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """Sea ice up to the front where it was; the same, kept as ice; and a front that has drawn back from it."""
    place, back = (fjord(tmp_path_factory.mktemp("fjord"), front) for front in (SHORE, SHORE + RETREAT))
    one = "execution.workers=1"
    return {"still": run(place, one), "kept": run(place, one, "measure.sea_ice=keep"), "back": run(back, one)}


def flags(ran: Ran) -> dict[str, int]:
    (row,) = ran.area().to_dict("records")
    return {name: int(n) for name, n in (flag.split(":") for flag in row["flags"].split(";") if flag)}


def test_sea_ice_before_an_unchanged_front_is_in_no_area_and_moves_no_front(runs: dict[str, Ran]) -> None:
    still = runs["still"]
    (row,) = still.area().to_dict("records")
    assert row["area_km2"] == pytest.approx(OLD.area / 1e6, rel=0.005) and row["area_advance_km2"] < 0.02
    drift_km2 = (EAST - WEST) * DRIFT_M / 1e6
    assert flags(still)["removed_sea_ice"] * RES_M**2 / 1e6 == pytest.approx(drift_km2, rel=0.1)
    assert row["area_sigma_hidden_km2"] == pytest.approx(drift_km2 / math.sqrt(3), rel=0.1)
    (front,) = still.table("glacier_front").to_pylist()
    assert abs(front["front_change_m"]) < RES_M / 3
    assert front["front_length_m"] == pytest.approx(EAST - WEST, rel=0.05)
    assert (front["water"], front["water_source"]) == ("sea", "elevation") and front["front_observed_fraction"] > 0.95


def test_a_run_that_keeps_sea_ice_says_so(runs: dict[str, Ran]) -> None:
    (row,) = runs["kept"].area().to_dict("records")
    assert row["area_advance_km2"] == pytest.approx((EAST - WEST) * DRIFT_M / 1e6, rel=0.05)
    assert set(flags(runs["kept"])) == {"sea_ice_possible"}
    (front,) = runs["kept"].table("glacier_front").to_pylist()
    assert front["front_change_m"] == pytest.approx(DRIFT_M, rel=0.1)


def test_open_water_behind_sea_ice_is_a_retreat(runs: dict[str, Ran]) -> None:
    (row,) = runs["back"].area().to_dict("records")
    assert row["area_km2"] == pytest.approx((EAST - WEST) * (HEAD - SHORE - RETREAT) / 1e6, rel=0.005)
    (front,) = runs["back"].table("glacier_front").to_pylist()
    assert front["front_change_m"] == pytest.approx(-RETREAT, abs=RES_M / 3) and front["water_source"] == "image"


def test_releases_with_removed_ice_verify(runs: dict[str, Ran]) -> None:
    for ran in runs.values():
        assert verify_release(ran.prepared.run.release_url) == []
