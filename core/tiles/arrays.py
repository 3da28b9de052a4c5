"""The open Zarr arrays of one (epoch, zone, sensor), and what their errors mean.

Zarr, its codecs and two store libraries raise a dozen types; here they become the failure classes of a run. An absent
chunk is no error to Zarr, which hands out fill: the readers look for that themselves. A failing checksum is read
again before it is believed: bytes are disturbed on their way far more often than on a disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import zarr
from zarr.storage import StoreLike

from core.errors import IcefleetError, PoisonError, TransientError
from core.grid import Lattice, Zone
from core.layout import TileLayout
from core.objects import Backend, refused, steadily, zarr_location
from core.sensors import Sensor
from core.sensors import sensor as registered
from core.tiles.dataset import no_tiles
from core.tiles.group import SCENE
from core.urls import join_url

_NETWORK = {"obstore", "botocore", "aiobotocore", "aiohttp", "s3fs"}
_REFUSED = ("status code: 401", "status code: 403", "AccessDenied", "Access Denied", "Forbidden", "credentials")
_REREADS = 5
T = TypeVar("T")
INGEST_AGAIN = "delete the marker of the block and ingest it again"


class SteadyArray(zarr.Array[Any]):
    """A Zarr array that does not take one bad moment of the network for a verdict: see `read_steadily`."""

    def __getitem__(self, selection: Any) -> Any:
        return read_steadily(str(self.store_path), lambda: zarr.Array.__getitem__(self, selection))


def read_steadily(where: str, read: Callable[[], T]) -> T:
    """read(), again while it is refused or disturbed, and until a failing checksum has failed twice in the same way.

    What lies corrupt on a disk is wrong in the same way every time, and poison; what is wrong in another way every
    time was disturbed on its way, and transient. Raises our failure classes, and FileNotFoundError.
    """

    def attempt() -> T:
        with zarr_errors(where):
            return read()

    seen: set[str] = set()
    for _ in range(_REREADS):
        try:
            return steadily(attempt)
        except PoisonError as error:
            if error.found in seen:
                raise
            seen.add(error.found)
    raise TransientError(where, found=f"{_REREADS} reads with other wrong bytes each", expected="the same bytes twice")


@dataclass(frozen=True)
class OpenArrays:
    """`data` (band, y, x) and `scene` (y, x) of a whole zone; `url` and `key` of their group."""

    url: str
    key: str
    lattice: Lattice
    sensor: Sensor
    data: SteadyArray
    scene: SteadyArray

    def chunk_key(self, name: str, chunk: tuple[int, ...]) -> str:
        """Key of a shard of the array `name`, relative to `url`."""
        array = self.scene if name == SCENE else self.data
        return f"{self.key}/{name}/{cast(Any, array.metadata).encode_chunk_key(chunk)}"


def open_arrays(url: str, epoch: str, zone: Zone, sensor: str, backend: Backend) -> OpenArrays:
    """Raises ConfigError if the store holds no such tiles."""
    entry, key = registered(sensor), TileLayout.sensor(epoch, zone, sensor)
    store, path = zarr_location(url, key, backend)
    try:
        attributes, (data, scene) = open_steady(store, path, (sensor, SCENE), join_url(url, key))
    except FileNotFoundError as error:
        raise no_tiles(url, epoch, zone, sensor) from error
    return OpenArrays(url, key, Lattice(zone, int(attributes["res_m"])), entry, data, scene)


def open_steady(
    store: StoreLike, path: str, names: Sequence[str], where: str
) -> tuple[dict[str, Any], list[SteadyArray]]:
    """(attributes, arrays) of a group. Raises FileNotFoundError if there is none."""

    def look() -> tuple[dict[str, Any], list[SteadyArray]]:
        group = zarr.open_group(store, path=path, mode="r+")
        return dict(group.attrs), [SteadyArray(cast("zarr.Array[Any]", group[n]).async_array) for n in names]

    return read_steadily(where, look)


@contextmanager
def zarr_errors(where: str, fix: str = INGEST_AGAIN) -> Iterator[None]:
    """Whatever a Zarr store or codec raises, as one of our failure classes; FileNotFoundError passes.

    where: what the message names, in place of what a SteadyArray named; fix: of corrupt bytes.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except PoisonError as error:
        raise PoisonError(where, found=error.found, expected=error.expected, fix=fix) from error
    except IcefleetError as error:
        raise type(error)(where, found=error.found, expected=error.expected, fix=error.fix) from error
    except Exception as error:
        text = f"{type(error).__name__}: {error}".strip().splitlines()[0][:300]
        network = type(error).__module__.split(".")[0] in _NETWORK
        if isinstance(error, PermissionError) or (network and any(word in str(error) for word in _REFUSED)):
            raise refused(where) from error
        if network or isinstance(error, OSError):
            raise TransientError(where, found=text) from error
        if isinstance(error, (ValueError, RuntimeError)):
            raise PoisonError(where, found=text, expected="bytes that match their checksum", fix=fix) from error
        raise
