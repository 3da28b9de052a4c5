"""Three simulated years of the same glaciers."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from core.simulate.history import History, simulate_history


@pytest.fixture(scope="module")
def history() -> History:
    return simulate_history(2, 320, 30.0, "alps")


def test_glaciers_only_shrink_and_stay_within_their_first_outline(history):
    first, *later = history.outlines
    assert len(first) > 2
    for shapes in later:
        assert len(shapes) == len(first)
        assert (shapely.area(shapes) <= shapely.area(first) + 1.0).all()
        assert shapely.area(shapely.difference(shapes, shapely.buffer(first, 0.01))).max() < 1.0


def test_no_ground_belongs_to_two_glaciers(history):
    for shapes in history.outlines:
        kept = shapes[~shapely.is_empty(shapes)]
        assert shapely.area(kept).sum() == pytest.approx(shapely.area(shapely.union_all(kept)), rel=1e-6)


def test_the_table_has_a_row_per_glacier_and_year_and_says_simulated(history):
    n = len(history.outlines[0])
    assert len(history.truth) == 3 * n and history.truth["simulated"].all()
    total = history.truth.groupby("year")["area_km2"].sum()
    assert total.is_monotonic_decreasing
    assert history.truth["debris_share"].between(0.0, 1.0).all()


def test_outlines_and_shares_of_pixels_agree(history):
    """Glaciers at the border are in the pixels but not in the outlines, so outlines hold no more."""
    for land, shapes in zip(history.lands, history.outlines, strict=True):
        inside = shapely.contains_xy(
            shapely.union_all(shapes),
            *np.meshgrid((np.arange(land.px) + 0.5) * land.res_m, (land.px - np.arange(land.px) - 0.5) * land.res_m),
        )
        wet = np.maximum(land.lake, land.sea) > 0.0
        assert land.glacier[inside & ~wet].mean() > 0.93
