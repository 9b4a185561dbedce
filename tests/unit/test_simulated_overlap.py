"""Neighbouring simulated frames overlap: the same light and the same noise in the shared rows."""

import bz2
import io

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from mgsflow.config import Simulated, Stamps
from mgsflow.core.errors import UserError
from mgsflow.sample.cutting import FrameCutter
from mgsflow.sample.frames import Frame, MissingFrameError
from mgsflow.sky.fields import frame_path
from mgsflow.sky.simulated import scene
from mgsflow.sky.simulated import simulate_frames as frames
from mgsflow.sky.simulated.camera import CAMERA
from mgsflow.sky.simulated.placement import field_wcs
from mgsflow.sky.simulated.scene import Sky
from mgsflow.sky.simulated.simulate_catalogue import make_objects
from mgsflow.sky.simulated.simulate_frames import frame_bytes, noiseless_frame, simulate_frames

SETTINGS = Simulated(galaxies=36, galaxies_per_field=12)
FIRST, MIDDLE, LAST = ((752, 1, field) for field in (11, 12, 13))
SHARED = 128


@pytest.fixture(scope="module")
def objects():
    """Three fields in a row; the first has a bright galaxy in the rows that it shares."""
    table = make_objects(SETTINGS, seed=3)
    bright = table[(table["field"] == 11) & (table["kind"] == "galaxy")]["mag_r"].idxmin()
    place_and_size = ["x", "y", "disk_radius", "bulge_radius"]
    table.loc[bright, place_and_size] = 1000.0, 1420.0, 2.0, 0.7
    # nothing else within two apertures of it
    near = (table["x"].sub(1000).abs() < 120) & (table["y"].sub(1420).abs() < 120)
    near |= (table["field"] == 12) & (table["x"].sub(1000).abs() < 120) & (table["y"] < 180)
    near[bright] = False
    table = table[~near].reset_index(drop=True)
    wcs = field_wcs(table[table["field"] == 11].iloc[0], "r")
    moved = (table["x"] == 1000) & (table["y"] == 1420)
    table.loc[moved, ["ra", "dec"]] = wcs.wcs_pix2world([[1000.0, 1420.0]], 1)
    return table


@pytest.fixture(scope="module")
def same_seeing():
    """All fields have the same seeing, so that the same light gives the same pixels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene, "SEEING_SCATTER", 0.0)
        yield


@pytest.fixture(scope="module")
def pair(objects, same_seeing):
    """The r frames of two neighbours, (image, WCS) each, and the same without noise."""
    sky = Sky(objects, SETTINGS, seed=3)
    opened = [read(frame_bytes(sky, name, "r")) for name in (FIRST, MIDDLE)]
    clean = [noiseless_frame(sky, name, "r") for name in (FIRST, MIDDLE)]
    return opened, clean


def read(data):
    with fits.open(io.BytesIO(bz2.decompress(data))) as hdus:
        return hdus[0].data.astype(float), WCS(hdus[0].header)


def test_shared_rows_show_the_same_light(pair):
    """Galaxies, faint ones and stars, of either field: within a hundredth of the noise."""
    _, (first, second) = pair
    above, below = first[-SHARED:], second[:SHARED]
    assert np.sum(above > 0.5 * CAMERA["r"].sky_noise) > 2000
    # nu = -1 deg: the frames are turned against each other by a twentieth of a pixel in 1000
    assert np.abs(above - below).max() < 0.03 * above.max()
    assert np.abs(above - below).mean() < 0.01 * CAMERA["r"].sky_noise
    assert above.sum() == pytest.approx(below.sum(), rel=0.01)


def test_shared_rows_have_the_same_noise_and_others_their_own(pair):
    ((first, _), (second, _)), (light, other_light) = pair
    empty = np.maximum(light[-SHARED:], other_light[:SHARED]) < 0.001
    assert empty.sum() > 50_000

    def correlation(a, b):
        return np.corrcoef(a[empty], b[empty])[0, 1]

    assert correlation(first[-SHARED:], second[:SHARED]) > 0.98
    assert abs(correlation(first[-SHARED:], second[SHARED : 2 * SHARED])) < 0.02
    assert abs(correlation(first[:SHARED], second[:SHARED])) < 0.02


def test_a_galaxy_in_shared_rows_is_the_same_in_both_frames(objects, pair):
    opened, _ = pair
    galaxy = objects[(objects["x"] == 1000) & (objects["y"] == 1420)].iloc[0]
    measured = [measure(image, wcs, galaxy) for image, wcs in opened]
    for east, north, flux in measured:
        assert (east, north) == pytest.approx((0, 0), abs=0.15 * 0.396)
        assert flux == pytest.approx(galaxy["nanomaggies_r"], rel=0.03)
    assert measured[0][2] == pytest.approx(measured[1][2], rel=0.02)
    assert measured[0][:2] == pytest.approx(measured[1][:2], abs=0.02 * 0.396)


def measure(image, wcs, galaxy, radius=30):
    """Offset from the catalogue's position, arcsec east and north, and flux, in an aperture."""
    column, row = wcs.wcs_world2pix([[galaxy["ra"], galaxy["dec"]]], 0)[0]
    rows, columns = np.indices(image.shape)
    light = np.where(np.hypot(columns - column, rows - row) < radius, image, 0.0)
    weight = np.exp(-((columns - column) ** 2 + (rows - row) ** 2) / (2 * 5.0**2)) * light
    offset = [(weight * (columns - column)).sum(), (weight * (rows - row)).sum()]
    east, north = wcs.wcs.cd @ offset * 3600 / weight.sum()
    return east, north, light.sum()


def test_a_frame_is_its_noiseless_self_and_the_cameras_noise(pair):
    """Residuals are the known deviates times the photons' noise, in sources as beside them."""
    ((image, _), _), (light, _) = pair
    camera, scale = CAMERA["r"], CAMERA["r"].nanomaggies_per_count
    counts = light / scale + camera.sky_counts
    deviation = scale * np.sqrt(counts / camera.gain + camera.dark_variance)
    residual = (image - light) / deviation
    expected = frames.noise(3, FIRST, "r")
    assert np.corrcoef(residual.ravel(), expected.ravel())[0, 1] > 0.98
    bright = light > 10 * camera.sky_noise
    assert bright.sum() > 100
    assert residual[bright].std() == pytest.approx(1, abs=0.1)


def test_frames_of_every_column_are_1361_rows_apart():
    """Camera columns off the great circle's middle too, where a degree of mu is shorter."""
    table = make_objects(Simulated(galaxies=1700, galaxies_per_field=10), seed=5)
    fields = table.drop_duplicates(["run", "camcol", "field"])
    assert set(fields["camcol"]) == {1, 2}
    for _, row in fields.groupby(["run", "camcol"]):
        one, other = (field_wcs(field, "g") for _, field in row.head(2).iterrows())
        sky = one.wcs_pix2world([[1.0, 1425.0], [1024.0, 1425.0], [2048.0, 1425.0]], 1)
        expected = np.array([[1.0, 64.0], [1024.0, 64.0], [2048.0, 64.0]])
        assert np.abs(other.wcs_world2pix(sky, 1) - expected).max() < 0.06


@pytest.mark.slow
def test_astrometry_of_neighbours_agrees(objects):
    sky = Sky(objects, SETTINGS, seed=3)
    tables = []
    for name in (FIRST, MIDDLE):
        with fits.open(io.BytesIO(bz2.decompress(frame_bytes(sky, name, "g")))) as hdus:
            tables.append(hdus[3].data[0])
    shift = (tables[1]["A"] - tables[0]["A"]) / tables[0]["B"]
    assert shift == pytest.approx(1361, abs=0.01)


@pytest.fixture
def asked(tmp_path, objects, monkeypatch):
    """Ask the stage for a shard of galaxies of the middle field at given rows; fields written."""
    written = []
    monkeypatch.setattr(
        frames, "write_field", lambda folder, sky, name, bands: written.append(name)
    )

    def ask(rows, shard=0, edge="mosaic", **stamps):
        truth = objects.copy()
        middle = truth[(truth["field"] == 12) & (truth["kind"] == "galaxy")].index[: len(rows)]
        truth.loc[middle, "y"] = rows
        render(tmp_path, truth, truth.loc[middle], shard, Stamps(shards=1, edge=edge, **stamps))
        return written

    return ask


def render(folder, truth, selected, shard, stamps):
    truth.to_parquet(folder / "truth.parquet")
    selected.to_parquet(folder / "selected.parquet")
    simulate_frames(
        selected=folder / "selected.parquet",
        truth=folder / "truth.parquet",
        shard=shard,
        stamps=stamps,
        simulated=SETTINGS,
        seed=3,
        out=folder / "sas",
    )
    return folder / "sas"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([700.0, 150.0, 1340.0], [MIDDLE]),
        ([700.0, 100.0], [FIRST, MIDDLE]),
        ([1400.0], [MIDDLE, LAST]),
        ([100.0, 1400.0], [FIRST, MIDDLE, LAST]),
    ],
)
def test_neighbours_come_where_a_stamp_reaches_them(asked, rows, expected):
    assert asked(rows) == expected


def test_a_small_stamp_reaches_no_neighbour(asked):
    assert asked([100.0, 1400.0], size=64) == [MIDDLE]


def test_a_coarse_stamp_reaches_far(asked):
    assert asked([200.0], pixel_scale=0.8) == [FIRST, MIDDLE]


def test_without_mosaics_no_neighbour_comes(asked):
    assert asked([100.0, 1400.0], edge="mask") == [MIDDLE]


class BlankFrames:
    """Frames of a sky without light, and which fields were asked for."""

    def __init__(self, sky):
        self.sky, self.asked = sky, set()

    def read(self, name):
        field = (name.run, name.camcol, name.field)
        if field not in self.sky:
            raise MissingFrameError(name)
        self.asked.add(field)
        return Frame(np.zeros((1489, 2048), np.float32), self.sky.wcs(field, name.band))

    def drop(self, name): ...

    def stop(self): ...


@pytest.mark.parametrize("depth", range(70, 130, 5))
@pytest.mark.parametrize("end", ["first", "last"])
def test_all_frames_that_a_mosaic_asks_for_are_there(asked, objects, depth, end):
    """A galaxy at some distance from the edge: the cutter's fields are among those rendered."""
    sky = Sky(objects, SETTINGS, seed=3)
    row = float(depth if end == "first" else 1489 - depth)
    rendered = asked([row])
    one = objects[(objects["field"] == 12) & (objects["kind"] == "galaxy")].head(1)
    placed = sky.wcs(MIDDLE, "r").wcs_pix2world(np.stack([one["x"], [row]], axis=1), 1)
    source = BlankFrames(sky)
    cutter = FrameCutter(source, Stamps())
    batches = cutter.batches(one.assign(ra=placed[:, 0], dec=placed[:, 1]))
    cutter.expect(batches)
    cutter.cut(batches[0])
    assert depth > 75 or len(source.asked) == 2
    assert source.asked <= set(rendered)


def test_a_row_of_fields_ends(objects, tmp_path, monkeypatch):
    """Before the first field there is nothing to render."""
    written = []
    monkeypatch.setattr(
        frames, "write_field", lambda folder, sky, name, bands: written.append(name)
    )
    truth = objects.copy()
    one = truth[(truth["field"] == 11) & (truth["kind"] == "galaxy")].index[:1]
    truth.loc[one, "y"] = 50.0
    render(tmp_path, truth, truth.loc[one], 0, Stamps(shards=1))
    assert written == [FIRST]


@pytest.mark.slow
def test_a_neighbour_is_the_same_whichever_shard_renders_it(objects, tmp_path):
    """Field 12 for the stamp that crosses from field 11, and for its own galaxies."""
    galaxies = objects[objects["kind"] == "galaxy"]
    stamps = Stamps(bands=["g"], shards=3)
    paths = []
    for shard in (0, 1):
        folder = tmp_path / str(shard)
        folder.mkdir()
        paths.append(frame_path(render(folder, objects, galaxies, shard, stamps), *MIDDLE, "g"))
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_galaxies_of_another_sky_are_refused(objects, tmp_path):
    selected = objects[objects["kind"] == "galaxy"].assign(objid=lambda t: t["objid"] + 5000)
    with pytest.raises(UserError, match="0 of the .* do not belong to this simulated sky"):
        render(tmp_path, objects, selected, 0, Stamps(shards=1))


def test_a_field_that_is_not_there_is_no_frame(objects):
    with pytest.raises(KeyError):
        frame_bytes(Sky(objects, SETTINGS, seed=3), (752, 1, 99), "r")


def test_sources_of_the_next_field_are_those_near_the_edge(objects):
    """A large galaxy 40 rows beyond the edge is among them, one 600 rows beyond is not."""
    table = objects.copy()
    near, far = table[(table["field"] == 12) & (table["kind"] == "galaxy")].index[:2]
    table.loc[[near, far], "y"] = [SHARED + 40.0, SHARED + 600.0]
    table.loc[[near, far], "disk_radius"] = 8.0
    galaxies, points = Sky(table, SETTINGS, seed=3).sources(FIRST)
    assert pd.concat([galaxies, points])["y"].max() < 1489 + 590
    beyond = galaxies[galaxies["y"] > 1489 + 25]  # the field's own end at 1489 + 20
    assert len(beyond) < 40
    flux = table["nanomaggies_r"]
    assert flux[near] in beyond["nanomaggies_r"].tolist()
    assert flux[far] not in galaxies["nanomaggies_r"].tolist()
