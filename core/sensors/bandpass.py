"""Bandpass: straight lines that bring surface reflectance of other instruments to the bands of Landsat 8 OLI.

oli = slope · value + intercept, band by band, and only where coefficients are published. Sentinel-2A/B → OLI: the table
of the Harmonized Landsat Sentinel-2 project (Claverie et al. 2018, 10.1016/j.rse.2018.09.002), compared with the
project's own page on bandpass adjustment, one place. TM and ETM+ → OLI: Roy et al. 2016 (10.1016/j.rse.2015.12.024),
Table 2, compared with eight independent public programs that quote it, not with the paper. Of Roy's two fits this is
the reduced-major-axis one: the other, ordinary least squares, pulls towards the mean of its sample (slope 0.85 in
blue), and would darken snow by a sixth.

All of them were fitted on land of all kinds (spectra of 160 Hyperion scenes; the conterminous United States), not on
ice: over bright snow they are extrapolated. None is known to us for Sentinel-2C, nor for the broad near infrared of
Sentinel-2 (band 8; the table has band 8A), nor for reflectance at the top of the atmosphere: those stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """oli = slope · value + intercept, in reflectance (0–1)."""

    slope: float
    intercept: float

    def folded(self, scale: float, offset: float) -> tuple[float, float]:
        """(scale, offset) that take stored counts straight to OLI."""
        return self.slope * scale, self.slope * offset + self.intercept


# Slope and offset of the page's table, to its digits.
_SENTINEL_2A = {
    "blue": Line(0.9778, -0.0040),
    "green": Line(1.0053, -0.0009),
    "red": Line(0.9765, 0.0009),
    "swir1": Line(0.9987, -0.0011),
    "swir2": Line(1.0030, -0.0012),
}
_SENTINEL_2B = {
    "blue": Line(0.9778, -0.0040),
    "green": Line(1.0075, -0.0008),
    "red": Line(0.9761, 0.0010),
    "swir1": Line(1.0000, -0.0003),
    "swir2": Line(0.9867, 0.0004),
}
# Fitted for ETM+; TM has nearly its bands, and practice uses them for both.
_TM = {
    "blue": Line(0.9785, -0.0095),
    "green": Line(0.9542, -0.0016),
    "red": Line(0.9825, -0.0022),
    "nir": Line(1.0073, -0.0021),
    "swir1": Line(1.0171, -0.0030),
    "swir2": Line(0.9949, 0.0029),
}
_LINES: dict[str, dict[str, Line]] = {
    "sentinel-2a": _SENTINEL_2A,
    "sentinel-2b": _SENTINEL_2B,
    "landsat-4": _TM,
    "landsat-5": _TM,
    "landsat-7": _TM,
}


def to_oli(platform: str, band: str) -> Line | None:
    """The line of one band of `optical`; None where none is published, or none is needed (Landsat 8 and 9).

    platform: STAC `platform` in lower case with hyphens.
    """
    return _LINES.get(platform, {}).get(band)
