"""The benchmark of evaluation on a tiny random model: both contenders agree, and what it prints. Nothing is timed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from langxfer.errors import DataError
from tests.benchmarks import evaluation
from tests.benchmarks.contest import ContenderFailed
from tests.benchmarks.evaluation_worker import CONTENDERS, LABELS, Job, context, local_task

KEYS = ("time_vs_lm_eval_letters", "time_vs_lm_eval_multi_token", "same_argmax", "max_abs_logp_difference")


def passage(number: int, right: int = 2) -> dict[str, Any]:
    answers = [{"text": f"answer {n}", "correct": n == right} for n in range(4)]
    questions = [f" What is {number}? ", f"Is it {number}?"]
    return {
        "text": f"{number} ducks on the pond.",
        "items": [{"question": text, "answers": answers} for text in questions],
    }


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """lm-eval, and a cache of data sets that ends with the test."""
    pytest.importorskip("lm_eval", reason="needs lm-eval, of the extra bench")
    import datasets

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in evaluation.FILES.values():
        (folder / name).write_text("".join(json.dumps(passage(n)) + "\n" for n in range(3)))
    return folder


class Inside:
    """A contender in this process, in place of one of its own."""

    def __init__(self, job: Job):
        self._contender = CONTENDERS[job.kind](job)

    def ready(self) -> Inside:
        return self

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        assert do == "run"
        return json.loads(json.dumps(self._contender.run(**request)))

    def __enter__(self) -> Inside:
        return self

    def __exit__(self, *error: object) -> None:
        pass


@pytest.mark.usefixtures("harness")
@pytest.mark.filterwarnings("ignore")  # lm-eval's
def test_contenders_agree_and_the_summary_says_so(data: Path, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--data", str(data), "--model", str(tiny), "--items", "5", "--multi-items", "3", "--tokens", "300"]
    told: list[str] = []
    found = evaluation.run(evaluation.arguments(given), told.append, Inside)  # type: ignore[arg-type]
    assert list(found)[:4] == list(KEYS)
    assert found["same_argmax"] is True and found["items_with_another_argmax"] == []
    assert 0 < found["max_abs_logp_difference"] < 1e-4
    assert {name: own["items"] for name, own in found["of"].items()} == {
        "letters/en": 5, "letters/de": 5, "multi_token/en": 3, "multi_token/de": 3,
    }  # fmt: skip
    for own in found["of"].values():
        assert own["tokens_read"]["ours"] < own["tokens_read"]["lm_eval"]
        assert own["accuracy"]["ours"] == own["accuracy"]["lm_eval"]
    many = found["of"]["multi_token/en"]["tokens_read"]
    assert many["ours"] < many["lm_eval"] / 2
    json.dumps(found)
    assert all(key in evaluation.table(found) for key in KEYS)
    assert "4 of 4: multi_token, de, 0-3" in told[-1]


@pytest.mark.usefixtures("harness")
@pytest.mark.filterwarnings("ignore")
def test_prompts_are_those_of_lm_eval(data: Path, tmp_path: Path) -> None:
    items = evaluation.read(data / evaluation.FILES["en"])
    path = tmp_path / "en.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    for labels in LABELS.values():
        task = local_task(path, labels)
        task.build_all_requests()
        made = {(own.doc_id, own.idx): own.args for own in task.instances}
        for number, item in enumerate(items):
            for place, label in enumerate(labels):
                assert made[number, place] == (context(item, labels), f" {label}")


def test_different_questions_are_an_error() -> None:
    class Other(Inside):
        def __init__(self, name: str):
            self.name = name

        def ask(self, do: str, **request: Any) -> dict[str, Any]:
            return {"seconds": 1.0, "contexts": [self.name]}

    processes: Any = {kind: Other(kind) for kind in evaluation.CONTENDERS}
    with pytest.raises(ContenderFailed, match="asked different questions"):
        evaluation.take_turns([evaluation.Turn("letters", "en", 0, 1)], processes, lambda text: None)


def test_every_wanted_item_has_its_turn() -> None:
    planned = evaluation.turns({"letters": 120, "multi_token": 7}, {"en": 900, "de": 60})
    assert {turn.stop - turn.start for turn in planned} == {50, 20, 10, 7}
    seen = [(turn.labels, turn.language, n) for turn in planned for n in range(turn.start, turn.stop)]
    assert len(seen) == len(set(seen)) == 120 + 60 + 7 + 7


def test_data_that_is_not_there_or_not_belebele(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not there"):
        evaluation.read(tmp_path / "nothing.jsonl")
    (tmp_path / "other.jsonl").write_text(json.dumps(passage(1, right=9)))
    with pytest.raises(DataError, match="has not four answers, one of them right"):
        evaluation.read(tmp_path / "other.jsonl")


def test_without_data_the_benchmark_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["evaluation", "--data", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"eng_Latn\.item-eval\.jsonl is not there"):
        evaluation.main()
