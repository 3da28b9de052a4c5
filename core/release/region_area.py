"""Region area: rows of glaciers → totals per region, with the correlation of their uncertainties named.

Sums are exact (`math.fsum`), so they do not depend on the order in which glaciers arrive.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pyarrow as pa

from core.errors import ConfigError
from core.release.filled import Filling, sigma_parts
from core.release.schema import (
    BELOW_MINIMUM,
    MEASURED,
    NOT_OBSERVED,
    QUARANTINED,
    REGION_AREA,
    SIGMA_PARTS,
    UNKNOWN_O2,
    WITH_AREA,
)
from core.release.table import table_from_rows

# Which side of an edge pixel a boundary takes and what cloud hides are new chances for every glacier. What a model
# takes for ice is not: were it independent too, it would vanish from a region by 1/√n.
SIGMA_MODEL = (
    "boundaries and hidden parts independent between glaciers, errors of the model fully correlated within the region"
)
_COLUMNS = [
    "o1region",
    "o2region",
    "year",
    "status",
    "area_km2",
    "area_sigma_km2",
    *SIGMA_PARTS,
    "area_debris_km2",
    "area_inventory_km2",
    "observed_fraction",
    "run_id",
]


def region_area(area: pa.Table) -> pa.Table:
    """A glacier_area table (one or many regions) → a REGION_AREA table.

    Per first-order region its total (o2region null), then its second-order regions in order and, last, its glaciers
    without one (`unknown`), so that they add up. Areas are summed over measured and below_minimum rows; a glacier that
    was not observed adds to the counts, to area_inventory_km2 and to area_filled_km2 (`filled`). Raises ConfigError if
    rows of several runs or years are mixed.
    """
    frame = area.select(_COLUMNS).to_pandas()
    for column in ("year", "run_id"):
        if frame[column].nunique() > 1:
            found = ", ".join(sorted(str(v) for v in frame[column].unique())[:3])
            raise ConfigError(f"{column} of the rows to sum", found=found, expected="one run of one year")
    rows: list[dict[str, Any]] = []
    for o1region, region in frame.groupby("o1region", sort=True):
        filling = Filling.of(region)
        rows.append(_total(str(o1region), None, region, filling))
        names = region["o2region"].fillna(UNKNOWN_O2)
        rows += [_total(str(o1region), str(o2), part, filling) for o2, part in region.groupby(names, sort=True)]
    return table_from_rows(rows, REGION_AREA)


def _total(o1region: str, o2region: str | None, rows: pd.DataFrame, filling: Filling) -> dict[str, Any]:
    counted = rows[rows["status"].isin(WITH_AREA)]
    known = rows["area_inventory_km2"].fillna(0.0)
    inventory = math.fsum(known)
    debris = counted["area_debris_km2"].dropna()
    filled, filled_sigma = filling.total(rows.index)
    seen = math.fsum(known * rows["observed_fraction"].fillna(0.0))
    return {
        "o1region": o1region,
        "o2region": o2region,
        "year": int(rows["year"].iloc[0]),
        "n_glaciers": len(rows),
        "n_measured": int((rows["status"] == MEASURED).sum()),
        "n_below_minimum": int((rows["status"] == BELOW_MINIMUM).sum()),
        "n_not_observed": int((rows["status"] == NOT_OBSERVED).sum()),
        "n_quarantined": int((rows["status"] == QUARANTINED).sum()),
        "area_km2": math.fsum(counted["area_km2"].fillna(0.0)),
        "area_sigma_km2": _sigma(counted),
        "sigma_model": SIGMA_MODEL,
        "area_filled_km2": filled,
        "area_filled_sigma_km2": filled_sigma,
        "area_debris_km2": math.fsum(debris) if len(debris) else None,
        "area_inventory_km2": inventory,
        "area_inventory_measured_km2": math.fsum(known[counted.index]),
        "observed_fraction": seen / inventory if inventory > 0 else 0.0,
        "run_id": str(rows["run_id"].iloc[0]),
    }


def _sigma(rows: pd.DataFrame) -> float:
    """Root of Σ boundary² + Σ hidden² + (Σ model)²."""
    boundary, model, hidden = sigma_parts(rows)
    return math.sqrt(math.fsum([*boundary**2, *hidden**2, math.fsum(model) ** 2]))
