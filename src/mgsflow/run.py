"""What a run consists of, by its settings: its parts, its files, and who reads which.

The rules, the doctor and the tests ask it; nothing else decides what a run has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from itertools import product
from typing import Any

from mgsflow.config import Settings
from mgsflow.core.contract import Model, Output, Paths, Stage
from mgsflow.core.quantities import METALLICITY
from mgsflow.core.surveys import SDSS
from mgsflow.core.variants import inputs_of
from mgsflow.report.contents import ITEMS, Item
from mgsflow.stages import ENCODER, STAGES

_NAME = re.compile(r"\{(\w+)\}")
WILDCARDS = frozenset({"flow", "variant", "shard"})  # of rules that are repeated


class Run:
    """A run of these settings. Paths are relative to the repository: `results/RUN/...`.

    In a path, {flow}, {variant} and {shard} stand for all that the run has, {run}, {seed},
    {encoder}, {first_variant}, {oracle_variant}, {first_direction} and {second_direction} for one.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = f"results/{settings.run}"

    # What the run has. A part that is left out has no jobs at all.

    @property
    def variants(self) -> list[str]:
        return list(self.settings.flows.variants)

    @property
    def first_variant(self) -> str:
        return self.variants[0]

    @property
    def encoder(self) -> str:
        """The folder of the encoder."""
        return ENCODER.folder

    @property
    def inputs(self) -> list[str]:
        """What the variants see, each once: affine and spline flows may share their inputs."""
        return sorted({inputs_of(variant) for variant in self.variants})

    @property
    def flows(self) -> list[str]:
        parts = {"property": self.has_properties, "line": self.has_lines}
        return [flow for flow, there in parts.items() if there]

    @property
    def shards(self) -> list[str]:
        return [f"{i:03d}" for i in range(self.settings.stamps.shards)] if self.has_stamps else []

    @property
    def is_simulated(self) -> bool:
        return self.settings.sky == "simulated"

    @property
    def asks_skyserver(self) -> bool:
        return self.settings.sky == "sdss" and not self.settings.sdss.reply_file

    @property
    def has_stamps(self) -> bool:
        return self.settings.stamps.provider != "none"

    @property
    def simulates_frames(self) -> bool:
        return self.is_simulated and self.has_stamps

    @property
    def downloads_images(self) -> bool:
        """Whether the images come over the network, and not from a simulated sky or from files."""
        return not self.is_simulated and self.settings.stamps.provider in (
            "frames",
            "legacy",
            "jpeg",
        )

    @property
    def has_bands(self) -> bool:
        return bool(self.settings.photometry.bands)

    @property
    def has_rest_frame(self) -> bool:
        return any(inputs.endswith("rest_frame") for inputs in self.inputs)

    @property
    def has_properties(self) -> bool:
        return bool(self.settings.targets.properties)

    @property
    def has_lines(self) -> bool:
        return bool(self.settings.targets.lines)

    @property
    def has_metallicity(self) -> bool:
        return METALLICITY in self.settings.targets.properties

    @property
    def has_conditional_vae(self) -> bool:
        return self.has_stamps and "conditional_vae" in self.settings.baselines.methods

    @property
    def has_simulated_photometry(self) -> bool:
        """Whether the photometry is that whose likelihood and truth the simulated sky knows."""
        photometry = self.settings.photometry
        all_bands = list(photometry.bands) == list(SDSS.bands)
        return self.is_simulated and photometry.deredden and all_bands

    @property
    def oracle_variant(self) -> str:
        """The first variant that sees the photometry alone; empty if there is none."""
        return next((v for v in self.variants if inputs_of(v) == "photometry-observed"), "")

    @property
    def has_oracle(self) -> bool:
        """Exact posteriors can be had of a simulated sky, by photometry of known likelihood."""
        asked = self.settings.oracle.galaxies > 0
        return asked and self.has_simulated_photometry and bool(self.oracle_variant)

    @property
    def has_sed(self) -> bool:
        """Fits of the spectral energy distribution are judged by a simulated sky's truth."""
        return self.settings.sed.galaxies > 0 and self.has_simulated_photometry

    @property
    def umap_targets(self) -> list[str]:
        return self._properties(self.settings.evaluation.umap_targets)

    @property
    def first_direction(self) -> str:
        return self._direction(0)

    @property
    def second_direction(self) -> str:
        return self._direction(1)

    def _direction(self, number: int) -> str:
        """The property of a row of decoded images; empty if the run has none of this number."""
        names = self._properties(self.settings.evaluation.direction_targets)
        return names[number] if self.has_stamps and number < len(names) else ""

    def _properties(self, names: list[str]) -> list[str]:
        return [name for name in names if name in self.settings.targets.properties]

    # Stages, tables and figures, and their files.

    def has(self, part: Stage | Item) -> bool:
        """Whether the run has a stage, or a table or figure: see their `when`."""
        if part.when and not getattr(self, part.when):
            return False
        return isinstance(part, Stage) or any(self.inputs_of(part).values())

    @cached_property
    def stages(self) -> list[Stage]:
        return [stage for stage in STAGES.values() if self.has(stage)]

    @cached_property
    def items(self) -> list[Item]:
        """The tables and figures of the report, in its order."""
        return [item for item in ITEMS.values() if self.has(item)]

    @cached_property
    def files(self) -> dict[str, Output]:
        """Every file that the stages write, but for those of tables and figures: see `shown`."""
        written = (output for stage in self.stages for output in stage.outputs.values())
        return {path: output for output in written for path in self._expand(output.path)}

    @property
    def shown(self) -> list[str]:
        """Every file of the tables and figures, in their order."""
        return [f"{self.folder}/{path}" for item in self.items for path in item.writes.values()]

    @property
    def archived(self) -> list[str]:
        """What the archive of the run holds of its results."""
        settings = self.settings.archive
        held = [
            f"{self.folder}/{path}"
            for path, output in self.files.items()
            if output.archived is True
            or (isinstance(output.archived, str) and getattr(settings, output.archived))
        ]
        return [*held, *self.shown]

    def inputs_of(self, part: Stage | Item) -> dict[str, list[str] | str]:
        """What a stage or item of this run reads, by name; empty lists for what the run lacks.

        Names of the part's own wildcards stay in the paths, for Snakemake to fill.
        """
        own = wildcards_of(part)
        return {name: self._present(paths, own) for name, paths in part.reads.items()}

    def options_of(self, item: Item) -> dict[str, str]:
        """What the command of a table or figure is given beside its files."""
        return {name: next(self._expand(text)) for name, text in item.options.items()}

    def path(self, path: str) -> str:
        """A path below the run's folder, its wildcards kept."""
        return f"{self.folder}/{next(self._expand(path, WILDCARDS))}"

    def _present(self, paths: Paths, own: frozenset[str]) -> list[str] | str:
        """Those of `paths` that a stage of this run writes, or the user gives.

        One path, or a list where there may be several or where there is none.
        """
        present: list[str] = []
        several = not isinstance(paths, str)
        for path in _files(paths):
            if path.startswith("@"):
                present += self._user_file(path)
            else:
                several = several or bool(_wildcards_in(path) - own)
                partly = self._expand(path, own)
                present += [f"{self.folder}/{p}" for p in partly if self._is_written(p)]
        return present if several or not present else present[0]

    def _is_written(self, path: str) -> bool:
        return any(each in self.files for each in self._expand(path))

    def _user_file(self, key: str) -> list[str]:
        """The user's file that a setting names, where the run reads it."""
        settings = self.settings
        read = {
            "@sdss.reply_file": (settings.sky == "sdss", settings.sdss.reply_file),
            "@catalogue.path": (settings.sky == "catalogue", settings.catalogue.path),
            "@catalogue.stamp_folder": (
                settings.stamps.provider == "files",
                settings.catalogue.stamp_folder,
            ),
        }
        there, path = read[key]
        return [path] if there and path else []

    def _expand(self, path: str, kept: frozenset[str] = frozenset()) -> Iterator[str]:
        """The paths that one with names in braces stands for, the last name fastest.

        Names among `kept` stay as they are.
        """
        names = list(dict.fromkeys(_NAME.findall(path)))
        values = [[f"{{{name}}}"] if name in kept else self._values(name) for name in names]
        for each in product(*values):
            yield path.format(**dict(zip(names, each, strict=True)))

    def _values(self, name: str) -> list[str]:
        many = {"flow": self.flows, "variant": self.variants, "shard": self.shards}
        return many[name] if name in many else [str(self._one(name))]

    def _one(self, name: str) -> Any:
        return getattr(self.settings, name) if name in ("run", "seed") else getattr(self, name)


def job_name(part: Stage | Item) -> str:
    """The stem of a rule's logs and benchmarks: the stage's name, and its wildcards in braces."""
    if isinstance(part, Item):
        return part.stem
    paths = [output.path for output in part.outputs.values()]
    names = dict.fromkeys(name for path in paths for name in _NAME.findall(path))
    return "-".join([part.name, *(f"{{{name}}}" for name in names if name in WILDCARDS)])


def wildcards_of(part: Stage | Item) -> frozenset[str]:
    """Names of what a rule is repeated for: those in braces in the files that it writes."""
    if isinstance(part, Item):
        return frozenset()
    return frozenset().union(*(_wildcards_in(output.path) for output in part.outputs.values()))


def _wildcards_in(path: str) -> frozenset[str]:
    return frozenset(_NAME.findall(path)) & WILDCARDS


def _files(paths: Paths) -> list[str]:
    each = paths if isinstance(paths, tuple) else (paths,)
    return [file for p in each for file in (p.files if isinstance(p, Model) else (p,))]
