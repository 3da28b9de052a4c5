"""A mask that is an array of the same file as its scene, as in NetCDF and HDF5 products."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from core.config import Config
from core.errors import ConfigError
from core.ingest import check_scenes
from tests.made_scenes import UTM, config, flat, ingested, scene

HERE = np.array([[86.6, 28.0, 86.9, 28.3]])


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """Reflectance and its quality in one file: clear in the west, cloud in the east."""
    values, transform = flat(0.5)
    quality = np.full(values.shape[1:], 4, np.uint8)
    quality[:, quality.shape[1] // 2 :] = 9
    path = tmp_path / "scene.h5"
    with h5py.File(path, "w") as file:
        for name, array in (("red", values[0]), ("quality", quality), ("crop", quality[:100])):
            file[name] = array
            file[name].attrs.update(GeoTransform=" ".join(map(str, transform.to_gdal())), spatial_ref=UTM)
    return path


def masked(path: Path, variable: str | None) -> Config:
    made = scene(path, {"red": 1}, mask={"path": str(path), "variable": variable, "invalid": [9]})
    made["files"][0]["variable"] = "red"
    return config(made)


def test_a_mask_may_be_an_array_of_the_scene_s_own_file(store, product):
    made = masked(product, "quality")
    assert check_scenes(made, HERE).missing == ()
    read = ingested(store, made)
    east = read.observed.shape[1] // 2 + 12
    assert read.observed[:, : east - 24].all() and not read.observed[:, east:].any()


def test_an_array_that_is_not_there_or_lies_elsewhere_is_refused(product):
    with pytest.raises(ConfigError, match="did you mean 'quality'"):
        check_scenes(masked(product, "qualty"), HERE)
    with pytest.raises(ConfigError, match="give the mask of this scene"):
        check_scenes(masked(product, "crop"), HERE)
    with pytest.raises(ConfigError, match="found 0 bands"):
        check_scenes(masked(product, None), HERE)
