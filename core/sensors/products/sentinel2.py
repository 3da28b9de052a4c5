"""Sentinel-2: surface reflectance (Level 2A) of three catalogues, and reflectance at the top of the atmosphere (1C).

Reflectance is (DN + offset) / 10000, where the offset is −1000 since processing baseline 04.00 (2022-01-25, and in all
that was processed again since) unless the archive has taken it away: see `OffsetTrap` and `core.search.resolve`.
"""

from __future__ import annotations

from core.sensors.product import Access, OffsetTrap, Product, ProductBand, QaMask

# Snow, water and shadow are all dark beyond 1.5 µm (reflectance of snow 0.02–0.12, of water 0), visible bands are not:
# there the atmospheric correction makes water negative. Below 800 a count with the offset would mean a reflectance
# under −0.02 in the short-wave infrared, which is not seen; above 1000 one without it would mean that not a hundredth
# of the scene is darker than 0.1, which only unbroken cloud is, and that nobody maps. The lowest hundredth, because
# pixels at the rim of a reduced copy may be mixed with fill.
OFFSET = OffsetTrap(dn=-1000, bands=("swir2", "swir1"), percentile=1.0, absent_below=800.0, present_above=1000.0)

# No data, saturated or defective, cloud shadow, cloud of medium and high probability, cirrus. Class 2 stays: cast
# shadow of terrain is ground that was seen; class 11 is snow.
_CLASSES = (0, 1, 3, 8, 9, 10)
_TERMS = "Copernicus Sentinel data, free and open (Copernicus Sentinel Data Terms and Conditions)"

# Keys of Earth Search; of the Planetary Computer; of the Copernicus Data Space.
_BANDS = (
    ProductBand("blue", ("blue", "B02", "B02_10m"), "blue"),
    ProductBand("green", ("green", "B03", "B03_10m"), "green"),
    ProductBand("red", ("red", "B04", "B04_10m"), "red"),
    ProductBand("nir", ("nir", "B08", "B08_10m"), "nir"),
    ProductBand("swir1", ("swir16", "B11", "B11_20m"), "swir16"),
    ProductBand("swir2", ("swir22", "B12", "B12_20m"), "swir22"),
)
_LEVEL_2A_TRAPS = (
    "Scene classification calls bright ice cloud and cloud over ice snow; what it masks is not all cloud.",
    "Near infrared is band 8, broader than that of Landsat; there is no published line to OLI for it.",
    "Footprints are those of the data only in some catalogues; a tile may be half empty.",
)

SENTINEL2: tuple[Product, ...] = (
    Product(
        name="sentinel2_l2a",
        sensor="optical",
        title="Sentinel-2 Level 2A, surface reflectance",
        bands=_BANDS,
        scale=1e-4,
        nodata=0.0,
        qa=QaMask(("scl", "SCL", "SCL_20m"), classes=_CLASSES),
        catalog="https://earth-search.aws.element84.com/v1",
        collections=(("", "sentinel-2-l2a"),),
        radiometry="baseline",
        offset_trap=OFFSET,
        access=Access(("sentinel-cogs",), "us-west-2", anonymous=True, signer="planetary_computer"),
        licence=_TERMS,
        source="https://registry.opendata.aws/sentinel-2-l2a-cogs/",
        traps=(
            "Counts carry an offset of 1000 since baseline 04.00 that Earth Search has mostly removed, and the flag "
            "earthsearch:boa_offset_applied and the offset in raster:bands are both known to be wrong in places.",
            "The Planetary Computer serves the counts of ESA: the offset is in all of baseline 04.00 and later.",
            "The Copernicus Data Space serves JPEG 2000 from an S3 endpoint of its own, with a login.",
            *_LEVEL_2A_TRAPS,
        ),
    ),
    Product(
        name="sentinel2_l2a_c1",
        sensor="optical",
        title="Sentinel-2 Level 2A, Collection 1, surface reflectance",
        bands=_BANDS,
        scale=1e-4,
        offset=-0.1,
        nodata=0.0,
        qa=QaMask(("scl",), classes=_CLASSES),
        catalog="https://earth-search.aws.element84.com/v1",
        collections=(("", "sentinel-2-c1-l2a"),),
        radiometry="metadata",
        access=Access(("e84-earth-search-sentinel-data",), "us-west-2", anonymous=True),
        licence=_TERMS,
        source="https://github.com/Element84/earth-search",
        traps=(
            "Scale and offset of raster:bands are not applied in the files and must be.",
            "There are holes: 2016-11 to 2019-11, and 2022.",
            *_LEVEL_2A_TRAPS,
        ),
    ),
    Product(
        name="sentinel2_l1c",
        sensor="optical_toa",
        title="Sentinel-2 Level 1C, reflectance at the top of the atmosphere",
        bands=_BANDS,
        scale=1e-4,
        nodata=0.0,
        catalog="https://earth-search.aws.element84.com/v1",
        collections=(("", "sentinel-2-l1c"),),
        radiometry="baseline",
        offset_trap=OFFSET,
        access=Access(("sentinel-s2-l1c",), "eu-central-1", requester_pays=True),
        licence=_TERMS,
        source="https://registry.opendata.aws/sentinel-2/",
        traps=(
            "JPEG 2000: every read decodes whole code blocks, and the reader pays the transfer.",
            "Carries no cloud mask: only the cloud percentage of the scene keeps clouds away.",
            "Models trained on this do not hold for surface reflectance, nor the other way round.",
        ),
    ),
)
