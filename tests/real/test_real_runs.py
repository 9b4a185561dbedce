"""Catalogues of real galaxies through the whole DAG: their traps are met, their counts hold.

The training is cut to a few epochs here: the accuracies stand in docs/real-data.md.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from checkout import Checkout

pytestmark = pytest.mark.slow

QUICK = {
    "vae": {"epochs": 2, "channels": [4, 8, 16]},
    "flows": {"members": 2, "folds": 2, "epochs": 4, "couplings": 2},
    "posteriors": {"draws": 50},
    "baselines": {
        "mlp_epochs": 5,
        "boosting_iterations": 20,
        "conditional_vae": {"epochs": 2, "binning": 2},
    },
    "evaluation": {"bootstrap": 20, "speed_galaxies": 8, "speed_draws": 20, "umap_points": 100},
    "compute": {"vae_threads": 1, "flow_threads": 1, "threads": 1},
}


@pytest.fixture(scope="module")
def run(repository, real_data, tmp_path_factory):
    """Runs a configuration of this folder quickly; returns the folder of its results."""
    checkout = Checkout.copy(repository, tmp_path_factory.mktemp("real"))

    def start(*names: str) -> Path:
        files = [repository / f"tests/real/{name}.yaml" for name in names]
        catalogue = yaml.safe_load(files[0].read_text())["catalogue"]
        place = {
            key: catalogue[key].replace("../shared/real", str(real_data))
            for key in ("path", "stamp_folder")
            if key in catalogue
        }
        done = checkout.snakemake(
            overlay=yaml.safe_dump({**QUICK, "catalogue": place}), configfiles=tuple(files)
        )
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-10000:]
        return checkout.folder / "results" / names[-1]

    return start


def stages(results: Path) -> dict[str, dict]:
    account = json.loads((results / "catalogue/account.json").read_text())
    return {stage["stage"]: stage for stage in account["stages"]}


def targets_of_table1(results: Path) -> set[str]:
    table = pd.read_csv(results / "tables/table1.csv")
    return set(table.loc[table["source"] == "this run", "target"])


def test_resolve_gives_masses_rates_metallicities_and_lines(run):
    results = run("resolve")
    account = stages(results)
    assert account["select"]["came"] == 1573
    noted = account["targets"]["noted"]
    absurd = {name: n for name, n in noted.items() if "beyond" in name or "above" in name}
    assert sum(absurd.values()) >= 10, noted
    assert targets_of_table1(results) == {
        "log_stellar_mass", "log_sfr", "metallicity",
        "log1p_h_alpha", "log1p_h_beta", "log1p_nii_6584", "log1p_oiii_5007",
    }  # fmt: skip
    table = pd.read_parquet(results / "catalogue/targets.parquet")
    assert table["metallicity"].dropna().between(7.8, 9.2).mean() > 0.99
    assert table["log_sfr"].median() == pytest.approx(-0.8, abs=0.8)  # not linear Msun/yr
    assert (results / "tables/table2.md").exists() and (results / "report.html").exists()


def test_resolve_with_black_holes_keeps_trustworthy_dispersions_only(run):
    results = run("resolve", "resolve_black_hole")
    table = pd.read_parquet(results / "catalogue/targets.parquet")
    masses = table["log_black_hole_mass"].dropna()
    assert 90 < len(masses) < 130
    assert masses.between(8.32 + 5.64 * -0.456, 8.32 + 5.64 * 0.3223).all()  # 70 to 420 km/s
    assert "log_black_hole_mass" in targets_of_table1(results)


def test_skyserver_leaves_galaxies_with_redshifts_only(run):
    results = run("skyserver")
    account = stages(results)
    assert account["select"]["came"] == 6521
    assert account["select"]["reasons"]["class is not GALAXY (catalogue.where)"] == 3288
    assert targets_of_table1(results) == {"redshift"}
    scores = pd.read_parquet(results / "evaluation/scores.parquet")
    boosting = scores[scores["method"] == "photometry_boosting"].iloc[0]
    assert boosting["r2"] > 0.4


def test_jpegs_reach_the_tables(run):
    results = run("jpeg")
    assert stages(results)["stamps"]["kept"] == 352
    assert targets_of_table1(results) == {"metallicity"}
