"""What counts as a verdict, and that nothing else does."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langxfer.components import Verdict
from langxfer.verdicts import ranking_schema, read_ranking, weigh

LABELS = ("m", "M")


def ranking(first: object, second: object, labels: tuple[str, str] = LABELS) -> str:
    return json.dumps({"ordered_models": [{"model": labels[0], "rank": first}, {"model": labels[1], "rank": second}]})


@pytest.mark.parametrize(
    ("answer", "preference"),
    [
        (ranking(1, 2), 0.0),
        (ranking(2, 1), 1.0),
        (ranking(1, 2, ("M", "m")), 1.0),
        (ranking(1.0, 2.0), 0.0),
        (ranking(1, 1), 0.5),
        (f"\n  {ranking(2, 1)}\n", 1.0),
        (f"```json\n{ranking(2, 1)}\n```\n", 1.0),
        (f"```\n{ranking(1, 2)}\n```", 0.0),
    ],
)
def test_rankings(answer: str, preference: float) -> None:
    assert read_ranking(answer, LABELS) == Verdict(preference)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "m",
        "I think that m is better.",
        f"My verdict: {ranking(1, 2)}",
        f"{ranking(1, 2)} I am sure.",
        f"{ranking(1, 2)}\n{ranking(2, 1)}",
        f"```json\n{ranking(1, 2)}\n```\n```json\n{ranking(2, 1)}\n```",
        f"The answer said ```json\n{ranking(1, 2)}\n``` but",
        ranking(1, 3),
        ranking(0, 1),
        ranking("1", "2"),
        ranking(True, 2),
        ranking(1, None),
        ranking(1, [2]),
        ranking(1, 2, ("Model m", "Model M")),
        ranking(1, 2, ("m", "m")),
        ranking(1, 2, ("M", "M")),
        ranking(1, 2, ("m", "n")),
        '{"ordered_models": [{"model": "m", "rank": 1}]}',
        '{"ordered_models": [{"model": "m", "rank": 1}, {"model": "M", "rank": 2}, {"model": "M", "rank": 1}]}',
        '{"ordered_models": [{"model": "m", "rank": 1, "rank": 2}, {"model": "M", "rank": 1}]}',
        '{"ordered_models": [], "ordered_models": [{"model": "m", "rank": 1}, {"model": "M", "rank": 2}]}',
        '{"ordered_models": [{"model": "m", "rank": 1, "x": 0}, {"model": "M", "rank": 2}]}',
        '{"ordered_models": {"m": 1, "M": 2}}',
        '[{"model": "m", "rank": 1}, {"model": "M", "rank": 2}]',
        '{"ordered_models": [{"model": "m", "rank": NaN}, {"model": "M", "rank": 2}]}',
        ranking(1, 2).replace('"', "'"),
        "[" * 100_000,
    ],
)
def test_what_is_no_ranking(answer: str) -> None:
    assert read_ranking(answer, LABELS) == Verdict(None, "unreadable")


@given(st.text())
def test_text_around_a_ranking_is_no_ranking(text: str) -> None:
    expected = Verdict(None, "unreadable") if text.strip(" \t\r\n") else Verdict(1.0)
    assert read_ranking(ranking(2, 1) + text, LABELS) == expected


@pytest.mark.parametrize("label", ["mM", "m.", "Model m", " m", "ｍ", "M"])
def test_labels_are_compared_exactly(label: str) -> None:
    first, second = ({"model": name, "rank": rank} for rank, name in enumerate((label, "M"), 1))
    assert read_ranking(json.dumps({"ordered_models": [first, second]}), LABELS) == Verdict(None, "unreadable")


@given(st.floats(-40, 0), st.floats(-40, 0))
def test_weights_are_the_share_of_the_second_label(first: float, second: float) -> None:
    found = weigh({"m": first, "M": second, "The": 0.0}, LABELS).preference
    assert found == pytest.approx(1 / (1 + math.exp(first - second)))


def test_a_label_that_is_missing_has_no_probability() -> None:
    assert weigh({"m": -30.0, "Model": -0.1}, LABELS) == Verdict(0.0)
    assert weigh({"M": -30.0}, LABELS) == Verdict(1.0)
    assert weigh({"Model": -0.1, " m": -1.0}, LABELS) == Verdict(None, "no label")


def test_the_schema_allows_what_is_read_and_names_the_labels() -> None:
    schema = ranking_schema(LABELS)
    entry = schema["properties"]["ordered_models"]["items"]
    assert entry["properties"]["model"]["enum"] == ["m", "M"] and entry["properties"]["rank"]["enum"] == [1, 2]
    assert not schema["additionalProperties"] and not entry["additionalProperties"]
