"""Training tiles of GlaViTU (Maslov et al. 2025): one file of tiles, each with the arrays of several sensors.

One product for each sensor of the file, because a source names one. There is no catalogue: `catalog` names the file,
of which `core.search.training` reads the headers. Values are in the units of our sensors, backscatter is power.
"""

from __future__ import annotations

from core.sensors.product import Product, ProductBand

TRAINING_TILES = "training_tiles"  # `tiling` of what is found in a file of tiles

_PASSES = (("asc", "ascending"), ("desc", "descending"))
_COLOURS = ("blue", "green", "red", "nir", "swir1", "swir2")
_TRAPS = (
    "Tiles have no date: that of a scene is one for all, by the years and the season of its source.",
    "Where the file was scaled to 0…1, as its authors' training code allows, its tiles are refused.",
    "Its outlines are those that GlaViTU was trained on: what a model makes of its tiles says nothing of its skill.",
)
_ORBIT_TRAPS = (
    "That the first channel is the ascending pass is unchecked against the archive.",
    "A pass that was not flown is filled with 0, which is not observed.",
)


def _entry(
    short: str,
    sensor: str,
    what: str,
    bands: tuple[tuple[str, str, int], ...],
    traps: tuple[str, ...],
    *,
    nodata: float | None = 0.0,
    linear_power: bool = False,
) -> Product:
    """bands: (band, array of the tile, channel from 1)."""
    return Product(
        name=f"glavitu_{short}",
        sensor=sensor,
        title=f"Training tiles of GlaViTU, {what}",
        bands=tuple(ProductBand(band, (array,), index=i, variable=array) for band, array, i in bands),
        nodata=nodata,
        tiling=TRAINING_TILES,
        linear_power=linear_power,
        licence="CC-BY-4.0",
        source="https://doi.org/10.11582/2024.00168",
        traps=(*traps, *_TRAPS),
    )


GLAVITU: tuple[Product, ...] = (
    _entry(
        "optical",
        "optical_toa",
        "reflectance at the top of the atmosphere",
        tuple((band, "optical", i) for i, band in enumerate(_COLOURS, start=1)),
        (
            "Tiles do not tell of which satellite they are: bands cannot be adjusted to those of another.",
            "Without a cloud mask; a reflectance of exactly 0 in any band is taken for no value.",
        ),
    ),
    _entry(
        "dem",
        "dem",
        "elevation",
        (("elevation_m", "dem", 1),),
        ("Tiles tell neither the elevation model nor its year; slopes are made anew from the elevations.",),
        nodata=None,
    ),
    *(
        _entry(
            f"sar_{short}",
            f"sar_sigma0_{short}",
            f"backscatter σ0, {orbit} passes",
            (("vv_db", "co_pol_sar", i), ("vh_db", "cross_pol_sar", i)),
            (
                "That the two polarisations are VV and VH everywhere, and never HH and HV, is unchecked.",
                *_ORBIT_TRAPS,
            ),
            linear_power=True,
        )
        for i, (short, orbit) in enumerate(_PASSES, start=1)
    ),
    *(
        _entry(
            f"coherence_{short}",
            f"coherence_{short}",
            f"interferometric coherence, {orbit} passes",
            (("coh12", "in_sar", i),),
            (
                "That its pairs are 12 days apart is unchecked against the archive.",
                *_ORBIT_TRAPS,
            ),
        )
        for i, (short, orbit) in enumerate(_PASSES, start=1)
    ),
    _entry(
        "thermal",
        "thermal",
        "temperature",
        (("kelvin", "thermal", 1),),
        ("Whether it is that of the surface or that at the top of the atmosphere is unchecked.",),
    ),
)
