"""A fingerprint of data and settings, which identifies unfinished work."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np


def fingerprint(*parts: Any) -> str:
    """Hexadecimal SHA-256 of data: arrays, bytes, and values that JSON can hold.

    Kind, type and shape of each part are included, so that different lists of parts never have the
    same bytes.
    """
    digest = hashlib.sha256()
    for part in parts:
        kind, data = _bytes_of(part)
        digest.update(f"{kind}:{len(data)};".encode())
        digest.update(data)
    return digest.hexdigest()


def _bytes_of(part: Any) -> tuple[str, bytes]:
    if isinstance(part, bytes):
        return "bytes", part
    if isinstance(part, np.ndarray):
        if part.dtype.hasobject:
            raise TypeError("an array of objects has no bytes of its own: convert it first")
        array = np.ascontiguousarray(part)
        return f"array/{array.dtype.str}/{array.shape}", array.tobytes()
    return "json", json.dumps(part, sort_keys=True).encode()
