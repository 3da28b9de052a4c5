"""Chip files: chips on disk, one small file each, for training sets that cost more to make than to read.

Values are stored as the tile store stores them (`core.tiles.encoding`), half the bytes of float32, in a compressed
`.npz` without pickles. A folder is a set; the name of a file has no meaning.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError, PoisonError
from core.sensors import sensor
from core.tiles.encoding import decode, encode, is_fill
from core.train.chip import Chip

# Chips that stay in memory, some megabytes each.
_KEPT = 32
T = TypeVar("T")


def save_chip(path: Path, chip: Chip) -> None:
    """Write one chip; its numbers come back in the steps of the tile store."""
    arrays: dict[str, NDArray[Any]] = {f"values/{name}": _encoded(name, values) for name, values in chip.values.items()}
    share = np.where(np.isfinite(chip.glacier), np.rint(np.nan_to_num(chip.glacier) * 254), 255)
    about = {k: getattr(chip, k) for k in ("res_m", "origin", "region", "lat", "lon", "weight")}
    if chip.classes is not None:
        arrays["classes"] = chip.classes
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part.npz")
    arrays["glacier"] = share.astype(np.uint8)
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez_compressed(beside, allow_pickle=False, **arrays)
    beside.replace(path)


def _encoded(name: str, values: NDArray[np.float32]) -> NDArray[Any]:
    """Band by band: unlike in a tile, each has holes of its own."""
    one = sensor(name)
    return np.concatenate([encode(plane[None], np.isfinite(plane), [0], one)[0] for plane in values])


def load_chip(path: Path) -> Chip:
    """Inverse of `save_chip`. Raises PoisonError for a file that is none."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            about = json.loads(stored["about"].tobytes())
            values = {}
            for key in stored.files:
                if key.startswith("values/"):
                    name = key.removeprefix("values/")
                    raw = stored[key]
                    decoded = decode(raw, sensor(name))
                    decoded[is_fill(raw, sensor(name))] = np.nan
                    values[name] = decoded
            share = stored["glacier"]
            glacier = np.where(share == 255, np.nan, share / 254.0).astype(np.float32)
            return Chip(values, glacier, stored["classes"] if "classes" in stored.files else None, **about)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise PoisonError(
            str(path), found=f"{type(error).__name__}: {error}", expected="a chip of `save_chip`", fix="delete it"
        ) from error


@dataclass(frozen=True)
class ChipFolder:
    """Chips of a folder, read when they are drawn; the last few stay in memory. regions: only those, if any.

    Raises ConfigError if the folder holds none.
    """

    path: str
    regions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.files():
            raise ConfigError(self.path, found="no chips", expected="`.npz` files", fix="give the folder of a chip set")

    def files(self) -> tuple[Path, ...]:
        return _files(self.path, self.regions)

    def draw(self, rng: np.random.Generator) -> Chip:
        files = self.files()
        return _remembered(files[int(rng.integers(len(files)))])

    def pick(self, n: int) -> list[Chip]:
        """n different chips, evenly spaced over the files; all of them if there are fewer."""
        return [load_chip(path) for path in evenly(self.files(), n)]


def evenly(items: Sequence[T], n: int) -> list[T]:
    """n of the items, evenly spaced; all if there are fewer."""
    at = range(len(items)) if n >= len(items) else [(2 * k + 1) * len(items) // (2 * n) for k in range(n)]
    return [items[k] for k in at]


@lru_cache(maxsize=64)
def _files(path: str, regions: tuple[str, ...]) -> tuple[Path, ...]:
    found = tuple(sorted(p for p in Path(path).glob("**/*.npz") if not p.name.startswith(".")))
    return found if not regions else tuple(p for p in found if load_chip(p).region in regions)


@lru_cache(maxsize=_KEPT)
def _remembered(path: Path) -> Chip:
    return load_chip(path)
