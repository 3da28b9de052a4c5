"""Sentinel-2, Sentinel-1 and an elevation model in one tile store, and one run that reads all three of them.

The debris rule over Khumbu Glacier, a test site: nothing is fitted on it, and how well the rule does is printed and not
asserted. Asserted is that the sensors meet where they should, and that each but the optical one may be missing: in a
block, or in the whole run.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import yaml
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from core.config import load_config
from core.grid import Block, Lattice, PixelWindow, Zone
from core.ledger import Ledger
from core.mosaic import Mosaic
from core.release import verify_release
from core.stitch import NOT_OBSERVED, decode
from core.tiles import TileStore
from jobs.run import run_config
from tests.integration.conftest import Ran
from tests.stac_archive import HMA, SEASONS, Archive, build_archive, s1_id, s2_id

CONFIGS = Path(__file__).resolve().parents[2] / "jobs" / "configs"
ZONE, RES_M = Zone("utm45n"), 20
SPANS = {"winter": "01-01/02-28", "spring": "03-15/05-15", "summer": "06-15/08-31", "autumn": None}


@pytest.fixture(scope="module")
def archive(samples: Path, tmp_path_factory: pytest.TempPathFactory, s3_url: str) -> Archive:
    return build_archive(samples, tmp_path_factory.mktemp("archive"), f"{s3_url}/khumbu", clouded="")


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all of it."""
    return tmp_path_factory.mktemp("tiles")


@pytest.fixture(scope="module")
def outlines(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outlines around Everest, cut to the frame of the scenes, so that their parts in it count as observed."""
    with rasterio.open(samples / "khumbu_s1_s2" / "rgi60_mask_256.tif") as d:
        frame = shapely.box(*d.bounds)
    table = gpd.read_file(samples / "everest_l7" / "rgi60_15_everest_outlines.gpkg").to_crs(4326)
    table = table.assign(geometry=table.intersection(frame))
    path = tmp_path_factory.mktemp("outlines") / "cut.gpkg"
    parts = table.explode(index_parts=False)
    parts = parts[(parts.geom_type == "Polygon") & (parts.to_crs(ZONE.epsg).area > 10_000)]
    parts[["RGIId", "O1Region", "geometry"]].dissolve("RGIId").reset_index().to_file(path)
    return path


def config(inventory: Path, folder: Path, **keys: Any) -> Path:
    made = {
        "name": "three",
        "year": 2024,
        "inventory": str(inventory),
        "output": "runs",
        "grid": {"res_m": RES_M},
        "sensors": {name: {"res_m": RES_M} for name in ("optical", "sar_sigma0", "dem")},
        "execution": {"workers": 1},
        **keys,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "three.yaml"
    path.write_text(yaml.safe_dump(made, sort_keys=False))
    return path


def of_archive(archive: Archive, season: str, *sensors: str) -> dict[str, Any]:
    """Searched: optical and elevation. Listed: radar, since no product is σ0 on a map."""
    catalog = archive.static_in_bucket
    sources = {
        "optical": {"product": "sentinel2_l2a", "catalog": catalog, "season": SPANS[season], "harmonise": "none"},
        "dem": {"product": "copernicus_dem_30", "catalog": catalog, "collection": HMA},
    }
    files = [
        {"path": path, "bands": {f"{key}_db": 1}, "linear_power": True}
        for key, path in ((k, archive.cog(f"{s1_id(season)}/{k}")) for k in ("vv", "vh"))
    ]
    scene = {"id": s1_id(season), "sensor": "sar_sigma0", "date": SEASONS[season], "files": files}
    return {
        "epoch": season,
        "sources": [sources[name] for name in sensors if name in sources],
        "scenes": [scene] if "sar_sigma0" in sensors else [],
    }


def run(path: Path, tiles: Path, model: str, *overrides: str) -> Ran:
    ran = Ran(*run_config(path, [f"tiles={tiles}", f"model.name={model}", *overrides]))
    assert ran.driven.clean
    return ran


def probability(ran: Ran, block: Block, res_m: int = RES_M) -> NDArray[np.uint8]:
    return Mosaic(ran.prepared.run.url).read_block(Lattice(ZONE, res_m), block)[0]


def sensors_of(ran: Ran, block: Block) -> set[str]:
    marker = Ledger(ran.prepared.run.objects).read("map", block.name)
    assert marker is not None
    return set(marker["sensors"])


def raster_window(path: Path, res_m: int) -> PixelWindow:
    with rasterio.open(path) as d:
        bounds = rasterio.warp.transform_bounds(d.crs, f"EPSG:{ZONE.epsg}", *d.bounds)
    return Lattice(ZONE, res_m).cover(bounds)


def on_lattice(path: Path, window: PixelWindow) -> NDArray[Any]:
    """Nearest pixel of the first band; 255 outside."""
    with (
        rasterio.open(path) as d,
        WarpedVRT(
            d,
            crs=f"EPSG:{ZONE.epsg}",
            transform=Lattice(ZONE, RES_M).transform(window),
            height=window.shape[0],
            width=window.shape[1],
            resampling=Resampling.nearest,
            nodata=255,
        ) as warped,
    ):
        return np.asarray(warped.read(1))


FRAME = Block.parse("utm45n-r227-c015")
EAST = Block.parse("utm45n-r227-c016")


@pytest.fixture(scope="module")
def runs(
    archive: Archive, outlines: Path, tiles: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Ran]:
    """(season, model) → run, over the same tiles."""
    out = {}
    for season in SEASONS:
        keys = of_archive(archive, season, "optical", "dem", "sar_sigma0")
        path = config(outlines, tmp_path_factory.mktemp(season), **keys)
        for model in ("band_ratio", "debris_rule"):
            out[season, model] = run(path, tiles, model)
    return out


def test_one_run_reads_three_sensors_and_says_so(runs: dict[tuple[str, str], Ran]) -> None:
    ran = runs["autumn", "debris_rule"]
    assert sensors_of(ran, FRAME) == {"optical", "dem", "sar_sigma0"}
    measured = ran.area().query("status == 'measured'")
    assert len(measured) == 8 and set(measured["sensors"]) == {"dem;optical;sar_sigma0"}
    # The optical scene dates the pixels, whatever else was looked at.
    assert set(measured["scenes"]) == {s2_id("autumn")}
    assert {str(d) for d in measured["scene_date_min"]} == {SEASONS["autumn"]}
    assert verify_release(ran.prepared.run.release_url) == []
    assert set(runs["autumn", "band_ratio"].area().query("status == 'measured'")["sensors"]) == {"optical"}


def test_all_three_lie_in_one_store_and_what_does_not_change_lies_there_once(
    runs: dict[tuple[str, str], Ran], tiles: Path
) -> None:
    store = TileStore(str(tiles))
    for season in SEASONS:
        marker = store.marker(season, "optical", FRAME)
        assert marker is not None and [s.id for s in marker.scenes] == [s2_id(season)]
        radar = store.marker(season, "sar_sigma0", FRAME)
        assert radar is not None and [s.id for s in radar.scenes] == [s1_id(season)]
        assert store.marker(season, "dem", FRAME) is None
    static = store.marker("static", "dem", FRAME)
    assert static is not None and [s.id for s in static.scenes] == [HMA]


def test_debris_only_ever_adds_to_clean_ice_and_only_where_there_is_an_elevation(
    runs: dict[tuple[str, str], Ran], tiles: Path
) -> None:
    store, window = TileStore(str(tiles)), Lattice(ZONE, RES_M).block_window(FRAME)
    known = store.read("static", ZONE, "dem", window, ("slope_deg",)).observed
    for season in SEASONS:
        ice, both = (probability(runs[season, m], FRAME) for m in ("band_ratio", "debris_rule"))
        np.testing.assert_array_equal(ice == NOT_OBSERVED, both == NOT_OBSERVED)
        assert (both >= ice).all()
        np.testing.assert_array_equal(both[~known], ice[~known])
        more = (both > ice) & known
        assert more.sum() > 1000


def test_how_well_the_rules_do_is_printed(
    runs: dict[tuple[str, str], Ran], samples: Path, tiles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against outlines of RGI 6.0, which are older and generous with debris. Snow counts as ice in every season."""
    path = samples / "khumbu_s1_s2" / "rgi60_mask_256.tif"
    window, block = raster_window(path, RES_M), Lattice(ZONE, RES_M).block_window(FRAME)
    assert window.intersect(block) == window
    wanted = on_lattice(path, window)
    sloped = TileStore(str(tiles)).read("static", ZONE, "dem", window, ("slope_deg",)).observed
    lines = ["season   model         IoU (frame)  IoU (with DEM)  precision  recall"]
    glacier, inside = wanted == 1, wanted != 255
    for (season, model), ran in runs.items():
        # Beyond the buffer around the outlines nothing is mapped, and nothing there is a glacier.
        mapped = probability(ran, FRAME)[window.slices(block)]
        assert (mapped[inside & glacier] != NOT_OBSERVED).mean() > 0.9
        maps = {model: decode(mapped) >= 0.5}
        if model == "debris_rule":  # what the outlines alone are worth: all that is mapped at all
            maps["buffer"] = mapped != NOT_OBSERVED
        for name, found in maps.items():
            hits = np.count_nonzero(found & glacier & inside)
            precision, recall = hits / np.count_nonzero(found & inside), hits / np.count_nonzero(glacier & inside)
            both = iou(found, glacier, inside), iou(found, glacier, inside & sloped)
            assert 0 < both[0] < 1
            lines.append(f"{season:8s} {name:12s} {both[0]:12.3f} {both[1]:15.3f} {precision:10.3f} {recall:7.3f}")
    with capsys.disabled():
        print("\n" + "\n".join(lines))


def iou(found: NDArray[np.bool_], wanted: NDArray[np.bool_], inside: NDArray[np.bool_]) -> float:
    return np.count_nonzero(found & wanted & inside) / np.count_nonzero((found | wanted) & inside)


def test_without_radar_and_elevation_the_rule_is_the_band_ratio(
    archive: Archive, outlines: Path, tiles: Path, tmp_path: Path, runs: dict[tuple[str, str], Ran]
) -> None:
    path = config(outlines, tmp_path, **of_archive(archive, "autumn", "optical"))
    bare = run(path, tiles, "debris_rule")
    assert sensors_of(bare, FRAME) == {"optical"}
    np.testing.assert_array_equal(probability(bare, FRAME), probability(runs["autumn", "band_ratio"], FRAME))


def test_without_radar_the_rest_of_the_rule_maps(
    archive: Archive, outlines: Path, tiles: Path, tmp_path: Path, runs: dict[tuple[str, str], Ran]
) -> None:
    path = config(outlines, tmp_path, **of_archive(archive, "autumn", "optical", "dem"))
    without = run(path, tiles, "debris_rule")
    assert sensors_of(without, FRAME) == {"optical", "dem"}
    assert set(without.area().query("status == 'measured'")["sensors"]) == {"dem;optical"}
    full, less = (probability(r, FRAME) for r in (runs["autumn", "debris_rule"], without))
    assert (less >= full).all()
    assert 0 < np.count_nonzero(less > full) < np.count_nonzero(full != NOT_OBSERVED) / 4


def test_a_block_without_radar_maps_beside_one_that_has_it(archive: Archive, samples: Path, tmp_path: Path) -> None:
    """Landsat over both blocks, elevation over both, radar over the western one alone."""
    inventory = samples / "everest_l7" / "rgi60_15_everest_outlines.gpkg"
    listed = yaml.safe_load((CONFIGS / "everest_l7.yaml").read_text())["scenes"]
    for file in listed[0]["files"]:
        file["path"] = str(samples / "everest_l7" / Path(file["path"]).name)
    keys = of_archive(archive, "autumn", "dem", "sar_sigma0")
    grid = {"grid": {"res_m": 30}, "sensors": {n: {"res_m": 30} for n in ("optical", "dem", "sar_sigma0")}}
    radar = run(
        config(inventory, tmp_path / "radar", **{**keys, **grid, "scenes": listed + keys["scenes"]}),
        tmp_path / "tiles",
        "debris_rule",
    )
    blind = run(
        config(inventory, tmp_path / "blind", **{**keys, **grid, "scenes": listed}), tmp_path / "tiles", "debris_rule"
    )
    assert sensors_of(radar, FRAME) == {"optical", "dem", "sar_sigma0"}
    assert sensors_of(radar, EAST) == sensors_of(blind, EAST) == sensors_of(blind, FRAME) == {"optical", "dem"}
    np.testing.assert_array_equal(probability(radar, EAST, 30), probability(blind, EAST, 30))
    west, west_blind = (probability(r, FRAME, 30) for r in (radar, blind))
    lattice = Lattice(ZONE, 30)
    beyond = np.ones(west.shape, dtype=bool)
    frame = raster_window(samples / "khumbu_s1_s2" / "s1_autumn_2024_dB.tif", 30)
    beyond[frame.slices(lattice.block_window(FRAME))] = False
    np.testing.assert_array_equal(west[beyond], west_blind[beyond])
    assert (west != west_blind).any()
    assert "dem;optical" in set(radar.area().query("status == 'measured'")["sensors"])


def test_the_shipped_configuration_maps_what_the_archive_maps(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: dict[tuple[str, str], Ran]
) -> None:
    monkeypatch.setenv("ICEFLEET_SAMPLES", os.fspath(samples))
    path = CONFIGS / "khumbu_s1_s2_dem.yaml"
    assert load_config(path).model.name == "debris_rule"
    places = (f"output={tmp_path}/runs", "execution.workers=1")
    shipped = run(path, tmp_path / "tiles", "debris_rule", *places)
    assert verify_release(shipped.prepared.run.release_url) == []
    ours, theirs = (decode(probability(r, FRAME)) for r in (shipped, runs["autumn", "debris_rule"]))
    seen = np.isfinite(ours) & np.isfinite(theirs)
    assert (np.isfinite(ours) == np.isfinite(theirs)).mean() > 0.999  # outlines go on beyond the frame there
    assert ((ours >= 0.5) == (theirs >= 0.5))[seen].mean() > 0.995
