"""config.yaml and the schema are the typed settings, in words."""

from __future__ import annotations

from itertools import pairwise

import yaml

from mgsflow.config import Settings, validate
from mgsflow.config.write import config, config_text, schema_text


def test_the_written_default_is_the_default():
    assert yaml.safe_load(config_text()) == Settings().model_dump(mode="json")
    assert validate(yaml.safe_load(config_text())) == Settings()


def test_the_files_of_the_repository_are_up_to_date(repository):
    assert (repository / "config.yaml").read_text() == config_text(), (
        "run: mgsflow config --out config.yaml"
    )
    schema = repository / "workflow/schemas/config.schema.yaml"
    assert schema.read_text() == schema_text(), f"run: mgsflow config --schema --out {schema}"


def test_every_key_has_a_comment_above_it():
    lines = config_text().splitlines()
    for above, line in pairwise(lines):
        if (
            line.strip()
            and not line.lstrip().startswith(("#", "-"))
            and line.rstrip().endswith(":")
        ):
            assert above.lstrip().startswith("#") or above.strip() == "", line
    assert max(map(len, lines)) <= 100


def test_small_numbers_are_read_back_as_numbers():
    text = config_text()
    assert "learning_rate: 0.0001" in text or "learning_rate: 1.0e-4" in text
    assert isinstance(yaml.safe_load(text)["vae"]["learning_rate"], float)


def test_the_tool_prints_or_writes(tmp_path, capsys):
    config()
    assert capsys.readouterr().out == config_text()
    config(schema=True, out=tmp_path / "schema.yaml")
    schema = yaml.safe_load((tmp_path / "schema.yaml").read_text())
    assert schema["properties"]["run"]["pattern"]
    assert schema["$defs"]["Vae"]["additionalProperties"] is False
