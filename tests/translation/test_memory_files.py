"""Reading translation memories: what the formats allow, and what is wrong with broken files."""

from __future__ import annotations

from pathlib import Path

import pytest

from langxfer.errors import DataError
from langxfer.translation import base_tag, read_units


def units(folder: Path, name: str, content: str | bytes) -> list:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_units(folder / name))


def tmx(body: str, head: str = "") -> str:
    return f'{head}<tmx version="1.4"><header/><body>{body}</body></tmx>'


def tu(*variants: tuple[str, str]) -> str:
    return "<tu>" + "".join(f'<tuv xml:lang="{tag}"><seg>{text}</seg></tuv>' for tag, text in variants) + "</tu>"


@pytest.mark.parametrize(
    ("written", "tag"),
    [
        ("en", "en"), ("en-US", "en"), ("EN_gb", "en"), ("sw-KE", "sw"), ("sr-Latn-RS", "sr"), ("yue", "yue"),
        ("zh", "zh"), ("zh-CN", "zh"), ("zh-Hans-HK", "zh"), ("zh-TW", "zh-Hant"), ("zh_HK", "zh-Hant"),
        ("zh-Hant", "zh-Hant"), ("zh-hant-TW", "zh-Hant"),
    ],
)  # fmt: skip
def test_tags(written, tag):
    assert base_tag(written) == tag


def test_tmx_keeps_the_text_of_inline_elements_and_every_variant(tmp_path):
    body = tu(
        ("en-US", 'Press <bpt i="1">&lt;b&gt;</bpt>Start<ept i="1">&lt;/b&gt;</ept> &amp; <hi>wait</hi>.'),
        ("en-GB", "Press Start"),
        ("de", "Drücken"),
    )
    assert units(tmp_path, "m.tmx", tmx(body)) == [
        (("en", "Press <b>Start</b> & wait."), ("en", "Press Start"), ("de", "Drücken"))
    ]


def test_tmx_with_a_document_type_a_namespace_or_an_old_attribute(tmp_path):
    head = '<?xml version="1.0"?>\n<!DOCTYPE tmx SYSTEM "http://example.invalid/tmx14.dtd">\n'
    assert units(tmp_path, "m.tmx", tmx(tu(("en", "a"), ("de", "b")), head)) == [(("en", "a"), ("de", "b"))]
    spaced = tmx(tu(("en", "a"), ("de", "b"))).replace("<tmx ", '<tmx xmlns="http://www.lisa.org/tmx14" ')
    assert units(tmp_path, "m.tmx", spaced) == [(("en", "a"), ("de", "b"))]
    old = tmx(tu(("en", "a"), ("de", "b"))).replace("xml:lang", "lang")
    assert units(tmp_path, "m.tmx", old) == [(("en", "a"), ("de", "b"))]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "iso-8859-1"])
def test_tmx_in_other_encodings(tmp_path, encoding):
    declared = '<?xml version="1.0" encoding="iso-8859-1"?>' if encoding == "iso-8859-1" else ""
    content = tmx(tu(("en", "size"), ("de", "Größe")), declared).encode(encoding)
    assert units(tmp_path, "m.tmx", content) == [(("en", "size"), ("de", "Größe"))]


def test_tmx_is_read_in_little_memory(tmp_path):
    import tracemalloc

    row = tu(("en", "x" * 1000), ("de", "y" * 1000))
    (tmp_path / "m.tmx").write_text(tmx(row * 5000))  # 10 MB of text
    tracemalloc.start()
    count = sum(1 for _ in read_units(tmp_path / "m.tmx"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 5000 and peak < 2_000_000


def test_tmx_reads_no_other_file(tmp_path):
    (tmp_path / "secret").write_text("secret")
    head = f'<!DOCTYPE tmx [<!ENTITY x SYSTEM "{(tmp_path / "secret").as_uri()}">]>'
    with pytest.raises(DataError, match="undefined entity"):
        units(tmp_path, "m.tmx", tmx(tu(("en", "&x;"), ("de", "b")), head))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"m\.tmx:1 is not well-formed XML"),
        ("<tmx>\n<body>\n<tu>\n</body>", r"m\.tmx:4 is not well-formed XML"),
        ("<xliff/>", "root element is <xliff>, expected <tmx>"),
        ('<tmx><body><tu tuid="7"><tuv><seg>a</seg></tuv></tu></body></tmx>', r"unit 1 \(tuid 7\) .*without xml:lang"),
        ('<tmx><body><tu/><tu><tuv xml:lang="en"/></tu></body></tmx>', r"unit 2 \(tuid absent\) .*without <seg>"),
        ('<?xml version="1.0" encoding="klingon"?><tmx/>', r"m\.tmx.*(encoding|XML)"),
    ],
)
def test_broken_tmx(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        units(tmp_path, "m.tmx", content)


def test_tsv_has_no_quoting_and_may_have_many_columns(tmp_path):
    content = '\ufeffen\tde-DE\tzh-TW\r\n"Hi"\t„Hallo"\t嗨\r\n\r\na\t\tc\r\n'
    assert units(tmp_path, "m.tsv", content) == [
        (("en", '"Hi"'), ("de", '„Hallo"'), ("zh-Hant", "嗨")),
        (("en", "a"), ("de", ""), ("zh-Hant", "c")),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.tsv", "Hello\tHallo\n", r"m\.tsv:1 does not name the languages .*'Hello\\tHallo'"),
        ("m.tsv", "en\n", r"m\.tsv:1 does not name the languages"),
        ("m.tsv", "en\tde\n\na\tb\tc\n", r"m\.tsv:3 has 3 columns, expected 2"),
        ("m.tsv", "en\tde\nonly one\n", r"m\.tsv:2 has 1 columns, expected 2"),
        ("m.tsv", b"en\tde\nsize\tGr\xf6\xdfe\n", r"m\.tsv:2 is not UTF-8"),
        ("m.jsonl", '{"en": "a", "de": "b"}\n{"en": "a",\n', r"m\.jsonl:2 is not JSON"),
        ("m.jsonl", '["a", "b"]\n', r"m\.jsonl:1 holds .*expected texts in two languages"),
        ("m.jsonl", '{"english": "a", "german": "b"}\n', r"m\.jsonl:1 holds .*expected texts in two languages"),
        ("m.jsonl", '{"en": "a", "de": null}\n', r"m\.jsonl:1 holds .*expected texts in two languages"),
    ],
)
def test_broken_lines(tmp_path, name, content, message):
    with pytest.raises(DataError, match=message):
        units(tmp_path, name, content)


def test_json_lines_take_texts_under_language_tags(tmp_path):
    content = '{"id": 3, "note": "greeting", "en-US": "Hi", "sw": "Habari", "de": null}\n'
    assert units(tmp_path, "m.jsonl", content) == [(("en", "Hi"), ("sw", "Habari"))]
