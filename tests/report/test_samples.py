"""Texts of models and data in Markdown stay texts: nothing is loaded, nothing is a link."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from langxfer.report.samples import ADDRESS, cell

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HOSTILE = [
    "![x](https://evil.example/pixel.png)",
    "[click](https://evil.example) and [a][b] and ![a][b]",
    r"\![x](https://evil.example/pixel.png) \\[y](z)",
    "<img src=x> <https://evil.example> `code` **bold** __init__ _a_ ~~gone~~",
    "a | b\n\n[b]: https://evil.example",
    "`` ` ``",
]


def children(text: str) -> list[Any]:
    """What a reader of Markdown makes of a table cell, where the text stands between two others."""
    page = f"| a | b | c |\n|---|---|---|\n| 1 | {cell(text)} | 3 |\n"
    cells = [token for token in MARKDOWN.parse(page) if token.type == "inline"]
    assert [own.content for own in cells[:4]] == ["a", "b", "c", "1"] and cells[5].content == "3" and len(cells) == 6
    return cells[4].children


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_is_more_than_text(text: str) -> None:
    found = children(text)
    assert {own.type for own in found} <= {"text", "text_special", "html_inline"}
    assert all(own.content == "<br>" for own in found if own.type == "html_inline")
    assert "".join("\n" if own.type == "html_inline" else own.content for own in found) == text


@given(st.text(st.sampled_from("ab[]()!`*_~\\|<>&#: ."), min_size=1, max_size=30).map(lambda text: f"x{text}x"))
def test_any_text_is_itself(text: str) -> None:
    assert "".join(own.content for own in children(text)) == text


@pytest.mark.parametrize("text", ["http://a.b/c", "see HTTPS://a.b", "www.a.b", "ftp://a", "xhttp://a.b"])
def test_addresses_do_not_become_links_by_themselves(text: str) -> None:
    assert ADDRESS.search(cell(text)) is None and not re.search(r"\bhttps?://|www\.", cell(text))
    assert "".join(own.content for own in children(text)) == text


def test_names_of_scores_are_readable_as_they_are() -> None:
    assert cell("language_fidelity/de") == "language_fidelity/de" and cell("") == "*(empty)*"
