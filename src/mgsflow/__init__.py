"""Joint posteriors of galaxy properties and emission lines from SDSS images and photometry."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers and editors, which do not follow `__getattr__`
    from mgsflow.posterior.posterior import Posterior
    from mgsflow.posterior.prior_ratio import PriorRatio

__version__ = "0.1.0"
__all__ = ["Posterior", "PriorRatio", "__version__"]

# Imported on first access, so that `mgsflow --help` does not wait for torch.
_LAZY = {
    "Posterior": "mgsflow.posterior.posterior",
    "PriorRatio": "mgsflow.posterior.prior_ratio",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
