"""The law of total variance on ensembles whose two spreads are known."""

from __future__ import annotations

import numpy as np
import pytest
from posterior_files import gaussian_set, write_posterior

from mgsflow.core.tables import read_table
from mgsflow.evaluation.uncertainty import decompose, uncertainty

N = 4000


def _draws(members: int, draws: int, within: float, between: float) -> np.ndarray:
    zeros = np.zeros((N, 1))
    toy = gaussian_set(
        zeros, zeros, members=members, draws=draws, within=within, between=between, seed=members
    )
    return toy["draws"][..., 0]


@pytest.mark.parametrize("members", [2, 5])
@pytest.mark.parametrize("between", [0.0, 0.1, 0.5])
def test_both_variances_are_recovered_without_bias(members, between):
    """With 20 draws a mean scatters by 0.22: taken for epistemic, that would drown 0.1."""
    variances = decompose(_draws(members, 20, 1.0, between))
    assert variances.aleatoric.mean() == pytest.approx(1, abs=0.02)
    scatter = (between**2 + 1 / 20) * np.sqrt(2 / (members - 1) / N)
    assert abs(variances.epistemic.mean() - between**2) < 4 * scatter
    np.testing.assert_allclose(variances.total, variances.aleatoric + variances.epistemic)


def test_the_total_is_the_variance_of_the_mixture_of_many_members():
    draws = _draws(64, 50, 0.8, 0.6)[:300]
    pooled = draws.reshape(300, -1).var(axis=1).mean()
    assert decompose(draws).total.mean() == pytest.approx(pooled, rel=0.03)
    assert pooled == pytest.approx(0.8**2 + 0.6**2, rel=0.03)


def test_the_table_is_of_the_validation_set_in_the_targets_units(tmp_path, capsys):
    targets = ["redshift", "metallicity"]
    centres = np.tile([0.1, 8.9], (N, 1))
    truth = centres.copy()
    truth[N // 4 :, 1] = np.nan
    right = gaussian_set(centres, truth, members=3, draws=60, within=0.02, between=0.01)
    wrong = gaussian_set(centres, truth, members=3, draws=60, within=5, between=5)
    alone = gaussian_set(centres, truth, members=1, draws=60, within=0.02)
    files = [
        write_posterior(tmp_path / "a.h5", "images", targets, validation=right, test=wrong),
        write_posterior(tmp_path / "b.h5", "photometry-observed", targets, validation=alone),
    ]
    uncertainty(posteriors=files, out=tmp_path / "u.parquet")
    table = read_table(tmp_path / "u.parquet").set_index(["variant", "target"])
    assert table["n"].to_list() == [N, N // 4, N, N // 4]
    ensemble = table.loc["images"]
    assert ensemble["aleatoric"].to_numpy() == pytest.approx(0.02, rel=0.02)
    assert ensemble["epistemic"].to_numpy() == pytest.approx(0.01, rel=0.1)
    assert ensemble["total"].to_numpy() == pytest.approx(np.hypot(0.02, 0.01), rel=0.05)
    assert (ensemble["epistemic_median"] < ensemble["epistemic"]).all()  # of a skewed chi-square
    lone = table.loc["photometry-observed"]
    assert lone["members"].to_list() == [1, 1]
    assert lone["aleatoric"].to_numpy() == pytest.approx(0.02, rel=0.02)
    assert lone[["epistemic", "total"]].isna().all(axis=None)
    assert "photometry-observed has one member" in capsys.readouterr().err


def test_a_target_that_nobody_has_is_nan_not_an_error(tmp_path):
    centres = np.zeros((20, 1))
    toy = gaussian_set(centres, np.full((20, 1), np.nan))
    path = write_posterior(tmp_path / "a.h5", "images", ["metallicity"], validation=toy)
    uncertainty(posteriors=[path], out=tmp_path / "u.parquet")
    (row,) = read_table(tmp_path / "u.parquet").to_dict("records")
    assert row["n"] == 0
    assert np.isnan(row["aleatoric"])
