"""Fronts of a release against lines that somebody else drew: how far apart they are, glacier by glacier.

The measure is the mean distance error of CaFFe (`core.measure.front_error`), in metres of each glacier's own zone. A
reference without a front has no error and is listed, because a method that draws only easy fronts would look good.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from pyproj.exceptions import CRSError

from core.change.dated import Dated, find_releases
from core.errors import ConfigError
from core.grid import Zone
from core.grid.zone import home_zone
from core.layout import ReleaseLayout
from core.measure.front_error import front_distances
from core.objects import Objects
from core.release.schema import FRONT
from core.release.table import geometries
from core.urls import join_url

_LINES = (shapely.GeometryType.LINESTRING, shapely.GeometryType.LINEARRING, shapely.GeometryType.MULTILINESTRING)
# Without identifiers a line is of the glacier whose front is nearest, but never of one so far away; unchecked.
FARTHEST_M = 10_000.0


@dataclass(frozen=True)
class FrontError:
    """One glacier, metres: mean, median and 95th percentile of the distances between both lines, and their lengths."""

    rgi_id: str
    mean_m: float
    median_m: float
    p95_m: float
    front_m: float
    reference_m: float


@dataclass(frozen=True)
class FrontErrors:
    """fronts: those with a reference, by rgi_id; pooled_m: mean over all their points alike, NaN without any;
    not_found: references without a front; not_drawn: fronts without a reference; simulated: of the release."""

    release: str
    simulated: bool
    fronts: tuple[FrontError, ...]
    pooled_m: float
    not_found: tuple[str, ...]
    not_drawn: tuple[str, ...]


def compare_fronts(release: str, reference: str | Path, column: str | None = None, step_m: float = 10.0) -> FrontErrors:
    """Distances between the fronts of one year of a release and the lines of a file.

    reference: any vector file or GeoParquet with lines, any CRS. column: of identifiers as in the release; none:
    `rgi_id`, and a file that lacks it is matched by place (`FARTHEST_M`). Several lines of one glacier are one front.
    step_m: between the points at which distances are taken. Raises ConfigError for a release of several years or
    without fronts, and for a file that cannot be read, has no CRS, lacks the column or holds no lines.
    """
    dated = _one_year(release)
    found = _fronts(dated)
    drawn = _lines(reference)
    if column is not None and column not in drawn:
        there = ", ".join(str(name) for name in drawn.columns.drop(drawn.geometry.name)) or "no columns"
        raise ConfigError(str(reference), found=there, expected=f"a column {column}")
    column = column or "rgi_id"
    if column in drawn:
        named = {str(who): list(rows.geometry) for who, rows in drawn.groupby(drawn[column].astype(str))}
        strays: list[str] = sorted(set(named) - set(found))
    else:
        named, strays = _by_place(found, drawn)
    errors, distances = [], []
    for who in sorted(set(found) & set(named)):
        zone = _zone(found[who])
        front, line = (_joined(zone, shapes) for shapes in ([found[who]], named[who]))
        apart = front_distances(front, line, step_m)
        distances.append(apart)
        errors.append(
            FrontError(
                who,
                float(apart.mean()),
                float(np.median(apart)),
                float(np.percentile(apart, 95)),
                float(shapely.length(front)),
                float(shapely.length(line)),
            )
        )
    return FrontErrors(
        dated.name,
        dated.simulated,
        tuple(errors),
        float(np.concatenate(distances).mean()) if distances else math.nan,
        tuple(strays),
        tuple(sorted(set(found) - set(named))),
    )


def _one_year(release: str) -> Dated:
    years = find_releases([release], inventory=True)
    if len(years) > 1:
        found = ", ".join(dated.label for dated in years)
        raise ConfigError(release, found=f"years {found}", expected="one year", fix="name it: RELEASE/year=YYYY")
    return years[0]


def _fronts(dated: Dated) -> dict[str, shapely.Geometry]:
    """rgi_id → front in degrees."""
    store, prefix = Objects(dated.url), ReleaseLayout(dated.year).table(FRONT)
    parts = [key for key, _ in store.list(prefix) if key.endswith(".parquet")]
    tables = [pq.read_table(io.BytesIO(store.get(key)), columns=["rgi_id", "geometry"]) for key in sorted(parts)]
    if not tables:
        raise ConfigError(
            join_url(dated.url, prefix),
            found="no calving fronts",
            expected="glaciers of term_type 1, 2 or 3 beside visible water",
        )
    table = pa.concat_tables(tables)
    return dict(zip(table.column("rgi_id").to_pylist(), geometries(table), strict=True))


def _lines(reference: str | Path) -> gpd.GeoDataFrame:
    """In degrees."""
    path, expected = Path(reference), "a file with lines: GeoPackage, shapefile, GeoJSON or GeoParquet"
    if not path.exists():
        raise ConfigError(str(path), found="no such file", expected=expected)
    try:
        read = gpd.read_parquet if path.suffix.lower() in (".parquet", ".geoparquet") else gpd.read_file
        table = read(path)
    except (ValueError, OSError, RuntimeError) as error:
        raise ConfigError(str(path), found=str(error).splitlines()[0], expected=expected) from None
    if not isinstance(table, gpd.GeoDataFrame) or table.crs is None:
        raise ConfigError(str(path), found="no coordinate reference system", expected="one that the file names")
    table = table[~(table.geometry.isna() | table.geometry.is_empty)]
    kinds = set(np.unique(shapely.get_type_id(table.geometry.to_numpy())))
    if not kinds or not kinds <= set(_LINES):
        named = ", ".join(sorted(set(table.geom_type))) or "nothing"
        raise ConfigError(str(path), found=named, expected="lines", fix="draw fronts as lines, not as outlines")
    try:
        return table.to_crs(4326)
    except CRSError as error:
        raise ConfigError(str(path), found=str(error), expected="a CRS with a way to longitude and latitude") from None


def _by_place(
    found: dict[str, shapely.Geometry], drawn: gpd.GeoDataFrame
) -> tuple[dict[str, list[shapely.Geometry]], list[str]]:
    """(glacier → its lines, rows without a glacier)."""
    named: dict[str, list[shapely.Geometry]] = {}
    strays = []
    for row, line in zip(drawn.index, drawn.geometry, strict=True):
        zone = _zone(line)
        # Fronts far away leave the zone's projection; only those a degree of latitude away or less are asked.
        near = [who for who, front in found.items() if _near(front, line, 360.0 if zone.polar else 10.0)]
        away = [shapely.distance(_joined(zone, [line]), _joined(zone, [found[who]])) for who in near]
        if away and min(away) <= FARTHEST_M:
            named.setdefault(near[int(np.argmin(away))], []).append(line)
        else:
            strays.append(f"row {row}")
    return named, strays


def _near(one: shapely.Geometry, other: shapely.Geometry, wide_deg: float) -> bool:
    """By first vertices; a line cut at 180° has no box."""
    lon, lat = np.abs(shapely.get_coordinates(one)[0] - shapely.get_coordinates(other)[0])
    return bool(min(lon, 360.0 - lon) < wide_deg and lat < 1.0)


def _zone(line: shapely.Geometry) -> Zone:
    """That of its first vertex."""
    lon, lat = shapely.get_coordinates(line)[0]
    return home_zone(float(lon), float(lat))


def _joined(zone: Zone, lines: list[shapely.Geometry]) -> shapely.Geometry:
    parts = shapely.get_parts(zone.project(np.array(lines, dtype=object)))
    return shapely.MultiLineString([part for part in parts if shapely.length(part) > 0])
