"""Files in pieces: what is not translated stays as it was, and broken files are refused with the line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langxfer.components import Pair
from langxfer.engine.document_files import Layout, layout_of, read_pieces
from langxfer.errors import DataError
from langxfer.translation import read_units

PAIR = Pair("en", "sw")
TICO = Path(__file__).parents[2].parent / "shared/data/tico19"


def rewritten(
    content: bytes,
    layout: Layout,
    fields: tuple[str, ...] = (),
    change: Callable[[str], str] = lambda text: text,
    pair: Pair = PAIR,
) -> bytes:
    """The file with every text changed."""
    pieces = read_pieces(io.BytesIO(content), "file", layout, pair, fields)
    return b"".join(piece.render([change(text) for _, text in piece.texts]) for piece in pieces)


def texts(content: bytes, layout: Layout, fields: tuple[str, ...] = (), pair: Pair = PAIR) -> list[tuple[str, str]]:
    return [text for piece in read_pieces(io.BytesIO(content), "file", layout, pair, fields) for text in piece.texts]


# ---------------------------------------------------------------- plain text

ODD_TEXT = "\ufeffOne two.\r\n\r\n\u2028 three \rfour\x0b\n\n  \nfive".encode()


@pytest.mark.parametrize("layout", ["text", "lines"])
def test_text_stays_byte_for_byte(layout: Layout) -> None:
    assert rewritten(ODD_TEXT, layout) == ODD_TEXT


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_stays_byte_for_byte(text: str) -> None:
    content = text.encode()
    assert rewritten(content, "text") == rewritten(content, "lines") == content


def test_a_file_is_one_text_and_its_lines_are_many() -> None:
    assert texts(b"a b\n\nc\n", "text") == [("text", "a b\n\nc\n")]
    assert texts(b"a b\r\n \nc", "lines") == [("text", "a b"), ("text", "c")]
    assert texts(b" \n", "text") == texts(b"", "lines") == []


def test_a_line_stays_one_line() -> None:
    assert rewritten(b"a\nb\n", "lines", change=lambda text: f"{text}\n{text}\r\nx") == b"a a x\nb b x\n"


# ---------------------------------------------------------------- JSON lines

ODD_JSON = (
    b'\xef\xbb\xbf {"n": 1e400, "id":123456789012345678901234567890, "instruction" : "h\\u00e9\\n \\ud83d\\ude00 \\/", '
    b'"x.y":[{"c":"q"}, {"c":null} ,{}], "\xc3\xa9 k":{"z":"\\ud800"}, "f":NaN,"big":' + b"9" * 5000 + b"}\t\r\n"
    b'\n{"instruction":null,"x.y":[], "instruction" : "again", "e":{}}'
)
ODD_FIELDS = ("instruction", "x.y[].c", "é k.z")


def test_odd_json_stays_byte_for_byte() -> None:
    assert rewritten(ODD_JSON, "jsonl", ODD_FIELDS) == ODD_JSON


def test_only_the_strings_under_the_fields_change() -> None:
    changed = rewritten(ODD_JSON, "jsonl", ODD_FIELDS, str.upper)
    expected = ODD_JSON.replace(b'"h\\u00e9\\n \\ud83d\\ude00 \\/"', '"HÉ\\n 😀 /"'.encode())
    assert changed == expected.replace(b'"q"', b'"Q"').replace(b'"again"', b'"AGAIN"')
    assert [name for name, _ in texts(ODD_JSON, "jsonl", ODD_FIELDS)] == [
        *("instruction", "x.y[].c", "é k.z", "instruction")
    ]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4), st.text(min_size=1), st.booleans())
def test_any_row_keeps_its_other_fields(row: dict[str, object], text: str, ascii_: bool) -> None:
    """Compared with what Python's own parser and writer make of the row."""
    row = {**row, "said": text}
    line = json.dumps(row, ensure_ascii=ascii_, separators=(" ,", " : "))
    changed = rewritten(line.encode("utf-8", "surrogatepass"), "jsonl", ("said",), lambda text: f"{text}x")
    assert json.loads(changed) == {**row, "said": f"{text}x" if text.strip() else text}
    assert rewritten(line.encode("utf-8", "surrogatepass"), "jsonl", ("said",)) == line.encode("utf-8", "surrogatepass")


BROKEN_JSON = [
    (b"[1]\n", "file:1 holds '[1]', expected one JSON object a line"),
    (b'{"a":"x"}\n{', "file:2 is not JSON"),
    (b'{"a":"x" "b":1}', "file:1 is not JSON (Expecting ',' delimiter)"),
    (b'{"a" "x"}', "file:1 is not JSON (Expecting ':' delimiter)"),
    (b'{a:"x"}', "file:1 is not JSON (Expecting property name"),
    (b'{"a":"x"} x', "file:1 is not JSON (Extra data)"),
    (b'{"a":3}', "file:1: field a holds 3, expected text or null"),
    (b'{"a":{"b":1}}', "file:1: field a holds {"),
    (b'{"b":1,"c":2}\n', "no object has a text under a. Fields in there: b, c"),
    (b'{"b":' + b"[" * 100_000, "file:1 is nested too deeply"),
    (b'{"a":"x"}\n\xff\n', "file:2 is not UTF-8"),
]


@pytest.mark.parametrize(("content", "sentence"), BROKEN_JSON, ids=[sentence for _, sentence in BROKEN_JSON])
def test_broken_json_is_refused_with_the_line(content: bytes, sentence: str) -> None:
    with pytest.raises(DataError) as error:
        rewritten(content, "jsonl", ("a",))
    assert sentence in str(error.value)


# ---------------------------------------------------------------- TMX

TMX = b"""<?xml version="1.0" encoding="UTF-8"?>
<tmx version="1.4"><header srclang="en" datatype="plaintext"><prop type="x">a &amp; b</prop></header><body>
<tu tuid="1"><prop type="note">n</prop>
<tuv xml:lang="en-US"><seg>Hello <bpt i="1">&lt;b&gt;</bpt>world</seg></tuv>
<tuv xml:lang="SW-ke" creationid="me"><seg>Habari <ph/> dunia</seg></tuv>
</tu>
<tu tuid="2">
  <tuv xml:lang="en"><seg>Only English</seg></tuv>
</tu>
<tu tuid="3"><tuv xml:lang="de"><seg>Nur Deutsch</seg></tuv></tu>
</body></tmx>
"""


def units(content: bytes) -> dict[str, dict[str, str]]:
    """tuid -> language as written -> text, read by nobody's code but the standard library's."""
    return {
        unit.attrib["tuid"]: {
            next(iter(v.attrib.values())): "".join(v.find("seg").itertext()) for v in unit.iter("tuv")
        }
        for unit in ElementTree.fromstring(content).iter("tu")
    }


def test_a_unit_gets_or_changes_its_segment_in_the_target_language() -> None:
    changed = rewritten(TMX, "tmx", change=str.upper)
    assert units(changed) == {
        "1": {"en-US": "Hello <b>world", "SW-ke": "HELLO <B>WORLD"},
        "2": {"en": "Only English", "sw": "ONLY ENGLISH"},
        "3": {"de": "Nur Deutsch"},
    }
    root = ElementTree.fromstring(changed)
    assert root.find("header/prop").text == "a & b" and root.find("body/tu/prop").text == "n"
    assert root.find("body/tu/tuv[2]").get("creationid") == "me"
    assert b'  <tuv xml:lang="en"><seg>Only English</seg></tuv>\n  <tuv xml:lang="sw"><seg>' in changed


def test_no_translation_leaves_no_segment_in_the_target_language() -> None:
    assert units(rewritten(TMX, "tmx", change=lambda text: ""))["1"] == {"en-US": "Hello <b>world"}


def test_the_result_is_tmx_again() -> None:
    once = rewritten(TMX, "tmx", change=str.upper)
    assert rewritten(once, "tmx", change=str.upper) == once
    assert texts(once, "tmx", pair=Pair("sw", "en")) == [("segment", "HELLO <B>WORLD"), ("segment", "ONLY ENGLISH")]


@pytest.mark.parametrize(
    ("root", "prefix"), [('<tmx version="1.4" xmlns="{}">', ""), ('<t:tmx version="1.4" xmlns:t="{}">', "t:")]
)
def test_a_namespace_is_kept(root: str, prefix: str) -> None:
    """Compared with what the standard library's parser makes of the file with the target written into it by hand."""
    space, segment = "http://www.lisa.org/tmx14", '<tuv xml:lang="{}"><seg>{}</seg></tuv>'
    file = (
        f'{root.format(space)}<header srclang="en"><prop type="x">a</prop></header><body>'
        f'<tu tuid="1">{segment.format("en", "Hello <ph/>world")}{segment.format("sw", "?")}'
        f'<more xmlns="urn:other" a="b"/></tu>'
        f'<tu tuid="2">{segment.format("en", "Bye")}TARGET</tu></body></tmx>'
    )
    for name in ("tmx>", "header", "prop", "body", "tu>", "tu ", "tuv", "seg", "ph"):
        file = file.replace(f"</{name}", f"</{prefix}{name}").replace(f"<{name}", f"<{prefix}{name}")
    changed = rewritten(file.replace("TARGET", "").encode(), "tmx", change=str.upper)
    added = segment.format("sw", "BYE").replace("<", f"<{prefix}").replace(f"<{prefix}/", f"</{prefix}")
    wanted = file.replace("TARGET", added).replace(">?<", ">HELLO WORLD<")

    def elements(content: str) -> list[tuple[str, dict[str, str], str]]:
        return [(e.tag, e.attrib, (e.text or "").strip()) for e in ElementTree.fromstring(content).iter()]

    assert elements(changed.decode()) == elements(wanted)
    assert rewritten(changed, "tmx", change=str.upper) == changed


VARIANTS = b"""<tmx version="1.4"><header/><body><tu tuid="1"><tuv xml:lang="en-GB"><seg>Colour</seg></tuv>
<tuv xml:lang="en"><seg>Color</seg></tuv><tuv xml:lang="pt-BR"><seg>brasileiro</seg></tuv>
<tuv xml:lang="pt-PT"><seg>portugues</seg></tuv>MORE</tu></body></tmx>"""


@pytest.mark.parametrize(
    ("more", "replaced"),
    [
        (b"", "pt-BR"),
        (b'<tuv xml:lang="pt"><seg>outro</seg></tuv>', "pt"),
        (b'<tuv lang="PT"><seg>o</seg></tuv>', "PT"),
    ],
)
def test_one_variant_is_replaced_and_the_others_stay(more: bytes, replaced: str) -> None:
    content, pair = VARIANTS.replace(b"MORE", more), Pair("en", "pt")
    before = units(content)["1"]
    assert texts(content, "tmx", pair=pair) == [("segment", "Color")]
    assert units(rewritten(content, "tmx", change=str.upper, pair=pair))["1"] == {**before, replaced: "COLOR"}
    without = units(rewritten(content, "tmx", change=lambda text: "", pair=pair))["1"]
    assert without == {tag: text for tag, text in before.items() if tag != replaced}


BROKEN_TMX = [
    (b"", "file:1 is not well-formed XML"),
    (b"<tmx><body>", "file:1 is not well-formed XML"),
    (b"<xliff/>", "its root element is <xliff>, expected <tmx>"),
    (b"<tmx></tmx>", "it has no <body>"),
    (b"<tmx><body><tu><tuv xml:lang='de'><seg>x</seg></tuv></tu></body></tmx>", "no unit has a text in en. Languages"),
    (b"<?xml version='1.0' encoding='nonsense'?><tmx/>", "XML"),
]


@pytest.mark.parametrize(("content", "sentence"), BROKEN_TMX, ids=[sentence for _, sentence in BROKEN_TMX])
def test_broken_tmx_is_refused(content: bytes, sentence: str) -> None:
    with pytest.raises(DataError) as error:
        rewritten(content, "tmx")
    assert sentence in str(error.value)


@pytest.mark.skipif(not TICO.is_dir(), reason="needs ../shared/data/tico19, which is not here")
@pytest.mark.parametrize("tag", ["id", "sw", "zh"])
def test_real_memories_pass_through(tag: str, tmp_path: Path) -> None:
    path = TICO / f"all.en-{tag}.tmx"
    before = list(read_units(path))
    assert len(before) == 3071
    known = {dict(unit)["en"]: dict(unit)[tag] for unit in reversed(before)}
    (tmp_path / "after.tmx").write_bytes(
        rewritten(path.read_bytes(), "tmx", change=lambda text: known[text], pair=Pair("en", tag))
    )
    after = [dict(unit) for unit in read_units(tmp_path / "after.tmx")]
    assert [unit["en"] for unit in after] == [dict(unit)["en"] for unit in before]
    assert [unit[tag] for unit in after] == [known[unit["en"]] for unit in after]


def test_the_suffix_says_the_layout() -> None:
    assert [layout_of(Path(name)) for name in ("a.TMX", "a.jsonl", "a.md", "a")] == ["tmx", "jsonl", "text", "text"]
