"""Engine: runs the nets of one or more checkpoints on a device. The only part of a learned model that needs torch.

Every answer is a mean over votes: checkpoints of an ensemble, turns of the window (test-time augmentation) and passes
with dropout. Votes are summed one after the other in float32, so memory does not grow with them. A window's answer does
not depend on what else is in the batch: norms use their trained statistics or the window alone, and each pass drops
the same features in every window. Kernels may be chosen by the shape of a batch, which moves the last bits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.errors import ConfigError
from core.models.checkpoint import Card, Checkpoint
from core.models.dihedral import TURNS, turn_sensor, unturn
from core.models.nets.glavitu_fusion import coordinate_vector, region_vector
from core.models.nets.net import Net
from core.models.nets.registry import build_net, net_parameters
from core.models.normalise import normalise
from core.models.protocol import Inputs

Float32 = NDArray[np.float32]
AMP = ("auto", "off", "bf16", "fp16")
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class SharedDropout(nn.Module):
    """Dropout that drops the same features of every sample, those that `seed` says; nothing while that is None.

    Independent draws would make a window's answer depend on its place in the batch.
    """

    def __init__(self, p: float, planes: bool) -> None:
        super().__init__()
        self.p, self.planes = p, planes
        self.place = 0
        self.seed: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.seed is None or self.p == 0:
            return x
        shape = (1, x.shape[1], *(1 for _ in x.shape[2:])) if self.planes else (1, *x.shape[1:])
        generator = torch.Generator().manual_seed(self.seed * 1009 + self.place)
        kept = torch.rand(shape, generator=generator) >= self.p
        return x * (kept.to(x.device, x.dtype) / (1 - self.p))


def share_dropout(net: nn.Module) -> list[SharedDropout]:
    """Replace every dropout layer inside by a `SharedDropout`; returns them."""
    out: list[SharedDropout] = []
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, (nn.Dropout, nn.Dropout2d)):
                shared = SharedDropout(child.p, isinstance(child, nn.Dropout2d))
                shared.place = len(out)
                setattr(module, name, shared)
                out.append(shared)
    return out


def load_net(checkpoint: Checkpoint) -> Net:
    """The net of a checkpoint with its weights, in evaluation mode on the CPU.

    Raises ConfigError naming the tensor if the weights do not fit the net, or are not finite.
    """
    card = checkpoint.card
    try:
        net = build_net(card.net, {g.name: g.n_planes for g in card.groups}, card.classes.n_classes, card.parameters)
    except ConfigError as error:
        raise ConfigError(checkpoint.url, found=str(error), expected="a net of this version") from error
    expected = {name: tuple(t.shape) for name, t in net.state_dict().items()}
    found = checkpoint.tensors
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ConfigError(
                f"{checkpoint.url}: tensor {name}",
                found=str(found.get(name, "no such tensor")),
                expected=f"{expected.get(name, 'no such tensor')} for net {card.net!r} with the card's parameters",
                fix="the card and the weights are of different models; save the model again",
            )
    tensors = safetensors.torch.load(checkpoint.weights)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ConfigError(f"{checkpoint.url}: tensor {name}", found="NaN or infinity", expected="finite weights")
    net.load_state_dict(tensors)
    return net.eval()


def location_kind(card: Card) -> str:
    """`none`, `region` or `coordinates`."""
    return str(card.parameters.get("location", net_parameters(card.net).get("location", "none")))


def place_vector(card: Card, place: str) -> Tensor | None:
    """(1, length) for the net's location encoding, None where it has none or shall not know.

    place: a region code, or `latitude,longitude`; empty: the fitted place of the card, else unknown.
    Raises ConfigError if the model cannot use it.
    """
    kind = location_kind(card)
    where = "model.parameters.place"
    if kind == "coordinates":
        try:
            lat, lon = (float(part) for part in place.split(","))
        except ValueError as error:
            raise ConfigError(
                where, found=repr(place), expected="'latitude,longitude' in degrees, for this model"
            ) from error
        return coordinate_vector(torch.tensor([lat]), torch.tensor([lon]))
    if kind == "none":
        if place:
            raise ConfigError(where, found=repr(place), expected="nothing: this model has no location encoding")
        return None
    if not place:
        return torch.tensor([card.place], dtype=torch.float32) if card.place else None
    if place not in card.regions:
        raise ConfigError(where, found=repr(place), expected="one of " + ", ".join(card.regions) + ", or nothing")
    return region_vector(torch.tensor([card.regions.index(place)]), len(card.regions))


def pick_device(device: str) -> torch.device:
    """`auto`: the first CUDA device, else the CPU. Raises ConfigError for a device that is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(device)
        torch.empty(0, device=picked)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError("device", found=repr(device), expected="auto, cpu, cuda or cuda:N that is there") from error
    return picked


def memory_format(device: torch.device) -> torch.memory_format:
    """Channels last where tensor cores want it; on a CPU the few channels of these nets make it the slower one."""
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


def autocast(device: torch.device, amp: str) -> Any:
    """A context. `auto`: half precision on CUDA, float32 on a CPU. Raises ConfigError for an unknown word."""
    if amp not in AMP:
        raise ConfigError("model.parameters.amp", found=repr(amp), expected=" or ".join(AMP))
    if amp == "off" or (amp == "auto" and device.type == "cpu"):
        return nullcontext()
    return torch.autocast(device.type, dtype=_DTYPES.get(amp, torch.float16))


class Engine:
    """Nets on a device. compiled: torch.compile; mc_dropout: passes with dropout, 0 = none; tta: all eight turns."""

    def __init__(
        self,
        checkpoints: Sequence[Checkpoint],
        *,
        device: str = "auto",
        amp: str = "auto",
        compiled: bool = False,
        mc_dropout: int = 0,
        tta: bool = False,
        place: str = "",
    ) -> None:
        self.device = pick_device(device)
        self.transfer_s = 0.0
        self._amp, self._passes, self._turns = amp, mc_dropout, range(TURNS if tta else 1)
        autocast(self.device, amp)
        self._cards = [checkpoint.card for checkpoint in checkpoints]
        self._places = [place_vector(card, place) for card in self._cards]
        self._nets: list[Any] = []
        self._dropouts: list[list[SharedDropout]] = []
        for checkpoint in checkpoints:
            net = load_net(checkpoint)
            self._dropouts.append(share_dropout(net) if mc_dropout else [])
            if mc_dropout and not any(layer.p > 0 for layer in self._dropouts[-1]):
                raise ConfigError(
                    "model.parameters.mc_dropout", found=str(mc_dropout), expected="0: this model has no dropout"
                )
            placed = net.to(self.device).to(memory_format=memory_format(self.device))  # type: ignore[call-overload]
            self._nets.append(torch.compile(placed) if compiled else placed)

    def probability(self, inputs: Inputs, bands: Mapping[str, tuple[str, ...]]) -> tuple[Float32, Float32]:
        """Mean probability of the classes (n, class, h, w), and the standard deviation among the votes of that of
        glacier (n, h, w), 0 from a single vote: float32.

        inputs: sensor → (n, band, h, w), NaN = not observed; h = w where windows are turned.
        """
        self.transfer_s = 0.0
        scheme = self._cards[0].classes
        votes = self._votes(inputs, bands)
        total = next(votes)
        glacier = scheme.glacier_probability(total, axis=1).astype(np.float64)
        sums, squares, count = glacier.copy(), glacier**2, 1
        for vote in votes:
            total = total + vote
            glacier = scheme.glacier_probability(vote, axis=1).astype(np.float64)
            sums += glacier
            squares += glacier**2
            count += 1
        spread = np.sqrt(np.maximum(squares / count - (sums / count) ** 2, 0))
        return np.asarray(total / np.float32(count), dtype=np.float32), spread.astype(np.float32)

    def _votes(self, inputs: Inputs, bands: Mapping[str, tuple[str, ...]]) -> Iterator[Float32]:
        for k in self._turns:
            turned = {name: turn_sensor(values, name, bands[name], k) for name, values in inputs.items()}
            began = time.perf_counter()
            raw = {name: torch.from_numpy(np.ascontiguousarray(v)).to(self.device) for name, v in turned.items()}
            self._sync()
            self.transfer_s += time.perf_counter() - began
            for at, net in enumerate(self._nets):
                for seed in range(max(1, self._passes)):
                    for layer in self._dropouts[at]:
                        layer.seed = seed
                    found = self._forward(net, self._cards[at], self._places[at], raw, bands)
                    began = time.perf_counter()
                    on_host = found.cpu().numpy()
                    self.transfer_s += time.perf_counter() - began if self.device.type != "cpu" else 0.0
                    yield np.asarray(unturn(on_host, k), dtype=np.float32)

    @torch.inference_mode()
    def _forward(
        self,
        net: Any,
        card: Card,
        place: Tensor | None,
        raw: Mapping[str, Tensor],
        bands: Mapping[str, tuple[str, ...]],
    ) -> Tensor:
        planes, present = normalise(raw, bands, card.groups)
        planes = {name: x.contiguous(memory_format=memory_format(self.device)) for name, x in planes.items()}
        n = next(iter(planes.values())).shape[0]
        location = None if place is None else place.to(self.device).expand(n, -1)
        with autocast(self.device, self._amp):
            logits = net(planes, present, location)
        found: Tensor = (logits.float() / card.calibration.temperature).softmax(1)
        self._sync()
        return found

    def _sync(self) -> None:
        """Without it seconds of the device would be charged to whoever waits for them next."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
