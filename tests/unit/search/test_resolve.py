"""STAC items of public archives resolved to exact files, scales, offsets and masks.

`tests/data/stac`: items trimmed to what is read. Those of Earth Search (Level 2A), LandsatLook's Landsat 7, Landsat 5
and the Copernicus Data Space follow published items; the others are put together from published names and keys, with
invented details (footprints, cloud, some times) where nothing depends on them.
"""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from core.config import SourceConfig
from core.search.acquisition import orbit_state_of
from core.search.resolve import Found, Unusable, resolve_item
from core.sensors.bandpass import to_oli
from core.sensors.products import product

DATA = Path(__file__).parents[2] / "data" / "stac"
API = "https://stac.example.org"
COLOURS = ("blue", "green", "red", "nir", "swir1", "swir2")


def item(name: str, **properties: Any) -> dict[str, Any]:
    """A stored item, some of its properties changed; None removes one."""
    found = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    found["properties"].update(properties)
    found["properties"] = {k: v for k, v in found["properties"].items() if v is not None}
    return found


def resolve(found: dict[str, Any], name: str, harmonise: str = "none", url: str = API) -> Found | Unusable:
    return resolve_item(found, product(name), SourceConfig(product=name, harmonise=harmonise), url)


def scene(found: dict[str, Any], name: str, harmonise: str = "none", url: str = API) -> Found:
    resolved = resolve(found, name, harmonise, url)
    assert isinstance(resolved, Found), resolved
    return resolved


def reason(found: dict[str, Any], name: str) -> str:
    resolved = resolve(found, name)
    assert isinstance(resolved, Unusable), resolved
    assert resolved.id == found.get("id", "")
    return resolved.reason


def by_band(found: Found) -> dict[str, Any]:
    return {band: file for file in found.scene.files for band in file.bands}


def file_names(found: Found) -> list[str]:
    return [by_band(found)[band].path.rsplit("/", 1)[-1] for band in by_band(found)]


# --- Sentinel-2


def test_earth_search_gives_s3_addresses_its_own_mask_and_the_time():
    found = scene(item("earth_search_s2_l2a"), "sentinel2_l2a")
    folder = "s3://sentinel-cogs/sentinel-s2-l2a-cogs/39/Q/TA/2023/6/S2A_39QTA_20230628_0_L2A/"
    names = dict(zip(COLOURS, ("B02", "B03", "B04", "B08", "B11", "B12"), strict=True))
    assert {band: file.path for band, file in by_band(found).items()} == {
        band: f"{folder}{name}.tif" for band, name in names.items()
    }
    assert {(f.scale, f.nodata, f.crs, f.linear_power) for f in found.scene.files} == {(1e-4, 0.0, "EPSG:32639", False)}
    assert found.scene.mask is not None
    assert found.scene.mask.path == f"{folder}SCL.tif"
    assert found.scene.mask.invalid == [0, 1, 3, 8, 9, 10]
    assert (found.scene.id, found.scene.sensor, found.scene.product) == (
        "S2A_39QTA_20230628_0_L2A",
        "optical",
        "sentinel2_l2a",
    )
    assert found.scene.date.isoformat() == "2023-06-28"
    assert found.acquired.isoformat() == "2023-06-28T07:24:41.632000+00:00"
    assert found.scene.cloud_percent == pytest.approx(4.025136)
    assert found.bounds == pytest.approx((48.15089, 17.97944, 49.20346, 18.98369), abs=1e-5)
    assert found.footprint is not None and found.footprint.is_valid


@pytest.mark.parametrize(
    ("baseline", "applied", "dn_offset"),
    [
        ("03.01", None, 0),
        ("03.01", False, 0),
        ("04.00", False, -1000),
        ("04.00", True, 0),
        ("04.00", None, -1000),
        ("05.00", False, -1000),
        ("05.09", False, -1000),
        ("05.09", True, 0),
    ],
)
def test_the_offset_goes_by_the_baseline_and_by_whether_it_is_applied(baseline, applied, dn_offset):
    """raster:bands of the item says −0.1 in every case, and is not believed."""
    found = scene(
        item(
            "earth_search_s2_l2a",
            **{"s2:processing_baseline": baseline, "earthsearch:boa_offset_applied": applied, "s2:product_uri": None},
        ),
        "sentinel2_l2a",
    )
    assert found.scene.dn_offset == dn_offset
    assert {f.offset for f in found.scene.files} == {dn_offset * 1e-4}


@pytest.mark.parametrize(
    ("name", "when", "dn_offset"),
    [
        ("S2B_MSIL2A_20190629T212529_N0500_R043_T06VVN_20230315T224658", "2019-06-29T21:25:29Z", -1000),
        ("S2B_MSIL2A_20190629T212529_N0212_R043_T06VVN_20201006T080531", "2019-06-29T21:25:29Z", 0),
        ("S2B_06VVN_20220124_0", "2022-01-24T23:59:59Z", 0),
        ("S2B_06VVN_20220125_0", "2022-01-25T00:00:00Z", -1000),
    ],
)
def test_without_a_baseline_the_name_and_then_the_date_decide(name, when, dn_offset):
    found = item("planetary_s2_l2a", **{"s2:processing_baseline": None, "datetime": when})
    found["id"] = name
    assert scene(found, "sentinel2_l2a").scene.dn_offset == dn_offset


def test_the_planetary_computer_is_read_in_its_own_dialect():
    found = scene(item("planetary_s2_l2a"), "sentinel2_l2a")
    assert [n.split("_")[2] for n in file_names(found)] == ["B02", "B03", "B04", "B08", "B11", "B12"]
    assert all(
        f.path.startswith("https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/06/V/VN/")
        for f in found.scene.files
    )
    assert found.scene.mask is not None and found.scene.mask.path.endswith("_SCL_20m.tif")
    assert found.scene.dn_offset == 0


def test_a_signed_address_is_kept_to_the_letter():
    found = item("planetary_s2_l2a")
    signed = found["assets"]["B02"]["href"] + "?st=2026-01-01T00%3A00%3A00Z&sig=a%2Bb%3D"
    found["assets"]["B02"]["href"] = signed
    assert by_band(scene(found, "sentinel2_l2a"))["blue"].path == signed
    aws = item("earth_search_s2_l2a")
    signed = aws["assets"]["blue"]["href"] + "?X-Amz-Signature=abc"
    aws["assets"]["blue"]["href"] = signed
    assert by_band(scene(aws, "sentinel2_l2a"))["blue"].path == signed


def test_stac_1_1_is_read_as_1_0_is():
    found = scene(item("cdse_s2_l2a_stac11"), "sentinel2_l2a")
    assert [n.split("_")[2] for n in file_names(found)] == ["B02", "B03", "B04", "B08", "B11", "B12"]
    assert {f.crs for f in found.scene.files} == {"EPSG:32633"}
    assert found.scene.dn_offset == -1000
    assert {f.offset for f in found.scene.files} == {-0.1}
    assert all(f.path.startswith("s3://eodata/") for f in found.scene.files)


@pytest.mark.parametrize("dialect", ["eo:bands", "bands"])
def test_a_catalogue_with_keys_of_its_own_is_read_by_common_names(dialect):
    found = item("earth_search_s2_l2a")
    renamed = {}
    for number, (key, asset) in enumerate(found["assets"].items()):
        bands = asset.pop("eo:bands", None)
        if bands:
            prefix = "" if dialect == "eo:bands" else "eo:"
            asset[dialect] = [{f"{prefix}common_name": b["common_name"]} for b in bands]
        renamed[key if key == "scl" else f"asset_{number}"] = asset
    found["assets"] = renamed
    assert file_names(scene(found, "sentinel2_l2a")) == [f"B{n}.tif" for n in ("02", "03", "04", "08", "11", "12")]


def test_collection_1_takes_scale_and_offset_from_the_item():
    found = item("earth_search_s2_c1")
    resolved = scene(found, "sentinel2_l2a_c1")
    assert {(f.scale, f.offset) for f in resolved.scene.files} == {(1e-4, -0.1)}
    assert resolved.scene.files[0].path.startswith("s3://e84-earth-search-sentinel-data/sentinel-2-c1-l2a/38/X/NF/")
    assert resolved.scene.dn_offset == 0
    found["assets"]["red"]["raster:bands"][0].update(scale=2e-4, offset=-0.2)
    assert (by_band(scene(found, "sentinel2_l2a_c1"))["red"].offset) == -0.2
    for asset in found["assets"].values():
        asset.pop("raster:bands", None)
    assert {(f.scale, f.offset) for f in scene(found, "sentinel2_l2a_c1").scene.files} == {(1e-4, -0.1)}


def test_level_1c_is_reflectance_above_the_air_with_the_offset_and_without_mask():
    found = scene(item("earth_search_s2_l1c"), "sentinel2_l1c", harmonise="oli")
    assert (found.scene.sensor, found.scene.mask, found.scene.dn_offset) == ("optical_toa", None, -1000)
    assert {(f.scale, f.offset) for f in found.scene.files} == {(1e-4, -0.1)}
    assert by_band(found)["nir"].path == "s3://sentinel-s2-l1c/tiles/39/Q/TA/2023/6/28/0/B08.jp2"


# --- Landsat


def test_landsat_7_bands_are_one_lower_than_those_of_oli():
    found = scene(item("landsatlook_l7"), "landsat_c2_l2")
    assert [n[-9:] for n in file_names(found)] == [f"SR_B{i}.TIF" for i in (1, 2, 3, 4, 5, 7)]
    assert all(
        f.path.startswith("s3://usgs-landsat/collection02/level-2/standard/etm/2021/044/033/")
        for f in found.scene.files
    )
    assert {(f.scale, f.offset, f.nodata, f.crs) for f in found.scene.files} == {(2.75e-5, -0.2, 0.0, "EPSG:32610")}
    assert found.scene.mask is not None
    assert found.scene.mask.path.endswith("_QA_PIXEL.TIF") and found.scene.mask.bits == [0, 1, 2, 3, 4]
    assert found.scene.cloud_percent == 0


def test_landsat_8_and_5_of_the_planetary_computer():
    eight, five = scene(item("planetary_l8"), "landsat_c2_l2"), scene(item("planetary_l5"), "landsat_c2_l2")
    assert [n[-9:] for n in file_names(eight)] == [f"SR_B{i}.TIF" for i in (2, 3, 4, 5, 6, 7)]
    assert [n[-9:] for n in file_names(five)] == [f"SR_B{i}.TIF" for i in (1, 2, 3, 4, 5, 7)]
    assert {f.crs for f in five.scene.files} == {"EPSG:32617"}
    assert five.scene.files[0].path.startswith("https://landsateuwest.blob.core.windows.net/")


@pytest.mark.parametrize(
    ("name", "band"),
    [("landsatlook_l8_st", "ST_B10.TIF"), ("planetary_l8", "ST_B10.TIF"), ("planetary_l5", "ST_B6.TIF")],
)
def test_surface_temperature_of_tirs_and_tm(name, band):
    found = scene(item(name), "landsat_c2_l2_st")
    (file,) = found.scene.files
    assert found.scene.sensor == "thermal" and file.path.endswith(band)
    assert file.scale * 36_000 + file.offset == pytest.approx(272.05, abs=0.01)


def test_a_scene_without_temperature_says_what_it_has():
    assert reason(item("landsatlook_l7"), "landsat_c2_l2_st") == (
        "asset of band kelvin missing: has blue, green, nir08, qa_pixel, red, swir16, swir22"
    )


def test_level_1_is_divided_by_the_sine_of_the_sun():
    found = scene(item("landsatlook_l8_l1"), "landsat_c2_l1")
    sine = math.sin(math.radians(18.80722985))
    assert found.scene.sensor == "optical_toa"
    for file in found.scene.files:
        assert file.scale * 20_000 + file.offset == pytest.approx((2e-5 * 20_000 - 0.1) / sine)


def test_level_1_without_sun_or_with_too_low_a_sun_is_refused():
    assert "view:sun_elevation" in reason(item("landsatlook_l8_l1", **{"view:sun_elevation": None}), "landsat_c2_l1")
    assert reason(item("landsatlook_l8_l1", **{"view:sun_elevation": 2.0}), "landsat_c2_l1") == (
        "the sun is 2.0° high, less than 5°"
    )


def test_level_1_of_other_instruments_is_refused():
    assert reason(item("landsatlook_l8_l1", platform="LANDSAT_7"), "landsat_c2_l1") == (
        "platform landsat-7 is none of landsat-8, landsat-9"
    )


# --- Bands of OLI


@pytest.mark.parametrize(
    ("name", "of", "platform"),
    [
        ("earth_search_s2_l2a", "sentinel2_l2a", "sentinel-2a"),
        ("planetary_s2_l2a", "sentinel2_l2a", "sentinel-2b"),
        ("earth_search_s2_c1", "sentinel2_l2a_c1", "sentinel-2b"),
        ("landsatlook_l7", "landsat_c2_l2", "landsat-7"),
        ("planetary_l5", "landsat_c2_l2", "landsat-5"),
    ],
)
def test_lines_to_oli_are_folded_into_scale_and_offset(name, of, platform):
    plain, folded = by_band(scene(item(name), of)), by_band(scene(item(name), of, "oli"))
    for band in COLOURS:
        line = to_oli(platform, band)
        for dn in (1, 1200, 9000, 40_000):
            value = plain[band].scale * dn + plain[band].offset
            wanted = value if line is None else line.slope * value + line.intercept
            assert folded[band].scale * dn + folded[band].offset == pytest.approx(wanted, abs=1e-12)


@given(offset=st.sampled_from([0, -1000]), dn=st.integers(1, 20_000), band=st.sampled_from(COLOURS))
def test_taking_the_offset_away_later_is_the_same_as_never_having_had_it(offset, dn, band):
    """The pixels may prove the metadata wrong: then the offset of DN is undone in units of the folded scale."""
    with_it = scene(item("earth_search_s2_l2a", **{"earthsearch:boa_offset_applied": False}), "sentinel2_l2a", "oli")
    without = scene(item("earth_search_s2_l2a"), "sentinel2_l2a", "oli")
    a, b = by_band(with_it)[band], by_band(without)[band]
    assert a.scale == b.scale
    assert a.offset - with_it.scene.dn_offset * a.scale == pytest.approx(b.offset, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("planetary_l8", "landsat_c2_l2"),  # is OLI
        ("cdse_s2_l2a_stac11", "sentinel2_l2a"),  # nothing is published for Sentinel-2C
        ("landsatlook_l8_l1", "landsat_c2_l1"),
        ("lpcloud_hls_s30", "hls_s30"),  # done by the archive
    ],
)
def test_what_is_not_to_be_adjusted_is_not(name, of):
    assert scene(item(name), of, "oli").scene == scene(item(name), of, "none").scene


# --- Radar


@pytest.mark.parametrize(("short", "other"), [("asc", "desc"), ("desc", "asc")])
def test_passes_are_told_apart_and_kept_as_linear_power(short, other):
    found = scene(item(f"planetary_s1_rtc_{short}"), f"sentinel1_rtc_{short}")
    assert found.scene.sensor == f"sar_gamma0_{short}"
    assert file_names(found) == ["iw-vv.rtc.tiff", "iw-vh.rtc.tiff"]
    assert {(f.scale, f.offset, f.nodata, f.linear_power) for f in found.scene.files} == {(1.0, 0.0, -32768.0, True)}
    assert (found.scene.mask, found.scene.cloud_percent) == (None, None)
    states = {"asc": "ascending", "desc": "descending"}
    assert reason(item(f"planetary_s1_rtc_{short}"), f"sentinel1_rtc_{other}") == (
        f"sat:orbit_state is {states[short]}, not {states[other]}"
    )


def test_a_scene_in_hh_and_hv_is_refused():
    found = item("planetary_s1_rtc_asc")
    found["assets"] = {{"vv": "hh", "vh": "hv"}[k]: v for k, v in found["assets"].items()}
    assert reason(found, "sentinel1_rtc_asc") == "asset of band vv_db missing: has hh, hv"


def test_a_burst_knows_its_pass_by_its_number():
    found = scene(item("asf_opera_rtc"), "opera_rtc_s1_desc")
    assert [n.rsplit("_", 1)[1] for n in file_names(found)] == ["VV.tif", "VH.tif"]
    assert all(f.nodata is not None and math.isnan(f.nodata) and f.linear_power for f in found.scene.files)
    assert found.acquisition == "sentinel-1a|T144-308029-IW1"
    assert reason(item("asf_opera_rtc"), "opera_rtc_s1_asc") == "sat:orbit_state is descending, not ascending"


@pytest.mark.parametrize(
    ("burst", "state"),
    [
        ("T064-135523-IW2", "ascending"),  # Los Angeles, evening
        ("T102-217155-IW1", "ascending"),  # 16:23 UTC in the eastern Mediterranean
        ("T144-308029-IW1", "descending"),
        ("T001-000001-IW1", "ascending"),  # just north of the equator
        ("T175-375880-IW1", "ascending"),  # just before the cycle ends on it
    ],
)
def test_the_pass_of_known_bursts(burst, state):
    assert orbit_state_of({"id": f"OPERA_L2_RTC-S1_{burst}_20240703T162341Z", "properties": {}}) == state


def test_a_pass_that_nothing_tells_is_refused():
    found = item("planetary_s1_rtc_asc", **{"sat:orbit_state": None})
    assert reason(found, "sentinel1_rtc_asc") == "sat:orbit_state is not given, not ascending"


# --- Others


@pytest.mark.parametrize(
    ("name", "of", "bands"),
    [
        ("lpcloud_hls_s30", "hls_s30", ["B02", "B03", "B04", "B8A", "B11", "B12"]),
        ("lpcloud_hls_l30", "hls_l30", ["B02", "B03", "B04", "B05", "B06", "B07"]),
    ],
)
def test_hls_has_bands_of_two_numberings_and_no_crs_in_its_items(name, of, bands):
    found = scene(item(name), of)
    assert [n.split(".")[-2] for n in file_names(found)] == bands
    assert {(f.scale, f.offset, f.nodata, f.crs) for f in found.scene.files} == {(1e-4, 0.0, -9999.0, None)}
    assert found.scene.mask is not None
    assert found.scene.mask.path.endswith(".Fmask.tif") and found.scene.mask.bits == [0, 1, 2, 3]


def test_a_velocity_pair_is_one_file_of_three_variables():
    found = scene(item("its_live_granule"), "its_live_velocity")
    assert {(f.path, f.variable, f.nodata, f.crs) for f in found.scene.files} == {
        (
            "s3://its-live-data/velocity_image_pair/sentinel2/v02/N80E020/" + found.scene.id + ".nc",
            variable,
            -32767.0,
            "EPSG:3413",
        )
        for variable in ("v", "vx", "vy")
    }
    assert found.acquisition == found.scene.id


def test_velocity_mosaics_are_files_of_one_band_each():
    found = item("its_live_granule")
    found["assets"] = {v: {"href": f"ITS_LIVE_velocity_120m_RGI07A_2020_v02_{v}.tif"} for v in ("v", "vx", "vy")}
    found["links"] = [{"rel": "self", "href": "./2020/item.json"}]
    resolved = scene(found, "its_live_velocity", url="s3://mosaics/stac/catalog.json")
    assert by_band(resolved)["vx_m_a"].path == "s3://mosaics/stac/2020/ITS_LIVE_velocity_120m_RGI07A_2020_v02_vx.tif"
    assert {f.variable for f in resolved.scene.files} == {None}


# --- What items lack


def test_a_missing_band_is_named_with_what_there_is():
    found = item("planetary_l8")
    del found["assets"]["swir16"]
    assert reason(found, "landsat_c2_l2") == (
        "asset of band swir1 missing: has blue, green, lwir11, nir08, qa_pixel, red, swir22"
    )


def test_a_missing_mask_makes_a_scene_unusable():
    found = item("earth_search_s2_l2a")
    del found["assets"]["scl"]
    assert reason(found, "sentinel2_l2a").startswith("asset of its mask missing: has blue")


def test_a_preview_is_no_band():
    found = item("earth_search_s2_l2a")
    del found["assets"]["red"]
    found["assets"]["preview"] = {"href": "p.tif", "eo:bands": [{"common_name": "red"}], "roles": ["overview"]}
    assert reason(found, "sentinel2_l2a").startswith("asset of band red missing")


def test_an_unknown_crs_makes_a_scene_unusable():
    assert reason(item("planetary_l8", **{"proj:epsg": 99999}), "landsat_c2_l2") == "no coordinate system EPSG:99999"


def test_a_scene_without_crs_leaves_it_to_the_file():
    found = scene(item("planetary_l8", **{"proj:epsg": None}), "landsat_c2_l2")
    assert {f.crs for f in found.scene.files} == {None}


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"id": None}, "it has no id"),
        ({"properties": None}, "it has no properties"),
        ({"properties": {"platform": "landsat-8"}}, "it has no datetime"),
        ({"properties": {"platform": "landsat-8", "datetime": "yesterday"}}, "it has no datetime"),
        ({"geometry": None, "bbox": None}, "it has neither a footprint nor a bbox"),
        ({"geometry": {"type": "Polygon"}, "bbox": [1, 2]}, "it has neither a footprint nor a bbox"),
        ({"assets": None}, "asset of band blue missing: has none"),
        ({"assets": {"blue": {}}}, "asset blue has no address"),
    ],
)
def test_a_broken_item_is_unusable_not_an_error(broken, why):
    found = {**item("planetary_l8"), **broken}
    resolved = resolve(found, "landsat_c2_l2")
    assert isinstance(resolved, Unusable) and resolved.reason == why


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just({}), st.just([]), st.just([None])
)
ANY_ITEM = st.sampled_from(
    [
        ("earth_search_s2_c1", "sentinel2_l2a_c1"),
        ("landsatlook_l8_l1", "landsat_c2_l1"),
        ("asf_opera_rtc", "opera_rtc_s1_desc"),
    ]
)


@given(what=ANY_ITEM, junk=JUNK, data=st.data())
def test_no_junk_in_an_item_stops_a_search(what, junk, data):
    """Whatever stands in place of one value, the answer is a scene or a reason."""
    name, of = what
    found = item(name)
    node: Any = found
    while isinstance(node, dict | list) and node:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            node[key] = junk
            break
        node = node[key]
    assert isinstance(resolve(found, of), Found | Unusable)


@pytest.mark.parametrize("number", [0, "nan"])
def test_a_scale_that_is_none_makes_a_scene_unusable(number):
    found = item("earth_search_s2_c1")
    found["assets"]["red"]["raster:bands"][0]["scale"] = number
    assert reason(found, "sentinel2_l2a_c1").startswith(f"scale and offset of band red are {number}")


@pytest.mark.parametrize("cloud", [None, -1, 101, "few", True])
def test_a_cloud_percentage_that_is_none_is_unknown(cloud):
    assert scene(item("planetary_l8", **{"eo:cloud_cover": cloud}), "landsat_c2_l2").scene.cloud_percent is None


# --- Where


def test_relative_addresses_are_taken_from_the_item():
    found = item("planetary_l8")
    for key, asset in found["assets"].items():
        asset["href"] = f"../data/{key}.TIF"
    found["links"] = [{"rel": "self", "href": "https://files.example.org/c/l8/item.json"}]
    assert by_band(scene(found, "landsat_c2_l2"))["red"].path == "https://files.example.org/c/data/red.TIF"
    found["links"] = []
    local = scene(found, "landsat_c2_l2", url="/archive/l8/item.json")
    assert by_band(local)["red"].path == "/archive/data/red.TIF"


@pytest.mark.parametrize(
    "href",
    [
        "s3://usgs-landsat/c2/a b.TIF",
        "https://usgs-landsat.s3.us-west-2.amazonaws.com/c2/a%20b.TIF",
        "https://usgs-landsat.s3-us-west-2.amazonaws.com/c2/a%20b.TIF",
        "https://usgs-landsat.s3.amazonaws.com/c2/a%20b.TIF",
        "https://s3.us-west-2.amazonaws.com/usgs-landsat/c2/a%20b.TIF",
    ],
)
def test_every_form_of_an_address_in_the_archive_s_bucket_is_an_s3_address(href):
    found = item("planetary_l8")
    found["assets"]["red"]["href"] = href
    assert by_band(scene(found, "landsat_c2_l2"))["red"].path == "s3://usgs-landsat/c2/a b.TIF"


def test_another_bucket_keeps_its_https_address():
    found = item("planetary_l8")
    found["assets"]["red"]["href"] = "https://somebody.s3.us-west-2.amazonaws.com/red.TIF"
    assert by_band(scene(found, "landsat_c2_l2"))["red"].path == "https://somebody.s3.us-west-2.amazonaws.com/red.TIF"


def test_a_scene_without_footprint_has_the_bounds_of_its_item():
    found = item("planetary_l8")
    found.update(geometry=None, bbox=[179.0, -78.0, 0.0, -179.0, -77.0, 4000.0])
    resolved = scene(found, "landsat_c2_l2")
    assert (resolved.bounds, resolved.footprint) == ((179.0, -78.0, -179.0, -77.0), None)


@pytest.mark.parametrize(
    "rings",
    [
        [[[179.0, 60], [-179.5, 60], [-179.5, 61], [179.0, 61], [179.0, 60]]],  # jumps
        [[[179.0, 60], [180.5, 60], [180.5, 61], [179.0, 61], [179.0, 60]]],  # beyond 180
        [  # cut
            [[179.0, 60], [180, 60], [180, 61], [179.0, 61], [179.0, 60]],
            [[-180, 60], [-179.5, 60], [-179.5, 61], [-180, 61], [-180, 60]],
        ],
    ],
)
def test_a_footprint_across_the_antimeridian_is_cut_and_its_bounds_cross(rings):
    found = item("planetary_l8")
    found["geometry"] = {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}
    resolved = scene(found, "landsat_c2_l2")
    assert resolved.bounds == pytest.approx((179.0, 60.0, -179.5, 61.0))
    parts = shapely.get_parts(resolved.footprint)
    assert sorted(p.bounds for p in parts) == [(-180.0, 60.0, -179.5, 61.0), (179.0, 60.0, 180.0, 61.0)]


def test_a_footprint_around_the_globe_stays_one():
    found = item("its_live_granule")
    found["geometry"] = shapely.geometry.mapping(shapely.box(-180, 60, 180, 90))
    assert scene(found, "its_live_velocity").bounds == (-180.0, 60.0, 180.0, 90.0)


# --- Which acquisition


def test_a_product_processed_again_shares_the_acquisition_and_sorts_after():
    first = item("planetary_s2_l2a")
    later = {"s2:generation_time": "2023-03-15T22:46:58Z", "datetime": "2019-06-29T21:25:31Z"}
    again = item("planetary_s2_l2a", **{"s2:processing_baseline": "05.00", **later})
    again["id"] = "S2B_MSIL2A_20190629T212529_N0500_R043_T06VVN_20230315T224658"
    old, new = scene(first, "sentinel2_l2a"), scene(again, "sentinel2_l2a")
    assert old.acquisition == new.acquisition == "sentinel-2b|06VVN"
    assert new.processed > old.processed


def test_the_same_scene_of_two_archives_is_one_acquisition():
    look = scene(item("landsatlook_l8_st"), "landsat_c2_l2_st")
    planetary = scene(item("planetary_l8"), "landsat_c2_l2_st")
    assert look.acquisition == planetary.acquisition == "landsat-8|047/027"
    earth_search, planetary_s2 = item("earth_search_s2_l2a"), copy.deepcopy(item("planetary_s2_l2a"))
    planetary_s2["properties"].update({"platform": "Sentinel-2A", "s2:mgrs_tile": "39QTA"})
    assert scene(earth_search, "sentinel2_l2a").acquisition == scene(planetary_s2, "sentinel2_l2a").acquisition


def test_other_platforms_tiles_and_orbits_are_other_acquisitions():
    s2 = item("earth_search_s2_l2a")
    variants = [
        scene(s2, "sentinel2_l2a"),
        scene(item("earth_search_s2_l2a", platform="sentinel-2b"), "sentinel2_l2a"),
        scene(item("earth_search_s2_l2a", **{"grid:code": "MGRS-39QUA"}), "sentinel2_l2a"),
        scene(item("planetary_s1_rtc_asc"), "sentinel1_rtc_asc"),
        scene(item("planetary_s1_rtc_asc", **{"sat:absolute_orbit": 30353}), "sentinel1_rtc_asc"),
        scene(item("lpcloud_hls_s30"), "hls_s30"),
        scene(item("lpcloud_hls_l30"), "hls_l30"),
    ]
    assert len({v.acquisition for v in variants}) == len(variants)
    assert variants[-2].acquisition == "HLS.S30|35UNQ"
