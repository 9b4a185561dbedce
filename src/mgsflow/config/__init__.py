"""Typed settings: every key of config.yaml, its unit and meaning; unknown keys are refused."""

from __future__ import annotations

import json
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError, model_validator

from mgsflow.config.base import Section, setting
from mgsflow.config.evaluation import Archive, Baselines, Calibration, Evaluation, Oracle, Sed
from mgsflow.config.models import Compute, Flows, Posteriors, Vae
from mgsflow.config.sample import Photometry, Selection, Splits, Stamps, Targets
from mgsflow.config.sky import Catalogue, Network, Sdss, Simulated
from mgsflow.core.errors import UserError
from mgsflow.core.surveys import SDSS

Model = TypeVar("Model", bound=BaseModel)


class Settings(Section):
    """A run. One section a stage, in the order of the DAG."""

    run: str = setting(
        "paper", "Name of the run: its results lie in results/RUN", pattern=r"^[\w.-]+$"
    )
    seed: int = setting(20251024, "Seed of the run; each stage derives its own from it", ge=0)
    sky: Literal["sdss", "catalogue", "simulated"] = setting(
        "sdss", "Where galaxies come from: the section of this name says how"
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
            raise ValueError("catalogue.path: sky is `catalogue`, so name the catalogue's file")
        if self.sky != "catalogue" and provider == "files":
            raise ValueError("stamps.provider: `files` belongs to `sky: catalogue`")
        if self.sky == "simulated" and provider in ("legacy", "jpeg"):
            raise ValueError("stamps.provider: a simulated sky has `frames` or `none`")
        _check_cutouts(self.stamps)
        if self.sky == "simulated" and provider == "frames" and not self.simulated.stamps:
            raise ValueError("simulated.stamps is false: set stamps.provider to `none` as well")
        if provider == "files" and not self.catalogue.stamp_folder:
            raise ValueError(
                "catalogue.stamp_folder: stamps.provider is `files`, so name the folder"
            )
        if provider != "none" and self.splits.vae == 0:
            raise ValueError("splits.vae: with stamps, a share of the sample must train the VAE")
        return self


def _check_cutouts(stamps: Stamps) -> None:
    """What the cutout services, which are SDSS's, can give."""
    bands = SDSS.picture_bands
    strange = [band for band in stamps.bands if band not in bands]
    if stamps.provider in ("legacy", "jpeg") and strange:
        raise ValueError(
            f"stamps.bands: cutouts have the bands {', '.join(bands)}, not {', '.join(strange)}"
        )
    if stamps.provider == "jpeg" and not 64 <= stamps.size <= 2048:
        raise ValueError("stamps.size: SkyServer draws pictures of 64 to 2048 pixels a side")
    if stamps.provider == "legacy" and stamps.pixel_scale != SDSS.pixel_scale:
        raise ValueError(
            f"stamps.pixel_scale: the Legacy Surveys' viewer conserves flux at the frames' own "
            f"{SDSS.pixel_scale} arcsec only; other scales can be had of `provider: frames`"
        )


def _check_variants(variants: list[str], stamps: bool, bands: list[str]) -> None:
    for variant in variants:
        if "images" in variant and not stamps:
            raise ValueError(f"flows.variants: {variant} needs stamps; stamps.provider is `none`")
        if "photometry" in variant and not bands:
            raise ValueError(f"flows.variants: {variant} needs photometry.bands, which is empty")
    if len(set(variants)) != len(variants):
        raise ValueError("flows.variants names a variant twice")


def validate(config: dict[str, Any], source: str = "the configuration") -> Settings:
    """The settings that `config` (as YAML gave it) stands for, every key explicit.

    Raises UserError that names each wrong key, what was expected and what to do.
    """
    return parse(Settings, json.dumps(config, default=str), source)


def parse(model: type[Model], text: str, source: str) -> Model:
    """A section of the settings from its JSON; strict, so that "3" is not 3."""
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        lines = "\n".join(f"  {_explain(item)}" for item in error.errors())
        raise UserError(f"{source} cannot be used:\n{lines}") from None


def _explain(error: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in error["loc"])
    value = error["input"]
    if error["type"] == "extra_forbidden":
        return f"{key}: no such key. See config.yaml for those there are."
    if error["type"] == "missing":
        return f"{key}: is not there. Copy it from config.yaml."
    message = error["msg"].removeprefix("Value error, ")
    if not key:
        return message
    hint = ""
    if isinstance(value, str) and _is_number(value):
        hint = (
            f" YAML reads {value} as text: write {float(value):.1e}, with a decimal point, a "
            "sign in the exponent and no quotes."
        )
    return f"{key}: {message}, not {value!r}.{hint}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
