"""Models on disk: equal bytes for equal tensors, and clear errors for what is broken."""

import json

import numpy as np
import pytest
import torch

from mgsflow.core.errors import UserError
from mgsflow.models.storage import (
    fingerprint,
    load_model,
    load_tensors,
    save_model,
    save_tensors,
    software_versions,
)


def _tensors():
    return {
        "weight": torch.randn(4, 3, 5, 5).contiguous(memory_format=torch.channels_last),
        "bias": torch.randn(4, dtype=torch.float64),
        "count": torch.tensor(3),
    }


def test_two_saves_give_equal_bytes_whatever_the_order(tmp_path):
    tensors = _tensors()
    save_tensors(tmp_path / "a.safetensors", tensors)
    save_tensors(tmp_path / "b.safetensors", dict(reversed(tensors.items())))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_round_trip_keeps_values_and_types(tmp_path):
    tensors = _tensors()
    save_tensors(tmp_path / "a.safetensors", tensors)
    loaded = load_tensors(tmp_path / "a.safetensors")
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)


def test_tensors_that_share_memory_are_saved(tmp_path):
    shared = torch.randn(6)
    save_tensors(tmp_path / "a.safetensors", {"whole": shared, "part": shared[:3]})
    assert torch.equal(load_tensors(tmp_path / "a.safetensors")["part"], shared[:3])


def test_absent_and_broken_files_are_the_users(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(UserError, match=r"a\.safetensors: no such file"):
        load_tensors(path)
    save_tensors(path, _tensors())
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        load_tensors(path)


def test_description_is_sorted_json_bound_to_its_weights(tmp_path):
    weights, description = tmp_path / "model.safetensors", tmp_path / "model.json"
    save_model(tmp_path, _tensors(), {"units": ["mag"], "architecture": {"latent": 2}})
    text = json.loads(description.read_text())
    assert list(text) == sorted(text)
    assert text["software"] == software_versions()
    assert text["architecture"] == {"latent": 2}
    assert load_model(tmp_path)[1]["units"] == ["mag"]

    save_tensors(weights, _tensors())  # others, with other random numbers
    with pytest.raises(UserError, match="not the weights that"):
        load_model(tmp_path)


def test_description_that_is_absent_or_not_json_is_the_users(tmp_path):
    weights, description = tmp_path / "model.safetensors", tmp_path / "model.json"
    save_tensors(weights, _tensors())
    with pytest.raises(UserError, match="no such file"):
        load_model(tmp_path)
    description.write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        load_model(tmp_path)


def test_fingerprint_tells_type_shape_and_division_apart():
    values = np.arange(6, dtype=np.int64)
    different = [
        fingerprint(values),
        fingerprint(values.reshape(2, 3)),
        fingerprint(values.astype(np.int32)),
        fingerprint(values[:3], values[3:]),
        fingerprint(values.tobytes()),
        fingerprint({"a": 1}),
        fingerprint({"a": 2}),
    ]
    assert len(set(different)) == len(different)
    assert fingerprint(values) == fingerprint(torch.arange(6))
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    with pytest.raises(TypeError, match="objects"):
        fingerprint(np.array(["a"], dtype=object))
