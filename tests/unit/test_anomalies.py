"""What is put in the place of test galaxies is what its name says, in stamps and in photometry."""

from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter
from synthetic_stamps import write_run

from mgsflow.config import Evaluation, Photometry, Simulated
from mgsflow.core.errors import UserError
from mgsflow.core.tables import read_notes, read_table, write_table
from mgsflow.evaluation.out_of_distribution import kinds
from mgsflow.evaluation.out_of_distribution.anomalies import anomalies
from mgsflow.evaluation.out_of_distribution.kinds import Sample
from mgsflow.evaluation.out_of_distribution.pixels import empty
from mgsflow.sky.simulated.contaminants import STELLAR_LOCUS

BANDS = ("g", "r", "i")
SKY, NOISE = 0.05, 0.02  # nanomaggies


def make_sample(count: int = 30, size: int = 64, dtype: type = np.float16) -> Sample:
    random = np.random.default_rng(1)
    stamps = SKY + NOISE * random.standard_normal((count, 3, size, size))
    stamps[:, :, 24:40, 24:40] += np.array([1.0, 2.0, 3.0])[:, None, None]  # the galaxy
    stamps[:, :, :3, :9] += 5.0  # a neighbour at the edge
    r = random.uniform(14, 17.7, count)
    magnitudes = pd.DataFrame(
        {"u": r + 2.5, "g": r + 0.8, "r": r, "i": r - 0.4, "z": r - 0.7}, dtype=float
    )
    return Sample(
        objid=np.arange(count, dtype=np.int64),
        redshift=np.full(count, 0.1),
        magnitudes=magnitudes,
        errors=pd.DataFrame(0.01, index=magnitudes.index, columns=magnitudes.columns),
        extinction=pd.DataFrame(0.1, index=magnitudes.index, columns=magnitudes.columns),
        stamps=stamps.astype(dtype),
        bands=BANDS,
        pixel_scale=0.396,
    )


def test_an_empty_stamp_has_the_skys_level_and_noise_and_nothing_else():
    sample = make_sample()
    made = kinds.blank(sample, np.random.default_rng(2))
    assert made.stamps.shape == sample.stamps.shape and made.stamps.dtype == np.float16
    values = made.stamps.astype(float)
    assert values.mean() == pytest.approx(SKY, abs=0.1 * NOISE)
    assert values.std() == pytest.approx(NOISE, rel=0.05)
    assert values.max() < SKY + 4 * NOISE, "neither the galaxy nor its neighbour"
    pd.testing.assert_frame_equal(made.magnitudes, sample.magnitudes)


def test_an_empty_stamp_keeps_what_neighbouring_pixels_and_bands_have_in_common():
    random = np.random.default_rng(5)
    noise = gaussian_filter(random.standard_normal((4, 3, 80, 80)), (0, 0, 1.5, 1.5))
    noise[:, 1] = 0.7 * noise[:, 0] + 0.3 * noise[:, 1]
    noise[:, :, 30:50, 30:50] += 9  # the galaxy
    made = empty(noise, np.random.default_rng(6))

    def alike(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])

    border = noise[..., :8, :]
    for bands in ((0, 0), (2, 2)):
        wanted, found = (
            alike(part[:, bands[0], :, :-1], part[:, bands[1], :, 1:]) for part in (border, made)
        )
        assert wanted > 0.8 and found == pytest.approx(wanted, abs=0.15)
    assert alike(made[:, 0], made[:, 1]) > 0.8 > 0.3 > abs(alike(made[:, 0], made[:, 2]))


def test_the_control_is_the_galaxy_with_an_empty_stamps_border():
    sample = make_sample()
    made = kinds.control(sample, np.random.default_rng(2))
    middle = (..., slice(6, -6), slice(6, -6))
    np.testing.assert_array_equal(made.stamps[middle], sample.stamps[middle])
    border = np.ones((64, 64), bool)
    border[middle] = False
    blank = kinds.blank(sample, np.random.default_rng(2))
    np.testing.assert_array_equal(made.stamps[..., border], blank.stamps[..., border])
    assert sample.stamps[..., border].max() > 4 > made.stamps[..., border].max(), "no neighbour"
    pd.testing.assert_frame_equal(made.magnitudes, sample.magnitudes)
    assert kinds.control(replace(sample, stamps=None), np.random.default_rng(2)) is None


def test_an_empty_jpeg_stays_a_jpeg():
    stamps = np.full((2, 3, 32, 32), 12, np.uint8)
    stamps[:, :, 10:20, 10:20] = 250
    found = empty(stamps, np.random.default_rng(0))
    assert found.dtype == np.uint8 and (found == 12).all()


def test_bands_are_exchanged_in_stamps_and_magnitudes_alike():
    sample = make_sample()
    made = kinds.swapped(sample)
    np.testing.assert_array_equal(made.stamps[:, 0], sample.stamps[:, 2])
    np.testing.assert_array_equal(made.stamps[:, 2], sample.stamps[:, 0])
    np.testing.assert_array_equal(made.stamps[:, 1], sample.stamps[:, 1])
    np.testing.assert_array_equal(made.magnitudes["g"], sample.magnitudes["i"])
    np.testing.assert_array_equal(made.magnitudes["i"], sample.magnitudes["g"])
    np.testing.assert_array_equal(made.magnitudes["u"], sample.magnitudes["u"])
    assert list(made.magnitudes) == list(sample.magnitudes)
    assert kinds.swapped(replace(sample, bands=("u", "r", "z"))) is None


def test_a_star_lies_on_the_locus_and_its_stamp_has_its_light():
    sample = make_sample(size=96)
    made = kinds.star(sample, 1.3, np.random.default_rng(3))
    np.testing.assert_array_equal(made.magnitudes["r"], sample.magnitudes["r"])
    colours = -np.diff(made.magnitudes.to_numpy(), axis=1)
    steps = np.linspace(0, 3, 400)
    locus = np.stack([np.interp(steps, np.arange(4), c) for c in STELLAR_LOCUS.T], axis=1)
    distance = np.abs(colours[:, None] - locus).max(axis=2).min(axis=1)
    assert (distance < 5 * kinds.STELLAR_SCATTER).all() and np.ptp(colours[:, 1]) > 0.5
    assert (made.redshift == 0).all()
    reddened = made.magnitudes[list(BANDS)].to_numpy() + 0.1
    flux = (made.stamps.astype(float) - SKY).sum(axis=(2, 3))
    np.testing.assert_allclose(
        flux, 10 ** (0.4 * (22.5 - reddened)), rtol=0.02, atol=5 * 96 * NOISE
    )
    peak = made.stamps[:, 1].reshape(len(made), -1).argmax(axis=1)
    assert (np.abs(np.stack(np.divmod(peak, 96)) - 47.5) <= 1.5).all(), "in the middle"


def test_a_star_on_a_jpeg_has_no_stamp():
    sample = make_sample()
    jpeg = replace(sample, stamps=np.zeros(sample.stamps.shape, np.uint8))
    assert kinds.star(jpeg, 1.3, np.random.default_rng(3)).stamps is None


@pytest.mark.slow
def test_distant_galaxies_have_their_redshift_and_the_brightness_asked_for():
    sample = make_sample()
    simulated = Simulated(galaxies=100)
    own, bright = (
        kinds.distant(sample, simulated, bright, np.random.default_rng(4))
        for bright in (False, True)
    )
    for made in (own, bright):
        assert ((made.redshift > 0.494) & (made.redshift < 0.506)).all()
        assert np.isfinite(made.magnitudes.to_numpy()).all() and len(made) == 30
        assert (made.magnitudes["g"] - made.magnitudes["r"]).max() > 1.4, "as red as none nearby"
    assert own.magnitudes["r"].min() > 17.5
    off = bright.magnitudes["r"] - sample.magnitudes["r"]
    assert np.abs(off).max() < 0.15, "measured, about the true magnitudes"
    flux = [(made.stamps[:, 1].astype(float) - SKY).sum(axis=(1, 2)) for made in (own, bright)]
    assert (flux[1] > 3 * flux[0]).mean() > 0.9


@pytest.fixture
def run(tmp_path):
    """Forty galaxies with stamps, half of them the test set."""
    paths, truth = write_run(tmp_path, count=40)
    count = len(truth)
    magnitudes = make_sample(count).magnitudes.to_numpy()
    selected = pd.DataFrame({"objid": truth["objid"], "redshift": 0.1})
    for i, band in enumerate("ugriz"):
        selected[f"mag_{band}"], selected[f"mag_err_{band}"] = magnitudes[:, i], 0.02
        selected[f"extinction_{band}"] = 0.1
    write_table(tmp_path / "selected.parquet", selected)
    sets = np.where(np.arange(count) % 2, "test", "train")
    write_table(tmp_path / "features.parquet", pd.DataFrame({"objid": truth["objid"], "set": sets}))
    return tmp_path, paths


def make(folder, paths, **changes):
    anomalies(
        **{
            "features": folder / "features.parquet",
            "selected": folder / "selected.parquet",
            "shards": paths,
            "index": folder / "index.parquet" if paths else None,
            "photometry": Photometry(),
            "rest_frame": False,
            "evaluation": Evaluation(anomalies=12),
            "seed": 3,
            "out": folder / "anomalies.parquet",
            "stamps": folder / "anomalies.h5",
        }
        | changes
    )
    return read_table(folder / "anomalies.parquet")


def test_the_stage_writes_photometry_and_stamps_of_test_galaxies(run):
    folder, paths = run
    table = make(folder, paths)
    assert table["anomaly"].value_counts().to_dict() == dict.fromkeys(
        ("patched", "blank", "swapped", "star"), 12
    )
    features = read_table(folder / "features.parquet").set_index("objid")
    assert (features.loc[table["objid"], "set"] == "test").all()
    for a, b in ("ug", "gr", "ri", "iz"):
        colour = table[f"mag_{a}"] - table[f"mag_{b}"]
        np.testing.assert_allclose(table[f"colour_{a}_{b}"], colour)
    blank = table[table["anomaly"] == "blank"].set_index("objid")
    selected = read_table(folder / "selected.parquet").set_index("objid").loc[blank.index]
    np.testing.assert_allclose(blank["mag_u"], selected["mag_u"] - 0.1)
    assert not blank["photometry"].any() and table["photometry"].sum() == 24
    assert sorted(table["stamp"]) == list(range(48))
    with h5py.File(folder / "anomalies.h5") as file:
        assert file["stamps"].shape == (48, 3, 16, 16)


@pytest.mark.slow
def test_a_simulated_sky_adds_distant_galaxies_and_rest_frame_colours(run):
    folder, _ = run
    table = make(folder, [], simulated=Simulated(galaxies=100), rest_frame=True)
    assert set(table["anomaly"]) == {"swapped", "star", "distant", "distant_bright"}
    assert (table["stamp"] == -1).all() and table["photometry"].all()
    assert read_notes(folder / "anomalies.parquet")["left_out"] == ["patched", "blank"]
    rest = table.groupby("anomaly")["rest_colour_g_r"].median()
    observed = table.groupby("anomaly")["colour_g_r"].median()
    assert observed["distant"] - rest["distant"] > 0.4, "K-corrected from z = 0.5"
    assert abs(observed["star"] - rest["star"]) < 0.02, "a star has no redshift"


def test_the_same_seed_makes_the_same(run):
    folder, paths = run
    make(folder, paths)
    before = [(folder / f"anomalies.{end}").read_bytes() for end in ("parquet", "h5")]
    make(folder, paths)
    assert before == [(folder / f"anomalies.{end}").read_bytes() for end in ("parquet", "h5")]


def test_what_cannot_be_made_is_named(run, capsys):
    folder, _ = run
    table = make(folder, [], photometry=Photometry(bands=["u", "z"]))
    assert table.empty
    said = capsys.readouterr().err
    for name in ("patched", "blank", "swapped", "star"):
        assert f"{name} cannot be made" in said
    for name in ("distant", "distant_bright"):
        assert f"{name} is left out: its galaxies are drawn by a simulated sky" in said
    left_out = read_notes(folder / "anomalies.parquet")["left_out"]
    assert left_out == ["patched", "blank", "swapped", "star", "distant", "distant_bright"]


def test_an_empty_test_set_is_refused(run):
    folder, paths = run
    features = read_table(folder / "features.parquet").assign(set="train")
    write_table(folder / "features.parquet", features)
    with pytest.raises(UserError, match="no galaxy in the test set"):
        make(folder, paths)
