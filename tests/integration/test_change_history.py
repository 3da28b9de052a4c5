"""Change of SIMULATED glaciers whose retreat is known: outlines drawn on a grid of pixels still tell its sign."""

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
    """(areas, σ) in km² of what a scene of `RES_M` shows.

    Pixels of a grid of its own are ice if their middle is, and on all glaciers alike the edge is up to half a pixel too
    far out or in. σ is what a release says of an outline, half a pixel along it; no error is drawn from σ.
    """
    area, length = (np.empty((len(history.outlines[0]), len(history.outlines))) for _ in range(2))
    for k, outlines in enumerate(history.outlines):
        drawn = shapely.buffer(outlines, RES_M * rng.uniform(-0.5, 0.5))
        west, south, east, north = shapely.total_bounds(outlines) + np.array([-1.0, -1.0, 1.0, 1.0]) * 3 * RES_M
        x = np.arange(west + RES_M * rng.uniform(), east, RES_M)
        y = np.arange(south + RES_M * rng.uniform(), north, RES_M)
        for i, outline in enumerate(drawn):
            shapely.prepare(outline)
            ice = np.pad(shapely.contains_xy(outline, *np.meshgrid(x, y)), 1)
            sides = sum(np.count_nonzero(np.diff(ice, axis=axis)) for axis in (0, 1))
            area[i, k] = ice.sum() * RES_M**2 / 1e6
            length[i, k] = np.pi / 4 * sides * RES_M  # of a curve, from the sides of pixels
    sigma = 0.5 * RES_M * length / 1e6
    return area, Sigma(sigma, np.zeros_like(sigma), np.ones(sigma.shape, dtype=bool))


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
