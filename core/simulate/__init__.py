"""The SIMULATED demo world: everything a run needs, made by a program, showing no real place.

For demonstrations, tests and first steps without network. Nothing else in `core` may import it.
"""

from core.simulate.site import SITES, Acquisition, Site
from core.simulate.world import World, build_world

__all__ = ["SITES", "Acquisition", "Site", "World", "build_world"]
