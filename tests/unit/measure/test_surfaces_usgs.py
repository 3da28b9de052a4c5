"""The rule of surfaces on real spectra: pixels of snow, ice, rock and water that people labelled at four glaciers.

The thresholds of ice are the literature's. That one of two tests is enough without SWIR1, and the NDWI of lakes, were
chosen with these points in view, so what stands here is how well they are told, and no accuracy elsewhere.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.measure.surfaces import surfaces_by_rule
from core.simulate.spectra_fit import read_points
from core.train.classes import CLEAN_ICE, DEBRIS, LAKE

CODE = {"snow": CLEAN_ICE, "ice": CLEAN_ICE, "rock": DEBRIS, "water": LAKE}


@pytest.mark.parametrize("bands", [("green", "red", "nir", "swir1"), ("green", "red", "nir")])
@pytest.mark.parametrize("instrument", ["sentinel2", "landsat"])
def test_nine_in_ten_points_of_every_surface_are_told(samples: Path, instrument, bands):
    points = read_points(samples / "usgs_points", instrument)
    seen = {name: points[name].to_numpy(np.float32)[None] for name in bands}
    found = surfaces_by_rule(seen)[0]
    for surface, code in CODE.items():
        told = (found == code)[points["surface"] == surface].mean()
        assert told > (0.95 if "swir1" in bands else 0.9), (surface, told)
