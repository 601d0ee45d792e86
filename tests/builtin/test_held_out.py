"""Held-out likelihood: closed forms by hand, the ratio's error against simulation, repetitions, errors."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from langxfer.builtin.evaluators import digest, mean, percentage, ratio, signature
from langxfer.builtin.evaluators.held_out import HeldOut
from langxfer.components import Evaluation, Evidence, ResponseScore, Score
from langxfer.data import ParallelExample, Turn, View
from langxfer.errors import DataError

LN2 = math.log(2)
Totals = tuple[float, float, float, float]


def example(number: int, target: str = "de", source_text: str | None = None) -> ParallelExample:
    text = source_text or f"en{number}"
    source = Turn(f"{text}?", f"{text}!", "en")
    return ParallelExample(f"{number}-{target}", source, Turn(f"{target}{number}?", f"{target}{number}!", target))


def scored(totals: Totals, sizes: tuple[int, int] = (4, 8)) -> Mapping[View, ResponseScore]:
    """``totals`` of SS, ST, TS, TT in nats; ``sizes`` in bytes of the source and the target response."""
    views = (View.SS, View.ST, View.TS, View.TT)
    return {v: ResponseScore(t, 3, sizes[v.value[1] == "T"]) for v, t in zip(views, totals, strict=True)}


def evaluate(
    component: HeldOut, examples: Sequence[ParallelExample], found: Sequence[Mapping[View, ResponseScore]]
) -> Evaluation:
    responses = {e.id: scores for e, scores in zip(examples, found, strict=True)}
    return component.evaluate(Evidence(examples, (), responses))


def by_name(evaluation: Evaluation) -> dict[str, Score]:
    found = {score.name: score for score in evaluation.scores}
    assert len(found) == len(evaluation.scores)
    return found


def test_bits_per_byte_and_margins_by_hand() -> None:
    # Bits of SS: 8 over 4 bytes, 4 over 4 bytes. Of TT: 16 over 8 and 0 over 8.
    found = [scored((-8 * LN2, -9 * LN2, -1.0, -16 * LN2)), scored((-4 * LN2, -1 * LN2, -5.0, -0.0))]
    evaluation = evaluate(HeldOut(), [example(1), example(2)], found)
    scores = by_name(evaluation)
    assert list(scores) == [
        "held_out/bits_per_byte/en",
        "held_out/bits_per_byte/de",
        "held_out/margin/en-over-de",
        "held_out/preference_accuracy/en-over-de",
        "held_out/margin/de-over-en",
        "held_out/preference_accuracy/de-over-en",
    ]
    english = scores["held_out/bits_per_byte/en"]
    assert english.value == pytest.approx(12 / 8)
    # Residuals 8 - 1.5 * 4 = 2 and 4 - 6 = -2: sqrt(2 / 1 * 8) / 8.
    assert english.standard_error == pytest.approx(0.5)
    assert (english.unit, english.higher_is_better, english.n) == ("bits/byte", False, 2)
    assert scores["held_out/bits_per_byte/de"].value == pytest.approx(1.0)
    # Margins of English prompts: 1 and -3 bits; of German ones -16 bits + 1 nat and 5 nats.
    margin = scores["held_out/margin/en-over-de"]
    assert margin.value == pytest.approx(-LN2)
    assert margin.standard_error == pytest.approx(2 * LN2)
    assert margin.unit == "nats"
    assert scores["held_out/margin/de-over-en"].value == pytest.approx((1 - 16 * LN2 + 5) / 2)
    accuracy = scores["held_out/preference_accuracy/de-over-en"]
    assert (accuracy.value, accuracy.unit, accuracy.higher_is_better) == (50.0, "%", True)
    assert accuracy.standard_error == pytest.approx(100 * math.sqrt(0.25 / 2))
    first, second = evaluation.rows
    assert first["id"] == "1-de"
    assert first["margin_source"] == pytest.approx(LN2)
    assert second["margin_target"] == pytest.approx(5.0)
    assert first["nats"]["SS"] == pytest.approx(8 * LN2)
    assert first["bytes"] == {"SS": 4, "ST": 8, "TS": 4, "TT": 8}


def test_a_margin_of_zero_is_no_preference() -> None:
    scores = by_name(evaluate(HeldOut(), [example(1)], [scored((-2.0, -2.0, -3.0, -3.0))]))
    assert scores["held_out/preference_accuracy/en-over-de"].value == 0
    assert scores["held_out/margin/en-over-de"].value == 0
    assert scores["held_out/margin/en-over-de"].standard_error is None
    assert scores["held_out/bits_per_byte/en"].standard_error is None


def test_a_source_answer_shared_by_target_languages_counts_once() -> None:
    examples = [example(1), example(1, "sw"), example(2), example(2, "sw")]
    found = [scored((-4.0, -5.0, -6.0, -2.0)), scored((-4.0, -3.0, -1.0, -8.0)), scored((-2.0, -5.0, -6.0, -2.0))]
    scores = by_name(evaluate(HeldOut(), examples, [*found, scored((-2.0, -3.0, -1.0, -8.0))]))
    english = scores["held_out/bits_per_byte/en"]
    assert english.n == 2
    assert english.value == pytest.approx(6 / LN2 / 8)
    assert scores["held_out/margin/en-over-de"].value == pytest.approx(2.0)
    assert scores["held_out/margin/en-over-sw"].value == pytest.approx(0.0)
    assert scores["held_out/margin/sw-over-en"].value == pytest.approx(-7.0)
    assert scores["held_out/bits_per_byte/sw"].n == 2
    # The same prompt with another response is another item.
    other = ParallelExample("3", Turn("en1?", "another", "en"), Turn("de3?", "de3!", "de"))
    scores = by_name(evaluate(HeldOut(), [*examples, other], [*found, found[0], found[0]]))
    assert scores["held_out/bits_per_byte/en"].n == 3


def test_examples_with_a_response_that_was_cut_are_left_out() -> None:
    """A cut response has the log-probability of its beginning and the bytes of the whole."""
    found = [scored((-1.0, -2.0, -3.0, -4.0)), scored((-5.0, -6.0, -7.0, -8.0)), scored((-0.5, -2.0, -1.0, -3.0))]
    cut = {view: replace(score, cut=view is View.ST) for view, score in found[1].items()}
    examples = [example(1), example(2), example(3)]
    evaluation = evaluate(HeldOut(), examples, [found[0], cut, found[2]])
    without = evaluate(HeldOut(), [examples[0], examples[2]], [found[0], found[2]])
    assert (evaluation.scores, evaluation.rows, without.notes) == (without.scores, without.rows, [])
    assert evaluation.notes == [
        "held_out: 1 of 3 examples are left out: their responses were cut to data.max_length tokens."
    ]
    with pytest.raises(DataError, match=r"raise data\.max_length if all of them were too long"):
        evaluate(HeldOut(), [examples[1]], [cut])


def test_views_and_margins_decide_what_is_scored() -> None:
    only = HeldOut(views=(View.TS, View.ST), margins=False)
    assert only.scored_views() == {View.TS, View.ST}
    assert HeldOut(margins=False).scored_views() == {View.SS, View.TT}
    assert HeldOut(views=()).scored_views() == set(View)
    evaluation = evaluate(only, [example(1)], [scored((-1.0, -8 * LN2, -4 * LN2, -1.0))])
    assert {name: score.value for name, score in by_name(evaluation).items()} == pytest.approx(
        {"held_out/bits_per_byte/de-given-en": 1.0, "held_out/bits_per_byte/en-given-de": 1.0}
    )
    assert "margin_source" not in evaluation.rows[0]
    assert set(evaluation.rows[0]["nats"]) == {"ST", "TS"}
    margins = by_name(evaluate(HeldOut(views=()), [example(1)], [scored((-1.0, -2.0, -3.0, -4.0))]))
    assert not any("bits_per_byte" in name for name in margins)


def test_equal_choices_of_views_have_equal_keys() -> None:
    assert HeldOut(views=(View.TT, View.SS)).what() == HeldOut().what()
    assert HeldOut.model_validate(HeldOut().model_dump(mode="json")) == HeldOut()


@pytest.mark.parametrize(
    "options", [{"views": ("SS", "SS")}, {"views": (), "margins": False}, {"views": ("XX",)}, {"x": 1}]
)
def test_options_that_measure_nothing_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        HeldOut(**options)


def test_no_examples_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(DataError, match=r"set data\.validation"):
        HeldOut().evaluate(Evidence((), (), {}))


def test_responses_without_text_have_no_bits_per_byte() -> None:
    scores = by_name(evaluate(HeldOut(), [example(1)], [scored((-1.0, -1.0, -1.0, -1.0), sizes=(0, 8))]))
    assert scores["held_out/bits_per_byte/en"].value is None
    assert scores["held_out/bits_per_byte/de"].value == pytest.approx(1 / LN2 / 8)


def test_the_signature_names_what_decides_the_value() -> None:
    scores = by_name(evaluate(HeldOut(), [example(1)], [scored((-1.0, -2.0, -3.0, -4.0))]))
    text = scores["held_out/bits_per_byte/en"].signature
    assert text.startswith("ev:held_out|n:1|view:SS|unit:bits/byte|se:ratio|items:")
    assert "|langxfer:" in text
    again = by_name(evaluate(HeldOut(), [example(2)], [scored((-1.0, -2.0, -3.0, -4.0))]))
    assert again["held_out/bits_per_byte/en"].signature != text
    assert len({score.signature for score in scores.values()}) == len(scores)


NATS = st.floats(-500, 0)


@given(st.lists(st.tuples(NATS, NATS, NATS, NATS), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_order_is_irrelevant_and_swapping_languages_swaps_scores(totals: list[Totals], shuffler: random.Random) -> None:
    examples = [example(number) for number in range(len(totals))]
    scores = by_name(evaluate(HeldOut(), examples, [scored(t) for t in totals]))
    order = list(range(len(totals)))
    shuffler.shuffle(order)
    again = by_name(evaluate(HeldOut(), [examples[i] for i in order], [scored(totals[i]) for i in order]))
    swapped = [ParallelExample(e.id, e.target, e.source) for e in examples]
    mirrored = by_name(evaluate(HeldOut(), swapped, [scored(t[::-1], sizes=(8, 4)) for t in totals]))
    for name, score in scores.items():
        for other in (again[name], mirrored[name]):
            assert other.value == pytest.approx(score.value, rel=1e-9, abs=1e-9)
            assert (other.standard_error or 0) == pytest.approx(score.standard_error or 0, rel=1e-6, abs=1e-6)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20))
def test_a_ratio_over_equal_denominators_is_a_mean(values: list[float]) -> None:
    expected = mean(values)
    found = ratio(values, [1.0] * len(values))
    assert found[0] == pytest.approx(expected[0], abs=1e-9)
    assert found[1] == pytest.approx(expected[1], abs=1e-9)


def test_the_error_of_a_ratio_is_what_simulation_finds() -> None:
    source = random.Random(5)

    def sample() -> tuple[float, float]:
        sizes = [source.uniform(20, 200) for _ in range(60)]
        value, error = ratio([size * source.uniform(0.5, 1.5) for size in sizes], sizes)
        assert value is not None and error is not None
        return value, error

    draws = [sample() for _ in range(2000)]
    average = sum(value for value, _ in draws) / len(draws)
    spread = math.sqrt(sum((value - average) ** 2 for value, _ in draws) / (len(draws) - 1))
    assert sum(error for _, error in draws) / len(draws) == pytest.approx(spread, rel=0.05)


def test_shared_statistics_by_hand() -> None:
    assert percentage(1, 4) == (25.0, pytest.approx(100 * math.sqrt(0.1875 / 4)))
    assert percentage(0, 3) == (0.0, 0.0)
    assert mean([1.0, 2.0, 3.0]) == (2.0, pytest.approx(1 / math.sqrt(3)))
    assert mean([7.0]) == (7.0, None)
    assert ratio([3.0], [0.0]) == (None, None)
    assert signature({"a": 1, "b": "x"}).startswith("a:1|b:x|langxfer:")
    assert digest([("a", "b")]) != digest([("ab",)]) != digest([("a",), ("b",)])
    assert len(digest([("\ud800",)])) == 8
