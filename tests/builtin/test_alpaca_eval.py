"""Win rates: by hand, against biased and broken judges, and as published."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from langxfer.builtin.evaluators.alpaca_eval import AlpacaEval
from langxfer.builtin.evaluators.alpaca_eval.contests import JudgeError, model_is_first
from langxfer.builtin.judges.replay import Replay
from langxfer.components import Contest, Evaluation, Evidence, Generation, Judge, Verdict
from langxfer.errors import DataError, PluginError
from langxfer.report.comparison import check_comparable
from tests.builtin.judging import always_first, evaluate, evaluator, likes, scripted, values, write

PUBLISHED = Path(__file__).parents[2].parent / "shared/data/alpaca-eval"


def annotation(instruction: str, first: str, second: str, preference: float) -> dict[str, object]:
    return {"instruction": instruction, "output_1": first, "output_2": second, "preference": preference}


# ---------------------------------------------------------------- scores


def test_scores_by_hand(tmp_path: Path) -> None:
    """Two wins, a loss, a weighted win of 0.7, a tie without a call, a tie by the judge."""
    weights = {"good": 1.0, "bad": 0.0, "better": 0.7, "so-so": 0.5}
    judge = scripted(lambda c: weights[c.second] if c.second != "base" else 1 - weights[c.first])
    found = evaluate(evaluator(tmp_path, judge, ["base"] * 6), ["good", "good", "bad", "better", "base", "so-so"])
    preferences = [1, 1, 0, 0.7, 0.5, 0.5]
    mean = sum(preferences) / 6
    scores = {score.name.removeprefix("alpaca_eval/"): score for score in found.scores}
    assert scores["win_rate/en"].value == pytest.approx(100 * mean)
    deviation = math.sqrt(sum((x - mean) ** 2 for x in preferences) / 5)
    assert scores["win_rate/en"].standard_error == pytest.approx(100 * deviation / math.sqrt(6))
    assert scores["discrete_win_rate/en"].value == pytest.approx(100 * 4 / 6)
    shares = [scores[f"{name}/en"].value for name in ("wins", "losses", "ties")]
    assert shares == pytest.approx([50, 100 / 6, 100 / 3])
    assert all(score.n == 6 for name, score in scores.items() if name != "first_preferred/en")
    assert scores["first_preferred/en"].n == 5 == len(judge.asked)
    assert [row["score"] for row in found.rows] == pytest.approx(preferences)
    assert found.rows[4]["first_preferred"] == [] and found.unfinished is None
    assert re.match(
        r"ev:alpaca_eval\|n:6\|judge:scripted-[0-9a-f]{8}\|prompt:original-1\|order:seed-0\|",
        scores["win_rate/en"].signature,
    )
    assert (
        evaluate(evaluator(tmp_path, judge, ["base"] * 6), ["good"] * 6).scores[0].signature
        == scores["win_rate/en"].signature
    )  # the model's answers are what is measured, not how


def test_both_empty_is_a_tie_and_shows_one_empty_is_judged(tmp_path: Path) -> None:
    judge = scripted(likes("x"))
    found = evaluate(evaluator(tmp_path, judge, ["", "", "x", "x"]), ["", "x", "", "x"])
    assert values(found)["empty/en"] == 50 and values(found)["baseline_empty/en"] == 50
    assert [row["score"] for row in found.rows] == [0.5, 1.0, 0.0, 0.5]
    assert sorted({contest.first, contest.second} == {"", "x"} for contest in judge.asked) == [True, True]


def test_two_languages_are_judged_apart(tmp_path: Path) -> None:
    rows = [{"id": n, "en": f"Why {n}?", "de": f"Warum {n}?"} for n in range(3)]
    component = evaluator(tmp_path, scripted(likes("x")), [])
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    outputs = [{"instruction": f"{word} {n}?", "output": "y"} for n in range(3) for word in ("Why", "Warum")]
    (tmp_path / "baseline.jsonl").write_text(json.dumps(outputs))
    assert [prompt.id for prompt in component.prompts(())] == ["0/en", "1/en", "2/en", "0/de", "1/de", "2/de"]
    found = evaluate(component, ["x", "x", "x", "y", "", "x"])
    assert values(found)["win_rate/en"] == 100 and values(found)["win_rate/de"] == pytest.approx(200 / 3)
    assert component.judge.opened == ["cpu"]  # once for both
    assert [row["language"] for row in found.rows] == ["en"] * 3 + ["de"] * 3
    assert found.scores[0].signature != next(s for s in found.scores if s.name == "alpaca_eval/win_rate/de").signature
    assert "language-aware-1" in next(s for s in found.scores if s.name.endswith("win_rate/de")).signature


# ---------------------------------------------------------------- order


def test_the_order_is_the_one_that_alpaca_eval_draws() -> None:
    """alpaca_eval 0.6.6 switches the outputs of these instructions, with its default seed."""
    switched = [n for n in range(20) if model_is_first(f"question {n}", 0)]
    assert switched == [2, 3, 5, 6, 9, 10, 14, 17, 18, 19]
    assert switched != [n for n in range(20) if model_is_first(f"question {n}", 1)]


def test_a_judge_that_always_prefers_the_first_gives_a_draw_and_is_called_biased(tmp_path: Path) -> None:
    judge = scripted(always_first)
    found = evaluate(evaluator(tmp_path, judge, ["b"] * 40, both_orders=True), ["a"] * 40)
    assert values(found)["win_rate/en"] == 50 and values(found)["ties/en"] == 100
    assert values(found)["first_preferred/en"] == 100 and len(judge.asked) == 80
    assert len(found.notes) == 1 and "the judge is biased: it prefers the first answer in 100.0 %" in found.notes[0]
    assert "this cancels" in found.notes[0]
    one = evaluate(evaluator(tmp_path, scripted(always_first), ["b"] * 40), ["a"] * 40)
    assert values(one)["first_preferred/en"] == 100 and "Set both_orders" in one.notes[0]
    first = sum(model_is_first(f"question {n}", 0) for n in range(40))
    assert values(one)["win_rate/en"] == pytest.approx(100 * first / 40)


def test_orders_that_contradict_each_other_are_a_tie(tmp_path: Path) -> None:
    """Weighted verdicts of 0.9 and 0.3 for the model: their mean is kept, and nobody has won."""
    judge = scripted(lambda contest: 0.9 if contest.second == "a" else 0.7)
    found = evaluate(evaluator(tmp_path, judge, ["b"] * 3, both_orders=True), ["a"] * 3)
    assert values(found)["win_rate/en"] == pytest.approx(60)
    assert values(found)["discrete_win_rate/en"] == 50 and values(found)["ties/en"] == 100


@pytest.mark.parametrize("both", [False, True])
def test_a_fair_judge_is_not_called_biased(tmp_path: Path, both: bool) -> None:
    found = evaluate(evaluator(tmp_path, scripted(likes("x")), ["y"] * 60, both_orders=both), ["x"] * 60)
    assert values(found)["win_rate/en"] == 100 and found.notes == []
    assert 30 < (values(found)["first_preferred/en"] or 0) < 70


# ---------------------------------------------------------------- prompts of the judge


def test_the_sentence_on_language_and_the_flip_report(tmp_path: Path) -> None:
    """A judge that takes the sentence to heart: it turns on items 0 and 3 alone."""

    def rule(contest: Contest) -> float:
        aware = "measure multilinguality" in contest.messages[-1][1]
        model_second = contest.second.startswith("model")
        wins = not (aware and contest.instruction in ("question 0", "question 3"))
        return float(wins == model_second)

    judge = scripted(rule)
    component = evaluator(tmp_path, judge, ["base"] * 8, "de", judge_prompt="both")
    found = evaluate(component, [f"model {n}" for n in range(8)])
    assert values(found)["win_rate/de"] == 75 and values(found)["win_rate/de/original"] == 100
    assert values(found)["prompt_agreement/de"] == 75
    assert [row["id"] for row in found.rows if row["flip"]] == ["0/de", "3/de"]
    assert [(row["score"], row["other_score"]) for row in found.rows][:2] == [(0.0, 1.0), (1.0, 1.0)]
    orders = Counter((contest.id, contest.first) for contest in judge.asked)
    assert set(orders.values()) == {2}  # the same order with both wordings


@pytest.mark.parametrize(
    ("language", "option", "aware"),
    [("en", "paper", False), ("sw", "paper", True), ("sw", "original", False), ("en", "language-aware", True)],
)
def test_which_wording(tmp_path: Path, language: str, option: str, aware: bool) -> None:
    judge = scripted(likes("x"))
    found = evaluate(evaluator(tmp_path, judge, ["b"], language, judge_prompt=option), ["a"])
    assert ("measure multilinguality" in judge.asked[0].messages[-1][1]) is aware
    assert "flip" not in found.rows[0]


# ---------------------------------------------------------------- verdicts that do not come


def garbage(every: int, tries: int) -> object:
    """No verdict for one of ``every`` items, the first ``tries`` times."""
    seen: Counter[str] = Counter()

    def rule(contest: Contest) -> Verdict | float:
        seen[contest.id] += 1
        number = int(contest.id.split("/")[0])
        if number % every == 0 and seen[contest.id] <= tries:
            return Verdict(None, "unreadable")
        return likes("x")(contest)

    return rule


def test_garbage_is_judged_again(tmp_path: Path) -> None:
    judge = scripted(garbage(20, 2))
    found = evaluate(evaluator(tmp_path, judge, ["y"] * 100), ["x"] * 100)
    assert found.unfinished is None and found.scores[0].n == 100
    assert len(judge.asked) == 100 + 5 + 5


def test_garbage_that_stays_does_not_count_and_is_tried_again_by_the_next_run(tmp_path: Path) -> None:
    component = evaluator(tmp_path, scripted(garbage(20, 99)), ["y"] * 100, max_failures=0.05)
    found = evaluate(component, ["x"] * 100, tmp_path / "cache")
    assert (found.scores[0].value, found.scores[0].n) == (100, 95)
    assert found.unfinished == "alpaca_eval/en: 5 of 100 verdicts are missing: unreadable (5)"
    assert [row["problem"] for row in found.rows if row["score"] is None] == ["unreadable"] * 5
    judge = scripted(likes("x"))
    again = evaluate(component.model_copy(update={"judge": judge}), ["x"] * 100, tmp_path / "cache")
    assert again.unfinished is None and again.scores[0].n == 100
    assert sorted(contest.id for contest in judge.asked) == sorted(f"{n}/en" for n in range(0, 100, 20))


def test_garbage_of_a_judge_that_repeats_itself_is_final(tmp_path: Path) -> None:
    """Another run would get the same, so the evaluation is done; the loss is still said."""
    stored = [annotation(f"question {n}", "y", "x", 2) for n in range(99)]
    judge = Replay(file=write(tmp_path / "verdicts.jsonl", stored))
    found = evaluate(evaluator(tmp_path, judge, ["y"] * 100), ["x"] * 100)
    assert (found.scores[0].value, found.scores[0].n, found.unfinished) == (100, 99, None)
    assert found.rows[99]["problem"] == "not among the stored verdicts" and found.rows[99]["score"] is None
    assert found.notes == [
        "alpaca_eval/en: 1 of 100 verdicts are missing: not among the stored verdicts (1). The judge would say the "
        "same again; other options of it may help"
    ]


def test_too_much_garbage_ends_it_early_and_keeps_what_there_is(tmp_path: Path) -> None:
    component = evaluator(tmp_path, scripted(garbage(10, 99)), ["y"] * 200)
    with pytest.raises(JudgeError, match=r"no verdict on 5 of 48 contests so far: unreadable \(5\)\. At most 2 % of"):
        evaluate(component, ["x"] * 200, tmp_path / "cache")
    judge = scripted(likes("x"))
    evaluate(component.model_copy(update={"judge": judge}), ["x"] * 200, tmp_path / "cache")
    assert len(judge.asked) == 200 - (48 - 5)


class Number:
    """As numpy's are: no float, but with one inside."""

    def __float__(self) -> float:
        return 1.0


def test_a_preference_of_another_kind_of_number_is_kept(tmp_path: Path) -> None:
    component = evaluator(tmp_path, scripted(lambda contest: Verdict(Number())), ["b"])  # type: ignore[arg-type]
    (row,) = evaluate(component, ["a"], tmp_path / "cache").rows
    assert row["score"] in (0.0, 1.0) and type(row["score"]) is float


@pytest.mark.parametrize(
    ("verdicts", "message"),
    [
        ([Verdict(1.5)], 'judge "scripted" gave the preference 1.5'),
        ([Verdict("1")], "judge \"scripted\" gave the preference '1'"),  # type: ignore[arg-type]
        ([0.5], 'judge "scripted" gave a float as a verdict'),
        ([], 'judge "scripted" gave 0 verdicts on 1'),
    ],
)
def test_a_judge_that_breaks_the_contract(tmp_path: Path, verdicts: list[Verdict], message: str) -> None:
    class Broken(type(scripted(always_first))):  # type: ignore[misc]
        def open(self, device: str, cache: Path | None) -> object:
            from contextlib import nullcontext
            from types import SimpleNamespace

            return nullcontext(SimpleNamespace(judge=lambda contests: verdicts))

    with pytest.raises(PluginError, match=message):
        evaluate(evaluator(tmp_path, Broken(), ["b"]), ["a"])


# ---------------------------------------------------------------- cache


def test_the_same_evaluation_twice_asks_nobody(tmp_path: Path) -> None:
    judge = scripted(likes("x"))
    component = evaluator(tmp_path, judge, ["y"] * 20)
    first = evaluate(component, ["x"] * 20, tmp_path / "cache")
    assert evaluate(component, ["x"] * 20, tmp_path / "cache") == first
    assert len(judge.asked) == 20 and judge.opened == ["cpu"]
    evaluate(component, ["x"] * 19 + ["xx"], tmp_path / "cache")
    assert [contest.id for contest in judge.asked[20:]] == ["19/en"]


@pytest.mark.parametrize("change", [{"judge_prompt": "language-aware"}, {"judge": scripted(likes("x"), version=1)}])
def test_another_prompt_or_judge_is_judged_anew(tmp_path: Path, change: dict[str, object]) -> None:
    evaluate(evaluator(tmp_path, scripted(likes("x")), ["y"] * 5), ["x"] * 5, tmp_path / "cache")
    judge = change.get("judge", scripted(likes("x")))
    found = evaluate(
        evaluator(tmp_path, **{"judge": judge, "baseline": ["y"] * 5, **change}), ["x"] * 5, tmp_path / "cache"
    )
    assert len(judge.asked) == 5 and values(found)["win_rate/en"] == 100


def test_signatures_say_which_judge(tmp_path: Path) -> None:
    """Of one name with other options: scores by the two are not comparable."""

    def judged(judge: Judge) -> Evaluation:
        return evaluate(evaluator(tmp_path, judge, ["y"] * 3), ["x"] * 3)

    check_comparable(judged(scripted(likes("x"))), judged(scripted(likes("y"))))
    with pytest.raises(DataError, match=r"Different: judge \(scripted-[0-9a-f]{8}, scripted-[0-9a-f]{8}\)\. Evaluate"):
        check_comparable(judged(scripted(likes("x"))), judged(scripted(likes("x"), version=1)))
    stored = [annotation(f"question {n}", "y", "x", 2) for n in range(3)]
    one, other = (Replay(file=write(tmp_path / name, stored)) for name in ("a.jsonl", "b.jsonl"))
    check_comparable(judged(one), judged(other))
    write(tmp_path / "b.jsonl", [*stored, annotation("question 9", "y", "x", 1)])
    with pytest.raises(DataError, match=r"Different: judge \(replay-"):
        check_comparable(judged(one), judged(other))


def test_verdicts_are_kept_under_what_the_judge_is_on_the_device(tmp_path: Path) -> None:
    class Precise(type(scripted(always_first))):  # type: ignore[misc]
        dtype: str = "auto"

        def on(self, device: str) -> Any:
            found = self.model_copy(update={"dtype": "float32" if device == "cpu" else "bfloat16"})
            found._rule = lambda contest: Verdict(0.5)
            return found

    component = evaluator(tmp_path, Precise(), ["y"] * 3)
    generations = [Generation(prompt, "x", 1, True) for prompt in component.prompts(())]
    evidence = Evidence((), generations, {}, cache=tmp_path / "cache")
    on_cpu = component.evaluate(evidence)
    assert on_cpu == component.evaluate(evidence)
    on_cuda = component.evaluate(replace(evidence, device="cuda"))
    assert on_cuda.scores[0].signature != on_cpu.scores[0].signature
    with sqlite3.connect(tmp_path / "cache" / "verdicts.sqlite") as kept:
        assert kept.execute("SELECT count(*) FROM verdicts").fetchone() == (6,)


def test_progress_is_told(tmp_path: Path) -> None:
    component, told = evaluator(tmp_path, scripted(likes("x")), ["y"] * 40), []
    generations = [Generation(prompt, "x", 1, True) for prompt in component.prompts(())]
    component.evaluate(Evidence((), generations, {}, progress=lambda done, total: told.append((done, total))))
    assert told == [(16, 40), (32, 40), (40, 40)]


# ---------------------------------------------------------------- as published


@pytest.mark.parametrize(
    ("annotator", "win_rate", "error", "counts"),
    [
        ("weighted_alpaca_eval_gpt4_turbo", 2.591450540223603, 0.4870855382635108, [17, 785, 3]),
        ("alpaca_eval_gpt4", 26.459627329192543, 1.535711469748, [205, 584, 16]),
    ],
)
def test_alpaca_7b_comes_out_as_published(
    tmp_path: Path, annotator: str, win_rate: float, error: float, counts: list[int]
) -> None:
    if not PUBLISHED.is_dir():
        pytest.skip("no AlpacaEval annotations beside the repository (../shared/data/alpaca-eval)")
    stored = PUBLISHED / "alpaca-7b" / f"{annotator}.annotations.json"
    annotations = json.loads(stored.read_text(encoding="utf-8"))
    outputs = [{"instruction": row["instruction"], "output": row["output_1"]} for row in annotations]
    (tmp_path / "baseline.json").write_text(json.dumps(outputs))
    component = AlpacaEval(
        prompts=str(PUBLISHED / "alpaca-7b" / "model_outputs.json"),
        baseline=str(tmp_path / "baseline.json"),
        judge=Replay(file=str(stored)),
        length_control=False,
    )
    found = evaluate(component, [row["output_2"] for row in annotations])
    scores = {score.name.split("/")[1]: score for score in found.scores}
    assert scores["win_rate"].value == pytest.approx(win_rate, abs=1e-6)
    assert scores["win_rate"].standard_error == pytest.approx(error, abs=1e-6)
    assert [round(scores[name].value * 8.05, 6) for name in ("wins", "losses", "ties")] == counts
    assert found.scores[0].n == 805 and found.unfinished is None and found.notes == []
