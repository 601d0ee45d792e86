"""The judge against a server on a real socket."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from openai_stub import KEY, Answer, failure
from pydantic import ValidationError

from langxfer import Contest, LangxferError, RecipeError, Verdict
from langxfer.loading import load_recipe
from langxfer.plugins import load
from langxfer.testing import check_judge

PLUGIN = Path(__file__).parents[1]
MODULE = PLUGIN / "langxfer_openai" / "__init__.py"
LABELS = ("m", "M")


def judge(stub: Any, **options: Any) -> Any:
    from langxfer_openai.judge import OpenAIJudge

    return OpenAIJudge(**{"base_url": stub.url, "model": "m", "retries": 2, "timeout": 10.0} | options)


def contest(first: str, second: str = "base") -> Contest:
    text = json.dumps([first, second])
    return Contest(first, "Why?", first, second, (("system", "be fair"), ("user", text)), LABELS)


def judged(stub: Any, contests: list[Contest], again: bool = False, **options: Any) -> list[Verdict]:
    with judge(stub, **options).open("cpu", None) as opened:
        return (opened.judge_again if again else opened.judge)(contests)


def ranking(best: str = "m") -> str:
    other = "M" if best == "m" else "m"
    return json.dumps({"ordered_models": [{"model": best, "rank": 1}, {"model": other, "rank": 2}]})


def called(request: dict[str, Any]) -> Answer:
    """A call of the function: the first answer wins if it is good."""
    good = request["messages"][-1]["content"].startswith('["good')
    return Answer(arguments=ranking("m" if good else "M"), finish="tool_calls")


# ---------------------------------------------------------------- what is sent, and what comes back


def test_contract_and_cache_key(stub):
    own = judge(stub)
    stub.otherwise = called
    check_judge(own)
    same = judge(stub, concurrency=1, timeout=1.0, retries=0, key_variable="X", input_price=1.0, output_price=2.0)
    assert own.what() == same.what()
    changes = [{"model": "n"}, {"verdicts": "json"}, {"verdicts": "weighted"}, {"temperature": 1.0}, {"max_tokens": 5}]
    keys = {json.dumps(judge(stub, **change).what()) for change in changes}
    assert len(keys | {json.dumps(own.what())}) == len(changes) + 1


def test_the_model_must_call_a_function_with_a_strict_schema(stub):
    stub.otherwise = called
    assert judged(stub, [contest("good"), contest("bad")], concurrency=1) == [Verdict(0.0), Verdict(1.0)]
    request = stub.requests[0]
    assert [message["role"] for message in request["messages"]] == ["system", "user"]
    assert (request["temperature"], request["max_tokens"]) == (0.0, 100)
    assert request["tool_choice"] == {"type": "function", "function": {"name": "make_partial_leaderboard"}}
    function = request["tools"][0]["function"]
    assert function["strict"] and function["parameters"]["required"] == ["ordered_models"]
    assert set(stub.keys) == {f"Bearer {KEY}"} and "logprobs" not in request and "response_format" not in request


def test_a_server_without_functions_is_asked_for_json_and_then_for_text(stub):
    def answer(request: dict[str, Any]) -> Answer:
        if "tools" in request or ("response_format" in request and not stub.knows_json):
            return failure(400, "unknown field")
        return Answer(ranking("M"))

    stub.otherwise = answer
    for knows_json, expected in ((True, ["tools", "response_format"]), (False, ["tools", "response_format", ""])):
        stub.knows_json = knows_json
        stub.requests.clear()
        assert judged(stub, [contest(f"a{n}") for n in range(3)], concurrency=1) == [Verdict(1.0)] * 3
        asked = [next((own for own in ("tools", "response_format") if own in r), "") for r in stub.requests]
        assert asked == [*expected, expected[-1], expected[-1]]  # a form that was refused is not tried again
    stub.requests.clear()
    assert judged(stub, [contest("a")], verdicts="json", limit_name="max_completion_tokens") == [Verdict(1.0)]
    assert stub.requests[0]["response_format"] == {"type": "json_object"}
    assert stub.requests[0]["max_completion_tokens"] == 100


def test_weighted_verdicts(stub):
    stub.otherwise = lambda request: Answer("M", likeliest={"M": math.log(0.6), "m": math.log(0.2), "The": -3.0})
    (verdict,) = judged(stub, [contest("a")], verdicts="weighted")
    assert verdict.preference == pytest.approx(0.75)
    (request,) = stub.requests
    assert (request["max_tokens"], request["logprobs"], request["top_logprobs"]) == (1, True, 5)
    assert judge(stub, verdicts="weighted").answers == "label" and judge(stub).answers == "ranking"
    stub.otherwise = lambda request: Answer("I", likeliest={"I": -0.1, "Model": -3.0, "mm": -4.0})
    assert judged(stub, [contest("a")], verdicts="weighted") == [Verdict(None, "no label")]
    stub.otherwise = lambda request: Answer("m")
    with pytest.raises(RecipeError, match="gives no log-probabilities for the model m"):
        judged(stub, [contest("a")], verdicts="weighted")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Answer(f"I say {ranking()}"), "unreadable"),
        (Answer(arguments='{"ordered_models": []}'), "unreadable"),
        (Answer(arguments=ranking().replace('"M"', '"Model M"')), "unreadable"),
        (Answer(arguments=ranking()[:30], finish="length"), "truncated"),
        (Answer("", finish="content_filter"), "refused"),
    ],
)
def test_answers_that_are_no_verdict(stub, answer, problem):
    stub.otherwise = lambda request: answer
    assert judged(stub, [contest("a")]) == [Verdict(None, problem)]


def test_a_text_in_place_of_a_call_is_read_if_it_is_the_ranking(stub):
    stub.otherwise = lambda request: Answer(f"```json\n{ranking('M')}\n```")
    assert judged(stub, [contest("a")]) == [Verdict(1.0)]


def test_again_is_warmer(stub):
    stub.otherwise = called
    assert judged(stub, [contest("good")], again=True) == [Verdict(0.0)]
    judged(stub, [contest("good")], again=True, temperature=None)
    assert [request.get("temperature") for request in stub.requests] == [0.3, None]


# ---------------------------------------------------------------- failures, limits, key


def test_refused_contests_and_servers_that_refuse_all(stub):
    stub.otherwise = lambda r: failure(400, "too long") if "long" in str(r["messages"]) else called(r)
    found = judged(stub, [contest("good"), contest("long")], concurrency=1)
    assert found == [Verdict(0.0), Verdict(None, "refused")]
    assert judged(stub, [contest("long")], verdicts="json")[0].problem == "refused"  # another request is taken
    stub.otherwise = lambda r: failure(400, "no such option")
    for verdicts in ("tool", "weighted"):
        with pytest.raises(RecipeError, match=r"refuses every request \(.*no such option.*Check judge\.model"):
            judged(stub, [contest("good")], verdicts=verdicts)


def test_what_was_paid_for_is_given_back_before_a_failure_is_raised(stub):
    stub.script = [called]
    stub.otherwise = lambda request: failure(401, f"key {KEY} revoked")
    opening = judge(stub, concurrency=1).open("cpu", None)
    message = r"does not accept the key in OPENAI_API_KEY .*judge\.key_variable"
    with pytest.raises(RecipeError, match=message) as caught, opening as opened:
        found = opened.judge([contest("good"), contest("bad")])
        assert found == [Verdict(0.0), Verdict(None, "the endpoint failed")]
        opened.judge_again([contest("bad")])
    assert KEY not in str(caught.value)
    stub.otherwise = lambda request: failure(500)
    with pytest.raises(LangxferError, match=r"failed, in 1 tries .* What was judged is kept"):
        judged(stub, [contest("a")], retries=0)


def test_as_many_requests_at_a_time_as_allowed(stub):
    stub.otherwise = lambda request: Answer(arguments=ranking(), delay=0.1)
    with judge(stub, concurrency=4, input_price=1.0).open("cpu", None) as opened:
        assert opened.at_once == 4
        opened.judge([contest(f"a{n}") for n in range(8)])
        used = opened.usage()
    assert stub.most_at_once == 4 and used["requests"] == 8 and used["cost"] > 0


def test_no_key_is_a_sentence(stub, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(RecipeError, match='judge "openai" takes its key from the environment variable OPENAI_API_KEY'):
        judged(stub, [contest("a")])
    stub.otherwise = called
    assert judged(stub, [contest("good")], key_variable=None) == [Verdict(0.0)]


@pytest.mark.parametrize(
    "options", [{"verdicts": "weighted", "max_tokens": 5}, {"key_variable": KEY}, {"verdict": "x"}]
)
def test_options_that_make_no_sense(stub, options):
    with pytest.raises(ValidationError):
        judge(stub, **options)


# ---------------------------------------------------------------- a whole evaluation, the README


def test_a_whole_evaluation_with_a_server_that_garbles_one_of_twenty(stub, tmp_path):
    from langxfer import Evidence, Generation

    kind: Any = load().classes("evaluator")["alpaca_eval"]
    rows = [{"instruction": f"question {n}", "output": "base"} for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def answer(request: dict[str, Any]) -> Answer:
        """The model's answer wins, wherever it stands; one request of twenty is answered with garbage."""
        if len(stub.requests) % 20 == 0:
            return Answer("I cannot decide.")
        first = '"model": "m",\n    "output": "good"' in request["messages"][-1]["content"]
        return Answer(arguments=ranking("m" if first else "M"))

    stub.otherwise = answer
    own = judge(stub, concurrency=4)
    files = {"prompts": str(tmp_path / "rows.jsonl"), "baseline": str(tmp_path / "rows.jsonl")}
    component = kind(**files, judge=own, length_control=False)
    generations = [Generation(prompt, "good", 1, True) for prompt in component.prompts(())]
    evidence = Evidence((), generations, {}, cache=tmp_path / "cache")
    found = component.evaluate(evidence)
    assert (found.scores[0].value, found.scores[0].n, found.unfinished) == (100.0, 40, None)
    assert len(stub.requests) == 42  # two were garbled, and asked for again
    assert "judge openai used requests" in found.notes[-1]
    assert component.evaluate(evidence).scores == found.scores and len(stub.requests) == 42
    assert all(KEY.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_the_readme_s_judge(tmp_path):
    text = (PLUGIN / "README.md").read_text(encoding="utf-8").partition("## The judge")[2]
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "r.yaml").write_text(
        "title: x\nmodel: {source: m}\ndata: {source: r.jsonl, format: parallel, target_languages: [de]}\n"
        f"phases:\n  - {{objective: {{name: sft}}, selector: attention}}\n{block}"
    )
    catalog = load([] if "openai" in load().classes("judge") else [MODULE])
    (evaluator,) = load_recipe(str(tmp_path / "r.yaml"), catalog).recipe.evaluators
    assert evaluator.judge.name == "openai" and evaluator.judge.input_price == 2.5
    own = {"verdicts", "temperature", "max_tokens"}
    table = [line for line in text.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)` \|", "\n".join("|".join(line.split("|")[:3]) for line in table))) >= own
    from langxfer_openai.judge import OpenAIJudge

    assert all(f"`{name}`" in text for name in OpenAIJudge.model_fields if name != "name")
