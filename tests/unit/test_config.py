"""The settings: what is refused, and how it is said."""

from __future__ import annotations

import re

import pytest
import yaml

from mgsflow.config import Settings, parse, validate
from mgsflow.config.models import Vae
from mgsflow.core.errors import UserError


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"telescope": 1}, "telescope: no such key"),
        ({"vae": {"latents": 32}}, "vae.latents: no such key"),
        ({"vae": {"learning_rate": "1e-4"}}, r"write 1.0e-04, with a decimal point"),
        ({"vae": {"latent": 3.5}}, "vae.latent"),
        ({"flows": {"members": "3"}}, "flows.members: .* This is text: write 3, without quotes"),
        ({"flows": {"members": "3.0e+00"}}, "This is text: write 3, without quotes"),
        ({"vae": {"latent": 0}}, "vae.latent: Input should be greater than or equal to 1"),
        ({"seed": True}, "seed"),
        ({"posteriors": {"draws": 19}}, "posteriors.draws: .*greater than or equal to 20"),
        ({"baselines": {"mlp_hidden": [64, 0]}}, "baselines.mlp_hidden"),
        ({"run": "../elsewhere"}, "run: "),
        ({"sky": "catalogue"}, "catalogue.path"),
        ({"stamps": {"provider": "files"}}, "requires `sky: catalogue`"),
        ({"sky": "simulated", "stamps": {"provider": "jpeg"}}, "offers only `frames` or `none`"),
        (
            {"sky": "catalogue", "catalogue": {"path": "x"}, "stamps": {"provider": "files"}},
            "catalogue.stamp_folder",
        ),
        ({"stamps": {"provider": "legacy", "bands": ["u", "g"]}}, "not u"),
        ({"stamps": {"provider": "legacy", "pixel_scale": 0.5}}, "stamps.pixel_scale"),
        ({"stamps": {"provider": "none"}}, "needs stamps"),
        ({"photometry": {"bands": []}}, "needs photometry.bands"),
        ({"flows": {"variants": []}}, "flows.variants"),
        ({"flows": {"variants": ["images", "images"]}}, "twice"),
        ({"splits": {"train": 0.9, "validation": 0.1}}, "no test set"),
        ({"targets": {"properties": [], "lines": []}}, "nothing would be inferred"),
        ({"targets": {"properties": ["mass"]}}, "targets.properties.0"),
        ({"catalogue": {"columns": {"mass": "M"}}}, "mass is not one of mgsflow's quantities"),
        ({"simulated": {"galaxies": -5}}, "simulated.galaxies"),
        ({"simulated": {"redshift_min": 0.4}}, "greater than redshift_min, which is 0.4"),
        ({"selection": {"sample_size": 0}}, "selection.sample_size"),
        ({"selection": {"target_bits": [64, 448]}}, r"\[448\] are not single bits"),
        ({"selection": {"target_bits": [0]}}, r"\[0\] are not single bits"),
        ({"selection": {"match_radius": 0.0}}, "selection.match_radius"),
        ({"selection": {"sample_by": "run"}}, "selection.sample_by"),
        ({"vae": {"kl_weight": float("nan")}}, "vae.kl_weight"),
    ],
)
def test_wrong_settings_are_refused_in_words(config, words):
    with pytest.raises(UserError, match=words):
        validate(config)


@pytest.mark.parametrize("provider", ["frames", "legacy", "jpeg"])
def test_a_catalogue_may_have_its_stamps_from_sdss(provider):
    config = {
        "sky": "catalogue",
        "catalogue": {"path": "own.parquet"},
        "stamps": {"provider": provider},
    }
    assert validate(config).stamps.provider == provider


@pytest.mark.parametrize("text", ["3.5", "nan", "inf", "many"])
def test_no_number_is_advised_for_a_text_that_spells_no_integer(text):
    with pytest.raises(UserError) as error:
        validate({"flows": {"members": text}})
    assert str(error.value).endswith(f"not {text!r}.")


@pytest.mark.parametrize("value", ["3", "1e-4"])
def test_what_the_advice_writes_is_accepted(value):
    """Each error names a way to write the number; written so, it is read."""
    for section, key in (("flows", "members"), ("vae", "learning_rate")):
        with pytest.raises(UserError) as error:
            validate({section: {key: value}})
        advice = re.search(r"write ([^,]+),", str(error.value))
        if advice:
            assert validate(yaml.safe_load(f"{section}: {{{key}: {advice[1]}}}"))
        else:
            assert (key, value) == ("members", "1e-4")


@pytest.mark.parametrize(
    ("section", "key", "text", "meant"),
    [
        ("flows", "members", "3", 3),
        ("flows", "members", "1e2", 100),
        ("simulated", "galaxies", "4000", 4000),  # whose message has advice of its own
        ("selection", "sample_size", "1000", 1000),
        ("vae", "learning_rate", "1e-4", 1e-4),
        ("vae", "learning_rate", "1.25e-4", 1.25e-4),
        ("vae", "learning_rate", "2.125E-4", 2.125e-4),
        ("vae", "learning_rate", "125e-6", 1.25e-4),
        ("vae", "learning_rate", "1", 1.0),
        ("selection", "redshift_max", "0.2", 0.2),
        ("simulated", "redshift_min", "1e-2", 0.01),
        ("photometry", "deredden", "false", False),
        ("photometry", "deredden", "Yes", True),
        ("simulated", "stamps", "true", True),
        ("vae", "channels", "[8, 16, 32]", [8, 16, 32]),
        ("vae", "channels", "8, 16, 32", [8, 16, 32]),
        ("catalogue", "missing", "[-99, 1.5]", [-99, 1.5]),
    ],
)
def test_a_text_is_told_how_to_be_written_as_what_it_means(section, key, text, meant):
    with pytest.raises(UserError) as error:
        validate({section: {key: text}})
    written = re.search(r".*write (.+?), with", str(error.value))[1]
    assert f"{section}.{key}: " in str(error.value) and repr(text) in str(error.value)
    settings = validate(yaml.safe_load(f"{section}: {{{key}: {written}}}"))
    assert getattr(getattr(settings, section), key) == meant


def test_a_text_in_a_list_is_told_as_any_other():
    with pytest.raises(UserError) as error:
        validate({"vae": {"channels": [8, "16", "many"]}})
    assert "vae.channels.1: " in str(error.value) and "write 16, without" in str(error.value)
    assert str(error.value).endswith("not 'many'.")


def test_all_wrong_keys_are_named_at_once():
    with pytest.raises(UserError) as error:
        validate({"a": 1, "b": 2, "vae": {"epochs": 0}})
    assert str(error.value).count("\n") == 3


def test_the_resolved_settings_are_settings():
    resolved = validate({"run": "x"}).model_dump(mode="json")
    assert validate(resolved).model_dump(mode="json") == resolved


def test_a_section_comes_back_from_its_json():
    vae = Vae(latent=8)
    assert parse(Vae, vae.model_dump_json(), "--vae") == vae
    with pytest.raises(UserError, match="--vae cannot be used"):
        parse(Vae, "{not json", "--vae")


def test_settings_are_immutable():
    with pytest.raises(ValueError, match="frozen"):
        Settings().vae.latent = 3
