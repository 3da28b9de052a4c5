"""The timeline of a run: its history as a Chrome trace, for chrome://tracing and ui.perfetto.dev.

A process per node, a row per worker, a slice per unit, named and so coloured by its stage. A worker does one unit at
a time, so slices of one row never overlap; where a clock was set back meanwhile, they are cut. Inside a slice lie its
stalls: each is the sum over the unit, laid one after the other in the order of `STALLS`, so their lengths mean
something and their places do not. Retries, and units whose process died, are marks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from cluster.events import TaskEvent
from cluster.history import Entry
from core.stopwatch import STALLS

STALL = "stall"
# Names of chrome://tracing's palette; Perfetto colours by the name of the slice.
_COLOURS = {"ingest": "yellow", "map": "good", "measure": "rail_response", "publish": "olive"}
_SET_ASIDE = "terrible"
Slice = dict[str, Any]


def chrome_trace(history: Iterable[Entry]) -> dict[str, Any]:
    """The trace-event format, times in microseconds since the first unit began."""
    entries = list(history)
    rows: dict[tuple[str, str], list[TaskEvent]] = defaultdict(list)
    for entry in entries:
        if entry.event.span.worker:
            rows[entry.event.span.node, entry.event.span.worker].append(entry.event)
    zero = min((e.event.span.started if e.event.span.worker else e.at for e in entries), default=0.0)
    nodes = {node: k for k, node in enumerate(sorted({node for node, _ in rows}), 1)}
    events: list[Slice] = [_name("process_name", node, pid) for node, pid in nodes.items()]
    for tid, (node, worker) in enumerate(sorted(rows), 1):
        events.append(_name("thread_name", worker, nodes[node], tid))
        free = 0
        for event in sorted(rows[node, worker], key=lambda e: (e.span.started, e.span.ended)):
            slices = _slices(event, nodes[node], tid, zero, free)
            free = slices[0]["ts"] + slices[0]["dur"]
            events += slices
    events += [_mark(e, zero) for e in entries if not e.event.span.worker]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _slices(event: TaskEvent, pid: int, tid: int, zero: float, free: int) -> list[Slice]:
    """The slice of a unit, which begins at `free` or later, and those of its stalls."""
    start = max(free, _us(event.span.started - zero))
    end = max(start, _us(event.span.ended - zero))
    args = {"unit": event.unit, "region": event.region, "kind": event.kind, **event.counts}
    if event.message:
        args["message"] = event.message
    place = {"ph": "X", "pid": pid, "tid": tid}
    colour = _SET_ASIDE if event.kind == "quarantined" else _COLOURS.get(event.stage, "grey")
    out: list[Slice] = [
        {
            **place,
            "name": event.stage,
            "cat": event.stage,
            "ts": start,
            "dur": end - start,
            "cname": colour,
            "args": args,
        }
    ]
    passed = max(0.0, event.span.ended - event.span.started - event.seconds)  # earlier tries, and waits between them
    for name in sorted(event.stalls, key=lambda n: (STALLS.index(n) if n in STALLS else len(STALLS), n)):
        began, passed = passed, passed + event.stalls[name]
        a, b = min(end, start + _us(began)), min(end, start + _us(passed))
        if b > a:
            out.append({**place, "name": name, "cat": STALL, "ts": a, "dur": b - a, "args": {}})
    return out


def _mark(entry: Entry, zero: float) -> Slice:
    event = entry.event
    args = {"unit": event.unit, "region": event.region, "message": event.message}
    place = {"ph": "i", "s": "g", "pid": 0, "tid": 0, "ts": _us(entry.at - zero)}
    return {**place, "name": f"{event.kind} {event.stage}", "cat": event.kind, "args": args}


def _name(what: str, name: str, pid: int, tid: int = 0) -> Slice:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}}


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
