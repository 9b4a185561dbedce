"""The report: one self-contained page with every table and figure of a run."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from string import Template

import pandas as pd
from docutils.core import publish_parts

from mgsflow import __version__
from mgsflow.core.contract import DESCRIPTION
from mgsflow.core.errors import UserError
from mgsflow.core.files import read_facts, write_text
from mgsflow.core.quantities import NOTATIONS
from mgsflow.report.contents import ITEMS
from mgsflow.report.writing import INTERVAL, read_shown, text_columns

SKIES = {
    "simulated": "These are results on a <strong>simulated sky</strong>. They show that the "
    "system works from end to end; they say nothing about SDSS's galaxies, and the published "
    "values beside them are of other galaxies.",
    "sdss": "These are results on galaxies of the <strong>SDSS Main Galaxy Sample</strong>.",
    "catalogue": "These are results on <strong>your own catalogue</strong>. The published values "
    "beside them are of other galaxies.",
}
LONG = 24  # characters from which a column of words may be wrapped
REPORT_SOFTWARE = ("matplotlib", "numpy", "pandas")


@dataclass(frozen=True)
class _Part:
    """A table or figure of the page: its file's stem, its title, its body and caption in HTML."""

    name: str
    title: str
    body: str
    caption: str


def report(
    *,
    shown: list[Path],
    captions: list[Path],
    config: Path,
    run: str,
    sky: str,
    out: Path,
    encoder: Path | None = None,
    flows: list[Path] | None = None,
) -> None:
    """Join all tables and figures in one page, in the order of mgsflow.report.contents.

    `shown` are all their files. The page needs no other file: images are embedded. `captions` are
    .rst files, one a table or figure and named like it, which Snakemake's own report shows as
    well. `config` is the run's resolved settings; `encoder` and `flows` are the folders of its
    models: the settings and the versions of the software that trained them stand at the end.
    """
    bodies = {path.stem: _table(path) for path in shown if path.suffix == ".json"}
    bodies |= {path.stem: _figure(path) for path in shown if path.suffix == ".png"}
    strangers = sorted(set(bodies) - set(ITEMS))
    if strangers:
        raise UserError(
            f"--shown: {', '.join(strangers)} is no table or figure of mgsflow.report.contents."
        )
    texts = {path.stem: path for path in captions}
    uncaptioned = sorted(set(bodies) - set(texts))
    if uncaptioned:
        raise UserError(f"--captions: none for {', '.join(uncaptioned)}; each has its NAME.rst")
    items = [
        _Part(name, item.title, bodies[name], _caption(texts[name]))
        for name, item in ITEMS.items()
        if name in bodies
    ]
    template = Template(files("mgsflow.report").joinpath("page.html").read_text(encoding="utf-8"))
    page = template.substitute(
        run=escape(run),
        version=__version__,
        sky=_sky(sky),
        contents="\n".join(f'<li><a href="#{i.name}">{escape(i.title)}</a></li>' for i in items),
        items="\n".join(map(_section, items)),
        versions=escape(_versions([*([encoder] if encoder else []), *(flows or [])])),
        config=escape(config.read_text(encoding="utf-8")),
    )
    write_text(out, page)


def _sky(sky: str) -> str:
    if sky not in SKIES:
        raise UserError(f"--sky {sky}: expected one of {', '.join(SKIES)}")
    return SKIES[sky]


def _versions(models: list[Path]) -> str:
    """The software that trained the models, and that drew the figures."""
    trained: dict[str, set[str]] = {}
    for path in models:
        for name, version in read_facts(path / DESCRIPTION, "software")["software"].items():
            trained.setdefault(name, set()).add(version)
    parts = [f"{name} {' and '.join(sorted(found))}" for name, found in sorted(trained.items())]
    here = ", ".join(f"{name} {metadata.version(name)}" for name in REPORT_SOFTWARE)
    drawn = f"Tables and figures: mgsflow {__version__}, {here}."
    return f"Models: {', '.join(parts)}. {drawn}" if parts else drawn


def _section(item: _Part) -> str:
    kind = ' class="figure"' if item.body.startswith("<img") else ""
    return (
        f'<section id="{item.name}"{kind}><h2>{escape(item.title)}</h2>\n'
        f'<div class="caption">{item.caption}</div>\n{item.body}</section>'
    )


def _table(path: Path) -> str:
    shown = read_shown(path)
    kinds = _kinds(shown)
    head = _cells("th", map(str, shown.columns), kinds)
    rows = "\n".join(_row(row, kinds) for row in shown.to_numpy().tolist())
    table = f"<table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table>"
    return f'<div class="wide">{table}</div>'


def _kinds(shown: pd.DataFrame) -> list[str]:
    """The class of each column: of words, of words that may be wrapped, or of numbers."""
    longest = [max(map(len, cells), default=0) for cells in shown.to_numpy().T.tolist()]
    words = ["text long" if length > LONG else "text" for length in longest]
    return [word if left else "" for word, left in zip(words, text_columns(shown), strict=True)]


def _row(row: list[str], kinds: list[str]) -> str:
    published = ' class="published"' if "published" in row[0] else ""
    return f"<tr{published}>{_cells('td', row, kinds)}</tr>"


def _cells(tag: str, texts: Iterable[str], kinds: list[str]) -> str:
    cells = []
    for text, kind in zip(texts, kinds, strict=True):
        attribute = f' class="{kind}"' if kind else ""
        cells.append(f"<{tag}{attribute}>{_typeset(text)}</{tag}>")
    return "".join(cells)


def _typeset(text: str) -> str:
    """A cell in HTML: the arms of an interval stand one above the other."""
    arms = r'\1<span class="arms"><span>\2</span><span>\3</span></span>'
    body = INTERVAL.sub(arms, escape(text))
    for notation in NOTATIONS:
        body = body.replace(notation.plain, notation.html)
    return body


def _figure(path: Path) -> str:
    image = base64.b64encode(path.read_bytes()).decode()
    title = escape(ITEMS[path.stem].title) if path.stem in ITEMS else ""
    return f'<img alt="{title}" src="data:image/png;base64,{image}">'


def _caption(path: Path) -> str:
    settings = {"raw_enabled": False, "file_insertion_enabled": False, "report_level": 4}
    text = path.read_text(encoding="utf-8")
    return publish_parts(text, writer="html5", settings_overrides=settings)["body"]
