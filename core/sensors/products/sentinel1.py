"""Sentinel-1: terrain-flattened backscatter γ0 of two archives, one product for each direction of pass, and coherence.

Ground range detected scenes (GRD) are left out: their counts are uncalibrated amplitude in the geometry of the radar,
and σ0 on a map takes the calibration tables, the orbit and an elevation model. Who has made such maps lists them in a
catalogue of their own (`sentinel1_sigma0`, linear power). Power is averaged, never decibels; sensors keep decibels,
hence `linear_power`.
"""

from __future__ import annotations

from core.sensors.product import Access, Product, ProductBand

_PASSES = (("asc", "ascending"), ("desc", "descending"))
_TERMS = "Copernicus Sentinel data, free and open (Copernicus Sentinel Data Terms and Conditions)"


def _rtc(short: str, orbit: str) -> Product:
    return Product(
        name=f"sentinel1_rtc_{short}",
        sensor=f"sar_gamma0_{short}",
        title=f"Sentinel-1 radiometrically terrain-corrected γ0, {orbit} passes",
        bands=(ProductBand("vv_db", ("vv",)), ProductBand("vh_db", ("vh",))),
        nodata=-32768.0,
        catalog="https://planetarycomputer.microsoft.com/api/stac/v1",
        collections=(("", "sentinel-1-rtc"),),
        properties=(("sat:orbit_state", orbit),),
        linear_power=True,
        access=Access(signer="planetary_computer"),
        licence=_TERMS + "; processed by Catalyst, CC-BY-4.0",
        source="https://planetarycomputer.microsoft.com/dataset/sentinel-1-rtc",
        traps=(
            "Linear power of γ0, not decibels and not σ0: models trained on σ0 do not hold.",
            "Outside the swath some scenes hold 0 instead of the nodata value; 0 has no logarithm and is not observed.",
            "Layover and shadow are filled with interpolated values and not marked.",
            "Polar regions are imaged in HH and HV: such scenes lack the bands and are refused.",
            "Every read needs a short-lived token of the archive.",
        ),
    )


def _sigma0(short: str, orbit: str) -> Product:
    return Product(
        name=f"sentinel1_sigma0_{short}" if short else "sentinel1_sigma0",
        sensor=f"sar_sigma0_{short}" if short else "sar_sigma0",
        title=f"Sentinel-1 calibrated σ0 on a map, {orbit or 'any'} passes, of a catalogue of your own",
        bands=(ProductBand("vv_db", ("vv", "VV")), ProductBand("vh_db", ("vh", "VH"))),
        properties=(("sat:orbit_state", orbit),) if orbit else (),
        linear_power=True,
        licence=_TERMS,
        source="https://sentiwiki.copernicus.eu/web/s1-processing",
        traps=(
            "Linear power, not decibels: scenes in decibels are listed by hand.",
            "Without terrain correction slopes are shifted by several pixels towards the radar.",
            "There is no public archive of it: `catalog` must name one.",
        ),
    )


def _opera(short: str, orbit: str) -> Product:
    return Product(
        name=f"opera_rtc_s1_{short}",
        sensor=f"sar_gamma0_{short}",
        title=f"OPERA RTC-S1, γ0 of single bursts at 30 m, {orbit} passes",
        bands=(ProductBand("vv_db", ("0_VV", "VV", "*_VV.tif")), ProductBand("vh_db", ("0_VH", "VH", "*_VH.tif"))),
        nodata=float("nan"),
        catalog="https://cmr.earthdata.nasa.gov/stac/ASF",
        collections=(("", "OPERA_L2_RTC-S1_V1_1"),),
        properties=(("sat:orbit_state", orbit),),
        linear_power=True,
        access=Access(("asf-cumulus-prod-opera-products",), "us-west-2"),
        licence="CC0-1.0; contains Copernicus Sentinel data",
        source="https://www.jpl.nasa.gov/go/opera/products/rtc-product/",
        traps=(
            "The catalogue does not say the direction of the pass; it follows from the number of the burst.",
            "Not global: no Antarctica, and from 2016 or later depending on the place.",
            "One file is one burst of 20 by 90 km: a block takes many of the same pass.",
            "Needs a login of NASA Earthdata.",
        ),
    )


SENTINEL1: tuple[Product, ...] = (
    *(_rtc(short, orbit) for short, orbit in _PASSES),
    *(_opera(short, orbit) for short, orbit in _PASSES),
    *(_sigma0(short, orbit) for short, orbit in (("", ""), *_PASSES)),
    Product(
        name="s1_coherence",
        sensor="coherence",
        title="Global seasonal Sentinel-1 coherence, December 2019 to November 2020",
        bands=tuple(ProductBand(f"coh{days:02d}", (f"COH{days:02d}",)) for days in (6, 12, 24, 36, 48)),
        scale=0.01,
        nodata=0.0,
        catalog="s3://sentinel-1-global-coherence-earthbigdata/data/tiles",
        tiling="s1_coherence",
        access=Access(("sentinel-1-global-coherence-earthbigdata",), "us-west-2", anonymous=True),
        licence="CC-BY-4.0",
        source="https://registry.opendata.aws/ebd-sentinel-1-global-coherence-backscatter/",
        traps=(
            "One year only, so it is the same for every epoch.",
            "Seasons have northern names: summer is the winter of the south.",
            "Tiles are named by their upper-left corner.",
            "That stored numbers are hundredths is unchecked.",
            "Which repeat intervals exist differs by place: 6 days hardly outside Europe.",
        ),
    ),
)
