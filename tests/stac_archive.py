"""A small archive like the public ones, made of the sample observations: real COGs, and a STAC catalogue of them.

The rasters are repackaged, not invented: Sentinel-2 reflectance as counts with and without the offset of baseline
04.00, Sentinel-1 decibels as linear power, elevation models as they are, the Copernicus DEM of Mount Baker as the
one-degree tile that it was cut from. Made up is only what the samples lack: classes of the scene classification (bare
ground, no data and one cloud), names, orbits and hours. The backscatter is σ0 and is listed as if it were RTC, because
no public archive lists σ0 on a map: good for testing the flow, not for maps.

The same catalogue comes as files (on disk or in a bucket, relative addresses) and as items for `tests.stac_server`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.warp import Resampling, reproject

from core.objects import Objects
from core.urls import join_url

Item = dict[str, Any]
SEASONS = {"winter": "2024-01-15", "spring": "2024-04-15", "summer": "2024-07-15", "autumn": "2024-10-15"}
# (counts carry the offset of 1000, cloud of the whole scene in per cent): the least cloudy is preferred.
S2 = {"autumn": (True, 1.0), "spring": (True, 5.0), "summer": (False, 60.0), "winter": (False, 10.0)}
S2_ASSETS = ("blue", "green", "red", "nir", "swir16", "swir22")
S2_COLLECTION, S1_COLLECTION = "sentinel-2-l2a", "sentinel-1-rtc"
HMA, ASTER, LANDSAT = "hma-dem-8m", "aster-dem", "landsat-c2-l2"
BARE, CLOUD = 5, 9  # scene classification
COP_TILE = "Copernicus_DSM_COG_10_N48_00_W122_00_DEM"
S1_NODATA = -32768.0


def s2_id(season: str) -> str:
    return f"S2A_45RVL_{SEASONS[season].replace('-', '')}_0_L2A"


def s1_id(season: str) -> str:
    day = SEASONS[season].replace("-", "")
    return f"S1A_IW_GRDH_1SDV_{day}T001200_{day}T001225_0{_orbit(season)}_rtc"


@dataclass(frozen=True)
class Archive:
    """folder: of the archive on disk; url: of its copy in the bucket; items: with addresses in the bucket.

    Below both: cogs/, stac/catalog.json and cop30/ (tiles by name).
    """

    folder: Path
    url: str
    items: tuple[Item, ...]

    @property
    def static_on_disk(self) -> str:
        return str(self.folder / "stac" / "catalog.json")

    @property
    def static_in_bucket(self) -> str:
        return join_url(self.url, "stac/catalog.json")

    def cog(self, name: str) -> str:
        """Address of a raster in the bucket."""
        return join_url(self.url, f"cogs/{name}.tif")

    def add(self, path: Path) -> str:
        """Copy another raster into the bucket; its address."""
        key = f"added/{path.parent.name}/{path.name}"
        Objects(self.url).put(key, path.read_bytes())
        return join_url(self.url, key)

    def by_collection(self) -> dict[str, list[Item]]:
        """For `StacServer.items`."""
        out: dict[str, list[Item]] = {}
        for item in self.items:
            out.setdefault(item["collection"], []).append(deepcopy(item))
        return out

    def item(self, name: str) -> Item:
        """A copy to spoil."""
        return deepcopy(next(item for item in self.items if item["id"] == name))


def build_archive(samples: Path, folder: Path, url: str, clouded: str = "summer") -> Archive:
    """Write the archive under `folder` and copy it to `url`. clouded: season in which the west is under a cloud."""
    cogs = folder / "cogs"
    khumbu, everest = samples / "khumbu_s1_s2", samples / "everest_l7"
    items: list[Item] = []
    for season in SEASONS:
        items.append(_sentinel_2(khumbu / f"s2_{season}_2024.tif", cogs, season, season == clouded))
        items.append(_sentinel_1(khumbu / f"s1_{season}_2024_dB.tif", cogs, season))
    items.append(_elevation(khumbu / "hma-khumbu.tif", cogs, HMA, "2015-01-01", nodata=0))
    items.append(_elevation(samples / "exploradores" / "AST_L1A_00303182012144228_Z.tif", cogs, ASTER, "2012-03-18"))
    items.append(_landsat_7(everest, cogs))
    _copernicus(samples / "baker" / "cop30_baker.tif", folder / "cop30" / COP_TILE / f"{COP_TILE}.tif")
    disk, bucket = Objects(str(folder)), Objects(url)
    for key, data in static_catalog(items).items():
        disk.put(f"stac/{key}", data)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        bucket.put(path.relative_to(folder).as_posix(), path.read_bytes())
    return Archive(folder, url, tuple(addressed(item, url) for item in items))


def addressed(item: Mapping[str, Any], url: str) -> Item:
    """The item as an API gives it: addresses below `url` instead of relative ones."""
    out = deepcopy(dict(item))
    for asset in out["assets"].values():
        asset["href"] = join_url(url, asset["href"].removeprefix("../../"))
    return out


def static_catalog(items: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """Key → file of a catalogue with a collection for each of the items': COLLECTION/ITEM.json, relative links."""
    files: dict[str, Any] = {}
    links: dict[str, list[dict[str, str]]] = {}
    for item in items:
        name = f"{item['id']}.json"
        files[f"{item['collection']}/{name}"] = item
        links.setdefault(item["collection"], []).append({"rel": "item", "href": f"./{name}"})
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    about = {"stac_version": "1.0.0", "description": "repackaged samples"}
    for name, own in links.items():
        root = {"rel": "root", "href": "../catalog.json"}
        head = {"type": "Collection", "id": name, "license": "other", "extent": extent}
        files[f"{name}/collection.json"] = {**about, **head, "links": [root, *own]}
    children = [{"rel": "child", "href": f"./{name}/collection.json"} for name in links]
    files["catalog.json"] = {**about, "type": "Catalog", "id": "samples", "links": children}
    return {key: json.dumps(content).encode() for key, content in files.items()}


def write_cog(
    path: Path,
    values: NDArray[Any],
    transform: Affine,
    crs: CRS | str,
    nodata: float | None = None,
    *,
    classes: bool = False,
    block_px: int = 128,
) -> Path:
    """(band, h, w) as a Cloud Optimized GeoTIFF: tiled, deflated with a predictor, with reduced copies.

    classes: are not averaged in the copies.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    predictor = "NO" if classes else "YES"
    profile = {"driver": "COG", "count": count, "height": height, "width": width, "dtype": values.dtype}
    options = {
        "blocksize": block_px,
        "compress": "deflate",
        "predictor": predictor,
        "overview_resampling": "nearest" if classes else "average",
        "overviews": "auto",
    }
    with rasterio.open(path, "w", crs=crs, transform=transform, nodata=nodata, **profile, **options) as dataset:
        dataset.write(values)
    return path


def item_of(
    name: str,
    collection: str,
    when: str,
    bounds: tuple[float, float, float, float],
    assets: Mapping[str, Mapping[str, Any]],
    **properties: Any,
) -> Item:
    """A STAC item over (w, s, e, n) degrees."""
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": collection,
        "properties": {"datetime": when, **properties},
        "geometry": json.loads(shapely.to_geojson(shapely.box(*bounds))),
        "bbox": list(bounds),
        "links": [],
        "assets": {key: dict(asset) for key, asset in assets.items()},
    }


def _sentinel_2(path: Path, cogs: Path, season: str, clouded: bool) -> Item:
    """Counts of reflectance · 10⁴, in autumn and spring + 1000; 0 is no data."""
    with rasterio.open(path) as source:
        reflectance, transform, crs, bounds = source.read(), source.transform, source.crs, source.bounds
    offset, cloud = S2[season]
    counts = np.maximum(np.round(reflectance * 1e4), 1) + (1000 if offset else 0)
    counts = np.where(reflectance == 0, 0, counts).astype(np.uint16)
    classes = np.where((counts == 0).any(axis=0), 0, BARE).astype(np.uint8)
    if clouded:
        classes[:, : classes.shape[1] // 2] = CLOUD
    name = s2_id(season)
    for key, plane in zip(S2_ASSETS, counts, strict=True):
        write_cog(cogs / name / f"{key}.tif", plane[None], transform, crs, 0)
    write_cog(cogs / name / "scl.tif", classes[None], transform, crs, 0, classes=True)
    return item_of(
        name,
        S2_COLLECTION,
        f"{SEASONS[season]}T04:52:31Z",
        tuple(bounds),
        {key: {"href": f"../../cogs/{name}/{key}.tif"} for key in (*S2_ASSETS, "scl")},
        **{
            "platform": "sentinel-2a",
            "grid:code": "MGRS-45RVL",
            "proj:epsg": 4326,
            "eo:cloud_cover": cloud,
            "s2:processing_baseline": "05.10",
            "earthsearch:boa_offset_applied": not offset,
        },
    )


def _sentinel_1(path: Path, cogs: Path, season: str) -> Item:
    """Linear power, one file a polarisation. Winter is called a descending pass."""
    with rasterio.open(path) as source:
        decibels, transform, crs, bounds = source.read(), source.transform, source.crs, source.bounds
    power = np.power(10.0, decibels.astype(np.float64) / 10.0).astype(np.float32)
    power[~np.isfinite(decibels)] = S1_NODATA
    name = s1_id(season)
    for key, plane in zip(("vv", "vh"), power, strict=True):
        write_cog(cogs / name / f"{key}.tif", plane[None], transform, crs, S1_NODATA)
    return item_of(
        name,
        S1_COLLECTION,
        f"{SEASONS[season]}T00:12:12Z",
        tuple(bounds),
        {key: {"href": f"../../cogs/{name}/{key}.tif"} for key in ("vv", "vh")},
        **{
            "platform": "SENTINEL-1A",
            "proj:epsg": 4326,
            "sat:orbit_state": "descending" if season == "winter" else "ascending",
            "sat:absolute_orbit": _orbit(season),
        },
    )


def _elevation(path: Path, cogs: Path, collection: str, day: str, nodata: float | None = None) -> Item:
    with rasterio.open(path) as source:
        values, transform, crs, bounds = source.read(), source.transform, source.crs, source.bounds
        nodata = source.nodata if nodata is None else nodata
    # The item says what is void, the file does not: as of the elevation models that people hand around.
    write_cog(cogs / f"{collection}.tif", values, transform, crs, None, block_px=256)
    box = Transformer.from_crs(crs, 4326, always_xy=True).transform_bounds(*bounds)
    asset = {"href": f"../../cogs/{collection}.tif", "raster:bands": [{"nodata": nodata}]}
    return item_of(
        collection, collection, f"{day}T00:00:00Z", box, {"elevation": asset}, **{"proj:epsg": crs.to_epsg()}
    )


def _landsat_7(folder: Path, cogs: Path) -> Item:
    """Four bands as they are, uint8. Without short-wave infrared it is no scene of Level 2."""
    name = "LE71400412000304SGS00"
    with rasterio.open(folder / f"{name}_RGB.tif") as rgb, rasterio.open(folder / f"{name}_B4.tif") as near:
        planes, transform, crs, bounds = (*rgb.read(), near.read(1)), rgb.transform, rgb.crs, rgb.bounds
    for key, plane in zip(("red", "green", "blue", "nir08"), planes, strict=True):
        write_cog(cogs / name / f"{key}.tif", plane[None], transform, crs)
    box = Transformer.from_crs(crs, 4326, always_xy=True).transform_bounds(*bounds)
    assets = {key: {"href": f"../../cogs/{name}/{key}.tif"} for key in ("red", "green", "blue", "nir08")}
    said = {"platform": "landsat-7", "landsat:wrs_path": "140", "landsat:wrs_row": "041", "proj:epsg": 32645}
    return item_of(name, LANDSAT, "2000-10-30T04:30:00Z", box, assets, **said)


def _copernicus(path: Path, out: Path) -> None:
    """The whole one-degree tile at one second of arc, half a pixel off the degree as the real ones are."""
    step = 1 / 3600
    transform = Affine(step, 0, -122 - step / 2, 0, -step, 49 + step / 2)
    tile = np.full((1, 3600, 3600), -32767.0, dtype=np.float32)
    with rasterio.open(path) as source:
        reproject(
            rasterio.band(source, 1),
            tile[0],
            dst_transform=transform,
            dst_crs="EPSG:4326",
            dst_nodata=-32767.0,
            resampling=Resampling.bilinear,
        )
    write_cog(out, tile, transform, "EPSG:4326", -32767.0, block_px=1024)


def _orbit(season: str) -> int:
    return 52100 + 400 * list(SEASONS).index(season)
