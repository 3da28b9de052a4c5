"""Resolve: one STAC item → the scene that ingest can read, with every number of its files, or why it cannot be used.

Nothing is guessed twice: offsets that depend on the processing baseline, linear power, the elevation of the sun and
the lines to OLI are all folded into scale and offset here, so that what reads the files knows one straight line. What
an item lacks makes it unusable, with a reason for the report; it never makes a scene of fewer bands.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from pyproj.exceptions import CRSError
from shapely.errors import GEOSException
from shapely.geometry.base import BaseGeometry

from core.config import FileConfig, MaskConfig, SceneConfig, SourceConfig
from core.inventory import split_antimeridian, unwrap_longitudes
from core.search import acquisition, assets, radiometry
from core.search.assets import NoUseError
from core.search.item import item_geometry
from core.sensors import Product, ProductBand
from core.sensors.bandpass import to_oli

Bounds = tuple[float, float, float, float]

_WHOLE_TURN_DEG = 359.9  # around the globe, not across 180°


@dataclass(frozen=True)
class Found:
    """A usable scene.

    bounds: west, south, east, north, degrees; west > east means that it crosses 180°. footprint: within ±180, None if
    the item has none. acquisition, processed: see `core.search.acquisition`; of listings of one acquisition that lie
    within minutes and show the same ground, the highest `processed` is wanted (`core.search.duplicates`).
    """

    scene: SceneConfig
    acquired: dt.datetime
    bounds: Bounds
    footprint: BaseGeometry | None
    acquisition: str
    processed: str


@dataclass(frozen=True)
class Unusable:
    """An item that is no scene of this product, and why, in one clause."""

    id: str
    reason: str


def resolve_item(item: Mapping[str, Any], product: Product, source: SourceConfig, catalog_url: str) -> Found | Unusable:
    """A STAC item as a scene of the product.

    item: plain dictionary, STAC 1.0 or 1.1. catalog_url: base of relative addresses where the item does not give its
    own. Never raises for what is in the item: one broken entry of an archive must not stop the search of a planet.
    """
    name = str(item.get("id") or "")
    try:
        return _resolve(item, name, product, source, catalog_url)
    except NoUseError as error:
        return Unusable(name, str(error))
    except (AttributeError, LookupError, TypeError, ValueError, GEOSException) as error:
        return Unusable(name, f"it is no STAC item: {' '.join(f'{type(error).__name__}: {error}'.split())[:160]}")


def _resolve(item: Mapping[str, Any], name: str, product: Product, source: SourceConfig, catalog_url: str) -> Found:
    if not name:
        raise NoUseError("it has no id")
    if not isinstance(item.get("properties"), Mapping):
        raise NoUseError("it has no properties")
    platform = acquisition.platform_of(item)
    _is_of_product(item, product, platform)
    acquired = acquisition.acquired_of(item)
    if acquired is None:
        raise NoUseError("it has no datetime")
    bounds, footprint = _extent(item)
    base = assets.item_url(item, catalog_url)
    dn_offset = radiometry.dn_offset_of(item, product, acquired)
    files = [_file(item, product, source, band, platform, dn_offset, base) for band in product.bands]
    scene = SceneConfig(
        id=name,
        sensor=product.sensor,
        date=acquired.date(),
        files=_joined(files),
        mask=_mask(item, product, base),
        product=product.name,
        dn_offset=dn_offset,
        cloud_percent=_cloud_percent(item),
    )
    key, processed = acquisition.acquisition_of(item, platform), acquisition.processed_of(item)
    return Found(scene, acquired, bounds, footprint, key, processed)


def _is_of_product(item: Mapping[str, Any], product: Product, platform: str) -> None:
    if product.platforms and platform not in product.platforms:
        raise NoUseError(f"platform {platform or 'unknown'} is none of {', '.join(product.platforms)}")
    for key, wanted in product.properties:
        known = acquisition.orbit_state_of(item) if key == "sat:orbit_state" else item["properties"].get(key)
        if str(known or "").lower() != wanted.lower():
            raise NoUseError(f"{key} is {known or 'not given'}, not {wanted}")


def _file(
    item: Mapping[str, Any],
    product: Product,
    source: SourceConfig,
    band: ProductBand,
    platform: str,
    dn_offset: int,
    base: str,
) -> FileConfig:
    asset = _asset(item, band.assets, band.common_name, f"band {band.band}")
    path = assets.address(asset, product.access.buckets, base)
    said = assets.numbers_of(asset, band.index)
    scale, offset = radiometry.scale_and_offset(item, product, band, said, dn_offset)
    line = to_oli(platform, band.band) if _harmonises(product, source) else None
    if line is not None:
        scale, offset = line.folded(scale, offset)
    try:
        crs = assets.crs_of(item, asset)
    except CRSError as error:
        raise NoUseError(str(error)) from None
    return FileConfig(
        path=path,
        bands={band.band: band.index},
        scale=scale,
        offset=offset,
        nodata=said.nodata if product.nodata is None else product.nodata,
        crs=crs,
        linear_power=product.linear_power,
        variable=band.variable if assets.is_container(path) else None,
    )


def _harmonises(product: Product, source: SourceConfig) -> bool:
    """The lines hold for surface reflectance."""
    return source.harmonise == "oli" and product.sensor == "optical" and not product.harmonised


def _mask(item: Mapping[str, Any], product: Product, base: str) -> MaskConfig | None:
    """Without its mask a scene would show clouds as ground, so a missing one makes it unusable."""
    if product.qa is None:
        return None
    asset = _asset(item, product.qa.assets, "", "its mask")
    path = assets.address(asset, product.access.buckets, base)
    return MaskConfig(path=path, invalid=list(product.qa.classes), bits=list(product.qa.bits))


def _asset(item: Mapping[str, Any], keys: Iterable[str], common_name: str, what: str) -> Mapping[str, Any]:
    found = assets.find_asset(item, keys, common_name)
    if found is None:
        has = ", ".join(sorted(item.get("assets") or {})) or "none"
        raise NoUseError(f"asset of {what} missing: has {has}")
    if not found[1].get("href"):
        raise NoUseError(f"asset {found[0]} has no address")
    return found[1]


def _joined(files: list[FileConfig]) -> list[FileConfig]:
    """Bands of one raster with the same numbers are one file, opened once."""
    joined: dict[str, FileConfig] = {}
    for file in files:
        key = file.model_copy(update={"bands": {}}).model_dump_json()
        bands = {**joined[key].bands, **file.bands} if key in joined else file.bands
        joined[key] = file.model_copy(update={"bands": bands})
    return list(joined.values())


def _cloud_percent(item: Mapping[str, Any]) -> float | None:
    cloud = item["properties"].get("eo:cloud_cover")
    known = isinstance(cloud, int | float) and not isinstance(cloud, bool) and 0 <= cloud <= 100
    return float(cloud) if known else None


def _extent(item: Mapping[str, Any]) -> tuple[Bounds, BaseGeometry | None]:
    """(bounds, footprint within ±180); the bounds that the item gives where it has no footprint."""
    footprint = _polygons(item)
    if footprint is not None:
        _, south, _, north = footprint.bounds
        if any(part.bounds[2] - part.bounds[0] >= _WHOLE_TURN_DEG for part in shapely.get_parts(footprint)):
            return (-180.0, south, 180.0, north), footprint
        array = np.array([footprint], dtype=object)
        whole = unwrap_longitudes(array)
        west, south, east, north = whole[0].bounds
        bounds = (west + 360.0 if west < -180.0 else west, south, east - 360.0 if east > 180.0 else east, north)
        return bounds, split_antimeridian(whole)[0]
    box = item.get("bbox") or []
    try:
        west, south, east, north = (float(box[k]) for k in ((0, 1, 2, 3) if len(box) == 4 else (0, 1, 3, 4)))
    except (IndexError, TypeError, ValueError):
        raise NoUseError("it has neither a footprint nor a bbox") from None
    return (west, south, east, north), None


def _polygons(item: Mapping[str, Any]) -> BaseGeometry | None:
    """The valid, flat (multi)polygon of the item; None if it has none."""
    found = item_geometry(item)
    if found is None:
        return None
    found = shapely.force_2d(found)
    if not shapely.is_valid(found):
        found = shapely.make_valid(found, method="structure", keep_collapsed=False)
    known = found.geom_type in ("Polygon", "MultiPolygon") and not found.is_empty
    return found if known and np.isfinite(found.bounds).all() else None
