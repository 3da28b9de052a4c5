"""Archives end to end: a catalogue of the samples is searched, read over S3 and stored by the code of the public ones.

What arrives is compared with the sample files themselves, listed by hand; a catalogue as files and as an API must give
the same bytes; and what archives do wrong (429, faults, listings twice, clouds everywhere) ends in numbers or in words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import yaml

from core.config import load_config
from core.errors import ConfigError
from core.grid import Lattice, PixelWindow, Zone
from core.layout import RunLayout
from core.prepare import Prepared, prepare
from core.search import web
from core.sensors import sensor
from core.tiles import TileMarker, TileRead, TileStore
from jobs.run import execute
from tests import stac_archive
from tests.stac_archive import (
    ASTER,
    BARE,
    CLOUD,
    COP_TILE,
    HMA,
    S1_COLLECTION,
    S2,
    S2_COLLECTION,
    SEASONS,
    Archive,
    build_archive,
    s1_id,
    s2_id,
    write_cog,
)
from tests.stac_server import StacServer, stac_server
from tests.tiny_world import Called, icefleet

YEAR = "01-01/12-31"
S2_BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
QUANTUM = 1e-4  # of reflectance, in the counts of the archive as in those of a tile
MASKED = [0, 1, 3, 8, 9, 10]


@pytest.fixture(scope="module")
def archive(samples: Path, tmp_path_factory: pytest.TempPathFactory, s3_url: str) -> Archive:
    return build_archive(samples, tmp_path_factory.mktemp("archive"), f"{s3_url}/archive")


@pytest.fixture
def stac(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> Iterator[StacServer]:
    """The archive as an API, towards which nobody waits long."""
    monkeypatch.setattr(web, "BACKOFF_S", 0.01)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with stac_server() as server:
        server.items = archive.by_collection()
        yield server


@dataclass(frozen=True)
class Ingested:
    """A store that was filled."""

    prepared: Prepared

    @property
    def store(self) -> TileStore:
        return TileStore(self.prepared.run.config.tiles)

    def markers(self, name: str) -> dict[str, TileMarker]:
        return self.store.markers(self.prepared.run.config.epoch_of(name), name)

    def used(self, name: str) -> dict[str, str]:
        """Scene → day, of all blocks."""
        return {s.id: s.date.isoformat() for m in self.markers(name).values() for s in m.scenes}

    def rejected(self, name: str) -> dict[str, str]:
        """Scene → reason; that of the last block that gives one."""
        return {r.id: r.reason for m in self.markers(name).values() for r in m.rejected}

    def read(self, name: str, over: Path | str) -> TileRead:
        """The tiles under a raster."""
        zone = self.prepared.plan.tile_blocks[0].zone
        lattice = Lattice(zone, self.prepared.run.resolution(name))
        return self.store.read(self.prepared.run.config.epoch_of(name), zone, name, window_of(lattice, over))

    def shards(self) -> dict[str, str]:
        """Key → SHA-256 of everything but the markers; of those, what is not drawn by lot."""
        objects = self.store._objects
        out = {}
        for key, _ in objects.list():
            data = objects.get(key)
            if key.startswith("commits/"):
                data = json.dumps({k: v for k, v in json.loads(data).items() if k != "write_id"}).encode()
            out[key] = hashlib.sha256(data).hexdigest()
        return out


def window_of(lattice: Lattice, raster: Path | str) -> PixelWindow:
    with rasterio.open(raster) as d:
        bounds = rasterio.warp.transform_bounds(d.crs, f"EPSG:{lattice.zone.epsg}", *d.bounds)
    return lattice.cover(bounds)


def khumbu(samples: Path, folder: Path, *, whole: bool = False, **keys: Any) -> Path:
    """A configuration over the outlines inside the frame, which lie in one block; whole: all 86 around Everest."""
    inventory = samples / "everest_l7" / "rgi60_15_everest_outlines.gpkg"
    if not whole:
        table = gpd.read_file(inventory).to_crs(4326)
        inventory = folder / "outlines.gpkg"
        folder.mkdir(parents=True, exist_ok=True)
        table[table.within(shapely.box(86.78, 27.95, 86.85, 28.0))].to_file(inventory)
    return write_config(folder, inventory, **keys)


def write_config(folder: Path, inventory: Path, **keys: Any) -> Path:
    made = {
        "name": "archive",
        "year": 2024,
        "inventory": str(inventory),
        "output": "runs",
        "tiles": "tiles",
        "grid": {"res_m": 30},
        "sensors": {
            "optical": {"res_m": 30, "composite": "median"},
            "sar_gamma0_asc": {"res_m": 30, "composite": "median"},
        },
        "execution": {"workers": 1},
        **keys,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "archive.yaml"
    path.write_text(yaml.safe_dump(made, sort_keys=False))
    return path


def ingest(path: Path, *overrides: str) -> Ingested:
    prepared = prepare(load_config(path, overrides))
    driven = execute(prepared, ingest_only=True, quiet=True)
    assert driven.clean
    return Ingested(prepared)


def sources(catalog: str) -> list[dict[str, Any]]:
    """Everything that the archive has over Khumbu."""
    return [
        {"product": "sentinel2_l2a", "catalog": catalog, "season": YEAR, "harmonise": "none"},
        {"product": "sentinel1_rtc_asc", "catalog": catalog, "season": YEAR},
        {"product": "copernicus_dem_30", "catalog": catalog, "collection": HMA},
        {"product": "landsat_c2_l2", "catalog": catalog, "season": YEAR, "years": [2000]},
    ]


def optical(catalog: str, **keys: Any) -> list[dict[str, Any]]:
    return [{"product": "sentinel2_l2a", "catalog": catalog, "harmonise": "none", **keys}]


@pytest.fixture(scope="module")
def searched(archive: Archive, samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    """Found in the catalogue in the bucket."""
    folder = tmp_path_factory.mktemp("searched")
    return ingest(khumbu(samples, folder, sources=sources(archive.static_in_bucket)))


@pytest.fixture(scope="module")
def listed(archive: Archive, samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    """The sample files themselves, by hand; of the archive only the classes, which the samples lack."""
    k = samples / "khumbu_s1_s2"
    scenes = [
        {
            "id": s2_id(season),
            "sensor": "optical",
            "date": SEASONS[season],
            # One file a band, as in the archive: what is void in one band says nothing of its neighbours in others.
            "files": [
                {"path": str(k / f"s2_{season}_2024.tif"), "bands": {band: number}, "nodata": 0}
                for number, band in enumerate(S2_BANDS, start=1)
            ],
            "mask": {"path": str(archive.folder / "cogs" / s2_id(season) / "scl.tif"), "invalid": MASKED},
        }
        for season in S2
    ]
    scenes += [
        {
            "id": s1_id(season),
            "sensor": "sar_gamma0_asc",
            "date": SEASONS[season],
            "files": [
                {"path": str(k / f"s1_{season}_2024_dB.tif"), "bands": {band: number}}
                for number, band in enumerate(("vv_db", "vh_db"), start=1)
            ],
        }
        for season in ("spring", "summer", "autumn")
    ]
    void = {"path": str(k / "hma-khumbu.tif"), "bands": {"elevation_m": 1}, "nodata": 0}
    scenes.append({"id": HMA, "sensor": "dem", "date": "2015-01-01", "files": [void]})
    return ingest(khumbu(samples, tmp_path_factory.mktemp("listed"), scenes=scenes))


# What arrives


def names_of(read: TileRead) -> np.ndarray:
    """The scene of every observed pixel."""
    return np.array([s.id for s in read.scenes])[read.scene[read.observed]]


@pytest.mark.parametrize(
    ("name", "file", "most"),
    [
        # Rounded twice: in the archive, and in the tile. A pixel between two differs by as much.
        ("optical", "s2_autumn_2024.tif", 1.51 * QUANTUM),
        ("sar_gamma0_asc", "s1_autumn_2024_dB.tif", 0.0101),
        ("dem", "hma-khumbu.tif", 1e-3),
    ],
)
def test_what_is_found_in_the_archive_is_the_sample(
    searched: Ingested, listed: Ingested, samples: Path, name: str, file: str, most: float
) -> None:
    found, wanted = (i.read(name, samples / "khumbu_s1_s2" / file) for i in (searched, listed))
    np.testing.assert_array_equal(found.observed, wanted.observed)
    assert found.observed.any() and np.isfinite(found.values[:, found.observed]).all()
    assert np.abs(found.values - wanted.values)[:, found.observed].max() <= most
    assert sorted(found.scenes) == sorted(wanted.scenes)
    # Of an even number of scenes the two around the median are equally near: the last digit decides.
    assert (names_of(found) == names_of(wanted)).mean() > 0.95
    shares = [{b: m.observed_fraction for b, m in i.markers(name).items()} for i in (searched, listed)]
    assert shares[0] == shares[1] and max(shares[0].values()) > 0


def test_scenes_keep_their_days_and_others_their_reasons(searched: Ingested) -> None:
    assert searched.used("optical") == {s2_id(s): SEASONS[s] for s in S2 if s != "summer"}
    assert searched.used("sar_gamma0_asc") == {s1_id(s): SEASONS[s] for s in ("spring", "summer", "autumn")}
    assert searched.used("dem") == {HMA: "2015-01-01"}
    optical, radar = searched.rejected("optical"), searched.rejected("sar_gamma0_asc")
    assert optical["LE71400412000304SGS00"].startswith("asset of band swir1 missing: has blue, green, nir08, red")
    assert optical[s2_id("summer")] == "all cloud over the glaciers of the block"
    assert radar[s1_id("winter")] == "sat:orbit_state is descending, not ascending"


def test_the_season_of_the_region_is_asked_for_where_no_other_is_named(
    archive: Archive, samples: Path, tmp_path: Path
) -> None:
    """Region 15: after the monsoon."""
    got = ingest(khumbu(samples, tmp_path, whole=True, sources=optical(archive.static_on_disk)))
    assert got.used("optical") == {s2_id("autumn"): SEASONS["autumn"]}
    empty = [m for m in got.markers("optical").values() if not m.scenes]
    assert empty and {m.observed_fraction for m in empty} == {0.0}


def test_the_same_catalogue_on_disk_in_a_bucket_and_as_an_api_gives_the_same_tiles(
    searched: Ingested, archive: Archive, samples: Path, stac: StacServer, tmp_path: Path
) -> None:
    wanted = searched.shards()
    for number, catalog in enumerate((archive.static_on_disk, stac.url)):
        got = ingest(khumbu(samples, tmp_path / str(number), sources=sources(catalog))).shards()
        assert got.keys() == wanted.keys()
        differing = [key for key in got if got[key] != wanted[key] and not key.startswith("recipes/")]
        # Reasons and recipes name the collection, which is the same; a catalogue's address is only in "no scene in".
        assert [key for key in differing if not key.startswith("commits/")] == []
    assert stac.count("/search", "POST") == 4  # one a source


def test_reflectance_is_brought_to_the_bands_of_landsat_8_where_that_is_wanted(
    archive: Archive, samples: Path, tmp_path: Path
) -> None:
    own, oli = (
        ingest(
            khumbu(samples, tmp_path / harmonise, sources=optical(archive.static_on_disk, harmonise=harmonise))
        ).read("optical", samples / "khumbu_s1_s2" / "s2_autumn_2024.tif")
        for harmonise in ("none", "oli")
    )
    red = sensor("optical").band_index("red")
    seen = own.observed & oli.observed
    line = 0.9765 * own.values[red] + 0.0009
    assert np.abs(oli.values[red] - line)[seen].max() <= 1.01 * QUANTUM


@pytest.mark.parametrize("season", ["autumn", "summer"])
def test_an_offset_that_the_metadata_lie_about_is_found_in_the_dark_pixels(
    archive: Archive, samples: Path, stac: StacServer, tmp_path: Path, season: str
) -> None:
    raster = samples / "khumbu_s1_s2" / "s2_autumn_2024.tif"
    honest, lying = archive.item(s2_id(season)), archive.item(s2_id(season))
    said = lying["properties"]
    said["earthsearch:boa_offset_applied"] = not said["earthsearch:boa_offset_applied"]
    reads = []
    for name, item in (("honest", honest), ("lying", lying)):
        stac.items = {S2_COLLECTION: [item]}
        path = khumbu(samples, tmp_path / name, sources=optical(stac.url, season=YEAR))
        reads.append(ingest(path, "sensors.optical.composite=first").read("optical", raster))
    assert reads[0].observed.any()
    np.testing.assert_array_equal(reads[1].observed, reads[0].observed)
    np.testing.assert_array_equal(reads[1].values, reads[0].values)


def test_an_elevation_model_of_patagonia_is_found_with_its_void(
    archive: Archive, samples: Path, tmp_path: Path
) -> None:
    raster = samples / "exploradores" / "AST_L1A_00303182012144228_Z.tif"
    inventory = samples / "exploradores" / "rgi60_17_exploradores.gpkg"
    model = {"name": "oracle"}
    source = {"product": "copernicus_dem_30", "catalog": archive.static_in_bucket, "collection": ASTER}
    scene = {"id": ASTER, "sensor": "dem", "date": "2012-03-18"}
    scene["files"] = [{"path": str(raster), "bands": {"elevation_m": 1}}]
    found = ingest(write_config(tmp_path / "found", inventory, model=model, sources=[source]))
    wanted = ingest(write_config(tmp_path / "listed", inventory, model=model, scenes=[scene]))
    a, b = (i.read("dem", raster) for i in (found, wanted))
    np.testing.assert_array_equal(a.values, b.values)
    np.testing.assert_array_equal(a.scene, b.scene)
    assert found.used("dem") == {ASTER: "2012-03-18"}
    heights = a.values[0][a.observed]
    assert 0.3 < a.observed.mean() < 1 and -50 < heights.min() < heights.max() < 4000


def test_a_copernicus_tile_is_found_by_name_and_its_absent_neighbours_are_sea(
    archive: Archive, samples: Path, tmp_path: Path
) -> None:
    """Mount Baker: of the tiles around it only one is in the archive."""
    raster = samples / "baker" / "cop30_baker.tif"
    source = {"product": "copernicus_dem_30", "catalog": f"{archive.url}/cop30"}
    inventory = samples / "baker" / "baker_glims.geojson"
    got = ingest(
        write_config(
            tmp_path, inventory, model={"name": "oracle"}, regions=["02"], grid={"res_m": 10}, sources=[source]
        )
    )
    assert COP_TILE in got.used("dem") and got.used("dem")[COP_TILE] == "2013-01-01"
    tile = got.read("dem", raster)
    with rasterio.open(raster) as d:
        stored, void = d.read(1), d.nodata
    lattice = Lattice(Zone("utm10n"), 30)
    with (
        rasterio.open(raster) as d,
        rasterio.vrt.WarpedVRT(
            d,
            crs="EPSG:32610",
            transform=lattice.transform(tile.window),
            width=tile.window.shape[1],
            height=tile.window.shape[0],
            resampling=rasterio.enums.Resampling.average,
        ) as warped,
    ):
        wanted = warped.read(1)
    both = tile.observed & (wanted != void)
    assert both.sum() > 0.5 * np.count_nonzero(stored != void) / 9
    # Interpolated once to seconds of arc and once to the lattice, against once: a few metres on steep ground.
    error = np.abs(tile.values[0] - wanted)[both]
    assert np.median(error) < 1 and np.quantile(error, 0.99) < 15
    seas = {i for i in got.used("dem") if i.startswith("ocean:")}
    assert seas and seas <= {"ocean:N48W123", "ocean:N47W122", "ocean:N47W123", "ocean:N49W122", "ocean:N49W123"}


# What goes wrong


def refused(path: Path, code: int, *words: str) -> Called:
    """`icefleet ingest` says why, in one line, and has stored nothing."""
    called = icefleet("ingest", path)
    assert called.code == code, called.err
    assert "Traceback" not in called.out + called.err
    assert all(word in called.err for word in words), called.err
    folder = path.parent
    assert not list(folder.glob("runs/*/plan/scenes/**/*.*")), "half of an answer is none"
    assert not list(folder.glob("runs/*/commits/*")) and not list(folder.glob("tiles/commits/*"))
    return called


def test_a_catalogue_that_is_busy_is_asked_again(samples: Path, stac: StacServer, tmp_path: Path) -> None:
    stac.fail(path="/search", times=2, status=429, headers={"Retry-After": "0"})
    got = ingest(khumbu(samples, tmp_path, sources=optical(stac.url)))
    assert list(got.used("optical")) == [s2_id("autumn")]
    assert stac.count("/search") == 2 + 1


def test_a_catalogue_that_fails_for_ever_stops_the_run_and_a_healed_one_lets_it_go_on(
    samples: Path, stac: StacServer, tmp_path: Path
) -> None:
    path = khumbu(samples, tmp_path, sources=optical(stac.url))
    stac.fail(path="/search", status=500)
    called = refused(path, 1, "TransientError", f"{stac.url}/search", "HTTP 500")
    assert len(called.err.strip().splitlines()) == 1
    stac.heal()
    assert icefleet("ingest", path).code == 0
    assert stac.count("/search") == web.TRIES + 1


def test_a_collection_that_is_not_there_is_named_with_the_nearest(
    samples: Path, stac: StacServer, tmp_path: Path
) -> None:
    path = khumbu(samples, tmp_path, sources=optical(stac.url, collection="sentinel-2-l2"))
    refused(path, 2, "sentinel-2-l2'", "did you mean 'sentinel-2-l2a'?")


def test_a_resumed_run_takes_what_the_first_one_found(samples: Path, stac: StacServer, tmp_path: Path) -> None:
    path = khumbu(samples, tmp_path, sources=optical(stac.url))
    run = prepare(load_config(path))
    run.write()
    assert run.run.objects.get_or_none(RunLayout.SEARCHED) is not None
    asked = stac.count("/")
    stac.items[S2_COLLECTION].clear()
    stac.fail(status=500)
    assert list(ingest(path).used("optical")) == [s2_id("autumn")]
    assert stac.count("/") == asked


def test_listings_of_one_acquisition_with_shifted_clocks_count_once(
    archive: Archive, samples: Path, stac: StacServer, tmp_path: Path
) -> None:
    older, other_clock = archive.item(s2_id("autumn")), archive.item(s2_id("autumn"))
    older["id"] = s2_id("autumn").replace("_0_", "_1_")
    older["properties"] |= {"s2:processing_baseline": "05.09", "datetime": "2024-10-15T04:52:38Z"}
    other_clock["id"] = s2_id("autumn").replace("_0_", "_2_")
    other_clock["properties"]["datetime"] = "2024-10-15T04:58:00Z"
    stac.items[S2_COLLECTION] += [older, other_clock]
    got = ingest(khumbu(samples, tmp_path, sources=optical(stac.url)))
    assert list(got.used("optical")) == [s2_id("autumn")]
    why = got.rejected("optical")
    assert why[older["id"]] == f"the same acquisition as {s2_id('autumn')}, processed earlier (05.09 < 05.10)"
    assert why[other_clock["id"]] == f"listed twice, 329 s apart from {s2_id('autumn')}"


@pytest.mark.parametrize("composite", ["first", "best_scene", "least_snow", "median"])
def test_a_season_of_nothing_but_cloud_ends_in_tiles_without_a_pixel(
    archive: Archive, samples: Path, stac: StacServer, tmp_path: Path, composite: str
) -> None:
    item = archive.item(s2_id("autumn"))
    item["assets"]["scl"]["href"] = archive.add(clouded(archive, tmp_path))
    stac.items = {S2_COLLECTION: [item]}
    path = khumbu(samples, tmp_path, sources=optical(stac.url))
    got = ingest(path, f"sensors.optical.composite={composite}")
    assert got.used("optical") == {}
    assert {m.observed_fraction for m in got.markers("optical").values()} == {0.0}
    why = got.rejected("optical")[s2_id("autumn")]
    assert why.startswith("masked (cloud" if composite == "first" else "all cloud over the glaciers")


def test_scenes_too_cloudy_by_their_metadata_are_not_even_opened(
    samples: Path, stac: StacServer, tmp_path: Path
) -> None:
    got = ingest(khumbu(samples, tmp_path, sources=optical(stac.url, season=YEAR, max_cloud_percent=40)))
    assert s2_id("summer") not in got.used("optical")
    assert got.rejected("optical")[s2_id("summer")] == "cloud 60 % of the scene, at most 40 % wanted"


def test_a_scene_whose_pixels_lie_elsewhere_gives_none_and_says_so(
    archive: Archive, samples: Path, stac: StacServer, tmp_path: Path
) -> None:
    """Its footprint covers the block, its files lie 100 km further east."""
    astray = archive.item(s2_id("autumn"))
    astray["id"], astray["properties"]["eo:cloud_cover"] = "S2A_45RVL_20241020_0_L2A", 0.0
    astray["properties"]["datetime"] = "2024-10-20T04:52:31Z"
    with rasterio.open(archive.folder / "cogs" / s2_id("autumn") / "scl.tif") as d:
        moved, shape, crs = rasterio.Affine.translation(1.0, 0.0) @ d.transform, d.shape, d.crs
    for key, asset in astray["assets"].items():
        kind = np.uint8 if key == "scl" else np.uint16
        values = np.full((1, *shape), BARE if key == "scl" else 3000, dtype=kind)
        asset["href"] = archive.add(write_cog(tmp_path / "astray" / f"{key}.tif", values, moved, crs, 0))
    stac.items = {S2_COLLECTION: [astray, archive.item(s2_id("autumn"))]}
    got = ingest(khumbu(samples, tmp_path, sources=optical(stac.url)))
    assert list(got.used("optical")) == [s2_id("autumn")]
    assert got.rejected("optical")[astray["id"]] == "outside the block"


def test_a_scene_whose_file_is_gone_is_left_out_with_the_reason(
    archive: Archive, samples: Path, stac: StacServer, tmp_path: Path
) -> None:
    broken = archive.item(s2_id("autumn"))
    broken["id"], broken["properties"]["eo:cloud_cover"] = "S2A_45RVL_20241020_0_L2A", 0.0
    broken["properties"]["datetime"] = "2024-10-20T04:52:31Z"
    broken["assets"]["red"]["href"] = archive.cog("nowhere")
    stac.items = {S2_COLLECTION: [broken, archive.item(s2_id("autumn"))]}
    got = ingest(khumbu(samples, tmp_path, sources=optical(stac.url)))
    assert list(got.used("optical")) == [s2_id("autumn")]
    why = got.rejected("optical")[broken["id"]]
    assert why.startswith("cannot be read: ") and "nowhere.tif" in why


def test_a_tile_folder_without_a_single_tile_is_a_wrong_address_and_no_ocean(
    archive: Archive, samples: Path, tmp_path: Path
) -> None:
    source = {"product": "copernicus_dem_30", "catalog": f"{archive.url}/cop31"}
    path = khumbu(samples, tmp_path, model={"name": "oracle"}, sources=[source])
    with pytest.raises(ConfigError, match="Copernicus_DSM_COG_10_N2"):
        ingest(path)


def clouded(archive: Archive, folder: Path) -> Path:
    """The classes of the autumn scene, all cloud."""
    with rasterio.open(archive.folder / "cogs" / s2_id("autumn") / "scl.tif") as d:
        values, transform, crs = np.full((1, *d.shape), CLOUD, dtype=np.uint8), d.transform, d.crs
    return write_cog(folder / "cloud.tif", values, transform, crs, 0, classes=True)


def test_the_archive_is_made_of_cloud_optimised_geotiffs(archive: Archive) -> None:
    paths = sorted(archive.folder.rglob("*.tif"))
    assert len(paths) == 4 * 7 + 4 * 2 + 2 + 4 + 1
    for path in paths:
        with rasterio.open(path) as d:
            assert d.profile["tiled"] and d.overviews(1) and d.profile["compress"] == "deflate"
            assert d.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert {i["collection"] for i in archive.items} == {S2_COLLECTION, S1_COLLECTION, HMA, ASTER, stac_archive.LANDSAT}
