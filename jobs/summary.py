"""The end of a session: what it did, how fast, what the time went into and what it cost; as a table and as JSON.

All of it comes from the task events that this session heard, so it is about this session and not about the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.markup import escape

from cluster.drive import Driven, Tally
from cluster.events import Span
from cluster.scheduler import STAGES
from core.prepare import Prepared
from core.stopwatch import STALLS
from jobs.console import console, errors, print_json, table

# Counts that have a column of their own, or none because their sum means nothing.
_NO_DETAIL = ("bytes", "bytes_needed", "km2", "observed")


def show_end(prepared: Prepared, driven: Driven, *, as_json: bool) -> None:
    """Print how a run ended."""
    if as_json:
        print_json(end_summary(prepared, driven))
        return
    session = session_summary(prepared, driven)
    columns = ["stage", "units", "wall", "work", "windows/s", "MB/s", "read ×", "time goes into", "detail"]
    rows = [
        (
            stage,
            s["units"],
            f"{s['wall_s']:.1f} s",
            f"{s['work_s']:.1f} s",
            _number(s["windows_per_s"]),
            _number(s["mb_per_s"]),
            _number(s["read_amplification"], 2),
            ", ".join(f"{name} {share:.0%}" for name, share in s["stalls"].items() if share >= 0.005),
            ", ".join(f"{n:.0f} {name}" for name, n in s["counts"].items() if name not in _NO_DETAIL),
        )
        for stage, s in session["stages"].items()
    ]
    if rows:
        table("This session", columns, rows)
        console.print(_usage_words(session["usage"]), markup=False)
    console.print(f"run      {prepared.run.url}", markup=False)
    if driven.complete:
        console.print(f"release  {prepared.run.release_url}", markup=False)
    if not driven.clean:
        errors.print(
            f"[yellow]{len(driven.set_aside)} units in quarantine, {driven.lost_rows} glaciers published as quarantined"
            f"[/]; the reasons: icefleet status {escape(prepared.run.url)}, and status_reason in the release"
        )


def end_summary(prepared: Prepared, driven: Driven) -> dict[str, Any]:
    """What `--json` prints at the end of a run."""
    return {
        "run_id": prepared.run.run_id,
        "run": prepared.run.url,
        "release": prepared.run.release_url if driven.complete else None,
        "done": dict(driven.tally.done),
        "seconds": {k: round(v, 3) for k, v in driven.tally.seconds.items()},
        "quarantined": [f"{stage}/{unit}" for stage, unit in driven.set_aside],
        "quarantined_glaciers": driven.lost_rows,
        **session_summary(prepared, driven),
    }


def session_summary(prepared: Prepared, driven: Driven) -> dict[str, Any]:
    """`stages` (see `stage_summary`) and `usage` (see `usage`) of a session."""
    tally = driven.tally
    present = [s for s in STAGES if tally.done[s] or tally.retried[s] or any(e.stage == s for e in tally.quarantined)]
    return {
        "stages": {stage: stage_summary(tally, stage) for stage in present},
        "usage": usage(tally, prepared.run.config.plan.usd_per_gpu_hour),
    }


def stage_summary(tally: Tally, stage: str) -> dict[str, Any]:
    """One stage in numbers; None where a number has no meaning.

    units, quarantined, retried: counts. wall_s: seconds in which at least one of its units was at work. work_s: summed
    over the units that were done, of their last try. windows_per_s: per second of wall. mb_per_s: 10⁶ bytes per second
    of wall: ingest, as stored in the tiles it wrote; map, as decoded from the tiles it read; publish, of the files it
    wrote. stalls: shares of work_s (`core.stopwatch`). counts: what the units reported, summed.

    read_amplification, of map: bytes decoded from tiles ÷ bytes that the blocks needed. Decoded is every chunk that
    was opened, whole, with all bands of its sensor, and the scene numbers of every block touched. Needed is what the
    tile pixels that lie under a window that ran and inside the core of the block hold of the bands asked for and of
    the scene numbers, as stored. Above 1 it is halos that neighbours read too, rounding to chunks, and bands nobody
    asked for; it can fall below 1 where tiles are not observed, for those are not opened.
    """
    prefix = f"{stage}."
    counts = {k.removeprefix(prefix): v for k, v in sorted(tally.counts.items()) if k.startswith(prefix)}
    wall, work = covered_s(tally.spans[stage]), tally.seconds[stage]
    seconds = {name: tally.stalls[prefix + name] for name in STALLS if prefix + name in tally.stalls}
    return {
        "units": tally.done[stage],
        "quarantined": sum(e.stage == stage for e in tally.quarantined),
        "retried": tally.retried[stage],
        "wall_s": round(wall, 3),
        "work_s": round(work, 3),
        "windows_per_s": _ratio(counts.get("windows"), wall),
        "mb_per_s": _ratio(counts.get("bytes"), wall * 1e6),
        "read_amplification": _ratio(counts.get("bytes"), counts.get("bytes_needed", 0.0)),
        "stalls": {name: s / work for name, s in seconds.items()} if work else {},
        "counts": counts,
    }


def usage(tally: Tally, usd_per_gpu_hour: float) -> dict[str, Any]:
    """What a session used, and what that costs at the configured price.

    gpu_hours: work of the units whose model ran on a GPU; cpu_hours: work of all others, one process each; neither
    counts idle workers. mapped_km2: ground under the windows that ran, each pixel once, on the projected lattice.
    usd and usd_per_mkm2 (per million km² mapped) price the GPU-hours alone: None without any.
    """
    gpu = sum(s for device, s in tally.device_s.items() if device != "cpu") / 3600
    usd = gpu * usd_per_gpu_hour if gpu else None
    km2 = tally.counts.get("map.km2", 0.0)
    return {
        "gpu_hours": gpu,
        "cpu_hours": tally.device_s.get("cpu", 0.0) / 3600,
        "mapped_km2": km2,
        "usd_per_gpu_hour": usd_per_gpu_hour,
        "usd": usd,
        "usd_per_mkm2": None if usd is None else _ratio(usd, km2 / 1e6),
    }


def covered_s(spans: Iterable[Span]) -> float:
    """Seconds that lie in at least one of the spans."""
    total, until = 0.0, float("-inf")
    for span in sorted(spans, key=lambda s: s.started):
        total += max(0.0, span.ended - max(until, span.started))
        until = max(until, span.ended)
    return total


def _usage_words(used: dict[str, Any]) -> str:
    hours = [f"{used['gpu_hours']:.3g} GPU-hours"] if used["gpu_hours"] else []
    parts = [*hours, f"{used['cpu_hours']:.3g} CPU-hours", f"{used['mapped_km2']:,.0f} km² mapped"]
    price = f"at the configured price of ${used['usd_per_gpu_hour']:.2f} per GPU-hour"
    if used["usd_per_mkm2"] is not None:
        parts.append(f"${used['usd']:.2f}, ${used['usd_per_mkm2']:.2f} per Mkm², {price}")
    return "used     " + " · ".join(parts)


def _ratio(part: float | None, whole: float) -> float | None:
    return part / whole if part is not None and whole > 0 else None


def _number(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
