"""Where a SIMULATED landscape pretends to be: climate, relief and how much rock lies on its ice, drawn from archetypes.

An archetype is a range of each of these for a kind of mountains; nothing copies a real glacier or its relief. Heights
of vegetation, snow and temperature hang on the equilibrium line, so a place is always consistent with its ice. Half of
all places are in High Mountain Asia, where tongues under debris are the rule and maps of glaciers fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.errors import ConfigError
from core.sensors.sensor import nearest
from core.simulate.noise import stream

Range = tuple[float, float]


@dataclass(frozen=True)
class Place:
    """region: RGI O1. base_m: lowest ground; relief_m from there to the peaks. above_ela: share of the ground above the
    equilibrium line; gradient_per_year, most_snow_m, most_melt_m as in `core.simulate.site`; debris: share of the
    ablation area under rock. grass_m, tree_m: how far below the equilibrium line they end. warmth_c: mean July (January
    in the south) temperature at that line, swing_c: half the range of the year. sea: share of the ground below the
    sea. rock_glaciers: how many per 100 km². gullies: 0–1, how torn slopes are. rocks: names of `lithology.ROCKS`."""

    archetype: str
    region: str
    lat: float
    lon: float
    base_m: float
    relief_m: float
    above_ela: float
    gradient_per_year: float
    most_snow_m: float
    most_melt_m: float
    debris: float
    grass_m: float
    tree_m: float
    warmth_c: float
    swing_c: float
    sea: float
    rock_glaciers: float
    gullies: float
    rocks: tuple[str, ...]

    @property
    def south(self) -> bool:
        return self.lat < 0.0


@dataclass(frozen=True)
class Archetype:
    """Ranges from which a place is drawn, evenly; weight: how often, relative to the others."""

    weight: float
    regions: tuple[str, ...]
    lat: Range
    lon: Range
    base_m: Range
    relief_m: Range
    above_ela: Range = (0.14, 0.33)
    gradient_per_year: Range = (0.004, 0.009)
    most_snow_m: Range = (0.6, 2.0)
    most_melt_m: Range = (4.0, 9.0)
    debris: Range = (0.05, 0.35)
    grass_m: Range = (250.0, 700.0)
    tree_m: Range = (800.0, 1300.0)
    warmth_c: Range = (0.0, 3.0)
    swing_c: Range = (6.0, 11.0)
    sea: Range = (0.0, 0.0)
    rock_glaciers: Range = (0.0, 4.0)


ARCHETYPES: Mapping[str, Archetype] = {
    "himalaya": Archetype(
        26.0,
        ("14", "15"),
        (27.4, 34.0),
        (76.0, 97.0),
        (3600.0, 5000.0),
        (1700.0, 3400.0),
        above_ela=(0.2, 0.42),
        debris=(0.4, 0.9),
        grass_m=(250.0, 700.0),
        tree_m=(1300.0, 1900.0),
        most_snow_m=(0.8, 2.2),
        rock_glaciers=(0.0, 8.0),
    ),
    "karakoram": Archetype(
        14.0,
        ("14",),
        (34.5, 37.0),
        (72.0, 78.0),
        (3000.0, 4300.0),
        (2400.0, 4000.0),
        above_ela=(0.22, 0.44),
        debris=(0.3, 0.8),
        grass_m=(700.0, 1300.0),
        tree_m=(1700.0, 2300.0),
        swing_c=(10.0, 14.0),
        rock_glaciers=(0.0, 10.0),
    ),
    "tien_shan": Archetype(
        10.0,
        ("13",),
        (37.0, 44.0),
        (70.0, 86.0),
        (2500.0, 3900.0),
        (1300.0, 2700.0),
        above_ela=(0.18, 0.38),
        debris=(0.1, 0.7),
        swing_c=(11.0, 15.0),
        tree_m=(900.0, 1400.0),
        rock_glaciers=(1.0, 12.0),
    ),
    "tibet": Archetype(
        5.0,
        ("13", "15"),
        (28.5, 34.0),
        (82.0, 96.0),
        (4600.0, 5300.0),
        (900.0, 1800.0),
        debris=(0.0, 0.3),
        grass_m=(400.0, 800.0),
        tree_m=(3000.0, 3500.0),
        rock_glaciers=(0.0, 6.0),
    ),
    "alps": Archetype(10.0, ("11",), (44.8, 47.2), (6.5, 13.0), (1400.0, 2000.0), (1400.0, 2500.0), debris=(0.05, 0.5)),
    "caucasus": Archetype(
        5.0,
        ("12",),
        (42.0, 43.6),
        (40.5, 47.0),
        (1800.0, 2600.0),
        (1600.0, 2600.0),
        debris=(0.1, 0.55),
        rock_glaciers=(0.0, 6.0),
    ),
    "alaska": Archetype(
        8.0,
        ("01", "02"),
        (49.0, 63.5),
        (-153.0, -118.0),
        (300.0, 1200.0),
        (1300.0, 2700.0),
        above_ela=(0.18, 0.38),
        debris=(0.05, 0.6),
        most_snow_m=(1.2, 3.0),
        tree_m=(500.0, 900.0),
        grass_m=(150.0, 450.0),
    ),
    "andes": Archetype(
        6.0,
        ("17",),
        (-50.0, -30.0),
        (-73.5, -69.8),
        (900.0, 3300.0),
        (1200.0, 2600.0),
        debris=(0.05, 0.7),
        rock_glaciers=(0.0, 12.0),
    ),
    "tropics": Archetype(
        4.0,
        ("16",),
        (-16.5, 1.0),
        (-78.0, -68.0),
        (3900.0, 4500.0),
        (900.0, 1900.0),
        debris=(0.0, 0.2),
        swing_c=(0.5, 1.5),
        tree_m=(900.0, 1500.0),
        grass_m=(150.0, 500.0),
        gradient_per_year=(0.008, 0.018),
    ),
    "southern_alps": Archetype(
        4.0,
        ("18",),
        (-44.6, -42.8),
        (168.5, 171.5),
        (700.0, 1100.0),
        (1300.0, 2300.0),
        debris=(0.1, 0.75),
        most_snow_m=(2.0, 4.0),
        gradient_per_year=(0.009, 0.015),
        rock_glaciers=(0.0, 3.0),
    ),
    "norway": Archetype(
        4.0,
        ("08",),
        (60.0, 68.5),
        (5.5, 18.0),
        (400.0, 1000.0),
        (800.0, 1500.0),
        debris=(0.0, 0.1),
        tree_m=(450.0, 800.0),
    ),
    "arctic_coast": Archetype(
        9.0,
        ("05", "07", "03"),
        (66.0, 79.0),
        (-55.0, 24.0),
        (0.0, 0.0),
        (700.0, 1500.0),
        above_ela=(0.2, 0.5),
        gradient_per_year=(0.0025, 0.005),
        most_snow_m=(0.5, 1.1),
        most_melt_m=(1.5, 3.0),
        debris=(0.0, 0.2),
        grass_m=(200.0, 500.0),
        tree_m=(3000.0, 3000.0),
        swing_c=(11.0, 16.0),
        sea=(0.1, 0.35),
        rock_glaciers=(0.0, 3.0),
    ),
    "fjords": Archetype(
        3.0,
        ("17", "01"),
        (-53.0, -46.0),
        (-74.5, -72.5),
        (0.0, 0.0),
        (1300.0, 2200.0),
        above_ela=(0.2, 0.42),
        most_snow_m=(2.0, 4.5),
        gradient_per_year=(0.006, 0.012),
        debris=(0.0, 0.3),
        grass_m=(150.0, 350.0),
        tree_m=(350.0, 700.0),
        sea=(0.05, 0.22),
    ),
}
_PALETTES = (
    ("gneiss", "granite", "schist"),
    ("gneiss", "schist", "leucogranite"),
    ("limestone", "slate", "sandstone"),
    ("granite", "gneiss"),
    ("basalt", "andesite"),
    ("slate", "schist", "sandstone"),
    ("granite", "slate", "limestone"),
    ("gneiss", "slate", "limestone"),
    ("serpentinite", "schist", "gneiss"),
    ("red_sandstone", "slate", "limestone"),
    ("leucogranite", "gneiss", "slate"),
)


def draw_place(seed: int, site: str | None = None) -> Place:
    """The place of a seed, of a kind drawn by weight or of the kind `site`. Raises ConfigError for an unknown kind."""
    if site is not None and site not in ARCHETYPES:
        raise ConfigError(f"simulated site {site!r}", found="no such archetype", fix=nearest(site, ARCHETYPES))
    rng = stream(seed, "place")
    weights = np.array([a.weight for a in ARCHETYPES.values()])
    drawn = list(ARCHETYPES)[int(rng.choice(len(weights), p=weights / weights.sum()))]
    name = site or drawn
    kind = ARCHETYPES[name]

    def draw(limits: Range) -> float:
        return float(rng.uniform(*limits))

    return Place(
        archetype=name,
        region=kind.regions[int(rng.integers(len(kind.regions)))],
        lat=draw(kind.lat),
        lon=draw(kind.lon),
        base_m=draw(kind.base_m),
        relief_m=draw(kind.relief_m),
        above_ela=draw(kind.above_ela),
        gradient_per_year=draw(kind.gradient_per_year),
        most_snow_m=draw(kind.most_snow_m),
        most_melt_m=draw(kind.most_melt_m),
        debris=draw(kind.debris),
        grass_m=draw(kind.grass_m),
        tree_m=draw(kind.tree_m),
        warmth_c=draw(kind.warmth_c),
        swing_c=draw(kind.swing_c),
        sea=draw(kind.sea),
        rock_glaciers=draw(kind.rock_glaciers),
        gullies=draw((0.2, 1.0)),
        rocks=_PALETTES[int(rng.integers(len(_PALETTES)))],
    )
