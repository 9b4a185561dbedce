"""Reading what the evaluation wrote as JSON, with errors that name the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mgsflow.core.errors import UserError
from mgsflow.core.files import read_json


def read_facts(path: Path, *keys: str) -> dict[str, Any]:
    """The JSON object in `path`. Raises UserError without one, or if it lacks one of `keys`."""
    try:
        facts = read_json(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. Run the stage that makes it first.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not JSON ({error}). Remove it and rerun its stage.") from None
    absent = [key for key in keys if key not in facts] if isinstance(facts, dict) else ["an object"]
    if absent:
        raise UserError(
            f"{path}: has no {', '.join(absent)}, so it is another stage's file or an older "
            "version's. Rerun the stage that makes it."
        )
    return facts
