"""The pages of docs/ and the README name files, sections, commands and modules that exist."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mgsflow.stages import STAGES, TOOLS

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"\bmgsflow +([a-z][a-z0-9-]*|[A-Z]+)")
MODULE = re.compile(r"^mgsflow(?:\.\w+)+")
SECTION = re.compile(r'docs/([\w-]+\.md), "([^"]+)"')
SCRIPT = re.compile(r"\bpython (?:-m pytest (?:-\w )*)?((?:benchmarks|studies|tests)/[\w/]+\.py)")


@pytest.fixture(params=PAGES, ids=[page.name for page in PAGES])
def page(request) -> Path:
    return request.param


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _code(text: str) -> list[str]:
    """The blocks and spans of code, each on one line or more."""
    spans = SPAN.findall(FENCE.sub("", text))
    return [*FENCE.findall(text), *(" ".join(span.split()) for span in spans)]


def _anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _links(text: str) -> Iterator[tuple[str, str]]:
    """The file and the anchor of each relative link; either may be empty."""
    for link in LINK.findall(FENCE.sub("", text)):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            yield path, anchor


def test_relative_links_point_to_files_and_headings(page):
    for path, anchor in _links(_text(page)):
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {path}"
        assert not anchor or anchor in _anchors(_text(file)), (
            f"{page.name} links to {path}#{anchor}"
        )


def test_commands_of_mgsflow_exist(page):
    names = {name for code in _code(_text(page)) for name in COMMAND.findall(code)}
    assert names <= {*STAGES, *TOOLS, "STAGE", "COMMAND"}


def test_scripts_that_python_runs_exist(page):
    scripts = {path for code in _code(_text(page)) for path in SCRIPT.findall(code)}
    assert not [path for path in sorted(scripts) if not (REPOSITORY / path).is_file()]


def test_modules_and_names_of_the_package_exist(page):
    names = {match[0] for code in _code(_text(page)) if (match := MODULE.match(code))}
    assert not [name for name in sorted(names) if not _exists(name)]


def _exists(name: str) -> bool:
    """Whether `name` is a module, or an attribute of one."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False


def test_sections_that_messages_name_exist():
    """Messages of the package point to a page and the title of a section in it."""
    named = [
        found
        for module in (REPOSITORY / "src").rglob("*.py")
        for found in SECTION.findall(_text(module))
    ]
    assert ("hpc.md", "No internet on compute nodes") in named
    for page, title in named:
        assert f"## {title}\n" in _text(REPOSITORY / "docs" / page), f"{page}: {title}"


def test_what_the_pages_name_is_found():
    """The patterns above match something: a page without any command would pass every test."""
    text = "".join(map(_text, PAGES))
    code = _code(text)
    assert {"doctor", "infer", "sql"} <= {name for c in code for name in COMMAND.findall(c)}
    assert "benchmarks/scale.py" in {path for c in code for path in SCRIPT.findall(c)}
    assert any(c.startswith("mgsflow.Posterior") for c in code)
    assert {("scale.md", ""), ("", "no-internet-on-compute-nodes")} <= set(_links(text))
    assert not _exists("mgsflow.no_such_module") and _exists(
        "mgsflow.posterior.posterior.Posterior"
    )
