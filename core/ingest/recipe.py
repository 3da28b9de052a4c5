"""What the tiles of a sensor are made from, as it is kept beside them."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from core.config import Config, SceneConfig
from core.ingest.raster import public
from core.sensors import sensor as registered

# Raised whenever the same scenes would give other pixels, so that old and new tiles never mix.
METHOD = 1


def native_res_m(config: Config, sensor: str) -> int:
    """The pixel of this sensor's tiles in metres: as configured, else the sensor's own."""
    chosen = config.sensors.get(sensor)
    return chosen.res_m if chosen else registered(sensor).res_m


def scenes_of(config: Config, sensor: str) -> list[SceneConfig]:
    return [scene for scene in config.scenes if scene.sensor == sensor]


def scenes_recipe(config: Config, sensor: str) -> dict[str, Any]:
    """JSON of the scenes of one sensor in their order of preference.

    Of every file only its name, as in the identity of a run: moving the inputs does not make other tiles.
    """
    scenes = [scene.model_dump(mode="json", exclude={"sensor"}) for scene in scenes_of(config, sensor)]
    for scene in scenes:
        for part in [*scene["files"], *([scene["mask"]] if scene["mask"] else [])]:
            part["path"] = PurePosixPath(public(part["path"])).name
    return {"method": METHOD, "composite": "first observed", "scenes": scenes}
