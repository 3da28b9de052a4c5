"""Infrared: short-wave bands for real images that lack them, IMPUTED from real points of the same look.

Most labels of glaciers lie under images without short-wave infrared, and a net that sees those bands in simulated
images alone learns to trust simulation wherever they are. So windows of training, never of mapping, may get them from
the mean of the points of `usgs_points` that are nearest in blue, green, red and near infrared; the kept-out site is in
no table.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from core.sensors import sensor
from core.train.points import INSTRUMENTS, KEPT_OUT, read_usgs_points

Float32 = NDArray[np.float32]
_LEVELS, _NEIGHBOURS = 20, 12
_VISIBLE, _INFRARED = ("blue", "green", "red", "nir"), ("swir1", "swir2")


@lru_cache(maxsize=2)
def infrared_table(folder: str) -> Float32:
    """(20, 20, 20, 20, 2): swir1 and swir2 for blue, green, red and near infrared in twentieths of reflectance.

    folder: of `usgs_points`. Raises ConfigError if it lacks the tables.
    """
    names = sensor("optical").band_names
    parts = []
    for instrument in INSTRUMENTS:
        points = read_usgs_points(Path(folder), instrument)
        parts.append(points.where(points.site != KEPT_OUT).reflectance)
    spectra = np.concatenate(parts)
    spectra = spectra[np.isfinite(spectra).all(axis=1)]
    seen = spectra[:, [names.index(band) for band in _VISIBLE]]
    wanted = spectra[:, [names.index(band) for band in _INFRARED]]
    level = (np.arange(_LEVELS, dtype=np.float32) + 0.5) / _LEVELS
    cells = np.stack(np.meshgrid(*[level] * 4, indexing="ij"), -1).reshape(-1, 4)
    # Differences between dark surfaces count as much as those between bright ones.
    _, near = cKDTree(np.sqrt(np.clip(seen, 0, 1))).query(np.sqrt(cells), k=_NEIGHBOURS)
    return np.asarray(wanted[near].mean(axis=1).reshape(*[_LEVELS] * 4, 2), dtype=np.float32)


def with_infrared(optical: Float32, table: Float32) -> Float32:
    """(6, h, w) reflectance with what it lacked of the short-wave bands; a pixel without one of the others stays."""
    names = sensor("optical").band_names
    visible = optical[[names.index(band) for band in _VISIBLE]]
    seen = np.isfinite(visible).all(axis=0)
    cell = np.clip(np.nan_to_num(visible) * _LEVELS, 0, _LEVELS - 1).astype(np.intp)
    found = table[tuple(cell)]
    out = optical.copy()
    for k, band in enumerate(_INFRARED):
        at = names.index(band)
        out[at] = np.where(seen & ~np.isfinite(optical[at]), found[..., k], optical[at])
    return out
