"""How a stage declares the files that it reads and writes.

Paths are relative to the folder of a run, results/RUN. Names in braces, as in
`flows/{flow}/{variant}/history.csv`, stand for the run's own values: see `mgsflow.run.Run`.
A path that begins with @ is a setting that names a file of the user, such as `@catalogue.path`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# The files in the folder of a trained model.
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
HISTORY, TELEMETRY = "history.csv", "telemetry.json"


@dataclass(frozen=True)
class Model:
    """The folder of a trained model, which a command takes as one option."""

    folder: str

    @property
    def stored(self) -> dict[str, str]:
        """The model itself, by the name of a rule's output."""
        return {
            "weights": f"{self.folder}/{WEIGHTS}",
            "description": f"{self.folder}/{DESCRIPTION}",
        }

    @property
    def files(self) -> tuple[str, ...]:
        """The files that a reader of the model depends on."""
        return tuple(self.stored.values())

    @property
    def written(self) -> dict[str, str]:
        """All files that its training writes, by the name of a rule's output."""
        return self.stored | {
            "history": f"{self.folder}/{HISTORY}",
            "telemetry": f"{self.folder}/{TELEMETRY}",
        }


@dataclass(frozen=True)
class Output:
    """A file that a stage writes, with properties beyond its path.

    `archived` says whether the archive of the run holds it: always, never, or depending on the
    setting `archive.NAME`. A `temporary` file is removed when all its readers are done.
    """

    path: str
    archived: bool | str = True
    folder: bool = False
    temporary: bool = False


Paths = str | Model | tuple[str | Model, ...]


@dataclass(frozen=True)
class Stage:
    """The command of a rule, or a tool without a rule.

    `reads` and `writes` are files by their names in the rule. A run has the stage unless `when`
    names a property of the run that does not hold.
    """

    name: str
    module: str
    function: str
    help: str
    environment: str = ""
    reads: Mapping[str, Paths] = field(default_factory=dict)
    writes: Mapping[str, str | Output] = field(default_factory=dict)
    when: str = ""

    @property
    def rule(self) -> str:
        return self.name.replace("-", "_")

    @property
    def outputs(self) -> dict[str, Output]:
        return {
            name: output if isinstance(output, Output) else Output(output)
            for name, output in self.writes.items()
        }
