"""Trainer: steps, validations, early stopping, resume.

A step is a pure function of the state and the number of the step: its batch, its dropout and its learning rate follow
from the seed and the number. So a training that was interrupted and goes on ends with the weights of one that was not,
bit for bit on one machine. What is validated, kept and shipped is the running mean of the weights. On several ranks
each learns from its part of every batch, and rank 0 alone validates and writes.
"""

from __future__ import annotations

import hashlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.models.checkpoint import Card, save_checkpoint
from core.models.engine import memory_format, pick_device
from core.models.inputs import needed_bands
from core.models.nets.net import Net
from core.train.chip import Chip
from core.train.ema import Ema
from core.train.evaluate import Tally, evaluate, mean_iou
from core.train.losses import LossWeights, total_loss
from core.train.on_device import to_device
from core.train.sample import Batch, Sampler, make_batch
from core.train.schedule import learning_rate
from core.train.state import load_state, read_record, save_state

BEST, STATE = "best", "state"


@dataclass(frozen=True)
class TrainSettings:
    """epochs of steps_per_epoch steps; restarts, warmup: in epochs and steps (`schedule`); ema: decay of the running
    mean; clip: largest norm of the gradient, 0 = none; patience: epochs without a better validation IoU before the end,
    0 = never; amp: bfloat16 on CUDA (auto), off, or bf16 anywhere; eps: of Adam, 1e-7 as GlaViTU."""

    epochs: int = 10
    steps_per_epoch: int = 100
    lr: float = 5e-4
    optimiser: Literal["adamw", "adam"] = "adamw"
    weight_decay: float = 1e-4
    eps: float = 1e-7
    restarts: tuple[int, ...] = (10, 30, 70, 150)
    warmup: int = 50
    ema: float = 0.999
    clip: float = 1.0
    patience: int = 0
    amp: Literal["auto", "off", "bf16"] = "auto"
    compile: bool = False
    seed: int = 0
    workers: int = 0
    loss: LossWeights = field(default_factory=LossWeights)

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is, and how a module is wrapped so that they share gradients."""

    rank: int = 0
    size: int = 1
    wrap: Callable[[nn.Module], nn.Module] = field(default=lambda module: module)

    def agree(self, stop: bool, device: torch.device) -> bool:
        """What rank 0 says, on all ranks."""
        if self.size == 1:
            return stop
        flag = torch.tensor([int(stop)], device=device)
        torch.distributed.broadcast(flag, 0)
        return bool(flag.item())


@dataclass(frozen=True)
class TrainEvent:
    """After a step. losses: parts and `total`; sites: site → tally where this step ended an epoch, else None."""

    step: int
    steps: int
    lr: float
    losses: Mapping[str, float]
    seconds: float
    sites: Mapping[str, Tally] | None = None
    iou: float | None = None
    best: float | None = None


@dataclass(frozen=True)
class Trained:
    """steps: done in all; best: highest mean IoU over the validation sites; stopped: before the last step."""

    steps: int
    best: float
    stopped: bool
    checkpoint: str


def outcome(folder: Path) -> Trained:
    """What the training of a folder came to so far. Raises ConfigError if there is none."""
    steps, record = read_record(folder / STATE)
    return Trained(steps, float(record["best"]), bool(record["stopped"]), str(folder / BEST))


class _Both(nn.Module):
    """`forward_train` as a forward, which is what wrappers and compilers call."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net

    def forward(self, *inputs: Any) -> tuple[Tensor, Tensor | None]:
        return self.net.forward_train(*inputs)


class Trainer:
    """net: fresh, or with the weights to start from; sampler: batches; validation: chips of one size, cut and never
    augmented; card: of the checkpoint that comes out; folder: state and best checkpoint; watch: is told of each step.

    Raises ConfigError if the folder holds the state of another training.
    """

    def __init__(
        self,
        net: Net,
        sampler: Sampler,
        validation: Sequence[Chip],
        card: Card,
        settings: TrainSettings,
        folder: Path,
        *,
        device: str = "auto",
        watch: Callable[[TrainEvent], None] = lambda event: None,
        ranks: Ranks | None = None,
    ) -> None:
        self.settings, self.card, self.folder = settings, card, folder
        self._sampler, self._validation, self._watch = sampler, validation, watch
        self._ranks = ranks or Ranks()
        self.device = pick_device(device)
        self.net: Net = net.to(self.device).to(memory_format=memory_format(self.device))  # type: ignore[call-overload]
        self._both: Any = self._ranks.wrap(_Both(self.net))
        if settings.compile:
            self._both = torch.compile(self._both)
        self._ema = Ema(self.net, settings.ema)
        make = torch.optim.AdamW if settings.optimiser == "adamw" else torch.optim.Adam
        self._optimiser = make(
            self.net.parameters(), lr=settings.lr, eps=settings.eps, weight_decay=settings.weight_decay
        )
        self._best, self._since_best, self._stopped = -1.0, 0, False
        self._bands = needed_bands(card.groups)

    def run(self, until: int | None = None) -> Trained:
        """Train to the end, or until so many steps are done in all; goes on from the state in the folder.

        An interruption (Ctrl-C, SIGTERM) waits for the end of the step, saves the state and goes up as
        KeyboardInterrupt.
        """
        done = self._resume()
        last = min(self.settings.steps, until if until is not None else self.settings.steps)
        with _deferred_interrupts() as interrupted:
            # The end of the range comes first, so that no batch is made in vain.
            for at, batch in zip(range(done, last), self._batches(done, last), strict=False):
                if self._stopped or interrupted:
                    break
                self._one(at, batch)
                done = at + 1
        self._save(done)
        if interrupted:
            raise KeyboardInterrupt
        return Trained(done, self._best, self._stopped, str(self.folder / BEST))

    def _one(self, step: int, batch: Batch) -> None:
        began = time.perf_counter()
        settings = self.settings
        lr = learning_rate(
            step, settings.lr, [e * settings.steps_per_epoch for e in settings.restarts], settings.warmup
        )
        for group in self._optimiser.param_groups:
            group["lr"] = lr
        # Dropout is a function of the step, like everything else.
        torch.manual_seed(_seed(settings.seed, step, self._ranks.rank))
        losses = self._learn(batch)
        self._ema.update(self.net)
        event = TrainEvent(step + 1, settings.steps, lr, losses, time.perf_counter() - began)
        if (step + 1) % settings.steps_per_epoch == 0 or step + 1 == settings.steps:
            event = self._validate(event)
            self._save(step + 1)
        self._watch(event)

    def _learn(self, batch: Batch) -> dict[str, float]:
        self.net.train()
        groups, present, location, labels = to_device(batch, self.card, self.device)
        with self._autocast():
            logits, aux = self._both(groups, present, location)
        parts = total_loss(logits, labels, self.settings.loss, self.card.classes.glacier_index, aux)
        self._optimiser.zero_grad(set_to_none=True)
        parts["total"].backward()  # type: ignore[no-untyped-call]
        if self.settings.clip:
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.settings.clip)
        self._optimiser.step()
        losses = {name: float(value.detach()) for name, value in parts.items()}
        if not np.isfinite(losses["total"]):
            raise ConfigError(
                "training",
                found=f"a loss of {losses['total']}",
                expected="a finite one",
                fix="lower `lr`, or set amp: off",
            )
        return losses

    def _autocast(self) -> Any:
        amp = self.settings.amp
        if amp == "off" or (amp == "auto" and self.device.type == "cpu"):
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _validate(self, event: TrainEvent) -> TrainEvent:
        """Scores of the running mean; keeps it if it is the best so far."""
        if self._ranks.rank == 0:
            sites = self.score()
            iou = mean_iou(sites)
            if iou > self._best:
                self._best, self._since_best = iou, 0
                self._keep(event.step, sites)
            else:
                self._since_best += 1
            event = replace(event, sites=sites, iou=iou, best=self._best)
        stop = bool(self.settings.patience) and self._since_best >= self.settings.patience
        self._stopped = self._ranks.agree(stop, self.device)
        return event

    def score(self) -> dict[str, Tally]:
        """site → tally of the running mean of the weights on the validation chips."""
        kept = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.net.load_state_dict(self._ema.weights)
        self.net.eval()
        try:
            return evaluate(self._predict, self._validation, self.card.classes)
        finally:
            self.net.load_state_dict(kept)

    @torch.inference_mode()
    def _predict(self, chips: Sequence[Chip]) -> Any:
        batch = make_batch(chips, self.card.groups, self.card.classes)
        groups, present, location, _ = to_device(batch, self.card, self.device)
        with self._autocast():
            logits = self.net(groups, present, location)
        return logits.float().softmax(1).cpu().numpy()

    def _keep(self, step: int, sites: Mapping[str, Tally]) -> None:
        classes = self.card.classes.classes
        scores = {name: _rounded(tally.scores(classes)) for name, tally in sites.items()}
        card = replace(
            self.card,
            metrics={**self.card.metrics, "validation": scores},
            training={**self.card.training, "steps": step, "seed": self.settings.seed},
        )
        save_checkpoint(str(self.folder / BEST), card, weights_of(self._ema.weights))

    def _batches(self, first: int, last: int) -> Iterator[Batch]:
        """Batches in order, made here or in loader processes; which of the two changes nothing."""
        steps = range(first, last)
        if not self.settings.workers:
            yield from (self._sampler.make(step, self._ranks.rank, self._ranks.size) for step in steps)
            return
        loader: Any = torch.utils.data.DataLoader(
            _Steps(self._sampler, self._ranks.rank, self._ranks.size),  # type: ignore[arg-type]
            batch_size=None,
            sampler=steps,
            num_workers=self.settings.workers,
            prefetch_factor=4,
            # Clients of object stores do not survive a fork.
            multiprocessing_context="spawn",
            collate_fn=_as_is,  # type: ignore[arg-type]
        )
        yield from loader

    def _resume(self) -> int:
        found = load_state(self.folder / STATE, self.net, self._ema, self._optimiser)
        if found is None:
            return 0
        step, record = found
        if record["identity"] != self._identity():
            raise ConfigError(
                str(self.folder / STATE),
                found="the state of a training with other settings",
                expected="that of this one",
                fix="give another `name` or `output`, or delete the folder",
            )
        self._best, self._since_best = float(record["best"]), int(record["since_best"])
        self._stopped = bool(record["stopped"])
        return step

    def _save(self, step: int) -> None:
        if self._ranks.rank == 0:
            record = {
                "identity": self._identity(),
                "best": self._best,
                "since_best": self._since_best,
                "stopped": self._stopped,
            }
            save_state(self.folder / STATE, step, self.net, self._ema, self._optimiser, record)

    def _identity(self) -> str:
        """Digest of what makes a step: a longer training may go on from a shorter one."""
        settings = asdict(self.settings)
        for free in ("epochs", "patience", "workers", "compile"):
            del settings[free]
        settings |= {"card": {**self.card.record(), "metrics": None, "training": None}, "batch": self._sampler.batch}
        return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


@contextmanager
def _deferred_interrupts() -> Iterator[list[int]]:
    """The signals that came meanwhile: a step that was broken off half-way could not be gone on from."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {s: signal.signal(s, lambda number, _: came.append(number)) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Steps:
    """Step → batch, for a loader."""

    def __init__(self, sampler: Sampler, rank: int, ranks: int) -> None:
        self._sampler, self._rank, self._size = sampler, rank, ranks

    def __getitem__(self, step: int) -> Batch:
        return self._sampler.make(step, self._rank, self._size)


def _as_is(batch: Batch) -> Batch:
    return batch


def weights_of(tensors: Mapping[str, Tensor]) -> bytes:
    """Weights as a safetensors file. Batch counters included: they are part of the net's state."""
    return safetensors.torch.save({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()})


def _rounded(scores: Mapping[str, float]) -> dict[str, float | None]:
    return {name: round(value, 4) if np.isfinite(value) else None for name, value in scores.items()}


def _seed(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0])
