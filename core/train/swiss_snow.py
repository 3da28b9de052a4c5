"""Swiss snow: Sentinel-2 clips of two glaciers with labels of snow and bare ice, as chips. Test data, never fitted on.

The clips (lgeibel/snowicesen) hold three bands inside the glacier and 0 outside, which is not observed here. Their
order is not in the files: the first and brightest on snow is taken for B02 (blue), the third for B08 (nir); the second,
probably B8A, is another near infrared and not used. Unchecked. Everything labelled lies on a glacier, so `glacier` is 1
there and unlabelled elsewhere, and a precision cannot be had from these clips. Snow on a glacier is no surface of
its own in `core.train.classes`, so its share comes beside the chip.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from core.errors import ConfigError, PoisonError
from core.sensors import sensor
from core.train.chip import Chip

Float32 = NDArray[np.float32]
_NATIVE_M = 10
_NODATA, _SCALE = 65535, 1e-4
_LABELS = {"bare": 1, "snow": 2}
# Position of a band in the file.
_BANDS = {"blue": 0, "nir": 2}


@dataclass(frozen=True, eq=False)
class SnowClip:
    """One scene of one glacier. chip: `optical` with blue and nir alone; snow: (h, w) float32 share of snow among the
    pixels of the file, NaN off the glacier."""

    glacier: str
    date: dt.date
    chip: Chip
    snow: Float32


def read_snow_clips(folder: Path, res_m: int = 30) -> list[SnowClip]:
    """All clips of the folder on pixels of `res_m`, a multiple of 10 m, in the order of their names.

    A coarse pixel is the mean of its fine ones and observed where all of them lie on the glacier. Raises ConfigError
    without clips or for another resolution, PoisonError for a clip whose label does not fit.
    """
    if res_m < _NATIVE_M or res_m % _NATIVE_M:
        raise ConfigError("res_m", found=f"{res_m} m", expected="a multiple of 10 m")
    paths = [p for p in sorted(folder.glob("*.tif")) if not p.stem.endswith("_label")]
    if not paths:
        raise ConfigError(str(folder), found="no clips", expected="the samples `swiss_snow`")
    return [_read(path, res_m) for path in paths]


def _read(path: Path, res_m: int) -> SnowClip:
    with rasterio.open(path) as image, rasterio.open(path.with_name(f"{path.stem}_label.tif")) as truth:
        counts, label = image.read(), truth.read(1)
        lon, lat = image.lnglat()
    if counts.shape != (3, *label.shape):
        raise PoisonError(str(path), found=f"{counts.shape} beside {label.shape}", expected="3 bands, one label")
    seen = np.isin(label, list(_LABELS.values())) & (counts != _NODATA).all(axis=0)
    whole = _mean(seen.astype(np.float64), res_m) == 1
    optical = np.full((len(sensor("optical").bands), *whole.shape), np.nan, np.float32)
    for band, position in _BANDS.items():
        values = _mean(counts[position].astype(np.float64) * _SCALE, res_m)
        optical[sensor("optical").band_index(band)] = np.where(whole, values, np.nan)
    snow = np.where(whole, _mean((label == _LABELS["snow"]).astype(np.float64), res_m), np.nan).astype(np.float32)
    name, _, date = path.stem.rpartition("_")
    chip = Chip(
        {"optical": optical},
        np.where(whole, np.float32(1), np.float32(np.nan)),
        None,
        float(res_m),
        f"swiss_snow:{path.stem}",
        "11",
        float(lat),
        float(lon),
    )
    return SnowClip(name, dt.datetime.strptime(date, "%Y%m%d").date(), chip, snow)


def _mean(values: NDArray[np.float64], res_m: int) -> NDArray[np.float64]:
    """Means of squares of pixels; an incomplete last row or column is left out."""
    n = res_m // _NATIVE_M
    rows, cols = (side // n for side in values.shape)
    return np.asarray(values[: rows * n, : cols * n].reshape(rows, n, cols, n).mean(axis=(1, 3)))


def otsu_threshold(values: Float32, bins: int = 256) -> float:
    """The threshold with the largest variance between the two sides (Otsu 1979, 10.1109/TSMC.1979.4310076), any shape.

    The usual baseline for snow on glaciers, on the near infrared (ASMAG: Rastner et al. 2019, 10.3390/rs11121399,
    unchecked). It always splits, also where there is no bare ice. NaN without an observed pixel.
    """
    told = values[np.isfinite(values)].astype(np.float64)
    if not len(told):
        return float("nan")
    count, edges = np.histogram(told, bins=bins)
    middle = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(count), count.sum()
    mass = np.cumsum(count * middle)
    above = total - below
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = mass / below - (mass[-1] - mass) / above
        between = np.where((below > 0) & (above > 0), below * above * apart**2, -1.0)
    return float(edges[1 + int(between.argmax())])
