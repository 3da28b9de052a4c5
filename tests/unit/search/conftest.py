"""What the tests of the search share: a server, short pauses, and items made like those of real archives."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import shapely

from core.config import Config
from core.search import web
from tests.stac_server import StacServer, stac_server

BANDS = ("blue", "green", "red", "nir", "swir16", "swir22", "scl")
COLLECTION = "sentinel-2-l2a"


@pytest.fixture
def stac(monkeypatch: pytest.MonkeyPatch) -> Iterator[StacServer]:
    """A server, towards which nobody waits long."""
    monkeypatch.setattr(web, "BACKOFF_S", 0.01)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with stac_server() as server:
        yield server


def make_item(
    name: str,
    box: tuple[float, float, float, float] | Mapping[str, Any],
    time: str = "2020-08-15T10:20:30Z",
    cloud: float | None = 10.0,
    collection: str = COLLECTION,
    missing: Sequence[str] = (),
    **properties: Any,
) -> dict[str, Any]:
    """An item of Sentinel-2 Level 2A. box: (w, s, e, n), or a GeoJSON geometry. missing: names of absent assets."""
    geometry = dict(box) if isinstance(box, Mapping) else json.loads(shapely.to_geojson(shapely.box(*box)))
    bounds = shapely.from_geojson(json.dumps(geometry)).bounds
    said = {"datetime": time, "platform": "sentinel-2a", "grid:code": f"MGRS-{name[:5]}", "proj:epsg": 32632}
    if cloud is not None:
        said["eo:cloud_cover"] = cloud
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": collection,
        "geometry": geometry,
        "bbox": list(bounds),
        "properties": {**said, **properties},
        "links": [],
        "assets": {b: {"href": f"./{name}/{b}.tif"} for b in BANDS if b not in missing},
    }


def write_catalog(folder: Path, items: Sequence[Mapping[str, Any]], *, root: str = "catalog.json") -> Path:
    """A static catalogue: root → collections → items, with relative links. Returns the path of the root."""
    by_collection: dict[str, list[Mapping[str, Any]]] = {}
    for item in items:
        by_collection.setdefault(str(item["collection"]), []).append(item)
    folder.mkdir(parents=True, exist_ok=True)
    children = []
    for name, own in by_collection.items():
        (folder / name).mkdir(exist_ok=True)
        links = [{"rel": "root", "href": f"../{root}"}, {"rel": "parent", "href": f"../{root}"}]
        for item in own:
            path = folder / name / f"{item['id']}.json"
            path.write_text(json.dumps(item))
            links.append({"rel": "item", "href": f"./{path.name}"})
        collection = {**StacServer().collection(name), "links": links}
        (folder / name / "collection.json").write_text(json.dumps(collection))
        children.append({"rel": "child", "href": f"./{name}/collection.json"})
    catalog = {"type": "Catalog", "stac_version": "1.0.0", "id": "made", "description": "made", "links": children}
    (folder / root).write_text(json.dumps(catalog))
    return folder / root


def make_config(*sources: Mapping[str, Any], year: int = 2020) -> Config:
    return Config.model_validate({"name": "made", "year": year, "inventory": "none.gpkg", "sources": list(sources)})


def source(catalog: str, **settings: Any) -> dict[str, Any]:
    return {"product": "sentinel2_l2a", "catalog": catalog, **settings}
