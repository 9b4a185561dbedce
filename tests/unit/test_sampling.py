"""The posteriors' file and the published catalogue hold what docs/contracts.md says."""

import shutil

import numpy as np
import pytest
from astropy.table import Table
from posterior_files import write_posteriors
from synthetic_features import COMPUTE, VARIANT, make_features, train

from mgsflow.config.models import Posteriors
from mgsflow.config.sample import Targets
from mgsflow.core.errors import UserError
from mgsflow.core.tables import write_table
from mgsflow.inference.draws import PosteriorSet, read_posterior
from mgsflow.inference.sample_posteriors import sample_posteriors, summarise
from mgsflow.posterior.posterior import Posterior

TARGETS = Targets()


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    for flow in ("property", "line"):
        train(folder, make_features(), flow, TARGETS)
    sample(folder, "posteriors")
    return folder


def sample(folder, name, property_model="property", **settings):
    sample_posteriors(
        features=folder / "features.parquet",
        property_model=property_model and folder / property_model / VARIANT,
        line_model=folder / "line" / VARIANT,
        posteriors=Posteriors(**({"draws": 30, "chunk": 20} | settings)),
        compute=COMPUTE,
        seed=4,
        out=folder / f"{name}.h5",
        catalogue=folder / f"{name}.fits",
    )


@pytest.mark.parametrize("name", ["validation", "test"])
def test_each_set_is_as_the_contract_says(run_folder, name):
    table = make_features()
    table = table[table["set"] == name]
    found = read_posterior(run_folder / "posteriors.h5", name)
    assert found.targets == [*TARGETS.properties, *TARGETS.lines] and found.variant == VARIANT
    assert found.objid.dtype == np.int64
    np.testing.assert_array_equal(found.objid, table["objid"])
    np.testing.assert_array_equal(found.truth, table[found.targets])
    assert np.isnan(found.truth[:, found.column("metallicity")]).any()
    assert found.draws.shape == (48, 2, 15, 9) and found.draws.dtype == np.float32
    assert found.pooled.shape == (48, 30, 9)
    assert found.mean_head.shape == (48, 2, 9) and found.measurable.shape == (48, 2)
    model = Posterior.load(run_folder / "property" / VARIANT, run_folder / "line" / VARIANT)
    np.testing.assert_allclose(found.mean_head, model.mean_head(table), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.measurable, model.measurable(table), rtol=1e-4)


def test_the_same_seed_gives_the_same_bytes(run_folder):
    sample(run_folder, "again")
    for suffix in ("h5", "fits"):
        first, again = (run_folder / f"{n}.{suffix}" for n in ("posteriors", "again"))
        assert first.read_bytes() == again.read_bytes()


def test_chunks_change_nothing_but_the_last_digits(run_folder):
    sample(run_folder, "chunked", chunk=7)
    one, other = (read_posterior(run_folder / f"{n}.h5", "test") for n in ("posteriors", "chunked"))
    np.testing.assert_allclose(other.draws, one.draws, rtol=1e-4, atol=1e-4)


def test_sets_have_noise_of_their_own(run_folder):
    validation, test = (
        read_posterior(run_folder / "posteriors.h5", name) for name in ("validation", "test")
    )
    ranks = [
        (s.draws - s.draws.mean(axis=2, keepdims=True))[0, 0, :, 0] for s in (validation, test)
    ]
    assert abs(np.corrcoef(*ranks)[0, 1]) < 0.9


def test_the_catalogue_sums_the_draws_up(run_folder):
    catalogue = Table.read(run_folder / "posteriors.fits")
    assert catalogue["objid"].dtype.kind == "i" and len(catalogue) == 96
    rows = catalogue[catalogue["set"] == "test"]
    found = read_posterior(run_folder / "posteriors.h5", "test")
    np.testing.assert_array_equal(rows["objid"], found.objid)
    for target in found.targets:
        pooled = found.pooled[..., found.column(target)]
        np.testing.assert_allclose(rows[f"{target}_mean"], pooled.mean(1), rtol=1e-5)
        np.testing.assert_allclose(rows[f"{target}_std"], pooled.std(1), rtol=1e-3)
        for name, level in (("q16", 0.16), ("q50", 0.5), ("q84", 0.84)):
            np.testing.assert_allclose(
                rows[f"{target}_{name}"], np.quantile(pooled, level, axis=1), rtol=1e-5
            )
    np.testing.assert_allclose(rows["metallicity_measurable"], found.measurable.mean(1), rtol=1e-6)
    np.testing.assert_allclose(
        rows["flux_h_alpha_q50"], np.expm1(rows["log1p_h_alpha_q50"].astype(float)), rtol=1e-4
    )
    # CDS's spelling and ours are one unit
    assert rows["flux_oiii_5007_q84"].unit.to("erg / (s cm2)") == pytest.approx(1e-17)


def test_the_catalogue_flags_what_is_unlike_the_training_set(run_folder, tmp_path):
    table = make_features()
    odd = table.index[table["set"] == "test"][:3]
    table.loc[odd, "mag_g"] += 3  # the colours as they were: no galaxy has such
    shutil.copytree(run_folder, tmp_path / "run")
    write_table(tmp_path / "run" / "features.parquet", table)
    sample(tmp_path / "run", "odd")
    rows = Table.read(tmp_path / "run" / "odd.fits")
    flagged = np.isin(rows["objid"], table.loc[odd, "objid"])
    assert rows["out_of_distribution"].dtype == bool and rows["out_of_distribution"][flagged].all()
    assert rows["out_of_distribution"][~flagged].mean() < 0.1
    scores = rows["out_of_distribution_score"]
    np.testing.assert_array_equal(rows["out_of_distribution"], scores > 0)
    assert "believe no posterior" in rows["out_of_distribution"].info.description
    assert "up to 2% with images" in rows["out_of_distribution"].info.description


def test_without_the_property_flow_there_is_no_detectability(run_folder):
    sample(run_folder, "lines", property_model=None)
    found = read_posterior(run_folder / "lines.h5", "test")
    assert found.targets == TARGETS.lines and found.measurable is None
    names = Table.read(run_folder / "lines.fits").colnames
    assert "metallicity_measurable" not in names and "redshift_mean" not in names


def test_quantiles_of_a_known_distribution():
    draws = np.random.default_rng(0).normal(9.0, 0.2, (3, 4, 50_000, 1)).astype(np.float32)
    table = summarise(np.arange(3), "test", draws, ["metallicity"], None)
    assert table["metallicity_q84"].data - 9 == pytest.approx(0.2 * 0.99446, abs=0.003)
    assert table["metallicity_std"].data == pytest.approx(0.2, abs=0.002)


def test_posterior_sets_written_and_read_are_equal(tmp_path):
    random = np.random.default_rng(0)
    given = PosteriorSet(
        objid=np.array([2**60 + 1, 2**60 + 2]),
        draws=random.normal(size=(2, 3, 5, 1)).astype(np.float32),
        mean_head=random.normal(size=(2, 3, 1)).astype(np.float32),
        truth=np.array([[0.1], [np.nan]]),
        measurable=None,
        targets=["redshift"],
        variant="images",
    )
    write_posteriors(tmp_path / "p.h5", {"test": given})
    read = read_posterior(tmp_path / "p.h5", "test")
    for name, value in vars(given).items():
        np.testing.assert_array_equal(getattr(read, name), value)
    with pytest.raises(UserError, match="no set 'validation'"):
        read_posterior(tmp_path / "p.h5", "validation")
    with pytest.raises(UserError, match="no such file"):
        read_posterior(tmp_path / "q.h5", "test")
    with pytest.raises(UserError, match="have no log_sfr"):
        read.column("log_sfr")
