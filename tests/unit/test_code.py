"""The digest of the code behind a stage."""

from __future__ import annotations

import sys
import textwrap

import pytest

from mgsflow.core import code
from mgsflow.stages import STAGES


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `toy`: stage → helper; `other` is imported by nobody."""
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "helper.py").write_text("def double(x):\n    return 2 * x\n")
    (folder / "other.py").write_text("x = 1\n")
    (folder / "stage.py").write_text(
        "def run():\n    from toy.helper import double\n    double(1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(code, "PACKAGE", "toy")

    def digest(**files: str) -> str:
        for name, text in files.items():
            (folder / f"{name}.py").write_text(textwrap.dedent(text))
        _forget()
        return code.code_digest("toy.stage")

    yield digest
    for name in [name for name in sys.modules if name.split(".")[0] == "toy"]:
        del sys.modules[name]
    _forget()


def _forget():
    for function in (code._root, code._source, code._read):
        function.cache_clear()


def test_a_changed_helper_changes_the_digest(package):
    before = package()
    assert package(helper="def double(x):\n    return x + x\n") != before


def test_comments_docstrings_and_strangers_do_not(package):
    before = package()
    changed = '''
        """A docstring."""
        def double(x):
            """Another."""
            # a comment
            return (2 *
                    x)
    '''
    assert package(helper=changed, other="x = 2\n") == before


def test_a_file_that_a_module_names_counts(tmp_path, package):
    naming = "def run():\n    return open('query.sql')\n"
    query = tmp_path / "toy" / "query.sql"
    query.write_text("SELECT 1")
    before = package(stage=naming)
    query.write_text("SELECT 2")
    assert package(stage=naming) != before


def test_a_new_version_of_the_package_is_no_new_program(package):
    naming = "from toy import version\ndef run():\n    return version\n"
    before = package(stage=naming, __init__="version = 1\n")
    assert package(stage=naming, __init__="version = 2\n") == before


def test_nothing_is_imported_and_a_name_in_a_module_is_no_module(package):
    broken = "raise RuntimeError('imported')\ndef double(x):\n    return 2 * x\n"
    assert package(helper=broken)
    assert code._closure("toy.stage") == {"toy.stage", "toy.helper"}


def test_stages_differ_and_see_their_helpers():
    assert code.code_digest("mgsflow.core.ledger") != code.code_digest("mgsflow.core.tables")
    assert "mgsflow.core.tables" in code._closure("mgsflow.core.ledger")


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
def test_every_stage_has_a_module_and_leaves_the_settings_out(stage):
    closure = code._closure(stage.module)
    assert code._source(stage.module) is not None
    assert {stage.module, "mgsflow.core.files"} <= closure
    assert not any(name.startswith("mgsflow.config") for name in closure)
