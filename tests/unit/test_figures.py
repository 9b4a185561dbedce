"""The figures: what they say is true, they repeat byte for byte, and absent parts are left out."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from posterior_files import gaussian_set, write_posterior
from sklearn.metrics import r2_score

from mgsflow.config import Flows
from mgsflow.core.errors import UserError
from mgsflow.core.files import write_json
from mgsflow.core.latents import mean_column
from mgsflow.core.quantities import LINES, PROPERTIES, Quantity, symbol
from mgsflow.core.tables import write_table
from mgsflow.inference.draws import read_posterior
from mgsflow.models.branch import Architecture
from mgsflow.models.encoders.base import describe_encoder
from mgsflow.report import figure1 as f1
from mgsflow.report import figure2 as f2
from mgsflow.report import figure3 as f3
from mgsflow.report import figure4 as f4
from mgsflow.report import figure_training as ft
from mgsflow.report import style
from mgsflow.report.diagram import Diagram
from mgsflow.sample.shards import Layout
from mgsflow.sample.stretch import Stretch

VARIANT = "images_photometry-rest_frame"
COLUMNS = [f"latent_{kind}_{i:02d}" for kind in ("mean", "std") for i in range(4)]
COLUMNS += ["rest_colour_g_r", "mag_r"]


def words(figure: Figure) -> str:
    return "\n".join(
        text.get_text() for text in figure.findobj(match=lambda a: hasattr(a, "get_text"))
    )


@pytest.fixture(autouse=True)
def _coarse(monkeypatch) -> None:
    monkeypatch.setattr(style, "_PNG_DPI", 40)  # the size of the PNGs is no matter here


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """The figures that the stages save, in their order."""
    seen: list[Figure] = []
    save = style.save

    def keep(figure: Figure, out: Path) -> None:
        seen.append(figure)
        save(figure, out)

    monkeypatch.setattr(style, "save", keep)
    return seen


def vae_model(folder: Path) -> Path:
    architecture = {"kind": "vae", "bands": 3, "size": 64, "latent": 4, "channels": [5, 6, 7]}
    facts = {"architecture": architecture, "inputs": {"bands": ["g", "r", "i"]}}
    write_json(folder / "model.json", facts)
    return folder


def other_encoder(folder: Path) -> Path:
    """An encoder of a kind that is not drawn in detail."""
    stamps = Layout("frames", ("g", "r", "i"), 48, 0.396, "float16")
    columns = [Quantity(mean_column(k), "", "") for k in range(7)]
    write_json(
        folder / "model.json",
        describe_encoder("mean_colours", {}, stamps, Stretch(0.1, 5.0), columns),
    )
    return folder


def flow_model(
    folder: Path, targets: list[str], detects: bool, columns: list[str] = COLUMNS
) -> Path:
    architecture = Architecture.of(len(columns), targets, detects, Flows(couplings=9))
    facts = {"architecture": architecture.to_json(), "inputs": columns, "members": 3}
    write_json(folder / "model.json", facts)
    return folder


def posterior_file(path: Path, targets: list[str], n: int = 40) -> Path:
    random = np.random.default_rng(3)
    truth = random.standard_normal((n, len(targets)))
    centres = truth + 0.4 * random.standard_normal(truth.shape)
    part = gaussian_set(centres, truth, draws=20, between=0.1, within=0.5)
    if "metallicity" in targets:
        part["truth"][::3, targets.index("metallicity")] = np.nan
    return write_posterior(path, VARIANT, targets, test=part)


def directions_file(path: Path, bands: tuple[str, ...] = ("g", "r", "i")) -> Path:
    """Images with one bright pixel, south-east of the middle, that is red."""
    images = np.full((3, len(bands), 9, 9), 0.01)
    images[:, -1, 1, 2] = 5
    with h5py.File(path, "w") as file:
        file.attrs["bands"], file.attrs["pixel_scale"] = list(bands), 0.396
        group = file.create_group("redshift")
        group["images_nanomaggies"] = images
        group["images"] = np.arcsinh(images / 0.1) / 5
        group["steps"] = np.array([-2.0, 0, 2])
        group["dimensions"], group["coefficients"] = np.array([7, 2]), np.array([0.031, -0.02])
        group.attrs.update({"objid": np.int64(1237648720000000001), "value": 0.12, "r2": 0.41})
    return path


def umap_table(path: Path, inputs: tuple[str, ...], **colours: np.ndarray) -> Path:
    random = np.random.default_rng(1)
    part = pd.DataFrame({"objid": np.arange(30), "x": random.random(30), "y": random.random(30)})
    parts = [part.assign(inputs=name, **colours) for name in inputs]
    write_table(path, pd.concat(parts, ignore_index=True))
    return path


def history(path: Path, phases: list[str], members: int = 2) -> Path:
    rows = [
        (member, phase, epoch, 1 / (epoch + 1), 1.1 / (epoch + 1))
        for member in range(members)
        for phase in phases
        for epoch in range(6)
    ]
    path.parent.mkdir(parents=True)
    columns = ["member", "phase", "epoch", "train", "validation"]
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
    return path


def vae_history(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    losses = [9.0, 5, 4, 4.5]
    table = pd.DataFrame({"epoch": [1, 2, 3, 4], "train_loss": losses, "validation_loss": losses})
    table.assign(reconstruction=losses, kl=1.0).to_csv(path, index=False)
    return path


@pytest.mark.slow
def test_every_figure_is_the_same_bytes_twice(tmp_path):
    vae, line = vae_model(tmp_path / "vae"), flow_model(tmp_path / "l", list(LINES), False)
    posteriors = posterior_file(tmp_path / "p.h5", list(PROPERTIES))
    directions = directions_file(tmp_path / "d.h5")
    umap = umap_table(tmp_path / "u.parquet", ("images",), log_sfr=np.arange(30.0))
    flows = [history(tmp_path / "flows" / "line" / VARIANT / "history.csv", ["heads", "core"])]
    for turn in ("one", "two"):
        to = tmp_path / turn
        f1.figure1(encoder=vae, line_model=line, out=to / "1.pdf")
        f2.figure2(posteriors=posteriors, kind="properties", out=to / "2.pdf")
        f3.figure3(directions=directions, target="redshift", out=to / "3.pdf")
        f4.figure4(umap=umap, out=to / "4.pdf")
        ft.figure_training(flows=flows, out=to / "t.pdf")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == [f"{n}.{end}" for n in "1234t" for end in ("pdf", "png")]
    for name in names:
        data = (tmp_path / "one" / name).read_bytes()
        assert data == (tmp_path / "two" / name).read_bytes()
        assert data.startswith((b"%PDF", b"\x89PNG"))
        assert b"CreationDate" not in data and b"matplotlib" not in data.lower()


def test_out_must_be_a_pdf(tmp_path):
    with pytest.raises(UserError, match=r"\.pdf"):
        style.save(style.sentence("Nothing."), tmp_path / "figure.png")


def test_the_architecture_shows_the_sizes_of_the_models(tmp_path, drawn):
    f1.figure1(
        encoder=vae_model(tmp_path / "v"),
        property_model=flow_model(tmp_path / "p", list(PROPERTIES), True),
        line_model=flow_model(tmp_path / "l", list(LINES), False),
        out=tmp_path / "f.pdf",
    )
    text = words(drawn[0])
    for part in ("64 × 64", "32²", "10 inputs", "4 latent means", "1 magnitude"):
        assert part in text
    for part in ("10–256–256–256", "256–128–5", "256–128–4", "9 affine couplings", "ensemble of 3"):
        assert part in text
    assert "O/H measurable?" in text and "Flow of O/H" in text


def test_an_encoder_of_another_kind_is_one_box_with_its_sizes(tmp_path, drawn):
    line = flow_model(tmp_path / "l", list(LINES), False)
    f1.figure1(encoder=other_encoder(tmp_path / "e"), line_model=line, out=tmp_path / "f.pdf")
    text = words(drawn[0])
    for part in ("mean colours", "gri", "48 × 48", "7 numbers", "4 latent means"):
        assert part in text
    assert "VAE" not in text and "convolutions" not in text


@pytest.mark.parametrize(("save_encoder", "count"), [(vae_model, 20), (other_encoder, 14)])
def test_no_boxes_overlap_and_each_text_is_within_its_box(
    tmp_path, monkeypatch, save_encoder, count
):
    made: list[Diagram] = []
    begin = Diagram.__init__
    monkeypatch.setattr(
        Diagram, "__init__", lambda self, *size: (begin(self, *size), made.append(self))[0]
    )
    f1.figure1(
        encoder=save_encoder(tmp_path / "e"),
        property_model=flow_model(tmp_path / "p", list(PROPERTIES), True),
        line_model=flow_model(tmp_path / "l", list(LINES), False),
        out=tmp_path / "f.pdf",
    )
    [diagram] = made
    assert len(diagram.boxes) == count
    for a, b in combinations(diagram.boxes, 2):
        apart = a.right < b.left or b.right < a.left or a.top < b.bottom or b.top < a.bottom
        assert apart, (a, b)
    renderer = FigureCanvasAgg(diagram.figure).get_renderer()
    inverse = diagram.axes.transData.inverted()
    for box in diagram.boxes:
        for text in box.texts:
            extent = text.get_window_extent(renderer).transformed(inverse)
            assert box.left < extent.x0 and extent.x1 < box.right, text
            assert box.bottom < extent.y0 and extent.y1 < box.top, text


def test_an_architecture_without_images_or_metallicity_lacks_their_parts(tmp_path, drawn):
    model = flow_model(tmp_path / "p", ["redshift"], False, ["colour_g_r", "mag_r"])
    f1.figure1(property_model=model, out=tmp_path / "f.pdf")
    text = words(drawn[0])
    assert "VAE" not in text and "O/H" not in text and "Joint flow" not in text
    assert "1-D, spline" in text and "1 observed colour" in text
    f1.figure1(out=tmp_path / "none.pdf")
    assert "no trained model" in words(drawn[1])


def test_a_description_of_something_else_is_named(tmp_path):
    other = vae_model(tmp_path / "vae")
    with pytest.raises(UserError, match="vae: describes no flow"):
        f1.figure1(property_model=other, out=tmp_path / "f.pdf")
    flow = flow_model(tmp_path / "flow", ["redshift"], False)
    with pytest.raises(UserError, match="flow: describes no encoder"):
        f1.figure1(encoder=flow, out=tmp_path / "f.pdf")


def test_symbols_have_no_units():
    assert symbol("log_stellar_mass") == r"$\log\,M_\bigstar$"
    assert symbol("redshift") == "$z$"
    assert symbol("log1p_h_alpha") == r"H$\alpha$"


@pytest.mark.slow
@pytest.mark.parametrize("n", [40, f2.MANY + 100])
def test_the_r2_in_a_panel_is_that_of_the_posterior_mean(tmp_path, drawn, n):
    path = posterior_file(tmp_path / "p.h5", list(PROPERTIES), n)
    f2.figure2(posteriors=path, kind="properties", out=tmp_path / "f.pdf")
    test = read_posterior(path, "test")
    panels = [axes for axes in drawn[0].axes if "True" in axes.get_xlabel()]
    assert len(panels) == len(PROPERTIES)
    for column, axes in enumerate(panels):
        known = np.isfinite(test.truth[:, column])
        prediction = test.draws[known, ..., column].mean(axis=(1, 2), dtype=np.float64)
        printed = re.search(r"R\^2 = (-?[\d.]+)", axes.texts[0].get_text())
        assert float(printed[1]) == pytest.approx(
            r2_score(test.truth[known, column], prediction), abs=5.1e-4
        )
        assert f"= {known.sum():,}" in axes.texts[1].get_text()
        [dashed] = axes.lines[:1]
        assert np.array_equal(dashed.get_xdata(), dashed.get_ydata())


def test_scores_give_the_interval_of_their_own_variant(tmp_path, drawn):
    path = posterior_file(tmp_path / "p.h5", ["redshift"])
    table = pd.DataFrame({"method": [VARIANT, "image_knn"], "target": "redshift"})
    write_table(tmp_path / "s.parquet", table.assign(r2_low=[0.11, 0.3], r2_high=[0.22, 0.4]))
    f2.figure2(
        posteriors=path,
        kind="properties",
        scores=tmp_path / "s.parquet",
        out=tmp_path / "f.pdf",
    )
    assert "[0.110" in words(drawn[0]) and "0.220]" in words(drawn[0])


def test_targets_that_the_run_or_the_test_set_lacks_have_no_panel(tmp_path, drawn):
    path = posterior_file(tmp_path / "p.h5", ["redshift", "metallicity"])
    with h5py.File(path, "r+") as file:
        file["test/truth"][:, 1] = np.nan
    for kind in f2.TARGETS:
        f2.figure2(posteriors=path, kind=kind, out=tmp_path / "f.pdf")
    assert [axes.get_xlabel() for axes in drawn[0].axes] == ["True redshift $z$"]
    assert not drawn[1].axes and "any of the lines" in words(drawn[1])


def test_a_kind_that_is_none_is_refused(tmp_path):
    path = posterior_file(tmp_path / "p.h5", ["redshift"])
    with pytest.raises(UserError, match="properties or lines"):
        f2.figure2(posteriors=path, kind="colours", out=tmp_path / "f.pdf")


def test_decoded_images_are_drawn_north_up_and_in_natural_order_of_colours(tmp_path, drawn):
    f3.figure3(
        directions=directions_file(tmp_path / "d.h5"), target="redshift", out=tmp_path / "f.pdf"
    )
    [first, *_] = drawn[0].axes
    [image] = first.images
    assert image.origin == "lower"  # row 0 is south
    red, green, blue = image.get_array()[1, 2]
    assert red > 2 * max(green, blue)
    assert [axes.get_title() for axes in drawn[0].axes] == [r"$-2\,\sigma$", "0", r"$+2\,\sigma$"]
    text = words(drawn[0])
    for part in ("7 (+0.031)", "2 (−0.02)", "1237648720000000001", "0.41"):
        assert part in text


def test_one_stretch_for_all_steps():
    """A step that is half as bright must look fainter."""
    images = np.ones((3, 3, 8, 8)) * np.array([0.5, 1, 2])[:, None, None, None]
    bright = f3.colour_images(images, ["g", "r", "i"], counts=False).astype(float).mean((1, 2, 3))
    assert bright[0] < bright[1] < bright[2]


@pytest.mark.parametrize("bands", [["r"], ["g", "r"], ["u", "g", "z"], ["u", "g", "r", "i", "z"]])
def test_any_bands_make_a_picture(bands):
    images = np.zeros((2, len(bands), 6, 6))
    images[:, -1] = 1.0  # the reddest band
    for counts in (True, False):
        picture = f3.colour_images(images, bands, counts)
        assert picture.shape == (2, 6, 6, 3) and picture.dtype == np.uint8
        if len(bands) == 3:
            assert (picture[..., 0] > picture[..., 2]).all()


def test_a_jpegs_colours_are_shown_as_they_are():
    images = np.stack([np.full((2, 2), value) for value in (0.2, 0.5, 1.2)])[None]
    picture = f3.colour_images(images, ["i", "r", "g"], counts=True)
    assert picture[0, 0, 0].tolist() == [51, 128, 255]


def test_a_direction_that_was_not_decoded_is_a_sentence(tmp_path, drawn):
    path = directions_file(tmp_path / "d.h5")
    f3.figure3(directions=path, target="log_sfr", out=tmp_path / "f.pdf")
    assert not drawn[0].axes and "Star formation rate" in words(drawn[0])


@pytest.mark.slow
def test_umap_has_a_panel_for_each_input_and_colour(tmp_path, drawn):
    mass, hole = np.arange(30.0), np.where(np.arange(30) % 2, np.nan, 7.0 + np.arange(30))
    path = umap_table(
        tmp_path / "u.parquet",
        ("images", "images_photometry"),
        log_stellar_mass=mass,
        log_black_hole_mass=hole,
    )
    f4.figure4(umap=path, out=tmp_path / "f.pdf")
    panels = [axes for axes in drawn[0].axes if axes.get_xlabel()]
    assert [axes.get_title(loc="left") for axes in panels] == ["(a)", "(b)", "(c)", "(d)"]
    assert [axes.get_title() for axes in panels] == ["Images", "Images + photometry"] * 2
    missing, known = panels[2].collections
    assert len(missing.get_offsets()) == 15 and len(known.get_offsets()) == 15


def test_umap_of_less_has_fewer_panels(tmp_path, drawn):
    path = umap_table(
        tmp_path / "a.parquet",
        ("photometry",),
        log_stellar_mass=np.arange(30.0),
        log_black_hole_mass=np.full(30, np.nan),
    )
    f4.figure4(umap=path, out=tmp_path / "f.pdf")
    assert [axes.get_title() for axes in drawn[0].axes if axes.get_xlabel()] == ["Photometry"]
    f4.figure4(umap=umap_table(tmp_path / "b.parquet", ("images",)), out=tmp_path / "g.pdf")
    assert not drawn[1].axes and "colour" in words(drawn[1])


def test_losses_have_a_row_a_flow_and_a_column_a_phase(tmp_path, drawn):
    folds = [f"heads, fold {i}" for i in range(2)]
    flows = tmp_path / "flows"
    first = history(
        flows / "property" / VARIANT / "history.csv", ["heads", *folds, "core", "metallicity"]
    )
    second = history(flows / "line" / "images" / "history.csv", ["heads", "core"])
    ft.figure_training(
        encoder=vae_history(tmp_path / "vae" / "history.csv"),
        flows=[first, second],
        out=tmp_path / "f.pdf",
    )
    counts = [len(axes.lines) for axes in drawn[0].axes]
    # VAE: two losses and the dot, two terms; heads: 4 of folds and 2 of each member
    assert counts == [3, 2, 8, 4, 4, 4, 4]
    dot = drawn[0].axes[0].lines[2]
    assert list(dot.get_xdata()) == [3]
    text = words(drawn[0])
    assert (
        "Properties: images + photometry (rest-frame colours)" in text and "Lines: images" in text
    )


def test_the_baseline_on_the_stamps_has_a_row_below_the_vae(tmp_path, drawn):
    flows = [history(tmp_path / "flows" / "line" / VARIANT / "history.csv", ["heads"])]
    one, other = vae_history(tmp_path / "vae" / "history.csv"), vae_history(tmp_path / "c.csv")
    table = pd.read_csv(other)
    table.assign(validation_loss=2 * table["validation_loss"]).to_csv(other, index=False)
    ft.figure_training(encoder=one, conditional_vae=other, flows=flows, out=tmp_path / "f.pdf")
    assert [len(axes.lines) for axes in drawn[0].axes] == [3, 2, 3, 2, 4]
    first, second = (drawn[0].axes[i].lines[1].get_ydata() for i in (0, 2))
    assert list(second) == [2 * value for value in first]
    titles = [axes.get_title(loc="left") for axes in drawn[0].axes]
    assert titles[0].startswith("VAE (") and titles[2].startswith("Conditional VAE, a baseline (")


def test_an_encoder_whose_loss_has_no_terms_has_its_loss_alone(tmp_path, drawn):
    path = vae_history(tmp_path / "mean-colours" / "history.csv")
    pd.read_csv(path).drop(columns=["reconstruction", "kl"]).to_csv(path, index=False)
    flows = [history(tmp_path / "flows" / "line" / VARIANT / "history.csv", ["heads"])]
    ft.figure_training(encoder=path, flows=flows, out=tmp_path / "f.pdf")
    assert [len(axes.lines) for axes in drawn[0].axes] == [3, 4]
    assert drawn[0].axes[0].get_title(loc="left").startswith("Mean colours (")


def test_no_training_is_a_sentence_and_a_strange_history_is_named(tmp_path, drawn):
    ft.figure_training(flows=[], out=tmp_path / "f.pdf")
    assert not drawn[0].axes and "no training" in words(drawn[0])
    with pytest.raises(UserError, match=r"v\.csv: no column member"):
        ft.figure_training(flows=[vae_history(tmp_path / "v.csv")], out=tmp_path / "f.pdf")
