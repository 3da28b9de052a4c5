"""The sites of the SIMULATED world: where they pretend to be, how high, how icy, and when they are photographed.

Positions only choose projections, the sun and RGI regions; nothing here copies a real glacier.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True)
class Acquisition:
    """One scene: cloud is the share of the sky, snow_patches how much seasonal snow lies off the glaciers (0–1)."""

    date: dt.date
    cloud: float
    snow_patches: float
    swath_edge: bool = False


@dataclass(frozen=True)
class Site:
    """One square of ground in one zone.

    px scene pixels of pixel_m metres a side (px a multiple of 16); base_m the lowest elevation; steepness 1 = hillsides
    at 40°; above_ela the share of the ground above the equilibrium line at the inventory's date, which then rises by
    ela_rise_m; gradient_per_year the mass balance in metres of ice per metre of height, most_snow_m and most_melt_m its
    limits (a cold coast melts little, so its glaciers reach the sea); tree_line_m None where nothing grows; debris the
    share of glaciers with a covered tongue; smallest_km2 the least area of a glacier that has neighbours on its ice.
    """

    name: str
    title: str
    o1region: str
    o2region: str
    zone: str
    lon: float
    lat: float
    px: int
    pixel_m: float
    base_m: float
    steepness: float
    above_ela: float
    ela_rise_m: float
    gradient_per_year: float
    tree_line_m: float | None
    inventory_date: dt.date
    scenes: tuple[Acquisition, ...]
    most_snow_m: float = 2.5
    most_melt_m: float = 9.0
    debris: float = 0.3
    smallest_km2: float = 0.25
    sea: bool = False
    on_antimeridian: bool = False
    hides_a_glacier: bool = False
    adds_a_tiny_glacier: bool = False

    @property
    def cell_m(self) -> float:
        """Cell of the ice model: four scene pixels."""
        return 4.0 * self.pixel_m


SITES: tuple[Site, ...] = (
    Site(
        name="alps",
        title="Central Europe",
        o1region="11",
        o2region="11-01",
        zone="utm32n",
        lon=7.9,
        lat=46.4,
        px=864,
        pixel_m=30.0,
        base_m=900.0,
        steepness=1.0,
        above_ela=0.125,
        ela_rise_m=100.0,
        gradient_per_year=0.007,
        tree_line_m=2150.0,
        inventory_date=dt.date(2000, 8, 26),
        scenes=(
            Acquisition(dt.date(2024, 8, 29), cloud=0.06, snow_patches=0.05),
            Acquisition(dt.date(2024, 8, 6), cloud=0.06, snow_patches=0.45, swath_edge=True),
        ),
        hides_a_glacier=True,
    ),
    Site(
        name="chukotka",
        title="North Asia",
        o1region="10",
        o2region="10-06",
        zone="utm60n",
        lon=180.0,
        lat=67.5,
        px=800,
        pixel_m=30.0,
        base_m=150.0,
        steepness=0.6,
        above_ela=0.085,
        ela_rise_m=90.0,
        gradient_per_year=0.005,
        tree_line_m=650.0,
        inventory_date=dt.date(2000, 8, 12),
        scenes=(
            Acquisition(dt.date(2024, 8, 22), cloud=0.05, snow_patches=0.3),
            Acquisition(dt.date(2024, 8, 14), cloud=0.08, snow_patches=0.4),
        ),
        debris=0.15,
        on_antimeridian=True,
    ),
    Site(
        name="southern_alps",
        title="New Zealand",
        o1region="18",
        o2region="18-01",
        zone="utm59s",
        lon=170.3,
        lat=-43.5,
        px=832,
        pixel_m=30.0,
        base_m=500.0,
        steepness=0.95,
        above_ela=0.125,
        ela_rise_m=95.0,
        gradient_per_year=0.011,
        tree_line_m=1450.0,
        inventory_date=dt.date(2000, 2, 24),
        scenes=(
            Acquisition(dt.date(2024, 3, 9), cloud=0.06, snow_patches=0.05),
            Acquisition(dt.date(2024, 2, 15), cloud=0.07, snow_patches=0.2),
        ),
        debris=0.45,
        adds_a_tiny_glacier=True,
    ),
    Site(
        name="polar_island",
        title="Subantarctic and Antarctic Islands",
        o1region="19",
        o2region="19-15",
        zone="upss",
        lon=163.0,
        lat=-80.6,
        px=768,
        pixel_m=60.0,
        base_m=0.0,
        steepness=0.75,
        above_ela=0.40,
        ela_rise_m=150.0,
        gradient_per_year=0.0016,
        tree_line_m=None,
        inventory_date=dt.date(2000, 1, 20),
        scenes=(
            Acquisition(dt.date(2024, 2, 2), cloud=0.06, snow_patches=0.1),
            Acquisition(dt.date(2024, 1, 18), cloud=0.08, snow_patches=0.3),
        ),
        most_snow_m=0.4,
        most_melt_m=0.3,
        debris=0.0,
        smallest_km2=1.2,
        sea=True,
    ),
)
