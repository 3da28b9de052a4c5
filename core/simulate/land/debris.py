"""Rock on SIMULATED ice: what falls from the walls rides down the flow lines and melts out below the equilibrium line.

Every cell of ice is traced back up its flow line; what the line passed on its way (walls beside it, which rock, how
long below the equilibrium line) makes the debris that it carries now. So stripes follow the flow, tributaries keep
their colours side by side, the sides and the lowest ice are covered first, and clean ice pushes down the middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from core.simulate.land.place import Place
from core.simulate.noise import F32, F64, enlarge, fractal, ramp, reduce_mean, stream

_CELL_PX = 2
_WALL_SLOPE = 0.65


@dataclass(frozen=True)
class Debris:
    """At pixels, (h, w) float32: cover 0–1; thick_m; rock (6, h, w): log factor of its rock; relief_m: hummocks and
    medial moraines to add to the surface; pond, cliff: shares 0–1 of open water and of bare steep ice in the cover."""

    cover: F32
    thick_m: F32
    rock: F32
    relief_m: F32
    pond: F32
    cliff: F32


def lay_debris(
    surface: F32, ice: F32, speed: F32, below_ela_m: F32, rock: F32, place: Place, pixel_m: float, seed: int
) -> Debris:
    """surface: smooth (h, w) metres; ice: share 0–1; below_ela_m: how far below the equilibrium line; rock: log factors
    of the rock in place; speed in m a⁻¹."""
    rng = stream(seed, "debris")
    shape = (surface.shape[0], surface.shape[1])
    walls = _walls(surface, ice, pixel_m, rng)
    fed, below, origin = _trace(surface, ice, walls, below_ela_m, pixel_m)
    margin_m = np.asarray(ndimage.distance_transform_edt(ice > 0.5), dtype=np.float32) * np.float32(pixel_m)
    score = _score(fed, below, walls, margin_m, pixel_m, rng)
    ablation = (ice > 0.5) & (below_ela_m > 0.0)
    level = float(np.quantile(score[ablation], 1.0 - place.debris)) if ablation.any() else 1e9
    ragged = score + 0.2 * fractal(shape, rng, 2.7, 600.0 / pixel_m)
    width = float(rng.uniform(0.15, 0.6))
    cover = ramp(ragged - level, -width, width) * ramp(below_ela_m, -60.0, 80.0) * (ice > 0.0)
    thick = np.clip(0.03 * np.exp(2.2 * np.clip(score - level, -2.0, 2.2)), 0.005, 2.5).astype(np.float32)
    carried = _from_origin(rock, origin, ice)
    relief, pond, cliff = _karst(surface, cover, thick, speed, pixel_m, rng)
    # A stripe of rock shelters the ice under it and so stands above its neighbours.
    stripe = ndimage.gaussian_filter(cover, 40.0 / pixel_m) - ndimage.gaussian_filter(cover, 250.0 / pixel_m)
    relief = relief + 22.0 * np.clip(stripe, -0.4, 0.6) * ramp(below_ela_m, 0.0, 150.0)
    return Debris(cover, thick * (cover > 0.02), carried, relief.astype(np.float32), pond, cliff)


def _walls(surface: F32, ice: F32, pixel_m: float, rng: np.random.Generator) -> F32:
    """How much rock falls on the ice at each pixel: steep bare ground near by, weak here, firm there."""
    gy, gx = np.gradient(surface, pixel_m)
    bare = ramp(np.hypot(gx, gy), _WALL_SLOPE - 0.15, _WALL_SLOPE + 0.25) * (1.0 - ice)
    weak = np.exp(0.9 * fractal((ice.shape[0], ice.shape[1]), rng, 2.5, 4000.0 / pixel_m, 500.0 / pixel_m))
    return np.asarray(ndimage.gaussian_filter(bare * weak, 130.0 / pixel_m), dtype=np.float32)


def _trace(surface: F32, ice: F32, walls: F32, below_ela_m: F32, pixel_m: float) -> tuple[F32, F32, F32]:
    """Back up the flow lines, on cells of two pixels: (walls passed, kilometres below the equilibrium line, (row,
    column) in pixels of the place that fed the line most), 0 and itself off the ice."""
    icy = reduce_mean(ice, _CELL_PX) > 0.5
    # Smoothed over the ice alone: the wall beside a tongue must not turn its flow lines aside.
    sigma = 220.0 / (_CELL_PX * pixel_m)
    weight = ndimage.gaussian_filter(icy.astype(np.float64), sigma) + 1e-6
    coarse = reduce_mean(surface, _CELL_PX).astype(np.float64)
    base = float(coarse.mean())
    z = ndimage.gaussian_filter((coarse - base) * icy, sigma) / weight
    gy, gx = np.gradient(z)
    norm = np.maximum(np.hypot(gx, gy), 1e-9)
    source, deep = reduce_mean(walls, _CELL_PX), reduce_mean(below_ela_m, _CELL_PX) > 0.0
    rows, cols = icy.shape
    start = np.flatnonzero(icy)
    r, c = (start // cols).astype(np.float32), (start % cols).astype(np.float32)
    up_r, up_c = (gy / norm).astype(np.float32).ravel(), (gx / norm).astype(np.float32).ravel()
    source_flat, deep_flat, icy_flat = source.ravel(), deep.ravel(), icy.ravel()
    fed, below = np.zeros(start.size, np.float32), np.zeros(start.size, np.float32)
    best, best_at = np.full(start.size, -1.0, np.float32), start.copy()
    alive, at = np.arange(start.size), start.copy()
    step = 1.6
    for _ in range(int(14000.0 / (step * _CELL_PX * pixel_m))):
        here = source_flat[at]
        fed[alive] += here
        below[alive] += deep_flat[at]
        better = here > best[alive]
        best[alive[better]], best_at[alive[better]] = here[better], at[better]
        r, c = r + step * up_r[at], c + step * up_c[at]
        at = np.clip(np.rint(r), 0, rows - 1).astype(np.intp) * cols + np.clip(np.rint(c), 0, cols - 1).astype(np.intp)
        on = icy_flat[at] & (r > 0) & (c > 0) & (r < rows - 1) & (c < cols - 1)
        r, c, at, alive = r[on], c[on], at[on], alive[on]
        if not alive.size:
            break
    km = np.float32(step * _CELL_PX * pixel_m / 1000.0)
    origin = np.indices(icy.shape, dtype=np.float32)
    origin.reshape(2, -1)[:, start] = np.stack([best_at // cols, best_at % cols])
    out_fed, out_below = np.zeros(icy.size, np.float32), np.zeros(icy.size, np.float32)
    out_fed[start], out_below[start] = fed * km, below * km
    return out_fed.reshape(icy.shape), out_below.reshape(icy.shape), origin * _CELL_PX


def _score(fed: F32, below: F32, walls: F32, margin_m: F32, pixel_m: float, rng: np.random.Generator) -> F32:
    """How ready each pixel is to be covered, roughly a standard normal; what counts more differs between landscapes."""
    by_walls, by_way = float(rng.uniform(0.5, 1.2)), float(rng.uniform(0.5, 1.4))
    carried = np.log(ndimage.gaussian_filter(fed, 0.8) + 0.02) + 2.0
    coarse = by_walls * 0.5 * carried + by_way * np.log(below + 0.15)
    local = by_walls * (np.minimum(4.0 * walls, 1.5) + 1.4 * np.exp(-margin_m / float(rng.uniform(80.0, 220.0))))
    patches = 0.25 * fractal((walls.shape[0], walls.shape[1]), rng, 2.6, 2500.0 / pixel_m)
    return np.asarray(enlarge(coarse, _CELL_PX, order=1) + local + patches, dtype=np.float32)


def _from_origin(rock: F32, origin: F32, ice: F32) -> F32:
    """The log factors of the rock where each pixel of ice was fed; the rock in place elsewhere."""
    r, c = (enlarge(o, _CELL_PX, order=0) for o in origin)
    at = (np.clip(r, 0, rock.shape[1] - 1).astype(np.intp), np.clip(c, 0, rock.shape[2] - 1).astype(np.intp))
    blurred = np.stack([ndimage.gaussian_filter(np.where(ice > 0.0, band[at], band), 1.2) for band in rock])
    return np.asarray(blurred, dtype=np.float32)


def _karst(
    surface: F32, cover: F32, thick: F32, speed: F32, pixel_m: float, rng: np.random.Generator
) -> tuple[F32, F32, F32]:
    """(hummocks in metres, share of ponds, share of ice cliffs) of covered ice that hardly moves."""
    shape = (surface.shape[0], surface.shape[1])
    gy, gx = np.gradient(ndimage.gaussian_filter(surface, 200.0 / pixel_m), pixel_m)
    slope: F64 = np.hypot(gx, gy)
    calm = cover * ramp(speed, 45.0, 5.0) * ramp(slope, 0.3, 0.1)
    wave = fractal(shape, rng, 2.0, float(rng.uniform(180.0, 450.0)) / pixel_m, max(50.0 / pixel_m, 2.0))
    fine = fractal(shape, rng, 1.6, max(90.0 / pixel_m, 3.0))
    hummock = wave + 0.25 * fine
    height = float(rng.uniform(1.5, 6.5)) * np.clip(0.35 + 0.65 * calm, 0.0, 1.0) * cover
    share = float(rng.uniform(0.0, 0.07))
    # Ponds gather where the tongue is slowest, and are wider than a hummock.
    basin = ndimage.gaussian_filter(wave, 25.0 / pixel_m) + 0.9 * fractal(shape, rng, 2.5, 1500.0 / pixel_m)
    low = float(np.quantile(basin, share)) if share > 0.0 else -9.0
    wet = ramp(calm * ramp(slope, 0.16, 0.07), 0.45, 0.75)
    pond = ramp(basin, low + 0.1, low - 0.1) * wet
    edge = np.abs(ndimage.sobel(hummock, 0)) + np.abs(ndimage.sobel(hummock, 1))
    bank = ramp(np.abs(basin - low - 0.3), 0.3, 0.1) * ramp(edge, 1.5, 5.0)
    loose = ramp(fractal(shape, rng, 1.5, 150.0 / pixel_m), 1.7, 2.6)
    cliff = np.clip(0.8 * bank * wet * (share > 0.01) + 0.6 * loose * calm, 0.0, 0.85) * ramp(thick, 0.03, 0.15)
    relief = height * (hummock * (1.0 - pond) - 1.2 * pond)
    return relief.astype(np.float32), pond.astype(np.float32), cliff.astype(np.float32)
