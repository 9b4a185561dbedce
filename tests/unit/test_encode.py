"""The stage encode: every good stamp's latents under its own objid."""

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from synthetic_stamps import write_run

from mgsflow.config import Compute, Vae
from mgsflow.core.errors import UserError
from mgsflow.core.tables import read_notes, read_table
from mgsflow.models.encoders.vae import VariationalAutoencoder, describe, load_vae
from mgsflow.models.storage import save_model
from mgsflow.sample.shards import Layout, StampSet
from mgsflow.sample.stretch import Stretch
from mgsflow.training import encode as module
from mgsflow.training.encode import encode


def _model(folder, layout):
    network = VariationalAutoencoder(3, 16, 4, [4, 6, 8])
    facts = describe(network, Stretch(0.1, 5.0), layout) | {"settings": Vae().model_dump()}
    save_model(folder / "vae", network.state_dict(), facts)
    return folder / "vae"


def _encode(folder, paths, encoder):
    encode(
        shards=paths,
        index=folder / "index.parquet",
        encoder=encoder,
        compute=Compute(device="cpu", vae_threads=1),
        out=folder / "latents.parquet",
    )
    return read_table(folder / "latents.parquet")


def test_every_galaxy_has_its_own_latents(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 7)  # batches that end within a shard, and a short last one
    paths, truth = write_run(tmp_path, count=30, shards=3)
    encoder = _model(tmp_path, StampSet(paths, pd.read_parquet(tmp_path / "index.parquet")).layout)
    latents = _encode(tmp_path, paths, encoder)
    assert latents["objid"].dtype == np.int64
    assert sorted(latents["objid"]) == sorted(truth["objid"])
    assert list(latents)[1:] == [f"latent_{k}_{n:02d}" for k in ("mean", "std") for n in range(4)]

    index = pd.read_parquet(tmp_path / "index.parquet")
    stamps = StampSet(paths, index)
    row = 17
    expected = load_vae(encoder).encode(stamps.raw([row]))[0]
    found = latents.set_index("objid").loc[index["objid"][row]].to_numpy()
    assert found == pytest.approx(expected, abs=1e-2)  # bfloat16
    schema = pq.read_schema(tmp_path / "latents.parquet")
    assert schema.field("latent_std_03").metadata[b"description"] == (
        b"Standard deviation of the VAE's latent dimension 3"
    )


def test_stamp_that_is_no_number_is_refused_and_counted(tmp_path, capsys):
    paths, _ = write_run(tmp_path, count=10, shards=2)
    with h5py.File(paths[1], "a") as file:
        file["stamps"][2, 1, 3, 3] = np.nan
        broken = int(file["objid"][2])
    layout = StampSet(paths, pd.read_parquet(tmp_path / "index.parquet")).layout
    latents = _encode(tmp_path, paths, _model(tmp_path, layout))
    assert len(latents) == 9
    assert broken not in set(latents["objid"])
    assert np.isfinite(latents.iloc[:, 1:].to_numpy()).all()
    assert read_notes(tmp_path / "latents.parquet") == {"refused_not_finite": 1}
    assert "rejected 1 of 10" in capsys.readouterr().err


def test_stamps_of_another_kind_are_refused(tmp_path):
    paths, _ = write_run(tmp_path, count=4, shards=1)
    other = Layout("files", ("g", "r", "i"), 16, 0.396, "uint8")
    with pytest.raises(UserError, match="not of the kind"):
        _encode(tmp_path, paths, _model(tmp_path, other))
