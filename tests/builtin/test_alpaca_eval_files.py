"""Prompts, baselines and options of ``alpaca_eval``: what is read, and what is refused with which words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from langxfer.builtin.evaluators.alpaca_eval import AlpacaEval
from langxfer.builtin.evaluators.alpaca_eval.instructions import ANSWER_LANGUAGE
from langxfer.builtin.judges.replay import Replay
from langxfer.components import Evidence, Generation, Prompt, Sampling
from langxfer.errors import ArtifactError, DataError
from langxfer.testing import check_evaluator
from tests.builtin.judging import evaluate, evaluator, likes, scripted, values, write

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def component(folder: Path, prompts: Sequence[Mapping[str, Any]] | str, **options: Any) -> AlpacaEval:
    path = folder / "prompts.jsonl"
    text = prompts if isinstance(prompts, str) else "".join(json.dumps(row) + "\n" for row in prompts)
    path.write_text(text, encoding="utf-8")
    given = {"baseline": "none.jsonl", "judge": scripted(likes("x")), **options}
    return AlpacaEval(prompts=str(path), **given)


def test_prompts_of_both_formats(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Add.", "input": "1 2", "output": "3", "generator": "x", "dataset": "y"},
        {"instruction": "Warum?", "language": "de", "id": "w"},
        {"id": 7, "en": {"instruction": "Why?", "input": ""}, "sw": "Kwa nini?\n"},
    ]
    expected = [
        Prompt("0/en", "Add.\n\n1 2", "en"),
        Prompt("7/en", "Why?", "en"),
        Prompt("w/de", "Warum?", "de"),
        Prompt("7/sw", "Kwa nini?\n", "sw"),
    ]
    assert component(tmp_path, rows).prompts(()) == expected
    assert component(tmp_path, json.dumps(rows)).prompts(()) == expected
    assert component(tmp_path, rows, languages=("sw", "en"), limit=1).prompts(()) == [expected[3], expected[0]]


def test_sampling_is_the_paper_s() -> None:
    judge = scripted(likes("x"))
    assert AlpacaEval(prompts="p", baseline="b", judge=judge).sampling() == Sampling(2048, 0.6, 0.9, 0)
    greedy = AlpacaEval(prompts="p", baseline="b", judge=judge, temperature=0.0, top_p=1.0, max_new_tokens=9)
    assert greedy.sampling() == Sampling(9, 0.0, 1.0, 0)


def test_the_instruction_to_answer_in_the_language_and_its_place(tmp_path: Path) -> None:
    rows = [{"id": "a", **{tag: f"question in {tag}" for tag in ANSWER_LANGUAGE}}]
    assert set(ANSWER_LANGUAGE) == {"en", "de", "id", "ko", "sw", "yo", "zh"}
    for prompt in component(tmp_path, rows, answer_language_instruction="system").prompts(()):
        assert (prompt.system, prompt.text) == (ANSWER_LANGUAGE[prompt.language], f"question in {prompt.language}")
    for prompt in component(tmp_path, rows, answer_language_instruction="user").prompts(()):
        assert prompt.system is None
        assert prompt.text == f"question in {prompt.language}\n\n{ANSWER_LANGUAGE[prompt.language]}"
    with pytest.raises(DataError, match="there is none in fr"):
        component(tmp_path, [{"id": 1, "fr": "Quoi?"}], answer_language_instruction="user").prompts(())


def test_the_judge_sees_the_question_without_that_instruction(tmp_path: Path) -> None:
    judge = scripted(likes("x"))
    evaluate(evaluator(tmp_path, judge, ["b"], "de", answer_language_instruction="user"), ["a"])
    assert judge.asked[0].instruction == "question 0"
    assert ANSWER_LANGUAGE["de"] not in judge.asked[0].messages[-1][1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": 1, "en": "x"}\n{', r":2 is not JSON"),
        ("[1]", r"prompts\.jsonl:1 is \[1\], expected an object"),
        ("[{]", "is not JSON"),
        ('{"en": "x"}', r":1: expected \{"),
        ('{"id": 1, "english": "x"}', r':1: "english" is not a known language tag'),
        ('{"id": 1, "en": 3}', ":1: instruction is 3, expected a text"),
        ('{"id": 1, "en": " "}', ":1: the prompt in en is empty"),
        ('{"instruction": "x", "language": 3}', ":1: language is 3"),
        ('{"id": 1, "en": "x"}\n{"id": "1", "en": "y"}', r':2: id "1" occurs twice in en'),
        ("", "there are no prompts"),
    ],
)
def test_a_wrong_file_of_prompts(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        component(tmp_path, text).prompts(())


def test_languages_and_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no prompt in ko\. Languages there: en"):
        component(tmp_path, [{"id": 1, "en": "x"}], languages=("ko",)).prompts(())
    with pytest.raises(DataError, match=r"prompts .*cannot be read \(No such file"):
        AlpacaEval(prompts=str(tmp_path / "none"), baseline="b", judge=scripted(likes("x"))).prompts(())
    (tmp_path / "latin").write_bytes('{"id": 1,\n "de": "für"}'.encode("latin-1"))
    with pytest.raises(DataError, match=r"latin:2 is not UTF-8"):
        AlpacaEval(prompts=str(tmp_path / "latin"), baseline="b", judge=scripted(likes("x"))).prompts(())


# ---------------------------------------------------------------- baselines


def test_a_run_is_a_baseline(tmp_path: Path) -> None:
    """Found by id; the same prompt may have had an instruction after it."""
    run = tmp_path / "run" / "generations"
    run.mkdir(parents=True)
    rows = [
        {"id": f"{n}/de", "language": "de", "prompt": f"question {n}{more}", "answer": f"x {n}", "tokens": 3}
        for n, more in enumerate(("", "\n\nBitte antworte auf Deutsch."))
    ]
    write(run / "alpaca_eval.after.generations.jsonl", rows)
    own = evaluator(tmp_path, scripted(likes("x")), ["?"] * 2, "de", limit=2)
    for place in (tmp_path / "run", run / "alpaca_eval.after.generations.jsonl"):
        found = evaluate(own.model_copy(update={"baseline": str(place)}), ["x", "y"])
        assert [row["baseline"] for row in found.rows] == ["x 0", "x 1"]
        assert values(found)["win_rate/de"] == 25
    rows[1]["prompt"] = "another question"
    write(run / "alpaca_eval.after.generations.jsonl", rows)
    with pytest.raises(DataError, match=r"has no answer to 1 of 2 prompts \(1/de\)\. Answer the same prompts"):
        own.model_copy(update={"baseline": str(tmp_path / "run")}).what()


def test_missing_answers_are_counted_before_anything_is_generated(tmp_path: Path) -> None:
    own = evaluator(tmp_path, scripted(likes("x")), ["a"] * 9)
    write(tmp_path / "baseline.jsonl", [{"instruction": "question 8", "output": "a"}])
    message = r"baseline .* has no answer to 8 of 9 prompts \(0/en, 1/en, 2/en, …\)"
    with pytest.raises(DataError, match=message):
        own.what()
    with pytest.raises(DataError, match=message):
        evaluate(own, ["b"] * 9)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"baseline .*generations\.jsonl cannot be read"):
        own.model_copy(update={"baseline": str(tmp_path / "empty")}).what()
    write(tmp_path / "baseline.jsonl", [{"instruction": "question 8", "text": "a"}])
    with pytest.raises(DataError, match=r"jsonl:1: output is None, expected a text\. Fields there: instruction, text"):
        own.what()


# ---------------------------------------------------------------- options, keys


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"languages": ("german",)}, "is not a known language tag"),
        ({"languages": ("de", "de")}, "listed twice"),
        ({"temperature": 0.0}, "top_p has no effect at temperature 0"),
        ({"revision": "main"}, "can move"),
        ({"revision": COMMIT}, "revision has no effect without a hub:FILE"),
        ({"difficulties": "d.csv", "length_control": False}, "difficulties have no effect"),
        ({"both_orders": True, "order_seed": 1}, "order_seed has no effect"),
        ({"judge_prompt": "mine"}, "judge_prompt"),
        ({"max_failures": 1.0}, "max_failures"),
        ({"attempts": 0}, "attempts"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AlpacaEval(prompts="p", baseline="b", judge=scripted(likes("x")), **options)


def test_the_contract_and_the_key(tmp_path: Path) -> None:
    own = evaluator(tmp_path, scripted(likes("x")), ["a"] * 3)
    check_evaluator(own)
    before = own.what()
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("prompts.jsonl", "baseline.jsonl"):
        (moved / name).write_bytes((tmp_path / name).read_bytes())
    relative = AlpacaEval(
        prompts="prompts.jsonl", baseline="baseline.jsonl", judge=scripted(likes("x")), length_control=False
    )
    assert relative.resolve(moved).what() == before
    write(tmp_path / "baseline.jsonl", [{"instruction": f"question {n}", "output": "b"} for n in range(3)])
    assert own.what() != before
    assert before["judge"]["name"] == "scripted" and before["scikit-learn"] is None


def test_the_judge_s_file_is_taken_from_the_recipe_s_folder(tmp_path: Path) -> None:
    write(tmp_path / "v.jsonl", [{"instruction": "question 0", "output_1": "b", "output_2": "a", "preference": 2}])
    own = evaluator(tmp_path, Replay(file="v.jsonl"), ["b"]).resolve(tmp_path)
    assert values(evaluate(own, ["a"]))["win_rate/en"] == 100


def test_files_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They need a commit; what was downloaded is read like any other."""
    import huggingface_hub

    own = AlpacaEval(prompts="hub:alpaca_eval.json", baseline="hub:b.json", judge=scripted(likes("x")))
    with pytest.raises(
        DataError, match=r"prompts hub:alpaca_eval\.json: what is on the hub can change\. Give the commit"
    ):
        own.prompts(())
    own = own.model_copy(update={"revision": COMMIT})
    with pytest.raises(ArtifactError, match=r"tatsu-lab/alpaca_eval at 01234567 gives no file alpaca_eval\.json"):
        own.prompts(())  # the tests are offline
    asked = []

    def download(repository: str, name: str, **options: str) -> str:
        asked.append((repository, name, options["repo_type"], options["revision"]))
        return write(tmp_path / "x.jsonl", [{"instruction": "Why?"}])

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert own.prompts(()) == [Prompt("0/en", "Why?", "en")]
    assert asked == [("tatsu-lab/alpaca_eval", "alpaca_eval.json", "dataset", COMMIT)]
    assert own.resolve(tmp_path).prompts_file == "hub:alpaca_eval.json"


# ---------------------------------------------------------------- length control


def test_length_control_and_its_difficulties(tmp_path: Path) -> None:
    header = "model,preference,index,std_delta_len,instruction_difficulty,not_gamed_baseline\n"
    (tmp_path / "d.csv").write_text(header + "".join(f"x,0.5,{n},{n - 6},{n % 5 - 2},False\n" for n in range(12)))
    judge = scripted(likes("x"))
    answers = ["x" * (n % 4) + "y" * n for n in range(12)]
    own = evaluator(tmp_path, judge, ["y"] * 12, length_control=True)
    minimal = evaluate(own, answers)
    signature = {s.name: s.signature for s in minimal.scores}["alpaca_eval/length_controlled_win_rate/en"]
    assert "|length_model:minimal|sklearn:" in signature and own.what()["scikit-learn"]
    harder = own.model_copy(update={"difficulties": str(tmp_path / "d.csv")})
    published = evaluate(harder, answers)
    assert values(published)["length_controlled_win_rate/en"] != values(minimal)["length_controlled_win_rate/en"]
    assert values(published)["win_rate/en"] == values(minimal)["win_rate/en"]
    assert harder.what() != own.what()
    few = evaluate(own.model_copy(update={"limit": 5}), answers[:5])
    assert values(few)["length_controlled_win_rate/en"] is None and "5 items are too few" in few.notes[0]


def test_difficulties_must_be_of_the_prompts(tmp_path: Path) -> None:
    header = "model,preference,index,std_delta_len,instruction_difficulty,not_gamed_baseline\n"
    (tmp_path / "d.csv").write_text(header + "x,0.5,0,1,1,False\n")
    options = {"length_control": True, "difficulties": str(tmp_path / "d.csv")}
    with pytest.raises(DataError, match=r"no difficulty for 2 of 3 English prompts \(1/en, 2/en …\)"):
        evaluator(tmp_path, scripted(likes("x")), ["y"] * 3, **options).what()
    with pytest.raises(DataError, match="difficulties are of the English prompts, and none is asked"):
        evaluator(tmp_path, scripted(likes("x")), ["y"] * 3, "de", **options).what()


def test_a_large_effect_of_length_is_said(tmp_path: Path) -> None:
    """Every longer answer wins, and the model's are longer as a rule."""
    judge = scripted(lambda contest: float(len(contest.second) > len(contest.first)))
    answers = ["y" * (60 if n % 5 else 20) for n in range(100)]
    found = evaluate(evaluator(tmp_path, judge, ["y" * 40] * 100, length_control=True), answers)
    assert values(found)["win_rate/en"] == 80 and any("control for length moved" in note for note in found.notes)


def test_without_a_baseline_the_answers_are_kept_to_be_one(tmp_path: Path) -> None:
    rows = [{"id": "a", "en": "Why?", "de": "Warum?"}]
    alone = component(tmp_path, rows, baseline=None, judge=None)
    answers = [Generation(prompt, "" if prompt.language == "de" else "So.", 1, True) for prompt in alone.prompts(())]
    found = alone.evaluate(Evidence((), answers, {}))
    assert values(found) == {"empty/en": 0, "empty/de": 100} and "nothing was judged" in found.notes[0]
    assert [row["answer"] for row in found.rows] == ["So.", ""]
    stored = [{"id": a.prompt.id, "prompt": a.prompt.text, "answer": a.text} for a in answers]
    (tmp_path / "evaluated").mkdir()
    write(tmp_path / "evaluated" / "alpaca_eval.generations.jsonl", stored)
    against = component(tmp_path, rows, baseline=str(tmp_path / "evaluated"))
    other = [Generation(prompt, "x", 1, True) for prompt in against.prompts(())]
    assert values(against.evaluate(Evidence((), other, {})))["win_rate/de"] == 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baseline": None}, "there is a judge and no baseline"),
        ({"judge": None}, "there is a baseline and no judge"),
        ({"baseline": None, "judge": None, "both_orders": True, "attempts": 2}, "both_orders, attempts: no effect"),
    ],
)
def test_a_judge_and_a_baseline_belong_together(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        component(tmp_path, "", **options)
