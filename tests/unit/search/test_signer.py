"""Signed addresses: a token is asked for once, renewed before it ends, and never sent to another host."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from core.errors import ConfigError, RefusedError, SystemicError, TransientError
from core.search import signer
from core.search.signer import signed

BLOB = "https://landsateuwest.blob.core.windows.net/landsat-c2/level-2/B4.TIF"
PC = "planetary_computer"


@pytest.fixture(autouse=True)
def service(stac, monkeypatch):
    monkeypatch.setenv(signer.ENDPOINT, f"{stac.url}/sas")
    return stac


def test_a_token_is_appended_and_kept_for_its_container(service):
    first = signed(BLOB, PC)
    assert first.startswith(f"{BLOB}?se=") and first.endswith("&sig=1")
    assert signed(BLOB.replace("B4", "B5"), PC).endswith("&sig=1")
    assert signed(BLOB.replace("landsat-c2", "modis"), PC).endswith("&sig=2")
    assert [p for _, p in service.asked] == ["/sas/landsateuwest/landsat-c2", "/sas/landsateuwest/modis"]


def test_a_token_about_to_end_is_renewed(service):
    service.token_s = 60.0
    assert [signed(BLOB, PC)[-1], signed(BLOB, PC)[-1]] == ["1", "2"]


def test_many_threads_ask_for_a_token_once(service):
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda _: signed(BLOB, PC), range(64)))) == 1
    assert service.count("/sas/") == 1


def test_a_query_of_the_address_is_kept(service):
    assert signed(f"{BLOB}?v=1", PC).startswith(f"{BLOB}?v=1&se=")


@pytest.mark.parametrize(
    ("href", "name"),
    [
        (BLOB, ""),
        (BLOB, "earthdata"),
        (f"{BLOB}?se=2030&sig=abc", PC),
        ("s3://usgs-landsat/B4.TIF", PC),
        ("/data/B4.TIF", PC),
        ("https://blob.core.windows.net.example.org/c/B4.TIF", PC),
    ],
)
def test_what_needs_no_token_is_left_as_it_is(service, href, name):
    assert signed(href, name) == href
    assert service.asked == []


def test_an_unknown_signer_names_the_nearest():
    with pytest.raises(ConfigError, match="planetary_computer"):
        signed(BLOB, "planetary")


@pytest.mark.parametrize(("status", "kind"), [(403, RefusedError), (404, SystemicError), (500, TransientError)])
def test_a_service_that_gives_no_token_is_an_error(service, status, kind):
    service.fail(path="/sas/", status=status)
    with pytest.raises(kind, match="/sas/landsateuwest/landsat-c2"):
        signed(BLOB, PC)
