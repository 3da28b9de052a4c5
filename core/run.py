"""A run: one annual production, and everything that identifies it.

The run id is a digest of the configuration (without places and machinery), the inventory, the model and the code.
The same inputs therefore find the same folder and go on where they stopped; anything else gets a folder of its own,
and two configurations can never mix. `run.json` holds all that a worker needs: workers are built from the run's URL.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from core import __version__
from core.config import Config
from core.errors import ConfigError
from core.ingest import native_res_m, offered
from core.layers import sensors_of
from core.layout import RunLayout
from core.measure import MeasureRules
from core.models import Calibrated, Model, build_model
from core.objects import Objects
from core.urls import join_url

# Where data lies and what machine works on it does not change a number, so it does not change the run.
_NOT_IDENTITY = ("output", "release", "tiles", "storage", "execution")


@dataclass(frozen=True)
class Run:
    """url: of the run's folder. Digests are hexadecimal."""

    url: str
    run_id: str
    config: Config
    model_digest: str
    inventory_digest: str
    code_digest: str

    @property
    def objects(self) -> Objects:
        return Objects(self.url)

    @property
    def release_url(self) -> str:
        return self.config.release or join_url(self.url, "release")

    @cached_property
    def rules(self) -> MeasureRules:
        """How glaciers are measured; what the configuration leaves open the model may say."""
        model = self.model()
        told = model.area_calibration if isinstance(model, Calibrated) else {}
        return self.config.measure.rules(self.config.advance_m, told.get("boundary_px"), told.get("correlation_m"))

    @cached_property
    def measured_with(self) -> list[str]:
        """Sensors that measuring looks at and the run has, of the model or not."""
        there = offered(self.config)
        return [name for name in sensors_of(self.rules.layers) if name in there]

    def model(self) -> Model:
        return build_model(self.config.model.name, self.config.model.parameters)

    @cached_property
    def ingested(self) -> list[str]:
        """Sensors that the model and then measuring read from the tile store: neither virtual nor lacking.

        Kept, because every block asks for it and a model may be a checkpoint that is read and hashed.
        """
        there = offered(self.config)
        needed = dict.fromkeys([*(need.sensor for need in self.model().spec.needs), *self.measured_with])
        return [name for name in needed if name in there and not self.config.sensor_config(name).virtual]

    @cached_property
    def stored(self) -> list[str]:
        """Every sensor that `icefleet ingest` stores: those of the model first, then the others on offer."""
        others = sorted(offered(self.config) - set(self.ingested) - {"oracle"})
        return [*self.ingested, *(name for name in others if not self.config.sensor_config(name).virtual)]

    def resolution(self, name: str) -> int:
        """Metres per pixel of a sensor's tiles: from the configuration, else native; the oracle lies on the lattice."""
        if name == "oracle" and self.config.sensor_config(name).res_m is None:
            return self.config.grid.res_m
        return native_res_m(self.config, name)


def open_run(config: Config, inventory_digest: str) -> Run:
    """The run that this configuration and inventory mean; nothing is written."""
    model_digest = build_model(config.model.name, config.model.parameters).spec.digest
    code = code_digest()
    identity = {
        "config": _identity(config),
        "inventory": inventory_digest,
        "model": model_digest,
        "code": code,
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    run_id = f"{config.name}-{config.year}-{digest[:12]}"
    return Run(join_url(config.output, run_id), run_id, config, model_digest, inventory_digest, code)


def save_run(run: Run) -> None:
    """Write `run.json`. Raises ConfigError if another run lies in this folder."""
    record = {
        "run_id": run.run_id,
        "model_digest": run.model_digest,
        "inventory_digest": run.inventory_digest,
        "code_digest": run.code_digest,
        "version": __version__,
        "config": run.config.model_dump(mode="json"),
    }
    objects = run.objects
    data = json.dumps(record, indent=1, sort_keys=True).encode()
    if objects.create(RunLayout.RUN, data):
        return
    there = _record(objects, run.url)
    if there["run_id"] != run.run_id:
        raise ConfigError(run.url, found=f"run {there['run_id']}", expected=run.run_id, fix="choose another `output`")
    # Same run, perhaps moved or with other machinery: workers read places from here.
    if there != record:
        objects.put(RunLayout.RUN, data)


def load_run(url: str) -> Run:
    """The run in a folder. Raises ConfigError if there is none, or one that this version cannot read."""
    record = _record(Objects(url), url)
    try:
        config = Config.model_validate(record["config"])
        digests = [record[name] for name in ("model_digest", "inventory_digest", "code_digest")]
    except (ValidationError, KeyError) as error:
        raise ConfigError(
            join_url(url, RunLayout.RUN),
            found=f"a run of version {record.get('version', 'unknown')}",
            expected=f"one that version {__version__} can read",
            fix="use the version that made the run",
        ) from error
    return Run(url, record["run_id"], config, *digests)


def _record(objects: Objects, url: str) -> dict[str, Any]:
    stored = objects.get_or_none(RunLayout.RUN)
    if stored is None:
        raise ConfigError(url, found="no run.json", fix="give the folder OUTPUT/<run_id> that `icefleet run` printed")
    try:
        record: dict[str, Any] = json.loads(stored)
        record["run_id"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            join_url(url, RunLayout.RUN), found="no record of a run", fix="delete it and run the same command again"
        ) from error
    return record


def _identity(config: Config) -> dict[str, Any]:
    """The configuration without places: of every input file only its name."""
    data = config.model_dump(mode="json", exclude=set(_NOT_IDENTITY))
    data["inventory"] = sorted(_name(p) for p in config.inventory)
    for scene in data["scenes"]:
        for part in [*scene["files"], *([scene["mask"]] if scene["mask"] else [])]:
            part["path"] = _name(part["path"])
    data["sources"] = sources_identity(config)
    # Batches and rates change speed and estimates, not results.
    data["model"] = described_model(config)
    for rate in ("windows_per_s_gpu", "usd_per_gpu_hour"):
        del data["plan"][rate]
    return data


def described_model(config: Config) -> dict[str, Any]:
    """Name and parameters of the model without batch and places: what a checkpoint is says its digest, not its path."""
    data = config.model.model_dump(mode="json", exclude={"batch"})
    if config.model.name == "checkpoint":
        for place in ("path", "members", "device", "compile"):
            data["parameters"].pop(place, None)
    return data


def sources_identity(config: Config) -> list[dict[str, Any]]:
    """The sources without places: a catalogue on the web is what it says, one in a folder the same wherever that is."""
    sources = [source.model_dump(mode="json") for source in config.sources]
    for source in sources:
        if source["catalog"] and not source["catalog"].startswith("http"):
            source["catalog"] = _name(source["catalog"])
    return sources


def _name(path: str) -> str:
    """Without the folder, and without the query of a URL, which may be a signature of this hour."""
    return PurePosixPath(path.split("?", 1)[0] if "://" in path else path).name


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Digest of the source of `core`: a run is never continued with code that may count otherwise."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
