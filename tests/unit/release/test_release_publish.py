"""Publication: identical when repeated, manifest last, never over another run."""

from __future__ import annotations

import io
import json
import re
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pystac
import pytest
import shapely
from release_factory import (
    LAYOUT,
    RUN,
    area_row,
    detailed,
    everything,
    good_rows,
    moved,
    provenance,
    publish,
    small_row,
    square,
    tables,
)

from core.errors import ConfigError, SystemicError
from core.objects import Objects
from core.release import GLACIER_OUTLINE, finish_release, region_area, verify_release, write_region
from core.release.geoparquet import hilbert_keys
from core.release.publish import layout_year
from core.release.schema import AREA, HYPSOMETRY, REGION_TABLES, SCHEMAS


def test_the_same_run_is_published_to_the_same_bytes(url: str) -> None:
    publish(url)
    first = everything(url)
    publish(url, list(reversed(good_rows())))
    assert everything(url) == first
    assert verify_release(url) == []


def test_the_manifest_is_the_last_thing_written(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    put = Objects.put

    def record(self: Objects, key: str, data: bytes) -> None:
        written.append(key)
        put(self, key, data)

    monkeypatch.setattr(Objects, "put", record)
    publish(url)
    assert written[-1] == LAYOUT.manifest and written.count(LAYOUT.manifest) == 1


def test_the_manifest_names_every_file_and_its_origin(url: str) -> None:
    manifest = publish(url)
    assert {f["key"] for f in manifest["files"]} | {LAYOUT.manifest} == set(everything(url))
    assert manifest["inventory"] == {"glaciers": 16, "digest": "inventory-1"}
    assert (manifest["run_id"], manifest["model_digest"], manifest["simulated"]) == (RUN, "model-1", True)
    assert manifest["created_by"].startswith("icefleet ")
    assert json.loads(Objects(url).get(LAYOUT.manifest)) == manifest


def test_another_run_is_not_overwritten(released: str) -> None:
    before = everything(released)
    with pytest.raises(ConfigError, match=r"the release of run run-1.*another folder"):
        publish(released, [row | {"run_id": "run-2"} for row in good_rows()], run_id="run-2")
    assert everything(released) == before


def test_a_release_without_every_glacier_is_not_finished(url: str) -> None:
    found = tables(good_rows())
    files = write_region(Objects(url), LAYOUT, "06", found)
    with pytest.raises(SystemicError, match=r"16 rows.*17 glaciers"):
        finish_release(Objects(url), LAYOUT, files, [region_area(found[AREA])], provenance(17))
    assert LAYOUT.manifest not in everything(url)


def test_files_of_something_else_are_refused(url: str) -> None:
    Objects(url).put(LAYOUT.part("glacier_area", "07"), b"left by somebody")
    with pytest.raises(ConfigError, match="region_07/part-00000"):
        publish(url)
    assert LAYOUT.manifest not in everything(url)


def test_a_retry_with_fewer_parts_leaves_no_part_and_no_manifest_behind(url: str) -> None:
    publish(url, max_rows=5)
    write_region(Objects(url), LAYOUT, "06", tables(good_rows()))
    keys = set(everything(url))
    assert LAYOUT.manifest not in keys
    assert [k for k in keys if "part-" in k and "part-00000" not in k] == []
    publish(url)
    assert verify_release(url) == []


def test_writing_the_same_region_again_leaves_the_release_published(released: str) -> None:
    write_region(Objects(released), LAYOUT, "06", tables(good_rows()))
    assert verify_release(released) == []


def test_a_large_region_is_split_into_even_parts_along_the_curve(url: str) -> None:
    files = write_region(Objects(url), LAYOUT, "06", tables([area_row(i) for i in range(11)]), max_rows=5)
    assert [(f.key[-18:], f.rows) for f in files if f.table == "glacier_area"] == [
        ("part-00000.parquet", 4), ("part-00001.parquet", 4), ("part-00002.parquet", 3),
    ]  # fmt: skip
    parts = [pq.read_table(io.BytesIO(Objects(url).get(f.key))) for f in files if f.table == "glacier_area"]
    keys = [k for part in parts for k in hilbert_keys(part).tolist()]
    assert keys == sorted(keys)


def test_a_table_may_be_left_out_and_an_unknown_one_is_refused(url: str) -> None:
    found = tables(good_rows())
    files = write_region(Objects(url), LAYOUT, "06", {AREA: found[AREA], HYPSOMETRY: SCHEMAS[HYPSOMETRY].empty_table()})
    assert {f.table for f in files} == {AREA}
    with pytest.raises(ConfigError, match=r"found moraines; expected some of glacier_area"):
        write_region(Objects(url), LAYOUT, "06", {**found, "moraines": found[AREA]})


def test_a_retry_without_a_table_removes_its_files_and_the_manifest(released: str) -> None:
    found = tables(good_rows())
    write_region(Objects(released), LAYOUT, "06", {n: t for n, t in found.items() if n != HYPSOMETRY})
    keys = set(everything(released))
    assert LAYOUT.part(HYPSOMETRY, "06") not in keys and LAYOUT.manifest not in keys


def test_hypsometry_is_one_plain_file_in_the_order_of_glaciers_and_bands(url: str) -> None:
    found = tables(good_rows())
    shuffled = found[HYPSOMETRY].take(np.random.default_rng(0).permutation(found[HYPSOMETRY].num_rows))
    files = write_region(Objects(url), LAYOUT, "06", found | {HYPSOMETRY: shuffled}, max_rows=5)
    (file,) = (f for f in files if f.table == HYPSOMETRY)
    read = pq.ParquetFile(io.BytesIO(Objects(url).get(file.key)))
    assert (file.key, file.rows, file.bbox) == (LAYOUT.part(HYPSOMETRY, "06"), 24, None)
    assert b"geo" not in (read.schema_arrow.metadata or {})
    rows = read.read().to_pylist()
    assert rows == sorted(found[HYPSOMETRY].to_pylist(), key=lambda r: (r["rgi_id"], r["band_m"]))
    assert write_region(Objects(url), LAYOUT, "06", found, max_rows=5) == files


def test_an_empty_outline_table_has_no_file(url: str) -> None:
    manifest = publish(url, [small_row(0, geometry=None, area_km2=0.0, area_sigma_km2=0.0)])
    assert {f["table"] for f in manifest["files"]} == {"glacier_area", "region_area", ""}
    assert verify_release(url) == []


@pytest.mark.parametrize(
    "change", [{"o1region": "07"}, {"year": 2023}, {"run_id": "run-2"}], ids=["region", "year", "run"]
)
def test_rows_of_another_origin_are_refused(url: str, change: dict[str, Any]) -> None:
    mixed = tables([detailed(area_row(0)), detailed(area_row(1)) | change])
    for name, table in mixed.items():
        with pytest.raises(ConfigError, match=f"{next(iter(change))} .*only"):
            write_region(Objects(url), LAYOUT, "06", {**tables([area_row(0)]), name: table})


def test_a_region_without_glaciers_is_refused(url: str) -> None:
    for nothing in ({}, tables([]), tables([area_row(0)]) | {AREA: tables([])[AREA]}):
        with pytest.raises(ConfigError, match="no rows"):
            write_region(Objects(url), LAYOUT, "06", nothing)


def test_no_document_gives_away_the_machine_or_the_hour(tmp_path: Path) -> None:
    publish(str(tmp_path))
    text = b"".join(v for k, v in everything(str(tmp_path)).items() if k.endswith(".json")).decode()
    assert str(tmp_path) not in text and not re.search(r'"(/|file:/)', text)
    assert socket.gethostname() not in text
    assert set(re.findall(r"\d{4}-\d\d-\d\dT[^\"]*", text)) == {"2024-01-01T00:00:00Z", "2024-12-31T23:59:59Z"}


def test_an_absolute_path_in_the_details_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="no absolute path"):
        publish(url, details={"inventory": {"files": ["/data/rgi.parquet"]}})
    assert LAYOUT.manifest not in everything(url)


def test_the_catalogue_is_read_by_pystac_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    rows = good_rows()
    publish(str(tmp_path), rows + moved(rows, "07", 30.0), max_rows=10)
    collection = pystac.Collection.from_file(str(tmp_path / LAYOUT.collection))
    items = sorted(collection.get_items(), key=lambda i: i.id)
    assert [i.properties["icefleet:o1region"] for i in items] == ["06", "07"]
    assert collection.extra_fields["icefleet:simulated"] is True and "SIMULATED" in collection.description
    with_parts = {f"{t}_{n:05d}" for t in ("glacier_area", "glacier_outline") for n in (0, 1)}
    with_parts |= {"hypsometry", "glacier_front", *(f"glacier_surface_{n:05d}" for n in range(3))}
    assert set(items[0].assets) == with_parts
    assert set(collection.extra_fields["item_assets"]) == set(REGION_TABLES)
    for owner in (collection, *items):
        for name, asset in owner.get_assets().items():
            path = Path(str(asset.get_absolute_href()))
            assert path.is_file(), name
            if name != "manifest":
                assert path.stat().st_size == asset.extra_fields["file:size"]
                assert asset.media_type == "application/vnd.apache.parquet"
        assert not any(link.rel == "self" for link in json_links(Path(str(owner.get_self_href()))))


def json_links(path: Path) -> list[pystac.Link]:
    return [pystac.Link.from_dict(link) for link in json.loads(path.read_text())["links"]]


def test_an_item_across_the_antimeridian_has_a_narrow_box_in_two_polygons(url: str) -> None:
    publish(url, [area_row(0, square(179.99, 66.0)), area_row(1, square(-179.5, 66.0))])
    item = json.loads(Objects(url).get(LAYOUT.item("06")))
    assert item["bbox"] == pytest.approx([179.99, 66.0, -179.48, 66.02])
    assert item["geometry"]["type"] == "MultiPolygon"
    assert shapely.geometry.shape(item["geometry"]).area == pytest.approx(0.53 * 0.02)
    assert verify_release(url) == []


def test_an_observed_release_is_not_called_simulated(url: str) -> None:
    publish(url, simulated=False)
    collection = json.loads(Objects(url).get(LAYOUT.collection))
    assert collection["icefleet:simulated"] is False and "SIMULATED" not in collection["description"]


def test_a_layout_knows_its_year() -> None:
    assert layout_year(LAYOUT) == 2024


def test_the_outline_schema_takes_parts_only() -> None:
    assert not GLACIER_OUTLINE.field("geometry").nullable
