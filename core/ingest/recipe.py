"""What the tiles of a sensor are made from, as it is kept beside them."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from core.config import Config, SceneConfig, SourceConfig
from core.ingest.raster import public
from core.sensors import sensor as registered
from core.sensors.products import product

# Raised whenever the same scenes would give other pixels, so that old and new tiles never mix.
METHOD = 2


def native_res_m(config: Config, sensor: str) -> int:
    """The pixel of this sensor's tiles in metres: as configured, else the sensor's own."""
    return config.sensor_config(sensor).res_m or registered(sensor).res_m


def composite_of(config: Config, sensor: str) -> str:
    """The strategy of a sensor: as configured, else `mosaic` for what does not change, whose scenes are pieces."""
    chosen = config.sensor_config(sensor).composite
    return chosen or ("mosaic" if registered(sensor).static else "first")


def scenes_of(config: Config, sensor: str) -> list[SceneConfig]:
    """The scenes that the configuration lists."""
    return [scene for scene in config.scenes if scene.sensor == sensor]


def sources_of(config: Config, sensor: str) -> list[SourceConfig]:
    """The sources that are searched for a sensor."""
    return [source for source in config.sources if product(source.product).sensor == sensor]


def offered(config: Config) -> set[str]:
    """Sensors for which the configuration has scenes or sources; the oracle needs neither."""
    return {s.sensor for s in config.scenes} | {product(s.product).sensor for s in config.sources} | {"oracle"}


def scenes_recipe(config: Config, sensor: str) -> dict[str, Any]:
    """JSON of what a tile of one sensor is made from, in the order of preference.

    Of every file only its name, as in the identity of a run: moving the inputs does not make other tiles. Of a source
    what it is asked, not what it answered on a certain day: that is in the marker of every block.
    """
    scenes = [scene.model_dump(mode="json", exclude={"sensor"}) for scene in scenes_of(config, sensor)]
    for scene in scenes:
        for part in [*scene["files"], *([scene["mask"]] if scene["mask"] else [])]:
            part["path"] = PurePosixPath(public(part["path"])).name
    sources = [
        {**source.model_dump(mode="json", exclude={"catalog"}), "years": source.years or [config.year]}
        for source in sources_of(config, sensor)
    ]
    return {
        "method": METHOD,
        "composite": composite_of(config, sensor),
        "scenes": scenes,
        **({"sources": sources} if sources else {}),
    }
