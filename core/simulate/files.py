"""Files of the SIMULATED world: GeoTIFF scenes, vector tables and the configuration that maps them.

Every raster carries the tag SIMULATED=YES; the configuration says `simulated: true`.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml
from affine import Affine
from numpy.typing import NDArray

from core.grid import Zone
from core.simulate.cloud import FILL, INVALID
from core.simulate.optical import SCALE
from core.simulate.site import Acquisition, Site
from core.simulate.spectra import BANDS
from core.simulate.tables import YEAR, SiteTables

NOTICE = "SIMULATED data: made by a program, shows no real place. Not for any glaciological use."
_HEADER = f"# {NOTICE}\n# Maps the simulated world beside this file: icefleet run demo.yaml\n"
DEMO_RES_M = 60


def write_raster(
    path: Path,
    data: NDArray[Any],
    transform: Affine,
    zone: Zone,
    nodata: float | None,
    names: tuple[str, ...],
    tags: dict[str, str],
) -> None:
    """Tiled, deflated GeoTIFF of (band, rows, cols), labelled as simulated."""
    options = {"predictor": 3 if data.dtype.kind == "f" else 2 if data.dtype.itemsize == 2 else 1, "zlevel": 6}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=data.shape[2],
        height=data.shape[1],
        count=data.shape[0],
        dtype=data.dtype,
        crs=f"EPSG:{zone.epsg}",
        transform=transform,
        nodata=nodata,
        tiled=True,
        blockxsize=256,
        blockysize=256,
        compress="deflate",
        interleave="band",
        num_threads=2,
        **options,
    ) as file:
        file.write(data)
        file.update_tags(SIMULATED="YES", DESCRIPTION=NOTICE, **tags)
        for i, name in enumerate(names, 1):
            file.set_band_description(i, name)


def write_scene(
    folder: Path,
    site: Site,
    acquisition: Acquisition,
    zone: Zone,
    transform: Affine,
    stored: NDArray[np.uint16],
    mask: NDArray[np.uint8],
) -> dict[str, Any]:
    """The two files of a scene; returns its entry of the configuration, with paths relative to `folder`."""
    name = f"SIM-{site.name}-{acquisition.date:%Y%m%d}"
    tags = {"SCENE": name, "ACQUISITION_DATE": acquisition.date.isoformat()}
    optical, classes = f"scenes/{name}.tif", f"scenes/{name}_mask.tif"
    write_raster(folder / optical, stored, transform, zone, 0, BANDS, {**tags, "SCALE": str(SCALE)})
    legend = {"CLASSES": "0 fill, 1 cloud-free, 2 cloud, 3 cloud shadow"}
    write_raster(folder / classes, mask[None], transform, zone, FILL, ("class",), {**tags, **legend})
    return {
        "id": name,
        "sensor": "optical",
        "date": acquisition.date,
        "files": [{"path": optical, "bands": {b: i for i, b in enumerate(BANDS, 1)}, "scale": SCALE, "nodata": 0}],
        "mask": {"path": classes, "invalid": list(INVALID)},
    }


def write_dem(folder: Path, site: Site, zone: Zone, transform: Affine, surface: NDArray[np.float32]) -> dict[str, Any]:
    """The elevation model of a site, to the decimetre; returns its entry of the configuration."""
    name = f"dem/SIM-{site.name}-dem.tif"
    write_raster(folder / name, np.round(surface, 1)[None], transform, zone, None, ("elevation_m",), {"UNITS": "m"})
    return {
        "id": f"SIM-{site.name}-dem",
        "sensor": "dem",
        "date": dt.date(YEAR, 7, 1),
        "files": [{"path": name, "bands": {"elevation_m": 1}}],
    }


def write_tables(folder: Path, tables: SiteTables) -> tuple[Path, Path]:
    """(outlines.gpkg, truth.parquet)."""
    outlines, truth = folder / "outlines.gpkg", folder / "truth.parquet"
    outlines.unlink(missing_ok=True)
    tables.inventory.to_file(outlines, layer="SIMULATED_glaciers", driver="GPKG")
    tables.truth.to_parquet(truth)
    return outlines, truth


def write_config(path: Path, outlines: str, scenes: list[dict[str, Any]]) -> None:
    """The configuration of the demo run. Paths are relative, so the folder can be moved."""
    config = {
        "name": "demo",
        "simulated": True,
        "year": YEAR,
        "inventory": [outlines],
        "output": "runs",
        "tiles": "tiles",
        "grid": {"res_m": DEMO_RES_M},
        "model": {"name": "band_ratio"},
        "sensors": {"optical": {"res_m": DEMO_RES_M}, "dem": {"res_m": DEMO_RES_M}},
        "scenes": scenes,
    }
    path.write_text(_HEADER + yaml.safe_dump(config, sort_keys=False, width=110), encoding="utf-8")
