"""The annual job on real outlines and real scenes: the shipped configurations."""

from __future__ import annotations

import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from core.release import verify_release
from tests.integration.conftest import Ran, Run

CONFIGS = Path(__file__).resolve().parents[2] / "jobs" / "configs"


@pytest.fixture(scope="session", autouse=True)
def _samples_in_the_environment(samples: Path) -> None:
    os.environ.setdefault("ICEFLEET_SAMPLES", str(samples))


@pytest.fixture(scope="session")
def everest(run: Run) -> Ran:
    return run(CONFIGS / "everest_l7.yaml", "execution.workers=1")


@pytest.fixture(scope="session")
def khumbu(run: Run) -> Ran:
    return run(CONFIGS / "khumbu.yaml", "execution.workers=1")


@pytest.mark.parametrize("name", ["everest", "khumbu"])
def test_all_outlines_have_one_row_and_those_outside_the_frame_say_why(
    name: str, request: pytest.FixtureRequest
) -> None:
    ran: Ran = request.getfixturevalue(name)
    area = ran.area()
    assert len(area) == 86 and area.index.is_unique
    assert set(area["status"]) <= {"measured", "below_minimum", "not_observed"}
    unseen = area[area["status"] == "not_observed"]
    assert len(unseen) and unseen["status_reason"].notna().all() and unseen["area_km2"].isna().all()
    assert (unseen["observed_fraction"] < 0.9).all()
    said = unseen["status_reason"].str.replace(
        r"only .* of the outline was observed, 90% are needed", "partly", regex=True
    )
    nothing = unseen["observed_fraction"] == 0
    assert (said[nothing] == "no valid observation inside the outline").all() and (said[~nothing] == "partly").all()
    assert verify_release(ran.prepared.run.release_url) == []


def test_everest_rows_name_the_day_of_the_scene_and_the_sensor(everest: Ran) -> None:
    # Calibrated, this October scene shows less bare ice than its raw counts did: many glaciers fall below the minimum.
    measured = everest.area().query("status in ('measured', 'below_minimum')")
    assert len(measured) > 60 and (measured["status"] == "measured").sum() > 30
    assert (
        {str(d) for d in measured["scene_date_min"]} == {"2000-10-30"} == {str(d) for d in measured["scene_date_max"]}
    )
    assert set(measured["sensors"]) == {"optical"}


def test_iceland_with_oracle_masks_gives_back_the_areas_of_the_inventory(run: Run) -> None:
    """At 30 m; `icefleet run jobs/configs/iceland_oracle.yaml` does the same at 10 m (see BENCHMARKS.md)."""
    ran = run(CONFIGS / "iceland_oracle.yaml", "grid.res_m=30")
    area = ran.area()
    assert len(area) == 568 and (area["status"] == "measured").all()
    assert area["area_inventory_km2"].sum() == pytest.approx(11_059.7, abs=0.05)
    assert area["area_km2"].sum() == pytest.approx(11_059.7, rel=1e-3)
    large = area[area["area_inventory_km2"] >= 1]
    assert ((large["area_km2"] / large["area_inventory_km2"] - 1).abs() < 0.01).all()
    assert verify_release(ran.prepared.run.release_url) == []
    neighbours_meet(area, gpd.read_file(ran.prepared.run.config.inventory[0]), 30, "EPSG:32627")


@pytest.mark.parametrize("product", ["rgi70C_11_hef", "rgi70G_11_hef_complex"])
def test_the_hintereisferner_complex_keeps_its_area(run: Run, samples: Path, product: str, tmp_path: Path) -> None:
    outlines = samples / "oetztal" / f"{product}.gpkg"
    config = tmp_path / "hef.yaml"
    config.write_text(
        f"name: hef\nyear: 2003\ninventory: {outlines}\ngrid: {{res_m: 10, buffer_m: 100}}\nmodel: {{name: oracle}}\n"
    )
    area = run(config, "execution.workers=1").area()
    stated = gpd.read_file(outlines).set_index("rgi_id")["area_km2"]
    assert area["area_km2"].sum() == pytest.approx(stated.sum(), rel=1e-3)
    large = stated[stated >= 1]
    assert (area.loc[large.index, "area_km2"] / large - 1).abs().max() < 0.01
    if len(area) > 1:
        neighbours_meet(area, gpd.read_file(outlines), 10, "EPSG:32632")


def test_the_parts_of_the_hintereisferner_complex_are_the_complex(run: Run, samples: Path, tmp_path: Path) -> None:
    """Glaciers with divides add up to the complex without: measured one by one, in one union."""
    areas = {}
    for product in ("rgi70G_11_hef_complex", "rgi70C_11_hef"):
        config = tmp_path / f"{product.lower()}.yaml"
        inventory = samples / "oetztal" / f"{product}.gpkg"
        config.write_text(
            f"name: hef\nyear: 2003\ninventory: {inventory}\ngrid: {{res_m: 10, buffer_m: 100}}\n"
            "model: {name: oracle}\n"
        )
        areas[product] = run(config, "execution.workers=1").area()
    glaciers, complexes = areas.values()
    assert len(glaciers) == 23 and len(complexes) == 1
    assert glaciers["area_km2"].sum() == pytest.approx(complexes["area_km2"].sum(), rel=1e-6)


def neighbours_meet(area: gpd.GeoDataFrame, inventory: gpd.GeoDataFrame, res_m: int, crs: str) -> None:
    """Mapped outlines overlap nowhere, add up to their union, and leave no gap along divides; where three meet or ice
    is narrower than a pixel, two pixels or so belong to no outline, because each is drawn by itself."""
    mapped = area.geometry.to_crs(crs).to_numpy()
    at, other = shapely.STRtree(mapped).query(mapped, predicate="intersects")
    pair = at < other
    assert pair.any()  # or nothing would be shown
    overlap = shapely.area(shapely.intersection(mapped[at[pair]], mapped[other[pair]]))
    assert overlap.max() < 1.0  # m²: published coordinates are rounded to a centimetre
    union = shapely.union_all(mapped)
    assert shapely.area(mapped).sum() == pytest.approx(union.area, rel=1e-9)
    known = shapely.union_all(shapely.make_valid(inventory.geometry.to_crs(crs).to_numpy()))
    holes = shapely.get_parts(shapely.difference(filled(union), union))
    # Beside a nunatak the map is off by a part of a pixel; a gap has glaciers alone around it and beneath.
    gaps = holes[shapely.area(shapely.difference(holes, known)) < 1.0]
    assert np.max(shapely.area(gaps), initial=0.0) < 2.5 * res_m**2
    assert shapely.area(gaps).sum() < 2e-5 * known.area


def filled(geometry: shapely.Geometry) -> shapely.Geometry:
    """Without its holes."""
    return shapely.union_all(shapely.polygons(shapely.get_exterior_ring(shapely.get_parts(geometry))))
