"""Typed settings: every key of config.yaml with its unit and meaning. Unknown keys are errors."""

from __future__ import annotations

import json
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError, model_validator

from mgsflow.config.base import Section, setting
from mgsflow.config.evaluation import Archive, Baselines, Calibration, Evaluation, Oracle, Sed
from mgsflow.config.explain import explain
from mgsflow.config.models import Compute, Flows, Posteriors, Vae
from mgsflow.config.sample import Photometry, Selection, Splits, Stamps, Targets
from mgsflow.config.sky import Catalogue, Network, Sdss, Simulated
from mgsflow.core.errors import UserError
from mgsflow.core.surveys import SDSS

Model = TypeVar("Model", bound=BaseModel)


class Settings(Section):
    """The settings of a run. The sections follow the order of the DAG."""

    run: str = setting(
        "paper", "Name of the run; its results are written to results/RUN", pattern=r"^[\w.-]+$"
    )
    seed: int = setting(
        20251024, "Seed of the run, from which each stage derives its own seed", ge=0
    )
    sky: Literal["sdss", "catalogue", "simulated"] = setting(
        "sdss", "Source of the galaxies, which is configured in the section of this name"
    )
    sdss: Sdss = Sdss()
    network: Network = Network()
    catalogue: Catalogue = Catalogue()
    simulated: Simulated = Simulated()
    selection: Selection = Selection()
    targets: Targets = Targets()
    photometry: Photometry = Photometry()
    stamps: Stamps = Stamps()
    splits: Splits = Splits()
    vae: Vae = Vae()
    flows: Flows = Flows()
    posteriors: Posteriors = Posteriors()
    baselines: Baselines = Baselines()
    evaluation: Evaluation = Evaluation()
    calibration: Calibration = Calibration()
    oracle: Oracle = Oracle()
    sed: Sed = Sed()
    archive: Archive = Archive()
    compute: Compute = Compute()

    @model_validator(mode="after")
    def _sections_agree(self) -> Settings:
        provider = self.stamps.provider
        _check_variants(self.flows.variants, provider != "none", self.photometry.bands)
        if self.sky == "catalogue" and not self.catalogue.path:
            raise ValueError(
                "catalogue.path: sky is `catalogue`, so give the path of the catalogue"
            )
        if self.sky != "catalogue" and provider == "files":
            raise ValueError("stamps.provider: `files` requires `sky: catalogue`")
        if self.sky == "simulated" and provider in ("legacy", "jpeg"):
            raise ValueError("stamps.provider: a simulated sky offers only `frames` or `none`")
        _check_cutouts(self.stamps)
        if self.sky == "simulated" and provider == "frames" and not self.simulated.stamps:
            raise ValueError("simulated.stamps is false: set stamps.provider to `none` as well")
        if provider == "files" and not self.catalogue.stamp_folder:
            raise ValueError(
                "catalogue.stamp_folder: stamps.provider is `files`, so give the images' folder"
            )
        if provider != "none" and self.splits.vae == 0:
            raise ValueError(
                "splits.vae: must be above 0 in a run with stamps, which has a VAE to train"
            )
        return self


def _check_cutouts(stamps: Stamps) -> None:
    """Refuse stamps that SDSS's cutout services do not provide."""
    bands = SDSS.picture_bands
    strange = [band for band in stamps.bands if band not in bands]
    if stamps.provider in ("legacy", "jpeg") and strange:
        raise ValueError(
            f"stamps.bands: cutouts have the bands {', '.join(bands)}, not {', '.join(strange)}"
        )
    if stamps.provider == "jpeg" and not 64 <= stamps.size <= 2048:
        raise ValueError("stamps.size: SkyServer's JPEG cutouts have 64 to 2048 pixels per side")
    if stamps.provider == "legacy" and stamps.pixel_scale != SDSS.pixel_scale:
        raise ValueError(
            "stamps.pixel_scale: the Legacy Surveys' viewer conserves flux only at the native "
            f"scale of SDSS, {SDSS.pixel_scale} arcsec; for other scales use `provider: frames`"
        )


def _check_variants(variants: list[str], stamps: bool, bands: list[str]) -> None:
    for variant in variants:
        if "images" in variant and not stamps:
            raise ValueError(
                f"flows.variants: {variant} needs stamps, but stamps.provider is `none`"
            )
        if "photometry" in variant and not bands:
            raise ValueError(f"flows.variants: {variant} needs photometry.bands, which is empty")
    if len(set(variants)) != len(variants):
        raise ValueError("flows.variants lists a variant twice")


def validate(config: dict[str, Any], source: str = "the configuration") -> Settings:
    """Check `config`, as read from YAML, and return the settings with every key explicit.

    Raises UserError, which names each wrong key, the expected value and what to do.
    """
    return parse(Settings, json.dumps(config, default=str), source)


def parse(model: type[Model], text: str, source: str) -> Model:
    """Read a section of the settings from JSON, strictly: the text "3" is not the number 3."""
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        lines = "\n".join(f"  {explain(item)}" for item in error.errors())
        raise UserError(f"{source} cannot be used:\n{lines}") from None
