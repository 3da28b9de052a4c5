"""Layout: the owner of every object key of a run, a tile store and a release.

Nothing else joins path strings. Keys are relative to the URL of the run, the tile store or the release.
"""

from __future__ import annotations

from core.grid import Block, Zone


class RunLayout:
    """`OUTPUT/<run_id>/…`"""

    RUN = "run.json"
    COMMITS = "commits"
    QUARANTINE = "quarantine"
    PARTIALS = "partials"
    EVENTS = "events"
    INVENTORY = "plan/inventory.parquet"
    INVENTORY_REPORT = "plan/inventory_report.json"
    BLOCKS = "plan/blocks.parquet"
    GROUPS = "plan/groups.parquet"
    PLAN_GEOJSON = "plan/plan.geojson"
    SEARCHED = "plan/scenes/searched.json"
    PROBABILITY = "probability"

    @staticmethod
    def outlines(zone: Zone) -> str:
        """Projected outlines of one zone, foreign neighbours included."""
        return f"plan/outlines/{zone.name}.parquet"

    @staticmethod
    def scenes(sensor: str, zone: Zone) -> str:
        """What the search found for the blocks of one zone."""
        return f"plan/scenes/{sensor}/{zone.name}.parquet"

    @staticmethod
    def probability(zone: Zone) -> str:
        """Zarr group of the mosaic of one zone."""
        return f"probability/{zone.name}"

    @staticmethod
    def commit(stage: str, unit: str) -> str:
        return f"commits/{stage}/{unit}.json"

    @staticmethod
    def quarantine(stage: str, unit: str) -> str:
        return f"quarantine/{stage}/{unit}.json"

    @staticmethod
    def unit_of(key: str) -> tuple[str, str]:
        """(stage, unit) of a commit or quarantine key."""
        stage, name = key.split("/")[-2:]
        return stage, name.removesuffix(".json")

    @staticmethod
    def partial(unit: str, table: str) -> str:
        """One table (of `core.release.schema.REGION_TABLES`) of one glacier group."""
        return f"partials/{table}/{unit}.parquet"

    @staticmethod
    def events(session: str, part: int) -> str:
        """One part of the history of one session; parts sort as they were written."""
        return f"events/{session}/{part:05d}.jsonl"


class TileLayout:
    """`TILES/<epoch>/<zone>/<sensor>`, with markers beside them."""

    @staticmethod
    def zone(epoch: str, zone: Zone) -> str:
        return f"{epoch}/{zone.name}"

    @staticmethod
    def sensor(epoch: str, zone: Zone, sensor: str) -> str:
        """Zarr group of one sensor."""
        return f"{epoch}/{zone.name}/{sensor}"

    @staticmethod
    def recipe(epoch: str, sensor: str) -> str:
        """What the tiles of this sensor were made from."""
        return f"recipes/{epoch}/{sensor}.json"

    @staticmethod
    def commits(epoch: str, sensor: str) -> str:
        return f"commits/{epoch}/{sensor}"

    @staticmethod
    def commit(epoch: str, sensor: str, block: Block) -> str:
        return f"commits/{epoch}/{sensor}/{block.name}.json"


class ReleaseLayout:
    """`RELEASE/year=YYYY/…`

    Regions are folders `region_NN`, not `o1region=NN`: with a hive name, pyarrow (so GeoPandas and dask-geopandas)
    reads the region back as the integer 6 and refuses files that also hold the column o1region = "06".
    """

    def __init__(self, year: int) -> None:
        self.root = f"year={year}"

    @property
    def manifest(self) -> str:
        return f"{self.root}/manifest.json"

    @property
    def region_area(self) -> str:
        return f"{self.root}/region_area.parquet"

    @property
    def collection(self) -> str:
        return f"{self.root}/collection.json"

    def item(self, region: str) -> str:
        return f"{self.root}/items/region_{region}.json"

    def part(self, table: str, region: str, part: int = 0) -> str:
        """One file of a table of a region (`core.release.schema.REGION_TABLES`)."""
        return f"{self.root}/{table}/region_{region}/part-{part:05d}.parquet"

    def table(self, table: str) -> str:
        return f"{self.root}/{table}"
