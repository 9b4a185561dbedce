"""The seam between encoders and what uses them: an encoder of any kind does for the VAE."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from mean_colours import KIND, load_mean_colours, save_mean_colours
from small_vae import LAYOUT, save_small_vae
from synthetic_stamps import write_run

from mgsflow.config import Compute, Evaluation, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.latents import LATENT_COLUMN, is_latent, latent_columns, latent_means
from mgsflow.core.tables import read_quantities, read_table
from mgsflow.evaluation.latent.directions import directions
from mgsflow.evaluation.out_of_distribution.out_of_distribution import _encoded
from mgsflow.models.encoders import registry
from mgsflow.models.encoders.base import Decoder, latent_table
from mgsflow.models.encoders.registry import LOADERS, load_decoder, load_encoder
from mgsflow.models.storage import save_model
from mgsflow.sample.shards import StampSet
from mgsflow.training.encode import encode

SOURCE = Path(registry.__file__).parents[2]


@pytest.fixture
def toy(monkeypatch):
    """A second kind of encoder among those there are."""
    monkeypatch.setitem(LOADERS, KIND, load_mean_colours)


@pytest.mark.parametrize("save", [save_small_vae, save_mean_colours])
def test_an_encoder_is_loaded_by_the_kind_that_its_folder_states(toy, tmp_path, save):
    encoder = load_encoder(save(tmp_path, LAYOUT))
    assert encoder.layout == LAYOUT
    encoder.check(LAYOUT)
    raw = np.random.default_rng(0).normal(0, 1, (5, *LAYOUT.shape)).astype(np.float16)
    latents = encoder.encode(raw)
    assert latents.dtype == np.float32
    table = latent_table(encoder, latents)
    names = list(table)
    assert all(LATENT_COLUMN.fullmatch(name) for name in names)
    assert latent_columns(names[::-1]) == names, "in the order in which the flows take them"
    assert latent_means(names), "every encoder has a representation"
    assert len({column.description for column in encoder.columns}) == len(names)
    alone = encoder.encode(raw[2:3])
    np.testing.assert_allclose(alone, latents[2:3], atol=1e-5)


def test_only_what_can_decode_is_a_decoder(toy, tmp_path):
    vae, toy_encoder = tmp_path / "vae", tmp_path / "toy"
    assert isinstance(load_decoder(save_small_vae(vae)), Decoder)
    assert not isinstance(load_encoder(save_mean_colours(toy_encoder, LAYOUT)), Decoder)
    with pytest.raises(UserError, match=r"mean_colours cannot decode.*direction_targets to \[\]"):
        load_decoder(toy_encoder)


def test_directions_of_an_encoder_that_cannot_decode_are_refused_in_words(toy, tmp_path):
    with pytest.raises(UserError, match="mean_colours cannot decode"):
        directions(
            encoder=save_mean_colours(tmp_path, LAYOUT),
            latents=tmp_path / "latents.parquet",
            features=tmp_path / "features.parquet",
            evaluation=Evaluation(),
            targets=Targets(),
            seed=1,
            out=tmp_path / "directions.h5",
        )
    assert not (tmp_path / "directions.h5").exists()


@pytest.mark.parametrize(
    ("facts", "kind"),
    [({"architecture": {"kind": KIND}}, KIND), ({"architecture": {"inputs": 9}}, None), ({}, None)],
)
def test_a_folder_without_an_encoder_that_is_known_is_refused(tmp_path, facts, kind):
    save_model(tmp_path, {}, facts)
    message = rf"{re.escape(str(tmp_path))}: describes no encoder.* the kind {kind}, expected vae"
    with pytest.raises(UserError, match=message):
        load_encoder(tmp_path)


def test_the_stage_encode_writes_what_the_encoder_says(toy, tmp_path):
    paths, _ = write_run(tmp_path, count=9, shards=2)
    stamps = StampSet(paths, pd.read_parquet(tmp_path / "index.parquet"))
    folder = save_mean_colours(tmp_path / "encoder", stamps.layout)
    encode(
        shards=paths,
        index=tmp_path / "index.parquet",
        encoder=folder,
        compute=Compute(device="cpu", vae_threads=1),
        out=tmp_path / "latents.parquet",
    )
    table = read_table(tmp_path / "latents.parquet")
    assert list(table["objid"]) == list(stamps.objid)
    expected = load_encoder(folder).encode(stamps.raw(np.arange(len(stamps))))
    np.testing.assert_array_equal(table.filter(like="latent_"), expected)
    described = [q for q in read_quantities(tmp_path / "latents.parquet") if is_latent(q.name)]
    assert [q.description for q in described] == [f"Mean of the pixels in {b}" for b in "gri"]


def test_anomalies_get_the_latents_of_the_encoder_that_is_given(toy, tmp_path):
    raw = np.random.default_rng(0).normal(0, 1, (2, *LAYOUT.shape)).astype(np.float16)
    with h5py.File(tmp_path / "anomalies.h5", "w") as file:
        file["stamps"] = raw
    encoder = load_encoder(save_mean_colours(tmp_path, LAYOUT))
    table = _encoded(pd.DataFrame({"stamp": [0, -1, 1]}), tmp_path / "anomalies.h5", encoder)
    latents = table[[column.name for column in encoder.columns]].to_numpy()
    np.testing.assert_array_equal(latents[[0, 2]], encoder.encode(raw))
    assert np.isnan(latents[1]).all()


# Beside its own modules and its training, those of the baseline whose network is a VAE as well.
OF_THE_VAE = {
    "models/encoders/registry.py",
    "models/encoders/vae_blocks.py",
    "models/conditional_vae.py",
    "baselines/conditional_vae_fitting.py",
    *(f"training/{name}.py" for name in ("train_vae", "epochs", "steps", "batches")),
}


def test_nothing_else_knows_the_vae_by_name():
    importing = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                if any(name.startswith("mgsflow.models.encoders.vae") for name in names):
                    importing.add(str(path.relative_to(SOURCE)))
    assert importing == OF_THE_VAE
