"""Splines are settings: each of them through training, saving, loading, density and draws."""

import shutil

import numpy as np
import pytest
import torch
from synthetic_features import COMPUTE, FLOWS, VARIANT, make_features, train

from mgsflow.config.models import Posteriors
from mgsflow.config.sample import Targets
from mgsflow.core.files import read_json
from mgsflow.inference.draws import read_posterior
from mgsflow.inference.sample_posteriors import sample_posteriors
from mgsflow.models.coupling import AffineCoupling, SplineCoupling
from mgsflow.models.storage import load_tensors
from mgsflow.models.univariate import UnivariateAffine, UnivariateSpline
from mgsflow.posterior.ensemble import Ensemble
from mgsflow.posterior.posterior import Posterior

ALL, ONE, TWO = Targets().properties, ["redshift"], ["redshift", "metallicity"]
# settings, targets, and the layers of the core's and of metallicity's flow that they ask for
CASES = {
    "spline couplings": ({"coupling": "spline"}, ALL, SplineCoupling, UnivariateAffine),
    "affine couplings": ({"metallicity_flow": "spline"}, ALL, AffineCoupling, UnivariateSpline),
    "a single property": ({"single_flow": "spline"}, ONE, UnivariateSpline, None),
    "a single property, affine": ({"single_flow": "affine"}, ONE, UnivariateAffine, None),
    "splines alone": ({"metallicity_flow": "spline"}, TWO, UnivariateSpline, UnivariateSpline),
}


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """The folder of a trained model, its targets, and the layers that it must have."""
    settings, properties, core, metallicity = CASES[request.param]
    folder = tmp_path_factory.mktemp("settings")
    targets = Targets(properties=properties)
    flows = FLOWS.model_copy(update=settings | {"spline_bins": 4})
    model = train(folder, make_features(), "property", targets, flows)
    return model, settings, properties, core, metallicity


@pytest.fixture(scope="module")
def families(tmp_path_factory):
    """Models of three variants on the same inputs, by the families of their flows."""
    folder, flows = tmp_path_factory.mktemp("families"), FLOWS.model_copy(update={"spline_bins": 4})
    return {
        family: train(folder / family, make_features(), "property", Targets(), flows, variant=name)
        for family in ("settings", "affine", "spline")
        for name in [VARIANT if family == "settings" else f"{VARIANT}+{family}"]
    }


def test_a_variants_name_chooses_the_family_of_all_its_flows(families):
    for family, coupling, metallicity in (
        ("affine", AffineCoupling, UnivariateAffine),
        ("spline", SplineCoupling, UnivariateSpline),
    ):
        description = read_json(families[family] / "model.json")
        assert description["variant"] == f"{VARIANT}+{family}"
        for settings in (description["architecture"], description["training"]):
            kinds = {"coupling", "metallicity_flow", "single_flow"}
            assert {settings["settings"][name] for name in kinds} == {family}
        for member in Ensemble.load(families[family]).members:
            assert layers(member.core) == {coupling} and layers(member.metallicity) == {metallicity}


def test_families_on_the_same_inputs_differ_in_their_flows_alone(families):
    """Their encoders and heads have the same seeds: what differs in a table is the flows' doing."""
    tensors = {f: load_tensors(path / "model.safetensors") for f, path in families.items()}
    heads = [name for name in tensors["spline"] if ".heads." in name]
    assert heads
    for name in heads:
        assert torch.equal(tensors["settings"][name], tensors["spline"][name]), name
    # of the settings, which are affine here, the variant of that name is a copy
    assert tensors["affine"].keys() == tensors["settings"].keys()
    assert all(torch.equal(tensors["settings"][k], v) for k, v in tensors["affine"].items())
    core = [name for name in tensors["spline"] if ".core." in name]
    assert any(tensors["spline"][k].shape != tensors["affine"][k].shape for k in core)


def test_a_posterior_of_a_family_is_loaded_by_its_name(families, tmp_path):
    for family, model in families.items():
        name = VARIANT if family == "settings" else f"{VARIANT}+{family}"
        shutil.copytree(model, tmp_path / "flows/property" / name)
    posterior = Posterior.load(tmp_path, variant=f"{VARIANT}+spline")
    assert posterior.variant == f"{VARIANT}+spline"
    assert np.isfinite(posterior.sample(make_features().head(3), draws=8, seed=1)).all()


def layers(flow):
    """The types of a flow's layers."""
    transform = flow._transform
    return {type(layer) for layer in getattr(transform, "_transforms", [transform])}


def test_the_model_is_what_the_settings_ask_for_and_is_trained(case):
    model, settings, _, core, metallicity = case
    kept = read_json(model / "model.json")["architecture"]["settings"]
    assert settings.items() <= kept.items()
    for member in Ensemble.load(model).members:
        assert layers(member.core) == {core}
        assert (member.metallicity is None) == (metallicity is None)
        if metallicity is not None:
            assert layers(member.metallicity) == {metallicity}
        for name, value in member.state_dict().items():
            if "body" in name and name.endswith("weight"):
                # a spline's parameters start at zero with the whole last layer
                assert (value.abs().amax(dim=1) > 0).all(), f"{name} was not trained"


def test_draws_and_densities_agree(case):
    """The mean of 1 / p over the draws in a box is the box's volume."""
    model, _, properties, _, _ = case
    posterior, row = Posterior.load(model), make_features(1, seed=6)
    draws = posterior.sample(row, 10_000, 3)[0]
    assert posterior.targets == properties and np.isfinite(draws).all()
    inputs = np.repeat(row[posterior.inputs].to_numpy(), len(draws), axis=0)
    density = np.exp(posterior.log_prob(inputs, draws))
    centre, half = np.median(draws, axis=0), draws.std(axis=0)
    inside = (np.abs(draws - centre) < half).all(axis=1)
    volume = np.sum(1 / density[inside]) / len(draws)
    assert volume == pytest.approx(np.prod(2 * half), rel=0.1)


def test_the_stage_draws_from_it(case, tmp_path):
    model, _, properties, _, _ = case
    sample_posteriors(
        features=model.parent.parent / "features.parquet",
        property_model=model,
        posteriors=Posteriors(draws=20),
        compute=COMPUTE,
        seed=1,
        out=tmp_path / "draws.h5",
        catalogue=tmp_path / "draws.fits",
    )
    found = read_posterior(tmp_path / "draws.h5", "test")
    assert found.targets == properties and found.draws.shape == (48, 2, 10, len(properties))
    assert np.isfinite(found.draws).all()


@pytest.mark.parametrize("case", [name for name in CASES if "single" in name], indirect=True)
def test_a_single_spline_is_no_gaussian_and_a_single_affine_flow_is(case):
    """By the curvature of the log-density of one member: constant for a Gaussian."""
    model, settings, _, _, _ = case
    posterior = Posterior.load(model)
    row = make_features(1, seed=6)
    centre, width = posterior.mean(row)[0, 0], posterior.std(row)[0, 0]
    grid = (centre + width * torch.linspace(-1.5, 1.5, 31).numpy())[:, None]
    inputs = np.repeat(row[posterior.inputs].to_numpy(), len(grid), axis=0)
    curvature = np.diff(posterior.log_prob_members(inputs, grid)[:, 0], n=2)
    gaussian = np.abs(curvature / curvature.mean() - 1).max() < 0.05
    assert gaussian == (settings["single_flow"] == "affine")
