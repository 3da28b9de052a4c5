"""Dihedral: the eight ways to turn and mirror a square, for augmentation in training and averaging in mapping.

Slope and elevation do not care how ground is turned; components of a vector do, and are turned with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from core.sensors import sensor

TURNS = 8


def turn(values: NDArray[Any], k: int) -> NDArray[Any]:
    """(…, h, w) turned k % 4 quarters counter-clockwise, and mirrored left to right afterwards if k ≥ 4. A view."""
    _check(k)
    turned = np.rot90(values, k % 4, axes=(-2, -1))
    return turned[..., ::-1] if k >= 4 else turned


def unturn(values: NDArray[Any], k: int) -> NDArray[Any]:
    """Inverse of `turn`."""
    _check(k)
    return np.rot90(values[..., ::-1] if k >= 4 else values, -(k % 4), axes=(-2, -1))


def turn_sensor(values: NDArray[np.float32], name: str, bands: tuple[str, ...], k: int) -> NDArray[np.float32]:
    """(…, band, h, w) of one sensor, turned; components of a vector (x east, y north) are turned too.

    Raises ConfigError if only one of two components is there, which cannot be turned.
    """
    turned = turn(values, k)
    vector = sensor(name).vector
    if vector is None or not set(vector) & set(bands):
        return turned
    if not set(vector) <= set(bands):
        raise ConfigError(
            f"sensor {name}", found=", ".join(bands), expected=f"both {vector[0]} and {vector[1]}, or none"
        )
    x_at, y_at = (bands.index(band) for band in vector)
    x, y = turned[..., x_at, :, :], turned[..., y_at, :, :]
    for _ in range(k % 4):
        x, y = -y, x
    out = turned.copy()
    out[..., x_at, :, :], out[..., y_at, :, :] = (-x if k >= 4 else x), y
    return out


def _check(k: int) -> None:
    if not 0 <= k < TURNS:
        raise ConfigError("turn", found=str(k), expected=f"0 to {TURNS - 1}")
