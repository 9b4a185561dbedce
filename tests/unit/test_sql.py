"""The tool `sql`: the query of a run's settings, printed."""

from __future__ import annotations

import pytest

from mgsflow import cli
from mgsflow.config import Selection
from mgsflow.sky.query import whole_query


def write(path, text: str):
    path.write_text(text)
    return str(path)


def test_the_default_is_the_query_of_config_yaml(repository, monkeypatch, capsys):
    monkeypatch.chdir(repository)
    assert cli.main(["sql"]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith(whole_query(Selection()))
    assert "context DR17" in printed and "sdss.reply_file" in printed


def test_overlays_change_the_cuts_one_after_the_other(tmp_path, capsys):
    config = write(tmp_path / "config.yaml", "selection: {redshift_max: 0.2, redshift_min: 0.01}")
    one = write(tmp_path / "one.yaml", "selection: {redshift_max: 0.1}\nsdss: {data_release: 8}")
    two = write(tmp_path / "two.yaml", "selection: {target_bits: [64]}")
    assert cli.main(["sql", "--config", config, "--overlay", one, two]) == 0
    printed = capsys.readouterr().out
    expected = Selection(redshift_min=0.01, redshift_max=0.1, target_bits=[64])
    assert printed.endswith(whole_query(expected))
    assert "context DR8," in printed


def test_an_empty_overlay_changes_nothing(tmp_path, capsys):
    config, empty = write(tmp_path / "a.yaml", "run: a"), write(tmp_path / "b.yaml", "# none\n")
    assert cli.main(["sql", "--config", config, "--overlay", empty]) == 0
    assert capsys.readouterr().out.endswith(whole_query(Selection()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("selection: {redshift: 1}", "selection.redshift: no such key"),
        ("selection: [", "cannot be read as YAML"),
        ("- selection", "not a mapping"),
        (None, "No such file"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path, capsys, text, words):
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_text(text)
    assert cli.main(["sql", "--config", str(path)]) == 2
    error = capsys.readouterr().err
    assert words in error and str(path) in error
