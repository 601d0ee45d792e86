"""Where language fidelity gets its prompts: files, examples, and what is wrong with them."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest
from pydantic import ValidationError

import langxfer
from langxfer.builtin.evaluators.language_fidelity import LanguageFidelity
from langxfer.components import Prompt
from langxfer.data import ParallelExample, Turn
from langxfer.errors import DataError


def write(path: Path, *rows: object) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_prompts_of_a_file(tmp_path: Path) -> None:
    path = write(
        tmp_path / "prompts.jsonl",
        {"id": "a", "en": {"instruction": "Add.", "input": "1 2", "output": "3"}, "de": " Addiere. "},
        {"id": 2, "en": "Why\u2028so?", "de": {"instruction": "Warum?", "input": ""}, "sw": "Kwa nini?"},
    )
    asked = LanguageFidelity(prompts=path).prompts(())
    assert asked == [
        Prompt("a/en", "Add.\n\n1 2", "en"),
        Prompt("2/en", "Why\u2028so?", "en"),
        Prompt("a/de", "Addiere.", "de"),
        Prompt("2/de", "Warum?", "de"),
        Prompt("2/sw", "Kwa nini?", "sw"),
    ]
    some = LanguageFidelity(prompts=path, languages=("sw", "de"), limit=1).prompts(())
    assert [prompt.id for prompt in some] == ["2/sw", "a/de"]


def examples(*targets: str) -> list[ParallelExample]:
    return [
        ParallelExample(f"{i}-{tag}", Turn(f"Why {i}?", "x", "en"), Turn(f"{tag} {i}?", "y", tag))
        for i in range(2)
        for tag in targets
    ]


def test_prompts_of_the_validation_examples() -> None:
    assert LanguageFidelity(languages=("de",)).prompts(examples("de")) == [
        Prompt("0-de/de", "de 0?", "de"),
        Prompt("1-de/de", "de 1?", "de"),
    ]
    several = LanguageFidelity().prompts(examples("de", "sw"))
    assert [(p.language, p.text) for p in several] == [
        *(("en", "Why 0?"), ("en", "Why 1?")),
        *(("de", "de 0?"), ("de", "de 1?")),
        *(("sw", "sw 0?"), ("sw", "sw 1?")),
    ]
    assert len({prompt.id for prompt in several}) == len(several)
    assert len(LanguageFidelity(limit=1).prompts(examples("de", "sw"))) == 3


def test_a_file_that_comes_with_langxfer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "builtin" / "quickstart"
    folder.mkdir(parents=True)
    write(folder / "questions.jsonl", {"id": "a", "de": "Warum?"})
    monkeypatch.setattr(langxfer, "__file__", str(tmp_path / "__init__.py"))
    component = LanguageFidelity(prompts="langxfer:questions.jsonl")
    assert component.resolve(Path("/elsewhere")) is component
    assert component.prompts(()) == [Prompt("a/de", "Warum?", "de")]


def test_the_key_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    row = {"id": "a", "de": "Warum?"}
    write(tmp_path / "one.jsonl", row)
    write(tmp_path / "other" / "two.jsonl", row)
    one = LanguageFidelity(prompts="one.jsonl").resolve(tmp_path)
    two = LanguageFidelity(prompts=str(tmp_path / "other" / "two.jsonl")).resolve(Path("/elsewhere"))
    assert one.prompts_file == str(tmp_path / "one.jsonl")
    assert one.what() == two.what()
    assert one.what()["identifier"] == f"py3langid-{version('py3langid')}"
    assert LanguageFidelity.model_validate(one.model_dump(mode="json")) == one
    before = one.what()
    write(tmp_path / "one.jsonl", {"id": "a", "de": "Wieso?"})
    assert one.what() != before
    assert LanguageFidelity().resolve(tmp_path) == LanguageFidelity()
    assert LanguageFidelity().what()["prompts"] is None


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"id": "a", "de": "Warum?"}\n{"id": ', r":2 is not JSON"),
        ("[[]]", r"prompts\.jsonl:1 is \[\[\]\], expected an object"),
        ('{"de": "Warum?"}', r":1: expected"),
        ('{"id": "a"}', r":1: expected"),
        ('{"id": "a", "german": "Warum?"}', r':1: "german" is not a known language tag.*"de"'),
        ('{"id": "a", "de": ""}', r":1: de: expected a text"),
        ('{"id": "a", "de": 3}', r":1: de: expected a text"),
        ('{"id": "a", "de": {"input": "x"}}', r":1: de: expected a text"),
        ('{"id": "a", "de": {"instruction": "x", "input": 3}}', r":1: de: expected a text"),
        ('{"id": "a", "de": {"instruction": "x", "text": "y"}}', r":1: de: unknown field text"),
        ('{"id": "a", "de": "x"}\n{"id": "a", "de": "y"}', r'id "a" occurs 2 times in de'),
        ('{"id": "a", "wo": "Naka?"}', r'py3langid cannot identify "wo" \(Wolof\)'),
        ("\n\n", r"there are no prompts in"),
    ],
)
def test_a_wrong_file_is_an_error_with_its_line(tmp_path: Path, lines: str, message: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(lines, encoding="utf-8")
    component = LanguageFidelity(prompts=str(path))
    with pytest.raises(DataError, match=message):
        component.prompts(())
    with pytest.raises(DataError, match=message):
        component.what()


def test_a_missing_or_misencoded_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"language_fidelity\.prompts .*none\.jsonl cannot be read \(No such file.*Check the path"
    ):
        LanguageFidelity(prompts=str(tmp_path / "none.jsonl")).prompts(())
    (tmp_path / "latin.jsonl").write_bytes('{"id": "a", "de": "für"}'.encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8"):
        LanguageFidelity(prompts=str(tmp_path / "latin.jsonl")).what()
    (tmp_path / "marked.jsonl").write_bytes(b'\xef\xbb\xbf{"id": "a", "de": "x"}\r\n')
    assert len(LanguageFidelity(prompts=str(tmp_path / "marked.jsonl")).prompts(())) == 1


def test_no_prompts_and_missing_languages_are_errors() -> None:
    with pytest.raises(DataError, match=r"there are no prompts in the validation examples \(set data\.validation"):
        LanguageFidelity().prompts(())
    with pytest.raises(DataError, match=r"no prompt in sw, ko in .* Languages there: en, de"):
        LanguageFidelity(languages=("de", "sw", "ko")).prompts(examples("de"))
    with pytest.raises(DataError, match=r'cannot identify "wo"'):
        LanguageFidelity().prompts(examples("wo"))
    assert len(LanguageFidelity(languages=("en",)).prompts(examples("wo"))) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"languages": ("wo",)}, r'py3langid cannot identify "wo" \(Wolof\)'),
        ({"languages": ("german",)}, "is not a known language tag"),
        ({"languages": ("de", "de")}, "listed twice"),
        ({"languages": ()}, "languages"),
        ({"top_p": 0.9}, "top_p has no effect at temperature 0"),
        ({"limit": 0}, "limit"),
        ({"min_words": 0}, "min_words"),
        ({"preset": "lcb", "min_words": 3}, 'min_words has no effect with preset "lcb"'),
        ({"preset": "lcb", "min_confidence": 0.2}, "min_confidence has no effect"),
        ({"prompt": "x"}, "prompt"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LanguageFidelity(**options)
