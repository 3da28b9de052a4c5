"""Product: what an archive offers of one sensor, with every trap that turns its numbers into wrong ones.

Declarative; one entry, one product (`core.sensors.products`). A sensor says what a tile holds, a product where it comes
from: names of bands in the catalogues, physical = scale · DN + offset, nodata, masks, and how the bytes may be had.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

# Whence scale and offset come: fixed: the product's own numbers; metadata: those of the item, the product's where it
# gives none; baseline: the product's scale, and the offset of `offset_trap` where the processing baseline carries it;
# sun: the product's numbers, divided by the sine of the sun's elevation.
Radiometry = Literal["fixed", "metadata", "baseline", "sun"]


@dataclass(frozen=True)
class ProductBand:
    """One band of a product.

    band: of the sensor. assets: keys of the STAC asset that holds it, over all dialects, preferred first; common_name:
    by which `eo:bands` finds it where no key does. index: of the band in the file, from 1. scale, offset: None for the
    product's. variable: of the array, in assets that are containers of arrays (NetCDF, HDF5, Zarr, references).
    """

    band: str
    assets: tuple[str, ...] = ()
    common_name: str = ""
    index: int = 1
    scale: float | None = None
    offset: float | None = None
    variable: str | None = None


@dataclass(frozen=True)
class QaMask:
    """Which pixels of a quality raster are not observed: by class, or by bit (0 = lowest)."""

    assets: tuple[str, ...]
    classes: tuple[int, ...] = ()
    bits: tuple[int, ...] = ()


@dataclass(frozen=True)
class OffsetTrap:
    """A radiometric offset of which the metadata cannot be believed, and the pixels by which it shows.

    dn: the offset in counts that newer products carry (Sentinel-2: −1000, so dark ground has DN ≈ 1000). bands: those
    in which some ground of every scene is dark. A low percentile of DN below `absent_below` proves that the counts
    carry no offset; one above `present_above` that they do; between them the metadata decides.
    """

    dn: int
    bands: tuple[str, ...]
    percentile: float
    absent_below: float
    present_above: float


@dataclass(frozen=True)
class Access:
    """How the bytes may be had.

    buckets: S3 buckets of the archive. signer: name of the token service of those assets that are on its hosts, see
    core.search.signer. What needs a login finds it in the environment.
    """

    buckets: tuple[str, ...] = ()
    region: str = ""
    anonymous: bool = False
    requester_pays: bool = False
    signer: str = ""


@dataclass(frozen=True)
class Product:
    """One product.

    catalog: STAC API or static catalogue asked by default, or for products without one the URL of the folder of its
    tiles, whose names `tiling` knows (see core.search.named). collections: STAC collection by the host of the
    catalogue (suffix match), "" for any other. properties: STAC properties that an item must have, e.g. a processing
    level. platforms: STAC `platform` values in lower case with hyphens, empty for all. harmonised: already in the bands
    of Landsat 8 OLI. linear_power: values are power, the sensor holds decibels. traps: one sentence each, for people.
    """

    name: str
    sensor: str
    title: str
    bands: tuple[ProductBand, ...]
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    qa: QaMask | None = None
    catalog: str = ""
    collections: tuple[tuple[str, str], ...] = ()
    tiling: str = ""
    properties: tuple[tuple[str, str], ...] = ()
    platforms: tuple[str, ...] = ()
    radiometry: Radiometry = "fixed"
    offset_trap: OffsetTrap | None = None
    linear_power: bool = False
    harmonised: bool = False
    access: Access = field(default_factory=Access)
    licence: str = ""
    source: str = ""
    traps: tuple[str, ...] = ()
