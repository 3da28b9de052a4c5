"""Filled: the area of a region together with the glaciers that nobody saw that year.

A glacier without an area but with one in the inventory is taken for inventory area × ratio of its size class: Σ area /
Σ inventory area of the measured glaciers of the first-order region (ratio estimator, Cochran 1977, ch. 6), those that
are gone included. That is right as far as glaciers of one size were hidden by chance. It is a plain mean, not the
weighted and robust regression of `core.change`: there one surge must not speak for others, here a tenth of glaciers
gone is a tenth of them gone. Sums are exact and do not depend on the order of glaciers.

σ is that of: each measured area, which counts in the sum and in the ratio; the ratio, by the scatter of glaciers about
it; and the scatter of the glaciers that are filled in. What is the model's is common to all and adds up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.release.schema import SIGMA_PARTS, WITH_AREA

EDGES_KM2 = (0.1, 0.5, 1.0, 5.0, 10.0, 50.0)
LEAST = 10  # measured glaciers of a size class; fewer join the next larger
_LEAST_OF_ALL = 2  # one glacier has no scatter


@dataclass(frozen=True)
class _Size:
    """The measured glaciers of a class: Σ area, inventory area and model's part of σ, km²; residual: Σ (A − R·I)² of
    areas about the ratio, inventory_square: Σ I², both km⁴, the former for the degree of freedom that R took."""

    area: float
    inventory: float
    model: float
    residual: float
    inventory_square: float


@dataclass(frozen=True, eq=False)
class Filling:
    """How to fill the rows of one first-order region, and of parts of it.

    rows: area; own: square of what is a glacier's own of σ; model: the rest of σ; inventory (area); counted: has an
    area; fill: is to be filled in; size: number of its class, −1 without inventory area. Labels are the region's.
    """

    rows: pd.DataFrame
    sizes: tuple[_Size, ...]

    @staticmethod
    def of(region: pd.DataFrame) -> Filling:
        """region: status, area, σ with its parts and inventory area of all glaciers of a first-order region."""
        counted = region["status"].isin(WITH_AREA)
        inventory = region["area_inventory_km2"]
        sized = inventory > 0
        boundary, model, hidden = sigma_parts(region)
        edges = _edges(inventory[counted & sized].to_numpy(dtype=np.float64))
        size = np.where(sized, np.searchsorted(edges, inventory.fillna(0.0), side="right"), -1)
        rows = pd.DataFrame(
            {
                "area": region["area_km2"].fillna(0.0).where(counted, 0.0),
                "own": (boundary**2 + hidden**2).where(counted, 0.0),
                "model": model.where(counted, 0.0),
                "inventory": inventory.fillna(0.0),
                "counted": counted,
                "fill": ~counted & sized,
                "size": size,
            }
        )
        sizes = tuple(_size(rows[counted & (size == k)]) for k in range(len(edges) + 1))
        return Filling(rows, sizes)

    def total(self, index: pd.Index) -> tuple[float | None, float | None]:
        """(area, σ) in km² of the glaciers of these labels of rows, with those filled in. Both None if nothing of them
        was measured or filled, or if there is something to fill but no ratio: fewer than two measured glaciers."""
        rows = self.rows.loc[index]
        fill = rows[rows["fill"]]
        measured = int((self.rows["counted"] & (self.rows["size"] >= 0)).sum())
        if not (rows["counted"].any() or len(fill)) or (len(fill) and measured < _LEAST_OF_ALL):
            return None, None
        area, common, variance = list(rows["area"]), list(rows["model"]), list(rows["own"])
        for number, size in enumerate(self.sizes):
            add = fill["inventory"][fill["size"] == number]
            if add.empty:
                continue
            pull = math.fsum(add) / size.inventory
            area.append(pull * size.area)
            common.append(pull * size.model)
            variance += [
                2.0 * pull * math.fsum(rows["own"][rows["size"] == number]),
                pull**2 * size.residual,
                math.fsum(add**2) * size.residual / size.inventory_square,
            ]
        return math.fsum(area), math.sqrt(math.fsum([*variance, math.fsum(common) ** 2]))


def sigma_parts(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series, pd.Series]:
    """(boundary, model, hidden) parts of σ, km², 0 where there is no σ; parts that are unknown are the model's, the
    bound."""
    unknown = rows[list(SIGMA_PARTS)].isna().all(axis=1)
    boundary, model, hidden = (rows[name].fillna(0.0) for name in SIGMA_PARTS)
    return boundary, model.where(~unknown, rows["area_sigma_km2"].fillna(0.0)), hidden


def _edges(inventory: NDArray[np.float64]) -> NDArray[np.float64]:
    """Borders between classes that have enough measured glaciers each, km²; none if all are too few for two."""
    counts = np.bincount(np.searchsorted(EDGES_KM2, inventory, side="right"), minlength=len(EDGES_KM2) + 1)
    kept, n = [], 0
    for k, edge in enumerate(EDGES_KM2):
        n += int(counts[k])
        if n >= LEAST and int(counts[k + 1 :].sum()) >= LEAST:
            kept.append(edge)
            n = 0
    return np.array(kept, dtype=np.float64)


def _size(rows: pd.DataFrame) -> _Size:
    area, inventory = math.fsum(rows["area"]), math.fsum(rows["inventory"])
    ratio = area / inventory if inventory > 0 else 0.0
    freedom = len(rows) / max(len(rows) - 1, 1)
    return _Size(
        area=area,
        inventory=inventory,
        model=math.fsum(rows["model"]),
        residual=freedom * math.fsum((rows["area"] - ratio * rows["inventory"]) ** 2),
        inventory_square=math.fsum(rows["inventory"] ** 2),
    )
