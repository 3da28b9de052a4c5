"""Owners: the glaciers of a region that have a mapped outline, which the rows of the other tables are held against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.release.schema import SURFACE_AREAS, WITH_AREA

_COLUMNS = (*SURFACE_AREAS, "front_length_m", "front_change_m")


@dataclass(frozen=True)
class Owners:
    """rows: by rgi_id, some columns of glacier_area and `hidden_km2`."""

    rows: pd.DataFrame

    @classmethod
    def of(cls, area: pa.Table) -> Owners:
        """area: the glacier_area of a region; the first row of an rgi_id counts."""
        chosen = area.filter(pa.array(outlined(area)))
        rows = chosen.select(["rgi_id", *_COLUMNS]).to_pandas()
        rows["hidden_km2"] = hidden_km2(chosen)
        return cls(rows.drop_duplicates("rgi_id").set_index("rgi_id"))

    @classmethod
    def none(cls) -> Owners:
        return cls(pd.DataFrame(columns=[*_COLUMNS, "hidden_km2"], index=pd.Index([], name="rgi_id"), dtype=float))

    def strangers(self, ids: Iterable[str]) -> list[str]:
        """Those that are none of the owners, sorted, each once."""
        return sorted(set(ids) - set(self.rows.index))

    def values(self, ids: Iterable[str], column: str) -> NDArray[np.float64]:
        """The value of each row's owner; NaN where it has none or is a stranger."""
        found: NDArray[np.float64] = self.rows[column].reindex(list(ids)).to_numpy(dtype=float)
        return found


def outlined(area: pa.Table) -> NDArray[np.bool_]:
    """Rows of glacier_area whose geometry was mapped, not taken from the inventory."""
    status = pc.is_in(area.column("status"), pa.array(WITH_AREA))
    return np.asarray(pc.and_(status, area.column("geometry").is_valid()))


def hidden_km2(area: pa.Table) -> NDArray[np.float64]:
    """Per row of glacier_area, the part of the inventory's outline that was not observed."""
    seen = np.asarray(area.column("observed_fraction").to_numpy(), dtype=float)
    inventory = np.nan_to_num(np.asarray(area.column("area_inventory_km2").to_numpy(), dtype=float))
    hidden: NDArray[np.float64] = np.clip(1.0 - np.nan_to_num(seen), 0.0, 1.0) * inventory
    return hidden
