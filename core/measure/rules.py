"""The rules by which glaciers are measured; `core.config.MeasureConfig` is their form in a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.measure.objects import RuleSet, needed_layers

# What attributes and surfaces look at, besides what the rules of objects name.
ATTRIBUTE_LAYERS = ("elevation_m", "slope_deg")
SURFACE_LAYERS = ("green", "red", "nir", "swir1")
WATER_LAYERS = ("ndwi", "nir", "slope_deg", "elevation_m")
# Stand for the features of an encoder, which a map does not hold.
TERMINUS_FEATURES = ("red", "nir", "swir1", "slope_deg", "elevation_m")


@dataclass(frozen=True)
class MeasureRules:
    """threshold: glacier where the probability reaches it. advance_m: how far from the old outline new ice is seen;
    below min_observed_fraction of the outline nothing is measured; min_area_km2: the inventory's minimum. boundary_px,
    correlation_m: see `core.measure.uncertainty`. objects: rules of the object-based step, none for none.
    accumulation: snow that drains into mapped ice is added within the outline. terminus: where the votes of a model
    disagree at the terminus, neighbours in feature space decide. sea_ice: whether new ice of a marine glacier goes or
    stays where the elevation model shows the sea, see `core.measure.water`. attributes, surfaces, fronts: what is
    measured besides the area, where the run has the sensors."""

    threshold: float = 0.5
    # Beyond two pixels of Landsat most of what a map calls new ice is seasonal snow; raise it where glaciers surge.
    advance_m: float = 60.0
    min_observed_fraction: float = 0.9
    min_area_km2: float = 0.01
    boundary_px: float = 0.5
    correlation_m: float = 300.0
    objects: RuleSet | None = None
    accumulation: bool = False
    terminus: bool = False
    sea_ice: Literal["remove", "keep"] = "remove"
    attributes: bool = True
    surfaces: bool = True
    fronts: bool = True

    @property
    def layers(self) -> tuple[str, ...]:
        """Every layer that these rules can make use of."""
        wanted: list[str] = []
        if self.attributes or self.advance_m > 0:
            wanted += ATTRIBUTE_LAYERS
        if self.surfaces:
            wanted += SURFACE_LAYERS
        if self.fronts or self.advance_m > 0:
            wanted += WATER_LAYERS
        if self.objects is not None:
            wanted += needed_layers(self.objects)
        if self.accumulation or self.terminus:
            wanted += ["ndsi", "elevation_m"]
        if self.terminus:
            wanted += TERMINUS_FEATURES
        return tuple(dict.fromkeys(wanted))
