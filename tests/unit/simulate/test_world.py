"""What the simulated world promises to everybody who runs or tests on it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.features import rasterize

from core.config import Config, SceneConfig
from core.grid import Lattice, Zone, home_zones
from core.simulate import SITES, Site, build_world
from tests.unit.simulate.conftest import Built

RGI7 = (
    *("rgi_id", "o1region", "o2region", "glims_id", "anlys_id", "subm_id", "src_date", "cenlon", "cenlat", "utm_zone"),
    *("area_km2", "primeclass", "conn_lvl", "surge_type", "term_type", "glac_name", "is_rgi6", "termlon", "termlat"),
    *("zmin_m", "zmax_m", "zmed_m", "zmean_m", "slope_deg", "aspect_deg", "aspect_sec", "dem_source", "lmax_m"),
    "geometry",
)


def images(config: Config) -> list[SceneConfig]:
    """The optical scenes; the elevation models come after those of their site."""
    return [scene for scene in config.scenes if scene.sensor == "optical"]


def test_the_world_has_enough_glaciers_regions_and_zones(built: Built) -> None:
    inventory = built.inventory
    assert built.world.n_glaciers == len(inventory) == len(built.truth) >= 60
    assert inventory.o1region.nunique() >= 3
    zones = set(home_zones(inventory.cenlon.to_numpy(), inventory.cenlat.to_numpy()))
    assert {"utm32n", "utm59s", "utm60n", "utm01n", "upss"} <= zones


def test_outlines_follow_the_schema_of_rgi_7(built: Built) -> None:
    inventory = built.inventory
    assert tuple(inventory.columns) == RGI7
    assert inventory.crs.to_epsg() == 4326
    assert inventory.rgi_id.is_unique and inventory.rgi_id.str.fullmatch(r"SIM2000-v1\.0-G-\d\d-\d{5}").all()
    assert (inventory.rgi_id.str[15:17] == inventory.o1region).all()
    area = inventory.to_crs({"proj": "cea"}).area / 1e6
    np.testing.assert_allclose(inventory.area_km2, area, rtol=1e-9)
    assert (inventory.zmin_m <= inventory.zmed_m).all() and (inventory.zmed_m <= inventory.zmax_m).all()
    assert set(inventory.term_type) == {0, 1}
    centre = shapely.points(inventory.cenlon, inventory.cenlat)
    # 1e-9°: the middle of a glacier was found in metres.
    assert shapely.dwithin(inventory.geometry.to_numpy(), centre, 1e-9).all()


def test_outlines_are_valid_and_do_not_overlap(built: Built) -> None:
    for table in (built.inventory, built.truth):
        shapes = table.geometry.to_numpy()
        assert shapely.is_valid(shapes).all()
        a, b = shapely.STRtree(shapes).query(shapes, predicate="intersects")
        shared = shapely.area(shapely.intersection(shapes[a[a < b]], shapes[b[a < b]]))
        # The antimeridian cut rounds once per ring, hence not exactly zero (degrees²).
        assert shared.max(initial=0.0) < 1e-12


def test_neighbours_share_their_divide_vertex_for_vertex(built: Built) -> None:
    alps = built.inventory[built.inventory.o1region == "11"].geometry.to_numpy()
    assert shapely.coverage_is_valid(alps)
    a, b = shapely.STRtree(alps).query(alps, predicate="touches")
    vertices = [set(map(tuple, shapely.get_coordinates(g))) for g in alps]
    common = [len(vertices[i] & vertices[j]) for i, j in zip(a, b, strict=True) if i < j]
    assert max(common) >= 10


def test_glaciers_have_retreated_within_their_old_outlines(built: Built) -> None:
    before, after = built.inventory.area_km2, built.truth.area_km2
    assert (after < before * 1.001).all()
    assert (after < 0.97 * before).mean() > 0.5
    # The long straight sides of old and new outlines bend differently in degrees; 0.1 % covers that.
    beyond = shapely.area(shapely.difference(built.truth.geometry.to_numpy(), built.inventory.geometry.to_numpy()))
    assert (beyond <= 1e-3 * shapely.area(built.inventory.geometry.to_numpy())).all()


def test_one_glacier_crosses_the_antimeridian_and_is_split_there(built: Built) -> None:
    (rgi_id,) = built.special("antimeridian").rgi_id
    shape = built.inventory.set_index("rgi_id").geometry[rgi_id]
    xmin, _, xmax, _ = shape.bounds
    assert shape.geom_type == "MultiPolygon" and xmin == -180.0 and xmax == 180.0
    widths = [part.bounds[2] - part.bounds[0] for part in shape.geoms]
    assert max(widths) < 1.0
    assert (built.inventory.bounds.minx >= -180.0).all() and (built.inventory.bounds.maxx <= 180.0).all()


def test_one_glacier_is_longer_than_a_block(built: Built) -> None:
    (rgi_id,) = built.special("larger_than_a_block").rgi_id
    row = built.inventory.set_index("rgi_id").loc[rgi_id]
    zone = Zone("upss")
    xmin, ymin, xmax, ymax = zone.project(np.array([row.geometry], dtype=object))[0].bounds
    assert max(xmax - xmin, ymax - ymin) > 31_000
    assert row.lmax_m > 31_000
    lattice = Lattice(zone, 60)
    assert len(list(lattice.blocks(lattice.cover((xmin, ymin, xmax, ymax))))) >= 2


def test_one_glacier_is_smaller_than_a_pixel_of_the_map(built: Built) -> None:
    tiny = built.special("smaller_than_a_pixel")
    assert len(tiny) == 1
    assert 0 < tiny.area_km2.iloc[0] < tiny.area_km2_inventory.iloc[0] < 0.0036


def test_the_hidden_glacier_is_seen_by_no_scene_and_a_partly_cloudy_one_by_the_second(built: Built) -> None:
    hidden = built.special("hidden")
    assert len(hidden) >= 1 and not hidden.observed.any() and (hidden.area_km2_inventory > 0.05).any()
    partly = built.special("partly_cloudy")
    assert len(partly) >= 1 and (partly.observed_fraction > 0.99).all()
    (first, second), lost = [s for s in images(built.config) if s.id.startswith("SIM-alps")], []
    shape = built.inventory.set_index("rgi_id").geometry[partly[partly.o1region == "11"].rgi_id.iloc[0]]
    shape = Zone("utm32n").project(np.array([shape], dtype=object))[0]
    for scene in (first, second):
        assert scene.mask is not None
        with rasterio.open(scene.mask.path) as file:
            invalid = np.isin(file.read(1), scene.mask.invalid)
            inside = rasterize([shape], out_shape=file.shape, transform=file.transform).astype(bool)
        lost.append(invalid[inside])
    assert 0.05 < lost[0].mean() < 0.95
    assert not (lost[0] & lost[1]).any()


def test_some_tongues_are_under_debris(built: Built) -> None:
    covered = built.truth.area_debris_km2 / built.truth.area_km2.clip(lower=1e-9)
    assert (covered > 0.1).sum() >= 3
    assert (built.truth.area_debris_km2 <= built.truth.area_km2 * 1.0001).all()


def test_truth_areas_are_geodesic(built: Built) -> None:
    equal_area = built.truth.to_crs({"proj": "cea"}).area / 1e6
    np.testing.assert_allclose(built.truth.area_km2, equal_area, rtol=2e-4, atol=1e-6)


def test_the_configuration_loads_and_says_simulated(built: Built) -> None:
    config = built.config
    assert config.simulated and config.year == 2024 and config.grid.res_m == 60
    assert config.model.name == "band_ratio"
    text = built.world.config.read_text()
    assert text.startswith("# SIMULATED") and str(built.folder) not in text
    assert len(images(config)) == 2 * len(SITES)
    assert [s.sensor for s in config.scenes].count("dem") == len(SITES)
    dates = {s.id: s.date for s in images(config)}
    assert len(set(dates.values())) == len(dates)


def test_scenes_are_tagged_and_lie_off_the_lattice(built: Built) -> None:
    zones = [Zone(site.zone) for site in SITES for _ in site.scenes]
    for scene, zone in zip(images(built.config), zones, strict=True):
        assert scene.id.startswith("SIM-") and scene.mask is not None
        with rasterio.open(scene.files[0].path) as file, rasterio.open(scene.mask.path) as mask:
            assert file.crs.to_epsg() == zone.epsg and mask.crs == file.crs
            assert file.tags()["SIMULATED"] == mask.tags()["SIMULATED"] == "YES"
            assert file.count == 6 and set(file.dtypes) == {"uint16"} and file.nodata == 0
            assert file.profile["tiled"] and file.compression.name == "deflate"
            row, col = Lattice(zone, 60).to_pixels(np.array([file.transform.c]), np.array([file.transform.f]))
            assert abs(col - np.round(col)) > 0.01 and abs(row - np.round(row)) > 0.01
            stored, classes = file.read(), mask.read(1)
        assert set(np.unique(classes)) <= {0, 1, 2, 3}
        assert {1, 2, 3} <= set(np.unique(classes))
        assert ((stored == 0).all(axis=0) == (classes == 0)).all()


def test_the_classical_band_ratio_finds_clean_ice_and_misses_debris(built: Built) -> None:
    scene = next(s for s in built.config.scenes if "southern_alps" in s.id and s.date.month == 2)
    assert scene.mask is not None
    with rasterio.open(scene.files[0].path) as file, rasterio.open(scene.mask.path) as mask:
        bands = file.read().astype(np.float32) * scene.files[0].scale
        clear, transform = mask.read(1) == 1, file.transform
    mapped = (bands[2] > 2.0 * bands[4]) & (bands[0] > 0.1)
    here = built.truth[built.inventory.o1region.eq("18") & (built.truth.area_km2 > 0.1)]
    shapes = Zone("utm59s").project(here.geometry.to_numpy())
    numbers = np.arange(1, len(shapes) + 1)
    number = rasterize(zip(shapes, numbers, strict=True), out_shape=mapped.shape, transform=transform, dtype="int32")
    count = np.bincount(number.ravel(), minlength=len(shapes) + 1)[1:]
    seen = np.bincount(number.ravel(), weights=clear.ravel(), minlength=len(shapes) + 1)[1:] / count
    ice = np.bincount(number.ravel(), weights=(mapped & clear).ravel(), minlength=len(shapes) + 1)[1:] / count
    debris = (here.area_debris_km2 / here.area_km2).to_numpy()
    clean = (debris < 0.02) & (seen == 1.0)
    assert clean.sum() >= 3 and np.median(ice[clean]) > 0.95
    dirty = (debris > 0.15) & (seen == 1.0)
    assert dirty.any() and (ice[dirty] < 1.0 - 0.5 * debris[dirty]).all()
    assert (mapped & clear & (number == 0)).sum() > 500  # snow patches and lakes, as in reality


@pytest.fixture(scope="module")
def small_site() -> Site:
    chukotka = next(s for s in SITES if s.on_antimeridian)
    return replace(chukotka, name="small", px=320, above_ela=0.1)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.tif")):
        with rasterio.open(path) as file:
            digest.update(file.read().tobytes())
    for name in ("outlines.gpkg", "truth.parquet"):
        path = folder / name
        table = gpd.read_parquet(path) if name.endswith("parquet") else gpd.read_file(path)
        digest.update(table.drop(columns="geometry").to_csv().encode())
        digest.update(b"".join(shapely.to_wkb(table.geometry.to_numpy())))
    return digest.hexdigest()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path, small_site: Site) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        build_world(tmp_path / name, seed, sites=[small_site])
    assert _digest(tmp_path / "a") == _digest(tmp_path / "b") != _digest(tmp_path / "c")
    assert (tmp_path / "a/demo.yaml").read_bytes() == (tmp_path / "b/demo.yaml").read_bytes()


def test_progress_goes_from_nothing_to_everything(tmp_path: Path, small_site: Site) -> None:
    heard: list[tuple[str, float]] = []
    build_world(tmp_path, 3, progress=lambda text, share: heard.append((text, share)), sites=[small_site])
    shares = [share for _, share in heard]
    assert shares[0] == 0.0 and shares[-1] == 1.0 and shares == sorted(shares)
    assert all("simulated" in text for text, _ in heard)
