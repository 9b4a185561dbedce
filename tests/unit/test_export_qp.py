"""The exported ensemble says of each galaxy what its draws say, in qp's own layout."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from posterior_files import write_posterior

from mgsflow.cli import main
from mgsflow.core.errors import UserError
from mgsflow.inference import export_qp as export
from mgsflow.inference.export_qp import export_qp, write_qp

N, STEP = 60, 0.002
OBJID = 1237648720000000000 + np.arange(N, dtype=np.int64)


@pytest.fixture(scope="module")
def draws() -> np.ndarray:
    """Redshifts with narrow, wide and two-peaked posteriors, (galaxies, members, draws)."""
    random = np.random.default_rng(0)
    centre, width = random.uniform(0.05, 0.3, (N, 1, 1)), random.uniform(0.002, 0.04, (N, 1, 1))
    second = 0.1 * (random.uniform(size=(N, 4, 250)) < 0.2)
    return (centre + second + width * random.standard_normal((N, 4, 250))).astype(np.float32)


@pytest.fixture(scope="module")
def exported(draws, tmp_path_factory):
    folder = tmp_path_factory.mktemp("qp")
    targets = ["log_stellar_mass", "redshift"]
    truth = np.stack([np.full(N, 10.0), draws.mean(axis=(1, 2))], axis=1)
    both = np.stack([draws + 10, draws], axis=-1)
    test = {"objid": OBJID, "draws": both, "mean_head": both.mean(axis=2), "truth": truth}
    path = write_posterior(
        folder / "photometry-observed.h5", "photometry-observed", targets, test=test
    )
    command = ["export-qp", "--posteriors", path, "--out", folder / "z.hdf5", "--step", STEP]
    assert main([str(word) for word in command]) == 0
    return folder / "z.hdf5"


def cdf(draws: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Share of each galaxy's draws below the values `at`, (n, values)."""
    return (draws.reshape(len(draws), -1, 1) < at).mean(axis=1)


def test_the_layout_is_qps(exported):
    """What qp 1.1.4 itself writes of a hist ensemble: names, shapes, types."""
    with h5py.File(exported) as file:
        found = {}
        file.visititems(lambda name, item: found.update({name: getattr(item, "shape", None)}))
        bins = file["meta/bins"].shape[1]
        assert found == {
            "meta": None,
            "meta/pdf_name": (1,),
            "meta/pdf_version": (1,),
            "meta/bins": (1, bins),
            "data": None,
            "data/pdfs": (N, bins - 1),
            "ancil": None,
            "ancil/objid": (N,),
            "ancil/truth": (N,),
        }
        assert file["meta/pdf_name"][0] == b"hist" and file["meta/pdf_version"][0] == 0
        assert file["ancil/objid"].dtype == np.int64


def test_at_the_edges_the_distribution_functions_are_the_draws_own(exported, draws):
    with h5py.File(exported) as file:
        edges, densities = file["meta/bins"][0], file["data/pdfs"][:]
        np.testing.assert_array_equal(file["ancil/objid"], OBJID)
        np.testing.assert_allclose(file["ancil/truth"], draws.mean(axis=(1, 2)))
    np.testing.assert_allclose(np.diff(edges), STEP)
    assert edges[0] <= draws.min() < edges[1] and edges[-2] <= draws.max() < edges[-1]
    below = np.cumsum(densities * STEP, axis=1)
    np.testing.assert_allclose(below, cdf(draws, edges[1:]), atol=1e-12)


def test_qp_reads_it(exported, draws):
    """With the real package, where it is installed: pip install qp-prob."""
    qp = pytest.importorskip("qp", reason="qp-prob is not installed")
    ensemble = qp.read(str(exported))
    assert ensemble.npdf == N and ensemble.gen_class.__name__ == "hist_gen"
    np.testing.assert_array_equal(ensemble.ancil["objid"], OBJID)
    edges = np.ravel(ensemble.metadata["bins"])
    # as float32 numbers, the draws are compared with edges that have more digits
    np.testing.assert_allclose(ensemble.cdf(edges), cdf(draws, edges), atol=1e-9)
    between = np.linspace(edges[0], edges[-1], 777)
    within = (draws.reshape(N, -1, 1) // STEP == between // STEP).mean(axis=1)
    assert (np.abs(ensemble.cdf(between) - cdf(draws, between)) <= within + 1e-3).all()
    np.testing.assert_allclose(ensemble.mean().ravel(), draws.mean(axis=(1, 2)), atol=STEP / 10)
    np.testing.assert_allclose(ensemble.median().ravel(), np.median(draws, axis=(1, 2)), atol=STEP)
    centres = (edges[1:] + edges[:-1]) / 2
    np.testing.assert_allclose(STEP * ensemble.pdf(centres).sum(axis=1), 1, rtol=1e-9)


def test_another_target_has_bins_in_its_own_unit(exported, draws, tmp_path):
    source = exported.with_name("photometry-observed.h5")
    export_qp(posteriors=source, out=tmp_path / "m.h5", target="log_stellar_mass", step=0.05)
    with h5py.File(tmp_path / "m.h5") as file:
        edges = file["meta/bins"][0]
        assert edges[0] > 9 and np.diff(edges) == pytest.approx(0.05)
    with pytest.raises(UserError, match="have no log_sfr"):
        export_qp(posteriors=source, out=tmp_path / "m.h5", target="log_sfr")


def test_negative_and_equal_draws_have_their_bins(tmp_path):
    write_qp(tmp_path / "a.hdf5", np.array([[-0.003, 0.0, 0.004]]), 0.002)
    with h5py.File(tmp_path / "a.hdf5") as file:
        edges, densities = file["meta/bins"][0], file["data/pdfs"][0]
    assert edges == pytest.approx([-0.004, -0.002, 0, 0.002, 0.004, 0.006])
    assert densities * 0.002 == pytest.approx([1 / 3, 0, 1 / 3, 0, 1 / 3])
    write_qp(tmp_path / "b.hdf5", np.full((2, 5), 0.1), 0.5)
    with h5py.File(tmp_path / "b.hdf5") as file:
        assert file["data/pdfs"][:] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("name", "values", "step", "words"),
    [
        ("z.fits", [0.1], 0.01, "names that end in .hdf5"),
        ("z.h5", [np.nan], 0.01, "finite numbers"),
        ("z.h5", [0.1], 0.0, "a width above 0"),
        ("z.h5", [0.0, 9.0], 1e-5, "wider --step"),
    ],
)
def test_what_cannot_be_is_refused_in_words(tmp_path, name, values, step, words):
    with pytest.raises(UserError, match=words):
        write_qp(tmp_path / name, np.array([values]), step)
    assert not list(tmp_path.iterdir())


def test_one_galaxy_far_out_is_named_and_a_range_leaves_it_there(tmp_path, monkeypatch):
    draws = np.tile(np.linspace(0.1, 0.2, 50), (4, 1))
    draws[2, 47] = 1e4
    objid = 1237648720000000000 + np.arange(4, dtype=np.int64)
    with pytest.raises(UserError, match="galaxy 1237648720000000002 with a draw of 1e[+]04"):
        write_qp(tmp_path / "z.h5", draws, 0.002, objid=objid)
    with pytest.raises(UserError, match="Farthest out is row 2 with"):
        write_qp(tmp_path / "z.h5", draws, 0.002)
    monkeypatch.setattr(export, "_NUMBERS", 100)  # two galaxies at once
    beyond = write_qp(tmp_path / "z.h5", draws, 0.002, low=0.15, high=0.3)
    below = int((draws[0] < 0.15).sum())
    assert beyond.tolist() == [below, below, below + 1, below]
    with h5py.File(tmp_path / "z.h5") as file:
        edges, densities = file["meta/bins"][0], file["data/pdfs"][:]
    assert (edges[0], edges[-1]) == pytest.approx((0.15, 0.3)) and len(edges) == 76
    np.testing.assert_allclose(densities.sum(axis=1) * 0.002, 1)
    inner = np.cumsum(densities * 0.002, axis=1)[:, :-1]
    np.testing.assert_allclose(inner, cdf(draws, edges[1:-1]), atol=1e-12)
    with pytest.raises(UserError, match="no bin of 0.002 lies between"):
        write_qp(tmp_path / "z.h5", draws, 0.002, low=0.3, high=0.1)


def test_the_command_counts_what_lies_beyond_its_range(exported, draws, tmp_path, capsys):
    source = exported.with_name("photometry-observed.h5")
    export_qp(posteriors=source, out=tmp_path / "z.h5", step=STEP, low=0.0, high=0.3)
    outside = (draws < 0) | (draws >= 0.3)
    count, galaxies = outside.sum(), outside.any(axis=(1, 2)).sum()
    assert f"{count} draws of {galaxies} galaxies lie beyond" in capsys.readouterr().err
