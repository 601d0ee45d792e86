"""MMMLU: prompts word by word, attempts, scores by hand, tables, priming, diagnosis."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest

from langxfer.builtin.evaluators.mmmlu import Mmmlu
from langxfer.builtin.evaluators.mmmlu.categories import MAPS, load_categories
from langxfer.components import Evaluation, Evidence, Generation, OptionScores, Prompt
from langxfer.data import ParallelExample, Turn
from langxfer.errors import DataError
from langxfer.testing import check_evaluator
from tests.mmmlu_files import KEY, SUBJECTS, mmmlu, row, write_csv, write_languages

DATA = Path(__file__).parents[2].parent / "shared/data/mmlu"
real = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data/mmlu")
# Of task openai_mmmlu in lm-evaluation-harness 0.4.13 (doc_to_text; doc_to_choice is A to D, after a space).
LM_EVAL = "{{Question.strip()}}\nA. {{A}}\nB. {{B}}\nC. {{C}}\nD. {{D}}\nAnswer:"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return write_languages(tmp_path)


def run(
    evaluator: Mmmlu, answer: Callable[[Prompt], str], finished: bool = True
) -> tuple[Evaluation, list[Generation]]:
    """As the engine does: ask, ask again until nothing is asked, evaluate."""
    made: list[Generation] = []
    asked = evaluator.prompts([])
    while asked:
        made += [Generation(prompt, answer(prompt), 5, finished) for prompt in asked]
        asked = evaluator.ask_again(made)
    return evaluator.evaluate(Evidence([], made, {})), made


def values(evaluation: Evaluation) -> dict[str, float | None]:
    return {score.name: score.value for score in evaluation.scores}


def number_of(prompt: Prompt) -> int:
    return int(prompt.id.split("/")[1])


def test_the_paper_s_prompt_word_by_word(folder: str) -> None:
    swahili = mmmlu(folder, "sw").prompts([])
    assert swahili[0] == Prompt(
        "anatomy/0/sw",
        "Jibu swali lifuatalo la chaguo nyingi. Hakikisha mstari wa mwisho wa jibu lako uko katika muundo: "
        "'Answer: $LETTER' au 'Jibu: $LETTER' (bila nukuu) ambapo LETTER ni moja ya ABCD. Kwa mfano, 'Answer: A' au "
        "'Jibu: A'.\n\nsw 0, or? \n\nA) sw 0 a\nB) sw 0 b\nC) sw 0 c\nD) sw 0 d",
        "sw",
    )
    assert [prompt.id for prompt in swahili] == [f"{s}/{i}/sw" for s in SUBJECTS for i in range(4)]
    english = mmmlu(folder, "en").prompts([])
    assert english[0].text.startswith("Answer the following multiple choice question. Ensure the last line of your ")
    assert english[5].text.endswith("\n\nen 5, or? \n\nA) en 5 a\nB) en 5 b\nC) en 5 c\nD) en 5 d")
    assert mmmlu(folder, "ko").prompts([])[0].text.startswith("다음 선택형 질문에 답하십시오. 당신의 응답")
    assert mmmlu(folder, "fr", prompt="english").prompts([])[0].text.startswith("Answer the following multiple")


def test_likelihood_asks_as_lm_eval_does(folder: str) -> None:
    asked = mmmlu(folder, "fr", mode="likelihood", prompt="english").questions([])
    assert [question.context for question in asked] == [
        jinja2.Template(LM_EVAL).render(**row(i, "fr")) for i in range(8)
    ]
    assert {question.options for question in asked} == {(" A", " B", " C", " D")}
    assert mmmlu(folder, "sw", mode="likelihood").questions([])[0].context.endswith("D. sw 0 d\nJibu:")
    assert not mmmlu(folder, "sw", mode="likelihood").prompts([])
    assert not mmmlu(folder, "sw").questions([])


def test_likelihood_scores(folder: str) -> None:
    evaluator = mmmlu(folder, "sw", mode="likelihood")
    scored = [
        OptionScores(q, (-1.0, -2.0, -3.0, -3.0), (1, 1, 1, 1), 9 * (i == 0))
        for i, q in enumerate(evaluator.questions([]))
    ]
    found = evaluator.evaluate(Evidence([], [], {}, scored))
    assert values(found)["mmmlu/sw"] == 25.0
    assert values(found)["mmmlu/sw/letter/A"] == values(found)["mmmlu/sw/recall/A"] == 100.0
    assert "mmmlu/sw/first" not in values(found)
    assert found.rows[0]["log_probs"] == [-1.0, -2.0, -3.0, -3.0] and found.rows[0]["cut"] == 9
    assert found.notes == ["mmmlu/sw: 1 of 8 contexts lost their beginning to the model's window."]


def test_only_failures_are_asked_again_and_only_so_often(folder: str) -> None:
    """Question i is answered with its letter at attempt i, so the fourth attempt (3) is the last chance."""
    evaluator = mmmlu(folder, "sw")
    found, made = run(evaluator, lambda p: f"Jibu: {KEY[number_of(p)]}" if p.attempt == number_of(p) else "hm")
    assert sorted({(number_of(g.prompt), g.prompt.attempt) for g in made}) == [
        (i, a) for i in range(4) for a in range(i + 1)
    ]
    assert values(found)["mmmlu/sw"] == values(found)["mmmlu/sw/extracted"] == 100.0
    assert values(found)["mmmlu/sw/first"] == values(found)["mmmlu/sw/extracted_first"] == 25.0
    assert [r["attempts"] for r in found.rows] == [1, 2, 3, 4] * 2
    assert [r["correct_first"] for r in found.rows] == [1, 0, 0, 0] * 2
    found, made = run(mmmlu(folder, "sw", max_regenerations=1), lambda p: f"Jibu: {'A' if p.attempt else ''}")
    assert len(made) == 16
    found, made = run(evaluator, lambda p: "hm", finished=False)
    assert len(made) == 8 * 4
    assert values(found)["mmmlu/sw"] == 0.0 and values(found)["mmmlu/sw/unfinished"] == 100.0
    assert {r["predicted"] for r in found.rows} == {None} and {r["attempts"] for r in found.rows} == {4}


def test_a_wrong_letter_is_not_asked_again(folder: str) -> None:
    found, made = run(mmmlu(folder, "sw", "en"), lambda p: "Answer: B")
    assert len(made) == 16
    assert values(found)["mmmlu/sw"] == values(found)["mmmlu/en"] == 25.0


def test_an_instruction_that_is_repeated_is_no_answer(folder: str) -> None:
    evaluator = mmmlu(folder, "sw")
    prompt = evaluator.prompts([])[0]
    assert evaluator.letter(Generation(prompt, prompt.text, 5, True)) is None
    assert evaluator.letter(Generation(prompt, f"{prompt.text}\nJibu: C", 5, True)) == "C"
    strict = mmmlu(folder, "sw", extraction="strict")
    assert strict.letter(Generation(prompt, "Jibu ni C", 5, True)) is None
    assert strict.letter(Generation(prompt, "Answer: C", 5, True)) == "C"


def test_scores_by_hand(folder: str) -> None:
    """In anatomy all right; in formal_logic always A, so 1 in 4."""
    found, _ = run(
        mmmlu(folder, "sw", subjects=True), lambda p: f"Jibu: {KEY[number_of(p)] if 'anatomy' in p.id else 'A'}"
    )
    scores = {score.name.removeprefix("mmmlu/sw"): score for score in found.scores}
    assert scores[""].value == 62.5 and scores[""].n == 8
    assert scores[""].standard_error == pytest.approx(100 * math.sqrt(5 / 8 * 3 / 8 / 7))
    assert scores[""].interval is not None and scores[""].interval[0] < 62.5 < scores[""].interval[1]
    assert scores["/letter/A"].value == 62.5 and scores["/letter/D"].value == 12.5
    assert scores["/recall/A"].value == 100.0 and scores["/recall/B"].value == 50.0 and scores["/recall/B"].n == 2
    assert scores["/subject/anatomy"].value == scores["/category/medicine"].value == 100.0
    assert scores["/subject/formal_logic"].value == scores["/category/logic"].value == 25.0
    assert scores["/category/logic"].n == 4
    assert scores["/category/logic"].standard_error == pytest.approx(100 * math.sqrt(0.25 * 0.75 / 3))
    assert scores["/category_macro"].value == scores["/subject_macro"].value == 62.5
    assert scores["/category_macro"].standard_error == pytest.approx(scores["/category/logic"].standard_error / 2)
    assert scores["/category_macro"].n == 2
    assert scores[""].signature.startswith(
        "mode:generate|prompt:native-paper|extraction:lenient-2|regenerations:3|temp:0.6"
    )
    assert scores["/category/logic"].signature == f"{scores[''].signature}|categories:clo24"
    assert sum(r["score"] for r in found.rows) / 8 == 62.5
    assert found.rows[7] == {
        "id": "formal_logic/3/sw",
        "item": "formal_logic/3",
        "language": "sw",
        "subject": "formal_logic",
        "category": "logic",
        "predicted": "A",
        "gold": "D",
        "correct": 0,
        "score": 0.0,
        "correct_first": 0,
        "attempts": 1,
        "answer": "Jibu: A",
        "finished": True,
    }


@pytest.mark.parametrize(("name", "groups"), [("mmlu4", 4), ("mmlu17", 17), ("clo24", 24)])
def test_maps_have_every_subject_once(name: str, groups: int) -> None:
    assert name in MAPS
    found = load_categories(name)
    assert len(found) == 57 and len(set(found.values())) == groups
    # In lm-evaluation-harness' grouping too, whatever the map calls it, these four are apart.
    assert len({found[s] for s in ("college_physics", "professional_law", "sociology", "professional_medicine")}) == 4


def test_a_map_of_one_s_own(folder: str, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("mine: [anatomy]\nothers: [formal_logic, unused]\n")
    evaluator = mmmlu(folder, "sw", categories="own.yaml").resolve(tmp_path)
    found, _ = run(evaluator, lambda p: "Jibu: A")
    assert {"mmmlu/sw/category/mine", "mmmlu/sw/category/others"} <= values(found).keys()
    before = evaluator.identity()
    (tmp_path / "own.yaml").write_text("mine: [anatomy]\nother: [formal_logic]\n")
    assert evaluator.identity() != before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mine: [anatomy]\n", "has no category for formal_logic"),
        ("mine: [anatomy]\nyours: [anatomy]\n", "anatomy is in mine and in yours"),
        ("mine: anatomy\n", "mine holds 'anatomy', expected a list"),
        ("- anatomy\n", "expected CATEGORY"),
        ("", "expected CATEGORY"),
        ("a: [", "is not YAML"),
        (None, "cannot be read"),
    ],
)
def test_maps_that_cannot_be_used(folder: str, tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "own.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=message):
        mmmlu(folder, "sw", categories=str(path)).prompts([])


def test_primed_questions_are_out_in_all_languages(folder: str) -> None:
    evaluator = mmmlu(folder, "sw", "en", format_priming={"ids": ["anatomy/2", "formal_logic/0"]})
    found, made = run(evaluator, lambda p: "Answer: A")
    assert {score.n for score in found.scores if score.name in ("mmmlu/sw", "mmmlu/en")} == {6}
    assert not [g for g in made if g.prompt.id.startswith(("anatomy/2/", "formal_logic/0/"))]
    assert found.notes[0] == "mmmlu: left out in all languages, as trained on: anatomy/2, formal_logic/0."
    assert "|primed:2-" in found.scores[0].signature
    pairs = evaluator.priming_pairs()
    assert [(prompt.id, answer) for prompt, answer in pairs] == [
        ("anatomy/2/sw", "Jibu: C"),
        ("formal_logic/0/sw", "Jibu: A"),
        ("anatomy/2/en", "Answer: C"),
        ("formal_logic/0/en", "Answer: A"),
    ]
    assert not mmmlu(folder, "sw").priming_pairs()


def test_drawn_questions_depend_on_language_and_seed_alone(folder: str) -> None:
    def drawn(*tags: str, seed: int = 0, **options: Any) -> dict[str, set[str]]:
        pairs = mmmlu(folder, *tags, format_priming={"n": 2, "seed": seed}, **options).priming_pairs()
        found: dict[str, set[str]] = {}
        for prompt, _ in pairs:
            found.setdefault(prompt.language, set()).add(prompt.id.rsplit("/", 1)[0])
        return found

    both = drawn("sw", "en")
    assert {len(ids) for ids in both.values()} == {2}
    assert drawn("en")["en"] == both["en"] == drawn("en", limit=1)["en"]
    assert any(drawn("en", seed=seed) != drawn("en") for seed in range(1, 5))
    asked = mmmlu(folder, "sw", "en", format_priming={"n": 2}).prompts([])
    left = {prompt.id.rsplit("/", 1)[0] for prompt in asked}
    assert left == {f"{s}/{i}" for s in SUBJECTS for i in range(4)} - both["sw"] - both["en"]


def test_priming_needs_parallel_questions(folder: str) -> None:
    with pytest.raises(DataError, match=r"anatomy/9 is not one question .*\(sw: no such question\)"):
        mmmlu(folder, "sw", format_priming={"ids": ["anatomy/9"]}).prompts([])
    rows = [row(i, "sw") for i in range(8)]
    write_csv(Path(folder) / "SW_KE.csv", [{**rows[0], "Answer": "B"}, *rows[1:]])
    with pytest.raises(DataError, match=r"anatomy/0 is not one question .*\(sw: B, en: A\)"):
        mmmlu(folder, "sw", "en", format_priming={"ids": ["anatomy/0"]}).prompts([])
    with pytest.raises(DataError, match="leaves no question in sw"):
        mmmlu(folder, "sw", format_priming={"n": 8}).prompts([])


@pytest.mark.parametrize("mode", ["generate", "likelihood"])
def test_a_language_whose_examples_were_lost_is_still_evaluated(folder: str, mode: str) -> None:
    """What is drawn for priming depends on which languages there are, so answers would be missing."""
    examples = {tag: ParallelExample(tag, Turn("a", "b", "en"), Turn("c", "d", tag)) for tag in ("sw", "ko")}
    evaluator = Mmmlu(source=folder, english_source=folder, mode=mode, format_priming={"n": 1})
    made = [Generation(prompt, "Answer: A", 5, True) for prompt in evaluator.prompts(list(examples.values()))]
    scored = [OptionScores(q, (0.0, -1.0, -1.0, -1.0), (1,) * 4) for q in evaluator.questions(list(examples.values()))]
    full = evaluator.evaluate(Evidence(list(examples.values()), made, {}, scored))
    assert list(dict.fromkeys(row["language"] for row in full.rows)) == ["en", "sw", "ko"]
    for left in ([], [examples["ko"]]):
        assert evaluator.evaluate(Evidence(left, made, {}, scored)) == full


def many(tmp_path: Path, key: str) -> str:
    """A file of 2,000 questions whose right answers repeat ``key``."""
    rows = [{**row(0, "sw"), "Answer": key[i % len(key)]} for i in range(2000)]
    write_csv(tmp_path / "sw.csv", rows)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("key", "answer", "cause"),
    [
        # Half of the answers cannot be read; the others are right one time in four.
        ("ABCD", lambda i: f"Jibu: {KEY[i // 4 % 4]}" if i // 16 % 2 else "hm", "extraction"),
        ("ABCD", lambda i: "hm", "extraction"),
        # Always A, where the key has A one time in ten.
        ("ABBBCCCDDD", lambda i: "Jibu: A", "letter_bias"),
        # All letters equally often, and never the right one.
        ("ABCD", lambda i: f"Jibu: {KEY[(i + 1) % 4]}", "unexplained"),
        ("ABCD", lambda i: "Jibu: A", None),
        ("ABCD", lambda i: f"Jibu: {KEY[i % 4]}", None),
    ],
)
def test_an_accuracy_below_chance_is_explained(
    tmp_path: Path, key: str, answer: Callable[[int], str], cause: str | None
) -> None:
    found, _ = run(mmmlu(many(tmp_path, key), "sw", max_regenerations=0), lambda p: answer(number_of(p)))
    alarms = [score for score in found.scores if "below_chance" in score.name]
    assert [score.name for score in alarms] == ([f"mmmlu/sw/below_chance/{cause}"] if cause else [])
    assert len(found.notes) == len(alarms)
    if alarms:
        accuracy = values(found)["mmmlu/sw"]
        assert accuracy is not None and alarms[0].value == 25 - accuracy
        assert f"mmmlu/sw: {accuracy:.1f} % is below chance, 25 %" in found.notes[0]
    if cause == "letter_bias":
        assert "A is 100.0 % of the letters, while the key has A 10.0 %, B 30.0 %" in found.notes[0]
        assert "would give 10.0 %. Saying that letter too often explains that." in found.notes[0]


@pytest.mark.parametrize("options", [{}, {"mode": "likelihood"}, {"subjects": True, "format_priming": {"n": 1}}])
def test_the_contract_holds(folder: str, options: dict[str, Any]) -> None:
    check_evaluator(mmmlu(folder, "sw", "en", limit=2, **options))


def test_greedy_and_sampled(folder: str) -> None:
    greedy = mmmlu(folder, "sw", temperature=0, top_p=1, max_regenerations=0, max_new_tokens=9)
    assert (greedy.sampling().temperature, greedy.sampling().max_new_tokens) == (0, 9)
    found, made = run(greedy, lambda p: "hm")
    assert len(made) == 8
    assert "|temp:0|max_new_tokens:9|" in found.scores[0].signature
    sampled = mmmlu(folder, "sw", seed=4).sampling()
    assert (sampled.temperature, sampled.top_p, sampled.seed) == (0.6, 0.9, 4)


@real
def test_the_real_questions() -> None:
    evaluator = Mmmlu(english_source=str(DATA), languages=("en",), format_priming={"n": 10})
    asked = evaluator.prompts([])
    assert len(asked) == 14_042 - 10
    assert len(Mmmlu(english_source=str(DATA), languages=("en",), limit=1).prompts([])) == 57
