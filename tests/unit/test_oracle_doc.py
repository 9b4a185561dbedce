"""The page of the simulated sky shows the oracle's results as they were measured."""

import pandas as pd

from mgsflow.report.table_oracle import shown
from mgsflow.report.writing import to_markdown


def test_the_page_has_the_table_of_the_results(repository):
    numbers = pd.read_csv(repository / "studies/results/oracle.csv")
    page = (repository / "docs/simulated-sky.md").read_text(encoding="utf-8")
    assert to_markdown(shown(numbers)) in page
    assert f"{numbers['refused'].iloc[0]} are refused" in " ".join(page.split())


def test_the_property_flow_reaches_the_exact_posteriors(repository):
    """The goals of the design, by the numbers that the page shows."""
    numbers = pd.read_csv(repository / "studies/results/oracle.csv").set_index("target")
    properties = numbers.loc[[name for name in numbers.index if not name.startswith("log1p_")]]
    each = properties.drop(index="joint")
    assert each["width_ratio"].between(0.95, 1.05).all()
    assert (each["gap"] <= 0.05).all()
