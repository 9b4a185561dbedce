"""The relations give the numbers that their papers give."""

import numpy as np
import pytest

from mgsflow.core.surveys import SDSS
from mgsflow.sky.simulated import relations as rel
from mgsflow.sky.simulated.camera import CAMERA
from mgsflow.sky.simulated.contaminants import STELLAR_LOCUS
from mgsflow.sky.simulated.photometry import asinh_magnitude, flux_of_asinh
from mgsflow.sky.simulated.seds import (
    OLD_SOLAR,
    YOUNG,
    population_masses,
    sed_grid,
)
from mgsflow.sky.simulated.spectra import LINES, bpt_class
from mgsflow.sky.simulated.structure import fibre_share, flattening, measure_sizes


def at(function, *values):
    return float(function(*(np.array([value]) for value in values))[0])


def test_mass_function_is_baldrys():
    # at the characteristic mass x = 1: ln 10 e^-1 (3.96 + 0.79) 1e-3
    assert at(rel.mass_function, 10.66) == pytest.approx(2.302585 * 4.75e-3 / np.e, rel=1e-6)
    slope = np.log10(at(rel.mass_function, 7.5) / at(rel.mass_function, 7.0)) / 0.5
    assert slope == pytest.approx(-0.47, abs=0.02)  # 1 + alpha2 at the faint end


def test_red_galaxies_are_pengs():
    # all but one part in e, at their characteristic mass in a void
    assert at(rel.red_fraction, 10.56, -20.0) == pytest.approx(1 - 1 / np.e)
    assert at(rel.red_fraction, 0.0, 1.84) == pytest.approx(1 - 1 / np.e)


def test_some_red_galaxies_form_stars():
    masses, void = np.linspace(8.0, 12.0, 9), np.full(9, -20.0)
    quenched = rel.quenched_fraction(masses, void)
    assert (quenched < rel.red_fraction(masses, void)).all()
    assert (np.diff(quenched) > 0).all() and quenched[-1] < 0.85


def test_old_stars_were_brighter_and_bluer():
    today, then = rel.passive_brightening(np.array([0.0, 0.2]))
    assert today == pytest.approx(np.ones(5))
    # z = 0.2 is 2.44 Gyr ago, and r fades as t^-0.82
    assert 2.5 * np.log10(then[2]) == pytest.approx(2.5 * 0.82 * np.log10(10.2 / 7.76), abs=0.01)
    assert (np.diff(then) < 0).all()


def test_abundance_falls_with_the_rate_within_the_fibre():
    """At 10^10 Msun Mannucci's surface is 8.90 where the fibre holds a rate of 1 Msun/yr."""
    total = np.array([rel.LOG_SFR_OVER_FIBRE])
    assert rel.oxygen_abundance(np.array([10.0]), total) == pytest.approx([8.90])
    rates = np.linspace(-1.0, 1.0, 5)
    assert (np.diff(rel.oxygen_abundance(np.full(5, 10.0), rates)) < 0).all()
    # the two branches meet within the scatter of the relation
    below, above = rel.oxygen_abundance(np.array([9.34 - 1e-6, 9.34 + 1e-6]), np.zeros(2))
    assert below == pytest.approx(above, abs=0.06)


@pytest.mark.parametrize(
    ("function", "values", "expected"),
    [
        (rel.main_sequence, (10.0, 0.05), -0.04),
        (rel.oxygen_abundance, (10.0, 0.5), 8.90),
        (rel.oxygen_abundance, (11.0, 0.5), 9.08),
        (rel.halpha_luminosity, (0.0,), 41.27),
        (rel.halpha_attenuation, (10.0,), 0.91),
        (rel.halpha_attenuation, (11.0,), 1.70),
        (rel.velocity_dispersion, (10.26,), np.log10(118.3)),
        (rel.velocity_dispersion, (11.26,), np.log10(118.3) + 0.293),
        (rel.radius_early, (11.0,), np.log10(2.88e-6) + 0.56 * 11),
        (rel.log_nii_halpha, (rel.SOLAR_ABUNDANCE,), -0.7732),
        (rel.log_oiii_hbeta, (rel.SOLAR_ABUNDANCE,), 0.1549),
        (rel.kauffmann_2003, (-0.5,), 0.61 / -0.55 + 1.30),
        (rel.kewley_2001, (-0.5,), 0.61 / -0.97 + 1.19),
    ],
)
def test_reference_points(function, values, expected):
    assert at(function, *values) == pytest.approx(expected, abs=1e-3)


def test_calzettis_curve():
    assert at(rel.attenuation_curve, 5500.0) == pytest.approx(4.05, abs=0.02)  # R_V
    assert at(rel.attenuation_curve, 6562.8) == pytest.approx(3.33, abs=0.02)
    assert at(rel.attenuation_curve, 4861.3) == pytest.approx(4.60, abs=0.03)


def test_templates_make_sdss_colours():
    grid = sed_grid(0.3)
    masses = np.zeros((2, 5))
    masses[0, OLD_SOLAR] = masses[1, YOUNG] = 1.0
    for redshift, red_g_r in ((0.0, 0.75), (0.3, 1.58)):
        flux = grid.flux(np.full(2, redshift), np.zeros(2), masses)
        red, blue = -2.5 * np.log10(flux[:, 1] / flux[:, 2])
        assert red == pytest.approx(red_g_r, abs=0.05)
        assert blue < red - 0.5


def test_dust_on_the_grid_follows_the_attenuation_curve():
    grid = sed_grid(0.3)
    masses = np.eye(5)[[OLD_SOLAR, OLD_SOLAR]]
    flux = grid.flux(np.zeros(2), np.array([0.0, 1.0]), masses)
    dimming = -2.5 * np.log10(flux[1] / flux[0])
    expected = rel.attenuation_curve(np.array([3600, 4770, 6200, 7640, 9060])) / 4.05
    assert dimming == pytest.approx(expected, abs=0.06)


def test_population_masses_make_one_galaxy():
    rates = np.array([-8.0, -9.5, -10.5, -12.0])
    shares = population_masses(rates, np.zeros(4), np.full(4, 0.5))
    assert shares.sum(axis=1) == pytest.approx(np.ones(4))
    assert (shares >= 0).all()
    assert (np.diff(shares[:, YOUNG]) < 0).all()


def test_petrosian_quantities_of_an_exponential_disk():
    """An exponential disk: R90/R50 of 2.3 and 99% of its flux (Strateva et al. 2001)."""
    import pandas as pd

    shape = pd.DataFrame({"bulge_sersic": [1.0, 4.0], "radius_ratio": 1.0, "disk_axis_ratio": 1.0})
    sizes = measure_sizes(shape, np.full(2, 10.0), np.array([0.0, 1.0]), 0.0)
    concentration = sizes["petro_r90"] / sizes["petro_r50"]
    assert concentration[0] == pytest.approx(2.33, abs=0.05)
    assert concentration[1] == pytest.approx(3.3, abs=0.15)  # de Vaucouleurs
    assert sizes["petro_share"].to_numpy() == pytest.approx([0.99, 0.82], abs=0.015)
    assert sizes["disk_radius"][0] == pytest.approx(10.0, rel=0.02)


def test_half_the_light_is_within_a_fibre_of_the_half_light_radius():
    radii, round_ones = np.array([1.5, 1.5]), np.ones(2)
    index = np.array([1.0, 4.0])
    assert fibre_share(radii, round_ones, index, 0.0) == pytest.approx([0.5, 0.5], abs=1e-3)


@pytest.mark.parametrize("index", [1.0, 4.0])
@pytest.mark.parametrize("axis_ratio", [0.2, 0.5, 0.8])
def test_round_apertures_on_flat_galaxies(axis_ratio, index):
    """Held to light that is drawn from the profile and flattened."""
    random = np.random.default_rng(1)
    b = 2 * index - 1 / 3 + 4 / (405 * index) + 46 / (25515 * index**2)
    radius = (random.gamma(2 * index, 1, 400_000) / b) ** index  # in half-light radii
    angle = random.uniform(0, 2 * np.pi, len(radius))
    seen = np.hypot(radius * np.cos(angle), axis_ratio * radius * np.sin(angle))
    assert flattening(np.array(axis_ratio)) == pytest.approx(np.median(seen), rel=0.012)
    share = fibre_share(np.array([2.0]), np.array([axis_ratio]), index, 0.0)
    assert share[0] == pytest.approx((2.0 * seen < 1.5).mean(), abs=0.025)


def test_asinh_magnitudes():
    bright = np.full((1, len(SDSS.bands)), 1e4)
    assert asinh_magnitude(bright) == pytest.approx(np.full((1, 5), 12.5), abs=1e-3)
    zero = asinh_magnitude(np.zeros((1, len(SDSS.bands))))
    assert zero[0, 2] == pytest.approx(24.80, abs=0.01)  # SDSS's zero flux in r
    fluxes = np.array([[-0.3, 0.0, 2.0, 50.0, 1e4]])
    assert flux_of_asinh(asinh_magnitude(fluxes)) == pytest.approx(fluxes, abs=1e-9)


def test_sky_noise_of_the_real_camera():
    # SDSS's r frames have some 0.02 to 0.03 nanomaggies of noise in a pixel
    assert 0.02 < CAMERA["r"].sky_noise < 0.035
    assert CAMERA["g"].sky_noise < CAMERA["r"].sky_noise < CAMERA["z"].sky_noise


def test_bpt_classes():
    lines = {f"{line}_flux_err": np.full(5, 1.0) for line in LINES}
    fluxes = {
        "h_alpha": [286, 286, 286, 286, 1],
        "h_beta": [100, 100, 100, 1, 1],
        "nii_6584": [40, 150, 300, 200, 1],
        "oiii_5007": [50, 70, 500, 1, 1],
    }
    lines |= {f"{line}_flux": np.array(values, dtype=float) for line, values in fluxes.items()}
    assert bpt_class(lines).tolist() == [1, 3, 4, 5, -1]


def test_stars_get_redder_along_the_locus():
    assert (np.diff(STELLAR_LOCUS, axis=0) > 0).all()
