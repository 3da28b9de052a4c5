"""Renders a SIMULATED optical scene: spectra mixed by cover, lit by the sun, under a sky."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.simulate.cloud import FILL, Sky
from core.simulate.noise import F32, fractal
from core.simulate.spectra import BANDS, CLOUD, HAZE, INSTRUMENT_NOISE, SKYLIGHT, SPECTRA
from core.simulate.surface import CLASSES

SCALE = 1e-4  # reflectance per stored step


def render(cover: F32, texture: F32, light: tuple[F32, F32], sky: Sky, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Stored reflectance (band, rows, cols) uint16 = reflectance × 10,000, at least 1; 0 where the scene has no data.

    cover: shares of CLASSES (class, rows, cols); texture: common brightness pattern; light: (direct, sky) relative to
    flat open ground. Every pixel is the linear mixture of its classes, so edges hold no class that is not there.
    """
    shape = texture.shape
    direct, open_sky = light[0] * (1.0 - sky.shade), light[1]
    grain = rng.standard_normal(shape, dtype=np.float32)
    spectra = [SPECTRA[name] for name in CLASSES]
    uneven = np.stack([s * (1.0 + e.texture * texture + e.grain * grain) for s, e in zip(cover, spectra, strict=True)])
    means = np.array([e.mean for e in spectra], dtype=np.float32)
    white = CLOUD.mean * np.ones(len(BANDS), dtype=np.float32)
    billow = 1.0 + CLOUD.texture * fractal(shape, rng, 2.4, 80.0)
    out = np.empty((len(BANDS), *shape), dtype=np.uint16)
    for b in range(len(BANDS)):
        ground = np.tensordot(means[:, b], uneven, axes=1)
        lit = ground * ((1.0 - SKYLIGHT[b]) * direct + SKYLIGHT[b] * open_sky) + HAZE[b]
        seen = lit * (1.0 - sky.opacity) + white[b] * billow * sky.opacity
        seen += np.float32(INSTRUMENT_NOISE) * rng.standard_normal(shape, dtype=np.float32)
        out[b] = np.clip(np.rint(seen / SCALE), 1, 16000)
    out[:, sky.mask == FILL] = 0
    return out
