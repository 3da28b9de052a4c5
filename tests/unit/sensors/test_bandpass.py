"""Lines to the bands of OLI: published where they are, close to one, and foldable into scale and offset."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.sensors import sensor
from core.sensors.bandpass import Line, to_oli

REFLECTANCE = sensor("optical").band_names
ADJUSTED = ("sentinel-2a", "sentinel-2b", "landsat-4", "landsat-5", "landsat-7")


@given(
    line=st.builds(Line, st.floats(0.8, 1.2), st.floats(-0.02, 0.02)),
    scale=st.sampled_from([1e-4, 2.75e-5]),
    offset=st.sampled_from([0.0, -0.1, -0.2]),
    dn=st.integers(1, 65535),
)
def test_folding_equals_two_steps(line, scale, offset, dn):
    folded_scale, folded_offset = line.folded(scale, offset)
    in_steps = line.slope * (scale * dn + offset) + line.intercept
    assert folded_scale * dn + folded_offset == pytest.approx(in_steps, abs=1e-9)


@pytest.mark.parametrize("platform", ADJUSTED)
@pytest.mark.parametrize("band", REFLECTANCE)
def test_instruments_of_a_kind_differ_by_little(platform, band):
    """Over snow (0.9) as over rock (0.1): a line that bends snow by a tenth is of another fit."""
    line = to_oli(platform, band)
    for reflectance in (0.1, 0.5, 0.9):
        assert line is None or abs(line.slope * reflectance + line.intercept - reflectance) < 0.05


@pytest.mark.parametrize("platform", ["landsat-8", "landsat-9", "sentinel-2c", "", "sentinel-1a"])
def test_what_needs_no_line_or_has_none_stays(platform):
    assert all(to_oli(platform, band) is None for band in REFLECTANCE)


@pytest.mark.parametrize("platform", ["sentinel-2a", "sentinel-2b"])
def test_the_broad_near_infrared_of_sentinel_2_has_no_line(platform):
    assert to_oli(platform, "nir") is None
    assert all(to_oli(platform, band) for band in REFLECTANCE if band != "nir")


def test_coefficients_are_the_published_ones():
    assert to_oli("sentinel-2a", "red") == Line(0.9765, 0.0009)
    assert to_oli("sentinel-2b", "swir2") == Line(0.9867, 0.0004)
    assert to_oli("landsat-7", "blue") == Line(0.9785, -0.0095)
