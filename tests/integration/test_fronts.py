"""Fronts on real shapes and SIMULATED seas: Columbia Glacier, mélange, and the training on drawn fronts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import yaml
from rasterio.warp import Resampling, reproject

from benchmarks.fronts import GLACIERS, PIXEL_M, probabilities, train
from core.coverage import coverage_share
from core.grid import Lattice, PixelWindow, Zone
from core.measure.front import facing, front_line, water_of_classes, water_of_elevation
from core.measure.front_error import front_distances, mean_distance_error
from core.measure.front_position import flow_axis, front_position
from core.models.checkpoint import load_checkpoint
from core.release import verify_release
from core.simulate.chips import simulate_chip
from core.train.chip import Chip
from core.train.chipfile import load_chip
from core.train.classes import LAKE, MELANGE, OCEAN
from core.train.fronts import front_scenes
from tests.integration.conftest import Ran, Run

RES_M = 30


@dataclass(frozen=True)
class Columbia:
    outline: shapely.Polygon
    lattice: Lattice
    window: PixelWindow
    ice: np.ndarray
    elevation_m: np.ndarray


@pytest.fixture(scope="module")
def columbia(samples: Path) -> Columbia:
    """The outline of 2009, its oracle mask, and the elevation model (100 m, sea at 0) on the same pixels."""
    zone = Zone("utm06n")
    lattice = Lattice(zone, RES_M)
    shape = gpd.read_file(samples / "columbia" / "rgi60_01_columbia.gpkg").geometry.to_numpy()
    outline = zone.project(shapely.force_2d(shape))
    window = lattice.cover(tuple(shapely.bounds(outline[0]))).pad(3)
    elevation = np.full(window.shape, np.nan, np.float32)
    with rasterio.open(samples / "columbia" / "dem_Columbia.tif") as source:
        reproject(
            rasterio.band(source, 1),
            elevation,
            src_crs=source.crs.to_wkt(),
            dst_crs=zone.crs.to_wkt(),
            dst_transform=lattice.transform(window),
            dst_nodata=np.nan,
            resampling=Resampling.bilinear,
        )
    return Columbia(outline[0], lattice, window, coverage_share(outline, lattice, window), elevation)


def test_the_terminus_of_columbia_is_found_within_two_pixels_of_the_front_of_its_outline(columbia: Columbia) -> None:
    """Its own front: the outline where ground no higher than 20 m lies within 60 m straight out of it."""
    c = columbia
    sea = water_of_elevation(c.elevation_m, c.ice)
    found = front_line(c.ice, sea, c.lattice, c.window, own=c.ice)
    own = facing(c.outline, sea, c.lattice, c.window)
    assert found is not None and own is not None and found.geom_type == "LineString"
    assert front_distances(found, own, 10).max() < 2 * RES_M
    assert mean_distance_error(found, own, 10) < 0.2 * RES_M
    moved = front_position(found, own, flow_axis(own, c.outline))
    assert moved is not None and abs(moved.change_m) < 0.2 * RES_M and moved.spanned > 0.98


def test_the_front_of_columbia_is_where_its_outline_meets_the_bay(columbia: Columbia) -> None:
    """By another way than `facing`: what of the outline is near the level sea of the elevation model, whose cells of
    100 m smear the cliff."""
    c = columbia
    found = front_line(c.ice, water_of_elevation(c.elevation_m, c.ice), c.lattice, c.window, own=c.ice)
    row, col = np.nonzero((np.abs(c.elevation_m) < 0.5) & (c.ice == 0))
    bay = shapely.union_all(c.lattice.boxes_m(row + c.window.row0, col + c.window.col0, 1))
    near = shapely.intersection(c.outline.exterior, shapely.buffer(bay, 200))
    assert mean_distance_error(found, near, 10) < 2 * RES_M
    assert found.length == pytest.approx(near.length, rel=0.2)


@pytest.fixture(scope="module")
def fjord() -> Chip:
    """A SIMULATED fjord with mélange before its fronts."""
    chip = simulate_chip(5, 384, 60, "fjords")
    assert chip.classes is not None and min((chip.classes == c).sum() for c in (OCEAN, MELANGE)) > 1000
    return chip


def test_simulated_melange_and_sea_ice_are_on_the_other_side_of_the_front(fjord: Chip) -> None:
    lattice, window = Lattice(Zone("utm18s"), 60), PixelWindow(150_000, 150_384, 8_000, 8_384)
    assert fjord.classes is not None
    own = (fjord.glacier >= 0.5).astype(np.float32)
    sea = water_of_classes(fjord.classes) & (fjord.classes != LAKE)
    truth = front_line(fjord.glacier, sea, lattice, window, own=own)
    assert truth is not None and truth.length > 40 * 60
    # What a model of ice alone makes of it: all mélange is mapped as glacier.
    drifting = fjord.classes == MELANGE
    mapped = np.where(drifting, np.float32(0.9), fjord.glacier)
    found = front_line(mapped, sea, lattice, window, own=own)
    assert found is not None
    assert mean_distance_error(found, truth, 20) < 0.25 * 60
    wrong = front_line(mapped, sea & ~drifting, lattice, window, own=own)
    assert wrong is None or mean_distance_error(wrong, truth, 20) > 60
    row, col = lattice.to_pixels(*shapely.get_coordinates(found).T)
    r, c = row.astype(int) - window.row0, col.astype(int) - window.col0
    around = np.stack([own[np.clip(r + i, 0, 383), np.clip(c + j, 0, 383)] for i in (-1, 0, 1) for j in (-1, 0, 1)])
    assert (around.max(axis=0) == 1).all()


def test_a_training_on_drawn_fronts_runs_and_never_sees_the_glacier_that_is_kept_out(
    samples: Path, tmp_path: Path
) -> None:
    """Twenty steps show that the way is open; figures come from `python -m benchmarks.fronts`."""
    folder = samples / "greenland_fronts"
    checkpoint = train(folder, "kangerlussuaq", tmp_path, 20)
    chips = [load_chip(path) for path in sorted(tmp_path.glob("*/*.npz"))]
    seen = {chip.origin.split(":")[0].removeprefix("greenland_fronts-") for chip in chips}
    assert seen == {row for name in ("jakobshavn", "sverdrup") for row in GLACIERS[name]}
    assert len(chips) == 2 * 78 + 5 and not any(row in seen for row in GLACIERS["kangerlussuaq"])
    card = load_checkpoint(checkpoint).card
    assert set(card.metrics["validation"]) == {"greenland_fronts-021007", "greenland_fronts-024006"}
    assert not card.simulated and card.res_m == (round(PIXEL_M),)
    scenes = front_scenes(folder, GLACIERS["kangerlussuaq"])[:2]
    found = probabilities(checkpoint, scenes)
    assert all(p.shape == (288, 192) and np.isfinite(p).all() for p in found.values())


@pytest.fixture(scope="module")
def columbia_run(run: Run, samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The whole job on the outline of 2009, its elevation model as the only sensor; the map is the outline itself."""
    folder = tmp_path_factory.mktemp("columbia")
    settings = {
        "name": "columbia",
        "year": 2009,
        "inventory": str(samples / "columbia" / "rgi60_01_columbia.gpkg"),
        "grid": {"res_m": RES_M, "buffer_m": 120},
        "model": {"name": "oracle"},
        "sensors": {"dem": {"res_m": RES_M}},
        "scenes": [
            {
                "id": "DEM",
                "sensor": "dem",
                "date": "2009-07-01",
                "files": [
                    {"path": str(samples / "columbia" / "dem_Columbia.tif"), "bands": {"elevation_m": 1}},
                ],
            }
        ],
    }
    (folder / "c.yaml").write_text(yaml.safe_dump(settings))
    return run(folder / "c.yaml", "execution.workers=1")


def test_the_job_publishes_the_front_of_columbia_where_its_outline_meets_the_bay(
    columbia: Columbia, columbia_run: Ran
) -> None:
    assert verify_release(columbia_run.prepared.run.release_url) == []
    (row,) = columbia_run.area().reset_index().to_dict("records")
    assert (row["term_type"], row["status"]) == (1, "measured")
    assert not any(word in row["flags"] for word in ("sea_ice", "removed_water"))
    assert row["area_km2"] == pytest.approx(row["area_inventory_km2"], rel=0.01)
    (front,) = columbia_run.table("glacier_front").to_pylist()
    assert front["rgi_id"] == row["rgi_id"] and (front["water"], front["water_source"]) == ("sea", "elevation")
    line = columbia.lattice.zone.project(np.array([shapely.from_wkb(front["geometry"])], dtype=object))[0]
    own = facing(
        columbia.outline, water_of_elevation(columbia.elevation_m, columbia.ice), columbia.lattice, columbia.window
    )
    assert front_distances(line, own, 10).max() < 2 * RES_M
    assert mean_distance_error(line, own, 10) < 0.2 * RES_M
    assert front["front_length_m"] == pytest.approx(own.length, rel=0.05) == row["front_length_m"]
    assert abs(front["front_change_m"]) < 0.2 * RES_M and front["front_observed_fraction"] > 0.98
