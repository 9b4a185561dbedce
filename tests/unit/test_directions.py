"""Latent directions: the regression, the representative galaxy, and what is decoded."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
from small_vae import LATENT, LAYOUT, STRETCH, save_small_vae

from mgsflow.config import Evaluation, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.tables import write_table
from mgsflow.evaluation.latent.directions import directions, path_through, regress, representative
from mgsflow.models.encoders.vae import load_vae

N = 400
SCALES = np.array([1.0, 0.5, 2.0, 1.0, 1.0, 0.01])
# of the redshift, per standard deviation of each latent
COEFFICIENTS = np.array([-0.03, 0.001, 0.05, 0.002, 0.01, 0.0])


def test_regression_tells_a_cause_from_what_goes_with_it():
    """One latent at a time would give the idle second latent most of the first one's slope."""
    random = np.random.default_rng(0)
    first = random.standard_normal(2000)
    second = 0.9 * first + np.sqrt(1 - 0.9**2) * random.standard_normal(2000)
    values = 7 + 2 * first + 0.1 * random.standard_normal(2000)
    result = regress(np.column_stack([first, second]), values)
    assert result.coefficients == pytest.approx([2, 0], abs=0.03)
    assert result.intercept == pytest.approx(7, abs=0.02)
    assert result.r2 == pytest.approx(1 - 0.01 / 4.01, abs=1e-3)


def test_the_strongest_dimensions_are_those_of_either_sign():
    result = regress(np.eye(4) * 2, np.array([0.1, -3.0, 1.0, -0.2]))
    assert list(result.strongest(2)) == [1, 2]
    assert len(result.strongest(9)) == 4


def test_the_representative_is_typical_in_the_target_and_bright():
    latents = np.array([[0.0, 0], [0, 0.1], [0.5, 0], [0, 0.3], [9, 9], [0, 0]])
    values = np.array([0.0, 0.50, 0.51, 0.52, 0.53, 1.0])
    magnitudes = np.array([14, 18, 15, 14, 14, 14.0])
    # 0 and 5 are extreme, 1 is faint, 2 and 3 are left, and 3 is nearer to the median latents
    assert representative(latents, values, magnitudes) in (2, 3)
    assert representative(latents, values, None) in (2, 3)
    middle = (values >= np.quantile(values, 0.4)) & (values <= np.quantile(values, 0.6))
    assert middle[representative(latents, values, None)]


def test_a_tie_does_not_depend_on_the_order_of_the_table():
    latents, values = np.zeros((6, 2)), np.full(6, 0.1)
    order = np.array([5.0, 3, 1, 4, 2, 6])
    assert representative(latents, values, None, order) == 2
    assert representative(latents, values, None, order[::-1]) == 3


def test_only_the_chosen_dimensions_move():
    base = np.array([1.0, 2, 3, 4])
    path = path_through(base, np.array([3, 1]), np.array([-0.5, 2.0]), np.array([-2.0, 0, 1]))
    assert path.tolist() == [[1, -2, 3, 5], [1, 2, 3, 4], [1, 4, 3, 3.5]]


@pytest.fixture(scope="module")
def sky() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features and latents, in different orders; only training galaxies obey COEFFICIENTS."""
    random = np.random.default_rng(3)
    objid = 1237648720000000000 + np.arange(N)
    means = 0.3 + SCALES * random.standard_normal((N, LATENT))
    sets = np.array(["train", "test"])[(np.arange(N) % 4 == 0).astype(int)]
    redshift = 0.15 + ((means - 0.3) / SCALES) @ COEFFICIENTS
    redshift[sets == "test"] = random.uniform(0, 9, int((sets == "test").sum()))
    features = pd.DataFrame({"objid": objid, "set": sets, "redshift": redshift})
    features["mag_r"] = random.uniform(15, 17.7, N)
    features["metallicity"] = np.where(np.arange(N) % 3 == 0, np.nan, 8.8 - 0.2 * means[:, 4])
    latents = pd.DataFrame(means, columns=[f"latent_mean_{k:02d}" for k in range(LATENT)])
    latents[[f"latent_std_{k:02d}" for k in range(LATENT)]] = 0.1
    latents["objid"] = objid
    return features, latents.sample(frac=1, random_state=1)


def _decode(folder, sky, layout=LAYOUT, **settings):
    save_small_vae(folder, layout)
    write_table(folder / "features.parquet", sky[0])
    write_table(folder / "latents.parquet", sky[1])
    evaluation = {"direction_targets": ["redshift", "metallicity"], "direction_steps": 5}
    directions(
        encoder=folder,
        latents=folder / "latents.parquet",
        features=folder / "features.parquet",
        evaluation=Evaluation(**evaluation | settings),
        targets=Targets(properties=["redshift", "metallicity"], lines=[]),
        seed=1,
        out=folder / "directions.h5",
    )
    return h5py.File(folder / "directions.h5", "r")


@pytest.fixture(scope="module")
def decoded(sky, tmp_path_factory):
    folder = tmp_path_factory.mktemp("directions")
    with _decode(folder, sky, direction_range=2.0) as file:
        yield file, load_vae(folder)


def test_the_dimensions_are_those_that_made_the_redshift(decoded):
    group = decoded[0]["redshift"]
    assert list(group["dimensions"]) == [2, 0, 4]
    assert list(group["signs"]) == [1, -1, 1]
    assert group["all_coefficients"][:] == pytest.approx(COEFFICIENTS, rel=0.15, abs=1e-4)
    assert group.attrs["r2"] == pytest.approx(1, abs=1e-6)
    # metallicity is regressed where it is measured
    assert decoded[0]["metallicity/dimensions"][0] == 4
    assert decoded[0]["metallicity/signs"][0] == -1


def test_the_images_are_the_decoders_along_the_path(decoded, sky):
    file, vae = decoded
    group, (features, latents) = file["redshift"], sky
    own = latents[latents["objid"] == group.attrs["objid"]].iloc[0]
    base = own[[f"latent_mean_{k:02d}" for k in range(LATENT)]].to_numpy(np.float64)
    train = latents[latents["objid"].isin(features.query("set == 'train'")["objid"])]
    assert list(group["steps"]) == [-2, -1, 0, 1, 2]
    for step, image in zip(group["steps"], group["images"], strict=True):
        moved = base.copy()
        for k, sign in ((2, 1), (0, -1), (4, 1)):
            moved[k] += step * sign * train[f"latent_mean_{k:02d}"].std(ddof=0)
        np.testing.assert_allclose(image, vae.decode(moved[None])[0], atol=1e-5)
    assert group["images"].shape == (5, 3, 16, 16)


def test_the_redshift_rises_along_the_path(sky, decoded):
    group = decoded[0]["redshift"]
    rise = np.abs(group["coefficients"][:]).sum()  # for each sigma, as each latent goes its sign
    assert rise == pytest.approx(np.abs(COEFFICIENTS[[0, 2, 4]]).sum(), rel=0.15)


def test_nanomaggies_are_the_stretch_undone(decoded):
    group = decoded[0]["redshift"]
    back = STRETCH(group["images_nanomaggies"][:])
    np.testing.assert_allclose(back, group["images"][:], atol=1e-5)
    assert decoded[0].attrs["unit"] == "nanomaggy"
    assert list(decoded[0].attrs["bands"]) == ["g", "r", "i"]


def test_the_representative_is_a_bright_training_galaxy_of_middling_redshift(decoded, sky):
    features = sky[0].query("set == 'train'").set_index("objid")
    chosen = features.loc[decoded[0]["redshift"].attrs["objid"]]
    assert chosen["mag_r"] <= features["mag_r"].median()
    assert abs((features["redshift"] < chosen["redshift"]).mean() - 0.5) <= 0.11
    assert decoded[0]["redshift"].attrs["value"] == chosen["redshift"]


def test_a_property_the_run_lacks_has_no_group_and_jpeg_stamps_no_nanomaggies(sky, tmp_path):
    jpeg = replace(LAYOUT, provider="files", dtype="uint8")
    wanted = ["log_sfr", "metallicity"]
    table = sky[0].drop(columns="mag_r")  # a run of images alone
    with _decode(tmp_path, (table, sky[1]), jpeg, direction_targets=wanted) as file:
        assert list(file) == ["metallicity"]
        assert "images_nanomaggies" not in file["metallicity"]


def test_the_same_seed_gives_the_same_bytes_whatever_the_order_of_the_rows(sky, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
    _decode(one, sky).close()
    _decode(other, tuple(table.sample(frac=1, random_state=9) for table in sky)).close()
    assert (one / "directions.h5").read_bytes() == (other / "directions.h5").read_bytes()


def test_latents_of_other_galaxies_are_refused(sky, tmp_path):
    latents = sky[1].assign(objid=sky[1]["objid"] + 10**9)
    with pytest.raises(UserError, match="no latents of any training galaxy"):
        _decode(tmp_path, (sky[0], latents))
