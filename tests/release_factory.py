"""Small invented releases: rows with geometry of known area, published whole, and ways to break them afterwards."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from shapely.affinity import translate

from core.layout import ReleaseLayout
from core.objects import Objects
from core.release import GLACIER_AREA, Provenance, finish_release, region_area, table_from_rows, write_region
from core.release.measures import area_km2, length_km
from core.release.schema import AREA, FRONT, HYPSOMETRY, OUTLINE, SCHEMAS, SURFACE

YEAR = 2024
LAYOUT = ReleaseLayout(YEAR)
RUN = "run-1"
Row = dict[str, Any]


def square(lon: float, lat: float, side_deg: float = 0.02) -> shapely.Polygon:
    return shapely.box(lon, lat, lon + side_deg, lat + side_deg)


def area_row(number: int, geometry: shapely.Geometry | None = None, **changes: Any) -> Row:
    """A measured glacier of Iceland; no two numbers touch."""
    shape = geometry if geometry is not None else square(-20.0 + 0.05 * (number % 40), 64.0 + 0.05 * (number // 40))
    area = float(area_km2(np.array([shape]))[0])
    row: Row = {name: None for name in GLACIER_AREA.names if name != "bbox"}
    row |= {
        "rgi_id": f"RGI2000-v7.0-G-06-{number:05d}",
        "o1region": "06",
        "o2region": f"06-{1 + number % 2:02d}",
        "cenlon": shape.centroid.x,
        "cenlat": shape.centroid.y,
        "year": YEAR,
        "status": "measured",
        "area_km2": area,
        "area_sigma_km2": 0.05 * area,
        "area_expected_km2": area,
        "area_inventory_km2": 1.1 * area,
        "inventory_date": dt.date(2000, 8, 1),
        "observed_fraction": 0.95,
        "scene_date_min": dt.date(YEAR, 8, 1),
        "scene_date_max": dt.date(YEAR, 9, 1),
        "scenes": "S2_20200801;S2_20200901",
        "sensors": "sentinel2",
        "n_parts": 1,
        "flags": "",
        "run_id": RUN,
        "model_digest": "model-1",
        "geometry": shape,
    }
    return row | changes


def detailed(row: Row, **changes: Any) -> Row:
    """The row of a calving glacier with everything that can be measured; its tables say more of it too."""
    area = row["area_km2"]
    front = front_of(row["geometry"])
    details = {
        "area_sigma_boundary_km2": 0.03 * area,
        "area_sigma_model_km2": 0.04 * area,
        "area_sigma_hidden_km2": 0.0,
        "area_clean_ice_km2": 0.7 * area,
        "area_debris_km2": 0.2 * area,
        "area_lake_km2": 0.1 * area,
        "zmin_m": 410.0,
        "zmed_m": 470.0,
        "zmax_m": 540.0,
        "zmean_m": 471.0,
        "lmax_m": 2100.0,
        "front_length_m": 1000.0 * float(length_km(np.array([front]))[0]),
        "front_change_m": -12.5,
    }
    return row | details | changes


def front_of(shape: shapely.Geometry) -> shapely.LineString:
    """The southern edge of a square."""
    west, south, east, _ = shape.bounds
    return shapely.LineString([(west, south), (east, south)])


def unmeasured_row(number: int, status: str = "not_observed", **changes: Any) -> Row:
    nothing = dict.fromkeys(
        ("area_km2", "area_sigma_km2", "area_expected_km2", "scene_date_min", "scene_date_max", "n_parts")
    )
    reason = "no valid observation inside the outline"
    row = area_row(number, status=status, status_reason=reason, observed_fraction=0.0, scenes="", sensors="")
    return row | nothing | changes


def small_row(number: int, **changes: Any) -> Row:
    return area_row(number, square(-18.0 + 0.05 * number, 66.0, 0.001), status="below_minimum") | changes


def outline_row(row: Row, part: int = 0, **changes: Any) -> Row:
    kept = {name: row[name] for name in ("rgi_id", "o1region", "year", "area_km2", "run_id", "geometry")}
    return kept | {"part": part, "class": "glacier"} | changes


def front_row(row: Row, **changes: Any) -> Row:
    kept = {name: row[name] for name in ("rgi_id", "o1region", "year", "front_length_m", "front_change_m", "run_id")}
    seen = {"front_observed_fraction": 1.0, "water": "sea", "water_source": "image"}
    return kept | seen | {"geometry": front_of(row["geometry"])} | changes


def surface_rows(row: Row) -> list[Row]:
    """Clean ice in the west of a square, then debris, a lake in the east."""
    west, south, east, north = row["geometry"].bounds
    kept = {name: row[name] for name in ("rgi_id", "o1region", "year", "run_id")}
    cuts = {"clean_ice": (0.0, 0.7), "debris": (0.7, 0.9), "lake": (0.9, 1.0)}
    return [
        kept
        | {
            "class": name,
            "area_km2": row[f"area_{name}_km2"],
            "geometry": shapely.box(west + start * (east - west), south, west + end * (east - west), north),
        }
        for name, (start, end) in cuts.items()
    ]


def hypsometry_rows(row: Row) -> list[Row]:
    kept = {name: row[name] for name in ("rgi_id", "o1region", "year", "run_id")}
    return [kept | {"band_m": band, "thousandths": part} for band, part in ((400, 333), (450, 0), (500, 667))]


def good_rows(n: int = 12) -> list[Row]:
    """Measured glaciers, two of three with all details, and one of each other status, Iceland."""
    return [
        *(area_row(i) if i % 3 == 2 else detailed(area_row(i)) for i in range(n)),
        unmeasured_row(n),
        unmeasured_row(n + 1, "quarantined"),
        small_row(n + 2),
        small_row(n + 3, geometry=None, area_km2=0.0, area_sigma_km2=0.0),
    ]


def moved(rows: Sequence[Row], region: str, lon_deg: float) -> list[Row]:
    """The same glaciers in another region, as many degrees further east."""
    return [
        row
        | {
            "rgi_id": row["rgi_id"].replace("G-06", f"G-{region}"),
            "o1region": region,
            "o2region": f"{region}-01",
            "geometry": row["geometry"] and translate(row["geometry"], lon_deg),
        }
        for row in rows
    ]


def provenance(glaciers: int, **changes: Any) -> Provenance:
    facts: dict[str, Any] = {
        "run_id": RUN,
        "model_digest": "model-1",
        "inventory_glaciers": glaciers,
        "inventory_digest": "inventory-1",
        "res_m": 10.0,
        "min_area_km2": 0.01,
        "simulated": True,
    }
    return Provenance(**(facts | changes))


def tables(rows: Sequence[Row]) -> dict[str, pa.Table]:
    """All tables of these rows, by name."""
    mapped = [r for r in rows if r["status"] in ("measured", "below_minimum") and r["geometry"] is not None]
    known = [r for r in mapped if r["front_length_m"] is not None]
    found = {
        AREA: rows,
        OUTLINE: [outline_row(r) for r in mapped],
        HYPSOMETRY: [band for r in known for band in hypsometry_rows(r)],
        FRONT: [front_row(r) for r in known],
        SURFACE: [surface for r in known for surface in surface_rows(r)],
    }
    return {name: table_from_rows(some, SCHEMAS[name]) for name, some in found.items()}


def publish(url: str, rows: Sequence[Row] | None = None, max_rows: int = 10_000, **changes: Any) -> dict[str, Any]:
    """A whole release of these rows; its manifest."""
    rows = good_rows() if rows is None else rows
    release, files, totals = Objects(url), [], []
    for region in sorted({row["o1region"] for row in rows}):
        found = tables([row for row in rows if row["o1region"] == region])
        files += write_region(release, LAYOUT, region, found, max_rows)
        totals.append(region_area(found[AREA]))
    return finish_release(release, LAYOUT, files, totals, provenance(len(rows), **changes))


def everything(url: str) -> dict[str, bytes]:
    release = Objects(url)
    return {key: release.get(key) for key, _ in release.list()}


def change_manifest(url: str, change: Callable[[dict[str, Any]], object]) -> None:
    release = Objects(url)
    manifest = json.loads(release.get(LAYOUT.manifest))
    change(manifest)
    release.put(LAYOUT.manifest, json.dumps(manifest).encode())


def change_table(url: str, key: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Rewrite one Parquet file and seal it with the manifest again: the file is intact, what it says is wrong."""
    release = Objects(url)
    table = change(pq.ParquetFile(io.BytesIO(release.get(key))).read())
    sink = io.BytesIO()
    pq.write_table(table, sink)
    seal(url, key, sink.getvalue(), table.num_rows)


def seal(url: str, key: str, data: bytes, rows: int) -> None:
    Objects(url).put(key, data)

    def update(manifest: dict[str, Any]) -> None:
        for entry in manifest["files"]:
            if entry["key"] == key:
                entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "rows": rows}

    change_manifest(url, update)


def with_cell(column: str, row: int, value: Any) -> Callable[[pa.Table], pa.Table]:
    """A change of one cell."""

    def change(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(column)
        values = table.column(column).to_pylist()
        values[row] = value
        return table.set_column(place, table.schema.field(column), [pa.array(values, table.schema.field(column).type)])

    return change
