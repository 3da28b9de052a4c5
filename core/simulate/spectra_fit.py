"""Fits the reflectance and temperature of SIMULATED surfaces to point spectra of the USGS benchmark glaciers.

The points (folder usgs_points of the samples; RaineyAbe/glacier-snow-cover-mapping, MIT) are pixels of Sentinel-2 and
Landsat 8/9 surface reflectance at four glaciers in 2021, by class. One site is kept out, always, so that simulated
spectra can be compared with a place that nobody fitted: Sperry, because each class then still occurs at another one
(water was only sampled at South Cascade). The result is data in the repository, `spectra_usgs.json`; to make it again:

    python -m core.simulate.spectra_fit SAMPLES/usgs_points core/simulate/spectra_usgs.json

Traps of the tables: the Landsat columns are stored numbers × 2.75e-5 without the offset of −0.2 (and the thermal one
too, so that kelvin = value / 2.75e-5 × 0.00341802 + 149); in the Sentinel-2 TOA table `B11` holds band 10 and `B12`
band 11 (a rock has 0.001 and 0.2 there), so nothing is fitted to it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.simulate.spectra import BANDS

KEPT_OUT = "Sperry"
SURFACES = {1: "snow", 2: "shadowed_snow", 3: "ice", 4: "rock", 5: "water"}
_TABLES = {
    "sentinel2": ("Sentinel-2_SR_training_data.csv", ("B2", "B3", "B4", "B8", "B11", "B12")),
    "landsat": ("Landsat_training_data.csv", ("SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B6", "SR_B7")),
}
_LIMITS = (0.004, 1.2)  # beyond them is a failed atmospheric correction
_MIN_POINTS = 40  # of one scene and class, to count as a scene


def read_points(folder: Path, instrument: str) -> pd.DataFrame:
    """Points of one instrument: site, date, surface, the six BANDS in reflectance, kelvin (NaN if not measured)."""
    name, columns = _TABLES[instrument]
    table = pd.read_csv(folder / name)
    out = pd.DataFrame(
        {"site": table["site_name"], "date": table["image_date"], "surface": table["class"].map(SURFACES)}
    )
    offset = 0.2 if instrument == "landsat" else 0.0
    for band, column in zip(BANDS, columns, strict=True):
        out[band] = table[column] - offset
    out["kelvin"] = table["ST_B10"] / 2.75e-5 * 0.00341802 + 149.0 if "ST_B10" in table else np.nan
    bands = out[list(BANDS)]
    return out[((bands >= 0.0) & (bands <= _LIMITS[1])).all(axis=1)].reset_index(drop=True)


def fit_surface(points: pd.DataFrame) -> dict[str, Any]:
    """Moments of one surface: plain mean and std, and those of the logarithm split into between and within scenes.

    Reflectance is positive and skewed, and light scales all bands together: the logarithm makes both a normal.
    """
    values = np.clip(points[list(BANDS)].to_numpy(dtype=np.float64), *_LIMITS)
    logs = np.log(values)
    scene = points.groupby(["site", "date"]).ngroup().to_numpy()
    count = np.bincount(scene)
    means = np.stack([np.bincount(scene, logs[:, b]) / count for b in range(len(BANDS))], axis=1)
    within = np.cov((logs - means[scene]).T)
    seen = means[count >= _MIN_POINTS]
    between = np.cov(seen.T) if len(seen) > 2 else 0.5 * np.cov(logs.T)
    fitted: dict[str, Any] = {
        "n": len(points),
        "scenes": int((count >= _MIN_POINTS).sum()),
        "mean": _rounded(values.mean(axis=0)),
        "std": _rounded(values.std(axis=0)),
        "log_mean": _rounded(seen.mean(axis=0) if len(seen) else logs.mean(axis=0)),
        "log_cov_between_scenes": _rounded(between),
        "log_cov_within_scene": _rounded(within),
    }
    if points["kelvin"].notna().any():
        fitted["kelvin_mean"] = round(float(points["kelvin"].mean()), 2)
        fitted["kelvin_std"] = round(float(points["kelvin"].std()), 2)
    return fitted


def fit(folder: Path, kept_out: str = KEPT_OUT) -> Mapping[str, Any]:
    """Everything that goes into spectra_usgs.json."""
    instruments: dict[str, Any] = {}
    sites: set[str] = set()
    for instrument in _TABLES:
        points = read_points(folder, instrument)
        points = points[points["site"] != kept_out]
        sites |= set(points["site"])
        instruments[instrument] = {
            str(surface): fit_surface(rows) for surface, rows in points.groupby("surface", sort=True)
        }
    return {
        "about": "Moments of surface reflectance by surface and instrument, for simulated scenes.",
        "source": "usgs_points of the samples: RaineyAbe/glacier-snow-cover-mapping, MIT; contains modified Copernicus "
        "Sentinel data 2021 and Landsat data courtesy of the U.S. Geological Survey",
        "made_by": "python -m core.simulate.spectra_fit SAMPLES/usgs_points core/simulate/spectra_usgs.json",
        "bands": list(BANDS),
        "sites_fitted": sorted(sites),
        "site_kept_out": kept_out,
        "instruments": instruments,
    }


def _rounded(values: NDArray[np.float64]) -> Any:
    return np.round(values, 5).tolist()


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(fit(Path(sys.argv[1])), indent=1) + "\n", encoding="utf-8")
