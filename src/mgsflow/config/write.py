"""Write the default configuration and its schema from the typed settings."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mgsflow.config import Settings
from mgsflow.core.files import write_text

WIDTH = 100
HEADER = """\
# Settings of the paper's run: every key with its meaning and [unit]. Written by `mgsflow config`
# from src/mgsflow/config/; any other key is an error. For another run, write the keys that differ
# into an overlay:
#     snakemake --profile profiles/local --configfile config/demo.yaml
# YAML reads 1e-4 as text: write 1.0e-4.

"""
SCHEMA_HEADER = "# Written by `mgsflow config --schema` from src/mgsflow/config/.\n"


def config(*, schema: bool = False, out: Path | None = None) -> None:
    """Print the default configuration, with the meaning and unit of each key, or write it to `out`.

    With `schema`, print or write its JSON schema as YAML. Editors use it to complete and check a
    configuration.
    """
    text = schema_text() if schema else config_text()
    if out is None:
        sys.stdout.write(text)
    else:
        write_text(out, text)


def schema_text() -> str:
    """The schema of the configuration, as YAML."""
    return SCHEMA_HEADER + yaml.safe_dump(
        Settings.model_json_schema(), sort_keys=True, allow_unicode=True, width=WIDTH
    )


def config_text() -> str:
    """The default configuration as YAML: `Settings()` with every key explicit."""
    return HEADER + "\n".join(_section(Settings(), 0)) + "\n"


def _section(settings: BaseModel, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield ""
            yield from _comment(_first_paragraph(value), indent)
            yield f"{indent}{name}:"
            yield from _section(value, depth + 1)
        else:
            yield from _key(name, field, value, indent)


def _key(name: str, field: FieldInfo, value: Any, indent: str) -> Iterator[str]:
    yield from _comment(field.description or "", indent)
    dumped = _yaml({name: value})
    yield from (indent + line for line in dumped.splitlines())


def _first_paragraph(settings: BaseModel) -> str:
    return " ".join((type(settings).__doc__ or "").split("\n\n")[0].split())


def _comment(text: str, indent: str) -> list[str]:
    prefix = f"{indent}# "
    return textwrap.wrap(text, WIDTH, initial_indent=prefix, subsequent_indent=prefix)


class _Dumper(yaml.SafeDumper):
    """Block style for mappings, one line for lists."""


def _represent_float(dumper: yaml.SafeDumper, value: float) -> yaml.Node:
    """Write 1.0e-04, because YAML 1.1 reads 1e-04 as text."""
    text = repr(value)
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


def _represent_list(dumper: yaml.SafeDumper, value: list) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)


_Dumper.add_representer(float, _represent_float)
_Dumper.add_representer(list, _represent_list)


def _yaml(value: Any) -> str:
    return yaml.dump(
        value,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=WIDTH - 20,  # PyYAML breaks a line after the word that crosses it
        default_flow_style=False,
    )
