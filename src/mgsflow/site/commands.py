"""Calls of other programs, with a time limit."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """A program's output. `code` is None if the program is missing or did not end in time."""

    command: str
    code: int | None
    out: str
    err: str

    @property
    def good(self) -> bool:
        return self.code == 0

    @property
    def words(self) -> str:
        """The last three lines of its output, for a finding."""
        lines = (self.err.strip() or self.out.strip()).splitlines()
        return "; ".join(line.strip() for line in lines[-3:] if line.strip()) or "no word"


def ask(*command: str, seconds: float = 30, environment: Mapping[str, str] | None = None) -> Answer:
    """Run a program for at most `seconds`, with `environment` added to this process's own."""
    line = shlex.join(command)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )
    except FileNotFoundError:
        return Answer(line, None, "", f"{command[0]} is not on PATH")
    except OSError as error:
        return Answer(line, None, "", f"{command[0]}: {error.strerror}")
    except subprocess.TimeoutExpired:
        return Answer(line, None, "", f"no answer within {seconds:g} s")
    return Answer(line, done.returncode, done.stdout, done.stderr)
