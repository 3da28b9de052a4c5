"""Harmonized Landsat Sentinel-2: surface reflectance of both, on one grid, seen from the nadir, in the bands of OLI."""

from __future__ import annotations

from core.sensors.product import Access, Product, ProductBand, QaMask


def _entry(half: str, title: str, nir: str, swir1: str, swir2: str, traps: tuple[str, ...]) -> Product:
    return Product(
        name=f"hls_{half}",
        sensor="optical",
        title=title,
        bands=(
            ProductBand("blue", ("B02",), "blue"),
            ProductBand("green", ("B03",), "green"),
            ProductBand("red", ("B04",), "red"),
            ProductBand("nir", (nir,), "nir08"),
            ProductBand("swir1", (swir1,), "swir16"),
            ProductBand("swir2", (swir2,), "swir22"),
        ),
        scale=1e-4,
        nodata=-9999.0,
        # Fmask: cirrus (reserved), cloud, next to cloud, cloud shadow. Bit 4, snow and ice, stays. Fill (255) has all.
        qa=QaMask(("Fmask",), bits=(0, 1, 2, 3)),
        catalog="https://cmr.earthdata.nasa.gov/stac/LPCLOUD",
        collections=(("planetarycomputer.microsoft.com", f"hls2-{half}"), ("", f"HLS{half.upper()}_2.0")),
        harmonised=True,
        access=Access(("lp-prod-protected",), "us-west-2", signer="planetary_computer"),
        licence="CC0-1.0",
        source="https://lpdaac.usgs.gov/data/get-started-data/collection-overview/missions/harmonized-landsat-sentinel-2-hls-overview/",
        traps=(
            "Already brought to the bands of OLI and to nadir view: adjusting it again would be wrong.",
            "Needs a login of NASA Earthdata, which lends S3 keys for an hour; the Planetary Computer has a copy.",
            "30 m: of Sentinel-2 the detail of 10 m is gone.",
            *traps,
        ),
    )


HLS: tuple[Product, ...] = (
    _entry(
        "s30",
        "HLS S30 v2.0, surface reflectance of Sentinel-2",
        "B8A",
        "B11",
        "B12",
        ("Near infrared is the narrow band 8A, not band 8.",),
    ),
    _entry(
        "l30",
        "HLS L30 v2.0, surface reflectance of Landsat 8–9",
        "B05",
        "B06",
        "B07",
        ("Band numbers are those of OLI, so B05 is near infrared here and red edge in S30.",),
    ),
)
