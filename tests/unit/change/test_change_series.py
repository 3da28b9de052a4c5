"""Reading releases: which years are found, what is refused with which words, and what the arrays hold."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.change.dated import find_releases, regions_of
from core.change.parts import read_region
from core.change.series import STATUS_WORDS, read_series
from core.errors import ConfigError, SystemicError
from core.layout import ReleaseLayout
from core.objects import Objects
from tests.release_factory import area_row, moved, small_row, unmeasured_row
from tests.unit.change.made_changes import parts, publish_year, scaled_row


def rows(n=4, **changes):
    return [scaled_row(i, 1.0, **changes) for i in range(n)]


def test_all_years_of_all_releases_come_in_order(memory_url, tmp_path):
    publish_year(memory_url, 2010, rows())
    publish_year(f"{tmp_path}/a", 2020, rows())
    publish_year(f"{tmp_path}/a", 2000, rows())
    found = find_releases([str(tmp_path / "a"), memory_url])
    assert [d.label for d in found] == ["2000", "2010", "2020"]
    assert regions_of(found) == ["06"] and found[0].res_m == 10.0 and found[0].simulated


@pytest.mark.parametrize("local", [True, False])
def test_a_single_year_of_a_release_can_be_named(memory_url, tmp_path, local):
    url = str(tmp_path / "with space") if local else memory_url
    for year in (2000, 2010, 2020):
        publish_year(url, year, rows())
    assert [d.year for d in find_releases([f"{url}/year=2000", f"{url}/year=2020/"])] == [2000, 2020]


def test_one_year_is_enough_only_with_the_inventory(memory_url):
    publish_year(memory_url, 2000, rows())
    assert [d.year for d in find_releases([memory_url], inventory=True)] == [2000]
    with pytest.raises(ConfigError, match=r"year=2000.*1 year.*two dates.*--inventory"):
        find_releases([memory_url])


def test_the_same_year_twice_is_refused_with_both_names(memory_url, tmp_path):
    publish_year(memory_url, 2000, rows())
    publish_year(str(tmp_path), 2000, rows())
    with pytest.raises(ConfigError, match=r"year 2000, as in .*each year once.*leave one of them out"):
        find_releases([memory_url, str(tmp_path)])


def test_what_is_no_release_is_refused(tmp_path):
    for place, found in ((tmp_path / "no", "no such folder"), (tmp_path, "no folder year=YYYY")):
        with pytest.raises(ConfigError, match=found):
            find_releases([str(place)], inventory=True)
    with pytest.raises(ConfigError, match="no such folder"):
        find_releases([str(tmp_path / "no" / "year=2000")], inventory=True)


def test_a_release_without_manifest_was_never_finished(memory_url):
    publish_year(memory_url, 2000, rows())
    Objects(memory_url).delete(ReleaseLayout(2000).manifest)
    with pytest.raises(ConfigError, match=r"manifest.json.*no manifest.*icefleet run"):
        find_releases([memory_url], inventory=True)


def test_a_lost_or_broken_file_stops_with_its_name(memory_url):
    publish_year(memory_url, 2000, rows())
    [dated] = find_releases([memory_url], inventory=True)
    [key] = dated.parts["06"]
    Objects(memory_url).put(key, b"PAR1 no")
    with pytest.raises(SystemicError, match=r"part-00000.parquet.*Parquet"):
        read_region(dated, "06", ["rgi_id"])
    Objects(memory_url).delete(key)
    with pytest.raises(SystemicError, match=r"part-00000.parquet.*nothing"):
        read_region(dated, "06", ["rgi_id"])
    assert read_region(dated, "07", ["rgi_id"]) is None


def two(url, first, second, inventory=False):
    publish_year(url, 2000, first)
    publish_year(url, 2010, second)
    return read_series(find_releases([url]), "06", inventory)


def test_every_glacier_of_any_release_has_a_row_and_its_status(memory_url):
    first = [*rows(2), unmeasured_row(2), small_row(3), scaled_row(9, 1.0)]
    second = [
        scaled_row(0, 0.9),
        unmeasured_row(1, "quarantined"),
        scaled_row(2, 1.0),
        small_row(3, geometry=None, area_km2=0.0, area_sigma_km2=0.0),
    ]
    series = two(memory_url, first, second)
    assert [i[-1] for i in series.ids] == ["0", "1", "2", "3", "9"]
    words = [[STATUS_WORDS[c] for c in row] for row in series.status]
    assert words == [
        ["measured", "measured"],
        ["measured", "quarantined"],
        ["not_observed", "measured"],
        ["below_minimum", "below_minimum"],
        ["measured", "no_row"],
    ]
    assert np.isnan(series.area_km2).tolist() == [[False] * 2, [False, True], [True, False], [False] * 2, [False, True]]
    assert series.area_km2[3, 1] == 0.0
    assert series.area_km2[0, 1] == pytest.approx(0.81 * series.area_km2[0, 0], rel=1e-3)


def test_times_are_those_of_the_scenes_or_the_middle_of_the_year(memory_url):
    first = [scaled_row(0, 1.0), unmeasured_row(1)]
    time = two(memory_url, first, rows(2)).time
    assert time[0] == pytest.approx([2000 + 213 / 366, 2010 + 212 / 365], abs=0.003)
    assert time[1, 0] == 2000.5


def test_the_inventory_is_a_date_of_its_own(memory_url):
    dates = [dt.date(1990, 7, 2), None]
    first = [scaled_row(i, 1.0, inventory_date=date) for i, date in enumerate(dates)]
    series = two(memory_url, first, first, inventory=True)
    assert series.labels == ("inventory", "2000", "2010")
    assert series.area_km2[:, 0].tolist() == series.glaciers["area_inventory_km2"].tolist()
    assert series.time[0, 0] == pytest.approx(1990.5, abs=0.01) and np.isnan(series.time[1, 0])
    assert series.model[:, 0].tolist() == [-1, -1] and series.sigma.total[0, 0] > series.sigma.total[0, 1]
    assert series.inventories == (0, 0, 0)


def test_models_inventories_and_gaps_are_told_apart(memory_url):
    publish_year(memory_url, 2000, rows(2), inventory_digest="one")
    second = [scaled_row(0, 1.0, flags="abc;gap_filled"), scaled_row(1, 1.0, model_digest="model-2")]
    publish_year(memory_url, 2010, [r | {"model_digest": "model-2"} for r in second], inventory_digest="two",
                 model_digest="model-2")  # fmt: skip
    series = read_series(find_releases([memory_url]), "06")
    assert series.inventories == (0, 1)
    assert series.model.tolist() == [[0, 1], [0, 1]]
    assert series.gap_filled.tolist() == [[False, True], [False, False]]


def test_sigma_comes_in_parts_or_whole(memory_url):
    first = [scaled_row(0, 1.0, **parts(0.3, 0.4)), scaled_row(1, 1.0, area_sigma_km2=0.2)]
    sigma = two(memory_url, first, first).sigma.at(0)
    assert sigma.total.tolist() == pytest.approx([0.5, 0.2]) and sigma.model.tolist() == pytest.approx([0.4, 0.2])
    assert sigma.cancels.tolist() == [True, False]


def test_releases_of_before_sigma_had_parts_are_read(tmp_path):
    for year in (2000, 2010):
        publish_year(str(tmp_path), year, rows(2))
    for path in tmp_path.glob("year=*/glacier_area/*/*.parquet"):
        table = pq.ParquetFile(path).read()
        pq.write_table(
            table.drop_columns([c for c in table.column_names if c.endswith(("model_km2", "hidden_km2"))]), path
        )
    series = read_series(find_releases([str(tmp_path)]), "06")
    assert not series.sigma.cancels.any() and (series.sigma.model == series.sigma.total).all()


def test_releases_that_share_no_glacier_are_of_other_inventories(memory_url):
    others = [r | {"rgi_id": f"RGI60-06.{i:05d}"} for i, r in enumerate(rows())]
    with pytest.raises(ConfigError, match=r"year=2010, region 06.*no rgi_id of .*year=2000.*one inventory"):
        two(memory_url, rows(), others)


def test_a_region_that_one_release_lacks_is_read_all_the_same(memory_url):
    publish_year(memory_url, 2000, [*rows(2), *moved(rows(2), "07", 40.0)])
    publish_year(memory_url, 2010, rows(2))
    series = read_series(find_releases([memory_url]), "07")
    assert series.area_km2.shape == (2, 2) and np.isnan(series.area_km2[:, 1]).all()


def test_twins_in_a_release_are_refused(memory_url):
    publish_year(memory_url, 2000, rows(2))
    twin = area_row(5, rgi_id=rows(1)[0]["rgi_id"])
    publish_year(memory_url, 2010, [*rows(2), twin])
    with pytest.raises(ConfigError, match=r"year=2010, region 06.*several rows"):
        read_series(find_releases([memory_url]), "06")
