"""Points: single pixels with a known surface, as spectra and as chips.

The tables of `usgs_points` (RaineyAbe/glacier-snow-cover-mapping, MIT) hold reflectance at four glaciers in 2021 by
surface: snow, shadowed snow, ice, rock or debris, water. They say nothing of a point's neighbours and not whether it
lies on a glacier. A net sees windows, so points become chips in one of two ways, of which neither is a landscape: a
window that is one spectrum everywhere, or a quilt of square patches, each of one point of the same scene. Chips of
points carry no labels; who scores them knows which point lies where. One site, `KEPT_OUT`, is in no fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from core.sensors import sensor
from core.simulate.spectra_fit import KEPT_OUT, read_points
from core.train.chip import Chip

__all__ = ["KEPT_OUT", "NearestMean", "Points", "Quilt", "constant_chips", "quilts", "read_usgs_points"]

INSTRUMENTS = ("sentinel2", "landsat")
_RES_M = 30.0


@dataclass(frozen=True, eq=False)
class Points:
    """n pixels. reflectance: (n, 6) float32 in the order of the sensor `optical`; kelvin: (n,) float32, NaN where not
    measured; site, scene, surface: (n,) text."""

    instrument: str
    reflectance: NDArray[np.float32]
    kelvin: NDArray[np.float32]
    site: NDArray[np.str_]
    scene: NDArray[np.str_]
    surface: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.surface)

    def where(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Points:
        """Some of them, by mask or index."""
        arrays = {k: getattr(self, k)[which] for k in ("reflectance", "kelvin", "site", "scene", "surface")}
        return replace(self, **arrays)

    def values(self) -> dict[str, NDArray[np.float32]]:
        """sensor → (n, band); `thermal` only where any point has it."""
        out = {"optical": self.reflectance}
        if np.isfinite(self.kelvin).any():
            out["thermal"] = self.kelvin[:, None]
        return out


def read_usgs_points(folder: Path, instrument: str) -> Points:
    """All points of `sentinel2` or `landsat` with plausible reflectance (`core.simulate.spectra_fit`).

    Raises ConfigError for another instrument or a folder without its table.
    """
    if instrument not in INSTRUMENTS:
        raise ConfigError("instrument", found=repr(instrument), expected=" or ".join(INSTRUMENTS))
    try:
        table = read_points(folder, instrument)
    except FileNotFoundError as error:
        raise ConfigError(str(error.filename), found="no such table", expected="the samples `usgs_points`") from error
    return Points(
        instrument,
        table[list(sensor("optical").band_names)].to_numpy(np.float32),
        table["kelvin"].to_numpy(np.float32),
        table["site"].to_numpy(np.str_),
        (table["site"] + "-" + table["date"].astype(str)).to_numpy(np.str_),
        table["surface"].to_numpy(np.str_),
    )


def constant_chips(points: Points, size_px: int = 32) -> Iterator[Chip]:
    """A chip per point, in order, that is its spectrum in every pixel."""
    values = points.values()
    for k in range(len(points)):
        spread = {
            name: np.broadcast_to(v[k][:, None, None], (v.shape[1], size_px, size_px)).copy()
            for name, v in values.items()
        }
        yield _chip(spread, size_px, f"usgs_points:{points.scene[k]}-{k}")


@dataclass(frozen=True, eq=False)
class Quilt:
    """chip: of (side · patch_px)² pixels; index: which point each patch shows, by rows, −1 where points ran out;
    row, col: the middle pixel of each patch."""

    chip: Chip
    index: NDArray[np.int64]
    row: NDArray[np.int64]
    col: NDArray[np.int64]


def quilts(points: Points, patch_px: int = 16, side: int = 8, seed: int = 0) -> Iterator[Quilt]:
    """Every point in one patch of one quilt; a quilt holds points of one scene in random order.

    What surrounds a point is then other surfaces of its day, as in an image, though in no natural arrangement.
    """
    rng = np.random.default_rng(seed)
    values, each = points.values(), side * side
    middle = np.arange(side) * patch_px + patch_px // 2
    row, col = (grid.ravel() for grid in np.meshgrid(middle, middle, indexing="ij"))
    for scene in np.unique(points.scene):
        order = rng.permutation(np.flatnonzero(points.scene == scene))
        for start in range(0, len(order), each):
            index = np.full(each, -1, np.int64)
            here = order[start : start + each]
            index[: len(here)] = here
            planes = {}
            for name, v in values.items():
                tiles = np.where((index >= 0)[:, None], v[index], np.float32(np.nan)).reshape(side, side, -1)
                planes[name] = np.ascontiguousarray(
                    tiles.transpose(2, 0, 1).repeat(patch_px, axis=1).repeat(patch_px, axis=2)
                )
            yield Quilt(_chip(planes, side * patch_px, f"usgs_points:{scene}-{start}"), index, row, col)


def _chip(values: dict[str, NDArray[np.float32]], size_px: int, origin: str) -> Chip:
    return Chip(values, np.full((size_px, size_px), np.nan, np.float32), None, _RES_M, origin)


@dataclass(frozen=True, eq=False)
class NearestMean:
    """The classical classifier of single pixels: the surface whose mean spectrum is nearest, each band divided by its
    standard deviation over all points of the fit. names: (k,); mean: (k, 6); scale: (6,)."""

    names: NDArray[np.str_]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(cls, points: Points) -> NearestMean:
        """Raises ConfigError without points."""
        if not len(points):
            raise ConfigError("nearest mean", found="no points", expected="some of every surface")
        names = np.unique(points.surface)
        spectra = points.reflectance.astype(np.float64)
        mean = np.stack([spectra[points.surface == name].mean(axis=0) for name in names])
        return cls(names, mean, np.maximum(spectra.std(axis=0), 1e-6))

    def surfaces(self, reflectance: NDArray[np.float32]) -> NDArray[np.str_]:
        """(n, 6) → (n,) names."""
        apart = (reflectance[:, None].astype(np.float64) - self.mean) / self.scale
        return np.asarray(self.names[(apart**2).sum(axis=2).argmin(axis=1)])
