"""`icefleet demo`: the whole job on a simulated world, without network or GPU, in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import geopandas as gpd
import matplotlib
import numpy as np
import pandas as pd
import typer
from matplotlib.figure import Figure
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from core.config import load_config
from core.layout import ReleaseLayout
from core.prepare import Prepared, prepare
from core.quicklook import draw_run
from core.release import verify_release
from core.release.schema import AREA
from core.simulate import World, build_world
from core.urls import local_path
from jobs.console import FAILED, OK, AsJson, console, errors, print_json, run_verb, table
from jobs.plan import print_inventory_report
from jobs.run import Executor, execute, with_executor
from jobs.summary import session_summary, show_end

matplotlib.use("Agg")


def demo(
    out: Annotated[Path, typer.Option(help="folder for the simulated world, the run and the pictures")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="seed of the simulated world")] = 7,
    executor: Executor = None,
    as_json: AsJson = False,
) -> None:
    """Simulate a small world of glaciers and make its inventory.

    Mountains, glaciers and cloudy scenes are SIMULATED, so the truth is known: the area error is printed beside the
    areas. The world has a glacier across 180°, one near the pole, one larger than a block, one smaller than a pixel
    and one that is hidden by cloud.

    Example: icefleet demo --out demo
    """
    world = _simulate(out, seed, quiet=as_json)
    prepared = prepare(with_executor(load_config(world.config), executor))
    if not as_json:
        print_inventory_report(prepared)
    driven = execute(prepared, quiet=as_json)
    findings = verify_release(prepared.run.release_url)
    result = compare(released(prepared), gpd.read_parquet(world.truth))
    pictures = [*draw_run(prepared.run, out / "maps"), _plot(result, out / "maps" / "area_error.png")]
    if as_json:
        session = session_summary(prepared, driven)
        found = {"findings": len(findings), "maps": pictures, "areas": summary(result)}
        print_json({"run": prepared.run.url, **found, **session})
    else:
        show_end(prepared, driven, as_json=False)
        _print(result)
        for path in pictures:
            console.print(f"map      {path}")
        console.print(f"verify   {len(findings)} findings")
        for finding in findings:
            errors.print(str(finding))
    raise typer.Exit(OK if driven.clean and not findings else FAILED)


def released(prepared: Prepared) -> gpd.GeoDataFrame:
    """glacier_area of the release of a local run."""
    folder = local_path(prepared.run.release_url)
    assert folder is not None, "the demo's configuration has relative paths"
    return gpd.read_parquet(folder / ReleaseLayout(prepared.run.config.year).table(AREA))


def compare(area: gpd.GeoDataFrame, truth: gpd.GeoDataFrame) -> pd.DataFrame:
    """Released and true areas side by side, one row per glacier; columns of the truth end in `_true`."""
    joined = pd.DataFrame(area.drop(columns="geometry")).merge(
        pd.DataFrame(truth[["rgi_id", "area_km2"]]), on="rgi_id", suffixes=("", "_true"), validate="one_to_one"
    )
    joined["error_km2"] = joined["area_km2"] - joined["area_km2_true"]
    return joined


def summary(result: pd.DataFrame) -> list[dict[str, Any]]:
    """Areas and their error against the simulated truth, per region and in total."""
    groups = [*result.groupby("o1region"), ("all", result)]
    out = []
    for region, rows in groups:
        seen = rows[rows["area_km2"].notna()]
        true = seen["area_km2_true"].sum()
        relative = (seen["error_km2"] / seen["area_km2_true"])[seen["area_km2_true"] >= 0.1]
        within = (seen["error_km2"].abs() <= seen["area_sigma_km2"]).mean() if len(seen) else float("nan")
        out.append(
            {
                "region": str(region),
                "glaciers": len(rows),
                **{s: int((rows["status"] == s).sum()) for s in ("measured", "below_minimum", "not_observed")},
                "area_inventory_km2": float(seen["area_inventory_km2"].sum()),
                "area_true_km2": float(true),
                "area_km2": float(seen["area_km2"].sum()),
                "error": float(seen["area_km2"].sum() / true - 1) if true else None,
                "median_error": float(relative.median()) if len(relative) else None,
                "within_sigma": float(within),
            }
        )
    return out


def _simulate(out: Path, seed: int, *, quiet: bool) -> World:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=errors,
        disable=quiet or not errors.is_terminal,
    ) as bar:
        task = bar.add_task("simulating", total=1.0)
        said: set[str] = set()

        def say(text: str, share: float) -> None:
            bar.update(task, description=text, completed=share)
            if not quiet and not errors.is_terminal and text not in said:
                said.add(text)
                errors.print(f"{share:4.0%} {text}")

        return build_world(out / "world", seed, say)


def _print(result: pd.DataFrame) -> None:
    columns = [
        "region", "glaciers", "measured", "below minimum", "not observed",
        "inventory km²", "true km²", "mapped km²", "error", "median error", "truth within ±σ",
    ]  # fmt: skip
    rows = [
        (
            r["region"],
            r["glaciers"],
            r["measured"],
            r["below_minimum"],
            r["not_observed"],
            f"{r['area_inventory_km2']:.2f}",
            f"{r['area_true_km2']:.2f}",
            f"{r['area_km2']:.2f}",
            "" if r["error"] is None else f"{r['error']:+.1%}",
            "" if r["median_error"] is None else f"{r['median_error']:+.1%}",
            f"{r['within_sigma']:.0%}",
        )
        for r in summary(result)
    ]
    table("SIMULATED world: areas of the observed glaciers against the simulated truth", columns, rows)


def _plot(result: pd.DataFrame, path: Path) -> Path:
    """Mapped against true area, and the relative error by size: PNG."""
    seen = result[result["area_km2"].notna() & (result["area_km2_true"] > 0)]
    figure = Figure(figsize=(10, 4.5), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    true, mapped, sigma = (seen[c].to_numpy(float) for c in ("area_km2_true", "area_km2", "area_sigma_km2"))
    left.errorbar(true, np.maximum(mapped, 1e-4), yerr=sigma, fmt="o", ms=4, lw=0.8, color="#1d6996", alpha=0.8)
    span = [true.min() / 2, true.max() * 2]
    left.plot(span, span, color="black", lw=0.8)
    left.set(xscale="log", yscale="log", xlabel="true area, km² (simulated)", ylabel="mapped area ± σ, km²")
    right.axhline(0, color="black", lw=0.8)
    right.scatter(true, 100 * (mapped / true - 1), s=16, color="#cc503e", alpha=0.8)
    right.set(xscale="log", xlabel="true area, km² (simulated)", ylabel="error of the mapped area, %", ylim=(-105, 105))
    figure.suptitle("SIMULATED world: mapped areas against the truth", fontsize=10)
    figure.savefig(path)
    return path


if __name__ == "__main__":
    run_verb(demo)
