"""Tables: changes of a region → Arrow tables of the schemas, and the writer of a GeoParquet file region by region."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from core.change.breakpoint import KINDS, Breakpoints
from core.change.pair import Pair
from core.change.regional import Total
from core.change.schema import CHANGE_POLYGONS, GLACIER_CHANGE, GLACIER_TREND, REGION_CHANGE
from core.change.series import STATUS_WORDS, Series
from core.change.trend import Trend
from core.errors import ConfigError
from core.inventory import split_antimeridian, wrap_degrees
from core.release.geoparquet import geo_metadata, hilbert_order, take_rows
from core.release.schema import BBOX
from core.release.table import conform

_WORDS = np.array(STATUS_WORDS, dtype=object)


class GeoParquetWriter:
    """One GeoParquet 1.1 file, written region by region, rows of a region along the world's Hilbert curve.

    The file's own bbox is not in its footer, as it is not known when writing begins; each row has one. Without any rows
    the file is still there, with its columns. Raises ConfigError if the file cannot be made.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        geo = json.dumps(geo_metadata(schema.empty_table()), sort_keys=True)
        self._schema = schema
        self._kept = schema.with_metadata({"geo": geo})
        try:
            self._file = pq.ParquetWriter(path, self._kept, compression="zstd")
        except OSError as error:
            raise ConfigError(str(path), found=error.strerror or str(error), fix="give a folder to write to") from error
        self.rows = 0

    def write(self, table: pa.Table) -> None:
        if table.num_rows:
            ordered = take_rows(table, hilbert_order(table))
            self._file.write_table(conform(ordered, self._schema).replace_schema_metadata(self._kept.metadata))
            self.rows += table.num_rows

    def __enter__(self) -> GeoParquetWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._file.close()


def change_table(series: Series, pair: Pair, left_out: NDArray[np.object_]) -> pa.Table:
    """GLACIER_CHANGE rows of one region and period."""
    return _table(
        GLACIER_CHANGE,
        _who(series)
        | {
            "glac_name": series.glaciers["glac_name"].to_numpy(),
            "date_first": pair.labels[0],
            "date_second": pair.labels[1],
            "status": pair.status,
            "status_first": _WORDS[series.status[:, pair.first]],
            "status_second": _WORDS[series.status[:, pair.second]],
            "area_inventory_km2": series.glaciers["area_inventory_km2"].to_numpy(),
            "left_out": left_out,
        }
        | {
            name: getattr(pair, name)
            for name in GLACIER_CHANGE.names
            if name in Pair.__dataclass_fields__ and name != "status"
        }
        | _points(series),
    )


def trend_table(series: Series, time: NDArray[np.float64], area: NDArray[np.float64], found: Trend,
                broke: Breakpoints, surge: NDArray[np.bool_]) -> pa.Table:  # fmt: skip
    """GLACIER_TREND rows of one region. time, area: (n, k) of the releases."""
    known = np.isfinite(area) & np.isfinite(time)
    n = known.sum(axis=1)
    some = np.where(n > 0, 0.0, np.nan)
    mean = np.where(known, area, 0.0).sum(axis=1) / np.maximum(n, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        percent = np.where(mean > 0, 100.0 * found.slope / mean, np.nan)
    return _table(
        GLACIER_TREND,
        _who(series)
        | {
            "n_dates": n.astype(np.int32),
            "first_time": np.where(known, time, np.inf).min(axis=1) + some,
            "last_time": np.where(known, time, -np.inf).max(axis=1) + some,
            "trend_km2_a": found.slope,
            "trend_low_km2_a": found.slope_low,
            "trend_high_km2_a": found.slope_high,
            "trend_pct_a": percent,
            "kendall_s": found.s,
            "trend_p_value": found.p_value,
            "break_kind": np.array(KINDS, dtype=object)[broke.kind],
            "break_time": broke.time,
            "break_gain": broke.gain,
            "before_km2_a": broke.before,
            "after_km2_a": broke.after,
            "step_km2": broke.step,
            "surge_candidate": surge,
        }
        | _points(series),
    )


def polygon_table(glaciers: pd.DataFrame, region: str, labels: tuple[str, str], pieces: pd.DataFrame,
                  sliver_m: float) -> pa.Table:  # fmt: skip
    """CHANGE_POLYGONS rows. glaciers: rgi_id, o2region and gap_filled of the rows that `pieces` counts; see
    `change_polygons`."""
    rows = pieces["row"].to_numpy(dtype=np.int64)
    geometry, box = geometry_columns(np.asarray(pieces["geometry"].to_numpy(), dtype=object))
    return _table(
        CHANGE_POLYGONS,
        {
            "rgi_id": glaciers["rgi_id"].to_numpy()[rows],
            "o1region": region,
            "o2region": glaciers["o2region"].to_numpy()[rows],
            "date_first": labels[0],
            "date_second": labels[1],
            "kind": pieces["kind"].to_numpy(dtype=object),
            "area_km2": pieces["area_km2"].to_numpy(dtype=np.float64),
            "n_parts": pieces["n_parts"].to_numpy(dtype=np.int32),
            "sliver_m": np.full(len(rows), sliver_m),
            "gap_filled": glaciers["gap_filled"].to_numpy(dtype=bool)[rows],
            "geometry": geometry,
            "bbox": box,
        },
    )


def region_table(totals: Sequence[Total], sigma_model: str, simulated: bool) -> pa.Table:
    """REGION_CHANGE rows, in the order given."""
    rows = [_region_row(t) | {"sigma_model": sigma_model, "simulated": simulated} for t in totals]
    columns = {name: np.array([row[name] for row in rows], dtype=object) for name in REGION_CHANGE.names}
    return _table(REGION_CHANGE, columns)


def geometry_columns(shapes: NDArray[np.object_]) -> tuple[pa.Array, pa.Array]:
    """Geometries with continuous longitudes, none missing → WKB as published (split at 180°, oriented) and boxes."""
    ready = np.asarray(split_antimeridian(shapes), dtype=object)
    ready = np.asarray(shapely.orient_polygons(ready), dtype=object) if len(ready) else ready
    bounds = shapely.bounds(ready).reshape(-1, 4)
    box = pa.StructArray.from_arrays([pa.array(bounds[:, i]) for i in range(4)], fields=list(BBOX))
    return pa.array(shapely.to_wkb(ready, byte_order=1, flavor="iso"), type=pa.binary()), box


def _region_row(total: Total) -> dict[str, Any]:
    sigma = {
        name: float(np.hypot(getattr(total, f"{name}_own"), getattr(total, f"{name}_common")))
        for name in ("change_measured", "rate_measured", "rate_extrapolated", "rate")
    }
    area = total.area_measured_km2 + total.area_extrapolated_km2
    percent = 100.0 / area if area > 0 else np.nan
    measured = 0.0 if total.n_measured else np.nan
    extrapolated = 0.0 if total.n_extrapolated else np.nan
    some = 0.0 if total.n_measured or total.n_extrapolated else np.nan
    return {
        "o1region": total.o1region,
        "o2region": total.o2region,
        "date_first": total.labels[0],
        "date_second": total.labels[1],
        **{name: getattr(total, name) for name in REGION_CHANGE.names if name in Total.__dataclass_fields__},
        "n_unknown": total.n_glaciers - total.n_measured - total.n_extrapolated,
        "change_measured_km2": total.change_measured_km2 + measured,
        "change_sigma_measured_km2": sigma["change_measured"] + measured,
        "rate_measured_km2_a": total.rate_measured + measured,
        "rate_sigma_measured_km2_a": sigma["rate_measured"] + measured,
        "rate_extrapolated_km2_a": total.rate_extrapolated + extrapolated,
        "rate_sigma_extrapolated_km2_a": sigma["rate_extrapolated"] + extrapolated,
        "rate_km2_a": total.rate + some,
        "rate_sigma_km2_a": sigma["rate"] + some,
        "rate_sigma_upper_km2_a": total.rate_upper + some,
        "rate_pct_a": total.rate * percent,
        "rate_pct_sigma_a": sigma["rate"] * percent,
        "regression": total.form,
        "scatter_pct_a": 100.0 * total.scatter,
    }


def _who(series: Series) -> dict[str, Any]:
    return {"rgi_id": series.ids, "o1region": series.region, "o2region": series.glaciers["o2region"].to_numpy()}


def _points(series: Series) -> dict[str, pa.Array]:
    """The glaciers' points as published; null where a glacier has no position."""
    lon, lat = (series.glaciers[name].to_numpy(dtype=np.float64) for name in ("cenlon", "cenlat"))
    known = np.isfinite(lon) & np.isfinite(lat)
    x = wrap_degrees(lon)
    wkb = np.full(len(lon), None, dtype=object)
    wkb[known] = shapely.to_wkb(shapely.points(x[known], lat[known]), byte_order=1, flavor="iso")
    edges = [pa.array(np.where(known, v, 0.0)) for v in (x, lat, x, lat)]
    box = pa.StructArray.from_arrays(edges, fields=list(BBOX), mask=pa.array(~known))
    return {"geometry": pa.array(wkb, type=pa.binary()), "bbox": box}


def _table(schema: pa.Schema, columns: Mapping[str, Any]) -> pa.Table:
    """Columns by name: Arrow arrays, numpy arrays (NaN is null) or one word for all rows."""
    n = max((len(c) for c in columns.values() if not isinstance(c, str)), default=0)
    arrays = []
    for field in schema:
        column = columns[field.name]
        if isinstance(column, str):
            column = pa.repeat(pa.scalar(column, field.type), n)
        elif not isinstance(column, pa.Array):
            column = pa.array(column, type=field.type, from_pandas=True)
        arrays.append(column)
    return conform(pa.Table.from_arrays(arrays, names=schema.names), schema)
