"""Recipe: a training configuration becomes sources, net, card and trainer.

The one place that knows all of them. Everything that it makes follows from the configuration alone, so that whoever has
the file and the data makes the same model again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core import __version__
from core.config import load_config
from core.errors import ConfigError
from core.models.checkpoint import Card, load_checkpoint
from core.models.engine import load_net
from core.models.inputs import Group, check_groups, needed_bands
from core.models.nets.blocks import Head
from core.models.nets.net import Net
from core.models.nets.registry import build_net
from core.train.augment import Augmentation, filled_up
from core.train.chip import Chip
from core.train.chipfile import ChipFolder, evenly, load_chip
from core.train.classes import scheme
from core.train.config import SourceOptions, TrainConfig
from core.train.folds import Fold, OneSide, Side
from core.train.labels import OutlineRules
from core.train.losses import LossWeights
from core.train.normalise import build_groups
from core.train.sample import ChipSource, Mixture, Sampler, default_focus
from core.train.simulated import SimulatedChips
from core.train.tile_windows import TileWindows
from core.train.trainer import Ranks, Trainer, TrainEvent, TrainSettings
from core.urls import local_path

_VALIDATION_SEED = 1_000_003


def build_trainer(
    config: TrainConfig,
    watch: Callable[[TrainEvent], None] = lambda event: None,
    ranks: Ranks | None = None,
    device: str | None = None,
) -> Trainer:
    """Everything ready to run; simulates or reads the validation chips. Raises ConfigError for what cannot work."""
    if config.threads:
        torch.set_num_threads(config.threads)
    card = build_card(config)
    return Trainer(
        build_start(config, card),
        build_sampler(config, card),
        validation_chips(config, card.groups),
        card,
        settings_of(config),
        training_folder(config),
        device=device or config.device,
        watch=watch,
        ranks=ranks,
    )


def training_folder(config: TrainConfig) -> Path:
    """OUTPUT/NAME. Raises ConfigError for an output that is no folder: the state is written often."""
    folder = local_path(config.output)
    if folder is None:
        raise ConfigError("output", found=config.output, expected="a local folder; copy the checkpoint afterwards")
    return folder / config.name


def build_card(config: TrainConfig) -> Card:
    """The card of the checkpoint to come, without scores."""
    groups = build_groups(config.groups)
    if config.init:
        # Fine-tuning keeps the inputs of what it starts from, ranges included.
        groups = load_checkpoint(config.init).card.groups
    check_groups(groups, config.anchors)
    parameters = dict(config.net.parameters)
    if config.regions and parameters.get("location") == "region":
        parameters["regions"] = len(config.regions)
    record = config.model_dump(
        mode="json", exclude={"output", "execution", "device", "threads", "loaders", "simulators", "chips"}
    )
    for source in (*record["train"], *record["validation"]):
        # Names, not places: the same recipe is the same wherever its files lie.
        for key in ("path", "samples", "infrared"):
            source[key] = Path(source[key]).name if source[key] else None
    record["init"] = load_checkpoint(config.init).digest if config.init else None
    return Card(
        name=config.name,
        net=config.net.name,
        parameters=parameters,
        scheme=config.scheme,
        groups=groups,
        anchors=tuple(config.anchors),
        window_px=config.window_px,
        stride_px=config.stride_px or max(1, config.window_px // 2),
        regions=tuple(config.regions),
        res_m=(float(config.res_m),),
        training={"recipe": record, "version": __version__, "torch": torch.__version__},
        simulated=config.uses_simulation,
        licence=config.licence,
    )


def build_start(config: TrainConfig, card: Card) -> Net:
    """The net to train: fresh from the seed, or with the weights of `init`, which must fit.

    A start of another scheme gives all it knows but its head, whose classes mean something else.
    """
    torch.manual_seed(config.seed)
    net = build_net(card.net, {g.name: g.n_planes for g in card.groups}, card.classes.n_classes, card.parameters)
    if config.init:
        start = load_checkpoint(config.init)
        same = (start.card.net, dict(start.card.parameters))
        if same != (card.net, dict(card.parameters)):
            raise ConfigError(
                "init",
                found=f"net {same[0]!r} {same[1]}",
                expected=f"{card.net!r} {dict(card.parameters)}, as this configuration has them",
            )
        known, fresh = load_net(start).state_dict(), net.state_dict()
        heads = tuple(f"{name}." for name, module in net.named_modules() if isinstance(module, Head))
        kept = () if start.card.scheme == card.scheme else heads
        net.load_state_dict({name: (fresh if name.startswith(kept) else known)[name] for name in fresh})
    return net


def build_sampler(config: TrainConfig, card: Card) -> Sampler:
    augmentation = None if config.augment is None else replace(Augmentation(), **_as_fields(config.augment))
    return Sampler(
        build_source(config, config.train, card.groups, "train"),
        card.groups,
        card.classes,
        config.window_px,
        config.batch,
        config.seed,
        augmentation,
        config.focus or default_focus(card.classes),
        card.anchors,
        distance=config.loss.boundary > 0,
        borrow=config.borrow,
    )


def build_source(
    config: TrainConfig, options: list[SourceOptions], groups: tuple[Group, ...], side: Side
) -> ChipSource:
    sources = [_source(config, entry, groups) for entry in options]
    if config.fold and side != "buffer":
        fold = Fold(config.fold.west, config.fold.east, config.fold.buffer_km)
        # A simulated world has no place on Earth; its seeds keep the sets apart.
        sources = [
            source if entry.kind == "simulated" else OneSide(source, fold, side)
            for entry, source in zip(options, sources, strict=True)
        ]
    return sources[0] if len(sources) == 1 else Mixture(tuple(sources), tuple(entry.share for entry in options))


def validation_chips(config: TrainConfig, groups: tuple[Group, ...]) -> tuple[Chip, ...]:
    """The same number of every validation source, cut but not augmented; the same ones every time.

    Sources that can be listed give different chips, of which the middle is taken; tile stores are drawn from.
    """
    out: list[Chip] = []
    for entry in config.validation:
        source = build_source(config, [entry], groups, "validation")
        listed = _listed(source, config.validation_chips)
        if listed is not None:
            out += [_central(chip, config.window_px) for chip in listed]
            continue
        sampler = Sampler(
            source,
            groups,
            scheme(config.scheme),
            config.window_px,
            1,
            config.seed + _VALIDATION_SEED,
            augmentation=None,
            anchors=tuple(config.anchors),
        )
        out += [sampler.chip(k, 0) for k in range(config.validation_chips)]
    return tuple(out)


def _listed(source: ChipSource, n: int) -> list[Chip] | None:
    """n different chips of a source that can be listed, None of another. Of a fold, those that lie in it."""
    if isinstance(source, (ChipFolder, SimulatedChips)):
        return source.pick(n)
    if isinstance(source, OneSide) and isinstance(source.source, ChipFolder):
        inside = [path for path in source.source.files() if source.fold.side_of(load_chip(path)) == source.side]
        return [load_chip(path) for path in evenly(inside, n)]
    return None


def _central(chip: Chip, size_px: int) -> Chip:
    """The middle of a chip, or all of one that is smaller, filled up with what was not observed."""
    row, col = (max(0, (side - size_px) // 2) for side in chip.shape)
    filled = filled_up(chip, size_px)
    return filled.cut(row, col, size_px, size_px)


def _source(config: TrainConfig, entry: SourceOptions, groups: tuple[Group, ...]) -> ChipSource:
    if entry.kind == "simulated":
        return simulated_source(config, entry, groups)
    assert entry.path is not None, "checked by the configuration"
    if entry.kind == "chips":
        return ChipFolder(entry.path, tuple(entry.regions))
    run = load_config(entry.path)
    wanted = entry.sensors or list(needed_bands(groups))
    anchor = next((name for name in config.anchors if name in wanted), wanted[0])
    return TileWindows(
        name=entry.name or run.name,
        store=run.tiles,
        epochs=tuple((name, run.epoch_of(name)) for name in wanted),
        # The end of the season of melt, to a few months; outlines are rarely dated better.
        year=run.year + 0.7,
        inventory=tuple(run.inventory),
        res_m=config.res_m,
        size_px=_size_px(config, entry),
        regions=tuple(entry.regions),
        exclude=tuple(entry.exclude),
        anchor=anchor,
        area_power=entry.area_power,
        beside=entry.beside,
        weak_classes=entry.weak_classes,
        sun=entry.sun,
        infrared=entry.infrared,
        rules=OutlineRules(ring_m=entry.ring_m),
        backend=run.storage.backend,
    )


def simulated_source(config: TrainConfig, entry: SourceOptions, groups: tuple[Group, ...]) -> SimulatedChips:
    return SimulatedChips(
        str(training_folder(config).parent / config.chips),
        entry.first_seed,
        entry.seeds,
        _size_px(config, entry),
        config.res_m,
        tuple(needed_bands(groups).items()),
        entry.stride,
        entry.site,
        entry.samples,
        tuple(entry.regions),
    )


def fill_chips(config: TrainConfig, watch: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Simulate what the sources of a training lack, before it starts."""
    groups = build_card(config).groups
    sources = [
        simulated_source(config, s, groups) for s in (*config.train, *config.validation) if s.kind == "simulated"
    ]
    totals = [len(source.missing()) for source in sources]
    for k, source in enumerate(sources):
        before = sum(totals[:k])
        source.fill(config.simulators, lambda done, _, before=before: watch(before + done, sum(totals)))  # type: ignore[misc]


def _size_px(config: TrainConfig, entry: SourceOptions) -> int:
    return entry.size_px or config.window_px * 5 // 4


def settings_of(config: TrainConfig) -> TrainSettings:
    return TrainSettings(
        epochs=config.epochs,
        steps_per_epoch=config.steps_per_epoch,
        lr=config.lr,
        optimiser=config.optimiser,
        weight_decay=config.weight_decay,
        restarts=tuple(config.restarts),
        warmup=config.warmup,
        ema=config.ema,
        clip=config.clip,
        patience=config.patience,
        amp=config.amp,
        compile=config.compile,
        seed=config.seed,
        workers=config.loaders,
        loss=LossWeights(**config.loss.model_dump()),
    )


def _as_fields(changes: dict[str, float | bool]) -> dict[str, Any]:
    return {name: bool(value) if name == "turns" else float(value) for name, value in changes.items()}


def longitudes(config: TrainConfig) -> NDArray[np.float64]:
    """Of everything that the training sources hold and that has a place on Earth, degrees: what folds are cut from."""
    groups = build_card(config).groups
    found: list[NDArray[np.float64]] = []
    for entry in config.train:
        source = None if entry.kind == "simulated" else _source(config, entry, groups)
        if isinstance(source, TileWindows):
            found.append(source.longitudes())
        elif isinstance(source, ChipFolder):
            found.append(np.array([load_chip(path).lon for path in source.files()]))
    if not found:
        raise ConfigError(
            "folds", found="simulated sources alone", expected="chips or tiles, which have a place on Earth"
        )
    return np.concatenate(found)
