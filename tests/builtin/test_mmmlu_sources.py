"""MMMLU: where questions come from, what is wrong with them, and options that cannot be honoured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from langxfer.builtin.evaluators.mmmlu import Mmmlu
from langxfer.builtin.evaluators.mmmlu.items import PINNED
from langxfer.data import ParallelExample, Turn
from langxfer.errors import DataError
from tests.mmmlu_files import mmmlu, row, write_csv, write_languages


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return write_languages(tmp_path)


def test_sources(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"question": "Q", "subject": "anatomy", "choices": ["None", "b", "c", None], "answer": 3}]
    (tmp_path / "en.jsonl").write_text(json.dumps(rows[0]))
    prompt = Mmmlu(english_source=str(tmp_path / "en.jsonl"), languages=("en",)).prompts([])[0]
    assert prompt.text.endswith("A) None\nB) b\nC) c\nD) None")
    with pytest.raises(DataError, match=r"no file for de\. Expected one of DE_DE\.csv, DE_DE\.jsonl, mmlu_DE-DE\.csv"):
        mmmlu(folder, "de").prompts([])
    with pytest.raises(DataError, match=r"mmmlu\.source \./x: there is no such file or folder"):
        Mmmlu(source="./x", languages=("sw",)).prompts([])
    import datasets

    asked: list[tuple[Any, ...]] = []

    def load_dataset(name: str, subset: str, split: str, revision: str) -> list[dict[str, Any]]:
        asked.append((name, subset, split, revision))
        return rows if subset == "all" else [row(i, "sw") for i in range(8)]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert len(Mmmlu(languages=("sw", "en")).prompts([])) == 9
    assert [(name, subset) for name, subset, _, _ in asked] == [("openai/MMMLU", "SW_KE"), ("cais/mmlu", "all")]
    assert all(revision == PINNED[name] for name, _, _, revision in asked)
    with pytest.raises(DataError, match=r"mmmlu\.source own/copy is no local path, and without a revision"):
        Mmmlu(source="own/copy", languages=("sw",)).prompts([])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Answer": "E"}, r"SW_KE\.csv:2: Answer is E; expected A to D, or 0 to 3"),
        ({"B": " "}, "expected four options"),
        ({"Question": ""}, "Question is '', expected a text"),
        ({"Subject": "alchemy"}, "clo24 has no category for alchemy"),
        ({"Subject": ""}, "Subject is '', expected a text"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(folder: str, change: dict[str, str], message: str) -> None:
    write_csv(Path(folder) / "SW_KE.csv", [{**row(0, "sw"), **change}])
    with pytest.raises(DataError, match=message):
        mmmlu(folder, "sw").prompts([])


def test_tables_that_cannot_be_read(folder: str) -> None:
    path = Path(folder) / "SW_KE.csv"
    path.write_text("Question,A,B,C,D,Answer,Subject\nq,a,b\n")
    with pytest.raises(DataError, match=r"SW_KE\.csv:2 has 3 cells, the header has 7"):
        mmmlu(folder, "sw").prompts([])
    path.write_text('Question,A,B,C,D,Answer,Subject\nq,"a"x,b,c,d,A,anatomy\n')
    with pytest.raises(DataError, match=r"SW_KE\.csv:2 is not a table"):
        mmmlu(folder, "sw").prompts([])
    path.write_text('Question,A,B,C,D,Answer,Subject\n"two\nlines \u2028 more",a,b,c,d,A,anatomy\n')
    assert "\n\ntwo\nlines \u2028 more\n\nA) a" in mmmlu(folder, "sw").prompts([])[0].text


def test_languages_come_from_the_examples(folder: str) -> None:
    def examples(tag: str) -> list[ParallelExample]:
        return [ParallelExample("1", Turn("a", "b", "en"), Turn("c", "d", tag))]

    evaluator = Mmmlu(source=folder, english_source=folder)
    assert {prompt.language for prompt in evaluator.prompts(examples("sw"))} == {"en", "sw"}
    for tag, message in (("fr", "no native instruction for fr"), ("cs", "MMMLU does not have cs")):
        with pytest.raises(DataError, match=message):
            evaluator.prompts(examples(tag))
    with pytest.raises(DataError, match="mmmlu has no languages"):
        evaluator.prompts([])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0, "top_p": 1}, "same answer at every attempt: set max_regenerations to 0"),
        ({"temperature": 0, "max_regenerations": 0}, "top_p has no effect"),
        ({"mode": "likelihood", "temperature": 1, "seed": 3}, "generates nothing: remove temperature, seed"),
        ({"languages": ("fr",)}, "no native instruction for fr"),
        ({"languages": ("cs",)}, "MMMLU does not have cs"),
        ({"languages": ("sw", "sw")}, "listed twice"),
        ({"categories": "mmlu5"}, "no map of subjects"),
        ({"english_revision": "main"}, "can move"),
        ({"format_priming": {}}, "give n, or ids"),
        ({"format_priming": {"n": 1, "ids": ["a/1"]}}, "give n, or ids"),
        ({"format_priming": {"ids": ["a/1"], "seed": 3}}, "seed decides what n draws"),
    ],
)
def test_options_that_cannot_be_honoured(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Mmmlu(**options)


@pytest.mark.parametrize("suffix", [".json", ".tsv", ".parquet", ".csv", ".jsonl"])
def test_the_cache_key_follows_the_content_of_one_file(tmp_path: Path, suffix: str) -> None:
    """No reader is needed for that, so any bytes will do."""
    path, elsewhere = tmp_path / f"sw{suffix}", tmp_path / "elsewhere" / f"sw{suffix}"
    path.write_bytes(b"one")
    own = Mmmlu(source=str(path), english_source=str(path), languages=("sw",))
    before = own.what()
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(b"one")
    assert Mmmlu(source=str(elsewhere), english_source=str(elsewhere), languages=("sw",)).what() == before
    path.write_bytes(b"two")
    after = own.what()
    assert after["source"] != before["source"] and after["english_source"] != before["english_source"]


def test_the_cache_key_has_no_place_in_it(folder: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_languages(elsewhere)
    (elsewhere / "notes.txt").write_text("no questions")
    what = mmmlu(folder, "sw", "en").what()
    assert mmmlu(str(elsewhere), "sw", "en").what() == what
    assert folder not in json.dumps(what)
    write_csv(elsewhere / "SW_KE.csv", [row(i, "other") for i in range(8)])
    assert mmmlu(str(elsewhere), "sw", "en").what() != what
    hub = Mmmlu(languages=("sw",)).what()
    assert (hub["source"], hub["revision"]) == ("openai/MMMLU", PINNED["openai/MMMLU"])
    assert (hub["english_source"], hub["english_revision"]) == ("cais/mmlu", PINNED["cais/mmlu"])
