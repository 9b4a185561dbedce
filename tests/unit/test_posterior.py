"""The posterior as a user meets it: shapes, seeds, chunks, densities, refusals."""

import numpy as np
import pytest
from synthetic_features import FLOWS, VARIANT, make_features, train

from mgsflow.config.sample import Targets
from mgsflow.core.errors import UserError
from mgsflow.models import posterior as posterior_module
from mgsflow.models.posterior import Posterior

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


def test_shapes_names_and_types(posterior, table):
    draws = posterior.sample(table, draws=21, seed=1)
    assert posterior.targets == [*TARGETS.properties, *TARGETS.lines]
    assert posterior.variant == VARIANT
    assert draws.shape == (40, 2, 11, 9) and draws.dtype == np.float32
    assert posterior.mean_head(table).shape == (40, 2, 9)
    measurable = posterior.measurable(table)
    assert measurable.shape == (40, 2) and ((measurable > 0) & (measurable < 1)).all()


def test_draws_are_in_the_targets_own_units(posterior, table):
    truth = table[posterior.targets].to_numpy()
    mean, spread = np.nanmean(truth, axis=0), np.nanstd(truth, axis=0)
    pooled = posterior.sample(table, 200, 1).mean(axis=(0, 1, 2))
    assert (np.abs(pooled - mean) < 1.5 * spread).all()


def test_a_frame_and_an_array_are_the_same(posterior, table):
    array = table[posterior.inputs].to_numpy()
    shuffled = table[table.columns[::-1]]
    expected = posterior.sample(array, 10, 1)
    assert np.array_equal(posterior.sample(shuffled, 10, 1), expected)


def test_seed_repeats_and_changes_the_draws(posterior, table):
    first = posterior.sample(table, 10, 1)
    assert np.array_equal(first, posterior.sample(table, 10, 1))
    assert not np.allclose(first, posterior.sample(table, 10, 2))
    assert not np.allclose(first[:, 0], first[:, 1]), "members have noise of their own"


def test_draws_do_not_depend_on_the_chunks(posterior, table, monkeypatch):
    whole = posterior.sample(table, 10, 1)
    monkeypatch.setattr(posterior_module, "BLOCK_ROWS", 15)
    blocks = posterior.sample(table, 10, 1)
    parts = [posterior.sample(table[i : i + 7], 10, 1, first_row=i) for i in range(0, 40, 7)]
    np.testing.assert_allclose(blocks, whole, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-4, atol=1e-4)


def test_memory_inside_is_bounded_by_blocks(posterior, table, monkeypatch):
    rows = []
    branch = type(posterior._ensembles[0].members[0])
    sample = branch.sample

    def spy(self, prediction, noise):
        rows.append(noise.shape[0] * noise.shape[1])
        return sample(self, prediction, noise)

    monkeypatch.setattr(branch, "sample", spy)
    monkeypatch.setattr(posterior_module, "BLOCK_ROWS", 30)
    posterior.sample(table, 20, 1)
    assert max(rows) <= 30 and sum(rows) == 40 * 20 * 2


def test_one_of_the_two_models_is_enough(folders, posterior, table):
    both = posterior.sample(table, 10, 1)
    properties = Posterior.load(property_folder=folders[0])
    lines = Posterior.load(line_folder=folders[1] / "model.json")
    np.testing.assert_array_equal(properties.sample(table, 10, 1), both[..., :5])
    np.testing.assert_array_equal(lines.sample(table, 10, 1), both[..., 5:])
    assert lines.measurable(table) is None


def test_log_prob_is_the_density_of_the_draws(folders):
    """A histogram of many draws of one galaxy's redshift against exp(log_prob)."""
    lines = Posterior.load(line_folder=folders[1])
    row = make_features(1, seed=6)
    draws = lines.sample(row, 20_000, 3)[0, 0]
    log_prob = lines.log_prob(np.repeat(row[lines.inputs].to_numpy(), len(draws), 0), draws)[:, 0]
    # the mean of 1 / p over draws within a box is the box's volume: p integrates as a density
    centre, half = np.median(draws, axis=0), 0.8 * draws.std(axis=0)
    inside = (np.abs(draws - centre) < half).all(axis=1)
    volume = np.sum(np.exp(-log_prob[inside])) / len(draws)
    assert volume == pytest.approx(np.prod(2 * half), rel=0.1)


def test_log_prob_of_both_is_the_sum_and_missing_metallicity_is_integrated_out(folders, posterior):
    table = make_features(60, seed=7)
    rows = table["metallicity"].isna()
    assert rows.any() and not rows.all()
    total = posterior.log_prob(table, table)
    parts = [
        Posterior.load(property_folder=folders[0]).log_prob(table, table),
        Posterior.load(line_folder=folders[1]).log_prob(table, table),
    ]
    assert total.shape == (60, 2) and np.isfinite(total).all()
    np.testing.assert_allclose(total, sum(parts), rtol=1e-6)
    galaxy = table[~rows].iloc[:1]
    grid = np.linspace(5, 13, 4001)
    many = galaxy.loc[galaxy.index.repeat(len(grid))]
    properties = Posterior.load(property_folder=folders[0])
    joint = np.exp(properties.log_prob(many, many.assign(metallicity=grid)))
    marginal = np.exp(properties.log_prob(galaxy, galaxy.assign(metallicity=np.nan)))
    np.testing.assert_allclose(joint.sum(0) * (grid[1] - grid[0]), marginal[0], rtol=1e-3)


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
