"""Training on a cluster: Ray Train starts the workers, each learns from its part of every batch.

Workers build everything from the configuration, as a local training does; gradients are averaged by DistributedData-
Parallel, rank 0 validates and writes. A worker that is lost starts all of them again, from the last saved state, so the
folder of the training has to be one that every node sees.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device, prepare_model

from cluster.fleet import connected
from core.train.config import TrainConfig
from core.train.recipe import build_trainer, training_folder
from core.train.trainer import Ranks, Trained, TrainEvent, outcome
from core.train.watch import Logs

MOST_RESTARTS = 3


def train_on_cluster(config: TrainConfig) -> Trained:
    """Train with `execution.workers` workers on the cluster of `execution.ray_address`, $RAY_ADDRESS, or a local one.

    Raises what Ray raises when a training fails more often than it is started again.
    """
    execution = config.execution
    resources: dict[str, float] = {"CPU": execution.cpus}
    with connected(execution.ray_address):
        TorchTrainer(
            _work,
            train_loop_config=config.model_dump(mode="json"),
            scaling_config=ScalingConfig(
                num_workers=execution.workers,
                use_gpu=execution.gpus > 0,
                resources_per_worker=resources | ({"GPU": execution.gpus} if execution.gpus else {}),
            ),
            run_config=RunConfig(
                name=config.name,
                storage_path=str(training_folder(config) / "ray"),
                failure_config=FailureConfig(max_failures=MOST_RESTARTS),
            ),
        ).fit()
    # Rank 0 wrote it down; what Ray carries back of a training is not needed for anything else.
    return outcome(training_folder(config))


def _work(settings: dict[str, Any]) -> None:
    """What each worker runs."""
    config = TrainConfig.model_validate(settings)
    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    folder: Path = training_folder(config)
    logs = Logs(folder) if rank == 0 else None

    def watch(event: TrainEvent) -> None:
        if logs is not None:
            logs(event)

    def wrap(module: Any) -> Any:
        return prepare_model(module) if size > 1 else module

    trainer = build_trainer(config, watch, Ranks(rank, size, wrap), device=str(get_device()))
    trainer.run()
    if logs is not None:
        logs.close()
