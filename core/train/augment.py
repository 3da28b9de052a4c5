"""Augment: other chips that could have been observed, from those that were.

Works on physical values and NaN, before any normalisation, so that a step means what it says: another sun, another
calibration, another day of cloud, a coarser instrument, a sensor that was not there. Labels move with the pixels and
never change their meaning. All randomness comes from the generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from core.models.dihedral import TURNS, turn, turn_sensor
from core.sensors import sensor
from core.train.chip import Chip
from core.train.classes import UNLABELLED
from core.train.normalise import RANGES

Float32 = NDArray[np.float32]
Values = dict[str, Float32]
OPTICAL = ("optical", "optical_toa")
INFRARED = ("swir1", "swir2")


@dataclass(frozen=True)
class Augmentation:
    """Sizes and probabilities; 0 switches a step off. Defaults after GlaViTU where it has the step.

    turns: all eight. scale: least side of the part that is enlarged to the window. gamma: exponent of reflectance in
    [1 − gamma, 1 + gamma]. gain, offset: of reflectance per scene, relative and absolute; db, kelvin, elevation_m:
    offsets of a whole scene. saturation: probability that the optical image is cut off at a brightness between
    saturation_from and 1, as instruments are over snow. speckle: of radar images, dB per pixel at most; shift_px: how
    far they may lie off the rest, as images without terrain correction do on slopes. noise: per pixel and band, as
    share of the band's range. occlusion: probability, and occlusion_share: largest side of the rectangle as share of
    the window, unobserved in one sensor. coarsen: largest factor by which one sensor loses resolution, with probability
    coarsen_p. drop_sensor: probability of each sensor to be missing, anchors included as long as one is left;
    drop_infrared: that the optical image has no SWIR, as many sensors do not; drop_band: of each single optical band.
    """

    turns: bool = True
    scale: float = 0.8
    gamma: float = 0.2
    gain: float = 0.1
    offset: float = 0.01
    db: float = 1.0
    kelvin: float = 4.0
    elevation_m: float = 400.0
    saturation: float = 0.0
    saturation_from: float = 0.35
    speckle: float = 0.0
    shift_px: float = 0.0
    noise: float = 0.01
    occlusion: float = 0.3
    occlusion_share: float = 0.5
    coarsen: float = 3.0
    coarsen_p: float = 0.2
    drop_sensor: float = 0.2
    drop_infrared: float = 0.1
    drop_band: float = 0.03

    def __post_init__(self) -> None:
        shares = (
            "occlusion",
            "occlusion_share",
            "coarsen_p",
            "drop_sensor",
            "drop_infrared",
            "drop_band",
            "saturation",
            "saturation_from",
        )
        bad = [name for name in shares if not 0 <= getattr(self, name) <= 1]
        sizes = ("gamma", "gain", "offset", "db", "kelvin", "elevation_m", "noise", "speckle", "shift_px")
        bad += [n for n in sizes if getattr(self, n) < 0]
        if bad:
            raise ConfigError(f"augment.{bad[0]}", found=str(getattr(self, bad[0])), expected="a share, or a size ≥ 0")
        if not 0 < self.scale <= 1 or self.gamma >= 1 or self.gain >= 1 or self.coarsen < 1:
            raise ConfigError("augment", found=str(self), expected="0 < scale ≤ 1, gamma < 1, gain < 1, coarsen ≥ 1")


def augment(
    chip: Chip, rng: np.random.Generator, how: Augmentation = Augmentation(), anchors: tuple[str, ...] = OPTICAL
) -> Chip:
    """Another chip of the same size. anchors: of these at least one sensor stays, if there was one."""
    if how.scale < 1:
        chip = _enlarge(chip, rng, how.scale)
    if how.turns:
        chip = turned(chip, int(rng.integers(TURNS)))
    values: Values = {name: v.copy() for name, v in _kept(chip.values, rng, how, anchors).items()}
    for name, v in values.items():
        _radiometry(name, v, rng, how)
        if how.coarsen > 1 and rng.random() < how.coarsen_p:
            values[name] = coarsened(v, 1 + (how.coarsen - 1) * rng.random(), name)
    _hide_bands(values, rng, how)
    _occlude(values, chip.shape, rng, how)
    return replace(chip, values=values)


def turned(chip: Chip, k: int) -> Chip:
    """The chip in one of the eight positions; components of vectors are turned with it."""
    return replace(
        chip,
        values={
            name: np.ascontiguousarray(turn_sensor(v, name, sensor(name).band_names, k))
            for name, v in chip.values.items()
        },
        glacier=np.ascontiguousarray(turn(chip.glacier, k)),
        classes=None if chip.classes is None else np.ascontiguousarray(turn(chip.classes, k)),
    )


def _enlarge(chip: Chip, rng: np.random.Generator, least: float) -> Chip:
    """A random part, enlarged to the size of the chip."""
    h, w = chip.shape
    share = least + (1 - least) * rng.random()
    height, width = max(1, round(h * share)), max(1, round(w * share))
    row, col = int(rng.integers(h - height + 1)), int(rng.integers(w - width + 1))
    if (height, width) == (h, w):
        return chip
    part = chip.cut(row, col, height, width)
    rows, cols = _nearest(height, h), _nearest(width, w)
    return replace(
        part,
        values={name: _resized(v, (h, w)) for name, v in part.values.items()},
        glacier=_resized(part.glacier[None], (h, w))[0].clip(0, 1),
        classes=None if part.classes is None else part.classes[np.ix_(rows, cols)],
        res_m=chip.res_m * share,
    )


def _nearest(source: int, target: int) -> NDArray[np.int64]:
    return ((2 * np.arange(target) + 1) * source) // (2 * target)


def _resized(values: Float32, shape: tuple[int, int]) -> Float32:
    """(band, h, w) → (band, *shape), bilinear between pixel centres over what was observed; observed where the nearest
    pixel was."""
    h, w = values.shape[1:]
    seen = np.isfinite(values)
    row, row_t = _between(h, shape[0])
    col, col_t = _between(w, shape[1])

    def along(a: Float32) -> Float32:
        a = a[:, row] * (1 - row_t)[:, None] + a[:, row + 1] * row_t[:, None]
        return np.asarray(a[:, :, col] * (1 - col_t) + a[:, :, col + 1] * col_t)

    padded = np.pad(np.where(seen, values, 0), ((0, 0), (0, 1), (0, 1)), mode="edge").astype(np.float32)
    if seen.all():
        return along(padded)
    weight = along(np.pad(seen, ((0, 0), (0, 1), (0, 1)), mode="edge").astype(np.float32))
    with np.errstate(invalid="ignore", divide="ignore"):
        out = along(padded) / weight
    out[~seen[:, _nearest(h, shape[0])][:, :, _nearest(w, shape[1])]] = np.nan
    return out


def _between(source: int, target: int) -> tuple[NDArray[np.int64], Float32]:
    at = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    first = np.floor(at).astype(np.int64)
    return first, (at - first).astype(np.float32)


def coarsened(values: Float32, factor: float, name: str) -> Float32:
    """As an instrument with pixels `factor` times as wide sees it; decibels are averaged as power."""
    if sensor(name).resampling == "decibel":
        power = _blurred(np.power(10.0, values / 10, dtype=np.float32), factor)
        return np.asarray(10 * np.log10(np.maximum(power, 1e-6)), dtype=np.float32)
    return _blurred(values, factor)


def _blurred(values: Float32, factor: float) -> Float32:
    h, w = values.shape[1:]
    small = max(1, round(h / factor)), max(1, round(w / factor))
    if small == (h, w):
        return values
    seen = np.isfinite(values)
    # Sums over coarse pixels by nearest assignment, then back: area means without a filter that smears NaN.
    rows, cols = _nearest_cell(h, small[0]), _nearest_cell(w, small[1])
    cell = (rows[:, None] * small[1] + cols).ravel()
    size = small[0] * small[1]
    out = np.empty_like(values)
    for band in range(len(values)):
        total = np.bincount(cell, np.where(seen[band], values[band], 0).ravel(), size)
        count = np.bincount(cell, seen[band].ravel(), size)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (total / count).reshape(small).astype(np.float32)
        out[band] = _resized(mean[None], (h, w))[0]
    out[~seen] = np.nan
    return out


def _nearest_cell(n: int, cells: int) -> NDArray[np.int64]:
    return (np.arange(n) * cells) // n


def _radiometry(name: str, values: Float32, rng: np.random.Generator, how: Augmentation) -> None:
    """Another sun, atmosphere or calibration of the whole scene, and noise of every pixel; in place."""
    if name in OPTICAL:
        exponent = 1 + how.gamma * rng.uniform(-1, 1)
        gain, offset = 1 + how.gain * rng.uniform(-1, 1), how.offset * rng.uniform(-1, 1)
        bands = 1 + how.gain / 3 * rng.uniform(-1, 1, (len(values), 1, 1))
        np.maximum(values, 0, out=values)  # keeps NaN
        np.power(values, exponent, out=values)
        values *= (gain * bands).astype(np.float32)
        values += np.float32(offset)
        # Asked only where it is wanted, so that other recipes keep the draws that they had.
        if how.saturation and rng.random() < how.saturation:
            np.minimum(values, np.float32(rng.uniform(how.saturation_from, 1)), out=values)
    elif name.startswith("sar_"):
        values += np.float32(how.db * rng.standard_normal())
        if how.speckle:
            size = np.float32(how.speckle * rng.random())
            values += size * rng.standard_normal(values.shape, dtype=np.float32)
        if how.shift_px:
            _shift(values, *(int(v) for v in np.rint(how.shift_px * rng.uniform(-1, 1, 2))))
    elif name == "thermal":
        values += np.float32(how.kelvin * rng.standard_normal())
    elif name == "dem":
        values[sensor("dem").band_index("elevation_m")] += np.float32(how.elevation_m * rng.standard_normal())
    if how.noise:
        low, high = np.array([RANGES[band][:2] for band in sensor(name).band_names], dtype=np.float32).T
        size = how.noise * rng.random() * (high - low)
        values += rng.standard_normal(values.shape, dtype=np.float32) * size[:, None, None].astype(np.float32)


def _shift(values: Float32, rows: int, cols: int) -> None:
    """Moved by whole pixels, in place; what comes in from outside was not observed."""
    moved = np.full_like(values, np.nan)
    h, w = values.shape[1:]
    to = slice(max(0, rows), h + min(0, rows)), slice(max(0, cols), w + min(0, cols))
    source = slice(max(0, -rows), h + min(0, -rows)), slice(max(0, -cols), w + min(0, -cols))
    moved[(slice(None), *to)] = values[(slice(None), *source)]
    values[:] = moved


def _kept(
    values: Mapping[str, Float32], rng: np.random.Generator, how: Augmentation, anchors: tuple[str, ...]
) -> Mapping[str, Float32]:
    """The sensors that are there this time."""
    draws = {name: rng.random() for name in values}
    kept = {name for name, draw in draws.items() if draw >= how.drop_sensor}
    there = [name for name in values if name in anchors]
    if there and not kept & set(there):
        kept.add(max(there, key=lambda name: draws[name]))
    return {name: v for name, v in values.items() if name in kept}


def _hide_bands(values: Values, rng: np.random.Generator, how: Augmentation) -> None:
    """No short-wave infrared, or single bands less; at least one band stays."""
    for name in OPTICAL:
        if name not in values:
            continue
        names = sensor(name).band_names
        hidden = rng.random(len(names)) < how.drop_band
        if rng.random() < how.drop_infrared:
            hidden |= np.isin(names, INFRARED)
        if not hidden.all():
            values[name][hidden] = np.nan


def _occlude(values: Values, shape: tuple[int, int], rng: np.random.Generator, how: Augmentation) -> None:
    """A rectangle of one sensor was not observed."""
    if not values or rng.random() >= how.occlusion:
        return
    name = sorted(values)[int(rng.integers(len(values)))]
    height, width = (max(1, int(side * how.occlusion_share * rng.random())) for side in shape)
    row, col = int(rng.integers(shape[0] - height + 1)), int(rng.integers(shape[1] - width + 1))
    values[name][:, row : row + height, col : col + width] = np.nan


def focused_cut(chip: Chip, size_px: int, rng: np.random.Generator, focus: Mapping[int, float]) -> Chip:
    """A square of `size_px` from a larger chip, anywhere or, with the probability that `focus` gives to a surface,
    around a pixel of that surface. A chip that is smaller is filled up with what was not observed."""
    chip = filled_up(chip, size_px)
    h, w = chip.shape
    row, col = int(rng.integers(h - size_px + 1)), int(rng.integers(w - size_px + 1))
    draw, total = rng.random(), 0.0
    for code, share in sorted(focus.items()):
        total += share
        if draw < total:
            here = np.flatnonzero(chip.classes == code) if chip.classes is not None else np.empty(0, np.int64)
            if len(here):
                at_row, at_col = divmod(int(here[rng.integers(len(here))]), w)
                # Anywhere in the window but its rim, so that place in the window says nothing about class.
                row = int(np.clip(at_row - rng.integers(size_px), 0, h - size_px))
                col = int(np.clip(at_col - rng.integers(size_px), 0, w - size_px))
            break
    return chip.cut(row, col, size_px, size_px)


def filled_up(chip: Chip, size_px: int) -> Chip:
    """At least `size_px` on either side, with what was not observed below and on the right."""
    h, w = chip.shape
    if h >= size_px and w >= size_px:
        return chip
    pad = ((0, max(0, size_px - h)), (0, max(0, size_px - w)))
    return replace(
        chip,
        values={n: np.pad(v, ((0, 0), *pad), constant_values=np.nan) for n, v in chip.values.items()},
        glacier=np.pad(chip.glacier, pad, constant_values=np.nan),
        classes=None if chip.classes is None else np.pad(chip.classes, pad, constant_values=UNLABELLED),
    )
