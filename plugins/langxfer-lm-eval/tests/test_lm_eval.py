"""The harness with our answers against the harness with its own Hugging Face model, item by item."""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from langxfer import DataError, Evaluation, Evidence, Generation, OptionScores, PassageScore
from langxfer.testing import tiny_model

PLUGIN = Path(__file__).parents[1]
TASKS = {
    "colours": {
        "output_type": "multiple_choice",
        "doc_to_text": "Q: {{question}}\nA:",
        "doc_to_choice": "{{options}}",
        "doc_to_target": "{{gold}}",
        "metric_list": [{"metric": metric} for metric in ("acc", "acc_norm")],
    },
    "plain": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{question}}",
        "metric_list": [{"metric": "bits_per_byte"}],
    },
    "greedy": {
        "output_type": "loglikelihood",
        "doc_to_text": "{{question}}",
        "doc_to_target": " {{options[0]}}",
        "metric_list": [{"metric": "acc"}],
    },
    "written": {
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{options[gold]}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 7, "do_sample": False},
        "metric_list": [{"metric": "exact_match"}],
    },
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Local tasks; the harness's sets of data are cached beside them."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    questions = ("sea", "river", "bridge", "winter", "rain", "bread", "light", "stone")
    rows = [
        {"question": f"Say a word on {word} {n}.", "options": [word, "light blue", "it is rain"], "gold": n % 3}
        for n, word in enumerate(questions)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = tmp_path / "tasks"
    own.mkdir()
    for name, task in TASKS.items():
        data = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(tmp_path / "rows.jsonl")}}}
        whole = {"task": name, "test_split": "test", **data, **task, "metadata": {"version": 3}}
        (own / f"{name}.yaml").write_text(json.dumps(whole))  # JSON is YAML
    return own


def lm_eval(**options: Any) -> Any:
    if "langxfer_lm_eval" not in sys.modules:
        sys.path.insert(0, str(PLUGIN))
    import langxfer_lm_eval

    return next(cls for cls in langxfer_lm_eval.register_evaluators())(**options)


def by_name(evaluation: Evaluation) -> dict[str, Any]:
    return {score.name: score for score in evaluation.scores}


@pytest.mark.filterwarnings("ignore")
def test_the_same_as_the_harness_alone(model: Path, folder: Path) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    theirs = HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=4)
    tasks = ["colours", "plain"]
    manager = TaskManager(include_path=str(folder))
    expected = simple_evaluate(theirs, tasks=tasks, task_manager=manager, num_fewshot=2, limit=6, bootstrap_iters=10)
    evaluator = lm_eval(tasks=tasks, include_path=str(folder), num_fewshot=2, limit=6)

    def score(kind: str, *args: str) -> float:
        found = getattr(theirs, kind)([Instance(kind, {}, args, 0)])[0]
        return found if kind.endswith("rolling") else found[0]

    questions, passages = evaluator.questions([]), evaluator.passages([])
    assert len(questions) == 6 and all(len(question.options) == 3 for question in questions)
    assert all(option.startswith(" ") for question in questions for option in question.options)
    options = [
        OptionScores(q, tuple(score("loglikelihood", q.context, o) for o in q.options), (1,) * 3) for q in questions
    ]
    texts = [PassageScore(p, score("loglikelihood_rolling", p.text), 1, len(p.text.encode())) for p in passages]
    evaluation = evaluator.evaluate(Evidence([], [], {}, options, texts))
    scores = by_name(evaluation)
    assert list(scores) == ["lm_eval/colours/acc", "lm_eval/colours/acc_norm", "lm_eval/plain/bits_per_byte"]
    for name, own in scores.items():
        _, task, metric = name.split("/")
        assert own.value == pytest.approx(expected["results"][task][f"{metric},none"], abs=1e-5)
        assert own.n == 6 and "version:3" in own.signature and "lm_eval:0.4" in own.signature
    error = expected["results"]["colours"]["acc_stderr,none"]
    assert scores["lm_eval/colours/acc"].standard_error == pytest.approx(error)
    assert scores["lm_eval/plain/bits_per_byte"].higher_is_better is False
    rows = {row["id"]: row for row in evaluation.rows}
    for item in expected["samples"]["colours"]:
        own = rows[f"colours/{item['doc_id']}"]["scores"]
        assert own == {f"lm_eval/colours/{metric}": item[metric] for metric in ("acc", "acc_norm")}


@pytest.mark.filterwarnings("ignore")
def test_answers_are_cut_and_compared(folder: Path) -> None:
    evaluator = lm_eval(tasks=["written"], include_path=str(folder), limit=3, chat=True)
    prompts = evaluator.prompts([])
    assert [prompt.text for prompt in prompts][:1] == ["Say a word on sea 0."]
    sampling = evaluator.sampling()
    assert (sampling.max_new_tokens, sampling.temperature) == (7, 0.0)
    answers = [
        Generation(prompt, text, 1, True)
        for prompt, text in zip(prompts, ("sea\nmore", "no", "it is rain"), strict=True)
    ]
    evaluation = evaluator.evaluate(Evidence([], answers, {}))
    assert [row["scores"]["lm_eval/written/exact_match"] for row in evaluation.rows] == [1, 0, 1]
    assert by_name(evaluation)["lm_eval/written/exact_match"].value == pytest.approx(2 / 3)


@pytest.mark.filterwarnings("ignore")
def test_plain_prompts_are_gone_on_with_as_the_harness_does(model: Path, folder: Path, tmp_path: Path) -> None:
    """The engine's answers to plain text, scored, against the harness with its own model: every answer, every score."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    import langxfer

    theirs = HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=3)
    manager = TaskManager(include_path=str(folder))
    expected = simple_evaluate(theirs, tasks=["written"], task_manager=manager, bootstrap_iters=0)
    evaluator = lm_eval(tasks=["written"], include_path=str(folder))
    assert not any(prompt.chat for prompt in evaluator.prompts([]))
    compute = langxfer.Compute(device="cpu", threads=1, prompts_per_batch=3)
    found = langxfer.evaluate(model, evaluator, compute=compute, runs=tmp_path / "runs")
    answers = (found.path / "lm_eval.generations.jsonl").read_text().splitlines()
    theirs_by_prompt = {item["arguments"][0][0]: item["resps"][0][0] for item in expected["samples"]["written"]}
    assert len(answers) == len(theirs_by_prompt) == 8
    for row in map(json.loads, answers):
        assert row["answer"].split("\n")[0] == theirs_by_prompt[row["prompt"]]
    assert any(theirs_by_prompt.values())
    (score,) = found.scores["lm_eval"]
    assert score.value == pytest.approx(expected["results"]["written"]["exact_match,none"])


@pytest.mark.filterwarnings("ignore")
def test_refusals(folder: Path, tmp_path: Path) -> None:
    def evaluator(*tasks: str, **options: Any) -> Any:
        return lm_eval(tasks=tasks, include_path=str(folder), **options)

    with pytest.raises(DataError, match="no task colors"):
        evaluator("colors").questions([])
    with pytest.raises(DataError, match="greedy needs whether a text is the likeliest"):
        evaluator("greedy").identity()
    with pytest.raises(DataError, match="there is no folder"):
        lm_eval(tasks=("colours",), include_path=str(tmp_path / "none")).questions([])


@pytest.mark.filterwarnings("ignore")
def test_identity_is_the_content_of_the_tasks(folder: Path) -> None:
    evaluator = lm_eval(tasks=["colours"], include_path="tasks", limit=2).resolve(folder.parent)
    first = evaluator.identity()
    assert first == evaluator.identity()
    assert evaluator.model_copy(update={"limit": 3}).identity() != first
    path = folder / "colours.yaml"
    path.write_text(path.read_text().replace("Q: ", "Question: "))
    assert evaluator.identity() != first


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("task", "changes"),
    [
        ("colours", {"doc_to_target": "{{2 - gold}}"}),
        ("colours", {"metric_list": [{"metric": "acc"}]}),
        ("written", {"repeats": 2}),
        ("written", {"metric_list": [{"metric": "exact_match", "ignore_case": True}]}),
        ("written", {"filter_list": [{"name": "none", "filter": [{"function": "lowercase"}]}]}),
        ("written", {"metadata": {"version": 4}}),
    ],
)
def test_identity_is_what_is_made_of_the_answers_too(folder: Path, task: str, changes: dict[str, Any]) -> None:
    """The requests and the items of all these are the same. The included file is not in the folder of tasks."""
    elsewhere = folder.parent / "elsewhere.yaml"
    (folder / f"{task}.yaml").rename(elsewhere)
    whole = json.loads(elsewhere.read_text())
    del whole["task"]
    elsewhere.write_text(json.dumps(whole))
    (folder / f"{task}.yaml").write_text(json.dumps({"task": task, "include": str(elsewhere)}))
    evaluator = lm_eval(tasks=[task], include_path=str(folder), limit=2)
    first = evaluator.identity()
    assert first == evaluator.identity()
    elsewhere.write_text(json.dumps({**whole, **changes}))
    assert evaluator.identity() != first


@pytest.mark.filterwarnings("ignore")
def test_identity_is_the_code_of_the_tasks_wherever_it_is(folder: Path, tmp_path: Path) -> None:
    path, code = folder / "colours.yaml", folder / "utils.py"
    whole = json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "doc_to_text"})
    path.write_text(
        whole.replace("{", "{process_results: !function utils.score, doc_to_text: !function utils.ask, ", 1)
    )
    code.write_text(
        'def score(doc, results):\n    return {"acc": 1.0}\n\n\ndef ask(doc):\n    return doc["question"]\n'
    )
    evaluator = lm_eval(tasks=["colours"], include_path=str(folder), limit=2)
    first = evaluator.what()
    (folder / "__pycache__").mkdir(exist_ok=True)
    (folder / "__pycache__" / "utils.pyc").write_bytes(b"compiled")
    assert evaluator.what() == first
    copied = shutil.copytree(folder, tmp_path / "copied")
    assert lm_eval(tasks=["colours"], include_path=str(copied), limit=2).what() == first
    code.write_text(code.read_text().replace("1.0", "0.0"))
    assert evaluator.what() != first


def test_functions_are_their_source_and_nothing_is_an_address() -> None:
    lm_eval(tasks=["any"])  # the plug-in can be imported from now on
    from langxfer_lm_eval.content import digest_of

    def partials() -> list[Any]:
        return [partial(json.loads, "1"), {"code": partials}]

    assert "0x" in str(partials()[0])
    assert digest_of(partials()) == digest_of(partials()) != digest_of([partial(json.loads, "2")])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("settings", "temperature"),
    [
        ({}, 0.0),
        ({"temperature": 0.7}, 0.7),
        ({"temperature": 0.0}, 0.0),
        ({"do_sample": None, "temperature": 0.7}, 0.7),
        ({"do_sample": False, "temperature": 0.7}, 0.0),
        ({"do_sample": True}, 1.0),
        ({"do_sample": True, "temperature": 0.7}, 0.7),
    ],
)
def test_whether_answers_are_sampled(folder: Path, settings: dict[str, Any], temperature: float) -> None:
    """As the harness's own models read the settings, which take a temperature for a wish to sample."""
    from lm_eval.models.utils import normalize_gen_kwargs

    path = folder / "written.yaml"
    task = json.loads(path.read_text())
    path.write_text(json.dumps({**task, "generation_kwargs": {"until": ["\n"], **settings}}))
    sampling = lm_eval(tasks=["written"], include_path=str(folder)).sampling()
    assert sampling.temperature == temperature
    assert normalize_gen_kwargs({"until": ["\n"], **settings})["do_sample"] == (temperature > 0)
