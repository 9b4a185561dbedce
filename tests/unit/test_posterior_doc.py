"""The examples of docs/posterior.md run as they stand."""

import re

import numpy as np
import pytest
from synthetic_features import VARIANT, make_features, train

from mgsflow.config.sample import Targets
from mgsflow.posterior.posterior import Posterior
from mgsflow.posterior.reweighted import ReweightedPosterior
from mgsflow.posterior.widened import WidenedPosterior


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A folder with the models of a run called tiny, where the example looks for them."""
    flows = tmp_path / "results" / "tiny" / "flows"
    for flow in ("property", "line"):
        train(flows, make_features(), flow, Targets())
    monkeypatch.chdir(tmp_path)
    return flows


def test_the_examples_run(run, repository, capsys):
    text = (repository / "docs" / "posterior.md").read_text(encoding="utf-8")
    names: dict = {}
    for code in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        exec(compile(code, "docs/posterior.md", "exec"), names)
    assert names["draws"].shape == (3, 1000, 9) and np.isfinite(names["draws"]).all()
    assert (names["h_alpha"] > -1).all()
    assert names["measurable"].shape == (3, 2) and len(names["correlation"]) == 3
    assert (names["nearer"].effective_draws(names["galaxies"]) <= 4000).all()
    printed = capsys.readouterr().out
    assert "log_stellar_mass [dex(Msun)]: " in printed and VARIANT in printed


@pytest.mark.parametrize(
    ("cls", "after"),
    [(Posterior, ""), (ReweightedPosterior, "reweight"), (WidenedPosterior, "widen")],
)
def test_the_table_of_methods_is_complete(repository, cls, after):
    text = (repository / "docs" / "posterior.md").read_text(encoding="utf-8")
    table = text[text.index("| method |") :].partition("\n\n")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    listed = {
        name for row in rows if after in row[-2] for name in re.findall(r"`([a-z_]+)", row[1])
    }
    public = {name for name in dir(cls) if callable(getattr(cls, name))}
    public = {name for name in public if not name.startswith("_")} - {"load"}
    assert listed == public - {"only", "to", "draws_per_member", "effective_draws"}
