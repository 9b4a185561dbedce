"""Training of a flow: what it standardises with, what it writes, that it resumes, and that the
residuals are honest."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic_features import FLOWS, make_features, train

from mgsflow.config.models import Flows
from mgsflow.config.sample import Targets
from mgsflow.core.errors import UserError
from mgsflow.models.branch import Architecture
from mgsflow.models.storage import load_tensors
from mgsflow.training import members as members_module
from mgsflow.training import telemetry as telemetry_module
from mgsflow.training.heads import Rows, fit_heads
from mgsflow.training.members import PHASES, fit_members
from mgsflow.training.residuals import divide, training_means

TARGETS = Targets()
ALL = ["model.safetensors", "model.json", "history.csv"]


def bytes_of(model):
    return {name: (model / name).read_bytes() for name in ALL}


def test_outputs_of_the_property_flow(tmp_path):
    table = make_features()
    model = train(tmp_path, table, "property", TARGETS)
    description = json.loads((model / "model.json").read_text())
    assert description["targets"] == TARGETS.properties and description["members"] == 2
    assert description["units"]["log_sfr"] == "dex(Msun / yr)"
    assert description["inputs"] == [
        *(f"colour_{a}_{b}" for a, b in zip("ugri", "griz", strict=True)),
        *(f"mag_{b}" for b in "ugriz"),
    ]
    measured = description["training"]["measured"]
    assert measured["redshift"] == 144 > measured["metallicity"] > 0
    history = pd.read_csv(model / "history.csv")
    assert list(history.columns) == ["member", "phase", "epoch", "train", "validation"]
    phases = {"heads", "heads, fold 0", "heads, fold 1", "core", "metallicity"}
    assert {frozenset(part["phase"]) for _, part in history.groupby("member")} == {
        frozenset(phases)
    }
    assert np.isfinite(history[["train", "validation"]].to_numpy()).all()
    assert json.loads((model / "telemetry.json").read_text())["wall_seconds"] > 0
    assert not list((tmp_path / "checkpoints").glob("*")), "a whole training leaves no checkpoint"


def test_standardisation_comes_from_training_rows_alone(tmp_path):
    table = make_features()
    model = train(tmp_path / "a", table, "property", TARGETS)
    scales = json.loads((model / "model.json").read_text())["standardisation"]
    rows = table[table["set"] == "train"]
    np.testing.assert_allclose(scales["inputs"]["mean"][-1], rows["mag_z"].mean())
    np.testing.assert_allclose(scales["targets"]["std"][4], rows["metallicity"].std(ddof=0))
    others = table["set"] != "train"
    table.loc[others, "mag_z"] += 100
    table.loc[others, "log_sfr"] -= 100
    shifted = train(tmp_path / "b", table, "property", TARGETS)
    assert json.loads((shifted / "model.json").read_text())["standardisation"] == scales


def test_the_test_set_plays_no_part(tmp_path):
    table = make_features()
    model = train(tmp_path / "a", table, "line", TARGETS)
    table.loc[table["set"] == "test", [*TARGETS.lines, "mag_u"]] = 7.0
    again = train(tmp_path / "b", table, "line", TARGETS)
    assert bytes_of(model) == bytes_of(again)


class InterruptionError(Exception):
    pass


@pytest.mark.parametrize("phase", PHASES[1:])
def test_resumed_training_equals_one_that_never_stopped(tmp_path, monkeypatch, phase):
    table = make_features()
    whole = train(tmp_path / "whole", table, "property", TARGETS)
    run, done = members_module._Training.run, []

    def stop_once_before(self, name):
        if name == phase and phase not in done:
            done.append(phase)
            raise InterruptionError
        done.append(name)
        run(self, name)

    so_far = telemetry_module.Telemetry.so_far

    def as_if_long(meter):
        cost = so_far(meter)
        return cost | {"wall_seconds": cost["wall_seconds"] + 100.0}

    monkeypatch.setattr(members_module._Training, "run", stop_once_before)
    monkeypatch.setattr(telemetry_module.Telemetry, "so_far", as_if_long)
    with pytest.raises(InterruptionError):
        train(tmp_path / "parts", table, "property", TARGETS)
    assert not (tmp_path / "parts" / "property").exists()
    torch.manual_seed(99)  # the state of the generators is not what the result hangs on
    monkeypatch.setattr(telemetry_module.Telemetry, "so_far", so_far)
    resumed = train(tmp_path / "parts", table, "property", TARGETS)
    assert done.count("heads") == 1, "the phases before were not trained again"
    cost = json.loads((resumed / "telemetry.json").read_text())["wall_seconds"]
    assert cost > 100, "what the interrupted training had cost is not in the telemetry"
    assert bytes_of(resumed) == bytes_of(whole)


def test_members_differ_and_so_do_seeds(tmp_path):
    table = make_features(120)
    tensors = load_tensors(train(tmp_path / "a", table, "line", TARGETS) / ALL[0])
    name = "heads.encoder.0.weight"
    assert not torch.equal(tensors[f"0.{name}"], tensors[f"1.{name}"])
    other = load_tensors(train(tmp_path / "b", table, "line", TARGETS, seed=2) / ALL[0])
    assert not torch.equal(tensors[f"0.{name}"], other[f"0.{name}"])


@pytest.mark.parametrize(
    ("properties", "missing", "parts"),
    [
        (["redshift"], False, {"core"}),
        (["metallicity"], False, {"metallicity"}),
        (["metallicity", "redshift"], True, {"core", "metallicity", "heads.detect"}),
        (["log_sfr", "redshift", "log_stellar_mass"], True, {"core"}),
        (["log_sfr", "metallicity"], False, {"core", "metallicity"}),
    ],
)
def test_any_subset_of_the_properties(tmp_path, properties, missing, parts):
    table = make_features(120, missing=missing)
    model = train(tmp_path, table, "property", Targets(properties=properties, lines=[]))
    names = flow_stage_tensors(model)
    assert {
        p for p in ("core", "metallicity", "heads.detect") if any(f"0.{p}." in n for n in names)
    } == parts


def flow_stage_tensors(model):
    return list(load_tensors(model / "model.safetensors"))


@pytest.mark.parametrize("lines", [TARGETS.lines[:1], TARGETS.lines[1:3]])
def test_fewer_lines(tmp_path, lines):
    model = train(tmp_path, make_features(120), "line", Targets(lines=lines))
    univariate = any(
        name.startswith("0.core._transform.conditioner") for name in flow_stage_tensors(model)
    )
    assert univariate == (len(lines) == 1)


def test_bad_input_is_said(tmp_path):
    table = make_features(120)
    with pytest.raises(UserError, match="property or line"):
        train(tmp_path, table, "lines", TARGETS)
    with pytest.raises(UserError, match="no column log_sfr"):
        train(tmp_path, table.drop(columns="log_sfr"), "property", TARGETS)
    with pytest.raises(UserError, match="than 2 galaxies of the set train have a metallicity"):
        train(tmp_path, table.assign(metallicity=np.nan), "property", TARGETS)
    with pytest.raises(UserError, match="0 galaxies in the set validation"):
        train(tmp_path, table[table["set"] != "validation"], "property", TARGETS)


def test_folds_are_disjoint_and_whole():
    folds = divide(23, 5, seed=1)
    assert sorted(torch.cat(folds).tolist()) == list(range(23))
    assert {len(fold) for fold in folds} == {4, 5}


# A truth with more inputs than matter, on which heads overfit although they stop early.


def overfitting_toy(galaxies, seed):
    random = torch.Generator().manual_seed(seed)
    inputs = torch.randn(galaxies, 60, generator=random)
    mean = 0.7 * torch.tanh(inputs[:, :1]) + 0.5 * inputs[:, 1:2] * inputs[:, 2:3]
    return Rows(inputs, mean + 0.5 * torch.randn(galaxies, 1, generator=random))


def overfitted(residuals):
    flows = Flows(
        residuals=residuals,
        batch_size=256,
        encoding=64,
        encoder_hidden=[128, 128],
        coupling_hidden=64,
        dropout=0.0,
        single_flow="affine",
    )
    architecture = Architecture.of(60, ["redshift"], False, flows)
    rows = overfitting_toy(1500, 1), overfitting_toy(500, 2)
    (branch,), _ = fit_members(*rows, architecture, flows, [0])
    return branch


def coverage_and_log_prob(branch, test):
    """How often the truth lies in the central 68% of the posterior, and its mean log-density."""
    prediction = branch.predict(test.inputs)
    with torch.no_grad():
        draws = branch.sample(prediction, torch.randn(len(test), 400, 1))
        rank = (draws < test.targets[:, None]).float().mean(1)
        log_prob = branch.log_prob(prediction, test.targets)
    return ((rank - 0.5).abs() < 0.34).float().mean().item(), log_prob.mean().item()


@pytest.mark.slow
def test_flows_on_the_heads_own_residuals_are_too_narrow_and_on_honest_ones_are_not():
    test = overfitting_toy(4000, 3)
    naive, naive_log_prob = coverage_and_log_prob(overfitted("early_stopped"), test)
    assert naive < 0.55, "the toy does not overfit: it shows nothing"
    for residuals in ("out_of_fold", "rescaled"):
        honest, log_prob = coverage_and_log_prob(overfitted(residuals), test)
        assert honest == pytest.approx(0.68, abs=0.04), residuals
        assert log_prob > naive_log_prob + 0.2, residuals


def test_rescaled_residuals_are_the_heads_own_in_the_size_of_out_of_fold_ones():
    rows, held = chain(120, 1), chain(60, 2)
    flows = FLOWS.model_copy(update={"epochs": 3, "folds": 2})
    architecture = Architecture.of(2, ["metallicity", "log_sfr"], True, flows)
    heads, _ = fit_heads(rows, held, architecture, flows, [1, 2])
    residuals = {}
    for name in ("early_stopped", "out_of_fold", "rescaled"):
        settings = flows.model_copy(update={"residuals": name})
        means, _ = training_means(heads, rows, held, architecture, settings, [3, 4])
        residuals[name] = rows.targets - means
    ratio = residuals["rescaled"] / residuals["early_stopped"]
    measured = ~torch.isnan(rows.targets)
    for member in range(2):
        for target in range(2):
            own = ratio[member, measured[:, target], target]
            assert own.min().item() == pytest.approx(own.max().item(), rel=1e-3)
            sizes = [
                residuals[name][member, measured[:, target], target].abs().median().item()
                for name in ("rescaled", "out_of_fold")
            ]
            assert sizes[0] == pytest.approx(sizes[1], rel=1e-4)


def chain(galaxies, seed, rho=0.8):
    """O/H follows the scatter of the core that the inputs do not know; some of it is missing."""
    random = torch.Generator().manual_seed(seed)
    inputs = torch.randn(galaxies, 2, generator=random)
    first, second = torch.randn(2, galaxies, generator=random)
    core = inputs[:, 0] + 0.5 * first
    metallicity = inputs[:, 1] + 0.5 * (rho * first + (1 - rho**2) ** 0.5 * second)
    metallicity[inputs[:, 0] > 1] = float("nan")
    return Rows(inputs, torch.stack([metallicity, core], dim=1))


@pytest.mark.slow
def test_sampled_metallicity_follows_the_sampled_core():
    flows = Flows(folds=2, patience=8, encoder_hidden=[64], encoding=128, batch_size=256)
    architecture = Architecture.of(2, ["metallicity", "log_sfr"], True, flows)
    (branch,), _ = fit_members(chain(1200, 1), chain(400, 2), architecture, flows, [0])
    inputs = chain(300, 3).inputs
    inputs = inputs[inputs[:, 0] < 1]
    with torch.no_grad():
        draws = branch.sample(branch.predict(inputs), torch.randn(len(inputs), 500, 2))
    residual = draws - draws.mean(dim=1, keepdim=True)
    correlation = (residual[..., 0] * residual[..., 1]).mean() / residual.std((0, 1)).prod()
    assert correlation.item() == pytest.approx(0.8, abs=0.07)
    assert residual.std((0, 1)).numpy() == pytest.approx(0.5, rel=0.15)


def test_in_training_metallicity_is_given_the_true_core(monkeypatch):
    """The truth itself, and only of galaxies whose metallicity was measured."""
    seen, fit = {}, members_module.fit

    def spy(models, train, validation, flows, seeds, name):
        seen[name] = train, validation
        return fit(models, train, validation, flows, seeds, name)

    monkeypatch.setattr(members_module, "fit", spy)
    train_rows, held = chain(100, 1), chain(50, 2)
    flows = FLOWS.model_copy(update={"epochs": 2})
    architecture = Architecture.of(2, ["metallicity", "log_sfr"], True, flows)
    fit_members(train_rows, held, architecture, flows, [0])
    assert [len(part) for part in seen["flow of core"]] == [2, 2]
    given = torch.cat([part[2][0] for part in seen["flow of metallicity"]])
    targets = torch.cat([train_rows.targets, held.targets])
    measured = ~torch.isnan(targets[:, 0])
    assert 0 < measured.sum() < len(measured)
    assert given[:, 0].tolist() == targets[measured, 1].tolist()


def test_heads_come_frozen_with_the_weights_of_the_best_epoch():
    rows, held = overfitting_toy(200, 1), overfitting_toy(100, 2)
    flows = FLOWS.model_copy(update={"epochs": 30, "patience": 5, "learning_rate": 1e-2})
    architecture = Architecture.of(60, ["redshift"], False, flows)
    (heads,), (curve,) = fit_heads(rows, held, architecture, flows, [0])
    assert not any(parameter.requires_grad for parameter in heads.parameters())
    error = (heads(held.inputs).mean - held.targets).square().mean().item()
    best = min(validation for _, _, validation in curve)
    assert error == pytest.approx(best, rel=1e-5)
    assert curve[-1][2] > best, "it went on past its best epoch, and came back"
