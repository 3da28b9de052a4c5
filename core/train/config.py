"""The configuration of a training: one YAML file, checked completely before anything starts.

Read like that of a run (`core.config`): unknown keys are refused with the nearest known one, `${VARIABLE}` is filled
in, relative paths are taken from the folder of the file, `--set key.path=value` overrides.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from core.errors import ConfigError
from core.settings import Strict, explain, read_mapping
from core.train.augment import Augmentation
from core.train.classes import SCHEMES
from core.urls import normalise_url

Side = Literal["train", "validation"]


class SourceOptions(Strict):
    """One source of chips, of one of four kinds."""

    kind: Literal["simulated", "chips", "tiles"]
    name: str | None = Field(None, description="of the site in scores; none: the kind")
    share: float = Field(1.0, gt=0, description="how often it is drawn from, beside the others")
    path: str | None = Field(
        None, description="chips: folder of chip files; tiles: configuration of the run that filled the store"
    )
    first_seed: int = Field(0, ge=0, description="simulated: first of the seeds, each a world of its own")
    seeds: int = Field(1000, ge=1, description="simulated: how many seeds")
    stride: int = Field(1, ge=1, description="simulated: between seeds; those that follow each other share a world")
    site: str | None = Field(None, description="simulated: the simulator's site, none for any")
    samples: str | None = Field(None, description="simulated: folder of sample data, for real relief; none: fractal")
    size_px: int | None = Field(
        None, ge=16, description="side of the chips that windows are cut from; none: a quarter more"
    )
    regions: list[str] = Field(default_factory=list, description="only these RGI regions")
    exclude: list[tuple[float, float, float, float]] = Field(
        default_factory=list, description="tiles: west, south, east, north of ground kept for tests"
    )
    sensors: list[str] = Field(default_factory=list, description="tiles: only these; none: all that the groups use")
    area_power: float = Field(0.5, ge=0, le=2, description="tiles: 0 draws glaciers alike, 1 km² alike")
    beside: float = Field(0.15, ge=0, le=1, description="tiles: share of the windows beside glaciers")
    ring_m: float = Field(0.0, ge=0, description="tiles: unlabelled on both sides of outlines, metres")
    weak_classes: bool = Field(False, description="tiles: surface classes by rules")
    infrared: str | None = Field(
        None, description="tiles: folder `usgs_points`, from which short-wave bands that the image lacks are imputed"
    )
    sun: tuple[float, float] | None = Field(
        None, description="tiles: azimuth and elevation of the sun, degrees, for the shade in those rules"
    )

    @model_validator(mode="after")
    def _has_a_place(self) -> SourceOptions:
        if self.kind != "simulated" and not self.path:
            raise ValueError(f"`path`, for kind {self.kind}")
        return self


class NetOptions(Strict):
    """Which net (`core.models.nets`), and its parameters."""

    name: str = "unet"
    parameters: dict[str, Any] = Field(default_factory=dict)


class LossOptions(Strict):
    """Weights of the losses and their constants (`core.train.losses`)."""

    focal: float = Field(1.0, ge=0)
    dice: float = Field(0.5, ge=0)
    tversky: float = Field(0.0, ge=0)
    boundary: float = Field(0.0, ge=0)
    aux: float = Field(0.5, ge=0)
    gamma: float = Field(2.0, ge=0)
    alpha: float = Field(0.3, ge=0)
    beta: float = Field(0.7, ge=0)
    smoothing: float = Field(0.1, ge=0, lt=1)


class FoldOptions(Strict):
    """Geographic cross-validation: longitudes from west to east are kept for validation."""

    west: float = Field(description="degrees")
    east: float = Field(description="degrees, eastwards of `west`")
    buffer_km: float = Field(10.0, ge=0, description="between training and validation")


class TrainExecution(Strict):
    """Where training runs."""

    executor: Literal["local", "ray"] = "local"
    workers: int = Field(1, ge=1, description="Ray workers, each with a part of every batch")
    gpus: float = Field(0.0, ge=0, description="of each Ray worker")
    cpus: float = Field(1.0, gt=0, description="of each Ray worker")
    ray_address: str | None = Field(None, description="a running cluster; none: $RAY_ADDRESS, else a local one")


class TrainConfig(Strict):
    """One training."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_\-]*$")]
    output: str = Field("models", description="the training lies in OUTPUT/NAME")
    scheme: Literal["binary", "ice_debris_lake", "seven", "calving", "rock_glacier"] = "binary"
    groups: dict[str, list[str]] = Field(
        default_factory=lambda: {"optical": ["optical"], "dem": ["dem"]},
        min_length=1,
        description="group of the net → sensors, or sensor.band",
    )
    anchors: list[str] = Field(["optical"], min_length=1, description="sensors of which one must have seen a pixel")
    net: NetOptions = NetOptions()
    init: str | None = Field(None, description="checkpoint to start from (fine-tuning)")
    regions: list[str] = Field(default_factory=list, description="region codes of a region encoding, in order")
    window_px: int = Field(256, ge=16)
    stride_px: int | None = Field(None, ge=1, description="of mapping; none: half a window")
    res_m: int = Field(30, ge=1, description="pixel of the windows, metres")
    train: list[SourceOptions] = Field(min_length=1)
    validation: list[SourceOptions] = Field(min_length=1)
    validation_chips: int = Field(32, ge=1, description="of each validation source")
    fold: FoldOptions | None = None
    batch: int = Field(8, ge=1)
    epochs: int = Field(10, ge=1)
    steps_per_epoch: int = Field(100, ge=1)
    lr: float = Field(5e-4, gt=0)
    optimiser: Literal["adamw", "adam"] = "adamw"
    weight_decay: float = Field(1e-4, ge=0)
    restarts: list[int] = Field([10, 30, 70, 150], min_length=1, description="epochs at which a cosine ends")
    warmup: int = Field(50, ge=0, description="steps")
    ema: float = Field(0.999, ge=0, lt=1)
    clip: float = Field(1.0, ge=0)
    patience: int = Field(0, ge=0, description="epochs without a better validation before the end; 0: never")
    amp: Literal["auto", "off", "bf16"] = "auto"
    compile: bool = False
    device: str = "auto"
    threads: int = Field(0, ge=0, description="of torch; 0: its own choice")
    simulators: int = Field(1, ge=1, description="processes that simulate chips before training")
    chips: str = Field("chips", description="simulated chips are kept in OUTPUT/CHIPS")
    loaders: int = Field(0, ge=0, description="processes that prepare batches; 0: this one")
    seed: int = 0
    loss: LossOptions = LossOptions()
    augment: dict[str, float | bool] | None = Field(
        default_factory=dict, description="changes to core.train.augment; null for none at all"
    )
    focus: dict[str, float] = Field(default_factory=dict, description="surface → share of windows cut around it")
    borrow: dict[str, float] = Field(
        default_factory=dict, description="sensor → share of windows that show it as of another place"
    )
    execution: TrainExecution = TrainExecution()
    simulated: bool = Field(
        False, description="says in the card that simulated data was used; set by simulated sources"
    )
    licence: str = "Apache-2.0"

    @field_validator("scheme")
    @classmethod
    def _scheme_exists(cls, name: str) -> str:
        assert name in SCHEMES
        return name

    @field_validator("augment")
    @classmethod
    def _augmentation_exists(cls, steps: dict[str, float | bool] | None) -> dict[str, float | bool] | None:
        unknown = set(steps or {}) - set(Augmentation.__dataclass_fields__)
        if unknown:
            raise ValueError(f"{sorted(unknown)[0]!r} is none of {', '.join(Augmentation.__dataclass_fields__)}")
        return steps

    @property
    def uses_simulation(self) -> bool:
        return self.simulated or any(source.kind == "simulated" for source in (*self.train, *self.validation))


def load_train_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read, fill in, override and check. Raises ConfigError naming the file, the key and the nearest known key."""
    data = read_mapping(path, overrides)
    try:
        config = TrainConfig.model_validate(data)
    except ValidationError as error:
        raise explain(error, str(path), TrainConfig) from error
    except ConfigError as error:
        raise ConfigError(str(path), found=str(error)) from error
    base = Path(path).resolve().parent

    def placed(sources: list[SourceOptions]) -> list[SourceOptions]:
        def at(path: str | None) -> str | None:
            return path and str((base / path).resolve())

        return [
            s.model_copy(update={"path": at(s.path), "samples": at(s.samples), "infrared": at(s.infrared)})
            for s in sources
        ]

    init = config.init and (normalise_url(config.init, base) if "/" in config.init else config.init)
    return config.model_copy(
        update={
            "output": normalise_url(config.output, base),
            "train": placed(config.train),
            "validation": placed(config.validation),
            "init": init,
        }
    )
