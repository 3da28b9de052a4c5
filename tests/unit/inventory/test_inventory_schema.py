"""One schema from many: names, units, codes and missing values."""

from __future__ import annotations

import pandas as pd
import pytest

from core.inventory.schema import is_outline_table, normalise

RGI6 = {
    "rgiid": "RGI60-06.00001",
    "glimsid": "G336215E64817N",
    "bgndate": "20029999",
    "enddate": "-9999999",
    "cenlon": -23.78,
    "cenlat": 64.81,
    "o1region": "6",
    "o2region": "1",
    "area": 4.903,
    "zmin": 630,
    "zmax": 1419,
    "zmed": 922,
    "slope": 15.0,
    "aspect": 9,
    "lmax": 3412,
    "termtype": 1,
    "surging": 9,
    "name": None,
}


def rows(*records: dict[str, object]) -> pd.DataFrame:
    return normalise(pd.DataFrame(list(records)))[0]


def test_rgi6_columns_get_the_names_of_rgi7() -> None:
    row = rows(RGI6).iloc[0]
    assert (row.rgi_id, row.o1region, row.o2region, row.version) == ("RGI60-06.00001", "06", "06-01", "6.0")
    assert (row.area_km2, row.zmed_m, row.lmax_m, row.term_type) == (4.903, 922, 3412, 1)
    assert row.src_date.isoformat() == "2002-07-01"
    assert row.src_date_precision == "year"


def test_an_aspect_of_nine_degrees_is_not_missing_but_a_surge_type_of_nine_is() -> None:
    row = rows(RGI6).iloc[0]
    assert row.aspect_deg == 9
    assert row.surge_type is pd.NA


def test_sentinels_become_missing_values() -> None:
    gaps = {
        "zmin": -999,
        "zmax": -9999,
        "zmed": -999,
        "slope": -9,
        "aspect": -9,
        "lmax": -9,
        "area": -9999,
        "name": " ",
    }
    row = rows({**RGI6, **gaps, "termtype": 9}).iloc[0]
    numbers = row[["zmin_m", "zmax_m", "zmed_m", "slope_deg", "aspect_deg", "lmax_m", "area_km2", "zmean_m"]]
    assert numbers.isna().all()
    assert row.term_type is pd.NA
    assert row.glac_name is None


@pytest.mark.parametrize(("old", "new"), [(0, 0), (1, 1), (2, 2), (3, 0), (4, 0), (5, 3)])
def test_terminus_codes_of_rgi6_are_translated(old: int, new: int) -> None:
    assert rows({**RGI6, "termtype": old}).term_type.iloc[0] == new


def test_terminus_codes_of_rgi7_are_not() -> None:
    assert rows({"rgi_id": "RGI2000-v7.0-G-19-00001", "term_type": 3}).term_type.iloc[0] == 3


def test_the_terminus_of_rgi5_is_the_second_digit_of_its_type() -> None:
    got = rows({"rgiid": "RGI50-11.00648", "glactype": "0299"}).iloc[0]
    assert (got.term_type, got.version) == (2, "5.0")


def test_an_unknown_code_is_missing_and_noted() -> None:
    table, notes = normalise(pd.DataFrame([{**RGI6, "surging": 7}]))
    assert table.surge_type.iloc[0] is pd.NA
    assert [n.kind for n in notes] == ["unknown_code"]


@pytest.mark.parametrize(
    ("rgi_id", "region", "version"),
    [
        ("RGI60-11.00897", "11", "6.0"),
        ("RGI50-01.00001", "01", "5.0"),
        ("RGI2000-v7.0-G-02-00003", "02", "7.0-G"),
        ("RGI2000-v7.0-C-16-00004", "16", "7.0-C"),
        ("mine-1", "00", "unknown"),
    ],
)
def test_region_and_version_come_from_the_id(rgi_id: str, region: str, version: str) -> None:
    row = rows({"rgi_id": rgi_id}).iloc[0]
    assert (row.o1region, row.version, row.o2region) == (region, version, None)


def test_glims_area_is_square_metres_and_its_zero_elevations_are_missing() -> None:
    glims = {
        "glac_id": "G238149E48785N",
        "anlys_id": 1013152.0,
        "line_type": "glac_bound",
        "area": 6110548.0,
        "db_area": 6.05577,
        "min_elev": 0.0,
        "mean_elev": 0.0,
        "max_elev": 0.0,
        "length": 0.0,
        "gtng_o1reg": 2.0,
        "gtng_o2reg": 4.0,
    }
    row = rows(glims).iloc[0]
    assert (row.rgi_id, row.glims_id, row.version) == ("G238149E48785N", "G238149E48785N", "glims")
    assert (row.o1region, row.o2region) == ("02", "02-04")
    assert row.area_km2 == pytest.approx(6.110548)
    assert row[["zmin_m", "zmean_m", "zmax_m", "lmax_m"]].isna().all()


def test_an_area_of_unknown_unit_is_not_taken() -> None:
    assert rows({"id": 1, "area": 5.0}).area_km2.isna().all()


def test_padding_of_old_tables_is_no_part_of_a_name() -> None:
    names = ["Kesselwandferner                  À", "À", " Blågnípujökull ", "N 2"]
    got = rows(*({"rgi_id": str(i), "name": n} for i, n in enumerate(names))).glac_name.tolist()
    assert got == ["Kesselwandferner", None, "Blågnípujökull", "N 2"]


def test_a_region_that_contradicts_the_id_is_noted() -> None:
    table, notes = normalise(pd.DataFrame([{"rgi_id": "RGI60-11.00897", "o1region": "12"}]))
    assert table.o1region.iloc[0] == "12"
    assert notes[0].kind == "region_mismatch"


def test_region_outlines_of_the_rgi_are_no_glaciers() -> None:
    assert not is_outline_table(["o1region", "full_name", "long_code"])
    assert is_outline_table(["RGIId", "full_name"])
