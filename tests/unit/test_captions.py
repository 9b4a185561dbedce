"""The report's captions point to documentation that exists."""

import re


def test_every_page_that_a_caption_names_exists(repository):
    named = {
        (caption.name, page)
        for caption in (repository / "workflow" / "report").glob("*.rst")
        for page in re.findall(r"docs/[\w./-]*\w", caption.read_text(encoding="utf-8"))
    }
    assert ("calibration.rst", "docs/calibration.md") in named
    assert not [pair for pair in sorted(named) if not (repository / pair[1]).is_file()]
