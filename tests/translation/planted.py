"""Documents of which is known, from how they were made, what a translator must leave alone."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st


@dataclass(frozen=True)
class Line:
    """A line that begins with ``marker`` and has ``kept`` in it, in this order; of a ``whole`` one nothing changes."""

    text: str
    marker: str = ""
    kept: tuple[str, ...] = ()
    whole: bool = False


WORDS = (
    "Mr. Smith e.g. cat, Über costs $5 and U.S. 3.14 (see below) it's “quoted” 今天 well... Why? No! 10% Ọ̀rọ̀ A-B a/b"
)
CODE = (
    "print('Hi. There.')",
    "    return x  # A comment.",
    "",
    "| a | b |",
    "- x",
    "# Not a title",
    "$HOME and $x",
    "<b>",
    "\ty = 1",
    "[a](b) `c`",
)
SPANS = (
    "`a b`",
    "``x ` y``",
    "https://example.org/a_(b)?c=d&e=f#g",
    "http://localhost:8080/x",
    "www.example.com",
    "anna.b+c@example.co.uk",
    "$x^2 + y$",
    "$a$",
    "$$c = d$$",
    r"\(p \to q\)",
    r"\[u = v\]",
    r"\frac{a}{b}",
    "<b>",
    "</b>",
    '<a href="x y">',
    "<br/>",
    "<!-- note -->",
    "{name}",
    "{{ user }}",
)
MARKERS = ("", "# ", "### ", "> ", "> > ", "- ", "* ", "  - ", "1. ", "   12) ", "(a) ", "- [ ] ", "> 1. ", "• ")
UNSPOKEN = ("12 345,6", "---", "😀 👍", "|---|:-:|", "2024-01-31", "* * *", "3.5 %", "=====")


@st.composite
def _prose(draw: st.DrawFn) -> list[Line]:
    marker = draw(st.sampled_from(MARKERS))
    words = st.sampled_from(WORDS.split())
    parts = draw(st.lists(st.tuples(words, st.none() | st.sampled_from(SPANS)), min_size=1, max_size=6))
    text = " ".join(word if span is None else f"{word} {span}" for word, span in parts)
    return [Line(f"{marker}Here {text} end.", marker, tuple(span for _, span in parts if span))]


@st.composite
def _link(draw: st.DrawFn) -> list[Line]:
    start = draw(st.sampled_from(["[", "!["]))
    return [Line(f"See {start}the docs](http://x.org/a_b) now.", "", (start, "](http://x.org/a_b)"))]


@st.composite
def _fence(draw: st.DrawFn) -> list[Line]:
    fence = draw(st.sampled_from(["```", "````", "~~~"]))
    code = draw(st.lists(st.sampled_from(CODE), max_size=4))
    indent = draw(st.sampled_from(["", "  "]))
    lines = [f"{indent}{fence}{draw(st.sampled_from(['', 'python', ' c++ ']))}", *code, f"{indent}{fence}"]
    return [Line(line, whole=True) for line in lines]


@st.composite
def _indented(draw: st.DrawFn) -> list[Line]:
    """After a paragraph and an empty line, or it would belong to a list."""
    code = draw(st.lists(st.sampled_from(CODE), min_size=1, max_size=4))
    return [Line("Then this."), Line(""), Line("    call()", whole=True), *(Line(f"    {c}", whole=True) for c in code)]


@st.composite
def _table(draw: st.DrawFn) -> list[Line]:
    cells = st.sampled_from(["Name", "two words", "12", "", "`a|b`", "Mr. X", "3.5 %"])
    rows = draw(st.lists(st.tuples(cells, cells), min_size=1, max_size=3))
    made = [Line(f"| {a} | {b} |", "|", (*_code(a), " |", *_code(b), " |")) for a, b in rows]
    return [Line("| Head | More |", "|", ("|", "|", "|")), Line("|---|:--|", whole=True), *made]


def _code(cell: str) -> tuple[str, ...]:
    return (cell,) if "`" in cell else ()


def _comment() -> list[Line]:
    return [Line(line, whole=True) for line in ("<!-- a comment", "over lines. Yes.", "-->")]


def _display() -> list[Line]:
    return [Line(line, whole=True) for line in ("$$", "a + b = c", "", "d", "$$")]


BLOCKS = st.one_of(
    _prose(),
    _prose(),
    _link(),
    _fence(),
    _indented(),
    _table(),
    st.builds(_comment),
    st.builds(_display),
    st.sampled_from(UNSPOKEN).map(lambda text: [Line(text, whole=True)]),
)


@st.composite
def planted(draw: st.DrawFn) -> tuple[list[Line], str]:
    """Lines, and the line break between them; blocks have an empty line between them."""
    lines: list[Line] = []
    for block in draw(st.lists(BLOCKS, max_size=7)):
        lines += [*block, Line("")]
    return lines, draw(st.sampled_from(["\n", "\r\n", "\r"]))
