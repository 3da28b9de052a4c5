"""How each sensor looks best: the large picture, and a small one that shows something else of it.

True colour, hillshade, decibels in grey, and colour maps that people with any colour vision read alike. Ranges are
those of the picture itself and are printed beside it: a wrong scale or offset then shows at first sight.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LogNorm, Normalize
from numpy.typing import NDArray

from core.sensors import Sensor

Float32 = NDArray[np.float32]
_SUN_AZIMUTH_DEG, _SUN_HEIGHT_DEG = 315.0, 45.0
_SLOWEST_M_A = 1.0  # slower ice is within the error of most velocity maps


@dataclass(frozen=True, eq=False)
class Image:
    """rgba: (h, w, 4) in 0–1, alpha 0 = not observed. norm and cmap: of the colour bar, None without; label: its
    quantity and units, or what the colours are."""

    rgba: Float32
    label: str
    norm: Normalize | None = None
    cmap: str = ""


@dataclass(frozen=True)
class View:
    """One way to look at a sensor. paint: (values (band, h, w) of `bands`, metres per pixel) → picture."""

    title: str
    bands: tuple[str, ...]
    paint: Callable[[Float32, float], Image]


def views(sensor: Sensor, bands: Collection[str]) -> list[View]:
    """The large view and, where there is another, the small one. bands: those that the tiles hold."""
    held = [band for band in sensor.band_names if band in bands]
    if {"red", "green", "blue"} <= set(held):
        true = View("true colour", ("red", "green", "blue"), _colour("reflectance"))
        false = View("swir1 · nir · red: ice is blue", ("swir1", "nir", "red"), _colour("reflectance"))
        return [true, false] if set(false.bands) <= set(held) else [true]
    if sensor.slope:
        elevation, slope = sensor.band_names[0], sensor.slope
        return [
            View("hillshade, tinted by elevation", (elevation,), _relief),
            View("slope", (slope,), _scalar("slope, °", "magma", _fixed(0, 60))),
        ]
    return [_plain(sensor, band) for band in held[:2]]


def _plain(sensor: Sensor, name: str) -> View:
    """A single band in colours or in grey, by what its sensor measures."""
    band = sensor.bands[sensor.band_index(name)]
    label = f"{name}, {_UNITS.get(band.units, band.units)}" if band.units != "1" else name
    if sensor.resampling == "decibel":
        return View(name, (name,), _scalar(label, "gray", _percentiles))
    if name.startswith("v_"):
        return View("speed", (name,), _scalar(label, "viridis", _logarithmic))
    if sensor.name == "dhdt" and "sigma" not in name:
        return View("red: thinning", (name,), _scalar(label, "RdBu", _symmetric))
    if sensor.vector and name in sensor.vector:
        return View(f"component {name}", (name,), _scalar(label, "RdBu", _symmetric))
    if sensor.name.startswith("coherence") or sensor.name == "oracle":
        return View(name, (name,), _scalar(label, "gray", _fixed(0, 1)))
    return View(band.long_name, (name,), _scalar(label, "inferno" if band.units == "K" else "cividis", _percentiles))


_UNITS = {"m year-1": "m a⁻¹", "degree": "°"}


def _colour(quantity: str) -> Callable[[Float32, float], Image]:
    def paint(values: Float32, _: float) -> Image:
        seen = np.asarray(np.isfinite(values).all(axis=0))
        low, high = _range(values[:, seen], 1, 99)
        # The root lifts rock in shade without burning out snow.
        light = np.sqrt(np.clip((values - low) / max(1e-9, high - low), 0, 1))
        rgba = np.concatenate([np.where(seen, light, 0), seen[None]]).astype(np.float32)
        return Image(np.moveaxis(rgba, 0, -1), f"{quantity} {low:.3g} to {high:.3g}")

    return paint


def _scalar(label: str, cmap: str, norm_of: Callable[[Float32], Normalize]) -> Callable[[Float32, float], Image]:
    def paint(values: Float32, _: float) -> Image:
        norm = norm_of(values[0][np.isfinite(values[0])])
        return Image(_mapped(values[0], cmap, norm), label, norm, cmap)

    return paint


def _relief(values: Float32, px_m: float) -> Image:
    """Lambertian shade of the surface, sun from the north-west, over the colours of elevation."""
    elevation = values[0]
    norm = _percentiles(elevation[np.isfinite(elevation)])
    rgba = _mapped(elevation, "cividis", norm)
    if min(elevation.shape) < 2:
        return Image(rgba, "elevation, m", norm, "cividis")
    # Beside the unknown the ground is taken for flat.
    south, east = (np.nan_to_num(slope) for slope in np.gradient(elevation, px_m))
    azimuth, height = np.radians(_SUN_AZIMUTH_DEG), np.radians(_SUN_HEIGHT_DEG)
    towards = np.sin(azimuth) * np.cos(height), np.cos(azimuth) * np.cos(height), np.sin(height)
    shade = (-east * towards[0] + south * towards[1] + towards[2]) / np.sqrt(1 + east**2 + south**2)
    # The tint is washed out, so that the shade tells form and the colour only height.
    rgba[..., :3] = (0.45 + 0.55 * rgba[..., :3]) * np.clip(0.15 + 1.05 * shade, 0, 1)[..., None]
    return Image(rgba, "elevation, m", norm, "cividis")


def _mapped(plane: Float32, cmap: str, norm: Normalize) -> Float32:
    seen = np.isfinite(plane)
    rgba = np.asarray(colormaps[cmap](norm(np.where(seen, plane, norm.vmin or 0.0))), dtype=np.float32)
    rgba[..., 3] = seen
    return rgba


def _range(values: Float32, low: float, high: float) -> tuple[float, float]:
    """Percentiles; never an empty range."""
    if values.size == 0:
        return 0.0, 1.0
    least, most = (float(v) for v in np.percentile(values, [low, high]))
    return least, most if most > least else least + 1.0


def _percentiles(values: Float32) -> Normalize:
    return Normalize(*_range(values, 2, 98), clip=True)


def _symmetric(values: Float32) -> Normalize:
    _, most = _range(np.abs(values), 0, 98)
    return Normalize(-most, most, clip=True)


def _logarithmic(values: Float32) -> Normalize:
    _, most = _range(values, 0, 99.5)
    return LogNorm(_SLOWEST_M_A, max(most, 10 * _SLOWEST_M_A), clip=True)


def _fixed(low: float, high: float) -> Callable[[Float32], Normalize]:
    return lambda _: Normalize(low, high, clip=True)
