"""Models on disk: safetensors and a JSON description. No pickle is read or written."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mgsflow import __version__
from mgsflow.core.contract import DESCRIPTION, WEIGHTS
from mgsflow.core.errors import UserError
from mgsflow.core.files import atomic_path, read_facts, sha256, write_json
from mgsflow.core.fingerprint import fingerprint as core_fingerprint
from mgsflow.core.machine import installed_versions

WEIGHTS_DIGEST = "weights_sha256"
_PACKAGES = ("torch", "numpy", "nflows", "safetensors")


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write `tensors` as safetensors: equal tensors give equal bytes.

    They are copied to the CPU, made contiguous and sorted by name. There is no metadata, because
    safetensors writes its keys in an order that differs between processes.
    """
    # clone: safetensors refuses tensors that share memory, such as tied weights
    plain = {name: tensors[name].detach().cpu().clone().contiguous() for name in sorted(tensors)}
    with atomic_path(path) as temporary:
        save_file(plain, temporary)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors in a safetensors file, on the CPU. Raises UserError if it is absent or broken."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file. Run the stage that makes it first.")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path}: cannot be read as safetensors ({error}). Remove it and rerun its stage."
        ) from None


def save_model(folder: Path, tensors: Mapping[str, Tensor], description: dict[str, Any]) -> None:
    """Write a model into `folder`: `tensors` and the JSON `description`.

    The description has everything needed to rebuild the model: architecture, standardisation,
    inputs, targets, units and data fingerprint. Versions of the software and the digest of the
    weights are added here.
    """
    weights = folder / WEIGHTS
    save_tensors(weights, tensors)
    added = {"software": software_versions(), WEIGHTS_DIGEST: sha256(weights)}
    write_json(folder / DESCRIPTION, description | added)


def load_model(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the description that `save_model` wrote into `folder`.

    Raises UserError if a file is absent or broken, or if the two were not written together.
    """
    weights, description_path = Path(folder) / WEIGHTS, Path(folder) / DESCRIPTION
    description = read_description(folder)
    tensors = load_tensors(weights)
    if description.get(WEIGHTS_DIGEST) != sha256(weights):
        raise UserError(
            f"{weights}: not the weights that {description_path} describes: their SHA-256 is not "
            f"its {WEIGHTS_DIGEST}. Restore both from one run, or rerun their stage."
        )
    return tensors, description


def read_description(folder: Path) -> dict[str, Any]:
    """The description of the model in `folder`. Raises UserError if it is absent or broken."""
    return read_facts(Path(folder) / DESCRIPTION)


def software_versions() -> dict[str, str]:
    """Versions of the software that the numbers in a model depend on."""
    own = {"mgsflow": __version__, "python": platform.python_version()}
    return own | installed_versions(_PACKAGES)


def fingerprint(*parts: Any) -> str:
    """`core.fingerprint` of parts, which may also be tensors."""
    return core_fingerprint(
        *(part.detach().cpu().numpy() if isinstance(part, Tensor) else part for part in parts)
    )
