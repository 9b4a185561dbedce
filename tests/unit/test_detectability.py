"""The detectability of metallicity: by hand, by counting, and where it is absent."""

from __future__ import annotations

import numpy as np
import pytest
from posterior_files import gaussian_set, write_posterior

from mgsflow.config import Evaluation
from mgsflow.core.files import read_json
from mgsflow.evaluation import detectability as module

TARGETS = ["log_sfr", "metallicity"]


def _judge(tmp_path, probability, measured, variant="images", targets=None, keep=True) -> dict:
    truth = np.where(np.asarray(measured)[:, None], [0.0, 8.8], [0.0, np.nan])
    toy = gaussian_set(np.zeros_like(truth), truth, draws=4)
    if keep:
        toy["measurable"] = np.asarray(probability, np.float32)
    path = write_posterior(tmp_path / "p.h5", variant, targets or TARGETS, test=toy)
    module.detectability(
        posteriors=[path],
        evaluation=Evaluation(bootstrap=100),
        seed=1,
        out=tmp_path / "d.json",
    )
    return read_json(tmp_path / "d.json")[variant]


def test_by_hand(tmp_path):
    # two members, whose mean decides: 0.9, 0.6, 0.4 | 0.2, 0.5, 0.1, 0.3, 0.0
    mean = np.array([0.9, 0.6, 0.4, 0.2, 0.5, 0.1, 0.3, 0.0])
    members = np.stack([mean + 0.1, mean - 0.1], axis=1)
    result = _judge(tmp_path, members, [True] * 3 + [False] * 5)
    assert result["confusion_matrix"] == [[4, 1], [1, 2]]
    assert result["n"] == 8
    assert result["accuracy"] == pytest.approx(6 / 8)
    assert result["majority_rate"] == pytest.approx(5 / 8)
    assert result["balanced_accuracy"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert result["auc"] == pytest.approx(14 / 15)  # all pairs but (0.4, 0.5)
    squares = 0.01 + 0.16 + 0.36 + 0.04 + 0.25 + 0.01 + 0.09
    assert result["brier"] == pytest.approx(squares / 8, abs=1e-6)


def test_figures_are_what_they_count():
    """By counting pairs and galaxies, with ties."""
    random = np.random.default_rng(4)
    measured = random.random(300) < 0.3
    probability = np.round(np.clip(0.3 * measured + random.random(300) * 0.7, 0, 1), 2)
    yes, no = probability[measured][:, None], probability[~measured][None]
    assert module.auc(measured, probability) == pytest.approx(
        ((yes > no) + 0.5 * (yes == no)).mean()
    )
    (tn, fp), (fn, tp) = module.confusion_matrix(measured, probability)
    assert (tn + fp, fn + tp) == ((~measured).sum(), measured.sum())
    assert (fp, tp) == ((no >= 0.5).sum(), (yes >= 0.5).sum())
    assert module.accuracy(measured, probability) == (tn + tp) / 300
    expected = (tn / (tn + fp) + tp / (tp + fn)) / 2
    assert module.balanced_accuracy(measured, probability) == pytest.approx(expected)


def test_the_interval_of_the_accuracy_is_binomial(tmp_path):
    random = np.random.default_rng(6)
    measured = random.random(2000) < 0.5
    right = random.random(2000) < 0.84
    told = np.where(right, measured, ~measured)[:, None].astype(float)
    result = _judge(tmp_path, told, measured)
    width = result["accuracy_high"] - result["accuracy_low"]
    assert width == pytest.approx(2 * 1.96 * np.sqrt(0.84 * 0.16 / 2000), rel=0.25)
    assert result["accuracy_low"] < result["accuracy"] < result["accuracy_high"]


def test_a_classifier_that_knows_nothing_is_seen_through(tmp_path):
    """Saying yes to everybody is as accurate as the larger class is large, and no better."""
    measured = np.arange(300) % 5 > 0
    result = _judge(tmp_path, np.full((300, 1), 0.8), measured)
    assert result["accuracy"] == result["majority_rate"] == pytest.approx(0.8)
    assert result["balanced_accuracy"] == result["auc"] == 0.5


def test_one_class_alone_has_no_roc_and_the_json_no_nan(tmp_path):
    result = _judge(tmp_path, np.full((30, 1), 0.7), np.ones(30, bool))
    assert result["auc"] is result["auc_low"] is result["balanced_accuracy"] is None
    assert result["accuracy"] == 1


def test_absence_has_its_reason(tmp_path):
    assert "not modelled" in _judge(tmp_path, [], [True, False], keep=False)["absent"]
    absent = _judge(tmp_path, [], [True, False], targets=["log_sfr", "redshift"], keep=False)
    assert absent == {"absent": "metallicity is not among the targets"}
