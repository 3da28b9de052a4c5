"""`icefleet divide`: glacier complexes without divides → an inventory of single glaciers."""

from __future__ import annotations

import datetime as dt
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import typer
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from core.config import FileConfig, SceneConfig
from core.errors import ConfigError, PoisonError
from core.grid import Lattice, PixelWindow, Zone
from core.ingest.observe import Observer
from core.ingest.raster import public, read_header
from core.inventory import area_km2, read_inventory, split_antimeridian, unwrap_longitudes, wrap_degrees
from core.measure.complexes import DivideRules, complex_window, divide_complex
from core.plan.outlines import project_outlines
from core.sensors.registry import sensor
from core.stopwatch import Stopwatch
from jobs.console import FAILED, OK, AsJson, console, print_json, run_verb, table
from jobs.models import Line

_FORMATS = (".gpkg", ".parquet", ".geoparquet")
# True of a complex as a whole, and of none of its glaciers.
_OF_THE_WHOLE = ("glims_id", "term_type", "zmin_m", "zmax_m", "zmed_m", "zmean_m", "slope_deg", "aspect_deg", "lmax_m")
_DATE_LENGTH = {"year": 4, "month": 7}
_NOT_WRITTEN = ("geometry_area_km2", "zone", "problem", "source", "version", "src_date_precision")


@dataclass(frozen=True)
class _Divided:
    """One complex: its glaciers in lon/lat, or why it stays whole."""

    rgi_id: str
    glaciers: NDArray[np.object_]
    reason: str | None = None


def divide(
    outlines: Annotated[
        str, typer.Argument(metavar="OUTLINES", help="glacier complexes: RGI 7.0-C or any outlines that read as those")
    ],
    dem: Annotated[str, typer.Argument(metavar="DEM", help="elevations in metres: GeoTIFF or VRT, any projection")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="NAME.gpkg or NAME.parquet (GeoParquet)")],
    res_m: Annotated[int, typer.Option("--res", help="pixels of the division in metres: 10, 20, 30, 60 or 120")] = 30,
    sag_m: Annotated[
        float, typer.Option("--sag", min=0, help="metres; ice on both sides of a pass lower than that is one glacier")
    ] = DivideRules.sag_m,
    smallest_km2: Annotated[
        float, typer.Option("--smallest", min=0, help="km²; what is smaller joins its neighbour")
    ] = DivideRules.smallest_km2,
    as_json: AsJson = False,
) -> None:
    """Divide glacier complexes along ice divides, where an inventory has none.

    The ice surface is cut into catchments, and those that are one glacier are merged, after Kienholz et al. 2013. The
    file can be named under `inventory` of a configuration: a glacier is called after its complex and a number
    (RGI2000-v7.0-C-11-02192-01), the largest first; region, date and name are those of the complex. Together the
    glaciers are exactly their complex. A higher --sag gives fewer and larger glaciers. Where an inventory with divides
    exists, use that one: in the Alps 85 % of a complex of 78 km² fell to the same glacier as in the RGI.

    A complex that the elevation model does not cover stays whole; it is listed, and the exit code is 1.

    Example: icefleet divide rgi_complexes.gpkg copernicus_dem.vrt --out glaciers.gpkg
    """
    _check(out, dem)
    rules = replace(DivideRules(), sag_m=sag_m, smallest_km2=smallest_km2)
    complexes = read_inventory([outlines], None).glaciers
    complexes = complexes[complexes["problem"].isna()].reset_index(drop=True)
    if complexes.empty:
        raise ConfigError(outlines, found="no outline that can be used", expected="polygons of glacier complexes")
    done = []
    with Line("divide", as_json) as line:
        for k, row in enumerate(complexes.itertuples(index=False)):
            done.append(_divided(str(row.rgi_id), row.geometry, Zone(str(row.zone)), dem, res_m, rules))
            line.move(k + 1, len(complexes))
    whole = [d for d in done if d.reason]
    if len(whole) == len(done):
        raise ConfigError(
            dem, found=str(whole[0].reason), expected="elevations for the complexes", fix="give a DEM that covers them"
        )
    glaciers = _inventory(complexes, done)
    _write(glaciers, out)
    if as_json:
        print_json(_plain(out, glaciers, done))
    else:
        _show(out, glaciers, done)
    raise typer.Exit(FAILED if whole else OK)


def _check(out: Path, dem: str) -> None:
    """What can be known to fail before anything is computed."""
    if out.suffix.lower() not in _FORMATS:
        raise ConfigError(str(out), found=f"the suffix {out.suffix or '(none)'}", expected=" or ".join(_FORMATS[:2]))
    if not out.parent.is_dir():
        raise ConfigError(str(out), found="no such folder", fix=f"mkdir -p {out.parent}")
    try:
        header = read_header(dem)
    except RasterioError as error:
        raise ConfigError(public(dem), found=str(error), expected="a raster of elevations") from None
    if not header.crs_wkt:
        raise ConfigError(public(dem), found="no CRS", expected="a georeferenced raster", fix="gdal_edit.py -a_srs")


def _divided(rgi_id: str, outline: shapely.Geometry, zone: Zone, dem: str, res_m: int, rules: DivideRules) -> _Divided:
    lattice = Lattice(zone, res_m)
    (outline_m,) = project_outlines(zone, np.array([outline], dtype=object))
    window = complex_window(shapely.bounds(outline_m).tolist(), lattice, rules)
    try:
        parts = divide_complex(outline_m, _elevation(dem, lattice, window, rgi_id), lattice, window, rules)
    except PoisonError as error:
        return _Divided(rgi_id, np.array([outline], dtype=object), error.found)
    if len(parts) == 1:
        return _Divided(rgi_id, np.array([outline], dtype=object))
    return _Divided(rgi_id, unwrap_longitudes(zone.unproject(parts)))


def _elevation(dem: str, lattice: Lattice, window: PixelWindow, rgi_id: str) -> NDArray[np.float32]:
    """(rows, cols) metres on `window`, NaN unknown: averaged or interpolated like every other raster."""
    kind = sensor("dem")
    band = kind.band_names[0]
    scene = SceneConfig(
        id="dem", sensor=kind.name, date=dt.date(2000, 1, 1), files=[FileConfig(path=dem, bands={band: 1})]
    )
    with ExitStack() as stack:
        observer = Observer(scene, kind, lattice, window, f"complex {rgi_id}", stack, Stopwatch())
        return np.asarray(observer.observe(window).values[kind.band_index(band)])


def _inventory(complexes: gpd.GeoDataFrame, done: list[_Divided]) -> gpd.GeoDataFrame:
    """One row per glacier; a complex that stayed whole keeps its id and all that was known of it."""
    count = np.array([len(d.glaciers) for d in done])
    rows = complexes.iloc[np.repeat(np.arange(len(done)), count)].reset_index(drop=True)
    geometry = np.concatenate([d.glaciers for d in done])
    several = np.repeat(count > 1, count)
    number = np.concatenate([np.arange(1, n + 1) for n in count])
    rows["complex_id"] = rows["rgi_id"]
    ids = rows["rgi_id"].to_numpy(dtype=object)
    rows["rgi_id"] = [f"{i}-{n:02d}" if s else i for i, n, s in zip(ids, number, several, strict=True)]
    for name in _OF_THE_WHOLE:
        rows[name] = rows[name].mask(several)
    rows["area_km2"] = np.where(several | rows["area_km2"].isna(), area_km2(geometry), rows["area_km2"])
    point = shapely.point_on_surface(geometry)
    rows["cenlon"] = np.where(several, wrap_degrees(shapely.get_x(point)), rows["cenlon"])
    rows["cenlat"] = np.where(several, shapely.get_y(point), rows["cenlat"])
    # As much of the date as is known, so that reading it again finds the same precision.
    dates = zip(rows["src_date"], rows["src_date_precision"], strict=True)
    rows["src_date"] = [None if pd.isna(d) else d.isoformat()[: _DATE_LENGTH.get(known, 10)] for d, known in dates]
    plain = rows.drop(columns=[*_NOT_WRITTEN, "geometry"])
    return gpd.GeoDataFrame(plain, geometry=split_antimeridian(geometry), crs="EPSG:4326")


def _write(glaciers: gpd.GeoDataFrame, out: Path) -> None:
    try:
        if out.suffix.lower() == ".gpkg":
            glaciers.to_file(out, driver="GPKG", layer=out.stem)
        else:
            glaciers.to_parquet(out)
    except OSError as error:
        raise ConfigError(str(out), found=error.strerror or str(error), expected="a file that can be written") from None


def _plain(out: Path, glaciers: gpd.GeoDataFrame, done: list[_Divided]) -> dict[str, Any]:
    return {
        "out": str(out),
        "complexes": len(done),
        "divided": sum(len(d.glaciers) > 1 for d in done),
        "glaciers": len(glaciers),
        "area_km2": float(glaciers["area_km2"].sum()),
        "left_whole": [{"rgi_id": d.rgi_id, "reason": d.reason} for d in done if d.reason],
    }


def _show(out: Path, glaciers: gpd.GeoDataFrame, done: list[_Divided]) -> None:
    area = glaciers.groupby("complex_id")["area_km2"]
    largest, total = area.max(), area.sum()
    shown = sorted((d for d in done if len(d.glaciers) > 1), key=lambda d: -total[d.rgi_id])[:20]
    table(
        f"{len(done):,} complexes, {len(glaciers):,} glaciers",
        ["complex", "glaciers", "km²", "largest km²"],
        ((d.rgi_id, len(d.glaciers), f"{total[d.rgi_id]:.2f}", f"{largest[d.rgi_id]:.2f}") for d in shown),
    )
    for d in done:
        if d.reason:
            console.print(f"left whole: {d.rgi_id}: {d.reason}", markup=False)
    console.print(f"inventory   {out}", markup=False)


if __name__ == "__main__":
    run_verb(divide)
