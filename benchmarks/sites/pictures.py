"""Pictures: image, truth, the model's probability and the band ratio side by side, small enough for a README."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from core.sensors import sensor

Float32 = NDArray[np.float32]
OUTLINE = "#ff2d55"
_COLOURS = 256


def composite(optical: Float32, bands: tuple[str, str, str] = ("red", "green", "blue")) -> NDArray[np.uint8]:
    """(6, h, w) reflectance → (h, w, 3), each picture stretched from its 2nd to its 98th percentile over all bands;
    not observed is mid grey."""
    picked = optical[[sensor("optical").band_index(band) for band in bands]].transpose(1, 2, 0)
    seen = np.asarray(np.isfinite(picked).all(axis=2))
    low, high = np.percentile(picked[seen], (2, 98)) if seen.any() else (0.0, 1.0)
    unit = np.clip((picked - low) / max(float(high - low), 1e-6), 0, 1)
    return np.where(seen[..., None], np.nan_to_num(unit) ** 0.7 * 255, 128).astype(np.uint8)


def draw_site(
    path: Path, title: str, image: NDArray[np.uint8], share: Float32, maps: Mapping[str, Float32], about: str = ""
) -> Path:
    """PNG. image: (h, w, 3); share: (h, w) truth, whose half-way line is drawn on every panel but the first;
    maps: name → (h, w) probability, NaN = not told. about: a line below the title."""
    h, w = share.shape
    n = 2 + len(maps)
    figure = Figure(figsize=(2.75 * n, 2.6 * h / w + 0.7), dpi=96, layout="constrained")
    axes = figure.subplots(1, n)
    truth = np.nan_to_num(share) >= 0.5
    axes[0].imshow(image)
    axes[0].set_title("image", fontsize=9)
    axes[1].imshow(image)
    axes[1].imshow(np.where(truth, 1.0, np.nan), vmin=0, vmax=1, cmap="Blues", alpha=0.45)
    axes[1].set_title("truth", fontsize=9)
    for ax, (name, probability) in zip(axes[2:], maps.items(), strict=True):
        ax.set_facecolor("0.6")
        shown = ax.imshow(probability, vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
        ax.set_title(name, fontsize=9)
    for ax in axes[1:]:
        if truth.any() and not truth.all():
            ax.contour(truth, levels=[0.5], colors=OUTLINE, linewidths=0.8)
    for ax in axes:
        ax.set_xticks([])
        ax.set_yticks([])
    if maps:
        figure.colorbar(shown, ax=axes, fraction=0.015, pad=0.01, ticks=[0, 0.5, 1])
    figure.suptitle(f"{title}\n{about}" if about else title, fontsize=10)
    return save_small(figure, path)


def save_small(figure: Figure, path: Path) -> Path:
    """PNG with a palette, which makes the file a third of its size; no colour of these pictures needs more."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    buffer.seek(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.open(buffer).convert("RGB").quantize(_COLOURS).save(path, optimize=True)
    return path
