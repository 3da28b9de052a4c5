"""Change of SIMULATED glaciers whose retreat is known: outlines drawn a fraction of a pixel off still tell its sign."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from core.change.error_model import ErrorModel, Sigma
from core.change.pair import pair_change
from core.change.trend import trend
from core.simulate.history import History, simulate_history
from tests.unit.change.made_changes import made_series

RES_M, DRAWS = 30.0, 40


@pytest.fixture(scope="module")
def history() -> History:
    return simulate_history(3, px=256, res_m=RES_M)


def mapped(history: History, rng: np.random.Generator) -> tuple[np.ndarray, Sigma]:
    """(areas, σ) in km² of outlines that are moved by half a pixel, times a draw for each glacier and year."""
    outlines = np.stack(history.outlines, axis=1)
    moved = shapely.buffer(outlines, 0.5 * RES_M * rng.standard_normal(outlines.shape))
    sigma = 0.5 * RES_M * shapely.length(moved) / 1e6
    return shapely.area(moved) / 1e6, Sigma(sigma, np.zeros_like(sigma), np.ones(sigma.shape, dtype=bool))


def test_signs_are_right_where_change_exceeds_two_sigma(history):
    rng = np.random.default_rng(0)
    true = shapely.area(np.stack(history.outlines, axis=1)) / 1e6
    right, inside = [], []
    for _ in range(DRAWS):
        area, sigma = mapped(history, rng)
        series = made_series(area, sigma.total, years=history.years, sigma=sigma)
        for first, second in ((0, 1), (1, 2), (0, 2)):
            pair = pair_change(series, first, second, ErrorModel())
            change = true[:, second] - true[:, first]
            sure = pair.direction != 0
            right += (pair.direction == np.sign(change))[sure].tolist()
            inside += (np.abs(pair.change_km2 - change) <= 2 * pair.change_sigma_km2).tolist()
    assert len(right) > 100 and np.mean(right) >= 0.95
    assert np.mean(inside) >= 0.9


def test_every_glacier_of_the_history_has_a_downward_trend(history):
    area = shapely.area(np.stack(history.outlines, axis=1)) / 1e6
    found = trend(np.broadcast_to(np.asarray(history.years, dtype=float), area.shape), area)
    assert (found.slope <= 0).all() and (found.slope[area[:, 2] < area[:, 0]] < 0).all()
    assert found.p_value.min() == pytest.approx(1 / 3)  # all that three dates can say
