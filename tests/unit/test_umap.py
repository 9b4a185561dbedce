"""Embeddings in the plane: what is embedded, that it keeps neighbours, that it repeats."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import NearestNeighbors

from mgsflow.config import Evaluation, Photometry, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.tables import read_table, write_table
from mgsflow.evaluation.latent import umap as module

N = 90
SETTINGS = Evaluation(umap_points=70, umap_neighbours=8, umap_targets=["log_stellar_mass"])
LATENTS = [f"latent_mean_{k:02d}" for k in range(4)]


@pytest.fixture(scope="module")
def sky() -> pd.DataFrame:
    """Two kinds of galaxies: one shows in the images, the other in the colours alone."""
    random = np.random.default_rng(0)
    table = pd.DataFrame({"objid": 1237648720000000000 + np.arange(N), "set": "train"})
    table["shape"], table["colour"] = np.arange(N) % 2, np.arange(N) // 2 % 2
    for k, name in enumerate(LATENTS):
        # the last two dimensions are switched off
        table[name] = random.standard_normal(N) * (0.3, 0.3, 1e-4, 1e-4)[k]
    table[LATENTS[0]] += 3 * table["shape"]
    table["latent_std_00"] = 0.1
    for band, shift in zip("gri", (0.0, -2.0, -4.0), strict=True):
        table[f"mag_{band}"] = 17 + shift * table["colour"] + 0.1 * random.standard_normal(N)
    table["log_stellar_mass"] = np.where(np.arange(N) == 3, np.nan, 10 + table["colour"])
    return table


def _embed(folder, table, seed=1, bands=("g", "r", "i")) -> pd.DataFrame:
    write_table(folder / "features.parquet", table)
    module.umap(
        features=folder / "features.parquet",
        evaluation=SETTINGS,
        targets=Targets(properties=["log_stellar_mass"], lines=[]),
        photometry=Photometry(bands=list(bands)),
        seed=seed,
        out=folder / "umap.parquet",
    )
    return read_table(folder / "umap.parquet")


@pytest.fixture
def quick(monkeypatch) -> dict[str, np.ndarray]:
    """The first two columns in place of UMAP, whose compilation takes long; what it was given."""
    given = {}

    def embed(matrix: np.ndarray, evaluation: Evaluation, seed: int) -> np.ndarray:
        given[f"{matrix.shape[1]} columns"] = matrix
        return matrix[:, :2]

    monkeypatch.setattr(module, "embed", embed)
    return given


def _purity(plane: pd.DataFrame, sky: pd.DataFrame, inputs: str, kind: str) -> float:
    """Share of the five nearest neighbours in the plane that are of the same kind."""
    part = plane[plane["inputs"] == inputs]
    kinds = sky.set_index("objid").loc[part["objid"], kind].to_numpy()
    near = NearestNeighbors(n_neighbors=6).fit(part[["x", "y"]]).kneighbors(return_distance=False)
    return float((kinds[near] == kinds[:, None]).mean())


@pytest.mark.slow
def test_umap_shows_the_shape_and_photometry_adds_the_colour_and_it_repeats(sky, tmp_path):
    plane = _embed(tmp_path, sky)
    assert _purity(plane, sky, "images", "shape") > 0.95
    assert _purity(plane, sky, "images", "colour") < 0.75
    assert _purity(plane, sky, "images_photometry", "colour") > 0.95
    again = _embed(tmp_path, sky.sample(frac=1, random_state=4))
    pd.testing.assert_frame_equal(again, plane, check_exact=True)


def test_both_embeddings_are_of_the_same_galaxies_and_carry_their_property(sky, tmp_path, quick):
    plane = _embed(tmp_path, sky)
    images, both = (plane[plane["inputs"] == i] for i in ("images", "images_photometry"))
    assert len(plane) == 2 * SETTINGS.umap_points
    assert images["objid"].to_list() == both["objid"].to_list()
    expected = sky.set_index("objid").loc[images["objid"], "log_stellar_mass"].to_numpy()
    np.testing.assert_array_equal(images["log_stellar_mass"], expected)
    other = _embed(tmp_path, sky, seed=2)
    assert set(other["objid"]) != set(plane["objid"])


def test_photometry_is_standardised_and_latents_keep_their_relative_scales(sky, tmp_path, quick):
    _embed(tmp_path, sky)
    images, both = quick["4 columns"], quick["9 columns"]
    np.testing.assert_array_equal(images, both[:, :4])
    assert both[:, 4:].std(axis=0) == pytest.approx(1, rel=1e-5)
    scales = sky[LATENTS].std().to_numpy()
    assert images.std(axis=0) / images.std(axis=0)[0] == pytest.approx(scales / scales[0], rel=0.2)
    assert images.std(axis=0).max() == pytest.approx(1)


def test_without_images_photometry_alone_without_photometry_images_alone(sky, tmp_path, quick):
    no_images = sky[[name for name in sky if not name.startswith("latent")]]
    assert set(_embed(tmp_path, no_images)["inputs"]) == {"photometry"}
    assert set(_embed(tmp_path, sky, bands=())["inputs"]) == {"images"}


def test_nothing_to_embed_or_too_few_galaxies_are_refused(sky, tmp_path):
    with pytest.raises(UserError, match="neither latents nor photometry"):
        _embed(tmp_path, sky[["objid", "set", "log_stellar_mass"]])
    with pytest.raises(UserError, match="3 galaxies are too few"):
        _embed(tmp_path, sky[:3])
    with pytest.raises(UserError, match="no column log_stellar_mass"):
        _embed(tmp_path, sky.drop(columns="log_stellar_mass"))
