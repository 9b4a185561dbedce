"""Checkpoints: training resumed from one equals training never stopped, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mgsflow.core.errors import UserError
from mgsflow.core.files import remove
from mgsflow.core.progress import say
from mgsflow.models.storage import load_tensors, save_tensors

_JSON = "json"  # name of the tensor that holds the JSON's bytes
_TENSOR, _TUPLE, _PAIRS = "$tensor", "$tuple", "$pairs"


class Checkpoints:
    """The latest state of one training, in a file of its own under `folder`.

    `fingerprint` identifies settings, data and code (`models.storage.fingerprint`): a training
    that differs in any of them does not use the other's checkpoint. Keep `folder` outside a
    rule's declared outputs, which Snakemake deletes before the rule runs.

        state = checkpoints.load()
        if state is not None:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
        ...
        checkpoints.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(),
                          "epoch": epoch, "history": history})
        ...
        checkpoints.clear()
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = Path(folder)
        self.fingerprint = fingerprint
        self.path = self.folder / f"{fingerprint[:24]}.safetensors"

    def save(self, state: Mapping[str, Any]) -> None:
        """Atomically replace the checkpoint by `state`.

        `state` is a tree of dicts (with text or int keys), lists, tuples, tensors, numbers, text
        and None, such as the `state_dict()` of a module or an optimizer, or the `get_state()` of a
        generator. The states of torch's global generators are saved with it.
        """
        tree = {"fingerprint": self.fingerprint, "state": dict(state), "random": _random_state()}
        tensors, values = flatten(tree)
        text = json.dumps(values).encode()
        tensors[_JSON] = torch.from_numpy(np.frombuffer(text, dtype=np.uint8).copy())
        save_tensors(self.path, tensors)

    def load(self) -> dict[str, Any] | None:
        """The latest state, or None if there is none; also restores torch's global generators.

        A file that cannot be read is reported and removed, and None is returned: the training
        restarts rather than continue from a half-written state.
        """
        if not self.path.exists():
            return None
        try:
            tensors = load_tensors(self.path)
            values = json.loads(bytes(tensors.pop(_JSON).numpy()))
            tree = unflatten(tensors, values)
        except (UserError, KeyError, ValueError) as error:
            say(f"{self.path}: not a complete checkpoint ({error}); training starts anew")
            remove(self.path)
            return None
        if tree["fingerprint"] != self.fingerprint:
            return None
        _set_random_state(tree["random"])
        return tree["state"]

    def clear(self) -> None:
        """Remove the checkpoint: the training has ended and its outputs are written."""
        remove(self.path)


def flatten(tree: Any) -> tuple[dict[str, Tensor], Any]:
    """A tree as named tensors and JSON; `unflatten` is its inverse.

    Raises TypeError for a leaf that is neither a tensor nor JSON.
    """
    tensors: dict[str, Tensor] = {}
    return tensors, _encode(tree, tensors)


def _encode(node: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(node, Tensor):
        name = f"{len(tensors):06d}"
        tensors[name] = node
        return {_TENSOR: name}
    if isinstance(node, Mapping):
        # pairs, because JSON would turn the int keys of an optimizer's state into text
        return {_PAIRS: [[key, _encode(value, tensors)] for key, value in node.items()]}
    if isinstance(node, tuple):
        return {_TUPLE: [_encode(item, tensors) for item in node]}
    if isinstance(node, list):
        return [_encode(item, tensors) for item in node]
    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    raise TypeError(f"a checkpoint holds tensors and JSON, not {type(node).__name__}")


def unflatten(tensors: Mapping[str, Tensor], values: Any) -> Any:
    """The inverse of `flatten`."""
    if isinstance(values, list):
        return [unflatten(tensors, item) for item in values]
    if not isinstance(values, dict):
        return values
    ((kind, content),) = values.items()
    if kind == _TENSOR:
        return tensors[content]
    if kind == _TUPLE:
        return tuple(unflatten(tensors, item) for item in content)
    return {key: unflatten(tensors, value) for key, value in content}


def _random_state() -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
