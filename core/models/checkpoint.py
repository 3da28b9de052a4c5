"""Checkpoint: a trained model as a folder with `model.safetensors` and `model.json`, and nothing that can run.

`model.json` says everything that the numbers alone do not: the net and its parameters, the bands and their
normalisation, the classes, the windows, the calibration, the region codes, what it was trained on, what it scored
where, and the licence. The digest over all of that which changes a result, weights included, is the model's identity;
scores and texts may be corrected without a new one. Only safetensors are read: a pickle can run code, so none
is ever opened. What does not fit is refused before anything is mapped, with the reason and the fix. No torch here.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.errors import ConfigError
from core.models.inputs import Group, check_groups, from_json, to_json
from core.objects import Objects
from core.train.classes import Scheme, scheme
from core.urls import join_url, normalise_url

MODEL, WEIGHTS = "model.json", "model.safetensors"
FORMAT, VERSION = "icefleet-model", 1
SHIPPED = Path(__file__).parent / "checkpoints"
_TRAIN_AGAIN = "save it again with `icefleet train`, or take the file from its source once more"
AREA_KEYS = {"boundary_px", "correlation_m"}
_KEYS = ("net", "scheme", "classes", "groups", "anchors", "window_px", "stride_px", "calibration", "regions", "place")
_DTYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


@dataclass(frozen=True)
class Calibration:
    """temperature: logits are divided by it. confidence: 100 numbers, what share of the pixels in each bin of
    1 − entropy was right; empty if it was never measured. area: `boundary_px` and `correlation_m` with which intervals
    of areas held on known ones (`core.measure.uncertainty`); empty if areas were never compared."""

    temperature: float = 1.0
    confidence: tuple[float, ...] = ()
    area: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Card:
    """Everything in `model.json` but the weights' file.

    net, parameters: of `core.models.nets`; scheme: class scheme; groups, anchors: see `core.models.inputs`; regions:
    region codes of the slots of a region encoding, in order; place: the vector that stands in for the region, as fitted
    by `icefleet adapt`, empty for none; res_m: pixel sizes that it was trained on; training, metrics: free records, of
    how it was made and of its scores per site; simulated: trained on simulated data alone or in part; licence: SPDX.
    """

    name: str
    net: str
    parameters: Mapping[str, Any]
    scheme: str
    groups: tuple[Group, ...]
    anchors: tuple[str, ...]
    window_px: int
    stride_px: int
    calibration: Calibration = field(default_factory=Calibration)
    regions: tuple[str, ...] = ()
    place: tuple[float, ...] = ()
    res_m: tuple[float, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    simulated: bool = False
    licence: str = "Apache-2.0"

    @property
    def classes(self) -> Scheme:
        return scheme(self.scheme)

    def record(self) -> dict[str, Any]:
        """As it stands in `model.json`, without the weights."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "net": {"name": self.net, "parameters": dict(self.parameters)},
            "scheme": self.scheme,
            "classes": list(self.classes.classes),
            "groups": to_json(self.groups),
            "anchors": list(self.anchors),
            "window_px": self.window_px,
            "stride_px": self.stride_px,
            "calibration": {
                "temperature": self.calibration.temperature,
                "confidence": list(self.calibration.confidence),
                # Absent rather than empty, so that cards from before keep their digest.
                **({"area": dict(self.calibration.area)} if self.calibration.area else {}),
            },
            "regions": list(self.regions),
            "place": list(self.place),
            "res_m": list(self.res_m),
            "training": dict(self.training),
            "metrics": dict(self.metrics),
            "simulated": self.simulated,
            "licence": self.licence,
        }


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint that was read and checked. weights: the bytes of the safetensors file; digest: 64 hex digits."""

    url: str
    card: Card
    weights: bytes
    digest: str

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """name → shape."""
        return {name: tuple(entry["shape"]) for name, entry in safetensors_header(self.weights, self.url).items()}


def save_checkpoint(url: str, card: Card, weights: bytes) -> Checkpoint:
    """Write the folder, weights first; returns what a reader would get. weights: a whole safetensors file.

    Raises ConfigError if they are none, or if the card contradicts itself.
    """
    url = normalise_url(url)
    header = safetensors_header(weights, join_url(url, WEIGHTS))
    _check_card(card, url)
    sha256 = hashlib.sha256(weights).hexdigest()
    record = card.record() | {"weights": {"file": WEIGHTS, "sha256": sha256, "tensors": len(header)}}
    record["digest"] = _digest(record)
    objects = Objects(url)
    objects.put(WEIGHTS, weights)
    objects.put(MODEL, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())
    return Checkpoint(url, card, weights, str(record["digest"]))


def rewrite_card(checkpoint: Checkpoint, url: str, **changes: Any) -> Checkpoint:
    """The same weights under a changed card, in a folder of its own or over the old one."""
    return save_checkpoint(url, replace(checkpoint.card, **changes), checkpoint.weights)


def load_checkpoint(path: str) -> Checkpoint:
    """Read and check a checkpoint. path: folder, URL, or the name of one that is shipped (`core/models/checkpoints`).

    Raises ConfigError with the reason and the fix if there is none, if it is not of this format or version, names
    unknown sensors, bands, classes or nets, or if its weights are not safetensors or not those of its card.
    """
    url = checkpoint_url(path)
    where = join_url(url, MODEL)
    objects = Objects(url)
    text = objects.get_or_none(MODEL)
    if text is None:
        shipped = ", ".join(sorted(p.name for p in SHIPPED.glob("*") if p.is_dir())) or "none"
        raise ConfigError(
            url, found=f"no {MODEL}", expected=f"the folder of a checkpoint, or a shipped one ({shipped})"
        )
    record = _parse(text, where)
    card = _card(record, where)
    named = str(record["weights"].get("file"))
    if named != WEIGHTS:
        raise ConfigError(
            where,
            found=f"weights in {named!r}",
            expected=WEIGHTS,
            fix="convert them to safetensors: pickled weights (.pt, .pth, .ckpt) can run code and are never opened",
        )
    weights = objects.get_or_none(WEIGHTS)
    if weights is None:
        raise ConfigError(join_url(url, WEIGHTS), found="nothing", expected="the weights", fix=_TRAIN_AGAIN)
    safetensors_header(weights, join_url(url, WEIGHTS))
    sha256 = hashlib.sha256(weights).hexdigest()
    if sha256 != record["weights"].get("sha256"):
        raise ConfigError(
            join_url(url, WEIGHTS),
            found=f"sha256 {sha256[:16]}…",
            expected=f"{str(record['weights'].get('sha256'))[:16]}… of {MODEL}: damaged, or weights of another model",
            fix=_TRAIN_AGAIN,
        )
    digest = _digest(record)
    if digest != record.get("digest"):
        raise ConfigError(
            where,
            found=f"digest {str(record.get('digest'))[:16]}…",
            expected=f"{digest[:16]}…: bands, classes, windows or calibration were changed by hand",
            fix="undo the change, or save the model again",
        )
    return Checkpoint(url, card, weights, digest)


def checkpoint_url(path: str) -> str:
    """Where a path, URL or shipped name lies."""
    bare = path and "/" not in path and not Path(path).exists()
    return normalise_url(str(SHIPPED / path)) if bare else normalise_url(path)


def safetensors_header(data: bytes, where: str) -> dict[str, Any]:
    """name → dtype, shape, offsets. Raises ConfigError unless `data` is a whole and consistent safetensors file
    (https://huggingface.co/docs/safetensors: 8 bytes little-endian length, JSON, tensors without gaps)."""
    refuse = ConfigError(
        where,
        found=_looks_like(data),
        expected="a safetensors file",
        fix="convert the weights to safetensors: pickles can run code and are never opened",
    )
    if len(data) < 8:
        raise refuse
    (length,) = struct.unpack("<Q", data[:8])
    if length > len(data) - 8 or data[8:9] != b"{":
        raise refuse
    try:
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        end = 0
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            begin, stop = entry["data_offsets"]
            size = _DTYPES[entry["dtype"]]
            for side in entry["shape"]:
                size *= side
            if begin != end or stop - begin != size:
                raise ConfigError(where, found=f"tensor {name!r} of {stop - begin} bytes", expected=f"{size} bytes")
            end = stop
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise refuse from error
    if end != len(data) - 8 - length:
        raise ConfigError(
            where, found=f"{len(data)} bytes", expected=f"{end + 8 + length}: the file was cut", fix=_TRAIN_AGAIN
        )
    return dict(header)


def _looks_like(data: bytes) -> str:
    if data[:2] == b"PK":
        return "a zip, as torch.save writes"
    if data[:1] == b"\x80":
        return "a pickle"
    if data[:8] == b"\x89HDF\r\n\x1a\n":
        return "an HDF5 file"
    return f"{len(data)} bytes of something else"


def _parse(text: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except ValueError as error:
        raise ConfigError(where, found=f"no JSON ({error})", expected="a model card", fix=_TRAIN_AGAIN) from error
    kind = record.get("format") if isinstance(record, dict) else None
    if kind != FORMAT:
        raise ConfigError(
            where, found=f"format {kind!r}", expected=repr(FORMAT), fix="give a folder of `icefleet train`"
        )
    if record.get("version") != VERSION:
        raise ConfigError(
            where, found=f"version {record.get('version')!r}", expected=str(VERSION), fix="use the version of its maker"
        )
    return dict(record)


def _card(record: Mapping[str, Any], where: str) -> Card:
    try:
        calibration = record["calibration"]
        if not isinstance(record["weights"], dict):
            raise TypeError("weights")
        card = Card(
            name=str(record["name"]),
            net=str(record["net"]["name"]),
            parameters=dict(record["net"]["parameters"]),
            scheme=scheme(str(record["scheme"])).name,
            groups=from_json(record["groups"]),
            anchors=tuple(map(str, record["anchors"])),
            window_px=int(record["window_px"]),
            stride_px=int(record["stride_px"]),
            calibration=Calibration(
                float(calibration["temperature"]),
                tuple(float(c) for c in calibration["confidence"]),
                {str(name): float(value) for name, value in calibration.get("area", {}).items()},
            ),
            regions=tuple(map(str, record["regions"])),
            place=tuple(float(p) for p in record["place"]),
            res_m=tuple(float(r) for r in record["res_m"]),
            training=dict(record["training"]),
            metrics=dict(record["metrics"]),
            simulated=bool(record["simulated"]),
            licence=str(record["licence"]),
        )
        classes = list(record["classes"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            where, found=f"{type(error).__name__}: {error}", expected="every key of a model card", fix=_TRAIN_AGAIN
        ) from error
    except ConfigError as error:
        raise ConfigError(
            where, found=str(error), expected="sensors, bands, classes of this version", fix="use its maker's version"
        ) from error
    _check_card(card, where)
    if classes != list(card.classes.classes):
        raise ConfigError(
            where,
            found=f"classes {classes}",
            expected=f"{list(card.classes.classes)}, as scheme {card.scheme!r} has them",
        )
    return card


def _check_card(card: Card, where: str) -> None:
    check_groups(card.groups, card.anchors, where)
    _ = card.classes
    if not 0 < card.stride_px <= card.window_px:
        raise ConfigError(
            where, found=f"stride {card.stride_px}, window {card.window_px}", expected="0 < stride ≤ window"
        )
    if not 0.01 <= card.calibration.temperature <= 100:
        raise ConfigError(where, found=f"temperature {card.calibration.temperature}", expected="0.01 to 100")
    if len(card.calibration.confidence) not in (0, 100):
        raise ConfigError(
            where, found=f"{len(card.calibration.confidence)} bins of confidence", expected="100, or none"
        )
    area = card.calibration.area
    if area and (set(area) != AREA_KEYS or min(area.values()) < 0):
        raise ConfigError(where, found=f"calibration.area {dict(area)}", expected=f"{sorted(AREA_KEYS)}, none negative")


def _digest(record: Mapping[str, Any]) -> str:
    """sha256 over what changes a result: not name, scores, training record or licence."""
    identity = {key: record[key] for key in _KEYS} | {"weights": record["weights"].get("sha256"), "version": VERSION}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
