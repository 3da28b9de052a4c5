"""Contact sheets of SIMULATED chips: a row per chip, a column per sensor, and how many are made per second.

    python -m benchmarks.simulated_chips --out DIR [--first 0] [--rows 12] [--step 48] [--site himalaya] [--res 25]

Pictures to judge the simulator by eye; they show no real place.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.simulate.chips import simulate_chip
from core.train.chip import Chip
from core.train.classes import SURFACES

_COLOURS = np.array(
    [
        (140, 200, 255), (120, 90, 70), (255, 255, 255), (0, 90, 200), (60, 150, 60), (30, 30, 40), (200, 180, 150),
        (0, 40, 110), (170, 230, 230),
    ],
    dtype=np.uint8,
)  # fmt: skip
Picture = NDArray[np.uint8]


def stretch(band: NDArray[np.float32], low: float, high: float) -> Picture:
    """Grey levels between two values; what is not observed is 0."""
    return np.asarray(np.nan_to_num(np.clip((band - low) / (high - low), 0.0, 1.0) * 255.0), dtype=np.uint8)


def panels(chip: Chip) -> dict[str, Picture]:
    """A picture (h, w, 3) per sensor and of the truth."""
    v = chip.values
    out = {
        "true colour": np.stack([stretch(v["optical"][b] ** 0.7, 0.05, 0.75) for b in (2, 1, 0)], -1),
        "swir nir red": np.stack([stretch(v["optical"][b] ** 0.7, 0.05, 0.6) for b in (4, 3, 2)], -1),
        "toa": np.stack([stretch(v["optical_toa"][b] ** 0.7, 0.05, 0.75) for b in (2, 1, 0)], -1),
    }
    kelvin, z, slope = v["thermal"][0], *v["dem"]
    low, high = np.nanpercentile(kelvin, (2, 98)) if np.isfinite(kelvin).any() else (0.0, 1.0)
    grey = {
        "thermal": stretch(kelvin, low, high + 0.1),
        "elevation": stretch(z, float(z.min()), float(z.max()) + 1.0),
        "slope": stretch(slope, 0.0, 50.0),
        "sigma0 vv": stretch(v["sar_sigma0"][0], -25.0, 2.0),
        "gamma0 vv asc": stretch(v["sar_gamma0_asc"][0], -25.0, 2.0),
        "coh12 asc": stretch(v["coherence_asc"][1], 0.0, 1.0),
        "speed": stretch(np.log1p(v["velocity"][0]), 0.0, 6.0),
        "dhdt": stretch(v["dhdt"][0], -3.0, 1.0),
        "glacier": stretch(chip.glacier, 0.0, 1.0),
    }
    out |= {name: np.repeat(image[..., None], 3, -1) for name, image in grey.items()}
    assert chip.classes is not None
    return out | {"classes": _COLOURS[chip.classes]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--rows", type=int, default=12)
    parser.add_argument("--step", type=int, default=48, help="between seeds; 48 is another world each time")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--res", type=float, default=25.0)
    parser.add_argument("--site", default=None)
    parser.add_argument("--samples", type=Path, default=None)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    rows, began = [], time.perf_counter()
    for k in range(asked.rows):
        seed = asked.first + k * asked.step
        chip = simulate_chip(seed, asked.size, asked.res, asked.site, asked.samples)
        pictures = panels(chip)
        assert chip.classes is not None
        counts = np.bincount(chip.classes.ravel(), minlength=len(SURFACES))
        shares = ", ".join(f"{n} {c / counts.sum():.0%}" for n, c in zip(SURFACES, counts, strict=True) if c)
        print(f"{chip.origin} region {chip.region}: {shares}")
        sheet = Image.fromarray(np.concatenate(list(pictures.values()), axis=1))
        draw = ImageDraw.Draw(sheet)
        for i, name in enumerate(pictures):
            draw.text(
                (i * asked.size + 4, 4), f"{name} {'SIMULATED ' + str(seed) if i == 0 else ''}", fill=(255, 255, 0)
            )
        rows.append(np.asarray(sheet))
    seconds = time.perf_counter() - began
    Image.fromarray(np.concatenate(rows)).save(asked.out / "SIMULATED_chips.png")
    again = time.perf_counter()
    for i in range(24):
        simulate_chip(seed // 48 * 48 + seed % 48 // 24 * 24 + i, asked.size, asked.res, asked.site, asked.samples)
    print(
        f"{asked.rows} chips {seconds:.1f} s; from a world in memory {24 / (time.perf_counter() - again):.0f} chips/s"
    )


if __name__ == "__main__":
    main()
