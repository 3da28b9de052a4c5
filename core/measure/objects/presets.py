"""Rule sets that come with the project, as the plain data that a configuration could hold itself.

`none` changes nothing. `default` takes away patches of ice that hang together with no glacier, keeps debris-covered
tongues, and closes small gentle holes. `glaciernet2` is the cleaning of GlacierNet2. `cnn_obia_debris` and
`rock_glacier` are the second half of the chain CNN → heat map → objects for debris-covered and for rock glaciers; their
papers say which quantities the rules look at. The numbers were tuned on two SIMULATED worlds (`TUNED` in
`benchmarks/obia/places.py`) that nothing is scored on, with the heat maps that are shipped, and on no real image.
"""

from __future__ import annotations

from typing import Any

# Snow and clean ice against rock and debris: NDSI 0.4 (Dozier 1989, 10.1016/0034-4257(89)90101-6).
SNOW_NDSI = 0.4
# Debris-covered tongues are gentle: below 24° (Paul, Huggel & Kääb 2004, 10.1016/j.rse.2003.11.007; number unchecked).
DEBRIS_SLOPE_DEG = 24
# Holes on gentler ground are filled (GlacierNet2, 10.1016/j.jag.2022.102921).
FILL_SLOPE_DEG = 30
# No pixel of the object belongs to the old outline; all of them do.
_BEYOND, _WITHIN = {"max.inside": [None, 0.5]}, {"min.inside": [0.5, None]}
_BARE, _BRIGHT = {"mean.ndsi": [None, SNOW_NDSI]}, {"mean.ndsi": [SNOW_NDSI, None]}
_GENTLE = {"mean.slope_deg": [None, DEBRIS_SLOPE_DEG]}

# Sizes are unchecked. Applying it twice is applying it once: nothing that it adds can make another object match.
DEFAULT: list[dict[str, Any]] = [
    {"action": "keep", "of": "component", "when": _BEYOND | {"distance_m": [None, 100]} | _BARE | _GENTLE},
    {
        "action": "remove",
        "of": "component",
        "when": _BEYOND | {"area_km2": [None, 1.0]} | _BRIGHT,
        "flag": "removed_snow_patches",
    },
    {"action": "remove", "of": "component", "when": _BEYOND | {"area_km2": [None, 0.05]}, "flag": "removed_patches"},
    {
        # Glaciers advance at their terminus; what is new, broad and bright on the upper half is snow. A fringe as
        # narrow as the outline's own uncertainty stays, or every small shift of the map would cost area. The limit
        # lies between a pixel of Landsat and the 60 m in which new ice is seen by default, so that neither comes
        # near it however an outline lies on the pixels.
        "action": "remove",
        "of": "advance",
        "when": {"width_m": [40, None], "height": [0.5, None]} | _BRIGHT,
        "flag": "removed_snow_patches",
    },
    {
        "action": "add",
        "of": "hole",
        "when": {"area_km2": [None, 0.05]} | _WITHIN | {"mean.slope_deg": [None, FILL_SLOPE_DEG]},
        "flag": "filled_holes",
    },
]

# The paper's pixel size is unchecked: 4000 px are 3.6 km² at 30 m, so this is for large glaciers.
GLACIERNET2: list[dict[str, Any]] = [
    {"action": "remove", "of": "pixel", "when": {"mean.ndvi": [0.7, None]}, "flag": "removed_vegetation_pixels"},
    {"action": "remove", "of": "component", "when": {"pixels": [None, 4000]}, "flag": "removed_patches"},
    {"action": "add", "of": "hole", "when": {"mean.slope_deg": [None, FILL_SLOPE_DEG]}, "flag": "filled_holes"},
]

# Thomas, Robson & Racoviteanu 2023 (10.3389/frsen.2023.1161530): segments judged by mean heat, slope, temperature
# and coherence. Coherence tells bare ground alone: bright ice keeps its phase on cold days as snow does.
CNN_OBIA_DEBRIS: dict[str, Any] = {
    "segments": {
        "layers": {"probability": 0.1, "ndsi": 0.2, "slope_deg": 10, "thermal_k": 5, "coherence": 0.2},
        "scale": 20,
        "min_pixels": 10,
    },
    "rules": [
        {
            "action": "remove",
            "of": "segment",
            "when": {"mean.ndwi": [0.3, None], "mean.slope_deg": [None, 10]},
            "flag": "removed_water_segments",
        },
        {
            "action": "remove",
            "of": "segment",
            "when": {"mean.ndvi": [0.25, None]},
            "flag": "removed_vegetation_segments",
        },
        {"action": "keep", "of": "segment", "when": {"mean.probability": [0.5, None]} | _BRIGHT},
        {
            "action": "remove",
            "of": "segment",
            "when": {"mean.probability": [None, 0.3]},
            "flag": "removed_faint_segments",
        },
        {
            "action": "remove",
            "of": "segment",
            "when": {"mean.slope_deg": [35, None]} | _BARE,
            "flag": "removed_steep_segments",
        },
        {
            "action": "remove",
            "of": "segment",
            "when": {"excess.thermal_k": [20, None]} | _BARE,
            "flag": "removed_warm_segments",
        },
        {
            # Ground that keeps its phase does not move.
            "action": "remove",
            "of": "segment",
            "when": {"mean.coherence": [0.6, None], "mean.probability": [None, 0.9]} | _BARE,
            "flag": "removed_stable_segments",
        },
        {
            "action": "add",
            "of": "segment",
            "when": {"mean.probability": [0.35, None], "ice_border": [0.2, None], "mean.coherence": [None, 0.5]}
            | _BARE
            | _GENTLE,
            "flag": "added_debris_segments",
            "repeat": True,
        },
        {"action": "add", "of": "segment", "when": {"mean.probability": [0.6, None]}, "flag": "added_segments"},
        {"action": "remove", "of": "component", "when": {"area_km2": [None, 0.02]}, "flag": "removed_patches"},
        {
            "action": "add",
            "of": "hole",
            "when": {"area_km2": [None, 0.1], "mean.slope_deg": [None, FILL_SLOPE_DEG]},
            "flag": "filled_holes",
        },
    ],
}

# Robson et al. 2020 (10.1016/j.rse.2020.112033): Sentinel-2, coherence and terrain; a heat map of rock glaciers is
# segmented and its objects judged by heat, shape and place. Plants and flats are what the heat map errs on most.
ROCK_GLACIER: dict[str, Any] = {
    "segments": {
        "layers": {"probability": 0.2, "ndvi": 0.2, "slope_deg": 10, "coherence": 0.2},
        "scale": 40,
        "min_pixels": 10,
    },
    "rules": [
        {"action": "remove", "of": "segment", "when": _BRIGHT, "flag": "removed_snow_segments"},
        {
            "action": "remove",
            "of": "segment",
            "when": {"mean.ndvi": [0.3, None]},
            "flag": "removed_vegetation_segments",
        },
        {"action": "remove", "of": "segment", "when": {"mean.slope_deg": [45, None]}, "flag": "removed_steep_segments"},
        {"action": "remove", "of": "segment", "when": {"mean.slope_deg": [None, 8]}, "flag": "removed_flat_segments"},
        {"action": "remove", "of": "segment", "when": {"mean.ndwi": [0.3, None]}, "flag": "removed_water_segments"},
        {
            "action": "remove",
            "of": "segment",
            "when": {"mean.probability": [None, 0.45]},
            "flag": "removed_faint_segments",
        },
        {"action": "add", "of": "segment", "when": {"mean.probability": [0.45, None]}, "flag": "added_segments"},
        {"action": "remove", "of": "component", "when": {"area_km2": [None, 0.01]}, "flag": "removed_patches"},
        {"action": "remove", "of": "component", "when": {"width_m": [None, 30]}, "flag": "removed_slivers"},
        {"action": "add", "of": "hole", "when": {"area_km2": [None, 0.02]}, "flag": "filled_holes"},
    ],
}

PRESETS: dict[str, list[dict[str, Any]] | dict[str, Any]] = {
    "none": [],
    "default": DEFAULT,
    "glaciernet2": GLACIERNET2,
    "cnn_obia_debris": CNN_OBIA_DEBRIS,
    "rock_glacier": ROCK_GLACIER,
}
