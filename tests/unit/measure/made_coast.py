"""A SIMULATED tidewater glacier: 1 km wide, flowing south into a fjord or an open sea at y = `SHORE`; layers of what an
image and an elevation model show of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import shapely
from made_glaciers import objects

from core.coverage import coverage_share
from core.grid import Lattice, Zone
from core.measure import Measurement, MeasureRules, MosaicWindow, Ownership, measure_glacier, ownerships
from core.measure.objects import rule_set
from core.stitch import NOT_OBSERVED, encode

LATTICE = Lattice(Zone("utm32n"), 10)
WEST, EAST, SHORE, HEAD = 699_000, 700_000, 5_150_000, 5_154_000
OLD = shapely.box(WEST, SHORE, EAST, HEAD)
RULES = MeasureRules(objects=rule_set("default"))
Layers = dict[str, np.ndarray]


class Coast:
    """The glacier's window, and what can be seen there."""

    def __init__(self, advance_m: float = 60.0, old: shapely.Geometry = OLD) -> None:
        outlines = objects(old)
        ((_, found),) = ownerships(np.array([0]), outlines, shapely.STRtree(outlines), LATTICE, advance_m)
        self.owner: Ownership = found
        self.rules = replace(RULES, advance_m=advance_m)
        x, y = LATTICE.centres_m(found.window)
        self.x, self.y = np.meshgrid(x, y)

    def inside(self, shape: shapely.Geometry) -> np.ndarray:
        return coverage_share(objects(shape), LATTICE, self.owner.window) >= 0.5

    def heights(self, sea: np.ndarray, ice_m: float = 40.0, rise: float = 0.05) -> np.ndarray:
        """0 m at sea; elsewhere a cliff of `ice_m`, and rising northwards."""
        return np.where(sea, 0, ice_m + rise * (self.y - SHORE)).astype(np.float32)

    def image(self, water: np.ndarray, adrift: np.ndarray | None = None, rock: np.ndarray | None = None) -> Layers:
        """Open water, bright ice adrift, bare rock, and glacier ice elsewhere."""
        ndwi, nir = np.full(water.shape, 0.1, np.float32), np.full(water.shape, 0.6, np.float32)
        for where, index, bright in ((rock, -0.2, 0.25), (adrift, 0.05, 0.5), (water, 0.6, 0.03)):
            if where is not None:
                ndwi[where], nir[where] = index, bright
        return {"ndwi": ndwi, "nir": nir, "ndsi": np.full(water.shape, 0.8, np.float32)}

    def measure(
        self,
        ice: shapely.Geometry,
        layers: Mapping[str, np.ndarray],
        term_type: int = 1,
        hidden: np.ndarray | None = None,
        **rules: object,
    ) -> Measurement:
        """With an exact map of `ice`."""
        probability = encode(coverage_share(objects(ice), LATTICE, self.owner.window))
        if hidden is not None:
            probability = np.where(hidden, NOT_OBSERVED, probability).astype(np.uint8)
        mosaic = MosaicWindow(probability, np.zeros(probability.shape, np.int32))
        chosen = replace(self.rules, **rules)
        return measure_glacier(self.owner, mosaic, LATTICE, chosen, lambda names: layers, term_type)
