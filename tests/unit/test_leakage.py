"""The leakage report finds what was planted, and finds nothing where nothing is."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from synthetic_features import FIRST_OBJID, make_features

from mgsflow.baselines import regressors
from mgsflow.config import Baselines, Evaluation, Stamps, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.tables import read_table, write_table
from mgsflow.evaluation.leakage.control import permutation_control
from mgsflow.evaluation.leakage.leakage import leakage
from mgsflow.evaluation.leakage.separation import overlapping_stamps
from mgsflow.evaluation.leakage.shift import prior_shift, shift_lines
from mgsflow.models.standardise import Standardiser
from mgsflow.report.table_leakage import table_leakage
from mgsflow.report.writing import read_shown

TARGETS = Targets()
GOALS = [*TARGETS.properties, *TARGETS.lines]
INPUTS = [f"mag_{band}" for band in "ugriz"] + ["colour_u_g", "colour_g_r"]
QUICK = Baselines(boosting_iterations=20)
STAMPS = Stamps(size=160, pixel_scale=0.396)
SIDE = 160 * 0.396
VAE = 60


@pytest.fixture(scope="module")
def features() -> pd.DataFrame:
    return make_features(600)[["objid", "set", *INPUTS, *GOALS]]


def sky_of(features: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Catalogue and sets: the flows' galaxies and some of a VAE's, a degree from each other."""
    vae = pd.DataFrame({"objid": FIRST_OBJID - 1 - np.arange(VAE, dtype=np.int64)})
    sets = pd.concat([features[["objid", "set"]], vae.assign(set="vae_train")], ignore_index=True)
    number = np.arange(len(sets))
    catalogue = sets[["objid"]].assign(ra=number % 60.0, dec=number // 60.0)
    random = np.random.default_rng(1)
    for band in "ugriz":
        catalogue[f"mag_{band}"] = random.normal(17, 1, len(sets))
    return catalogue, sets


def model_of(rows: pd.DataFrame, inputs: list[str] = INPUTS) -> dict:
    scales = {"inputs": rows[inputs], "targets": rows[GOALS]}
    standardisation = {k: Standardiser.fit(v.to_numpy()).to_json() for k, v in scales.items()}
    return {"inputs": inputs, "targets": GOALS, "standardisation": standardisation}


def check(folder, features, catalogue=None, sets=None, model=None, stamps=STAMPS) -> pd.DataFrame:
    """The report's lines."""
    plain = sky_of(features)
    catalogue, sets = (a if a is not None else b for a, b in zip((catalogue, sets), plain))  # noqa: B905
    files = {"selected": catalogue, "splits": sets, "features": features}
    for name, table in files.items():
        write_table(folder / f"{name}.parquet", table)
    notes = {"inputs": {"photometry_mlp": ["mag_r", "mag_g", "mag_z"]}}
    write_table(folder / "baselines.parquet", pd.DataFrame({"objid": [1]}), (), notes)
    train = features[features["set"] == "train"]
    (folder / "model.json").write_text(json.dumps(model or model_of(train)))
    leakage(
        **{name: folder / f"{name}.parquet" for name in files},
        models=[folder],
        predictions=folder / "baselines.parquet",
        stamps=stamps,
        targets=TARGETS,
        baselines=QUICK,
        evaluation=Evaluation(permutations=2),
        seed=3,
        out=folder / "leakage.parquet",
    )
    return read_table(folder / "leakage.parquet")


def test_an_honest_run_passes_every_check(tmp_path, features, capsys):
    lines = check(tmp_path, features)
    assert set(lines["verdict"]) <= {"passed", "undecided"}, lines
    assert (lines["found"] == 0).all()
    control = lines[lines["check"] == "Permutation control"]
    assert sorted(control["subject"]) == sorted(GOALS)
    assert (control["value"] < 0.05).all()
    assert "failed" not in capsys.readouterr().err


def test_a_galaxy_in_two_sets_stops_the_run(tmp_path, features):
    catalogue, sets = sky_of(features)
    twice = pd.concat([sets, sets.iloc[[0]].assign(set="test")], ignore_index=True)
    with pytest.raises(UserError, match=rf"objid {FIRST_OBJID} .*\(train, test\)"):
        check(tmp_path, features, catalogue, twice)


def test_a_galaxy_of_the_vae_among_the_flows_stops_the_run(tmp_path, features):
    catalogue, sets = sky_of(features)
    sets.loc[5, "set"] = "vae_train"
    with pytest.raises(
        UserError, match=rf"objid {FIRST_OBJID + 5} is in the set train, in contradiction"
    ):
        check(tmp_path, features, catalogue, sets)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("redshift", "it is a target"),
        ("ra", "where or how"),
        ("plate", "where or how"),
        ("fiber_dec", "where or how"),
        ("run", "where or how"),
        ("field", "where or how"),
        ("redshift_err", "Remove it"),
    ],
)
def test_an_input_that_must_not_be_there_stops_the_run(tmp_path, features, name, why):
    table = features if name in features else features.assign(**{name: 1.0})
    model = model_of(table[table["set"] == "train"], [*INPUTS, name])
    with pytest.raises(UserError, match=rf"model\.json: {name} is among the inputs.*{why}"):
        check(tmp_path, table, model=model)


def test_the_redshift_under_another_name_is_found(tmp_path, features, capsys):
    disguised = features.assign(mag_u=25 + 5 * np.log10(features["redshift"]))
    row = (
        check(tmp_path, disguised)
        .set_index("check")
        .loc["Inputs that are a target by another name"]
    )
    assert (row["found"], row["verdict"]) == (1, "failed")
    assert "of mag_u with redshift" in row["remark"] and row["value"] == pytest.approx(1)
    assert "of mag_u with redshift" in capsys.readouterr().err


def test_the_control_catches_a_method_that_has_seen_the_test_set(features, monkeypatch):
    """As if a fit had had the test galaxies' truths by another way than the training rows."""
    test = features[features["set"] == "test"]
    seen = {tuple(x): y for x, y in zip(test[INPUTS].to_numpy(), test["redshift"], strict=True)}

    def cheat(train, validation, settings, seed):
        mean = train.targets.mean(axis=0)
        column = np.argmin(np.abs(mean - features["redshift"].mean()))

        def predict(inputs):
            guess = np.tile(mean, (len(inputs), 1))
            guess[:, column] = [seen.get(tuple(x), mean[column]) for x in inputs]
            return guess

        return predict

    honest = permutation_control(features, INPUTS, ["redshift"], QUICK, 3, 1)
    assert [c.verdict for c in honest] != ["failed"]
    monkeypatch.setitem(regressors.FITS, "photometry_boosting", cheat)
    (caught,) = permutation_control(features, INPUTS, ["redshift"], QUICK, 3, 1)
    assert caught.verdict == "failed" and caught.mean == pytest.approx(1)


def test_the_control_leaves_the_test_set_and_the_marginals_alone(features, monkeypatch):
    given = []

    def record(train, validation, settings, seed):
        given.append(train.targets)
        return lambda inputs: np.zeros((len(inputs), train.targets.shape[1]))

    monkeypatch.setitem(regressors.FITS, "photometry_boosting", record)
    permutation_control(features, INPUTS, ["log_sfr"], QUICK, 2, 1)
    true = features.loc[features["set"] == "train", "log_sfr"].to_numpy()
    for one in given:
        assert np.array_equal(np.sort(one[:, 0]), np.sort(true))
        assert abs(np.corrcoef(one[:, 0], true)[0, 1]) < 0.2
    assert not np.array_equal(*given)


def test_standardisation_by_all_sets_is_found_and_called_so(tmp_path, features):
    lines = check(tmp_path, features, model=model_of(features)).set_index("check")
    row = lines.loc["Standardisation by the training rows alone"]
    assert (row["found"], row["verdict"]) == (len(INPUTS) + len(GOALS), "failed")
    assert "mag_u, which is that of all sets" in row["remark"]


def test_fluxes_below_nothing_are_found(tmp_path, features):
    table = features.copy()
    table.loc[[3, 4], "log1p_h_beta"] = [-0.2, 0.0]
    row = check(tmp_path, table).set_index("check").loc["Fluxes within ln(1 + F)"]
    assert (row["checked"], row["found"], row["verdict"]) == (4 * 600, 1, "failed")
    assert row["remark"].startswith("1 are 0")


def planted(features: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two test galaxies near one of the training set, one near one of the VAE's, one far off."""
    catalogue, sets = sky_of(features)
    rows = {name: np.flatnonzero(sets["set"] == name) for name in ("train", "test", "vae_train")}
    first, second, third, fourth = rows["test"][:4]
    for row, of, east, north in (
        (first, rows["train"][0], 60.0, 60.0),  # corner over corner: 85 arcsec from each other
        (second, rows["train"][0], 0.0, 0.5),
        (third, rows["vae_train"][0], -63.0, 0.0),
        (fourth, rows["train"][1], 64.0, 0.0),
    ):
        dec = catalogue.loc[of, "dec"] + north / 3600
        catalogue.loc[row, "ra"] = catalogue.loc[of, "ra"] + east / 3600 / np.cos(np.radians(dec))
        catalogue.loc[row, "dec"] = dec
    bands = [f"mag_{band}" for band in "ugriz"]
    catalogue.loc[rows["test"][7], bands] = catalogue.loc[rows["train"][8], bands].to_numpy()
    return catalogue, sets


def test_shared_pixels_places_and_magnitudes_are_counted_and_do_not_stop_the_run(
    tmp_path, features
):
    lines = check(tmp_path, features, *planted(features)).set_index(["check", "subject"])
    pixels = lines.loc["Stamps that share pixels"]
    # the second galaxy is half an arcsecond from a training one, and an arcminute from the first
    assert pixels["found"].to_dict() == {
        "test and training": 2,
        "test and VAE's": 1,
        "validation and training": 0,
    }
    assert pixels["verdict"].tolist() == ["reported", "reported", "passed"]
    assert (pixels["checked"] == 120).all()
    assert lines.loc["Same place"]["found"].tolist() == [1, 0, 0]
    assert lines.loc["Equal magnitudes"]["found"].tolist() == [1, 0, 0]


def test_overlaps_are_those_of_a_plain_search_on_the_sphere():
    random = np.random.default_rng(2)
    dec = np.degrees(np.arcsin(random.uniform(0.3, 0.32, 400)))
    ra = (359.9 + random.uniform(0, 0.4, 400)) % 360  # across the zero of right ascension
    found = {tuple(sorted(pair)) for pair in overlapping_stamps(ra, dec, 3 * SIDE).pairs}
    east = np.abs((ra[:, None] - ra + 180) % 360 - 180)
    east = east * np.cos(np.radians(dec[:, None] / 2 + dec / 2))
    near = np.maximum(east, np.abs(dec[:, None] - dec)) * 3600 < 3 * SIDE
    plain = {(i, j) for i, j in zip(*np.nonzero(np.triu(near, 1)), strict=True)}
    assert found == plain and len(found) > 50
    assert any(abs(ra[i] - ra[j]) > 300 for i, j in found)


def test_a_run_without_stamps_or_positions_says_so(tmp_path, features):
    catalogue, sets = sky_of(features)
    none = Stamps(provider="none")
    lines = check(tmp_path, features, catalogue, sets, stamps=none).set_index("check")
    assert lines.loc["Stamps that share pixels", "remark"] == "the run has no stamps"
    bare = check(tmp_path, features, catalogue[["objid"]], sets).set_index("check")
    for name in ("Stamps that share pixels", "Same place", "Equal magnitudes"):
        assert bare.loc[name, "verdict"] == "not applicable"


@pytest.mark.parametrize(("offset", "shifted"), [(0.0, False), (0.5, True)])
def test_a_shifted_population_is_noticed(offset, shifted):
    random = np.random.default_rng(5)
    train, other = (
        pd.DataFrame(random.normal(0, 1, (n, 3)), columns=list("abc")) for n in (3000, 1500)
    )
    other["b"] += offset
    shift = prior_shift(train, other, ["a", "b", "c"], seed=1)
    assert (shift.jointly, shift.singly) == (shifted, shifted)
    if shifted:
        assert shift.worst == "b" and shift.probability < 1e-6


def test_the_warning_of_a_shift_says_what_to_do():
    random = np.random.default_rng(6)
    table = pd.DataFrame(random.normal(0, 1, (4000, 2)), columns=["a", "b"])
    table["set"] = np.repeat(["train", "test"], 2000)
    jointly, _ = shift_lines(table, ["a", "b"], seed=1)
    assert jointly["verdict"] == "passed" and "reweighting" not in jointly["remark"]
    table.loc[table["set"] == "test", "b"] += 0.5
    jointly, _ = shift_lines(table, ["a", "b"], seed=1)
    assert jointly["verdict"] == "reported"
    assert "calibration.recalibrate: prior" in jointly["remark"]


def test_a_shift_of_a_correlation_alone_is_the_classifiers_to_notice():
    random = np.random.default_rng(6)
    train = pd.DataFrame(random.normal(0, 1, (800, 2)), columns=["a", "b"])
    other = pd.DataFrame({"a": random.normal(0, 1, 800)})
    other["b"] = 0.8 * other["a"] + 0.6 * random.normal(0, 1, 800)
    shift = prior_shift(train, other, ["a", "b"], seed=1)
    assert shift.jointly and not shift.singly


@pytest.mark.slow
def test_chance_rarely_warns():
    random = np.random.default_rng(7)
    tables = [pd.DataFrame(random.normal(0, 1, (150, 4)), columns=list("abcd")) for _ in range(40)]
    shifts = [
        prior_shift(a, b, list("abcd"), 1) for a, b in zip(tables[::2], tables[1::2], strict=True)
    ]
    assert sum(shift.jointly or shift.singly for shift in shifts) <= 1


def test_too_few_galaxies_are_no_population():
    table = pd.DataFrame({"a": np.arange(6.0)})
    shift = prior_shift(table, table, ["a"], 1)
    assert np.isnan(shift.auc) and not shift.jointly and not shift.singly


def test_the_table_shows_shares_figures_and_verdicts(tmp_path, features):
    check(tmp_path, features, *planted(features))
    table_leakage(leakage=tmp_path / "leakage.parquet", out=tmp_path / "table.csv")
    shown = read_shown(tmp_path / "table.json")
    pixels = shown[shown["Check"] == "Stamps that share pixels"].iloc[0]
    assert pixels[["Checked", "Found", "Share", "Verdict"]].tolist() == [
        "120",
        "2",
        "1.7%",
        "reported",
    ]
    control = shown[shown["Check"] == "Permutation control"].iloc[0]
    assert control["Of"] == "log M⋆" and " to " in control["Figure"]
    assert len(pd.read_csv(tmp_path / "table.csv")) == len(shown)
