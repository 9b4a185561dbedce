"""A training taken up from a checkpoint equals one that never stopped."""

import pytest
import torch

from mgsflow.training.checkpoints import Checkpoints, flatten, unflatten


class InterruptionError(Exception):
    pass


def _train(checkpoints, optimizer_class, epochs=6, stop_after=None):
    """A small training with dropout, which draws from torch's global generator."""
    torch.manual_seed(3)
    data = torch.randn(32, 5, generator=torch.Generator().manual_seed(0))
    model = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 1))
    optimizer = optimizer_class(model.parameters(), lr=1e-2)
    history, start = [], 0
    state = checkpoints.load()
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        history, start = state["history"], state["epoch"]
    for epoch in range(start, epochs):
        optimizer.zero_grad()
        loss = (model(data) ** 2).mean()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
        checkpoints.save(
            {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "history": history,
                "epoch": epoch + 1,
            }
        )
        if epoch + 1 == stop_after:
            raise InterruptionError
    checkpoints.clear()
    return model.state_dict(), history


@pytest.mark.parametrize("optimizer_class", [torch.optim.Adam, torch.optim.AdamW])
def test_resumed_equals_never_stopped(tmp_path, optimizer_class):
    weights, history = _train(Checkpoints(tmp_path / "whole", "f" * 64), optimizer_class)
    with pytest.raises(InterruptionError):
        _train(Checkpoints(tmp_path / "part", "f" * 64), optimizer_class, stop_after=3)
    resumed, resumed_history = _train(Checkpoints(tmp_path / "part", "f" * 64), optimizer_class)
    assert resumed_history == history
    assert all(torch.equal(resumed[name], weights[name]) for name in weights)


def test_another_fingerprint_finds_nothing(tmp_path):
    Checkpoints(tmp_path, "a" * 64).save({"epoch": 1})
    assert Checkpoints(tmp_path, "b" * 64).load() is None
    # a clash of the shortened names must not hand over another training's state either
    assert Checkpoints(tmp_path, "a" * 63 + "b").load() is None
    assert Checkpoints(tmp_path, "a" * 64).load() == {"epoch": 1}


def test_clear_leaves_nothing(tmp_path):
    checkpoints = Checkpoints(tmp_path, "a" * 64)
    checkpoints.save({"epoch": 1})
    checkpoints.clear()
    assert checkpoints.load() is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-7], lambda data: b"", lambda data: data[:50]]
)
def test_half_written_checkpoint_is_reported_and_not_used(tmp_path, damage, capsys):
    checkpoints = Checkpoints(tmp_path, "a" * 64)
    checkpoints.save({"epoch": 1, "weights": torch.ones(100)})
    checkpoints.path.write_bytes(damage(checkpoints.path.read_bytes()))
    assert checkpoints.load() is None
    assert "starts anew" in capsys.readouterr().err


def test_failed_save_keeps_the_checkpoint_before(tmp_path):
    checkpoints = Checkpoints(tmp_path, "a" * 64)
    checkpoints.save({"epoch": 1})
    with pytest.raises(TypeError, match="object"):
        checkpoints.save({"epoch": object()})
    assert checkpoints.load() == {"epoch": 1}


def test_tree_comes_back_as_it_was():
    tree = {
        "state": {0: {"step": torch.tensor(3.0)}, 1: {}},
        "groups": [{"betas": (0.9, 0.999), "lr": 1e-4, "fused": None}],
        "best": float("inf"),
        "$tensor": "a key that looks like ours",
        "seed": 2**127,
    }
    tensors, values = flatten(tree)
    back = unflatten(tensors, values)
    assert torch.equal(back["state"][0].pop("step"), tree["state"][0].pop("step"))
    assert back == tree
    assert isinstance(back["groups"][0]["betas"], tuple)
