"""Tables in Markdown, as text."""

from __future__ import annotations

import pytest

from mgsflow.core.markdown import markdown_table

HEAD, ROWS = ("rule", "h | s"), [("select", "0.5"), ("a|b", "–")]


def test_a_table_is_a_line_a_row_with_bars_escaped():
    assert markdown_table(HEAD, ROWS).splitlines() == [
        r"| rule | h \| s |",
        "| --- | --- |",
        "| select | 0.5 |",
        r"| a\|b | – |",
    ]
    assert markdown_table(["a"], []) == "| a |\n| --- |"


def test_aligned_columns_are_padded():
    assert markdown_table(HEAD, ROWS, left=[True, False]).splitlines() == [
        r"| rule   | h \| s |",
        "| :----- | :----: |",
        "| select | 0.5    |",
        r"| a\|b   | –      |",
    ]
    assert markdown_table(["a"], [], left=[False]) == "| a   |\n| :-: |"


def test_a_row_of_another_length_is_a_fault():
    with pytest.raises(ValueError):
        markdown_table(HEAD, [("select",)])
