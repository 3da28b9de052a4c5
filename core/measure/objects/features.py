"""What is told of each object: its size, shape and place, and statistics of layers over its pixels.

All of it by counting over labels, one pass for each quantity; a quantity is computed when a rule asks for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from core.measure.frame import framed
from core.measure.objects.ground import Bool, Float64, Ground
from core.measure.objects.kinds import Labels, Objects
from core.measure.objects.rules import ELEVATION


def quantity(name: str, objects: Objects, ice: Bool, ground: Ground) -> Float64:
    """(count + 1,) float64: a quantity of `core.measure.objects.rules` for each label; NaN where it is not known.

    ice: (h, w), the map as earlier rules left it. What stands at label 0 is no object's.
    """
    labels, n = objects.labels, objects.count + 1
    statistic, dot, layer = name.partition(".")
    if dot and statistic in ("min", "max"):
        return _extreme(statistic, ground.layer(layer), labels, n)
    if dot:
        values = ground.layer(layer)
        mean = _mean(values, labels, n, ground.area_km2)
        return mean - _mean_where(values, ice & ground.old, ground.area_km2) if statistic == "excess" else mean
    if name == "height":
        low, high = ground.elevation_range_m()
        mean = _mean(ground.layer(ELEVATION), labels, n, ground.area_km2)
        return (mean - low) / (high - low) if high > low else np.full(n, np.nan)
    if name == "pixels":
        return _sums(labels, None, n)
    if name == "area_km2":
        return _sums(labels, ground.area_km2, n)
    if name == "distance_m":
        return _distance_m(labels, n, ice & ground.old, ground.res_m)
    edges, beside_ice = _perimeter(labels, n, ice)
    if name == "width_m":
        return _ratio(2.0 * ground.res_m * _sums(labels, None, n), edges)
    return _ratio(beside_ice, edges)  # ice_border


def _mean(values: Float64, labels: Labels, n: int, weight: Float64) -> Float64:
    known = np.isfinite(values) & (labels > 0)
    at, w = labels[known], weight[known]
    return _ratio(_sums(at, w * values[known], n), _sums(at, w, n))


def _mean_where(values: Float64, where: Bool, weight: Float64) -> float:
    known = where & np.isfinite(values)
    total = float(weight[known].sum())
    return float((values[known] * weight[known]).sum()) / total if total > 0 else float("nan")


def _extreme(statistic: str, values: Float64, labels: Labels, n: int) -> Float64:
    known = np.isfinite(values) & (labels > 0)
    ufunc, worst = (np.minimum, np.inf) if statistic == "min" else (np.maximum, -np.inf)
    found = np.full(n, worst)
    ufunc.at(found, labels[known], values[known])
    return np.where(np.isfinite(found), found, np.nan)


def _distance_m(labels: Labels, n: int, ice: Bool, res_m: float) -> Float64:
    found = np.full(n, np.inf)
    if ice.any():
        away = distance_transform_edt(~ice) * res_m
        np.minimum.at(found, labels.ravel(), away.ravel())
    return found


def _perimeter(labels: Labels, n: int, ice: Bool) -> tuple[Float64, Float64]:
    """(pixel sides along which each label ends, those of them beyond which there is ice)."""
    around, frozen = framed(labels), framed(ice)
    edges, beside = np.zeros(n), np.zeros(n)
    for here, there in (
        ((slice(None), slice(0, -1)), (slice(None), slice(1, None))),
        ((slice(0, -1), slice(None)), (slice(1, None), slice(None))),
    ):
        differ = around[here] != around[there]
        for a, b in ((here, there), (there, here)):
            at = around[a][differ]
            edges += _sums(at, None, n)
            beside += _sums(at, frozen[b][differ], n)
    return edges, beside


def _sums(labels: Labels, weight: NDArray[Any] | None, n: int) -> Float64:
    """(n,) sum of the weights of each label; without weights, its pixels."""
    return np.asarray(np.bincount(labels.ravel(), None if weight is None else weight.ravel(), n), dtype=np.float64)


def _ratio(above: Float64, below: Float64) -> Float64:
    return np.asarray(np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0))
