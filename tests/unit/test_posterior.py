"""The posterior as a user meets it: shapes, seeds, chunks, densities, refusals."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from synthetic_features import FLOWS, VARIANT, make_features, train

import mgsflow
from mgsflow.config.sample import Targets
from mgsflow.core.errors import UserError
from mgsflow.posterior import base, mixture
from mgsflow.posterior.posterior import Posterior

TARGETS = Targets()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    table = make_features()
    return [train(folder, table, flow, TARGETS) for flow in ("property", "line")]


@pytest.fixture(scope="module")
def posterior(folders):
    return Posterior.load(*folders)


@pytest.fixture
def table():
    return make_features(40, seed=5)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(mixture, "BLOCK_ROWS", {"cpu": 30})


def test_shapes_names_and_types(posterior, table):
    draws = posterior.sample(table, draws=21, seed=1)
    assert posterior.targets == [*TARGETS.properties, *TARGETS.lines]
    assert posterior.variant == VARIANT and posterior.members == 2
    assert posterior.units["log_sfr"] == "dex(Msun / yr)" and posterior.units["redshift"] == ""
    assert draws.shape == (40, 21, 9) and draws.dtype == np.float32
    assert posterior.sample_members(table, draws=21, seed=1).shape == (40, 2, 11, 9)
    assert posterior.mean(table, 20).shape == posterior.std(table, 20).shape == (40, 9)
    assert posterior.quantiles(table, [0.1, 0.3, 0.5, 0.9], 20).shape == (40, 4, 9)
    assert posterior.log_prob(table, table).shape == (40,)
    assert posterior.log_prob_members(table, table).shape == (40, 2)
    assert posterior.mean_head(table).shape == (40, 2, 9)
    measurable = posterior.measurable(table)
    assert measurable.shape == (40, 2) and ((measurable > 0) & (measurable < 1)).all()


def test_draws_are_in_the_targets_own_units(posterior, table):
    truth = table[posterior.targets].to_numpy()
    mean, spread = np.nanmean(truth, axis=0), np.nanstd(truth, axis=0)
    pooled = posterior.sample(table, 200, 1).mean(axis=(0, 1))
    assert (np.abs(pooled - mean) < 1.5 * spread).all()


def test_a_frame_and_an_array_are_the_same(posterior, table):
    array = table[posterior.inputs].to_numpy()
    shuffled = table[table.columns[::-1]]
    expected = posterior.sample(array, 10, 1)
    assert np.array_equal(posterior.sample(shuffled, 10, 1), expected)


def test_seed_repeats_and_changes_the_draws(posterior, table):
    first = posterior.sample_members(table, 10, 1)
    assert np.array_equal(first, posterior.sample_members(table, 10, 1))
    assert not np.allclose(first, posterior.sample_members(table, 10, 2))
    assert not np.allclose(first[:, 0], first[:, 1]), "members have noise of their own"


def test_more_draws_begin_with_the_fewer(posterior, table):
    np.testing.assert_allclose(
        posterior.sample(table, 23, 1)[:, :6], posterior.sample(table, 6, 1), rtol=1e-4, atol=1e-4
    )


def test_draws_do_not_depend_on_the_blocks(posterior, table, monkeypatch):
    whole = posterior.sample(table, 10, 1)
    parts = [posterior.sample(table[i : i + 7], 10, 1, first_row=i) for i in range(0, 40, 7)]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(mixture, "BLOCK_ROWS", {"cpu": 15})
    np.testing.assert_allclose(posterior.sample(table, 10, 1), whole, rtol=1e-4, atol=1e-4)


def test_chunks_are_the_draws_in_pieces(posterior, table):
    whole = posterior.sample(table, 10, 1)
    pieces = list(posterior.chunks(table, 10, 1, size=12))
    assert [rows for rows, _ in pieces] == [
        slice(0, 12), slice(12, 24), slice(24, 36), slice(36, 40)
    ]  # fmt: skip
    for rows, draws in pieces:
        np.testing.assert_allclose(draws, whole[rows], rtol=1e-4, atol=1e-4)


def test_every_method_works_in_blocks(posterior, table, small_blocks, monkeypatch):
    """No method hands a flow or a head more rows than a block, and all rows come through."""
    seen = {"flow": [], "head": []}
    branch = type(posterior._ensembles[0].members[0])
    sample, predict = branch.sample, branch.predict

    def watched_sample(self, prediction, noise):
        seen["flow"].append(noise.shape[0] * noise.shape[1])
        return sample(self, prediction, noise)

    def watched_predict(self, inputs):
        seen["head"].append(len(inputs))
        return predict(self, inputs)

    monkeypatch.setattr(branch, "sample", watched_sample)
    monkeypatch.setattr(branch, "predict", watched_predict)
    posterior.sample(table, 20, 1)
    assert max(seen["flow"]) <= 30 and sum(seen["flow"]) == 40 * 20 * 2
    for method in (
        posterior.mean_head,
        posterior.measurable,
        posterior.mean,
        posterior.quantiles,
        lambda t: posterior.log_prob(t, t),
    ):
        seen["head"].clear()
        whole = method(table)
        assert max(seen["head"]) <= 30 and sum(seen["head"]) % 40 == 0
        assert len(whole) == 40 and np.isfinite(whole).all()


def test_a_result_too_large_for_one_array_is_refused_and_comes_in_chunks(
    posterior, table, monkeypatch
):
    monkeypatch.setattr(base, "MOST_NUMBERS", 40 * 10 * 9 - 1)
    with pytest.raises(UserError, match="40 galaxies x 10 draws x 9 targets.*Posterior.chunks"):
        posterior.sample(table, 10, 1)
    monkeypatch.setattr(base, "CHUNK_NUMBERS", 10 * 9 * 7)
    sizes = [len(draws) for _, draws in posterior.chunks(table, 10, 1)]
    assert sizes == [7] * 5 + [5]
    assert posterior.mean(table, 10, 1).shape == (40, 9)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_draws_the_same(folders, posterior, table):
    there = Posterior.load(*folders).to("cuda")
    draws, here = there.sample(table, 500, 1), posterior.sample(table, 500, 1)
    np.testing.assert_allclose(draws, here, rtol=1e-3, atol=1e-3)
    truth = there.log_prob(table, table), posterior.log_prob(table, table)
    np.testing.assert_allclose(*truth, rtol=1e-2, atol=1e-2)


def test_members_are_mixed_in_equal_parts_at_random(posterior):
    """Each draw is one member's own, each member as often, and first as often as the other."""
    many = make_features(400, seed=8)
    members = posterior.sample_members(many, 5, 3)
    draws = posterior.sample(many, 5, 3)
    equal = (draws[:, :, None, None] == members[:, None]).all(axis=-1)  # galaxy, draw, member, own
    assert (equal.sum(axis=(2, 3)) == 1).all(), "every draw is one member's, whole"
    of = equal.any(axis=3).argmax(axis=2)
    assert (np.abs(np.diff(of, axis=1)) == 1).all(), "the two take turns"
    assert of[:, 0].mean() == pytest.approx(0.5, abs=0.1)
    assert not equal.any(axis=1)[:, :, -1].all(), "the last of an odd number is of one member alone"


def test_moments_and_quantiles_are_those_of_the_draws(posterior, table):
    draws = posterior.sample(table, 50, 2).astype(np.float64)
    np.testing.assert_allclose(posterior.mean(table, 50, 2), draws.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(posterior.std(table, 50, 2), draws.std(axis=1), rtol=1e-3)
    expected = np.quantile(draws, [0.025, 0.5], axis=1)
    found = posterior.quantiles(table, [0.025, 0.5], 50, 2)
    np.testing.assert_allclose(found[:, 0], expected[0], rtol=1e-4)
    np.testing.assert_allclose(found[:, 1], expected[1], rtol=1e-4)


def test_nonsense_is_refused(posterior, table):
    for call in (posterior.sample, posterior.chunks, posterior.mean):
        with pytest.raises(UserError, match="draws must be 1 or more, not 0"):
            call(table, 0)
    with pytest.raises(UserError, match="in \\[0, 1\\]"):
        posterior.quantiles(table, [16, 50, 84])
    with pytest.raises(UserError, match="not numbers"):
        posterior.mean(table.assign(mag_r="bright"))


def test_masked_and_missing_values_are_refused_as_nan(posterior, table):
    array = np.ma.array(table[posterior.inputs].to_numpy(), mask=False)
    array[5, 0] = np.ma.masked
    nullable = table.astype({"mag_u": "Float64"})
    nullable.loc[5, "mag_u"] = None
    for bad in (array, nullable):
        with pytest.raises(UserError, match="1 of 40 rows.*rows 5"):
            posterior.sample(bad, 4)


def test_one_of_the_two_models_is_enough(folders, posterior, table):
    both = posterior.sample(table, 10, 1)
    properties = Posterior.load(folders[0])
    lines = Posterior.load(None, folders[1])
    np.testing.assert_array_equal(properties.sample(table, 10, 1), both[..., :5])
    np.testing.assert_array_equal(lines.sample(table, 10, 1), both[..., 5:])
    assert lines.measurable(table) is None


def test_log_prob_is_the_density_of_the_draws(folders):
    """Of the mixture: draws of all members under the mean of the members' densities."""
    lines = Posterior.load(folders[1])
    row = make_features(1, seed=6)
    draws = lines.sample(row, 20_000, 3)[0]
    log_prob = lines.log_prob(np.repeat(row[lines.inputs].to_numpy(), len(draws), 0), draws)
    # the mean of 1 / p over draws within a box is the box's volume: p integrates as a density
    centre, half = np.median(draws, axis=0), 0.8 * draws.std(axis=0)
    inside = (np.abs(draws - centre) < half).all(axis=1)
    volume = np.sum(np.exp(-log_prob[inside])) / len(draws)
    assert volume == pytest.approx(np.prod(2 * half), rel=0.1)


def test_log_prob_of_both_is_the_sum_and_missing_metallicity_is_integrated_out(folders, posterior):
    table = make_features(60, seed=7)
    rows = table["metallicity"].isna()
    assert rows.any() and not rows.all()
    total = posterior.log_prob_members(table, table)
    parts = [Posterior.load(folder).log_prob_members(table, table) for folder in folders]
    assert total.shape == (60, 2) and np.isfinite(total).all()
    np.testing.assert_allclose(total, sum(parts), rtol=1e-6)
    np.testing.assert_allclose(np.exp(posterior.log_prob(table, table)), np.exp(total).mean(axis=1))
    galaxy = table[~rows].iloc[:1]
    grid = np.linspace(5, 13, 4001)
    many = galaxy.loc[galaxy.index.repeat(len(grid))]
    properties = Posterior.load(folders[0])
    joint = np.exp(properties.log_prob(many, many.assign(metallicity=grid)))
    marginal = np.exp(properties.log_prob(galaxy, galaxy.assign(metallicity=np.nan)))
    np.testing.assert_allclose(joint.sum() * (grid[1] - grid[0]), marginal[0], rtol=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_inputs_are_refused_by_row(posterior, table, bad):
    table.loc[[3, 17], "mag_r"] = bad
    for method in (posterior.mean_head, posterior.measurable, lambda t: posterior.sample(t, 4, 1)):
        with pytest.raises(UserError, match=r"2 of 40 rows.*mag_r: rows 3, 17"):
            method(table)


def test_a_missing_value_other_than_metallicity_is_refused(posterior, table):
    with pytest.raises(UserError, match="redshift: rows 2"):
        posterior.log_prob(table, table.assign(redshift=table["redshift"].mask(table.index == 2)))
    with pytest.raises(UserError, match="40 rows, values 3"):
        posterior.log_prob(table, table[:3])


def test_wrong_columns_are_named(posterior, table):
    with pytest.raises(UserError, match="no column mag_g"):
        posterior.sample(table.drop(columns="mag_g"), 4, 1)
    with pytest.raises(UserError, match=r"shape \(40, 3\); expected \(n, 9\)"):
        posterior.sample(np.zeros((40, 3)), 4, 1)


def test_models_that_do_not_belong_together(folders, tmp_path):
    with pytest.raises(UserError, match="needs a property model"):
        Posterior.load()
    flows = FLOWS.model_copy(update={"members": 1})
    lonely = train(tmp_path, make_features(), "line", TARGETS, flows)
    with pytest.raises(UserError, match="2 members, the line model 1"):
        Posterior.load(folders[0], lonely)
    with pytest.raises(UserError, match="no such file"):
        Posterior.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match="two models infer log_stellar_mass, log_sfr"):
        Posterior.load(folders[0], folders[0])


def copied(folders, run, variant):
    for folder in folders:
        shutil.copytree(folder, run / "flows" / folder.parent.name / variant)


def test_a_runs_folder_is_enough(folders, posterior, table, tmp_path):
    copied(folders, tmp_path, VARIANT)
    expected = posterior.sample(table, 4, 1)
    for folder in (tmp_path, tmp_path / "flows", str(tmp_path / "flows")):
        assert np.array_equal(Posterior.load(folder).sample(table, 4, 1), expected)
    loaded = mgsflow.Posterior.load(tmp_path / "flows", variant=VARIANT)
    assert isinstance(loaded, Posterior) and loaded.targets == posterior.targets
    with pytest.raises(UserError, match="no model of images, only of photometry-observed"):
        Posterior.load(tmp_path, variant="images")
    with pytest.raises(UserError, match="is a model of photometry-observed, not of images"):
        Posterior.load(folders[0], variant="images")
    copied(folders, tmp_path, "images")
    with pytest.raises(UserError, match="several variants.*images, photometry-observed"):
        Posterior.load(tmp_path)


@pytest.mark.slow
def test_importing_the_package_does_not_wait_for_torch():
    code = "import sys, mgsflow; assert 'torch' not in sys.modules; mgsflow.Posterior.load"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'Posteriors'"):
        mgsflow.Posteriors  # noqa: B018
