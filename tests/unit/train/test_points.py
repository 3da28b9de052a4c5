"""Points of known surface as spectra and as chips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ConfigError
from core.train.points import KEPT_OUT, NearestMean, Points, constant_chips, quilts, read_usgs_points


def made_points(n: int, seed: int = 0, *, kelvin: bool = True) -> Points:
    rng = np.random.default_rng(seed)
    surface = rng.choice(["ice", "rock", "snow"], n)
    level = np.array([{"ice": 0.3, "rock": 0.1, "snow": 0.8}[s] for s in surface])
    temperature = rng.uniform(270, 290, n) if kelvin else np.full(n, np.nan)
    return Points(
        "landsat",
        (level[:, None] + 0.01 * rng.standard_normal((n, 6))).astype(np.float32),
        temperature.astype(np.float32),
        np.full(n, "there"),
        rng.choice(["there-1", "there-2"], n),
        surface,
    )


def test_a_constant_chip_is_its_point_everywhere() -> None:
    points = made_points(5)
    chips = list(constant_chips(points, 8))
    assert len(chips) == 5
    for k, chip in enumerate(chips):
        assert (chip.values["optical"] == points.reflectance[k][:, None, None]).all()
        assert (chip.values["thermal"] == points.kelvin[k]).all()
        assert chip.labelled_fraction == 0 and chip.classes is None


def test_no_temperature_is_no_sensor() -> None:
    assert list(next(constant_chips(made_points(1, kelvin=False))).values) == ["optical"]


@settings(max_examples=20)
@given(st.integers(0, 60), st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
def test_quilts_show_every_point_once_and_among_its_own_scene(n: int, side: int, patch: int, seed: int) -> None:
    points = made_points(n, seed)
    shown = []
    for quilt in quilts(points, patch, side, seed):
        assert quilt.chip.shape == (side * patch, side * patch)
        used = quilt.index >= 0
        found = quilt.chip.values["optical"][:, quilt.row, quilt.col].T
        np.testing.assert_array_equal(found[used], points.reflectance[quilt.index[used]])
        assert np.isnan(found[~used]).all()
        # A patch is its point to its edges.
        block = quilt.chip.values["optical"].reshape(6, side, patch, side, patch)
        np.testing.assert_array_equal(block.min(axis=(2, 4)), block.max(axis=(2, 4)))
        assert len(set(points.scene[quilt.index[used]])) == 1
        shown += list(quilt.index[used])
    assert sorted(shown) == list(range(n))


def test_the_nearest_mean_tells_surfaces_that_lie_apart() -> None:
    rule = NearestMean.fit(made_points(200, 1))
    other = made_points(100, 2)
    assert (rule.surfaces(other.reflectance) == other.surface).all()


def test_a_fit_without_points_is_refused() -> None:
    with pytest.raises(ConfigError, match="no points"):
        NearestMean.fit(made_points(3).where(np.zeros(3, bool)))


def test_tables_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Sentinel-2_SR"):
        read_usgs_points(tmp_path, "sentinel2")
    with pytest.raises(ConfigError, match="landsat"):
        read_usgs_points(tmp_path, "sentinel1")


@pytest.mark.parametrize("instrument", ["sentinel2", "landsat"])
def test_the_site_kept_out_has_points_of_its_own(samples: Path, instrument: str) -> None:
    points = read_usgs_points(samples / "usgs_points", instrument)
    mine = points.where(points.site == KEPT_OUT)
    assert 2000 < len(mine) < len(points)
    assert set(mine.surface) == {"snow", "shadowed_snow", "ice", "rock"}
    assert np.isfinite(mine.kelvin).all() == (instrument == "landsat")
    ice, rock = (mine.reflectance[mine.surface == name].mean(axis=0) for name in ("ice", "rock"))
    assert ice[4] < 0.1 < rock[4]  # short-wave infrared: the scales and offsets are right
