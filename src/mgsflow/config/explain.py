"""What is wrong with a setting, and how to write it."""

from __future__ import annotations

import math
import re
from typing import Any

# Numbers as YAML 1.1 reads them: with a decimal point and a sign in the exponent, or integers.
_YAML_NUMBER = re.compile(r"[-+]?(0|[1-9]\d*|(\d+\.\d*|\.\d+)([eE][-+]\d+)?)")
_BOOLEANS = {"true": "true", "yes": "true", "on": "true"}
_BOOLEANS |= {"false": "false", "no": "false", "off": "false"}


def explain(error: dict[str, Any]) -> str:
    """One of pydantic's errors in a sentence: the key, what was expected, what to write."""
    key = ".".join(str(part) for part in error["loc"])
    value = error["input"]
    if error["type"] == "extra_forbidden":
        return f"{key}: no such key. config.yaml lists all keys."
    if error["type"] == "missing":
        return f"{key}: missing. Copy it from config.yaml."
    message = error["msg"].removeprefix("Value error, ")
    if not key:
        return message
    if error["type"] == "value_error" and isinstance(value, (dict, list)):
        return f"{key}: {message}"  # the message names what is wrong in the section or list
    hint = _hint(error["type"], value.strip()) if isinstance(value, str) else ""
    return f"{key}: {message}, not {value!r}.{hint}"


def _hint(expected: str, text: str) -> str:
    """How to write what `text` means, where pydantic expected another type (`int_type`)."""
    if expected == "int_type":
        number = _number(text)
        return _unquoted(f"{number:.0f}") if number is not None and number.is_integer() else ""
    if expected == "float_type":
        return _float_hint(text)
    if expected == "bool_type" and text.lower() in _BOOLEANS:
        return _unquoted(_BOOLEANS[text.lower()])
    if expected == "list_type":
        return _unquoted(text if text.startswith("[") else f"[{text}]")
    return ""


def _unquoted(written: str) -> str:
    return f" This is text: write {written}, without quotes."


def _float_hint(text: str) -> str:
    number = _number(text)
    if number is None:
        return ""
    if _YAML_NUMBER.fullmatch(text):
        return _unquoted(text)
    return (
        f" YAML reads {text} as text: write {_scientific(number)}, with a decimal point, a sign in "
        "the exponent and no quotes."
    )


def _scientific(number: float) -> str:
    """1.0e-04: with as many digits as the number has."""
    texts = (f"{number:.{digits}e}" for digits in range(1, 17))
    return next(text for text in texts if float(text) == number)


def _number(text: str) -> float | None:
    """The finite number that a text spells, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
