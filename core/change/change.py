"""Change: releases → tables of change, region by region, so that memory is that of the largest region.

`compare` is the whole of `icefleet change` without the talking. It reads columns, not outlines, unless polygons are
written; then a file of each of the two releases is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.change.breakpoint import breakpoints, surge_candidates
from core.change.dated import INVENTORY, Dated, find_releases, regions_of
from core.change.error_model import ErrorModel
from core.change.outlines import write_polygons
from core.change.pair import BOTH, Pair, pair_change, periods, release_dates
from core.change.regional import Total, region_totals
from core.change.sample import Filter, Sample, sample, why_left_out
from core.change.schema import CHANGE_POLYGONS, GLACIER_CHANGE, GLACIER_TREND
from core.change.series import Series, read_series
from core.change.tables import GeoParquetWriter, change_table, region_table, trend_table
from core.change.trend import MIN_DATES, trend
from core.errors import ConfigError

GLACIERS, TRENDS, POLYGONS, REGIONS = (
    "glacier_change.parquet",
    "glacier_trend.parquet",
    "change_polygons.parquet",
    "region_change.parquet",
)
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Options:
    """inventory: the inventory is the first date. polygons: write those of change in every period between releases;
    confidence: of the limits of trends."""

    errors: ErrorModel = field(default_factory=ErrorModel)
    keep: Filter = field(default_factory=Filter)
    inventory: bool = False
    polygons: bool = True
    confidence: float = 0.95


@dataclass(frozen=True, eq=False)
class Compared:
    """releases: what was read; samples, totals: of the periods in order, the whole one first. counts: glaciers by
    status over the whole period, flags and left-out reasons likewise. folder: of the tables, None if not written."""

    releases: tuple[Dated, ...]
    samples: tuple[tuple[Sample, ...], ...]
    totals: tuple[tuple[Total, ...], ...]
    regions: pa.Table
    missing: tuple[tuple[str, str], ...]
    surges: tuple[str, ...]
    folder: Path | None

    @property
    def simulated(self) -> bool:
        return any(dated.simulated for dated in self.releases)


def compare(
    urls: Sequence[str], out: Path | None = None, options: Options | None = None, progress: Progress | None = None
) -> Compared:
    """Compare all dates of the releases; write the tables into the folder `out`, if given.

    progress: called with (regions done, regions). Raises ConfigError if the releases cannot be compared.
    """
    options = options or Options()
    releases = find_releases(urls, options.inventory)
    regions = regions_of(releases)
    if not regions:
        raise ConfigError(", ".join(d.name for d in releases), found="no glaciers", expected="releases with regions")
    by_period: dict[int, list[Sample]] = {}
    missing: list[tuple[str, str]] = []
    surges: list[str] = []
    with ExitStack() as stack:
        files = _open(out, stack, len(releases), options.polygons) if out is not None else {}
        for done, region in enumerate(regions):
            series = read_series(releases, region, options.inventory)
            for number, (first, second) in enumerate(periods(series.labels)):
                pair = pair_change(series, first, second, options.errors)
                by_period.setdefault(number, []).append(sample(series, pair, options.keep))
                if number == 0:
                    missing += _missing(series, pair)
                if GLACIERS in files:
                    files[GLACIERS].write(change_table(series, pair, why_left_out(series, pair, options.keep)))
                if POLYGONS in files and series.labels[first] != INVENTORY:
                    dates = release_dates(series.labels)
                    one, other = (releases[dates.index(k)] for k in (first, second))
                    write_polygons(one, other, region, files[POLYGONS])
            if len(releases) >= MIN_DATES:
                table = _trends(series, options)
                surges += table.filter(table.column("surge_candidate")).column("rgi_id").to_pylist()
                if TRENDS in files:
                    files[TRENDS].write(table)
            if progress is not None:
                progress(done + 1, len(regions))
    samples = tuple(tuple(parts) for _, parts in sorted(by_period.items()))
    totals = tuple(tuple(region_totals(parts)) for parts in samples)
    simulated = any(dated.simulated for dated in releases)
    table = region_table([t for period in totals for t in period], options.errors.words, simulated)
    if out is not None:
        pq.write_table(table, out / REGIONS, compression="zstd")
    return Compared(releases, samples, totals, table, tuple(missing), tuple(surges), out)


def _open(out: Path, stack: ExitStack, years: int, polygons: bool) -> dict[str, GeoParquetWriter]:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(str(out), found=error.strerror or str(error), expected="a folder to write to") from error
    wanted = {GLACIERS: GLACIER_CHANGE}
    wanted |= {TRENDS: GLACIER_TREND} if years >= MIN_DATES else {}
    wanted |= {POLYGONS: CHANGE_POLYGONS} if polygons and years >= 2 else {}
    for stale in {GLACIERS, TRENDS, POLYGONS, REGIONS} - set(wanted):
        (out / stale).unlink(missing_ok=True)  # of an earlier comparison; it would pass for one of this
    return {name: stack.enter_context(GeoParquetWriter(out / name, schema)) for name, schema in wanted.items()}


def _trends(series: Series, options: Options) -> pa.Table:
    """Trends and breaks over the releases; the inventory, made in another way, is no part of a series."""
    columns = release_dates(series.labels)
    time, area = series.time[:, columns], series.area_km2[:, columns]
    model = series.model[:, columns]
    one_model = np.ptp(np.where(model < 0, model.max(axis=1)[:, None], model), axis=1) == 0
    # Where models follow each other, the model's part is new with each of them.
    total, new = series.sigma.total[:, columns], options.errors.new_each_date(series.sigma)[:, columns]
    own = np.where(one_model[:, None] & series.sigma.cancels[:, columns], new, total)
    order = np.argsort(np.where(np.isfinite(time), time, np.inf), axis=1, kind="stable")
    time, area, own = (np.take_along_axis(v, order, axis=1) for v in (time, area, own))
    broke = breakpoints(time, area, own)
    known = np.isfinite(own)
    typical = np.sqrt(np.where(known, own**2, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1))
    there = np.isfinite(area)
    mean = np.where(there, area, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    surge = surge_candidates(broke, mean, np.sqrt(2.0) * typical, options.errors.significance)
    return trend_table(series, time, area, trend(time, area, options.confidence), broke, surge)


def _missing(series: Series, pair: Pair) -> Iterator[tuple[str, str]]:
    without = pair.status != BOTH
    yield from zip(series.ids[without].tolist(), pair.status[without].tolist(), strict=True)
