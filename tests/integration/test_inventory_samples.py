"""Real inventories: counts and areas as their publishers state them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from core.inventory import Inventory, area_km2, read_inventory, split_antimeridian


def read(samples: Path, *names: str) -> Inventory:
    return read_inventory([str(samples / name) for name in names], None)


def test_iceland_has_its_568_glaciers_and_the_area_of_the_rgi(samples: Path) -> None:
    got = read(samples, "iceland/rgi62_06_iceland.gpkg")
    glaciers = got.glaciers
    assert len(glaciers) == 568
    assert glaciers.area_km2.sum() == pytest.approx(11_059.7, abs=0.01)
    assert glaciers.geometry_area_km2.sum() == pytest.approx(11_059.7, rel=1e-6)
    assert (abs(glaciers.geometry_area_km2 / glaciers.area_km2 - 1) < 0.01).all()
    assert glaciers.o1region.unique().tolist() == ["06"]
    assert set(glaciers.zone) == {"utm27n", "utm28n"}
    assert (glaciers.src_date_precision == "year").sum() == 352 + 60
    assert glaciers.problem.isna().all()
    assert got.report.findings == ()


def test_the_alps_read_alike_from_rgi_5_and_7(samples: Path) -> None:
    old = read(samples, "oetztal/rgi50_11_oetztal.gpkg").glaciers
    assert (len(old), set(old.version)) == (20, {"5.0"})
    assert set(old.src_date) == {dt.date(2003, 7, 15)}
    assert set(old.term_type) == {0}
    assert sorted(set(old.glac_name.dropna())) == ["Hintereisferner", "Kesselwandferner", "Vernagtferner"]

    new = read(samples, "oetztal/rgi70G_11_hef_complex.gpkg").glaciers
    assert (len(new), set(new.version), set(new.o2region)) == (23, {"7.0-G"}, {"11-01"})
    assert new.term_type.isna().all()
    assert set(new.src_date_precision) == {"day"}
    np.testing.assert_allclose(new.geometry_area_km2, new.area_km2, rtol=1e-9)

    complexes = read(samples, "oetztal/rgi70C_11_hef.gpkg").glaciers
    assert complexes.version.tolist() == ["7.0-C"]
    assert complexes.area_km2.sum() == pytest.approx(new.area_km2.sum(), rel=1e-9)


def test_a_folder_with_glaciers_and_complexes_is_warned_about(samples: Path) -> None:
    got = read(samples, "oetztal")
    assert len(got.glaciers) == 44
    assert got.report.of_kind("mixed_versions")


def test_everest_has_86_glaciers_of_three_dates(samples: Path) -> None:
    got = read(samples, "everest_l7/rgi60_15_everest_outlines.gpkg")
    assert len(got.glaciers) == 86
    assert got.glaciers.src_date.value_counts()[dt.date(2000, 10, 30)] == 10
    assert len(got.report.of_kind("area_mismatch")) == 2  # two glaciers of 0.02–0.03 km², rounded to 0.001


def test_the_18_invalid_outlines_of_exploradores_are_repaired_without_loss(samples: Path) -> None:
    got = read(samples, "exploradores/rgi60_17_exploradores.gpkg")
    assert len(got.glaciers) == 47
    assert len(got.report.of_kind("repaired")) == 18
    assert got.glaciers.geometry.is_valid.all()
    assert (abs(got.glaciers.geometry_area_km2 / got.glaciers.area_km2 - 1) < 0.01).all()


def test_glims_outlines_of_mount_baker_are_read(samples: Path) -> None:
    glaciers = read(samples, "baker/baker_glims.geojson").glaciers
    assert len(glaciers) == 7
    assert set(glaciers.version) == {"glims"}
    assert set(glaciers.o2region) == {"02-04"}
    assert set(glaciers.src_date) == {dt.date(2015, 9, 9)}
    assert "Easton Glacier" in set(glaciers.glac_name)
    assert glaciers.zmin_m.isna().all()
    np.testing.assert_allclose(glaciers.area_km2, glaciers.geometry_area_km2, rtol=0.001)


def test_the_low_latitudes_lie_in_both_hemispheres(samples: Path) -> None:
    glaciers = read(samples, "low_latitudes/rgi70C_16_low_latitudes_simplified.gpkg").glaciers
    assert len(glaciers) == 1742
    assert set(glaciers.o1region) == {"16"}
    assert {zone[-1] for zone in glaciers.zone} == {"n", "s"}
    assert len(set(glaciers.zone)) == 9


def test_a_whole_region_comes_back_from_the_antimeridian(samples: Path) -> None:
    iceland = read(samples, "iceland/rgi62_06_iceland.gpkg").glaciers
    moved = iceland.geometry.translate(xoff=198.5).to_numpy()  # Vatnajökull across 180°
    parts = split_antimeridian(moved)
    assert (np.array([p.bounds for p in parts])[:, [0, 2]] <= 180).all()
    assert (np.array([p.geom_type for p in parts]) == "MultiPolygon").any()
    np.testing.assert_allclose(area_km2(parts), iceland.geometry_area_km2, rtol=1e-6)


def test_all_samples_are_one_inventory_with_unique_ids(samples: Path) -> None:
    names = [str(p.relative_to(samples)) for p in sorted([*samples.rglob("*.gpkg"), *samples.rglob("*.geojson")])]
    got = read(samples, *names)
    assert got.glaciers.rgi_id.is_unique
    assert sum(n for _, n in got.report.outlines_read) == len(got.glaciers) + got.report.left_out
