"""Products: what the archives offer, by name."""

from __future__ import annotations

from core.errors import ConfigError
from core.sensors.product import Access, Product
from core.sensors.products.elevation import ELEVATION
from core.sensors.products.glavitu import GLAVITU
from core.sensors.products.hls import HLS
from core.sensors.products.landsat import LANDSAT
from core.sensors.products.motion import MOTION
from core.sensors.products.sentinel1 import SENTINEL1
from core.sensors.products.sentinel2 import SENTINEL2
from core.sensors.sensor import nearest

PRODUCTS: tuple[Product, ...] = (*SENTINEL2, *LANDSAT, *HLS, *SENTINEL1, *ELEVATION, *MOTION, *GLAVITU)
_BY_NAME = {entry.name: entry for entry in PRODUCTS}
_BY_BUCKET = {bucket: entry.access for entry in PRODUCTS for bucket in entry.access.buckets}


def product(name: str) -> Product:
    """The registered product. Raises ConfigError naming the nearest known one."""
    if name not in _BY_NAME:
        raise ConfigError(f"product {name!r}", found="no such product", fix=nearest(name, _BY_NAME))
    return _BY_NAME[name]


def access_of(bucket: str) -> Access:
    """How a bucket is read: in its own way if it belongs to a public archive, else as the environment says."""
    return _BY_BUCKET.get(bucket, Access())
