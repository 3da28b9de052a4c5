"""Landsat Collection 2: surface reflectance and surface temperature (Level 2), and OLI at the top of the atmosphere.

Bands are found by colour, not number, because OLI's are one higher than those of TM and ETM+. Brightness temperature
of Level 1 is left out: it is a logarithm of radiance (K2 / ln(K1/L + 1)), and files here have a scale and an offset.
Level 1 of TM and ETM+ is left out too: their factors differ by band and scene and stand only in the MTL file.
"""

from __future__ import annotations

from core.sensors.product import Access, Product, ProductBand, QaMask

_BANDS = (
    ProductBand("blue", ("blue",), "blue"),
    ProductBand("green", ("green",), "green"),
    ProductBand("red", ("red",), "red"),
    ProductBand("nir", ("nir08",), "nir08"),
    ProductBand("swir1", ("swir16",), "swir16"),
    ProductBand("swir2", ("swir22",), "swir22"),
)
# QA_PIXEL: fill, dilated cloud, cirrus, cloud, cloud shadow. Bit 5, snow, stays.
_QA = QaMask(("qa_pixel",), bits=(0, 1, 2, 3, 4))
_LOOK = "https://landsatlook.usgs.gov/stac-server"
_ACCESS = Access(("usgs-landsat",), "us-west-2", requester_pays=True, signer="planetary_computer")
_PUBLIC = "public domain (U.S. Geological Survey)"
_SOURCE = "https://www.usgs.gov/landsat-missions/landsat-collection-2"
_LEVEL_2 = ("landsat-4", "landsat-5", "landsat-7", "landsat-8", "landsat-9")
_TRAPS = (
    "Landsat 7 lacks a fifth of every scene in wedges since 2003-05-31, when its scan line corrector failed.",
    "The cloud mask calls bright ice cloud and thin cloud over ice snow.",
    "Southern scenes are in northern UTM zones with negative northings.",
)

LANDSAT: tuple[Product, ...] = (
    Product(
        name="landsat_c2_l2",
        sensor="optical",
        title="Landsat 4–9 Collection 2 Level 2, surface reflectance",
        bands=_BANDS,
        scale=2.75e-5,
        offset=-0.2,
        nodata=0.0,
        qa=_QA,
        catalog=_LOOK,
        collections=(("landsatlook.usgs.gov", "landsat-c2l2-sr"), ("", "landsat-c2-l2")),
        platforms=_LEVEL_2,
        access=_ACCESS,
        licence=_PUBLIC,
        source=_SOURCE,
        traps=(*_TRAPS, "TM and ETM+ saturate over bright snow in the visible bands."),
    ),
    Product(
        name="landsat_c2_l2_st",
        sensor="thermal",
        title="Landsat 4–9 Collection 2 Level 2, surface temperature",
        bands=(ProductBand("kelvin", ("lwir11", "lwir"), "lwir11"),),
        scale=0.00341802,
        offset=149.0,
        nodata=0.0,
        qa=_QA,
        catalog=_LOOK,
        collections=(("landsatlook.usgs.gov", "landsat-c2l2-st"), ("", "landsat-c2-l2")),
        platforms=_LEVEL_2,
        access=_ACCESS,
        licence=_PUBLIC,
        source=_SOURCE,
        traps=(
            *_TRAPS,
            "Some scenes have reflectance and no temperature (L2SR): they are refused, not searched further.",
            "Measured at 60–120 m and resampled to 30 m; emissivity comes from ASTER, in which glaciers are older.",
        ),
    ),
    Product(
        name="landsat_c2_l1",
        sensor="optical_toa",
        title="Landsat 8–9 OLI Collection 2 Level 1, reflectance at the top of the atmosphere",
        bands=_BANDS,
        scale=2e-5,
        offset=-0.1,
        nodata=0.0,
        qa=_QA,
        catalog=_LOOK,
        collections=(("landsatlook.usgs.gov", "landsat-c2l1"),),
        platforms=("landsat-8", "landsat-9"),
        radiometry="sun",
        access=_ACCESS,
        licence=_PUBLIC,
        source=_SOURCE,
        traps=(
            "Reflectance is (2e-5 · DN − 0.1) / sin(elevation of the sun), of which the metadata give one value for "
            "the middle of the scene; across a scene it differs by about one degree.",
            "Models trained on this do not hold for surface reflectance, nor the other way round.",
        ),
    ),
)
