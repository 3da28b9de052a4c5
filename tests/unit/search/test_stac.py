"""Catalogues: every page and every file is read, once, and what cannot be read is an error that says where."""

from __future__ import annotations

import datetime as dt
import json
import random
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import ConfigError, PoisonError, RefusedError, SystemicError, TransientError
from core.objects import Objects
from core.search import stac as stac_module
from core.search import web
from core.search.stac import open_catalog
from core.search.static import StaticCatalog
from tests.stac_server import CORE, QUERY, StacServer
from tests.unit.search.conftest import COLLECTION, make_item, write_catalog

ALPS = (8.0, 46.0, 9.0, 47.0)


def ids(catalog, *args, **kwargs):
    return [item["id"] for item in catalog.items(*args, **kwargs)]


@pytest.mark.parametrize("methods", [("GET",), ("POST",), ("GET", "POST")])
def test_every_page_is_followed_by_link_or_by_body(stac, methods):
    stac.items[COLLECTION] = [make_item(f"item{k:03d}", ALPS) for k in range(25)]
    stac.methods, stac.limit = methods, 10
    found = ids(open_catalog(stac.url), COLLECTION, ALPS)
    assert found == [f"item{k:03d}" for k in range(25)]
    assert stac.count("/search") == 3
    assert stac.count("/search", "POST" if "POST" in methods else "GET") == 3
    assert len(stac.asked) == 5  # and the landing page, and the collection


def test_a_merged_body_keeps_the_question(stac):
    stac.items[COLLECTION] = [make_item(f"item{k}", ALPS) for k in range(3)]
    stac.limit = 1
    ids(open_catalog(stac.url), COLLECTION, ALPS, dt.date(2020, 8, 1), dt.date(2020, 9, 30))
    assert [b.get("token") for b in stac.bodies] == [None, "1", "2"]
    assert all(b["bbox"] == list(ALPS) and b["collections"] == [COLLECTION] for b in stac.bodies)
    assert {b["datetime"] for b in stac.bodies} == {"2020-08-01T00:00:00Z/2020-09-30T23:59:59Z"}


def test_the_last_day_of_a_season_belongs_to_it(stac):
    stac.items[COLLECTION] = [
        make_item("last", ALPS, "2020-09-30T23:10:00Z"),
        make_item("late", ALPS, "2020-10-01T00:10:00Z"),
    ]
    assert ids(open_catalog(stac.url), COLLECTION, ALPS, dt.date(2020, 9, 1), dt.date(2020, 9, 30)) == ["last"]


def test_the_server_filters_clouds_only_where_it_says_that_it_can(stac):
    stac.items[COLLECTION] = [make_item("clear", ALPS, cloud=3.0), make_item("cloudy", ALPS, cloud=93.0)]
    assert ids(open_catalog(stac.url), COLLECTION, ALPS, max_cloud_percent=80.0) == ["clear"]
    stac.conforms = [*stac.conforms, QUERY]
    assert ids(open_catalog(stac.url), COLLECTION, ALPS, max_cloud_percent=80.0) == ["clear"]
    assert ["query" in b for b in stac.bodies] == [False, True]
    assert ids(open_catalog(stac.url), COLLECTION, ALPS) == ["clear", "cloudy"]


def test_an_api_is_known_by_its_landing_page_whatever_it_conforms_to(stac):
    stac.items[COLLECTION] = [make_item("one", ALPS)]
    stac.conforms = [CORE]
    assert ids(open_catalog(stac.url), COLLECTION, ALPS) == ["one"]


def test_busy_is_waited_for_and_then_fine(stac):
    stac.items[COLLECTION] = [make_item("one", ALPS)]
    stac.fail(path="/search", times=2, status=429, headers={"Retry-After": "0"})
    assert ids(open_catalog(stac.url), COLLECTION, ALPS) == ["one"]
    assert stac.count("/search") == 3


def test_a_server_that_asks_for_an_hour_gets_a_bounded_pause(stac, monkeypatch):
    monkeypatch.setattr(web, "LONGEST_PAUSE_S", 0.05)
    stac.items[COLLECTION] = [make_item("one", ALPS)]
    stac.fail(path="/search", times=1, status=503, headers={"Retry-After": "3600"})
    began = time.monotonic()
    assert ids(open_catalog(stac.url), COLLECTION, ALPS) == ["one"]
    assert time.monotonic() - began < 60.0


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_fault_that_stays_is_transient_and_names_the_address(stac, status):
    stac.items[COLLECTION] = []
    catalog = open_catalog(stac.url)
    stac.fail(path="/search", status=status)
    with pytest.raises(TransientError, match=f"{stac.url}/search.*HTTP {status}"):
        ids(catalog, COLLECTION, ALPS)
    assert stac.count("/search") == web.TRIES


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_a_refusal_at_once(stac, status):
    stac.items[COLLECTION] = []
    catalog = open_catalog(stac.url)
    stac.fail(path="/search", status=status)
    with pytest.raises(RefusedError, match=f"{stac.url}/search"):
        ids(catalog, COLLECTION, ALPS)
    assert stac.count("/search") == 1


def test_a_request_that_the_server_finds_wrong_is_not_tried_again(stac):
    stac.items[COLLECTION] = []
    catalog = open_catalog(stac.url)
    stac.fail(path="/search", status=400)
    with pytest.raises(ConfigError, match="HTTP 400"):
        ids(catalog, COLLECTION, ALPS)
    assert stac.count("/search") == 1


def test_a_cut_body_is_read_again(stac):
    stac.items[COLLECTION] = [make_item("one", ALPS)]
    stac.fail(path="/search", times=2, cut=True)
    assert ids(open_catalog(stac.url), COLLECTION, ALPS) == ["one"]
    assert stac.count("/search") == 3


def test_bodies_cut_for_ever_are_an_error_and_no_empty_answer(stac):
    stac.items[COLLECTION] = [make_item("one", ALPS)]
    catalog = open_catalog(stac.url)
    stac.fail(path="/search", cut=True)
    with pytest.raises(TransientError, match=f"{stac.url}/search"):
        ids(catalog, COLLECTION, ALPS)


def test_a_stalled_answer_is_asked_for_again(stac, monkeypatch):
    monkeypatch.setattr(web, "TIMEOUT", web.urllib3.Timeout(connect=1.0, read=0.2))
    stac.items[COLLECTION] = [make_item("one", ALPS)]
    stac.fail(path="/search", times=1, stall_s=1.0)
    assert ids(open_catalog(stac.url), COLLECTION, ALPS) == ["one"]


def test_nobody_there_is_transient(monkeypatch):
    monkeypatch.setattr(web, "BACKOFF_S", 0.0)
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:9"):
        open_catalog("http://127.0.0.1:9/stac")


def test_a_page_that_is_no_json_names_the_address(stac):
    stac.items[COLLECTION] = []
    catalog = open_catalog(stac.url)
    stac.fail(path="/search", garbage=True)
    with pytest.raises(TransientError, match=f"{stac.url}/search.*no JSON"):
        ids(catalog, COLLECTION, ALPS)


def test_a_landing_page_that_is_no_json_is_no_catalogue(stac):
    stac.fail(path="/", garbage=True)
    with pytest.raises(ConfigError, match=stac.url):
        open_catalog(stac.url)


@pytest.mark.parametrize("loop", ["same", "fresh"])
def test_pages_that_turn_in_a_circle_are_an_error(stac, loop):
    stac.items[COLLECTION] = [make_item(f"item{k}", ALPS) for k in range(4)]
    stac.loop, stac.limit = loop, 2
    with pytest.raises(SystemicError, match="repeat"):
        ids(open_catalog(stac.url), COLLECTION, ALPS)
    assert stac.count("/search") <= 3


def test_pages_without_end_are_an_error(stac, monkeypatch):
    monkeypatch.setattr(stac_module, "MAX_PAGES", 5)
    stac.items[COLLECTION] = [make_item(f"item{k}", ALPS) for k in range(20)]
    stac.limit = 1
    with pytest.raises(SystemicError, match="more than 5 pages"):
        ids(open_catalog(stac.url), COLLECTION, ALPS)


def test_an_unknown_collection_names_the_nearest(stac):
    stac.items[COLLECTION] = []
    with pytest.raises(ConfigError, match="did you mean 'sentinel-2-l2a'"):
        ids(open_catalog(stac.url), "sentinel-2-l2", ALPS)
    with pytest.raises(ConfigError, match="no collection"):
        ids(open_catalog(stac.url), None, ALPS)


def test_a_collection_is_checked_once(stac):
    stac.items[COLLECTION] = []
    catalog = open_catalog(stac.url)
    for _ in range(3):
        ids(catalog, COLLECTION, ALPS)
    assert stac.count(f"/collections/{COLLECTION}") == 1


# Static catalogues


def test_a_folder_and_its_root_file_are_the_same_catalogue(tmp_path):
    root = write_catalog(tmp_path / "c", [make_item("one", ALPS), make_item("far", (20.0, 46.0, 21.0, 47.0))])
    assert (
        ids(open_catalog(str(root)), COLLECTION, ALPS)
        == ids(open_catalog(str(root.parent)), COLLECTION, ALPS)
        == ["one"]
    )


def test_a_static_catalogue_over_http_is_crawled_once(stac, tmp_path):
    write_catalog(tmp_path, [make_item(f"item{k}", ALPS) for k in range(40)])
    stac.files = tmp_path
    catalog = open_catalog(f"{stac.url}/files/catalog.json")
    assert isinstance(catalog, StaticCatalog) and len(catalog) == 40
    assert len(ids(catalog, COLLECTION, ALPS)) == len(ids(catalog, None, ALPS)) == 40
    assert len(stac.asked) == 42  # root, collection, items


def test_a_static_catalogue_on_s3_is_read_like_any_other(s3_url, tmp_path):
    root = write_catalog(tmp_path, [make_item("one", ALPS)])
    store = Objects(f"{s3_url}/stac/here")
    for file in tmp_path.rglob("*.json"):
        store.put(file.relative_to(tmp_path).as_posix(), file.read_bytes())
    (found,) = open_catalog(f"{s3_url}/stac/here").items(COLLECTION, ALPS)
    assert found["id"] == "one"
    assert found["links"][-1] == {"rel": "self", "href": f"{s3_url}/stac/here/{COLLECTION}/one.json"}
    assert root.exists()


def test_an_item_says_where_it_was_read_whatever_self_it_was_published_with(tmp_path):
    published = {**make_item("one", ALPS), "links": [{"rel": "self", "href": "https://example.org/gone/one.json"}]}
    root = write_catalog(tmp_path, [published])
    (found,) = open_catalog(str(root)).items(COLLECTION)
    own = [k["href"] for k in found["links"] if k["rel"] == "self"]
    assert own == [(tmp_path / COLLECTION / "one.json").as_posix()]


def test_a_saved_search_is_a_catalogue(tmp_path):
    saved = tmp_path / "found.json"
    saved.write_text(json.dumps({"type": "FeatureCollection", "features": [make_item("one", ALPS)]}))
    assert ids(open_catalog(str(saved)), None, ALPS) == ["one"]


def test_links_in_a_circle_are_followed_once(tmp_path):
    root = write_catalog(tmp_path, [make_item("one", ALPS)])
    collection = tmp_path / COLLECTION / "collection.json"
    document = json.loads(collection.read_text())
    document["links"].append({"rel": "child", "href": "../catalog.json"})
    collection.write_text(json.dumps(document))
    assert ids(open_catalog(str(root)), COLLECTION) == ["one"]


@pytest.mark.parametrize(("damage", "message"), [("{", "no JSON"), ("[]", "no STAC"), (None, "nothing, though")])
def test_a_broken_file_of_a_catalogue_is_named(tmp_path, damage, message):
    root = write_catalog(tmp_path, [make_item("one", ALPS)])
    file = tmp_path / COLLECTION / "one.json"
    file.unlink() if damage is None else file.write_text(damage)
    with pytest.raises(PoisonError, match=f"one.json.*{message}"):
        open_catalog(str(root))


def test_an_unknown_collection_of_a_static_catalogue_names_the_nearest(tmp_path):
    root = write_catalog(tmp_path, [make_item("one", ALPS)])
    with pytest.raises(ConfigError, match="did you mean 'sentinel-2-l2a'"):
        ids(open_catalog(str(root)), "sentinel-2-12a")


def test_nothing_there_says_what_is_looked_for(tmp_path):
    with pytest.raises(ConfigError, match=r"catalog\.json"):
        open_catalog(str(tmp_path))


def test_items_across_the_antimeridian_are_found_from_both_sides(tmp_path):
    crossing = {**make_item("cross", (179.0, 66.0, 180.0, 67.0)), "bbox": [179.0, 66.0, -179.0, 67.0]}
    catalog = open_catalog(str(write_catalog(tmp_path, [crossing])))
    assert ids(catalog, None, (179.5, 66.2, 179.6, 66.3)) == ["cross"]
    assert ids(catalog, None, (-179.6, 66.2, -179.5, 66.3)) == ["cross"]
    assert ids(catalog, None, (0.0, 66.2, 1.0, 66.3)) == []


degrees = st.integers(-170, 160)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    corners=st.lists(st.tuples(degrees, st.integers(-80, 70), st.integers(1, 28)), max_size=12),
    asked=st.tuples(degrees, st.integers(-80, 70), st.integers(1, 40)),
    days=st.tuples(st.integers(1, 28), st.integers(0, 20)),
)
def test_a_static_catalogue_answers_as_an_api_does(stac: StacServer, tmp_path_factory, corners, asked, days):
    items = [
        make_item(f"i{k}", (w, s, w + 5.0, s + 5.0), f"2020-08-{day:02d}T12:00:00Z")
        for k, (w, s, day) in enumerate(corners)
    ]
    random.Random(len(items)).shuffle(items)
    stac.items, stac.limit = {COLLECTION: items}, 3
    catalog = open_catalog(str(write_catalog(tmp_path_factory.mktemp("c"), items)))
    box = (asked[0], asked[1], asked[0] + asked[2] * 0.5, asked[1] + 5.0)
    start = dt.date(2020, 8, days[0])
    question = (COLLECTION if items else None, box, start, start + dt.timedelta(days=days[1]))
    assert sorted(ids(catalog, *question)) == sorted(ids(open_catalog(stac.url), COLLECTION, *question[1:]))
