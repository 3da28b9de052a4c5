"""The shipped configurations of the public archives, each against small copies of the archives that it names."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from core.config import load_config
from core.errors import ConfigError
from core.grid import Lattice, PixelWindow
from core.models import build_model
from core.prepare import prepare
from core.release import verify_release
from core.search import web
from core.search.seasons import season_windows
from core.sensors import sensor
from core.sensors.products import product
from core.tiles import TileStore
from jobs.run import execute, run_config
from tests.integration.conftest import Ran
from tests.public_archive import EVERYWHERE, ICE, VELOCITY, Place, PublicArchive, without
from tests.stac_server import StacServer, stac_server

CONFIGS = Path(__file__).resolve().parents[2] / "jobs" / "configs"
PUBLIC = sorted(p for p in CONFIGS.glob("*.yaml") if "\nsources:" in p.read_text())
YEAR = 2024


@dataclass(frozen=True)
class Case:
    """A configuration and its glacier. items: number of the source → recorded item; coarse: keeps the test small;
    maps_ice: whether its model takes a disc of clean ice for what it looks for."""

    name: str
    place: Place
    items: Mapping[int, str]
    coarse: tuple[str, ...] = ()
    maps_ice: bool = True

    @property
    def path(self) -> Path:
        return CONFIGS / f"{self.name}.yaml"


CASES = (
    Case(
        "alps_sentinel2",
        Place("11", 10.75, 46.8),
        {0: "earth_search_s2_l2a"},
        ("sensors.optical.res_m=30", "grid.res_m=30"),
    ),
    Case("alaska_landsat", Place("01", -147.0, 61.2), {0: "landsatlook_l7", 1: "landsatlook_l8_st"}),
    Case(
        "svalbard_multisensor",
        Place("07", 16.5, 78.6),
        {0: "planetary_s2_l2a", 1: "planetary_s1_rtc_asc", 2: "planetary_s1_rtc_desc", 4: "its_live_granule"},
        tuple(f"sensors.{name}.res_m=60" for name in ("optical", "sar_gamma0_asc", "sar_gamma0_desc")),
    ),
    Case("rock_glaciers_alps", Place("11", 10.75, 46.8), {0: "earth_search_s2_l2a"}, maps_ice=False),
    Case("hls_patagonia", Place("17", -73.4, -46.7), {0: "lpcloud_hls_s30", 1: "lpcloud_hls_l30"}),
)


@pytest.fixture
def stac(monkeypatch: pytest.MonkeyPatch) -> Iterator[StacServer]:
    monkeypatch.setattr(web, "BACKOFF_S", 0.01)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with stac_server() as server:
        yield server


def test_every_configuration_of_public_archives_has_its_case() -> None:
    assert {p.stem for p in PUBLIC} == {case.name for case in CASES}


@pytest.mark.parametrize("path", PUBLIC, ids=lambda p: p.stem)
def test_a_shipped_configuration_asks_for_an_inventory_and_names_what_exists(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ICEFLEET_INVENTORY", raising=False)
    with pytest.raises(ConfigError, match="ICEFLEET_INVENTORY"):
        load_config(path)
    config = load_config(path, env={"ICEFLEET_INVENTORY": "/outlines.gpkg", "ICEFLEET_OUTPUT": "s3://own/runs"})
    assert config.name == path.stem and config.output == "s3://own/runs" and config.simulated is False
    offered = {product(s.product).sensor for s in config.sources}
    needs = build_model(config.model.name, config.model.parameters).spec.needs
    assert {n.sensor for n in needs if not n.optional} <= offered
    assert set(config.sensors) <= offered
    for source in config.sources:
        assert (source.catalog or product(source.product).catalog).startswith(("https://", "s3://"))


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_a_shipped_configuration_finds_its_scenes_and_maps_its_glacier(
    case: Case, stac: StacServer, s3_url: str, tmp_path: Path
) -> None:
    first, last = season_windows(case.place.region, YEAR)
    places = (f"output={tmp_path}/runs", f"tiles={tmp_path}/tiles")
    overrides = [*places, "execution.workers=1", "measure.advance_m=20", *case.coarse]
    overrides.append(f"inventory={case.place.write_inventory(tmp_path / 'outlines.gpkg')}")
    archive = PublicArchive(case.place, tmp_path / "archive")
    shipped = load_config(case.path, overrides)
    wanted: dict[str, set[str]] = {}
    for number, source in enumerate(shipped.sources):
        entry = product(source.product)
        if number not in case.items:
            continue
        good = archive.item(case.items[number], source.product, first + (last - first) / 2)
        early = archive.item(case.items[number], source.product, first - dt.timedelta(days=1), "-early")
        spoilt = without(
            archive.item(case.items[number], source.product, last, "-spoilt"), band_asset(good, entry.name)
        )
        stac.items.setdefault(good["collection"], []).extend([early, spoilt, good])
        wanted.setdefault(entry.sensor, set()).add(good["id"])
        overrides += [f"sources.{number}.catalog={stac.url}", f"sources.{number}.collection={good['collection']}"]
    for source in shipped.sources:
        if source.product == "copernicus_dem_30":
            archive.tile(source.product, "elevation_m", case.place.cell())
            wanted["dem"] = {"Copernicus_DSM_COG_10"}
        if source.product == "s1_coherence":
            for band in ("coh12", "coh24"):
                archive.tile(source.product, band, case.place.cell(), "summer")
            wanted["coherence"] = {"N"}

    prepared = prepare(load_config(case.path, overrides))
    driven = execute(prepared, ingest_only=True, quiet=True)
    assert driven.clean
    config, store = prepared.run.config, TileStore(prepared.run.config.tiles)
    assert set(wanted) == {product(s.product).sensor for s in config.sources}
    for name, ids in wanted.items():
        marker = store.marker(config.epoch_of(name), name, case.place.block)
        assert marker is not None and marker.observed_fraction > 0.01, name
        used = {s.id for s in marker.scenes}
        if sensor(name).static:
            land = {i for i in used if not i.startswith("ocean:")}
            assert land and all(i.startswith(tuple(ids)) for i in land)
        else:
            assert used and used <= ids
            assert all(first <= s.date <= last for s in marker.scenes)
            why = {r.id: r.reason for r in marker.rejected}
            assert ids - used <= set(why)
            # Ascending and descending passes are in one collection, and each is refused by the other's source.
            assert any("missing: has" in why[i] for i in why if i.endswith("-spoilt"))
            assert not [i for i in why if i.endswith("-early")]
        check_values(case, store, config.epoch_of(name), name, prepared.run.resolution(name))
    years = {y for s in config.sources for y in s.years or [YEAR]}
    spans = {season_windows(case.place.region, year) for year in years}
    assert {tuple(b["datetime"].split("/")) for b in stac.bodies} == {
        (f"{a}T00:00:00Z", f"{b}T23:59:59Z") for a, b in spans
    }

    ran = Ran(*run_config(case.path, overrides))
    assert ran.driven.clean and verify_release(ran.prepared.run.release_url) == []
    row = ran.area().iloc[0]
    assert first <= row["scene_date_min"] <= row["scene_date_max"] <= last
    if not case.maps_ice:
        assert (row["status"], row["geometry"]) == ("below_minimum", None) and row["observed_fraction"] == 1.0
        return
    # The debris rule also takes the flat dark ground around, as far as an advance is let (20 m).
    assert row["status"] == "measured" and row["area_km2"] == pytest.approx(np.pi * 0.25, rel=0.15)


def band_asset(item: dict, name: str) -> str:
    """The asset of the last band that the item has."""
    return next(key for key in reversed(product(name).bands[-1].assets) if key in item["assets"])


def check_values(case: Case, store: TileStore, epoch: str, name: str, res_m: int) -> None:
    """What the tile holds in the middle of the glacier is what was put there."""
    lattice = Lattice(case.place.block.zone, res_m)
    x, y = case.place.middle()
    middle = lattice.cover((x - res_m, y - res_m, x + res_m, y + res_m))
    read = store.read(epoch, case.place.block.zone, name, PixelWindow(*vars(middle).values()))
    assert read.observed.all(), name
    got = dict(zip(sensor(name).band_names, read.values.reshape(len(read.values), -1).mean(axis=1), strict=True))
    if name == "velocity":
        assert got["v_m_a"] == pytest.approx(VELOCITY["v_m_a"], rel=1e-3)
        # Turned to the axes of the zone: the same length, another direction than on the polar grid.
        assert np.hypot(got["vx_m_a"], got["vy_m_a"]) == pytest.approx(VELOCITY["v_m_a"], rel=1e-2)
        return
    for band, value in got.items():
        if band in ICE:
            assert value == pytest.approx(ICE[band], abs=0.05), band  # brought to the bands of OLI
        elif band in EVERYWHERE:
            assert value == pytest.approx(EVERYWHERE[band], abs=0.02), band
