"""Documents taken apart and put together: nothing is lost, and a translator sees prose alone."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langxfer.errors import PluginError, RecipeError
from langxfer.translation import Skeleton, split_further, take_apart
from tests.translation.planted import Line, planted

REAL = Path(__file__).parents[3] / "shared" / "data"
EXAMPLES = int(os.environ.get("LANGXFER_EXAMPLES", "300"))  # documents a property is tried on
SIGNS = r"""` `` ``` ~~~ $ $$ \( \) \[ \] \begin{a} \end{a} < > <b> <!-- --> <pre> </pre> | |--| # ## > - * 1. a) [ ]
]( ) ** __ http:// www. x@y.zz . ... ? ! 。 ， “ ” " ' { } {a} : ; Mr. e.g. 5 A. 今天 ไทย"""
BLANKS = [
    "\n",
    "\r\n",
    "\r",
    "\n\n",
    "\n    ",
    "\n\t",
    "\f",
    "\v",
    "\x85",
    "\u2028",
    " ",
    "  ",
    "\u3000",
    "\0",
    "\ud800",
]
FRAGMENTS = st.sampled_from(SIGNS.split()) | st.sampled_from(BLANKS) | st.text(max_size=8)
ANYTHING = st.lists(FRAGMENTS, max_size=25).map("".join)


def changed(segment: str) -> str:
    """Every letter becomes another one; all else stays."""
    return "".join(("y" if char == "x" else "x") if char.isalpha() else char for char in segment)


def different(_: str) -> str:
    return "Ganz anders, bitte"


def rebuilt(text: str, translate: Callable[[str], str], language: str = "en", target: str = "de") -> str:
    skeleton = take_apart(text, language)
    return skeleton.rebuild([translate(segment) for segment in skeleton.segments], target)


def segments(text: str, language: str = "en") -> list[str]:
    return list(take_apart(text, language).segments)


@settings(max_examples=EXAMPLES, deadline=None)
@given(ANYTHING, st.sampled_from(["en", "zh", "th", "de"]))
def test_any_text_rebuilds_byte_for_byte(text, language):
    skeleton = take_apart(text, language)
    assert skeleton.rebuild(skeleton.segments, language) == text
    for segment in skeleton.segments:
        assert segment == segment.strip() and len(segment.splitlines()) == 1
        assert any(map(str.isalpha, segment))
        segment.encode()  # no lone surrogate
        assert "\0" not in segment


@settings(max_examples=EXAMPLES, deadline=None)
@given(planted())
def test_what_was_planted_survives(document):
    lines, line_break = document
    text = line_break.join(line.text for line in lines)
    skeleton = take_apart(text, "en")
    assert skeleton.rebuild(skeleton.segments, "en") == text
    for translate in (changed, different):
        out = rebuilt(text, translate).split(line_break)
        assert len(out) == max(1, len(lines))
        for line, new in zip(lines, out, strict=False):
            check_line(line, new)


def check_line(line: Line, new: str) -> None:
    assert new == line.text if line.whole else new.startswith(line.marker)
    position = 0
    for kept in line.kept:
        position = new.find(kept, position) + len(kept)
        assert position >= len(kept), (line, new)


def test_planted_documents_have_something_to_lose():
    """The check above can fail: a translator that sees whole lines breaks what was planted."""
    line = Line("- Run `a b` now.", "- ", ("`a b`",))
    with pytest.raises(AssertionError):
        check_line(line, changed(line.text))
    with pytest.raises(AssertionError):
        check_line(Line("    call()", whole=True), different(""))


VERBATIM = [
    "",
    "\r",
    "12345",
    "😀😀 👍",
    "---\n***\n| 1 | 2 |",
    "```py\nprint('Hi')\n```",
    "```\nnever closed. At all",
    "~~~\nTildes.\n~~~",
    "> ```\n> Quoted code.\n> ```",
    "- ```\n  In a list.\n  ```",
    "    indented()\n\n    more = 1",
    "\tx = tabs()",
    "https://example.org/a?b=c",
    "a@b.org",
    "`code only`",
    "$$\na + b\n\nc\n$$",
    "\\begin{align}\nx &= y\n\\end{align}",
    "\\[\nx\n\\]",
    "<!-- a\n\nb -->",
    "<script>\nvar a = 'Hello. You.';\n</script>",
    "\ud800\udfff\0",
    "import os",
    "#include <iostream>",
    "from a.b import c, d",
    "def f(x, y=1):\n    return x or y\n    # no sentence",
    "for row in rows.all():\n    show(row)",
    "name = 'John Doe'",
    'let mut code = format!("a b");',
    "int main() {\n  return f(0);\n}",
    "print(f'It is {x}')",
]


@pytest.mark.parametrize("text", VERBATIM, ids=repr)
def test_nothing_to_translate(text):
    skeleton = take_apart(text, "en")
    assert skeleton.segments == () and skeleton.rebuild([], "zh") == text


SEEN = {
    "It costs $5 and $6.": ["It costs $5 and $6."],
    "Pay $5-$6 or A$7, US$8.": ["Pay $5-$6 or A$7, US$8."],
    "Either $50 or 60$ a week at most.": ["Either $50 or 60$ a week at most."],
    "Then $x$, $5x$ and $ABCD$ it is.": ["Then", "and", "it is."],
    "## Title ##\n\nText.": ["Title", "Text."],
    "> - [x] Done. And more.": ["Done.", "And more."],
    "1. First item. 2. Second item.": ["First item.", "Second item."],
    "| Name | 12 |\n|---|---|\n| Ann B. | a\\|b |": ["Name", "Ann B.", "a\\|b"],
    "Statement 1 | It is. Statement 2 | It is not.": ["Statement 1 | It is.", "Statement 2 | It is not."],
    "Use `f`s, (`g`). Next [text](a.png): go.": ["Use", "s,", "Next", "text", "go."],
    "``quoted'' and `it' or `b'.": ["``quoted'' and `it' or `b'."],
    "**Note**: read. **Bold** word.": ["Note", "read.", "**Bold** word."],
    "if a<b and c>d then": ["if a<b and c>d then"],
    "    This paragraph is indented in the file.\n\n    Heading: so is what comes next, too.": [
        "This paragraph is indented in the file.",
        "Heading: so is what comes next, too.",
    ],
    "    HDR: If you want a vivid picture, look for it.\n\n    SELECT a, b FROM c WHERE d": [
        "HDR: If you want a vivid picture, look for it."
    ],
    "1. Item\n\n    still the item, not code\n\n        code()": ["Item", "still the item, not code"],
    "J. R. R. Tolkien wrote.": ["J. R. R. Tolkien wrote."],
    "~~~ ornament\nText.": ["~~~ ornament", "Text."],
    "Mail a@b.org. Visit example.com/x, or U.S./Canada.": ["Mail", "Visit", "or U.S./Canada."],
    "cmd = 'aws s3': This sets cmd.": ["cmd = 'aws s3': This sets cmd."],
    "Bring the dog(s)": ["Bring the dog(s)"],
    "If it rains (it does):\nfor example:\nimport it from there;": [
        "If it rains (it does):",
        "for example:",
        "import it from there;",
    ],
    "One\ftwo\x85three\u2028four": ["One", "two", "three", "four"],
    "x\r```\r\rcode\r```\ry": ["x", "y"],
}


@pytest.mark.parametrize("text", SEEN, ids=repr)
def test_what_a_translator_sees(text):
    assert segments(text) == SEEN[text]


def test_chinese_is_taken_apart_around_what_is_latin():
    text = "使用`print`函数。请访问https://example.com了解更多！好吗？\n1、苹果\n（2）梨"
    assert segments(text, "zh") == ["使用", "函数。", "请访问", "了解更多！", "好吗？", "苹果", "梨"]


JOINED = [
    # source, its text, target, what the rebuilt document is when segments become A, B, ... (or 甲, 乙, ...)
    ("en", "One. Two.\nThree.  Four.", "zh", "甲乙\n丙丁"),
    ("en", "One. Two.", "ja", "甲乙"),
    ("en", "One. Two.", "th", "甲 乙"),
    ("en", "One. Use `x` now. 1.5", "zh", "甲乙 `x` 丙 1.5"),
    ("en", " One. Two. ", "zh", " 甲乙 "),
    ("en", "- One.\n  Two.", "zh", "- 甲\n  乙"),
    ("zh", "一。二。\n三。", "en", "A B\nC"),
    ("zh", "用`x`做。去https://a.org看（`y`）吧", "en", "A `x` B C https://a.org D（`y`）E"),
    ("zh", "用**x**做", "en", "A"),
    ("zh", "看<b>粗</b>体，[文](a.png)好", "de", "A <b>B</b> C [D](a.png) E"),
    ("zh", "`x`：一\n1、二", "ko", "`x`：A\n1、B"),
    ("zh", "一。二。", "ja", "甲乙"),
    ("zh-Hant", "一。二。", "zh", "甲乙"),
    ("en", "One. Two.", "de", "A B"),
]


@pytest.mark.parametrize(("language", "text", "target", "expected"), JOINED)
def test_white_space_between_languages(language, text, target, expected):
    skeleton = take_apart(text, language)
    names = "甲乙丙丁戊" if not expected.isascii() and "甲" in expected else "ABCDE"
    assert skeleton.rebuild(names[: len(skeleton.segments)], target) == expected
    assert skeleton.rebuild(skeleton.segments, language) == text


def test_white_space_and_line_breaks_of_translations_do_not_count():
    assert take_apart("- One. Two.\n", "en").rebuild([" Eins.\n", "Zw\nei.\r\n"], "de") == "- Eins. Zw ei.\n"


@pytest.mark.parametrize("translations", [[], ["a"], ["a", "b", "c"]])
def test_the_number_of_translations_is_checked(translations):
    with pytest.raises(PluginError, match=f"^{len(translations)} translations for a document of 2 segments"):
        take_apart("One. Two.", "en").rebuild(translations, "de")


def test_an_unknown_language_is_refused():
    with pytest.raises(RecipeError, match='"english" is not a known language tag'):
        take_apart("One.", "english")
    with pytest.raises(RecipeError, match="xx"):
        take_apart("One.", "en").rebuild(["Eins."], "xx")


def test_pieces_of_a_segment_are_put_together():
    segment = "When it rains, we stay at home."
    skeleton = Skeleton.of_pieces(split_further(segment, "en"), "en")
    assert skeleton.segments == ("When it rains,", "we stay at home.")
    assert skeleton.rebuild(skeleton.segments, "en") == segment
    assert skeleton.rebuild(["下雨时，", "我们在家。"], "zh") == "下雨时，我们在家。"


def dolly() -> Iterator[str]:
    for row in json.loads((REAL / "dolly" / "dolly_train.json").read_text(encoding="utf-8")):
        yield from (row["instruction"], row["input"], row["output"])


def oasst() -> Iterator[str]:
    def messages(message: dict) -> Iterator[str]:
        yield message["text"]
        for reply in message["replies"]:
            yield from messages(reply)

    for line in (REAL / "oasst1" / "en_100_tree.jsonl").read_text(encoding="utf-8").splitlines():
        yield from messages(json.loads(line)["prompt"])


def mmlu() -> Iterator[str]:
    for path in sorted((REAL / "mmlu").rglob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield from (row["question"], *(row[f"choice{number}"] for number in range(4)))


SETS = {"dolly": (dolly, 6_000), "oasst1": (oasst, 1_167), "mmlu": (mmlu, 71_635)}


@pytest.mark.parametrize("name", SETS)
def test_real_documents(name):
    if not (REAL / name).is_dir():
        pytest.skip(f"the data set {name} is not beside the repository (shared/data)")
    read, least = SETS[name]
    documents = list(read())
    assert len(documents) >= least
    for text in documents:
        skeleton = take_apart(text, "en")
        assert skeleton.rebuild(skeleton.segments, "en") == text
        out = skeleton.rebuild([changed(segment) for segment in skeleton.segments], "de")
        assert re.findall(r"\d+", out) == re.findall(r"\d+", text)
        for translation in (out, skeleton.rebuild([different(segment) for segment in skeleton.segments], "de")):
            assert lost(text, translation) == []


def lost(text: str, translation: str) -> list[str]:
    """What of a document did not survive, found with string methods alone: no expression of the code under test."""
    old, new = text.splitlines(), translation.splitlines()
    if len(old) != len(new):
        return [f"{len(old)} lines became {len(new)}"]
    found = []
    in_fence = False
    for before, after in zip(old, new, strict=True):
        is_fence = before.strip().startswith("```")
        if (in_fence or is_fence or not any(map(str.isalpha, before))) and before != after:
            found.append(before)
        in_fence ^= is_fence
        if not in_fence and not is_fence:
            found += [kept for kept in kept_in(before) if kept not in after]
        if not in_fence and before.split()[:1] and is_marker(before.split()[0]) and len(before.split()) > 1:
            found += [before] if after.split()[0] != before.split()[0] else []
        if (
            before.strip()[:1] == before.strip()[-1:] == "|"
            and "--" not in before
            and before.count("|") > after.count("|")
        ):
            found.append(before)
    return found


def kept_in(line: str) -> list[str]:
    urls = [
        word.rstrip(".,;:!?)]'\"")
        for word in line.translate({ord(char): " " for char in "(<\"'"}).split()
        if "://" in word[:9]
    ]
    parts = line.split("`")
    spans = parts[1::2] if len(parts) % 2 else []
    quoted = any("'" in span for span in parts)  # `so' plain text quotes
    return urls + ([] if quoted else [f"`{span}`" for span in spans if span.strip() == span and span])


def is_marker(word: str) -> bool:
    return (
        word in ("-", "*", "+", "•")
        or set(word) == {"#"}
        or (word[-1:] in ".)" and word[:-1].isdigit() and len(word) < 4)
    )
