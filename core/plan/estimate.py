"""What a plan will cost: bytes, GPU time and money, before it is paid for.

Bytes are of the arrays in memory (uncompressed): an upper bound of what travels. Rates and price come from the
configuration, because they are the operator's and not ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.grid import BLOCK_M
from core.plan.plan import Plan
from core.run import Run
from core.sensors import sensor


@dataclass(frozen=True)
class Estimate:
    """Totals of a plan or of one region."""

    glaciers: int
    groups: int
    blocks: int
    windows: int
    read_bytes: int
    write_bytes: int
    gpu_hours: float
    usd: float


def estimate(run: Run, plan: Plan, region: str | None = None) -> Estimate:
    """Sum up a plan; region: only this one."""
    blocks = [b for b in plan.blocks if region in (None, b.region)]
    groups = [g for g in plan.groups if region in (None, g.region)]
    spec, config = run.model().spec, run.config
    windows = sum(b.n_windows for b in blocks)
    window_m2 = (spec.windows.stride_px * config.grid.res_m) ** 2
    per_m2 = sum(
        (len(need.bands) * sensor(need.sensor).numpy_dtype.itemsize + 1) / run.resolution(need.sensor) ** 2
        for need in spec.needs
    )
    block_px = (BLOCK_M // config.grid.res_m) ** 2
    hours = windows / config.plan.windows_per_s_gpu / 3600
    return Estimate(
        glaciers=sum(g.n_glaciers for g in groups),
        groups=len(groups),
        blocks=len(blocks),
        windows=windows,
        read_bytes=round(windows * window_m2 * per_m2),
        write_bytes=2 * block_px * len(blocks),
        gpu_hours=hours,
        usd=hours * config.plan.usd_per_gpu_hour,
    )
