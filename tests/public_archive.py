"""Small copies of the public archives: items as they list them, moved over one made glacier, and the rasters they name.

The items are those of tests/data/stac with another place and day; rasters lie in buckets of the archives' own names and
under their own keys. What is on hosts that only their owners can serve (Azure, Earthdata) gets an address in a bucket,
so tokens and logins play no part.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import geopandas as gpd
import h5py
import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from core.grid import BLOCK_M, Block, home_zone
from core.grid.lattice import TOP_M
from core.search.assets import address, find_asset, is_container
from core.search.named import Cell, tiling
from core.sensors import Product
from core.sensors.products import product

RECORDED = Path(__file__).parent / "data" / "stac"
ICE = {"blue": 0.70, "green": 0.70, "red": 0.70, "nir": 0.60, "swir1": 0.05, "swir2": 0.05}
ROCK = {"blue": 0.10, "green": 0.10, "red": 0.12, "nir": 0.20, "swir1": 0.25, "swir2": 0.25}
# Everywhere: backscatter in dB, temperature in K, height in m, coherence, velocity along the axes of its raster.
EVERYWHERE = {"vv_db": -10.0, "vh_db": -17.0, "kelvin": 270.0, "elevation_m": 1200.0, "coh12": 0.4, "coh24": 0.3}
VELOCITY = {"v_m_a": 50.0, "vx_m_a": 30.0, "vy_m_a": -40.0}
RADIUS_M, HALF_M, PIXEL_M = 500.0, 3000.0, 60.0
CLEAR = {"sentinel2_l2a": 5, "landsat_c2_l2": 21824, "landsat_c2_l2_st": 21824, "hls_s30": 64, "hls_l30": 64}


@dataclass(frozen=True)
class Place:
    """A round glacier in the middle of the block at a longitude and latitude."""

    region: str
    lon: float
    lat: float

    @cached_property
    def block(self) -> Block:
        zone = home_zone(self.lon, self.lat)
        x, y = zone.project_points(np.array([self.lon]), np.array([self.lat]))
        return Block(zone, int((TOP_M - y[0]) // BLOCK_M), int(x[0] // BLOCK_M))

    @property
    def crs(self) -> str:
        return f"EPSG:{self.block.zone.epsg}"

    def middle(self, crs: str | int | None = None) -> tuple[float, float]:
        """Of the block, in the metres of its zone or in another system."""
        xmin, ymin, xmax, ymax = self.block.bounds_m
        x, y = (xmin + xmax) / 2, (ymin + ymax) / 2
        return (x, y) if crs is None else Transformer.from_crs(self.crs, crs, always_xy=True).transform(x, y)

    def cell(self) -> Cell:
        lon, lat = self.middle(4326)
        return Cell(int(np.floor(lat)), int(np.floor(lon)))

    def write_inventory(self, path: Path) -> Path:
        disc = shapely.Point(*self.middle()).buffer(RADIUS_M)
        columns = {"RGIId": [f"RGI60-{self.region}.00001"], "O1Region": [self.region]}
        gpd.GeoDataFrame(columns, geometry=[disc], crs=self.crs).to_crs(4326).to_file(path)
        return path


@dataclass(frozen=True)
class PublicArchive:
    """Writes rasters into buckets of the S3 endpoint of the environment. folder: for files on their way there."""

    place: Place
    folder: Path

    def item(self, recorded: str, of: str, day: dt.date, suffix: str = "") -> dict[str, Any]:
        """The recorded item over the place on a day, and its rasters; of: name of the product."""
        item = json.loads((RECORDED / f"{recorded}.json").read_text())
        entry = product(of)
        lon, lat = self.place.middle(4326)
        box = (lon - 1.0, lat - 0.4, lon + 1.0, lat + 0.4)
        item |= {"id": item["id"] + suffix, "bbox": list(box), "links": []}
        item["geometry"] = json.loads(shapely.to_geojson(shapely.box(*box)))
        said = item["properties"]
        said["datetime"] = f"{day}T12:00:00Z"
        said |= {key: f"{day}T12:00:00Z" for key in ("start_datetime", "end_datetime") if key in said}
        for band in entry.bands:
            found = find_asset(item, band.assets, band.common_name)
            assert found is not None, (recorded, band.band)
            self._fill(item, entry, found[0], band.band)
        for key in [key for key in (entry.qa.assets if entry.qa else ()) if key in item["assets"]]:
            clear = np.full(self._ice.shape, CLEAR[of], dtype=np.uint8 if CLEAR[of] < 256 else np.uint16)
            self._put_raster(self._addressed(item["assets"][key], entry), clear, None)
        if not is_container(next(iter(item["assets"].values()))["href"]):
            said.pop("proj:code", None)
            said["proj:epsg"] = self.place.block.zone.epsg
        return item

    def tile(self, of: str, band: str, cell: Cell, season: str = "") -> None:
        """A tile of an archive that is found by names; a hundred pixels to the degree."""
        entry = product(of)
        names = tiling(entry)
        scale = next(b for b in entry.bands if b.band == band).scale or entry.scale
        values = np.full((120, 120), EVERYWHERE[band] / scale, dtype=np.float32 if scale == 1 else np.uint8)
        transform = Affine(0.01, 0, cell.lon - 0.1, 0, -0.01, cell.lat + 1.1)
        self._put_raster(
            f"{entry.catalog}/{names.key(names.tile(cell), band, season)}", values, entry.nodata, transform, "EPSG:4326"
        )

    def _fill(self, item: dict[str, Any], entry: Product, key: str, band: str) -> None:
        href = self._addressed(item["assets"][key], entry)
        if is_container(href):
            self._put(href, lambda path: self._velocity(path, item["properties"]["proj:code"]))
            return
        values = (
            np.where(self._ice, ICE[band], ROCK[band]) if band in ICE else np.full(self._ice.shape, EVERYWHERE[band])
        )
        stored = (values - entry.offset) / entry.scale
        if entry.linear_power:
            self._put_raster(href, (10.0 ** (values / 10.0)).astype(np.float32), entry.nodata)
        else:
            dtype = np.int16 if (entry.nodata or 0) < 0 else np.uint16
            self._put_raster(href, np.round(stored).astype(dtype), entry.nodata)

    def _addressed(self, asset: dict[str, Any], entry: Product) -> str:
        """The S3 address of an asset; where it is on another host it gets one."""
        found = address(asset, entry.access.buckets, "")
        if not found.startswith("s3://"):
            parts = urlsplit(found)
            path = parts.path.lstrip("/")
            own = path.split("/")[0] in entry.access.buckets
            found = asset["href"] = f"s3://{path}" if own else f"s3://{parts.netloc.split('.')[0]}/{path}"
            asset.pop("alternate", None)
        return found

    @cached_property
    def _ice(self) -> NDArray[np.bool_]:
        n = round(2 * HALF_M / PIXEL_M)
        centre = (np.arange(n) + 0.5) * PIXEL_M - HALF_M
        return np.asarray(np.hypot(*np.meshgrid(centre, centre)) < RADIUS_M)

    def _put_raster(
        self,
        href: str,
        values: NDArray[Any],
        nodata: float | None,
        transform: Affine | None = None,
        crs: str | None = None,
    ) -> None:
        x, y = self.place.middle()
        transform = transform or Affine(PIXEL_M, 0, x - HALF_M, 0, -PIXEL_M, y + HALF_M)
        profile = {"driver": "GTiff", "count": 1, "height": values.shape[0], "width": values.shape[1]}

        def write(path: Path) -> None:
            with rasterio.open(
                path,
                "w",
                **profile,
                dtype=values.dtype,
                crs=crs or self.place.crs,
                transform=transform,
                nodata=nodata,
                compress="deflate",
            ) as dataset:
                dataset.write(values, 1)

        self._put(href, write)

    def _velocity(self, path: Path, crs: str) -> None:
        """NetCDF-4 as ITS_LIVE has it: int16 and −32767 on a grid of 120 m."""
        x, y = self.place.middle(crs)
        steps = (np.arange(60) - 29.5) * 120.0
        with h5py.File(path, "w") as file:
            for name, values in (("x", x + steps), ("y", y - steps)):
                file[name] = values
                file[name].make_scale(name)
            mapping = file.create_dataset("mapping", data=np.array("", dtype=h5py.string_dtype()))
            mapping.attrs["crs_wkt"] = CRS.from_user_input(crs).to_wkt()
            mapping.attrs["spatial_epsg"] = CRS.from_user_input(crs).to_epsg()
            for name, value in VELOCITY.items():
                made = file.create_dataset(
                    name.split("_")[0], data=np.full((60, 60), value, dtype=np.int16), chunks=True
                )
                made.attrs["_FillValue"] = np.array([-32767], dtype=np.int16)
                made.attrs["grid_mapping"] = "mapping"
                made.dims[0].attach_scale(file["y"])
                made.dims[1].attach_scale(file["x"])

    def _put(self, href: str, write: Callable[[Path], None]) -> None:
        parts = urlsplit(href)
        local = self.folder / parts.netloc / parts.path.lstrip("/")
        if not local.exists():
            local.parent.mkdir(parents=True, exist_ok=True)
            write(local)
        client = boto3.client("s3")
        # Public as the real ones are: some of them are read without a signature.
        client.create_bucket(Bucket=parts.netloc, ACL="public-read")
        client.upload_file(str(local), parts.netloc, parts.path.lstrip("/"), ExtraArgs={"ACL": "public-read"})


def without(item: dict[str, Any], asset: str) -> dict[str, Any]:
    """The item as a catalogue lists it that lacks an asset."""
    spoilt = deepcopy(item)
    del spoilt["assets"][asset]
    return spoilt
