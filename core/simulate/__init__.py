"""The SIMULATED demo world: everything a run needs, made by a program, showing no real place.

For demonstrations, tests, first steps without network, and training: `chips` (squares of simulated landscapes in all
sensors) and `history` (three years of one). Nothing that plans, maps, measures or publishes may import it.
"""

from core.simulate.site import SITES, Acquisition, Site
from core.simulate.world import World, build_world

__all__ = ["SITES", "Acquisition", "Site", "World", "build_world"]
