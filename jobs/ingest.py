"""`icefleet ingest`: scenes → tile store, for the blocks of the plan; what went in is shown in tables and pictures."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from core.config import load_config
from core.errors import ConfigError
from core.grid import Block
from core.prepare import Prepared, prepare
from core.quicklook import draw_block
from core.run import load_run
from core.sensors.products import PRODUCTS
from jobs.console import FAILED, OK, AsJson, Bars, Keys, Overrides, console, errors, print_json, run_verb
from jobs.ingest_report import ingest_report
from jobs.ingest_tables import print_ingest_report, print_products
from jobs.run import Executor, execute, with_executor

Config = Annotated[
    Path | None, typer.Argument(metavar="CONFIG", help="YAML configuration; see jobs/configs, and --keys for every key")
]
Maps = Annotated[
    Path | None, typer.Option(metavar="DIR", help="also draw a PNG of every block that shows anything into this folder")
]
Products = Annotated[bool, typer.Option("--products", help="list what `sources` can name, and exit")]
_FEW = 4  # pictures that are not worth the start of a process


def ingest(
    config: Config = None,
    overrides: Overrides = None,
    executor: Executor = None,
    maps: Maps = None,
    products: Products = False,
    as_json: AsJson = False,
    keys: Keys = False,
) -> None:
    """Bring scenes onto the lattice and into the tile store, and report what they cover.

    `icefleet run` does this by itself for the sensors of its model. Ingest alone fills a store ahead of time, with
    every sensor of the configuration, and shows what is in it. What is there already is not read again.

    Where scenes come from: `scenes` lists files one by one; `sources` names products, and their catalogues are asked
    once for the season of every block (--products lists them; `catalog` may be a STAC API or a catalogue of your own).

    Which scene gives a pixel: `sensors.NAME.composite` is first (the order of the list), best_scene (least cloud over
    the glaciers, then least snow beside them), least_snow, median or mosaic.

    No copies: with `sensors.NAME.virtual: true` nothing is stored, and the archives are read when a block is mapped.

    Example: icefleet ingest jobs/configs/khumbu.yaml --maps quicklooks

    Into a bucket: icefleet ingest jobs/configs/khumbu.yaml --set tiles=s3://bucket/tiles

    Another composite: icefleet ingest jobs/configs/khumbu.yaml --set sensors.optical.composite=best_scene
    """
    del keys
    if products:
        print_json({"products": [asdict(p) for p in PRODUCTS]}) if as_json else print_products(PRODUCTS)
        return
    if config is None:
        raise ConfigError("icefleet ingest", found="no CONFIG", fix="give the path of a YAML configuration")
    prepared = prepare(with_executor(load_config(config, overrides or ()), executor))
    driven = execute(prepared, ingest_only=True, quiet=as_json)
    with Bars(quiet=as_json) as bars:
        report = ingest_report(prepared, bars.follow("coverage"))
        drawn = [] if maps is None else draw_blocks(prepared, maps, bars.follow("maps"))
    if as_json:
        run, places = prepared.run, {"run": prepared.run.url, "tiles": prepared.run.config.tiles}
        print_json({"run_id": run.run_id, **places, "sensors": report, "maps": drawn})
    else:
        print_ingest_report(report)
        console.print(f"tiles    {prepared.run.config.tiles}", markup=False)
        if maps is not None:
            blank = len(prepared.plan.tile_blocks) - len(drawn)
            said = f", none of {blank} more in which nothing is observed" if blank else ""
            console.print(f"maps     {len(drawn)} in {maps}{said}", markup=False)
    if not driven.clean:
        errors.print(f"[yellow]{len(driven.set_aside)} units in quarantine[/]; the reasons: icefleet status RUN")
    raise typer.Exit(OK if driven.clean else FAILED)


def draw_blocks(prepared: Prepared, folder: Path, progress: Callable[[int, int], None]) -> list[Path]:
    """A PNG of each block of the plan that shows anything, named by the block; in processes where there are many."""
    folder.mkdir(parents=True, exist_ok=True)
    run = prepared.run
    jobs = [(run.url, block.name, folder / f"{block.name}.png") for block in prepared.plan.tile_blocks]
    workers = min(run.config.execution.workers or len(os.sched_getaffinity(0)), -(-len(jobs) // _FEW))
    if workers < 2 or run.url.startswith("memory://"):
        return _counted(map(_draw, jobs), len(jobs), progress)
    # Spawned, never forked: clients of object stores do not survive a fork. Ctrl-C is for the parent.
    with ProcessPoolExecutor(workers, mp.get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        try:
            return _counted(pool.map(_draw, jobs), len(jobs), progress)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _draw(job: tuple[str, str, Path]) -> Path | None:
    run_url, block, path = job
    return path if draw_block(load_run(run_url), Block.parse(block), path) else None


def _counted(made: Iterable[Path | None], total: int, progress: Callable[[int, int], None]) -> list[Path]:
    paths = []
    for done, path in enumerate(made, 1):
        paths += [path] if path else []
        progress(done, total)
    return paths


if __name__ == "__main__":
    run_verb(ingest)
