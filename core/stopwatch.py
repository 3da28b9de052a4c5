"""A stopwatch: what the seconds of one unit went into.

Every second is charged to one name only, that of the innermost `on`, so the names never sum to more than the time
that passed. One per unit and thread, handed down to whoever does the work; it is no global and never shared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# The vocabulary of stalls, in the order in which a unit meets them. `compute` is what a unit is there for.
WAIT = "wait"  # for input: scenes, tiles, mosaic, partials, and their decoding
PREPARE = "prepare"  # outlines, choice of windows, resampling, cutting
WARP = "warp"  # scenes onto the lattice
TO_DEVICE = "to_device"  # copies to the device and back, 0 on a CPU
COMPUTE = "compute"
BLEND = "blend"  # stitching and encoding
WRITE = "write"  # output and the commit
STALLS = (WAIT, PREPARE, WARP, TO_DEVICE, COMPUTE, BLEND, WRITE)


class Stopwatch:
    """Seconds by name. clock: seconds that only go forward."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._open: list[str] = []
        self._since = 0.0

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Charge what happens within to `name`, less what an inner `on` takes; also when it raises."""
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def move(self, source: str, target: str, seconds: float) -> None:
        """Charge to `target` what somebody else measured within `source`: never more than `source` has."""
        moved = min(max(0.0, seconds), self.seconds.get(source, 0.0))
        self.seconds[source] = self.seconds.get(source, 0.0) - moved
        self.seconds[target] = self.seconds.get(target, 0.0) + moved

    def _charge(self) -> None:
        now = self._clock()
        if self._open:
            name = self._open[-1]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now
