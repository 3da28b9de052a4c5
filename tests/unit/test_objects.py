"""Objects: the same promises in a folder, in memory and in a bucket, and no error that passes for an empty answer."""

from __future__ import annotations

import itertools
import multiprocessing as mp
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.errors import ConfigError, SystemicError
from core.objects import Objects, s3_endpoint, s3fs_options, zarr_location
from core.urls import join_url, local_path, normalise_url
from tests.tiny_world import refusing_s3

_names = itertools.count()


@pytest.fixture(params=["file", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place on each backend, with a name that needs escaping."""
    name = f"place {next(_names)} 100%25 é"
    if request.param == "file":
        return str(tmp_path / name)
    if request.param == "memory":
        return f"memory://{tmp_path.name}/{name}"
    return f"{request.getfixturevalue('s3_url')}/{name}"


@pytest.fixture
def objects(url: str) -> Objects:
    return Objects(url)


# ------------------------------------------------------------------ what every backend promises


def test_what_was_put_comes_back_and_a_second_put_replaces_it(objects):
    objects.put("a/b.json", b"1")
    objects.put("a/b.json", b"22")
    assert objects.get("a/b.json") == b"22" and objects.list() == [("a/b.json", 2)]


def test_create_writes_once_and_never_again(objects):
    assert objects.create("k", b"first") is True
    assert objects.create("k", b"second") is False
    assert objects.get("k") == b"first"


def test_of_eight_creators_at_once_exactly_one_wins_and_its_bytes_stand(objects):
    for round_ in range(5):
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda k, key=f"k{round_}": objects.create(key, b"%d" % k), range(8)))
        assert won.count(True) == 1
        assert objects.get(f"k{round_}") == b"%d" % won.index(True)


def test_an_absent_object_is_file_not_found_with_its_url(objects):
    with pytest.raises(FileNotFoundError, match="some/absent"):
        objects.get("some/absent")
    assert objects.get_or_none("some/absent") is None
    objects.delete("some/absent")


def test_a_deleted_object_is_gone_and_its_key_can_be_created_again(objects):
    objects.put("k", b"1")
    objects.delete("k")
    assert objects.list() == [] and objects.create("k", b"2")


def test_a_listing_is_of_a_folder_sorted_and_without_the_neighbour_of_the_same_beginning(objects):
    for key in ("b/2", "b/1", "b/sub/3", "bc/4", "a"):
        objects.put(key, b"x")
    assert [k for k, _ in objects.list("b")] == ["b/1", "b/2", "b/sub/3"]
    assert [k for k, _ in objects.list()] == ["a", "b/1", "b/2", "b/sub/3", "bc/4"]
    assert objects.list("nothing") == []
    assert [k for k, _, _ in objects.list_times("b")] == ["b/1", "b/2", "b/sub/3"]


def test_a_listing_of_more_than_a_page_is_complete(objects):
    keys = [f"many/{k:05d}" for k in range(1203)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda k: objects.put(k, b"x"), keys))
    assert [k for k, _ in objects.list("many")] == keys


@pytest.mark.parametrize("key", ["with space/a b", "per%20cent/100%", "hash#and?question", "é/ü.json", "a+b=c&d"])
def test_a_key_with_marks_of_urls_is_taken_literally(objects, key):
    objects.put(key, b"1")
    assert objects.get(key) == b"1" and objects.list() == [(key, 1)]


def test_two_places_do_not_see_each_other(objects, url):
    other = Objects(url + "x")
    objects.put("k", b"1")
    assert other.list() == [] and other.get_or_none("k") is None


def test_objects_pickle_as_their_url(objects):
    objects.put("k", b"1")
    again = pickle.loads(pickle.dumps(objects))
    assert again.url == objects.url and again.get("k") == b"1"


def read_key(objects: Objects) -> bytes:
    return objects.get("k")


def test_objects_work_in_another_process(tmp_path):
    objects = Objects(str(tmp_path))
    objects.put("k", b"1")
    with mp.get_context("spawn").Pool(1) as pool:
        assert pool.apply(read_key, (objects,)) == b"1"


# ------------------------------------------------------------------ folders


def test_looking_into_a_folder_that_does_not_exist_does_not_make_it(tmp_path):
    objects = Objects(str(tmp_path / "no" / "such"))
    assert objects.list() == [] and objects.get_or_none("k") is None
    objects.delete("k")
    assert not (tmp_path / "no").exists()
    assert objects.create("a/k", b"1") and (tmp_path / "no" / "such" / "a" / "k").read_bytes() == b"1"


def test_a_folder_that_cannot_be_made_is_systemic_and_named(tmp_path):
    (tmp_path / "file").write_text("x")
    for url in (f"{tmp_path}/file/below", "/proc/nope"):
        with pytest.raises(SystemicError, match=f"{url}: found .* expected a folder that can be made and written; "):
            Objects(url).put("k", b"")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_systemic_and_speaks_of_permissions(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(SystemicError, match="access refused; check the permissions of the folder"):
        Objects(str(tmp_path)).put("k", b"")


def test_a_disk_that_refuses_is_systemic_because_waiting_does_not_mend_it(tmp_path):
    objects = Objects(str(tmp_path))
    objects.put("a", b"1")
    with pytest.raises(SystemicError, match="check the disk"):
        objects.put("a/below-a-file", b"2")
    with pytest.raises(SystemicError, match="check the disk"):
        objects.put("x" * 300, b"name too long")


# ------------------------------------------------------------------ buckets


@pytest.mark.parametrize("action", ["get", "get_or_none", "delete", "list", "put", "create"])
def test_a_bucket_that_does_not_exist_is_systemic_and_never_an_empty_answer(s3_url, action):
    arguments = ("k", b"x") if action in ("put", "create") else ("k",)
    with pytest.raises(SystemicError, match=r"s3://no-such-bucket-here/p/k: found no such bucket; create the bucket"):
        getattr(Objects("s3://no-such-bucket-here/p"), action)(*arguments)


@pytest.mark.parametrize("action", ["get", "get_or_none", "delete", "list", "put", "create"])
def test_refused_credentials_are_systemic_and_the_message_names_the_variables(monkeypatch, action):
    with refusing_s3() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        arguments = ("k", b"x") if action in ("put", "create") else ("k",)
        with pytest.raises(SystemicError, match=r"s3://b/p/k: found access refused; check AWS_ACCESS_KEY_ID"):
            getattr(Objects("s3://b/p"), action)(*arguments)


def test_credentials_that_change_within_a_process_are_noticed(s3_url, monkeypatch):
    objects = Objects(f"{s3_url}/changing")
    objects.put("k", b"1")
    with refusing_s3() as variables, monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        with pytest.raises(SystemicError):
            Objects(f"{s3_url}/changing").get("k")
    assert Objects(f"{s3_url}/changing").get("k") == b"1"


# ------------------------------------------------------------------ URLs


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("s3://b/k/", "s3://b/k"),
        ("memory://m", "memory://m"),
        ("file:///a/b/", "file:///a/b"),
        ("/a b/100%", "file:///a%20b/100%25"),
        ("rel/x", "file:///base/rel/x"),
        ("../x", "file:///x"),
    ],
)
def test_a_path_or_url_has_one_normal_form_which_is_its_own(url, normal):
    assert normalise_url(url, Path("/base")) == normal
    assert normalise_url(normal) == normal


def test_a_path_below_home_may_start_with_a_tilde(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert normalise_url("~/x") == "file:///home/someone/x"


@pytest.mark.parametrize(
    "url", ["gs://b/k", "https://h/k", "s3:///k", "s3://", "memory://", "file://runs/x", "file://"]
)
def test_a_url_that_means_no_place_is_refused_and_shown(url):
    with pytest.raises(ConfigError, match="expected") as caught:
        normalise_url(url)
    assert caught.value.where == url


def test_local_path_undoes_normalise_url(tmp_path):
    folder = tmp_path / "a b" / "100% #1"
    assert local_path(normalise_url(str(folder))) == folder
    assert local_path("s3://b/k") is None


def test_join_url_never_doubles_a_slash():
    assert join_url("s3://b/k/", "a/b") == "s3://b/k/a/b"
    assert join_url("s3://b/k", "") == "s3://b/k"


def test_an_unknown_backend_of_arrays_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"storage\.backend: found 'gcsfs'; expected obstore or fsspec"):
        zarr_location("memory://m", "", "gcsfs")


# ------------------------------------------------------------------- which service


@pytest.mark.parametrize(
    ("archives", "own", "public"),
    [
        (None, "http://mine:9000", "http://mine:9000"),
        ("aws", "http://mine:9000", None),
        ("http://m", "http://mine:9000", "http://m"),
    ],
    ids=["one for all", "archives at Amazon", "archives in a mirror"],
)
def test_public_archives_may_lie_with_another_service_than_the_own_buckets(archives, own, public, monkeypatch):
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_NO_SIGN_REQUEST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://mine:9000")
    monkeypatch.delenv("ICEFLEET_ARCHIVE_ENDPOINT_URL", raising=False)
    if archives:
        monkeypatch.setenv("ICEFLEET_ARCHIVE_ENDPOINT_URL", archives)
    assert (s3_endpoint("my-bucket"), s3_endpoint("copernicus-dem-30m")) == (own, public)
    assert (
        s3fs_options("copernicus-dem-30m")["anon"] and s3fs_options("copernicus-dem-30m").get("endpoint_url") == public
    )
    assert not s3fs_options("my-bucket")["anon"] and s3fs_options("my-bucket")["endpoint_url"] == own
