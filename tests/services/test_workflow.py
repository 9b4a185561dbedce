"""The rules on the loopback services: from the query to the index of stamps, and what reruns."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from pipeline import Run

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from checkout import Checkout

from mgsflow.core.ledger import read_account

pytestmark = pytest.mark.slow
TARGETS = (
    "results/services/stamps/index.parquet",
    "results/services/catalogue/dropped.parquet",
)


def overlay(server, name: str = "services", **sections) -> str:
    """A run on these services, as a user would write it."""
    addresses = server.settings().model_dump(include={"skyserver_url", "sas_url"})
    patience = server.network().model_dump()
    run = {
        "run": name,
        "sky": "sdss",
        "sdss": addresses | {"chunk_rows": 7},
        "network": patience,
        "selection": {"sample_size": None},
        "stamps": {"provider": "frames", "size": 64, "shards": 3},
        "seed": 11,  # with which each set gets some of so few galaxies
        "splits": {"vae": 0.3, "vae_validation": 0.4, "train": 0.6, "validation": 0.2},
    }
    return yaml.safe_dump(run | {name: run.get(name, {}) | more for name, more in sections.items()})


@pytest.fixture(scope="module")
def checkout(repository, tmp_path_factory) -> Checkout:
    return Checkout.copy(repository, tmp_path_factory.mktemp("services"))


def test_from_the_query_to_the_index(server, checkout):
    done = checkout.snakemake("--", *TARGETS, overlay=overlay(server))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Estimate of run services" in done.stderr
    results = checkout.folder / "results/services"
    index = pd.read_parquet(results / "stamps/index.parquet")
    account = pd.read_json(results / "catalogue/account.json")["stages"]
    stage = {stage["stage"]: stage for stage in account}
    assert stage["select"]["kept"] == stage["stamps"]["came"]
    assert stage["stamps"]["kept"] == stage["index-stamps"]["came"]
    assert stage["index-stamps"]["kept"] == len(index) < stage["index-stamps"]["came"]
    assert index["shard"].nunique() == 3 and index["masked"].max() <= 0.1
    assert "SpecObjAll" in (results / "sky/served/query.sql").read_text()
    assert not list((results / "checkpoints/stamps").glob("*"))

    server.forget()
    again = checkout.plan(overlay(server))
    assert not {"query_sdss", "select", "stamps", "index_stamps"} & again.keys()


def test_how_the_services_are_asked_reruns_nothing(server, checkout):
    patient = overlay(server, network={"attempts": 3, "downloads": 1, "backoff": 5.0})
    assert not {"query_sdss", "select", "stamps"} & checkout.plan(patient).keys()


def test_another_limit_of_masks_makes_no_stamp_anew(server, checkout):
    jobs = checkout.plan(overlay(server, stamps={"masked_max": 0.5}))
    assert "index_stamps" in jobs and "stamps" not in jobs


@pytest.mark.parametrize("provider", ["frames", "legacy", "jpeg", "files"])
def test_a_catalogue_of_ones_own_may_have_its_stamps_from_anywhere(server, checkout, provider):
    (checkout.folder / "own.csv").write_text("id,ra,dec,run,camcol,field\n5,180,2,752,1,11\n")
    (checkout.folder / "images").mkdir(exist_ok=True)
    columns = {"objid": "id", "ra": "ra", "dec": "dec"}
    columns |= {name: name for name in ("run", "camcol", "field")}
    own = {"path": "own.csv", "format": "csv", "columns": columns, "stamp_folder": "images"}
    run = yaml.safe_load(overlay(server, provider, catalogue=own, stamps={"provider": provider}))
    run |= {"sky": "catalogue", "targets": {"properties": ["redshift"], "lines": []}}
    jobs = checkout.plan(yaml.safe_dump(run))
    assert jobs["stamps"] == 3 and "query_sdss" not in jobs


def test_a_cut_that_skyserver_does_not_make_asks_it_nothing(server, checkout):
    brighter = checkout.plan(
        overlay(server, selection={"sample_size": None, "petro_mag_r_max": 17.0})
    )
    assert "select" in brighter and "query_sdss" not in brighter
    farther = checkout.plan(overlay(server, selection={"sample_size": None, "redshift_max": 0.25}))
    assert {"query_sdss", "select"} <= farther.keys()


def test_a_result_downloaded_by_hand_takes_the_querys_place(server, checkout, tmp_path):
    run = Run(tmp_path, server)
    run.query()
    lines = [
        (run.folder / "reply" / name).read_text()
        for name in sorted(path.name for path in (run.folder / "reply").glob("*.csv"))
    ]
    header = lines[0].splitlines()[1]
    rows = [row for text in lines for row in text.splitlines()[2:]]
    file = checkout.folder / "casjobs.csv"
    file.write_text("\n".join([header, *rows[::-1], ""]))
    server.forget()
    by_hand = overlay(server, "by_hand", sdss={"reply_file": "casjobs.csv"})
    target = "results/by_hand/catalogue/selected.parquet"
    done = checkout.snakemake("--", target, overlay=by_hand)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not server.requests
    table = pd.read_parquet(checkout.folder / target)
    entries, totals = read_account(
        checkout.folder / "results/by_hand/catalogue/dropped/select.parquet"
    )
    assert totals["came"] == len(rows) == len(table) + len(entries)


def test_a_server_that_fails_stops_the_run_with_its_words(server, checkout):
    server.plan = lambda service, number: "500" if service == "frames" else None
    broken = overlay(server, network={"attempts": 2}, stamps={"size": 48})
    done = checkout.snakemake("--", TARGETS[0], overlay=broken)
    assert done.returncode != 0
    assert "no usable reply in 2 attempts (status 500)" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
