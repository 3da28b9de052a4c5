"""Motion: surface velocity of ITS_LIVE.

Its catalogue offers image pairs and cubes of them. Image pairs are taken, each one acquisition; of cubes nothing says
before they are opened which layer is which date. Annual mosaics are in no searchable catalogue: a static one that
lists their GeoTIFFs under the keys v, vx and vy is read by the same entry, and so is a scene that is listed by hand.
"""

from __future__ import annotations

from core.sensors.product import Access, Product, ProductBand

MOTION: tuple[Product, ...] = (
    Product(
        name="its_live_velocity",
        sensor="velocity",
        title="ITS_LIVE surface velocity, image pairs, 120 m",
        bands=tuple(ProductBand(f"{v}_m_a", (v, "data"), variable=v) for v in ("v", "vx", "vy")),
        nodata=-32767.0,
        catalog="https://stac.itslive.cloud",
        collections=(("", "itslive-granules"),),
        access=Access(("its-live-data",), "us-west-2", anonymous=True),
        licence="CC0-1.0",
        source="https://its-live.jpl.nasa.gov/",
        traps=(
            "Components are along the axes of the raster, which is polar stereographic for the ice sheets.",
            "A pair of images is noisy and has holes; a median of many is meant.",
            "The date of a pair is its middle; the pairs of a season span months around it.",
            "Regions 13, 14 and 15 of the inventory are all under RGI14A in the mosaics.",
            "Paths carry versions and dates: resolve them through the catalogue.",
        ),
    ),
)
