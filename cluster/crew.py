"""How many actors of each role a cluster gets, and what one of them asks for. Pure arithmetic, no ray.

Nodes that offer the custom resource `icefleet_mapper` or `icefleet_surveyor` get the actors of that role and no other
node does; where no node offers a role, every node does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.config import ExecutionConfig

ROLE_RESOURCE = "icefleet_{role}"
_TOKEN = 1e-3  # of a role's resource: it says where an actor may go, not how many
_FINEST = 1e4  # Ray counts in ten-thousandths


@dataclass(frozen=True)
class Post:
    """number: actors of this role; the rest is what each of them asks of its node."""

    role: str
    number: int
    num_cpus: float
    num_gpus: float = 0
    resources: Mapping[str, float] = field(default_factory=dict)


def crew(execution: ExecutionConfig, nodes: Sequence[Mapping[str, float]]) -> list[Post]:
    """Posts for a cluster whose nodes offer these resources; what the configuration says wins.

    A cluster without a CPU yet is one that scales up: actors ask for whole CPUs there, so that it does.
    """
    homes = {role: _homes(role, nodes) for role in ("mapper", "surveyor")}
    cpus = {role: _sum("CPU", indices, nodes) for role, indices in homes.items()}
    gpus = int(_sum("GPU", homes["mapper"], nodes))
    shared = homes["mapper"] & homes["surveyor"]
    if shared:
        every = _sum("CPU", homes["mapper"] | homes["surveyor"], nodes)
        mappers = execution.mappers or gpus or max(1, int(every) // 2)
        surveyors = execution.surveyors or max(1, int(every) - mappers)
        each = {role: _share(every, mappers + surveyors) for role in homes}
    else:
        mappers = execution.mappers or gpus or max(1, int(cpus["mapper"]))
        surveyors = execution.surveyors or max(1, int(cpus["surveyor"]))
        each = {"mapper": _share(cpus["mapper"], mappers), "surveyor": _share(cpus["surveyor"], surveyors)}
    return [
        Post("mapper", mappers, each["mapper"], 1 if gpus else 0, _token("mapper", nodes)),
        Post("surveyor", surveyors, each["surveyor"], 0, _token("surveyor", nodes)),
    ]


def _homes(role: str, nodes: Sequence[Mapping[str, float]]) -> set[int]:
    name = ROLE_RESOURCE.format(role=role)
    return {k for k, node in enumerate(nodes) if name in node} or set(range(len(nodes)))


def _token(role: str, nodes: Sequence[Mapping[str, float]]) -> dict[str, float]:
    name = ROLE_RESOURCE.format(role=role)
    return {name: _TOKEN} if any(name in node for node in nodes) else {}


def _sum(resource: str, indices: set[int], nodes: Sequence[Mapping[str, float]]) -> float:
    return sum(nodes[k].get(resource, 0.0) for k in indices)


def _share(cpus: float, actors: int) -> float:
    """CPUs for one: where there are more actors than CPUs they share, or the last ones would wait for ever."""
    if actors <= cpus or not cpus:
        return 1.0
    return math.floor(cpus / actors * _FINEST) / _FINEST
