"""Stamps against the sky they were cut from: where the galaxy is, how bright, which way up.

Every figure is of the whole way: frames served over HTTP, downloaded, cut, written, read back.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from loopback import Loopback, serve
from pipeline import Run
from simulated_sdss import BANDS, SimulatedSdss

from mgsflow.config import Stamps
from mgsflow.sample.shards import ShardReader

SIZE, CENTRE = 160, 79.5
EDGES = ((300.0, 18.0), (1075.0, 1462.0), (1700.0, 70.0))
PAIR = ((1300.0, 700.0), (1345.0, 730.0))  # two galaxies in one stamp
PROVIDERS = ("frames", "legacy", "jpeg")


def settings(provider: str, **others) -> Stamps:
    return Stamps(provider=provider, size=SIZE, shards=1, **others)


def patiently(run: Run, provider: str, **others) -> ShardReader:
    """The stamps, waiting as long as reproject takes to make the cutouts."""
    return run.stamps(settings(provider, **others), network=run.server.network(image_timeout=60))


@pytest.fixture(scope="module")
def clear_sky() -> SimulatedSdss:
    """Full frames with the catalogue's galaxies alone, far from one another, and no noise."""
    return SimulatedSdss(24, 8, noiseless=True, edges=EDGES + PAIR, contaminants=0.0)


@pytest.fixture(scope="module")
def clear(clear_sky: SimulatedSdss) -> Iterator[Loopback]:
    with serve(clear_sky) as server:
        yield server


@pytest.fixture(scope="module")
def clear_run(clear: Loopback, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("clear"), clear)
    run.query()
    run.select()
    return run


@pytest.fixture(scope="module")
def alone(clear_sky: SimulatedSdss) -> pd.DataFrame:
    """Galaxies with no other in their stamp, small enough that it holds their light."""
    objects = clear_sky.objects
    offsets = objects["ra"].to_numpy(), objects["dec"].to_numpy()
    east = np.subtract.outer(offsets[0], offsets[0]) * np.cos(np.deg2rad(offsets[1].mean()))
    apart = np.hypot(east, np.subtract.outer(offsets[1], offsets[1])) * 3600
    np.fill_diagonal(apart, np.inf)
    chosen = objects[(apart.min(axis=1) > 60) & (objects["petro_r90"] < 8)]
    return chosen.set_index("objid")


def centroid(stamp: np.ndarray) -> tuple[float, float]:
    """(row, column) of the light within 8 arcsec of the centre."""
    row, column = np.mgrid[:SIZE, :SIZE]
    light = np.where(np.hypot(row - CENTRE, column - CENTRE) < 20, stamp, 0)
    return (light * row).sum() / light.sum(), (light * column).sum() / light.sum()


def measured(run: Run, alone: pd.DataFrame, provider: str) -> pd.DataFrame:
    """Of each galaxy and band: centroid and total flux over their truth, and whether at an edge."""
    shard = patiently(run, provider)
    rows = []
    for objid, stamp, masked in zip(shard.objid, shard.stamps, shard.masked, strict=True):
        if objid not in alone.index or masked > 0:
            continue
        truth = alone.loc[objid]
        for band, image in zip(BANDS, stamp.astype(float), strict=True):
            at = centroid(image)
            rows.append(
                {
                    "objid": objid,
                    "band": band,
                    "edge": min(truth["y"], 1489 - truth["y"]) < 100,
                    "row": at[0] - CENTRE,
                    "column": at[1] - CENTRE,
                    "flux": image.sum() / truth[f"nanomaggies_{band}"],
                }
            )
    return pd.DataFrame(rows)


@pytest.mark.parametrize("provider", ["frames", "legacy"])
def test_position_flux_and_alignment(clear_run, alone, provider, capsys):
    table = measured(clear_run, alone, provider)
    assert table.groupby("edge")["objid"].nunique().min() >= 3
    offset = np.hypot(table["row"], table["column"])
    aligned = table.groupby("objid")[["row", "column"]].agg(np.ptp).max(axis=1)
    with capsys.disabled():
        print(
            f"\n{provider}: of {table['objid'].nunique()} galaxies, {table['edge'].sum()} at edges"
        )
        for edge, part in table.groupby("edge"):
            far = np.hypot(part["row"], part["column"]).max()
            off = (part["flux"] - 1).abs().max()
            print(f"  edge {edge}: farthest {far:.4f} px, worst flux {100 * off:.2f}%")
        print(f"  bands apart at most {aligned.max():.4f} px")
    assert offset.max() < 0.1
    assert (table["flux"] - 1).abs().max() < 0.01
    assert aligned.max() < 0.1


def test_the_centre_of_a_jpeg_is_the_galaxy(clear_run, alone):
    table = measured(clear_run, alone, "jpeg")
    assert np.hypot(table["row"], table["column"]).max() < 0.25  # of eight bits, stretched
    assert table.groupby("objid")[["row", "column"]].agg(np.ptp).max(axis=None) < 0.25


def test_without_the_neighbour_a_part_is_masked(clear_run, clear_sky):
    mosaic = patiently(clear_run, "frames")
    masked = patiently(clear_run, "frames", edge="mask")
    assert (masked.objid == mosaic.objid).all()
    filled = masked.masked > mosaic.masked
    assert filled.sum() >= 4
    for one, other, share in zip(
        masked.stamps[filled], mosaic.stamps[filled], masked.masked[filled], strict=True
    ):
        same = one == other
        assert same.mean() >= 1 - share  # what the galaxy's own field holds is of it
        assert not one[~same].any()


@pytest.fixture(scope="module")
def asymmetric(tmp_path_factory) -> dict[str, np.ndarray]:
    """One galaxy's stamp (bands, size, size) by each provider, of a real-looking noisy field."""
    sky = SimulatedSdss(12, 12, edges=())
    with serve(sky) as server:
        run = Run(tmp_path_factory.mktemp("asymmetric"), server)
        run.query()
        run.select()
        shards = {p: patiently(run, p) for p in PROVIDERS}
    whole = [set(shard.objid[shard.masked == 0].tolist()) for shard in shards.values()]
    common = set.intersection(*whole)
    return {
        provider: np.stack(
            [shard.stamps[shard.objid.tolist().index(o)] for o in sorted(common)]
        ).astype(float)
        for provider, shard in shards.items()
    }


SYMMETRIES = {
    f"{'mirrored, ' if mirror else ''}turned by {90 * turns}": (mirror, turns)
    for mirror in (False, True)
    for turns in range(4)
}


def moved(stamp: np.ndarray, mirror: bool, turns: int) -> np.ndarray:
    flipped = stamp[..., ::-1] if mirror else stamp
    return np.rot90(flipped, turns, axes=(-2, -1))


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two stamps in a band, where neither is sky, on a scale that saturates."""
    a, b = (np.argsort(np.argsort(x, axis=None)) for x in (one, other))
    return float(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize("provider", ["legacy", "jpeg"])
def test_orientation_and_parity_are_those_of_the_frames(asymmetric, provider):
    """Of the eight ways to lay a stamp on another, only ours fits: in every band."""
    assert len(asymmetric["frames"]) >= 6
    for band in range(3):
        fits = {
            name: np.mean(
                [
                    likeness(ours[band], moved(theirs[band], *how))
                    for ours, theirs in zip(asymmetric["frames"], asymmetric[provider], strict=True)
                ]
            )
            for name, how in SYMMETRIES.items()
        }
        best = max(fits, key=fits.get)
        assert best == "turned by 0", fits
        assert fits[best] > 0.8 and max(v for k, v in fits.items() if k != best) < 0.5


@pytest.mark.parametrize("provider", PROVIDERS)
def test_east_is_left_and_north_is_up(clear_run, clear_sky, provider):
    """Of two galaxies in a stamp the other lies where the catalogue says, in pixels and sign."""
    objects = clear_sky.objects.set_index("objid")
    shard = patiently(clear_run, provider)
    found = 0
    for objid, stamp in zip(shard.objid, shard.stamps, strict=True):
        one = objects.loc[objid]
        east = (objects["ra"] - one["ra"]) * np.cos(np.deg2rad(one["dec"])) * 3600
        north = (objects["dec"] - one["dec"]) * 3600
        near = (np.hypot(east, north) > 8) & (np.maximum(abs(east), abs(north)) < 26)
        for other in np.flatnonzero(near):
            row = round(CENTRE + north.iloc[other] / 0.396)
            column = round(CENTRE - east.iloc[other] / 0.396)
            window = stamp[1, row - 4 : row + 5, column - 4 : column + 5].astype(float)
            # a bright centre saturates in a JPEG: the middle of what is brightest is the peak
            peak = np.mean(np.nonzero(window > 0.98 * window.max()), axis=1)
            assert np.hypot(*(peak - 4)) <= 1.5
            found += 1
    assert found >= 4
