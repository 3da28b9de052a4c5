"""Clips of snow and bare ice as chips, and the threshold that they are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ConfigError, PoisonError
from core.sensors import sensor
from core.train.swiss_snow import otsu_threshold, read_snow_clips

BLUE, NIR = (sensor("optical").band_index(band) for band in ("blue", "nir"))


def write_clip(folder: Path, counts: np.ndarray, label: np.ndarray, name: str = "RGI50-11.A1_20160701") -> None:
    """10 m pixels near 8° E, 46° N."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, array in ((name, counts), (f"{name}_label", label[None])):
        keys = {"driver": "GTiff", "count": len(array), "dtype": array.dtype, "crs": "EPSG:32632"}
        place = {"height": array.shape[1], "width": array.shape[2], "transform": Affine(10, 0, 420_000, 0, -10, 5.1e6)}
        with rasterio.open(folder / f"{stem}.tif", "w", **keys, **place) as out:
            out.write(array)


def halves(side: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Snow on the left, ice in the middle, ground that is no glacier on the right: a third each."""
    label = np.repeat(np.array([2, 1, 0], np.uint8), side // 3)[None].repeat(side, axis=0)
    counts = np.stack(
        [np.choose(label, values).astype(np.uint16) for values in ((0, 3000, 8000), (9, 9, 9), (0, 2000, 7000))]
    )
    return counts, label


def test_a_clip_becomes_shares_and_reflectance_on_coarse_pixels(tmp_path: Path) -> None:
    write_clip(tmp_path, *halves())
    (clip,) = read_snow_clips(tmp_path)
    assert clip.glacier == "RGI50-11.A1" and clip.date.isoformat() == "2016-07-01"
    assert clip.chip.shape == (3, 3) and clip.chip.region == "11" and 45 < clip.chip.lat < 47
    np.testing.assert_allclose(clip.snow[0], [1, 0, np.nan])
    np.testing.assert_allclose(clip.chip.values["optical"][BLUE, 0], [0.8, 0.3, np.nan], rtol=1e-6)
    np.testing.assert_allclose(clip.chip.values["optical"][NIR, 0], [0.7, 0.2, np.nan], rtol=1e-6)
    assert np.isnan(np.delete(clip.chip.values["optical"], (BLUE, NIR), axis=0)).all()
    np.testing.assert_array_equal(clip.chip.glacier[0], [1, 1, np.nan])


def test_a_pixel_half_off_the_glacier_or_without_data_is_not_observed(tmp_path: Path) -> None:
    counts, label = halves()
    label[4, 1], counts[0, 7, 4] = 0, 65535
    write_clip(tmp_path, counts, label)
    (clip,) = read_snow_clips(tmp_path)
    hidden = np.isnan(clip.snow)
    assert hidden[1, 0] and hidden[2, 1] and hidden.sum() == 3 + 2
    np.testing.assert_array_equal(hidden, np.isnan(clip.chip.values["optical"][BLUE]))


def test_rows_that_fill_no_pixel_are_left_out(tmp_path: Path) -> None:
    counts, label = halves()
    write_clip(tmp_path, counts[:, :8], label[:8])
    assert read_snow_clips(tmp_path)[0].chip.shape == (2, 3)
    assert read_snow_clips(tmp_path, 10)[0].chip.shape == (8, 9)


def test_what_is_no_clip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no clips"):
        read_snow_clips(tmp_path)
    with pytest.raises(ConfigError, match="multiple of 10"):
        read_snow_clips(tmp_path, 25)
    counts, label = halves()
    write_clip(tmp_path, counts, label[:6])
    with pytest.raises(PoisonError, match="3 bands"):
        read_snow_clips(tmp_path)


@settings(max_examples=30)
@given(st.floats(0.0, 0.3), st.floats(0.5, 1.0), st.integers(20, 200), st.integers(20, 200))
def test_otsu_parts_two_levels(low: float, high: float, n: int, m: int) -> None:
    rng = np.random.default_rng(n * m)
    dark, bright = (level + 0.02 * rng.uniform(-1, 1, k) for level, k in ((low, n), (high, m)))
    values = np.concatenate([dark, bright, [np.nan]]).astype(np.float32)
    threshold = otsu_threshold(values)
    # To a bin of the histogram: all of both sides lie on their own.
    step = (np.nanmax(values) - np.nanmin(values)) / 256
    assert dark.max() - step <= threshold <= bright.min() + step


def test_otsu_of_nothing_and_of_one_value() -> None:
    assert np.isnan(otsu_threshold(np.full((3, 3), np.nan, np.float32)))
    assert np.isfinite(otsu_threshold(np.full((3, 3), 0.5, np.float32)))


def test_the_samples_are_eight_scenes_of_two_glaciers(samples: Path) -> None:
    clips = read_snow_clips(samples / "swiss_snow")
    assert len(clips) == 8 and len({clip.glacier for clip in clips}) == 2
    for clip in clips:
        optical = clip.chip.values["optical"]
        known = np.isfinite(clip.snow)
        assert known.sum() > 10_000 and (np.isfinite(optical[NIR]) == known).all()
        assert 0.01 < np.nanmin(optical[BLUE]) < np.nanmax(optical[BLUE]) < 1.6
