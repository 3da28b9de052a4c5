"""Random fields and resampling for the SIMULATED world: the same key always gives the same bytes.

A stream is named by (seed, site, purpose), so that adding a site or a step changes no other field.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


def stream(seed: int, *names: str) -> np.random.Generator:
    """The generator of one purpose, independent of every other name."""
    return np.random.default_rng([seed, *(zlib.crc32(n.encode()) for n in names)])


def fractal(
    shape: tuple[int, int], rng: np.random.Generator, slope: float, longest_px: float, shortest_px: float = 2.0
) -> F32:
    """Gaussian noise of power spectrum k^−slope between two wavelengths: (rows, cols) float32, mean 0, variance 1.

    Periodic at the borders (spectral synthesis, Fournier et al. 1982, doi:10.1145/358523.358553).
    """
    rows, cols = shape
    white = fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    k = np.hypot(fft.fftfreq(rows)[:, None], fft.rfftfreq(cols)[None, :]).astype(np.float32)
    inside = (k >= 1.0 / longest_px) & (k <= 1.0 / shortest_px)
    amplitude = np.zeros_like(k)
    amplitude[inside] = k[inside] ** (-slope / 2.0)
    field = fft.irfft2(white * amplitude, s=shape)
    return np.asarray((field - field.mean()) / field.std(), dtype=np.float32)


def enlarge(coarse: NDArray[np.floating], factor: int, order: int = 3) -> F32:
    """Spline interpolation to `factor` times the pixels over the same ground (pixel corners kept)."""
    return np.asarray(
        ndimage.zoom(np.asarray(coarse, dtype=np.float32), factor, order=order, mode="nearest", grid_mode=True),
        dtype=np.float32,
    )


def reduce_mean(fine: NDArray[np.generic], factor: int) -> F32:
    """Mean of blocks of `factor` × `factor` pixels, float32."""
    rows, cols = fine.shape[0] // factor, fine.shape[1] // factor
    blocks = fine.reshape(rows, factor, cols, factor)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))


def ramp(value: NDArray[np.floating], low: float, high: float) -> F32:
    """Smooth step: 0 below `low`, 1 above `high` (the other way round if low > high), float32."""
    t = np.clip((np.asarray(value, dtype=np.float32) - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)
