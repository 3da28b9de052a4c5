"""torch.compile: every net is one graph, and the compiled net gives the answer of the eager one."""

from __future__ import annotations

import shutil

import pytest
import torch
from net_cases import NAMES, batch, settled, small

from core.models.nets.glavitu_fusion import region_vector


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def ask(name):
    location = region_vector(torch.tensor([0, 3, 11])) if name == "glavitu" else None
    return batch(3, 33, 50), {"sar": torch.tensor([1.0, 0.0, 1.0])}, location


@pytest.mark.parametrize("name", NAMES)
def test_a_net_is_one_graph_with_the_same_answer(name):
    net = settled(small(name))
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    with torch.no_grad():
        assert torch.equal(compiled(*ask(name)), net(*ask(name)))


def test_a_training_step_is_one_graph():
    net = small("glavitu", depth=1).train()
    compiled = torch.compile(net.forward_train, backend="eager", fullgraph=True)
    main, _ = compiled(*ask("glavitu"))
    main.square().mean().backward()
    assert all(p.grad is not None for k, p in net.named_parameters() if not k.startswith("auxiliary"))


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_generated_code_gives_the_same_answer(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    net = settled(small("cnn5"))
    compiled = torch.compile(net, fullgraph=True)
    with torch.no_grad():
        found = compiled(*ask("cnn5"))
    torch.testing.assert_close(found, net(*ask("cnn5")), atol=1e-4, rtol=1e-4)
