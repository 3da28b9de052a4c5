"""Values ↔ stored numbers: rounding, clipping, fill."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.sensors import Sensor


def encode(
    values: NDArray[np.float32], observed: NDArray[np.bool_], present: list[int], sensor: Sensor
) -> tuple[NDArray[Any], int]:
    """(nb, h, w) values → (stored numbers, count clipped to the range of the dtype).

    Everything outside `observed` (h, w) and every band not in `present` becomes fill. One band at a time, so that the
    temporary is one plane.
    """
    stored = np.full(values.shape, sensor.fill, dtype=sensor.numpy_dtype)
    if sensor.dtype == "float32":
        for i in present:
            np.copyto(stored[i], values[i], where=observed)
        return stored, 0
    low, high = sensor.stored_range
    clipped = 0
    for i in present:
        # float64: a step of 1e-4 is not exact in float32, and a half step would round the wrong way.
        plane = (values[i].astype(np.float64) - sensor.add_offset) / sensor.scale_factor
        np.rint(plane, out=plane)
        clipped += int(np.count_nonzero(((plane < low) | (plane > high)) & observed))
        np.clip(plane, low, high, out=plane)
        plane[~observed] = sensor.fill
        stored[i] = plane.astype(sensor.numpy_dtype)
    return stored, clipped


def decode(stored: NDArray[Any], sensor: Sensor) -> NDArray[np.float32]:
    """Stored numbers → float32 in the units of the bands; fill is not looked at."""
    values = stored.astype(np.float32)
    if sensor.dtype != "float32":
        values *= np.float32(sensor.scale_factor)
        if sensor.add_offset:
            values += np.float32(sensor.add_offset)
    return values


def is_fill(stored: NDArray[Any], sensor: Sensor) -> NDArray[np.bool_]:
    return np.asarray(np.isnan(stored) if sensor.dtype == "float32" else stored == sensor.fill)
