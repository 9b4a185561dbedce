"""Joint posteriors of galaxy properties and emission lines from SDSS images and photometry."""

from importlib import import_module

__version__ = "0.1.0"
__all__ = ["Posterior", "PriorRatio", "__version__"]

# Imported when they are asked for, so that `mgsflow --help` does not wait for torch.
_LATER = {
    "Posterior": "mgsflow.posterior.posterior",
    "PriorRatio": "mgsflow.posterior.prior_ratio",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
