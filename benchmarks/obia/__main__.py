"""Debris-covered and rock glaciers by five-layer CNN and objects, plan to release, on SIMULATED worlds and on Khumbu.

    python -m benchmarks.obia [--what debris rock khumbu] [--keep DIR] [--out docs/obia.png] [--json FILE]
                              [--debris CHECKPOINT] [--rock CHECKPOINT] [--tuned]

Every map comes out of a release that was made with the sections `model:` and `measure:` of `khumbu_obia.yaml` and
`rock_glaciers_alps.yaml`; ways beside them change one of the two. The inventory is the area to search: no outline helps
a map, and none limits it. SIMULATED worlds are of seeds that no training draws and no rule was tuned on; --tuned scores
those that rules were tuned on instead. Khumbu is a test site that nothing was fitted on; it needs the sample data
(`ICEFLEET_SAMPLES`). --keep holds worlds and runs, which are used again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.obia.picture import draw_chain
from benchmarks.obia.places import SCORED, SIMULATED, TUNED, Place, khumbu_places, simulated_place
from benchmarks.obia.runs import Found, run_way
from benchmarks.obia.scores import LEAST_KM2, Counted, of_glaciers, of_rock_glaciers, some
from benchmarks.obia.ways import DEBRIS, ROCK, Way, debris_ways, rock_ways
from benchmarks.sites.rows import Row, Section
from core.models.checkpoint import load_checkpoint
from core.train.evaluate import Tally

ROOT = Path(__file__).resolve().parents[2]
WHAT = ("debris", "rock", "khumbu")
_SENSORS = {"band ratio": "optical", "debris rule": "optical, radar, terrain", "gentle bare ground": "optical, terrain"}
_OF_NET = {
    "glacier": "all",
    DEBRIS: "optical, thermal, coherence, terrain",
    ROCK: "optical, coherence, terrain",
}
_RULES_DID = "What the rules of the last way did, objects on all worlds: {}."


def found_by(places: Sequence[Place], way: Way) -> Iterator[tuple[Place, Found]]:
    for place in places:
        found = run_way(place.config, way, place.zone, place.area)
        print(f"{place.ground.name}, {way.name}: {found.seconds:.0f} s", file=sys.stderr, flush=True)
        yield place, found


def score_debris(title: str, places: Sequence[Place], ways: Sequence[Way], data: str) -> Section:
    """Glaciers and debris-covered ice, every place apart and all their pixels together."""
    rows, flags = [], dict[str, int]()
    for way in ways:
        total: dict[str, Tally] = {}
        flags = {}
        for place, found in found_by(places, way):
            tallies = of_glaciers(found, place.ground)
            total = {of: tally + total[of] if of in total else tally for of, tally in tallies.items()}
            rows.append(_row(place.ground.name, data, way, tallies))
            flags = _added(flags, found.flags)
        if len(places) > 1:
            rows.append(_row("all pixels", data, way, total))
    notes = [
        "`debris`: ground that the release calls debris against ice of which at least half is covered, where known.",
        _RULES_DID.format(flags),
    ]
    return Section(title, sorted(rows, key=lambda r: r.site), notes)


def score_rock_glaciers(places: Sequence[Place], ways: Sequence[Way], data: str) -> Section:
    rows, flags = [], dict[str, int]()
    for way in ways:
        total: Counted | None = None
        flags = {}
        for place, found in found_by(places, way):
            counted = of_rock_glaciers(found, place.ground)
            total = counted if total is None else total + counted
            rows.append(Row(place.ground.name, data, _sensors(way), way.name, _pixels(counted.pixels), counted.scores))
            flags = _added(flags, found.flags)
        if total is not None:
            rows.append(Row("all", data, _sensors(way), way.name, _pixels(total.pixels), total.scores))
    notes = [
        f"Of rock glaciers of at least {LEAST_KM2} km², `found` are those of which at least half is mapped; `parts` is "
        f"how many polygons were mapped, `false` those of at least {LEAST_KM2} km² of which less than half is one.",
        "`gentle bare ground`: slope 8° to 24°, NDVI below 0.3, NDSI below 0.4, patches of 0.02 km² and more.",
        _RULES_DID.format(flags),
    ]
    return Section("Rock glaciers, simulated worlds", sorted(rows, key=lambda r: r.site), notes)


def _row(site: str, data: str, way: Way, tallies: dict[str, Tally]) -> Row:
    scores = some(tallies["glacier"])
    if "debris" in tallies:
        scores |= some(tallies["debris"], of="debris")
    return Row(site, data, _sensors(way), way.name, _pixels(tallies["glacier"]), scores)


def _sensors(way: Way) -> str:
    name = way.name.split(",")[0]
    return _SENSORS.get(name) or _OF_NET[name]


def _pixels(tally: Tally) -> int:
    return int(tally.scores()["pixels"])


def _added(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {flag: one.get(flag, 0) + other.get(flag, 0) for flag in sorted({*one, *other})}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="+", choices=WHAT, default=WHAT)
    parser.add_argument("--debris", default=DEBRIS, help="another checkpoint than the shipped one, as a path")
    parser.add_argument("--rock", default=ROCK, help="the same for rock glaciers")
    parser.add_argument("--tuned", action="store_true", help="score the worlds that rules were tuned on")
    parser.add_argument("--keep", type=Path, help="folder that keeps worlds and runs; none: a temporary one")
    parser.add_argument("--out", type=Path, help="draw a picture of both chains into this file")
    parser.add_argument("--json", type=Path, help="also write all rows to this file")
    asked = parser.parse_args(arguments)
    samples = Path(os.environ.get("ICEFLEET_SAMPLES", ROOT.parent / "shared" / "samples")).resolve()
    sections: list[Section] = []

    def show(section: Section) -> None:
        sections.append(section)
        print(f"{section.markdown()}\n", flush=True)

    with tempfile.TemporaryDirectory(prefix="obia-") as temporary:
        folder = (asked.keep or Path(temporary)).resolve()
        worlds: list[Place] = []
        if asked.out or {"debris", "rock"} & set(asked.what):
            chosen = TUNED if asked.tuned else SCORED
            worlds = [simulated_place(seed, site, folder / str(seed)) for seed, site in chosen]
        data = "SIMULATED, rules tuned here" if asked.tuned else SIMULATED
        if "debris" in asked.what:
            show(score_debris("Debris-covered glaciers, simulated worlds", worlds, debris_ways(asked.debris), data))
        if "rock" in asked.what:
            show(score_rock_glaciers(worlds, rock_ways(asked.rock), data))
        if "khumbu" in asked.what:
            seasons = list(khumbu_places(samples, folder / "khumbu").values())
            show(score_debris("Khumbu, four seasons", seasons, debris_ways(asked.debris), "real, test"))
        if asked.out:
            draw_chain(asked.out, worlds[-1], debris_ways(asked.debris)[-1], rock_ways(asked.rock)[-1])
    if asked.json:
        scored = {asked.debris: {"debris", "khumbu"}, asked.rock: {"rock"}}
        named = [name for name, of in scored.items() if of & set(asked.what)]
        digests = {name: {"digest": load_checkpoint(name).digest} for name in named}
        record = {"models": digests, "sections": [section.record() for section in sections]}
        asked.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
