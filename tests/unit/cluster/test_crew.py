"""How many actors a cluster gets, and where they may go."""

from __future__ import annotations

import pytest

from cluster.crew import Post, crew
from core.config import ExecutionConfig

DEFAULT = ExecutionConfig()
MAPPER, SURVEYOR = {"icefleet_mapper": 1.0}, {"icefleet_surveyor": 1.0}


def numbers(posts: list[Post]) -> tuple[int, int]:
    mapper, surveyor = posts
    assert (mapper.role, surveyor.role) == ("mapper", "surveyor")
    return mapper.number, surveyor.number


def test_without_gpus_half_of_the_cpus_map():
    posts = crew(DEFAULT, [{"CPU": 8}])
    assert numbers(posts) == (4, 4)
    assert all(post.num_cpus == 1 and not post.num_gpus and not post.resources for post in posts)


def test_each_gpu_gets_a_mapper_and_the_other_cpus_survey():
    mapper, surveyor = crew(DEFAULT, [{"CPU": 16, "GPU": 4}, {"CPU": 8}])
    assert (mapper.number, mapper.num_gpus) == (4, 1)
    assert (surveyor.number, surveyor.num_gpus) == (20, 0)


def test_nodes_of_one_role_are_counted_for_that_role_alone():
    posts = crew(DEFAULT, [{"CPU": 2}, {"CPU": 4, **MAPPER}, {"CPU": 4, **MAPPER}, {"CPU": 3, **SURVEYOR}])
    assert numbers(posts) == (8, 3)
    assert [list(post.resources) for post in posts] == [["icefleet_mapper"], ["icefleet_surveyor"]]


def test_more_actors_than_cpus_share_them_and_all_find_room():
    for cpus in (1, 2, 3, 7):
        posts = crew(ExecutionConfig(mappers=5, surveyors=4), [{"CPU": cpus}])
        assert 0 < sum(post.number * post.num_cpus for post in posts) <= cpus


def test_more_actors_of_a_role_than_cpus_of_its_nodes_share_them():
    mapper, surveyor = crew(ExecutionConfig(mappers=6), [{"CPU": 4, **MAPPER}, {"CPU": 2, **SURVEYOR}])
    assert mapper.number * mapper.num_cpus <= 4 and surveyor.num_cpus == 1


@pytest.mark.parametrize("nodes", [[], [{"memory": 1.0}], [{"CPU": 0}]])
def test_a_cluster_that_has_still_to_scale_up_is_asked_for_whole_cpus(nodes):
    posts = crew(ExecutionConfig(mappers=3), nodes)
    assert numbers(posts) == (3, 1) and all(post.num_cpus == 1 for post in posts)
