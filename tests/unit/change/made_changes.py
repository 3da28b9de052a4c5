"""Invented series and releases of several years with a known truth, for the tests of change. All SIMULATED."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from core.change.error_model import Sigma
from core.change.series import STATUS_WORDS, Series
from core.layout import ReleaseLayout
from core.objects import Objects
from core.release import GLACIER_AREA, finish_release, region_area, table_from_rows, write_region
from core.release.schema import AREA
from tests import release_factory as factory

Row = dict[str, Any]


def publish_year(url: str, year: int, rows: Sequence[Row], scene: int | None = None, **provenance: Any) -> None:
    """A whole release of these rows, as of August of a year; run and model of the rows are kept. scene: year of the
    scenes, if it is another."""
    dated = [
        row
        | {"year": year, "run_id": f"run-{year}"}
        | {k: dt.date(scene or year, 8, 1) for k in ("scene_date_min", "scene_date_max") if row[k] is not None}
        for row in rows
    ]
    release, layout, files, totals = Objects(url), ReleaseLayout(year), [], []
    for region in sorted({row["o1region"] for row in dated}):
        area = table_from_rows([row for row in dated if row["o1region"] == region], GLACIER_AREA)
        files += write_region(release, layout, region, {AREA: area})
        totals.append(region_area(area))
    origin = factory.provenance(len(dated), run_id=f"run-{year}", **provenance)
    finish_release(release, layout, files, totals, origin)


def scaled_row(number: int, factor: float, **changes: Any) -> Row:
    """The square glacier of a number, with its side scaled about its south-western corner."""
    shape = factory.area_row(number)["geometry"]
    west, south, east, _ = shape.bounds
    row = factory.area_row(number, factory.square(west, south, factor * (east - west)))
    inventory = factory.area_row(number)["area_km2"]
    return row | {"area_inventory_km2": inventory} | changes


def parts(boundary: float = 0.0, model: float = 0.0, hidden: float = 0.0) -> Row:
    """Columns of a row for σ and its parts, km²."""
    total = float(np.sqrt(boundary**2 + model**2 + hidden**2))
    named = {"boundary": boundary, "model": model, "hidden": hidden}
    return {"area_sigma_km2": total} | {f"area_sigma_{name}_km2": value for name, value in named.items()}


def made_series(
    area_km2: np.ndarray,
    sigma_km2: np.ndarray,
    inventory_km2: np.ndarray | None = None,
    years: Sequence[int] = (2000, 2010),
    model_share: float = 0.5,
    **changes: Any,
) -> Series:
    """A series of these areas, (n, k), NaN where there is none; one model, one inventory, everything observed.
    model_share: of the variance."""
    n, k = area_km2.shape
    inventory = area_km2[:, 0] if inventory_km2 is None else inventory_km2
    glaciers = pd.DataFrame(
        {
            "rgi_id": [f"G-{i:06d}" for i in range(n)],
            "o2region": np.array(["06-01", "06-02"], dtype=object)[np.arange(n) % 2],
            "glac_name": np.full(n, None, dtype=object),
            "cenlon": np.linspace(-20.0, -15.0, n),
            "cenlat": np.full(n, 64.0),
            "area_inventory_km2": inventory,
        }
    )
    known = np.isfinite(area_km2)
    sigma = np.where(known, sigma_km2, np.nan)
    values: dict[str, Any] = {
        "region": "06",
        "labels": tuple(str(y) for y in years),
        "glaciers": glaciers,
        "area_km2": area_km2,
        "sigma": Sigma(sigma, np.sqrt(model_share) * sigma, known),
        "observed": np.ones((n, k)),
        "time": np.where(known, np.asarray(years, dtype=float), np.nan) + 0.6,
        "status": np.where(known, STATUS_WORDS.index("measured"), STATUS_WORDS.index("not_observed")).astype(np.int8),
        "model": np.where(known, 0, -1).astype(np.int32),
        "gap_filled": np.zeros((n, k), dtype=bool),
        "inventories": (0,) * k,
    }
    return Series(**(values | changes))


def draw_errors(
    rng: np.random.Generator, sigma_km2: np.ndarray, model_share: float, correlation: float, same_model: bool = True
) -> np.ndarray:
    """Errors of areas as `core.change.error_model` has them: (n, k). The model errs alike on all glaciers, and between
    dates as much alike as `correlation` says; boundaries err by themselves."""
    n, k = sigma_km2.shape
    alike = correlation if same_model else 0.0
    model = np.sqrt(alike) * rng.standard_normal() + np.sqrt(1.0 - alike) * rng.standard_normal(k)
    return sigma_km2 * (np.sqrt(model_share) * model + np.sqrt(1.0 - model_share) * rng.standard_normal((n, k)))
