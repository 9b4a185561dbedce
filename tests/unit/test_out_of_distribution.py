"""The stage out-of-distribution: its figures, and what each variant can see."""

import h5py
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score, roc_curve
from synthetic_features import COMPUTE, VARIANT, make_features, train

from mgsflow.config import Evaluation
from mgsflow.config.sample import Targets
from mgsflow.core.tables import read_table, write_table
from mgsflow.evaluation.bootstrap import bootstrap
from mgsflow.evaluation.metrics import auc
from mgsflow.evaluation.out_of_distribution.out_of_distribution import (
    FIGURES,
    _judge,
    out_of_distribution,
)
from mgsflow.report.figure_roc import figure_roc, roc
from mgsflow.report.table_out_of_distribution import table_out_of_distribution

SCORE = "out_of_distribution_score"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Trained flows, and anomalies of the test set: g and i exchanged, and nothing at all."""
    folder = tmp_path_factory.mktemp("run")
    table = make_features(600)
    models = [train(folder, table, flow, Targets()) for flow in ("property", "line")]
    test = table[table["set"] == "test"]
    swapped = test.assign(mag_g=test["mag_i"], mag_i=test["mag_g"])
    for blue, red in ("ug", "gr", "ri", "iz"):
        swapped[f"colour_{blue}_{red}"] = swapped[f"mag_{blue}"] - swapped[f"mag_{red}"]
    anomalies = pd.concat(
        [
            swapped.assign(anomaly="swapped", photometry=True),
            test.assign(anomaly="star", photometry=True),
            test.assign(anomaly="distant", photometry=True, mag_u=[np.nan] * 20 + [17.0] * 100),
            test.assign(anomaly="blank", photometry=False),
        ]
    ).assign(stamp=-1)
    write_table(folder / "anomalies.parquet", anomalies.reset_index(drop=True))
    with h5py.File(folder / "anomalies.h5", "w"):
        pass
    out_of_distribution(
        features=folder / "features.parquet",
        anomalies=folder / "anomalies.parquet",
        stamps=folder / "anomalies.h5",
        models=models,
        evaluation=Evaluation(bootstrap=50),
        compute=COMPUTE,
        seed=1,
        out=folder / "table.parquet",
        scores=folder / "scores.parquet",
    )
    return folder


def test_exchanged_bands_are_found_and_the_test_set_itself_is_not(run):
    table = read_table(run / "table.parquet").set_index("anomaly")
    seen = {"swapped": 120, "star": 120, "distant": 100}  # no blank: it is not seen without images
    assert table["n"].to_dict() == seen, "what has no inputs is left out"
    assert (table["variant"] == VARIANT).all() and (table["n_test"] == 120).all()
    found, same = table.loc["swapped"], table.loc["star"]
    assert found["auc"] > 0.99 and found["true_positive_rate"] > 0.95
    # networks take inputs as if within the training set's range: their members disagree more, but
    # not by as much as the inputs are off
    assert found["epistemic_ratio_low"] > 1 and found["auc_epistemic_low"] > 0.5
    assert found["auc"] > found["auc_epistemic_high"]
    # the test set against itself
    assert same["auc"] == same["auc_epistemic"] == 0.5 and same["epistemic_ratio"] == 1
    assert same["true_positive_rate"] == same["false_positive_rate"] < 0.05
    # with whom it is paired: no resample can tell the two apart
    assert same["auc_low"] == same["auc_high"] == 0.5
    assert same["epistemic_ratio_low"] == same["epistemic_ratio_high"] == 1
    assert same["false_positive_rate_low"] == same["true_positive_rate_low"]
    assert same["false_positive_rate_high"] == same["true_positive_rate_high"] > 0
    assert found["auc_low"] <= found["auc"] <= found["auc_high"]


def test_scores_are_of_each_galaxy(run):
    scores = read_table(run / "scores.parquet")
    counts = {"test": 120, "swapped": 120, "star": 120, "distant": 100}
    assert scores["anomaly"].value_counts().to_dict() == counts
    test, star = (scores[scores["anomaly"] == name] for name in ("test", "star"))
    np.testing.assert_array_equal(test[SCORE], star[SCORE])
    np.testing.assert_array_equal(test["objid"], star["objid"])
    features = read_table(run / "features.parquet").set_index("objid")
    assert (features.loc[scores["objid"], "set"] == "test").all()


def test_an_interval_is_that_of_pairs_drawn_together():
    """Some galaxies have an anomaly, in another order, as close to their own score as its noise."""
    random = np.random.default_rng(0)
    test_set = pd.DataFrame({"objid": np.arange(100), SCORE: random.standard_normal(100)})
    test_set["epistemic_spread"] = 1.0
    anomalies = test_set.sample(60, random_state=1)
    anomalies[SCORE] += 0.3 + 0.1 * random.standard_normal(60)
    both = pd.concat([test_set.assign(anomaly="test"), anomalies.assign(anomaly="star")])
    (row,) = _judge("toy", both, Evaluation(bootstrap=400), 1)
    mask = (both["anomaly"] == "star").to_numpy()
    assert row["auc"] == pytest.approx(roc_auc_score(mask, both[SCORE]))
    assert (row["n"], row["n_test"]) == (60, 100)
    apart = bootstrap(auc, (mask, both[SCORE].to_numpy()), 400, 1)
    assert row["auc_high"] - row["auc_low"] < 0.8 * (apart.high - apart.low)


def test_shares_and_ratio_are_what_their_names_say():
    anomalous = np.array([True, True, False, False, False, False])
    score = np.array([1.0, -1.0, 0.5, -1.0, -2.0, -3.0])
    epistemic = np.array([4.0, 6.0, 1.0, 2.0, 3.0, 2.0])
    found = {name: figure(anomalous, score, epistemic) for name, figure in FIGURES.items()}
    assert found["true_positive_rate"] == 0.5 and found["false_positive_rate"] == 0.25
    assert found["epistemic_ratio"] == 2.5
    assert found["auc"] == pytest.approx(roc_auc_score(anomalous, score))
    assert found["auc_epistemic"] == pytest.approx(roc_auc_score(anomalous, epistemic))


def test_the_curve_is_scikit_learns():
    random = np.random.default_rng(0)
    anomalies, test = random.standard_normal(80) + 1, random.standard_normal(100)
    across, up = roc(anomalies, test, 1e-9)
    labels, scores = np.r_[np.ones(80), np.zeros(100)], np.r_[anomalies, test]
    expected = roc_curve(labels, scores, drop_intermediate=False)
    # as steps: the share of the anomalies just before each galaxy of the test set is passed
    for share in (0.0, 0.1, 0.37, 0.9):
        highest = expected[1][np.isclose(expected[0], share)].max()
        assert up[np.isclose(across, share, atol=1e-8)].max() == pytest.approx(highest)
    assert (np.diff(across) >= 0).all() and (np.diff(up) >= 0).all()


def test_table_and_figure_show_it(run):
    table_out_of_distribution(anomalies=run / "table.parquet", out=run / "table.csv")
    text = (run / "table.md").read_text()
    assert "g and i exchanged" in text and "Photometry (observed colours)" in text
    figure_roc(scores=run / "scores.parquet", out=run / "roc.pdf")
    assert (run / "roc.png").stat().st_size > 10_000
    nothing = read_table(run / "scores.parquet").query("anomaly == 'test'")
    write_table(run / "nothing.parquet", nothing)
    figure_roc(scores=run / "nothing.parquet", out=run / "nothing.pdf")
    assert (run / "nothing.pdf").is_file()
