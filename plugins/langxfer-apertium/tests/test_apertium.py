"""The installed Apertium, where there is one; and a program in its place that does what Apertium should never do."""

from __future__ import annotations

import json
import re
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langxfer import LangxferError, Pair, RecipeError, Translation
from langxfer.loading import load_recipe
from langxfer.plugins import load
from langxfer.testing import check_translator

MODULE = Path(__file__).parents[1] / "langxfer_apertium.py"
EN_ES, EN_CA = Pair("en", "es"), Pair("en", "ca")


def apertium(**options: Any) -> Any:
    return load([MODULE] if "langxfer_apertium" not in sys.modules else []).classes("translator")["apertium"](**options)


def module() -> Any:
    return sys.modules[type(apertium()).__module__]


def installed(*pairs: Pair) -> bool:
    return shutil.which("apertium") is not None and not any(map(apertium().cannot, pairs))


needs_spanish = pytest.mark.skipif(not installed(EN_ES), reason="needs apertium and apertium-eng-spa")
needs_both = pytest.mark.skipif(not installed(EN_ES, EN_CA), reason="needs apertium, apertium-eng-spa and -eng-cat")


def translate(translator: Any, segments: list[str], pair: Pair = EN_ES) -> list[Any]:
    with translator.open("cpu", Path("unused")) as opened:
        return opened.translate(segments, pair)


# ---------------------------------------------------------------- the program itself


@needs_both
def test_translates_into_the_language_asked_for():
    assert translate(apertium(), ["The house is red.", " The house is red.\n"]) == [
        "La casa es roja.",
        " La casa es roja.\n",
    ]
    assert translate(apertium(), ["The house is red."], EN_CA) == ["La casa és vermell."]
    assert translate(apertium(), ["La casa es roja."], Pair("es", "en")) == ["The house is red."]


@needs_both
def test_contract():
    check_translator(apertium(), EN_ES)
    check_translator(apertium(), EN_CA)
    assert {"ca", "en", "es"} <= apertium().languages()


@needs_spanish
def test_marks_of_unknown_words():
    assert translate(apertium(), ["The qwertyx"]) == ["El qwertyx"]
    assert translate(apertium(unknown_marks=True), ["The qwertyx"]) == ["El *qwertyx"]


@needs_both
def test_variants():
    text = "This service begins today with eight sentences."
    plain, valencian = (translate(apertium(variant=variant), [text], EN_CA) for variant in (None, "valencia"))
    assert plain == ["Aquest servei comença avui amb vuit frases."]
    assert valencian == ["Aquest servici comença hui amb huit frases."]
    assert "en to es in the variant valencia" in apertium(variant="valencia").cannot(EN_ES)


# Everything that means something to Apertium, in and out of words.
CHARACTERS = [*"[]{}^$/\\@<>~*#.&|+-_=:;!?\"'%", "\n", "\t", "\0", "\u00ad", "\ud800", "\u2028", "😀", "house", " "]
HARD = st.lists(st.sampled_from(CHARACTERS), max_size=12).map("".join)


@needs_spanish
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(HARD, st.text(max_size=12)), min_size=10, max_size=40))
def test_segments_with_any_characters_stay_apart(texts):
    """Each carries its number: as many as were sent come back, each with its own and no other."""
    segments = [f"N{number}x {text} N{number}x" for number, text in enumerate(texts)]
    results = translate(apertium(), segments)
    assert len(results) == len(segments)
    for number, (segment, result) in enumerate(zip(segments, results, strict=True)):
        assert re.findall(r"N(\d+)x", result) == re.findall(r"N(\d+)x", segment), (segment, result)
        reserved = r"[\[\]{}^$\\@<>~\x00\u00ad\ud800]"  # what Apertium's format gives a meaning comes back as it was
        assert sorted(re.findall(reserved, result)) == sorted(re.findall(reserved, segment)), (number, segment, result)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(HARD, st.text(max_size=12)), max_size=8))
def test_what_is_written_is_read(texts):
    texts = [text.strip() for text in texts]
    stream = module().written(texts)
    stream.encode()  # UTF-8, whatever is in the texts
    assert module().read(stream, len(texts)) == texts
    assert module().read(stream.replace(".[]", "[]"), len(texts)) == texts or any(t.endswith(".") for t in texts)
    assert module().read(stream, len(texts) + 1) is None


@needs_spanish
def test_what_decides_results():
    what = apertium().what()
    assert what["program"].startswith("Apertium ") and what["data"].startswith("sha256:")
    assert what == apertium(timeout=5).what() != apertium(unknown_marks=True).what()
    assert apertium(variant="valencia").what() != what


# ---------------------------------------------------------------- what goes wrong


def test_no_program():
    translator = apertium(program="no-such-apertium")
    sentence = "needs the program no-such-apertium, which is not installed. Install it with the data of a pair"
    for ask in (translator.what, translator.languages, lambda: translate(translator, ["x"])):
        with pytest.raises(RecipeError, match=sentence):
            ask()
    assert sentence in translator.cannot(EN_ES)


PROGRAM = """\
#!{python}
import re, sys, time
arguments = sys.argv[1:]
if arguments == ["-l"]:
    print("  eng-spa\\n  en-gl\\n  hbs-eng"); sys.exit()
if arguments == ["-V"]:
    print("Apertium 0.0"); sys.exit()
text = sys.stdin.read()
if "DIE" in text:
    print(text[: text.index("DIE")], end=""); print("internal error", file=sys.stderr); sys.exit(3)
if "HANG" in text:
    time.sleep(60)
if "SWALLOW" in text:
    text = re.sub(r"SWALLOW[^m]*m[0-9]+.", "", text)
if "SWAP" in text and "[m1]" in text:
    text = text.replace("[m0]", "[mX]").replace("[m1]", "[m0]").replace("[mX]", "[m1]")
if {broken}:
    print("no data", file=sys.stderr); sys.exit(1)
print(text.lower(), end="")
"""


@pytest.fixture
def program(tmp_path: Path) -> Any:
    """Makes an ``apertium`` that lowers letters, and misbehaves when a text asks for it."""

    def make(broken: bool = False, **options: Any) -> Any:
        path = tmp_path / "apertium"
        path.write_text(PROGRAM.format(python=sys.executable, broken=broken))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return apertium(program=str(path), **options)

    return make


def test_languages_by_any_of_their_codes(program):
    translator = program()
    assert translator.languages() == {"bs", "en", "es", "gl", "hr", "sr"}
    assert [translator.mode(Pair(*pair)) for pair in (("en", "gl"), ("sr", "en"))] == ["en-gl", "hbs-eng"]
    sentence = translator.cannot(Pair("es", "en"))
    assert "no installed pair from es to en. Installed: en-gl, eng-spa, hbs-eng." in sentence
    assert "apertium-spa-eng (either order)" in sentence
    with pytest.raises(RecipeError, match="no installed pair from es to en"):
        translate(translator, ["x"], Pair("es", "en"))


@pytest.mark.parametrize("word", ["DIE", "SWALLOW", "SWAP"])
def test_a_segment_that_breaks_the_program_costs_no_other(program, word):
    segments = ["A", f"B {word}", "C.", "D", "E", "A"]
    lost = Translation(None, problem="apertium failed")
    alone = lost if word != "SWAP" else "b swap"  # with one segment there is nothing to swap
    assert translate(program(), segments) == ["a", alone, "c.", "d", "e", "a"]


def test_a_segment_that_takes_too_long(program):
    assert translate(program(timeout=1.0), ["A", "HANG"]) == ["a", Translation(None, problem="apertium failed")]


@pytest.mark.parametrize("segments", [["A", "B"], ["1"]])
def test_a_program_that_translates_nothing(program, segments):
    with pytest.raises(LangxferError, match="apertium cannot translate anything from eng to spa: no data"):
        translate(program(broken=True), segments)


def test_a_program_that_is_none(tmp_path):
    (tmp_path / "apertium").write_bytes(b"\x7fELF")
    (tmp_path / "apertium").chmod(0o755)
    with pytest.raises(RecipeError, match="cannot be run"):
        apertium(program=str(tmp_path / "apertium")).what()


def test_data_of_ones_own(program, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "eng-spa.bin").write_text("1")
    translator = program(data="data").resolve(tmp_path)
    assert translator.data == str(tmp_path / "data")
    assert translator.call().args[1:] == ["-d", str(tmp_path / "data")]
    before = json.dumps(translator.identity())
    (tmp_path / "data" / "eng-spa.bin").write_text("22")
    assert json.dumps(translator.identity()) != before


def test_data_beside_the_program(tmp_path, monkeypatch):
    """An installation below /usr/local, as a made-up program in a folder; a link to it is not where its data are."""
    monkeypatch.delenv("APERTIUM_DATADIR", raising=False)
    for folder in ("local/bin", "local/share/apertium", "bin", "other"):
        (tmp_path / folder).mkdir(parents=True)
    path = tmp_path / "local/bin/apertium"
    path.write_text(PROGRAM.format(python=sys.executable, broken=False))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "bin/apertium").symlink_to(path)
    data = tmp_path / "local/share/apertium/eng-spa.mode"
    digests = []
    for content in ("1", "22"):
        data.write_text(content)
        found = {
            apertium(program=str(tmp_path / name)).identity()["data"] for name in ("local/bin/apertium", "bin/apertium")
        }
        monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
        assert found == {apertium().identity()["data"]} and None not in found
        digests.append(found.pop())
    assert digests[0] != digests[1]
    monkeypatch.setenv("APERTIUM_DATADIR", str(tmp_path / "other"))
    assert apertium(program=str(path)).identity()["data"] not in digests
    assert not apertium().device_counts


RECIPE = """\
title: x
model: {source: org/model, template: alpaca}
data: {source: rows.jsonl, format: alpaca, target_languages: [TAG], validation: 10}
TRANSLATOR
phases: [{objective: sft, selector: full}]
"""


def test_a_recipe_for_a_pair_that_is_not_installed(program, tmp_path):
    path = tmp_path / "r.yaml"
    translator = f"translator: {{name: apertium, program: {program().program}}}"
    path.write_text(RECIPE.replace("TAG", "de").replace("TRANSLATOR", translator))
    with pytest.raises(
        RecipeError, match=r"r\.yaml:4  translator .* no installed pair from en to de.*apertium-eng-deu"
    ):
        load_recipe(str(path), load([MODULE]))


@needs_spanish
def test_the_readme_s_recipe(tmp_path):
    (block,) = re.findall(r"```yaml\n(.*?)```", (MODULE.parent / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "r.yaml").write_text(RECIPE.replace("TAG", "es").replace("TRANSLATOR", block))
    assert load_recipe(str(tmp_path / "r.yaml"), load([MODULE])).recipe.translator.name == "apertium"
