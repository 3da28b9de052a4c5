"""The configuration of a run: one YAML file, checked completely before anything starts.

Read as `core.settings` reads; relative paths are taken from the folder of the file. Everything raises `ConfigError`;
nothing here reads data.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from core.errors import ConfigError
from core.measure.objects import rule_set
from core.measure.rules import MeasureRules
from core.sensors import sensor as registered
from core.settings import Strict, explain, read_mapping
from core.urls import normalise_url, obstore_path

REGIONS = tuple(f"{i:02d}" for i in range(1, 21))
STATIC = "static"  # epoch of what does not change from year to year
_RULES = MeasureRules()


class GridConfig(Strict):
    """The mapping lattice."""

    res_m: Literal[10, 20, 30, 60, 120] = Field(30, description="pixel of the probability mosaic, metres")
    buffer_m: float = Field(300.0, ge=0, le=5000, description="how far beyond the outlines is mapped, metres")


class ModelConfig(Strict):
    """Which model maps, and its parameters (see `core/models`)."""

    name: str = "band_ratio"
    parameters: dict[str, float | int | str | bool] = Field(default_factory=dict)
    batch: int = Field(16, ge=1, description="windows per forward pass")


class FileConfig(Strict):
    """One raster file of a scene and what its bands are."""

    path: str
    bands: dict[str, int] = Field(description="band name of the sensor → 1-based band of the file")
    scale: float = Field(1.0, description="physical value = scale · stored + offset")
    offset: float = 0.0
    nodata: float | None = Field(None, allow_inf_nan=True, description="overrides the nodata value of the file")
    crs: str | None = Field(None, description="for files that carry none; of one that does, it must be that")
    linear_power: bool = Field(False, description="values are linear power where the sensor holds decibels")
    variable: str | None = Field(None, description="array of a NetCDF, HDF5, Zarr or kerchunk file")

    @field_validator("scale")
    @classmethod
    def _scale_keeps_values(cls, scale: float) -> float:
        if scale == 0:
            raise ValueError("another number than 0, which would make every pixel the same")
        return scale

    @field_validator("bands")
    @classmethod
    def _bands_start_at_one(cls, bands: dict[str, int]) -> dict[str, int]:
        if not bands or any(i < 1 for i in bands.values()):
            raise ValueError("needs at least one band; band numbers count from 1")
        return bands


class MaskConfig(Strict):
    """A raster of classes or of bits in which some mean cloud, shadow or fill: those pixels are not observed."""

    path: str
    band: int = Field(1, ge=1)
    invalid: list[int] = Field(default_factory=list, description="classes that are not observed")
    bits: list[int] = Field(default_factory=list, description="bits (0 = lowest) of which each means not observed")
    variable: str | None = Field(None, description="array of a NetCDF, HDF5, Zarr or kerchunk file")

    @model_validator(mode="after")
    def _masks_something(self) -> MaskConfig:
        if not self.invalid and not self.bits:
            raise ValueError("`invalid` classes or `bits`, else it masks nothing")
        if any(not 0 <= bit < 32 for bit in self.bits):
            raise ValueError("bits between 0 and 31")
        return self


class SceneConfig(Strict):
    """One acquisition of one sensor; scenes are preferred in the order of the list."""

    id: str = Field(pattern=r"^[^;]+$", description="names the source of every pixel; no semicolon, which joins ids")
    sensor: str
    date: dt.date
    files: list[FileConfig] = Field(min_length=1)
    mask: MaskConfig | None = None
    product: str | None = Field(None, description="of core.sensors.products: its traps are then looked out for")
    dn_offset: int = Field(0, description="counts that the files' offsets take away because the metadata say so")
    cloud_percent: float | None = Field(None, ge=0, le=100, description="cloud of the whole scene, as its metadata say")


class SourceConfig(Strict):
    """Scenes that a catalogue is asked for, for every block and season."""

    product: str = Field(description="of `icefleet ingest --products`")
    catalog: str | None = Field(
        None, description="STAC API, static catalogue, folder or file of tiles; none: the product's"
    )
    collection: str | None = Field(None, description="none: the product's in that catalogue")
    season: str | None = Field(
        None, pattern=r"^\d\d-\d\d/\d\d-\d\d$", description="MM-DD/MM-DD; none: of the region's table"
    )
    years: list[int] | None = Field(None, description="none: the year of the run")
    max_cloud_percent: float = Field(80.0, ge=0, le=100, description="of the whole scene, as its metadata say")
    max_scenes: int = Field(
        24, ge=1, le=254, description="of one block: the least cloudy by their metadata that together cover it"
    )
    harmonise: Literal["oli", "none"] = Field(
        "oli", description="bring reflectance to the bands of Landsat 8 OLI where coefficients are published"
    )


class SensorConfig(Strict):
    """How one sensor is stored and composited."""

    res_m: Literal[10, 20, 30, 60, 120] | None = Field(
        None, description="pixel of its tiles, metres; none: the sensor's own"
    )
    composite: Literal["first", "best_scene", "least_snow", "median", "mosaic"] | None = Field(
        None, description="which scene gives a pixel (core.ingest.composite); none: mosaic if static, else first"
    )
    virtual: bool = Field(False, description="read the scenes when they are mapped, and store no tiles")
    epoch: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_\-]+$", description="none: `static` for what does not change, else the run's"
    )


class MeasureConfig(Strict):
    """Rules of measurement (`core.measure.rules`)."""

    threshold: float = Field(_RULES.threshold, gt=0, lt=1, description="glacier where the probability reaches this")
    advance_m: float | None = Field(
        None,
        ge=0,
        le=2000,
        description="ice this far outside the old outline is still seen; none: 60 or the buffer",
    )
    min_observed_fraction: float = Field(
        _RULES.min_observed_fraction,
        ge=0,
        le=1,
        description="below this share of the outline a glacier is not_observed",
    )
    min_area_km2: float = Field(_RULES.min_area_km2, ge=0, description="the inventory's minimum area (RGI: 0.01)")
    boundary_px: float | None = Field(
        None, ge=0, le=10, description="uncertainty of a boundary, pixels; none: the model's own, else 0.5"
    )
    correlation_m: float | None = Field(
        None, ge=0, le=100_000, description="over which errors of a model are alike; none: the model's own, else 300"
    )
    objects: str | list[dict[str, Any]] | dict[str, Any] = Field(
        "default", description="rules on objects: a preset (none, default, …), a list of rules, or {segments, rules}"
    )
    accumulation: bool = Field(
        _RULES.accumulation, description="snow within the outline that drains into mapped ice is glacier"
    )
    terminus: bool = Field(
        _RULES.terminus, description="where votes of the model disagree at the terminus, similar pixels decide"
    )
    sea_ice: Literal["remove", "keep"] = Field(
        _RULES.sea_ice,
        description="new ice of a marine glacier where the DEM shows sea: no ice, or an advance younger than the DEM",
    )
    attributes: bool = Field(_RULES.attributes, description="elevations, slope, hypsometry …; needs `dem`")
    surfaces: bool = Field(_RULES.surfaces, description="clean ice, debris, lakes; needs `optical`")
    fronts: bool = Field(_RULES.fronts, description="calving fronts of glaciers that end in water")

    @field_validator("objects")
    @classmethod
    def _rules_can_be_read(cls, data: Any) -> Any:
        try:
            rule_set(data)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return data

    def rules(
        self, advance_m: float, boundary_px: float | None = None, correlation_m: float | None = None
    ) -> MeasureRules:
        """As rules; the last two are the model's own, for what is not set here."""
        given = self.model_dump(exclude={"objects", "advance_m", "boundary_px", "correlation_m"})
        return MeasureRules(
            **given,
            advance_m=advance_m,
            boundary_px=_first(self.boundary_px, boundary_px, _RULES.boundary_px),
            correlation_m=_first(self.correlation_m, correlation_m, _RULES.correlation_m),
            objects=rule_set(self.objects),
        )


def _first(*values: float | None) -> float:
    return next(v for v in values if v is not None)


class PlanConfig(Strict):
    """Size of work units, and the rates that the dry run multiplies."""

    group_glaciers: int = Field(256, ge=1, description="at most this many glaciers in one measuring unit")
    group_mpx: float = Field(48.0, gt=0, description="at most this many million window pixels in one measuring unit")
    windows_per_s_gpu: float = Field(300.0, gt=0, description="assumed forward rate of one GPU, for the estimate")
    usd_per_gpu_hour: float = Field(1.2, ge=0, description="assumed price, for the estimate")


class StorageConfig(Strict):
    """How arrays are read and written."""

    backend: Literal["obstore", "fsspec"] = "obstore"


class ExecutionConfig(Strict):
    """Where the work runs. None of it changes a number in the release."""

    executor: Literal["local", "ray"] = "local"
    workers: int = Field(0, ge=0, description="local processes; 0 = one per CPU; 1 = in this process")
    mappers: int = Field(0, ge=0, description="Ray actors that map; 0 = one per GPU, or per two CPUs without GPUs")
    surveyors: int = Field(0, ge=0, description="Ray actors that measure; 0 = one per CPU left over")
    ray_address: str | None = Field(None, description="a running cluster; none: $RAY_ADDRESS, else a local one")


class Config(Strict):
    """One annual run."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_\-]*$")]
    year: int = Field(ge=1970, le=2100)
    epoch: str | None = Field(None, pattern=r"^[A-Za-z0-9_\-]+$", description="name in the tile store; none: the year")
    output: str = "runs"
    release: str | None = Field(None, description="none: the folder `release` of the run")
    tiles: str = "tiles"
    inventory: list[str] = Field(min_length=1, description="outline files")
    regions: list[str] | Literal["all"] = "all"
    simulated: bool = Field(False, description="says in every product that the data is simulated")
    grid: GridConfig = GridConfig()
    model: ModelConfig = ModelConfig()
    sensors: dict[str, SensorConfig] = Field(default_factory=dict, description="none: the native resolution")
    scenes: list[SceneConfig] = Field(default_factory=list)
    sources: list[SourceConfig] = Field(default_factory=list, description="searched besides `scenes`")
    measure: MeasureConfig = MeasureConfig()
    plan: PlanConfig = PlanConfig()
    storage: StorageConfig = StorageConfig()
    execution: ExecutionConfig = ExecutionConfig()

    @field_validator("inventory", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("regions", mode="before")
    @classmethod
    def _regions_exist(cls, value: object) -> object:
        """Sorted, each once. An unquoted 06 is a number to YAML, and no less clear for that."""
        if value == "all":
            return value
        listed = value if isinstance(value, list) else [value]
        named = [f"{r:02d}" if type(r) is int else r for r in listed]
        unknown = [r for r in named if r not in REGIONS]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no RGI region; write a list of '01' … '20', or all")
        return sorted({str(r) for r in named})

    @model_validator(mode="after")
    def _scene_ids_differ(self) -> Config:
        ids = [s.id for s in self.scenes]
        twice = sorted({i for i in ids if ids.count(i) > 1})
        if twice:
            raise ValueError(f"scene id {twice[0]!r} is used twice; ids name the source of every pixel")
        return self

    def epoch_of(self, sensor: str) -> str:
        """The epoch that the tiles of a sensor belong to."""
        own = self.sensors[sensor].epoch if sensor in self.sensors else None
        return own or (STATIC if registered(sensor).static else self.epoch or str(self.year))

    @property
    def advance_m(self) -> float:
        """How far beyond the old outline new ice is seen."""
        own = self.measure.advance_m
        return min(_RULES.advance_m, self.grid.buffer_m) if own is None else own

    def sensor_config(self, sensor: str) -> SensorConfig:
        return self.sensors.get(sensor, SensorConfig())

    @property
    def region_list(self) -> list[str] | None:
        """None for all regions."""
        return None if self.regions == "all" else list(self.regions)


def load_config(path: str | Path, overrides: Sequence[str] = (), env: Mapping[str, str] | None = None) -> Config:
    """Read, fill in, override and check a configuration.

    overrides: `key.path=value` strings, value in YAML; a list entry is addressed by its number (`scenes.0.id=x`).
    Raises ConfigError naming the file, the key, what was found and the nearest known key.
    """
    data = read_mapping(path, overrides, env)
    return check_config(data, where=str(path), base=Path(path).resolve().parent)


def check_config(data: dict[str, Any], *, where: str, base: Path) -> Config:
    """A mapping → Config, with absolute URLs. Raises ConfigError (see `load_config`)."""
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        raise explain(error, where, Config) from error
    return config.model_copy(
        update={
            "output": normalise_url(config.output, base),
            "release": normalise_url(config.release, base) if config.release else None,
            "tiles": normalise_url(config.tiles, base),
            "inventory": [_absolute(p, base) for p in config.inventory],
            "model": _absolute_model(config.model, base),
            "scenes": [_absolute_scene(s, base) for s in config.scenes],
            "sources": [_absolute_source(s, base) for s in config.sources],
        }
    )


def _absolute(path: str, base: Path) -> str:
    """GDAL and pyogrio want paths for files, URLs for the rest."""
    if path.startswith(("/vsi", "http://", "https://")):
        return path
    url = normalise_url(path, base)
    return obstore_path(url.removeprefix("file://")) if url.startswith("file://") else url


def _absolute_scene(scene: SceneConfig, base: Path) -> SceneConfig:
    files = [f.model_copy(update={"path": _absolute(f.path, base)}) for f in scene.files]
    mask = scene.mask and scene.mask.model_copy(update={"path": _absolute(scene.mask.path, base)})
    return scene.model_copy(update={"files": files, "mask": mask})


def _absolute_model(model: ModelConfig, base: Path) -> ModelConfig:
    """Checkpoints from the folder of the file too; a bare name is that of a shipped one."""
    if model.name != "checkpoint":
        return model
    places = dict(model.parameters)
    for key in ("path", "members"):
        listed = [part.strip() for part in str(places.get(key, "")).split(",") if part.strip()]
        if listed:
            places[key] = ",".join(normalise_url(p, base) if "/" in p else p for p in listed)
    return model.model_copy(update={"parameters": places})


def _absolute_source(source: SourceConfig, base: Path) -> SourceConfig:
    return source.model_copy(update={"catalog": _absolute(source.catalog, base)}) if source.catalog else source
