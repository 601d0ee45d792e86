"""Perplexity: passages of files, bits per byte by hand, and what is wrong with files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from langxfer.builtin.evaluators.perplexity import Perplexity
from langxfer.components import Evidence, Passage, PassageScore
from langxfer.errors import DataError
from tests.rows import untested


def scored(passage: Passage, nats: float) -> PassageScore:
    return PassageScore(passage, -nats, 3, len(passage.text.encode()))


def test_passages(tmp_path: Path) -> None:
    (tmp_path / "de.txt").write_bytes("\ufeffEins\u2028zwei\r\n\n  \ndrei\n".encode())
    (tmp_path / "sw.txt").write_text("moja\nmbili", encoding="utf-8")
    own = Perplexity(files={"de": "de.txt", "sw": "sw.txt"}).resolve(tmp_path)
    assert own.passages(()) == [
        Passage("1/de", "Eins\u2028zwei", "de"),
        Passage("4/de", "drei", "de"),
        Passage("1/sw", "moja", "sw"),
        Passage("2/sw", "mbili", "sw"),
    ]
    assert [p.id for p in own.model_copy(update={"limit": 1}).passages(())] == ["1/de", "1/sw"]
    whole = own.model_copy(update={"passage": "file"}).passages(())
    assert whole[1] == Passage("file/sw", "moja\nmbili", "sw")
    assert not list(own.prompts(())) and not own.scored_views()


def test_bits_per_byte_by_hand() -> None:
    one, two, three = Passage("1/de", "für", "de"), Passage("2/de", "abcd", "de"), Passage("1/sw", "ab", "sw")
    found = [scored(one, 4 * math.log(2)), scored(two, 10 * math.log(2)), scored(three, math.log(2))]
    evaluation = Perplexity(files={"de": "x", "sw": "y"}).evaluate(Evidence((), (), {}, passages=found))
    german, swahili = evaluation.scores
    assert (german.name, german.value, german.n) == ("perplexity/bits_per_byte/de", pytest.approx(14 / 8), 2)
    # n / (n - 1) * sum((y - R x)^2) over the square of the mean of x, and over n: 2 * (9 + 9) / 64
    assert german.standard_error == pytest.approx(math.sqrt(2 * (3**2 + 3**2)) / 8)
    assert (german.unit, german.higher_is_better) == ("bits/byte", False)
    assert "passage:line|n:2|bytes:8|" in german.signature
    assert (swahili.value, swahili.standard_error, swahili.n) == (pytest.approx(0.5), None, 1)
    assert not untested(evaluation)
    assert [row["bits_per_byte"] for row in evaluation.rows] == pytest.approx([1.0, 2.5, 0.5])
    assert evaluation.rows[0]["bytes"] == 4 and evaluation.rows[0]["id"] == "1/de"
    json.dumps(evaluation.rows)


@given(st.lists(st.tuples(st.text(min_size=1), st.floats(0, 1e4)), min_size=1, max_size=6))
def test_the_value_is_all_bits_over_all_bytes(items: list[tuple[str, float]]) -> None:
    found = [scored(Passage(f"{i}/de", text, "de"), nats) for i, (text, nats) in enumerate(items)]
    [score] = Perplexity(files={"de": "x"}).evaluate(Evidence((), (), {}, passages=found)).scores
    total = sum(nats for _, nats in items) / math.log(2)
    assert score.value == pytest.approx(total / sum(len(text.encode()) for text, _ in items))
    assert score.standard_error is None or score.standard_error >= 0


def test_the_key_follows_the_content(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("text\n", encoding="utf-8")
    one, two = (Perplexity(files={"de": name}).resolve(tmp_path) for name in ("a", "b"))
    assert one.what() == two.what()
    assert Perplexity.model_validate(one.model_dump(mode="json")) == one
    (tmp_path / "b").write_text("other\n", encoding="utf-8")
    assert one.what() != two.what()


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    (tmp_path / "blank").write_text("\n \n", encoding="utf-8")
    (tmp_path / "latin").write_bytes("für".encode("latin-1"))
    for name, message in (
        ("none", r"perplexity\.files .*none cannot be read \(No such file"),
        ("blank", r"blank holds no text"),
        ("latin", r"latin:1 is not UTF-8"),
    ):
        for passage in ("line", "file"):
            with pytest.raises(DataError, match=message):
                Perplexity(files={"de": str(tmp_path / name)}, passage=passage).passages(())
    with pytest.raises(DataError, match="cannot be read"):
        Perplexity(files={"de": str(tmp_path / "none")}).what()
    with pytest.raises(ValidationError, match="not a known language tag"):
        Perplexity(files={"german": "x"})
    with pytest.raises(ValidationError, match="files"):
        Perplexity(files={})
